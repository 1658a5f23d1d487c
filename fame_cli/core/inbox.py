"""Messages that have come for this node: acknowledged once they are kept, and kept until they are handled (ADR 27).

Pure functions over `NodeState`. The messages of one sender are handled one after the other, in the order in which he
sent them; those of several side by side, `RUNNING` of them at most. What is for an address that is served here goes to
its handler (effect `Dispatch`), what is in a mailbox to the outbox.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from math import inf
from typing import Any

import msgspec

from fame_cli.core.address import parse
from fame_cli.core.boxes import Place, Run
from fame_cli.core.calls import read_request
from fame_cli.core.custody import Mailbox
from fame_cli.core.effects import Bury, Dispatch, Forget, Keep, Move, Request
from fame_cli.core.ending import refuse, send_routed
from fame_cli.core.envelope import LANE, PREV, SENDER, SEQ, Envelope
from fame_cli.core.frames import Data, DeliveryAck
from fame_cli.core.gate import Refusal
from fame_cli.core.ids import sid_of
from fame_cli.core.lanes import adopt
from fame_cli.core.link import LOCAL, Link
from fame_cli.core.message import DEAD, IN, Message
from fame_cli.core.state import NodeState

__all__ = [
    "acknowledge",
    "drop",
    "handled",
    "kept",
    "moved",
    "recover",
    "retry",
    "take",
    "tick",
    "unhandled",
    "unkept",
    "unmoved",
]

RUNNING = 64
"""Messages that are handled at a time."""

TRIES = 5
"""Times a message is given to its handler, where `delivery.max_attempts` doesn't say."""

FIRST_S, LONGEST_S = 0.5, 60.0
"""Seconds until a message is handled again: the first time, and at most."""

BUSY_S = 0.5
"""Seconds until a message is given again to who couldn't take it."""

MAX_LANES = 100_000
"""Lanes whose last number is remembered: those last used."""

MAX_NAME = 128
"""Characters of a lane or an id that somebody else has made up."""


def take(state: NodeState, origin: Link, envelope: Envelope, now: float) -> None:
    """Take a message in, or say that it was taken before, or why it can't be."""
    box = state.inbox
    lane, seq, before = _placed(state, envelope)
    last = box.taken.get(lane, 0)
    if seq <= last:
        if (lane, seq) in box.owed:
            box.owed[lane, seq] = origin, envelope  # sent again while it is on its way to the disk
        else:
            acknowledge(state, origin, envelope)
        return
    payload = (bytes(envelope.frame.payload) if isinstance(envelope.frame, Data) else b"") or b"null"
    if before > last:
        return refuse(state, origin, envelope, "OUT_OF_ORDER", f"number {before} of its lane hasn't come")
    if state.draining_since is not None:
        return refuse(state, origin, envelope, "NODE_DRAINING", f"{state.settings.node_id} is about to end")
    full = _full(state, envelope.to or "", len(payload))
    if full:
        return refuse(state, origin, envelope, "QUEUE_FULL", full)
    box.taken.pop(lane, None)
    box.taken[lane] = seq
    if len(box.taken) > MAX_LANES:
        del box.taken[next(iter(box.taken))]
    is_laned = LANE in (envelope.meta or ())
    message = Message(
        id=_id(state, envelope) if is_laned else lane,
        box=IN,
        address=envelope.to or "",
        payload=payload,
        lane=lane if is_laned else "",
        seq=seq if is_laned else 0,
        sender=_sender(state, envelope),
        stored_at=state.settings.epoch_s + now,
    )
    box.arrivals[message.id] = message
    box.size += len(payload)
    box.owed[lane, seq] = origin, envelope
    state.effects.append(Keep(message))


def _placed(state: NodeState, envelope: Envelope) -> tuple[str, int, int]:
    """Return a message's lane, its number there, and the number that has to have come before.

    Where envelopes are signed a lane is its signer's, so that nobody can take the numbers of somebody else.
    """
    meta = envelope.meta or {}
    seq, before = _number(meta, SEQ), _number(meta, PREV)
    lane = _text(meta, LANE) if seq else ""
    kid = state.gate.kid(envelope) if state.gate.signs else ""
    if not lane:
        lane, seq, before = envelope.id or state.new_id(), 1, 0
    return f"{lane}/{kid}" if kid else lane, seq, before


def _number(meta: Mapping[str, Any], key: str) -> int:
    value = meta.get(key)
    return value if isinstance(value, int) and 0 < value < 2**53 else 0


def _text(meta: Mapping[str, Any] | None, key: str) -> str:
    value = meta.get(key) if meta else None
    return value[:MAX_NAME] if isinstance(value, str) else ""


