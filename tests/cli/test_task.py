"""`fame task`: what it starts, what it shows where, and how it ends, against scripted agents."""

import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from fame_runner import Fame
from stub_fabric import StubClient

from fame_cli.cli.task_progress import line_of, share_of
from fame_cli.errors import FameError, LinkLost, NoRoute, RemoteError
from fame_cli.node import task_calls
from fame_cli.node.task_wire import NOT_CANCELABLE, NOT_FOUND

MATH = "math1@fame.fabric"
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}, "name": {"type": "string"}}}


def message(value: object) -> dict[str, Any] | None:
    if value is None:
        return None
    part = {"type": "text", "text": value} if isinstance(value, str) else {"type": "data", "data": value}
    return {"role": "agent", "parts": [part], "metadata": None}


def document(state: str, value: object = None, updates: tuple[object, ...] = ()) -> dict[str, Any]:
    return {
        "id": "t1",
        "sessionId": "t1",
        "status": {"state": state, "message": message(value), "timestamp": "2026-11-23T23:55:23.246Z"},
        "artifacts": [{"index": n, **(message(each) or {})} for n, each in enumerate(updates)] or None,
        "history": None,
        "metadata": {"fame.task": "steps"},
    }


def told(value: object, number: int) -> dict[str, Any]:
    return {"id": "t1", "artifact": {**(message(value) or {}), "metadata": {"fame.update": number}}}


@dataclass
class Tasks(StubClient):
    """Answer each method from a list of answers; remember what was asked."""

    answers_of: dict[str, list[Any]] = field(default_factory=dict)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    async def request(self, target: str | None, operation: str, params: dict[str, Any], **_: Any) -> object:
        return self._next(target, operation, params)

    def open_stream(
        self, target: str | None, operation: str, params: dict[str, Any], **_: Any
    ) -> AsyncGenerator[object, None]:
        return self._events(self._next(target, operation, params))

    async def _events(self, events: list[Any]) -> AsyncGenerator[object, None]:
        for event in events:
            if isinstance(event, Exception):
                raise event
            yield event

    async def describe(self, address: str) -> dict[str, Any]:
        return {"operations": [], "tasks": [{"name": "steps", "schema": SCHEMA}]}

    def _next(self, target: str | None, operation: str, params: dict[str, Any]) -> Any:
        assert target == MATH
        self.calls.append((operation, msgspec.json.decode(msgspec.json.encode(params))))
        answer = self.answers_of[operation].pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def given(self) -> object:
        """Return what the task was started with."""
        part = next(params for operation, params in self.calls if operation == "tasks/send")["message"]["parts"][0]
        return part.get("data", part.get("text"))


STARTED = document("working")
DONE = [document("working"), told({"done": 1, "total": 2}, 0), told("nearly", 1), document("completed", {"sum": 3})]


@pytest.fixture
def tasks(fame: Fame) -> Tasks:
    """Give an agent whose task tells two things and has a result."""
    stub = Tasks(answers_of={"tasks/send": [STARTED], "tasks/sendSubscribe": [DONE]})
    fame.client = stub
    return stub


def test_the_result_is_on_stdout_and_what_was_told_on_stderr(fame: Fame, tasks: Tasks) -> None:
    result = fame("task", "run", MATH, "steps", "n=2", "name=7", "--id", "t1")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"sum": 3}
    assert result.stderr.splitlines() == ["t1: working", 't1: {"done": 1, "total": 2}', "t1: nearly"]
    operation, params = tasks.calls[0]
    assert (operation, params["id"], params["metadata"]) == ("tasks/send", "t1", {"fame.task": "steps"})
    assert tasks.given() == {"n": 2, "name": "7"}


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ((), {}),
        (("n=2",), {"n": 2}),
        (("--json", '{"n": 5}'), {"n": 5}),
        (("--text", "hello"), "hello"),
        (("steps", "--json", '{"n": 5}', "name=x"), {"n": 5, "name": "x"}),
    ],
)
def test_arguments_and_a_text_are_given_as_they_are(
    fame: Fame, tasks: Tasks, words: tuple[str, ...], given: object
) -> None:
    assert fame("task", "run", MATH, *words).exit_code == 0
    assert tasks.given() == given


