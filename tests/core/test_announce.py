"""Announcements: which neighbour without the mesh hears of which name, when, once, and what is taken back."""

from core_rig import Json, Rig, ack_of, frames, make_envelope, types

from fame_cli.core.announce import has_listeners, plain_peer, tell
from fame_cli.core.link import LOCAL, Link, LinkKind

MATH = "math1@fame.fabric"
POOL = "math@*.fame.fabric"


def bind(rig: Rig, link: Link, address: str = MATH) -> None:
    rig.feed(link, make_envelope({"type": "AddressBind", "address": address}))


def unbind(rig: Rig, link: Link, address: str = MATH) -> None:
    rig.feed(link, make_envelope({"type": "AddressUnbind", "address": address}))


def advertise(rig: Rig, link: Link, capabilities: list[str], address: str = MATH) -> None:
    frame: Json = {"type": "CapabilityAdvertise", "capabilities": capabilities, "address": address}
    rig.feed(link, make_envelope(frame))


def told(rig: Rig, link: Link) -> list[Json]:
    """Return the announcements among what was said on a link, as frames."""
    wanted = ("AddressBind", "AddressUnbind", "CapabilityAdvertise", "CapabilityWithdraw")
    messages = rig.said(link)
    return [frame for kind in wanted for frame in frames(messages, kind)]


def with_parent() -> tuple[Rig, Link]:
    """Be a sentinel below a plain one, which leaves it its path."""
    rig = Rig()
    return rig, rig.parent(path="/s1")


# What, to whom


def test_children_and_links_of_the_mesh_are_never_asked_whether_they_are_to_be_told() -> None:
    """A fabric of 10,000 agents would ask each of them whenever one of them binds a name."""
    rig = Rig()
    rig.child("a1", ours=True), rig.child("s3", sentinel=True), rig.dialed_peer("s2", ours=True)
    assert not has_listeners(rig.core.state)
    peer, parent = rig.peer("n1"), rig.parent()
    assert list(rig.core.state.listeners) == [peer, parent]
    rig.do(rig.core.link_closed(peer))
    assert list(rig.core.state.listeners) == [parent]


def test_a_name_of_a_child_is_told_to_plain_peers_and_to_a_plain_parent() -> None:
    rig = Rig()
    peer, parent, agent = rig.peer("n1"), rig.parent(), rig.child("a1")
    rig.advance(1)
    rig.said(parent)
    bind(rig, agent)
    for neighbour in (peer, parent):
        assert told(rig, neighbour) == [{"type": "AddressBind", "address": MATH, "physicalPath": "/root/s1"}]


def test_a_name_of_our_own_is_told_like_a_childs() -> None:
    rig, parent = with_parent()
    rig.do(rig.core.bind(MATH))
    rig.do(rig.core.advertise("cap", MATH))
    assert types(rig.said(parent)) == ["AddressBind", "CapabilityAdvertise"]


def test_a_leaf_tells_its_sentinel() -> None:
    rig = Rig("a1", routes=False)
    rig.do(rig.core.bind(MATH))
    parent = rig.parent("s1", path="/s1/a1", ours=True)
    assert told(rig, parent) == [{"type": "AddressBind", "address": MATH, "physicalPath": "/s1/a1"}]
    rig.do(rig.core.advertise("cap", MATH))
    assert told(rig, parent) == [{"type": "CapabilityAdvertise", "capabilities": ["cap"], "address": MATH}]


def test_a_neighbour_in_the_mesh_is_told_by_records_and_not_by_announcements() -> None:
    rig = Rig()
    peer, below, parent = rig.peer("s2", ours=True), rig.child("s3", sentinel=True), rig.parent(path="/s1", ours=True)
    agent = rig.child("a1")
    assert not has_listeners(rig.core.state)
    bind(rig, agent)
    advertise(rig, agent, ["cap"])
    rig.advance(5)
    rig.do(rig.core.link_closed(agent))
    rig.advance(5)
    assert told(rig, peer) == told(rig, below) == told(rig, parent) == []