def _id(state: NodeState, envelope: Envelope) -> str:
    """Return the id the sender knows a message by, unless there is one already that is called so."""
    name = envelope.corr_id or ""
    taken = name in state.inbox.arrivals or name in state.outbox.lane_of or name in state.outbox.unkept
    return state.new_id() if taken or not 0 < len(name) <= MAX_NAME else name


def _sender(state: NodeState, envelope: Envelope) -> str:
    """Return who sent a message: the path it is acknowledged to, or the digest of its signer's, where that is another.

    Of what comes out of a mailbox it is whom that names, if its sentinel may be believed.
    """
    named = _text(envelope.meta, SENDER)
    signs = state.gate.signs
    if named and (not signs or state.gate.speaks_for(envelope, envelope.to or "", keeps=True) is None):
        return named
    path = parse(envelope.reply_to).path if envelope.reply_to else ""
    if envelope.sid and signs and sid_of(path) != envelope.sid:
        return envelope.sid
    return path or envelope.sid or ""


def _full(state: NodeState, address: str, size: int) -> str:
    """Say why one more message has no room; "" when it has."""
    delivery, box = state.settings.delivery, state.inbox
    if len(box) >= delivery.max_messages or box.size + size > delivery.max_bytes:
        return f"{len(box)} messages wait here to be handled"
    mailbox = _mailbox(state, address)
    if mailbox is not None:
        lane = state.outbox.lanes.get(address)
        count, held = (lane.count, lane.size) if lane is not None else (0, 0)
        if len(box) + count >= mailbox.max_messages or box.size + held + size > mailbox.max_bytes:
            return f"the mailbox of {address} is full"
    return ""


def _mailbox(state: NodeState, address: str) -> Mailbox | None:
    """Return the mailbox a message goes to; None where the address is served here."""
    return None if LOCAL in state.table.ways(address) else state.settings.mailboxes.get(address)


def acknowledge(state: NodeState, origin: Link, envelope: Envelope) -> None:
    """Tell the sender of an envelope that it has come (spec 6.4)."""
    if origin is LOCAL:
        state.outbox.verdicts.append((envelope.corr_id or "", "", "", envelope.id or ""))
    elif envelope.reply_to:
        send_routed(state, origin, envelope.reply_to, DeliveryAck(ok=True, ref_id=envelope.id), envelope, 0)


def kept(state: NodeState, message_id: str, now: float) -> None:
    """Take that a message is on the disk: it is acknowledged, and handled when its turn comes."""
    message = state.inbox.arrivals.get(message_id)
    if message is None:
        return
    owed = state.inbox.owed.pop(_place(message), None)
    if owed is not None:
        acknowledge(state, *owed)
    _queue(state, message)
    _begin(state, now)


def unkept(state: NodeState, message_id: str, reason: str) -> None:
    """Take that a message couldn't be kept: its sender goes on answering for it, and sends it again."""
    box = state.inbox
    message = box.arrivals.get(message_id)
    if message is None:
        return
    lane, seq = _place(message)
    _let_go(state, message)
    if box.taken.get(lane, 0) >= seq:
        box.taken[lane] = seq - 1
    owed = box.owed.pop((lane, seq), None)
    if owed is not None:
        refuse(state, *owed, "STORE_FULL", reason)


def recover(
    state: NodeState, messages: Iterable[Message], lanes: Mapping[str, int], seen: Iterable[str], now: float
) -> None:
    """Take up what an earlier life of this node has kept, oldest first.

    Args:
        lanes: lane → number of the last message that was taken in.
        seen: ids of envelopes that came without a lane.
    """
    state.inbox.taken.update(dict.fromkeys(seen, 1))
    state.inbox.taken.update(lanes)
    for message in messages:
        state.inbox.arrivals[message.id] = message
        state.inbox.size += len(message.payload)
        _queue(state, message)
    _begin(state, now)


def retry(state: NodeState, dead: Message) -> Refusal | None:
    """Begin to put a dead letter whose handler has failed back, behind what has come since from its sender."""
    box = state.inbox
    if dead.id in box.arrivals or dead.id in box.returning:
        return Refusal("ID_TAKEN", f"a message called {dead.id} waits to be handled")
    full = _full(state, dead.address, len(dead.payload))
    if full:
        return Refusal("QUEUE_FULL", full)
    message = msgspec.structs.replace(dead, box=IN, origin="", attempts=0, reason="")
    box.returning[message.id] = message
    state.effects.append(Move(message, DEAD))
    return None


def handled(state: NodeState, message_id: str, now: float) -> None:
    """Take that a message's handler has returned."""
    if _is_running(state, message_id):
        _end(state, message_id)
        state.effects.append(Forget(IN, message_id))
        _begin(state, now)


