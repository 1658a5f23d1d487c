"""Control frames of an attached neighbour: heartbeats, binding, offers, and records of the mesh."""

import pytest
from core_rig import MATH, Json, Rig, frames, make_envelope, types

from fame_cli.core.control import MAX_CAPABILITIES
from fame_cli.core.effects import BindAnswered


def bind_frame(address: str = MATH) -> Json:
    return make_envelope({"type": "AddressBind", "address": address}, id="b1", corrId="k1", replyTo="__sys__@/s1/a1")


def only_frame(messages: list[Json]) -> dict[str, object]:
    [message] = messages
    frame = message["frame"]
    assert isinstance(frame, dict)
    return frame


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


def test_a_heartbeat_in_the_mesh_is_answered_with_our_digest() -> None:
    rig = Rig()
    peer, plain = rig.peer("s2", ours=True), rig.peer("n1")
    for link in (peer, plain):
        rig.feed(link, make_envelope({"type": "NodeHeartbeat"}))
    [ack] = rig.said(peer)
    assert isinstance(ack["meta"], dict)
    assert list(ack["meta"]) == ["fame.digest"]
    [ack] = rig.said(plain)
    assert "meta" not in ack


@pytest.mark.parametrize("kind", ["NodeHeartbeat", "NodeHeartbeatAck"])
def test_a_neighbour_with_another_digest_is_told_what_we_have(kind: str) -> None:
    rig = Rig()
    peer = rig.dialed_peer("s2", ours=True)
    rig.said(peer)
    rig.now = 2.0
    rig.feed(peer, make_envelope({"type": kind}, meta={"fame.digest": "0" * 16}))
    assert types(rig.said(peer))[-1] == "MeshSummary"


# Records


def test_what_a_neighbour_in_the_mesh_lacks_is_sent_to_it() -> None:
    rig = Rig()
    peer = rig.peer("s2", ours=True)
    rig.feed(peer, make_envelope({"type": "MeshSummary", "have": {}}))
    rig.settle()
    [frame] = frames(rig.said(peer), "MeshUpdate")
    records = frame["records"]
    assert isinstance(records, list)
    assert {record["id"] for record in records} == {"s1"}


def test_what_a_neighbour_in_the_mesh_offers_can_be_reached() -> None:
    rig = Rig()
    rig.mesh_offer(rig.peer("s2", ours=True), "s2", {MATH: 1})
    assert [repr(way) for way in rig.core.table.ways(MATH)] == ["<Origin s2 out of reach>"]
    rig.settle()
    rig.call("anything@fame.fabric")
    assert [repr(way) for way in rig.core.table.ways(MATH)] == ["<Origin s2 1>"]


@pytest.mark.parametrize("routes", [False, True])
def test_records_over_a_link_without_the_mesh_are_passed_over(routes: bool) -> None:
    rig = Rig(routes=routes)
    link = rig.peer("n1") if routes else rig.parent(ours=True)
    rig.said(link)
    rig.mesh_offer(link, link.remote_id, {MATH: 1})
    rig.settle()
    assert rig.core.table.ways(MATH) == ()
    assert rig.said(link) == []


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


def test_a_node_that_began_again_before_its_end_was_noticed_gets_its_address_at_the_second_try() -> None:
    rig = Rig()
    ghost = rig.child("a1", ours=True, instance="a former life")
    rig.bind(ghost, MATH)
    again = rig.child("a1", ours=True, instance="another life")
    codes = []
    for moment in (0.0, 0.5, 1.5):
        rig.now = moment
        rig.feed(again, bind_frame())
        codes.append(only_frame(rig.said(again)[-1:]).get("code"))
    assert codes == ["ADDRESS_TAKEN", "ADDRESS_TAKEN", None]
    assert types(rig.said(ghost))[-1] == "NodeHeartbeat"
    assert ghost in [closed for closed, _, _ in rig.closed()]
    assert rig.core.table.ways(MATH) == (again,)


def test_a_node_that_answers_keeps_its_address_from_a_namesake() -> None:
    rig = Rig()
    alive = rig.child("a1", ours=True, instance="the first")
    rig.bind(alive, MATH)
    namesake = rig.child("a1", ours=True, instance="the second")
    for moment in (0.0, 2.0, 4.0):
        rig.now = moment
        rig.feed(namesake, bind_frame())
        assert only_frame(rig.said(namesake)[-1:])["code"] == "ADDRESS_TAKEN"
        rig.now = moment + 0.1
        rig.feed(alive, make_envelope({"type": "NodeHeartbeatAck", "ok": True}))
    assert rig.session(alive).is_open


def test_an_address_of_this_node_is_taken() -> None:
    rig = Rig()
    rig.do(rig.core.bind(MATH))
    child = rig.child("a1")
    rig.feed(child, bind_frame())
    assert only_frame(rig.said(child))["code"] == "ADDRESS_TAKEN"


def test_an_address_of_another_sentinel_may_be_bound_nearer() -> None:
    rig = Rig()
    rig.mesh_offer(rig.peer("s2", ours=True), "s2", {MATH: 1})
    rig.settle()
    child = rig.child("a1")
    rig.feed(child, bind_frame())
    assert only_frame(rig.said(child))["ok"] is True
    assert rig.core.table.find(MATH, rig.child("c")) is child


