"""The exchange of records: everybody ends with the same, nothing passes a link twice, and nothing hostile sticks."""

import random
from collections import Counter
from collections.abc import Callable

import pytest
from core_rig import PROPERTY, Json, Rig, frames, make_envelope, types
from hypothesis import given, settings
from hypothesis import strategies as st
from mesh_rig import PARENT, MeshRig, Node, record_of, summary_of, update_of, whole

from fame_cli.core import mesh as mesh_module
from fame_cli.core import namesake as namesake_module
from fame_cli.core.link import LOCAL, next_link
from fame_cli.core.mesh import leave
from fame_cli.core.namesake import MAX_INCARNATION
from fame_cli.core.record import BOUND

MATH, ADD = "math1@fame.fabric", "add math1@fame.fabric"


def four() -> MeshRig:
    """Make a ring of four that has come to rest."""
    mesh = MeshRig("s1", "s2", "s3", "s4").ring("s1", "s2", "s3", "s4")
    mesh.forget()
    return mesh


def full(count: int) -> MeshRig:
    """Make sentinels that are all linked to each other."""
    names = [f"s{number}" for number in range(count)]
    mesh = MeshRig(*names)
    for number, name in enumerate(names):
        for other in names[:number]:
            mesh.join(name, other)
    mesh.run()
    mesh.forget()
    return mesh


def told(mesh: MeshRig) -> Counter[tuple[str, str, str, int, str, int]]:
    """Count (from, to, id, incarnation, section, version) of everything that was told."""
    return Counter(
        (passed.source, passed.target, record["id"], record["incarnation"], part, record[part]["version"])
        for passed in mesh.updates()
        for record in passed.frame["records"]  # type: ignore[attr-defined]  # JSON
        for part in ("links", "offers")
        if part in record
    )


# A link opens


def test_a_link_that_opens_begins_with_a_summary_each_way() -> None:
    mesh = MeshRig("s1", "s2").chain("s1", "s2")
    assert len(mesh.summaries("s1", "s2")) == len(mesh.summaries("s2", "s1")) == 1
    assert mesh.summaries("s1", "s2")[0].frame["have"] == {"s1": [1, 1, 1]}


def test_each_side_of_a_new_link_sends_what_the_other_one_lacks() -> None:
    mesh = MeshRig("s1", "s2", "s3", "s4")
    mesh.bind("s1", MATH)
    mesh.chain("s1", "s2")
    mesh.chain("s3", "s4")
    assert mesh.reach("s1") == {"s2"}
    mesh.chain("s2", "s3")
    assert mesh.agree()
    assert mesh.way("s4", MATH) == ["s4", "s3", "s2", "s1"]
    assert set(mesh.contents("s4")) == {"s1", "s2", "s3", "s4"}


def test_who_knows_all_is_told_nothing_again() -> None:
    mesh = MeshRig("s1", "s2", "s3")
    mesh.bind("s1", MATH)
    mesh.chain("s1", "s2", "s3")
    mesh.forget()
    mesh.chain("s3", "s1")
    assert {(node, part) for _, _, node, _, part, _ in told(mesh)} == {("s1", "links"), ("s3", "links")}


def test_a_link_that_was_lost_and_is_back_costs_only_the_news_of_itself() -> None:
    mesh = four()
    mesh.bind("s1", MATH)
    mesh.run()
    mesh.cut("s1", "s2")
    mesh.run()
    mesh.forget()
    mesh.chain("s1", "s2")
    assert {(node, part) for _, _, node, _, part, _ in told(mesh)} == {("s1", "links"), ("s2", "links")}
    assert mesh.agree()


def test_a_parent_and_its_child_are_part_of_the_mesh_like_peers() -> None:
    mesh = MeshRig("root", "s1", "s2")
    mesh.join("s1", "root", PARENT)
    mesh.join("s2", "root", PARENT)
    mesh.run()
    mesh.bind("s2", MATH)
    mesh.run()
    assert mesh.way("s1", MATH) == ["s1", "root", "s2"]
    assert mesh.agree()


def test_a_summary_too_large_for_a_message_comes_in_pieces() -> None:
    mesh = MeshRig("hub", "late", max_message_bytes=4096)
    for number in range(40):
        name = f"s{number:02}-" + "x" * 100
        mesh.add(name, max_message_bytes=4096)
        mesh.join(name, "hub")
    mesh.run()
    mesh.forget()
    mesh.chain("hub", "late")
    assert len(mesh.summaries("hub", "late")) > 2
    assert max(passed.size for passed in mesh.passed) <= 4096
    assert mesh.agree()
    mesh.forget()
    mesh.chain("late", "s00-" + "x" * 100)
    assert len(mesh.summaries()) > 4
    assert {node for _, _, node, _, _, _ in told(mesh)} == {"s00-" + "x" * 100, "late"}


