"""How long, how much and how often a node answers for a message: what `delivery` and `mailboxes` of a config say. Pure.

Times are seconds; bytes are those of payloads.
"""

from dataclasses import dataclass

__all__ = ["WEEK_S", "Delivery", "Mailbox"]

WEEK_S = 604_800.0
"""Seconds a message is tried for, unless a config says otherwise."""


@dataclass(slots=True, frozen=True)
class Delivery:
    """Say how messages are delivered.

    Args:
        at_least_once: True where each is acknowledged, and sent again until it is; False where each is sent once.
        ack_timeout_s: seconds to wait for an acknowledgement before it is sent again the first time, > 0.
        max_attempts: how often one is sent, or given to its handler, before it is dead; 0 for no bound.
        max_age_s: seconds after which it is given up; 0 for never.
        max_messages: messages the boxes of this node may hold; what doesn't fit is refused.
        max_bytes: bytes they may hold.
    """

    at_least_once: bool = False
    ack_timeout_s: float = 5.0
    max_attempts: int = 0
    max_age_s: float = WEEK_S
    max_messages: int = 100_000
    max_bytes: int = 268_435_456


@dataclass(slots=True, frozen=True)
class Mailbox:
    """Say what a sentinel keeps for an address that is away.

    Args:
        address: exactly one, e.g. ``math1@fame.fabric``.
        max_messages: messages it may hold.
        max_bytes: bytes it may hold.
        max_age_s: seconds after which a message in it is given up; 0 for never.
    """

    address: str
    max_messages: int = 10_000
    max_bytes: int = 67_108_864
    max_age_s: float = WEEK_S