def test_an_address_a_plain_peer_told_of_may_be_bound_nearer() -> None:
    rig = Rig()
    rig.bind(rig.peer("n1"), MATH)
    child = rig.child("a1")
    rig.feed(child, bind_frame())
    assert only_frame(rig.said(child))["ok"] is True
    assert rig.core.table.find(MATH, rig.child("c")) is child


@pytest.mark.parametrize("path", ["/n1", "/n1/a1", "/root/n1/a1", None, "nonsense"])
def test_what_is_at_or_below_a_plain_peer_is_learned_from_it(path: str | None) -> None:
    rig = Rig()
    plain = rig.peer("n1")
    rig.feed(plain, make_envelope({"type": "AddressBind", "address": MATH, "physicalPath": path}))
    assert rig.core.table.ways(MATH) == (plain,)


@pytest.mark.parametrize("path", ["/s1", "/s2", "/n2/a1", "/n10/a1"])
def test_what_lies_beyond_a_plain_peer_is_not_learned_from_it(path: str) -> None:
    """It is an echo of what one of us told it, or comes from where no answer finds back."""
    rig = Rig()
    plain = rig.peer("n1")
    rig.feed(plain, make_envelope({"type": "AddressBind", "address": MATH, "physicalPath": path}))
    assert rig.core.table.ways(MATH) == ()
    assert rig.said(plain) == []


def test_what_two_plain_peers_tell_of_is_learned_from_both() -> None:
    rig = Rig()
    west, east = rig.peer("n1"), rig.peer("n2")
    rig.bind(west, MATH)
    rig.bind(east, MATH)
    assert rig.core.table.ways(MATH) == (west, east)


@pytest.mark.parametrize("kind", ["peer", "child"])
def test_a_neighbour_in_the_mesh_binds_by_records_and_not_by_frames(kind: str) -> None:
    rig = Rig()
    link = rig.peer("s2", ours=True) if kind == "peer" else rig.child("s2", sentinel=True)
    rig.feed(link, bind_frame())
    rig.feed(link, offer("CapabilityAdvertise", ["a"]))
    assert list(rig.core.table.names()) == []


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
    assert rig.core.table.ways(MATH) == (peer,)


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
    assert rig.core.table.ways(MATH) == ()
    assert rig.said(parent) == []


def test_an_unbind_is_acknowledged_even_when_there_was_nothing_to_undo() -> None:
    rig = Rig()
    child = rig.child("a1")
    rig.bind(child, MATH)
    for _ in range(2):
        rig.feed(child, make_envelope({"type": "AddressUnbind", "address": MATH}, id="u1", corrId="k"))
        assert only_frame(rig.said(child)) == {"type": "AddressUnbindAck", "ok": True, "refId": "u1", "address": MATH}
    assert rig.core.table.ways(MATH) == ()


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


def test_whatever_changes_is_told_to_a_plain_parent() -> None:
    rig = Rig()
    parent, child = rig.parent(path="/s1"), rig.child("a1")
    for frame, told in (
        (bind_frame(), "AddressBind"),
        (offer("CapabilityAdvertise", ["a"]), "CapabilityAdvertise"),
        (offer("CapabilityWithdraw", ["a"]), "CapabilityWithdraw"),
        (make_envelope({"type": "AddressUnbind", "address": MATH}), "AddressUnbind"),
    ):
        for expected in ([told], []):
            rig.feed(child, frame)
            assert types(rig.said(parent)) == expected
    rig.feed(child, bind_frame())
    rig.said(parent)
    rig.do(rig.core.link_closed(child))
    assert types(rig.said(parent)) == ["AddressUnbind"]


def test_whatever_changes_is_told_to_the_mesh() -> None:
    rig = Rig()
    peer, child = rig.peer("s2", ours=True), rig.child("a1")
    rig.feed(peer, make_envelope({"type": "MeshSummary", "have": {}}))
    rig.settle()
    rig.said(peer)
    for frame, key, told in (
        (bind_frame(), "put", {MATH: 1}),
        (offer("CapabilityAdvertise", ["a"]), "put", {f"a {MATH}": 1}),
        (offer("CapabilityWithdraw", ["a"]), "drop", [f"a {MATH}"]),
        (make_envelope({"type": "AddressUnbind", "address": MATH}), "drop", [MATH]),
    ):
        rig.feed(child, frame)
        rig.feed(child, frame)
        rig.settle()
        records = only_frame(rig.said(peer))["records"]
        assert isinstance(records, list)
        assert [record["offers"][key] for record in records] == [told]


def test_frames_that_mean_nothing_on_a_link_are_passed_over() -> None:
    rig = Rig()
    child = rig.child("a1")
    rig.feed(child, make_envelope({"type": "NodeHello", "systemId": "a", "instanceId": "i"}))
    assert rig.said(child) == []


@pytest.mark.parametrize(("answer", "noted"), [({"ok": False, "code": "TOO_MANY"}, 1), ({"ok": True}, 0)])
def test_capabilities_a_sentinel_does_not_take_are_noted(answer: Json, noted: int) -> None:
    rig = Rig("a1", routes=False)
    parent = rig.parent("s1", path="/s1/a1", ours=True)
    rig.feed(parent, make_envelope({"type": "CapabilityAdvertiseAck", "address": MATH, **answer}))
    assert len(rig.noted("offer_refused")) == noted
