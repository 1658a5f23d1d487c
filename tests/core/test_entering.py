"""How requests enter the table of calls: under names of their own, for as long as their caller waits."""

import pytest
from core_rig import CLIENT, Rig, Trio, make_request, nack_of, types


def test_a_second_link_that_uses_a_callers_names_is_refused_and_the_caller_still_served() -> None:
    trio = Trio(ours=True)
    thief = trio.rig.child("thief", ours=True)
    trio.ask()
    trio.rig.feed(thief, make_request(CLIENT, id="e9"))
    assert trio.rig.said(trio.agent) == []
    assert trio.rig.said(trio.client) == []
    assert trio.answer(result=7)


def test_two_callers_may_use_the_same_corr_id() -> None:
    """The same corrId is no matter as long as the answers go elsewhere."""
    trio = Trio(ours=True)
    thief = trio.rig.child("thief", ours=True)
    trio.ask()
    trio.rig.feed(thief, make_request("__rpc__x@/s1/thief"))
    assert len(trio.rig.said(trio.agent)) == 1


def test_a_call_of_our_own_learns_where_it_went() -> None:
    trio = Trio()
    key = trio.rig.call("math1@fame.fabric")
    trio.rig.do(trio.rig.core.link_closed(trio.agent))
    assert [outcome.code for outcome in trio.rig.outcomes(key)] == ["LINK_LOST"]


# Circles


def test_a_request_that_comes_again_by_another_link_has_gone_in_a_circle_and_its_call_ends() -> None:
    trio = Trio(ours=True)
    west, east = trio.rig.peer("s2", ours=True), trio.rig.peer("s3", ours=True)
    trio.rig.feed(west, make_request("__rpc__x@/s2/c"))
    assert types(trio.rig.said(trio.agent)) == ["Data"]
    trio.rig.feed(east, make_request("__rpc__x@/s2/c"))
    nack = nack_of(trio.rig.said(west))
    assert (nack["code"], nack["refId"]) == ("ROUTE_LOOP", "e1")
    assert "came to s1 again" in str(nack["reason"])
    assert types(trio.rig.said(trio.agent)) == ["CallCancel"]
    assert trio.rig.said(east) == []
    assert trio.rig.core.calls_in_flight() == 0


def test_a_request_of_our_own_that_comes_back_has_gone_in_a_circle() -> None:
    rig = Rig()
    west, east = rig.peer("s2", ours=True), rig.peer("s3", ours=True)
    rig.mesh_offer(west, "s2", {"far@fame.fabric": 1})
    rig.mesh_offer(east, "s3", {"far@fame.fabric": 1})
    rig.settle()
    rig.said(west)
    key = rig.call("far@fame.fabric")
    [request] = rig.said(west)
    rig.feed(east, request)
    assert [outcome.code for outcome in rig.outcomes(key)] == ["ROUTE_LOOP"]


def test_the_same_request_by_the_same_link_is_no_circle() -> None:
    """At-least-once senders repeat an envelope whose acknowledgement was slow (spec 6.4)."""
    trio = Trio(ours=True)
    assert len(trio.ask()) == 1
    assert len(trio.ask()) == 1
    assert trio.rig.said(trio.client) == []
    assert trio.rig.core.calls_in_flight() == 1


# Time


@pytest.mark.parametrize(
    ("milliseconds", "seconds"), [(1, 2), (999, 2), (1000, 4), (2999, 4), (30_000, 32), (60_000, 64)]
)
def test_a_call_ends_on_the_way_some_time_after_its_caller_has_given_up(milliseconds: int, seconds: int) -> None:
    """Not before, and not long after; few different times make little to keep."""
    trio = Trio()
    trio.ask(meta={"fame.timeout": milliseconds})
    assert trio.rig.core.state.calls.next_deadline() == seconds
    assert milliseconds / 1000 < seconds <= 2 * milliseconds / 1000 + 2


@pytest.mark.parametrize("limit", [0, -5, 2**31, 10**30, 1.5, "5000", None, []])
def test_an_odd_time_counts_as_none(limit: object) -> None:
    trio = Trio()
    trio.ask(meta={"fame.timeout": limit})
    assert trio.rig.core.state.calls.next_deadline() is None


def test_a_stream_has_no_time_of_its_own_on_the_way_because_its_reader_may_take_his() -> None:
    trio = Trio(ours=True)
    trio.ask(rtype=4, meta={"fame.timeout": 1000})
    trio.item(1)
    assert trio.rig.core.state.calls.next_deadline() is None


def test_a_request_sent_again_has_its_whole_time_again_and_only_once() -> None:
    trio = Trio(ours=True)
    trio.ask(meta={"fame.timeout": 30_000})
    trio.rig.now = 10.0
    trio.ask(meta={"fame.timeout": 1000})
    assert trio.rig.core.state.calls.next_deadline() == 14.0
    trio.answer(result=1)
    assert trio.rig.core.state.calls.next_deadline() is None
