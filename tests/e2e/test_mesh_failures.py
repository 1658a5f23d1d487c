"""The mesh when parts of it go: whatever is under way ends at once and with a reason, and what comes next finds a way.

Everything here is a real process, and going means SIGKILL unless a test says otherwise.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from mesh_nodes import MATH, Mesh, run, until, until_the_way_is

from fame_cli import Client, FameError
from fame_cli.errors import LinkLost, NoRoute, StreamEnded

pytestmark = pytest.mark.e2e

AT_ONCE_S = 2.0
"""Seconds within which a call has to end, and a new way to serve, whatever happened."""

EVERY_S = 0.02
COMMAND_S = 3.0
"""The same for a command, which has to start and to attach first."""


@dataclass
class Call:
    """Hold how one call went: when it began, by the clock of this process, how long it took, and its error."""

    began_s: float
    took_s: float = 0.0
    error: Exception | None = None


@dataclass
class Caller:
    """Call one address fifty times a second, each call in a task of its own, and write down how each went.

    The operation takes its time, so that some calls are always under way.
    """

    client: Client
    address: str
    calls: list[Call] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def go_on(self) -> None:
        """Call until `over` is set, and return when the last call has ended."""
        async with asyncio.TaskGroup() as group:
            while not self.over.is_set():
                group.create_task(self._call())
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.over.wait(), EVERY_S)

    async def _call(self) -> None:
        call = Call(time.monotonic())
        self.calls.append(call)
        try:
            await self.client.call(self.address, "linger", s=0.1)
        except FameError as error:
            call.error = error
        call.took_s = time.monotonic() - call.began_s

    def begun_since(self, moment_s: float) -> list[Call]:
        """Return the calls that began at that moment or later."""
        return [call for call in self.calls if call.began_s >= moment_s]


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[Mesh]:
    """Give a ring s1 - s2 - s3 - s4 - s1, dear between s4 and s1, with an agent at s3: from s1 the way is by s2."""
    with closing(Mesh(tmp_path)) as made:
        made.sentinel("s1", ["s2"])
        made.sentinel("s2", ["s3"])
        made.sentinel("s3", ["s4"])
        made.sentinel("s4", ["s1"], costs={"s1": 3})
        made.agent("far", "s3")
        made.wait_ready()
        yield made


@pytest.fixture(scope="module")
def sentinels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Give a line of four sentinels."""
    with closing(Mesh(tmp_path_factory.mktemp("line"))) as made:
        made.line(4)
        made.wait_ready()
        yield made


@pytest.fixture
def line(sentinels: Mesh) -> Iterator[Mesh]:
    """Give a line of four sentinels, s1 - s2 - s3 - s4, without agents; those of the test end with it."""
    yield sentinels
    sentinels.stop_agents()


async def read_on(client: Client, address: str) -> tuple[Exception | None, float]:
    """Read an endless stream, and say what it ended with and when."""
    error: Exception | None = None
    try:
        async for _ in client.stream(address, "tick"):
            pass
    except FameError as caught:
        error = caught
    return error, time.monotonic()


def test_a_sentinel_on_the_way_is_killed_under_load_and_comes_back(ring: Mesh) -> None:
    async def body() -> None:
        async with ring.client("s1") as client:
            short, long = ["s1", "s2", "s3", "far"], ["s1", "s4", "s3", "far"]
            await until_the_way_is(ring, short)
            caller = Caller(client, "far@fame.fabric")
            calling = asyncio.ensure_future(caller.go_on())
            reading = asyncio.ensure_future(read_on(client, "far@fame.fabric"))
            await until(lambda: len(caller.calls) > 30, "calls are under way")
            ring.processes["s2"].kill()
            killed_s = time.monotonic()

            ended, ended_s = await reading
            assert isinstance(ended, StreamEnded | LinkLost)
            assert ended_s - killed_s < AT_ONCE_S
            await until_the_way_is(ring, long)
            await until(lambda: time.monotonic() > killed_s + AT_ONCE_S, "two seconds are over")

            ring.restart("s2")
            await until_the_way_is(ring, short)
            caller.over.set()
            await calling

        assert max(call.took_s for call in caller.calls) < AT_ONCE_S
        assert not [call for call in caller.begun_since(killed_s + AT_ONCE_S) if call.error]
        lost = [call.error for call in caller.calls if call.error]
        assert {type(error) for error in lost} <= {LinkLost, NoRoute}
        assert 0 < len(lost) < 30  # those that were on their way through s2, and hardly any other

    run(body())


# Providers


def test_the_last_provider_of_a_capability_leaves_and_the_next_call_exits_5_at_once(line: Mesh) -> None:
    line.agent("only", "s4", capabilities=[MATH])
    line.wait_ready("only")
    line.wait_served("s1", "only@fame.fabric")
    done = line.fame("s1", "call", "--capability", MATH, "add", "x=1", "y=2")
    assert (done.stdout, done.returncode) == ("3\n", 0), done.stderr
    done = line.fame("s1", "stream", "fib_stream", "n=6")
    assert (done.stdout.split(), done.returncode) == (["0", "1", "1", "2", "3", "5"], 0), done.stderr

    line.stop("only")
    for words in (["call", "--capability", MATH, "add", "x=1", "y=2"], ["stream", "fib_stream"]):
        began_s = time.monotonic()
        done = line.fame("s1", *words)
        assert (done.stdout, done.returncode) == ("", NoRoute.exit_code), done.stderr
        assert time.monotonic() - began_s < COMMAND_S


def test_a_provider_leaves_and_the_next_call_of_the_capability_is_answered_by_another(line: Mesh) -> None:
    for name, place in (("near", "s3"), ("far", "s4")):
        line.agent(name, place, capabilities=[MATH])
    line.wait_ready("near", "far")
    line.wait_served("s1", "near@fame.fabric", "far@fame.fabric")
    asked = ["call", "--capability", MATH, "who"]
    assert line.fame("s1", *asked).stdout == "near\n"
    line.stop("near")
    done = line.fame("s1", *asked)
    assert (done.stdout, done.returncode) == ("far\n", 0), done.stderr


def test_a_provider_three_hops_away_is_killed_and_its_stream_exits_8_at_once(line: Mesh) -> None:
    provider = line.agent("ticker", "s4")
    line.wait_ready("ticker")
    line.wait_served("s1", "ticker@fame.fabric")
    with line.begin("s1", "stream", "ticker@fame.fabric", "tick") as stream:
        assert stream.stdout is not None
        assert [stream.stdout.readline() for _ in range(3)] == ["0\n", "1\n", "2\n"]
        provider.kill()
        killed_s = time.monotonic()
        _, said = stream.communicate(timeout=20)
        assert stream.returncode == StreamEnded.exit_code, said
        assert time.monotonic() - killed_s < AT_ONCE_S
    assert len(said.strip().splitlines()) == 1
