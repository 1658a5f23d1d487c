"""Tasks between the two makes: their clients with our agents, our command line and client with theirs."""

import asyncio
import json
from typing import Any

import pytest
from interop_nodes import FabricMaker, World, items_of, result_of

from fame_cli import Client
from fame_cli.errors import RemoteError

OURS = "ours@fame.fabric"
THEIRS = "theirs@fame.fabric"

OUR_AGENT = '''
import asyncio
from collections.abc import AsyncIterator
from typing import Any

from fame_cli import Agent, operation, task


class MathAgent(Agent):
    """Do what the payload says, as the Naylence agent of `naylence/task_agent.py` does."""

    @operation
    def add(self, x: int, y: int) -> int:
        return x + y

    @task
    async def work(self, text: str = "", do: str = "", n: int = 0, s: float = 0.0, **more: Any) -> AsyncIterator[Any]:
        if do == "fail":
            raise ValueError("on purpose")
        await asyncio.sleep(s)
        for number in range(n):
            yield {"told": number}
        yield f"got {text}" if text else {"do": do, **more}
'''


@pytest.fixture(scope="module")
def world(new_fabric: FabricMaker) -> World:
    """Our sentinel with a task agent of each make, and a Naylence client."""
    fabric = new_fabric()
    near = fabric.our_sentinel("near").wait()
    fabric.our_agent("ours", near, code=OUR_AGENT)
    theirs = fabric.naylence_agent("theirs", near, script="task_agent.py")
    client = fabric.naylence_client(near)
    for process in (theirs, client.process):
        process.wait_for_ready_line()
    fabric.wait_for_address(OURS, near)
    return World(fabric, near, near, client)


def ask(world: World, method: str, task_id: str, payload: object = None, to: str = OURS) -> dict[str, Any]:
    """Have the Naylence client do something about a task."""
    step = {"do": "task", "to": to, "method": method, "id": task_id, "payload": payload}
    return world.client.do(step)[0]


def told(event: dict[str, Any]) -> object:
    """Return what an event tells: a state, or the data of an artifact."""
    return event["status"]["state"] if "status" in event else event["artifact"]["parts"][0]["data"]


# Their client, our agent


@pytest.mark.parametrize("to", [OURS, THEIRS])
@pytest.mark.parametrize(
    ("payload", "result"),
    [({"do": "echo", "a": [1, None]}, {"do": "echo", "a": [1, None]}), ("hello", "got hello")],
)
def test_a_naylence_client_runs_a_task_of_either_make(world: World, to: str, payload: object, result: object) -> None:
    assert result_of(ask(world, "run", f"run-{payload}"[:40], payload, to)) == result


@pytest.mark.parametrize("to", [OURS, THEIRS])
def test_a_naylence_client_is_told_why_a_task_failed(world: World, to: str) -> None:
    outcome = ask(world, "run", "failing", {"do": "fail"}, to)
    assert not outcome["ok"]
    assert "on purpose" in outcome["error"]


def test_a_naylence_client_starts_watches_and_gets_a_task_of_ours(world: World) -> None:
    started = result_of(ask(world, "start", "told", {"do": "x", "n": 3, "s": 0.3}))
    assert (started["id"], started["status"]["state"]) == ("told", "working")
    events = items_of(ask(world, "watch", "told"))
    assert [told(event) for event in events] == ["working", *({"told": n} for n in range(3)), {"do": "x"}, "completed"]
    task = result_of(ask(world, "get", "told"))
    assert task["status"]["message"]["parts"][0]["data"] == {"do": "x"}
    assert len(task["artifacts"]) == 4


def test_a_naylence_client_cancels_a_task_of_ours(world: World) -> None:
    result_of(ask(world, "start", "long", {"s": 600}))
    assert result_of(ask(world, "cancel", "long"))["status"]["state"] == "canceled"
    again = ask(world, "cancel", "long")
    assert "Task cannot be canceled" in again["error"]


def test_a_naylence_client_is_told_what_our_agent_has_not(world: World) -> None:
    assert "Task not found" in ask(world, "get", "nope")["error"]
    assert "Push Notification is not supported" in ask(world, "push", "nope")["error"]


@pytest.mark.slow
def test_a_naylence_client_bears_a_silence_of_ours_that_is_longer_than_its_patience(world: World) -> None:
    assert result_of(ask(world, "run", "silent", {"do": "x", "s": 35.0}, OURS)) == {"do": "x"}
    assert result_of(ask(world, "run", "silent", {"do": "sleep", "s": 35.0}, THEIRS)) is None  # it ran on


# Our command line, their agent


def fame(world: World, *words: str, code: int = 0) -> Any:
    """Run `fame task WORDS` at the sentinel; return its one JSON value, or all it said where it fails."""
    done = world.fabric.run("task", *words, "-o", "json", "--url", world.near.url)
    assert done.code == code, (done.out, done.err)
    return json.loads(done.out) if code == 0 else done.err


@pytest.mark.parametrize("to", [OURS, THEIRS])
def test_our_command_line_runs_a_task_of_either_make(world: World, to: str) -> None:
    assert fame(world, "run", to, "do=echo", "a:=[1,2]") == {"do": "echo", "a": [1, 2]}
    assert fame(world, "run", to, "--text", "hello") == "got hello"


@pytest.mark.parametrize("to", [OURS, THEIRS])
def test_our_command_line_says_why_a_task_failed(world: World, to: str) -> None:
    assert "on purpose" in fame(world, "run", to, "do=fail", code=1)


@pytest.mark.parametrize("to", [OURS, THEIRS])
def test_our_command_line_follows_gets_and_cancels(world: World, to: str) -> None:
    done = world.fabric.run("task", "run", to, "do=tell", "n:=3", "-o", "ndjson", "--url", world.near.url).require()
    updates = [event["update"] for event in done.items if "update" in event]
    assert updates[:3] == [{"told": n} for n in range(3)]
    assert done.items[-1]["state"] == "completed"
    started = fame(world, "run", to, "do=sleep", "s:=600", "--detach")
    assert started["state"] == "working"
    assert fame(world, "get", to, started["id"])["state"] == "working"
    assert fame(world, "cancel", to, started["id"])["state"] == "canceled"
    assert fame(world, "get", to, started["id"])["state"] == "canceled"


def test_our_command_line_says_that_a_task_is_not_known(world: World) -> None:
    assert "theirs@fame.fabric task: Unknown or expired task nope" in fame(world, "get", THEIRS, "nope", code=1)
    assert "ours@fame.fabric task: Task not found: nope" in fame(world, "get", OURS, "nope", code=1)


def test_our_client_watches_a_task_of_theirs(world: World) -> None:
    async def main() -> list[object]:
        async with Client(world.near.url) as client:
            task = await client.start_task(THEIRS, {"do": "tell", "n": 2})
            events = [event async for event in client.watch_task(THEIRS, task.id)]
            return [event.state or event.value for event in events]

    assert asyncio.run(main()) == ["working", {"told": 0}, {"told": 1}, "completed"]


def test_our_client_is_told_that_they_know_no_such_task(world: World) -> None:
    async def main() -> None:
        async with Client(world.near.url) as client:
            await client.get_task(THEIRS, "nope")

    with pytest.raises(RemoteError, match="Internal error"):
        asyncio.run(main())
