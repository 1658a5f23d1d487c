"""What a sentinel says of itself: its record follows its table, hearsay comes last, and conflicts are noted."""

import pytest
from core_rig import MATH, Rig, frames, make_envelope
from mesh_rig import MeshRig

from fame_cli.core.link import Link
from fame_cli.core.record import BOUND, HEARSAY, Mesh

POOL = "math@*.pool.fabric"


def mesh_of(rig: Rig) -> Mesh:
    assert rig.core.state.mesh is not None
    return rig.core.state.mesh


def offers(rig: Rig) -> dict[str, int]:
    """Return what a sentinel says it offers."""
    return dict(mesh_of(rig).own.offers.items())


def bind(rig: Rig, link: Link, address: str, path: str = "") -> None:
    """Have a neighbour bind an address; `path` is where it says that the binder is."""
    rig.feed(link, make_envelope({"type": "AddressBind", "address": address, "physicalPath": path}))


# Our own record


def test_a_sentinel_begins_as_a_root_that_offers_its_path() -> None:
    assert offers(Rig()) == {"/s1": BOUND}


def test_what_is_here_or_at_a_child_is_first_hand() -> None:
    rig = Rig()
    rig.do(rig.core.bind(MATH))
    rig.do(rig.core.advertise("add", MATH))
    bind(rig, rig.child("a1"), POOL)
    assert offers(rig) == {"/s1": BOUND, MATH: BOUND, f"add {MATH}": BOUND, POOL: BOUND}


def test_what_a_plain_peer_tells_is_hearsay_and_so_is_its_path() -> None:
    rig = Rig()
    bind(rig, rig.peer("old"), MATH)
    assert offers(rig) == {"/s1": BOUND, "/old": HEARSAY, MATH: HEARSAY}


def test_a_plain_parent_is_the_way_to_whatever_nobody_else_has() -> None:
    rig = Rig()
    rig.parent("root", path="/root/s1")
    assert offers(rig) == {"/root/s1": BOUND, "/": HEARSAY}


def test_what_the_mesh_tells_is_no_offer_of_ours() -> None:
    rig = Rig()
    rig.mesh_offer(rig.peer("s2", ours=True), "s2", {MATH: BOUND})
    assert offers(rig) == {"/s1": BOUND}


def test_what_leaves_is_offered_no_longer() -> None:
    rig = Rig()
    agent, plain = rig.child("a1"), rig.peer("old")
    bind(rig, agent, MATH)
    bind(rig, plain, POOL)
    rig.do(rig.core.link_closed(agent))
    rig.do(rig.core.link_closed(plain))
    assert offers(rig) == {"/s1": BOUND}


def test_a_name_that_falls_to_another_owner_becomes_what_that_is_worth() -> None:
    rig = Rig()
    agent, plain = rig.child("a1"), rig.peer("old")
    bind(rig, plain, POOL)
    bind(rig, agent, POOL)
    assert offers(rig)[POOL] == BOUND
    rig.do(rig.core.link_closed(agent))
    assert offers(rig)[POOL] == HEARSAY


def test_another_id_begins_another_record_with_the_same_names() -> None:
    rig = Rig()
    rig.do(rig.core.bind(MATH))
    mesh_of(rig).outdone["x"] = 3
    rig.do(rig.core.rename("s9"))
    assert (mesh_of(rig).own.node_id, offers(rig)) == ("s9", {"/s9": BOUND, MATH: BOUND})
    assert (mesh_of(rig).outdone, mesh_of(rig).stale) == ({}, True)


def test_a_node_that_does_not_route_only_tells_its_sentinel() -> None:
    rig = Rig("a1", routes=False)
    sentinel = rig.parent("s1", path="/s1/a1", ours=True)
    rig.do(rig.core.bind(MATH))
    assert rig.core.state.mesh is None
    [told] = frames(rig.said(sentinel), "AddressBind")
    assert told["address"] == MATH


# Hearsay


def test_an_echo_of_what_one_of_us_has_is_not_learned() -> None:
    """A plain peer repeats what it heard, and the path it gives is that of the owner."""
    rig = Rig()
    plain = rig.peer("old")
    rig.mesh_offer(rig.peer("s2", ours=True), "s2", {MATH: BOUND, "/s2": BOUND})
    bind(rig, plain, MATH, path="/s2")
    assert rig.core.table.ways(MATH) == (mesh_of(rig).records["s2"].bound,)
    assert MATH not in offers(rig)


