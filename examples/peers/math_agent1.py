"""The agent behind the first sentinel: plain calls, one answer each."""

from common import MATH_AGENT1_ADDR, SENTINEL1, attach_url

from fame_cli import Agent, operation


class MathAgent(Agent):
    """Add and multiply."""

    @operation
    async def add(self, x: int, y: int) -> int:
        """Return the sum of two numbers."""
        return x + y

    @operation
    async def multiply(self, x: int, y: int) -> int:
        """Return the product of two numbers."""
        return x * y


if __name__ == "__main__":
    MathAgent().run(MATH_AGENT1_ADDR, url=attach_url(SENTINEL1), node_id="math-agent1")
