"""What sentinels answer, as types: held against a real sentinel's answers, so that the two can't drift apart."""

from typing import Any

import msgspec
import pytest
from host_rig import Work
from node_rig import MATH, bounded, fabric, until

from fame_cli.cli.answers import Described, Graph, Letter, Name, Neighbour, Route, read
from fame_cli.errors import RemoteProtocolError
from fame_cli.node.client import Client

ASKED: dict[str, Any] = {
    "agent.describe": Described,
    "fabric.graph": Graph,
    "fabric.links": list[Neighbour],
    "fabric.names": list[Name],
    "fabric.routes": list[Route],
    "mail.ls": list[Letter],
}


def test_a_real_sentinel_answers_in_these_shapes() -> None:
    async def main() -> dict[str, object]:
        async with fabric((MATH, Work())) as sentinel, Client(sentinel.url) as client:
            await until(lambda: len(sentinel.node.core.table.providers(["op:add"])) == 1)
            sentinel.node.perform(sentinel.node.core.send("away@fame.fabric", b"1", 0.0)[1])
            await until(lambda: bool(sentinel.node.core.messages()))
            return {method: await client.ask(method) for method in ASKED}

    for method, answer in bounded(main()).items():
        assert answer
        told = msgspec.to_builtins(read(answer, ASKED[method], method))
        if isinstance(told, dict):  # an agent without tasks says nothing of tasks
            told = {name: value for name, value in told.items() if value or name in answer}
        assert told == answer


def test_members_of_a_version_to_come_are_passed_over() -> None:
    assert read({"address": "a@x", "colour": "red"}, Name, "it") == Name("a@x")


def test_another_shape_is_told_with_who_said_it() -> None:
    with pytest.raises(RemoteProtocolError, match=r"^s1 answered with something else: .*missing.*address"):
        read({}, Name, "s1 answered")
