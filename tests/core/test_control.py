"""Control frames: attaching, namesakes, duplicates, heartbeats, binding, and what the end of a link brings with it."""

import pytest
from core_rig import Json, Rig, ack_of, attach_of, frames, make_envelope, make_request, offer_of, types

from fame_cli.core.control import MAX_CAPABILITIES
from fame_cli.core.effects import BindAnswered, LinkAttached, LinkRefused
from fame_cli.core.link import Link, LinkKind
from fame_cli.core.session import State
from fame_cli.core.state import EXTENSIONS

MATH = "math1@fame.fabric"


def bind_frame(address: str = MATH) -> Json:
    return make_envelope({"type": "AddressBind", "address": address}, id="b1", corrId="k1", replyTo="__sys__@/s1/a1")


def only_frame(messages: list[Json]) -> dict[str, object]:
    [message] = messages
    frame = message["frame"]
    assert isinstance(frame, dict)
    return frame


# Attach, accepting


def test_an_attach_is_answered_with_everything_the_child_needs() -> None:
    rig = Rig()
    link = rig.open(LinkKind.CHILD, "a1")
    rig.feed(link, attach_of("a1", LinkKind.CHILD))
    [ack] = rig.said(link)
    assert ack["corrId"] == "attach-corr"
    assert ack["traceId"] == "t1"
    frame = only_frame([ack])
    epoch = frame.pop("routingEpoch")
    assert isinstance(epoch, str)
    assert len(epoch) == 16
    assert frame == {
        "type": "NodeAttachAck",
        "ok": True,
        "refId": "attach",
        "targetSystemId": "s1",
        "assignedPath": "/s1/a1",
        "targetPhysicalPath": "/s1",
    }
    assert not {"to", "sid", "meta", "replyTo"} & set(ack)
    assert LinkAttached(link) in rig.log


def test_a_peer_is_told_its_own_root_path() -> None:
    rig = Rig()
    link = rig.open(LinkKind.PEER, "s2")
    rig.feed(link, attach_of("s2", LinkKind.PEER))
    assert only_frame(rig.said(link))["assignedPath"] == "/s2"
    assert link.remote_path == "/s2"


def test_every_attach_gets_a_fresh_epoch_because_the_old_bindings_are_gone() -> None:
    rig = Rig()
    first = rig.session(rig.child("a1")).epoch
    assert rig.session(rig.child("a1")).epoch != first


def test_our_extensions_are_offered_only_to_whoever_offers_some() -> None:
    rig = Rig()
    link = rig.open(LinkKind.CHILD, "a1")
    rig.feed(link, attach_of("a1", LinkKind.CHILD, ours=True))
    [ack] = rig.said(link)
    assert ack["meta"] == offer_of("instance-of-s1")
    assert link.extensions == frozenset(EXTENSIONS)


@pytest.mark.parametrize(
    ("meta", "extensions"),
    [
        ({}, set()),
        ({"fame.ext": None}, set()),
        ({"fame.ext": "cancel"}, set()),
        ({"fame.ext": {"cancel": 1}}, set()),
        ({"fame.ext": [5, None, ["cancel"], {}]}, set()),
        ({"fame.ext": ["cancel", "teleport", 7]}, {"cancel"}),
    ],
)
def test_odd_offers_count_as_none(meta: Json, extensions: set[str]) -> None:
    rig = Rig()
    link = rig.open(LinkKind.CHILD, "a1")
    rig.feed(link, attach_of("a1", LinkKind.CHILD, meta=meta))
    assert rig.session(link).is_open
    assert link.extensions == extensions


@pytest.mark.parametrize(
    ("extensions", "window", "taken"),
    [
        (["window"], 256, 256),
        (["window"], 1, 32),
        (["window"], -(2**62), 32),
        (["window"], 2**62, 65_536),
        (["window"], "256", 32),
        (["window"], 256.5, 32),
        (["window"], None, 32),
        (["cancel"], 256, 32),
    ],
)
def test_a_window_is_taken_within_bounds_and_only_when_negotiated(
    extensions: list[str], window: object, taken: int
) -> None:
    rig = Rig()
    link = rig.open(LinkKind.CHILD, "a1")
    rig.feed(link, attach_of("a1", LinkKind.CHILD, meta={"fame.ext": extensions, "fame.window": window}))
    assert rig.session(link).flow.send_window == taken


