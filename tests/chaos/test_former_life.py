"""An agent that was killed behind a link that is half open: its next life gets its address at once."""

import asyncio
import signal
from pathlib import Path
from random import Random

import pytest
import waiting
from chaos_nodes import ChaosProcess
from faulty_wire import FaultyWire

from fame_cli import Client, Sentinel
from fame_cli.errors import FameError

pytestmark = pytest.mark.e2e

ADDRESS = "a1@fame.fabric"


def test_an_agent_that_begins_again_behind_a_half_open_link_gets_its_address(tmp_path: Path) -> None:
    async def main() -> None:
        async with Sentinel(id="s1", listen="127.0.0.1:0") as s1:
            wire = FaultyWire("a1>s1", int(s1.address.rpartition(":")[2]), Random(0))
            await wire.start()
            agent = ChaosProcess.node("a1", config(wire.port, tmp_path), tmp_path)
            await agent.start()
            try:
                async with Client(s1.url, timeout_s=2) as client:
                    await answers(client)
                    wire.deafen("both")
                    agent.kill()
                    await waiting.eventually(lambda: ended(agent), within_s=5)
                    await agent.start()
                    await answers(client)
                    assert not agent.has_ended_by_itself()
            finally:
                agent.signal(signal.SIGKILL)
                await agent.stop(5)
                await wire.close()

    asyncio.run(main())


def config(port: int, folder: Path) -> dict[str, object]:
    upstream = {"direct_url": f"ws://127.0.0.1:{port}/fame/v1/attach/ws/downstream"}
    block = {"import": "chaos_agent:Counting", "address": ADDRESS, "init": {"handled": str(folder / "handled")}}
    return {"kind": "agent", "id": "a1", "upstream": upstream, "agent": block}


async def ended(agent: ChaosProcess) -> bool | None:
    return None if agent.runs else True


async def answers(client: Client) -> None:
    """Wait until the agent answers: sooner than a silent link is given up."""

    async def look() -> int | None:
        try:
            return int(await client.call(ADDRESS, "add", x=1, y=1))
        except FameError:
            return None

    assert await waiting.eventually(look, within_s=9) == 2
