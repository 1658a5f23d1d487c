"""The client of ``bench_faults.py`` on the original's side: `python -m contenders.fault_client_naylence URL`.

Runs where `naylence-agent-sdk` is installed. It speaks what ``fault_client.py`` speaks, and begins each line's calls
whether or not those before have ended.
"""

import asyncio
import json
import os
import sys
import time
from typing import Any

os.environ["FAME_DIRECT_ADMISSION_URL"] = sys.argv[1]

from naylence.agent import Agent
from naylence.fame.core import FameFabric
from naylence.fame.util.logging import enable_logging


async def report(step: dict[str, Any]) -> None:
    """Make one call and print how it ended."""
    outcome: dict[str, Any] = {"ok": True, "name": step["name"]}
    started = time.monotonic()
    try:
        outcome["result"] = await getattr(Agent.remote_by_address(step["to"]), step["method"])(**step["params"])
    except Exception as error:  # the boundary: whatever the kit raises is the outcome
        outcome |= {"ok": False, "error": str(error), "kind": type(error).__name__}
    outcome["seconds"] = round(time.monotonic() - started, 4)
    print(json.dumps(outcome, default=str), flush=True)


async def main() -> None:
    """Do what stdin says."""
    enable_logging(log_level="error")
    kinds = {"security": "SecurityProfile", "admission": "AdmissionProfile"}
    config: dict[str, object] = {name: {"type": kind, "profile": "open"} for name, kind in kinds.items()}
    config["delivery"] = {"type": "DeliveryProfile", "profile": "at-most-once"}
    running: set[asyncio.Task[None]] = set()
    async with FameFabric.create(root_config={"node": config}):
        print("READY", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            for step in json.loads(line):
                task = asyncio.ensure_future(report(step))
                running.add(task)
                task.add_done_callback(running.discard)


if __name__ == "__main__":
    asyncio.run(main())
