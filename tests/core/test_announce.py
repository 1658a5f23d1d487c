"""Announcements: who hears of which name, when, once, and that every one of them is taken back."""

import pytest
from core_rig import Json, Rig, ack_of, frames, make_envelope, types

from fame_cli.core.announce import is_announceable, plain_peer
from fame_cli.core.link import Link, LinkKind
from fame_cli.errors import RemoteProtocolError

MATH = "math1@fame.fabric"


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


# What, to whom


def test_a_name_of_a_child_is_told_to_our_peers_and_to_the_parent() -> None:
    rig = Rig()
    peer, parent, agent = rig.peer("s2", ours=True), rig.parent(), rig.child("a1")
    bind(rig, agent)
    for neighbour in (peer, parent):
        assert told(rig, neighbour) == [{"type": "AddressBind", "address": MATH, "physicalPath": "/root/s1"}]


def test_a_name_of_our_own_is_told_like_a_childs() -> None:
    rig = Rig()
    peer = rig.peer("s2", ours=True)
    rig.do(rig.core.bind(MATH))
    rig.do(rig.core.advertise("cap", MATH))
    assert types(rig.said(peer)) == ["AddressBind", "CapabilityAdvertise"]


def test_a_child_is_never_told_anything() -> None:
    rig = Rig()
    agent, client, ours = rig.child("a1"), rig.child("c"), rig.child("a2", ours=True)
    bind(rig, agent)
    advertise(rig, agent, ["cap"])
    rig.advance(20)
    assert told(rig, client) == told(rig, ours) == []


def test_the_binder_is_not_told_its_own_name() -> None:
    rig = Rig()
    peer = rig.peer("s2", ours=True)
    bind(rig, peer)
    assert told(rig, peer) == []


def test_a_name_of_a_peer_is_told_to_the_parent_but_to_no_other_peer() -> None:
    rig = Rig()
    west, east, parent = rig.peer("s2", ours=True), rig.peer("s3", ours=True), rig.parent()
    bind(rig, west)
    assert told(rig, east) == []
    assert len(told(rig, parent)) == 1


def test_an_announcement_wants_an_acknowledgement_at_our_system_inbox() -> None:
    rig = Rig()
    parent = rig.parent()
    rig.do(rig.core.bind(MATH))
    [message] = rig.said(parent)
    assert (message["rtype"], message["replyTo"]) == (1, "__sys__@/root/s1")
    assert {"id", "corrId", "sid", "traceId"} <= set(message)
    assert "to" not in message


def test_a_late_peer_is_told_what_there_is() -> None:
    rig = Rig()
    agent = rig.child("a1")
    bind(rig, agent)
    bind(rig, agent, "math@*.fame.fabric")
    advertise(rig, agent, ["cap", "cap2"])
    rig.advance(1)
    peer = rig.open(LinkKind.PEER, dialed=True)
    [attach] = rig.said(peer)
    rig.feed(peer, ack_of(attach, "s2", "/s2", None, ours=True))
    assert told(rig, peer) == [
        {"type": "AddressBind", "address": MATH, "physicalPath": "/s1"},
        {"type": "AddressBind", "address": "math@*.fame.fabric", "physicalPath": "/s1"},
        {"type": "CapabilityAdvertise", "capabilities": ["cap", "cap2"], "address": MATH},
    ]


# Once, and taken back


def test_a_name_with_two_owners_is_told_once_and_withdrawn_with_the_last() -> None:
    rig = Rig()
    peer = rig.peer("s2", ours=True)
    first, second = rig.child("a1"), rig.child("a2")
    pool = "math@*.fame.fabric"
    bind(rig, first, pool)
    bind(rig, second, pool)
    assert len(told(rig, peer)) == 1
    unbind(rig, first, pool)
    assert told(rig, peer) == []
    unbind(rig, second, pool)
    assert told(rig, peer) == [{"type": "AddressUnbind", "address": pool}]


def test_the_names_of_a_lost_child_are_withdrawn() -> None:
    rig = Rig()
    peer, agent = rig.peer("s2", ours=True), rig.child("a1")
    bind(rig, agent)
    advertise(rig, agent, ["cap", "cap2"])
    rig.said(peer)
    rig.do(rig.core.link_closed(agent))
    assert told(rig, peer) == [
        {"type": "AddressUnbind", "address": MATH},
        {"type": "CapabilityWithdraw", "capabilities": ["cap", "cap2"], "address": MATH},
    ]


