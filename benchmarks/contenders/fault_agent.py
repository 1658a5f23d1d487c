"""The agent of ``bench_faults.py`` on our side: the operations it shares with tests/interop/naylence/agent.py."""

import asyncio

from fame_cli import Agent, operation


class FaultAgent(Agent):
    """Answer at once, or late."""

    @operation
    async def add(self, x: int, y: int) -> int:
        """Return the sum."""
        return x + y

    @operation
    async def sleep(self, seconds: float) -> float:
        """Return after that many seconds."""
        await asyncio.sleep(seconds)
        return seconds
