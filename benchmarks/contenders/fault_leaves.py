"""Many links of ours in one process, for ``bench_faults.py``: `python -m contenders.fault_leaves URL COUNT`.

Says READY when all are attached; then a line of JSON, the moments at which each was attached again, by the monotonic
clock in seconds, once all of them have been away and are back.
"""

import asyncio
import json
import os
import resource
import sys
import time

import uvloop

from fame_cli.core.link import LinkKind
from fame_cli.node.dialing import keep_attached
from fame_cli.node.runner import Node


async def main(url: str, count: int) -> None:
    """Hold the links until all have been lost once."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    leaves = [Node(f"leaf{number}") for number in range(count)]
    for leaf in leaves:
        await leaf.__aenter__()
        leaf.spawn(keep_attached(leaf, url, LinkKind.PARENT))
    await asyncio.gather(*(leaf.attached.wait() for leaf in leaves))
    print("READY", flush=True)

    async def back(leaf: Node) -> float:
        while leaf.attached.is_set():
            await leaf.links_changed()
        await leaf.attached.wait()
        return time.monotonic()

    print(json.dumps({"back": await asyncio.gather(*(back(leaf) for leaf in leaves))}), flush=True)
    os._exit(0)  # a thousand goodbyes are of no interest here


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
