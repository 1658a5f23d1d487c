"""Tasks of an agent: started, watched, asked about, answered, cancelled, bounded, and taken up again."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from node_rig import MATH, Asked, Pair, bounded, pair, turns, until
from task_rig import Many, One

from fame_cli import Agent, operation, task, this_task, time_left
from fame_cli.core.task import CANCELED, COMPLETED, FAILED, INPUT_REQUIRED, SUBMITTED, WORKING, Bounds, Task
from fame_cli.errors import FameError, LocalProtocolError
from fame_cli.node.host import AgentHost
from fame_cli.node.operation import INVALID_PARAMS
from fame_cli.node.task_wire import NAME, NOT_CANCELABLE, NOT_FOUND, NUMBER, read_task, send_params
from fame_cli.node.tasks import BUSY, MAX_WATCHERS, WAITING_PER_SLOT, Tasks

VECTORS = Path(__file__).parents[1] / "vectors" / "agent_task.jsonl"


def start(nodes: Pair, task_id: str, payload: object = None, name: str = "", **more: object) -> Asked:
    return nodes.ask("tasks/send", params={**send_params(task_id, payload, name), **more})


def about(nodes: Pair, method: str, task_id: str, streaming: bool = False, **more: object) -> Asked:
    return nodes.ask(method, params={"id": task_id, "metadata": None, **more}, streaming=streaming)


async def state(nodes: Pair, task_id: str) -> tuple[str, Any]:
    report = read_task(await about(nodes, "tasks/get", task_id).result())
    return report.state, report.value


async def over(nodes: Pair, task_id: str) -> tuple[str, Any]:
    """Watch a task to its end; return state and value."""
    asked = about(nodes, "tasks/resubscribe", task_id, streaming=True)
    await asked.result()
    last = asked.items[-1]
    assert isinstance(last, dict)
    assert last["final"] is True
    return await state(nodes, task_id)


def events(asked: Asked) -> list[Any]:
    """Return what a subscription has brought: states as texts, updates as they were."""
    found: list[Any] = []
    for item in asked.items:
        assert isinstance(item, dict)
        part = item["artifact"]["parts"][0] if "artifact" in item else {}
        found.append(item["status"]["state"] if "status" in item else part.get("data", part.get("text")))
    return found


# The captured session


def captured() -> list[tuple[str, bool, dict[str, Any], list[dict[str, Any]]]]:
    """Return method, whether a stream was asked for, params, and the payloads of the answers of each recorded call."""
    calls: dict[str, tuple[str, bool, dict[str, Any], list[dict[str, Any]]]] = {}
    for line in VECTORS.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        if entry["link"] != "client-s1" or "text" not in entry:
            continue
        envelope = json.loads(entry["text"])
        payload = envelope["frame"].get("payload")
        if payload and "method" in payload:
            calls[payload["id"]] = payload["method"], envelope["rtype"] == 4, payload["params"], []
        elif payload:
            calls[payload["id"]][3].append(payload)
    return list(calls.values())


def shape(value: object) -> object:
    """Return an answer with the names it has, and without what differs from run to run."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items() if key not in ("sessionId", "metadata", "final")}
    if isinstance(value, list):
        return [shape(each) for each in value]
    return "…" if isinstance(value, str) and value.startswith("20") else value


def test_what_a_naylence_client_was_seen_to_do_is_answered_as_a_naylence_agent_did() -> None:
    async def main() -> None:
        agent = One()
        async with pair(agent) as nodes:
            calls = captured()[2:-1]  # the first two and the last went to another agent, one without background tasks
            assert [call[0] for call in calls] == [
                *("tasks/send", "tasks/sendSubscribe", "tasks/sendUnsubscribe"),
                *("tasks/send", "tasks/get", "tasks/cancel", "tasks/get"),
            ]
            for method, streaming, params, answers in calls:
                asked = nodes.ask(method, params=params, streaming=streaming)
                if method == "tasks/sendSubscribe":
                    await until(lambda asked=asked: bool(asked.items))
                    agent.go.set()
                    await asked.result()
                    agent.go.clear()
                    answers[1]["result"]["status"]["message"]["parts"][0]["data"] = {"echo": 2}
                    assert shape(asked.items) == shape([answer["result"] for answer in answers[:-1]])
                elif "error" in answers[0]:
                    assert (await asked.failure())[0] == NOT_FOUND  # the original's is -32603 for this
                else:
                    assert shape(await asked.result()) == shape(answers[0].get("result"))

    bounded(main())


