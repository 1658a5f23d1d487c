"""How calls end early, and how a refusal finds its way back (spec 6.4).

Pure functions over `NodeState`. Whoever removes a call from the table has ended it and owes the news: to its caller
(`tell_caller`), to its provider (`stop_downstream`), or to both. Nothing here decides where an envelope goes: refusals
are routed like everything else.
"""

from fame_cli.core.address import parse
from fame_cli.core.calls import Call, CallKey
from fame_cli.core.effects import CallEnded, DispatchCancelled, Outcome
from fame_cli.core.envelope import RESET, Envelope, Header
from fame_cli.core.flownames import flow_of_stream
from fame_cli.core.frames import CallCancel, DeliveryAck, SecureAccept
from fame_cli.core.gate import Refusal
from fame_cli.core.late import expect_late
from fame_cli.core.link import LOCAL, Link, next_link
from fame_cli.core.routing import Drop, route
from fame_cli.core.session import Session
from fame_cli.core.state import NodeState, nack_frame, send
from fame_cli.errors import RemoteProtocolError

__all__ = [
    "abandon_call",
    "cancel",
    "deny",
    "end_call",
    "end_overdue",
    "is_at",
    "link_lost",
    "refuse",
    "send_routed",
    "stop_downstream",
    "tell_caller",
]


def abandon_call(state: NodeState, key: CallKey) -> Call | None:
    """Remove a call that ends before its answer, with the answers that still wait: nobody will read them."""
    call = state.calls.get(key)
    session = state.sessions.get(call.ingress) if call is not None and call.streaming else None
    if session is not None:
        session.flow.abandon(flow_of_stream(session.link, key))
    if call is not None and call.egress is not LOCAL:
        expect_late(state, key, call)
    return end_call(state, key)


def end_call(state: NodeState, key: CallKey) -> Call | None:
    """Remove a call and what its flow left behind; the first to do so gets it, everybody after gets None.

    Answers that wait for credit still go out: the last of them has ended the call, but not been read.
    """
    call = state.calls.end(key)
    if call is not None and call.streaming:
        state.producers.pop((call.ingress, flow_of_stream(call.ingress, key)), None)
        for link in (call.ingress, call.egress):
            session = state.sessions.get(link)
            if session is not None:
                session.flow.forget(flow_of_stream(link, key))
    return call


def is_at(link: Link, to: str | None) -> bool:
    """Tell whether an address lies at a plain neighbour's own path, where an unknown name stops its read loop."""
    return to is not None and parse(to).path == link.remote_path and not to.startswith("__sys__@")


def refuse(state: NodeState, origin: Link, envelope: Envelope | Header, code: str, reason: str) -> None:
    """Answer an envelope that can't go on: to our own caller directly, else by a NACK to `replyTo` (spec 6.4).

    A NACK has no `replyTo` itself, so it is never answered in turn.
    """
    state.note("envelope_refused", "debug", code=code, reason=reason, link=origin.number)
    if not (envelope.id and envelope.reply_to and envelope.corr_id):
        state.unroutable += 1
        return
    if origin is LOCAL and envelope.corr_id in state.outbox.lane_of:
        state.outbox.verdicts.append((envelope.corr_id, code, reason, envelope.id))
        return
    key = (envelope.reply_to, envelope.corr_id)
    call = state.calls.get(key)
    if call is not None and call.ingress is not origin:
        return  # somebody else's call: the newcomer that borrowed its names gets no say over it
    abandon_call(state, key)
    if origin is LOCAL:
        state.effects.append(CallEnded(key, Outcome("nack", code=code, message=reason)))
    else:
        send_routed(state, origin, envelope.reply_to, nack_frame(code, reason, envelope.id), envelope, RESET)


