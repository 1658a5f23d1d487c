"""A running node is told anew: bounds count at once, costs at both ends, and a link that goes takes its calls along."""

import pytest
from core_rig import CLIENT, MATH, Rig, make_envelope, make_request, nack_of
from mesh_rig import MeshRig

from fame_cli.core.limits import Limits
from fame_cli.core.link import LinkKind


def adjust(rig: Rig, limits: Limits, max_hops: int = 16, max_held_bytes: int = 2**20) -> None:
    rig.do(rig.core.adjust(limits, max_hops, max_held_bytes, "random"))


def costs(mesh: MeshRig, label: str, other: str) -> list[int]:
    """Return what a node says of its link to another, and what it holds it to cost."""
    own = dict(mesh[label].mesh.own.links.items())
    return [own[other], mesh[label].mesh.links[other].cost]


# Bounds


def test_other_bounds_count_for_links_that_are_there_and_those_to_come() -> None:
    rig = Rig()
    client, agent, other = rig.child("c"), rig.child("a1"), rig.peer("s2", ours=True)
    rig.bind(agent, MATH)
    adjust(rig, Limits(calls_in_flight=1, messages_per_s=5), max_hops=3)
    rig.feed(client, make_request(CLIENT))
    [asked] = rig.said(agent)
    assert asked["ttl"] == 2
    rig.feed(client, make_request(CLIENT, corrId="c2", id="e2"))
    assert nack_of(rig.said(client))["code"] == "RATE_LIMITED"
    meters = [rig.session(link).meter for link in (client, other, rig.child("late"))]
    assert [meter.limits.messages_per_s for meter in meters if meter is not None] == [5, 0, 5]
    assert rig.core.state.budget.most_bytes == 2**20
    assert rig.core.table.balance == "random"


def test_more_or_fewer_envelopes_may_wait_for_keys() -> None:
    rig = Rig()
    adjust(rig, Limits(unknown_keys=3, waiting_envelopes=4))
    assert (rig.core.state.parking.most_kids, rig.core.state.parking.most_envelopes) == (3, 4)


# Costs


@pytest.mark.parametrize("cost", [1, 9])
def test_a_cost_changes_at_both_ends_be_it_up_or_down(cost: int) -> None:
    mesh = MeshRig("s1", "s2")
    mesh.join("s1", "s2", cost=5, back=1)
    mesh.run()
    assert costs(mesh, "s2", "s1") == [5, 5]
    link = mesh["s1"].link_to("s2")
    mesh.do(mesh["s1"], mesh["s1"].core.set_cost(link, cost, mesh.now))
    mesh.run()
    assert costs(mesh, "s1", "s2") == costs(mesh, "s2", "s1") == [cost, cost]
    assert mesh["s1"].link_to("s2") is link


def test_the_dearer_opinion_still_counts() -> None:
    mesh = MeshRig("s1", "s2")
    mesh.join("s1", "s2", cost=5, back=3)
    mesh.run()
    mesh.do(mesh["s1"], mesh["s1"].core.set_cost(mesh["s1"].link_to("s2"), 1, mesh.now))
    mesh.run()
    assert costs(mesh, "s1", "s2") == costs(mesh, "s2", "s1") == [3, 3]


def test_calls_take_the_way_that_has_become_the_cheaper_one() -> None:
    mesh = MeshRig("s1", "s2", "s3").ring("s1", "s2", "s3")
    mesh.leaf("a", "s3", MATH)
    assert mesh.way("s1", MATH) == ["s1", "s3"]
    mesh.do(mesh["s1"], mesh["s1"].core.set_cost(mesh["s1"].link_to("s3"), 9, mesh.now))
    mesh.run()
    assert mesh.way("s1", MATH) == ["s1", "s2", "s3"]


def test_a_cost_that_is_none_is_passed_over_and_one_out_of_bounds_is_bounded() -> None:
    rig = Rig()
    peer = rig.peer("s2", ours=True)
    for cost, held in (("5", 1), (0, 1), (10**9, 1_000_000), (True, 1)):
        rig.feed(peer, make_envelope({"type": "NodeHeartbeat"}, meta={"fame.cost": cost}))
        assert peer.cost == held


def test_a_plain_peer_has_no_cost() -> None:
    rig = Rig()
    plain = rig.peer("old")
    rig.feed(plain, make_envelope({"type": "NodeHeartbeat"}, meta={"fame.cost": 7}))
    rig.do(rig.core.set_cost(plain, 8, rig.now))
    assert plain.cost == 1


# Links that go


def test_a_link_that_is_not_wanted_any_more_ends_with_its_last_call() -> None:
    mesh = MeshRig("s1", "s2").chain("s1", "s2")
    mesh.leaf("a", "s2", MATH)
    mesh.leaf("c", "s1")
    key = mesh.call("c", MATH)
    mesh.do(mesh["s1"], mesh["s1"].core.retire(mesh["s1"].link_to("s2"), mesh.now))
    mesh.run()
    assert mesh.way("s1", MATH) == []
    [outcome] = mesh.outcomes("c", mesh.call("c", MATH))
    assert outcome.code == "NO_ROUTE"
    mesh.advance(5)
    [request] = mesh["a"].requests()
    assert request.key is not None
    mesh.do(mesh["a"], mesh["a"].core.reply(request.key, b"7", mesh.now))
    mesh.run()
    assert [outcome.kind for outcome in mesh.outcomes("c", key)] == ["result"]
    mesh.advance(2)
    assert not [link for link, (node, _) in mesh["s1"].ends.items() if node.label == "s2"]
    assert mesh.reach("s2") == set()


def test_the_others_go_around_it() -> None:
    mesh = MeshRig("s1", "s2", "s3").ring("s1", "s2", "s3")
    mesh.leaf("a", "s3", MATH)
    mesh.do(mesh["s1"], mesh["s1"].core.retire(mesh["s1"].link_to("s3"), mesh.now))
    mesh.run()
    assert mesh.way("s1", MATH) == ["s1", "s2", "s3"]
    assert mesh.agree()


def test_a_plain_peer_that_is_not_wanted_any_more_is_left_too() -> None:
    rig = Rig()
    plain = rig.dialed_peer("old")
    rig.bind(plain, MATH)
    rig.do(rig.core.retire(plain, rig.now))
    assert rig.core.table.way_to(MATH) is None
    rig.advance(3)
    assert [(link, code) for link, code, _ in rig.closed()] == [(plain, 1000)]


def test_a_link_that_is_only_being_made_is_given_up_at_once_and_one_that_is_gone_is_no_matter() -> None:
    rig = Rig()
    making = rig.open(LinkKind.PEER, dialed=True)
    rig.do(rig.core.retire(making, rig.now))
    assert [(link, code) for link, code, _ in rig.closed()] == [(making, 1000)]
    assert rig.core.retire(making, rig.now) == []
