"""What must hold in a world of real cores: after every step, and once it has come to rest.

`Invariants` watches a world and raises `Violation` the moment something is wrong that never may be. `at_rest` looks at
a world that nothing has happened to for a while, and compares what every sentinel says with the links there really are,
by shortest ways that are computed here, from the wires, and not by the code under test.
"""

from collections.abc import Iterable, Iterator

import msgspec

from fame_cli.core import report
from fame_cli.core.flow import OUR_UNIT_BYTES, OUR_WINDOW
from fame_cli.core.link import LOCAL, Link
from fame_cli.core.names import wire_name
from fame_cli.core.reach import digest_meta, settle
from fame_cli.core.record import Mesh, Version
from fame_cli.core.session import Session, State
from fame_cli.testing.dialing import Dial
from fame_cli.testing.sim import SimNode, SimWorld

__all__ = ["Costs", "Invariants", "Violation", "at_rest", "distances", "off_course", "real_links", "sentinels"]

Costs = dict[str, dict[str, int]]
"""Id of a sentinel → id of another one → cost."""


class Violation(AssertionError):
    """Report that something happened which never may."""


class _Frame(msgspec.Struct, rename="camel"):
    type: str
    flow_id: str = ""
    credits: int = 0


class _Seen(msgspec.Struct, rename="camel"):
    """Hold what the invariants need of an envelope."""

    frame: _Frame
    id: str = ""
    to: str = ""
    reply_to: str = ""
    corr_id: str = ""
    flow_id: str = ""
    ttl: int | None = None


_decoder = msgspec.json.Decoder(_Seen)


class Invariants:
    """Watch a world and raise `Violation` at the first thing that is wrong."""

    def __init__(self, world: SimWorld) -> None:
        self._hops: dict[str, int] = {}
        self._under_way: dict[tuple[Link, str, str], int] = {}
        self._sessions: dict[int, int] = {}
        self._versions: dict[tuple[int, int], dict[str, tuple[tuple[int, str], Version]]] = {}
        world.watches.append(self)

    def sent(self, node: SimNode, link: Link, data: bytes) -> None:
        """Check the hop limit and the credit of a message."""
        seen = _decoder.decode(data)
        if seen.ttl is not None:
            hops = self._hops[seen.id] = self._hops.get(seen.id, 0) + 1
            limit = node.core.settings.max_hops
            if not 0 <= seen.ttl < limit or hops > limit:
                raise Violation(f"{node.name} sent {seen.id} on its hop {hops} with ttl {seen.ttl}")
        if seen.frame.type == "CreditUpdate":
            wire = node.wires.get(link)
            if wire is not None and (wire.link, seen.reply_to, seen.frame.flow_id) in self._under_way:
                self._under_way[wire.link, seen.reply_to, seen.frame.flow_id] -= seen.frame.credits
        elif seen.frame.type == "Data" and seen.flow_id == seen.corr_id and "window" in link.extensions:
            cost = 1 + len(data) // OUR_UNIT_BYTES
            stream = link, seen.to, seen.flow_id
            spent = self._under_way[stream] = self._under_way.get(stream, 0) + cost
            if spent > OUR_WINDOW + cost:
                raise Violation(f"{node.name} has {spent} credits of stream {seen.flow_id} under way on {link!r}")

    def turned(self, node: SimNode) -> None:
        """Check that a node goes by no link it knows to be gone, and forgets no news for older ones."""
        state = node.core.state
        open_links = {link for link, session in state.sessions.items() if session.is_open}
        mesh = state.mesh
        if mesh is not None:
            self._check_mesh(node, mesh, open_links)
        if self._sessions.get(node.number) != len(state.sessions):
            self._sessions[node.number] = len(state.sessions)
            for link in _links_in_table(node):
                if link not in open_links:
                    raise Violation(f"{node.name} has routes by {link!r}, which is gone")
        for session in state.sessions.values():
            if session.flow.held_bytes < 0:
                raise Violation(f"{node.name} holds {session.flow.held_bytes} bytes for {session.link!r}")

    def _check_mesh(self, node: SimNode, mesh: Mesh, open_links: set[Link]) -> None:
        before = self._versions.get((node.number, node.life), {})
        now = self._versions[node.number, node.life] = {}
        for record in mesh.records.values():
            if record.bound.link is not None and record.bound.link not in open_links:
                raise Violation(f"{node.name} goes to {record.node_id} by {record.bound.link!r}, which is gone")
            version = now[record.node_id] = (record.life, record.version)
            if version < before.get(record.node_id, version):
                raise Violation(f"{node.name} had {before[record.node_id]} of {record.node_id}, and now {version}")


