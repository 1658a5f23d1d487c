"""The way of data envelopes through one node: where they go, what changes on the way, and what is refused out loud."""

import json

import pytest
from core_rig import (
    CLIENT,
    MATH,
    Json,
    Rig,
    Trio,
    frames,
    make_answer,
    make_envelope,
    make_request,
    nack_of,
    types,
)

from fame_cli.core.balance import Balance
from fame_cli.core.effects import Send
from fame_cli.core.flow import LINK_SHARE
from fame_cli.core.link import Link

FAR = "far@fame.fabric"


def meta_of(message: Json) -> Json:
    meta = message["meta"]
    assert isinstance(meta, dict)
    return meta


class Crossing:
    """Be s1 with a client, and with s2 and s3 of the mesh; s3, to the east, has `FAR`."""

    def __init__(self, *, balance: Balance = "nearest", max_hops: int = 16) -> None:
        self.rig = Rig(balance=balance, max_hops=max_hops)
        self.client = self.rig.child("c", ours=True)
        self.west, self.east = self.rig.peer("s2", ours=True), self.rig.peer("s3", ours=True)
        self.rig.mesh_offer(self.west, "s2", {"/s2": 1})
        self.rig.mesh_offer(self.east, "s3", {"/s3": 1, FAR: 1})
        self.rig.settle()
        self.rig.said(self.west)
        self.rig.said(self.east)

    def ask(self, link: Link | None = None, reply_to: str = CLIENT, **changes: object) -> None:
        """Send a request for `FAR` from the client, or from another neighbour."""
        self.rig.feed(link or self.client, make_request(reply_to, **{"to": FAR, **changes}))


# Forwarding


def test_a_request_and_its_answer_pass_unchanged_but_for_the_hops() -> None:
    trio = Trio()
    assert trio.ask() == [make_request(CLIENT, ttl=15)]
    assert trio.answer(result=7) == [make_answer(CLIENT, result=7) | {"ttl": 15}]
    assert trio.rig.core.calls_in_flight() == 0


def test_what_is_forwarded_are_the_bytes_that_came_with_the_hops_at_the_end() -> None:
    trio = Trio()
    data = json.dumps(make_request(CLIENT, fromTheFuture=[1])).encode()
    effects = trio.rig.core.receive(trio.client, data, 0.0)
    assert [e.data for e in effects if isinstance(e, Send) and e.link is trio.agent] == [data[:-1] + b',"ttl":15}']


def test_only_the_trace_of_a_traced_envelope_changes_beside_the_hops() -> None:
    trio = Trio()
    [request] = trio.ask(meta={"fame.trace": [], "other": 1})
    assert request == make_request(CLIENT, meta={"fame.trace": ["s1;child;0"], "other": 1}, ttl=15)


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


@pytest.mark.parametrize("kind", ["SecureOpen", "SecureAccept", "SecureClose"])
def test_secure_frames_are_carried_like_data(kind: str) -> None:
    trio = Trio()
    frame: Json = {"type": kind, "cid": "x", "ephPub": "p"}
    trio.rig.feed(trio.client, make_envelope(frame, to=MATH))
    assert types(trio.rig.said(trio.agent)) == [kind]


def test_a_secure_frame_passes_a_stream_and_ends_it() -> None:
    trio = Trio()
    trio.ask(rtype=4)
    trio.rig.feed(trio.agent, make_envelope({"type": "SecureClose", "cid": "x"}, to=CLIENT, corrId="c1"))
    assert trio.rig.core.calls_in_flight() == 0


def test_a_request_under_the_names_of_another_call_goes_no_further() -> None:
    trio = Trio(ours=True)
    thief = trio.rig.child("thief", ours=True)
    trio.ask()
    trio.rig.feed(thief, make_request(CLIENT, id="e9"))
    assert trio.rig.said(trio.agent) == []
    assert trio.answer(result=7)