def test_without_an_id_there_is_a_fresh_one(fame: Fame, tasks: Tasks) -> None:
    fame("task", "run", MATH)
    assert len(tasks.calls[0][1]["id"]) == 16


def test_detached_it_prints_the_id_and_leaves(fame: Fame, tasks: Tasks) -> None:
    result = fame("task", "run", MATH, "--detach")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "t1\n", "")
    assert [operation for operation, _ in tasks.calls] == ["tasks/send"]


def test_ndjson_has_a_line_for_everything(fame: Fame, tasks: Tasks) -> None:
    result = fame("task", "run", MATH, "-o", "ndjson")
    assert [json.loads(line) for line in result.stdout.splitlines()] == [
        {"id": "t1", "state": "working", "value": None},
        {"id": "t1", "update": {"done": 1, "total": 2}, "number": 0},
        {"id": "t1", "update": "nearly", "number": 1},
        {"id": "t1", "state": "completed", "value": {"sum": 3}},
    ]
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("end", "code", "text"),
    [
        (document("failed", "no disk"), 1, f"fame: {MATH} t1 failed: no disk"),
        (document("failed"), 1, f"fame: {MATH} t1 failed: without a word"),
        (document("canceled"), 130, f"fame: {MATH} t1 was cancelled"),
    ],
)
def test_a_task_that_has_no_result_has_an_exit_code(
    fame: Fame, tasks: Tasks, end: object, code: int, text: str
) -> None:
    tasks.answers_of["tasks/sendSubscribe"] = [[end]]
    result = fame("task", "watch", MATH, "t1")
    assert (result.exit_code, result.stdout, result.stderr) == (code, "", text + "\n")


def test_a_question_says_how_to_answer(fame: Fame, tasks: Tasks) -> None:
    tasks.answers_of["tasks/sendSubscribe"] = [[document("input-required", "sure?"), document("completed", "ok")]]
    result = fame("task", "watch", MATH, "t1")
    assert result.stdout == "ok\n"
    assert f"t1 asks: sure?; answer: fame task answer {MATH} t1 --text …" in result.stderr


def test_a_task_that_is_out_of_reach_says_how_to_find_it(
    fame: Fame, tasks: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_calls, "PAUSE_S", 100.0)
    tasks.answers_of |= {
        "tasks/sendSubscribe": [[document("working"), LinkLost("gone")]],
        "tasks/get": [LinkLost("gone")],
    }
    result = fame("task", "watch", MATH, "t1")
    assert result.exit_code == 7
    assert result.stderr.endswith(f"fame: gone; it may still run: fame task watch {MATH} t1\n")


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (
            RemoteError("Method not found", code=-32601),
            1,
            f"{MATH} has no tasks; see what it has: fame describe {MATH}",
        ),
        (
            RemoteError("which?", code=-32602, data={"tasks": ["steps", "sort"]}),
            2,
            "has several tasks: steps, sort; name one",
        ),
        (RemoteError("n: expected int", code=-32602), 1, f"{MATH} task: wrong arguments: n: expected int"),
        (NoRoute("nobody serves it"), 5, "nobody serves it; check the address"),
    ],
)
def test_a_start_that_is_refused_says_why(fame: Fame, tasks: Tasks, error: FameError, code: int, text: str) -> None:
    tasks.answers_of["tasks/send"] = [error]
    result = fame("task", "run", MATH)
    assert result.exit_code == code
    assert text in result.stderr


def test_a_task_that_is_not_there_is_guessed(fame: Fame, tasks: Tasks) -> None:
    tasks.answers_of["tasks/send"] = [RemoteError("no task", code=-32602, data={"tasks": ["steps", "sort"]})]
    result = fame("task", "run", MATH, "step")
    assert result.exit_code == 2
    assert 'has no task "step"; did you mean steps? there is: steps, sort' in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("run", "math1"),
        ("get", "math1", "t1"),
        ("run", MATH, "steps", "x"),
        ("run", MATH, "--text", "x", "n=1"),
        ("run",),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(fame: Fame, tasks: Tasks, words: tuple[str, ...]) -> None:
    assert fame("task", *words).exit_code == 2
    assert tasks.calls == []


