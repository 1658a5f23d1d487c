"""The end of an envelope's way: requests that are served at this node, and answers to calls of its own."""

import json

import pytest
from core_rig import CLIENT, MATH, Json, Rig, caller, frames, make_answer, make_envelope, make_request, nack_of, types

from fame_cli.core.calls import CallKey
from fame_cli.core.effects import DispatchCancelled, ItemArrived
from fame_cli.core.link import Link

# Requests


def serve(rig: Rig) -> Link:
    rig.do(rig.core.bind(MATH))
    return rig.child("c", ours=True)


def test_a_request_for_this_node_is_dispatched_with_what_its_answer_needs() -> None:
    rig = Rig()
    client = serve(rig)
    rig.feed(client, make_request(CLIENT, rtype=4, sid="theirs", traceId="t3"))
    [request] = rig.requests()
    assert request.key == (CLIENT, "c1")
    assert (request.address, request.method, json.loads(bytes(request.params))) == (MATH, "add", {"x": 1})
    assert (request.streaming, request.trace_id, request.sender) == (True, "t3", "theirs")


def test_what_is_not_a_call_is_a_message_without_key() -> None:
    rig = Rig()
    client = serve(rig)
    rig.feed(client, make_envelope({"type": "Data", "payload": {"hello": 1}}, to=MATH, replyTo=CLIENT, corrId="c1"))
    [message] = rig.requests()
    assert (message.key, message.method, json.loads(bytes(message.params))) == (None, "", {"hello": 1})
    assert message.sender == ""


@pytest.mark.parametrize("missing", ["replyTo", "corrId"])
def test_a_call_that_cannot_be_answered_is_dispatched_without_key(missing: str) -> None:
    rig = Rig()
    client = serve(rig)
    rig.feed(client, make_request(CLIENT, **{missing: None}))
    assert [request.key for request in rig.requests()] == [None]
    assert rig.core.calls_in_flight() == 0


def test_a_request_by_capability_is_dispatched_to_the_address_that_offers_it() -> None:
    rig = Rig()
    client = serve(rig)
    rig.do(rig.core.advertise("op:add", MATH))
    rig.feed(client, make_request(CLIENT, to=None, capabilities=["op:add"]))
    assert [request.address for request in rig.requests()] == [MATH]


def test_a_request_sent_again_while_it_runs_is_acknowledged_but_not_run_again() -> None:
    """At-least-once senders repeat an envelope whose acknowledgement was slow (spec 6.4)."""
    rig = Rig()
    client = serve(rig)
    for _ in range(2):
        rig.feed(client, make_request(CLIENT, rtype=3))
    assert len(rig.requests()) == 1
    assert types(rig.said(client)) == ["DeliveryAck", "DeliveryAck"]


def test_a_duplicate_from_another_link_is_refused_and_does_not_rob_the_first() -> None:
    rig = Rig()
    client = serve(rig)
    thief = rig.child("thief", ours=True)
    rig.feed(client, make_request(CLIENT))
    rig.feed(thief, make_request(CLIENT, id="e9"))
    assert len(rig.requests()) == 1
    rig.do(rig.core.reply((CLIENT, "c1"), b"7", 0.0))
    assert [frame["payload"] for frame in frames(rig.said(client), "Data")] == [
        {"jsonrpc": "2.0", "id": "c1", "result": 7}
    ]
    assert rig.said(thief) == []


def test_a_request_that_comes_round_again_is_not_run_twice() -> None:
    rig = Rig()
    client = serve(rig)
    other = rig.peer("s2", ours=True)
    rig.feed(client, make_request(CLIENT))
    assert DispatchCancelled((CLIENT, "c1"), "the request went in a circle") in rig.feed(other, make_request(CLIENT))
    assert len(rig.requests()) == 1
    assert nack_of(rig.said(client))["code"] == "ROUTE_LOOP"


def test_the_trace_of_a_request_is_kept_for_its_answer() -> None:
    rig = Rig()
    client = serve(rig)
    rig.now = 1.5
    rig.feed(client, make_request(CLIENT, meta={"fame.trace": ["s9;peer;1"]}))
    call = rig.core.state.calls.get((CLIENT, "c1"))
    assert call is not None
    assert call.trace == ["s9;peer;1", "s1;child;1500000"]