def test_a_request_whose_answer_could_not_be_addressed_is_not_forwarded() -> None:
    """A bad address anywhere spoils the envelope (spec 3.1); else answering it would fail at the provider."""
    crossing = Crossing()
    crossing.ask(reply_to="nonsense", rtype=3)
    assert crossing.rig.said(crossing.client) == crossing.rig.said(crossing.east) == []
    assert crossing.rig.core.calls_in_flight() == 0


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


def test_an_envelope_the_hops_would_make_too_large_passes_without() -> None:
    rig = Rig(max_message_bytes=1000)
    agent, client = rig.child("a1"), rig.child("c")
    rig.bind(agent, MATH)
    request = make_request(CLIENT, more="")
    request["more"] = "x" * (995 - len(json.dumps(request, separators=(",", ":"))))
    rig.feed(client, json.dumps(request, separators=(",", ":")).encode())
    assert rig.said(agent) == [request]


# Hops


@pytest.mark.parametrize(("before", "after"), [(None, 15), (16, 15), (15, 14), (1, 0), (17, 15), (10**9, 15)])
def test_each_hop_takes_one_off_and_no_more_are_left_than_our_own_limit(before: int | None, after: int) -> None:
    trio = Trio()
    [request] = trio.ask(ttl=before)
    assert request["ttl"] == after


def test_an_answer_is_counted_like_a_request() -> None:
    trio = Trio()
    trio.ask()
    trio.rig.feed(trio.agent, make_answer(CLIENT, result=7) | {"ttl": 5})
    [answer] = trio.rig.said(trio.client)
    assert answer["ttl"] == 4


def test_the_limit_is_a_setting() -> None:
    crossing = Crossing(max_hops=3)
    crossing.ask()
    [request] = crossing.rig.said(crossing.east)
    assert request["ttl"] == 2


@pytest.mark.parametrize("hops", [0, -1, -(2**62)])
def test_a_request_that_may_go_no_further_is_refused_where_it_is(hops: int) -> None:
    trio = Trio()
    assert trio.ask(ttl=hops) == []
    nack = nack_of(trio.rig.said(trio.client))
    assert (nack["code"], nack["refId"]) == ("HOP_LIMIT", "e1")
    assert MATH in str(nack["reason"])
    assert trio.rig.core.calls_in_flight() == 0


def test_a_request_that_may_go_no_further_is_served_where_it_is() -> None:
    rig = Rig()
    rig.do(rig.core.bind(MATH))
    rig.feed(rig.child("c"), make_request(CLIENT, ttl=0))
    assert len(rig.requests()) == 1


def test_a_request_by_capability_that_may_go_no_further_is_refused_as_well() -> None:
    crossing = Crossing()
    crossing.rig.mesh_offer(crossing.east, "s3", {f"op:add {FAR}": 1})
    crossing.rig.settle()
    crossing.ask(to=None, capabilities=["op:add"], ttl=0)
    assert nack_of(crossing.rig.said(crossing.client))["code"] == "HOP_LIMIT"


def test_an_answer_that_may_go_no_further_and_that_nobody_waits_for_is_dropped_and_counted() -> None:
    trio = Trio(ours=True)
    trio.rig.feed(trio.agent, make_answer(CLIENT, result=7) | {"ttl": 0})
    assert trio.rig.said(trio.client) == []
    assert trio.rig.core.state.unroutable == 1


def test_what_this_node_sends_itself_has_one_hop_behind_it_already() -> None:
    rig = Rig(max_hops=1)
    peer = rig.peer("s2", ours=True)
    rig.mesh_offer(peer, "s2", {FAR: 1})
    rig.settle()
    rig.said(peer)
    rig.call(FAR)
    [request] = rig.said(peer)
    assert request["ttl"] == 0


# The way back


def test_an_answer_goes_back_the_way_its_request_came_wherever_the_routes_point() -> None:
    crossing = Crossing()
    rig, agent = crossing.rig, crossing.rig.child("a1")
    rig.bind(agent, MATH)
    rig.feed(crossing.west, make_request("__rpc__x@/s3/c", to=MATH))
    rig.feed(agent, make_answer("__rpc__x@/s3/c", result=7))
    assert types(rig.said(crossing.west)) == ["Data"]
    assert rig.said(crossing.east) == []


