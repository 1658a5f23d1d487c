"""Runs an agent's operations for the requests that come in: bounded, concurrent, cancellable.

One task a call, except for plain functions, which are answered in the turn their request arrives in. At most
`max_concurrent` run; as many times ten may wait; beyond that a caller is told that the agent is busy. A handler's
exception is its caller's answer, never the host's end.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Coroutine
from contextlib import aclosing, nullcontext
from functools import partial

import msgspec

from fame_cli.core.calls import CallKey
from fame_cli.core.effects import Request
from fame_cli.core.envelope import encode_json
from fame_cli.errors import FameError, LocalProtocolError, RemoteError
from fame_cli.node.agent import METHOD_NOT_FOUND, Agent
from fame_cli.node.log import log_event
from fame_cli.node.operation import INTERNAL, INVALID_PARAMS, Operation
from fame_cli.node.runner import Node
from fame_cli.node.task_desk import TaskDesk
from fame_cli.node.task_wire import METHODS
from fame_cli.node.tasks import Tasks, TaskStore
from fame_cli.node.timeleft import DEADLINE
from fame_cli.node.told import encodable as _encodable
from fame_cli.node.told import is_end_of_task as _is_end_of_task
from fame_cli.node.told import told as _told

__all__ = ["AgentHost"]

WAITING_PER_SLOT = 10
"""Requests that may wait for each one that may run."""

ITEMS_A_TURN = 128
"""Items a stream may send before others get their turn, if its generator never waits for anything."""

PACK_ITEMS = 16
"""Items in one answer at most: a reader that stops is ahead by so many times the window (measured, `bench_speed.py`:
75 000 items/s over two sentinels with 1, 600 000 with 16, 850 000 with 128)."""

PACK_BYTES = 3072
"""Bytes of the items in one answer at most: less than the least limit a node on the way may have (4096)."""

PLAIN = (int, str, float, list, dict, tuple, bool, type(None))
"""Results that are neither awaitable nor streams, told by a look instead of asking two protocols (timeit: 0.2 µs)."""

BUSY = -32029
"""JSON-RPC code for "too much at once" (spec 8.2)."""


class AgentHost:
    """Serve one agent at one address of a node.

    Args:
        node: where its requests come from.
        agent: what runs.
        max_concurrent: calls that may run at once, 1 to 10 000; and as many tasks.
        task_store: where the agent's tasks outlive the process; None for nowhere.
    """

    def __init__(
        self, node: Node, agent: Agent, max_concurrent: int = 64, *, task_store: TaskStore | None = None
    ) -> None:
        self._node = node
        self._agent = agent
        self._slots = max_concurrent
        self._waiting: deque[Request] = deque()
        self._running: dict[CallKey, asyncio.Task[None]] = {}
        self._blocked: dict[CallKey, asyncio.Event] = {}
        self._messages = 0
        self._about_tasks: set[CallKey] = set()
        self._tasks = Tasks(node, agent.tasks, max_concurrent, store=task_store) if agent.tasks else None
        self._desk = TaskDesk(self._tasks) if self._tasks is not None else None

    async def load_tasks(self) -> None:
        """Take up the tasks that an earlier process of this agent left behind."""
        if self._tasks is not None:
            await self._tasks.load()

    def _is_about_tasks(self, request: Request) -> bool:
        return self._desk is not None and request.method in METHODS

    def _is_free(self) -> bool:
        """Tell whether one more call may run; those that start and watch tasks need no slot."""
        return len(self._running) - len(self._about_tasks) + self._messages < self._slots

    def dispatch(self, request: Request) -> None:
        """Answer a request now, start to, or let it wait for a free slot."""
        if self._is_free() or self._is_about_tasks(request):
            self._begin(request)
        elif len(self._waiting) < self._slots * WAITING_PER_SLOT:
            self._waiting.append(request)
        elif request.key is not None:
            self._node.reply_error(request.key, BUSY, f"busy: {self._slots} calls run and {len(self._waiting)} wait")
        elif request.message:
            self._node.mail.put_off(request.message, "busy")
        else:
            log_event("message_dropped", "warning", address=request.address, reason="busy")

    def dispatch_cancelled(self, key: CallKey, reason: str) -> None:
        """Cancel the task that runs for a call, or forget the call if it still waits."""
        task = self._running.get(key)
        if task is not None:
            task.cancel(reason)
        else:
            self._waiting = deque(request for request in self._waiting if request.key != key)

    def flow_opened(self, key: CallKey) -> None:
        """Let a stream's producer go on."""
        blocked = self._blocked.get(key)
        if blocked is not None:
            blocked.set()

    def resize(self, max_concurrent: int) -> None:
        """Let another number of calls run at once, and as many tasks; those that run go on."""
        self._slots = max_concurrent
        if self._tasks is not None:
            self._tasks.resize(max_concurrent)
        self._next()

    def is_idle(self) -> bool:
        """Tell whether nothing runs or waits for a free slot, and no task would be lost; watching one isn't running."""
        works = len(self._running) > len(self._about_tasks)
        return not (works or self._waiting or self._messages) and (self._tasks is None or self._tasks.is_idle())

    def _begin(self, request: Request) -> None:
        key = request.key
        if key in self._running:
            log_event("request_repeated", "warning", address=request.address, sender=request.sender)
            return
        before = DEADLINE.set(request.deadline)  # for what is called here and, copied, for the task that is made
        try:
            if key is None:
                self._messages += 1
                self._node.spawn(self._take_message(request)).add_done_callback(self._message_taken)
                return
            operation, outcome = self._invoke(request)
            if not isinstance(outcome, PLAIN) and isinstance(outcome, Awaitable | AsyncIterator):
                task = self._node.spawn(self._run(key, operation, request, outcome))
                task.add_done_callback(partial(self._ended, key, outcome))
                self._running[key] = task
                if self._is_about_tasks(request):
                    self._about_tasks.add(key)
                return
        except BaseException as error:  # the boundary to user code: whatever it raises, sys.exit too, is the answer
            if key is None:
                raise
            self._failed(key, request.method, error)
            return
        finally:
            DEADLINE.reset(before)
        self._result(key, operation, outcome)

    def _invoke(self, request: Request) -> tuple[Operation, object]:
        if self._desk is not None and self._is_about_tasks(request):
            return self._desk.invoke(request)
        operation = self._agent.find(request.method)
        args, kwargs = _arguments(request.params)
        return operation, operation.invoke(args, kwargs)

    async def _run(
        self, key: CallKey, operation: Operation, request: Request, outcome: Awaitable[object] | AsyncIterator[object]
    ) -> None:
        try:
            if isinstance(outcome, Awaitable):
                self._result(key, operation, await outcome)
            else:
                await self._produce(key, operation, request, outcome)
        except BaseException as error:  # the boundary to user code, as above
            if _is_end_of_task(error):
                raise
            self._failed(key, operation.name, error)

    def _ended(self, key: CallKey, outcome: object, _: "asyncio.Task[None]") -> None:
        """Take that a call's task is done, be it that it was cancelled before its first step."""
        if isinstance(outcome, Coroutine):
            outcome.close()
        del self._running[key]
        self._about_tasks.discard(key)
        self._blocked.pop(key, None)
        self._next()

    async def _produce(
        self, key: CallKey, operation: Operation, request: Request, items: AsyncIterator[object]
    ) -> None:
        """Send a stream at its reader's pace; a caller that wants one answer gets the first item (spec 8.3)."""
        sent = 0
        pack = _Pack(self._node, key, PACK_BYTES if request.packs else 0)
        async with aclosing(items) if isinstance(items, AsyncGenerator) else nullcontext():
            try:
                async for item in items:
                    data = operation.encode(item)
                    if data == b"null":
                        raise RemoteError(f"{operation.name} yielded null, which ends a stream", code=INTERNAL)
                    if not request.streaming:
                        self._node.reply(key, data)
                        return
                    sent += 1
                    if not pack.add(data):
                        await self._reader_ready(key)
                    elif sent % ITEMS_A_TURN == 0:
                        await asyncio.sleep(0)
            finally:
                pack.flush()
        self._node.reply(key, None)

    async def _reader_ready(self, key: CallKey) -> None:
        """Wait for the credit of a stream; the core says when (`flow_opened`)."""
        self._blocked[key] = asyncio.Event()
        await self._blocked[key].wait()

    def _result(self, key: CallKey, operation: Operation, value: object) -> None:
        try:
            data = None if value is None else operation.encode(value)
        except RemoteError as error:
            self._failed(key, operation.name, error)
        else:
            self._node.reply(key, data)

    def _failed(self, key: CallKey, operation: str, error: BaseException) -> None:
        """Answer with an error, whatever state the exception of somebody else's code is in."""
        if isinstance(error, RemoteError):
            self._node.reply_error(key, error.code, _encodable(str(error)), _sendable(error.data))
            return
        told = _told(error)
        log_event("operation_failed", "warning", operation=operation, error=told)
        self._node.reply_error(key, INTERNAL, _encodable(str(error)) if isinstance(error, FameError) else told)

    async def _take_message(self, request: Request) -> None:
        """Take a message, or run an operation whose answer nobody wants; what is kept is kept until that is done."""
        try:
            if request.method:
                await self._run_to_end(request)
            else:
                await self._agent.on_message(_payload(request.params))
        except BaseException as error:  # the boundary to user code, as above
            if _is_end_of_task(error):
                raise
            log_event("message_failed", "warning", address=request.address, error=_told(error))
            if request.message:
                hopeless = isinstance(error, RemoteError) and error.code in (METHOD_NOT_FOUND, INVALID_PARAMS)
                self._node.mail.failed(request.message, _told(error), tries=int(hopeless))
        else:
            if request.message:
                self._node.mail.handled(request.message)

    async def _run_to_end(self, request: Request) -> None:
        operation, outcome = self._invoke(request)
        if isinstance(outcome, Awaitable):
            await outcome
        elif isinstance(outcome, AsyncIterator) and request.message:
            raise RemoteError(f"{operation.name} is a stream, and nobody reads it", code=INVALID_PARAMS)

    def _message_taken(self, _: "asyncio.Task[None]") -> None:
        self._messages -= 1
        self._next()

    def _next(self) -> None:
        while self._waiting and not self._node.ending and self._is_free():
            request = self._waiting.popleft()
            if request.key is not None and 0 < request.deadline <= time.monotonic():
                self._node.expire(request.key)
            else:
                self._begin(request)


