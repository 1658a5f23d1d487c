"""What is within reach: used while it is and no longer, forgotten after a while, and missed news is noticed."""

from hashlib import blake2b

import pytest
from core_rig import Json, Rig, frames, make_envelope, types
from mesh_rig import MeshRig, record_of, update_of, whole

from fame_cli.core.link import LOCAL, Link, next_link
from fame_cli.core.reach import DIGEST, FORGET_S, digest_meta, forget_lost, settle
from fame_cli.core.session import HEARTBEAT_S

MATH = "math1@fame.fabric"


def chain(*names: str) -> MeshRig:
    """Make a chain of sentinels whose last one serves an address."""
    mesh = MeshRig(*names)
    mesh.bind(names[-1], MATH)
    mesh.chain(*names)
    mesh.forget()
    return mesh


# Next hops


def test_next_hops_are_computed_once_however_many_links_change_in_a_turn() -> None:
    mesh = MeshRig("s1", "s2", "s3", "s4").chain("s1", "s2", "s3", "s4")
    mesh.way("s1", "/s4")
    before = mesh["s1"].mesh.computed
    mesh.chain("s1", "s4")
    mesh.chain("s2", "s4")
    mesh.way("s1", "/s4")
    mesh.way("s1", "/s3")
    assert mesh["s1"].mesh.computed <= before + 2


def test_names_that_come_and_go_change_no_next_hop() -> None:
    mesh = chain("s1", "s2", "s3")
    mesh.way("s1", MATH)
    before = mesh["s1"].mesh.computed
    mesh.bind("s3", "math2@fame.fabric")
    mesh.unbind("s3", MATH)
    mesh.run()
    mesh.way("s1", MATH)
    assert mesh["s1"].mesh.computed == before


def test_a_way_leads_over_the_cheapest_links() -> None:
    mesh = MeshRig("s1", "s2", "s3")
    mesh.join("s1", "s3", cost=10)
    mesh.join("s1", "s2", cost=2)
    mesh.join("s2", "s3", cost=3)
    mesh.run()
    assert mesh.way("s1", "/s3") == ["s1", "s2", "s3"]
    assert mesh["s1"].record("s3").bound.distance == 5
    assert mesh["s1"].record("s3").hearsay.distance == 5


def test_the_dearer_end_says_what_a_link_costs() -> None:
    mesh = MeshRig("s1", "s2", "s3")
    mesh.join("s1", "s3", cost=1, back=10)
    mesh.join("s1", "s2")
    mesh.join("s2", "s3")
    mesh.run()
    assert mesh.way("s1", "/s3") == ["s1", "s2", "s3"]
    assert mesh.way("s3", "/s1") == ["s3", "s2", "s1"]


def test_a_link_that_only_one_end_lists_is_not_used() -> None:
    rig = Rig()
    peer = rig.peer("s2", ours=True)
    rig.feed(peer, update_of(record_of("s2", links=whole(1, s3=1)), record_of("s3", offers=whole(1, **{MATH: 1}))))
    rig.settle()
    assert rig.core.table.find(MATH, peer) is None
    rig.feed(peer, update_of(record_of("s2", links=whole(2, s1=1, s3=1)), record_of("s3", links=whole(1, s2=1))))
    rig.settle()
    settle(rig.core.state, rig.now)
    [origin] = rig.core.table.ways(MATH)
    assert rig.core.table.find(MATH, rig.peer("s4", ours=True)) is origin


# Out of reach


def test_what_goes_out_of_reach_is_used_no_more_and_is_used_again_when_it_is_back() -> None:
    mesh = chain("s1", "s2", "s3", "s4")
    assert mesh.way("s1", MATH) == ["s1", "s2", "s3", "s4"]
    mesh.cut("s2", "s3")
    mesh.run()
    assert mesh.way("s1", MATH) == []
    assert mesh.reach("s1") == {"s2"}
    mesh.chain("s3", "s2")
    assert mesh.way("s1", MATH) == ["s1", "s2", "s3", "s4"]
    assert mesh.agree()