def unhandled(
    state: NodeState, message_id: str, reason: str, now: float, *, tries: int = 0, counts: bool = True
) -> None:
    """Take that a message wasn't handled: it is tried again later, or is a dead letter.

    Args:
        tries: how often it is tried at most, where its failure says so; 0 for what the settings say.
        counts: False where its handler hasn't begun.
    """
    box = state.inbox
    if not _is_running(state, message_id):
        return
    message = box.arrivals[message_id]
    message = msgspec.structs.replace(message, attempts=message.attempts + counts, reason=reason)
    if counts and message.attempts >= (tries or state.settings.delivery.max_attempts or TRIES):
        _end(state, message_id)
        state.note("message_dead", "warning", address=message.address, message=message_id, reason=reason)
        state.effects.append(Bury(msgspec.structs.replace(message, box=DEAD, origin=IN)))
        _begin(state, now)
        return
    box.arrivals[message_id] = message
    box.running.discard(message_id)
    pause_s = min(FIRST_S * 2.0 ** min(message.attempts - 1, 10), LONGEST_S) if counts else BUSY_S
    box.again[message_id] = now + pause_s
    box.due = min(box.due, now + pause_s)
    _begin(state, now)


def moved(state: NodeState, message_id: str, now: float) -> None:
    """Take that a message in a mailbox is in the outbox now, or that a dead letter is back in the inbox."""
    message = state.inbox.returning.pop(message_id, None)
    if message is not None:
        state.inbox.arrivals[message_id] = message
        state.inbox.size += len(message.payload)
        _queue(state, message)
        _begin(state, now)
    elif _is_running(state, message_id):
        _end(state, message_id)
        _begin(state, now)


def unmoved(state: NodeState, message_id: str, reason: str, now: float) -> None:
    """Take that one stayed where it was: that in a mailbox is moved again later."""
    if state.inbox.returning.pop(message_id, None) is None:
        unhandled(state, message_id, reason, now, counts=False)


def tick(state: NodeState, now: float) -> None:
    """Have the messages handled again whose time has come."""
    box = state.inbox
    if now < box.due:
        return
    for message_id in [each for each, when in box.again.items() if when <= now]:
        del box.again[message_id]
        box.ready.append(_run(box.arrivals[message_id]))
    box.due = min(box.again.values(), default=inf)
    _begin(state, now)


def drop(state: NodeState, message_id: str, now: float) -> bool:
    """Give up a message that waits to be handled, without a trace; False when there is none."""
    box = state.inbox
    message = box.arrivals.get(message_id)
    if message is None or message_id in box.running or _place(message) in box.owed:
        return False
    box.again.pop(message_id, None)
    _end(state, message_id)
    state.effects.append(Forget(IN, message_id))
    _begin(state, now)
    return True


# Inside


def _place(message: Message) -> Place:
    return (message.lane, message.seq) if message.lane else (message.id, 1)


def _run(message: Message) -> Run:
    """Return what a message is handled in order with: a sender has another lane in each of its lives, but one name."""
    name, _, rest = message.lane.partition("/")
    return f"{name}/{rest.partition('/')[2]}" if message.lane else message.sender, message.address


def _queue(state: NodeState, message: Message) -> None:
    """Have a message handled after those of its sender that are here already."""
    run = _run(message)
    queue = state.inbox.queues.setdefault(run, deque())
    queue.append(message.id)
    if len(queue) == 1:
        state.inbox.ready.append(run)


def _begin(state: NodeState, now: float) -> None:
    """Have as many messages handled as may be at a time."""
    box = state.inbox
    while box.ready and len(box.running) < RUNNING:
        queue = box.queues.get(box.ready.popleft())
        if not queue or queue[0] in box.running or queue[0] in box.again:
            continue
        message = box.arrivals[queue[0]]
        box.running.add(message.id)
        mailbox = _mailbox(state, message.address)
        if mailbox is not None:
            adopt(state, message, mailbox, now)
            continue
        request = read_request(msgspec.Raw(message.payload))
        method, params = (request.method, request.params) if request is not None else ("", msgspec.Raw(message.payload))
        told = Request(None, message.address, method, params, sender=message.sender, message=message.id)
        state.effects.append(Dispatch(told))


def _is_running(state: NodeState, message_id: str) -> bool:
    return message_id in state.inbox.running


def _end(state: NodeState, message_id: str) -> None:
    """Forget a message that is handled, dead or moved; the next of its lane may be handled."""
    box = state.inbox
    message = box.arrivals[message_id]
    _let_go(state, message)
    box.running.discard(message_id)
    run = _run(message)
    queue = box.queues[run]
    queue.remove(message_id)  # nearly always the first
    if not queue:
        del box.queues[run]
    elif queue[0] not in box.running:
        box.ready.append(run)


def _let_go(state: NodeState, message: Message) -> None:
    del state.inbox.arrivals[message.id]
    state.inbox.size -= len(message.payload)
