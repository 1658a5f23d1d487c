"""What a running node answers about its messages: what it keeps, what is in one, and that it tries or drops it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from node_rig import MATH, bounded, until

from fame_cli.core.custody import Delivery, Mailbox
from fame_cli.core.link import LinkKind
from fame_cli.core.message import DEAD, IN, OUT, Message
from fame_cli.errors import RemoteError
from fame_cli.node.agent import Agent
from fame_cli.node.client import Client
from fame_cli.node.deadletters import DeadLetters
from fame_cli.node.dialing import keep_attached
from fame_cli.node.host import AgentHost
from fame_cli.node.options import Options
from fame_cli.node.postmaster import Postmaster
from fame_cli.node.runner import Node
from fame_cli.node.sentinel import Sentinel

AWAY = "away@fame.fabric"
AT_AGENT = "/s1/a1"


class Moody(Agent):
    """Take messages, once it is mended."""

    def __init__(self) -> None:
        super().__init__()
        self.is_mended = False
        self.taken: list[Any] = []

    async def on_message(self, payload: Any) -> None:
        if not self.is_mended:
            raise ValueError("not today")
        self.taken.append(payload)


@asynccontextmanager
async def keeper(**delivery: Any) -> AsyncIterator[tuple[Sentinel, Client]]:
    """Run a sentinel that keeps messages for `AWAY`, and a client of it."""
    boxes, told = [Mailbox(AWAY)], Delivery(**delivery)
    async with (
        Sentinel(id="s1", listen="127.0.0.1:0", mailboxes=boxes, delivery=told) as sentinel,
        Client(sentinel.url) as client,
    ):
        yield sentinel, client


@asynccontextmanager
async def moody(
    agent: Moody, url: str, storage: Path | None = None, *, at: str = MATH, max_messages: int = 100
) -> AsyncIterator[Node]:
    """Serve an agent whose messages are dead after one failure."""
    delivery = Delivery(max_attempts=1, max_messages=max_messages)
    async with Node("a1", options=Options(delivery=delivery, storage=storage)) as node:
        node.serve("__sys__", AgentHost(node, Postmaster(node)))
        node.serve(at, AgentHost(node, agent))
        await node.mail.recover()
        node.spawn(keep_attached(node, url, LinkKind.PARENT))
        assert (await node.bound(at)).code == ""
        yield node


async def post(client: Client, address: str, *payloads: Any) -> list[str]:
    names = [await client.send(address, payload, durable=True) for payload in payloads]
    for name in names:
        await client.delivered(name)
    return names


async def listed(client: Client, at: str | None = None, **which: Any) -> list[tuple[str, str]]:
    return [(row["id"], row["box"]) for row in await client.ask("mail.ls", at=at, arguments=which)]


async def dead(client: Client, node: Node, *payloads: Any) -> list[str]:
    """Have messages fail at an agent, and return their ids."""
    names = await post(client, MATH, *payloads)
    await until(lambda: not node.core.messages())
    return names


def test_a_sentinel_tells_what_is_in_its_mailboxes_without_payloads() -> None:
    async def main() -> None:
        async with keeper() as (sentinel, client):
            [name] = await post(client, AWAY, {"secret": 1})
            await until(lambda: bool(sentinel.node.core.state.outbox.lane_of))
            [row] = await client.ask("mail.ls")
            assert (row["id"], row["box"], row["mailbox"], row["address"]) == (name, OUT, True, AWAY)
            assert row["sender"].startswith("/s1/client")
            assert row["bytes"] == len('{"secret":1}')
            assert 0 <= row["age_s"] < 20
            assert "secret" not in str(row)
            shown = await client.ask("mail.show", arguments={"id": name, "box": OUT})
            assert shown == {**row, "age_s": shown["age_s"], "attempts": shown["attempts"], "payload": {"secret": 1}}

    bounded(main())


def test_messages_are_listed_by_box_address_and_id_in_pages() -> None:
    async def main() -> None:
        async with keeper() as (sentinel, client):
            names = await post(client, AWAY, *["x" * 30_000] * 3)
            await until(lambda: len(sentinel.node.core.state.outbox.lane_of) == 3)
            everything = [(name, OUT) for name in names]
            assert await listed(client) == everything
            assert await listed(client, box="mailbox", address="away@*") == everything
            assert await listed(client, box=OUT) == []
            assert await listed(client, address="a@b") == []
            assert await listed(client, id=names[1][:-1]) == [(names[1], OUT)]
            assert await listed(client, offset=1) == everything[1:]
            assert await listed(client, offset=3) == []

    bounded(main())


def test_a_message_that_is_dropped_is_gone() -> None:
    async def main() -> None:
        async with keeper() as (sentinel, client):
            first, second = await post(client, AWAY, 1, 2)
            await until(lambda: len(sentinel.node.core.state.outbox.lane_of) == 2)
            told = await client.ask("mail.drop", arguments={"ids": [first, "nobody"], "box": OUT})
            assert told == {"ids": [first], "reason": ""}
            assert [name for name, _ in await listed(client)] == [second]
            assert await client.ask("mail.drop", arguments={"ids": [second], "box": "task"}) == {
                "ids": [],
                "reason": "",
            }

    bounded(main())


def test_a_dead_letter_of_an_agent_is_handled_once_it_is_retried() -> None:
    async def main() -> None:
        agent = Moody()
        async with keeper() as (sentinel, client), moody(agent, sentinel.url) as node:
            [name] = await dead(client, node, "hello")
            [row] = await client.ask("mail.ls", at=AT_AGENT)
            assert (row["id"], row["box"], row["origin"], row["bytes"]) == (name, DEAD, IN, len('"hello"'))
            assert "not today" in row["reason"]
            shown = await client.ask("mail.show", at=AT_AGENT, arguments={"id": name, "box": DEAD})
            assert (shown["payload"], shown["bytes"]) == ("hello", row["bytes"])
            agent.is_mended = True
            told = await client.ask("mail.retry", at=AT_AGENT, arguments={"ids": [name, "nobody"]})
            assert told == {"ids": [name], "reason": ""}
            await until(lambda: agent.taken == ["hello"])
            assert await listed(client, AT_AGENT) == []

    bounded(main())


def test_a_dead_letter_that_fails_again_at_once_has_been_retried() -> None:
    async def main() -> None:
        agent = Moody()
        async with keeper() as (sentinel, client), moody(agent, sentinel.url) as node:
            [name] = await dead(client, node, "hello")
            told = await client.ask("mail.retry", at=AT_AGENT, arguments={"ids": [name]})
            assert told == {"ids": [name], "reason": ""}

    bounded(main())


def test_a_dead_letter_of_a_mailbox_goes_out_once_it_is_retried() -> None:
    async def main() -> None:
        agent = Moody()
        agent.is_mended = True
        async with keeper(max_attempts=1) as (sentinel, client):
            [name] = await post(client, AWAY, 1)
            async with moody(agent, sentinel.url, at=AWAY, max_messages=0):
                await until(lambda: any(each.box == DEAD for each, _ in sentinel.node.mail.letters()))
            assert await listed(client, box=DEAD) == [(name, DEAD)]
            async with moody(agent, sentinel.url, at=AWAY):
                assert (await client.ask("mail.retry", arguments={"ids": [name]}))["ids"] == [name]
                await until(lambda: agent.taken == [1])
                await until(lambda: not list(sentinel.node.mail.letters()))

    bounded(main())


def test_dead_letters_outlive_their_process(tmp_path: Path) -> None:
    async def main() -> None:
        agent, path = Moody(), tmp_path / "a1.db"
        async with keeper() as (sentinel, client):
            async with moody(agent, sentinel.url, path) as node:
                first, second = await dead(client, node, 1, 2)
            agent.is_mended = True
            async with moody(agent, sentinel.url, path):
                assert await listed(client, AT_AGENT) == [(first, DEAD), (second, DEAD)]
                await client.ask("mail.drop", at=AT_AGENT, arguments={"ids": [first], "box": DEAD})
                await client.ask("mail.retry", at=AT_AGENT, arguments={"ids": [first, second]})
                await until(lambda: agent.taken == [2])
            async with moody(agent, sentinel.url, path):
                assert await listed(client, AT_AGENT) == []

    bounded(main())


def test_two_who_retry_at_once_retry_it_once() -> None:
    async def main() -> None:
        agent = Moody()
        async with keeper() as (sentinel, client), moody(agent, sentinel.url) as node:
            [name] = await dead(client, node, 1)
            agent.is_mended = True
            asked = [client.ask("mail.retry", at=AT_AGENT, arguments={"ids": [name]}) for _ in range(2)]
            told = [answer["ids"] for answer in await asyncio.gather(*asked)]
            assert sorted(told) == [[], [name]]
            await until(lambda: agent.taken == [1])

    bounded(main())


def test_a_message_nobody_has_can_not_be_shown() -> None:
    async def main() -> None:
        async with keeper() as (_, client):
            for box in (OUT, IN, DEAD, "x"):
                with pytest.raises(RemoteError, match="no message 'nobody' in"):
                    await client.ask("mail.show", arguments={"id": "nobody", "box": box})

    bounded(main())


def test_there_are_as_many_dead_letters_as_may_be_and_the_oldest_go() -> None:
    def letter(number: int, size: int = 1) -> Message:
        return Message(id=f"m{number}", box=DEAD, address=MATH, payload=b"x" * size)

    letters = DeadLetters(3, 10)
    assert [letters.add(letter(number)) for number in range(3)] == [[], [], []]
    assert [each.id for each in letters.add(letter(3))] == ["m0"]
    assert [each.id for each in letters.add(letter(4, 9))] == ["m1", "m2"]
    assert [each.id for each in letters.add(letter(5, 100))] == ["m3", "m4"]
    assert [(each.id, each.payload, size) for each, size in letters] == [("m5", b"", 100)]
    assert letters.add(letter(5, 1)) == []
    assert letters.take("m5") is not None
    assert letters.take("m5") is None
    assert len(letters) == 0


def test_a_node_forgets_the_oldest_dead_letters_in_its_store_too(tmp_path: Path) -> None:
    async def main() -> None:
        agent = Moody()
        async with keeper() as (sentinel, client):
            path = tmp_path / "a1.db"
            async with moody(agent, sentinel.url, path) as node:
                node.mail._letters = DeadLetters(1, 100)
                _, last = await dead(client, node, 1, 2)
            async with moody(agent, sentinel.url, path):
                assert await listed(client, AT_AGENT) == [(last, DEAD)]

    bounded(main())
