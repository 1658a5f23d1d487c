"""A message that is kept until somebody has answered for it: in an outbox, in an inbox, or as a dead letter. Pure.

Times are seconds of the epoch, because a message may outlive the process that holds it.
"""

from typing import Any

import msgspec

__all__ = ["DEAD", "IN", "MAILBOX", "OUT", "TASK", "Message", "place_of", "row_of", "value_of"]

OUT, IN, DEAD = "out", "in", "dead"
"""Boxes: waits to be acknowledged; was acknowledged and waits to be handled; was given up."""

MAILBOX = "mailbox"
"""How people know what a sentinel keeps for somebody else, whichever box it is in."""

TASK = "task"
"""A box beside those: the tasks of an agent (``store/tasks.py``), which nobody delivers."""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Hold one message.

    Args:
        id: names it in its box, and in its envelope.
        box: `OUT`, `IN` or `DEAD`; `TASK` for what is a task.
        address: whom it is for.
        payload: JSON, as it is in the Data frame.
        lane: names an ordered run of messages from one sender to one address; "" where the sender numbers nothing.
        seq: its place in the lane, from 1 on; 0 without a lane.
        sender: who sent it: the address or physical path it said, as its receiver was told.
        stored_at: when it came.
        expires_at: when it is given up; 0 for never.
        attempts: how often it has been sent (`OUT`), or its handler has failed or its process ended with it (`IN`).
        reason: why it is dead, or why its last attempt failed.
        origin: the box a dead letter was in, "" for others.
        mailbox: True for one that a sentinel keeps for somebody else.
    """

    id: str
    box: str
    address: str
    payload: bytes
    lane: str = ""
    seq: int = 0
    sender: str = ""
    stored_at: float = 0.0
    expires_at: float = 0.0
    attempts: int = 0
    reason: str = ""
    origin: str = ""
    mailbox: bool = False


def place_of(message: Message) -> str:
    """Return how people know the box of a message."""
    return MAILBOX if message.mailbox and message.box != DEAD else message.box


def row_of(message: Message, size: int) -> dict[str, Any]:
    """Return what is known of a message without its payload, which has so many bytes, as JSON values."""
    row: dict[str, Any] = {name: value for name, value in msgspec.structs.asdict(message).items() if name != "payload"}
    return row | {"bytes": size}


def value_of(payload: bytes) -> object:
    """Return what a payload says; what isn't JSON as a text."""
    try:
        value: object = msgspec.json.decode(payload)
    except (msgspec.DecodeError, RecursionError):
        return payload.decode("utf-8", "backslashreplace")
    return value