NAMES = {
    "many": [f"agent-{number:03}@some.longer.domain.fabric" for number in range(400)],
    "long": [f"{'capability' * 25}{number} math1@fame.fabric" for number in range(40)],
    "escaped": [f"{chr(1) * 200}{number} math1@fame.fabric" for number in range(10)],
    "foreign": [f"{'能力' * 100}{number} math1@fame.fabric" for number in range(20)],
}


@pytest.mark.parametrize("kind", NAMES)
def test_offers_too_many_for_a_message_come_in_pieces(kind: str) -> None:
    mesh = MeshRig("s1", "s2", "s3", max_message_bytes=4096)
    mesh.bind("s1", *NAMES[kind])
    mesh.chain("s1", "s2", "s3")
    assert len(mesh.updates("s1", "s2")) > 2
    assert max(passed.size for passed in mesh.passed) <= 4096
    assert mesh.agree()
    assert len(mesh["s3"].record("s1").offers) == len(NAMES[kind]) + 1
    mesh.unbind("s1", *(name for name in NAMES[kind] if " " not in name))
    mesh.bind("s1", MATH)
    mesh.run()
    assert mesh.agree()
    assert max(passed.size for passed in mesh.passed) <= 4096


def test_records_fill_messages_but_never_too_far() -> None:
    """A large record after a small one begins a message of its own."""
    mesh = MeshRig("hub", "late", max_message_bytes=4096)
    for number in range(6):
        mesh.add(f"s{number}", max_message_bytes=4096)
        mesh.bind(f"s{number}", *(f"name-{name:03}@fame.fabric" for name in range(8 * number + 5)))
        mesh.join(f"s{number}", "hub")
    mesh.run()
    mesh.forget()
    mesh.chain("hub", "late")
    assert max(passed.size for passed in mesh.passed) <= 4096
    assert 1 < len(mesh.updates("hub", "late")) < 6
    assert mesh.agree()


def test_nothing_is_sent_before_the_first_summary_of_a_neighbour() -> None:
    """What it lacks isn't known; what it is owed meanwhile follows from its summary."""
    rig = Rig()
    peer = rig.peer("s2", ours=True)
    rig.do(rig.core.bind(MATH))
    rig.feed(peer, update_of(record_of("s1", instance="instance-of-s1", offers=whole(1))))
    rig.settle()
    assert frames(rig.said(peer), "MeshUpdate") == []
    rig.feed(peer, summary_of({}))
    rig.settle()
    assert len(frames(rig.said(peer), "MeshUpdate")) == 1


@pytest.mark.parametrize(
    ("theirs", "owed", "asked"),
    [
        ([3, 4, 9], False, False),
        ([3, 4, 8], True, False),
        ([3, 3, 9], True, False),
        ([3, 5, 9], False, True),
        ([3, 4, 10], False, True),
        ([3, 5, 8], True, True),
        ([2, 9, 9], True, False),
        ([4, 0, 0], False, True),
    ],
    ids=str,
)
def test_a_summary_shows_who_lacks_what(theirs: list[int], owed: bool, asked: bool) -> None:
    rig = Rig()
    west, east = rig.peer("s2", ours=True), rig.peer("s3", ours=True)
    far = record_of("s9", incarnation=3, links=whole(4, s2=1), offers=whole(9, **{MATH: 1}))
    rig.feed(west, update_of(record_of("s2", links=whole(1, s1=1, s9=1)), far))
    rig.advance(2)
    rig.said(east)
    rig.feed(east, summary_of({"s1": [1, 2, 1], "s2": [1, 1, 0], "s9": theirs}))
    rig.settle()
    said = types(rig.said(east))
    assert ("MeshUpdate" in said, "MeshSummary" in said) == (owed, asked)


def test_who_asks_for_everything_time_and_again_gets_it_now_and_then() -> None:
    rig = Rig()
    rig.do(rig.core.bind(MATH))
    peer = rig.peer("s2", ours=True)
    answered = 0
    for _ in range(30):  # three seconds
        rig.feed(peer, summary_of({}))
        rig.advance(0.1)
        answered += len(frames(rig.said(peer), "MeshUpdate"))
    assert 3 <= answered <= 6


def test_a_piece_of_a_summary_that_does_not_follow_on_another_is_passed_over() -> None:
    rig = Rig()
    peer = rig.peer("s2", ours=True)
    rig.feed(peer, summary_of({}, upto="s0"))
    rig.feed(peer, summary_of({}, after="s00"))
    rig.settle()
    assert frames(rig.said(peer), "MeshUpdate") == []
    rig.feed(peer, summary_of({}, after="s0"))
    rig.settle()
    assert len(frames(rig.said(peer), "MeshUpdate")) == 1


