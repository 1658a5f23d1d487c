"""The life of a link in frames: attach, its answer, what opens then, and the end (spec 5).

Pure functions over `NodeState`. Frames come here from ``node.py``, which knows the state of the session; nothing a
neighbour sends may raise past `NodeCore.receive`.
"""

from typing import Any

from fame_cli.core.address import is_node_id, is_node_path
from fame_cli.core.announce import PLAIN_PEER_DELAY_S, tell_all
from fame_cli.core.effects import CloseLink, LinkAttached, LinkRefused
from fame_cli.core.ending import link_lost
from fame_cli.core.envelope import Envelope, encode
from fame_cli.core.flow import OUR_UNIT_BYTES, OUR_WINDOW, SPEC_WINDOW, FlowControl
from fame_cli.core.frames import Meta, NodeAttach, NodeAttachAck, NodeHeartbeat
from fame_cli.core.gate import Refusal
from fame_cli.core.keysharing import tell_key
from fame_cli.core.limits import Meter
from fame_cli.core.link import Link, LinkKind
from fame_cli.core.mesh import join, leave, set_cost
from fame_cli.core.namesake import is_elsewhere, namesakes
from fame_cli.core.publish import publish
from fame_cli.core.reach import settle
from fame_cli.core.session import ATTACH_DEADLINE_S, BEATS, LEAST_BEAT_S, SILENCE_S, Event, Session, State, fire
from fame_cli.core.stacking import stack_prefix
from fame_cli.core.state import NodeState, send
from fame_cli.core.table import DEFAULT_ROUTE
from fame_cli.core.topology import MAX_COST

__all__ = ["attach_refusal", "close", "end", "is_dead", "on_attach", "on_attach_ack", "open_link", "retired"]

CLOSE_NORMAL = 1000
CLOSE_REFUSED = 1008

PROBE_S = 1.0
"""Seconds a neighbour has to answer whether it lives."""

RETIRE_GRACE_S = 2.0
"""Seconds a replaced link lives on in any case: the other side may not have heard of the new one yet."""


def open_link(state: NodeState, link: Link, now: float) -> Session:
    """Start the life of a link: attach when we dialled it, wait for the attach when we didn't (spec 5.2)."""
    flow = FlowControl(budget=state.budget)
    patience_s = max(SILENCE_S, state.settings.silence_s)  # for who negotiates nothing
    if not link.dialed:
        holder = link.grant.holder if link.grant is not None else None
        meter = state.census.enter(link.host, holder)
        deadline = now + state.settings.limits.attach_s
        session = Session(link, State.AWAITING, deadline, now, flow=flow, meter=meter, holder=holder)
        session.silence_s = patience_s
        state.look_at(session, session.deadline)
        return session
    session = Session(link, State.ATTACHING, now + ATTACH_DEADLINE_S, now, silence_s=patience_s, flow=flow)
    state.look_at(session, now)
    session.attach_corr = state.new_id()
    frame = NodeAttach(
        origin_type="peer" if link.kind is LinkKind.PEER else "downstream",
        system_id=state.settings.node_id,
        instance_id=state.settings.instance_id,
        accepted_logicals=list(state.settings.logicals),
        keys=state.gate.keys(),
    )
    send(state, session, frame, corr_id=session.attach_corr, meta=_offer(state, link), anonymous=True)
    return session


def _offer(state: NodeState, link: Link) -> Meta:
    extensions = list(state.settings.extensions)
    own = {"fame.ext": extensions, "fame.window": OUR_WINDOW, "fame.instance": state.settings.instance_id}
    own["fame.silence"] = round(state.settings.silence_s * 1000)
    return own | {"fame.cost": link.own_cost} if state.settings.routes else own


def _negotiate(state: NodeState, session: Session, meta: Meta | None) -> None:
    """Take what the neighbour offers and we know too (docs/wire-extensions.md); anything odd counts as not offered."""
    offered: Any = (meta or {}).get("fame.ext")
    if not isinstance(offered, list):
        return
    session.link.extensions = frozenset(state.settings.extensions).intersection(
        name for name in offered if isinstance(name, str)
    )
    cost: Any = (meta or {}).get("fame.cost")
    if session.link.meshes and isinstance(cost, int):
        session.link.told_cost = min(cost, MAX_COST)
        session.link.cost = max(session.link.cost, session.link.told_cost)
    window: Any = (meta or {}).get("fame.window")
    if "window" in session.link.extensions and isinstance(window, int):
        session.flow.resize(min(max(window, SPEC_WINDOW), 65_536), OUR_WINDOW, OUR_UNIT_BYTES)
    silence_ms: Any = (meta or {}).get("fame.silence")
    if isinstance(silence_ms, int) and session.link.is_ours:
        session.silence_s = state.settings.silence_s
        shorter_ms = max(0, min(silence_ms, session.silence_s * 1000))  # compared first: it may be too great to divide
        session.beat_s = max(LEAST_BEAT_S, BEATS * shorter_ms / 1000)