class _Pack:
    """Gather what a stream yields in one turn of the loop, where its caller takes several items in one answer.

    Nothing waits for company: at the end of the turn everything leaves, and what is alone leaves as an item.

    Args:
        most_bytes: of the items in one answer; 0 to send each by itself at once.
    """

    def __init__(self, node: Node, key: CallKey, most_bytes: int) -> None:
        self._node = node
        self._key = key
        self._most_bytes = most_bytes
        self._items: list[bytes] = []
        self._bytes = 0
        self._writable = True

    def add(self, item: bytes) -> bool:
        """Take one item; False when the producer must wait for `flow_opened` before the next."""
        if self._items and self._bytes + len(item) > self._most_bytes:
            self.flush()
        if not self._items and self._most_bytes:
            self._node.turn.add(self)
        self._items.append(item)
        self._bytes += len(item) + 1
        if self._bytes >= self._most_bytes or len(self._items) >= PACK_ITEMS:
            self.flush()
        if not self._writable:  # at the end of an earlier turn; credit may have come since
            self._writable = self._node.core.writable(self._key)
        return self._writable

    def flush(self) -> None:
        """Send what there is."""
        items, self._items, self._bytes = self._items, [], 0
        if items:
            self._writable = self._node.reply_items(self._key, items)


def _payload(params: msgspec.Raw) -> object:
    """Read the JSON of a message.

    Raises:
        RemoteError: -32602, it can't be read.
    """
    try:
        value: object = msgspec.json.decode(params)
    except (msgspec.DecodeError, RecursionError) as error:
        raise RemoteError(f"the message can't be read: {error}", code=INVALID_PARAMS) from error
    return value