def _links_in_table(node: SimNode) -> Iterator[Link]:
    table = node.core.table
    yield from table.children.values()
    yield from table.peers.values()
    if table.parent is not None:
        yield table.parent
    for name in (*table.names(), *table.paths()):
        yield from (way for way in table.ways(name) if isinstance(way, Link) and way is not LOCAL)


# The real world


def sentinels(world: SimWorld) -> list[SimNode]:
    """List the sentinels that are alive."""
    return [node for node in world.nodes if node.core.settings.routes]


def real_links(world: SimWorld) -> Costs:
    """Return the links between sentinels that are open at both ends, with what they cost."""
    links: Costs = {node.name: {} for node in sentinels(world)}
    for node in sentinels(world):
        for session in node.core.sessions():
            wire = node.wires.get(session.link)
            if session.state is not State.OPEN or not session.link.meshes or wire is None or not wire.up:
                continue
            ends = {back.link: back for back in wire.node.core.sessions()}
            back = ends.get(wire.link)
            if wire.node.alive and back is not None and back.state is State.OPEN:
                links[node.name][wire.node.name] = max(session.link.cost, wire.link.cost)
    return links


def distances(links: Costs) -> Costs:
    """Return the cost of the cheapest way from everywhere to everywhere that can be reached (Floyd and Warshall)."""
    far = {a: {**links[a], a: 0} for a in links}
    for middle in links:
        for a in links:
            for b, rest in list(far[middle].items()) if middle in far[a] else ():
                far[a][b] = min(far[a].get(b, far[a][middle] + rest), far[a][middle] + rest)
    return far


def off_course(world: SimWorld) -> list[str]:
    """Walk from every sentinel to every other that is within reach, next hop by next hop; list what goes astray."""
    for node in sentinels(world):
        settle(node.core.state, world.now)
        world.arm(node)
    links = real_links(world)
    far = distances(links)
    here = {node.name: node for node in sentinels(world)}
    found = (_walk(here, links, start, end, cost) for start in far for end, cost in far[start].items())
    return [problem for problem in found if problem]


def _walk(here: dict[str, SimNode], links: Costs, start: str, end: str, cost: int) -> str:
    way, total = [start], 0
    while way[-1] != end:
        node = here[way[-1]]
        origin = node.core.table.origins.get(end)
        wire = node.wires.get(origin.link) if origin is not None and origin.link is not None else None
        if wire is None or wire.node.name not in links[node.name]:
            return f"the way from {start} to {end} ends at {node.name}"
        total += links[node.name][wire.node.name]
        way.append(wire.node.name)
        if len(way) > len(here):
            return f"the way from {start} to {end} goes round: {' '.join(way)}"
    return "" if total == cost else f"the way from {start} to {end} costs {total}, not {cost}: {' '.join(way)}"


# At rest


def at_rest(world: SimWorld, dials: Iterable[Dial]) -> list[str]:
    """List what is wrong in a world that has been left alone; nothing is.

    Args:
        dials: the links its nodes keep.
    """
    return [
        *_links(world, dials),
        *_calls(world),
        *off_course(world),
        *_databases(world),
        *_offers(world),
    ]