def on_attach(state: NodeState, session: Session, envelope: Envelope, now: float) -> None:
    """Let a neighbour in, or say why not (spec 5.2)."""
    attach, link = envelope.frame, session.link
    assert isinstance(attach, NodeAttach)
    _negotiate(state, session, envelope.meta)
    refusal = state.gate.admit(attach, link, state.settings)
    if state.draining_since is not None:
        refusal = Refusal("NODE_DRAINING", f"{state.settings.node_id} is about to end")
    if refusal is None:
        link.instance_id = attach.instance_id
        refusal = _settle_namesake(state, link, now)
    if refusal is None:
        child = link.kind is LinkKind.CHILD
        link.remote_path = f"{state.table.path}/{link.segment}" if child else f"/{link.remote_id}"
        refusal = state.gate.joined(link, attach.keys)
    if refusal is not None:
        ack = NodeAttachAck(
            ok=False,
            code=refusal.code,
            reason=refusal.reason,
            ref_id=envelope.id,
            target_system_id=state.settings.node_id,
        )
        send(state, session, ack, corr_id=envelope.corr_id, trace_id=envelope.trace_id, anonymous=True)
        node, code, reason = link.remote_id, refusal.code, refusal.reason
        state.note("link_refused", "warning", link=link.number, node=node, code=code, reason=reason)
        end(state, session, CLOSE_REFUSED, "attach-unauthorized")
        return
    session.epoch = state.new_id()
    ack = NodeAttachAck(
        ok=True,
        ref_id=envelope.id,
        target_system_id=state.settings.node_id,
        assigned_path=link.remote_path,
        target_physical_path=state.table.path,
        routing_epoch=session.epoch,
        keys=state.gate.keys(),
    )
    meta = _offer(state, link) if link.is_ours else None
    send(state, session, ack, corr_id=envelope.corr_id, trace_id=envelope.trace_id, meta=meta, anonymous=True)
    _opened(state, session, Event.ATTACHED, now)


def attach_refusal(reason: str, code: str = "UNAUTHORIZED") -> bytes:
    """Return the message that refuses a connection before it has attached, as the original words it."""
    frame = NodeAttachAck(ok=False, code=code, reason=reason)
    return encode(Envelope(version="1.0", frame=frame))


def _settle_namesake(state: NodeState, link: Link, now: float) -> Refusal | None:
    """Decide between a newcomer and an attached neighbour of the same id (spec 5.4 and 9.1).

    A reconnect of the same process, or of a node that can't tell, takes the place of the old link. A leaf that
    merely shares its id gets a path of its own. A sentinel that does is refused, because records and routes go by its
    id, unless the other one is dead. When two sentinels dialled each other, the link dialled by the smaller id stays.
    """
    settle(state, now)
    link.segment = link.remote_id
    child = link.kind is LinkKind.CHILD
    neighbours = state.table.children if child else state.table.peers
    for twin in namesakes(state, link):
        if link.is_ours and twin.instance_id != link.instance_id and (twin.meshes or not child):
            if not is_dead(state, twin, now):
                return Refusal("ID_TAKEN", f"another sentinel is attached as {link.remote_id}")
            end(state, state.sessions[twin], CLOSE_NORMAL, "it doesn't answer, and another process has its id")
        elif not state.gate.is_same(twin, link):
            return _not_the_same(state, twin, link)
    if is_elsewhere(state, link):
        return Refusal("ID_TAKEN", f"another sentinel is called {link.remote_id} already")
    known = neighbours.get(link.remote_id)
    if known is not None and link.is_ours and known.instance_id != link.instance_id:
        link.segment = f"{link.remote_id}-{state.new_id()[-4:]}"
        own = (link.remote_id, link.instance_id)
        known = next((twin for twin in neighbours.values() if (twin.remote_id, twin.instance_id) == own), None)
        link.segment = known.segment if known is not None else link.segment
    if known is None:
        return None
    if not state.gate.is_same(known, link):
        return _not_the_same(state, known, link)
    if known.dialed != link.dialed and not child and not _survives(state, link):
        send(state, state.sessions[known], NodeHeartbeat(), corr_id=state.new_id())  # is it alive? else this ends it
        set_cost(state, known, link.cost, now)
        return Refusal("DUPLICATE_LINK", "already linked the other way round")
    _replace(state, known, link, now)
    return None


