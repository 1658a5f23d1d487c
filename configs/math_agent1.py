"""The agent of math1.yaml: two plain operations."""

from fame_cli import Agent, operation


class MathAgent(Agent):
    """Add and multiply numbers."""

    @operation
    def add(self, x: int, y: int) -> int:
        """Return the sum of x and y."""
        return x + y

    @operation
    def multiply(self, x: int, y: int) -> int:
        """Return the product of x and y."""
        return x * y
