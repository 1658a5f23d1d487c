"""Messages between the two makes: their sends to our agents and mailboxes, our durable ones to their agents."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from interop_nodes import Fabric, FabricMaker, NodeProcess, Sentinel, result_of

from fame_cli import Client
from fame_cli.core.custody import Delivery

MANY = 200
SHAPES: list[Any] = [True, "grüße 🚀", 2**53, [1, [None]], {"a": {"b": [None, {}]}}]
RETRY_S = 1.0
"""Seconds after which a Naylence client sends again what nobody has acknowledged."""


class Ours:
    """Two of our sentinels, peered: at the first the clients, at the second agents of both makes."""

    def __init__(self, fabric: Fabric) -> None:
        self.near = fabric.our_sentinel("near").wait()
        self.far = fabric.our_sentinel("far", peers=[self.near]).wait()
        self.agent = fabric.our_agent("ours", self.far)
        self.sure = fabric.naylence_agent("sure", self.far, delivery="at-least-once")
        self.plain = fabric.naylence_agent("plain", self.far)
        self.client = fabric.naylence_client(self.near, delivery="at-least-once")
        self.careless = fabric.naylence_client(self.near)
        for process in (self.sure, self.plain, self.client.process, self.careless.process):
            process.wait_for_ready_line()
        for name in ("ours", "sure", "plain"):
            fabric.wait_for_address(f"{name}@fame.fabric", self.near)


@pytest.fixture(scope="module")
def ours(new_fabric: FabricMaker) -> Ours:
    return Ours(new_fabric())


def new_messages(process: NodeProcess, count: int, before: int = 0) -> list[Any]:
    """Wait until an agent has got so many messages more than `before`; return those."""
    process.wait_until(lambda: len(process.got()) >= before + count, f"{process.name} gets {count} messages")
    return process.got()[before:]


def send_durably(at: Sentinel, to: str, payloads: list[Any], *, delivery: Delivery | None = None) -> None:
    """Send with our client, and wait until somebody else answers for each."""

    async def main() -> None:
        async with Client(at.url, delivery=delivery) as client:
            ids = [await client.send(to, payload, durable=True) for payload in payloads]
            for each in ids:
                await client.delivered(each)

    asyncio.run(main())


# Theirs to ours


def test_our_agent_gets_what_a_naylence_client_sends_once_and_acknowledges_it_before_it_is_sent_again(
    ours: Ours,
) -> None:
    before = len(ours.agent.got())
    outcomes = ours.client.send("ours@fame.fabric", *SHAPES)
    assert [result_of(outcome)["ok"] for outcome in outcomes] == [True] * len(SHAPES)
    assert max(outcome["seconds"] for outcome in outcomes) < RETRY_S
    assert new_messages(ours.agent, len(SHAPES), before) == SHAPES


def test_our_agent_gets_many_messages_of_a_naylence_client_in_order(ours: Ours) -> None:
    before = len(ours.agent.got())
    steps = [{"do": "send", "to": "ours@fame.fabric", "payload": n} for n in range(MANY)]
    assert all(result_of(outcome)["ok"] for outcome in ours.client.do(*steps))
    assert new_messages(ours.agent, MANY, before) == list(range(MANY))


def test_our_agent_gets_what_a_naylence_client_sends_without_asking_for_an_acknowledgement(ours: Ours) -> None:
    before = len(ours.agent.got())
    [outcome] = ours.careless.send("ours@fame.fabric", "careless")
    assert result_of(outcome) is None
    assert new_messages(ours.agent, 1, before) == ["careless"]


def test_a_naylence_client_is_told_that_nobody_has_the_address_of_a_message(ours: Ours) -> None:
    [outcome] = ours.client.send("ghost@fame.fabric", 1)
    assert "nacked: nobody serves ghost@fame.fabric" in outcome["error"]
    assert outcome["seconds"] < RETRY_S


# Ours to theirs


@pytest.mark.parametrize("name", ["sure", "plain"])
def test_a_naylence_agent_of_either_profile_acknowledges_our_messages_and_gets_each_once_in_order(
    ours: Ours, name: str
) -> None:
    agent = {"sure": ours.sure, "plain": ours.plain}[name]
    payloads = [None, *SHAPES, *range(MANY)]
    send_durably(ours.near, f"{name}@fame.fabric", payloads)
    assert new_messages(agent, len(payloads)) == payloads


def test_a_naylence_agent_that_is_slower_than_we_wait_gets_few_messages_twice(new_fabric: FabricMaker) -> None:
    """It acknowledges each when it is done with the one before, and handles whatever is sent again."""
    fabric = new_fabric()
    sentinel = fabric.our_sentinel("near").wait()
    agent = fabric.naylence_agent("slow", sentinel, rest_s=0.4)
    agent.wait_for_ready_line()
    send_durably(sentinel, "slow@fame.fabric", list(range(20)), delivery=Delivery(ack_timeout_s=0.3))
    send_durably(sentinel, "slow@fame.fabric", ["end"])
    agent.wait_until(lambda: "end" in agent.got(), "the last message is there")
    once = list(dict.fromkeys(agent.got()))
    assert once == [*range(20), "end"]
    assert len(agent.got()) <= len(once) + 3, agent.got()


# A Naylence sentinel in the middle


class Mixed:
    """A sentinel of each make, peered; at ours an agent of ours, at theirs agents of both; a Naylence client there."""

    def __init__(self, fabric: Fabric, our: Sentinel, their: Sentinel) -> None:
        self.our, self.their = our, their
        self.here = fabric.our_agent("here", our)
        self.client = fabric.naylence_client(their, delivery="at-least-once")
        self.client.process.wait_for_ready_line()
        fabric.wait_for_address_from(self.client, "here@fame.fabric")  # so the link is there
        self.there = fabric.our_agent("there", their)
        self.sure = fabric.naylence_agent("sure", their, delivery="at-least-once")
        self.plain = fabric.naylence_agent("plain", their)
        for name in ("there", "sure", "plain"):
            fabric.wait_for_address(f"{name}@fame.fabric", our)


@pytest.fixture(scope="module")
def we_dial(new_fabric: FabricMaker) -> Mixed:
    fabric = new_fabric()
    their = fabric.naylence_sentinel("their").wait()
    return Mixed(fabric, fabric.our_sentinel("our", peers=[their]).wait(), their)


@pytest.fixture(scope="module")
def they_dial(new_fabric: FabricMaker) -> Mixed:
    fabric = new_fabric()
    our = fabric.our_sentinel("our").wait()
    return Mixed(fabric, our, fabric.naylence_sentinel("their", peer=our).wait())


@pytest.fixture(params=["we_dial", "they_dial"])
def mixed(request: pytest.FixtureRequest) -> Mixed:
    """Each way round of the link between ours and theirs."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Mixed)
    return found