def test_another_way_is_taken_where_there_is_one() -> None:
    mesh = MeshRig("s1", "s2", "s3", "s4").ring("s1", "s2", "s3", "s4")
    mesh.bind("s2", MATH)
    mesh.run()
    assert mesh.way("s1", MATH) == ["s1", "s2"]
    mesh.cut("s1", "s2")
    mesh.run()
    assert mesh.way("s1", MATH) == ["s1", "s4", "s3", "s2"]


def test_news_of_who_is_out_of_reach_counts_as_soon_as_he_is_back() -> None:
    mesh = chain("s1", "s2", "s3")
    mesh.cut("s2", "s3")
    mesh.bind("s3", "math2@fame.fabric")
    mesh.unbind("s3", MATH)
    mesh.run()
    mesh.chain("s2", "s3")
    assert mesh.way("s1", "math2@fame.fabric") == ["s1", "s2", "s3"]
    assert mesh.way("s1", MATH) == []


def test_who_came_while_a_sentinel_was_out_of_reach_hears_of_it_when_it_is_back() -> None:
    mesh = chain("s1", "s2", "s3")
    mesh.cut("s1", "s2")
    mesh.add("s4")
    mesh.chain("s1", "s4")
    assert mesh.reach("s4") == {"s1"}
    mesh.chain("s1", "s2")
    mesh.reach("s1")
    mesh.run()
    assert mesh.way("s4", MATH) == ["s4", "s1", "s2", "s3"]
    assert mesh.agree()


def test_a_plain_neighbour_is_told_when_a_name_goes_out_of_reach_and_when_it_is_back() -> None:
    rig = Rig()
    parent, peer = rig.parent(), rig.peer("s2", ours=True)
    rig.mesh_offer(peer, "s2", {MATH: 1})
    rig.advance(1)
    assert types(rig.said(parent)) == ["AddressBind"]
    rig.do(rig.core.link_closed(peer))
    rig.advance(1)
    assert types(rig.said(parent)) == ["AddressUnbind"]
    rig.peer("s2", ours=True)
    rig.advance(1)
    assert types(rig.said(parent)) == ["AddressBind"]


def test_who_stays_out_of_reach_is_forgotten_after_a_while() -> None:
    mesh = chain("s1", "s2", "s3")
    mesh.crash("s3")
    mesh.advance(FORGET_S - 5)
    assert "s3" in mesh["s1"].mesh.records
    mesh.advance(10)
    for label in ("s1", "s2"):
        node = mesh[label]
        assert "s3" not in node.mesh.records
        assert "s3" not in node.core.table.origins
        assert all("s3" not in known for known in node.mesh.known.values())
        assert list(node.core.table.names()) == []
        assert [note.facts for note in node.noted("record_forgotten")] == [{"node": "s3"}]


def test_the_forgotten_does_not_come_back_by_himself() -> None:
    """One has forgotten it and the other hasn't yet; neither tells the other, nor a newcomer."""
    mesh = chain("s0", "s1", "s2", "s3")
    mesh.cut("s1", "s2")
    mesh.advance(FORGET_S / 2)
    mesh.crash("s3")
    mesh.advance(FORGET_S / 2 + 5)
    assert "s3" not in mesh["s1"].mesh.records
    assert "s3" in mesh["s2"].mesh.records
    mesh.add("s4")
    mesh.chain("s1", "s2", "s4")
    mesh.advance(FORGET_S + 5)
    assert all("s3" not in node.mesh.records for node in mesh.nodes.values())
    assert mesh.agree()


def test_the_forgotten_is_welcome_again() -> None:
    mesh = chain("s1", "s2", "s3")
    mesh.cut("s2", "s3")
    mesh.advance(FORGET_S + 5)
    assert "s3" not in mesh["s1"].mesh.records
    mesh.chain("s3", "s2")
    assert mesh.way("s1", MATH) == ["s1", "s2", "s3"]
    assert mesh.agree()


def test_news_of_somebody_only_one_of_two_has_forgotten_reaches_the_other_one_whole() -> None:
    mesh = chain("s0", "s1", "s2", "s3")
    mesh.cut("s1", "s2")
    mesh.advance(FORGET_S / 2)
    mesh.cut("s2", "s3")
    mesh.advance(FORGET_S / 2 + 5)
    assert ("s3" in mesh["s1"].mesh.records, "s3" in mesh["s2"].mesh.records) == (False, True)
    mesh.chain("s1", "s2", "s3")
    assert mesh.way("s1", MATH) == ["s1", "s2", "s3"]
    assert mesh.agree()