def test_a_child_is_never_told_anything() -> None:
    rig = Rig()
    agent, client, ours = rig.child("a1"), rig.child("c"), rig.child("a2", ours=True)
    bind(rig, agent)
    advertise(rig, agent, ["cap"])
    rig.advance(20)
    assert told(rig, client) == told(rig, ours) == []


def test_the_binder_is_not_told_its_own_name() -> None:
    rig = Rig()
    peer = rig.peer("n1")
    rig.advance(2)
    bind(rig, peer)
    rig.advance(5)
    assert told(rig, peer) == []


def test_a_physical_path_is_not_announced() -> None:
    rig, parent = with_parent()
    rig.peer("n1")
    rig.advance(2)
    assert told(rig, parent) == []


def test_an_announcement_wants_an_acknowledgement_at_our_system_inbox() -> None:
    rig = Rig()
    parent = rig.parent()
    rig.do(rig.core.bind(MATH))
    [message] = rig.said(parent)
    assert (message["rtype"], message["replyTo"]) == (1, "__sys__@/root/s1")
    assert {"id", "corrId", "sid", "traceId"} <= set(message)
    assert "to" not in message


def test_a_late_parent_is_told_what_there_is() -> None:
    rig = Rig()
    agent = rig.child("a1")
    bind(rig, agent)
    bind(rig, agent, POOL)
    advertise(rig, agent, ["cap", "cap2"])
    rig.advance(1)
    parent = rig.open(LinkKind.PARENT, dialed=True)
    [attach] = rig.said(parent)
    rig.feed(parent, ack_of(attach, "root", "/root", "/s1"))
    assert told(rig, parent) == [
        {"type": "AddressBind", "address": MATH, "physicalPath": "/s1"},
        {"type": "AddressBind", "address": POOL, "physicalPath": "/s1"},
        {"type": "CapabilityAdvertise", "capabilities": ["cap", "cap2"], "address": MATH},
    ]


# Once, and taken back


def test_a_name_with_two_owners_is_told_once_and_withdrawn_with_the_last() -> None:
    rig, parent = with_parent()
    first, second = rig.child("a1"), rig.child("a2")
    bind(rig, first, POOL)
    bind(rig, second, POOL)
    assert len(told(rig, parent)) == 1
    unbind(rig, first, POOL)
    assert told(rig, parent) == []
    unbind(rig, second, POOL)
    assert told(rig, parent) == [{"type": "AddressUnbind", "address": POOL}]


def test_the_names_of_a_lost_child_are_withdrawn() -> None:
    rig, parent = with_parent()
    agent = rig.child("a1")
    bind(rig, agent)
    advertise(rig, agent, ["cap", "cap2"])
    rig.said(parent)
    rig.do(rig.core.link_closed(agent))
    assert told(rig, parent) == [
        {"type": "AddressUnbind", "address": MATH},
        {"type": "CapabilityWithdraw", "capabilities": ["cap", "cap2"], "address": MATH},
    ]


def test_a_name_that_comes_back_is_told_again() -> None:
    rig, parent = with_parent()
    for _ in range(2):
        rig.do(rig.core.bind(MATH))
        rig.do(rig.core.advertise("cap", MATH))
        assert types(rig.said(parent)) == ["AddressBind", "CapabilityAdvertise"]
        rig.do(rig.core.unbind(MATH))
        rig.do(rig.core.withdraw("cap", MATH))
        assert types(rig.said(parent)) == ["AddressUnbind", "CapabilityWithdraw"]


def test_only_a_parent_is_expected_to_answer() -> None:
    rig = Rig()
    peer, parent = rig.peer("n1"), rig.parent()
    rig.advance(2)
    rig.do(rig.core.bind(MATH))
    assert len(told(rig, peer)) == 1
    assert rig.session(peer).unanswered == {}
    assert list(rig.session(parent).unanswered.values()) == [MATH]


