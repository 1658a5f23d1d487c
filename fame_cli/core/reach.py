"""What is within reach of this sentinel: next hops from the records of the mesh, computed when they are needed.

Pure functions over `NodeState`. `settle` is asked before every look-up; it computes at most once a turn of the loop,
and only after links have changed. What went out of reach is used no more at once, and forgotten after a while.
"""

from hashlib import blake2b
from typing import Any

from fame_cli.core.announce import has_listeners, tell, told_by
from fame_cli.core.envelope import Envelope
from fame_cli.core.frames import Meta
from fame_cli.core.link import Link
from fame_cli.core.mesh import ask, forget
from fame_cli.core.names import name_of
from fame_cli.core.publish import check_conflict
from fame_cli.core.record import Mesh, Record
from fame_cli.core.state import NodeState
from fame_cli.core.topology import next_hops

__all__ = ["DIGEST", "compare", "digest_meta", "forget_lost", "settle"]

DIGEST = "fame.digest"
"""Key of `meta` under which heartbeats and their answers carry the digest of what is within reach."""

FORGET_S = 600.0
"""Seconds out of reach after which a record is forgotten."""


def settle(state: NodeState, now: float) -> None:
    """Compute the next hops anew if links have changed since the last time."""
    mesh = state.mesh
    if mesh is None or not mesh.stale:
        return
    mesh.stale = False
    mesh.computed += 1
    mesh.digest = ""
    listed = {record.node_id: record.links_of() for record in (mesh.own, *mesh.records.values())}
    if state.draining_since is not None:  # it has taken back what it said of its links, but still carries what comes
        listed[mesh.own.node_id] = {node_id: link.cost for node_id, link in mesh.links.items()}
    mesh.hops = next_hops(mesh.own.node_id, listed)
    moved = [record for record in mesh.records.values() if _place(mesh, record, now)]
    state.table.changed()
    told = has_listeners(state)
    for record in moved:
        names = [name for text, _ in record.offers.items() if (name := name_of(text)) is not None]
        if record.lost_at is None:
            mesh.spread(record.node_id, now)  # a neighbour that came meanwhile was told of what was within reach then
            for name in names:
                check_conflict(state, name)
        if told:
            tell(state, [*names, *told_by(state, names)], now)


def _place(mesh: Mesh, record: Record, now: float) -> bool:
    """Give a record the next hop it has now; True when it came within reach or went out of it."""
    hop = mesh.hops.get(record.node_id)
    link = mesh.links.get(hop.via) if hop is not None else None
    moved = (record.lost_at is None) != (link is not None)
    if moved:
        record.lost_at = None if link is not None else now
    for way in (record.bound, record.hearsay):
        way.link = link
        way.distance = hop.distance if hop is not None else 0
    return moved


def forget_lost(state: NodeState, now: float) -> None:
    """Drop the records of sentinels that have been out of reach for long."""
    mesh = state.mesh
    if mesh is None:
        return
    settle(state, now)
    for record in [r for r in mesh.records.values() if _is_forgettable(r, now)]:
        forget(state, record, now)


def _is_forgettable(record: Record, now: float) -> bool:
    """Tell whether a sentinel is long out of reach, or has said goodbye."""
    said_goodbye = bool(record.links.version) and not len(record.links) and not len(record.offers)
    return record.lost_at is not None and (said_goodbye or now - record.lost_at >= FORGET_S)


# The digest


def digest_meta(state: NodeState, link: Link, now: float) -> Meta | None:
    """Return the `meta` of a heartbeat or its answer; None on a link without the mesh."""
    if state.mesh is None or not link.meshes:
        return None
    settle(state, now)
    state.mesh.digest = state.mesh.digest or _digest(state.mesh)
    return {DIGEST: state.mesh.digest}


def _digest(mesh: Mesh) -> str:
    """Return 16 hexadecimal digits that differ when the versions within reach do, whatever their order."""
    total = 0
    for record in (mesh.own, *mesh.records.values()):
        if record.lost_at is None:
            text = f"{record.node_id} {record.version[0]} {record.version[1]} {record.version[2]}"
            total ^= int.from_bytes(blake2b(text.encode(), digest_size=8).digest())
    return f"{total:016x}"


def compare(state: NodeState, link: Link, envelope: Envelope, now: float) -> None:
    """Look at the digest of a neighbour's heartbeat and say what we have where it differs."""
    theirs: Any = (envelope.meta or {}).get(DIGEST)
    ours = digest_meta(state, link, now)
    if ours is not None and isinstance(theirs, str) and theirs != ours[DIGEST]:
        ask(state, link, now)
