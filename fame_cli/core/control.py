"""Control frames: attach, heartbeat, bind, advertise and what follows when a link ends (spec 5, 6).

Pure functions over `NodeState`. Frames come here only from a link whose session is known; which frames a state allows
is decided in ``node.py``. Nothing a neighbour sends may raise past `NodeCore.receive`: RemoteProtocolError is turned
into a refusal there.
"""

from typing import Any

from fame_cli.core.address import is_node_id, is_node_path
from fame_cli.core.announce import PLAIN_PEER_DELAY_S, announce, announce_all, is_announceable, plain_peer
from fame_cli.core.effects import BindAnswered, CloseLink, LinkAttached, LinkRefused
from fame_cli.core.ending import link_lost
from fame_cli.core.envelope import Envelope
from fame_cli.core.flow import OUR_UNIT_BYTES, OUR_WINDOW, SPEC_WINDOW
from fame_cli.core.frames import (
    AddressBind,
    AddressBindAck,
    AddressUnbind,
    AddressUnbindAck,
    CapabilityAdvertise,
    CapabilityAdvertiseAck,
    CapabilityWithdraw,
    CapabilityWithdrawAck,
    Meta,
    NodeAttach,
    NodeAttachAck,
    NodeHeartbeat,
    NodeHeartbeatAck,
)
from fame_cli.core.gate import Gate, Refusal
from fame_cli.core.link import Link, LinkKind
from fame_cli.core.session import ACCEPT_DEADLINE_S, ATTACH_DEADLINE_S, HEARTBEAT_S, Event, Session, State, fire
from fame_cli.core.state import EXTENSIONS, NodeState, send

__all__ = ["close", "end", "on_attach", "on_attach_ack", "on_control", "open_link"]

CLOSE_NORMAL = 1000
CLOSE_REFUSED = 1008

MAX_CAPABILITY_LENGTH = 256
MAX_CAPABILITIES = 1024
"""Capabilities in one frame, and characters in one capability: bounds of ours, the original has none."""


# Attach


def open_link(state: NodeState, link: Link, now: float) -> Session:
    """Start the life of a link: attach when we dialled it, wait for the attach when we didn't (spec 5.2)."""
    if not link.dialed:
        return Session(link, State.AWAITING, now + ACCEPT_DEADLINE_S, now)
    session = Session(link, State.ATTACHING, now + ATTACH_DEADLINE_S, now)
    session.attach_corr = state.new_id()
    frame = NodeAttach(
        origin_type="peer" if link.kind is LinkKind.PEER else "downstream",
        system_id=state.settings.node_id,
        instance_id=state.settings.instance_id,
        accepted_logicals=list(state.settings.logicals),
    )
    send(state, session, frame, corr_id=session.attach_corr, meta=_offer(state), anonymous=True)
    return session


def _offer(state: NodeState) -> Meta:
    return {"fame.ext": list(EXTENSIONS), "fame.window": OUR_WINDOW, "fame.instance": state.settings.instance_id}


def _negotiate(session: Session, meta: Meta | None) -> None:
    """Take what the neighbour offers and we know too (docs/wire-extensions.md); anything odd counts as not offered."""
    offered: Any = (meta or {}).get("fame.ext")
    if not isinstance(offered, list):
        return
    session.link.extensions = frozenset(EXTENSIONS).intersection(name for name in offered if isinstance(name, str))
    window: Any = (meta or {}).get("fame.window")
    if "window" in session.link.extensions and isinstance(window, int):
        session.flow.resize(min(max(window, SPEC_WINDOW), 65_536), OUR_WINDOW, OUR_UNIT_BYTES)


def on_attach(state: NodeState, session: Session, envelope: Envelope, gate: Gate, now: float) -> None:
    """Let a neighbour in, or say why not (spec 5.2)."""
    attach, link = envelope.frame, session.link
    assert isinstance(attach, NodeAttach)
    _negotiate(session, envelope.meta)
    refusal = gate.admit(attach, link, state.settings)
    if refusal is None:
        link.instance_id = attach.instance_id
        refusal = _settle_namesake(state, link)
    if refusal is not None:
        ack = NodeAttachAck(ok=False, code=refusal.code, reason=refusal.reason, ref_id=envelope.id)
        send(state, session, ack, corr_id=envelope.corr_id, trace_id=envelope.trace_id, anonymous=True)
        state.note("link_refused", "warning", link=link.number, node=link.remote_id, code=refusal.code)
        end(state, session, CLOSE_REFUSED, "attach-unauthorized")
        return
    child = link.kind is LinkKind.CHILD
    link.remote_path = f"{state.table.path}/{link.segment}" if child else f"/{link.remote_id}"
    session.epoch = state.new_id()
    ack = NodeAttachAck(
        ok=True,
        ref_id=envelope.id,
        target_system_id=state.settings.node_id,
        assigned_path=link.remote_path,
        target_physical_path=state.table.path,
        routing_epoch=session.epoch,
    )
    meta = _offer(state) if link.is_ours else None
    send(state, session, ack, corr_id=envelope.corr_id, trace_id=envelope.trace_id, meta=meta, anonymous=True)
    _opened(state, session, Event.ATTACHED, now)


