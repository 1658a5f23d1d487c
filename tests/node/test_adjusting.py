"""A running sentinel or agent is told anew: other peers, other bounds; and what a SIGHUP does."""

import asyncio
import io
import os
import signal
import sys
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from host_rig import Work
from node_rig import MATH, bounded, fabric, pair, serving, turns, until

from fame_cli.core.limits import Limits
from fame_cli.errors import ConnectError, NoRoute
from fame_cli.node.adjusting import Adjust, Adjustable
from fame_cli.node.client import Client
from fame_cli.node.host import AgentHost
from fame_cli.node.loop import until_signalled
from fame_cli.node.sentinel import Sentinel
from fame_cli.node.serving import serve_agent

LOOPBACK = "127.0.0.1:0"


def hang_up() -> None:
    os.kill(os.getpid(), signal.SIGHUP)


def peers(sentinel: Sentinel) -> set[str]:
    return set(sentinel.node.core.table.peers)


# Peers


def test_a_peer_is_added_and_taken_away_and_other_links_stay() -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            second, third = [
                await stack.enter_async_context(Sentinel(id=name, listen=LOOPBACK)) for name in ("s2", "s3")
            ]
            first = await stack.enter_async_context(Sentinel(id="s1", listen=LOOPBACK, peers=[second.peer_url]))
            await first.ready()
            kept = first.node.core.table.peers["s2"]
            first.adjust(Adjustable(peers={second.peer_url: 1, third.peer_url: 1}))
            await until(lambda: peers(first) == {"s2", "s3"})
            first.adjust(Adjustable(peers={second.peer_url: 1}))
            await until(lambda: peers(first) == {"s2"})
            assert first.node.core.table.peers["s2"] is kept
            assert second.node.core.table.peers.keys() == {"s1"}

    bounded(main())


def test_a_call_over_a_link_that_is_not_wanted_any_more_is_answered() -> None:
    async def main() -> None:
        agent = Work()
        async with AsyncExitStack() as stack:
            second = await stack.enter_async_context(Sentinel(id="s2", listen=LOOPBACK))
            first = await stack.enter_async_context(Sentinel(id="s1", listen=LOOPBACK, peers=[second.peer_url]))
            await stack.enter_async_context(serving(agent, second.url))
            client = await stack.enter_async_context(Client(first.url))
            await first.ready()
            await until(lambda: first.node.core.table.way_to(MATH) is not None)
            running = asyncio.ensure_future(client.call(MATH, "hold", "a"))
            await until(lambda: agent.started == ["a"])
            first.adjust(Adjustable(peers={}))
            with pytest.raises(NoRoute):
                await client.call(MATH, "add", 3, 4)
            agent.go.set()
            assert await running == "a"

    bounded(main())


def test_a_call_that_takes_longer_than_it_may_does_not_keep_the_link() -> None:
    async def main() -> None:
        agent = Work()
        async with AsyncExitStack() as stack:
            second = await stack.enter_async_context(Sentinel(id="s2", listen=LOOPBACK))
            first = await stack.enter_async_context(Sentinel(id="s1", listen=LOOPBACK, peers=[second.peer_url]))
            await stack.enter_async_context(serving(agent, second.url))
            client = await stack.enter_async_context(Client(first.url))
            await until(lambda: first.node.core.table.way_to(MATH) is not None)
            running = asyncio.ensure_future(client.call(MATH, "hold", "a"))
            await until(lambda: agent.started == ["a"])
            first.adjust(Adjustable(peers={}, drain_s=0.05))
            await until(lambda: first.node.link_count() == 1)
            await asyncio.wait([running])
            assert "went away" in str(running.exception())

    bounded(main())


def test_a_peer_that_is_not_there_is_tried_no_more_once_it_is_taken_away() -> None:
    async def main() -> None:
        async with Sentinel(listen=LOOPBACK) as gone:
            pass
        async with Sentinel(id="s1", listen=LOOPBACK, peers=[gone.peer_url]) as first:
            await until(lambda: gone.peer_url in first.node.dialing)
            first.adjust(Adjustable(peers={}))
            await turns()
            assert not first.node.dialing

    bounded(main())


def test_a_cost_changes_on_the_link_there_is_and_on_the_next_one() -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            async with Sentinel(id="s2", listen=LOOPBACK) as second:
                dials = [(second.peer_url, 5)]
                first = await stack.enter_async_context(Sentinel(id="s1", listen=LOOPBACK, peers=dials))
                await first.ready()
                link = first.node.core.table.peers["s2"]
                first.adjust(Adjustable(peers={second.peer_url: 2}))
                await until(lambda: second.node.core.table.peers["s1"].cost == 2)
                assert (first.node.core.table.peers["s2"], link.cost) == (link, 2)
            async with Sentinel(id="s2", listen=second.address) as again:
                await until(lambda: "s1" in again.node.core.table.peers)
                assert again.node.core.table.peers["s1"].cost == 2

    bounded(main())


