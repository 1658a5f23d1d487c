"""One caller of a chaos run, a process of its own: it calls, streams and sends, and writes down what comes of it.

    python chaos_caller.py '{"name": "c1", "url": "ws://…", "addresses": ["a1@fame.fabric"], "notes": "c1.notes", …}'

It goes on until SIGTERM, waits then for what is under way, and never ends because of an error of the fabric; once there
is a file ``quiet`` in its folder it sends no more. What isn't an error of the fabric is written down as a bug, which
fails the run.
"""

import asyncio
import itertools
import json
import os
import random
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from durable_sends import make_client, send
from ledger import QUIET, Notebook

from fame_cli import Client
from fame_cli.errors import FameError, LocalProtocolError

DEADLINES_S = (2.0, 5.0, 10.0)
PAUSES_S = {"call": 0.15, "stream": 1.0, "send": 0.4}
"""Seconds between two of a kind, on average."""

LOOK_S = 0.1
STILL_S = 0.2
"""Seconds by which a look is late that show that the process hasn't run."""

PROGRESS_S = 0.5
ATTACH_S = 5.0
AGAIN_S = 0.2
MOST_UNDER_WAY = 200


Make = Callable[[Client, str, float, str], Awaitable[dict[str, object] | None]]


class Caller:
    """Make calls of each kind side by side.

    Args:
        told: what the command line says, see the module.
    """

    def __init__(self, told: dict[str, Any]) -> None:
        self.told = told
        self.addresses: list[str] = told["addresses"]
        self.life = f"{told['name']}.{os.getpid()}"
        self.notebook = Notebook(Path(told["notes"]))
        self.random = random.Random(f"{told['name']} {told['seed']}")
        self.enough = asyncio.Event()
        self.quiet = Path(told["folder"]) / QUIET
        self.under_way: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count(1)

    async def run(self) -> None:
        """Attach, however long that takes, and call until told to stop."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.enough.set)
        watch = asyncio.create_task(self._watch())
        client = await self._attached()
        if client is not None:
            makers: dict[str, Make] = {"call": self._call, "stream": self._stream, "send": self._send}
            await asyncio.gather(*(self._keep_on(client, kind, make) for kind, make in makers.items()))
            if self.under_way:
                await asyncio.wait(self.under_way, timeout=max(DEADLINES_S) + 5.0)
            for task in self.under_way:
                task.cancel()
            await client.__aexit__(None, None, None)
        watch.cancel()

    async def _attached(self) -> Client | None:
        while not self.enough.is_set():
            client = make_client(self.told, ATTACH_S)
            try:
                return await client.__aenter__()
            except FameError:
                await asyncio.sleep(AGAIN_S)
        return None

    async def _watch(self) -> None:
        """Write down when this process hasn't run: stopped, or without a CPU."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(LOOK_S)
            still = time.monotonic() - before - LOOK_S
            if still > STILL_S:
                self.notebook.write(time.monotonic(), "still", life=self.life, s=round(still, 3))

    async def _keep_on(self, client: Client, kind: str, make: Make) -> None:
        while not self.enough.is_set():
            await asyncio.sleep(self.random.expovariate(1 / PAUSES_S[kind]))
            if len(self.under_way) < MOST_UNDER_WAY and not (kind == "send" and self.quiet.exists()):
                task = asyncio.ensure_future(self._make(client, kind, make))
                self.under_way.add(task)
                task.add_done_callback(self.under_way.discard)

    async def _make(self, client: Client, kind: str, make: Make) -> None:
        call_id, to = f"{self.life}.{next(self._numbers)}", self.random.choice(self.addresses)
        client_deadline = self.random.choice(DEADLINES_S)
        self.notebook.write(
            time.monotonic(),
            "begin",
            id=call_id,
            kind=kind,
            to=to,
            who=self.told["name"],
            life=self.life,
            deadline=client_deadline,
        )
        facts: dict[str, object] = {"code": "ok"}
        try:
            facts |= await make(client, call_id, client_deadline, to) or {}
        except Wrong as wrong:
            facts = {"code": "wrong", "gap": str(wrong)}
        except FameError as error:
            plain = error.wire_code != "INTERNAL" and not isinstance(error, LocalProtocolError)
            facts = {"code": error.wire_code if plain else f"bug: {error}"[:200]}
        except asyncio.CancelledError:
            self.notebook.write(time.monotonic(), "end", id=call_id, code="CANCELLED")  # this run is over
            raise
        except Exception as error:  # whatever else comes out of a client is a bug, and the run shall say so
            facts = {"code": f"bug: {error!r}"[:200]}
        self.notebook.write(time.monotonic(), "end", id=call_id, **facts)

    async def _call(self, client: Client, call_id: str, deadline_s: float, to: str) -> None:
        x = self.random.randrange(1000)
        pause_s = self.random.choice([0.0, 0.0, 0.0, 0.5])
        got = await client.request(to, "add", {"kwargs": {"x": x, "y": 1, "pause_s": pause_s}}, timeout_s=deadline_s)
        if got != x + 1:
            raise Wrong(f"{x} + 1 is {got}")

    async def _stream(self, client: Client, call_id: str, deadline_s: float, to: str) -> dict[str, object]:
        count = self.random.choice([10, 100, 1000])
        params = {"kwargs": {"count": count, "pause_s": self.random.choice([0.0, 0.02])}}
        expected, told_at = 0, time.monotonic()
        async for item in client.open_stream(to, "count", params, timeout_s=deadline_s):
            if item != expected:
                raise Wrong(f"item {item} instead of {expected}")
            expected += 1
            if time.monotonic() - told_at > PROGRESS_S:
                told_at = time.monotonic()
                self.notebook.write(told_at, "progress", id=call_id)
        if expected != count:
            raise Wrong(f"an end after {expected} of {count} items")
        return {"last": time.monotonic()}

    async def _send(self, client: Client, call_id: str, deadline_s: float, to: str) -> None:
        await send(client, to, call_id)


class Wrong(Exception):
    """An answer, an item or the end of a stream isn't what it has to be."""


if __name__ == "__main__":
    asyncio.run(Caller(json.loads(sys.argv[1])).run())