def test_what_was_never_told_is_not_withdrawn() -> None:
    rig = Rig()
    rig.do(rig.core.bind(MATH))
    rig.do(rig.core.unbind(MATH))
    assert told(rig, rig.parent(path="/s1")) == []


# What the mesh has


def test_a_name_of_another_sentinel_is_told_as_if_it_were_ours() -> None:
    rig, parent = with_parent()
    plain, peer = rig.peer("n1"), rig.peer("s2", ours=True)
    rig.advance(2)
    rig.mesh_offer(peer, "s2", {"/s2": 1, MATH: 1, f"cap {MATH}": 1})
    rig.settle()
    rig.call("anything@fame.fabric")
    assert types(rig.said(plain)) == ["AddressBind"]
    assert [frame["type"] for frame in told(rig, parent)] == ["AddressBind", "CapabilityAdvertise"]


def test_a_name_of_a_sentinel_out_of_reach_is_not_told_and_withdrawn_from_who_has_it() -> None:
    rig, parent = with_parent()
    peer = rig.peer("s2", ours=True)
    rig.mesh_offer(peer, "s3", {MATH: 1})
    assert told(rig, parent) == []
    rig.advance(1)
    assert [frame["type"] for frame in told(rig, parent)] == ["AddressBind"]
    rig.do(rig.core.link_closed(peer))
    rig.advance(1)
    assert [frame["type"] for frame in told(rig, parent)] == ["AddressUnbind"]


# Plain Naylence peers


def test_a_plain_peer_hears_nothing_in_its_first_second() -> None:
    rig = Rig()
    agent, peer = rig.child("a1"), rig.peer("n1")
    bind(rig, agent)
    rig.advance(0.99)
    assert told(rig, peer) == []
    rig.advance(1.1)
    assert told(rig, peer) == [{"type": "AddressBind", "address": MATH, "physicalPath": "/s1"}]


def test_a_plain_peer_hears_of_new_names_at_once_after_that() -> None:
    rig = Rig()
    agent, peer = rig.child("a1"), rig.dialed_peer("n1")
    rig.advance(2)
    bind(rig, agent)
    assert len(told(rig, peer)) == 1


def test_a_plain_peer_never_hears_of_capabilities_or_of_an_unbind() -> None:
    rig = Rig()
    agent, peer = rig.child("a1"), rig.peer("n1")
    bind(rig, agent)
    advertise(rig, agent, ["cap"])
    rig.advance(2)
    rig.said(peer)
    advertise(rig, agent, ["cap2"])
    unbind(rig, agent)
    rig.do(rig.core.link_closed(agent))
    assert told(rig, peer) == []


def test_a_plain_peer_that_still_has_a_name_is_not_told_it_again() -> None:
    rig = Rig()
    agent, peer = rig.child("a1"), rig.peer("n1")
    rig.advance(2)
    bind(rig, agent)
    rig.said(peer)
    unbind(rig, agent)
    bind(rig, agent)
    assert told(rig, peer) == []


def test_a_peer_without_the_mesh_is_a_plain_one() -> None:
    assert plain_peer(Link(1, LinkKind.PEER))
    assert plain_peer(Link(1, LinkKind.PEER, extensions=frozenset({"cancel"})))
    assert not plain_peer(Link(1, LinkKind.PEER, extensions=frozenset({"mesh"})))
    assert not plain_peer(Link(1, LinkKind.PARENT))


# Hearsay: what plain peers told us


def plain_peers() -> tuple[Rig, Link, Link]:
    """Be a sentinel with two plain peers whose first second is over."""
    rig = Rig()
    west, east = rig.peer("n1"), rig.peer("n2")
    rig.advance(2)
    return rig, west, east


def test_what_a_plain_peer_says_is_told_to_another_a_second_later() -> None:
    rig, west, east = plain_peers()
    bind(rig, west)
    rig.advance(0.9)
    assert told(rig, east) == []
    rig.advance(0.2)
    assert told(rig, east) == [{"type": "AddressBind", "address": MATH, "physicalPath": "/s1"}]
    rig.advance(5)
    assert told(rig, east) == told(rig, west) == []


