"""The node's five methods and its verbs: what they let through, when they want to be woken, and how every call ends."""

import json

import pytest
from core_rig import (
    CLIENT,
    MATH,
    Json,
    Rig,
    ack_of,
    attach_of,
    caller,
    frames,
    make_answer,
    make_envelope,
    make_request,
    types,
)

from fame_cli.core.effects import CallEnded, DispatchCancelled, Effect, FlowOpen, ItemArrived
from fame_cli.core.link import Link, LinkKind
from fame_cli.errors import RemoteProtocolError


def provider() -> tuple[Rig, Link]:
    rig = Rig()
    rig.do(rig.core.bind(MATH))
    return rig, rig.child("c", ours=True)


# Who it is


def test_a_sentinel_has_its_path_from_birth_and_a_leaf_has_none() -> None:
    assert Rig("s1").core.table.path == "/s1"
    assert Rig("c", routes=False).core.table.path == ""


def test_only_a_sentinel_takes_part_in_the_mesh() -> None:
    assert Rig("s1").core.state.mesh is not None
    assert Rig("c", routes=False).core.state.mesh is None


def test_a_node_answers_for_its_system_inbox_and_its_reply_inbox() -> None:
    local = Rig().core.table.local
    assert "__sys__" in local
    assert any(name.startswith("__rpc__") for name in local)


def test_the_links_we_dialled_are_counted_and_a_peer_either_way() -> None:
    rig = Rig()
    rig.open(LinkKind.PEER, dialed=True)
    rig.child("a1")
    assert rig.core.dialed_links() == 0
    rig.peer("s2")
    rig.dialed_peer("s3")
    rig.parent(path="/s1")
    assert rig.core.dialed_links() == 3


# Links


def test_what_comes_over_a_link_that_was_given_up_is_ignored() -> None:
    rig = Rig()
    link = rig.child("a1")
    rig.do(rig.core.link_closed(link))
    assert rig.feed(link, make_envelope()) == []
    for event in (rig.core.link_closed, rig.core.link_stalled, rig.core.link_drained):
        assert event(link) == []


def test_nothing_is_carried_for_a_link_before_its_attach() -> None:
    rig = Rig()
    rig.bind(rig.child("a1"), MATH)
    link = rig.open(LinkKind.CHILD, "c")
    rig.feed(link, make_request(CLIENT))
    assert rig.said(link) == []
    assert rig.noted("frame_ignored")
    rig.feed(link, attach_of("c", LinkKind.CHILD))
    assert types(rig.said(link)) == ["NodeAttachAck"]


def test_an_accepted_link_cannot_acknowledge_an_attach_we_never_sent() -> None:
    rig = Rig()
    link = rig.open(LinkKind.CHILD, "c")
    rig.feed(link, ack_of({"id": "x", "corrId": ""}, "c", "/c", "/s1"))
    assert not rig.session(link).is_open


def test_a_dialled_link_takes_no_attach() -> None:
    rig = Rig()
    link = rig.open(LinkKind.PEER, dialed=True)
    rig.said(link)
    rig.feed(link, attach_of("s2", LinkKind.PEER))
    assert rig.said(link) == []


@pytest.mark.parametrize("frame", [{"type": "NodeAttachAck"}, {"type": "KeyAnnounce", "physicalPath": "/s1/a1"}])
def test_frames_out_of_place_on_an_open_link_are_passed_over(frame: Json) -> None:
    rig = Rig()
    link = rig.child("a1")
    rig.feed(link, make_envelope(frame))
    assert rig.said(link) == []
    assert rig.noted("frame_ignored")


def test_a_second_attach_changes_nothing() -> None:
    rig = Rig()
    link = rig.child("a1")
    epoch = rig.session(link).epoch
    rig.feed(link, attach_of("a1", LinkKind.CHILD))
    assert rig.said(link) == []
    assert rig.session(link).epoch == epoch


def test_draining_closes_every_link_in_good_order() -> None:
    rig = Rig()
    waiting, child = rig.open(LinkKind.CHILD, "c"), rig.child("a1")
    rig.do(rig.core.drain())
    assert rig.closed() == [(waiting, 1000, "normal closure"), (child, 1000, "normal closure")]
    assert rig.core.sessions() == []


