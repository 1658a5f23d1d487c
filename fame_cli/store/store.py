"""The messages a node answers for, kept while it runs and, in a file, beyond that.

The verbs only queue: they are called from where effects are performed, and nothing there may wait. One thread takes
what has been queued as one transaction and comes back; what was queued meanwhile is the next one. So a batch is as
large as the disk is slow, and `done` is called once its change is on the disk. A change nobody waits for (it has no
`done`) goes along with the next one that somebody does, or by itself a moment later.

A failure takes nothing down. A batch that fails is halved until what can't be written is alone, and that is told to its
`done`. A change nobody waits for is owed: it is tried again until it succeeds or a later change of the same message
does, so that a message that was handled doesn't come back after a restart.

Behind a message that failed nothing is written in its lane before its `done` has been told: the number of what follows
would cover the one that isn't there.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from fame_cli.core.message import IN, Message
from fame_cli.errors import FameError, StoreFull
from fame_cli.store.medium import Change, Kept, Medium, Put, Remove, Saw
from fame_cli.store.memory import Memory

__all__ = ["MAX_WAITING_BYTES", "Done", "Kept", "Store", "StoreFull"]

MAX_WAITING_BYTES = 268_435_456
"""Bytes that may wait for the disk; a message that comes then is refused."""

MAX_BATCH, MAX_BATCH_BYTES = 1_024, 8_388_608
"""Changes, and bytes of them, in one transaction."""

MAX_OWED = 1_000_000
"""Changes that are tried again; the oldest beyond it are given up."""

RETRY_S = 1.0
"""Seconds between two tries of what is owed, when nothing else is written."""

LINGER_S = 0.01
"""Seconds that a change nobody waits for may wait for others to be written with."""

FORGET_S = 3_600.0
"""Seconds between two looks for ids and lanes to forget."""

_CHANGE_BYTES = 256  # what a change takes beside its payload, roughly

Done = Callable[[FameError | None], None]
"""Called on the loop with None once a change is on the disk, or with why it isn't."""


class _Write(msgspec.Struct):
    """Hold what is written in one piece, and who waits for it."""

    changes: tuple[Change, ...]
    size: int
    done: Done | None = None


