"""What a sentinel tells of itself and of the fabric: rows of plain values, for people and programs.

Pure, and read-only but for the next hops, which are computed first if they must be. ``node/system.py`` offers these as
operations; the shapes are part of the wire (docs/wire-extensions.md, ``sys``).
"""

from collections.abc import Iterator
from typing import TypedDict

from fame_cli.core.balance import is_eligible, rank
from fame_cli.core.link import LOCAL, LinkKind, Origin, Way, next_link
from fame_cli.core.names import is_path, wire_name
from fame_cli.core.reach import settle
from fame_cli.core.record import BOUND, Mesh, Record
from fame_cli.core.session import State
from fame_cli.core.state import NodeState
from fame_cli.core.table import DEFAULT_ROUTE, Name
from fame_cli.core.topology import cost_of, way_to

__all__ = ["OPERATION", "Graph", "Row", "graph", "links", "lookup", "missing_link", "names", "path_of", "routes"]

Row = dict[str, object]


class Graph(TypedDict):
    """Hold what there is to tell of the topology; `node` is who tells it."""

    node: str
    sentinels: list[Row]
    links: list[Row]
    plain: list[Row]


OPERATION = "op:"
"""Prefix that makes an operation's name a capability (docs/wire-extensions.md)."""


def links(state: NodeState, now: float) -> list[Row]:
    """List the attached neighbours, oldest link first."""
    return [
        {
            "node": link.remote_id,
            "kind": link.kind.value,
            "path": link.remote_path,
            "plain": not link.is_ours,
            "mesh": link.meshes,
            "dialed": link.dialed,
            "cost": link.cost,
            "age_s": round(now - session.opened, 3),
            "state": "open" if session.state is State.OPEN else "draining",
            "extensions": sorted(link.extensions),
            "reason": "",
        }
        for link, session in state.sessions.items()
        if session.is_open
    ]


def missing_link(url: str, kind: LinkKind, reason: str) -> Row:
    """Make the row of a neighbour that is dialled and can't be reached; `path` is where it should be, its URL."""
    return {
        "node": "",
        "kind": kind.value,
        "path": url,
        "plain": False,
        "mesh": False,
        "dialed": True,
        "cost": 1,
        "age_s": 0.0,
        "state": "dialing",
        "extensions": [],
        "reason": reason,
    }


def lookup(state: NodeState, capability: str, now: float) -> list[Row]:
    """List the providers of a capability, nearest first."""
    settle(state, now)
    return [
        {"address": address, "node": _first_hop(way), "origin": _origin(state, way), "hops": _hops(state, way)}
        for address, way in state.table.providers([capability])
    ]


def path_of(state: NodeState, node_id: str) -> str:
    """Return the physical path of another sentinel, by its own word; that of a root if it hasn't told."""
    record = state.mesh.records.get(node_id) if state.mesh is not None else None
    offers = (name for name, _ in record.offers.items()) if record is not None else iter(())
    ends = f"/{node_id}"
    return next((name for name in offers if name.endswith(ends) and is_path(name)), ends)


def names(state: NodeState, now: float) -> list[Row]:
    """List who offers what: one row for each address and each sentinel, or neighbour of this one, that has it."""
    settle(state, now)
    rows: dict[tuple[str, Way], Row] = {}
    for name in state.table.names():
        address = name[1] if isinstance(name, tuple) else name
        for way in state.table.ways(name):
            if not is_eligible(way, LOCAL):
                continue
            row = rows.setdefault((address, way), _name_row(state, address, way))
            if isinstance(name, tuple):
                key, value = _sorted_out(name[0])
                row[key] = sorted([*_texts(row[key]), value])
    nearest_first = sorted(rows, key=lambda key: (key[0], _hops(state, key[1]), rank(key[1]), _first_hop(key[1])))
    return [rows[key] for key in nearest_first]


def _name_row(state: NodeState, address: str, way: Way) -> Row:
    return {
        "address": address,
        "operations": [],
        "capabilities": [],
        "node": _origin(state, way),
        "hops": _hops(state, way),
        "next_hop": _first_hop(way),
    }


def _sorted_out(capability: str) -> tuple[str, str]:
    if capability.startswith(OPERATION):
        return "operations", capability[len(OPERATION) :]
    return "capabilities", capability


def _texts(value: object) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def routes(state: NodeState, now: float) -> list[Row]:
    """List every destination that can be reached, with all the ways to it, the best first."""
    settle(state, now)
    return [row for name in _destinations(state) for row in _routes_to(state, name, now)]


def _destinations(state: NodeState) -> Iterator[Name]:
    yield from sorted(state.table.names(), key=lambda name: wire_name(name).rpartition(" ")[2])
    yield from sorted(state.table.paths())