def test_a_refused_attach_is_answered_and_the_link_closed() -> None:
    rig = Rig()
    link = rig.open(LinkKind.CHILD, "a1")
    rig.feed(link, attach_of("somebody-else", LinkKind.CHILD))
    frame = only_frame(rig.said(link))
    assert (frame["ok"], frame["code"], frame["refId"]) == (False, "INVALID_ATTACH", "attach")
    assert rig.closed() == [(link, 1008, "attach-unauthorized")]
    assert rig.core.sessions() == []


# Namesakes and duplicates, accepting


def test_namesake_children_of_ours_get_distinct_paths() -> None:
    rig = Rig()
    first, second = rig.child("a1", ours=True, instance="one"), rig.child("a1", ours=True, instance="two")
    assert first.remote_path == "/s1/a1"
    assert second.remote_path.startswith("/s1/a1-")
    assert rig.core.table.find(f"x@{second.remote_path}", first) is second
    assert rig.closed() == []


def test_the_same_instance_takes_the_place_of_its_old_link() -> None:
    rig = Rig()
    old = rig.child("a1", ours=True, instance="one")
    new = rig.child("a1", ours=True, instance="one")
    assert rig.closed() == [(old, 1000, "replaced by a newer link")]
    assert new.remote_path == "/s1/a1"


def test_a_namesake_takes_the_place_of_its_own_old_link_too() -> None:
    """Otherwise its address would stay with the dead link for as long as that isn't noticed."""
    rig = Rig()
    rig.child("a1", ours=True, instance="one")
    old = rig.child("a1", ours=True, instance="two")
    rig.bind(old, MATH)
    new = rig.child("a1", ours=True, instance="two")
    assert rig.closed() == [(old, 1000, "replaced by a newer link")]
    rig.feed(new, bind_frame())
    assert only_frame(rig.said(new))["ok"] is True


def test_a_plain_child_takes_the_place_of_whoever_has_its_id() -> None:
    rig = Rig()
    old = rig.child("a1", instance="one")
    new = rig.child("a1", instance="two")
    assert rig.closed() == [(old, 1000, "replaced by a newer link")]
    assert rig.core.table.children == {"a1": new}


def test_a_namesake_sentinel_is_refused() -> None:
    rig = Rig()
    known = rig.peer("s2", ours=True, instance="one")
    link = rig.open(LinkKind.PEER, "s2")
    rig.feed(link, attach_of("s2", LinkKind.PEER, ours=True, instance="two"))
    assert only_frame(rig.said(link))["code"] == "ID_TAKEN"
    assert rig.core.table.peers == {"s2": known}


def test_a_peer_that_dials_again_takes_the_place_of_its_old_link() -> None:
    rig = Rig()
    old = rig.peer("s2", ours=True)
    new = rig.peer("s2", ours=True)
    assert rig.closed() == [(old, 1000, "replaced by a newer link")]
    assert rig.core.table.peers == {"s2": new}


def test_of_two_links_the_one_dialled_by_the_smaller_id_stays_when_we_are_the_smaller() -> None:
    rig = Rig("s1")
    ours = rig.dialed_peer("s2", ours=True)
    theirs = rig.open(LinkKind.PEER, "s2")
    rig.feed(theirs, attach_of("s2", LinkKind.PEER, ours=True))
    assert only_frame(rig.said(theirs))["code"] == "DUPLICATE_LINK"
    assert rig.core.table.peers == {"s2": ours}


def test_of_two_links_the_one_dialled_by_the_smaller_id_stays_when_they_are_the_smaller() -> None:
    rig = Rig("s2")
    ours = rig.dialed_peer("s1", ours=True)
    theirs = rig.peer("s1", ours=True)
    assert rig.closed() == [(ours, 1000, "replaced by a newer link")]
    assert rig.core.table.peers == {"s1": theirs}


# Attach, dialling


def test_a_dialled_link_attaches_at_once() -> None:
    rig = Rig()
    link = rig.open(LinkKind.PEER, dialed=True)
    [attach] = rig.said(link)
    assert attach["meta"] == offer_of("instance-of-s1")
    assert only_frame([attach]) == {
        "type": "NodeAttach",
        "originType": "peer",
        "systemId": "s1",
        "instanceId": "instance-of-s1",
        "acceptedLogicals": ["*"],
    }
    assert not {"sid", "to", "replyTo"} & set(attach)


