"""The client of ``bench_faults.py`` on our side: `python -m contenders.fault_client URL`.

A JSON list of calls a line on stdin, all of them begun at once, and one line on stdout as each of them ends.
"""

import asyncio
import json
import sys
import time
from typing import Any

import uvloop

from fame_cli import Client, FameError


async def report(client: Client, step: dict[str, Any]) -> None:
    """Make one call and print how it ended."""
    started = time.monotonic()
    outcome: dict[str, Any] = {"ok": True, "name": step["name"]}
    try:
        outcome["result"] = await client.call(step["to"], step["method"], **step["params"])
    except FameError as error:
        outcome |= {"ok": False, "error": str(error), "kind": type(error).__name__}
    outcome["seconds"] = round(time.monotonic() - started, 4)
    print(json.dumps(outcome), flush=True)


async def main() -> None:
    """Do what stdin says."""
    running: set[asyncio.Task[None]] = set()
    async with Client(sys.argv[1]) as client:
        print("READY", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            for step in json.loads(line):
                task = asyncio.ensure_future(report(client, step))
                running.add(task)
                task.add_done_callback(running.discard)


if __name__ == "__main__":
    uvloop.run(main())
