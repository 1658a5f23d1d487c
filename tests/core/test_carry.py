"""The way of data envelopes through one node: forwarded as they are, delivered once, refused out loud."""

import json

import pytest
from core_rig import (
    CLIENT,
    MATH,
    Json,
    Rig,
    Trio,
    caller,
    cancel_of,
    frames,
    make_answer,
    make_envelope,
    make_request,
    nack_of,
    types,
)

from fame_cli.core import flow
from fame_cli.core.effects import DispatchCancelled, FlowOpen, ItemArrived, Send
from fame_cli.core.link import Link

# Forwarding


def test_a_request_and_its_answer_pass_unchanged() -> None:
    trio = Trio()
    assert trio.ask() == [make_request(CLIENT)]
    assert trio.answer(result=7) == [make_answer(CLIENT, result=7)]
    assert trio.rig.core.calls_in_flight() == 0


def test_what_is_forwarded_are_the_bytes_that_came() -> None:
    trio = Trio()
    data = json.dumps(make_request(CLIENT, fromTheFuture=[1]), indent=1).encode()
    effects = trio.rig.core.receive(trio.client, data, 0.0)
    assert [e.data for e in effects if isinstance(e, Send) and e.link is trio.agent] == [data]


def test_only_the_trace_of_a_traced_envelope_changes() -> None:
    trio = Trio()
    [request] = trio.ask(meta={"fame.trace": [], "other": 1})
    assert request == make_request(CLIENT, meta={"fame.trace": ["s1;child;0"], "other": 1})


def test_a_message_without_a_reply_address_is_no_call() -> None:
    trio = Trio()
    assert len(trio.ask(replyTo=None, rtype=None, corrId=None)) == 1
    assert trio.rig.core.calls_in_flight() == 0


def test_an_answer_to_nobody_known_still_passes() -> None:
    trio = Trio(ours=True)
    assert trio.answer("unknown", result=1)


def test_items_keep_a_stream_open_and_its_end_closes_it() -> None:
    trio = Trio()
    trio.ask(rtype=4)
    assert trio.answer(result=1)
    assert trio.rig.core.calls_in_flight() == 1
    assert trio.answer()
    assert trio.rig.core.calls_in_flight() == 0


def test_an_error_ends_a_stream() -> None:
    trio = Trio()
    trio.ask(rtype=4)
    trio.answer(error={"code": -1, "message": "m"})
    assert trio.rig.core.calls_in_flight() == 0


def test_an_acknowledgement_does_not_end_a_call_and_a_refusal_does() -> None:
    trio = Trio()
    trio.ask()
    ack = make_envelope({"type": "DeliveryAck", "ok": True, "refId": "e1"}, to=CLIENT, corrId="c1")
    trio.rig.feed(trio.agent, ack)
    assert trio.rig.core.calls_in_flight() == 1
    trio.rig.feed(trio.agent, make_envelope({"type": "DeliveryAck", "ok": False}, to=CLIENT, corrId="c1"))
    assert trio.rig.core.calls_in_flight() == 0
    assert types(trio.rig.said(trio.client)) == ["DeliveryAck", "DeliveryAck"]


@pytest.mark.parametrize("kind", ["SecureOpen", "SecureAccept", "SecureClose"])
def test_secure_frames_are_carried_like_data(kind: str) -> None:
    trio = Trio()
    frame: Json = {"type": kind, "cid": "x", "ephPub": "p"}
    trio.rig.feed(trio.client, make_envelope(frame, to=MATH))
    assert types(trio.rig.said(trio.agent)) == [kind]


def test_a_second_link_that_uses_a_callers_names_is_refused_and_the_caller_still_served() -> None:
    trio = Trio(ours=True)
    thief = trio.rig.child("thief", ours=True)
    trio.ask()
    trio.rig.feed(thief, make_request(CLIENT, id="e9"))
    assert trio.rig.said(trio.agent) == []
    assert trio.rig.said(trio.client) == []
    assert trio.answer(result=7)