def test_an_answer_goes_back_to_a_neighbour_whose_address_nobody_knows() -> None:
    trio = Trio()
    trio.ask(replyTo="x@elsewhere")
    trio.rig.feed(trio.agent, make_answer("x@elsewhere", result=7))
    assert types(trio.rig.said(trio.client)) == ["Data"]
    assert trio.rig.core.calls_in_flight() == 0


def test_an_answer_to_no_call_that_is_known_follows_the_routes() -> None:
    crossing = Crossing()
    crossing.rig.feed(crossing.client, make_answer("__rpc__x@/s3/c", result=7))
    assert types(crossing.rig.said(crossing.east)) == ["Data"]
    crossing.rig.feed(crossing.client, make_answer("__rpc__x@/s9/c", result=7))
    assert crossing.rig.core.state.unroutable == 1


@pytest.mark.parametrize("answer", ["Data", "DeliveryAck"])
@pytest.mark.parametrize("intruder", ["child", "plain child", "sentinel"])
def test_whoever_was_not_asked_cannot_answer(answer: str, intruder: str) -> None:
    """Neither does the call end, nor does its caller hear of it; the true answer still comes through."""
    trio = Trio()
    ours = intruder != "plain child"
    evil = trio.rig.peer("s9", ours=True) if intruder == "sentinel" else trio.rig.child("evil", ours=ours)
    trio.ask()
    forged = make_answer(CLIENT, result=666)
    if answer == "DeliveryAck":
        forged["frame"] = {"type": "DeliveryAck", "ok": False, "code": "NO_ROUTE", "refId": "x"}
    trio.rig.feed(evil, forged)
    assert trio.rig.said(trio.client) == []
    assert trio.answer(result=7) == [make_answer(CLIENT, result=7) | {"ttl": 15}]


def test_a_plain_sentinel_may_answer_by_another_of_its_links() -> None:
    trio = Trio()
    other = trio.rig.peer("n2", ours=False)
    trio.ask()
    trio.rig.feed(other, make_answer(CLIENT, result=7))
    assert types(trio.rig.said(trio.client)) == ["Data"]


def test_a_caller_cannot_answer_itself() -> None:
    """What comes by the link the request came by is no answer to it."""
    crossing = Crossing()
    crossing.ask(crossing.west, "__rpc__x@/s3/c")
    crossing.rig.said(crossing.east)
    crossing.rig.feed(crossing.west, make_answer("__rpc__x@/s3/c", result=7))
    assert types(crossing.rig.said(crossing.east)) == ["Data"]
    assert crossing.rig.said(crossing.west) == []


# The mesh


def test_next_hops_are_computed_anew_before_they_are_used() -> None:
    crossing = Crossing()
    crossing.rig.do(crossing.rig.core.link_closed(crossing.east))
    crossing.rig.mesh_offer(crossing.west, "s3", {FAR: 1})
    crossing.rig.settle()
    crossing.ask()
    assert "Data" in types(crossing.rig.said(crossing.west))


def test_a_request_for_a_sentinel_that_has_gone_out_of_reach_is_refused() -> None:
    crossing = Crossing()
    crossing.rig.do(crossing.rig.core.link_closed(crossing.east))
    crossing.ask(meta={"fame.via": "s3"})
    nack = nack_of(crossing.rig.said(crossing.client))
    assert (nack["code"], nack["reason"]) == ("NO_ROUTE", "s3 is out of reach")


def test_a_request_that_was_given_to_a_sentinel_goes_there_past_nearer_providers() -> None:
    crossing = Crossing()
    crossing.rig.do(crossing.rig.core.bind(FAR))
    crossing.ask(crossing.west, "__rpc__x@/s2/c", meta={"fame.via": "s3"})
    [request] = crossing.rig.said(crossing.east)
    assert meta_of(request) == {"fame.via": "s3"}
    assert crossing.rig.requests() == []


