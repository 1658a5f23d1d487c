"""How a task that is followed gets on: one live line on a terminal, a line for each thing told elsewhere, on stderr.

With ``-o ndjson`` it is data instead, a line on stdout for each thing told.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fame_cli.cli import output
from fame_cli.cli.output import OutputFormat, Span
from fame_cli.cli.tables import duration
from fame_cli.node.task_wire import TaskEvent

__all__ = ["following", "line_of", "share_of"]

BAR = 20
"""Characters of the bar."""

SHOW_EVERY_S = 0.5

Tell = Callable[[TaskEvent], None]


@contextmanager
def following(address: str, task_id: str, form: OutputFormat) -> Iterator[Tell]:
    """Give what takes each event of a task during the block."""
    if form is OutputFormat.ndjson:
        yield _print
        return
    with output.live_line() as say:
        if say is None:
            yield lambda event: _say(address, task_id, event)
            return
        with _live(address, task_id, say) as tell:
            yield tell


def _print(event: TaskEvent) -> None:
    if event.is_update:
        told: dict[str, Any] = {"id": event.id, "update": event.value, "number": event.number}
    else:
        told = {"id": event.id, "state": event.state, "value": event.value}
    output.result(told, OutputFormat.ndjson)


def _say(address: str, task_id: str, event: TaskEvent) -> None:
    if event.is_over:
        return  # the result or the error says it
    if event.state == "input-required":
        output.note(_question(address, task_id, event))
        return
    text = output.render(event.value, OutputFormat.text, one_line=True) if event.is_update else event.state
    output.diagnostic([(f"{task_id}: {text}", "")])


def _question(address: str, task_id: str, event: TaskEvent) -> str:
    asked = output.render(event.value, OutputFormat.text, one_line=True)
    return f"{task_id} asks: {asked}; answer: fame task answer {address} {task_id} --text …"


@contextmanager
def _live(address: str, task_id: str, say: Callable[[list[Span]], None]) -> Iterator[Tell]:
    """Rewrite one line: at each event, and from time to time for the clock on it."""
    started, loop = time.monotonic(), asyncio.get_running_loop()
    state, value = "", None
    timers: list[asyncio.TimerHandle] = []

    def draw() -> None:
        say(line_of(task_id, state, value, time.monotonic() - started))

    def redraw() -> None:
        timers[:] = [loop.call_later(SHOW_EVERY_S, redraw)]
        draw()

    def tell(event: TaskEvent) -> None:
        nonlocal state, value
        if event.is_update:
            value = event.value
        else:
            state = event.state
        if event.state == "input-required":
            output.note(_question(address, task_id, event))
        draw()

    redraw()
    try:
        yield tell
    finally:
        timers[0].cancel()


def line_of(task_id: str, state: str, value: Any, elapsed_s: float) -> list[Span]:
    """Return the live line."""
    spans: list[Span] = [(task_id, "bold"), (f"  {state or 'asking'}  {duration(elapsed_s)}", "")]
    share = share_of(value)
    if share is not None:
        full = round(share * BAR)
        spans += [("  ", ""), ("━" * full, "cyan"), ("━" * (BAR - full), "dim"), (f" {share:4.0%}", "")]
    if value is not None:
        spans.append(("  " + output.render(value, OutputFormat.text, one_line=True), "dim"))
    return spans


def share_of(value: Any) -> float | None:
    """Return how much is done, 0 to 1, of ``{"done": 3, "total": 4}`` or ``{"progress": 0.75}``; None for the rest."""
    match value:
        case {"done": int() | float() as done, "total": int() | float() as total} if total > 0:
            return min(max(done / total, 0.0), 1.0)
        case {"progress": int() | float() as share}:
            return min(max(float(share), 0.0), 1.0)
    return None
