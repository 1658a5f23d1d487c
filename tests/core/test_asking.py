"""Calls of a node's own: how the request is written, and when it never leaves."""

import pytest
from core_rig import MATH, Rig, caller

from fame_cli.errors import LocalProtocolError, RemoteProtocolError


def test_a_request_is_written_as_the_original_writes_it_but_for_its_time_and_its_hops() -> None:
    rig, parent = caller()
    key = rig.call(MATH)
    [request] = rig.said(parent)
    assert (request["to"], request["replyTo"], request["rtype"], request["corrId"]) == (MATH, key[0], 2, key[1])
    assert request["frame"] == {
        "type": "Data",
        "payload": {"jsonrpc": "2.0", "id": key[1], "method": "add", "params": {}},
    }
    assert {"id", "sid", "traceId", "flowId", "seqId", "flowFlags", "ts", "version"} <= set(request)
    assert request["meta"] == {"fame.timeout": 30_000}
    assert (list(request)[-1], request["ttl"]) == ("ttl", 15)
    assert "capabilities" not in request


def test_a_stream_by_capability_says_so() -> None:
    rig, parent = caller()
    rig.call(None, capabilities=["op:add"], streaming=True, trace=True)
    [request] = rig.said(parent)
    assert (request["rtype"], request["capabilities"]) == (4, ["op:add"])
    assert request["meta"] == {"fame.timeout": 30_000, "fame.trace": []}
    assert "to" not in request


def test_requests_are_numbered_on_from_the_attach() -> None:
    rig, parent = caller()
    for _ in range(3):
        rig.call(MATH)
    assert [(message["seqId"], message["flowFlags"]) for message in rig.said(parent)] == [(1, 0), (2, 0), (3, 0)]


def test_a_call_to_what_is_no_address_is_refused_and_leaves_nothing_behind() -> None:
    rig, _ = caller()
    with pytest.raises(RemoteProtocolError):
        rig.core.call("nonsense", "add", b"{}", 0.0)
    assert rig.core.calls_in_flight() == 0


def test_a_call_of_an_operation_without_json_form_is_our_own_mistake() -> None:
    rig, _ = caller()
    with pytest.raises(LocalProtocolError):
        rig.core.call(MATH, "\ud800", b"{}", 0.0)
    assert rig.core.calls_in_flight() == 0


def test_a_request_that_is_too_large_never_leaves() -> None:
    rig = Rig("c", routes=False, max_message_bytes=4096)
    parent = rig.parent("s1", path="/s1/c", ours=True)
    key, effects = rig.core.call(MATH, "add", b'"%b"' % (b"x" * 5000), 0.0)
    rig.do(effects)
    assert [(outcome.kind, outcome.code) for outcome in rig.outcomes(key)] == [("nack", "MESSAGE_TOO_LARGE")]
    assert rig.said(parent) == []


@pytest.mark.parametrize(("seconds", "said"), [(2.5, 2500), (0.0001, 1), (86_400.0, 86_400_000)])
def test_a_request_says_how_long_its_caller_waits(seconds: float, said: int) -> None:
    rig, parent = caller()
    rig.call(MATH, timeout_s=seconds)
    [request] = rig.said(parent)
    assert request["meta"] == {"fame.timeout": said}


@pytest.mark.parametrize("seconds", [2**31 / 1000, 1e30, float("inf")])
def test_a_caller_who_waits_for_ever_says_nothing_of_it(seconds: float) -> None:
    rig, parent = caller()
    rig.call(MATH, timeout_s=seconds)
    [request] = rig.said(parent)
    assert "meta" not in request


def test_a_request_names_its_session_when_there_is_one() -> None:
    rig, parent = caller()
    rig.call(MATH, session="a")
    [request] = rig.said(parent)
    assert request["meta"] == {"fame.timeout": 30_000, "fame.session": "a"}


def test_a_request_that_no_link_leads_up_for_is_refused_at_once() -> None:
    rig, parent = caller()
    rig.do(rig.core.link_closed(parent))
    key = rig.call(MATH)
    assert [(outcome.kind, outcome.code) for outcome in rig.outcomes(key)] == [("nack", "LINK_LOST")]


def test_a_request_of_a_leaf_that_was_never_attached_is_refused_at_once() -> None:
    rig = Rig("c", routes=False)
    key = rig.call(MATH)
    assert [(outcome.kind, outcome.code) for outcome in rig.outcomes(key)] == [("nack", "NO_ROUTE")]


def test_a_leaf_without_a_link_can_still_call_itself() -> None:
    rig = Rig("a1", routes=False)
    rig.do(rig.core.bind(MATH))
    key = rig.call(MATH)
    assert [request.key for request in rig.requests()] == [key]


def test_a_sentinel_needs_no_link_upwards() -> None:
    rig = Rig()
    rig.do(rig.core.bind(MATH))
    key = rig.call(MATH)
    assert [request.key for request in rig.requests()] == [key]