def test_a_new_name_makes_every_neighbour_attach_anew() -> None:
    rig = Rig()
    child = rig.child("a1")
    rig.do(rig.core.rename("s9"))
    assert rig.closed() == [(child, 1000, "the node's id changed")]
    assert rig.core.settings.node_id == "s9"
    assert rig.child("a1").remote_path == "/s9/a1"


def claim(rig: Rig, link: Link, instance: str, incarnation: int) -> list[Effect]:
    """Have the mesh tell of another process under our own id."""
    record = {"id": rig.core.settings.node_id, "instance": instance, "incarnation": incarnation}
    return rig.feed(link, make_envelope({"type": "MeshUpdate", "records": [record]}))


def test_a_sentinel_whose_id_another_one_holds_takes_another_and_every_neighbour_attaches_anew() -> None:
    rig = Rig()
    peer, child = rig.peer("s2", ours=True), rig.child("a1")
    claim(rig, peer, "a", 5)
    assert rig.core.settings.node_id == "s1"
    claim(rig, peer, "a", 7)
    assert rig.core.settings.node_id.startswith("s1-")
    assert rig.core.table.path == f"/{rig.core.settings.node_id}"
    assert [link for link, _, _ in rig.closed()] == [peer, child]
    assert rig.noted("id_taken")[0].facts == {"node": "s1", "now": rig.core.settings.node_id}


def test_of_two_sentinels_with_one_id_the_other_one_gives_way_when_its_instance_is_greater() -> None:
    rig = Rig()
    peer = rig.peer("s2", ours=True)
    for incarnation in (5, 7, 9):
        claim(rig, peer, "zzz", incarnation)
    assert rig.core.settings.node_id == "s1"
    assert rig.closed() == []


def test_a_renamed_leaf_gets_its_path_from_its_sentinel() -> None:
    rig, _ = caller()
    rig.do(rig.core.rename("c2"))
    link = rig.open(LinkKind.PARENT, dialed=True)
    [attach] = rig.said(link)
    assert isinstance(attach["frame"], dict)
    assert attach["frame"]["systemId"] == "c2"


# What can't be read


@pytest.mark.parametrize("garbage", [b"", b"{", b"\x00\xff", b"[]", b'{"id":"\xff"}', b"[" * 100_000, b"null"])
def test_garbage_is_noted_and_never_closes_a_link(garbage: bytes) -> None:
    rig = Rig()
    link = rig.child("a1")
    rig.feed(link, garbage)
    assert rig.noted("envelope_rejected")
    assert rig.said(link) == []
    rig.feed(link, make_envelope({"type": "NodeHeartbeat"}))
    assert types(rig.said(link)) == ["NodeHeartbeatAck"]


def test_a_malformed_request_with_a_readable_header_is_refused() -> None:
    rig = Rig()
    link = rig.child("c")
    rig.feed(link, make_request(CLIENT, frame={"type": "Teleport"}))
    [frame] = frames(rig.said(link), "DeliveryAck")
    assert (frame["code"], frame["refId"]) == ("MALFORMED", "e1")


def test_a_request_to_what_is_no_address_is_refused() -> None:
    rig = Rig()
    link = rig.child("c")
    rig.feed(link, make_request(CLIENT, to="nonsense"))
    [frame] = frames(rig.said(link), "DeliveryAck")
    assert frame["code"] == "MALFORMED"
    assert "nonsense" in str(frame["reason"])


def test_a_bind_of_what_is_no_address_is_refused() -> None:
    rig = Rig()
    link = rig.child("a1", ours=True)
    bind = make_envelope({"type": "AddressBind", "address": "x"}, replyTo="__sys__@/s1/a1", corrId="k")
    rig.feed(link, bind)
    [frame] = frames(rig.said(link), "DeliveryAck")
    assert frame["code"] == "MALFORMED"


def test_a_refusal_with_a_hostile_reply_address_goes_nowhere() -> None:
    rig = Rig()
    link = rig.child("c")
    rig.feed(link, make_request("nonsense", frame={"type": "Teleport"}))
    assert rig.said(link) == []


