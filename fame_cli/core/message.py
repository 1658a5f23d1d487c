"""A message that is kept until somebody has answered for it: in an outbox, in an inbox, or as a dead letter. Pure.

Times are seconds of the epoch, because a message may outlive the process that holds it.
"""

import msgspec

__all__ = ["DEAD", "IN", "OUT", "TASK", "Message"]

OUT, IN, DEAD = "out", "in", "dead"
"""Boxes: waits to be acknowledged; was acknowledged and waits to be handled; was given up."""

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
        attempts: how often it has been sent (`OUT`) or its handler has failed (`IN`).
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
