"""The way of one data envelope: route it, then deliver, forward or refuse it (spec 8, 9).

Pure functions over `NodeState`. `carry` takes what a link or this node sent, and asks ``routing.py`` once. What is
forwarded is the very bytes that came in, unless the caller asked for a trace. Nothing is lost in silence: what can't
go on is answered with a NACK where the wire has a place for one (spec 6.4), and noted where it hasn't.

Functions that may keep an envelope's credit say so by returning True ("held"); whoever lets go of it later gives the
credit back with `credit_back`.
"""

from fame_cli.core.address import parse
from fame_cli.core.calls import (
    Call,
    CallKey,
    ends_stream,
    error_payload,
    read_request,
    read_response,
)
from fame_cli.core.effects import CallEnded, Dispatch, FlowOpen, ItemArrived, Outcome, Request, Send
from fame_cli.core.ending import abandon_call, end_call, is_at, refuse, send_routed, stop_downstream, tell_caller
from fame_cli.core.envelope import ACK, REPLY, STREAM, SYN, TRACE, Envelope, data_frame, encode
from fame_cli.core.flow import Held
from fame_cli.core.frames import EMPTY, Data, DeliveryAck
from fame_cli.core.link import LOCAL, Link
from fame_cli.core.routing import Drop, route
from fame_cli.core.session import Session
from fame_cli.core.state import NodeState, credit_back, pass_on
from fame_cli.core.trace import extended, trace_of, traced
from fame_cli.errors import RemoteProtocolError

__all__ = ["answer", "carry", "release", "writable"]


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
    if origin is not LOCAL and envelope.reply_to:
        parse(envelope.reply_to)
    target = route(envelope.to, envelope.capabilities, origin, state.table)
    if isinstance(target, Drop):
        refuse(state, origin, envelope, target.code, target.reason)
        return False
    if target is LOCAL:
        return _deliver(state, origin, envelope, len(data), now)
    return _forward(state, origin, state.sessions[target], envelope, data, now)


# Forward


def _forward(state: NodeState, origin: Link, out: Session, envelope: Envelope, data: bytes, now: float) -> bool:
    target, corr_id = out.link, envelope.corr_id
    asks = bool(corr_id and envelope.reply_to and (envelope.rtype or 0) & (REPLY | STREAM))
    if not target.is_ours and not asks and _would_poison(state, target, envelope):
        state.note("stale_answer_dropped", "debug", to=envelope.to, link=target.number)
        return False
    if asks:
        if not target.is_ours and is_at(target, envelope.to):
            refuse(state, origin, envelope, "NO_ROUTE", f"nothing called {envelope.to} is known here")
            return False
        if _open(state, origin, target, envelope, now) is None:
            refuse(state, origin, envelope, "DUPLICATE_CALL", "this corrId is in use by another caller")
            return False
    size = len(data)
    if envelope.meta is not None and TRACE in envelope.meta and origin is not LOCAL:
        longer = encode(traced(state.settings.node_id, envelope, origin, now))
        data = longer if len(longer) <= state.settings.max_message_bytes else data  # a trace costs no envelope
    deferred = _is_paced(origin, envelope)
    sent = pass_on(state, out, envelope.flow_id, data, origin if deferred else None, size)
    if sent is False:
        _overflow(state, origin, envelope, f"{target.remote_id} doesn't keep up")
    elif not asks and corr_id and envelope.to:
        _answer_passed(state, envelope, now)
    return sent is None and deferred


def _is_paced(origin: Link, envelope: Envelope) -> bool:
    """Tell whether an envelope's credit goes back only when its reader has taken it: it is in a stream's own flow.

    Not towards a plain Naylence neighbour: it waits for credit in its read loop, and all its other calls with it.
    """
    return envelope.flow_id is not None and envelope.flow_id == envelope.corr_id and "window" in origin.extensions


