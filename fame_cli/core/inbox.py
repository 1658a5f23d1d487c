"""Messages that have come for this node: acknowledged once they are kept, and kept until they are handled (ADR 27).

Pure functions over `NodeState`. The messages of one sender are handled one after the other, in the order in which he
sent them; those of several side by side, `RUNNING` of them at most. What is for an address that is served here goes to
its handler (effect `Dispatch`), what is in a mailbox to the outbox.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from math import inf

import msgspec

from fame_cli.core.arrival import ALONE, MAX_NAME, crowded, mailbox_for, placed, sender_of
from fame_cli.core.boxes import Place, Run
from fame_cli.core.calls import read_request
from fame_cli.core.effects import Bury, Dispatch, Forget, Keep, Move, Request
from fame_cli.core.ending import refuse, send_routed
from fame_cli.core.envelope import Envelope, Header
from fame_cli.core.frames import Data, DeliveryAck
from fame_cli.core.gate import Refusal
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

LIVES = 10
"""Processes that may end while they handle a message, before it is given up."""

FIRST_S, LONGEST_S = 0.5, 60.0
"""Seconds until a message is handled again: the first time, and at most."""

BUSY_S = 0.5
"""Seconds until a message is given again to who couldn't take it."""

MAX_LANES = 100_000
"""Lanes whose last number is remembered: those last used."""


def take(state: NodeState, origin: Link, envelope: Envelope, now: float) -> None:
    """Take a message in, or say that it was taken before, or why it can't be."""
    box = state.inbox
    lane, seq, before = placed(state, envelope)
    last = box.taken.get(lane, 0)
    if seq <= last or (lane.startswith(ALONE) and _is_here(state, lane)):
        if (lane, seq) in box.owed:
            box.owed[lane, seq] = origin, _header(envelope)  # sent again while it is on its way to the disk
        else:
            acknowledge(state, origin, envelope)
        return
    payload = (bytes(envelope.frame.payload) if isinstance(envelope.frame, Data) else b"") or b"null"
    if before > last:
        return refuse(state, origin, envelope, "OUT_OF_ORDER", f"number {before} of its lane hasn't come")
    if state.draining_since is not None:
        return refuse(state, origin, envelope, "NODE_DRAINING", f"{state.settings.node_id} is about to end")
    full = crowded(state, envelope.to or "", len(payload))
    if full is not None:
        return refuse(state, origin, envelope, full.code, full.reason)
    box.taken.pop(lane, None)
    box.taken[lane] = seq
    if len(box.taken) > MAX_LANES:
        del box.taken[next(iter(box.taken))]
    is_laned = not lane.startswith(ALONE)
    message = Message(
        id=_name(state, envelope) if is_laned else lane,
        box=IN,
        address=envelope.to or "",
        payload=payload,
        lane=lane if is_laned else "",
        seq=seq if is_laned else 0,
        sender=sender_of(state, envelope),
        stored_at=state.settings.epoch_s + now,
    )
    box.arrivals[message.id] = message
    box.size += len(payload)
    box.owed[lane, seq] = origin, _header(envelope)
    state.effects.append(Keep(message))


def _is_here(state: NodeState, name: str) -> bool:
    """Tell whether a message of that id is still in a box, however long ago it came."""
    inbox, outbox = state.inbox, state.outbox
    return name in inbox.arrivals or name in inbox.returning or name in outbox.lane_of or name in outbox.unkept


def _name(state: NodeState, envelope: Envelope) -> str:
    """Return the id the sender knows a message by, unless there is, or was, another that is called so."""
    name = envelope.corr_id or ""
    bad = not 0 < len(name) <= MAX_NAME or name.startswith(ALONE)
    return state.new_id() if bad or name in state.inbox.dead or _is_here(state, name) else name


def _header(envelope: Envelope) -> Header:
    """Return what an answer to a message needs of it."""
    return Header(envelope.id, envelope.trace_id, envelope.to, envelope.reply_to, envelope.corr_id)


