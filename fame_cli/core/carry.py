"""The way of one data envelope: route it, then deliver, forward or refuse it (spec 8, 9).

Pure functions over `NodeState`. `carry` takes what a link or this node sent, and asks ``routing.py`` once. What is
forwarded is the very bytes that came in but for the hop count, unless the caller asked for a trace. An answer goes
back the way its request came, so the table of calls is true at every node on it. Nothing is lost in silence: what
can't go on is answered with a NACK where the wire has a place for one (spec 6.4), and counted where it hasn't.

Functions that may keep an envelope's credit say so by returning True ("held"); whoever lets go of it later gives the
credit back with `credit_back`.
"""

from typing import Any

import msgspec

from fame_cli.core.address import parse
from fame_cli.core.arrival import own_words
from fame_cli.core.calls import Call, CallKey, ends_stream
from fame_cli.core.deliver import deliver, is_paced
from fame_cli.core.draining import turns_away
from fame_cli.core.effects import Send
from fame_cli.core.ending import abandon_call, end_call, is_at, refuse, stop_downstream, tell_caller
from fame_cli.core.entering import enter
from fame_cli.core.envelope import (
    ACK,
    LANE,
    LAST,
    REPLY,
    SENDER,
    SESSION,
    STREAM,
    TRACE,
    VIA,
    Envelope,
    encode,
    is_message,
    with_ttl,
)
from fame_cli.core.flow import Flow, Held
from fame_cli.core.flownames import flow_of
from fame_cli.core.frames import Data, DeliveryAck
from fame_cli.core.inbox import acknowledge
from fame_cli.core.keysharing import tell_key
from fame_cli.core.late import is_late
from fame_cli.core.link import LOCAL, Link, LinkKind
from fame_cli.core.reach import settle
from fame_cli.core.routing import Drop, route
from fame_cli.core.session import Session
from fame_cli.core.stacking import stacked, unstacked
from fame_cli.core.state import NodeState, rest
from fame_cli.core.trace import traced

__all__ = ["carry"]

ANSWERED = REPLY | STREAM
"""`rtype` of what is to be answered."""


def carry(state: NodeState, origin: Link, envelope: Envelope, data: bytes, now: float) -> bool:
    """Take one Data, DeliveryAck or Secure… envelope to where it belongs.

    Args:
        origin: link it came in by, LOCAL when it is ours.
        data: the same envelope encoded.

    Returns:
        True when the envelope still holds credit of its flow.

    Raises:
        RemoteProtocolError: `to` or `replyTo` isn't an address, which spoils the whole envelope (spec 3.1).
    """
    table, meta = state.table, envelope.meta
    if envelope.reply_to and origin is not LOCAL:
        parse(envelope.reply_to)
    if state.mesh is not None and state.mesh.stale:
        settle(state, now)
    if origin.reply_prefix or (meta is not None and origin.is_leaf):
        envelope, data = _as_it_counts(state, origin, envelope, data)
        meta = envelope.meta
    asks = bool((envelope.rtype or 0) & ANSWERED and envelope.corr_id and envelope.reply_to)
    call: Call | None = None
    names: CallKey = ("", "")
    if not asks:
        names = (envelope.to or "", envelope.corr_id or "")
        call = state.calls.get(names)
        if call is not None and not _is_asked(state, origin, call, len(data)):
            state.note("answer_refused", "warning", link=origin.number, node=origin.remote_id)
            return False
        if call is None and state.late and _is_late(state, origin, envelope, names, len(data), now):
            return False
    back = call.ingress if call is not None and call.ingress is not origin else None
    pin = _text(envelope, VIA) if meta is not None and VIA in meta and state.mesh is not None else ""  # not at a leaf
    key = "" if table.balance == "nearest" else _key(state, envelope)
    mail = envelope.rtype == ACK and is_message(envelope) and SENDER not in (meta or ())
    target = route(envelope.to, envelope.capabilities, origin, table, back, pin, key, mail=mail)
    if target is LOCAL:
        if state.gate.rules and call is None and _is_barred(state, origin, LOCAL, envelope):
            return False
        return deliver(state, origin, envelope, len(data), now)
    if isinstance(target, Link):
        link = target
    elif isinstance(target, Drop):
        refuse(state, origin, envelope, target.code, target.reason)
        return False
    elif target.link is None:
        refuse(state, origin, envelope, "NO_ROUTE", f"{target.node_id} is out of reach")
        return False
    else:
        link = target.link
        if table.balance != "nearest" and table.is_spread(envelope.to):
            envelope = msgspec.structs.replace(envelope, meta={**(meta or {}), VIA: target.node_id})
            data = encode(envelope)
    if state.gate.rules and call is None and _is_barred(state, origin, link, envelope):  # an answer follows its request
        return False
    if asks:
        return _pass_request(state, origin, state.sessions[link], envelope, data, now)
    return _pass_answer(state, origin, state.sessions[link], envelope, data, call, names, now)