class Store:
    """Keep messages; opened by ``async with Store.open(path)``, and used in that loop alone."""

    def __init__(self, medium: Medium, thread: ThreadPoolExecutor | None, on_trouble: Done | None) -> None:
        self._medium = medium
        self._thread = thread
        self._on_trouble = on_trouble
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Write] = deque()
        self._waiting_bytes = 0
        self._owed: dict[object, Change] = {}
        self._trouble: FameError | None = None
        self._has_begun = False  # a batch is on its way, or the turn that takes it
        self._retry: asyncio.TimerHandle | None = None
        self._lingering: asyncio.TimerHandle | None = None
        self._forget_at = time.monotonic() + FORGET_S

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, path: Path | None, on_trouble: Done | None = None) -> "AsyncIterator[Store]":
        """Open a store, and close it after having written what waits.

        Args:
            path: its file; None for memory alone.
            on_trouble: called with the first failure of several, and with None once writing works again.

        Raises:
            ConfigError: the file is damaged, of a later version, another program's, held by another process, or others
                can read it.
        """
        medium: Medium = Memory()
        thread = None
        if path is not None:
            thread = ThreadPoolExecutor(1, "fame-store")
            try:
                medium = await asyncio.get_running_loop().run_in_executor(thread, _open, path)
            except BaseException:
                thread.shutdown(wait=False)
                raise
        store = cls(medium, thread, on_trouble)
        try:
            yield store
        finally:
            await store._close()

    def put(self, message: Message, done: Done | None = None) -> None:
        """Keep a message, in place of one with its box and id, which keeps its place in the order.

        In the same transaction, for a message in the inbox: its place becomes that of its lane, unless a later one is
        there; without a lane its id is remembered, as by `saw`. With too much waiting for the disk already, `done` is
        told so in the next turn, before what waits.
        """
        if done is not None and self._waiting_bytes >= MAX_WAITING_BYTES:
            full = StoreFull("too many messages wait for the disk", hint="send less at once")
            self._loop.call_soon(done, full)
            return
        self._add(done, Put(message))

    def remove(self, box: str, id: str, done: Done | None = None) -> None:
        """Let a message go; one that isn't there is none the less gone."""
        self._add(done, Remove(box, id))

    def move(self, message: Message, from_box: str, done: Done | None = None) -> None:
        """Put a message in its box and remove it from another, in one transaction."""
        self._add(done, Put(message), Remove(from_box, message.id))

    def saw(self, envelope_id: str, at: float, done: Done | None = None) -> None:
        """Remember the id of an envelope for a day.

        Args:
            at: when it came, seconds of the epoch.
        """
        self._add(done, Saw(envelope_id, at))

    async def load(self) -> Kept:
        """Return all that is kept, with what was asked so far.

        Raises:
            ConfigError: the file is damaged.
        """
        with contextlib.suppress(StoreFull):
            await self.flush()
        if self._thread is None:
            return self._medium.read()
        return await self._loop.run_in_executor(self._thread, self._medium.read)

    async def flush(self) -> None:
        """Wait until all that was asked so far is on the disk, or its `done` has been told why not.

        Raises:
            StoreFull: something that nobody else waits for couldn't be written; it will be tried again.
        """
        written: asyncio.Future[None] = self._loop.create_future()

        def done(error: FameError | None) -> None:
            if not written.done():
                written.set_result(None)

        self._add(done)
        await written
        if self._owed and self._trouble is not None:
            raise self._trouble

    async def _close(self) -> None:
        if self._waiting or self._owed or self._has_begun:
            with contextlib.suppress(StoreFull):  # `on_trouble` knows
                await self.flush()
        for timer in (self._retry, self._lingering):
            if timer is not None:
                timer.cancel()
        if self._thread is None:
            self._medium.close()
            return
        try:
            await self._loop.run_in_executor(self._thread, self._medium.close)
        finally:
            self._thread.shutdown(wait=False)

    def _add(self, done: Done | None, *changes: Change) -> None:
        size = 0
        for change in changes:
            size += _size(change)
        write = _Write(changes, size, done)
        self._waiting.append(write)
        self._waiting_bytes += write.size
        if done is None:
            self._begin_later()
        else:
            self._begin_soon()

    def _begin_later(self) -> None:
        if not self._has_begun and self._lingering is None:
            self._lingering = self._loop.call_later(LINGER_S, self._begin_soon)

    def _begin_soon(self) -> None:
        if not self._has_begun:
            self._has_begun = True
            self._loop.call_soon(self._begin)  # what else this turn asks for goes along

    def _begin(self) -> None:
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        batch = self._take()
        is_time = time.monotonic() >= self._forget_at
        if is_time:
            self._forget_at = time.monotonic() + FORGET_S
        if self._thread is None:
            self._finish(batch, _work(self._medium, batch, is_time))
            return
        running = self._loop.run_in_executor(self._thread, _work, self._medium, batch, is_time)
        running.add_done_callback(lambda ended: self._worked(batch, ended))

    def _take(self) -> list[_Write]:
        """Return the next batch: what is owed comes first, for it is older."""
        batch: list[_Write] = []
        size = 0
        for change in self._owed.values():
            if len(batch) == MAX_BATCH or size >= MAX_BATCH_BYTES:
                break
            batch.append(_Write((change,), _size(change)))
            size += batch[-1].size
        most, room = len(batch) + MAX_BATCH, MAX_BATCH_BYTES
        while self._waiting and len(batch) < most and room > 0:
            batch.append(self._waiting.popleft())
            room -= batch[-1].size
            self._waiting_bytes -= batch[-1].size
        return batch

    def _worked(self, batch: list[_Write], ended: "asyncio.Future[list[FameError | None]]") -> None:
        if ended.cancelled():
            return  # the loop ends with us unclosed
        failure = ended.exception()
        bug = FameError(f"a store failed: {type(failure).__name__}", hint="please report it")
        self._finish(batch, [bug] * len(batch) if failure else ended.result())

    def _finish(self, batch: list[_Write], results: Sequence[FameError | None]) -> None:
        ended = [*zip(batch, results, strict=True), *self._behind(batch, results)]
        self._tell(next((error for error in results if error is not None), None), batch)
        for write, error in ended:
            self._settle(write, error)
            if write.done is not None:
                self._call(write.done, error)
        self._has_begun = False
        if any(write.done is not None for write in self._waiting):
            self._begin_soon()
        elif self._waiting:
            self._begin_later()
        elif self._owed and self._retry is None:
            self._retry = self._loop.call_later(RETRY_S, self._try_again)

    def _behind(
        self, batch: list[_Write], results: Sequence[FameError | None]
    ) -> list[tuple[_Write, FameError | None]]:
        """Take those out of what waits that are in a lane behind one that failed, whose sender can't know yet."""
        failed = {lane: error for write, error in zip(batch, results, strict=True) if error for lane in _lanes(write)}
        if not failed:
            return []
        behind: list[tuple[_Write, FameError | None]]
        behind = [(write, failed[lane]) for write in self._waiting for lane in _lanes(write) if lane in failed]
        lost = {id(write) for write, _ in behind}
        self._waiting = deque(write for write in self._waiting if id(write) not in lost)
        self._waiting_bytes = sum(write.size for write in self._waiting)
        return behind

    def _call(self, done: Done, error: FameError | None) -> None:
        """Tell who waits, before anything else is asked for."""
        try:
            done(error)
        except Exception as failure:
            self._loop.call_exception_handler({"message": "a store's caller failed", "exception": failure})

    def _settle(self, write: _Write, error: FameError | None) -> None:
        """Note what is owed: a change that failed and that nobody was told of."""
        if error is None:
            for change in write.changes if self._owed else ():
                self._owed.pop(_key(change), None)
        elif write.done is None and isinstance(error, StoreFull):
            for change in write.changes:
                self._owed.pop(_key(change), None)
                self._owed[_key(change)] = change
            while len(self._owed) > MAX_OWED:
                self._owed.pop(next(iter(self._owed)))
        elif write.done is None:
            for change in write.changes:  # no time mends it
                self._owed.pop(_key(change), None)

    def _tell(self, error: FameError | None, batch: list[_Write]) -> None:
        has_written = any(write.changes for write in batch)
        is_news = has_written and (error is None) != (self._trouble is None)
        if has_written:
            self._trouble = error
        if is_news and self._on_trouble is not None:
            self._loop.call_soon(self._on_trouble, error)

    def _try_again(self) -> None:
        self._retry = None
        self._begin_soon()