def test_a_leaf_takes_the_path_its_sentinel_gives_it() -> None:
    rig = Rig("c", routes=False)
    link = rig.parent("s1", path="/s1/c-ab12", ours=True)
    assert rig.core.table.path == "/s1/c-ab12"
    assert (link.remote_id, link.remote_path, link.instance_id) == ("s1", "/s1", "instance-of-s1")


def test_a_dialled_neighbour_that_offers_extensions_is_one_of_ours() -> None:
    rig = Rig()
    link = rig.dialed_peer("s2", ours=True)
    assert link.extensions == frozenset(EXTENSIONS)
    assert rig.session(link).flow.send_window == 256
    assert not rig.dialed_peer("s3").is_ours


def test_an_answer_to_somebody_elses_attach_is_passed_over() -> None:
    """A Naylence sentinel with two outbound peers crosses its answers (spec 9.1)."""
    rig = Rig()
    link = rig.open(LinkKind.PEER, dialed=True)
    [attach] = rig.said(link)
    rig.feed(link, ack_of(attach | {"corrId": "another"}, "s2", "/s2", None))
    assert not rig.session(link).is_open
    rig.feed(link, ack_of(attach, "s2", "/s2", None))
    assert rig.session(link).is_open


def test_a_refusal_is_handed_on_with_its_code() -> None:
    rig = Rig("c", routes=False)
    link = rig.open(LinkKind.PARENT, dialed=True)
    frame: Json = {"type": "NodeAttachAck", "ok": False, "code": "ID_TAKEN", "reason": "no"}
    rig.feed(link, make_envelope(frame))
    assert LinkRefused(link, "ID_TAKEN", "no") in rig.log
    assert rig.closed() == [(link, 1000, "")]


def test_a_refusal_without_code_or_reason_still_says_something() -> None:
    rig = Rig("c", routes=False)
    link = rig.open(LinkKind.PARENT, dialed=True)
    rig.feed(link, make_envelope({"type": "NodeAttachAck", "ok": False}))
    [refused] = [effect for effect in rig.log if isinstance(effect, LinkRefused)]
    assert refused.code == "REFUSED"
    assert refused.reason


@pytest.mark.parametrize(
    "changes",
    [
        {"targetSystemId": None},
        {"targetPhysicalPath": None},
        {"assignedPath": None},
        {"assignedPath": ""},
        {"assignedPath": "no path"},
        {"assignedPath": "/"},
        {"assignedPath": "/s1/a b"},
        {"targetPhysicalPath": "nowhere@all"},
        {"targetSystemId": "a/b"},
    ],
)
def test_an_answer_without_a_usable_path_or_id_is_no_answer(changes: Json) -> None:
    rig = Rig("c", routes=False)
    link = rig.open(LinkKind.PARENT, dialed=True)
    [attach] = rig.said(link)
    ack = ack_of(attach, "s1", "/s1", "/s1/c")
    frame = ack["frame"]
    assert isinstance(frame, dict)
    rig.feed(link, ack | {"frame": {k: v for k, v in (frame | changes).items() if v is not None}})
    assert [effect.code for effect in rig.log if isinstance(effect, LinkRefused)] == ["INVALID_ACK"]
    assert rig.core.table.path == ""


def test_a_dialled_peer_that_is_linked_already_is_given_up_by_the_greater_id() -> None:
    rig = Rig("s2")
    link = rig.open(LinkKind.PEER, dialed=True)
    [attach] = rig.said(link)
    theirs = rig.peer("s1", ours=True)
    rig.feed(link, ack_of(attach, "s1", "/s1", None, ours=True))
    assert LinkRefused(link, "DUPLICATE_LINK", "s1 is linked already") in rig.log
    assert rig.core.table.peers == {"s1": theirs}


def test_a_dialled_peer_that_is_linked_already_replaces_it_at_the_smaller_id() -> None:
    rig = Rig("s1")
    link = rig.open(LinkKind.PEER, dialed=True)
    [attach] = rig.said(link)
    theirs = rig.peer("s2", ours=True)
    rig.feed(link, ack_of(attach, "s2", "/s2", None, ours=True))
    assert rig.closed() == [(theirs, 1000, "replaced by a newer link")]
    assert rig.core.table.peers == {"s2": link}


