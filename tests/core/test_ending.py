"""How calls end early: refused, cancelled, or left alone by a link; and who is told, once, by the right way."""

import pytest
from core_rig import CLIENT, MATH, Rig, Trio, caller, cancel_of, make_answer, make_request, nack_of, types

from fame_cli.core.effects import DispatchCancelled
from fame_cli.core.link import Link


def provider() -> tuple[Rig, Link]:
    """Be a sentinel that serves `MATH` itself, with a client of ours."""
    rig = Rig()
    rig.do(rig.core.bind(MATH))
    return rig, rig.child("c", ours=True)


# Refusals


def test_no_route_is_answered_the_way_the_original_does() -> None:
    trio = Trio()
    trio.ask(to="nobody@fame.fabric", id="e7", traceId="t7", corrId="c7")
    nack = nack_of(trio.rig.said(trio.client))
    assert (nack["code"], nack["refId"], nack["corrId"], nack["traceId"]) == ("NO_ROUTE", "e7", "c7", "t7")
    assert (nack["to"], nack["flowFlags"]) == (CLIENT, 4)
    assert "replyTo" not in nack
    assert nack["sid"] == "4YYDfe32uhoXzWn6Kq7Rf9"


@pytest.mark.parametrize("missing", ["id", "replyTo", "corrId"])
def test_what_cannot_be_answered_is_dropped_in_silence(missing: str) -> None:
    trio = Trio()
    trio.ask(to="nobody@fame.fabric", **{missing: None})
    assert trio.rig.said(trio.client) == []


def test_a_refusal_that_has_no_way_is_dropped() -> None:
    trio = Trio()
    for reply_to in ("__sys__@/s1", "not an address"):
        trio.ask(to="nobody@fame.fabric", replyTo=reply_to)
    assert trio.rig.said(trio.client) == []
    assert len(trio.rig.noted("ack_undeliverable")) == 2


def test_a_refusal_nobody_has_a_route_for_goes_back_where_its_cause_came_from() -> None:
    trio = Trio()
    trio.ask(to="nobody@fame.fabric", replyTo="x@elsewhere")
    nack = nack_of(trio.rig.said(trio.client))
    assert (nack["code"], nack["to"]) == ("NO_ROUTE", "x@elsewhere")


def test_a_refusal_goes_back_into_the_mesh_where_its_cause_came_from_even_if_routes_point_elsewhere() -> None:
    trio = Trio()
    west, east = trio.rig.peer("s2", ours=True), trio.rig.peer("s3", ours=True)
    trio.rig.mesh_offer(east, "s3", {"/s3": 1})
    trio.rig.settle()
    trio.rig.said(west)
    trio.rig.said(east)
    trio.rig.feed(west, make_request("__rpc__x@/s3/c", to="nobody@fame.fabric"))
    assert nack_of(trio.rig.said(west))["code"] == "NO_ROUTE"
    assert trio.rig.said(east) == []


def test_an_answer_that_cannot_go_on_is_dropped_and_counted() -> None:
    trio = Trio()
    trio.rig.feed(trio.agent, make_answer("__rpc__x@/s1/gone", result=1))
    assert trio.rig.said(trio.agent) == []
    assert trio.rig.core.state.unroutable == 1


def test_a_request_that_is_refused_is_not_counted() -> None:
    trio = Trio()
    trio.ask(to="nobody@fame.fabric")
    assert trio.rig.core.state.unroutable == 0


def test_a_refused_request_is_no_call_any_more() -> None:
    trio = Trio()
    trio.ask(to="nobody@/s1/a1")
    assert trio.rig.core.calls_in_flight() == 0


# Lost links


def test_a_caller_hears_at_once_that_its_provider_is_gone() -> None:
    trio = Trio()
    trio.ask(traceId="t5")
    trio.rig.do(trio.rig.core.link_closed(trio.agent))
    nack = nack_of(trio.rig.said(trio.client))
    assert (nack["code"], nack["refId"], nack["traceId"], nack["to"]) == ("LINK_LOST", "e1", "t5", CLIENT)
    assert "a1" in str(nack["reason"])


@pytest.mark.parametrize("reply_to", ["x@/s1/gone", "__sys__@/s1", "x@nowhere"])
def test_a_caller_with_a_hostile_reply_address_does_no_harm_when_its_provider_dies(reply_to: str) -> None:
    trio = Trio()
    assert len(trio.ask(replyTo=reply_to)) == 1
    trio.rig.do(trio.rig.core.link_closed(trio.agent))
    assert trio.rig.core.calls_in_flight() == 0


def test_a_provider_of_ours_is_told_that_its_caller_is_gone() -> None:
    trio = Trio(ours=True)
    trio.ask(traceId="t5")
    trio.rig.do(trio.rig.core.link_closed(trio.client))
    [cancel] = trio.rig.said(trio.agent)
    assert cancel["frame"] == {"type": "CallCancel"}
    assert (cancel["replyTo"], cancel["corrId"], cancel["traceId"]) == (CLIENT, "c1", "t5")


def test_a_plain_provider_is_not_told() -> None:
    trio = Trio()
    trio.ask()
    trio.rig.do(trio.rig.core.link_closed(trio.client))
    assert trio.rig.said(trio.agent) == []