def test_a_neighbour_gets_no_more_than_one_summary_a_second() -> None:
    rig = Rig()
    peer = rig.peer("s2", ours=True)
    rig.advance(2)
    rig.said(peer)
    for _ in range(3):
        rig.feed(peer, summary_of({"s9": [1, 1, 1]}))
        rig.now += 0.5
    assert types(rig.said(peer)) == ["MeshSummary", "MeshSummary"]


# Changes


@pytest.mark.parametrize("make", [four, lambda: full(5)], ids=["ring", "full mesh"])
def test_a_change_passes_each_link_at_most_once_a_direction(make: Callable[[], MeshRig]) -> None:
    mesh = make()
    mesh.bind("s1", MATH)
    mesh.run()
    assert mesh.agree()
    assert max(Counter((passed.source, passed.target) for passed in mesh.updates()).values()) == 1
    assert {passed.kind for passed in mesh.passed} == {"MeshUpdate"}


def test_news_is_not_sent_back_to_who_told_it() -> None:
    mesh = MeshRig("s1", "s2", "s3").chain("s1", "s2", "s3")
    mesh.forget()
    mesh.bind("s1", MATH)
    mesh.run()
    assert [(passed.source, passed.target) for passed in mesh.passed] == [("s1", "s2"), ("s2", "s3")]


def test_a_plain_neighbour_is_told_of_what_comes_and_goes_in_the_mesh() -> None:
    rig = Rig()
    parent, peer = rig.parent(), rig.peer("s2", ours=True)
    rig.mesh_offer(peer, "s2", {"other@fame.fabric": 1})
    rig.advance(1)
    rig.said(parent)
    rig.mesh_offer(peer, "s2", {MATH: 1})
    assert types(rig.said(parent)) == ["AddressUnbind", "AddressBind"]
    rig.feed(peer, update_of(record_of("s2", incarnation=2, links=whole(1, s1=1))))
    assert types(rig.said(parent)) == ["AddressUnbind"]


def test_an_address_that_is_ours_and_comes_up_elsewhere_is_noted() -> None:
    rig = Rig()
    peer = rig.peer("s2", ours=True)
    rig.do(rig.core.bind(MATH))
    rig.mesh_offer(peer, "s2", {})
    rig.advance(1)
    rig.mesh_offer(peer, "s2", {MATH: 1})
    assert [note.facts for note in rig.noted("address_conflict")] == [{"address": MATH, "nodes": ["s2"]}]


def test_what_changes_within_one_turn_travels_in_one_message() -> None:
    mesh = four()
    mesh.bind("s1", MATH, "math2@fame.fabric", ADD)
    mesh.unbind("s1", "math2@fame.fabric")
    mesh.run()
    assert len(mesh.updates("s1", "s2")) == 1
    assert mesh["s3"].record("s1").offers.get(ADD) == BOUND
    assert "math2@fame.fabric" not in mesh["s3"].record("s1").offers


@settings(PROPERTY, max_examples=8)
@given(seed=st.integers(0, 10_000))
def test_no_version_passes_a_link_twice_in_whatever_order_things_arrive(seed: int) -> None:
    mesh = full(4)
    mesh.order = random.Random(seed)
    for step in range(6):
        mesh.bind(f"s{step % 3}", f"name{step}@fame.fabric")
        if step == 3:
            mesh.cut("s0", "s1")
        if step % 2:
            mesh.run()
    mesh.run()
    assert mesh.agree()
    assert max(told(mesh).values()) == 1


def test_what_is_bound_and_unbound_is_found_and_not_found_everywhere() -> None:
    mesh = four()
    mesh.bind("s1", MATH, ADD)
    mesh.run()
    assert mesh.way("s3", MATH) == ["s3", "s2", "s1"]
    assert mesh.way("s3", ADD) == ["s3", "s2", "s1"]
    mesh.unbind("s1", MATH)
    mesh.run()
    assert mesh.way("s3", MATH) == []


def test_an_offer_that_is_no_longer_first_hand_leads_by_the_other_way() -> None:
    rig = Rig()
    peer = rig.peer("s2", ours=True)
    rig.mesh_offer(peer, "s2", {MATH: 1})
    rig.mesh_offer(peer, "s2", {MATH: 2})
    record = rig.core.state.mesh.records["s2"]  # type: ignore[union-attr]  # a sentinel has one
    assert rig.core.table.ways(MATH) == (record.hearsay,)


def test_an_old_update_that_comes_again_changes_nothing_and_is_not_handed_on() -> None:
    mesh = four()
    mesh.bind("s1", MATH)
    mesh.run()
    [first] = mesh.updates("s1", "s2")
    mesh.unbind("s1", MATH)
    mesh.run()
    mesh.forget()
    mesh.feed("s1", "s2", update_of(*first.frame["records"]))  # type: ignore[misc]  # JSON
    mesh.run()
    assert mesh.updates() == []
    assert mesh.way("s3", MATH) == []