# Results


@pytest.mark.parametrize("value", [None, "text", "", 7, 0.5, True, [], [1, {"a": None}], {}, {"value": 1}])
def test_a_result_of_any_shape_comes_back_as_it_was(value: object) -> None:
    async def main() -> None:
        async with pair(Many()) as nodes:
            await start(nodes, "t1", {"value": value}, "give").result()
            assert await over(nodes, "t1") == (COMPLETED, value)

    bounded(main())


@pytest.mark.parametrize(("payload", "got"), [("a text", "a text"), ([1, 2], [1, 2]), (None, None), ({}, None)])
def test_what_is_no_object_is_the_first_argument(payload: object, got: object) -> None:
    async def main() -> None:
        async with pair(Many()) as nodes:
            await start(nodes, "t1", payload, "give").result()
            assert await over(nodes, "t1") == (COMPLETED, got)

    bounded(main())


def test_what_a_generator_yields_are_updates_and_the_last_is_the_result() -> None:
    async def main() -> None:
        async with pair(Many()) as nodes:
            await start(nodes, "t1", {"n": 2}, "steps").result()
            assert await over(nodes, "t1") == (COMPLETED, {"done": 2, "total": 2})
            report = read_task(await about(nodes, "tasks/get", "t1").result())
            assert report.updates == ({"done": 1, "total": 2}, {"done": 2, "total": 2})
            assert report.name == "steps"

    bounded(main())


def test_a_generator_that_yields_nothing_has_no_result() -> None:
    async def main() -> None:
        async with pair(Many()) as nodes:
            await start(nodes, "t1", {"n": 0}, "steps").result()
            assert await over(nodes, "t1") == (COMPLETED, None)

    bounded(main())


@pytest.mark.parametrize(
    ("name", "payload", "text"),
    [
        ("fail", {"text": "no disk"}, "ValueError: no disk"),
        ("exit", {}, "SystemExit: 3"),
        ("huge", {"size": 200_000}, "what the task gave has 200002 bytes, and 131072 are the most"),
    ],
)
def test_a_task_that_fails_says_why(name: str, payload: object, text: str) -> None:
    async def main() -> None:
        async with pair(Many()) as nodes:
            await start(nodes, "t1", payload, name).result()
            assert await over(nodes, "t1") == (FAILED, text)

    bounded(main())


# Which task, and with what


def test_several_tasks_are_told_apart_by_name() -> None:
    async def main() -> None:
        async with pair(Many()) as nodes:
            for name, wrong in (("", "which task? name it in metadata fame.task: steps, give"), ("no", "no task no;")):
                code, told = await start(nodes, "t1", {}, name).failure()
                assert code == INVALID_PARAMS
                assert told.startswith(wrong)

    bounded(main())


def test_wrong_arguments_are_told_at_once_and_nothing_runs() -> None:
    async def main() -> None:
        async with pair(Many()) as nodes:
            assert await start(nodes, "t1", {"m": 1}, "steps").failure() == (
                INVALID_PARAMS,
                "steps has no parameter m; it takes n",
            )
            assert (await about(nodes, "tasks/get", "t1").failure())[0] == NOT_FOUND

    bounded(main())


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"message": None}, INVALID_PARAMS),
        ({"message": {"role": "user"}}, INVALID_PARAMS),
        ({"message": {"parts": [1]}}, INVALID_PARAMS),
        ({"message": {"parts": [{"type": "file", "file": {"uri": "x"}}]}}, -32005),
        ({"id": 7}, INVALID_PARAMS),
        ({"id": ""}, INVALID_PARAMS),
        ({"id": "x" * 200}, INVALID_PARAMS),
        ({"sessionId": "x" * 200}, INVALID_PARAMS),
        ({"metadata": {NAME: 7}}, INVALID_PARAMS),
    ],
)
def test_what_is_no_request_is_refused(changes: dict[str, object], code: int) -> None:
    async def main() -> None:
        async with pair(Many()) as nodes:
            asked = nodes.ask("tasks/send", params={**send_params("t1", {}, "give"), **changes})
            assert (await asked.failure())[0] == code

    bounded(main())