def test_a_thief_with_its_own_reply_address_is_told() -> None:
    """The same corrId is no matter as long as the answers go elsewhere."""
    trio = Trio(ours=True)
    thief = trio.rig.child("thief", ours=True)
    trio.ask()
    trio.rig.feed(thief, make_request("__rpc__x@/s1/thief"))
    assert len(trio.rig.said(trio.agent)) == 1


# Plain Naylence neighbours


def test_an_unknown_name_at_a_plain_neighbours_own_path_is_not_asked_of_it() -> None:
    trio = Trio()
    assert trio.ask(to="nobody@/s1/a1") == []
    assert nack_of(trio.rig.said(trio.client))["code"] == "NO_ROUTE"


def test_a_plain_neighbours_system_inbox_may_be_asked() -> None:
    trio = Trio()
    assert len(trio.ask(to="__sys__@/s1/a1")) == 1


def test_a_node_of_ours_may_be_asked_anything() -> None:
    trio = Trio(ours=True)
    assert len(trio.ask(to="nobody@/s1/a1")) == 1


def test_an_answer_a_plain_neighbour_no_longer_waits_for_is_not_forwarded_to_it() -> None:
    """Its read loop would stop for good (spec 6.5)."""
    trio = Trio()
    assert trio.answer("ended-long-ago", result=1) == []
    trio.ask()
    assert trio.answer(result=1)
    assert trio.answer(result=1) == []


def test_a_refusal_is_sent_to_a_third_party_of_ours() -> None:
    trio = Trio(ours=True)
    other = trio.rig.child("other", ours=True)
    trio.rig.feed(other, make_request(CLIENT, to="nobody@fame.fabric"))
    assert nack_of(trio.rig.said(trio.client))["code"] == "NO_ROUTE"


def test_a_peer_beyond_a_plain_peer_is_no_plain_neighbour() -> None:
    rig = Rig()
    plain, asker = rig.peer("s2"), rig.child("c", ours=True)
    rig.feed(asker, make_request(CLIENT, to="anything@/s2/a2"))
    assert len(rig.said(plain)) == 1
    rig.feed(asker, make_request(CLIENT, to="anything@/s2", corrId="c2"))
    assert rig.said(plain) == []


# Delivering here


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


def test_a_request_sent_again_while_it_runs_is_acknowledged_but_not_run_again() -> None:
    """At-least-once senders repeat an envelope whose acknowledgement was slow (spec 6.4)."""
    rig = Rig()
    client = serve(rig)
    for _ in range(2):
        rig.feed(client, make_request(CLIENT, rtype=3))
    assert len(rig.requests()) == 1
    assert types(rig.said(client)) == ["DeliveryAck", "DeliveryAck"]


def test_a_wanted_acknowledgement_is_sent_before_the_answer() -> None:
    rig = Rig()
    client = serve(rig)
    rig.feed(client, make_request(CLIENT, rtype=3, traceId="t4"))
    [ack] = rig.said(client)
    assert ack["frame"] == {"type": "DeliveryAck", "ok": True, "refId": "e1"}
    assert (ack["to"], ack["corrId"], ack["traceId"]) == (CLIENT, "c1", "t4")


@pytest.mark.parametrize("to", [MATH, "far@fame.fabric"])
def test_a_request_whose_answer_could_not_be_addressed_is_dropped(to: str) -> None:
    """A bad address anywhere spoils the envelope (spec 3.1); else answering it would fail at the provider."""
    rig = Rig()
    client = serve(rig)
    peer = rig.peer("s2", ours=True)
    rig.bind(peer, "far@fame.fabric")
    rig.feed(client, make_request("nonsense", to=to, rtype=3))
    assert rig.requests() == []
    assert rig.said(client) == rig.said(peer) == []
    assert rig.core.calls_in_flight() == 0


