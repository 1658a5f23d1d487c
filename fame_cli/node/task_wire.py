"""How tasks look on the wire (spec 8.5): parts, messages, states and events, both ways.

A value travels as one part: a text as a text part, an object as a data part, null as no message at all. A data part
must be an object, so anything else goes as ``{"value": …}`` with `WRAPPED` in the part's metadata, which our side
unwraps. The moments we write are UTC and say so.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from fame_cli.core.task import COMPLETED, FAILED, INPUT_REQUIRED, NOTHING, OVER, Said, Task, Update
from fame_cli.errors import RemoteError, RemoteProtocolError

__all__ = [
    "CANCEL",
    "GET",
    "LIST",
    "METHODS",
    "NAME",
    "NOT_CANCELABLE",
    "NOT_FOUND",
    "NUMBER",
    "RESUBSCRIBE",
    "SEND",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "WRAPPED",
    "TaskEvent",
    "TaskReport",
    "event_of",
    "messages_of",
    "read_event",
    "read_task",
    "send_params",
    "task_document",
    "update_event",
    "value_of_message",
]

SEND, SUBSCRIBE, UNSUBSCRIBE = "tasks/send", "tasks/sendSubscribe", "tasks/sendUnsubscribe"
GET, CANCEL, RESUBSCRIBE = "tasks/get", "tasks/cancel", "tasks/resubscribe"
PUSH = ("tasks/pushNotification/set", "tasks/pushNotification/get")
LIST = "agent.tasks"
"""Ours alone: the tasks an agent knows, the latest first."""

METHODS = frozenset({SEND, SUBSCRIBE, UNSUBSCRIBE, GET, CANCEL, RESUBSCRIBE, *PUSH, LIST})

NOT_FOUND, NOT_CANCELABLE, NO_PUSH, WRONG_CONTENT = -32001, -32002, -32003, -32005
"""JSON-RPC codes of the protocol (spec 8.2)."""

NAME = "fame.task"
"""Key in `metadata` of a request: which of an agent's tasks; in that of a task: which it is."""

NUMBER = "fame.update"
"""Key in `metadata` of an artifact: which update of its task it is, from 0 on."""

WRAPPED = "fame.wrapped"
"""Key in `metadata` of a data part: its object is only there to hold `value`."""


# Values and messages


def _part(value: msgspec.Raw) -> dict[str, Any]:
    first = bytes(value)[:1]
    if first == b'"':
        return {"type": "text", "text": value, "metadata": None}
    if first == b"{":
        return {"type": "data", "data": value, "metadata": None}
    return {"type": "data", "data": {"value": value}, "metadata": {WRAPPED: True}}


def _message(value: msgspec.Raw, role: str = "agent") -> dict[str, Any] | None:
    """Return a message that holds a JSON value; None for null."""
    return None if value == NOTHING else {"role": role, "parts": [_part(value)], "metadata": None}


def _value_of_part(part: object) -> Any:
    match part:
        case {"type": "text", "text": str() as text}:
            return text
        case {"type": "data", "data": {"value": value}, "metadata": dict() as metadata} if metadata.get(WRAPPED):
            return value
        case {"type": "data", "data": dict() as data}:
            return data
        case {"type": "file", "file": _}:
            raise RemoteError("a task takes texts and data, and was sent a file", code=WRONG_CONTENT)
        case _:
            raise RemoteError(
                "message.parts holds something that is no part", code=-32602, data={"parameter": "message"}
            )


def value_of_message(message: object) -> Any:
    """Return the value of a message's first part; null when there is none.

    Raises:
        RemoteError: -32602, it is no message; -32005, the part is a file.
    """
    parts = message.get("parts") if isinstance(message, Mapping) else None
    if not isinstance(parts, list):
        raise RemoteError("message needs a list of parts", code=-32602, data={"parameter": "message"})
    return _value_of_part(parts[0]) if parts else None


def messages_of(said: Sequence[Said], most: int, most_bytes: int) -> list[dict[str, Any]]:
    """Return the last messages of a conversation, at most `most` and as many as fit into `most_bytes`."""
    found: list[dict[str, Any]] = []
    for each in list(reversed(said))[: max(most, 0)]:
        most_bytes -= len(bytes(each.value))
        if most_bytes < 0:
            break
        message = _message(each.value, each.role)
        found += [message] if message else []
    return found[::-1]


# What an agent says


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _status(task: Task) -> dict[str, Any]:
    return {"state": task.state, "message": _message(task.value), "timestamp": _moment(task.since)}


def _artifact(update: Update) -> dict[str, Any]:
    parts = [_part(update.value)]
    metadata = {NUMBER: update.number}
    empty = {"name": None, "description": None, "append": None, "lastChunk": None}
    return {**empty, "parts": parts, "metadata": metadata, "index": update.number}


def task_document(task: Task, history: list[dict[str, Any]] | None = None, *, brief: bool = False) -> dict[str, Any]:
    """Return a task as ``tasks/get`` answers it.

    Args:
        history: what was said; None for nothing at all.
        brief: leave out what it has told and what belongs to its state, for lists.
    """
    status = {**_status(task), "message": None} if brief else _status(task)
    return {
        "id": task.id,
        "sessionId": task.session or task.id,
        "status": status,
        "artifacts": None if brief or not task.updates else [_artifact(each) for each in task.updates],
        "history": history,
        "metadata": {NAME: task.name},
    }