def test_a_wanted_acknowledgement_is_sent_before_the_answer() -> None:
    rig = Rig()
    client = serve(rig)
    rig.feed(client, make_request(CLIENT, rtype=3, traceId="t4"))
    [ack] = rig.said(client)
    assert ack["frame"] == {"type": "DeliveryAck", "ok": True, "refId": "e1"}
    assert (ack["to"], ack["corrId"], ack["traceId"]) == (CLIENT, "c1", "t4")


def test_a_wanted_acknowledgement_goes_back_into_the_mesh_where_the_request_came_from() -> None:
    rig = Rig()
    serve(rig)
    west, east = rig.peer("s2", ours=True), rig.peer("s3", ours=True)
    rig.mesh_offer(east, "s3", {"/s3": 1})
    rig.settle()
    rig.said(west)
    rig.said(east)
    rig.feed(west, make_request("__rpc__x@/s3/c", rtype=3))
    assert types(rig.said(west)) == ["DeliveryAck"]
    assert rig.said(east) == []


def test_a_request_whose_answer_could_not_be_addressed_is_dropped() -> None:
    """A bad address anywhere spoils the envelope (spec 3.1); else answering it would fail at the provider."""
    rig = Rig()
    client = serve(rig)
    rig.feed(client, make_request("nonsense", rtype=3))
    assert rig.requests() == []
    assert rig.said(client) == []
    assert rig.core.calls_in_flight() == 0


@pytest.mark.parametrize("reply_to", ["x@/gone", None])
def test_an_acknowledgement_that_has_no_way_does_not_keep_the_request_back(reply_to: str | None) -> None:
    rig = Rig()
    client = serve(rig)
    rig.feed(client, make_request(CLIENT, rtype=3, replyTo=reply_to))
    assert len(rig.requests()) == 1


def test_an_acknowledgement_is_not_acknowledged() -> None:
    rig = Rig()
    client = serve(rig)
    rig.feed(client, make_envelope({"type": "DeliveryAck"}, to="__sys__@/s1", rtype=1, replyTo=CLIENT))
    assert rig.said(client) == []
    assert rig.requests() == []


@pytest.mark.parametrize("kind", ["SecureOpen", "SecureClose"])
def test_a_secure_frame_for_this_node_means_nothing_yet(kind: str) -> None:
    rig = Rig()
    client = serve(rig)
    rig.feed(client, make_envelope({"type": kind, "cid": "x", "ephPub": "p"}, to=MATH))
    assert rig.requests() == []


def test_a_request_for_this_node_stops_when_its_caller_is_gone() -> None:
    rig = Rig()
    client = serve(rig)
    rig.feed(client, make_request(CLIENT))
    effects = rig.do(rig.core.link_closed(client))
    assert DispatchCancelled((CLIENT, "c1"), "the caller's link is gone") in effects


# Answers to calls of our own


def test_a_result_reaches_its_caller() -> None:
    rig, parent = caller()
    key = rig.call(MATH)
    rig.feed(parent, make_answer(*key, result=[1]))
    [outcome] = rig.outcomes(key)
    assert (outcome.kind, bytes(outcome.value)) == ("result", b"[1]")


@pytest.mark.parametrize("payload", [{}, {"result": None}])
def test_a_null_result_is_a_result_without_value(payload: Json) -> None:
    rig, parent = caller()
    key = rig.call(MATH)
    rig.feed(parent, make_answer(*key, **payload))
    [outcome] = rig.outcomes(key)
    assert (outcome.kind, bytes(outcome.value)) == ("result", b"")


@pytest.mark.parametrize("payload", [{}, {"result": None}])
def test_items_arrive_until_the_end_mark(payload: Json) -> None:
    rig, parent = caller()
    key = rig.call(MATH, streaming=True)
    for number in (1, 2):
        rig.feed(parent, make_answer(*key, result=number))
    rig.feed(parent, make_answer(*key, **payload))
    assert rig.items(key) == [b"1", b"2"]
    [outcome] = rig.outcomes(key)
    assert (outcome.kind, bytes(outcome.value)) == ("end", b"")


def test_a_remote_error_keeps_its_code_message_and_data() -> None:
    rig, parent = caller()
    key = rig.call(MATH)
    rig.feed(parent, make_answer(*key, error={"code": -32601, "message": "no", "data": {"a": 1}}))
    [outcome] = rig.outcomes(key)
    assert (outcome.kind, outcome.code, outcome.message, bytes(outcome.data)) == ("error", "-32601", "no", b'{"a": 1}')


