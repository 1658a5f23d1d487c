"""Next hops: the shortest ways over links that both ends list, the same on every run, ties by a rule for paper."""

from itertools import pairwise

import pytest
from core_rig import PROPERTY
from hypothesis import given
from hypothesis import strategies as st

from fame_cli.core.topology import MAX_COST, Hop, next_hops, way_to

Links = dict[str, dict[str, int]]


def links_of(*edges: tuple[str, str, int]) -> Links:
    """List links at both of their ends."""
    links: Links = {}
    for a, b, cost in edges:
        links.setdefault(a, {})[b] = cost
        links.setdefault(b, {})[a] = cost
    return links


def test_a_sentinel_alone_reaches_nobody() -> None:
    assert next_hops("s1", {}) == {}


def test_every_node_of_a_chain_is_reached_by_the_neighbour() -> None:
    links = links_of(("s1", "s2", 1), ("s2", "s3", 2), ("s3", "s4", 3))
    assert next_hops("s1", links) == {
        "s2": Hop(1, "s2", "s1"),
        "s3": Hop(3, "s2", "s2"),
        "s4": Hop(6, "s2", "s3"),
    }


def test_the_nearest_comes_first() -> None:
    links = links_of(("s1", "s2", 9), ("s1", "s3", 1), ("s3", "s4", 1))
    assert list(next_hops("s1", links)) == ["s3", "s4", "s2"]


def test_a_cheap_detour_is_taken() -> None:
    links = links_of(("s1", "s2", 10), ("s1", "s3", 1), ("s3", "s2", 1))
    assert next_hops("s1", links)["s2"] == Hop(2, "s3", "s3")


def test_of_equal_ways_the_one_by_the_smallest_neighbour_is_taken() -> None:
    links = links_of(("s1", "s9", 1), ("s1", "s2", 2), ("s9", "goal", 2), ("s2", "goal", 1))
    assert next_hops("s1", links)["goal"] == Hop(3, "s2", "s2")


def test_the_smallest_neighbour_counts_further_away_too() -> None:
    """Both s3 and s4 are as near to the goal; what counts is by which neighbour they are reached."""
    links = links_of(
        ("s1", "b", 1), ("s1", "a", 1), ("b", "s3", 1), ("a", "s4", 1), ("s3", "goal", 1), ("s4", "goal", 1)
    )
    assert next_hops("s1", links)["goal"] == Hop(3, "a", "s4")


@pytest.mark.parametrize("half", [{"s1": {"s2": 1}, "s2": {}}, {"s1": {}, "s2": {"s1": 1}}, {"s1": {"s2": 1}}])
def test_a_link_that_only_one_end_lists_does_not_count(half: Links) -> None:
    assert next_hops("s1", half) == {}


def test_a_link_costs_what_its_dearer_end_says() -> None:
    assert next_hops("s1", {"s1": {"s2": 2}, "s2": {"s1": 7}})["s2"].distance == 7
    assert next_hops("s1", {"s1": {"s2": 7}, "s2": {"s1": 2}})["s2"].distance == 7


@pytest.mark.parametrize(("said", "counted"), [(-5, 1), (0, 1), (10**30, MAX_COST), (MAX_COST + 1, MAX_COST)])
def test_a_link_costs_neither_nothing_nor_too_much(said: int, counted: int) -> None:
    assert next_hops("s1", links_of(("s1", "s2", said)))["s2"].distance == counted


def test_a_node_that_lists_itself_is_no_way_to_anywhere() -> None:
    links = links_of(("s1", "s2", 1), ("s1", "s1", 1), ("s2", "s2", 1))
    assert next_hops("s1", links) == {"s2": Hop(1, "s2", "s1")}


def test_a_way_lists_both_ends_and_all_between() -> None:
    hops = next_hops("s1", links_of(("s1", "s2", 1), ("s2", "s3", 1), ("s3", "s4", 1)))
    assert way_to("s4", "s1", hops) == ["s1", "s2", "s3", "s4"]
    assert way_to("s1", "s1", hops) == ["s1"]


def test_there_is_no_way_to_who_is_out_of_reach() -> None:
    assert way_to("s9", "s1", {}) == []


# Against brute force

ids = st.sampled_from(["a", "b", "c", "d", "e", "f"])
graphs = st.dictionaries(ids, st.dictionaries(ids, st.integers(-1, 4), max_size=5), max_size=6)


def bellman_ford(own: str, links: Links) -> dict[str, tuple[int, str]]:
    """Find (distance, first hop) of everybody by going over all links again and again."""
    best: dict[str, tuple[int, str]] = {own: (0, "")}
    for _ in range(10):
        for node, (distance, via) in list(best.items()):
            for other, cost in links.get(node, {}).items():
                back = links.get(other, {}).get(node)
                if back is not None and other != own:
                    way = (distance + max(1, cost, back), via or other)
                    best[other] = min(best.get(other, way), way)
    del best[own]
    return best


@PROPERTY
@given(links=graphs)
def test_no_shorter_way_can_be_found_by_trying_all(links: Links) -> None:
    hops = next_hops("a", links)
    assert {node: (hop.distance, hop.via) for node, hop in hops.items()} == bellman_ford("a", links)


@PROPERTY
@given(links=graphs)
def test_what_is_left_of_a_way_shrinks_hop_by_hop(links: Links) -> None:
    """Whatever way each node would take by itself, an envelope never comes to the same node twice."""
    for goal in "bcdef":
        at, left = "a", next_hops("a", links).get(goal)
        while left is not None and left.via != goal:
            at = left.via
            following = next_hops(at, links)[goal]
            assert following.distance < left.distance
            left = following


@PROPERTY
@given(links=graphs)
def test_every_way_goes_over_links_and_costs_what_it_should(links: Links) -> None:
    hops = next_hops("a", links)
    for node, hop in hops.items():
        way = way_to(node, "a", hops)
        assert (way[0], way[1], way[-1]) == ("a", hop.via, node)
        assert sum(max(1, links[x][y], links[y][x]) for x, y in pairwise(way)) == hop.distance