def test_an_answer_that_has_no_way_back_ends_its_call_all_the_same() -> None:
    rig = Rig()
    client = serve(rig)
    rig.feed(client, make_request("x@nowhere"))
    rig.do(rig.core.reply(("x@nowhere", "c1"), b"7", 0.0))
    assert rig.said(client) == []
    assert rig.core.calls_in_flight() == 0


def test_a_stream_that_speaks_is_not_forgotten_and_a_silent_one_is() -> None:
    trio = Trio()
    trio.ask(rtype=4)
    trio.ask(rtype=4, corrId="c2")
    trio.rig.now = 3000.0
    trio.item(1)
    trio.rig.now = 3601.0
    for link in (trio.agent, trio.client):
        trio.rig.feed(link, make_envelope({"type": "NodeHeartbeat"}))
    trio.rig.do(trio.rig.core.tick(3601.0))
    assert trio.rig.core.calls_in_flight() == 1


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


# Answering from here


def test_an_answer_repeats_what_the_request_said() -> None:
    rig = Rig()
    client = serve(rig)
    rig.feed(client, make_request(CLIENT, traceId="t3"))
    rig.do(rig.core.reply((CLIENT, "c1"), b"7", 0.0))
    [answer] = rig.said(client)
    assert (answer["to"], answer["corrId"], answer["traceId"]) == (CLIENT, "c1", "t3")
    assert not {"replyTo", "rtype", "capabilities", "meta"} & set(answer)


def test_a_traced_answer_carries_the_way_there_and_back() -> None:
    rig = Rig()
    client = serve(rig)
    rig.feed(client, make_request(CLIENT, meta={"fame.trace": ["s9;child;1"]}))
    rig.do(rig.core.reply((CLIENT, "c1"), b"7", 0.001))
    [answer] = rig.said(client)
    assert answer["meta"] == {"fame.trace": ["s9;child;1", "s1;child;0", "s1;local;1000"]}


def test_answers_are_numbered_in_the_flow_of_the_node_and_items_in_their_own() -> None:
    rig = Rig()
    client = serve(rig)
    for corr_id, rtype in (("c1", 2), ("c2", 4)):
        rig.feed(client, make_request(CLIENT, corrId=corr_id, rtype=rtype))
        rig.do(rig.core.reply((CLIENT, corr_id), b"1", 0.0))
    numbers = [(message["flowId"] == "c2", message["seqId"], message["flowFlags"]) for message in rig.said(client)]
    assert numbers == [(False, 1, 0), (True, 0, 1), (True, 1, 0)]  # the attach was the node's first


def test_only_the_first_answer_counts() -> None:
    rig = Rig()
    client = serve(rig)
    rig.feed(client, make_request(CLIENT))
    rig.do(rig.core.reply((CLIENT, "c1"), b"7", 0.0))
    rig.do(rig.core.reply((CLIENT, "c1"), b"8", 0.0))
    rig.do(rig.core.reply_error((CLIENT, "c1"), -1, "m", None, 0.0))
    assert len(rig.said(client)) == 1
    assert rig.core.calls_in_flight() == 0


def test_an_answer_that_is_too_large_becomes_an_error() -> None:
    rig = Rig(max_message_bytes=4096)
    client = serve(rig)
    rig.feed(client, make_request(CLIENT))
    rig.do(rig.core.reply((CLIENT, "c1"), b'"%b"' % (b"x" * 5000), 0.0))
    [frame] = frames(rig.said(client), "Data")
    payload = frame["payload"]
    assert isinstance(payload, dict)
    assert payload["error"]["code"] == -32603
    assert "the limit is 4096" in payload["error"]["message"]
    assert rig.core.calls_in_flight() == 0


def test_a_stream_answered_with_too_much_at_once_ends_with_an_error() -> None:
    rig = Rig(max_message_bytes=4096)
    client = serve(rig)
    rig.feed(client, make_request(CLIENT, rtype=4))
    rig.do(rig.core.reply((CLIENT, "c1"), b'"%b"' % (b"x" * 5000), 0.0))
    [frame] = frames(rig.said(client), "Data")
    assert "error" in str(frame["payload"])


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
    rig.advance(10.0)
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


