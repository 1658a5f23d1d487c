"""The agent of the `fame` chain; `fame agent` loads it."""

from collections.abc import AsyncIterator

from fame_cli import Agent, operation


class BenchAgent(Agent):
    """Add, and stream small and large items."""

    @operation
    def add(self, x: int, y: int) -> int:
        """Return the sum."""
        return x + y

    @operation
    async def small(self, count: int) -> AsyncIterator[int]:
        """Yield 0, 1, 2, …"""
        for number in range(count):
            yield number

    @operation
    async def large(self, count: int, item_bytes: int) -> AsyncIterator[str]:
        """Yield texts of that many bytes."""
        text = "x" * item_bytes
        for _ in range(count):
            yield text
