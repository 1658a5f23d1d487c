"""The messages a node answers for: what the core decides of them is done here, on a store (ADR 27)."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Set
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fame_cli.core.effects import Bury, Delivered, Effect, Forget, Keep, Move
from fame_cli.core.gate import Refusal
from fame_cli.core.message import DEAD, IN, OUT, Message
from fame_cli.errors import FameError, LocalProtocolError, error_for_nack
from fame_cli.node.deadletters import DeadLetters, Letter
from fame_cli.node.log import log_event
from fame_cli.store.store import Store

if TYPE_CHECKING:
    from fame_cli.node.runner import Node  # which has one of these

__all__ = ["Mail"]

T = TypeVar("T")

MAX_DEAD = 1_000
"""Messages of its own that a node remembers to have given up: the last ones."""


class Mail:
    """Keep the messages of a node, and have them handled.

    Args:
        path: the file they are in; None keeps them in memory.

    Attributes:
        path: as told.
        actions: effect → what performs it.
    """

    def __init__(self, node: "Node", path: Path | None) -> None:
        self._node = node
        self.path = path
        self._stack = AsyncExitStack()
        self._store: Store | None = None
        self._kept_of: dict[str, asyncio.Future[FameError | None]] = {}
        self._over_of: dict[str, asyncio.Future[FameError | None]] = {}
        self._dead: dict[str, FameError] = {}
        self._gone = asyncio.Event()
        delivery = node.core.settings.delivery
        self._letters = DeadLetters(delivery.max_messages, delivery.max_bytes)
        self._returning: dict[str, Letter] = {}
        self._stuck: set[str] = set()  # dead letters that couldn't be moved
        self.actions: dict[type, Callable[[Any], None]] = {
            Keep: self._keep,
            Move: self._move,
            Forget: self._forget,
            Bury: self._bury,
            Delivered: self._delivered,
        }

    @property
    def store(self) -> Store:
        """The open store; an agent's tasks are in it, too.

        Raises:
            LocalProtocolError: it isn't open.
        """
        if self._store is None:
            raise LocalProtocolError("the node isn't running", hint="use it as `async with`")
        return self._store

    @property
    def is_lasting(self) -> bool:
        """Tell whether what is kept outlives the process."""
        return self.path is not None

    async def open(self) -> None:
        """Open the store.

        Raises:
            ConfigError: its file can't be used, see `Store.open`.
        """
        self._store = await self._stack.enter_async_context(Store.open(self.path, self._trouble))

    async def close(self) -> None:
        """Write what waits, and say what is given up with this process."""
        left = 0 if self.is_lasting else len(self._node.core.messages())
        if left:
            log_event("messages_lost", "warning", count=left, reason="the node ends, and keeps no file")
        await self._stack.aclose()

    async def recover(self) -> None:
        """Take up what an earlier process has left; who handles messages has to be serving already.

        Raises:
            ConfigError: the file is damaged.
        """
        if not self.is_lasting:
            return
        kept = await self.store.load()
        for message in kept.messages:
            if message.box == DEAD:
                self._lay(message)
        self._node.perform(self._node.core.recover(kept.messages, kept.lanes, kept.seen, time.monotonic()))

    # What the user wants

    async def send(self, address: str, payload: bytes) -> str:
        """Answer for a message, and return its id once it is kept.

        Raises:
            FameError: it isn't: there is no room, or it can't be written, or not be sent at all.
            RemoteProtocolError: not an address.
        """
        message, effects = self._node.core.send(address, payload, time.monotonic())
        if isinstance(message, Refusal):
            raise error_for_nack(message.code, message.reason)
        loop = self._node.loop
        self._kept_of[message.id] = kept = loop.create_future()
        self._over_of[message.id] = loop.create_future()
        self._node.perform(effects)
        error = await asyncio.shield(kept)  # it is sent, whether or not its sender waits for that
        if error is not None:
            raise error
        return message.id

    async def delivered(self, message_id: str) -> None:
        """Wait until somebody else answers for a message of ours.

        Raises:
            FameError: it was given up.
        """
        over = self._over_of.get(message_id)
        error = self._dead.get(message_id) if over is None else await asyncio.shield(over)
        if error is not None:
            raise error

    def failure(self, message_id: str) -> FameError | None:
        """Return why the last try to deliver a message of ours failed; None where none has."""
        told = next((each.reason for each in self._node.core.state.outbox if each.id == message_id), "")
        reason, _, code = told.removesuffix(")").rpartition(" (")
        return error_for_nack(code, reason) if reason else None

    async def settled(self, timeout_s: float) -> None:
        """Wait until somebody else answers for what would be lost with this process, but no longer than so."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._over_of and not self.is_lasting:
                    await asyncio.wait(self._over_of.values())

    async def calm(self, quiet_s: float) -> int:
        """Wait as long as messages go, one within so many seconds after another; return how many are left."""
        with contextlib.suppress(TimeoutError):
            while len(self._node.core.state.outbox):
                self._gone.clear()
                async with asyncio.timeout(quiet_s):
                    await self._gone.wait()
        return len(self._node.core.state.outbox)

    # What becomes of messages that have come

    def handled(self, message_id: str) -> None:
        """Take that the handler of a message has returned."""
        self._node.perform(self._node.core.handled(message_id, time.monotonic()))

    def failed(self, message_id: str, reason: str, *, tries: int = 0) -> None:
        """Take that the handler of a message has failed; see `NodeCore.unhandled`."""
        self._node.perform(self._node.core.unhandled(message_id, reason, time.monotonic(), tries=tries))

    def put_off(self, message_id: str, reason: str) -> None:
        """Take that a message couldn't be given to its handler now."""
        self._node.perform(self._node.core.unhandled(message_id, reason, time.monotonic(), counts=False))

    # Looking after them

    def letters(self) -> Iterator[Letter]:
        """Iterate over all messages this node keeps; nothing else may happen meanwhile."""
        yield from ((each, len(each.payload)) for each in self._node.core.messages())
        yield from self._letters

    async def find(self, box: str, id: str) -> Message | None:
        """Return a message with its payload, None where there is none."""
        if box == DEAD:
            return next(iter(await self._dead_ones({id})), None)
        return next((each for each in self._node.core.messages() if (each.box, each.id) == (box, id)), None)

    async def retry(self, ids: Iterable[str]) -> tuple[list[str], str]:
        """Put dead letters back where they were given up; returns once that is on the disk.

        Returns:
            The ids of those that wait again, and why the others don't, as far as there is a reason.
        """
        retried: list[str] = []
        reason = ""
        for message in await self._dead_ones(set(ids)):
            if message.id not in self._letters:
                continue  # somebody else was quicker
            refusal, effects = self._node.core.retry(message, time.monotonic())
            if refusal is not None:
                reason = refusal.reason
                continue
            letter = self._letters.take(message.id)
            if letter is not None:
                self._returning[message.id] = letter
            retried.append(message.id)
            self._stuck.discard(message.id)
            self._node.perform(effects)
        await self.store.flush()
        back = [id for id in retried if id not in self._stuck]  # which may have failed again by now
        return back, reason or ("" if len(back) == len(retried) else "the store can't be written")

    async def drop(self, box: str, ids: Iterable[str]) -> list[str]:
        """Remove messages for good, and return the ids of those that are gone, from the disk, too."""
        dropped: list[str] = []
        effects: list[Effect]
        for id in ids:
            if box == DEAD:
                gone, effects = self._letters.take(id) is not None, [Forget(DEAD, id)]
            elif box in (IN, OUT):
                gone, effects = self._node.core.drop(box, id, time.monotonic())
            else:
                gone, effects = False, []
            if gone:
                dropped.append(id)
                self._node.perform(effects)
        await self.store.flush()
        return dropped

    async def _dead_ones(self, ids: Set[str]) -> list[Message]:
        if not any(id in self._letters for id in ids):
            return []
        return [each for each in (await self.store.load()).messages if each.box == DEAD and each.id in ids]

    def _lay(self, message: Message) -> None:
        """Take note of a dead letter; the oldest go where there are too many."""
        for each in self._letters.add(message):
            log_event("dead_letter_dropped", "warning", address=each.address, message=each.id)
            self.store.remove(DEAD, each.id)

    # Effects

    def _keep(self, effect: Keep) -> None:
        self.store.put(effect.message, partial(self._kept, effect.message.box, effect.message.id))

    def _kept(self, box: str, message_id: str, error: FameError | None) -> None:
        core, now = self._node.core, time.monotonic()
        told = core.kept(box, message_id, now) if error is None else core.unkept(box, message_id, str(error), now)
        if box == OUT:
            _settle(self._kept_of.pop(message_id, None), error)
        self._node.perform(told)

    def _move(self, effect: Move) -> None:
        self.store.move(effect.message, effect.source, partial(self._moved, effect.message.id))

    def _moved(self, message_id: str, error: FameError | None) -> None:
        core, now = self._node.core, time.monotonic()
        letter = self._returning.pop(message_id, None)
        if letter is not None and error is not None:
            self._letters.put_back(letter)
            self._stuck.add(message_id)
        self._node.perform(core.moved(message_id, now) if error is None else core.unmoved(message_id, str(error), now))

    def _forget(self, effect: Forget) -> None:
        self.store.remove(effect.box, effect.id)

    def _bury(self, effect: Bury) -> None:
        self.store.move(effect.message, effect.message.origin)
        self._lay(effect.message)

    def _delivered(self, effect: Delivered) -> None:
        error = error_for_nack(effect.code, effect.reason) if effect.code else None
        over = self._over_of.pop(effect.id, None)
        self._gone.set()
        if error is not None and over is not None:
            self._dead[effect.id] = error
            if len(self._dead) > MAX_DEAD:
                del self._dead[next(iter(self._dead))]
        _settle(over, error)

    def _trouble(self, error: FameError | None) -> None:
        if error is None:
            log_event("storage_recovered", path=str(self.path))
        else:
            log_event("storage_failed", "error", path=str(self.path), reason=str(error))


def _settle(future: "asyncio.Future[T] | None", result: T) -> None:
    if future is not None and not future.done():
        future.set_result(result)
