"""What every agent of a chaos run serves: a sum, a stream, and handlers that write down what they were given."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from ledger import write_handled

from fame_cli import Agent, operation

FAILS = 0.02
"""Messages of which the handler says that it can't take them now; it is tried five times before one is given up."""

SLOW, SLOW_S = 0.2, 0.2
"""Messages whose handler takes its time, before it writes the id down and after; seconds it takes."""


class Counting(Agent):
    """Answer at once or late, stream, and count durable messages.

    Args:
        handled: file that gets the id of each message.
    """

    def __init__(self, handled: str) -> None:
        self.handled = Path(handled)

    @operation
    async def add(self, x: int, y: int, pause_s: float = 0.0) -> int:
        """Return the sum, after a pause."""
        if pause_s:
            await asyncio.sleep(pause_s)
        return x + y

    @operation
    async def count(self, count: int, pause_s: float = 0.0) -> AsyncIterator[int]:
        """Yield 0 .. count - 1."""
        for number in range(count):
            yield number
            if pause_s:
                await asyncio.sleep(pause_s)

    @operation
    async def take(self, id: str) -> None:
        """Take a durable message: it is handled from when its id is written down, whatever comes then."""
        chance = random.random()
        if chance < FAILS:
            raise RuntimeError("not now")
        if chance < FAILS + SLOW:
            await asyncio.sleep(SLOW_S)
        write_handled(self.handled, id)
        if chance < FAILS + SLOW:
            await asyncio.sleep(SLOW_S)

    async def on_message(self, payload: Any) -> None:
        """Take a durable message."""
        await self.take(payload["id"])
