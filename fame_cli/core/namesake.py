"""When two processes speak under one sentinel's id: who goes on, and who takes another.

Pure functions over `NodeState`.
"""

from fame_cli.core.frames import MeshRecord
from fame_cli.core.link import Link
from fame_cli.core.record import Mesh, leads_to
from fame_cli.core.state import NodeState

__all__ = ["MAX_INCARNATION", "heard_of_ourselves"]

MAX_INCARNATION = 2**53 - 2
"""Incarnations above aren't taken: every JSON reader can hold up to this. Whoever can't outdo it takes another id."""

RENAME_S = 30.0
"""Seconds between two times this sentinel takes another id."""

MAX_NAMESAKES = 64
"""Instances under our own id that are remembered."""


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