def event_of(task: Task) -> dict[str, Any]:
    """Return the event that tells the state of a task."""
    return {"id": task.id, "status": _status(task), "final": task.is_over, "metadata": None}


def update_event(task_id: str, update: Update) -> dict[str, Any]:
    """Return the event that tells an update."""
    return {"id": task_id, "artifact": _artifact(update), "metadata": None}


# What a caller says and hears


def send_params(task_id: str, payload: object, name: str = "") -> dict[str, Any]:
    """Return the `params` that start a task, or answer its question, as the original's client writes them."""
    raw = msgspec.Raw(msgspec.json.encode({} if payload is None else payload))
    return {
        "id": task_id,
        "sessionId": task_id,
        "message": _message(raw, "user"),
        "acceptedOutputModes": None,
        "pushNotification": None,
        "historyLength": None,
        "metadata": {NAME: name} if name else None,
    }


@dataclass(slots=True, frozen=True)
class TaskReport:
    """Say how a task stands.

    Attributes:
        id: names it at its agent.
        state: ``submitted``, ``working``, ``input-required``, ``completed``, ``canceled``, ``failed``.
        value: JSON value that belongs to the state: the result, the error, the question; None where there is none.
        updates: the latest of what it has told.
        name: which of the agent's tasks; "" where the agent doesn't say.
        since: when it came into its state, as its agent wrote it.
    """

    id: str
    state: str
    value: Any = None
    updates: tuple[Any, ...] = ()
    name: str = ""
    since: str = ""

    @property
    def is_over(self) -> bool:
        """Tell whether nothing can happen to it any more."""
        return self.state in OVER

    @property
    def result(self) -> Any:
        """Return the result of a task that is completed; None for any other."""
        return self.value if self.state == COMPLETED else None

    @property
    def error(self) -> str:
        """Return why it failed; "" for one that hasn't."""
        return str(self.value or "it failed without a word") if self.state == FAILED else ""

    @property
    def question(self) -> Any:
        """Return what it asks; None for one that asks nothing."""
        return self.value if self.state == INPUT_REQUIRED else None


@dataclass(slots=True, frozen=True)
class TaskEvent:
    """Tell something new of a task: an update, or its state.

    Attributes:
        id: of the task.
        state: as in `TaskReport`; "" for an update.
        value: JSON value: the update, or what belongs to the state.
        number: of an update, from 0 on; None where its agent numbers nothing, and for states.
    """

    id: str
    state: str = ""
    value: Any = None
    number: int | None = None

    @property
    def is_update(self) -> bool:
        """Tell an update from a state."""
        return not self.state

    @property
    def is_over(self) -> bool:
        """Tell whether nothing follows."""
        return self.state in OVER


def _read_status(status: object) -> tuple[str, Any, str]:
    match status:
        case {"state": str() as state, **rest}:
            message = rest.get("message")
            return state, None if message is None else value_of_message(message), str(rest.get("timestamp") or "")
    raise RemoteProtocolError("the agent told no state")


def _read_artifact(artifact: object) -> tuple[Any, int | None]:
    metadata = artifact.get("metadata") if isinstance(artifact, Mapping) else None
    number = metadata.get(NUMBER) if isinstance(metadata, Mapping) else None
    return value_of_message(artifact), number if isinstance(number, int) else None


def _updates(artifacts: object) -> Iterator[Any]:
    for artifact in artifacts if isinstance(artifacts, list) else ():
        yield _read_artifact(artifact)[0]


def read_task(document: object) -> TaskReport:
    """Read what an agent of either make answers about a task.

    Raises:
        RemoteProtocolError: it isn't a task.
    """
    if not isinstance(document, Mapping):
        raise RemoteProtocolError("the agent answered with something that is no task")
    metadata = document.get("metadata")
    name = metadata.get(NAME) if isinstance(metadata, Mapping) else None
    try:
        state, value, since = _read_status(document.get("status"))
        updates = tuple(_updates(document.get("artifacts")))
    except RemoteError as error:
        raise RemoteProtocolError(f"the agent answered with something that is no task: {error.message}") from error
    return TaskReport(str(document.get("id")), state, value, updates, str(name or ""), since)


def read_event(document: object) -> TaskEvent:
    """Read one event of a subscription.

    Raises:
        RemoteProtocolError: it isn't one.
    """
    if not isinstance(document, Mapping):
        raise RemoteProtocolError("the agent told something that is no event of a task")
    task_id = str(document.get("id"))
    try:
        if "artifact" in document:
            value, number = _read_artifact(document["artifact"])
            return TaskEvent(task_id, value=value, number=number)
        state, value, _ = _read_status(document.get("status"))
    except RemoteError as error:
        raise RemoteProtocolError(f"the agent told something that is no event: {error.message}") from error
    return TaskEvent(task_id, state, value)
