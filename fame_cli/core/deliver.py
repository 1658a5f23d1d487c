"""The end of an envelope's way: a request becomes a `Dispatch`, an answer what its caller waits for (spec 8).

Pure functions over `NodeState`; ``carry.py`` has decided that the envelope stays here.
"""

import msgspec

from fame_cli.core import inbox
from fame_cli.core.calls import Call, CallKey, read_request, read_response
from fame_cli.core.deadline import time_left_s
from fame_cli.core.effects import CallEnded, Dispatch, ItemArrived, Outcome, Request
from fame_cli.core.ending import deny, end_call, refuse, send_routed
from fame_cli.core.entering import enter
from fame_cli.core.envelope import ACK, ITEMS, PACK, STREAM, TRACE, Envelope, is_message
from fame_cli.core.flownames import WINDOW
from fame_cli.core.frames import EMPTY, Data, DeliveryAck, SecureAccept, SecureOpen
from fame_cli.core.gate import ADMIN_ONLY, Refusal
from fame_cli.core.link import LOCAL, Link
from fame_cli.core.state import NodeState
from fame_cli.core.trace import extended, trace_of
from fame_cli.errors import MENDING, RemoteProtocolError

__all__ = ["deliver", "is_paced"]

NO_KEY = "A" * 43 + "="
"""32 zero bytes in base64: what stands for a key where a channel is refused (security.md 7.4)."""


def is_paced(origin: Link, envelope: Envelope, call: Call | None) -> bool:
    """Tell whether an envelope's credit goes back only when its reader has taken it: it is in a stream's own flow.

    Only what answers a stream that was asked for is: anybody may give his flow any name. Not towards a plain Naylence
    neighbour: it waits for credit in its read loop, and all its other calls with it.
    """
    if call is None or not call.streaming or WINDOW not in origin.extensions:
        return False
    return envelope.flow_id is not None and envelope.flow_id == envelope.corr_id


def deliver(state: NodeState, origin: Link, envelope: Envelope, size: int, now: float) -> bool:
    """Give an envelope to whom it is for at this node: a handler, or the caller that waits for it.

    Args:
        size: bytes it took on the link it came by.

    Returns:
        True when it still holds credit of its flow.
    """
    is_kept = envelope.rtype == ACK and is_message(envelope)
    if not is_kept and (envelope.rtype or 0) & ACK and isinstance(envelope.frame, Data):
        inbox.acknowledge(state, origin, envelope)  # a Naylence agent waits for it before it sends its next item
    key = (envelope.to or "", envelope.corr_id or "")
    call = state.calls.get(key)
    ours = call is not None and call.ingress is LOCAL
    was_sealed = False
    if state.gate.signs and origin is not LOCAL:
        opened = _opened(state, origin, envelope, call if ours else None)
        if opened is None:
            return False
        was_sealed, envelope = opened is not envelope, opened
    if is_kept:
        inbox.take(state, origin, envelope, now)
        return False
    if call is not None and ours:
        return _answered(state, key, call, origin, envelope, size, now)
    frame = envelope.frame
    if isinstance(frame, SecureOpen) and envelope.reply_to:
        refusal = SecureAccept(ok=False, reason="this node opens no channels", cid=frame.cid, eph_pub=NO_KEY)
        send_routed(state, origin, envelope.reply_to, refusal, envelope, 0)
    if isinstance(frame, DeliveryAck):
        _acknowledged(state, origin, envelope, frame)
    if not isinstance(frame, Data):
        return False
    address = envelope.to or next(
        (address for address, way in state.table.providers(envelope.capabilities or ()) if way is LOCAL), ""
    )
    running = _dispatch(state, origin, envelope, frame, address, now)
    if running is not None:
        running.sealed = was_sealed
    return False


def _acknowledged(state: NodeState, origin: Link, envelope: Envelope, ack: DeliveryAck) -> None:
    """Take what has become of a message of ours; only who may have its address can have taken it."""
    message_id = envelope.corr_id or ""
    lane = state.outbox.lane_of.get(message_id)
    if lane is None:
        return
    is_final = ack.accepted or ack.code not in MENDING
    if is_final and state.gate.signs and origin is not LOCAL:
        impostor = state.gate.speaks_for(envelope, lane.address, keeps=True)
        if impostor is not None:
            state.note("envelope_denied", "warning", link=origin.number, node=origin.remote_id, code=impostor.code)
            return
    code = "" if ack.accepted else ack.code or "REFUSED"
    state.outbox.verdicts.append((message_id, code, ack.reason or "", ack.ref_id or ""))