def deny(state: NodeState, session: Session, envelope: Envelope, refusal: Refusal) -> None:
    """Answer what the gate didn't let in: nothing in it is to be believed, so the answer goes to whoever sent it.

    A bad answer ends the call it came for, if that is where the request went: its caller need not wait for another.
    """
    link = session.link
    state.note("envelope_denied", "warning", link=link.number, node=link.remote_id, code=refusal.code)
    key = (envelope.to or "", envelope.corr_id or "")
    call = state.calls.get(key)
    if call is not None and call.egress is link:
        abandon_call(state, key)
        tell_caller(state, key, call, refusal.code, refusal.reason)
    elif envelope.id and envelope.reply_to and envelope.corr_id and refusal.code != "REPLAY_DETECTED":
        frame = nack_frame(refusal.code, refusal.reason, envelope.id)
        about = envelope.corr_id, envelope.trace_id
        send(state, session, frame, to=envelope.reply_to, corr_id=about[0], trace_id=about[1], flow_flags=RESET)


def send_routed(
    state: NodeState,
    origin: Link,
    to: str,
    frame: DeliveryAck | SecureAccept,
    about: Envelope | Header,
    flow_flags: int,
) -> None:
    """Send an acknowledgement of ours back: in the mesh the way its cause came, else along the routes.

    What has no way is dropped, as spec 6.4 says.
    """
    target = _way_back(state, origin, to)
    if target is None or target is LOCAL:
        state.note("ack_undeliverable", "debug", to=to)
        return
    if not target.is_ours and target is not origin and is_at(target, to):
        return
    send(
        state,
        state.sessions[target],
        frame,
        to=to,
        corr_id=about.corr_id,
        trace_id=about.trace_id,
        flow_flags=flow_flags,
    )


def _way_back(state: NodeState, origin: Link, to: str) -> Link | None:
    lives = origin in state.sessions  # what is acknowledged late may have come by a link that is gone
    try:
        way = route(to, None, LOCAL, state.table, back=origin if origin.meshes and lives else None)
    except RemoteProtocolError:
        return None
    link = None if isinstance(way, Drop) else next_link(way)
    return origin if link is None and lives else link


def cancel(state: NodeState, key: CallKey, origin: Link, reason: str) -> bool:
    """Stop a call on behalf of the side it came from, and let the next node towards the provider know.

    Returns:
        False when there is no such call of `origin`.
    """
    call = state.calls.get(key)
    if call is None or call.ingress is not origin:
        return False
    abandon_call(state, key)
    stop_downstream(state, key, call, reason)
    return True


def end_overdue(state: NodeState, now: float) -> None:
    """End the calls whose time is over, our own with a word to their caller; the side they went to is told."""
    for key, call in state.calls.expired(now):
        if call.unread:  # it is the reader who takes his time
            state.calls.touch(key, call, now)
            continue
        cancel(state, key, call.ingress, "the caller's time is over")
        if call.ingress is LOCAL:
            state.effects.append(CallEnded(key, Outcome("timeout", message=f"{call.timeout_s:g}")))


def stop_downstream(state: NodeState, key: CallKey, call: Call, reason: str) -> None:
    """Tell the side a call went to that nobody waits for it any more."""
    if call.egress is LOCAL:
        state.effects.append(DispatchCancelled(key, reason))
        return
    session = state.sessions.get(call.egress)
    if session is not None and "cancel" in call.egress.extensions:
        send(state, session, CallCancel(), reply_to=key[0], corr_id=key[1], trace_id=call.trace_id)


def link_lost(state: NodeState, link: Link) -> None:
    """End every call over a link that is gone: tell the callers beyond us, stop the work beyond us."""
    for key, call in state.calls.over(link):
        abandon_call(state, key)
        if call.ingress is link:
            stop_downstream(state, key, call, "the caller's link is gone")
            continue
        tell_caller(state, key, call, "LINK_LOST", f"{link.remote_id} went away with the call in flight")


def tell_caller(state: NodeState, key: CallKey, call: Call, code: str, reason: str) -> None:
    """Tell the caller of a call that has been ended here that it failed."""
    if call.ingress is LOCAL:
        state.effects.append(CallEnded(key, Outcome("nack", code=code, message=reason)))
        return
    about = Header(id=call.request_id, trace_id=call.trace_id, reply_to=key[0], corr_id=key[1])
    send_routed(state, call.ingress, key[0], nack_frame(code, reason, call.request_id), about, RESET)
