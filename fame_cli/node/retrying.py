"""Asking again: which ends of a call allow another try, and when it comes.

What allows one is a loss or a lack of way, which time mends. An answer never does, be it an error, nor does a refusal,
nor a time that is over: whoever is asked twice may have done twice what was asked, so only idempotent calls may be.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

from fame_cli.errors import ConnectError, FameError, LinkLost, NoRoute
from fame_cli.net.backoff import delays

__all__ = ["MENDS", "Again", "Retry", "until_reached"]

T = TypeVar("T")

Retry = Literal["never", "idempotent"]
"""What a client does when a call is lost: tell its caller, or ask again because calls may run twice."""

MENDS = (LinkLost, NoRoute)
"""Ends that time mends: ``LINK_LOST``, ``NO_ROUTE`` and those that mean the same (`errors.error_for_nack`)."""

LONGEST_S = 1.0
"""Seconds between two tries at most: a fabric finds another way, or a node is back, in about that."""


class Again:
    """Hold the time one call has for all its tries.

    Args:
        timeout_s: seconds, > 0.
    """

    def __init__(self, timeout_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._until = self._loop.time() + timeout_s
        self._waits = delays(random.random, longest_s=LONGEST_S)

    @property
    def left_s(self) -> float:
        """Return the seconds that are left, 0 or less when none are."""
        return self._until - self._loop.time()

    async def pause(self, error: FameError, link: asyncio.Event | None = None) -> None:
        """Wait until it is time for the next try.

        Args:
            error: how the last one ended.
            link: set while the client is attached; it is waited for.

        Raises:
            FameError: `error`, when there is no time for another try.
        """
        wait_s = next(self._waits)
        if wait_s >= self.left_s:
            raise error
        await asyncio.sleep(wait_s)
        if link is None or link.is_set():
            return
        try:
            async with asyncio.timeout(self.left_s):
                await link.wait()
        except TimeoutError:
            raise error from None


async def until_reached(reach: Callable[[], Awaitable[T]], timeout_s: float) -> T:
    """Call again and again until something is reached.

    Raises:
        ConnectError: it isn't within so many seconds.
    """
    again = Again(timeout_s)
    while True:
        try:
            return await reach()
        except ConnectError as error:
            await again.pause(error)
