"""Messages this node answers for until somebody else does (ADR 27): sent in order, again and again, later and later.

Pure functions over `NodeState`. A message is kept first (effects `Keep` and `Move`), travels then in its lane, and
leaves the box when it is acknowledged, or becomes a dead letter. A lane is what this node has for one address: its
messages are numbered, and up to `WINDOW` of them are under way. When one is refused, or its way has changed, all are
sent again from the oldest one on. When nothing comes back in time, the oldest one is sent again alone: which of its
copies is acknowledged then says whether the others are lost, or their receiver is slow.
"""

from collections.abc import Iterable
from math import inf

import msgspec

from fame_cli.core.address import parse
from fame_cli.core.boxes import Lane
from fame_cli.core.carry import carry
from fame_cli.core.effects import Bury, Delivered, Forget, Keep, Move
from fame_cli.core.envelope import ACK, LANE, PREV, SENDER, SEQ, SYN, Envelope, data_frame, encode
from fame_cli.core.frames import Meta
from fame_cli.core.gate import Refusal
from fame_cli.core.lanes import ROOM, lane_to, numbered
from fame_cli.core.link import LOCAL, Link, next_link
from fame_cli.core.message import DEAD, OUT, Message
from fame_cli.core.routing import Drop, route
from fame_cli.core.state import NodeState
from fame_cli.errors import MENDING

__all__ = ["deadline", "drop", "kept", "put", "recover", "retry", "settle", "tick", "unkept"]

WINDOW = 64
"""Messages of one lane under way at a time."""

FIRST_S, LONGEST_S = 0.1, 10.0
"""Seconds until a lane that failed is tried again: the first time, and at most."""

DOUBLED, MOST_DOUBLED = 2, 6
"""How often the time to wait for an acknowledgement is doubled: by tries that fail, and for a receiver that is slow."""

MAX_CODE, MAX_REASON = 40, 200
"""Characters of what somebody else says when he refuses."""

LOOK_S = 0.05
"""Seconds between two looks at a route table that changes all the time."""

NO_ACK = "no acknowledgement in time"


def put(state: NodeState, address: str, payload: bytes, now: float) -> Message | Refusal:
    """Begin to answer for a message of our own; it goes out once it is kept.

    Args:
        payload: JSON of the Data frame.

    Raises:
        RemoteProtocolError: not an address.
    """
    parse(address)
    refusal = _barred(state, len(payload))
    if refusal is not None:
        return refusal
    message = Message(id=state.new_id(), box=OUT, address=address, payload=payload)
    message = numbered(state, message, state.settings.delivery.max_age_s, now)
    state.effects.append(Keep(message))
    return message


def retry(state: NodeState, dead: Message, now: float) -> Refusal | None:
    """Begin again to answer for a dead letter that was sent, behind what waits for its address.

    It gets a new place in the lane, because its receiver has gone past the old one.
    """
    box = state.outbox
    if dead.id in box.lane_of or dead.id in box.unkept:
        return Refusal("ID_TAKEN", f"a message called {dead.id} waits to be delivered")
    refusal = _barred(state, len(dead.payload))
    if refusal is not None:
        return refusal
    mailbox = state.settings.mailboxes.get(dead.address) if dead.mailbox else None
    max_age_s = mailbox.max_age_s if mailbox is not None else state.settings.delivery.max_age_s
    message = msgspec.structs.replace(dead, box=OUT, origin="", attempts=0, reason="")
    state.effects.append(Move(numbered(state, message, max_age_s, now), DEAD))
    return None


def kept(state: NodeState, message_id: str, now: float) -> None:
    """Take that a message is on the disk: it may go."""
    message = state.outbox.unkept.pop(message_id, None)
    if message is not None:
        lane = state.outbox.lane_of[message_id] = state.outbox.lanes[message.address]
        lane.waiting.append(message)
        if not lane.failures:
            _push(state, lane, now)


def unkept(state: NodeState, message_id: str, reason: str) -> None:
    """Take that a message couldn't be kept: nobody answers for it."""
    message = state.outbox.unkept.pop(message_id, None)
    if message is not None:
        state.outbox.take(state.outbox.lanes[message.address], message)
        state.effects.append(Delivered(message_id, "STORE_FULL", reason))


def recover(state: NodeState, messages: Iterable[Message], now: float) -> None:
    """Take up what an earlier life of this node has kept, oldest first.

    What has its number keeps it; what comes from now on is in another run, because nobody knows any more which numbers
    were given out behind it.
    """
    for message in messages:
        lane = lane_to(state, message.address)
        if not message.lane:  # somebody put it back who couldn't number it
            lane.last_seq += 1
            message = msgspec.structs.replace(message, lane=lane.id, seq=lane.last_seq)
            state.effects.append(Keep(message))
        lane.waiting.append(message)
        state.outbox.add(lane, message)
        state.outbox.lane_of[message.id] = lane
        _plan(state, lane, now)