@pytest.mark.parametrize("name", ["s0", "s2"])
def test_a_peer_that_we_dial_twice_keeps_the_newer_link_as_it_does_itself(name: str) -> None:
    """The accepting side closes its older link; refusing the newer one here would leave none."""
    rig = Rig("s1")
    old = rig.dialed_peer(name, ours=True)
    new = rig.dialed_peer(name, ours=True)
    assert rig.closed() == [(old, 1000, "replaced by a newer link")]
    assert rig.core.table.peers == {name: new}


@pytest.mark.parametrize("dialed", [False, True])
def test_a_dialled_sentinel_with_the_id_of_one_that_is_attached_is_given_up(dialed: bool) -> None:
    rig = Rig("s1")
    attach = rig.dialed_peer if dialed else rig.peer
    known = attach("s2", ours=True, instance="one")
    twin = rig.dialed_peer("s2", ours=True, instance="two")
    assert [effect.code for effect in rig.log if isinstance(effect, LinkRefused)] == ["NAMESAKE"]
    assert rig.closed() == [(twin, 1000, "duplicate link")]
    assert rig.core.table.peers == {"s2": known}


def test_a_plain_peer_that_dialled_us_is_replaced_by_our_link_to_it() -> None:
    """Its answer to our attach names no process, so the newer link counts, as it does on its side (spec 9.1)."""
    rig = Rig("s1")
    old = rig.peer("s2")
    new = rig.dialed_peer("s2")
    assert rig.closed() == [(old, 1000, "replaced by a newer link")]
    assert rig.core.table.peers == {"s2": new}


def test_children_must_attach_anew_when_the_path_above_them_changes() -> None:
    rig = Rig("s1")
    child = rig.child("a1")
    rig.parent(path="/root/s1")
    assert rig.closed() == [(child, 1000, "the sentinel's path changed")]
    again = rig.child("a1")
    assert again.remote_path == "/root/s1/a1"


def test_children_stay_when_the_path_above_them_does_not_change() -> None:
    rig = Rig("s1")
    rig.parent(path="/root/s1")
    child = rig.child("a1")
    rig.parent(path="/root/s1")
    assert rig.session(child).is_open


# Heartbeats and epochs


def test_a_heartbeat_is_answered_with_the_epoch() -> None:
    rig = Rig()
    link = rig.child("a1")
    rig.feed(link, make_envelope({"type": "NodeHeartbeat"}, id="h1", corrId="k", traceId="t9"))
    [ack] = rig.said(link)
    assert (ack["corrId"], ack["traceId"]) == ("k", "t9")
    assert only_frame([ack]) == {
        "type": "NodeHeartbeatAck",
        "ok": True,
        "refId": "h1",
        "routingEpoch": rig.session(link).epoch,
    }


def test_a_new_epoch_has_everything_announced_again() -> None:
    rig = Rig("a1", routes=False)
    rig.do(rig.core.bind(MATH))
    parent = rig.parent("s1", path="/s1/a1")
    assert types(rig.said(parent)) == ["AddressBind"]
    rig.feed(parent, make_envelope({"type": "NodeHeartbeatAck", "ok": True, "routingEpoch": "epoch-1"}))
    assert rig.said(parent) == []
    rig.feed(parent, make_envelope({"type": "NodeHeartbeatAck", "ok": True, "routingEpoch": "epoch-2"}))
    assert types(rig.said(parent)) == ["AddressBind"]


def test_an_acknowledged_heartbeat_without_epoch_changes_nothing() -> None:
    rig = Rig("a1", routes=False)
    rig.do(rig.core.bind(MATH))
    parent = rig.parent("s1", path="/s1/a1")
    rig.said(parent)
    rig.feed(parent, make_envelope({"type": "NodeHeartbeatAck", "ok": True}))
    assert rig.said(parent) == []


def test_a_child_cannot_make_us_announce_again() -> None:
    rig = Rig()
    child = rig.child("a1")
    rig.feed(child, make_envelope({"type": "NodeHeartbeatAck", "ok": True, "routingEpoch": "new"}))
    assert rig.said(child) == []


# Binding


def test_a_bind_of_a_child_is_acknowledged_the_way_the_original_does() -> None:
    rig = Rig()
    link = rig.child("a1")
    rig.feed(link, bind_frame())
    [ack] = rig.said(link)
    assert (ack["corrId"], ack["traceId"]) == ("k1", "t1")
    assert "to" not in ack
    assert only_frame([ack]) == {"type": "AddressBindAck", "ok": True, "refId": "b1", "address": MATH}


