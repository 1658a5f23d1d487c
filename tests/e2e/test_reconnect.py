"""Many links at once: all of them come back after their sentinel was killed, spread, and none of them gives up."""

import asyncio
import sys
import time
from contextlib import AsyncExitStack, closing
from pathlib import Path

import pytest
from mesh_nodes import Mesh, run, until

from fame_cli.core.link import LinkKind
from fame_cli.node.dialing import keep_attached
from fame_cli.node.runner import Node

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")]

LEAVES = 300
BACK_S = 10.0
"""Seconds within which all links have to be back: the longest pause is five, and the sentinel has to start."""


def test_all_links_are_back_soon_after_a_restart_and_not_all_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            url = mesh.url("s1")
            leaves = [await stack.enter_async_context(Node(f"c{number}")) for number in range(LEAVES)]
            for leaf in leaves:
                leaf.spawn(keep_attached(leaf, url, LinkKind.PARENT))
            await asyncio.gather(*(leaf.attached.wait() for leaf in leaves))
            mesh.processes["s1"].kill()
            begun = time.monotonic()
            await until(lambda: time.monotonic() > begun + 2.0, "the sentinel is away")
            assert not any(leaf.attached.is_set() for leaf in leaves)
            mesh.restart("s1")
            begun = time.monotonic()
            back: list[float] = []

            async def note(leaf: Node) -> None:
                await leaf.attached.wait()
                back.append(time.monotonic() - begun)

            await asyncio.gather(*(note(leaf) for leaf in leaves))
            assert max(back) < BACK_S
            assert max(back) - min(back) > 0.3

    with closing(Mesh(tmp_path)) as mesh:
        mesh.sentinel("s1")
        mesh.wait_ready()
        run(main())