def settle(state: NodeState, now: float) -> None:
    """Act on what has come for messages under way."""
    verdicts = state.outbox.verdicts
    while verdicts:
        message_id, code, reason, envelope_id = verdicts.popleft()
        if code:
            _refused(state, message_id, code, reason, now)
        else:
            _acknowledged(state, message_id, envelope_id, now)


def _acknowledged(state: NodeState, message_id: str, envelope_id: str, now: float) -> None:
    """Take that somebody else answers for a message now."""
    lane = state.outbox.lane_of.get(message_id)
    if lane is None:
        return
    if lane.again and lane.again == envelope_id:  # receivers keep the order, so what was sent before it is lost
        lane.doubled = 0
        lane.go_back()
    elif lane.flying and lane.flying[0].id == message_id:
        is_quick = not lane.again and now - lane.since < state.settings.delivery.ack_timeout_s
        lane.doubled = 0 if is_quick else min(lane.doubled + lane.failures, MOST_DOUBLED)
    lane.failures = 0
    _remove(state, lane, message_id, now)
    state.effects.append(Forget(OUT, message_id))
    state.effects.append(Delivered(message_id, "", ""))
    _push(state, lane, now)


def _refused(state: NodeState, message_id: str, code: str, reason: str, now: float) -> None:
    """Take that a message didn't arrive: try its lane again later, or give the message up."""
    lane = state.outbox.lane_of.get(message_id)
    if lane is None or all(message.id != message_id for message in lane.flying):
        return  # it has been taken back already, with those before it
    code, reason = code[:MAX_CODE], reason[:MAX_REASON] or "not delivered"
    if code in MENDING:
        _fail(state, lane, code, reason, now)
        return
    _bury(state, lane, message_id, now, code, reason)
    lane.go_back()
    _push(state, lane, now)


def deadline(state: NodeState) -> float:
    """Return when `tick` has something to do; inf for never."""
    box = state.outbox
    if not box.lane_of or state.table.generation == box.generation:
        return box.due
    return min(box.due, box.looked_at + LOOK_S)


def tick(state: NodeState, now: float) -> None:
    """Do what is due: ways that have changed, lanes that have waited, acknowledgements that don't come."""
    box = state.outbox
    if state.table.generation != box.generation and now >= box.looked_at + LOOK_S:
        box.generation, box.looked_at = state.table.generation, now
        for lane in [lane for lane in box.lanes.values() if lane.count]:
            _follow(state, lane, now)
    if now < box.due:
        return
    wall = state.settings.epoch_s + now
    for lane in [lane for lane in box.lanes.values() if lane.due <= now]:
        lane.due = inf
        for message in [*lane.flying, *lane.waiting]:
            if not 0 < message.expires_at <= wall:
                break
            before = f"; before: {message.reason}" if message.reason else ""
            _bury(state, lane, message.id, now, "MESSAGE_EXPIRED", f"too old{before}")
        if lane.flying:
            _missed(state, lane, now)
        else:
            _push(state, lane, now)
    box.due = min((lane.due for lane in box.lanes.values()), default=inf)


def drop(state: NodeState, message_id: str, now: float) -> bool:
    """Give a message up without a trace; False when there is none."""
    lane = state.outbox.lane_of.get(message_id)
    if lane is None:
        return False
    _remove(state, lane, message_id, now)
    state.effects.append(Forget(OUT, message_id))
    state.effects.append(Delivered(message_id, "MESSAGE_DROPPED", "somebody dropped it"))
    return True


# Inside


def _barred(state: NodeState, size: int) -> Refusal | None:
    """Say why this node can't answer for one more message of so many bytes; None when it can."""
    box, settings = state.outbox, state.settings
    if state.gate.seals:
        return Refusal("CRYPTO_LEVEL", "what is sealed has to be sealed anew for each try, and isn't kept")
    if size + ROOM > settings.max_message_bytes:
        return Refusal("MESSAGE_TOO_LARGE", f"{size} bytes; the limit is {settings.max_message_bytes - ROOM}")
    if len(box) >= settings.delivery.max_messages or box.size + size > settings.delivery.max_bytes:
        return Refusal("QUEUE_FULL", f"{len(box)} messages wait to be delivered")
    return None


def _follow(state: NodeState, lane: Lane, now: float) -> None:
    """Hold a lane against the route table: where its way is another now, what was under way may be lost."""
    link = _next_link(state, lane)
    if link is lane.link:
        return
    lane.link = link
    if link is not None:
        lane.failures = lane.doubled = 0
        lane.go_back()
        _push(state, lane, now)


def _next_link(state: NodeState, lane: Lane) -> Link | None:
    """Return the link that the oldest message of a lane would take now, LOCAL for this node; None for none."""
    oldest = lane.flying[0] if lane.flying else lane.waiting[0] if lane.waiting else None
    if oldest is None:
        return None
    way = route(lane.address, None, LOCAL, state.table, mail=not oldest.mailbox)
    return None if isinstance(way, Drop) else next_link(way)