def test_garbage_before_the_attach_is_not_answered() -> None:
    rig = Rig()
    link = rig.open(LinkKind.CHILD, "c")
    rig.feed(link, make_request(CLIENT, frame={"type": "Teleport"}))
    assert rig.said(link) == []


def test_an_envelope_of_the_largest_size_passes_and_a_larger_one_is_refused() -> None:
    rig = Rig(max_message_bytes=1000)
    agent, client = rig.child("a1"), rig.child("c")
    rig.bind(agent, MATH)
    request = make_request(CLIENT)
    spare = 1000 - len(json.dumps(request | {"x": ""}))
    rig.feed(client, request | {"x": "y" * spare})
    assert len(rig.said(agent)) == 1
    rig.feed(client, request | {"x": "y" * (spare + 1)})
    [frame] = frames(rig.said(client), "DeliveryAck")
    assert (frame["code"], frame["refId"]) == ("MESSAGE_TOO_LARGE", "e1")
    assert "the limit is 1000" in str(frame["reason"])


# Time


def test_a_node_without_links_and_calls_needs_no_waking() -> None:
    rig = Rig()
    assert rig.core.next_deadline() is None
    assert rig.core.tick(0.0) == []


def test_a_link_wants_a_look_every_second_and_none_when_it_is_gone() -> None:
    rig = Rig()
    rig.now = 100.0
    link = rig.child("a1")
    assert rig.core.next_deadline() == 101.0
    rig.advance(1.5)
    assert rig.core.next_deadline() == 102.0
    rig.do(rig.core.link_closed(link))
    assert rig.core.next_deadline() is None


def test_a_second_link_does_not_put_the_look_off() -> None:
    rig = Rig()
    rig.child("a1")
    rig.now = 0.9
    rig.child("a2")
    assert rig.core.next_deadline() == 1.0


def test_a_look_before_its_time_changes_nothing() -> None:
    rig = Rig()
    rig.child("a1")
    assert rig.core.tick(0.5) == []
    assert rig.core.next_deadline() == 1.0


def test_a_call_is_woken_for_when_it_ends_before_the_next_look() -> None:
    rig, _ = caller()
    rig.call(MATH, timeout_s=0.25)
    assert rig.core.next_deadline() == 0.25
    rig.call(MATH, timeout_s=60.0)
    rig.advance(0.5)
    assert rig.core.next_deadline() == 1.0


# Calls of ours: exactly one end each


def test_a_call_nobody_serves_ends_at_once() -> None:
    rig = Rig()
    key = rig.call(MATH)
    assert [(outcome.kind, outcome.code) for outcome in rig.outcomes(key)] == [("nack", "NO_ROUTE")]


def test_a_call_without_a_link_upstream_ends_at_once() -> None:
    rig, parent = caller()
    rig.do(rig.core.link_closed(parent))
    key = rig.call(MATH)
    assert [(outcome.kind, outcome.code) for outcome in rig.outcomes(key)] == [("nack", "LINK_LOST")]


def test_a_call_times_out_once_and_its_provider_is_told() -> None:
    rig, parent = caller()
    key = rig.call(MATH, timeout_s=2.5)
    rig.said(parent)
    rig.advance(2.4)
    assert rig.outcomes(key) == []
    rig.advance(0.2)
    assert [(outcome.kind, outcome.message) for outcome in rig.outcomes(key)] == [("timeout", "2.5")]
    [cancel] = rig.said(parent)
    assert (cancel["frame"], cancel["replyTo"], cancel["corrId"]) == ({"type": "CallCancel"}, *key)
    rig.feed(parent, make_answer(*key, result=1))
    rig.advance(10)
    assert len(rig.outcomes(key)) == 1


def test_a_cancelled_call_ends_once() -> None:
    rig, parent = caller()
    key = rig.call(MATH)
    for _ in range(2):
        rig.do(rig.core.cancel(key))
    rig.feed(parent, make_answer(*key, result=1))
    assert [outcome.kind for outcome in rig.outcomes(key)] == ["cancelled"]
    assert types(rig.said(parent)).count("CallCancel") == 1


