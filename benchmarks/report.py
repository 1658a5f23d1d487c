"""What the figures of several rounds say: medians and ranges, the bars, and one table of it all. Pure.

A round is a flat dict: measure → figure. A contender's figures are the rounds it was measured in; one that couldn't be
measured has a reason instead.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

__all__ = [
    "BARS",
    "MEASURES",
    "Bar",
    "Summary",
    "Verdict",
    "figure",
    "judge",
    "markdown",
    "spread",
    "summarise",
    "text_table",
    "verdict_lines",
]

Figures: TypeAlias = Mapping[str, float]
Summary: TypeAlias = dict[str, dict[str, Any]]

ROLES = ("client", "router 1", "router 2", "worker")

MEASURES = {
    "calls_1": "calls/s, 1 in flight",
    "calls_64": "calls/s, 64 in flight",
    "calls_256": "calls/s, 256 in flight",
    "p50_1_us": "latency p50, 1 in flight, µs",
    "p99_1_us": "latency p99, 1 in flight, µs",
    "p50_half_us": "latency p50, half the max. rate, µs",
    "p99_half_us": "latency p99, half the max. rate, µs",
    "small_items": "stream, small items/s",
    "large_items": "stream, 64 KiB items/s",
    "large_mb": "stream, 64 KiB items, MB/s",
    **{f"cpu_{role}": f"CPU s/1,000 calls, {role}" for role in ROLES},
    "elsewhere": "cores busy with anything else",
    **{f"peak_{role}": f"peak memory, {role}, MiB" for role in ROLES},
}
"""Measure → its row in the table, in the order of the rows."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A ratio that `fame` has to reach.

    Attributes:
        what: for people.
        measure: what is compared.
        against: the contender it is compared with, or another measure of `fame` itself.
        limit: the ratio.
        at_least: True when the ratio must not be below the limit, False when not above.
    """

    what: str
    measure: str
    against: str
    limit: float
    at_least: bool


BARS = (
    Bar("calls/s, 64 in flight", "calls_64", "nats", 2.0, True),
    Bar("calls/s, 64 in flight", "calls_64", "naylence", 200.0, True),
    Bar("latency p50, 1 in flight", "p50_1_us", "nats", 0.8, False),
    Bar("latency p50, 1 in flight", "p50_1_us", "tcp", 2.0, False),
    Bar("latency p99, half the max. rate", "p99_half_us", "p50_half_us", 3.0, False),
    Bar("stream, small items/s", "small_items", "nats", 1.0, True),
    Bar("stream, small items/s", "small_items", "naylence", 500.0, True),
    Bar("stream, 64 KiB items, MB/s", "large_mb", "tcp", 0.5, True),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A bar, for one of the `fame` chains, as measured."""

    contender: str
    bar: Bar
    ratio: float

    @property
    def is_met(self) -> bool:
        """Whether the bar is reached."""
        return self.ratio >= self.bar.limit if self.bar.at_least else self.ratio <= self.bar.limit


def summarise(rounds: Sequence[Figures]) -> Summary:
    """Return each measure's ``median``, ``min``, ``max`` and ``runs``, in the order of the rounds."""
    summary: Summary = {}
    for measure in MEASURES:
        runs = [figures[measure] for figures in rounds if measure in figures]
        if runs:
            summary[measure] = spread(runs)
    return summary


def spread(runs: Sequence[float]) -> dict[str, Any]:
    """Return ``median``, ``min``, ``max`` and the ``runs`` themselves; nothing but those when there are none."""
    if not runs:
        return {"runs": []}
    return {"median": statistics.median(runs), "min": min(runs), "max": max(runs), "runs": list(runs)}


def judge(summaries: Mapping[str, Summary]) -> list[Verdict]:
    """Hold every `fame` chain against the bars, as far as both sides were measured; by the medians."""
    verdicts = []
    for contender, own in summaries.items():
        if not contender.startswith("fame"):
            continue
        for bar in BARS:
            other = own.get(bar.against) or summaries.get(bar.against, {}).get(bar.measure)
            if bar.measure in own and other is not None and other["median"] > 0:
                verdicts.append(Verdict(contender, bar, own[bar.measure]["median"] / other["median"]))
    return verdicts


# As text


def figure(value: float) -> str:
    """Write a figure with three digits or, from a thousand on, all of them before the point."""
    if math.isnan(value):
        return "-"
    rounded = abs(float(f"{value:.3g}"))
    if rounded == 0 or rounded >= 100:
        return f"{value:,.0f}"
    return f"{value:.{2 - math.floor(math.log10(rounded))}f}"


def span(cell: Mapping[str, Any]) -> str:
    """Write the range of a measure; "" when there was one round."""
    if len(cell["runs"]) < 2:
        return ""
    return f"{figure(cell['min'])}-{figure(cell['max'])}"


def text_table(summaries: Mapping[str, Summary]) -> list[str]:
    """Set the table for a terminal: medians, and below each the range of the rounds."""
    names = list(summaries)
    rows = [["", *names]]
    for measure, title in MEASURES.items():
        cells = [summaries[name].get(measure) for name in names]
        if not any(cells):
            continue
        rows.append([title, *(figure(cell["median"]) if cell else "-" for cell in cells)])
        if any(spans := [span(cell) if cell else "" for cell in cells]):
            rows.append(["", *spans])
    widths = [max(len(row[column]) for row in rows) for column in range(len(names) + 1)]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]


def markdown(summaries: Mapping[str, Summary]) -> list[str]:
    """Set the table as Markdown: median and, in brackets, range."""
    names = list(summaries)
    lines = [f"| | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
    for measure, title in MEASURES.items():
        cells = [summaries[name].get(measure) for name in names]
        if any(cells):
            texts = (f"{figure(cell['median'])} ({span(cell)})".replace(" ()", "") if cell else "-" for cell in cells)
            lines.append(f"| {title} | {' | '.join(texts)} |")
    return lines


def verdict_lines(verdicts: Sequence[Verdict]) -> list[str]:
    """Write one line a bar: what it is, the ratio as measured, and whether that is enough."""
    lines = []
    for verdict in verdicts:
        bar = verdict.bar
        against = "its own p50" if bar.against in MEASURES else bar.against
        wanted = f"{'≥' if bar.at_least else '≤'} {bar.limit:g} x {against}"
        judged = "ok" if verdict.is_met else "missed"
        lines.append(f"{verdict.contender:<12} {bar.what:<32} {wanted:<28} {figure(verdict.ratio):>8} x  {judged}")
    return lines
