"""What a store does to what it keeps, as values, and the two things that can keep it: a file and memory.

A `Medium` is sync and used by one thread at a time; queues, batches and what becomes of failures are `store`'s.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from fame_cli.core.message import IN, Message

__all__ = ["LANE_S", "MAX_LANES", "MAX_SEEN", "SEEN_S", "Change", "Kept", "Medium", "Put", "Remove", "Saw", "seen_by"]

SEEN_S = 86_400.0
"""Seconds for which the id of a message without a lane is remembered."""

MAX_SEEN = 1_000_000
"""Ids that are remembered at most: the newest."""

LANE_S = 90 * 86_400.0
"""Seconds after which a lane is forgotten that nothing came in."""

MAX_LANES = 100_000
"""Lanes that are remembered at most: those last used."""


class Put(msgspec.Struct, frozen=True):
    """Keep a message, in place of one with its box and id, if there is one."""

    message: Message


class Remove(msgspec.Struct, frozen=True):
    """Let a message go; one that isn't there is none the less gone."""

    box: str
    id: str


class Saw(msgspec.Struct, frozen=True):
    """Remember the id of an envelope."""

    id: str
    at: float


Change = Put | Remove | Saw


@dataclass(slots=True)
class Kept:
    """Hold all that a store has.

    Args:
        messages: in the order they were first put.
        lanes: the last place taken in each.
        seen: envelope id → when it came, seconds of the epoch.
    """

    messages: list[Message] = field(default_factory=list)
    lanes: dict[str, int] = field(default_factory=dict)
    seen: dict[str, float] = field(default_factory=dict)


class Medium(Protocol):
    """Keep messages."""

    def apply(self, changes: Sequence[Change]) -> None:
        """Make all changes, in order, or none of them; they are durable once it returns.

        Raises:
            StoreFull: not now; the same changes may be possible later.
            FameError: never: one of them can't be kept by anybody.
        """
        ...

    def read(self) -> Kept:
        """Return everything.

        Raises:
            ConfigError: it is damaged.
        """
        ...

    def forget(self, now: float) -> None:
        """Forget ids and lanes that are too old or too many; a failure leaves them for the next time."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


def seen_by(message: Message) -> bool:
    """Tell whether putting a message has its id remembered: one that was acknowledged, and isn't told by its lane."""
    return message.box == IN and not message.lane