def _not_the_same(state: NodeState, known: Link, link: Link) -> Refusal:
    """Turn somebody away whose credential isn't that of the neighbour he takes himself for.

    We can't tell whose credential a neighbour has that we dialled, so it may be that one all the same: then the link we
    have will do, if it is alive.
    """
    if known.dialed and known.instance_id == link.instance_id:
        send(state, state.sessions[known], NodeHeartbeat(), corr_id=state.new_id())
        return Refusal("DUPLICATE_LINK", f"{link.remote_id} is linked already, and this isn't proved to be it")
    return Refusal("ID_TAKEN", f"{link.remote_id} is attached with another credential")


def is_dead(state: NodeState, known: Link, now: float) -> bool:
    """Tell whether a neighbour whose id another process claims has been asked and doesn't answer; else ask it.

    So a sentinel that is back sooner than its end was noticed gets its id at the second try.
    """
    session = state.sessions[known]
    if session.probed_at is None or session.last_heard > session.probed_at:
        session.probed_at = now
        send(state, session, NodeHeartbeat(), corr_id=state.new_id())
        return False
    return now - session.probed_at >= PROBE_S


def _settle_twin(state: NodeState, link: Link, now: float) -> Refusal | None:
    """Decide between a link we dialled and one that leads to a sentinel of the same id already (spec 9.1).

    Two sentinels behind two of our URLs may share an id: then the first stays. One sentinel behind two of our URLs
    takes the newer link for a reconnect, so we do too.
    """
    settle(state, now)
    taken = Refusal("NAMESAKE", f"another sentinel called {link.remote_id} is attached")
    others = namesakes(state, link)
    if is_elsewhere(state, link) or not all(state.gate.is_same(other, link) for other in others):
        return taken
    known = state.table.peers.get(link.remote_id) if link.kind is LinkKind.PEER else None
    if known is None:
        return None
    same = known.instance_id == link.instance_id
    if not same and (known.dialed or link.is_ours):
        return taken
    if same and not known.dialed and not _survives(state, link):
        set_cost(state, known, link.cost, now)
        return Refusal("DUPLICATE_LINK", f"{link.remote_id} is linked already")
    _replace(state, known, link, now)
    return None


def _replace(state: NodeState, known: Link, link: Link, now: float) -> None:
    """End a link that a newer one replaces: at once, or after its last call where both ends know both links."""
    session = state.sessions[known]
    link.cost = max(link.cost, known.cost)
    if known.meshes and known.dialed != link.dialed and session.state is State.OPEN:
        fire(session, Event.DRAIN)
        session.replaced_at = now
        state.look_at(session, now)
    else:
        end(state, session, CLOSE_NORMAL, "replaced by a newer link")


def retired(state: NodeState, session: Session, now: float) -> bool:
    """Tell whether a replaced link has done its duty: no call goes over it any more."""
    if session.replaced_at is None or now < session.replaced_at + RETIRE_GRACE_S:
        return False
    return not state.calls.over(session.link)


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
        link.remote_id = ack.target_system_id or ""
        twin = state.table.peers.get(link.remote_id) if ack.code == "DUPLICATE_LINK" else None
        if twin is not None:
            set_cost(state, twin, link.cost, now)
        code = ack.code or ("REFUSED" if not ack.accepted else "INVALID_ACK")
        state.effects.append(LinkRefused(link, code, ack.reason or "the answer to our attach lacks an id or a path"))
        end(state, session, CLOSE_NORMAL, "")
        return
    if link.kind is LinkKind.PARENT and _is_cycle(state, ack.assigned_path or ""):
        reason = f"its path {ack.target_physical_path} lies below this sentinel: their upstreams form a circle"
        state.effects.append(LinkRefused(link, "UPSTREAM_CYCLE", reason))
        end(state, session, CLOSE_NORMAL, "upstreams form a circle")
        return
    _negotiate(state, session, envelope.meta)
    link.remote_id = link.segment = ack.target_system_id or ""
    link.remote_path = ack.target_physical_path or ""
    instance_id: Any = (envelope.meta or {}).get("fame.instance")
    link.instance_id = instance_id if isinstance(instance_id, str) else ""
    session.epoch = ack.routing_epoch or ""
    refusal, why = state.gate.joined(link, ack.keys), "its keys won't do"
    if refusal is None:
        refusal, why = _settle_twin(state, link, now), "duplicate link"
    if refusal is not None:
        state.effects.append(LinkRefused(link, refusal.code, refusal.reason))
        end(state, session, CLOSE_NORMAL, why)
        return
    if link.kind is not LinkKind.PEER and ack.assigned_path != state.table.path:
        _take_path(state, ack.assigned_path or "", now)
    session.next_beat = now + session.beat_s
    _opened(state, session, Event.ACCEPTED, now)