def _links(world: SimWorld, dials: Iterable[Dial]) -> Iterator[str]:
    """Yield where two nodes that want a link don't have exactly one, open, and the same at both ends."""
    for node in world.nodes:
        for session in node.core.sessions():
            wire = node.wires.get(session.link)
            if wire is None or not wire.up or wire.is_deaf:
                yield f"{node.name} keeps {session.link!r}, which is gone"
    for dial in dials:
        a, b = dial.dialer, dial.listener
        if not (a.alive and b.alive):
            continue
        there, back = _ends(a, b), _ends(b, a)
        if len(there) != 1 or len(back) != 1 or a.wires[there[0].link].link is not back[0].link:
            yield f"between {a.name} and {b.name} are {there} and {back}"
        elif any(session.state is not State.OPEN for session in (*there, *back)):
            yield f"between {a.name} and {b.name} a link is {there[0].state.name}, {back[0].state.name}"
        elif not dial.content:
            yield f"{a.name} still dials {b.name}"


def _ends(a: SimNode, b: SimNode) -> list[Session]:
    sessions = {session.link: session for session in a.core.sessions()}
    return [sessions[link] for link, wire in a.wires.items() if wire.node is b and link in sessions]


def _calls(world: SimWorld) -> Iterator[str]:
    for node in world.nodes:
        if node.core.calls_in_flight():
            yield f"{node.name} keeps {node.core.calls_in_flight()} calls"
        if node.core.state.producers:
            yield f"{node.name} keeps producers waiting: {list(node.core.state.producers.values())}"
        for session in node.core.sessions():
            if session.flow.held_bytes:
                yield f"{node.name} keeps {session.flow.held_bytes} bytes for {session.link!r}"


def _databases(world: SimWorld) -> Iterator[str]:
    """Yield where two sentinels that are linked disagree about the mesh."""
    here = {node.name: node for node in sentinels(world)}
    far = distances(real_links(world))
    if len(here) != len(sentinels(world)):
        yield f"two sentinels share an id: {sorted(node.name for node in sentinels(world))}"
    for node in here.values():
        mesh = node.core.state.mesh
        assert mesh is not None
        known = _contents(mesh)
        if set(known) != set(far[node.name]):
            yield f"{node.name} lists {sorted(known)}, within reach are {sorted(far[node.name])}"
        for other in far[node.name]:
            theirs = here[other].core.state.mesh
            assert theirs is not None
            if known != _contents(theirs):
                yield f"{node.name} and {other} have different records"
            if _digest(node, world.now) != _digest(here[other], world.now):
                yield f"{node.name} and {other} have different digests"


def _contents(mesh: Mesh) -> dict[str, object]:
    return {
        record.node_id: (record.version, record.instance, dict(record.links.items()), dict(record.offers.items()))
        for record in (mesh.own, *mesh.records.values())
        if record.lost_at is None
    }


def _digest(node: SimNode, now: float) -> object:
    link = next((session.link for session in node.core.sessions() if session.link.meshes), None)
    return digest_meta(node.core.state, link, now) if link is not None else None


def _offers(world: SimWorld) -> Iterator[str]:
    """Yield where a sentinel's routes differ from what is bound within its reach."""
    far = distances(real_links(world))
    bound = _bound(world)
    for node in sentinels(world):
        expected = {
            (name, origin): cost for origin, cost in far[node.name].items() for name in sorted(bound.get(origin, ()))
        }
        rows = [row for row in report.routes(node.core.state, world.now) if row["kind"] != "path"]
        found = {(str(row["destination"]), str(row["origin"])): row["cost"] for row in rows}
        for name, origin in sorted(expected.keys() - found.keys()):
            yield f"{node.name} doesn't know {name} at {origin}"
        for name, origin in sorted(found.keys() - expected.keys()):
            yield f"{node.name} lists {name} at {origin}, where it isn't"
        for key in sorted(expected.keys() & found.keys()):
            if expected[key] != found[key]:
                yield f"{node.name} has {key} at cost {found[key]}, not {expected[key]}"


def _bound(world: SimWorld) -> dict[str, set[str]]:
    """Return what each sentinel has to offer: what it and its children have bound."""
    bound: dict[str, set[str]] = {}
    for node in world.nodes:
        names = [name for name in node.core.table.names() if LOCAL in node.core.table.ways(name)]
        links = [session.link for session in node.core.sessions() if session.is_open]
        homes = [node] if node.core.settings.routes else [node.wires[link].node for link in links if link in node.wires]
        for home in homes:
            bound.setdefault(home.name, set()).update(wire_name(name) for name in names)
    return bound