def _routes_to(state: NodeState, name: Name, now: float) -> Iterator[Row]:
    ways = sorted((way for way in state.table.ways(name) if is_eligible(way, LOCAL)), key=rank)
    kind = _kind(name)
    owners = [_origin(state, way) for way in ways if _is_owner(way)] if kind == "address" else []
    for way in ways:
        origin = _origin(state, way)
        yield {
            "destination": wire_name(name),
            "kind": kind,
            "next_hop": _first_hop(way),
            "via": _via(state, way),
            "origin": origin,
            "hops": _hops(state, way),
            "cost": way.distance if isinstance(way, Origin) else 0,
            "age_s": round(now - _since(state, name, way), 3),
            "conflict": sorted({owner for owner in owners if owner != origin}) if _is_owner(way) else [],
        }


def _is_owner(way: Way) -> bool:
    return not way.hearsay if isinstance(way, Origin) else way.kind in (LinkKind.LOCAL, LinkKind.CHILD)


def _kind(name: Name) -> str:
    if isinstance(name, tuple):
        return "capability"
    if name.startswith("/"):
        return "path"
    return "pool" if "@*." in name else "address"


def _since(state: NodeState, name: Name, way: Way) -> float:
    """Return when a way came to a name: by the record that says so, our own one for what is here."""
    mesh = state.mesh
    record = mesh.records.get(way.node_id) if mesh is not None and isinstance(way, Origin) else None
    offers = record.offers if record is not None else mesh.own.offers if mesh is not None else None
    text = wire_name(name)
    return offers.since(text) if offers is not None and text in offers else state.now


def _origin(state: NodeState, way: Way) -> str:
    return way.node_id if isinstance(way, Origin) else state.settings.node_id


def _first_hop(way: Way) -> str:
    link = next_link(way)
    return "local" if link is None or link is LOCAL else link.remote_id


def _via(state: NodeState, way: Way) -> list[str]:
    own = state.settings.node_id
    return way_to(way.node_id, own, state.mesh.hops) if isinstance(way, Origin) and state.mesh is not None else [own]


def _hops(state: NodeState, way: Way) -> int:
    return len(_via(state, way)) - 1


def graph(state: NodeState, now: float) -> Graph:
    """Describe the topology as this sentinel sees it: sentinels, their links, and plain neighbours."""
    settle(state, now)
    mesh = state.mesh
    records = [] if mesh is None else [mesh.own, *mesh.records.values()]
    return {
        "node": state.settings.node_id,
        "sentinels": [_sentinel(state, mesh, record, now) for record in records if mesh is not None],
        "links": _edges(records),
        "plain": sorted(_plain(state, records), key=lambda row: (str(row["node"]), str(row["at"]))),
    }


def _sentinel(state: NodeState, mesh: Mesh, record: Record, now: float) -> Row:
    own = record is mesh.own
    paths = [text for text, value in record.offers.items() if is_path(text) and value == BOUND]
    way = way_to(record.node_id, mesh.own.node_id, mesh.hops)
    return {
        "node": record.node_id,
        "path": state.table.path if own else paths[0] if paths else "",
        "hops": len(way) - 1 if way else None,
        "age_s": round(now - record.heard_at, 3),
        "incarnation": record.incarnation,
        "offers": sum(not is_path(text) for text, _ in record.offers.items()),
    }


def _edges(records: list[Record]) -> list[Row]:
    """List the links; half is one that an end doesn't list, or of which nothing is known but from out of reach."""
    lost = {record.node_id for record in records if record.lost_at is not None}
    listed = {(record.node_id, other): cost for record in records for other, cost in record.links.items()}
    pairs = sorted({(min(pair), max(pair)) for pair in listed if pair[0] != pair[1]})
    return [
        {
            "a": a,
            "b": b,
            "cost": cost_of(listed.get((a, b), 1), listed.get((b, a), 1)),
            "half": (a, b) not in listed or (b, a) not in listed or (a in lost and b in lost),
        }
        for a, b in pairs
    ]


def _plain(state: NodeState, records: list[Record]) -> Iterator[Row]:
    """Yield the plain peers of all sentinels, as their records tell, and our own plain parent."""
    for record in records:
        for text, value in record.offers.items():
            if is_path(text) and text != DEFAULT_ROUTE and value != BOUND:
                yield {"node": text[1:], "at": record.node_id, "kind": LinkKind.PEER.value}
    parent = state.table.parent
    if parent is not None and not parent.is_ours:
        yield {"node": parent.remote_id, "at": state.settings.node_id, "kind": LinkKind.PARENT.value}
