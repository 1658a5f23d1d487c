"""How a request enters the table of calls at a node it passes or reaches, and what happens when its names are in use.

Pure functions over `NodeState`.
"""

from fame_cli.core.calls import Call
from fame_cli.core.deadline import time_left_s
from fame_cli.core.ending import abandon_call, refuse, stop_downstream, tell_caller
from fame_cli.core.envelope import STREAM, Envelope
from fame_cli.core.flownames import WINDOW
from fame_cli.core.link import LOCAL, Link
from fame_cli.core.state import NodeState

__all__ = ["enter"]


def enter(state: NodeState, origin: Link, target: Link, envelope: Envelope, now: float) -> Call | None:
    """Enter a request into the table of calls; a call of our own is there already and learns where it went.

    Returns:
        None when it was refused: another link uses the same names for a call of its own, the answers of a stream would
        take the credit of a flow that is in use at a plain link, or the neighbour has too many calls in flight, or too
        much to pay for streams it has given up.
    """
    key = (envelope.reply_to or "", envelope.corr_id or "")
    known = state.calls.get(key)
    if origin is LOCAL and known is not None:
        known.egress = target
        return known
    streaming = bool((envelope.rtype or 0) & STREAM)
    limit_s = 0.0 if streaming else _time_limit(envelope)  # a stream's time stands still while its reader takes his
    call = Call(origin, target, envelope.id or "", streaming, now, limit_s, envelope.trace_id)
    most = state.settings.limits.calls_in_flight
    full = most and state.calls.count_from(origin) >= most and not origin.meshes
    owes = streaming and _owes_answers(state, origin, now)
    takes_a_flow = streaming and known is None and _names_a_flow(state, origin, target, key[1])
    if not (full or owes or takes_a_flow) and state.calls.open(key, call):
        return call
    if known is not None:
        _clash(state, origin, envelope, known)
    elif full:
        refuse(state, origin, envelope, "RATE_LIMITED", "too many calls in flight from there")
    elif owes:
        refuse(state, origin, envelope, "RATE_LIMITED", "too many answers to what was asked from there, and given up")
    else:
        refuse(state, origin, envelope, "DUPLICATE_CALL", "this corrId names a flow that is in use")
    return None


def _owes_answers(state: NodeState, origin: Link, now: float) -> bool:
    """Tell whether a neighbour has given up more streams than its rate pays for."""
    session = state.sessions.get(origin)
    return session is not None and session.meter is not None and session.meter.answers.is_deep_in_debt(now)


def _names_a_flow(state: NodeState, origin: Link, target: Link, corr_id: str) -> bool:
    """Tell whether a stream's flow is one in use at a plain link, where it goes by its `corrId` alone."""
    plain = [link for link in (origin, target) if link is not LOCAL and WINDOW not in link.extensions]
    return bool(plain) and (corr_id == state.flow_id or any(state.sessions[at].flow.uses(corr_id) for at in plain))


def _time_limit(envelope: Envelope) -> float:
    """Return the seconds after which a call of somebody else's is over: no less than its caller waits; 0 for none.

    A power of two, up to twice the caller's time, so that there are few different ones (see `CallTable`).
    """
    left_s = time_left_s(envelope)
    return float(1 << (int(left_s) + 1).bit_length()) if left_s else 0.0


def _clash(state: NodeState, origin: Link, envelope: Envelope, known: Call) -> None:
    """Refuse a request whose names are in use: by itself, when it has gone in a circle, or by somebody else's."""
    key = (envelope.reply_to or "", envelope.corr_id or "")
    if known.request_id != envelope.id:
        refuse(state, origin, envelope, "DUPLICATE_CALL", "this corrId is in use by another caller")
        return
    if known.ingress.remote_id == origin.remote_id:
        return  # sent again over a link that has replaced the first
    abandon_call(state, key)
    stop_downstream(state, key, known, "the request went in a circle")
    tell_caller(
        state, key, known, "ROUTE_LOOP", f"the request went in a circle and came to {state.settings.node_id} again"
    )
