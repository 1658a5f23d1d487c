"""Tasks as a client sees them: started, watched over lost links and restarts, cancelled; and answers that are none."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest
from node_rig import MATH, bounded, fabric, serving, until
from task_rig import Many, One

from fame_cli import Client
from fame_cli.errors import (
    DeadlineExceeded,
    FameError,
    LinkLost,
    NoRoute,
    RemoteError,
    RemoteProtocolError,
    StreamEnded,
)
from fame_cli.node import task_calls
from fame_cli.node.sentinel import Sentinel
from fame_cli.node.task_calls import watch_task
from fame_cli.node.task_wire import NOT_CANCELABLE, NOT_FOUND, TaskEvent, TaskReport, read_event, read_task


def test_a_client_starts_watches_and_gets_the_result() -> None:
    async def main() -> None:
        async with fabric((MATH, Many())) as sentinel, Client(sentinel.url) as client:
            started = await client.start_task(MATH, {"n": 2}, name="steps")
            events = [event async for event in client.watch_task(MATH, started.id)]
            updates = [event.value for event in events if event.is_update]
            assert updates == [{"done": 1, "total": 2}, {"done": 2, "total": 2}]
            assert events[-1] == TaskEvent(started.id, "completed", {"done": 2, "total": 2})
            report = await client.get_task(MATH, started.id)
            assert (report.state, report.result, report.updates) == ("completed", updates[-1], tuple(updates))

    bounded(main())


def test_a_client_cancels() -> None:
    async def main() -> None:
        agent = One()
        async with fabric((MATH, agent)) as sentinel, Client(sentinel.url) as client:
            await client.start_task(MATH, "q", task_id="t1")
            watching = asyncio.ensure_future(anext(client.watch_task(MATH, "t1")))
            assert (await watching).state == "working"
            assert (await client.cancel_task(MATH, "t1")).state == "canceled"
            with pytest.raises(RemoteError) as told:
                await client.cancel_task(MATH, "t1")
            assert told.value.code == NOT_CANCELABLE
            await until(lambda: agent.ended == ["cancelled"])

    bounded(main())


def test_closing_a_watch_leaves_the_task_alone_and_ends_the_stream() -> None:
    async def main() -> None:
        agent = One()
        async with fabric((MATH, agent)) as sentinel, Client(sentinel.url) as client:
            await client.start_task(MATH, task_id="t1")
            events = client.watch_task(MATH, "t1")
            await anext(events)
            await events.aclose()
            assert (await client.get_task(MATH, "t1")).state == "working"

    bounded(main())


def test_who_asks_for_what_is_not_there_is_told_at_once() -> None:
    async def main() -> None:
        async with fabric((MATH, One())) as sentinel, Client(sentinel.url) as client:
            with pytest.raises(RemoteError, match="Task not found: t1") as told:
                await anext(client.watch_task(MATH, "t1"))
            assert told.value.code == NOT_FOUND
            with pytest.raises(NoRoute):
                await anext(client.watch_task("nobody@fame.fabric", "t1"))

    bounded(main())


def test_a_watch_goes_on_over_a_lost_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_calls, "PAUSE_S", 0.001)

    async def main() -> None:
        async with Sentinel(id="s1", listen="127.0.0.1:0") as sentinel, Client(sentinel.url) as client:
            async with serving(One(), sentinel.url):
                await client.start_task(MATH, task_id="t1")
                events = client.watch_task(MATH, "t1")
                assert (await anext(events)).state == "working"
            agent = One()
            async with serving(agent, sentinel.url) as node:
                await client.start_task(MATH, task_id="t1")  # what a store would have done
                agent.go.set()
                rest = [event.state async for event in events]
                assert rest == ["completed"]
                assert node.core.table.parent is not None

    bounded(main())


# Against scripts


class Scripted:
    """Be a client whose streams and answers are known beforehand; an error is raised where its turn comes."""

    def __init__(self, streams: list[list[Any]], answers: list[Any]) -> None:
        self.streams = streams
        self.answers = answers

    async def request(self, target: str | None, operation: str, params: dict[str, Any]) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def open_stream(self, target: str | None, operation: str, params: dict[str, Any]) -> AsyncGenerator[Any, None]:
        return self._items(self.streams.pop(0))

    async def _items(self, items: list[Any]) -> AsyncGenerator[Any, None]:
        for item in items:
            if isinstance(item, Exception):
                raise item
            yield item


def said(state: str, text: str | None = None) -> dict[str, Any]:
    message = None if text is None else {"role": "agent", "parts": [{"type": "text", "text": text}]}
    return {"id": "t1", "status": {"state": state, "message": message, "timestamp": "2026-11-23T23:55:23.246"}}


def told(value: str, number: int | None) -> dict[str, Any]:
    metadata = None if number is None else {"fame.update": number}
    return {"id": "t1", "artifact": {"parts": [{"type": "text", "text": value}], "metadata": metadata}}


async def watched(client: Scripted, patience_s: float = 5.0) -> list[str]:
    events: AsyncIterator[TaskEvent] = watch_task(client, MATH, "t1", patience_s=patience_s)
    return [event.state or event.value async for event in events]


LOST = LinkLost("the link broke")


@pytest.mark.parametrize("loss", [LOST, StreamEnded("cut"), DeadlineExceeded("silence")])
def test_what_was_told_already_is_not_told_again(loss: FameError, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_calls, "PAUSE_S", 0.001)
    first = [said("working"), told("a", 0), said("working"), told("b", 1), loss]
    second = [said("working"), told("b", 1), told("c", 2), said("completed", "done")]
    client = Scripted([first, second], [LOST, NoRoute("away"), said("working")])
    assert bounded(watched(client)) == ["working", "a", "b", "c", "completed"]


def test_updates_without_numbers_are_all_told() -> None:
    client = Scripted([[told("a", None), told("a", None), said("failed", "why")]], [])
    assert bounded(watched(client)) == ["a", "a", "failed"]


def test_patience_ends() -> None:
    with pytest.raises(LinkLost):
        bounded(watched(Scripted([[said("working"), LOST]], [LOST]), patience_s=0.0))


def test_a_subscription_that_ends_too_early_is_looked_into_and_a_task_that_is_gone_is_told() -> None:
    gone = RemoteError("Task not found: t1", code=NOT_FOUND)
    with pytest.raises(RemoteError, match="not found: t1; its agent has restarted and keeps none"):
        bounded(watched(Scripted([[said("working")]], [gone])))


@pytest.mark.parametrize(
    "answer",
    [None, 7, [], {}, {"status": None}, {"status": {"state": 7}}, {"status": {"state": "x", "message": {"parts": 1}}}],
)
def test_an_answer_that_is_no_task_is_told(answer: object) -> None:
    with pytest.raises(RemoteProtocolError):
        read_task(answer)
    with pytest.raises(RemoteProtocolError):
        read_event(answer)


def test_an_artifact_that_is_none_is_told() -> None:
    with pytest.raises(RemoteProtocolError, match="no event"):
        read_event({"id": "t1", "artifact": {"parts": [7]}})


def test_what_belongs_to_a_state_has_a_name() -> None:
    report = TaskReport("t1", "failed", "no disk")
    assert (report.error, report.result, report.question, report.is_over) == ("no disk", None, None, True)
    assert TaskReport("t1", "failed").error == "it failed without a word"
    assert TaskReport("t1", "input-required", "which?").question == "which?"