def _opened(state: NodeState, origin: Link, envelope: Envelope, call: Call | None) -> Envelope | None:
    """Return an envelope that ends here with its payload opened; None where the gate doesn't let it end here.

    Args:
        call: of our own that it is for; None for a request.
    """
    late = None if origin.is_leaf else state.gate.remember(envelope)  # what a leaf sends is looked at as it comes in
    if late is not None:
        if late.code == "REPLAY_DETECTED":
            state.note("envelope_denied", "warning", link=origin.number, node=origin.remote_id, code=late.code)
        else:  # this node's clock may be the one that is wrong, so whoever asked should know
            deny(state, state.sessions[origin], envelope, late)
        return None
    if not isinstance(envelope.frame, Data):
        return envelope
    wanted = call.sealed if call is not None else not (envelope.to or "").startswith("__sys__@")
    opened = state.gate.open(envelope, sealed=wanted)
    if isinstance(opened, Refusal):
        deny(state, state.sessions[origin], envelope, opened)
        return None
    return opened


def _dispatch(state: NodeState, origin: Link, envelope: Envelope, frame: Data, address: str, now: float) -> Call | None:
    """Have a request answered here; returns its call, None when nobody waits for an answer, or has before."""
    request = read_request(frame.payload)
    if request is None and address.startswith("__rpc__"):
        state.note("late_answer_ignored", "debug", link=origin.number)
        return None
    if request is None:
        signer = state.gate.signer(envelope)
        message = Request(None, address, "", frame.payload, sender=envelope.sid or "", signer=signer)
        state.effects.append(Dispatch(message))
        return None
    if request.method in ADMIN_ONLY and address.startswith("__sys__@"):
        refusal = state.gate.may_mend(origin, envelope) if origin is not LOCAL else None
        if refusal is not None:
            state.note("envelope_barred", "warning", link=origin.number, to=address, code=refusal.code)
            refuse(state, origin, envelope, refusal.code, refusal.reason)
            return None
    key = None
    trace = None
    call: Call | None = None
    if envelope.meta is not None and TRACE in envelope.meta:
        trace = extended(state.settings.node_id, trace_of(envelope.meta) or [], origin, now)
    if envelope.reply_to and envelope.corr_id:
        key = (envelope.reply_to, envelope.corr_id)
        running = state.calls.get(key)
        if running is not None and running.ingress is origin is not LOCAL and running.request_id == envelope.id:
            return None  # sent again because our acknowledgement was slow (spec 6.4)
        call = enter(state, origin, LOCAL, envelope, now)
        if call is None:
            return None
        call.rpc_id, call.trace = bytes(request.id), trace
    left_s = time_left_s(envelope)
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
                packs=envelope.meta is not None and envelope.meta.get(PACK) is True,
                signer=state.gate.signer(envelope) if state.gate.signs else "",
                deadline=now + left_s if left_s else 0.0,
            )
        )
    )
    return call


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
    impostor = state.gate.speaks_for(envelope, call.address) if state.gate.signs and origin is not LOCAL else None
    if impostor is not None:
        state.note("envelope_denied", "warning", link=origin.number, node=origin.remote_id, code=impostor.code)
        _finish(state, key, Outcome("nack", code=impostor.code, message=impostor.reason))
        return False
    try:
        response = read_response(frame.payload)
    except RemoteProtocolError as error:
        _finish(state, key, Outcome("error", code="-32700", message=str(error)))
        return False
    trace = trace_of(envelope.meta)
    signer = state.gate.signer(envelope) if state.gate.signs else ""
    if response.error is not None:
        failure = response.error
        code, told = str(failure.code), failure.message
        outcome = Outcome("error", code=code, message=told, data=failure.data, trace=trace, signer=signer)
        _finish(state, key, outcome)
    elif call.streaming and response.has_result:
        state.calls.touch(key, call, now)
        call.unread += 1
        deferred = is_paced(origin, envelope, call)
        packed = call.packs and envelope.meta is not None and ITEMS in envelope.meta and _is_array(response.result)
        state.effects.append(ItemArrived(key, response.result, origin if deferred else None, size, packed))
        return deferred
    else:
        value = response.result if response.has_result else EMPTY
        _finish(state, key, Outcome("end" if call.streaming else "result", value, trace=trace, signer=signer))
    return False


def _is_array(value: msgspec.Raw) -> bool:
    return bytes(memoryview(value)[:1]) == b"["


def _finish(state: NodeState, key: CallKey, outcome: Outcome) -> None:
    """End a call of ours that is known to be in flight."""
    end_call(state, key)
    state.effects.append(CallEnded(key, outcome))