@pytest.mark.parametrize("via", [5, None, ["s3"], ""])
def test_an_odd_pin_is_none(via: object) -> None:
    crossing = Crossing()
    crossing.rig.do(crossing.rig.core.bind(FAR))
    crossing.ask(meta={"fame.via": via})
    assert len(crossing.rig.requests()) == 1


def test_a_leaf_takes_what_was_given_to_its_sentinel() -> None:
    rig = Rig("a1", routes=False)
    rig.do(rig.core.bind(MATH))
    parent = rig.parent("s1", path="/s1/a1", ours=True)
    rig.feed(parent, make_request("__rpc__x@/s1/c", meta={"fame.via": "s1"}))
    assert len(rig.requests()) == 1


@pytest.mark.parametrize("balance", ["round_robin", "random", "sticky"])
def test_a_sentinel_that_spreads_calls_gives_each_to_the_sentinel_it_chose(balance: Balance) -> None:
    crossing = Crossing(balance=balance)
    crossing.rig.mesh_offer(crossing.east, "s3", {"math@*.fame.fabric": 1, f"op:add {FAR}": 1})
    crossing.rig.settle()
    crossing.ask(to="math@fame.fabric")
    crossing.ask(to=None, capabilities=["op:add"], corrId="c2", meta={"other": 1})
    first, second = crossing.rig.said(crossing.east)
    assert meta_of(first) == {"fame.via": "s3"}
    assert meta_of(second) == {"fame.via": "s3", "other": 1}
    assert first["ttl"] == 15


def test_an_address_with_one_owner_is_given_to_nobody() -> None:
    crossing = Crossing(balance="round_robin")
    crossing.ask()
    [request] = crossing.rig.said(crossing.east)
    assert "meta" not in request


def test_a_sentinel_that_takes_the_nearest_leaves_the_choice_to_the_next() -> None:
    crossing = Crossing()
    crossing.rig.mesh_offer(crossing.east, "s3", {"math@*.fame.fabric": 1})
    crossing.rig.settle()
    crossing.ask(to="math@fame.fabric")
    [request] = crossing.rig.said(crossing.east)
    assert "meta" not in request


@pytest.mark.parametrize("same", [{"meta": {"fame.session": "a"}}, {"sid": "a"}])
def test_a_sentinel_that_keeps_sessions_together_asks_one_provider_for_each(same: Json) -> None:
    """The session is what the caller calls so, or else the caller."""
    crossing = Crossing(balance="sticky")
    for link, node_id in ((crossing.west, "s2"), (crossing.east, "s3")):
        crossing.rig.mesh_offer(link, node_id, {"math@*.fame.fabric": 1})
    crossing.rig.settle()
    for number in range(8):
        crossing.ask(to="math@fame.fabric", corrId=f"c{number}", id=f"e{number}", **same)
    asked = [types(crossing.rig.said(link)).count("Data") for link in (crossing.west, crossing.east)]
    assert sorted(asked) == [0, 8]


def test_a_sentinel_that_spreads_at_random_asks_all_providers() -> None:
    crossing = Crossing(balance="random")
    for link, node_id in ((crossing.west, "s2"), (crossing.east, "s3")):
        crossing.rig.mesh_offer(link, node_id, {"math@*.fame.fabric": 1})
    crossing.rig.settle()
    for number in range(16):
        crossing.ask(to="math@fame.fabric", corrId=f"c{number}", id=f"e{number}", sid="a")
    asked = [types(crossing.rig.said(link)).count("Data") for link in (crossing.west, crossing.east)]
    assert min(asked) > 0


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