def _settle_namesake(state: NodeState, link: Link) -> Refusal | None:
    """Decide between a newcomer and an attached neighbour of the same id (spec 5.4 and 9.1).

    A reconnect of the same process, or of a node that can't tell, takes the place of the old link. A child that
    merely shares its id gets a path of its own. A sentinel that does is refused, because replies are routed by its
    id. When two sentinels dialled each other, the link dialled by the smaller id stays.
    """
    link.segment = link.remote_id
    child = link.kind is LinkKind.CHILD
    neighbours = state.table.children if child else state.table.peers
    known = neighbours.get(link.remote_id)
    if known is None:
        return None
    if link.is_ours and known.instance_id != link.instance_id:
        if not child:
            return Refusal("ID_TAKEN", f"another sentinel is attached as {link.remote_id}")
        link.segment = f"{link.remote_id}-{state.new_id()[:4]}"
        own = (link.remote_id, link.instance_id)
        before = next((twin for twin in neighbours.values() if (twin.remote_id, twin.instance_id) == own), None)
        if before is None:
            return None
        known, link.segment = before, before.segment
    if known.dialed != link.dialed and not child and not _survives(state, link):
        return Refusal("DUPLICATE_LINK", "already linked the other way round")
    end(state, state.sessions[known], CLOSE_NORMAL, "replaced by a newer link")
    return None


def _settle_twin(state: NodeState, link: Link) -> Refusal | None:
    """Decide between a link we dialled and one that leads to a sentinel of the same id already (spec 9.1).

    Two sentinels behind two of our URLs may share an id: then the first stays. One sentinel behind two of our URLs
    takes the newer link for a reconnect, so we do too.
    """
    known = state.table.peers.get(link.remote_id)
    if known is None:
        return None
    same = known.instance_id == link.instance_id
    if not same and (known.dialed or link.is_ours):
        return Refusal("NAMESAKE", f"another sentinel called {link.remote_id} is attached")
    if same and not known.dialed and not _survives(state, link):
        return Refusal("DUPLICATE_LINK", f"{link.remote_id} is linked already")
    end(state, state.sessions[known], CLOSE_NORMAL, "replaced by a newer link")
    return None


def _survives(state: NodeState, link: Link) -> bool:
    return link.dialed == (state.settings.node_id < link.remote_id)


def on_attach_ack(state: NodeState, session: Session, envelope: Envelope, now: float) -> None:
    """Open the link we dialled, or give it up when the answer is no (spec 5.2)."""
    ack, link = envelope.frame, session.link
    assert isinstance(ack, NodeAttachAck)
    if ack.accepted and envelope.corr_id != session.attach_corr:
        return
    whole = (
        is_node_id(ack.target_system_id or "")
        and is_node_path(ack.target_physical_path or "")
        and (is_node_path(ack.assigned_path or "") or link.kind is LinkKind.PEER)
    )
    if not ack.accepted or not whole:
        code = ack.code or ("REFUSED" if not ack.accepted else "INVALID_ACK")
        state.effects.append(LinkRefused(link, code, ack.reason or "the answer to our attach lacks an id or a path"))
        end(state, session, CLOSE_NORMAL, "")
        return
    _negotiate(session, envelope.meta)
    link.remote_id = link.segment = ack.target_system_id or ""
    link.remote_path = ack.target_physical_path or ""
    instance_id: Any = (envelope.meta or {}).get("fame.instance")
    link.instance_id = instance_id if isinstance(instance_id, str) else ""
    session.epoch = ack.routing_epoch or ""
    if link.kind is LinkKind.PEER:
        refusal = _settle_twin(state, link)
        if refusal is not None:
            state.effects.append(LinkRefused(link, refusal.code, refusal.reason))
            end(state, session, CLOSE_NORMAL, "duplicate link")
            return
    elif ack.assigned_path != state.table.path:
        _take_path(state, ack.assigned_path or "")
    session.next_beat = now + HEARTBEAT_S
    _opened(state, session, Event.ACCEPTED, now)