def _push(state: NodeState, lane: Lane, now: float) -> None:
    """Send what may go: a window of messages, or one while it isn't known whether they arrive."""
    if lane.waiting and not lane.flying:
        lane.link = _next_link(state, lane)
        if lane.link is None:  # `_follow` sees when there is a way
            _plan(state, lane, now + LONGEST_S)
            return
    window = 1 if lane.failures else WINDOW
    while lane.waiting and len(lane.flying) < window:
        before = lane.flying[-1] if lane.flying else None
        if before is not None and before.lane != lane.waiting[0].lane:
            break  # of another run: it would overtake
        message = lane.waiting.popleft()
        message = msgspec.structs.replace(message, attempts=message.attempts + 1)
        if before is None:
            lane.since = now
        lane.flying.append(message)
        _send(state, message, before.seq if before is not None else 0, now)
        if state.outbox.verdicts:
            break  # it was refused, or taken, at once: `settle` goes on
    _plan(state, lane, lane.since + _patience(state, lane) if lane.flying else inf)


def _send(state: NodeState, message: Message, before: int, now: float) -> str:
    """Send one message.

    Args:
        before: number of the message that has to have arrived first; 0 when all before it are settled.

    Returns:
        The id of its envelope. Tries are told apart by it, and what is signed tells its time by it.
    """
    meta: Meta = {LANE: message.lane, SEQ: message.seq, PREV: before}
    if message.mailbox:
        meta[SENDER] = message.sender
    sequence = state.next_sequence()
    envelope = Envelope(
        version="1.0",
        id=state.new_id() if state.gate.signs or message.attempts > 1 else message.id,
        sid=state.sid,
        trace_id=state.new_id(),
        to=message.address,
        reply_to=f"__sys__@{state.table.path}",
        rtype=ACK,
        corr_id=message.id,
        flow_id=state.flow_id,
        seq_id=sequence,
        flow_flags=0 if sequence else SYN,
        frame=data_frame(message.payload),
        ts=state.stamp(),
        meta=meta,
        ttl=state.settings.max_hops - 1,
    )
    if state.gate.signs and state.sid is not None:
        envelope = state.gate.sign(envelope)
    carry(state, LOCAL, envelope, encode(envelope), now)
    return envelope.id or ""


def _patience(state: NodeState, lane: Lane) -> float:
    return float(state.settings.delivery.ack_timeout_s * 2 ** (min(lane.failures, DOUBLED) + lane.doubled))


def _missed(state: NodeState, lane: Lane, now: float) -> None:
    """Take that no acknowledgement has come in time: send the oldest message again, and nothing else.

    A Naylence agent acknowledges a message when it is done with those before, and takes each copy for another message.
    """
    oldest, most = lane.flying[0], state.settings.delivery.max_attempts
    if (most and oldest.attempts >= most) or _next_link(state, lane) is None:
        _fail(state, lane, "NO_ACK", NO_ACK, now)
        return
    lane.flying[0] = msgspec.structs.replace(oldest, attempts=oldest.attempts + 1, reason=f"{NO_ACK} (NO_ACK)")
    lane.failures += 1
    lane.since = now
    _plan(state, lane, now + _patience(state, lane))
    lane.again = _send(state, lane.flying[0], 0, now)


def _fail(state: NodeState, lane: Lane, code: str, reason: str, now: float) -> None:
    """Take a lane back, and plan its next try; its oldest message may have had its last."""
    oldest = lane.flying[0]
    lane.flying[0] = msgspec.structs.replace(oldest, reason=f"{reason} ({code})")
    lane.go_back()
    lane.failures += 1
    most = state.settings.delivery.max_attempts
    if most and oldest.attempts >= most:
        _bury(state, lane, oldest.id, now, code, reason)
    spread = 0.5 + sum(lane.id.encode()) % 64 / 128  # so that the lanes of many nodes aren't in step
    _plan(state, lane, now + min(FIRST_S * 2.0 ** min(lane.failures - 1, 10), LONGEST_S) * spread)


def _plan(state: NodeState, lane: Lane, due: float) -> None:
    lane.due = due
    state.outbox.due = min(state.outbox.due, due)


def _remove(state: NodeState, lane: Lane, message_id: str, now: float) -> Message | None:
    for queue in (lane.flying, lane.waiting):
        for place, message in enumerate(queue):  # it is nearly always the first
            if message.id == message_id:
                del queue[place]
                if place == 0:
                    lane.since = now
                if place == 0 and queue is lane.flying:
                    lane.again = ""
                state.outbox.take(lane, message)
                return message
    return None


def _bury(state: NodeState, lane: Lane, message_id: str, now: float, code: str, reason: str) -> None:
    message = _remove(state, lane, message_id, now)
    if message is not None:
        why = f"{reason} ({code})"
        state.note("message_dead", "warning", address=message.address, message=message.id, reason=why)
        state.effects.append(Bury(msgspec.structs.replace(message, box=DEAD, origin=OUT, reason=why)))
        state.effects.append(Delivered(message_id, code, reason))
