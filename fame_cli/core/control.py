"""What an attached neighbour may say about itself: heartbeats, names, records of the mesh (spec 5.3, 6).

Pure functions over `NodeState`. Frames come here only from a link that is open. Nothing a neighbour sends may raise
past `NodeCore.receive`: RemoteProtocolError is turned into a refusal there.
"""

from fame_cli.core import attach
from fame_cli.core.address import is_node_path
from fame_cli.core.adjusting import on_cost
from fame_cli.core.announce import plain_peer, tell_all
from fame_cli.core.effects import BindAnswered
from fame_cli.core.envelope import GRANT, Envelope
from fame_cli.core.frames import (
    AddressBind,
    AddressBindAck,
    AddressUnbind,
    AddressUnbindAck,
    CapabilityAdvertise,
    CapabilityAdvertiseAck,
    CapabilityWithdraw,
    CapabilityWithdrawAck,
    MeshSummary,
    MeshUpdate,
    NodeHeartbeat,
    NodeHeartbeatAck,
)
from fame_cli.core.gate import Refusal
from fame_cli.core.link import Link, LinkKind
from fame_cli.core.mesh import on_summary, on_update
from fame_cli.core.names import MAX_CAPABILITY_LENGTH, is_announceable, wire_name
from fame_cli.core.namesake import is_contested
from fame_cli.core.publish import publish
from fame_cli.core.reach import compare, digest_meta, settle
from fame_cli.core.session import Session
from fame_cli.core.state import NodeState, send

__all__ = ["on_control"]

MAX_CAPABILITIES = 1024
"""Capabilities in one frame: a bound of ours, the original has none."""


def on_control(state: NodeState, session: Session, envelope: Envelope, now: float) -> None:
    """Act on a control frame of an attached neighbour; frames that mean nothing here are passed over."""
    match envelope.frame:
        case NodeHeartbeat():
            ack = NodeHeartbeatAck(ok=True, ref_id=envelope.id, routing_epoch=session.epoch or None)
            meta = digest_meta(state, session.link, now)
            send(state, session, ack, corr_id=envelope.corr_id, trace_id=envelope.trace_id, meta=meta)
            _renew(state, session, envelope, now)
            on_cost(state, session, envelope, now)
            compare(state, session.link, envelope, now)
        case NodeHeartbeatAck(routing_epoch=epoch):
            compare(state, session.link, envelope, now)
            if session.link.dialed and epoch and epoch != session.epoch:
                session.epoch = epoch
                session.announced.clear()
                tell_all(state, session, now)
        case MeshSummary() as summary:
            settle(state, now)
            on_summary(state, session.link, summary, now)
        case MeshUpdate() as update:
            if is_contested(state, update):
                settle(state, now)
            on_update(state, session.link, update, now)
        case AddressBind(address=address, physical_path=path):
            refusal = _bind(state, session, address, path or "", now)
            if refusal is not None:
                _note_refused(state, session.link, address, refusal)
            _answer(
                state,
                session,
                envelope,
                AddressBindAck(
                    ok=refusal is None,
                    code=refusal.code if refusal else None,
                    reason=refusal.reason if refusal else None,
                    ref_id=envelope.id,
                    address=address,
                ),
            )
        case AddressUnbind(address=address):
            if is_announceable(address) and state.table.unbind(address, session.link):
                publish(state, [address], now)
            _answer(state, session, envelope, AddressUnbindAck(ok=True, ref_id=envelope.id, address=address))
        case CapabilityAdvertise() | CapabilityWithdraw():
            _offer_changed(state, session, envelope, now)
        case CapabilityAdvertiseAck() as ack if not ack.accepted:
            reason = ack.reason or ack.code or "no reason given"
            state.note("offer_refused", "warning", address=ack.address, reason=reason)
        case AddressBindAck(ref_id=ref) as ack:
            name = session.unanswered.pop(ref or "", None)
            if isinstance(name, str):
                code = "" if ack.accepted else (ack.code or "REFUSED")
                state.effects.append(BindAnswered(name, code, ack.reason or ""))
        case AddressUnbindAck(ref_id=ref):
            session.withdrawn.discard(ref or "")
        case _:
            pass


