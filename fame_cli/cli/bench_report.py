"""What ``fame bench`` says: one line while the load runs, the report in the end, and the same for programs.

Pure: figures in, styled text or JSON values out. Lists and bars are drawn by `tables.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import log10

from fame_cli.cli import tables
from fame_cli.cli.output import Span
from fame_cli.node.histogram import Histogram
from fame_cli.node.load import Load, Plan, Tally

__all__ = ["PERCENTS", "Progress", "Report", "document_of", "lines_of"]

PERCENTS = (50, 90, 99, 99.9)
"""The percentiles that are shown."""

MOST_ROWS = 16
BAR_WIDTH = 40
PROGRESS_WIDTH = 20
"""Characters of the bar in the line of progress, at most."""

LINE_WIDTH = 79
"""Characters that line has in all: the bar gives way to the words, because what doesn't fit a terminal is cut off."""


@dataclass(frozen=True, slots=True)
class Report:
    """Hold all there is to say of a load that is over.

    Args:
        whom: the address, or whoever else was asked.
        operation: its name.
        plan: the load as it was asked for.
        clients: how many clients it came from.
        tally: what became of it.
        received_bytes: of all envelopes that came in; None where they weren't counted, as only streams have them.
        busy: which part of a core this process used.
        interrupted: whether Ctrl-C ended it.
    """

    whom: str
    operation: str
    plan: Plan
    clients: int
    tally: Tally
    received_bytes: int | None
    busy: float
    interrupted: bool

    @property
    def seconds(self) -> float:
        """Return how long it took."""
        return self.tally.elapsed_s(0.0)

    def per_s(self, amount: float) -> float:
        """Return an amount by the second; a rate counts for the time it fills, however soon its last call ended."""
        due = self.tally.started + self.tally.unstarted
        span_s = max(self.seconds, due / self.plan.rate if self.plan.rate else 0.0)
        return amount / span_s if span_s > 0 else 0.0


def lines_of(report: Report) -> list[list[Span]]:
    """Return the report for people."""
    tally = report.tally
    lines = [[(_headline(report), "bold")], [(_load_of(report), "")]]
    if report.interrupted:
        lines.append([("interrupted: this is what there was until then", "yellow")])
    lines += [
        [(f"{count} failed: {kind.__name__}", "red"), (f": {tally.examples[kind]}", "")]
        for kind, count in tally.errors.most_common()
    ]
    if tally.broken_off:
        lines.append([(f"{tally.broken_off} broken off at the end", "")])
    if tally.unstarted:
        lines.append([(f"{tally.unstarted} were due and not started: the rate was not reached", "yellow")])
    if tally.unanswered:
        times = "1 of the times below is" if tally.unanswered == 1 else f"{tally.unanswered} of the times below are"
        lines.append([(f"{times} of calls without an answer: as long as they had waited", "yellow")])
    if tally.latency.count:
        lines += [[], *([(line, "")] for line in _times(report)), [], *_bars(tally.latency)]
    return lines


def _headline(report: Report) -> str:
    tally, where = report.tally, f"{report.whom} {report.operation}"
    if report.received_bytes is None:
        return f"{where}: {tally.answered} answered in {report.seconds:.3f} s, {report.per_s(tally.answered):.1f}/s"
    megabytes = report.per_s(report.received_bytes) / 1e6
    return (
        f"{where}: {tally.items} items in {report.seconds:.3f} s, {report.per_s(tally.items):.1f}/s, "
        f"{megabytes:.3f} MB/s; {tally.answered} streams came to their end"
    )


def _load_of(report: Report) -> str:
    """Say what the load was, and what it cost here: figures mean little without."""
    plan = report.plan
    paced = f"{plan.rate:.12g}/s, at most " if plan.rate is not None else ""
    clients = f", {report.clients} clients" if report.clients > 1 else ""
    return f"{paced}{plan.concurrency} in flight{clients}; this process used {report.busy:.0%} of a core"


def _times(report: Report) -> list[str]:
    latency = report.tally.latency
    titles = ["LATENCY" if report.received_bytes is None else "FIRST ITEM", "MIN", "MEAN"]
    times = [
        latency.least_s,
        latency.mean_s,
        *(latency.percentile(percent) for percent in PERCENTS),
        latency.greatest_s,
    ]
    titles += [*(f"P{percent:g}" for percent in PERCENTS), "MAX"]
    return tables.lines_of(titles, [["ms", *("" if time is None else f"{1000 * time:.3f}" for time in times)]])