def test_an_update_that_lacks_what_came_before_it_is_asked_for_anew() -> None:
    mesh = four()
    mesh.advance(2)
    mesh.bind("s1", MATH)
    mesh.lost = lambda passed: True
    mesh.run()
    mesh.lost = lambda passed: False
    mesh.bind("s1", "math2@fame.fabric")
    mesh.run()
    assert mesh.way("s3", MATH) == ["s3", "s2", "s1"]
    assert mesh.agree()
    assert len(mesh.summaries("s2", "s1")) == 1


def test_links_that_lack_what_came_before_them_are_asked_for_anew() -> None:
    mesh = MeshRig("s1", "s2", "s3", "s4").chain("s1", "s2", "s3")
    mesh.advance(2)
    mesh.lost = lambda passed: (passed.source, passed.target) == ("s2", "s1")
    mesh.chain("s3", "s4")
    mesh.lost = lambda passed: False
    mesh.cut("s3", "s4")
    mesh.run()
    mesh.chain("s2", "s4")
    assert mesh.agree()


def test_who_is_ahead_in_one_half_of_a_record_and_behind_in_the_other_is_given_the_other_once() -> None:
    rig = Rig()
    west, east = rig.peer("s2", ours=True), rig.peer("s3", ours=True)
    near = record_of("s2", links=whole(1, s1=1, s9=1))
    far = record_of("s9", links=whole(4, s2=1), offers=whole(9, **{MATH: 1}))
    rig.feed(west, update_of(near, far))
    rig.advance(2)
    rig.said(east)
    rig.feed(east, summary_of({"s1": [1, 9, 9], "s2": [1, 1, 0], "s9": [1, 5, 3]}))
    rig.settle()
    said = rig.said(east)
    assert types(said) == ["MeshSummary", "MeshUpdate"]
    assert frames(said, "MeshUpdate")[0]["records"] == [record_of("s9", offers=whole(9, **{MATH: 1}))]
    rig.feed(west, update_of(record_of("s9", offers={"base": 9, "version": 10, "put": {ADD: 1}})))
    rig.settle()
    [update] = frames(rig.said(east), "MeshUpdate")
    assert update["records"] == [record_of("s9", offers={"base": 9, "version": 10, "put": {ADD: 1}})]


# Links


def test_two_links_to_one_sentinel_are_one_and_either_will_do() -> None:
    mesh = MeshRig("root", "s1", "s2").chain("root", "s2")
    mesh.join("s1", "root", PARENT)
    mesh.join("s1", "root")
    mesh.run()
    mesh.bind("s2", MATH)
    mesh.forget()
    mesh.run()
    assert len(mesh.updates("root", "s1")) == 1
    assert mesh.way("s1", MATH) == ["s1", "root", "s2"]
    mesh.cut("s1", "root")
    assert mesh.way("s1", MATH) == ["s1", "root", "s2"]
    mesh.run()
    assert mesh.way("s1", MATH) == ["s1", "root", "s2"]
    assert mesh.way("s2", "/root/s1") == ["s2", "root", "s1"]
    mesh.cut("s1", "root")
    mesh.run()
    assert mesh.reach("s1") == set()
    assert mesh.agree() is False


def test_news_travels_over_the_link_that_is_left() -> None:
    mesh = MeshRig("root", "s1", "s2").chain("root", "s2")
    mesh.join("s1", "root", PARENT)
    mesh.join("s1", "root")
    mesh.run()
    mesh.cut("s1", "root")
    mesh.run()
    mesh.bind("s2", MATH)
    mesh.bind("s1", "math2@fame.fabric")
    mesh.run()
    assert mesh.agree()


def test_the_end_of_a_link_that_was_replaced_changes_nothing() -> None:
    mesh = MeshRig("root", "s1")
    mesh.join("s1", "root", PARENT)
    mesh.join("s1", "root")
    mesh.run()
    mesh.forget()
    [parent, _] = mesh["s1"].ends
    far, into = mesh["s1"].ends[parent]
    mesh.do(mesh["s1"], mesh["s1"].core.link_closed(parent))
    mesh.do(far, far.core.link_closed(into))
    mesh.run()
    assert mesh.reach("s1") == {"root"}
    assert {part for _, _, _, _, part, _ in told(mesh)} <= {"offers"}


def test_what_went_over_a_link_goes_over_the_one_that_replaces_it_from_that_moment_on() -> None:
    rig = Rig()
    rig.mesh_offer(rig.dialed_peer("s0", ours=True), "s0", {MATH: 1})
    rig.advance(1)
    again = rig.peer("s0", ours=True)
    [way] = rig.core.table.ways(MATH)
    assert next_link(way) is again


