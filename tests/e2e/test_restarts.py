"""Nodes that are told to stop while they work: nothing that runs fails, and a rolling restart isn't noticed."""

import asyncio
import signal
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing
from pathlib import Path

import pytest
from mesh_nodes import Mesh, reached, run, until

from fame_cli import Client
from fame_cli.errors import LinkLost

pytestmark = pytest.mark.e2e

CALLS_AT_ONCE = 8


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Mesh]:
    with closing(Mesh(tmp_path)) as made:
        yield made


class Load:
    """Call two agents from one client, several at a time, until told to stop."""

    def __init__(self, client: Client) -> None:
        self.answered = 0
        self.slowest_s = 0.0
        self.failures: list[str] = []
        self._client = client
        self._is_over = False

    async def run(self) -> None:
        """Call until `stop`; every call is counted."""
        await asyncio.gather(*(self._call(number) for number in range(CALLS_AT_ONCE)))

    def stop(self) -> None:
        self._is_over = True

    async def _call(self, number: int) -> None:
        agent = f"a{1 + number % 2}"
        while not self._is_over:
            begun = time.monotonic()
            try:
                assert await self._client.call(f"{agent}@fame.fabric", "linger", s=0.005) == agent
            except Exception as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                return
            self.answered += 1
            self.slowest_s = max(self.slowest_s, time.monotonic() - begun)


def two_sentinels(mesh: Mesh, workers: int = 1) -> None:
    """Start the fabric of the example: two sentinels that are peers, each with an agent."""
    mesh.sentinel("s1", workers=workers)
    mesh.sentinel("s2", ["s1"])
    mesh.agent("a1", "s1")
    mesh.agent("a2", "s2")
    mesh.wait_ready()


def test_no_call_fails_while_both_sentinels_are_restarted_one_after_the_other(mesh: Mesh) -> None:
    two_sentinels(mesh)

    async def main() -> None:
        async with AsyncExitStack() as stack:
            clients = [Client(mesh.url(at), timeout_s=20, retry="idempotent") for at in ("s1", "s2")]
            loads = [Load(await stack.enter_async_context(client)) for client in clients]
            for client in clients:
                for agent in ("a1", "a2"):
                    await reached(client, f"{agent}@fame.fabric")
            running = asyncio.gather(*(load.run() for load in loads))
            for name in ("s1", "s2"):
                before = [load.answered for load in loads]
                assert await asyncio.to_thread(mesh.processes[name].stop) == 0
                mesh.restart(name)
                await until(lambda name=name: bool(mesh.processes[name].events("node_ready")), f"{name} is back")
                await until(
                    lambda before=before: all(
                        load.failures or load.answered > done + 100 for load, done in zip(loads, before, strict=True)
                    ),
                    "calls go on",
                )
            for load in loads:
                load.stop()
            await running
            assert [load.failures for load in loads] == [[], []]
            slowest_s = max(load.slowest_s for load in loads)
            print(f"{sum(load.answered for load in loads)} calls, none failed, the slowest took {slowest_s:.2f} s")

    run(main())


@pytest.mark.parametrize(("name", "workers"), [("a2", 1), ("s2", 1), ("s1", 1), ("s1", 3)])
def test_what_runs_ends_well_when_a_node_on_its_way_is_told_to_stop(mesh: Mesh, name: str, workers: int) -> None:
    two_sentinels(mesh, workers)

    async def main() -> None:
        async with mesh.client("s1") as client:
            await reached(client, "a2@fame.fabric")
            running = asyncio.ensure_future(client.call("a2@fame.fabric", "linger", s=1.0))
            stream = client.stream("a2@fame.fabric", "tick")
            items = [await anext(stream) for _ in range(3)]
            mesh.processes[name].signal(signal.SIGTERM)
            await until(lambda: bool(mesh.processes[name].events("node_draining")), f"{name} has heard of it")
            assert await running == "a2"
            items += [await anext(stream) for _ in range(100)]
            assert items == [*range(103)]
            await stream.aclose()
            assert await asyncio.to_thread(mesh.processes[name].end) == 0

    run(main())
    assert not mesh.processes[name].events("drain_ended")


@pytest.mark.parametrize(("name", "workers"), [("s2", 1), ("s1", 3)])
def test_a_second_signal_ends_a_sentinel_at_once_in_good_order(mesh: Mesh, name: str, workers: int) -> None:
    two_sentinels(mesh, workers)

    async def main() -> None:
        async with mesh.client("s1") as client:
            await reached(client, "a2@fame.fabric")
            running = asyncio.ensure_future(client.call("a2@fame.fabric", "linger", s=30))
            await client.call("a2@fame.fabric", "who")
            for _ in range(2):
                mesh.processes[name].signal(signal.SIGTERM)
                await until(lambda: bool(mesh.processes[name].events("node_draining")), f"{name} has heard of it")
            begun = time.monotonic()
            assert await asyncio.to_thread(mesh.processes[name].end) == 0
            assert time.monotonic() - begun < 5
            with pytest.raises(LinkLost):
                await running

    run(main())
    assert mesh.processes[name].events("node_stopped")
