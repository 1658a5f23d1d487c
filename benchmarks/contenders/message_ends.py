"""The ends of ``bench_messages.py``: an agent that counts what it is given, and a client that sends, with a file each.

    python -m contenders.message_ends URL STORE SECONDS    # sends for so long, and says what came of it
    python -m contenders.message_ends URL STORE 0          # only gives away what is in its file, until it is ended

Both count the transactions of their store, because as many messages in one are what plain `sqlite3` is given, too.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from bench_store import IN_FLIGHT, PAYLOAD, Counted

from fame_cli import Agent, Client, operation
from fame_cli.node.loop import run
from fame_cli.store import database

__all__ = ["ADDRESS", "FIRST", "GIVEN", "RESULT", "MessageAgent"]

ADDRESS = "bench@fame.fabric"
FIRST, GIVEN, RESULT = "first message at ", "attached at ", "result "
WARM_S = 0.5

stores: list[Counted] = []


class Watched(Counted):
    """Be known to this module."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        stores.append(self)


def watch() -> None:
    """Have the store of this process be one that counts; it is a process of the benchmark and nothing else."""
    vars(database)["Database"] = Watched


class MessageAgent(Agent):
    """Count messages."""

    def __init__(self) -> None:
        watch()
        self.count = 0

    async def on_message(self, payload: Any) -> None:
        """Take one."""
        if not self.count:
            print(f"{FIRST}{time.monotonic()}", flush=True)
        self.count += 1

    @operation
    def counted(self) -> dict[str, int]:
        """Return how many there were, and the transactions of the store."""
        return {"handled": self.count, "transactions": stores[0].transactions}


async def load(client: Client, seconds: float) -> dict[str, float]:
    """Have 64 on their way at any time; one has arrived when its agent answers for it."""
    payload = json.loads(PAYLOAD)
    delivered = 0
    until = time.perf_counter() + seconds

    async def keep_sending() -> None:
        nonlocal delivered
        while time.perf_counter() < until:
            await client.delivered(await client.send(ADDRESS, payload, durable=True))
            delivered += 1

    began, before = time.perf_counter(), stores[0].transactions
    async with asyncio.TaskGroup() as senders:
        for _ in range(IN_FLIGHT):
            senders.create_task(keep_sending())
    spent = time.perf_counter() - began
    return {"messages_s": delivered / spent, "sent": delivered, "transactions": stores[0].transactions - before}


async def counted(client: Client) -> dict[str, int]:
    """Ask the agent."""
    told: dict[str, int] = await client.call(ADDRESS, "counted")
    return told


async def measure(client: Client, seconds: float) -> dict[str, float]:
    """Warm up, send, wait until all is handled, and return what came of it."""
    warm = await load(client, WARM_S)
    before = await counted(client)
    sent = await load(client, seconds)
    expected = warm["sent"] + sent["sent"]
    async with asyncio.timeout(10):
        while (after := await counted(client))["handled"] < expected:  # noqa: ASYNC110  # another process
            await asyncio.sleep(0.01)
    if after["handled"] > expected:
        raise RuntimeError(f"{after['handled']} handlings of {expected} messages")
    at_agent = max(1, after["transactions"] - before["transactions"])
    return {
        "messages_s": sent["messages_s"],
        "client_batch": sent["sent"] / max(1, sent["transactions"]),
        "agent_batch": sent["sent"] / at_agent,
    }


async def main(url: str, store: str, seconds: float) -> None:
    """Attach, and send or give away."""
    async with Client(url, node_id="bench-client", storage=Path(store)) as client:
        print(f"{GIVEN}{time.monotonic()}", flush=True)
        if seconds:
            print(f"{RESULT}{json.dumps(await measure(client, seconds))}", flush=True)
        else:
            await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    watch()
    run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
