"""What this node's own operations say: results, items and errors, each to whoever asked, paced by their credit."""

from core_rig import CLIENT, MATH, Json, Rig, cancel_of, frames, make_envelope, make_request, nack_of

from fame_cli.core.effects import FlowOpen
from fame_cli.core.link import Link


def serve(rig: Rig) -> Link:
    rig.do(rig.core.bind(MATH))
    return rig.child("c", ours=True)


def test_an_answer_repeats_what_the_request_said() -> None:
    rig = Rig()
    client = serve(rig)
    rig.feed(client, make_request(CLIENT, traceId="t3"))
    rig.do(rig.core.reply((CLIENT, "c1"), b"7", 0.0))
    [answer] = rig.said(client)
    assert (answer["to"], answer["corrId"], answer["traceId"]) == (CLIENT, "c1", "t3")
    assert not {"replyTo", "rtype", "capabilities", "meta"} & set(answer)


def test_an_answer_may_take_as_many_hops_as_a_request() -> None:
    rig = Rig(max_hops=4)
    client = serve(rig)
    rig.feed(client, make_request(CLIENT))
    rig.do(rig.core.reply((CLIENT, "c1"), b"7", 0.0))
    [answer] = rig.said(client)
    assert answer["ttl"] == 3


def test_an_answer_goes_back_the_way_its_request_came_wherever_the_routes_point() -> None:
    rig = Rig()
    client = serve(rig)
    rig.feed(client, make_request("x@nowhere"))
    rig.do(rig.core.reply(("x@nowhere", "c1"), b"7", 0.0))
    assert [message["to"] for message in rig.said(client)] == ["x@nowhere"]
    assert rig.core.calls_in_flight() == 0


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


def test_an_answer_to_a_call_of_our_own_needs_no_link() -> None:
    rig = Rig()
    rig.do(rig.core.bind(MATH))
    key = rig.call(MATH)
    rig.do(rig.core.reply(key, b"7", 0.0))
    assert [bytes(outcome.value) for outcome in rig.outcomes(key)] == [b"7"]


def test_an_answer_of_ours_there_is_no_room_for_is_refused_to_its_caller() -> None:
    rig = Rig()
    rig.core.state.budget.most_bytes = 0
    client = serve(rig)
    rig.feed(client, make_request(CLIENT))
    rig.do(rig.core.link_stalled(client))
    rig.do(rig.core.reply((CLIENT, "c1"), b"7", 0.0))
    assert nack_of(rig.said(client))["code"] == "QUEUE_FULL"
    assert rig.core.calls_in_flight() == 0


# Producers


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
    assert rig.feed(client, make_envelope(grant, flowId="c1", replyTo=CLIENT, corrId="c1")) == [FlowOpen(key)]
    assert rig.feed(client, make_envelope(grant, flowId="c1", replyTo=CLIENT, corrId="c1")) == []
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
    assert rig.feed(other, make_envelope(grant, flowId="c1", replyTo=CLIENT, corrId="c1")) == []
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


def test_what_waited_for_credit_goes_out_in_order_when_it_comes() -> None:
    rig = Rig()
    client = serve(rig)
    rig.feed(client, make_request(CLIENT, rtype=4))
    rig.session(client).flow.send_window = 2
    for number in range(4):
        rig.do(rig.core.reply_item((CLIENT, "c1"), b"%d" % number, 0.0))
    rig.said(client)
    grant: Json = {"type": "CreditUpdate", "flowId": "c1", "credits": 2}
    rig.feed(client, make_envelope(grant, flowId="c1", replyTo=CLIENT, corrId="c1"))
    payloads = [frame["payload"] for frame in frames(rig.said(client), "Data")]
    assert payloads == [{"jsonrpc": "2.0", "id": "c1", "result": number} for number in (2, 3)]


def test_several_items_are_one_answer_that_says_how_many_and_one_is_as_it_always_was() -> None:
    rig = Rig()
    rig.do(rig.core.bind("math1@fame.fabric"))
    link = rig.child("c", ours=True)
    rig.feed(link, make_request(CLIENT, rtype=4))
    rig.said(link)
    rig.do(rig.core.reply_items((CLIENT, "c1"), [b"1", b'{"a":2}'], 0.0))
    rig.do(rig.core.reply_items((CLIENT, "c1"), [b"3"], 0.0))
    several, one = rig.said(link)
    assert several["frame"]["payload"]["result"] == [1, {"a": 2}]
    assert several["meta"] == {"fame.items": 2}
    assert one["frame"]["payload"]["result"] == 3
    assert "meta" not in one
    assert rig.core.calls_in_flight() == 1


def test_items_for_a_call_that_has_ended_go_nowhere() -> None:
    rig = Rig()
    link = rig.child("c", ours=True)
    rig.said(link)
    rig.do(rig.core.reply_items((CLIENT, "c1"), [b"1", b"2"], 0.0))
    assert rig.said(link) == []