def test_an_address_of_another_child_is_taken() -> None:
    rig = Rig()
    rig.bind(rig.child("a1"), MATH)
    second = rig.child("a2")
    rig.feed(second, bind_frame())
    frame = only_frame(rig.said(second))
    assert (frame["ok"], frame["code"], frame["refId"]) == (False, "ADDRESS_TAKEN", "b1")
    assert "a1" in str(frame["reason"])


def test_an_address_of_this_node_is_taken() -> None:
    rig = Rig()
    rig.do(rig.core.bind(MATH))
    child = rig.child("a1")
    rig.feed(child, bind_frame())
    assert only_frame(rig.said(child))["code"] == "ADDRESS_TAKEN"


def test_an_address_behind_a_peer_may_be_bound_nearer() -> None:
    rig = Rig()
    rig.bind(rig.peer("s2"), MATH)
    child = rig.child("a1")
    rig.feed(child, bind_frame())
    assert only_frame(rig.said(child))["ok"] is True
    assert rig.core.table.links(MATH)[0] is child


def test_binding_ones_own_address_again_is_fine() -> None:
    rig = Rig()
    child = rig.child("a1")
    rig.feed(child, bind_frame())
    rig.feed(child, bind_frame())
    assert [frame["ok"] for frame in frames(rig.said(child), "AddressBindAck")] == [True, True]


def test_a_pool_has_many_members() -> None:
    rig = Rig()
    for name in ("a1", "a2"):
        child = rig.child(name)
        rig.feed(child, bind_frame("math@*.fame.fabric"))
        assert only_frame(rig.said(child))["ok"] is True


def test_a_bind_over_a_peer_link_is_not_acknowledged() -> None:
    rig = Rig()
    peer = rig.peer("s2")
    rig.feed(peer, bind_frame())
    assert rig.said(peer) == []
    assert rig.core.table.links(MATH) == (peer,)


def test_a_refused_bind_over_a_peer_link_is_noted() -> None:
    rig = Rig()
    peer = rig.peer("s2")
    rig.feed(peer, bind_frame("__sys__@/s1"))
    assert rig.said(peer) == []
    assert rig.noted("announcement_refused")


@pytest.mark.parametrize("address", ["__sys__@/s1/a1", "x@/s1/a1", "__rpc__x@fame.fabric"])
def test_a_physical_or_reserved_address_is_not_bound(address: str) -> None:
    rig = Rig()
    child = rig.child("a1")
    rig.feed(child, bind_frame(address))
    assert only_frame(rig.said(child))["code"] == "INVALID_ADDRESS"


def test_a_parent_cannot_bind_at_its_child() -> None:
    rig = Rig()
    parent = rig.parent()
    rig.feed(parent, bind_frame())
    assert rig.core.table.links(MATH) == ()
    assert rig.said(parent) == []


def test_an_unbind_is_acknowledged_even_when_there_was_nothing_to_undo() -> None:
    rig = Rig()
    child = rig.child("a1")
    rig.bind(child, MATH)
    for _ in range(2):
        rig.feed(child, make_envelope({"type": "AddressUnbind", "address": MATH}, id="u1", corrId="k"))
        assert only_frame(rig.said(child)) == {"type": "AddressUnbindAck", "ok": True, "refId": "u1", "address": MATH}
    assert rig.core.table.links(MATH) == ()


@pytest.mark.parametrize(
    ("ack", "code"),
    [
        ({"ok": True}, ""),
        ({}, ""),
        ({"ok": False, "code": "ADDRESS_TAKEN", "reason": "a1 has it"}, "ADDRESS_TAKEN"),
        ({"ok": False}, "REFUSED"),
    ],
)
def test_the_answer_to_a_bind_of_ours_is_handed_on_once(ack: Json, code: str) -> None:
    rig = Rig("a1", routes=False)
    parent = rig.parent("s1", path="/s1/a1")
    rig.do(rig.core.bind(MATH))
    [bind] = rig.said(parent)
    for _ in range(2):
        rig.feed(parent, make_envelope({"type": "AddressBindAck", "refId": bind["id"], **ack}))
    answers = [effect for effect in rig.log if isinstance(effect, BindAnswered)]
    assert answers == [BindAnswered(MATH, code, str(ack.get("reason", "")))]


def test_an_acknowledgement_of_nothing_is_passed_over() -> None:
    rig = Rig("a1", routes=False)
    parent = rig.parent("s1", path="/s1/a1")
    rig.feed(parent, make_envelope({"type": "AddressBindAck", "ok": True}))
    assert not [effect for effect in rig.log if isinstance(effect, BindAnswered)]