def _as_it_counts(state: NodeState, origin: Link, envelope: Envelope, data: bytes) -> tuple[Envelope, bytes]:
    """Return an envelope with the addresses it has here, and without what its sender may not say."""
    if origin.reply_prefix:
        below = unstacked(envelope, origin.reply_prefix)
        if below is not envelope and not _is_meant_here(state, origin, envelope, below):
            envelope, data = below, encode(below)
    if origin.is_leaf and envelope.meta is not None and (SENDER in envelope.meta or LANE in envelope.meta):
        return own_words(envelope, data)
    return envelope, data


def _is_asked(state: NodeState, origin: Link, call: Call, size: int) -> bool:
    """Tell whether an answer comes from somebody who was asked; then it isn't its sender who pays for it.

    Plain sentinels may have several links to ours and answer over any of them (spec 9); all others answer where they
    were asked. The caller itself may take its call's names for an answer to nobody, which `route` then refuses.
    """
    if origin is LOCAL:
        return True
    if origin is call.egress:
        meter = state.sessions[origin].meter
        if meter is not None:
            meter.gives_back(size)
        return True
    return origin is call.ingress or not (origin.kind is LinkKind.CHILD or origin.is_ours)


def _is_late(state: NodeState, origin: Link, envelope: Envelope, names: CallKey, size: int, now: float) -> bool:
    """Tell whether an envelope is an answer that comes after its call was given up; then nothing more becomes of it."""
    if is_message(envelope) or not is_late(state, origin, names, size, now):
        return False
    if (envelope.rtype or 0) & ACK and isinstance(envelope.frame, Data):
        acknowledge(state, origin, envelope)  # a Naylence agent waits for it before it sends its next item
    return True


def _is_barred(state: NodeState, origin: Link, target: Link, envelope: Envelope) -> bool:
    """Tell whether the rules of this node keep an envelope from where it was routed to; its sender hears of it."""
    refusal = state.gate.passes(origin, target, envelope)
    if refusal is not None:
        state.note("envelope_barred", "warning", link=origin.number, to=envelope.to, code=refusal.code)
        refuse(state, origin, envelope, refusal.code, refusal.reason)
    return refusal is not None


def _is_meant_here(state: NodeState, origin: Link, envelope: Envelope, below: Envelope) -> bool:
    """Tell whether an address under our own path is one of ours, and not another's that we have stacked on it."""
    if origin.reply_prefix != state.table.path or state.calls.get((below.to or "", below.corr_id or "")) is not None:
        return False
    return parse(below.to or "").segments[0] in state.table.children


def _text(envelope: Envelope, key: str) -> str:
    value: Any = envelope.meta.get(key) if envelope.meta else None
    return value if isinstance(value, str) else ""


def _key(state: NodeState, envelope: Envelope) -> str:
    """Return what a provider is chosen by: the session, or else the sender; or the envelope."""
    if state.table.balance == "sticky":
        return _text(envelope, SESSION) or envelope.sid or ""
    return envelope.id or ""


# Forward


def _pass_request(state: NodeState, origin: Link, out: Session, envelope: Envelope, data: bytes, now: float) -> bool:
    if not out.link.extensions and is_at(out.link, envelope.to):
        refuse(state, origin, envelope, "NO_ROUTE", f"nothing called {envelope.to} is known here")
        return False
    if state.draining_since is not None and turns_away(state, origin):
        refuse(state, origin, envelope, "NODE_DRAINING", f"{state.settings.node_id} is about to end")
        return False
    if envelope.ttl is not None and envelope.ttl < 1 and origin is not LOCAL:
        _give_up(state, origin, envelope, None, "HOP_LIMIT", _spent(state, envelope))
        return False
    if enter(state, origin, out.link, envelope, now) is None:
        return False
    if _send_on(state, origin, out, envelope, data, now, asks=True) is False:
        _give_up(state, origin, envelope, None, "QUEUE_FULL", f"{out.link.remote_id} doesn't keep up")
    return False


