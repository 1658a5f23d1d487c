"""The client and the worker of the Naylence chain: `python -m contenders.naylence_ends {client|worker} URL`.

Runs where `naylence-agent-sdk` is installed, on the loop that its users have. Its sentinels are those of
tests/interop/naylence.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from load import WrongAnswer, run, serve

os.environ["FAME_DIRECT_ADMISSION_URL"] = sys.argv[2]

from naylence.agent import Agent, BaseAgent
from naylence.fame.core import FameFabric
from naylence.fame.service import operation
from naylence.fame.util.logging import enable_logging

ADDRESS = "bench@fame.fabric"


class BenchAgent(BaseAgent):
    """The same operations as the agent of the `fame` chain."""

    @operation
    async def add(self, x: int, y: int) -> int:
        """Return the sum."""
        return x + y

    @operation(name="small", streaming=True)
    async def small_items(self, count: int) -> AsyncIterator[int]:
        """Yield 0, 1, 2, …"""
        for number in range(count):
            yield number

    @operation(name="large", streaming=True)
    async def large_items(self, count: int, item_bytes: int) -> AsyncIterator[str]:
        """Yield texts of that many bytes."""
        for _ in range(count):
            yield "x" * item_bytes


class NaylenceEnds:
    """Call and stream through a remote handle."""

    def __init__(self) -> None:
        self.remote: Any = Agent.remote_by_address(ADDRESS)

    async def call(self) -> None:
        """Add 3 and 4."""
        if (found := await self.remote.add(x=3, y=4)) != 7:
            raise WrongAnswer(str(found))

    async def stream(self, count: int, item_bytes: int) -> None:
        """Read a stream to its end."""
        wanted = self.remote.large if item_bytes else self.remote.small
        arguments = {"count": count, "item_bytes": item_bytes} if item_bytes else {"count": count}
        number = 0
        async with aclosing(await wanted(_stream=True, **arguments)) as stream:
            async for item in stream:
                if (len(item) != item_bytes) if item_bytes else (item != number):
                    raise WrongAnswer(f"item {number}: {str(item)[:100]}")
                number += 1
        if number != count:
            raise WrongAnswer(f"{number} of {count} items")


def config(**more: object) -> dict[str, object]:
    """Build the configuration of a node, secured as the environment says."""
    security = {"type": "SecurityProfile", "profile": os.environ.get("FAME_SECURITY_PROFILE", "open")}
    admission = {"type": "AdmissionProfile", "profile": os.environ.get("FAME_ADMISSION_PROFILE", "open")}
    delivery = {"type": "DeliveryProfile", "profile": "at-most-once"}
    return {"node": {"security": security, "admission": admission, "delivery": delivery, **more}}


async def client() -> None:
    """Attach and do what stdin says."""
    async with FameFabric.create(root_config=config(id="bench-client")):
        await serve(NaylenceEnds())


async def worker() -> None:
    """Serve until killed."""
    node = config(type="Node", id="bench-worker", requested_logicals=["fame.fabric"])
    async with FameFabric.create(root_config=node) as fabric:
        await fabric.serve(BenchAgent(), ADDRESS)
        print("ready", flush=True)
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    enable_logging(log_level="error")
    run({"client": client, "worker": worker}[sys.argv[1]]())