def _sendable(data: object) -> object:
    """Return an error's data; nothing when it has no JSON form."""
    try:
        encode_json(data)
    except LocalProtocolError:
        return None
    return data


class _Params(msgspec.Struct, frozen=True):
    """Read the shape the stock proxy sends (spec 8.1)."""

    args: list[object] | msgspec.UnsetType = msgspec.UNSET
    kwargs: dict[str, object] | msgspec.UnsetType = msgspec.UNSET


_params_decoder = msgspec.json.Decoder(_Params)
_object_decoder = msgspec.json.Decoder(dict[str, object])


def _arguments(params: msgspec.Raw) -> tuple[list[object], dict[str, object]]:
    """Read JSON-RPC params: with `args` or `kwargs` positional and keyword, else all keywords (spec 8.1).

    Raises:
        RemoteError: -32602, the params aren't an object, or those keys hold something else.
    """
    try:
        shaped = _params_decoder.decode(params)
        if shaped.args is msgspec.UNSET and shaped.kwargs is msgspec.UNSET:
            return [], _object_decoder.decode(params)
    except (msgspec.DecodeError, RecursionError) as error:
        raise RemoteError(f"params must be an object: {error}", code=INVALID_PARAMS) from error
    return (
        [] if isinstance(shaped.args, msgspec.UnsetType) else shaped.args,
        {} if isinstance(shaped.kwargs, msgspec.UnsetType) else shaped.kwargs,
    )
