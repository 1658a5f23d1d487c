"""How a message gets its place among those of this node to one address (ADR 27). Pure functions over `NodeState`."""

import msgspec

from fame_cli.core.boxes import MAX_LANES, Lane
from fame_cli.core.custody import Mailbox
from fame_cli.core.effects import Move
from fame_cli.core.message import IN, OUT, Message
from fame_cli.core.state import NodeState

__all__ = ["ROOM", "adopt", "lane_to", "numbered"]

ROOM = 2048
"""Bytes of an envelope that are left for what isn't payload."""

NAME = 64
"""Characters of a node's id in the names of its lanes: all that others make of a lane fits in theirs."""


def adopt(state: NodeState, arrival: Message, mailbox: Mailbox, now: float) -> None:
    """Begin to answer for a message in our inbox that is for somebody who is away."""
    message = msgspec.structs.replace(arrival, box=OUT, mailbox=True, attempts=0)
    state.effects.append(Move(numbered(state, message, mailbox.max_age_s, now), IN))


def numbered(state: NodeState, message: Message, max_age_s: float, now: float) -> Message:
    """Give a message its place in a lane; it isn't on the disk yet."""
    lane = lane_to(state, message.address)
    wall = state.settings.epoch_s + now
    lane.last_seq += 1
    message = msgspec.structs.replace(
        message,
        lane=lane.id,
        seq=lane.last_seq,
        stored_at=message.stored_at or wall,
        expires_at=wall + max_age_s if max_age_s else 0.0,
    )
    state.outbox.unkept[message.id] = message
    state.outbox.add(lane, message)
    return message


def lane_to(state: NodeState, address: str) -> Lane:
    """Return the lane to an address, a new one if there is none."""
    box = state.outbox
    lane = box.lanes.get(address)
    if lane is None:
        if len(box.lanes) >= box.most:
            for empty in [lane for lane in box.lanes.values() if not lane.count]:
                del box.lanes[empty.address]  # a new one is as good
            box.most = max(MAX_LANES, 2 * len(box.lanes))
        lane = box.lanes[address] = Lane(f"{box.name[:NAME]}/{state.new_id()}", address)
    return lane