def test_a_plain_peer_that_says_it_itself_meanwhile_is_not_told() -> None:
    rig, west, east = plain_peers()
    bind(rig, west)
    rig.advance(0.5)
    bind(rig, east)
    rig.advance(5)
    assert told(rig, east) == told(rig, west) == []


def test_what_a_plain_peer_takes_back_within_the_second_is_told_to_nobody() -> None:
    rig, west, east = plain_peers()
    bind(rig, west)
    unbind(rig, west)
    rig.advance(5)
    assert told(rig, east) == []
    assert rig.core.state.waiting == {}


def test_what_a_plain_peer_said_is_told_to_a_new_one_after_its_own_first_second() -> None:
    rig, west, _ = plain_peers()
    bind(rig, west)
    rig.advance(3)
    late = rig.peer("n3")
    rig.advance(0.9)
    assert told(rig, late) == []
    rig.advance(1.1)
    assert len(told(rig, late)) == 1


def test_what_waits_while_a_new_plain_peer_may_not_hear_yet_is_told_it_later() -> None:
    rig, west, _ = plain_peers()
    rig.advance(0.5)
    bind(rig, west)
    late = rig.peer("n3")
    rig.advance(3)
    assert len(told(rig, late)) == 1


def test_a_plain_parent_hears_at_once_what_a_plain_peer_said() -> None:
    rig, parent = with_parent()
    peer = rig.peer("n1")
    bind(rig, peer)
    advertise(rig, peer, ["cap"])
    assert [frame["type"] for frame in told(rig, parent)] == ["AddressBind", "CapabilityAdvertise"]


def test_what_one_of_us_has_is_no_hearsay_whoever_says_it_too() -> None:
    rig, west, east = plain_peers()
    bind(rig, west)
    bind(rig, rig.child("a1"))
    assert len(told(rig, east)) == len(told(rig, west)) == 1


def test_hearsay_of_another_sentinel_waits_a_second_as_well() -> None:
    rig = Rig()
    plain, peer = rig.peer("n1"), rig.peer("s2", ours=True)
    rig.advance(2)
    rig.mesh_offer(peer, "s2", {"/s2": 1, "/n2": 2, MATH: 2})
    rig.settle()
    rig.advance(0.9)
    assert told(rig, plain) == []
    rig.advance(1.2)
    assert len(told(rig, plain)) == 1


def test_hearsay_of_a_sentinel_that_has_the_same_plain_peer_is_not_told_to_that_peer() -> None:
    """It may be the very peer that said it; the others are told."""
    rig = Rig()
    both, other, peer = rig.peer("n1"), rig.peer("n2"), rig.peer("s2", ours=True)
    rig.advance(2)
    rig.mesh_offer(peer, "s2", {"/s2": 1, "/n1": 2, MATH: 2})
    rig.advance(5)
    assert told(rig, both) == []
    assert len(told(rig, other)) == 1


# One after the other: plain peers may be linked among themselves, where binds that cross make a loop


def echo(rig: Rig, link: Link, path: str, address: str = MATH) -> None:
    """Have a plain peer pass on a bind whose binder is at `path`."""
    rig.feed(link, make_envelope({"type": "AddressBind", "address": address, "physicalPath": path}))


def among_gateways(*others: str) -> tuple[Rig, Link, Link]:
    """Be s1 with a plain peer whose first second is over, and a peer s0 of ours; each of `others` has a plain peer."""
    rig = Rig()
    plain, mesh = rig.peer("n1"), rig.peer("s0", ours=True)
    for name in others:
        rig.mesh_offer(mesh, name, {f"/plain-of-{name}": 2})
    rig.settle()
    rig.advance(5)
    rig.said(plain)
    return rig, plain, mesh