def test_a_call_that_is_not_ours_cannot_be_cancelled_by_us() -> None:
    rig, client = provider()
    rig.feed(client, make_request(CLIENT))
    assert rig.core.cancel((CLIENT, "c1")) == []
    assert rig.core.calls_in_flight() == 1


def test_a_call_ends_when_the_link_it_went_by_is_gone() -> None:
    rig, parent = caller()
    key = rig.call(MATH)
    rig.do(rig.core.link_closed(parent))
    assert [(outcome.kind, outcome.code) for outcome in rig.outcomes(key)] == [("nack", "LINK_LOST")]


def test_a_timed_out_call_to_this_node_itself_stops_its_own_work() -> None:
    rig = Rig()
    rig.do(rig.core.bind(MATH))
    key = rig.call(MATH, timeout_s=1.0)
    assert DispatchCancelled(key, "the caller's time is over") in rig.advance(1.1)


# Answers of ours


def test_a_plain_result_to_a_stream_request_is_an_item_and_an_end() -> None:
    rig, client = provider()
    rig.feed(client, make_request(CLIENT, rtype=4))
    rig.do(rig.core.reply((CLIENT, "c1"), b"7", 0.0))
    payloads = [frame["payload"] for frame in frames(rig.said(client), "Data")]
    assert payloads == [{"jsonrpc": "2.0", "id": "c1", "result": 7}, {"jsonrpc": "2.0", "id": "c1"}]


def test_a_null_result_has_neither_result_nor_error() -> None:
    rig, client = provider()
    rig.feed(client, make_request(CLIENT))
    rig.do(rig.core.reply((CLIENT, "c1"), None, 0.0))
    [frame] = frames(rig.said(client), "Data")
    assert frame["payload"] == {"jsonrpc": "2.0", "id": "c1"}


def test_an_error_is_answered_with_code_message_and_data() -> None:
    rig, client = provider()
    rig.feed(client, make_request(CLIENT))
    rig.do(rig.core.reply_error((CLIENT, "c1"), -32602, "x is missing", {"parameter": "x"}, 0.0))
    [frame] = frames(rig.said(client), "Data")
    assert frame["payload"] == {
        "jsonrpc": "2.0",
        "id": "c1",
        "error": {"code": -32602, "message": "x is missing", "data": {"parameter": "x"}},
    }


def test_an_answer_repeats_the_id_of_the_request_whatever_it_was() -> None:
    rig, client = provider()
    payload = {"jsonrpc": "2.0", "id": 7, "method": "add", "params": {}}
    rig.feed(client, make_request(CLIENT, frame={"type": "Data", "payload": payload}))
    rig.do(rig.core.reply((CLIENT, "c1"), b"1", 0.0))
    [frame] = frames(rig.said(client), "Data")
    assert frame["payload"] == {"jsonrpc": "2.0", "id": 7, "result": 1}


def test_an_answer_to_a_call_that_has_ended_is_dropped() -> None:
    rig, client = provider()
    rig.do(rig.core.reply((CLIENT, "c1"), b"7", 0.0))
    rig.do(rig.core.reply_item((CLIENT, "c1"), b"7", 0.0))
    rig.do(rig.core.reply_error((CLIENT, "c1"), -1, "m", None, 0.0))
    assert rig.said(client) == []


def test_a_cancel_over_a_link_stops_the_work() -> None:
    rig, client = provider()
    rig.feed(client, make_request(CLIENT))
    effects = rig.feed(client, make_envelope({"type": "CallCancel"}, replyTo=CLIENT, corrId="c1"))
    assert DispatchCancelled((CLIENT, "c1"), "cancelled") in effects


def test_the_items_of_a_stream_have_a_flow_of_their_own() -> None:
    rig, client = provider()
    rig.feed(client, make_request(CLIENT, rtype=4))
    for _ in range(2):
        rig.do(rig.core.reply_item((CLIENT, "c1"), b"1", 0.0))
    first, second = rig.said(client)
    assert (first["flowId"], first["seqId"], first["flowFlags"]) == ("c1", 0, 1)
    assert (second["flowId"], second["seqId"], second["flowFlags"]) == ("c1", 1, 0)


# Names