def test_what_a_plain_peer_has_itself_is_kept_beside_what_one_of_us_has() -> None:
    rig = Rig()
    plain, agent = rig.peer("old"), rig.child("a1")
    bind(rig, plain, MATH, path="/old/a9")
    bind(rig, agent, MATH)
    assert rig.core.table.find(MATH, plain) is agent
    assert offers(rig)[MATH] == BOUND
    rig.do(rig.core.link_closed(agent))
    assert rig.core.table.ways(MATH) == (plain,)
    assert offers(rig)[MATH] == HEARSAY


def test_hearsay_of_two_neighbours_is_kept_side_by_side() -> None:
    rig = Rig()
    plain = rig.peer("old")
    bind(rig, plain, MATH)
    rig.mesh_offer(rig.peer("s2", ours=True), "s2", {MATH: HEARSAY})
    assert rig.core.table.ways(MATH) == (plain, mesh_of(rig).records["s2"].hearsay)


def test_a_name_that_a_plain_peer_tells_of_leads_to_the_first_hand_owner_however_far() -> None:
    """The plain peer is right here and the owner is four links away."""
    mesh = MeshRig("s1", "s2", "s3", "s4", "s5").chain("s1", "s2", "s3", "s4", "s5")
    mesh.bind("s5", MATH)
    mesh.run()
    core = mesh["s1"].core
    core.table.bind(MATH, Link(99, mesh["s1"].link_to("s2").kind, remote_id="old"))
    assert mesh.way("s1", MATH) == ["s1", "s2", "s3", "s4", "s5"]


# Conflicts


def conflicts(mesh: MeshRig, label: str) -> list[object]:
    return [note.facts for note in mesh[label].noted("address_conflict")]


def test_an_address_with_two_owners_is_noted_at_both() -> None:
    mesh = MeshRig("s1", "s2", "s3").chain("s1", "s2", "s3")
    mesh.bind("s1", MATH)
    mesh.advance(2)
    mesh.bind("s3", MATH)
    mesh.run()
    assert conflicts(mesh, "s1") == [{"address": MATH, "nodes": ["s3"]}]
    assert conflicts(mesh, "s3") == [{"address": MATH, "nodes": ["s1"]}]
    assert conflicts(mesh, "s2") == []


def test_it_is_noted_when_the_owners_meet_and_when_they_meet_again() -> None:
    mesh = MeshRig("s1", "s2", "s3")
    mesh.bind("s1", MATH)
    mesh.bind("s3", MATH)
    mesh.chain("s1", "s2", "s3")
    mesh.advance(2)
    assert conflicts(mesh, "s1") == [{"address": MATH, "nodes": ["s3"]}]
    assert conflicts(mesh, "s3") == [{"address": MATH, "nodes": ["s1"]}]
    mesh.cut("s1", "s2")
    mesh.advance(2)
    mesh.forget()
    mesh.chain("s1", "s2")
    mesh.advance(2)
    assert len(conflicts(mesh, "s1")) == len(conflicts(mesh, "s3")) == 1


def test_who_is_out_of_reach_is_in_no_conflict() -> None:
    mesh = MeshRig("s1", "s2").chain("s1", "s2")
    mesh.bind("s2", MATH)
    mesh.run()
    mesh.cut("s1", "s2")
    mesh.bind("s1", MATH)
    mesh.advance(2)
    assert conflicts(mesh, "s1") == []


@pytest.mark.parametrize("name", [POOL, f"add {MATH}"])
def test_what_may_have_many_owners_is_in_no_conflict(name: str) -> None:
    mesh = MeshRig("s1", "s2").chain("s1", "s2")
    mesh.bind("s1", name)
    mesh.bind("s2", name)
    mesh.advance(2)
    assert conflicts(mesh, "s1") == conflicts(mesh, "s2") == []


def test_hearsay_is_in_no_conflict_with_the_owner() -> None:
    rig = Rig()
    rig.mesh_offer(rig.peer("s2", ours=True), "s2", {MATH: HEARSAY})
    rig.do(rig.core.bind(MATH))
    rig.advance(2)
    assert rig.noted("address_conflict") == []


def test_who_goes_in_good_order_says_goodbye_and_is_forgotten_at_once() -> None:
    mesh = MeshRig("s1", "s2", "s3")
    mesh.chain("s1", "s2", "s3")
    mesh.bind("s3", MATH)
    mesh.run()
    leaver = mesh.nodes["s3"]
    mesh.do(leaver, leaver.core.drain())
    mesh.advance(3)
    for name in ("s1", "s2"):
        table = mesh.nodes[name].core.table
        assert "s3" not in table.origins
        assert table.ways(MATH) == ()


def test_a_leaf_has_nobody_to_say_goodbye_to() -> None:
    rig = Rig("c", routes=False)
    parent = rig.parent("s1", path="/s1/c", ours=True)
    rig.said(parent)
    rig.do(rig.core.drain())
    assert rig.said(parent) == []