# Flow control


def test_a_stream_whose_reader_does_not_grant_waits_and_others_pass() -> None:
    trio = Trio()
    trio.ask(rtype=4)
    trio.ask(rtype=4, corrId="c2", id="e2")
    for number in range(40):
        trio.item(number)
    assert len(trio.rig.said(trio.client)) == 32
    trio.item(0, "c2")
    assert len(trio.rig.said(trio.client)) == 1


def test_credit_lets_what_waits_go_and_is_given_back_only_then() -> None:
    trio = Trio()
    trio.agent.extensions = frozenset({"window"})
    trio.rig.session(trio.agent).flow.resize(32, 32, 8192)
    trio.ask(rtype=4)
    for number in range(40):
        trio.item(number)
    trio.rig.said(trio.client)
    assert sum(message["frame"]["credits"] for message in trio.rig.granted(trio.agent)) == 32
    grant: Json = {"type": "CreditUpdate", "flowId": "c1", "credits": 32}
    trio.rig.feed(trio.client, make_envelope(grant, flowId="c1"))
    assert len(trio.rig.said(trio.client)) == 8
    assert sum(message["frame"]["credits"] for message in trio.rig.granted(trio.agent)) == 8


def test_a_plain_agent_gets_its_credit_at_once_however_slow_the_reader_is() -> None:
    """It waits for credit in its read loop, and everybody else's calls with it (spec 7)."""
    trio = Trio()
    trio.ask(rtype=4)
    for number in range(40):
        trio.item(number)
    assert len(trio.rig.granted(trio.agent)) == 40


def test_a_request_that_waits_has_its_credit_given_back_at_once() -> None:
    """Only a stream of ours is held to its reader's pace; a flow that many calls share never is."""
    trio = Trio()
    for number in range(40):
        trio.ask(corrId=f"c{number}")
    assert len(trio.rig.granted(trio.client)) == 40


def test_the_end_of_a_stream_waits_its_turn_behind_the_items() -> None:
    trio = Trio()
    trio.ask(rtype=4)
    for number in range(33):
        trio.item(number)
    trio.rig.feed(trio.agent, make_answer(CLIENT) | {"flowId": "c1"})
    assert len(trio.rig.said(trio.client)) == 32
    grant: Json = {"type": "CreditUpdate", "flowId": "c1", "credits": 32}
    trio.rig.feed(trio.client, make_envelope(grant, flowId="c1"))
    payloads = [frame["payload"] for frame in frames(trio.rig.said(trio.client), "Data")]
    assert payloads == [{"jsonrpc": "2.0", "id": "c1", "result": 32}, {"jsonrpc": "2.0", "id": "c1"}]


def fill(trio: Trio) -> None:
    """Have the client's link take nothing any more, and fill what may wait for it."""
    trio.rig.do(trio.rig.core.link_stalled(trio.client))


def test_an_item_there_is_no_room_for_ends_the_stream_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "MAX_HELD_BYTES", 600)
    trio = Trio(ours=True)
    trio.ask(rtype=4)
    fill(trio)
    for number in range(4):
        trio.item(number)
    nack = nack_of([message for message in trio.rig.said(trio.client) if "DeliveryAck" in types([message])])
    assert (nack["code"], nack["refId"]) == ("QUEUE_FULL", "e1")
    assert "CallCancel" in types(trio.rig.said(trio.agent))
    assert trio.rig.core.calls_in_flight() == 0


def test_an_answer_there_is_no_room_for_is_refused_to_its_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "MAX_HELD_BYTES", 0)
    trio = Trio()
    trio.ask()
    fill(trio)
    assert nack_of(trio.answer(result=7))["code"] == "QUEUE_FULL"
    assert trio.rig.core.calls_in_flight() == 0


