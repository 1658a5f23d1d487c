"""Long lists in answers that have a size: as many rows as fit, and the next ones when they are asked for."""

from collections.abc import Iterable

from fame_cli.core.envelope import encode_json
from fame_cli.core.report import Row

__all__ = ["page_of"]


def page_of(rows: Iterable[Row], max_message_bytes: int) -> list[Row]:
    """Return as many of the first rows as take no more than half an envelope; one that takes more is cut."""
    most = room = max_message_bytes // 2
    page: list[Row] = []
    for row in rows:
        size = len(encode_json(row))
        if page and size > room:
            break
        page.append(row if size <= most else _cut(row, size / most))
        room -= size
    return page


def _cut(row: Row, times: float) -> Row:
    """Shorten the lists of a row that is so many times too long; ``…`` says so."""
    return {key: _first(value, times) if isinstance(value, list) else value for key, value in row.items()}


def _first(values: list[object], times: float) -> list[object]:
    kept = int(len(values) / times / 2)
    return [*values[:kept], "…"] if len(values) > kept else values