def test_an_address_that_two_have_is_noted_when_they_come_within_reach() -> None:
    mesh = chain("s1", "s2", "s3")
    mesh.cut("s1", "s2")
    mesh.bind("s1", MATH)
    mesh.advance(2)
    assert mesh["s1"].noted("address_conflict") == []
    mesh.chain("s1", "s2")
    mesh.advance(2)
    assert [note.facts for note in mesh["s1"].noted("address_conflict")] == [{"address": MATH, "nodes": ["s3"]}]


def test_what_was_looked_for_in_vain_is_found_as_soon_as_it_is_within_reach() -> None:
    rig = Rig()
    peer = rig.peer("s2", ours=True)
    rig.feed(peer, update_of(record_of("s9", links=whole(1, s2=1), offers=whole(1, **{"/s9": 1}))))
    rig.settle()
    settle(rig.core.state, rig.now)
    assert rig.core.table.find("x@/s9/c", LOCAL) is None
    rig.feed(peer, update_of(record_of("s2", links=whole(1, s1=1, s9=1))))
    rig.settle()
    settle(rig.core.state, rig.now)
    way = rig.core.table.find("x@/s9/c", LOCAL)
    assert way is not None
    assert next_link(way) is peer


# The digest


def digest(mesh: MeshRig, label: str) -> str:
    node = mesh[label]
    meta = digest_meta(node.core.state, next(iter(node.ends)), mesh.now)
    assert meta is not None
    return str(meta[DIGEST])


def test_all_who_know_the_same_have_the_same_digest() -> None:
    mesh = chain("s1", "s2", "s3")
    [only] = {digest(mesh, label) for label in ("s1", "s2", "s3")}
    assert len(only) == 16
    assert int(only, 16)


def test_a_digest_is_worked_out_as_other_makes_do() -> None:
    mesh = chain("s1", "s2")
    total = 0
    for text in (b"s1 1 1 1", b"s2 1 1 2"):
        total ^= int.from_bytes(blake2b(text, digest_size=8).digest(), "big")
    assert digest(mesh, "s1") == f"{total:016x}"


def test_a_digest_changes_with_offers_links_and_lives() -> None:
    mesh = chain("s1", "s2", "s3")
    seen = [digest(mesh, "s1")]
    mesh.bind("s3", "math2@fame.fabric")
    mesh.run()
    seen.append(digest(mesh, "s1"))
    mesh.chain("s1", "s3")
    seen.append(digest(mesh, "s1"))
    mesh.feed("s2", "s1", update_of(record_of("s1", instance="past", incarnation=5)))
    mesh.run()
    seen.append(digest(mesh, "s1"))
    assert len(set(seen)) == 4
    assert digest(mesh, "s2") == seen[-1]


def test_who_is_out_of_reach_is_not_in_the_digest() -> None:
    mesh, alone = chain("s1", "s2", "s3"), MeshRig("s1", "s2")
    mesh.crash("s3")
    mesh.run()
    assert digest(mesh, "s1") == digest(mesh, "s2")
    alone.chain("s1", "s2")
    alone["s2"].mesh.own.links.version = mesh["s2"].mesh.own.links.version
    assert digest(alone, "s2") == digest(mesh, "s2")


def heartbeat(digest: object = None) -> Json:
    meta = None if digest is None else {DIGEST: digest}
    return make_envelope({"type": "NodeHeartbeat"}, meta=meta)


def mesh_of_two() -> tuple[Rig, Link]:
    """Be a sentinel with one neighbour that knows all about it, a while after they have met."""
    rig = Rig()
    peer = rig.peer("s2", ours=True)
    rig.mesh_offer(peer, "s2", {MATH: 1})
    rig.settle()
    rig.now += 2
    rig.said(peer)
    return rig, peer


def test_a_heartbeat_is_answered_with_our_digest() -> None:
    rig, peer = mesh_of_two()
    rig.feed(peer, heartbeat())
    [answer] = rig.said(peer)
    assert answer["frame"]["type"] == "NodeHeartbeatAck"  # type: ignore[index]  # JSON
    assert answer["meta"] == digest_meta(rig.core.state, peer, rig.now)