def test_a_name_bound_twice_is_told_once_and_unbound_once() -> None:
    rig = Rig("a1", routes=False)
    parent = rig.parent("s1", path="/s1/a1", ours=True)
    for expected in (["AddressBind", "CapabilityAdvertise"], []):
        rig.do(rig.core.bind(MATH))
        rig.do(rig.core.advertise("cap", MATH))
        assert types(rig.said(parent)) == expected
    for expected in (["CapabilityWithdraw", "AddressUnbind"], []):
        rig.do(rig.core.withdraw("cap", MATH))
        rig.do(rig.core.unbind(MATH))
        assert types(rig.said(parent)) == expected


def test_a_sentinel_tells_the_mesh_of_a_name_at_the_end_of_the_turn() -> None:
    rig = Rig()
    peer = rig.peer("s2", ours=True)
    rig.feed(peer, make_envelope({"type": "MeshSummary", "have": {}}))
    rig.settle()
    rig.said(peer)
    rig.do(rig.core.bind(MATH))
    rig.do(rig.core.advertise("cap", MATH))
    assert rig.said(peer) == []
    assert rig.core.next_deadline() == rig.now
    rig.settle()
    assert types(rig.said(peer)) == ["MeshUpdate"]


def test_a_plain_peer_is_told_our_names_by_the_timer() -> None:
    rig = Rig()
    rig.do(rig.core.bind(MATH))
    peer = rig.peer("s2")
    assert rig.said(peer) == []
    rig.advance(2)
    assert types(rig.said(peer)) == ["AddressBind"]
    rig.advance(10)
    assert rig.said(peer) == []


def test_a_call_between_others_that_nobody_ends_is_forgotten_by_the_timer() -> None:
    rig = Rig()
    agent, client = rig.child("a1"), rig.child("c")
    rig.bind(agent, MATH)
    rig.feed(client, make_request(CLIENT))
    for now in (3599.0, 3601.0):
        for link in (agent, client):
            rig.do(rig.core.receive(link, b"alive", now))
        rig.do(rig.core.tick(now))
        assert rig.core.calls_in_flight() == (now < 3600)


def test_only_addresses_are_bound() -> None:
    with pytest.raises(RemoteProtocolError):
        Rig().core.bind("nonsense")


# Credit


def test_a_plain_nodes_flow_gets_a_window_for_every_envelope() -> None:
    rig = Rig()
    agent, client = rig.child("a1"), rig.child("c")
    rig.bind(agent, MATH)
    for number in range(24):
        rig.feed(client, make_request(CLIENT, corrId=f"c{number}", flowId="f9"))
    updates = [message for message in rig.granted(client) if message["flowId"] == "f9"]
    assert [message["frame"] for message in updates] == [{"type": "CreditUpdate", "flowId": "f9", "credits": 32}] * 24
    assert {message["flowFlags"] for message in updates} == {2}
    assert {message["flowId"] for message in updates} == {"f9"}
    assert not any({"sid", "to"} & set(message) for message in updates)


def test_credit_lets_what_waits_for_it_go() -> None:
    rig = Rig()
    agent, client = rig.child("a1"), rig.child("c", ours=True)
    rig.bind(agent, MATH)
    for number in range(33):
        rig.feed(client, make_request(CLIENT, corrId=f"c{number}"))
    assert len(rig.said(agent)) == 32
    rig.feed(agent, make_envelope({"type": "CreditUpdate", "flowId": "f1", "credits": 1}))
    assert [message["corrId"] for message in rig.said(agent)] == ["c32"]


def test_credit_itself_costs_and_earns_none() -> None:
    rig = Rig()
    client = rig.child("c")
    for _ in range(100):
        rig.feed(client, make_envelope({"type": "CreditUpdate", "flowId": "f1", "credits": 32}))
    assert rig.said(client) == []


def test_an_envelope_without_a_flow_earns_none() -> None:
    rig = Rig()
    client = rig.child("c")
    for _ in range(100):
        rig.feed(client, make_request(CLIENT, replyTo=None, flowId=None))
    assert rig.said(client) == []


