"""Asking again: what was lost is asked for once more, within the call's time; an answer never is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from host_rig import Failing, Work
from node_rig import MATH, bounded, fabric, serving, until

from fame_cli.errors import (
    ConnectError,
    DeadlineExceeded,
    FameError,
    LinkLost,
    NoRoute,
    RemoteError,
    StreamEnded,
    error_for_nack,
)
from fame_cli.node.agent import Agent, operation
from fame_cli.node.client import Client
from fame_cli.node.retrying import MENDS, Again
from fame_cli.node.sentinel import Sentinel

MENDED = ["LINK_LOST", "NO_ROUTE", "PEER_UNREACHABLE", "CHILD_UNREACHABLE", "ROUTE_CONNECTOR_CLOSED"]
FINAL = ["UNAUTHORIZED", "SIGNATURE_INVALID", "MESSAGE_TOO_LARGE", "MALFORMED", "CANCELLED", "RATE_LIMITED"]


class Leaving(Agent):
    """Be left by callers at a certain call, and count them."""

    def __init__(self) -> None:
        self.asked = 0
        self.go = asyncio.Event()

    @operation
    async def answer(self) -> int:
        self.asked += 1
        if self.asked == 1:
            await asyncio.Event().wait()
        return self.asked

    @operation
    async def items(self, first: int = 0) -> AsyncIterator[int]:
        self.asked += 1
        for number in range(first):
            yield number
        if self.asked == 1:
            await asyncio.Event().wait()
        yield 100


@pytest.mark.parametrize("code", [*MENDED, "NODE_DRAINING", "HOP_LIMIT", "ROUTE_LOOP"])
def test_a_loss_mends(code: str) -> None:
    assert isinstance(error_for_nack(code, ""), MENDS)


@pytest.mark.parametrize("code", FINAL)
def test_a_refusal_does_not(code: str) -> None:
    assert not isinstance(error_for_nack(code, ""), MENDS)


def test_a_call_whose_agent_went_away_is_made_again() -> None:
    async def main() -> None:
        agent = Leaving()
        async with fabric() as sentinel, Client(sentinel.url, retry="idempotent") as client:
            async with serving(agent, sentinel.url):
                call = asyncio.ensure_future(client.call(MATH, "answer"))
                await until(lambda: agent.asked == 1)
            async with serving(agent, sentinel.url):
                assert await call == 2

    bounded(main())


def test_unless_it_is_told_to_a_client_asks_once() -> None:
    async def main() -> None:
        agent = Leaving()
        async with fabric() as sentinel, Client(sentinel.url) as client:
            async with serving(agent, sentinel.url):
                call = asyncio.ensure_future(client.call(MATH, "answer"))
                await until(lambda: agent.asked == 1)
            async with serving(agent, sentinel.url):
                with pytest.raises(LinkLost):
                    await call
        assert agent.asked == 1

    bounded(main())


def test_a_client_without_its_sentinel_waits_for_it() -> None:
    async def main() -> None:
        agent = Leaving()
        async with AsyncExitStack() as stack:
            async with Sentinel(id="s1", listen="127.0.0.1:0") as first:
                client = await stack.enter_async_context(Client(first.url, retry="idempotent"))
                await stack.enter_async_context(serving(agent, first.url))
                call = asyncio.ensure_future(client.call(MATH, "answer"))
                await until(lambda: agent.asked == 1)
            async with Sentinel(id="s1", listen=first.address):
                assert await call == 2

    bounded(main())


def test_a_client_may_come_before_its_sentinel() -> None:
    async def main() -> None:
        async with Sentinel(id="s1", listen="127.0.0.1:0") as first:
            pass
        client = Client(first.url, retry="idempotent")
        entering = asyncio.ensure_future(client.__aenter__())
        async with Sentinel(id="s1", listen=first.address), serving(Work(), first.url):
            await entering
            assert await client.call(MATH, "add", 3, 4) == 7
            await client.__aexit__(None, None, None)

    bounded(main())


def test_a_sentinel_that_never_comes_is_told_of_when_the_time_is_over() -> None:
    async def main() -> None:
        async with Sentinel(id="s1", listen="127.0.0.1:0") as first:
            pass
        with pytest.raises(ConnectError):
            async with Client(first.url, retry="idempotent", timeout_s=0.3):
                pass

    bounded(main())


def test_the_last_end_is_told_when_there_is_no_time_for_another_try() -> None:
    async def main() -> None:
        async with fabric() as sentinel, Client(sentinel.url, retry="idempotent", timeout_s=0.3) as client:
            with pytest.raises(NoRoute, match="nobody serves"):
                await client.call(MATH, "add", 3, 4)
            with pytest.raises(NoRoute, match="nobody serves"):
                [item async for item in client.stream(MATH, "count")]

    bounded(main())


def test_a_client_whose_link_stays_down_tells_so_when_the_time_is_over() -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            async with Sentinel(id="s1", listen="127.0.0.1:0") as first:
                client = await stack.enter_async_context(Client(first.url, retry="idempotent", timeout_s=0.3))
            with pytest.raises(LinkLost):
                await client.call(MATH, "add", 3, 4)

    bounded(main())


def test_an_answer_is_an_answer_be_it_an_error() -> None:
    async def main() -> None:
        agent = Failing()
        async with fabric((MATH, agent)) as sentinel, Client(sentinel.url, retry="idempotent") as client:
            with pytest.raises(RemoteError):
                await client.call(MATH, "plain", "own")

    bounded(main())


def test_a_time_that_is_over_is_over() -> None:
    async def main() -> None:
        agent = Leaving()
        async with fabric((MATH, agent)) as sentinel, Client(sentinel.url, retry="idempotent", timeout_s=0.2) as client:
            with pytest.raises(DeadlineExceeded):
                await client.call(MATH, "answer")
        assert agent.asked == 1

    bounded(main())


@pytest.mark.parametrize(("first", "items"), [(0, [100]), (2, None)])
def test_a_stream_is_asked_for_again_before_its_first_item_only(first: int, items: list[int] | None) -> None:
    async def main() -> None:
        agent = Leaving()
        async with fabric() as sentinel, Client(sentinel.url, retry="idempotent") as client:
            async with serving(agent, sentinel.url):
                stream = client.stream(MATH, "items", first=first)
                read = [await anext(stream) for _ in range(first)]
                coming = asyncio.ensure_future(anext(stream))
                await until(lambda: agent.asked == 1)
            async with serving(agent, sentinel.url):
                if items is None:
                    with pytest.raises(StreamEnded, match=f"stopped after {len(read)} items"):
                        await coming
                else:
                    assert [await coming, *[item async for item in stream]] == items
        assert agent.asked == (1 if items is None else 2)

    bounded(main())


def test_pauses_end_with_the_time() -> None:
    async def main() -> None:
        again, tries = Again(0.5), 0

        async def keep_trying() -> None:
            nonlocal tries
            while True:
                await again.pause(FameError("lost"))
                tries += 1

        with pytest.raises(FameError, match="lost"):
            await keep_trying()
        assert 2 <= tries <= 6
        assert again.left_s > 0

    bounded(main())