def _overflow(state: NodeState, origin: Link, envelope: Envelope, reason: str) -> None:
    """Refuse what a link has no room for: a request to its sender, an answer to the caller who waits for it."""
    key = (envelope.to or "", envelope.corr_id or "")
    call = abandon_call(state, key)
    if call is None:
        refuse(state, origin, envelope, "QUEUE_FULL", reason)
        return
    tell_caller(state, key, call, "QUEUE_FULL", reason)
    stop_downstream(state, key, call, reason)


def _open(state: NodeState, origin: Link, target: Link, envelope: Envelope, now: float) -> Call | None:
    """Enter a request into the table of calls; a call of our own is there already and learns where it went.

    Returns:
        None when another link uses the same names for a call of its own.
    """
    key = (envelope.reply_to or "", envelope.corr_id or "")
    known = state.calls.get(key)
    if origin is LOCAL and known is not None:
        known.egress = target
        return known
    streaming = bool((envelope.rtype or 0) & STREAM)
    call = Call(origin, target, envelope.id or "", streaming, now, trace_id=envelope.trace_id)
    return call if state.calls.open(key, call) else None


def _answer_passed(state: NodeState, envelope: Envelope, now: float) -> None:
    """Keep the table of calls true: an answer ends its call, an item of a stream keeps it young."""
    key = (envelope.to or "", envelope.corr_id or "")
    call = state.calls.get(key)
    if call is None:
        return
    frame = envelope.frame
    if isinstance(frame, Data):
        if call.streaming and not ends_stream(frame.payload):
            state.calls.touch(key, call, now)
            return
    elif isinstance(frame, DeliveryAck) and frame.accepted:
        return
    end_call(state, key)


def _would_poison(state: NodeState, link: Link, envelope: Envelope) -> bool:
    """Tell whether a plain neighbour would choke on an answer nobody there waits for any more (spec 6.5)."""
    return is_at(link, envelope.to) and state.calls.get((envelope.to or "", envelope.corr_id or "")) is None


# Deliver


def _deliver(state: NodeState, origin: Link, envelope: Envelope, size: int, now: float) -> bool:
    if (envelope.rtype or 0) & ACK and envelope.reply_to and isinstance(envelope.frame, Data):
        # "received", not "done"; a Naylence agent stands still until the items it sent are acknowledged (spec 6.4, 8.4)
        send_routed(state, origin, envelope.reply_to, DeliveryAck(ok=True, ref_id=envelope.id), envelope, 0)
    key = (envelope.to or "", envelope.corr_id or "")
    call = state.calls.get(key)
    if call is not None and call.ingress is LOCAL:
        return _answered(state, key, call, origin, envelope, size, now)
    frame = envelope.frame
    if not isinstance(frame, Data):
        return False
    address = envelope.to or next(
        (address for address, link in state.table.providers(envelope.capabilities or ()) if link is LOCAL), ""
    )
    _dispatch(state, origin, envelope, frame, address, now)
    return False


def _dispatch(state: NodeState, origin: Link, envelope: Envelope, frame: Data, address: str, now: float) -> None:
    request = read_request(frame.payload)
    if request is None and address.startswith("__rpc__"):
        state.note("late_answer_ignored", "debug", link=origin.number)
        return
    if request is None:
        message = Request(None, address, "", frame.payload, sender=envelope.sid or "")
        state.effects.append(Dispatch(message))
        return
    key = None
    trace = None
    if envelope.meta is not None and TRACE in envelope.meta:
        trace = extended(state.settings.node_id, trace_of(envelope.meta) or [], origin, now)
    if envelope.reply_to and envelope.corr_id:
        key = (envelope.reply_to, envelope.corr_id)
        running = state.calls.get(key)
        if running is not None and running.ingress is origin is not LOCAL and running.request_id == envelope.id:
            return  # sent again because our acknowledgement was slow (spec 6.4)
        call = _open(state, origin, LOCAL, envelope, now)
        if call is None:
            refuse(state, origin, envelope, "DUPLICATE_CALL", "this corrId is in use by another caller")
            return
        call.rpc_id, call.trace = bytes(request.id), trace
    state.effects.append(
        Dispatch(
            Request(
                key,
                address,
                request.method,
                request.params,
                streaming=bool((envelope.rtype or 0) & STREAM),
                trace_id=envelope.trace_id,
                sender=envelope.sid or "",
            )
        )
    )