def _pass_answer(
    state: NodeState,
    origin: Link,
    out: Session,
    envelope: Envelope,
    data: bytes,
    call: Call | None,
    names: CallKey,
    now: float,
) -> bool:
    """Pass on what isn't a request: an answer, an acknowledgement, a message nobody answers."""
    if call is None and not out.link.is_ours and is_at(out.link, envelope.to):
        state.note("stale_answer_dropped", "debug", to=envelope.to, link=out.link.number)  # it would choke (spec 6.5)
        return False
    if envelope.ttl is not None and envelope.ttl < 1 and origin is not LOCAL:
        _give_up(state, origin, envelope, call, "HOP_LIMIT", _spent(state, envelope))
        return False
    paced = call is not None and call.streaming and is_paced(origin, envelope, call)
    unpaid = call is not None and out.meter is not None and not out.meter.answers.takes(1, len(data), now)
    sent = _send_on(state, origin, out, envelope, data, now, paced=paced, unpaid=unpaid)
    if sent is False:
        _give_up(state, origin, envelope, call, "QUEUE_FULL", f"{out.link.remote_id} doesn't keep up")
    elif call is not None:
        _answer_passed(state, envelope, call, names, now)
    return sent is None and paced


def _spent(state: NodeState, envelope: Envelope) -> str:
    return f"no hops left at {state.settings.node_id} on the way to {envelope.to or 'a provider'}"


def _send_on(
    state: NodeState,
    origin: Link,
    out: Session,
    envelope: Envelope,
    data: bytes,
    now: float,
    *,
    asks: bool = False,
    paced: bool = False,
    unpaid: bool = False,
) -> bool | None:
    """Send an envelope when its flow has credit, else hold it: one hop less to go, and dressed for the neighbour.

    Args:
        asks: True for a request, which isn't sent any more once its call is over.
        paced: True where it keeps its credit while it waits.
        unpaid: True where it has to wait for the next second.

    Returns:
        True: sent. None: waiting. False: refused, the link holds all it may.
    """
    size, came, took = len(data), envelope, flow_of(origin, envelope) if paced else None
    if state.gate.signs:
        tell_key(state, out, state.gate.kid(envelope))
    if out.link.reply_prefix:
        above = stacked(envelope, out.link.reply_prefix, state.table.path)
        if above is not envelope:
            envelope, data = above, encode(above)
    if origin is not LOCAL:
        data = _worn(state, origin, envelope, data, now)
    flow: Flow | None = envelope.flow_id
    if flow == envelope.corr_id:
        flow = flow_of(out.link, envelope)
    if not unpaid and (out.flow.take(flow, len(data)) if flow is not None else not out.flow.stalled):
        state.effects.append(Send(out.link, data))
        return True
    if flow is None:
        return False  # whoever names no flow can't be told to wait, and must not fill the link for all others
    if unpaid:
        rest(state, out)
    call = (came.reply_to or "", came.corr_id or "") if asks else None
    held = Held(data, origin if paced else None, size, call, now, took or "", unpaid)
    return None if out.flow.hold(flow, held) else False


def _worn(state: NodeState, origin: Link, envelope: Envelope, data: bytes, now: float) -> bytes:
    """Return an envelope's bytes with one hop less to go, and with this node in its trace if it has one."""
    settings = state.settings
    if envelope.meta is not None and TRACE in envelope.meta:
        longer = traced(settings.node_id, envelope, origin, now)
        text = encode(longer)
        if len(text) <= settings.max_message_bytes:  # a trace costs no envelope
            envelope, data = longer, text
    if envelope.ttl is not None and envelope.ttl <= settings.max_hops:
        return with_ttl(envelope, data, envelope.ttl - 1)
    counted = with_ttl(envelope, data, settings.max_hops - 1)
    return counted if len(counted) <= settings.max_message_bytes else data


def _give_up(state: NodeState, origin: Link, envelope: Envelope, call: Call | None, code: str, reason: str) -> None:
    """Refuse what can't go on although it has a way: a request to its sender, an answer to the caller who waits."""
    if call is None:
        refuse(state, origin, envelope, code, reason)
        return
    key = (envelope.to or "", envelope.corr_id or "")
    abandon_call(state, key)
    tell_caller(state, key, call, code, reason)
    stop_downstream(state, key, call, reason)


def _is_last(envelope: Envelope) -> bool:
    return envelope.meta is not None and LAST in envelope.meta


def _answer_passed(state: NodeState, envelope: Envelope, call: Call, key: CallKey, now: float) -> None:
    """Keep the table of calls true: an answer ends its call, an item of a stream keeps it young."""
    frame = envelope.frame
    if isinstance(frame, Data):
        if call.streaming and not _is_last(envelope) and not ends_stream(frame.payload):
            state.calls.touch(key, call, now)
            return
    elif isinstance(frame, DeliveryAck) and frame.accepted:
        return
    end_call(state, key)