def test_nobody_is_told_of_a_call_whose_provider_left_with_its_caller() -> None:
    """A node that calls through its sentinel and serves the call itself is both ends of it."""
    rig = Rig()
    both = rig.child("a1", ours=True)
    rig.bind(both, MATH)
    rig.do(rig.core.link_closed(both))
    assert rig.core.calls_in_flight() == 0


# Time


def test_a_call_between_others_ends_when_its_caller_waits_no_more_and_its_provider_is_told() -> None:
    """Its caller has told the way to stop it, but the word may be lost where a node doesn't know it."""
    trio = Trio(ours=True)
    trio.ask(meta={"fame.timeout": 5000})
    trio.rig.advance(5.0)
    assert trio.rig.core.calls_in_flight() == 1
    trio.rig.advance(5.0)
    assert trio.rig.core.calls_in_flight() == 0
    assert types(trio.rig.said(trio.agent)) == ["CallCancel"]
    assert trio.rig.said(trio.client) == []


def test_the_work_of_this_node_stops_when_its_caller_waits_no_more() -> None:
    rig, client = provider()
    rig.feed(client, make_request(CLIENT, meta={"fame.timeout": 5000}))
    assert DispatchCancelled((CLIENT, "c1"), "the caller's time is over") in rig.advance(10.0)


def test_a_call_of_this_node_whose_time_is_over_ends_once() -> None:
    rig, parent = caller()
    key = rig.call(MATH, timeout_s=2.5)
    rig.said(parent)
    rig.advance(3.0)
    assert [(outcome.kind, outcome.message) for outcome in rig.outcomes(key)] == [("timeout", "2.5")]
    assert types(rig.said(parent)) == ["CallCancel"]


def test_the_time_of_a_stream_does_not_run_while_its_reader_takes_his() -> None:
    rig, parent = caller()
    key = rig.call(MATH, streaming=True, timeout_s=2.0)
    rig.feed(parent, make_answer(*key, result=1))
    rig.advance(9.0)
    assert rig.outcomes(key) == []


# Cancelling


def test_a_cancel_follows_the_request_and_ends_the_call() -> None:
    trio = Trio(ours=True)
    trio.ask()
    trio.rig.feed(trio.client, cancel_of())
    assert types(trio.rig.said(trio.agent)) == ["CallCancel"]
    assert trio.rig.core.calls_in_flight() == 0
    trio.rig.feed(trio.client, cancel_of())
    assert trio.rig.said(trio.agent) == []


def test_only_the_callers_link_may_cancel() -> None:
    trio = Trio(ours=True)
    other = trio.rig.child("other", ours=True)
    trio.ask()
    for link in (other, trio.agent):
        trio.rig.feed(link, cancel_of())
    assert trio.rig.said(trio.agent) == []
    assert trio.answer(result=7)


def test_a_cancel_of_nothing_is_passed_over() -> None:
    trio = Trio(ours=True)
    trio.rig.feed(trio.client, cancel_of(corr_id=None))
    assert trio.rig.said(trio.agent) == []


def test_a_cancel_stops_the_work_of_this_node() -> None:
    rig, client = provider()
    rig.feed(client, make_request(CLIENT))
    assert DispatchCancelled((CLIENT, "c1"), "cancelled") in rig.feed(client, cancel_of())


def test_a_caller_of_this_node_is_told_directly() -> None:
    rig, parent = caller()
    key = rig.call(MATH)
    rig.do(rig.core.link_closed(parent))
    assert [(outcome.kind, outcome.code) for outcome in rig.outcomes(key)] == [("nack", "LINK_LOST")]


def test_a_call_of_this_node_that_nobody_serves_is_refused_directly() -> None:
    rig = Rig()
    key = rig.call(MATH)
    assert [(outcome.kind, outcome.code) for outcome in rig.outcomes(key)] == [("nack", "NO_ROUTE")]


def test_a_refusal_is_not_sent_to_a_plain_third_party() -> None:
    """Somebody else's replyTo must not make us stop a neighbour's read loop."""
    trio = Trio()
    evil = trio.rig.child("evil", ours=True)
    trio.rig.feed(evil, make_request(CLIENT, to="nobody@fame.fabric"))
    assert trio.rig.said(trio.client) == []
    assert trio.rig.said(evil) == []


def test_a_refusal_of_a_borrowed_name_does_not_end_the_call_of_its_owner() -> None:
    trio = Trio(ours=True)
    thief = trio.rig.child("thief", ours=True)
    trio.ask()
    trio.rig.feed(thief, make_request(CLIENT, to="nobody@fame.fabric"))
    assert trio.rig.said(trio.client) == []
    assert trio.rig.core.calls_in_flight() == 1


def test_the_flow_of_an_ended_stream_begins_anew() -> None:
    trio = Trio()
    for _ in range(3):
        trio.ask(rtype=4)
        for number in range(31):
            trio.item(number)
        assert len(trio.answer()) == 32


def test_a_producer_that_waits_is_forgotten_with_its_call() -> None:
    rig, client = provider()
    rig.feed(client, make_request(CLIENT, rtype=4))
    rig.do(rig.core.link_stalled(client))
    assert not rig.core.writable((CLIENT, "c1"))
    rig.feed(client, cancel_of())
    assert rig.do(rig.core.link_drained(client)) == []
