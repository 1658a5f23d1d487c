"""Runs an agent's tasks, outside the calls that start and watch them, and writes them down where there is a store.

What may happen to a task is in ``core/task.py``, what callers may ask of it in ``task_desk.py``. At most as many tasks
run as calls may, ten times as many wait. A watcher follows the task itself, not a queue: one that is slow misses
updates that are no longer kept, and costs nothing.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import msgspec

from fame_cli.core.task import INPUT_REQUIRED, NOTHING, Bounds, Finished, Task, advance
from fame_cli.errors import FameError, RemoteError
from fame_cli.node import task_wire as wire
from fame_cli.node.log import log_event
from fame_cli.node.operation import INTERNAL, Operation
from fame_cli.node.runner import Node
from fame_cli.node.task import ThisTask, enter_task
from fame_cli.node.timeleft import DEADLINE
from fame_cli.node.told import encodable, is_end_of_task, told

__all__ = ["BUSY", "HEARTBEAT_S", "MAX_WATCHERS", "Live", "TaskStore", "Tasks"]

HEARTBEAT_S = 10.0
"""Seconds after which a watcher is told the state again: a caller gives up after 30 without a word (spec 8.3)."""

MAX_WATCHERS = 1000
"""Subscriptions at once."""

WAITING_PER_SLOT = 10
"""Tasks that may wait for each one that may run."""

RETRY_S = 5.0
"""Seconds until a task that couldn't be written down is written again."""

BUSY = -32029
"""JSON-RPC code for "too much at once" (spec 8.2)."""


class TaskStore(Protocol):
    """Keep the tasks of one agent over restarts; ``store/tasks.py`` does."""

    def put(self, task: Task, done: Callable[[FameError | None], None] | None = None) -> None:
        """Write a task down in place of what was known of it; `done` hears when it is on disk, or why not."""
        ...

    def remove(self, task_id: str) -> None:
        """Forget a task."""
        ...

    async def load(self) -> list[Task]:
        """Return all there are, the oldest first."""
        ...


@dataclass(slots=True, eq=False)
class _Watch:
    sender: str
    stopped: bool = False


@dataclass(slots=True, eq=False)
class Live:
    """Hold a task and what belongs to this process of it."""

    task: Task
    outcome: object = None
    run: "asyncio.Task[None] | None" = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    answer: "asyncio.Future[msgspec.Raw] | None" = None
    watches: set[_Watch] = field(default_factory=set)
    saving: bool = False
    saved: int = -1
    failure: FameError | None = None

    def wake(self) -> None:
        """Have those who wait for something new look again."""
        self.changed.set()
        self.changed = asyncio.Event()