def _take_path(state: NodeState, path: str) -> None:
    """Move to the path the parent gave us; children hold paths below the old one and must attach anew."""
    state.move(path)
    for child in list(state.table.children.values()):
        end(state, state.sessions[child], CLOSE_NORMAL, "the sentinel's path changed")


def _opened(state: NodeState, session: Session, event: Event, now: float) -> None:
    link = session.link
    fire(session, event)
    session.deadline = 0.0
    state.table.attach(link)
    if link.kind is not LinkKind.CHILD:
        session.announce_at = now + (PLAIN_PEER_DELAY_S if plain_peer(link) else 0.0)
    state.effects.append(LinkAttached(link))
    state.note(
        "link_attached",
        link=link.number,
        kind=link.kind.value,
        node=link.remote_id,
        path=link.remote_path,
        extensions=sorted(link.extensions),
    )
    announce_all(state, session, now)


# What an open link may say


def on_control(state: NodeState, session: Session, envelope: Envelope, now: float) -> None:
    """Act on a control frame of an attached neighbour; frames that mean nothing here are passed over."""
    match envelope.frame:
        case NodeHeartbeat():
            ack = NodeHeartbeatAck(ok=True, ref_id=envelope.id, routing_epoch=session.epoch or None)
            send(state, session, ack, corr_id=envelope.corr_id, trace_id=envelope.trace_id)
        case NodeHeartbeatAck(routing_epoch=epoch) if session.link.dialed and epoch and epoch != session.epoch:
            session.epoch = epoch
            session.announced.clear()
            announce_all(state, session, now)
        case AddressBind(address=address):
            refusal = _bind(state, session.link, address)
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
            if state.table.unbind(address, session.link):
                announce(state, [address])
            _answer(state, session, envelope, AddressUnbindAck(ok=True, ref_id=envelope.id, address=address))
        case CapabilityAdvertise() | CapabilityWithdraw():
            _offer_changed(state, session, envelope)
        case AddressBindAck(ref_id=ref) as ack:
            name = session.unanswered.pop(ref or "", None)
            if isinstance(name, str):
                code = "" if ack.accepted else (ack.code or "REFUSED")
                state.effects.append(BindAnswered(name, code, ack.reason or ""))
        case _:
            pass


def _bind(state: NodeState, link: Link, address: str) -> Refusal | None:
    if link.kind is LinkKind.PARENT or not is_announceable(address):
        return Refusal("INVALID_ADDRESS", f"{address[:80]} can't be bound here")
    owners = state.table.links(address)
    if "@*." not in address and link.kind is LinkKind.CHILD:
        taken = [owner for owner in owners if owner is not link and owner.kind in (LinkKind.LOCAL, LinkKind.CHILD)]
        if taken:
            return Refusal("ADDRESS_TAKEN", f"{address} belongs to {taken[0].remote_id}")
    if state.table.bind(address, link):
        announce(state, [address])
    return None


def _offer_changed(state: NodeState, session: Session, envelope: Envelope) -> None:
    frame, link = envelope.frame, session.link
    assert isinstance(frame, CapabilityAdvertise | CapabilityWithdraw)
    legal = len(frame.capabilities) <= MAX_CAPABILITIES and is_announceable(frame.address)
    capabilities = [c for c in frame.capabilities if c and len(c) <= MAX_CAPABILITY_LENGTH] if legal else []
    if link.kind is LinkKind.PARENT:
        return
    change = state.table.advertise if isinstance(frame, CapabilityAdvertise) else state.table.withdraw
    changed = [(capability, frame.address) for capability in capabilities if change(capability, frame.address, link)]
    announce(state, changed)
    answer = CapabilityAdvertiseAck if isinstance(frame, CapabilityAdvertise) else CapabilityWithdrawAck
    _answer(
        state,
        session,
        envelope,
        answer(ok=legal, ref_id=envelope.id, capabilities=frame.capabilities, address=frame.address),
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


# The end


def close(state: NodeState, session: Session) -> None:
    """Forget a link that is gone: its names are withdrawn everywhere and the calls over it end."""
    fire(session, Event.CLOSE)
    del state.sessions[session.link]
    names = state.table.detach(session.link)
    link_lost(state, session.link)
    state.note("link_closed", link=session.link.number, kind=session.link.kind.value, node=session.link.remote_id)
    announce(state, names)


def end(state: NodeState, session: Session, code: int, reason: str) -> None:
    """Close a link ourselves."""
    state.effects.append(CloseLink(session.link, code, reason))
    close(state, session)