# Capabilities


def offer(kind: str, capabilities: list[str], address: str = MATH) -> Json:
    return make_envelope({"type": kind, "capabilities": capabilities, "address": address}, id="o1", corrId="k")


def test_capabilities_are_taken_and_given_back() -> None:
    rig = Rig()
    child = rig.child("a1")
    rig.feed(child, offer("CapabilityAdvertise", ["a", "b"]))
    [ack] = rig.said(child)
    assert (ack["corrId"], "to" in ack) == ("k", False)
    assert only_frame([ack]) == {
        "type": "CapabilityAdvertiseAck",
        "ok": True,
        "refId": "o1",
        "capabilities": ["a", "b"],
        "address": MATH,
    }
    assert rig.core.table.providers(["a", "b"]) == [(MATH, child)]
    rig.feed(child, offer("CapabilityWithdraw", ["a"]))
    assert only_frame(rig.said(child))["type"] == "CapabilityWithdrawAck"
    assert rig.core.table.providers(["a"]) == []
    assert rig.core.table.providers(["b"]) == [(MATH, child)]


@pytest.mark.parametrize("address", ["x@/s1/a1", "__sys__@fame.fabric"])
def test_capabilities_under_an_address_that_cannot_be_bound_are_refused(address: str) -> None:
    rig = Rig()
    child = rig.child("a1")
    rig.feed(child, offer("CapabilityAdvertise", ["a"], address))
    assert only_frame(rig.said(child))["ok"] is False
    assert rig.core.table.providers(["a"]) == []


def test_capabilities_are_bounded_in_number_and_length() -> None:
    rig = Rig()
    child = rig.child("a1")
    rig.feed(child, offer("CapabilityAdvertise", ["a"] * (MAX_CAPABILITIES + 1)))
    rig.feed(child, offer("CapabilityAdvertise", ["b"] * MAX_CAPABILITIES))
    rig.feed(child, offer("CapabilityAdvertise", ["", "x" * 257, "y" * 256]))
    assert list(rig.core.table.names()) == [("b", MATH), ("y" * 256, MATH)]


def test_capabilities_of_a_parent_do_not_count() -> None:
    rig = Rig()
    parent = rig.parent()
    rig.feed(parent, offer("CapabilityAdvertise", ["a"]))
    assert rig.core.table.providers(["a"]) == []


def test_whatever_changes_is_told_to_the_peers() -> None:
    rig = Rig()
    peer, child = rig.peer("s2", ours=True), rig.child("a1")
    for frame, told in (
        (bind_frame(), "AddressBind"),
        (offer("CapabilityAdvertise", ["a"]), "CapabilityAdvertise"),
        (offer("CapabilityWithdraw", ["a"]), "CapabilityWithdraw"),
        (make_envelope({"type": "AddressUnbind", "address": MATH}), "AddressUnbind"),
    ):
        for expected in ([told], []):
            rig.feed(child, frame)
            assert types(rig.said(peer)) == expected
    rig.feed(child, bind_frame())
    rig.said(peer)
    rig.do(rig.core.link_closed(child))
    assert types(rig.said(peer)) == ["AddressUnbind"]


def test_frames_that_mean_nothing_on_a_link_are_passed_over() -> None:
    rig = Rig()
    child = rig.child("a1")
    rig.feed(child, make_envelope({"type": "NodeHello", "systemId": "a", "instanceId": "i"}))
    assert rig.said(child) == []


# The end of a link


def test_a_closed_link_takes_its_names_and_its_calls_with_it() -> None:
    rig = Rig()
    agent, client = rig.child("a1"), rig.child("c")
    rig.bind(agent, MATH)
    rig.feed(client, make_request("__rpc__x@/s1/c"))
    rig.said(client)
    session = rig.session(agent)
    rig.do(rig.core.link_closed(agent))
    assert session.state is State.CLOSED
    assert rig.core.table.links(MATH) == ()
    assert only_frame(rig.said(client))["code"] == "LINK_LOST"
    assert rig.noted("link_closed")[0].facts["node"] == "a1"


def test_a_link_that_never_attached_leaves_nothing() -> None:
    rig = Rig()
    link: Link = rig.open(LinkKind.CHILD, "a1")
    rig.do(rig.core.link_closed(link))
    assert rig.core.sessions() == []
    assert rig.core.table.children == {}
