"""The one timer of a node: it fires when the core wants to be asked, and knows when the node has been away.

A process that was stopped, a laptop that slept, a loop that something kept busy: what the neighbours said meanwhile
waits to be read. Some loops run timers first, so the timer steps back once before anybody is judged by the time.
"""

import asyncio
import time
from collections.abc import Callable

__all__ = ["LATE_S", "Wakeup"]

LATE_S = 1.0
"""Seconds by which the timer has to be late for the node to have been away."""

READ_FIRST_S = 0.05
"""Seconds in which a node that has been away reads what waits for it."""


class Wakeup:
    """Call back at a time, as close to it as the loop gets.

    Args:
        loop: of the node.
        wake: what to call, with the time; monotonic, in seconds.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, wake: Callable[[float], None]) -> None:
        self._loop = loop
        self._wake = wake
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def by(self, deadline: float | None) -> None:
        """Wake at `deadline` at the latest; an earlier wake-up that is set stays, None sets none."""
        if deadline is None or (self._timer is not None and deadline >= self._due):
            return
        self.cancel()
        self._due = deadline
        self._timer = self._loop.call_later(max(deadline - time.monotonic(), 0.0), self._ring)

    def cancel(self) -> None:
        """Wake no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        if time.monotonic() - self._due >= LATE_S:
            self._timer = self._loop.call_later(READ_FIRST_S, self._go)
        else:
            self._go()

    def _go(self) -> None:
        self._timer = None
        self._wake(time.monotonic())
