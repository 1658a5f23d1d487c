"""What a caller holds while it waits, for one answer or for the items of a stream, and what an end without one is."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator

import msgspec

from fame_cli.core.effects import ItemArrived, Outcome
from fame_cli.errors import (
    CallCancelled,
    DeadlineExceeded,
    FameError,
    LinkLost,
    RemoteError,
    StreamEnded,
    error_for_nack,
)
from fame_cli.node.runner import Node

__all__ = ["Answer", "Items", "drain", "error_of", "is_loss"]

MAX_UNREAD_ITEMS = 65_536
"""Answers of one stream, of an item or several, that may wait for their reader."""


class Answer:
    """Wait for one answer."""

    def __init__(self, future: asyncio.Future[Outcome]) -> None:
        self.future = future

    def item_arrived(self, item: ItemArrived) -> None:
        """Never happens: a call that didn't ask for a stream gets none."""

    def call_ended(self, outcome: Outcome) -> None:
        """Take the answer."""
        if not self.future.done():
            self.future.set_result(outcome)


class Items:
    """Hold what a stream has brought and its reader hasn't taken.

    Credits keep that short when our own nodes are all along the way (`flow.OUR_WINDOW`); a plain Naylence agent can't
    be slowed down without slowing all its other calls, so there the stream ends when the reader falls too far behind.
    """

    def __init__(self, node: Node) -> None:
        self.waiting: deque[ItemArrived] = deque()
        self.outcome: Outcome | None = None
        self.changed = asyncio.Event()
        self._node = node

    def item_arrived(self, item: ItemArrived) -> None:
        """Take an item; the stream ends when too many wait."""
        self.waiting.append(item)
        self.changed.set()
        if len(self.waiting) >= MAX_UNREAD_ITEMS:
            self._node.cancel(item.key)
            self.outcome = Outcome("nack", code="QUEUE_FULL", message=f"{MAX_UNREAD_ITEMS} items wait to be read")

    def call_ended(self, outcome: Outcome) -> None:
        """Take the end; what waits can still be read."""
        self.outcome = self.outcome or outcome
        self.changed.set()


async def drain(node: Node, items: Items) -> AsyncGenerator[ItemArrived, None]:
    """Yield items as they come, giving each one's credit back once it is taken; return at the end of the call."""
    while True:
        while items.waiting:
            item = items.waiting.popleft()
            node.item_consumed(item)
            yield item
        if items.outcome is not None:
            return
        items.changed.clear()
        await items.changed.wait()


def is_loss(error: FameError, read: int) -> bool:
    """Tell whether a stream that had begun was cut off, rather than refused or failed."""
    return read > 0 and isinstance(error, LinkLost)


def error_of(outcome: Outcome, target: str | None, operation: str) -> FameError:
    """Turn the end of a call into the error its caller sees."""
    whom = f"{target} {operation}" if target else operation
    match outcome.kind:
        case "error":
            data = bytes(outcome.data)
            return RemoteError(
                outcome.message or "the operation failed without a word",
                code=int(outcome.code),
                data=msgspec.json.decode(data) if data else None,
            )
        case "nack":
            return error_for_nack(outcome.code, outcome.message)
        case "timeout":
            return DeadlineExceeded(f"no answer from {whom} within {outcome.message} s", hint="raise --timeout")
        case "cancelled":
            return CallCancelled(f"{whom} was cancelled")
        case _:
            return StreamEnded(f"{whom} ended without its end mark")