def test_each_item_gives_a_stream_of_ours_its_whole_time_again() -> None:
    rig, parent = caller()
    key = rig.call(MATH, streaming=True, timeout_s=2.0)
    for _ in range(3):
        rig.advance(1.9)
        rig.feed(parent, make_answer(*key, result=1))
        rig.do(rig.core.item_consumed([e for e in rig.log if isinstance(e, ItemArrived)][-1], rig.now))
    assert rig.outcomes(key) == []
    rig.advance(2.1)
    assert [outcome.kind for outcome in rig.outcomes(key)] == ["timeout"]


def test_a_streams_time_does_not_run_while_its_reader_takes_his() -> None:
    rig, parent = caller()
    key = rig.call(MATH, streaming=True, timeout_s=2.0)
    rig.feed(parent, make_answer(*key, result=1))
    rig.advance(5.0)
    assert rig.outcomes(key) == []
    [item] = [effect for effect in rig.log if isinstance(effect, ItemArrived)]
    rig.do(rig.core.item_consumed(item, rig.now))
    rig.advance(1.9)
    assert rig.outcomes(key) == []
    rig.advance(0.2)
    assert [outcome.kind for outcome in rig.outcomes(key)] == ["timeout"]


def test_an_error_ends_a_stream_of_ours() -> None:
    rig, parent = caller()
    key = rig.call(MATH, streaming=True)
    rig.feed(parent, make_answer(*key, result=1))
    rig.feed(parent, make_answer(*key, error={"code": 1, "message": "mid-stream"}))
    assert [outcome.kind for outcome in rig.outcomes(key)] == ["error"]


def test_an_answer_that_is_no_response_is_an_error() -> None:
    rig, parent = caller()
    key = rig.call(MATH)
    rig.feed(parent, make_envelope({"type": "Data", "payload": [1]}, to=key[0], corrId=key[1]))
    assert [(outcome.kind, outcome.code) for outcome in rig.outcomes(key)] == [("error", "-32700")]


def test_a_refusal_reaches_its_caller_with_code_and_reason() -> None:
    rig, parent = caller()
    key = rig.call(MATH)
    frame: Json = {"type": "DeliveryAck", "ok": False, "code": "NO_ROUTE", "reason": "nobody"}
    rig.feed(parent, make_envelope(frame, to=key[0], corrId=key[1]))
    [outcome] = rig.outcomes(key)
    assert (outcome.kind, outcome.code, outcome.message) == ("nack", "NO_ROUTE", "nobody")


def test_a_call_nobody_serves_is_refused_to_its_caller_directly() -> None:
    rig = Rig()
    key = rig.call(MATH)
    assert [(outcome.kind, outcome.code) for outcome in rig.outcomes(key)] == [("nack", "NO_ROUTE")]


def test_a_caller_here_hears_of_a_lost_link_directly() -> None:
    rig, parent = caller()
    key = rig.call(MATH)
    rig.do(rig.core.link_closed(parent))
    assert [(outcome.kind, outcome.code) for outcome in rig.outcomes(key)] == [("nack", "LINK_LOST")]


def test_a_refusal_without_words_is_still_one() -> None:
    rig, parent = caller()
    key = rig.call(MATH)
    rig.feed(parent, make_envelope({"type": "DeliveryAck", "ok": False}, to=key[0], corrId=key[1]))
    assert [outcome.kind for outcome in rig.outcomes(key)] == ["nack"]


@pytest.mark.parametrize("frame", [{"type": "DeliveryAck", "ok": True}, {"type": "SecureClose", "cid": "x"}])
def test_what_is_neither_answer_nor_refusal_ends_no_call(frame: Json) -> None:
    rig, parent = caller()
    key = rig.call(MATH)
    rig.feed(parent, make_envelope(frame, to=key[0], corrId=key[1]))
    assert rig.outcomes(key) == []
    assert rig.core.calls_in_flight() == 1


def test_a_late_answer_is_ignored() -> None:
    rig, parent = caller()
    key = rig.call(MATH)
    for number in (1, 2):
        rig.feed(parent, make_answer(*key, result=number))
    assert len(rig.outcomes(key)) == 1
    assert rig.requests() == []


@pytest.mark.parametrize(
    ("trace", "kept"),
    [(["s1;child;1"], ["s1;child;1"]), (5, None), ({"a": 1}, None), ([5, "s1;child;1"], ["s1;child;1"])],
)
def test_the_trace_of_an_answer_is_handed_on_when_it_is_one(trace: object, kept: list[str] | None) -> None:
    rig, parent = caller()
    for payload in ({"result": 1}, {"error": {"code": 1, "message": "m"}}):
        key = rig.call(MATH, trace=True)
        rig.feed(parent, make_answer(*key, **payload) | {"meta": {"fame.trace": trace}})
        [outcome] = rig.outcomes(key)
        assert outcome.trace == kept


