"""Told to stop: what runs is finished, nothing new begins, and a second signal doesn't wait."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from host_rig import Work
from node_rig import MATH, bounded, fabric, serving, until

from fame_cli.errors import ConnectError, LinkLost, NoRoute
from fame_cli.node.client import Client
from fame_cli.node.loop import until_signalled
from fame_cli.node.sentinel import Sentinel
from fame_cli.node.serving import serve_agent


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="fame")


def logged(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, object]]:
    return [record.__dict__["facts"] for record in caplog.records if record.message == event]


def stop() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@asynccontextmanager
async def agent_program(agent: Work, url: str, drain_s: float = 10) -> AsyncIterator["asyncio.Task[None]"]:
    """Run an agent as `fame agent` does, and end it if the test hasn't."""
    task = asyncio.ensure_future(serve_agent(agent, MATH, url, node_id="a1", drain_s=drain_s))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


@asynccontextmanager
async def sentinel_program(caplog: pytest.LogCaptureFixture) -> AsyncIterator[tuple[Sentinel, "asyncio.Task[None]"]]:
    """Run a sentinel as `fame sentinel` does, and end it if the test hasn't."""
    sentinel = Sentinel(id="s1", listen="127.0.0.1:0")
    task = asyncio.ensure_future(sentinel.serve())
    await until(lambda: bool(logged(caplog, "node_ready")))
    try:
        yield sentinel, task
    finally:
        task.cancel()
        await asyncio.wait([task])


def test_an_agent_that_is_told_to_stop_finishes_what_runs_and_gets_nothing_new(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        agent = Work()
        async with fabric() as sentinel, Client(sentinel.url) as client, agent_program(agent, sentinel.url) as task:
            await until(lambda: bool(logged(caplog, "node_ready")[1:]))
            running = asyncio.ensure_future(client.call(MATH, "hold", "a"))
            await until(lambda: agent.started == ["a"])
            stop()
            await until(lambda: bool(logged(caplog, "node_draining")))
            await until(lambda: sentinel.node.core.table.way_to(MATH) is None)
            with pytest.raises(NoRoute):
                await client.call(MATH, "add", 3, 4)
            assert not task.done()
            agent.go.set()
            assert await running == "a"
            await task
        assert logged(caplog, "node_draining") == [{"node_id": "a1", "calls": 1, "limit_s": 10}]
        assert agent.ended == ["a"]

    bounded(main())


def test_what_takes_longer_than_it_may_is_ended(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        agent = Work()
        async with (
            fabric() as sentinel,
            Client(sentinel.url) as client,
            agent_program(agent, sentinel.url, 0.05) as task,
        ):
            await until(lambda: bool(logged(caplog, "node_ready")[1:]))
            running = asyncio.ensure_future(client.call(MATH, "hold", "a"))
            await until(lambda: agent.started == ["a"])
            stop()
            await task
            with pytest.raises(LinkLost):
                await running
        assert logged(caplog, "drain_ended") == [{"node_id": "a1", "calls": 1}]
        assert agent.ended == ["a cancelled", "a"]

    bounded(main())


def test_a_second_signal_does_not_wait(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        agent = Work()
        async with fabric() as sentinel, Client(sentinel.url) as client, agent_program(agent, sentinel.url) as task:
            await until(lambda: bool(logged(caplog, "node_ready")[1:]))
            running = asyncio.ensure_future(client.call(MATH, "hold", "a"))
            await until(lambda: agent.started == ["a"])
            stop()
            await until(lambda: bool(logged(caplog, "node_draining")))
            stop()
            await task
            with pytest.raises(LinkLost):
                await running
        assert logged(caplog, "drain_ended") == []
        assert len(logged(caplog, "node_stopped")) == 2

    bounded(main())


def test_a_sentinel_that_is_told_to_stop_takes_no_links_and_lets_calls_finish(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        agent = Work()
        async with (
            sentinel_program(caplog) as (sentinel, task),
            serving(agent, sentinel.url),
            Client(sentinel.url) as client,
        ):
            running = asyncio.ensure_future(client.call(MATH, "hold", "a"))
            await until(lambda: agent.started == ["a"])
            stop()
            await until(lambda: bool(logged(caplog, "node_draining")))
            with pytest.raises(ConnectError):
                async with Client(sentinel.url):
                    pass
            with pytest.raises(LinkLost, match="s1 is about to end; it may be back soon: try again"):
                await client.call(MATH, "add", 3, 4)
            agent.go.set()
            assert await running == "a"
            await task

    bounded(main())


def test_what_is_done_after_a_signal_is_done_whole() -> None:
    async def main() -> None:
        done: list[str] = []

        async def then() -> None:
            await asyncio.sleep(0)
            done.append("done")

        wait = asyncio.ensure_future(until_signalled(then=then))
        await asyncio.sleep(0)
        stop()
        await wait
        assert done == ["done"]

    bounded(main())


# Failing fast


def test_an_agent_that_fails_fast_does_not_wait_for_its_sentinel() -> None:
    async def main() -> None:
        async with Sentinel(listen="127.0.0.1:0") as gone:
            pass
        agent = Work()
        with pytest.raises(ConnectError) as caught:
            await serve_agent(agent, MATH, gone.url, fail_fast=True)
        assert caught.value.exit_code == 7

    bounded(main())


def test_a_sentinel_that_fails_fast_does_not_wait_for_a_peer_and_never_listens(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        async with Sentinel(listen="127.0.0.1:0") as gone:
            pass
        caplog.clear()
        with pytest.raises(ConnectError):
            async with Sentinel(id="s2", listen="127.0.0.1:0", peers=[gone.peer_url], fail_fast=True):
                pass
        assert logged(caplog, "node_started") == []

    bounded(main())


def test_who_fails_fast_and_is_attached_stays_when_the_neighbour_goes() -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            first = await stack.enter_async_context(Sentinel(id="s1", listen="127.0.0.1:0"))
            async with Sentinel(id="s2", listen="127.0.0.1:0", peers=[first.peer_url], fail_fast=True) as second:
                assert "s1" in second.node.core.table.peers
                await stack.aclose()
                await until(lambda: "s1" not in second.node.core.table.peers)
                await until(lambda: bool(second.node.dialing))

    bounded(main())
