"""What of a running node can be told anew: its bounds, what a link costs, and that a link isn't wanted any more.

Pure functions over `NodeState`. No link is closed that needn't be: one that isn't wanted carries what is under way.
"""

from dataclasses import replace

from fame_cli.core import attach
from fame_cli.core.balance import Balance
from fame_cli.core.envelope import Envelope
from fame_cli.core.frames import NodeHeartbeat
from fame_cli.core.limits import Limits
from fame_cli.core.link import Link, LinkKind
from fame_cli.core.mesh import leave, reprice
from fame_cli.core.publish import publish
from fame_cli.core.session import Event, Session, State, fire
from fame_cli.core.state import NodeState, send
from fame_cli.core.topology import MAX_COST

__all__ = ["COST", "adjust", "on_cost", "retire", "set_own_cost"]

COST = "fame.cost"
"""Key of `meta` that tells what a link costs, in NodeAttach and its answer, and in a heartbeat once that changes."""


def adjust(state: NodeState, limits: Limits, max_hops: int, max_held_bytes: int, balance: Balance) -> None:
    """Take other bounds, for what comes from now on; see `Settings`."""
    told = state.settings
    state.settings = replace(told, limits=limits, max_hops=max_hops, max_held_bytes=max_held_bytes, balance=balance)
    state.budget.most_bytes = max_held_bytes
    state.table.balance = balance
    state.census.limits = limits
    state.parking.most_kids, state.parking.most_envelopes = limits.unknown_keys, limits.waiting_envelopes
    for session in state.sessions.values():
        if session.meter is not None:
            is_sentinel = session.is_open and (session.link.meshes or session.link.kind is LinkKind.PEER)
            session.meter.adjust(limits.of_sentinels if is_sentinel else limits)


def retire(state: NodeState, link: Link, now: float) -> None:
    """Use a link for nothing new; it ends with its last call, see `attach.retired`."""
    session = state.sessions.get(link)
    if session is None:
        return
    if session.state is not State.OPEN:
        attach.end(state, session, attach.CLOSE_NORMAL, "not wanted any more")
        return
    fire(session, Event.DRAIN)
    session.replaced_at = now
    names = state.table.detach(link)
    if link.meshes:
        leave(state, link, now)
    publish(state, names, now)
    state.look_at(session, now)


def set_own_cost(state: NodeState, link: Link, cost: int, now: float) -> None:
    """Have a link cost something else, as far as this end decides, and tell the other end."""
    session = state.sessions.get(link)
    if session is None or not session.is_open or not link.meshes:
        return
    link.own_cost = cost
    reprice(state, link, now)
    send(state, session, NodeHeartbeat(), corr_id=state.new_id(), meta={COST: cost})


def on_cost(state: NodeState, session: Session, envelope: Envelope, now: float) -> None:
    """Take what the other end says that a link costs from now on, if its heartbeat says so."""
    cost = envelope.meta.get(COST) if envelope.meta else None
    link = session.link
    if isinstance(cost, int) and link.meshes:
        link.told_cost = min(max(cost, 1), MAX_COST)
        reprice(state, link, now)