def test_a_name_whose_only_other_owner_is_the_listener_is_withdrawn_from_it() -> None:
    rig = Rig()
    peer, agent = rig.peer("s2", ours=True), rig.child("a1")
    bind(rig, agent)
    bind(rig, peer)
    rig.said(peer)
    unbind(rig, agent)
    assert told(rig, peer) == [{"type": "AddressUnbind", "address": MATH}]


def test_a_name_that_comes_back_is_told_again() -> None:
    rig = Rig()
    peer = rig.peer("s2", ours=True)
    for _ in range(2):
        rig.do(rig.core.bind(MATH))
        rig.do(rig.core.advertise("cap", MATH))
        assert types(rig.said(peer)) == ["AddressBind", "CapabilityAdvertise"]
        rig.do(rig.core.unbind(MATH))
        rig.do(rig.core.withdraw("cap", MATH))
        assert types(rig.said(peer)) == ["AddressUnbind", "CapabilityWithdraw"]


def test_only_a_parent_is_expected_to_answer() -> None:
    rig = Rig()
    peer, parent = rig.peer("s2", ours=True), rig.parent()
    rig.do(rig.core.bind(MATH))
    assert rig.session(peer).unanswered == {}
    assert list(rig.session(parent).unanswered.values()) == [MATH]


def test_what_was_never_told_is_not_withdrawn() -> None:
    rig = Rig()
    west, east = rig.peer("s2", ours=True), rig.peer("s3", ours=True)
    bind(rig, west)
    unbind(rig, west)
    assert told(rig, east) == []


# Plain Naylence peers


def test_a_plain_peer_hears_nothing_in_its_first_second() -> None:
    rig = Rig()
    agent, peer = rig.child("a1"), rig.peer("s2")
    bind(rig, agent)
    rig.advance(0.99)
    assert told(rig, peer) == []
    rig.advance(1.1)
    assert told(rig, peer) == [{"type": "AddressBind", "address": MATH, "physicalPath": "/s1"}]


def test_a_plain_peer_hears_of_new_names_at_once_after_that() -> None:
    rig = Rig()
    agent, peer = rig.child("a1"), rig.dialed_peer("s2")
    rig.advance(2)
    bind(rig, agent)
    assert len(told(rig, peer)) == 1


def test_a_plain_peer_never_hears_of_capabilities_or_of_an_unbind() -> None:
    rig = Rig()
    agent, peer = rig.child("a1"), rig.peer("s2")
    bind(rig, agent)
    advertise(rig, agent, ["cap"])
    rig.advance(2)
    rig.said(peer)
    unbind(rig, agent)
    rig.do(rig.core.link_closed(agent))
    assert told(rig, peer) == []


def test_a_plain_peer_that_still_has_a_name_is_not_told_it_again() -> None:
    rig = Rig()
    agent, peer = rig.child("a1"), rig.peer("s2")
    rig.advance(2)
    bind(rig, agent)
    rig.said(peer)
    unbind(rig, agent)
    bind(rig, agent)
    assert told(rig, peer) == []


def test_a_peer_that_does_not_negotiate_announcements_is_a_plain_one() -> None:
    assert plain_peer(Link(1, LinkKind.PEER))
    assert plain_peer(Link(1, LinkKind.PEER, extensions=frozenset({"cancel"})))
    assert not plain_peer(Link(1, LinkKind.PEER, extensions=frozenset({"announce"})))
    assert not plain_peer(Link(1, LinkKind.PARENT))


# What may be announced at all


@pytest.mark.parametrize("address", [MATH, "math@*.fame.fabric"])
def test_logical_and_pool_addresses_may_be_announced(address: str) -> None:
    assert is_announceable(address)


@pytest.mark.parametrize("address", ["__sys__@/s1", "x@/s1/a1", "__rpc__abc@fame.fabric", "x@fame.fabric/s1"])
def test_physical_and_reserved_addresses_may_not(address: str) -> None:
    assert not is_announceable(address)


def test_what_is_no_address_cannot_be_asked_about() -> None:
    with pytest.raises(RemoteProtocolError):
        is_announceable("nonsense")