def test_a_sentinel_that_is_back_is_used_again_though_nobody_says_anything_new() -> None:
    rig = Rig()
    peer = rig.peer("s2", ours=True)
    rig.mesh_offer(peer, "s2", {MATH: 1})
    rig.advance(1)
    rig.do(rig.core.link_closed(peer))
    rig.advance(1)
    assert rig.core.table.find(MATH, LOCAL) is None
    rig.peer("s2", ours=True)
    rig.advance(1)
    assert rig.core.table.find(MATH, LOCAL) is not None


def test_nothing_goes_over_a_lost_link_from_that_moment_on() -> None:
    mesh = four()
    mesh.bind("s2", MATH)
    mesh.run()
    assert mesh.way("s1", MATH) == ["s1", "s2"]
    assert mesh["s1"].core.table.find("x@/s2", LOCAL) is mesh["s1"].record("s2").bound
    gone = mesh["s1"].link_to("s2")
    mesh.cut("s1", "s2")
    state = mesh["s1"].mesh
    assert mesh["s1"].record("s2").bound.link is None
    assert mesh["s1"].core.table.find("x@/s2", LOCAL) is None
    assert all(gone not in memory for memory in (state.known, state.owed, state.asked, state.links.values()))
    mesh.run()
    assert mesh.way("s1", MATH) == ["s1", "s4", "s3", "s2"]


def test_another_cost_of_the_same_neighbour_is_told() -> None:
    mesh = MeshRig("s1", "s2").chain("s1", "s2")
    mesh.join("s1", "s2", cost=7)
    mesh.run()
    assert mesh["s2"].record("s1").links_of() == {"s2": 7}
    assert mesh["s1"].mesh.own.links_of() == {"s2": 7}


# Lives


@pytest.mark.parametrize("incarnation", [1, 6, 7, 8])
def test_a_sentinel_that_starts_again_outdoes_its_past(incarnation: int) -> None:
    """Its clock may have been put back, so its new incarnation may be the lower one, or even the same."""
    mesh = MeshRig("s1", "s2", "s4", "s5")
    mesh.add("s3", incarnation=7)
    mesh.bind("s3", MATH)
    mesh.chain("s1", "s2", "s3", "s4", "s5")
    mesh.crash("s3")
    mesh.run()
    assert mesh.way("s1", MATH) == []
    mesh.add("s3", instance="another", incarnation=incarnation)
    mesh.bind("s3", "math2@fame.fabric")
    mesh.chain("s2", "s3", "s4")
    assert mesh.way("s1", "math2@fame.fabric") == mesh.way("s1", "/s3") == ["s1", "s2", "s3"]
    assert mesh.way("s5", MATH) == []
    assert mesh.agree()
    assert mesh["s1"].record("s3").instance == "another"
    assert mesh["s3"].mesh.own.incarnation >= 8 if incarnation < 8 else 8
    assert not mesh["s3"].noted("id_taken")
    notes = [(note.level, note.facts) for note in mesh["s3"].noted("record_outdone")]
    assert notes == ([] if incarnation == 8 else [("info", {"node": "s3", "incarnation": 8})])


def test_a_new_life_that_lists_no_links_is_out_of_reach() -> None:
    rig = Rig()
    peer = rig.peer("s2", ours=True)
    rig.mesh_offer(peer, "s2", {MATH: 1})
    rig.advance(1)
    rig.feed(peer, update_of(record_of("s2", incarnation=2, offers=whole(1, **{MATH: 1}))))
    rig.advance(1)
    assert rig.core.table.find(MATH, LOCAL) is None


def test_who_still_tells_of_an_earlier_life_is_told_of_the_present_one() -> None:
    rig = Rig()
    west, east = rig.peer("s2", ours=True), rig.peer("s3", ours=True)
    rig.feed(west, update_of(record_of("s9", instance="present", incarnation=5, offers=whole(3, **{MATH: 1}))))
    rig.feed(east, summary_of({}))
    rig.settle()
    rig.said(east)
    rig.feed(east, update_of(record_of("s9", instance="past", incarnation=4, offers=whole(9, **{ADD: 1}))))
    rig.settle()
    [update] = frames(rig.said(east), "MeshUpdate")
    assert update["records"] == [
        record_of("s9", instance="present", incarnation=5, offers={"base": 0, "version": 3, "put": {MATH: 1}})
    ]
    assert set(rig.core.table.names()) == {MATH}


def redial(mesh: MeshRig, node: Node, *neighbours: str) -> None:
    """Dial again, as the shell does when a node has changed its id."""
    assert node.ends == {}
    for neighbour in neighbours:
        mesh.join(node.label, neighbour)


