"""Large meshes with nothing to do, to count what one change costs: messages, bytes, records, rounds.

Every message takes the same time, so time is counted in rounds: what happens in one sentinel is known by its neighbours
one round later, and nothing can be known sooner than its distance in links says.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from fame_cli.core.link import LinkKind
from fame_cli.core.reach import settle
from fame_cli.core.record import Mesh, Record
from fame_cli.testing.sim import SimNode, SimWorld
from fame_cli.testing.traffic import Traffic

__all__ = ["ROUND_S", "Cost", "MeasuredMesh", "random_edges"]

ROUND_S = 2**-7
"""Seconds a message takes: a power of two, so that sums of it are exact."""

MOST_ROUNDS = 1000


def random_edges(count: int, degree: float, seed: int) -> list[tuple[int, int]]:
    """Draw a connected graph: a random tree, and random edges until the mean degree is reached."""
    source = random.Random(seed)
    edges = {(source.randrange(number), number): None for number in range(1, count)}
    most = min(round(count * degree / 2), count * (count - 1) // 2)
    while len(edges) < most:
        a, b = sorted(source.sample(range(count), 2))
        edges[a, b] = None
    return list(edges)


def _distances(beside: dict[int, list[int]], start: int) -> list[int]:
    """Return how far, in links, each node is that can be reached from `start`."""
    seen, ring, found = {start}, [start], [0]
    while ring:
        ring = list(dict.fromkeys(near for node in ring for near in beside[node] if near not in seen))
        seen.update(ring)
        found += [found[-1] + 1] * len(ring)
    return found


@dataclass(frozen=True, slots=True)
class Cost:
    """Say what one change cost a mesh, until everybody knew and nobody had more to say.

    Args:
        rounds: until the last sentinel knew.
        messages, message_bytes, records: of the mesh, in all.
        busiest: messages over that link and direction which had most.
        directions: links times two.
        computations: times that all sentinels together computed their next hops, each asked once when it knew.
    """

    rounds: int
    messages: int
    message_bytes: int
    records: int
    busiest: int
    directions: int
    computations: int


class MeasuredMesh:
    """Build a random mesh of sentinels with addresses of their own; `start` it, then change one thing at a time.

    Args:
        count: sentinels.
        degree: links a sentinel has, on average.
        addresses: bound at each of them.
        seed: of the graph and of the ids.

    Attributes:
        nodes: all that ever were, by number. edges: the links there are, by the numbers of their ends.
    """

    def __init__(self, count: int, *, degree: float = 4.0, addresses: int = 10, seed: int = 1) -> None:
        self.world = SimWorld(seed, (ROUND_S, ROUND_S), keeps_sent=False)
        self.traffic = Traffic(self.world)
        self.edges = random_edges(count, degree, seed)
        self.nodes = [self.world.sentinel(f"s{number}") for number in range(count)]
        for number, node in enumerate(self.nodes):
            for address in range(addresses):
                node.serve(f"s{number}-a{address}@fame.fabric")

    def start(self) -> Cost:
        """Open all links at once; everybody must learn of everybody."""
        for low, high in self.edges:
            self.world.join(self.nodes[high], self.nodes[low], LinkKind.PEER)
        mine = {node.name: _mesh(node).own for node in self.nodes}
        return self._spread(lambda mesh: all(_has(mesh, record) for record in mine.values()))

    def diameter(self) -> int:
        """Return the greatest distance, in links, between two sentinels."""
        beside = self._beside(self.edges)
        return max(_distances(beside, start)[-1] for start in beside)

    def spare_link(self) -> tuple[SimNode, SimNode]:
        """Return the ends of a link without which everybody still reaches everybody."""
        for edge in reversed(self.edges):
            if self._holds_together([other for other in self.edges if other != edge], len(self.world.nodes)):
                return self.nodes[edge[0]], self.nodes[edge[1]]
        raise ValueError("every link is needed")

    def spare_node(self, links: int) -> SimNode:
        """Return a sentinel of so many links, or nearly, without which the others still reach each other."""
        beside = self._beside(self.edges)
        for number in sorted(beside, key=lambda number: abs(len(beside[number]) - links)):
            if self._holds_together([edge for edge in self.edges if number not in edge], len(self.world.nodes) - 1):
                return self.nodes[number]
        raise ValueError("every sentinel is needed")

    def _beside(self, edges: list[tuple[int, int]]) -> dict[int, list[int]]:
        beside: dict[int, list[int]] = {}
        for a, b in edges:
            beside.setdefault(a, []).append(b)
            beside.setdefault(b, []).append(a)
        return beside

    def _holds_together(self, edges: list[tuple[int, int]], count: int) -> bool:
        beside = self._beside(edges)
        return bool(beside) and len(_distances(beside, next(iter(beside)))) == count

    def bind(self, node: SimNode, address: str) -> Cost:
        """Bind one more address."""
        node.serve(address)
        return self._spread(lambda mesh: _has(mesh, _mesh(node).own))

    def lose_link(self, a: SimNode, b: SimNode) -> Cost:
        """Lose the link between two sentinels, which both notice at once."""
        self.edges.remove((self.nodes.index(a), self.nodes.index(b)))
        self.world.cut(a, next(link for link, wire in a.wires.items() if wire.node is b))
        changed = [_mesh(a).own, _mesh(b).own]
        return self._spread(lambda mesh: all(_has(mesh, record) for record in changed))

    def lose_node(self, node: SimNode) -> Cost:
        """Lose a sentinel, which all its neighbours notice at once."""
        neighbours = [_mesh(wire.node).own for wire in node.wires.values()]
        number = self.nodes.index(node)
        self.edges = [edge for edge in self.edges if number not in edge]
        self.world.kill(node)
        return self._spread(lambda mesh: all(_has(mesh, record) for record in neighbours))

    def _spread(self, knows: Callable[[Mesh], bool]) -> Cost:
        """Let rounds pass until all know of a change that has happened just now, and then until all is quiet."""
        world, meshes = self.world, [_mesh(node) for node in self.world.nodes]
        computed = sum(mesh.computed for mesh in meshes)
        waiting, rounds = meshes, -1
        world.advance(ROUND_S / 2)  # what arrives in a round has arrived in the middle of the next
        while waiting and rounds < MOST_ROUNDS:
            waiting = [mesh for mesh in waiting if not knows(mesh)]
            world.advance(ROUND_S)
            rounds += 1
        world.run()
        for node in world.nodes:
            settle(node.core.state, world.now)
            world.arm(node)
        world.run()
        traffic = self.traffic
        cost = Cost(
            rounds,
            sum(traffic.messages.values()),
            sum(traffic.message_bytes.values()),
            traffic.records,
            max(traffic.messages.values(), default=0),
            sum(len(mesh.links) for mesh in meshes),
            sum(mesh.computed for mesh in meshes) - computed,
        )
        traffic.clear()
        return cost


def _mesh(node: SimNode) -> Mesh:
    mesh = node.core.state.mesh
    assert mesh is not None
    return mesh


def _has(mesh: Mesh, record: Record) -> bool:
    """Tell whether a sentinel has a record of another one, or of itself, as it is there."""
    known = mesh.own if mesh.own.node_id == record.node_id else mesh.records.get(record.node_id)
    return known is not None and known.version == record.version
