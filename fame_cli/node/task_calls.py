"""Starts, watches and cancels tasks of agents of either make (spec 8.5), with any client that can call and stream."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from fame_cli.errors import ConnectError, DeadlineExceeded, LinkLost, NoRoute, RemoteError, StreamEnded
from fame_cli.node.clock import new_id
from fame_cli.node.task_client import Asking
from fame_cli.node.task_wire import (
    CANCEL,
    GET,
    NOT_FOUND,
    SEND,
    SUBSCRIBE,
    TaskEvent,
    TaskReport,
    read_event,
    read_task,
    send_params,
)

__all__ = ["PATIENCE_S", "cancel_task", "get_task", "start_task", "watch_task"]

PATIENCE_S = 30.0
"""Seconds a watcher tries to find a task again whose agent is away."""

PAUSE_S = 0.25
"""Seconds between two tries."""

LOSSES = (LinkLost, StreamEnded, NoRoute, DeadlineExceeded, ConnectError)
"""What may be over soon: a link, a sentinel or the agent itself is away, or there was nothing to tell for long."""


async def start_task(
    client: Asking, target: str, payload: Mapping[str, Any] | str | None, *, name: str = "", task_id: str = ""
) -> TaskReport:
    """Start a task, or answer one that asks; see `Client.start_task`."""
    return read_task(await client.request(target, SEND, send_params(task_id or new_id(), payload, name)))


async def get_task(client: Asking, target: str, task_id: str) -> TaskReport:
    """Return how a task stands."""
    params = {"id": task_id, "metadata": None, "historyLength": None}
    return read_task(await client.request(target, GET, params))


async def cancel_task(client: Asking, target: str, task_id: str) -> TaskReport:
    """Cancel a task."""
    return read_task(await client.request(target, CANCEL, {"id": task_id, "metadata": None}))


async def watch_task(
    client: Asking, target: str, task_id: str, *, patience_s: float = PATIENCE_S
) -> AsyncGenerator[TaskEvent, None]:
    """Yield what is new of a task until it is over, whatever becomes of links and of its agent meanwhile.

    Args:
        patience_s: seconds to look for it again once it can't be reached any more.

    Raises:
        NoRoute, LinkLost, DeadlineExceeded: it can't be reached, or not again.
        RemoteError: -32001, its agent doesn't know it (any more).
    """
    news = _News()
    while True:
        try:
            async with aclosing(client.open_stream(target, SUBSCRIBE, send_params(task_id, None))) as items:
                async for item in items:
                    event = read_event(item)
                    if news.is_new(event):
                        yield event
                    if event.is_over:
                        return
            raise StreamEnded(f"the agent ended the subscription before {task_id} was over")
        except LOSSES:
            if not news.heard:
                raise
        await _find_again(client, target, task_id, patience_s)


async def _find_again(client: Asking, target: str, task_id: str, patience_s: float) -> None:
    """Wait until a task can be asked about again."""
    loop = asyncio.get_running_loop()
    until = loop.time() + patience_s
    while True:
        try:
            await get_task(client, target, task_id)
        except RemoteError as error:
            if error.code == NOT_FOUND:
                hint = "its agent has restarted and keeps none: give it storage: {profile: sqlite}"
                raise RemoteError(error.message, code=error.code, hint=hint) from error
            raise
        except LOSSES:
            if loop.time() + PAUSE_S > until:
                raise
            await asyncio.sleep(PAUSE_S)
        else:
            return


class _News:
    """Tell what is new from what is said again: after a new subscription, and when there is nothing to say."""

    def __init__(self) -> None:
        self.heard = False
        self._next = 0
        self._state: tuple[str, Any] | None = None

    def is_new(self, event: TaskEvent) -> bool:
        """Take an event."""
        self.heard = True
        if not event.is_update:
            state, self._state = self._state, (event.state, event.value)
            return state != self._state
        if event.number is None:  # an agent of another make
            return True
        if event.number < self._next:
            return False
        self._next = event.number + 1
        return True