def _open(path: Path) -> Medium:
    """Open a file, in the thread that will use it."""
    from fame_cli.store.database import Database  # sqlite3 takes its time to load, and most nodes keep nothing

    database = Database(path)
    database.forget(time.time())
    return database


def _work(medium: Medium, batch: list[_Write], forget: bool) -> list[FameError | None]:
    """Write a batch; `forget` after it."""
    results = _write(medium, batch)
    if forget:
        medium.forget(time.time())
    return results


def _write(medium: Medium, batch: Sequence[_Write]) -> list[FameError | None]:
    """Write a batch as one transaction; if it fails, piece by piece, so that only what can't be written isn't."""
    return _write_apart(medium, batch, {})


def _write_apart(medium: Medium, batch: Sequence[_Write], failed: dict[str, FameError]) -> list[FameError | None]:
    """Write a batch; if it fails, each half on its own, down to what can't be written.

    Args:
        failed: lane → why a message in it failed. Nothing is written behind that, or its number would count as taken.
    """
    if not batch:
        return []
    if len(batch) == 1:
        error = next((failed[lane] for lane in _lanes(batch[0]) if lane in failed), None)
        if error is not None:
            return [error]
    try:
        if not failed or len(batch) == 1:
            medium.apply([change for write in batch for change in write.changes])
            return [None] * len(batch)
    except FameError as error:
        if len(batch) == 1:
            failed.update(dict.fromkeys(_lanes(batch[0]), error))
            return [error]
    half = len(batch) // 2
    return _write_apart(medium, batch[:half], failed) + _write_apart(medium, batch[half:], failed)


def _lanes(write: _Write) -> list[str]:
    """Return the lanes whose numbers a write takes in."""
    puts = (change.message for change in write.changes if isinstance(change, Put))
    return [message.lane for message in puts if message.box == IN and message.lane]


def _size(change: Change) -> int:
    return _CHANGE_BYTES + len(change.message.payload) if isinstance(change, Put) else _CHANGE_BYTES


def _key(change: Change) -> object:
    """Return what a change is about: a later change with the same key makes an earlier one needless."""
    if isinstance(change, Put):
        return change.message.box, change.message.id
    return (change.box, change.id) if isinstance(change, Remove) else change.id
