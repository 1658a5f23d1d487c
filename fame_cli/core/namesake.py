"""When two processes speak under one sentinel's id: which links stand for it, who goes on, and who takes another.

Pure functions over `NodeState`.
"""

from fame_cli.core.frames import MeshRecord, MeshUpdate
from fame_cli.core.link import Link, LinkKind
from fame_cli.core.record import Mesh, Record, leads_to
from fame_cli.core.session import State
from fame_cli.core.state import NodeState

__all__ = ["MAX_INCARNATION", "has_other_key", "heard_of_ourselves", "is_contested", "is_elsewhere", "namesakes"]

MAX_INCARNATION = 2**53 - 2
"""Incarnations above aren't taken: every JSON reader can hold up to this. Whoever can't outdo it takes another id."""

RENAME_S = 30.0
"""Seconds between two times this sentinel takes another id."""

MAX_NAMESAKES = 64
"""Instances under our own id that are remembered."""


def namesakes(state: NodeState, link: Link) -> list[Link]:
    """Return the open links that stand for a sentinel of the same id as a newer one that does, whatever their kinds."""
    if not _stands_for_sentinel(link):
        return []
    others = (session.link for session in state.sessions.values() if session.state is State.OPEN)
    return [other for other in others if other.remote_id == link.remote_id and _stands_for_sentinel(other)]


def _stands_for_sentinel(link: Link) -> bool:
    return link.meshes or link.kind is LinkKind.PEER


def is_elsewhere(state: NodeState, link: Link) -> bool:
    """Tell whether the id of a neighbour is that of a sentinel of the mesh, within reach, whose key is another."""
    record = state.mesh.records.get(link.remote_id) if state.mesh is not None and _stands_for_sentinel(link) else None
    if record is None or record.lost_at is not None or not record.kid:
        return False
    return not state.gate.is_same(_stand_in(record.node_id, record.instance, record.kid), link)


def is_contested(state: NodeState, update: MeshUpdate) -> bool:
    """Tell whether a sentinel is told of under another key than before; then it has to be known who is within reach."""
    if state.mesh is None or not state.gate.signs:
        return False
    pairs = ((message, state.mesh.records.get(message.id)) for message in update.records)
    return any(record is not None and record.kid != message.kid for message, record in pairs)


def has_other_key(state: NodeState, record: Record, message: MeshRecord, link: Link) -> bool:
    """Tell whether what is told of a sentinel is signed with another key than its own, while it is there.

    Its next hop knows best: when that tells of another key, the one before is gone.
    """
    if record.kid == message.kid or record.lost_at is not None or link is record.bound.link:
        return False
    one, other = (_stand_in(record.node_id, each.instance, each.kid) for each in (record, message))
    return not state.gate.is_same(one, other)


def _stand_in(node_id: str, instance: str, kid: str) -> Link:
    """Return what stands for a sentinel that is known by its record, where the gate compares two."""
    return Link(0, LinkKind.PEER, remote_id=node_id, instance_id=instance, kid=kid)


def heard_of_ourselves(state: NodeState, mesh: Mesh, link: Link, message: MeshRecord, now: float) -> None:
    """Outdo a record under our own id: it is of a past life of ours, of a namesake, or nothing we ever said.

    A past life is silent, a namesake answers by outdoing us. Then the one with the greater instance takes another
    id, and the other one goes on.
    """
    own = mesh.own
    mesh.heard(link, message)
    version = leads_to(message)
    ours = message.instance == own.instance and all(a <= b for a, b in zip(version, own.version, strict=True))
    if ours or message.incarnation < own.incarnation:
        mesh.owe(link, own.node_id, now)
    else:
        answered = message.incarnation > mesh.outdone.get(message.instance, MAX_INCARNATION)
        if (answered and message.instance < own.instance) or message.incarnation == MAX_INCARNATION:
            state.renaming = now - state.renamed_at >= RENAME_S  # it costs all links: not for everybody who lies
            return
        own.incarnation = message.incarnation + 1
        if len(mesh.outdone) >= MAX_NAMESAKES:
            mesh.outdone.clear()
        mesh.outdone[message.instance] = own.incarnation
        state.note("record_outdone", "warning" if answered else "info", node=own.node_id, incarnation=own.incarnation)
        mesh.spread(own.node_id, now)