def test_a_request_that_comes_twice_starts_one_task() -> None:
    async def main() -> None:
        agent = One()
        async with pair(agent) as nodes:
            first = await start(nodes, "t1", {"q": 1}).result()
            assert await start(nodes, "t1", {"q": 1}).result() == first
            assert await start(nodes, "t1", {"q": 2}).failure() == (INVALID_PARAMS, "there is another task t1")
            assert len(await nodes.ask("agent.tasks").result()) == 1

    bounded(main())


def test_an_agent_without_tasks_has_no_such_methods() -> None:
    class Plain(Agent):
        @operation
        def add(self, x: int) -> int:
            return x

    async def main() -> None:
        async with pair(Plain()) as nodes:
            assert await start(nodes, "t1").failure() == (-32601, "Method not found: tasks/send")

    bounded(main())


def test_a_task_called_like_an_operation_says_what_it_is() -> None:
    async def main() -> None:
        async with pair(Many()) as nodes:
            assert await nodes.ask("steps").failure() == (-32601, "steps is a task: start it with tasks/send")
            assert await nodes.ask("add", 1, 2).result() == 3

    bounded(main())


def test_push_notifications_are_refused_by_their_own_code() -> None:
    async def main() -> None:
        async with pair(One()) as nodes:
            for method in ("tasks/pushNotification/set", "tasks/pushNotification/get"):
                assert await about(nodes, method, "t1").failure() == (-32003, "Push Notification is not supported")

    bounded(main())


# Watching


def test_a_watcher_gets_states_and_updates_in_order_and_then_the_end() -> None:
    async def main() -> None:
        agent = Many()
        async with pair(agent) as nodes:
            await start(nodes, "t1", {"n": 3}, "pick").result()
            asked = about(nodes, "tasks/resubscribe", "t1", streaming=True)
            await until(lambda: len(asked.items) == 3)
            assert [item["final"] for item in asked.items if "final" in item] == [False]
            agent.go.set()
            await asked.result()
            assert events(asked) == ["working", *({"value": n} for n in range(3)), "completed"]
            assert [item["artifact"]["metadata"][NUMBER] for item in asked.items[1:4]] == [0, 1, 2]

    bounded(main())


def test_who_watches_a_task_that_is_over_gets_its_updates_and_its_end() -> None:
    async def main() -> None:
        async with pair(Many()) as nodes:
            await start(nodes, "t1", {"n": 1}, "steps").result()
            await over(nodes, "t1")
            asked = about(nodes, "tasks/resubscribe", "t1", streaming=True)
            await asked.result()
            assert events(asked) == [{"done": 1, "total": 1}, "completed"]

    bounded(main())


def test_a_subscription_starts_a_task_if_it_says_with_what() -> None:
    async def main() -> None:
        async with pair(Many()) as nodes:
            asked = nodes.ask("tasks/sendSubscribe", params=send_params("t1", {"n": 1}, "steps"), streaming=True)
            await asked.result()
            assert events(asked)[-1] == "completed"

    bounded(main())


def test_a_subscription_to_a_task_that_is_not_there_starts_nothing() -> None:
    """A Naylence client subscribes with an empty message; its task may be long forgotten here."""

    async def main() -> None:
        async with pair(One()) as nodes:
            asked = nodes.ask("tasks/sendSubscribe", params=send_params("t1", {}), streaming=True)
            assert await asked.failure() == (NOT_FOUND, "Task not found: t1")
            assert await nodes.ask("agent.tasks").result() == []

    bounded(main())


def test_unsubscribing_ends_the_streams_of_the_one_who_says_so() -> None:
    async def main() -> None:
        async with pair(One()) as nodes:
            await start(nodes, "t1").result()
            asked = about(nodes, "tasks/resubscribe", "t1", streaming=True)
            await until(lambda: bool(asked.items))
            assert await about(nodes, "tasks/sendUnsubscribe", "t1").result() is None
            await asked.result()
            assert (await state(nodes, "t1"))[0] == WORKING

    bounded(main())