def _is_cycle(state: NodeState, assigned: str) -> bool:
    """Tell whether a parent is one of our own descendants: its path holds our id, and paths would grow for ever."""
    return state.settings.routes and state.settings.node_id in assigned.split("/")[1:-1]


def _is_elsewhere(state: NodeState) -> bool:
    """Tell whether this node isn't where a peer takes it to be: a sentinel with a parent, whose key is told anew."""
    return state.settings.routes and state.table.path != f"/{state.settings.node_id}"


def _take_path(state: NodeState, path: str, now: float) -> None:
    """Move to the path the parent gave us; children hold paths below the old one and must attach anew."""
    before = state.table.path
    state.move(path)
    publish(state, [name for name in (before, path) if name], now)
    for session in state.sessions.values():
        if session.is_open:
            session.told.pop(state.gate.own_kid, None)
            tell_key(state, session, state.gate.own_kid)
    for child in list(state.table.children.values()):
        end(state, state.sessions[child], CLOSE_NORMAL, "the sentinel's path changed")


def _opened(state: NodeState, session: Session, event: Event, now: float) -> None:
    link = session.link
    fire(session, event)
    session.deadline, session.opened = 0.0, now
    state.look_at(session, now if link.dialed else now + session.silence_s)
    if session.meter is not None and (link.meshes or link.kind is LinkKind.PEER):
        session.meter = Meter(state.settings.limits.of_sentinels)
    else:
        link.account = session.holder
    if not link.dialed or not (state.gate.certifies or _is_elsewhere(state)):
        session.told[state.gate.own_kid] = state.gate.shown_with(state.gate.own_kid)
    state.table.attach(link)
    tell_key(state, session, state.gate.own_kid)
    if state.settings.routes:
        link.reply_prefix = stack_prefix(link, state.settings.node_id, state.table.path)
    if link.meshes:
        settle(state, now)
        join(state, link, now)
    elif link.kind is not LinkKind.CHILD:
        plain = link.kind is LinkKind.PEER
        session.announce_at = now + (PLAIN_PEER_DELAY_S if plain else 0.0)
        state.listeners[link] = session
        state.look_at(session, now)
        path = f"/{link.remote_id}" if plain else DEFAULT_ROUTE
        state.table.bind(path, link)
        publish(state, [path], now)
    if link.expires_at:
        state.look_at(session, now)
    state.effects.append(LinkAttached(link))
    state.note(
        "link_attached",
        link=link.number,
        kind=link.kind.value,
        node=link.remote_id,
        path=link.remote_path,
        extensions=sorted(link.extensions),
        subject=link.grant.subject if link.grant is not None else None,
    )
    tell_all(state, session, now)


# The end


def close(state: NodeState, session: Session) -> None:
    """Forget a link that is gone: its names are withdrawn everywhere and the calls over it end."""
    fire(session, Event.CLOSE)
    link = session.link
    del state.sessions[link]
    if not link.dialed:
        state.census.leave(link.host, session.holder)
    state.gate.left(link)
    state.parking.forget(link)
    state.listeners.pop(link, None)
    state.look_away(session)
    session.flow.abandon_all()
    names = state.table.detach(link)
    if link.meshes:
        leave(state, link, state.now)
    link_lost(state, link)
    state.note("link_closed", link=link.number, kind=link.kind.value, node=link.remote_id)
    publish(state, names, state.now)


def end(state: NodeState, session: Session, code: int, reason: str) -> None:
    """Close a link ourselves."""
    state.effects.append(CloseLink(session.link, code, reason))
    close(state, session)
