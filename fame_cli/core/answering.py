"""What this node's own operations say: results, stream items, errors, paced by the credit of their flow (spec 7, 8).

Pure functions over `NodeState`.
"""

from collections import deque

from fame_cli.core.address import parse
from fame_cli.core.calls import CallKey, error_payload
from fame_cli.core.carry import carry
from fame_cli.core.deadline import EXPIRED, WORTH_S, with_less_time
from fame_cli.core.deliver import deliver
from fame_cli.core.effects import FlowOpen, Send
from fame_cli.core.ending import abandon_call, end_call, tell_caller
from fame_cli.core.envelope import ITEMS, LAST, SYN, TRACE, Envelope, data_frame, decode, encode
from fame_cli.core.flow import Flow, Held
from fame_cli.core.flownames import flow_of_stream
from fame_cli.core.frames import Meta
from fame_cli.core.gate import Refusal
from fame_cli.core.link import LOCAL
from fame_cli.core.session import Session
from fame_cli.core.state import NodeState, credit_back, rest
from fame_cli.core.trace import extended

__all__ = ["answer", "release", "writable"]


def answer(state: NodeState, key: CallKey, payload: bytes, now: float, *, last: bool, items: int = 1) -> None:
    """Send one JSON-RPC response to whoever asked; nothing happens when the call has ended already.

    Args:
        last: True when it ends the call.
        items: of a stream that its result holds, as an array if it is more than one.
    """
    call = state.calls.get(key)
    if call is None:
        return
    meta: Meta | None = None
    if call.trace is not None:
        meta = {TRACE: extended(state.settings.node_id, call.trace, LOCAL, now)}
    if items > 1:
        meta = {**(meta or {}), ITEMS: items}
    if call.sealed and call.streaming and last:
        meta = {**(meta or {}), LAST: True}
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
        ttl=state.settings.max_hops - 1,
    )
    if call.sealed:
        sealed = state.gate.seal(envelope, parse(key[0]).path)
        if isinstance(sealed, Refusal):
            call.sealed = False  # what is said of it needn't be secret
            failure = error_payload(call.rpc_id, -32603, f"the answer can't be sealed: {sealed.reason}")
            answer(state, key, failure, now, last=True)
            return
        envelope = sealed
    if state.gate.signs:
        envelope = state.gate.sign(envelope)
    data = encode(envelope)
    limit = state.settings.max_message_bytes
    if len(data) > limit:
        failure = error_payload(call.rpc_id, -32603, f"the answer takes {len(data)} bytes, the limit is {limit}")
        answer(state, key, failure, now, last=True)
        return
    if call.ingress is LOCAL:
        deliver(state, LOCAL, envelope, len(data), now)
        return
    carry(state, LOCAL, envelope, data, now)
    if last:
        end_call(state, key)  # has happened already unless there was no way back


def writable(state: NodeState, key: CallKey) -> bool:
    """Tell a producer whether to go on; when not, a `FlowOpen` follows as soon as it may."""
    call = state.calls.get(key)
    session = state.sessions.get(call.ingress) if call is not None and call.streaming else None
    if session is None:
        return True
    flow = flow_of_stream(session.link, key)
    if session.flow.writable(flow):
        return True
    state.producers[session.link, flow] = key
    return False


def release(state: NodeState, session: Session, flow: Flow, held: list[Held]) -> None:
    """Send what credit has set free, give its own credit back and wake the producer that waits for this flow."""
    waiting = deque(held)
    while waiting:
        item = waiting.popleft()
        data = item.data if item.call is None else _as_due(state, item, item.call)
        if data is not None:
            state.effects.append(Send(session.link, data))
            if item.unpaid and session.meter is not None and not session.meter.answers.takes(1, len(data), state.now):
                rest(state, session)
        else:
            waiting.extend(session.flow.take_back(flow, item))
        credit_back(state, item.source, item.flow, item.size)
    key = state.producers.get((session.link, flow))
    if key is not None and session.flow.writable(flow):
        del state.producers[session.link, flow]
        state.effects.append(FlowOpen(key))


def _as_due(state: NodeState, held: Held, key: CallKey) -> bytes | None:
    """Return a request that has waited as it may go on now, with less time; None when nobody waits for it any more."""
    call = state.calls.get(key)
    if call is None:
        return None  # its caller has given up
    waited_s = state.now - held.since
    if waited_s < WORTH_S:
        return held.data
    shorter = with_less_time(decode(held.data), held.data, waited_s)
    if shorter is None:
        abandon_call(state, key)
        tell_caller(state, key, call, EXPIRED, f"its time was over before {call.egress.remote_id} took it")
        return None
    return shorter[1]