def test_a_watcher_of_a_silent_task_hears_its_state_again() -> None:
    async def main() -> None:
        async with pair(One()) as nodes:
            tasks = Tasks(nodes.serving, One().tasks, 1, heartbeat_s=0.001)
            live = tasks.start("t1", "hold", msgspec.Raw(b"{}"), "")
            events = tasks.watch(live, "")
            heard = [await anext(events) for _ in range(3)]
            assert [event["status"]["state"] for event in heard] == ["working"] * 3
            await events.aclose()

    bounded(main())


def test_watchers_take_no_room_from_calls() -> None:
    async def main() -> None:
        async with pair(Many(), max_concurrent=1) as nodes:
            await start(nodes, "t1", {"n": 3}, "pick").result()
            asked = [about(nodes, "tasks/resubscribe", "t1", streaming=True) for _ in range(3)]
            await until(lambda: all(each.items for each in asked))
            assert await nodes.ask("add", 1, 2).result() == 3

    bounded(main())


def test_there_are_only_so_many_watchers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_WATCHERS == 1000
    monkeypatch.setattr("fame_cli.node.tasks.MAX_WATCHERS", 1)

    async def main() -> None:
        async with pair(One()) as nodes:
            await start(nodes, "t1").result()
            first = about(nodes, "tasks/resubscribe", "t1", streaming=True)
            await until(lambda: bool(first.items))
            assert (await about(nodes, "tasks/resubscribe", "t1", streaming=True).failure())[0] == BUSY

    bounded(main())


# Cancelling


def test_a_cancel_reaches_the_method() -> None:
    async def main() -> None:
        agent = One()
        async with pair(agent) as nodes:
            await start(nodes, "t1").result()
            await turns()
            report = read_task(await about(nodes, "tasks/cancel", "t1").result())
            assert report.state == CANCELED
            await until(lambda: agent.ended == ["cancelled"])
            code, told = await about(nodes, "tasks/cancel", "t1").failure()
            assert (code, told) == (NOT_CANCELABLE, "Task cannot be canceled: t1 is canceled")

    bounded(main())


def test_only_so_many_tasks_run_and_those_that_wait_can_be_cancelled() -> None:
    async def main() -> None:
        agent = One()
        async with pair(agent, max_concurrent=1) as nodes:
            for number in range(1 + WAITING_PER_SLOT):
                await start(nodes, f"t{number}").result()
            assert (await start(nodes, "more").failure())[0] == BUSY
            assert [(await state(nodes, each))[0] for each in ("t0", "t1")] == [WORKING, SUBMITTED]
            await about(nodes, "tasks/cancel", "t1").result()
            await start(nodes, "more").result()
            agent.go.set()
            assert (await over(nodes, "more"))[0] == COMPLETED
            assert (await state(nodes, "t1"))[0] == CANCELED

    bounded(main())


def test_more_may_run_when_there_is_more_room() -> None:
    async def main() -> None:
        async with pair(One()) as nodes:
            tasks = Tasks(nodes.serving, One().tasks, 1)
            lives = [tasks.start(f"t{number}", "hold", msgspec.Raw(b"{}"), "") for number in range(3)]
            tasks.resize(2)
            assert [live.task.state for live in lives] == [WORKING, WORKING, SUBMITTED]
        # and those that never ran left nothing behind that Python would complain about

    bounded(main())


def test_an_agent_is_idle_when_no_task_would_be_lost_with_it() -> None:
    async def main() -> None:
        agent = One()
        async with pair(agent) as nodes:
            kept, lost = Tasks(nodes.serving, agent.tasks, 1, store=Notes()), Tasks(nodes.serving, agent.tasks, 1)
            assert lost.is_idle()
            for tasks in (kept, lost):
                tasks.start("t1", "hold", msgspec.Raw(b"{}"), "")
            assert (kept.is_idle(), lost.is_idle()) == (True, False)
            agent.go.set()
            await until(lost.is_idle)

    bounded(main())


