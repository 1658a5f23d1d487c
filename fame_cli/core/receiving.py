"""What comes in over a link, envelope by envelope: whether it counts, and who is in charge of it.

Pure functions over `NodeState`. Nothing a neighbour sends is acted on before the state of its link allows it and the
gate has found it to be whose it says it is; nothing it sends raises past `take` or ends the link (spec 2.4, 6.4).
"""

from fame_cli.core import answering, attach, control, ending
from fame_cli.core.batch import one_line
from fame_cli.core.carry import carry
from fame_cli.core.deadline import EXPIRED, with_less_time
from fame_cli.core.ending import deny
from fame_cli.core.envelope import CARRIED, Envelope, Header, decode, peek
from fame_cli.core.flow import Flow
from fame_cli.core.flownames import flow_of, flow_of_credit, flow_of_stream
from fame_cli.core.frames import (
    CallCancel,
    CreditUpdate,
    KeyAnnounce,
    KeyRequest,
    NodeAttach,
    NodeAttachAck,
    NodeHeartbeat,
    NodeHeartbeatAck,
)
from fame_cli.core.gate import Refusal, Unknown
from fame_cli.core.keysharing import on_key_announce, on_key_request, park
from fame_cli.core.parking import Parked
from fame_cli.core.session import Session, State
from fame_cli.core.state import NodeState, send_credit
from fame_cli.errors import RemoteProtocolError

__all__ = ["refuse_rate", "take"]

CLOSE_VIOLATION = 1008

UNSIGNED = (CreditUpdate, NodeHeartbeat, NodeHeartbeatAck, NodeAttach, NodeAttachAck)
"""Frames that not everybody signs (security.md 5.5) and that change nothing but the link they come by."""


def take(state: NodeState, session: Session, data: bytes, now: float) -> None:
    """Take one envelope; of a batch, nothing counts behind the one that made us give the link up."""
    limit = state.settings.max_message_bytes
    try:
        if len(data) > limit:
            raise RemoteProtocolError(f"{len(data)} bytes; the limit is {limit}")
        if session.state is not State.CLOSED:
            _sort(state, session, decode(data), one_line(data) if b"\n" in data else data, now)
    except RemoteProtocolError as error:
        _reject(state, session, data, error)


def _sort(
    state: NodeState, session: Session, envelope: Envelope, data: bytes, now: float, waited: tuple[str, ...] = ()
) -> None:
    """Have the gate look at an envelope, act on it, and count it against its flow.

    Args:
        waited: ids of the keys it has waited for.
    """
    if state.gate.checks and session.is_open and not isinstance(envelope.frame, UNSIGNED):
        verdict = state.gate.verify(session.link, envelope)
        if isinstance(verdict, Unknown):
            if park(state, Parked(session, envelope, data, now, waited), verdict.missing, now):
                return  # its credit goes back once its key is there
            why = "nobody knows the key at its path" if waited else "too much from here waits for unknown keys"
            verdict = Refusal("KEY_UNKNOWN", why)
        if verdict is not None:
            deny(state, session, envelope, verdict)
            _count(state, session, envelope, len(data))
            _charge(state, session, now)
            return
    if isinstance(envelope.frame, CARRIED) and session.is_open:  # nearly all there is
        keeps = carry(state, session.link, envelope, data, now)
    else:
        keeps = _act(state, session, envelope, now)
    if not keeps:
        _count(state, session, envelope, len(data))


