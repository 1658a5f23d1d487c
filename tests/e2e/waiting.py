"""Waits with a bound for what other processes do, for tests that are coroutines themselves."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

__all__ = ["POLL_S", "eventually"]

POLL_S = 0.02
"""Seconds between two looks."""

T = TypeVar("T")


async def eventually(look: Callable[[], Awaitable[T | None]], *, within_s: float) -> T:
    """Look until there is something to see, and return it.

    Raises:
        TimeoutError: there was nothing within that many seconds.
    """
    async with asyncio.timeout(within_s):
        while (found := await look()) is None:  # noqa: ASYNC110  # another process has no Event of ours
            await asyncio.sleep(POLL_S)
    return found