@pytest.mark.parametrize("kept", [False, True])
def test_a_host_is_busy_with_tasks_that_would_be_lost_but_not_with_watchers(kept: bool) -> None:
    async def main() -> None:
        agent = One()
        async with pair(agent) as nodes:
            host = AgentHost(nodes.serving, agent, task_store=Notes() if kept else None)
            nodes.serving.unserve(MATH)
            nodes.serving.serve(MATH, host)
            await start(nodes, "t1").result()
            watching = about(nodes, "tasks/resubscribe", "t1", streaming=True)
            await until(lambda: bool(watching.items))
            assert host.is_idle() is kept
            agent.go.set()
            await watching.result()
            assert host.is_idle()

    bounded(main())


def test_a_host_with_more_room_runs_more_tasks() -> None:
    async def main() -> None:
        agent = One()
        async with pair(agent) as nodes:
            host = AgentHost(nodes.serving, agent, 1)
            nodes.serving.unserve(MATH)
            nodes.serving.serve(MATH, host)
            for task_id in ("t1", "t2"):
                await start(nodes, task_id).result()
            assert (await state(nodes, "t2"))[0] == SUBMITTED
            host.resize(2)
            assert (await state(nodes, "t2"))[0] == WORKING

    bounded(main())


def test_nobody_waits_for_a_task_as_the_caller_that_started_it_did() -> None:
    class Hurried(Agent):
        @task
        async def left(self) -> float | None:
            return time_left()

    async def main() -> None:
        async with pair(Hurried()) as nodes:
            await start(nodes, "t1").result()
            assert await over(nodes, "t1") == (COMPLETED, None)

    bounded(main())


# Asking


def test_a_task_asks_and_goes_on_with_the_answer() -> None:
    async def main() -> None:
        async with pair(Many()) as nodes:
            asked = nodes.ask("tasks/sendSubscribe", params=send_params("t1", {}, "talk"), streaming=True)
            await until(lambda: "input-required" in events(asked))
            assert await state(nodes, "t1") == (INPUT_REQUIRED, "first?")
            await start(nodes, "t1", "one").result()
            await until(lambda: events(asked).count("input-required") == 2)
            await start(nodes, "t1", {"two": 2}).result()
            await asked.result()
            assert await state(nodes, "t1") == (COMPLETED, ["t1", "one", {"two": 2}])
            answer = await about(nodes, "tasks/get", "t1", historyLength=3).result()
            assert isinstance(answer, dict)
            assert [(each["role"], each["parts"][0].get("text")) for each in answer["history"]] == [
                ("user", "one"),
                ("agent", "second?"),
                ("user", None),
            ]

    bounded(main())


def test_a_task_that_asks_can_be_cancelled() -> None:
    async def main() -> None:
        async with pair(Many()) as nodes:
            await start(nodes, "t1", {}, "talk").result()
            await turns()
            assert (await state(nodes, "t1"))[0] == INPUT_REQUIRED
            await about(nodes, "tasks/cancel", "t1").result()
            await turns()
            assert (await state(nodes, "t1"))[0] == CANCELED

    bounded(main())


def test_code_outside_a_task_is_told_so() -> None:
    with pytest.raises(LocalProtocolError, match="runs in no task"):
        this_task()


# Marking


def test_a_task_must_be_async() -> None:
    with pytest.raises(LocalProtocolError, match="@task slow isn't async"):

        @task
        def slow() -> None: ...


def test_tasks_are_described_beside_the_operations_and_are_none() -> None:
    agent = Many()
    assert list(agent.operations) == ["add"]
    described = agent.describe()
    assert [(each["name"], each["description"]) for each in described["tasks"]][:2] == [
        ("steps", "Tell each step."),
        ("give", "Give it back."),
    ]
    assert "tasks" not in Agent().describe()


def test_a_task_of_a_base_class_is_inherited_overridden_and_taken_away() -> None:
    class Fewer(Many):
        fail = None

        async def give_back(self, value: object = None) -> object:
            return [value]

        @task
        async def add(self, x: int, y: int) -> int:
            return x + y

    assert list(Fewer().tasks) == ["steps", "give", "huge", "talk", "check", "pick", "exit", "add"]
    assert list(Fewer().operations) == []


