"""A client's messages over real sockets: acknowledged by their agent, kept in a mailbox, or in the client's file."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from host_rig import Work
from node_rig import MATH, bounded, fabric, serving, until

from fame_cli.core.custody import Mailbox
from fame_cli.errors import DeadlineExceeded, NoRoute
from fame_cli.node.agent import Agent
from fame_cli.node.client import Client
from fame_cli.node.sentinel import Sentinel

AWAY = "away@fame.fabric"
SHORT_S = 0.3
"""Seconds a client waits for what won't come."""


class Post(Agent):
    """Take messages; those that are false can't be handled."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[Any] = []

    async def on_message(self, payload: Any) -> None:
        self.taken.append(payload)
        if payload is False:
            raise ValueError("no")


@asynccontextmanager
async def keeping(*mailboxes: str, storage: Path | None = None) -> AsyncIterator[Sentinel]:
    """Run a sentinel that keeps messages for some addresses."""
    boxes = [Mailbox(address) for address in mailboxes]
    async with Sentinel(id="s1", listen="127.0.0.1:0", mailboxes=boxes, storage=storage) as sentinel:
        yield sentinel


def test_a_message_is_delivered_once_its_agent_has_it() -> None:
    async def main() -> None:
        post = Post()
        async with fabric((MATH, post)) as sentinel, Client(sentinel.url) as client:
            name = await client.send(MATH, {"a": 1}, durable=True)
            await client.delivered(name)
            await until(lambda: post.taken == [{"a": 1}])
            assert await client.calm() == 0

    bounded(main())


def test_a_message_is_delivered_once_a_mailbox_has_it() -> None:
    async def main() -> None:
        post = Post()
        async with keeping(AWAY) as sentinel:
            async with Client(sentinel.url) as client:
                await client.delivered(await client.send(AWAY, 1, durable=True))
            async with serving(post, sentinel.url, AWAY):
                await until(lambda: post.taken == [1])

    bounded(main())


def test_what_nobody_takes_in_time_says_why_the_last_try_failed() -> None:
    async def main() -> DeadlineExceeded:
        async with fabric((MATH, Work())) as sentinel, Client(sentinel.url, timeout_s=SHORT_S) as client:
            name = await client.send(AWAY, 1, durable=True)
            with pytest.raises(DeadlineExceeded) as caught:
                await client.delivered(name)
            return caught.value

    error = bounded(main())
    assert isinstance(error.last, NoRoute)
    assert str(error) == f"not delivered within {SHORT_S:g} s: {error.last.message}; raise --timeout"
    assert AWAY in error.last.message


def test_what_stays_in_a_file_goes_out_with_the_next_client(tmp_path: Path) -> None:
    async def main() -> None:
        path, post = tmp_path / "client.db", Post()
        async with fabric((MATH, Work())) as sentinel:
            async with Client(sentinel.url, storage=path) as client:
                assert client.storage == path
                await client.send(AWAY, "first", durable=True)
            async with serving(post, sentinel.url, AWAY), Client(sentinel.url, storage=path) as client:
                await client.delivered(await client.send(MATH, "other", durable=True))
                assert await client.calm() == 0
                await until(lambda: post.taken == ["first"])

    bounded(main())


def test_a_client_waits_no_longer_for_what_does_not_go(tmp_path: Path) -> None:
    async def main() -> None:
        async with fabric((MATH, Work())) as sentinel, Client(sentinel.url, storage=tmp_path / "c.db") as client:
            await client.send(AWAY, 1, durable=True)
            async with asyncio.timeout(5):
                assert await client.calm(0.05) == 1

    bounded(main())
