"""From the records of the mesh to next hops: a pure function.

Dijkstra over the links that both ends list. Ties go to the smallest id of the first hop, so a table can be worked out
on paper; every node may break them as it likes, because on each way the distance that is left shrinks hop by hop.
"""

import heapq
from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["Hop", "cost_of", "next_hops", "way_to"]

MAX_COST = 1_000_000
"""A link that claims to cost more costs this, and one that claims to cost less than 1 costs 1."""

Links = Mapping[str, Mapping[str, int]]
"""Node id → neighbour id → cost, as each node lists its own."""


class Hop(NamedTuple):
    """Say how a node is reached.

    Args:
        distance: sum of the costs on the way.
        via: id of the neighbour that comes first.
        previous: id of the node before it on the way.
    """

    distance: int
    via: str
    previous: str


def next_hops(own_id: str, links: Links) -> dict[str, Hop]:
    """Find the shortest way to every node that can be reached.

    Args:
        own_id: where the ways begin; it is not in the answer.
        links: what each node lists. A link counts when both ends list it, and costs what the dearer end says.

    Returns:
        Node id → `Hop`, nearest first.
    """
    found: dict[str, Hop] = {}
    heap: list[tuple[int, str, str, str]] = []
    _extend(heap, links, own_id, 0, "", found)
    while heap:
        distance, via, node, previous = heapq.heappop(heap)
        if node in found or node == own_id:
            continue
        found[node] = Hop(distance, via, previous)
        _extend(heap, links, node, distance, via, found)
    return found


def _extend(
    heap: list[tuple[int, str, str, str]], links: Links, node: str, distance: int, via: str, found: Mapping[str, Hop]
) -> None:
    for neighbour, cost in links.get(node, {}).items():
        back = links.get(neighbour, {}).get(node)
        if back is not None and neighbour not in found:
            heapq.heappush(heap, (distance + cost_of(cost, back), via or neighbour, neighbour, node))


def cost_of(near: int, far: int) -> int:
    """Return what a link costs whose ends say different things: what the dearer one says, within bounds."""
    return min(max(1, near, far), MAX_COST)


def way_to(node: str, own_id: str, hops: Mapping[str, Hop]) -> list[str]:
    """List the nodes on the way to `node`, from `own_id` to it; [] when there is no way."""
    way = [node]
    while way[-1] != own_id:
        hop = hops.get(way[-1])
        if hop is None:
            return []
        way.append(hop.previous)
    return way[::-1]