def test_functions_can_be_tasks() -> None:
    @task
    async def slow() -> None: ...

    def quick() -> None: ...

    agent = Agent.from_functions([slow, quick])
    assert (list(agent.tasks), list(agent.operations)) == (["slow"], ["quick"])


def test_a_task_may_not_take_the_place_of_what_every_agent_has() -> None:
    with pytest.raises(LocalProtocolError, match=r'mark it @task\(name="run"\)'):

        class Wrong(Agent):
            @task
            async def run(self) -> None: ...


# Storing


class Notes:
    """Keep tasks in a dict, and say that they are written when told to, or why not."""

    def __init__(self, *tasks: Task) -> None:
        self.kept = {each.id: msgspec.json.encode(each) for each in tasks}
        self.versions: list[int] = []
        self.held: list[Callable[[FameError | None], None]] = []
        self.holds = False

    def put(self, task: Task, done: Callable[[FameError | None], None] | None = None) -> None:
        self.versions.append(task.version)
        assert done is not None
        if self.holds:
            self.held.append(done)
            return
        self.kept[task.id] = msgspec.json.encode(task)
        asyncio.get_running_loop().call_soon(done, None)

    def remove(self, task_id: str) -> None:
        del self.kept[task_id]

    async def load(self) -> list[Task]:
        return [msgspec.json.decode(each, type=Task) for each in self.kept.values()]

    def state(self, task_id: str) -> str:
        return msgspec.json.decode(self.kept[task_id], type=Task).state


@asynccontextmanager
async def stored(agent: Agent, notes: Notes) -> AsyncIterator[Pair]:
    """Serve an agent whose tasks are in a store."""
    async with pair(Many()) as nodes:
        nodes.serving.unserve(MATH)
        host = AgentHost(nodes.serving, agent, task_store=notes)
        await host.load_tasks()
        nodes.serving.serve(MATH, host)
        yield nodes


def test_a_task_is_taken_once_it_is_on_disk() -> None:
    async def main() -> None:
        notes = Notes()
        notes.holds = True
        async with stored(One(), notes) as nodes:
            asked = start(nodes, "t1")
            await turns()
            assert asked.outcome is None
            notes.holds = False
            notes.held.pop()(None)
            await asked.result()

    bounded(main())


def test_a_task_that_cannot_be_written_down_is_refused_and_cancelled() -> None:
    async def main() -> None:
        notes, agent = Notes(), One()
        notes.holds = True
        async with stored(agent, notes) as nodes:
            asked = start(nodes, "t1")
            await until(lambda: bool(notes.held))
            notes.held.pop()(FameError("the disk is full"))
            assert await asked.failure() == (-32603, "what becomes of task t1 can't be kept: the disk is full")
            await until(lambda: agent.ended == ["cancelled"])

    bounded(main())


def test_what_is_over_is_told_once_that_is_on_disk() -> None:
    async def main() -> None:
        notes, agent = Notes(), One()
        async with stored(agent, notes) as nodes:
            for task_id in ("t1", "t2"):
                await start(nodes, task_id).result()
            await turns()
            notes.holds = True
            agent.go.set()
            await turns()
            asked = [
                about(nodes, "tasks/resubscribe", "t1", streaming=True),
                about(nodes, "tasks/get", "t2"),
            ]
            await turns()
            assert [each.outcome for each in asked] == [None, None]
            assert asked[0].items == []
            for done in notes.held:
                done(None)
            for each in asked:
                await each.result()

    bounded(main())


def test_a_cancel_is_told_once_it_is_on_disk() -> None:
    async def main() -> None:
        notes = Notes()
        async with stored(One(), notes) as nodes:
            await start(nodes, "t1").result()
            await turns()
            notes.holds = True
            asked = about(nodes, "tasks/cancel", "t1")
            await turns()
            assert asked.outcome is None
            notes.held.pop()(None)
            assert read_task(await asked.result()).state == CANCELED

    bounded(main())


def test_what_could_not_be_written_is_written_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fame_cli.node.tasks.RETRY_S", 0.001)

    async def main() -> None:
        notes, agent = Notes(), One()
        async with stored(agent, notes) as nodes:
            await start(nodes, "t1").result()
            await turns()
            notes.holds = True
            agent.go.set()
            await until(lambda: bool(notes.held))
            notes.holds = False
            notes.held.pop()(FameError("the disk is full"))
            await until(lambda: notes.state("t1") == COMPLETED)

    bounded(main())


