"""What this sentinel says of itself: its own record follows its route table, and neighbours without the mesh are told.

Pure functions over `NodeState`. Whatever changes a name at this node or at a neighbour calls `publish`.
"""

from collections.abc import Iterable

from fame_cli.core.announce import tell
from fame_cli.core.link import Link, LinkKind, Origin
from fame_cli.core.names import wire_name
from fame_cli.core.record import BOUND, HEARSAY, Mesh, Record
from fame_cli.core.state import NodeState
from fame_cli.core.table import DEFAULT_ROUTE, Name

__all__ = ["begin", "check_conflict", "farewell", "publish"]


def begin(state: NodeState) -> None:
    """Begin a life as a sentinel of the id in the settings: a root, until a parent says otherwise."""
    settings = state.settings
    own = Record(settings.node_id, settings.instance_id, settings.incarnation, heard_at=state.now)
    own.links.sum = own.offers.sum = 0 if state.gate.signs else None
    if state.mesh is None:
        state.mesh = Mesh(own)
    else:  # under another id before; what is known of the others stays, and they learn of us anew
        state.mesh.own, state.mesh.stale = own, True
        state.mesh.outdone.clear()
    state.move(f"/{settings.node_id}")
    publish(state, [state.table.path, *state.table.names()], state.now)


def farewell(state: NodeState) -> None:
    """Take back whatever this sentinel has said of itself: it goes, and nobody need remember it."""
    mesh = state.mesh
    if mesh is None:
        return
    for section in (mesh.own.links, mesh.own.offers):
        for name, _ in list(section.items()):
            section.put(name, None, state.now)
    mesh.spread(mesh.own.node_id, state.now)


def publish(state: NodeState, names: Iterable[Name], now: float) -> None:
    """Tell everybody concerned what became of these names at this node or its neighbours."""
    names = list(names)
    mesh = state.mesh
    if mesh is not None and state.draining_since is None:
        changed = [name for name in names if mesh.own.offers.put(wire_name(name), _offered(state, name), now)]
        if changed:
            mesh.spread(mesh.own.node_id, now)
        for name in changed:
            check_conflict(state, name)
    tell(state, names, now)


def _offered(state: NodeState, name: Name) -> int | None:
    """Return what our record says of a name: what the best of our own ways to it is worth."""
    if name == state.table.path:
        return BOUND
    ways = [way for way in state.table.ways(name) if isinstance(way, Link)]
    if any(way.kind in (LinkKind.LOCAL, LinkKind.CHILD) for way in ways):
        return BOUND
    return HEARSAY if any(way.kind is LinkKind.PEER or name == DEFAULT_ROUTE for way in ways) else None


def check_conflict(state: NodeState, name: Name) -> None:
    """Say that an address which may have one owner has two; calls go to the nearer one (rule 3 of ``routing.py``)."""
    mesh = state.mesh
    if mesh is None or isinstance(name, tuple) or name.startswith("/") or "@*." in name:
        return
    if mesh.own.offers.get(name) != BOUND:
        return
    others = [way.node_id for way in state.table.ways(name) if isinstance(way, Origin) and not way.hearsay and way.link]
    if others:
        state.note("address_conflict", "warning", address=name, nodes=sorted(others))