def _act(state: NodeState, session: Session, envelope: Envelope, now: float) -> bool:
    """Hand what is between two neighbours to whoever is in charge; True when it costs no credit."""
    frame = envelope.frame
    if isinstance(frame, CreditUpdate):
        flow = flow_of_credit(session.link, envelope, frame)
        answering.release(state, session, flow, session.flow.grant(flow, frame.credits))
        return True
    if not session.is_open:
        _handshake(state, session, envelope, now)
    elif isinstance(frame, CallCancel):
        key = (envelope.reply_to or "", envelope.corr_id or "")
        session.flow.abandon(flow_of_stream(session.link, key))
        ending.cancel(state, key, session.link, "cancelled")
    elif isinstance(frame, KeyAnnounce) and state.gate.signs:
        for parked in on_key_announce(state, session, envelope):
            _again(state, parked, now)
    elif isinstance(frame, KeyRequest) and state.gate.signs:
        on_key_request(state, session, envelope)
    elif isinstance(frame, NodeAttach | NodeAttachAck | KeyAnnounce | KeyRequest):
        state.note("frame_ignored", "debug", frame=type(frame).__name__, link=session.link.number)
    else:
        control.on_control(state, session, envelope, now)
    return False


def refuse_rate(state: NodeState, session: Session, data: bytes, now: float) -> None:
    """Refuse what comes faster than a neighbour may send, but answers; whoever doesn't mind that is cut off."""
    header, meter = peek(data), session.meter
    if header is not None and meter is not None and not header.reply_to and _is_awaited(state, session, header):
        left = meter.left
        take(state, session, data, now)
        if meter.left != left:
            return  # whoever asked for it pays
    elif header is not None and session.is_open:
        ending.refuse(state, session.link, header, "RATE_LIMITED", "more a second than this node takes from there")
    _charge(state, session, now)


def _is_awaited(state: NodeState, session: Session, header: Header) -> bool:
    """Tell whether an envelope has the names of a call that went to its sender."""
    names = (header.to or "", header.corr_id or "")
    call = state.calls.get(names) or state.late.get(names)
    return call is not None and call.egress is session.link


def _charge(state: NodeState, session: Session, now: float) -> None:
    """Count an error of a neighbour's; one too many ends its link."""
    if session.meter is not None and session.is_open and not session.meter.bears(now):
        state.note("link_cut", "warning", link=session.link.number, node=session.link.remote_id)
        attach.end(state, session, CLOSE_VIOLATION, "too many envelopes were denied")


def _again(state: NodeState, parked: Parked, now: float) -> None:
    """Look again at an envelope whose key has come."""
    if not parked.session.is_open:
        return
    shorter = with_less_time(parked.envelope, parked.data, now - parked.since)
    if shorter is None:
        link = parked.session.link
        ending.refuse(state, link, parked.envelope, EXPIRED, "its time was over before its key was known")
        return
    try:
        _sort(state, parked.session, *shorter, now, parked.waited)
    except RemoteProtocolError as error:
        _reject(state, parked.session, parked.data, error)


def _count(state: NodeState, session: Session, envelope: Envelope, size: int) -> None:
    """Give a flow's credit back once enough of it has come (spec 7)."""
    flow: Flow | None = envelope.flow_id
    if flow == envelope.corr_id:
        flow = flow_of(session.link, envelope)
    if flow is None or not session.is_open:
        return
    credits = session.flow.received(flow, size)
    if credits:
        send_credit(state, session, flow, credits, None)


def _handshake(state: NodeState, session: Session, envelope: Envelope, now: float) -> None:
    frame = envelope.frame
    if session.state is State.AWAITING and isinstance(frame, NodeAttach):
        attach.on_attach(state, session, envelope, now)
    elif session.state is State.ATTACHING and isinstance(frame, NodeAttachAck):
        attach.on_attach_ack(state, session, envelope, now)
    else:
        state.note("frame_ignored", "debug", frame=type(frame).__name__, link=session.link.number)


def _reject(state: NodeState, session: Session, data: bytes, error: RemoteProtocolError) -> None:
    """Answer what can't be taken, as far as its header can be read; the link lives on."""
    state.note("envelope_rejected", "warning", link=session.link.number, reason=str(error)[:200])
    header = peek(data)
    if header is not None and session.is_open:
        code = "MALFORMED" if len(data) <= state.settings.max_message_bytes else "MESSAGE_TOO_LARGE"
        ending.refuse(state, session.link, header, code, str(error)[:200])