# Bounds


def test_fewer_links_are_taken_from_now_on() -> None:
    async def main() -> None:
        async with Sentinel(id="s1", listen=LOOPBACK) as sentinel, Client(sentinel.url):
            sentinel.adjust(Adjustable(max_links=1, limits=Limits(routes=3)))
            with pytest.raises(ConnectError, match="1 links are open; no room for more"):
                async with Client(sentinel.url):
                    pass
            assert sentinel.node.link_count() == 1
            assert sentinel.node.core.settings.limits.routes == 3

    bounded(main())


def test_what_is_told_before_the_start_counts_from_the_start() -> None:
    async def main() -> None:
        sentinel = Sentinel(id="s1", listen=LOOPBACK)
        sentinel.adjust(Adjustable(max_hops=3))
        async with sentinel:
            assert sentinel.node.core.settings.max_hops == 3

    bounded(main())


def test_more_calls_run_at_once_from_now_on() -> None:
    async def main() -> None:
        agent = Work()
        async with pair(agent) as nodes:
            host = AgentHost(nodes.serving, agent, 1)
            nodes.serving.unserve(MATH)
            nodes.serving.serve(MATH, host)
            calls = [nodes.ask("hold", str(number)) for number in range(3)]
            await until(lambda: agent.started == ["0"])
            host.resize(2)
            await until(lambda: agent.started == ["0", "1"])
            agent.go.set()
            assert [await call.result() for call in calls] == ["0", "1", "2"]

    bounded(main())


# The signal


def test_a_sentinel_that_is_hung_up_on_reloads_and_goes_on() -> None:
    async def main() -> None:
        asked: list[Adjust] = []

        def reload(adjust: Adjust) -> None:
            asked.append(adjust)
            adjust(replace(Adjustable(), max_hops=len(asked)))

        sentinel = Sentinel(id="s1", listen=LOOPBACK)
        task = asyncio.ensure_future(sentinel.serve(reload))
        await until(lambda: sentinel.address != LOOPBACK)
        for hops in (1, 2):
            await turns()
            hang_up()
            await until(lambda hops=hops: sentinel.node.core.settings.max_hops == hops)
        os.kill(os.getpid(), signal.SIGTERM)
        await task

    bounded(main())
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


@pytest.mark.parametrize(("is_ignored", "ends"), [(False, True), (True, False)])
def test_a_terminal_that_closes_ends_what_runs_in_it_unless_nohup_is_between(
    is_ignored: bool, ends: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        is_there = True

        def isatty(self) -> bool:
            return self.is_there

    terminal, reloads = Terminal(), 0

    def reload() -> None:
        nonlocal reloads
        reloads += 1

    async def main() -> None:
        wait = asyncio.ensure_future(until_signalled(reload=reload))
        await turns()
        hang_up()
        await until(lambda: reloads == 1)
        terminal.is_there = False
        hang_up()
        await until(lambda: wait.done() if ends else reloads == 2)
        wait.cancel()
        await asyncio.wait([wait])

    monkeypatch.setattr(sys, "stderr", terminal)
    usual = signal.signal(signal.SIGHUP, signal.SIG_IGN if is_ignored else signal.SIG_DFL)
    try:
        bounded(main())
    finally:
        signal.signal(signal.SIGHUP, usual)


def test_an_agent_takes_what_it_is_told() -> None:
    async def main() -> None:
        agent = Work()
        told: list[int] = []

        def reload(adjust: Adjust) -> None:
            adjust(Adjustable(max_hops=4, max_concurrent=1, drain_s=0))
            told.append(1)

        async with fabric() as sentinel, Client(sentinel.url) as client:
            task = asyncio.ensure_future(serve_agent(agent, MATH, sentinel.url, reload=reload))
            await until(lambda: sentinel.node.core.table.way_to(MATH) is not None)
            hang_up()
            await until(lambda: bool(told))
            calls = [asyncio.ensure_future(client.call(MATH, "hold", name)) for name in "ab"]
            await until(lambda: len(agent.started) == 1)
            await turns()
            assert agent.started == ["a"]
            os.kill(os.getpid(), signal.SIGTERM)
            await task
            await asyncio.wait(calls)

    bounded(main())