def test_an_answer_of_ours_there_is_no_room_for_is_refused_to_its_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "MAX_HELD_BYTES", 0)
    rig = Rig()
    client = serve(rig)
    rig.feed(client, make_request(CLIENT))
    rig.do(rig.core.link_stalled(client))
    rig.do(rig.core.reply((CLIENT, "c1"), b"7", 0.0))
    assert nack_of(rig.said(client))["code"] == "QUEUE_FULL"
    assert rig.core.calls_in_flight() == 0


def test_a_request_there_is_no_room_for_is_refused_to_its_sender(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "MAX_HELD_BYTES", 0)
    trio = Trio()
    trio.rig.do(trio.rig.core.link_stalled(trio.agent))
    assert trio.ask() == []
    assert nack_of(trio.rig.said(trio.client))["code"] == "QUEUE_FULL"
    assert trio.rig.core.calls_in_flight() == 0


def test_a_producer_waits_for_credit_and_is_woken_by_it() -> None:
    rig = Rig()
    client = serve(rig)
    rig.feed(client, make_request(CLIENT, rtype=4))
    key = (CLIENT, "c1")
    sent = 0
    while rig.core.writable(key):
        rig.do(rig.core.reply_item(key, b"1", 0.0))
        sent += 1
    assert sent == 256
    grant: Json = {"type": "CreditUpdate", "flowId": "c1", "credits": 64}
    assert rig.feed(client, make_envelope(grant, flowId="c1")) == [FlowOpen(key)]
    assert rig.feed(client, make_envelope(grant, flowId="c1")) == []
    assert rig.core.writable(key)


def test_credit_of_another_link_wakes_nobody() -> None:
    rig = Rig()
    client = serve(rig)
    other = rig.child("other", ours=True)
    rig.feed(client, make_request(CLIENT, rtype=4))
    key = (CLIENT, "c1")
    while rig.core.writable(key):
        rig.do(rig.core.reply_item(key, b"1", 0.0))
    grant: Json = {"type": "CreditUpdate", "flowId": "c1", "credits": 64}
    assert rig.feed(other, make_envelope(grant, flowId="c1")) == []
    rig.do(rig.core.link_stalled(other))
    assert rig.do(rig.core.link_drained(other)) == []


def test_a_call_that_has_ended_keeps_no_producer_waiting() -> None:
    rig = Rig()
    client = serve(rig)
    rig.feed(client, make_request(CLIENT, rtype=4))
    rig.do(rig.core.link_stalled(client))
    assert not rig.core.writable((CLIENT, "c1"))
    rig.feed(client, cancel_of())
    assert rig.core.writable((CLIENT, "c1"))
    assert rig.do(rig.core.link_drained(client)) == []


def test_an_item_in_its_own_flow_names_the_link_to_give_credit_to() -> None:
    rig, parent = caller()
    key = rig.call(MATH, streaming=True)
    rig.feed(parent, make_answer(*key, result=1) | {"flowId": key[1]})
    rig.feed(parent, make_answer(*key, result=2))
    sources = [effect.source for effect in rig.log if isinstance(effect, ItemArrived)]
    assert sources == [parent, None]


def test_an_envelope_a_trace_would_make_too_large_passes_without() -> None:
    rig = Rig(max_message_bytes=2000)
    agent, client = rig.child("a1"), rig.child("c")
    rig.bind(agent, MATH)
    request = make_request(CLIENT, meta={"fame.trace": []})
    frame = request["frame"]
    assert isinstance(frame, dict)
    payload = frame["payload"]
    assert isinstance(payload, dict)
    payload["params"] = {"x": ""}
    payload["params"] = {"x": "x" * (1995 - len(json.dumps(request, separators=(",", ":"))))}
    rig.feed(client, json.dumps(request, separators=(",", ":")).encode())
    [passed] = rig.said(agent)
    assert passed["meta"] == {"fame.trace": []}