def test_a_read_item_gives_credit_back_and_an_ended_stream_none() -> None:
    rig, parent = caller()
    key = rig.call(MATH, streaming=True)
    rig.said(parent)
    for _ in range(64):
        rig.feed(parent, make_answer(*key, result=1) | {"flowId": key[1]})
    assert rig.granted(parent) == []
    items = [effect for effect in rig.log if isinstance(effect, ItemArrived)]
    for item in items:
        rig.do(rig.core.item_consumed(item, rig.now))
    assert [message["frame"]["credits"] for message in rig.granted(parent)] == [64]
    rig.feed(parent, make_answer(*key) | {"flowId": key[1]})
    for item in items:
        rig.do(rig.core.item_consumed(item, rig.now))
    assert rig.granted(parent) == []


def test_late_items_of_a_cancelled_stream_earn_no_credit_from_a_node_of_ours() -> None:
    rig, parent = caller()
    key = rig.call(MATH, streaming=True)
    rig.do(rig.core.cancel(key))
    rig.said(parent)
    for _ in range(64):
        rig.feed(parent, make_answer(*key, result=1) | {"flowId": key[1]})
    assert rig.said(parent) == []


def test_late_items_over_a_plain_sentinel_earn_credit_or_it_would_stop_reading() -> None:
    """It can't be told to cancel, and it waits for credit inside its read loop (spec 7)."""
    rig = Rig("c", routes=False)
    parent = rig.parent("s1", path="/s1/c")
    key = rig.call(MATH, streaming=True)
    rig.do(rig.core.cancel(key))
    rig.granted(parent)
    for _ in range(32):
        rig.feed(parent, make_answer(*key, result=1) | {"flowId": key[1]})
    assert len(rig.granted(parent)) == 32


def test_a_stalled_link_takes_nothing_until_it_drains() -> None:
    rig = Rig()
    agent, client = rig.child("a1"), rig.child("c")
    rig.bind(agent, MATH)
    assert not rig.core.is_stalled(agent)
    rig.do(rig.core.link_stalled(agent))
    assert rig.core.is_stalled(agent)
    rig.feed(client, make_request(CLIENT))
    rig.feed(client, make_request(CLIENT, corrId="c2", flowId="other"))
    assert rig.said(agent) == []
    rig.do(rig.core.link_drained(agent))
    assert [message["corrId"] for message in rig.said(agent)] == ["c1", "c2"]
    assert not rig.core.is_stalled(agent)
    rig.do(rig.core.link_closed(agent))
    assert not rig.core.is_stalled(agent)


def test_a_drained_link_wakes_the_producers_that_waited_for_it() -> None:
    rig, client = provider()
    rig.feed(client, make_request(CLIENT, rtype=4))
    rig.do(rig.core.link_stalled(client))
    key = (CLIENT, "c1")
    assert not rig.core.writable(key)
    assert rig.do(rig.core.link_drained(client)) == [FlowOpen(key)]


def test_a_drained_link_wakes_nobody_who_waits_for_another() -> None:
    rig, client = provider()
    other = rig.child("other", ours=True)
    rig.feed(client, make_request(CLIENT, rtype=4))
    rig.do(rig.core.link_stalled(client))
    assert not rig.core.writable((CLIENT, "c1"))
    assert rig.do(rig.core.link_drained(other)) == []


def test_a_call_nobody_knows_is_always_writable() -> None:
    rig, _ = provider()
    assert rig.core.writable(("nobody", "knows"))


def test_one_answer_that_is_no_stream_never_waits() -> None:
    rig, client = provider()
    rig.feed(client, make_request(CLIENT))
    rig.do(rig.core.link_stalled(client))
    assert rig.core.writable((CLIENT, "c1"))


def test_every_way_to_end_a_call_leaves_no_call_behind() -> None:
    rig, parent = caller()
    keys = [rig.call(MATH, timeout_s=1.0, streaming=number % 2 == 0) for number in range(12)]
    rig.feed(parent, make_answer(*keys[0]))
    rig.feed(parent, make_answer(*keys[1], result=1))
    rig.feed(parent, make_answer(*keys[2], error={"code": 1}))
    rig.do(rig.core.cancel(keys[3]))
    rig.advance(1.1)
    ended = [effect.key for effect in rig.log if isinstance(effect, CallEnded)]
    assert sorted(ended) == sorted(keys)
    assert rig.core.calls_in_flight() == 0
