"""Lists as people read them: aligned columns with a line of titles; for programs, the same rows as JSON.

What stands in a cell often comes from a remote node, so it is made harmless before it reaches a terminal. JSON needs
no such care: it escapes what it must.
"""

from collections.abc import Sequence

from fame_cli.cli import output
from fame_cli.cli.output import OutputFormat, Span

__all__ = ["bars", "cell", "duration", "lines_of", "milliseconds", "show"]


def show(
    titles: Sequence[str], rows: Sequence[Sequence[object]], documents: Sequence[object], form: OutputFormat
) -> None:
    """Print a list on stdout: as a table, as one JSON document, or with ``ndjson`` as a document a line.

    Args:
        titles: of the columns.
        rows: what stands under them.
        documents: JSON values of the same rows.
        form: which of the two is written, and how.
    """
    if form is OutputFormat.json:
        output.result(list(documents), form)
        return
    if form is OutputFormat.ndjson:
        for document in documents:
            output.result(document, form)
        return
    for line in lines_of(titles, rows):
        output.data(line)
    output.flush()


def lines_of(titles: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Return a table line by line, each column as wide as its widest cell, without blanks at the end of a line."""
    cells = [list(titles), *([cell(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def bars(rows: Sequence[tuple[str, int]], width: int) -> list[list[Span]]:
    """Draw counts as bars, the longest of them `width` characters; no count above 0 is without a mark.

    Args:
        rows: labels and counts, in the order in which they are drawn.
        width: characters, >= 1.
    """
    most, total = max((count for _, count in rows), default=0), sum(count for _, count in rows)
    label_width = max((len(label) for label, _ in rows), default=0)
    count_width = len(str(most))
    lines: list[list[Span]] = []
    for label, count in rows:
        eighths = max(round(8 * width * count / most), 1) if count else 0
        bar = "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()
        share = f"{100 * count / total:6.2f} %" if total else ""
        lines.append(
            [
                (f"{label:>{label_width}}  ", ""),
                (f"{bar:<{width}}", "cyan"),
                (f"  {count:>{count_width}}", ""),
                (f"  {share}", "dim"),
            ]
        )
    return lines


def cell(value: object) -> str:
    """Return what stands in a cell: ``-`` for nothing, a list with commas."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        value = ", ".join(str(each) for each in value)
    return "-" if value in (None, "") else output.harmless(str(value))


def duration(seconds: float) -> str:
    """Write seconds as ``7s``, ``3m07s`` or ``2h05m``."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s" if minutes else f"{rest}s"


def milliseconds(time_us: int | None) -> str:
    """Write microseconds as ``1.234 ms``, nothing for None."""
    return "" if time_us is None else f"{time_us / 1000:.3f} ms"
