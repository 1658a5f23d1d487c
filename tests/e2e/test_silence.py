"""Neighbours that fall silent without hanging up: stopped processes and wires that carry nothing any more.

All links here are given up after three seconds of silence, so that the tests are short.
"""

import asyncio
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from mesh_nodes import Mesh, Relay, reached, run, until
from waiting import eventually

from fame_cli import Client
from fame_cli.errors import LinkLost, NoRoute, Overloaded, StreamEnded

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(sys.platform == "win32", reason="has no SIGSTOP")]

SILENCE_S = 3.0
NOTICED_S = SILENCE_S + 1.0
"""Seconds within which silence is noticed: looks are a second apart."""

MIB = 1024 * 1024


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Mesh]:
    """Give two sentinels, s2 dialling s1, and an agent at s2."""
    with closing(Mesh(tmp_path, silence_s=SILENCE_S)) as made:
        made.sentinel("s1")
        made.sentinel("s2", ["s1"])
        made.agent("far", "s2")
        made.wait_ready()
        yield made


def client_of(mesh: Mesh, at: str) -> Client:
    """Return a client of a sentinel whose link is given up as soon as all others."""
    return Client(mesh.url(at), timeout_s=30, silence_s=SILENCE_S)


async def failed(client: Client, address: str) -> tuple[type[Exception] | None, float]:
    """Make a call that takes long, and return what it ended with and after how many seconds."""
    begun = time.monotonic()
    try:
        await client.call(address, "linger", s=25)
    except LinkLost as error:
        return type(error), time.monotonic() - begun
    return None, time.monotonic() - begun


async def passed(seconds: float) -> None:
    """Let so much time pass."""
    end = time.monotonic() + seconds
    await until(lambda: time.monotonic() > end, "time passes")


@pytest.mark.parametrize(("stopped", "who"), [("far", "the agent"), ("s2", "the sentinel that dialled")])
def test_a_call_to_a_stopped_neighbour_ends_when_its_silence_is_over(pair: Mesh, stopped: str, who: str) -> None:
    async def body() -> None:
        async with client_of(pair, "s1") as client:
            await reached(client, "far@fame.fabric")
            calling = asyncio.ensure_future(failed(client, "far@fame.fabric"))
            reading = asyncio.ensure_future(read_on(client))
            await passed(0.2)  # the call is under way
            pair.processes[stopped].signal(signal.SIGSTOP)
            begun = time.monotonic()
            kind, _ = await calling
            assert kind is LinkLost
            assert time.monotonic() - begun < NOTICED_S
            assert await reading < begun + NOTICED_S
            pair.processes[stopped].signal(signal.SIGCONT)
            await back(client, "far@fame.fabric")

    run(body())


async def back(client: Client, address: str) -> None:
    """Wait until an address is reached again, once all links are dialled anew."""

    async def answered() -> str | None:
        try:
            return str(await client.call(address, "who"))
        except (LinkLost, NoRoute):
            return None

    await eventually(answered, within_s=15)


async def read_on(client: Client) -> float:
    """Read an endless stream to its end, and say when that was."""
    with pytest.raises(StreamEnded):
        async for _ in client.stream("far@fame.fabric", "tick"):
            pass
    return time.monotonic()


def test_a_client_notices_that_its_sentinel_has_stopped(pair: Mesh) -> None:
    async def body() -> None:
        async with client_of(pair, "s1") as client:
            await reached(client, "far@fame.fabric")
            calling = asyncio.ensure_future(failed(client, "far@fame.fabric"))
            await passed(0.2)  # the call is under way
            pair.processes["s1"].signal(signal.SIGSTOP)
            begun = time.monotonic()
            kind, _ = await calling
            assert kind is LinkLost
            assert time.monotonic() - begun < NOTICED_S
            pair.processes["s1"].signal(signal.SIGCONT)
            await back(client, "far@fame.fabric")

    run(body())


def test_a_sentinel_that_was_stopped_for_less_than_that_gives_nobody_up(tmp_path: Path) -> None:
    with closing(Mesh(tmp_path)) as mesh:
        mesh.sentinel("s1")
        mesh.sentinel("s2", ["s1"])
        mesh.agent("far", "s2")
        mesh.agent("near", "s1")
        mesh.wait_ready()

        async def body() -> None:
            async with Client(mesh.url("s1"), timeout_s=30) as client:
                await reached(client, "far@fame.fabric")
                calling = asyncio.ensure_future(client.call("far@fame.fabric", "linger", s=6))
                await passed(0.2)  # the call is under way
                mesh.processes["s1"].signal(signal.SIGSTOP)
                await passed(5)
                mesh.processes["s1"].signal(signal.SIGCONT)
                assert await calling == "far"
                assert await client.call("near@fame.fabric", "who") == "near"

        run(body())
        ended = [line for process in mesh.processes.values() for line in process.events("link_silent")]
        assert ended == []


def test_a_wire_that_carries_nothing_any_more_is_given_up_at_both_ends_and_holds_little(tmp_path: Path) -> None:
    with closing(Mesh(tmp_path, silence_s=SILENCE_S)) as mesh:

        async def body() -> None:
            sentinel = mesh.sentinel("s1", limits={"max_held_bytes": 64 * MIB})
            mesh.wait_ready()
            async with Relay(mesh.port("s1")) as relay:
                relay.let_go()
                agent = mesh.agent("far", "s1", port=relay.port)
                await until(lambda: bool(agent.events("node_ready")), "the agent is ready")
                async with client_of(mesh, "s1") as client:
                    await reached(client, "far@fame.fabric")
                    before = sentinel.resident_bytes()
                    relay.hold()
                    begun = time.monotonic()
                    calls = [client.call("far@fame.fabric", "add", x="x" * 200_000, y=0) for _ in range(1000)]
                    ends = await asyncio.gather(*calls, return_exceptions=True)
                    assert time.monotonic() - begun < NOTICED_S + 1
                    assert {type(end) for end in ends} <= {LinkLost, Overloaded}
                    assert sentinel.resident_bytes() - before < 64 * MIB
                    await until(lambda: bool(agent.events("link_silent")), "the agent notices, too")
                    assert sentinel.events("link_silent")

        run(body())
