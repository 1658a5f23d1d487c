"""The ends of ``bench_load.py``: an agent that holds calls, and very many clients in one process.

python -m contenders.load_ends URL CLIENTS EACH HELD_S SECONDS
"""

import asyncio
import json
import sys
import time
from array import array
from collections import Counter

from fame_cli import Agent, Client, operation
from fame_cli.errors import FameError
from fame_cli.node.loop import open_files, run

__all__ = ["ADDRESS", "HELD", "RESULT", "HoldingAgent"]

ADDRESS = "holding@fame.fabric"
HELD, RESULT = "all calls are in flight", "result "
AT_ONCE = 50
"""Clients that attach at a time."""


class HoldingAgent(Agent):
    """Hold calls."""

    @operation
    async def hold(self, seconds: float) -> float:
        """Answer after that long."""
        await asyncio.sleep(seconds)
        return seconds


class Load:
    """Count what becomes of calls.

    Attributes:
        over: seconds each call took longer than it was held.
        failed: what failed, by the error's name.
    """

    def __init__(self, held_s: float) -> None:
        self.held_s = held_s
        self.over = array("d")
        self.failed: Counter[str] = Counter()
        self.until = float("inf")

    async def keep(self, client: Client) -> None:
        """Keep one call in flight until it is time."""
        while (begun := time.monotonic()) < self.until:
            try:
                await client.call(ADDRESS, "hold", seconds=self.held_s)
            except FameError as error:
                self.failed[type(error).__name__] += 1
                await asyncio.sleep(self.held_s)
            else:
                self.over.append(time.monotonic() - begun - self.held_s)


async def clients(url: str, count: int, each: int, held_s: float, seconds: float) -> None:
    """Hold the load, and say what came of it."""
    load, slots = Load(held_s), asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> Client:
        async with slots:
            client = Client(url)
            await client.__aenter__()
            return client

    found = await asyncio.gather(*(one(number) for number in range(count)))
    calls: list[asyncio.Task[None]] = []
    for client in found:
        calls += [asyncio.create_task(load.keep(client)) for _ in range(each)]
        await asyncio.sleep(held_s / count)  # so that they aren't in step
    print(HELD, flush=True)
    begun, done = time.monotonic(), len(load.over)
    load.until = begun + seconds
    await asyncio.gather(*calls)
    waits = sorted(load.over)
    at = {"p50": 0.5, "p99": 0.99, "p999": 0.999, "max": 1.0}
    over = {name: round(1000 * waits[min(int(part * len(waits)), len(waits) - 1)], 1) for name, part in at.items()}
    rate = round((len(waits) - done) / (time.monotonic() - begun), 1)
    told = {"calls": len(waits), "calls_s": rate, "over_ms": over, "failed": dict(load.failed)}
    print(f"{RESULT}{json.dumps(told)}", flush=True)
    for client in found:
        await client.__aexit__(None, None, None)


if __name__ == "__main__":
    url, count, each, held_s, seconds = sys.argv[1:]
    open_files(2 * int(count))
    run(clients(url, int(count), int(each), float(held_s), float(seconds)))
