"""What every agent of a chaos run serves: a sum, a stream, and a handler that writes down what it was given."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from ledger import write_handled

from fame_cli import Agent, operation


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
        """Take a durable message."""
        write_handled(self.handled, id)