def test_a_request_from_elsewhere_finds_back_through_a_plain_peer() -> None:
    """It sends answers by the first segment of their address only (spec 9.2)."""
    crossing = Crossing()
    plain = crossing.rig.peer("n1")
    crossing.rig.bind(plain, MATH)
    crossing.rig.feed(crossing.west, make_request("__rpc__x@/s2/c", to=MATH))
    [request] = crossing.rig.said(plain)
    assert request == make_request("__rpc__x@/s1/s2/c", to=MATH, ttl=15)
    crossing.rig.feed(plain, make_answer("__rpc__x@/s1/s2/c", result=7))
    [answer] = crossing.rig.said(crossing.west)
    assert answer == make_answer("__rpc__x@/s2/c", result=7) | {"ttl": 15}
    assert crossing.rig.core.calls_in_flight() == 0


def test_a_request_from_below_finds_back_through_a_plain_peer_as_it_is() -> None:
    crossing = Crossing()
    plain = crossing.rig.peer("n1")
    crossing.rig.bind(plain, MATH)
    crossing.ask(to=MATH)
    assert crossing.rig.said(plain) == [make_request(CLIENT, to=MATH, ttl=15)]
    crossing.rig.feed(plain, make_answer(CLIENT, result=7))
    assert crossing.rig.said(crossing.client) == [make_answer(CLIENT, result=7) | {"ttl": 15}]


def test_a_request_from_elsewhere_finds_back_through_a_plain_parent() -> None:
    rig = Rig()
    parent, peer = rig.parent(path="/root/s1"), rig.peer("s2", ours=True)
    rig.feed(peer, make_request("__rpc__x@/s2/c", to=MATH))
    [request] = rig.said(parent)
    assert request["replyTo"] == "__rpc__x@/root/s1/s2/c"
    rig.said(peer)
    rig.feed(parent, make_answer("__rpc__x@/root/s1/s2/c", result=7))
    assert rig.said(peer) == [make_answer("__rpc__x@/s2/c", result=7) | {"ttl": 15}]


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


def test_an_item_there_is_no_room_for_ends_the_stream_on_both_sides() -> None:
    trio = Trio(ours=True)
    trio.rig.core.state.budget.most_bytes = 600 * LINK_SHARE
    trio.ask(rtype=4)
    fill(trio)
    for number in range(4):
        trio.item(number)
    nack = nack_of([message for message in trio.rig.said(trio.client) if "DeliveryAck" in types([message])])
    assert (nack["code"], nack["refId"]) == ("QUEUE_FULL", "e1")
    assert "CallCancel" in types(trio.rig.said(trio.agent))
    assert trio.rig.core.calls_in_flight() == 0


def test_an_answer_there_is_no_room_for_is_refused_to_its_caller() -> None:
    trio = Trio()
    trio.rig.core.state.budget.most_bytes = 0
    trio.ask()
    fill(trio)
    assert nack_of(trio.answer(result=7))["code"] == "QUEUE_FULL"
    assert trio.rig.core.calls_in_flight() == 0


def test_a_request_there_is_no_room_for_is_refused_to_its_sender() -> None:
    trio = Trio()
    trio.rig.core.state.budget.most_bytes = 0
    trio.rig.do(trio.rig.core.link_stalled(trio.agent))
    assert trio.ask() == []
    assert nack_of(trio.rig.said(trio.client))["code"] == "QUEUE_FULL"
    assert trio.rig.core.calls_in_flight() == 0


@pytest.mark.parametrize("rtype", [2, None])
def test_what_is_in_no_flow_is_not_pushed_at_a_link_that_takes_no_more(rtype: int | None) -> None:
    """It could neither wait for credit nor cost any: whoever names no flow would fill the link of everybody else."""
    trio = Trio()
    request = {name: value for name, value in make_request(CLIENT, rtype=rtype).items() if name != "flowId"}
    trio.rig.feed(trio.client, {**request, "id": "first", "corrId": "first"})
    assert len(trio.rig.said(trio.agent)) == 1
    trio.rig.do(trio.rig.core.link_stalled(trio.agent))
    trio.rig.feed(trio.client, request)
    assert trio.rig.said(trio.agent) == []
    assert nack_of(trio.rig.said(trio.client))["code"] == "QUEUE_FULL"
