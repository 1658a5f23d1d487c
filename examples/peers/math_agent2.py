"""The agent behind the second sentinel: a stream beside a plain call. An async generator is a streaming operation."""

from collections.abc import AsyncIterator

from common import MATH_AGENT2_ADDR, SENTINEL2, attach_url

from fame_cli import Agent, operation


class MathAgent(Agent):
    """Add, and count like Fibonacci."""

    @operation
    async def add(self, x: int, y: int) -> int:
        """Return the sum of two numbers."""
        return x + y

    @operation
    async def fib_stream(self, n: int = 10) -> AsyncIterator[int]:
        """Yield the first `n` Fibonacci numbers."""
        a, b = 0, 1
        for _ in range(n):
            yield a
            a, b = b, a + b


if __name__ == "__main__":
    MathAgent().run(MATH_AGENT2_ADDR, url=attach_url(SENTINEL2), node_id="math-agent2")