def test_a_call_to_this_node_itself_is_answered_without_any_link() -> None:
    rig = Rig("a1", routes=False)
    rig.do(rig.core.bind(MATH))
    key = rig.call(MATH)
    assert [request.key for request in rig.requests()] == [key]
    rig.do(rig.core.reply(key, b"7", 0.0))
    assert [bytes(outcome.value) for outcome in rig.outcomes(key)] == [b"7"]


def test_a_call_to_this_node_itself_survives_a_change_of_its_path() -> None:
    rig = Rig("a1", routes=False)
    rig.do(rig.core.bind(MATH))
    key = rig.call(MATH)
    rig.parent("s1", path="/s1/a1")
    rig.do(rig.core.reply(key, b"7", 0.0))
    assert len(rig.outcomes(key)) == 1


def test_a_stream_of_this_node_to_itself_has_no_window() -> None:
    rig = Rig("a1", routes=False)
    rig.do(rig.core.bind(MATH))
    key = rig.call(MATH, streaming=True)
    for number in range(1000):
        assert rig.core.writable(key)
        rig.do(rig.core.reply_item(key, b"%d" % number, 0.0))
    rig.do(rig.core.reply(key, None, 0.0))
    assert len(rig.items(key)) == 1000
    assert [outcome.kind for outcome in rig.outcomes(key)] == ["end"]


def test_an_item_in_its_own_flow_names_the_link_to_give_credit_to() -> None:
    rig, parent = caller()
    key = rig.call(MATH, streaming=True)
    rig.feed(parent, make_answer(*key, result=1) | {"flowId": key[1]})
    rig.feed(parent, make_answer(*key, result=2))
    sources = [effect.source for effect in rig.log if isinstance(effect, ItemArrived)]
    assert sources == [parent, None]


# Packs


def pack(key: CallKey, items: object, count: object = 2) -> Json:
    return make_answer(*key, result=items) | {"meta": {"fame.items": count}}


def test_a_pack_is_given_to_a_caller_that_said_it_takes_them() -> None:
    rig, parent = caller()
    key = rig.call(MATH, streaming=True, packs=True)
    assert rig.said(parent)[-1]["meta"]["fame.pack"] is True
    rig.feed(parent, pack(key, [1, 2]))
    rig.feed(parent, make_answer(*key, result=[3, 4]))
    arrived = [effect for effect in rig.log if isinstance(effect, ItemArrived)]
    assert [(json.loads(bytes(item.value)), item.is_pack) for item in arrived] == [([1, 2], True), ([3, 4], False)]


def test_what_calls_itself_a_pack_is_an_item_when_nobody_asked_for_packs_or_it_holds_none() -> None:
    rig, parent = caller()
    asked, unasked = rig.call(MATH, streaming=True, packs=True), rig.call(MATH, streaming=True)
    rig.feed(parent, pack(unasked, [1, 2]))
    rig.feed(parent, pack(asked, {"a": 1}))
    assert [effect.is_pack for effect in rig.log if isinstance(effect, ItemArrived)] == [False, False]


def test_a_provider_learns_whether_its_caller_takes_packs() -> None:
    rig = Rig()
    rig.do(rig.core.bind(MATH))
    link = rig.child("c")
    for number, value in enumerate((True, 1, "true", None)):
        meta = {"fame.pack": value} if value is not None else None
        rig.feed(link, make_request(CLIENT, corrId=f"c{number}", rtype=4, meta=meta))
    assert [request.packs for request in rig.requests()] == [True, False, False, False]


def test_who_wants_a_channel_hears_that_there_is_none() -> None:
    rig = Rig()
    agent = rig.child("a1", ours=True)
    rig.do(rig.core.bind("here@fame.fabric"))
    frame: Json = {"type": "SecureOpen", "cid": "c", "ephPub": "x", "alg": "CHACHA20P1305", "opts": 0}
    rig.feed(agent, make_envelope(frame, to="here@fame.fabric", replyTo="__sys__@/s1/a1", corrId="k"))
    accept = next(each["frame"] for each in rig.said(agent) if each["frame"]["type"] == "SecureAccept")  # type: ignore[index]
    assert accept["ok"] is False  # type: ignore[index]
    assert accept["cid"] == "c"  # type: ignore[index]