@pytest.mark.parametrize(
    ("answer", "lines"),
    [
        (document("working", None, ("a", "b")), ["told    b"]),
        (document("completed", {"sum": 3}), ['result  {"sum": 3}']),
        (document("failed", "no\ndisk"), ["error   no\\ndisk"]),
        (document("input-required", "sure?"), ["asks    sure?"]),
    ],
)
def test_how_a_task_stands_is_a_few_lines(fame: Fame, tasks: Tasks, answer: object, lines: list[str]) -> None:
    tasks.answers_of["tasks/get"] = [answer]
    state = answer["status"]["state"]
    head = ["id      t1", "task    steps", f"state   {state}", "since   2026-11-23T23:55:23.246Z"]
    assert fame("task", "get", MATH, "t1").stdout.splitlines() == head + lines


def test_as_json_it_is_one_document(fame: Fame, tasks: Tasks) -> None:
    tasks.answers_of["tasks/get"] = [document("working", None, ("a",))]
    assert json.loads(fame("task", "get", MATH, "t1", "-o", "json").stdout) == {
        "id": "t1",
        "name": "steps",
        "since": "2026-11-23T23:55:23.246Z",
        "state": "working",
        "updates": ["a"],
        "value": None,
    }


def test_cancelling_says_what_became_of_it(fame: Fame, tasks: Tasks) -> None:
    tasks.answers_of["tasks/cancel"] = [
        document("canceled"),
        RemoteError("Task cannot be canceled", code=NOT_CANCELABLE),
    ]
    assert fame("task", "cancel", MATH, "t1").stderr == "fame: t1 is canceled\n"
    assert fame("task", "cancel", MATH, "t1").exit_code == 1


def test_an_answer_goes_to_a_task_that_asks(fame: Fame, tasks: Tasks) -> None:
    tasks.answers_of["tasks/get"] = [document("input-required", "sure?"), document("working")]
    assert fame("task", "answer", MATH, "t1", "--text", "yes").exit_code == 0
    assert tasks.given() == "yes"
    refused = fame("task", "answer", MATH, "t1", "yes=true")
    assert (refused.exit_code, refused.stderr) == (2, "fame: t1 is working and asks nothing\n")


def test_tasks_are_listed(fame: Fame, tasks: Tasks) -> None:
    tasks.answers_of["agent.tasks"] = [[document("working")], []]
    assert fame("task", "ls", MATH).stdout.splitlines() == [
        "ID  TASK   STATE    SINCE",
        "t1  steps  working  2026-11-23T23:55:23.246Z",
    ]
    assert fame("task", "ls", MATH).stderr == f"fame: {MATH} knows of no task\n"


def test_a_task_that_is_not_known_is_told(fame: Fame, tasks: Tasks) -> None:
    tasks.answers_of["tasks/get"] = [RemoteError("Task not found: t1", code=NOT_FOUND)]
    result = fame("task", "get", MATH, "t1")
    assert (result.exit_code, result.stderr) == (1, f"fame: {MATH} task: Task not found: t1\n")


@pytest.mark.parametrize(
    ("value", "share"),
    [
        ({"done": 1, "total": 4}, 0.25),
        ({"done": 9, "total": 4}, 1.0),
        ({"done": 1, "total": 0}, None),
        ({"progress": 0.5, "step": "x"}, 0.5),
        ({"progress": "half"}, None),
        (0.5, None),
        (None, None),
    ],
)
def test_a_share_is_read_off_what_is_told(value: object, share: float | None) -> None:
    assert share_of(value) == share


def test_the_live_line_has_a_bar_where_a_share_is_told() -> None:
    text = "".join(part for part, _ in line_of("t1", "working", {"done": 1, "total": 4}, 65.0))
    assert text == f't1  working  1m05s  {"━" * 20}  25%  {{"done": 1, "total": 4}}'
    assert "".join(part for part, _ in line_of("t1", "", None, 0.0)) == "t1  asking  0s"