def test_a_name_of_ours_is_told_at_once_whoever_else_has_plain_peers() -> None:
    rig, plain, _ = among_gateways("s0")
    rig.do(rig.core.bind(MATH))
    assert len(told(rig, plain)) == 1


def test_a_name_of_another_sentinel_is_told_at_once_by_the_only_one_with_plain_peers() -> None:
    rig, plain, mesh = among_gateways()
    rig.mesh_offer(mesh, "s0", {MATH: 1})
    rig.settle()
    assert len(told(rig, plain)) == 1


def test_a_name_of_a_sentinel_with_plain_peers_waits_for_it_to_tell_first() -> None:
    rig, plain, mesh = among_gateways("s2")
    rig.mesh_offer(mesh, "s2", {MATH: 1, "/plain-of-s2": 2})
    rig.settle()
    assert told(rig, plain) == []
    rig.advance(1.1)
    assert len(told(rig, plain)) == 1


def test_those_with_smaller_ids_tell_first() -> None:
    rig, plain, mesh = among_gateways("s0", "s00")
    rig.mesh_offer(mesh, "s5", {MATH: 1})
    rig.settle()
    rig.advance(1.5)
    assert told(rig, plain) == []
    rig.advance(1.5)
    assert len(told(rig, plain)) == 1


def test_a_new_plain_peer_waits_for_those_of_smaller_ids_too() -> None:
    rig = Rig()
    mesh = rig.peer("s0", ours=True)
    rig.mesh_offer(mesh, "s0", {"/plain-of-s0": 2})
    rig.settle()
    rig.do(rig.core.bind(MATH))
    plain = rig.peer("n1")
    rig.advance(1.5)
    assert told(rig, plain) == []
    rig.advance(1.5)
    assert len(told(rig, plain)) == 1


def test_a_plain_peer_that_has_a_name_from_another_of_us_is_not_told_it() -> None:
    rig, plain, mesh = among_gateways("s0")
    rig.mesh_offer(mesh, "s0", {MATH: 1, "/plain-of-s0": 2, "/s0": 1})
    echo(rig, plain, "/s0")
    rig.settle()
    rig.advance(5)
    assert told(rig, plain) == []


def test_it_is_told_once_that_other_sentinel_is_out_of_reach() -> None:
    rig, plain, mesh = among_gateways("s0")
    agent = rig.child("a1")
    rig.mesh_offer(mesh, "s0", {"/s0": 1, "/plain-of-s0": 2})
    rig.settle()
    echo(rig, plain, "/s0")
    bind(rig, agent)
    assert told(rig, plain) == []
    rig.do(rig.core.link_closed(mesh))
    rig.advance(2)
    assert len(told(rig, plain)) == 1


# Many at once


def test_many_capabilities_are_told_in_frames_a_sentinel_takes() -> None:
    rig = Rig("a1", routes=False)
    parent = rig.parent("s1", path="/s1/a1", ours=True)
    rig.said(parent)
    for number in range(1200):
        rig.core.table.advertise(f"op:{number}", MATH, LOCAL)
    tell(rig.core.state, list(rig.core.table.names()), rig.now)
    rig.do(rig.core.tick(rig.now))
    parts = [frame["capabilities"] for frame in frames(rig.said(parent), "CapabilityAdvertise")]
    assert [len(part) for part in parts] == [512, 512, 176]
    assert len({capability for part in parts for capability in part}) == 1200


def test_long_capabilities_are_told_in_frames_of_bounded_size() -> None:
    rig = Rig("a1", routes=False)
    parent = rig.parent("s1", path="/s1/a1", ours=True)
    rig.said(parent)
    for number in range(400):
        rig.core.table.advertise(f"{number:0200}", MATH, LOCAL)
    tell(rig.core.state, list(rig.core.table.names()), rig.now)
    rig.do(rig.core.tick(rig.now))
    parts = [frame["capabilities"] for frame in frames(rig.said(parent), "CapabilityAdvertise")]
    assert len(parts) == 3
    assert sum(map(len, parts)) == 400