@pytest.mark.parametrize("name", ["sure", "plain", "there"])
def test_our_messages_pass_their_sentinel_to_agents_of_both_makes_once_in_order(mixed: Mixed, name: str) -> None:
    agent = {"sure": mixed.sure, "plain": mixed.plain, "there": mixed.there}[name]
    send_durably(mixed.our, f"{name}@fame.fabric", list(range(MANY)))
    assert new_messages(agent, MANY) == list(range(MANY))


def test_messages_of_a_naylence_client_pass_their_sentinel_and_ours_and_are_acknowledged(mixed: Mixed) -> None:
    outcomes = mixed.client.send("here@fame.fabric", *SHAPES)
    assert [result_of(outcome)["ok"] for outcome in outcomes] == [True] * len(SHAPES)
    assert max(outcome["seconds"] for outcome in outcomes) < RETRY_S
    assert new_messages(mixed.here, len(SHAPES)) == SHAPES


def test_our_client_at_their_sentinel_sends_to_our_agent_at_ours(mixed: Mixed) -> None:
    before = len(mixed.here.got())
    send_durably(mixed.their, "here@fame.fabric", list(range(MANY)))
    assert new_messages(mixed.here, MANY, before) == list(range(MANY))


# Mailboxes of our sentinels


class Kept:
    """Two of our sentinels, peered; the far one keeps messages for an agent of each make, both away."""

    def __init__(self, fabric: Fabric, storage: Path) -> None:
        self.fabric = fabric
        boxes = [{"address": f"{name}@fame.fabric"} for name in ("ours", "theirs")]
        self.near = fabric.our_sentinel("near").wait()
        more = {"mailboxes": boxes, "storage": {"path": str(storage)}}
        self.far = fabric.our_sentinel("far", peers=[self.near], more=more).wait()
        fabric.our_agent("present", self.far)
        fabric.wait_for_address("present@fame.fabric", self.near)


@pytest.fixture(scope="module")
def kept(new_fabric: FabricMaker, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return Kept(new_fabric(), tmp_path_factory.mktemp("kept") / "far.db")


def test_a_mailbox_of_ours_keeps_what_a_naylence_client_sends_until_our_agent_is_there(kept: Kept) -> None:
    client = kept.fabric.naylence_client(kept.near, delivery="at-least-once")
    client.process.wait_for_ready_line()
    outcomes = client.send("ours@fame.fabric", *SHAPES)
    assert [result_of(outcome)["ok"] for outcome in outcomes] == [True] * len(SHAPES)
    assert new_messages(kept.fabric.our_agent("ours", kept.near), len(SHAPES)) == SHAPES


def test_a_mailbox_of_ours_keeps_what_our_client_sends_until_a_naylence_agent_is_there(kept: Kept) -> None:
    send_durably(kept.near, "theirs@fame.fabric", list(range(MANY)))
    agent = kept.fabric.naylence_agent("theirs", kept.near)
    assert new_messages(agent, MANY) == list(range(MANY))