def acknowledge(state: NodeState, origin: Link, envelope: Envelope | Header) -> None:
    """Tell the sender of an envelope that it has come (spec 6.4)."""
    if origin is LOCAL:
        state.outbox.verdicts.append((envelope.corr_id or "", "", "", envelope.id or ""))
    elif envelope.reply_to:
        send_routed(state, origin, envelope.reply_to, DeliveryAck(ok=True, ref_id=envelope.id), envelope, 0)


def kept(state: NodeState, message_id: str, now: float) -> None:
    """Take that a message is on the disk: it is acknowledged, and handled when its turn comes."""
    message = state.inbox.arrivals.get(message_id)
    owed = state.inbox.owed.pop(_place(message), None) if message is not None else None
    if message is not None and owed is not None:
        acknowledge(state, *owed)
        _queue(state, message)
        _begin(state, now)
    elif message is not None and message_id in state.inbox.counting:
        state.inbox.counting.discard(message_id)
        _handle(state, message, now)


def unkept(state: NodeState, message_id: str, reason: str, now: float) -> None:
    """Take that a message couldn't be kept: its sender goes on answering for it, and sends it again."""
    box = state.inbox
    message = box.arrivals.get(message_id)
    if message_id in box.counting:
        box.counting.discard(message_id)
        box.suspects.add(message_id)
        unhandled(state, message_id, reason, now, counts=False)
        return
    owed = box.owed.pop(_place(message), None) if message is not None else None
    if message is None or owed is None:
        return  # of one that is here only the count of its tries isn't written down
    lane, seq = _place(message)
    _let_go(state, message)
    if box.taken.get(lane, 0) >= seq:
        box.taken[lane] = seq - 1
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
    state.inbox.suspects.update(queue[0] for queue in state.inbox.queues.values())
    _begin(state, now)


def retry(state: NodeState, dead: Message) -> Refusal | None:
    """Begin to put a dead letter whose handler has failed back, behind what has come since from its sender."""
    box = state.inbox
    if dead.id in box.arrivals or dead.id in box.returning:
        return Refusal("ID_TAKEN", f"a message called {dead.id} waits to be handled")
    full = crowded(state, dead.address, len(dead.payload))
    if full is not None:
        return full
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
        _bury(state, message)
        _begin(state, now)
        return
    box.arrivals[message_id] = message
    if counts:
        state.effects.append(Keep(message))
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
        if message.id not in box.suspects:
            _handle(state, message, now)
        elif message.attempts >= LIVES:
            _bury(state, msgspec.structs.replace(message, reason=f"{LIVES} processes ended while they handled it"))
        else:
            box.suspects.discard(message.id)
            box.counting.add(message.id)
            box.arrivals[message.id] = message = msgspec.structs.replace(message, attempts=message.attempts + 1)
            state.effects.append(Keep(message))


def _handle(state: NodeState, message: Message, now: float) -> None:
    """Give a message to its handler, or to the outbox where it is for somebody who is away."""
    mailbox = mailbox_for(state, message.address)
    if mailbox is not None:
        adopt(state, message, mailbox, now)
        return
    request = read_request(msgspec.Raw(message.payload))
    method, params = (request.method, request.params) if request is not None else ("", msgspec.Raw(message.payload))
    told = Request(None, message.address, method, params, sender=message.sender, message=message.id)
    state.effects.append(Dispatch(told))


def _bury(state: NodeState, message: Message) -> None:
    """Give a message up that was to be handled."""
    _end(state, message.id)
    state.inbox.suspects.discard(message.id)
    state.inbox.dead[message.id] = None
    if len(state.inbox.dead) > MAX_LANES:
        del state.inbox.dead[next(iter(state.inbox.dead))]
    state.note("message_dead", "warning", address=message.address, message=message.id, reason=message.reason)
    state.effects.append(Bury(msgspec.structs.replace(message, box=DEAD, origin=IN)))


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
