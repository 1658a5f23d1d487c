"""Answers for an agent's tasks: the methods of the wire (spec 8.5) on what ``tasks.py`` keeps and runs."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from itertools import islice
from typing import Any

import msgspec

from fame_cli.core.effects import Request
from fame_cli.core.task import INPUT_REQUIRED, asked_again
from fame_cli.errors import RemoteError
from fame_cli.node import task_wire as wire
from fame_cli.node.operation import INVALID_PARAMS, Operation, operation_from
from fame_cli.node.tasks import Live, Tasks

__all__ = ["TaskDesk"]

MAX_ID = 128
"""Characters of a task's id, and of a session's."""

LISTED = 100
"""Tasks in one answer of `task_wire.LIST`."""


class TaskDesk:
    """Answer requests about tasks."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        methods: dict[str, Callable[..., object]] = {
            wire.SEND: self._send,
            wire.SUBSCRIBE: self._subscribe,
            wire.RESUBSCRIBE: self._resubscribe,
            wire.UNSUBSCRIBE: self._unsubscribe,
            wire.GET: self._get,
            wire.CANCEL: self._cancel,
            wire.LIST: self._list,
            **dict.fromkeys(wire.PUSH, self._push),
        }
        self._operations = {name: operation_from(method, name=name) for name, method in methods.items()}

    # The methods of the wire

    def invoke(self, request: Request) -> tuple[Operation, object]:
        """Do what a request of `task_wire.METHODS` asks for.

        Raises:
            RemoteError: it can't be done.
        """
        try:
            params = msgspec.json.decode(request.params, type=dict[str, Any])
        except (msgspec.DecodeError, RecursionError) as error:
            raise RemoteError(f"params must be an object: {error}", code=INVALID_PARAMS) from error
        operation = self._operations[request.method]
        if "kwargs" in params and "id" not in params:  # asked like any operation, e.g. with `fame call`
            params = params["kwargs"] if isinstance(params["kwargs"], dict) else {}
        return operation, operation.invoke((), {**params, "sender": request.sender})

    async def _send(
        self,
        id: str,
        message: dict[str, Any],
        sessionId: str | None = None,
        historyLength: int | None = None,
        metadata: dict[str, Any] | None = None,
        sender: str = "",
        **_: Any,
    ) -> dict[str, Any]:
        """Start a task, or answer its question."""
        live = self._taken(id, _payload(message), sessionId, metadata)
        await self._tasks.written(live)
        return self._document(live, historyLength)

    async def _subscribe(
        self,
        id: str,
        message: dict[str, Any],
        sessionId: str | None = None,
        metadata: dict[str, Any] | None = None,
        sender: str = "",
        **_: Any,
    ) -> AsyncIterator[dict[str, Any]]:
        """Watch a task; start it first if it isn't there and the message says with what."""
        payload = _payload(message)
        live = self._tasks.find(id)
        is_empty = bytes(payload) in (b"{}", b"null") and not (metadata or {}).get(wire.NAME)
        if live is None and is_empty:
            raise _not_found(id)
        if live is None or (live.task.state == INPUT_REQUIRED and not is_empty):
            live = self._taken(id, payload, sessionId, metadata)
            await self._tasks.written(live)
        async with aclosing(self._tasks.watch(live, sender)) as events:
            async for event in events:
                yield event

    async def _resubscribe(self, id: str, sender: str = "", **_: Any) -> AsyncIterator[dict[str, Any]]:
        """Watch a task."""
        async with aclosing(self._tasks.watch(self._find(id), sender)) as events:
            async for event in events:
                yield event

    def _unsubscribe(self, id: str, sender: str = "", **_: Any) -> None:
        """End what the sender watches of a task: a Naylence client can't cancel a stream."""
        live = self._tasks.find(id)
        for watch in live.watches if live is not None and sender else ():
            watch.stopped = watch.stopped or watch.sender == sender
        if live is not None:
            live.wake()

    async def _get(self, id: str, historyLength: int | None = None, **_: Any) -> dict[str, Any]:
        """Tell how a task stands; that it is over once that is on disk."""
        live = self._find(id)
        if live.task.is_over:
            await self._tasks.settled(live)
        return self._document(live, historyLength)

    async def _cancel(self, id: str, **_: Any) -> dict[str, Any]:
        """Cancel a task."""
        live = self._find(id)
        if live.task.is_over:
            raise RemoteError(f"Task cannot be canceled: {id} is {live.task.state}", code=wire.NOT_CANCELABLE)
        self._tasks.cancel(live)
        await self._tasks.written(live)
        return self._document(live)

    def _list(self, **_: Any) -> list[dict[str, Any]]:
        """Tell which tasks there are, the latest first."""
        return [wire.task_document(task, brief=True) for task in islice(self._tasks.latest(), LISTED)]

    def _push(self, **_: Any) -> None:
        raise RemoteError("Push Notification is not supported", code=wire.NO_PUSH)

    def _taken(
        self, task_id: str, payload: msgspec.Raw, session: str | None, metadata: Mapping[str, Any] | None
    ) -> Live:
        """Return the task of a request to start one: new, the same sent again, or one that this answers."""
        live = self._tasks.find(task_id)
        if live is not None and live.task.state == INPUT_REQUIRED:
            self._tasks.answer(live, payload)
            return live
        if live is not None and live.task.answers[-1:] == [payload]:
            return live  # the same answer again
        name = self._name(metadata)
        if live is not None:
            if asked_again(live.task, name, payload):
                return live
            raise RemoteError(f"there is another task {task_id}", code=INVALID_PARAMS, data={"parameter": "id"})
        if not 0 < len(task_id) <= MAX_ID:
            raise RemoteError(f"id needs 1 to {MAX_ID} characters", code=INVALID_PARAMS, data={"parameter": "id"})
        if len(session or "") > MAX_ID:
            told = f"sessionId has more than {MAX_ID} characters"
            raise RemoteError(told, code=INVALID_PARAMS, data={"parameter": "sessionId"})
        return self._tasks.start(task_id, name, payload, session or "")

    def _name(self, metadata: Mapping[str, Any] | None) -> str:
        name = (metadata or {}).get(wire.NAME)
        if name is None and len(self._tasks.offered) == 1:
            return next(iter(self._tasks.offered))
        if isinstance(name, str) and name in self._tasks.offered:
            return name
        names = list(self._tasks.offered)
        wrong = "which task? name it" if name is None else f"no task {str(name)[:100]}; name one"
        told_names = f"{wrong} in metadata {wire.NAME}: {', '.join(names)}"
        raise RemoteError(told_names, code=INVALID_PARAMS, data={"tasks": names})

    def _document(self, live: Live, history: int | None = None) -> dict[str, Any]:
        room = self._tasks.bounds.update_bytes // 2
        return wire.task_document(live.task, wire.messages_of(live.task.said, history, room) if history else None)

    def _find(self, task_id: str) -> Live:
        live = self._tasks.find(task_id)
        if live is None:
            raise _not_found(task_id)
        return live


def _payload(message: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(wire.value_of_message(message)))


def _not_found(task_id: str) -> RemoteError:
    return RemoteError(f"Task not found: {task_id[:MAX_ID]}", code=wire.NOT_FOUND)