@pytest.mark.parametrize("lives", [(3, 5), (5, 3), (4, 4)])
@pytest.mark.parametrize("instances", [("a", "b"), ("b", "a")])
@pytest.mark.parametrize("seed", range(4))
def test_of_two_living_namesakes_exactly_one_takes_another_id(
    lives: tuple[int, int], instances: tuple[str, str], seed: int
) -> None:
    """If they were born in the same instant and tell the same, it takes the first news of either to notice."""
    mesh = MeshRig("m1", "m2", "m3", "m4")
    mesh.order = random.Random(seed)
    west = mesh.add("west", "s", incarnation=lives[0], instance=instances[0])
    east = mesh.add("east", "s", incarnation=lives[1], instance=instances[1])
    mesh.chain("west", "m1", "m2")
    mesh.chain("m3", "m4", "east")
    if seed % 2:
        mesh.join("m4", "m1")
    mesh.chain("m2", "m3")
    mesh.bind("west", "west@fame.fabric")
    mesh.bind("east", "east@fame.fabric")
    mesh.run()
    [loser] = [node for node in (west, east) if node.noted("id_taken")]
    winner = west if loser is east else east
    assert winner.core.settings.instance_id == "a"
    assert winner.node_id == "s"
    assert loser.node_id.startswith("s-")
    redial(mesh, loser, "m1" if loser is west else "m4")
    mesh.run()
    assert mesh.agree()
    assert mesh.way("m2", "west@fame.fabric")[-1] == west.node_id
    assert mesh.way("m2", "east@fame.fabric")[-1] == east.node_id
    assert not winner.noted("id_taken")


def test_news_of_a_namesake_born_in_the_same_instant_is_handed_on_though_it_has_the_same_version() -> None:
    rig = Rig()
    west, east = rig.peer("s2", ours=True), rig.peer("s3", ours=True)
    for peer in (west, east):
        rig.feed(peer, summary_of({}))
    rig.feed(west, update_of(record_of("s9", instance="a", offers=whole(3, **{MATH: 1}))))
    rig.settle()
    assert len(frames(rig.said(east), "MeshUpdate")) == 1
    rig.feed(east, update_of(record_of("s9", instance="b", offers=whole(3, **{ADD: 1}))))
    rig.settle()
    [update] = frames(rig.said(west), "MeshUpdate")[1:]
    assert update["records"] == [record_of("s9", instance="b", offers=whole(3, **{ADD: 1}))]
    rig.advance(2)
    rig.said(west)
    rig.feed(west, update_of(record_of("s9", instance="a", offers={"base": 3, "version": 4, "put": {MATH: 2}})))
    rig.settle()
    [update] = frames(rig.said(west), "MeshUpdate")
    assert update["records"] == [record_of("s9", instance="b", offers=whole(3, **{ADD: 1}))]
    assert set(rig.core.table.names()) == {("add", MATH)}


def test_three_namesakes_end_with_three_ids() -> None:
    mesh = MeshRig("hub")
    nodes = [mesh.add(label, "s", instance=label, incarnation=number) for number, label in enumerate("abc", 1)]
    for label in "abc":
        mesh.add(f"m{label}")
        mesh.chain(label, f"m{label}", "hub")
    for _ in range(3):
        for node in nodes:
            if not node.ends:
                redial(mesh, node, f"m{node.label}")
        mesh.run()
    assert len({node.node_id for node in nodes}) == 3
    assert nodes[0].node_id == "s"
    assert mesh.agree()


def test_no_more_namesakes_are_remembered_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namesake_module, "MAX_NAMESAKES", 2)
    mesh = four()
    for number in range(5):
        mesh.feed("s1", "s2", update_of(record_of("s2", instance=f"i{number}", incarnation=10 * number + 10)))
    assert len(mesh["s2"].mesh.outdone) <= 2
    assert mesh["s2"].node_id == "s2"


# What a hostile or broken neighbour may say


def test_only_a_neighbour_of_the_mesh_is_heard() -> None:
    mesh = four()
    mesh.leaf("a1", "s1")
    mesh.forget()
    for message in (update_of(record_of("s9")), summary_of({"s9": [1, 1, 1]})):
        mesh.feed("a1", "s1", message)
        mesh.feed("s1", "a1", message)
    mesh.run()
    assert "s9" not in mesh["s1"].mesh.records
    assert mesh.passed == []


def test_a_node_that_does_not_route_has_no_mesh_to_leave() -> None:
    rig = Rig("c", routes=False)
    leave(rig.core.state, rig.parent("s1", path="/s1/c", ours=True), 0.0)
    rig.advance(1)
    assert rig.core.state.mesh is None


