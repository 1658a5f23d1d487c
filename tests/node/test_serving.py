"""An agent as a program: it waits for its sentinel, says when it is ready, and ends in good order."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from host_rig import Work
from node_rig import MATH, bounded, fabric, until

from fame_cli.errors import AdmissionRefused, LocalProtocolError
from fame_cli.node.agent import Agent, operation
from fame_cli.node.client import Client
from fame_cli.node.loop import run, until_signalled
from fame_cli.node.operation import operation_from
from fame_cli.node.sentinel import Sentinel
from fame_cli.node.serving import offers_of, serve_agent

SIGNALS = [signal.SIGINT, signal.SIGTERM]


class Living(Work):
    """Note what happens in its life."""

    capabilities = ("fame.capability.living",)

    async def on_start(self) -> None:
        self.ended.append("on_start")

    async def on_stop(self) -> None:
        self.ended.append("on_stop")


class FailsToStart(Living):
    async def on_start(self) -> None:
        raise ConnectionError("no database")


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="fame")


def events(caplog: pytest.LogCaptureFixture, kind: str = "agent") -> list[str]:
    return [record.message for record in caplog.records if record.__dict__["facts"].get("kind") == kind]


@asynccontextmanager
async def program(agent: Agent, url: str, node_id: str = "a1") -> AsyncIterator["asyncio.Task[None]"]:
    """Run an agent as `serve_agent` does, and end it like a user does."""
    task = asyncio.ensure_future(
        serve_agent(agent, MATH, url, node_id=node_id, capabilities=["fame.capability.more"], drain_s=0)
    )
    try:
        yield task
    finally:
        if not task.done():
            os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait([task])


def test_an_agent_serves_until_it_is_told_to_stop(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        agent = Living()
        async with fabric() as sentinel, Client(sentinel.url) as client:
            async with program(agent, sentinel.url) as task:
                await until(lambda: "node_ready" in events(caplog))
                assert await client.call(MATH, "add", 3, 4) == 7
                table = sentinel.node.core.table
                await until(lambda: len(table.providers(["fame.capability.living", "fame.capability.more"])) == 1)
            assert task.exception() is None
            assert agent.ended == ["on_start", "on_stop"]
            assert events(caplog) == ["node_started", "node_ready", "node_stopped"]

    bounded(main())


def test_what_runs_has_ended_before_it_is_stopped(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        agent = Living()
        async with fabric() as sentinel, Client(sentinel.url) as client:
            async with program(agent, sentinel.url):
                await until(lambda: "node_ready" in events(caplog))
                call = asyncio.ensure_future(client.call(MATH, "hold", "a"))
                await until(lambda: agent.started == ["a"])
            assert agent.ended == ["on_start", "a cancelled", "a", "on_stop"]
            await asyncio.wait([call])
            assert "went away" in str(call.exception())

    bounded(main())


def test_an_agent_waits_for_its_sentinel(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with Sentinel(listen="127.0.0.1:0") as first:
            pass
        async with program(Living(), first.url):
            await until(lambda: "link_failed" in [record.message for record in caplog.records])
            assert events(caplog).count("node_ready") == 0
            async with Sentinel(listen=first.address) as sentinel, Client(sentinel.url) as client:
                await until(lambda: "node_ready" in events(caplog))
                assert await client.call(MATH, "add", 3, 4) == 7

    bounded(main())


def test_an_address_that_is_taken_ends_the_agent() -> None:
    async def main() -> None:
        agent = Living()
        async with fabric((MATH, Work())) as sentinel, program(agent, sentinel.url) as task:
            await asyncio.wait([task])
            told = str(task.exception())
            assert isinstance(task.exception(), AdmissionRefused)
            assert told.startswith(f"the sentinel refused {MATH}: {MATH} belongs to agent0 (ADDRESS_TAKEN); ")
            assert agent.ended == ["on_start", "on_stop"]

    bounded(main())


def test_an_agent_that_fails_to_start_never_attaches() -> None:
    async def main() -> None:
        agent = FailsToStart()
        async with fabric() as sentinel:
            with pytest.raises(ConnectionError, match="no database"):
                await serve_agent(agent, MATH, sentinel.url)
            assert sentinel.node.link_count() == 0
        assert agent.ended == []

    bounded(main())


def test_an_agent_with_two_operations_of_one_name_never_starts() -> None:
    agent = Living.from_operations([operation_from(lambda: 1, name="add")])
    with pytest.raises(LocalProtocolError, match="two operations are called add"):
        bounded(serve_agent(agent, MATH, "ws://127.0.0.1:1/fame/v1/attach/ws/downstream"))
    assert agent.ended == []


def test_an_agent_offers_its_capabilities_and_its_operations_once() -> None:
    class Twice(Agent):
        capabilities = ("a", "op:add")

        @operation
        def add(self) -> None: ...

    assert offers_of(Twice(), ["b", "a"]) == ["a", "op:add", "b"]


# The loop of a program


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_the_wait_and_the_next_has_its_usual_effect(number: signal.Signals) -> None:
    usual = signal.getsignal(number)

    async def main() -> str:
        wait = asyncio.ensure_future(until_signalled())
        await asyncio.sleep(0)
        os.kill(os.getpid(), number)
        await wait
        return "ended"

    assert run(main()) == "ended"
    assert signal.getsignal(number) is usual


@pytest.mark.parametrize("number", SIGNALS)
def test_a_sentinel_is_a_program_too(number: signal.Signals, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        task = asyncio.ensure_future(Sentinel(listen="127.0.0.1:0").serve())
        await until(lambda: "node_ready" in events(caplog, "sentinel"))
        os.kill(os.getpid(), number)
        await task
        assert events(caplog, "sentinel") == ["node_started", "node_ready", "node_stopped"]

    bounded(main())


def test_what_a_program_raises_comes_out() -> None:
    async def main() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(main())
