"""The agent of math2.yaml: a plain operation beside a streaming one."""

from collections.abc import AsyncIterator

from fame_cli import Agent, operation


class MathAgent(Agent):
    """Add numbers, and stream the Fibonacci sequence."""

    @operation
    def add(self, x: int, y: int) -> int:
        """Return the sum of x and y."""
        return x + y

    @operation
    async def fib_stream(self, n: int = 10) -> AsyncIterator[int]:
        """Stream the first n Fibonacci numbers: 0, 1, 1, 2, …"""
        current, following = 0, 1
        for _ in range(n):
            yield current
            current, following = following, current + following