REFUSED = [
    record_of("s9", incarnation=0),
    record_of("s9", incarnation=-1),
    record_of("s9", incarnation=MAX_INCARNATION + 1),
    record_of("s9", incarnation=10**40),
    record_of(""),
    record_of("s/9"),
    record_of("x" * 129),
    record_of("s9", instance="x" * 129),
    record_of("s2", incarnation=MAX_INCARNATION + 1),
]


@pytest.mark.parametrize("record", REFUSED, ids=range(len(REFUSED)))
def test_a_record_that_cannot_be_one_is_refused(record: Json) -> None:
    mesh = four()
    mesh.feed("s1", "s2", update_of(record, record_of("s8", links=whole(1))))
    mesh.run()
    assert len(mesh["s2"].noted("record_refused")) == 1
    assert set(mesh["s2"].mesh.records) == {"s1", "s3", "s4", "s8"}
    assert mesh["s2"].mesh.own.incarnation == 1


def test_no_more_records_are_kept_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mesh_module, "MAX_RECORDS", 5)
    mesh = four()
    mesh.feed("s1", "s2", update_of(*(record_of(f"x{number}") for number in range(10))))
    mesh.feed("s1", "s2", summary_of({f"y{number}": [1, 1, 1] for number in range(20)}))
    mesh.run()
    assert len(mesh["s2"].mesh.records) == 5
    assert set(mesh["s2"].mesh.records) == {"s1", "s3", "s4", "x0", "x1"}
    mesh.advance(5)
    mesh.feed("s1", "s2", update_of(record_of("z")))
    assert set(mesh["s2"].mesh.records) == {"s1", "s3", "s4", "x1", "z"}
    assert all(len(known) <= 12 for known in mesh["s2"].mesh.known.values())


def test_where_all_records_are_within_reach_strangers_find_no_room_and_neighbours_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mesh_module, "MAX_RECORDS", 3)
    mesh = four()
    mesh.advance(1)
    mesh.feed("s1", "s2", update_of(*(record_of(f"x{number}") for number in range(10))))
    mesh.run()
    assert set(mesh["s2"].mesh.records) == {"s1", "s3", "s4"}
    [note] = mesh["s2"].noted("record_refused")
    assert (note.facts["node"], note.facts["records"]) == ("x0", 10)
    mesh.add("s5")
    mesh.chain("s5", "s2")
    mesh.run()
    assert "s5" in mesh["s2"].mesh.records


def test_who_lies_about_our_id_can_make_us_take_another_only_now_and_then() -> None:
    rig = Rig()
    peer = rig.peer("s2", ours=True)
    lie = record_of("s1", instance="zz", incarnation=2**53 - 2)
    rig.feed(peer, update_of(lie))
    first = rig.core.settings.node_id
    assert first.startswith("s1-")
    again = rig.peer("s2", ours=True)
    rig.feed(again, update_of({**lie, "id": first}))
    assert rig.core.settings.node_id == first
    rig.advance(40)
    later = rig.peer("s2", ours=True)
    rig.feed(later, update_of({**lie, "id": first}))
    assert rig.core.settings.node_id not in ("s1", first)
    assert len(rig.core.settings.node_id) == len(first)


def test_ids_that_cannot_be_any_are_not_remembered_from_a_summary() -> None:
    mesh = four()
    mesh.feed("s1", "s2", summary_of({"": [1, 1, 1], "x" * 10_000: [1, 1, 1], "s/9": [1, 1, 1]}))
    assert set(mesh["s2"].mesh.known[mesh["s2"].link_to("s1")]) <= {"s1", "s2", "s3", "s4"}


def test_names_of_an_unknown_kind_are_kept_and_passed_on_but_not_used() -> None:
    mesh = four()
    odd = {"": 1, " ": 1, "__sys__@fame.fabric": 1, "x@/s1": 1, "new:kind": 7, "/s/": 1, "a" * 3000: 1, "\x00": 2}
    mesh.feed("s1", "s2", update_of(record_of("s9", links=whole(1, s1=1), offers=whole(3, **odd, **{MATH: 1}))))
    mesh.run()
    for label in ("s2", "s3", "s4"):
        assert dict(mesh[label].record("s9").offers.items()) == odd | {MATH: 1}
        assert set(mesh[label].core.table.names()) == {MATH}


def test_costs_versions_and_values_may_be_absurd() -> None:
    mesh = four()
    for version in (-5, 10**30, 0, 2**53):
        links = {"base": 0, "version": version, "put": {"s1": 10**30, "s2": -(10**30), "s9": 0}}
        offers = {"base": version, "version": version, "final": version + 1, "put": {MATH: 10**30}, "drop": [MATH]}
        for node in ("s9", "s3", "s1"):
            mesh.feed("s1", "s2", update_of(record_of(node, links=links, offers=offers)))
            mesh.run()
    mesh.advance(40)
    assert mesh.agree()
    assert mesh["s1"].mesh.own.node_id == "s1"
    assert mesh.reach("s2") >= {"s1", "s3", "s4"}