def _bars(latency: Histogram) -> list[list[Span]]:
    rows = [(f"{1000 * low:g} .. {1000 * high:g} ms", count) for low, high, count in latency.rows(MOST_ROWS)]
    return tables.bars(rows, BAR_WIDTH)


def document_of(report: Report) -> dict[str, object]:
    """Return the report as a JSON value; times in milliseconds, None where nothing was measured."""
    tally, plan, latency = report.tally, report.plan, report.tally.latency
    times = {"min": latency.least_s, "mean": latency.mean_s}
    times |= {f"p{percent:g}": latency.percentile(percent) for percent in PERCENTS} | {"max": latency.greatest_s}
    counted = [
        {"from_ms": _ms(low), "to_ms": _ms(high), "count": count} for low, high, count in latency.rows(MOST_ROWS)
    ]
    document: dict[str, object] = {
        "target": report.whom,
        "operation": report.operation,
        "concurrency": plan.concurrency,
        "clients": report.clients,
        "rate": plan.rate,
        "elapsed_s": round(report.seconds, 6),
        "interrupted": report.interrupted,
        "answered": tally.answered,
        "failed": tally.failed,
        "broken_off": tally.broken_off,
        "unstarted": tally.unstarted,
        "unanswered": tally.unanswered,
        "errors": {
            kind.__name__: {"count": count, "first": str(tally.examples[kind])}
            for kind, count in tally.errors.most_common()
        },
        "answered_per_s": round(report.per_s(tally.answered), 3),
        "busy": round(report.busy, 3),
    }
    if report.received_bytes is not None:
        document |= {
            "items": tally.items,
            "items_per_s": round(report.per_s(tally.items), 3),
            "received_bytes": report.received_bytes,
            "received_bytes_per_s": round(report.per_s(report.received_bytes), 3),
        }
    name = "latency_ms" if report.received_bytes is None else "first_item_ms"
    return document | {name: {key: _ms(time) for key, time in times.items()}, "histogram": counted}


def _ms(time_s: float | None) -> float | None:
    return None if time_s is None else round(1000 * time_s, 6)


class Progress:
    """Say from time to time how a load is getting on.

    Args:
        load: what to look at.
        plan: what it is to do.
        what: what it is for, e.g. ``warm-up``; "" for the measurement itself.
        streams: whether items are what counts.
        clock: the load's clock.
    """

    def __init__(self, load: Load, plan: Plan, what: str, *, streams: bool, clock: Callable[[], float]) -> None:
        self._load = load
        self._plan = plan
        self._what = f"{what} " if what else ""
        self._streams = streams
        self._clock = clock
        self._before = (0.0, 0)

    def line(self) -> list[Span]:
        """Return the line for now; the rate in it is that since the line before."""
        tally = self._load.tally
        passed_s = tally.elapsed_s(self._clock())
        amount = tally.items if self._streams else tally.answered
        before_s, before = self._before
        self._before = passed_s, amount
        rate = (amount - before) / (passed_s - before_s) if passed_s > before_s else 0.0
        p50, p99 = (_short(tally.latency.percentile(percent)) for percent in (50, 99))
        before_bar = f"{self._what}{passed_s:.1f} s"
        words: list[Span] = [
            (f" {amount} {'items' if self._streams else 'calls'}, {rate:.0f}/s, ", ""),
            (f"{tally.failed} failed", "red" if tally.failed else ""),
            (f", {'first ' if self._streams else ''}p50 {p50}, p99 {p99}", ""),
        ]
        taken = len(before_bar) + 1 + sum(len(text) for text, _ in words)
        width = min(max(LINE_WIDTH - taken, 0), PROGRESS_WIDTH)
        filled = round(width * self._part(passed_s))
        return [(before_bar + " " * bool(width), ""), ("━" * filled, "cyan"), ("━" * (width - filled), "dim"), *words]

    def _part(self, passed_s: float) -> float:
        """Return how much of it is done, 0 .. 1."""
        tally, plan = self._load.tally, self._plan
        parts = (
            passed_s / plan.duration_s if plan.duration_s else 0.0,
            (tally.answered + tally.failed) / plan.calls if plan.calls else 0.0,
        )
        return min(max(parts), 1.0)


def _short(time_s: float | None) -> str:
    """Write a time with three digits, as ``12.3 ms``."""
    if not time_s:
        return "-"
    time_ms = 1000 * time_s
    return f"{time_ms:.{min(max(2 - int(log10(time_ms) // 1), 0), 3)}f} ms"