class Tasks:
    """Keep and run the tasks of one agent.

    Args:
        node: runs them; they end with it.
        offered: what the agent offers, by name.
        most: tasks that may run at once.
        store: where they outlive the process; None for nowhere.
        heartbeat_s: see `HEARTBEAT_S`.
        bounds: what is kept.
    """

    def __init__(
        self,
        node: Node,
        offered: Mapping[str, Operation],
        most: int,
        *,
        store: TaskStore | None = None,
        heartbeat_s: float = HEARTBEAT_S,
        bounds: Bounds | None = None,
    ) -> None:
        self.offered = offered
        self.bounds = bounds or Bounds.within(node.core.settings.max_message_bytes)
        self._node = node
        self._most = most
        self._store = store
        self._heartbeat_s = heartbeat_s
        self._lives: dict[str, Live] = {}
        self._finished = Finished(self.bounds)
        self._waiting: deque[Live] = deque()
        self._running = 0
        self._watching = 0

    def resize(self, most: int) -> None:
        """Let another number of tasks run at once; those that run go on."""
        self._most = most
        self._next()

    def is_idle(self) -> bool:
        """Tell whether the process may end without a loss: nothing runs or waits, or a store knows of it."""
        return self._store is not None or not (self._running or self._waiting)

    def find(self, task_id: str) -> Live | None:
        """Return a task that is still known."""
        self._tidy()
        return self._lives.get(task_id)

    def latest(self) -> Iterator[Task]:
        """Yield the tasks that are known, the latest first."""
        self._tidy()
        return (live.task for live in reversed(self._lives.values()))

    def start(self, task_id: str, name: str, payload: msgspec.Raw, session: str) -> Live:
        """Take a task; it runs as soon as there is room.

        Raises:
            RemoteError: -32602, its arguments don't fit; -32029, too many wait already.
        """
        if self._running >= self._most and len(self._waiting) >= self._most * WAITING_PER_SLOT:
            raise RemoteError(f"busy: {self._running} tasks run and {len(self._waiting)} wait", code=BUSY)
        now = time.time()
        live = Live(Task(id=task_id, name=name, payload=payload, session=session, created_at=now, since=now))
        live.outcome = self._called(live.task)
        self._lives[task_id] = live
        self._save(live)
        self._queue(live)
        return live

    def answer(self, live: Live, payload: msgspec.Raw) -> None:
        """Give a task that asks something its answer."""
        self._step(live, "answer", payload)
        if live.answer is not None and not live.answer.done():
            live.answer.set_result(payload)

    def cancel(self, live: Live) -> None:
        """Cancel a task that isn't over."""
        self._step(live, "cancel")
        if live.run is not None:
            live.run.cancel("tasks/cancel")
        elif live in self._waiting:
            self._waiting.remove(live)

    def _called(self, task: Task) -> object:
        """Check a task's arguments and return what its method gave: a coroutine or a generator, not begun."""
        value = msgspec.json.decode(task.payload)
        if isinstance(value, dict):
            return self.offered[task.name].invoke((), value)
        return self.offered[task.name].invoke(() if value is None else (value,), {})

    # Running

    def _queue(self, live: Live) -> None:
        self._waiting.append(live)
        self._next()
        if live.run is None:
            _close(live)  # its arguments are checked; it is called again when there is room

    def _next(self) -> None:
        while self._waiting and self._running < self._most and not self._node.ending:
            live = self._waiting.popleft()
            self._running += 1
            self._step(live, "start")
            live.run = self._node.spawn(self._run(live))
            live.run.add_done_callback(partial(self._ran, live))

    def _ran(self, live: Live, _: "asyncio.Task[None]") -> None:
        _close(live)
        live.run = None
        self._running -= 1
        self._next()

    async def _run(self, live: Live) -> None:
        operation, task = self.offered[live.task.name], live.task
        last = msgspec.json.decode(task.updates[-1].value) if task.updates else None
        tell, ask = partial(self._update, live, operation), partial(self._ask, live, operation, deque(task.answers))
        DEADLINE.set(0.0)  # that of the call that started it, which has its answer by now
        enter_task(ThisTask(task.id, task.session or task.id, task.starts, last, tell, ask))
        try:
            if live.outcome is None:
                live.outcome = self._called(task)
            outcome = live.outcome
            if isinstance(outcome, AsyncGenerator):
                result = await self._drain(live, operation, outcome)
            elif isinstance(outcome, Awaitable):
                result = await outcome
            else:
                result = outcome
            if not live.task.is_over:
                self._step(live, "complete", msgspec.Raw(operation.encode(result)))
        except BaseException as error:  # the boundary to user code: whatever it raises, sys.exit too, is the outcome
            if is_end_of_task(error):
                raise
            self._fail(live, error)

    async def _drain(self, live: Live, operation: Operation, items: AsyncGenerator[Any, None]) -> Any:
        """Tell what a task yields; the last of it is its result."""
        item = None
        async with aclosing(items):
            async for item in items:
                self._update(live, operation, item)
                if live.task.is_over:
                    break
                await asyncio.sleep(0)  # a generator that never waits must not keep the others from their turn
        return item

    def _update(self, live: Live, operation: Operation, value: Any) -> None:
        if not live.task.is_over:
            self._step(live, "update", msgspec.Raw(operation.encode(value)))

    async def _ask(self, live: Live, operation: Operation, earlier: deque[msgspec.Raw], question: Any) -> Any:
        if earlier:
            return msgspec.json.decode(earlier.popleft())
        self._step(live, "ask", msgspec.Raw(operation.encode(question)))
        live.answer = self._node.loop.create_future()
        try:
            return msgspec.json.decode(await live.answer)
        finally:
            live.answer = None
            if live.task.state == INPUT_REQUIRED and not self._node.ending:
                self._step(live, "withdraw")

    def _fail(self, live: Live, error: BaseException) -> None:
        if live.task.is_over:
            return
        text = told(error)
        log_event("task_failed", "warning", task=live.task.id, name=live.task.name, error=text)
        said = encodable(str(error)) if isinstance(error, FameError) else text
        self._step(live, "fail", msgspec.Raw(msgspec.json.encode(said[: self.bounds.result_bytes // 8])))

    def _step(self, live: Live, step: str, value: msgspec.Raw = NOTHING) -> None:
        live.task = advance(live.task, step, time.time(), self.bounds, value)
        self._save(live)
        live.wake()
        if live.task.is_over:
            self._finished.add(live.task)
            self._tidy()

    def _tidy(self) -> None:
        for task_id in self._finished.spare(time.time()):
            del self._lives[task_id]
            if self._store is not None:
                self._store.remove(task_id)

    # Watching

    async def watch(self, live: Live, sender: str) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the events of a task: its state, what is kept of its updates, then what comes, until it is over."""
        if self._watching >= MAX_WATCHERS:
            raise RemoteError(f"busy: {MAX_WATCHERS} subscriptions are open", code=BUSY)
        watch = _Watch(sender)
        live.watches.add(watch)
        self._watching += 1
        try:
            state, number = ("", 0.0), 0
            while not watch.stopped:
                task, changed = live.task, live.changed
                if not task.is_over and (task.state, task.since) != state:
                    state = task.state, task.since
                    yield wire.event_of(task)
                for update in task.updates:
                    if update.number >= number:
                        yield wire.update_event(task.id, update)
                        number = update.number + 1
                if task.is_over:
                    await self.settled(live)
                    yield wire.event_of(task)
                    return
                if live.task is task and not await self._news(changed):
                    state = "", 0.0
        finally:
            live.watches.discard(watch)
            self._watching -= 1

    async def _news(self, changed: asyncio.Event) -> bool:
        """Wait for something new; False when it is time to say that there is nothing."""
        try:
            async with asyncio.timeout(self._heartbeat_s):
                await changed.wait()
        except TimeoutError:
            return False
        return True

    # Storing

    async def load(self) -> None:
        """Take up what the store knows: what isn't over runs again, with the same arguments and id."""
        for task in await self._store.load() if self._store is not None else ():
            live = self._lives[task.id] = Live(task, saved=task.version)
            if task.is_over:
                self._finished.add(task)
            else:
                self._resume(live)
        self._tidy()

    def _resume(self, live: Live) -> None:
        self._step(live, "restart")
        log_event("task_resumed", task=live.task.id, name=live.task.name, starts=live.task.starts + 1)
        try:
            if live.task.starts >= self.bounds.starts:
                raise RemoteError(f"it was started {live.task.starts} times and never came any further", code=INTERNAL)
            if live.task.name not in self.offered:
                raise RemoteError(f"the agent has no task {live.task.name} any more", code=INTERNAL)
            live.outcome = self._called(live.task)
        except RemoteError as error:
            self._fail(live, error)
        else:
            self._queue(live)

    def _save(self, live: Live) -> None:
        """Write a task down, one version at a time: those between are passed over."""
        if self._store is None or live.saving:
            return
        live.saving = True
        self._store.put(live.task, partial(self._saved, live, live.task.version))

    def _saved(self, live: Live, version: int, error: FameError | None) -> None:
        live.saving = False
        live.failure = error
        if error is None:
            live.saved = version
        else:
            log_event("task_not_stored", "error", task=live.task.id, reason=str(error))
            self._node.loop.call_later(RETRY_S, self._save_again, live)
        live.wake()
        if error is None and live.task.version != version and live.task.id in self._lives:
            self._save(live)

    def _save_again(self, live: Live) -> None:
        """Try once more to write a task down, or a restart would find it as it was."""
        if live.failure is not None and live.task.id in self._lives and not self._node.ending:
            self._save(live)

    async def written(self, live: Live) -> None:
        """Wait until the task is on disk as it is now; without a store it needs no waiting.

        Raises:
            RemoteError: it can't be written; it is cancelled then.
        """
        await self.settled(live)
        if live.failure is not None:
            if not live.task.is_over:
                self.cancel(live)
            told_failure = f"what becomes of task {live.task.id} can't be kept: {live.failure}"
            raise RemoteError(told_failure, code=INTERNAL)

    async def settled(self, live: Live) -> None:
        """Wait until the task is on disk as it is now, or can't be written."""
        version = live.task.version
        while self._store is not None and live.saved < version and live.failure is None:
            await live.changed.wait()


def _close(live: Live) -> None:
    """Close a coroutine that was never begun, or Python complains about it."""
    if isinstance(live.outcome, Coroutine):
        live.outcome.close()
    live.outcome = None
