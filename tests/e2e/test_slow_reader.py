"""A neighbour that doesn't read: what waits for it stays within the bound of the config, and others notice nothing."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from mesh_nodes import Mesh, MeshProcess, reached, run
from waiting import eventually
from websockets.asyncio.client import ClientConnection, connect

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(sys.platform != "linux", reason="reads memory where Linux tells it"),
]

MIB = 1024 * 1024
BOUND_BYTES = 32 * MIB
PUSH_S = 3.0
CALLERS = 64
OTHER_BYTES = 24 * MIB
"""What else may grow: full socket buffers, the tables of calls and routes, what Python keeps for the next time."""

PAYLOAD = "x" * 65_536


@asynccontextmanager
async def neighbour(url: str, name: str) -> AsyncIterator[ClientConnection]:
    """Attach a neighbour that is nothing but JSON, and reads one message ahead at most."""
    async with connect(f"{url}/{name}", max_queue=1, compression=None, close_timeout=0.1) as link:
        frame = {"type": "NodeAttach", "originType": "downstream", "systemId": name, "instanceId": name}
        await say(link, frame, corrId="attach")
        assert json.loads(await link.recv())["frame"]["ok"]
        yield link


async def say(link: ClientConnection, frame: dict[str, object], **fields: str | int) -> None:
    """Send one envelope."""
    await link.send(json.dumps({"version": "1.0", "id": "e", "traceId": "t", "frame": frame} | fields).encode())


async def push(url: str, name: str, to: str, until: float, codes: set[str]) -> None:
    """Send requests as fast as they go, and gather the codes of what is refused."""

    async def hear(link: ClientConnection) -> None:
        async for message in link:
            codes.add(json.loads(message)["frame"].get("code", ""))

    async with neighbour(url, name) as link:
        hearing = asyncio.ensure_future(hear(link))
        payload = {"jsonrpc": "2.0", "id": "c", "method": "add", "params": {"text": PAYLOAD}}
        number = 0
        while time.monotonic() < until:
            number += 1
            ids: dict[str, str | int] = {"replyTo": f"__rpc__x@/s1/{name}", "corrId": f"{name}-{number}", "rtype": 2}
            await say(link, {"type": "Data", "payload": payload}, to=to, flowId=name, **ids)
            await asyncio.sleep(0)  # the socket takes a while to fill, and the others want to push, too
        hearing.cancel()


async def watch(process: MeshProcess, until: float) -> int:
    """Return the most memory a process has in use until then."""
    most = 0

    async def look() -> bool | None:
        nonlocal most
        most = max(most, process.resident_bytes())
        return True if time.monotonic() >= until else None

    await eventually(look, within_s=2 * PUSH_S)
    return most


def test_callers_that_push_at_a_neighbour_that_does_not_read_fill_no_more_than_the_bound(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path)
    sentinel = mesh.sentinel("s1", limits={"max_held_bytes": 4 * BOUND_BYTES})  # one link holds a quarter of it
    mesh.agent("lively", "s1")
    codes: set[str] = set()

    async def main() -> None:
        async with neighbour(mesh.url("s1"), "stuck") as stuck, mesh.client("s1") as client:
            await say(stuck, {"type": "AddressBind", "address": "stuck@fame.fabric"}, corrId="bind", rtype=1)
            await reached(client, "lively@fame.fabric")
            before = sentinel.resident_bytes()
            until = time.monotonic() + PUSH_S
            to = "stuck@fame.fabric"
            pushing = [push(mesh.url("s1"), f"c{number}", to, until, codes) for number in range(CALLERS)]
            most, *_ = await asyncio.gather(watch(sentinel, until), *pushing)
            assert "QUEUE_FULL" in codes
            assert most - before < BOUND_BYTES + OTHER_BYTES
            assert most - before > BOUND_BYTES // 2  # it was tried: the bound is what stopped it
            assert await client.call("lively@fame.fabric", "who") == "lively"

    try:
        mesh.wait_ready()
        run(main())
    finally:
        mesh.close()