def test_a_false_record_of_a_neighbour_is_outdone_by_it() -> None:
    mesh = four()
    false = record_of("s3", instance="false", incarnation=50, links=whole(1, s1=1), offers=whole(1, **{MATH: 1}))
    mesh.feed("s1", "s2", update_of(false))
    mesh.run()
    assert mesh.way("s2", MATH) == []
    assert mesh.way("s1", "/s3")
    assert mesh["s2"].record("s3").incarnation == mesh["s3"].mesh.own.incarnation == 51
    assert mesh.agree()


@pytest.mark.parametrize(
    "false",
    [
        record_of("s3", incarnation=9),
        record_of("s3", offers={"base": 1, "version": 900, "put": {MATH: 1}}),
        record_of("s3", links={"base": 0, "version": 900, "put": {}}),
    ],
    ids=["a later life", "later offers", "later links"],
)
def test_what_we_never_said_in_our_own_name_is_outdone(false: Json) -> None:
    mesh = four()
    mesh.feed("s1", "s2", update_of(false))
    mesh.run()
    mesh.bind("s3", "math3@fame.fabric")
    mesh.run()
    assert mesh.way("s1", "math3@fame.fabric")[-1] == "s3"
    assert mesh.way("s1", MATH) == []
    assert mesh.agree()


def test_who_can_not_outdo_a_record_takes_another_id() -> None:
    """No incarnation is left above it, and nobody would take one."""
    mesh = four()
    mesh.feed("s1", "s2", update_of(record_of("s3", instance="false", incarnation=MAX_INCARNATION)))
    mesh.run()
    s3 = mesh["s3"]
    assert s3.node_id.startswith("s3-")
    redial(mesh, s3, "s2", "s4")
    mesh.bind("s3", MATH)
    mesh.run()
    assert mesh.way("s1", MATH)[-1] == s3.node_id


def test_very_many_names_are_taken_in_their_stride() -> None:
    mesh = four()
    for piece in range(5):
        put = {f"n{piece}-{number}@x.f": 1 for number in range(400)}
        offers = {"base": piece, "version": piece + 1, "put": put}
        mesh.feed("s1", "s2", update_of(record_of("s9", links=whole(1, s2=1), offers=offers)))
        mesh.run()
    assert len(mesh["s4"].record("s9").offers) == 2000


# Anything at all

ids = st.sampled_from(["s1", "s2", "s3", "s4", "s9", "", "s/9"])
numbers = st.integers(-2, 6) | st.sampled_from([900, 2**53 - 2, 2**53, 10**30])
texts = st.sampled_from([MATH, ADD, "/", "/s1", "/s9", "/s1/x", "p@*.pool.f", "?"]) | st.text(max_size=4)
deltas = st.fixed_dictionaries(
    {"base": numbers, "version": numbers},
    optional={
        "final": numbers,
        "put": st.dictionaries(ids | texts, numbers, max_size=3),
        "drop": st.lists(ids | texts, max_size=2),
    },
)
records = st.fixed_dictionaries(
    {"id": ids, "instance": st.sampled_from(["instance-of-s3", "a", "z", ""]), "incarnation": numbers},
    optional={"links": deltas, "offers": deltas},
)
updates = st.fixed_dictionaries({"type": st.just("MeshUpdate"), "records": st.lists(records, max_size=3)})
summaries = st.fixed_dictionaries(
    {"type": st.just("MeshSummary"), "have": st.dictionaries(ids, st.tuples(numbers, numbers, numbers), max_size=4)},
    optional={"after": ids, "upto": ids},
)


@settings(PROPERTY, max_examples=15)
@given(said=st.lists(updates | summaries, min_size=1, max_size=6))
def test_whatever_a_neighbour_says_the_others_agree_when_it_is_gone(said: list[Json]) -> None:
    mesh = MeshRig("s1", "s2", "s3", "evil").chain("s1", "s2", "s3")
    mesh.bind("s3", MATH)
    mesh.chain("evil", "s2")
    for frame in said:
        if not mesh["evil"].ends:
            mesh.chain("evil", "s2")
        mesh.feed("evil", "s2", make_envelope(frame))
        mesh.run()
    mesh.crash("evil")
    for near, far in 3 * (("s1", "s2"), ("s2", "s3")):  # who takes another id has to be dialled again
        if not any(node is mesh[far] for node, _ in mesh[near].ends.values()):
            mesh.chain(near, far)
    mesh.advance(60)
    assert mesh.agree()
    assert mesh.reach("s1") == {mesh["s2"].node_id, mesh["s3"].node_id}
    assert mesh.way("s1", MATH)[-1] == mesh["s3"].node_id