def _bind(state: NodeState, session: Session, address: str, path: str, now: float) -> Refusal | None:
    """Take a name a neighbour claims; `path` is where it says that the binder is, "" if it doesn't."""
    link = session.link
    if _is_mute(link) or not is_announceable(address):
        return Refusal("INVALID_ADDRESS", f"{address[:80]} can't be bound here")
    if _is_full(state, link):
        return Refusal("RATE_LIMITED", f"{link.remote_id} has bound as much as it may")
    refusal = state.gate.may("bind" if link.kind is LinkKind.CHILD else "announce", link, address)
    if refusal is not None:
        return refusal
    owners = [way for way in state.table.ways(address) if isinstance(way, Link)]
    if "@*." not in address and link.kind is LinkKind.CHILD:
        taken = [owner for owner in owners if owner is not link and owner.kind in (LinkKind.LOCAL, LinkKind.CHILD)]
        if taken and not _has_moved(state, taken[0], link, now):
            return Refusal("ADDRESS_TAKEN", f"{address} belongs to {taken[0].remote_id}")
        for owner in taken:  # the old link just hasn't ended yet
            state.table.unbind(address, owner)
            state.note("address_taken_over", "warning", address=address, link=link.number, node=link.remote_id)
    if plain_peer(link) and is_node_path(path) and link.remote_id not in path.split("/"):
        # the binder isn't at the peer or below it: it is one of us, or behind yet another plain sentinel, from where
        # no answer finds back (spec 9)
        if state.table.ways(path):
            session.echoes[address] = path
        return None
    if state.table.bind(address, link):
        state.note("address_bound", "debug", address=address, link=link.number, node=link.remote_id)
        publish(state, [address], now)
    return None


def _has_moved(state: NodeState, owner: Link, link: Link, now: float) -> bool:
    """Tell whether who has an address and who claims it are one node: by its credential, or because it began again.

    In the open profile that is a node of the same id whose link doesn't answer; it is asked now, so the second try may
    get what the first one doesn't.
    """
    if owner.kind is LinkKind.LOCAL:
        return False
    if link.grant is not None:
        return state.gate.is_same(owner, link)
    if owner.grant is not None or not owner.is_ours or not link.is_ours or owner.remote_id != link.remote_id:
        return False
    if not attach.is_dead(state, owner, now):
        return False
    attach.end(state, state.sessions[owner], attach.CLOSE_NORMAL, "it doesn't answer, and another process has its id")
    return True


def _renew(state: NodeState, session: Session, envelope: Envelope, now: float) -> None:
    """Take the new credential a heartbeat brings, so that the link outlives the old one."""
    token = envelope.meta.get(GRANT) if envelope.meta else None
    link = session.link
    if not isinstance(token, str) or link.grant is None:
        return
    found = state.gate.renewed(link, token)
    if found is None:
        state.note("grant_refused", "warning", link=link.number, node=link.remote_id)
        return
    link.grant, link.expires_at = found[0], now + found[1]
    state.note("grant_renewed", link=link.number, node=link.remote_id, subject=link.grant.subject)


def _note_refused(state: NodeState, link: Link, address: str, refusal: Refusal) -> None:
    node, code = link.remote_id, refusal.code
    state.note("name_refused", "warning", link=link.number, node=node, address=address[:128], code=code)


def _is_full(state: NodeState, link: Link) -> bool:
    most = state.settings.limits.routes
    return bool(most) and state.table.count_of(link) >= most


def _is_mute(link: Link) -> bool:
    """Tell whether names don't come over a link frame by frame: never from above, and not where records travel."""
    return link.kind is LinkKind.PARENT or link.meshes


def _offer_changed(state: NodeState, session: Session, envelope: Envelope, now: float) -> None:
    frame, link = envelope.frame, session.link
    assert isinstance(frame, CapabilityAdvertise | CapabilityWithdraw)
    legal = len(frame.capabilities) <= MAX_CAPABILITIES and is_announceable(frame.address)
    capabilities = [c for c in frame.capabilities if c and len(c) <= MAX_CAPABILITY_LENGTH] if legal else []
    if _is_mute(link):
        return
    refusal: Refusal | None = None
    change = state.table.withdraw
    if isinstance(frame, CapabilityAdvertise):
        change = state.table.advertise
        asked = [state.gate.may("advertise", link, wire_name((each, frame.address))) for each in capabilities]
        refusal = next((each for each in asked if each is not None), None)
        if refusal is None and _is_full(state, link):
            refusal = Refusal("RATE_LIMITED", f"{link.remote_id} has bound as much as it may")
        if refusal is not None:
            capabilities = []
            _note_refused(state, link, frame.address, refusal)
    changed = [(capability, frame.address) for capability in capabilities if change(capability, frame.address, link)]
    publish(state, changed, now)
    answer = CapabilityAdvertiseAck if isinstance(frame, CapabilityAdvertise) else CapabilityWithdrawAck
    _answer(
        state,
        session,
        envelope,
        answer(
            ok=legal and refusal is None,
            code=refusal.code if refusal else None,
            reason=refusal.reason if refusal else None,
            ref_id=envelope.id,
            capabilities=frame.capabilities,
            address=frame.address,
        ),
    )


def _answer(
    state: NodeState,
    session: Session,
    envelope: Envelope,
    ack: AddressBindAck | AddressUnbindAck | CapabilityAdvertiseAck | CapabilityWithdrawAck,
) -> None:
    """Acknowledge to a child; peers get no acknowledgements (spec 6.1)."""
    if session.link.kind is LinkKind.CHILD:
        send(state, session, ack, corr_id=envelope.corr_id, trace_id=envelope.trace_id)
    elif not ack.accepted:
        state.note("announcement_refused", "warning", link=session.link.number, reason=ack.reason)