def test_an_answer_that_comes_twice_is_one() -> None:
    async def main() -> None:
        async with pair(Many()) as nodes:
            await start(nodes, "t1", {"n": 3}, "check").result()
            await turns()
            for _ in range(2):
                assert isinstance(await start(nodes, "t1", "yes").result(), dict)
            assert await over(nodes, "t1") == (COMPLETED, "yes")

    bounded(main())


def test_versions_between_two_writes_are_passed_over() -> None:
    async def main() -> None:
        notes = Notes()
        notes.holds = True
        async with stored(Many(), notes) as nodes:
            asked = start(nodes, "t1", {"n": 50}, "steps")
            await turns(200)
            notes.holds = False
            notes.held.pop()(None)
            await asked.result()
            await until(lambda: "t1" in notes.kept)
            assert notes.state("t1") == COMPLETED
            assert notes.versions == [0, 52]

    bounded(main())


def test_what_is_not_over_runs_again_after_a_restart_and_sees_how_far_it_came() -> None:
    async def main() -> None:
        notes, first, second = Notes(), Many(), Many()
        async with stored(first, notes) as nodes:
            await start(nodes, "t1", {"n": 4}, "pick").result()
            await until(lambda: msgspec.json.decode(notes.kept["t1"], type=Task).told == 2)
        assert notes.state("t1") == WORKING
        async with stored(second, notes) as nodes:
            assert await over(nodes, "t1") == (COMPLETED, 3)
            assert (first.seen, second.seen) == ([(1, None)], [(1, 1)])
            report = read_task(await about(nodes, "tasks/get", "t1").result())
            assert report.updates == (0, 1, 2, 3)

    bounded(main())


def test_answers_are_given_again_after_a_restart() -> None:
    async def main() -> None:
        notes = Notes()
        async with stored(Many(), notes) as nodes:
            await start(nodes, "t1", {}, "talk").result()
            await turns()
            await start(nodes, "t1", "one").result()
            await turns()
            assert await state(nodes, "t1") == (INPUT_REQUIRED, "second?")
        assert notes.state("t1") == INPUT_REQUIRED
        async with stored(Many(), notes) as nodes:
            await turns()
            assert await state(nodes, "t1") == (INPUT_REQUIRED, "second?")
            await start(nodes, "t1", "two").result()
            assert await over(nodes, "t1") == (COMPLETED, ["t1", "one", "two"])

    bounded(main())


def test_what_is_over_is_known_after_a_restart_and_does_not_run() -> None:
    async def main() -> None:
        notes = Notes()
        async with stored(Many(), notes) as nodes:
            await start(nodes, "t1", {"value": 7}, "give").result()
            await until(lambda: notes.state("t1") == COMPLETED)
        async with stored(Many(), notes) as nodes:
            assert await state(nodes, "t1") == (COMPLETED, 7)
            assert await start(nodes, "t1", {"value": 7}, "give").result() is not None

    bounded(main())


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"name": "gone"}, "the agent has no task gone any more"),
        ({"payload": msgspec.Raw(b'{"m":1}')}, "steps has no parameter m; it takes n"),
        ({"starts": Bounds().starts}, "it was started 10 times and never came any further"),
    ],
)
def test_a_task_that_cannot_be_taken_up_again_fails_and_says_why(changes: dict[str, Any], why: str) -> None:
    async def main() -> None:
        old = msgspec.structs.replace(Task(id="t1", name="steps", state=WORKING, created_at=1.0, since=1.0), **changes)
        async with stored(Many(), Notes(old)) as nodes:
            assert await state(nodes, "t1") == (FAILED, why)

    bounded(main())


def test_what_is_forgotten_leaves_the_store() -> None:
    async def main() -> None:
        old = Task(id="t0", name="give", state=COMPLETED, created_at=1.0, since=1.0)  # half a century ago
        notes = Notes(old)
        async with stored(Many(), notes) as nodes:
            assert (await about(nodes, "tasks/get", "t0").failure())[0] == NOT_FOUND
            assert notes.kept == {}

    bounded(main())
