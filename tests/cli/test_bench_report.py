"""The line that says how a load is getting on."""

import pytest

from fame_cli.cli.bench_report import LINE_WIDTH, PROGRESS_WIDTH, Progress
from fame_cli.node.load import Load, Plan


def line(what: str, *, calls: int, time_s: float, streams: bool) -> str:
    """Return what is shown halfway through a load."""
    plan = Plan(64, calls=2 * calls)
    load = Load([], plan)
    load.tally.began_s, load.tally.ended_s = 0.0, 5.0
    load.tally.answered = load.tally.items = calls
    load.tally.latency.record(time_s, calls)
    return "".join(text for text, _ in Progress(load, plan, what, streams=streams, clock=lambda: 5.0).line())


def test_it_has_a_bar_where_there_is_room() -> None:
    assert line("", calls=10, time_s=0.001, streams=False) == (
        f"5.0 s {'━' * PROGRESS_WIDTH} 10 calls, 2/s, 0 failed, p50 1.00 ms, p99 1.00 ms"
    )


@pytest.mark.parametrize(("what", "streams"), [("", False), ("", True), ("warm-up", False), ("warm-up", True)])
def test_the_last_percentile_fits_a_terminal_of_80_columns(what: str, streams: bool) -> None:
    shown = line(what, calls=1_234_567, time_s=0.0123, streams=streams)
    assert shown.endswith("p99 12.3 ms")
    assert len(shown) <= LINE_WIDTH < 80