def test_a_heartbeat_of_ours_carries_our_digest() -> None:
    rig = Rig()
    peer = rig.dialed_peer("s2", ours=True)
    rig.said(peer)
    rig.advance(rig.session(peer).beat_s)
    [beat] = rig.said(peer)
    assert beat["meta"] == digest_meta(rig.core.state, peer, rig.now)


def test_the_same_digest_leads_to_nothing() -> None:
    rig, peer = mesh_of_two()
    ours = digest_meta(rig.core.state, peer, rig.now)
    assert ours is not None
    rig.feed(peer, heartbeat(ours[DIGEST]))
    assert types(rig.said(peer)) == ["NodeHeartbeatAck"]


@pytest.mark.parametrize("odd", [None, 7, ["0"], {}])
def test_a_heartbeat_without_a_digest_leads_to_nothing(odd: object) -> None:
    rig, peer = mesh_of_two()
    rig.feed(peer, heartbeat(odd))
    assert types(rig.said(peer)) == ["NodeHeartbeatAck"]


def test_a_foreign_digest_leads_to_one_summary_a_second() -> None:
    rig, peer = mesh_of_two()
    for _ in range(20):
        rig.feed(peer, heartbeat("0" * 16))
        rig.now += 0.1
    assert len(frames(rig.said(peer), "MeshSummary")) == 2


def test_a_foreign_digest_in_the_answer_leads_to_a_summary_too() -> None:
    rig, peer = mesh_of_two()
    rig.feed(peer, make_envelope({"type": "NodeHeartbeatAck"}, meta={DIGEST: "0" * 16}))
    [summary] = frames(rig.said(peer), "MeshSummary")
    assert set(summary["have"]) == {"s1", "s2"}  # type: ignore[call-overload]  # JSON


def test_a_plain_neighbour_and_a_leaf_neither_get_a_digest_nor_a_summary() -> None:
    rig = Rig()
    for neighbour in (rig.peer("old"), rig.child("a1", ours=True)):
        rig.now += 2
        rig.feed(neighbour, heartbeat("0" * 16))
        [answer] = rig.said(neighbour)
        assert "meta" not in answer


def test_an_update_that_was_lost_is_made_up_for_after_the_next_heartbeat() -> None:
    mesh = MeshRig("s1", "s2", "s3").chain("s1", "s2", "s3")
    mesh.lost = lambda passed: passed.kind == "MeshUpdate"
    mesh.bind("s1", MATH)
    mesh.run()
    mesh.lost = lambda passed: False
    mesh.forget()
    assert mesh.way("s3", MATH) == []
    mesh.advance(HEARTBEAT_S)
    assert mesh.way("s3", MATH) == ["s3", "s2", "s1"]
    assert mesh.agree()
    mesh.forget()
    mesh.advance(3 * HEARTBEAT_S)
    assert {passed.kind for passed in mesh.passed} <= {"NodeHeartbeat", "NodeHeartbeatAck", "CreditUpdate"}


@pytest.mark.parametrize("which", range(6))
def test_a_piece_that_was_lost_is_made_up_for_too(which: int) -> None:
    mesh = MeshRig("s1", "s2", "s3", max_message_bytes=4096)
    names = [f"agent-{number:03}@some.longer.domain.fabric" for number in range(200)]
    mesh.bind("s1", *names)
    passing = iter(range(100))
    mesh.lost = lambda passed: passed.kind == "MeshUpdate" and next(passing) == which
    mesh.chain("s1", "s2", "s3")
    mesh.advance(3 * HEARTBEAT_S)
    assert mesh.agree()
    assert len(mesh["s3"].record("s1").offers) == 201


def test_a_node_that_does_not_route_reaches_nobody_and_forgets_nobody() -> None:
    rig = Rig("c", routes=False)
    sentinel = rig.parent("s1", path="/s1/c", ours=True)
    settle(rig.core.state, 0.0)
    forget_lost(rig.core.state, 0.0)
    assert digest_meta(rig.core.state, sentinel, 0.0) is None
