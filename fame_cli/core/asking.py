"""A call or a message of this node's own: from what somebody wants to the first envelope on its way (spec 8.1, 8.6).

Pure functions over `NodeState`.
"""

import msgspec

from fame_cli.core.address import parse
from fame_cli.core.calls import Call, CallKey, request_payload
from fame_cli.core.carry import carry
from fame_cli.core.deadline import MAX_TIMEOUT_MS
from fame_cli.core.ending import refuse
from fame_cli.core.envelope import PACK, REPLY, SESSION, STREAM, SYN, TIMEOUT, TRACE, Envelope, data_frame, encode
from fame_cli.core.frames import Meta
from fame_cli.core.gate import Refusal
from fame_cli.core.link import LOCAL
from fame_cli.core.state import NodeState

__all__ = ["Wish", "ask", "post"]


class Wish(msgspec.Struct, frozen=True, gc=False):
    """Hold what a caller wants; see `NodeCore.call` for the meanings."""

    to: str | None
    method: str
    params: bytes
    capabilities: list[str] | None
    streaming: bool
    timeout_s: float
    trace: bool
    session: str | None
    packs: bool
    seal_to: str


def ask(state: NodeState, inbox: str, wish: Wish, now: float) -> CallKey:
    """Send a request; exactly one `CallEnded` with the key follows.

    Args:
        inbox: address the answer comes to.

    Raises:
        RemoteProtocolError: `to` isn't an address.
    """
    if wish.to is not None:
        parse(wish.to)
    corr_id = state.new_id()
    key = (inbox, corr_id)
    sequence = state.next_sequence()
    envelope = Envelope(
        version="1.0",
        id=state.new_id(),
        sid=state.sid,
        trace_id=state.new_id(),
        to=wish.to,
        reply_to=inbox,
        capabilities=wish.capabilities,
        rtype=STREAM if wish.streaming else REPLY,
        corr_id=corr_id,
        flow_id=state.flow_id,
        seq_id=sequence,
        flow_flags=0 if sequence else SYN,
        frame=data_frame(request_payload(corr_id, wish.method, wish.params)),
        ts=state.stamp(),
        meta=_meta(wish),
        ttl=state.settings.max_hops - 1,
    )
    call = Call(LOCAL, LOCAL, envelope.id or "", wish.streaming, now, wish.timeout_s, envelope.trace_id)
    call.packs, call.sealed, call.address = wish.packs, bool(wish.seal_to), wish.to or ""
    state.calls.open(key, call)
    refusal = _send_off(state, envelope, wish.seal_to, now)
    if refusal is not None:
        refuse(state, LOCAL, envelope, refusal.code, refusal.reason)
    return key


def post(state: NodeState, to: str, payload: bytes, seal_to: str, now: float) -> Refusal | None:
    """Send a message that nobody answers and nobody answers for (spec 8.6); a refusal says why it didn't leave.

    Raises:
        RemoteProtocolError: `to` isn't an address.
    """
    parse(to)
    sequence = state.next_sequence()
    envelope = Envelope(
        version="1.0",
        id=state.new_id(),
        sid=state.sid,
        trace_id=state.new_id(),
        to=to,
        flow_id=state.flow_id,
        seq_id=sequence,
        flow_flags=0 if sequence else SYN,
        frame=data_frame(payload),
        ts=state.stamp(),
        ttl=state.settings.max_hops - 1,
    )
    return _send_off(state, envelope, seal_to, now)


def _send_off(state: NodeState, envelope: Envelope, seal_to: str, now: float) -> Refusal | None:
    """Seal, sign and send an envelope of ours; a refusal says why it didn't leave this node."""
    if seal_to:
        sealed = state.gate.seal(envelope, seal_to)
        if isinstance(sealed, Refusal):
            return sealed
        envelope = sealed
    if state.gate.signs and state.sid is not None:
        envelope = state.gate.sign(envelope)
    data = encode(envelope)
    limit = state.settings.max_message_bytes
    if len(data) > limit:
        return Refusal("MESSAGE_TOO_LARGE", f"{len(data)} bytes; the limit is {limit}")
    if not state.settings.routes and state.table.parent is None and state.table.path:
        return Refusal("LINK_LOST", "the link to the sentinel is down")
    carry(state, LOCAL, envelope, data, now)
    return None


def _meta(wish: Wish) -> Meta | None:
    meta: Meta = {}
    if wish.timeout_s * 1000 < MAX_TIMEOUT_MS:
        meta[TIMEOUT] = max(1, int(wish.timeout_s * 1000))
    if wish.session is not None:
        meta[SESSION] = wish.session
    if wish.packs:
        meta[PACK] = True
    if wish.trace:
        meta[TRACE] = []
    return meta or None
