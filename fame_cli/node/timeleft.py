"""How long the caller of the operation that runs still waits, for operations that want to know."""

import time
from contextvars import ContextVar

__all__ = ["DEADLINE", "time_left"]

DEADLINE: ContextVar[float] = ContextVar("fame_deadline", default=0.0)
"""When the caller gives up, by the monotonic clock in seconds; 0 if it didn't say. Set by ``host.py`` for each call."""


def time_left() -> float | None:
    """Return how many seconds the caller of this operation still waits, 0 at least; None if it didn't say.

    For a stream it is the time for the first item. Meant for operations that can answer with less, or that call others:
    ``await client.request(…, timeout_s=time_left())``.
    """
    deadline = DEADLINE.get()
    return max(deadline - time.monotonic(), 0.0) if deadline else None