def _answered(
    state: NodeState, key: CallKey, call: Call, origin: Link, envelope: Envelope, size: int, now: float
) -> bool:
    """Give an answer to the local caller that waits for it."""
    frame = envelope.frame
    if isinstance(frame, DeliveryAck):
        if not frame.accepted:
            _finish(state, key, Outcome("nack", code=frame.code or "", message=frame.reason or ""))
        return False
    if not isinstance(frame, Data):
        return False
    try:
        response = read_response(frame.payload)
    except RemoteProtocolError as error:
        _finish(state, key, Outcome("error", code="-32700", message=str(error)))
        return False
    trace = trace_of(envelope.meta)
    if response.error is not None:
        failure = response.error
        outcome = Outcome("error", code=str(failure.code), message=failure.message, data=failure.data, trace=trace)
        _finish(state, key, outcome)
    elif call.streaming and response.has_result:
        state.calls.touch(key, call, now)
        call.unread += 1
        deferred = _is_paced(origin, envelope)
        state.effects.append(ItemArrived(key, response.result, origin if deferred else None, size))
        return deferred
    else:
        value = response.result if response.has_result else EMPTY
        _finish(state, key, Outcome("end" if call.streaming else "result", value, trace=trace))
    return False


def _finish(state: NodeState, key: CallKey, outcome: Outcome) -> None:
    """End a call of ours that is known to be in flight."""
    end_call(state, key)
    state.effects.append(CallEnded(key, outcome))


# Answers of ours


def answer(state: NodeState, key: CallKey, payload: bytes, now: float, *, last: bool) -> None:
    """Send one JSON-RPC response to whoever asked; `last` ends the call. Nothing happens when it has ended already."""
    call = state.calls.get(key)
    if call is None:
        return
    meta = {TRACE: extended(state.settings.node_id, call.trace, LOCAL, now)} if call.trace is not None else None
    sequence = call.sent if call.streaming else state.next_sequence()
    call.sent += 1
    envelope = Envelope(
        version="1.0",
        id=state.new_id(),
        sid=state.sid,
        trace_id=call.trace_id,
        to=key[0],
        corr_id=key[1],
        flow_id=key[1] if call.streaming else state.flow_id,
        seq_id=sequence,
        flow_flags=0 if sequence else SYN,
        frame=data_frame(payload),
        ts=state.stamp(),
        meta=meta,
    )
    data = encode(envelope)
    limit = state.settings.max_message_bytes
    if len(data) > limit:
        failure = error_payload(call.rpc_id, -32603, f"the answer takes {len(data)} bytes, the limit is {limit}")
        answer(state, key, failure, now, last=True)
        return
    if call.ingress is LOCAL:
        _deliver(state, LOCAL, envelope, len(data), now)
        return
    carry(state, LOCAL, envelope, data, now)
    if last:
        end_call(state, key)  # has happened already unless there was no way back


def writable(state: NodeState, key: CallKey) -> bool:
    """Tell a producer whether to go on; when not, a `FlowOpen` follows as soon as it may."""
    call = state.calls.get(key)
    session = state.sessions.get(call.ingress) if call is not None and call.streaming else None
    if session is None or session.flow.writable(key[1]):
        return True
    state.producers[session.link, key[1]] = key
    return False


def release(state: NodeState, session: Session, flow_id: str, held: list[Held]) -> None:
    """Send what credit has set free, give its own credit back and wake the producer that waits for this flow."""
    for item in held:
        state.effects.append(Send(session.link, item.data))
        credit_back(state, item.source, flow_id, item.size)
    key = state.producers.get((session.link, flow_id))
    if key is not None and session.flow.writable(flow_id):
        del state.producers[session.link, flow_id]
        state.effects.append(FlowOpen(key))
