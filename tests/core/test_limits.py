"""Bounds of a link: past one of them a neighbour hears why, and nobody else notices."""

import json
from collections.abc import Iterable

from core_rig import MATH, Rig, make_envelope, make_request

from fame_cli.core.effects import CloseLink
from fame_cli.core.limits import Limits, Meter
from fame_cli.core.link import Link


def rig_with(**bounds: int) -> tuple[Rig, Link, Link]:
    """Make a sentinel with bounds, an agent and a client."""
    rig = Rig(limits=Limits(**bounds))
    agent, client = rig.child("a", ours=True), rig.child("c", ours=True)
    rig.feed(agent, make_envelope({"type": "AddressBind", "address": MATH}, corrId="b1"))
    rig.said(agent)
    return rig, agent, client


def codes(rig: Rig, link: Link) -> list[object]:
    """Return the codes of what a neighbour was told."""
    frames = [envelope["frame"] for envelope in rig.said(link)]
    return [frame.get("code") for frame in frames if "code" in frame]  # type: ignore[attr-defined]


def request(number: int) -> dict[str, object]:
    return make_request("__rpc__x@/s1/c", corrId=f"c{number}", id=f"e{number}")


def together(numbers: Iterable[int]) -> bytes:
    """Join requests in one message."""
    return b"\n".join(json.dumps(request(number)).encode() for number in numbers)


def test_a_neighbour_has_so_many_calls_in_flight_and_no_more() -> None:
    rig, agent, client = rig_with(calls_in_flight=3)
    for number in range(5):
        rig.feed(client, request(number))
    assert codes(rig, client) == ["RATE_LIMITED", "RATE_LIMITED"]
    assert len([e for e in rig.said(agent) if e["frame"]["type"] == "Data"]) == 3  # type: ignore[index]


def test_a_call_that_has_ended_makes_room_for_another() -> None:
    rig, agent, client = rig_with(calls_in_flight=1)
    rig.feed(client, request(0))
    answer = make_envelope({"type": "Data", "payload": {"jsonrpc": "2.0", "id": 1, "result": 1}}, id="x")
    rig.feed(agent, answer | {"to": "__rpc__x@/s1/c", "corrId": "c0"})
    rig.feed(client, request(1))
    assert codes(rig, client) == []


def test_a_neighbour_binds_so_many_names_and_no_more() -> None:
    rig, agent, _ = rig_with(routes=3)
    for number in range(4):
        frame = {"type": "AddressBind", "address": f"x{number}@fame.fabric"}
        rig.feed(agent, make_envelope(frame, corrId=f"b{number}"))
    assert codes(rig, agent) == ["RATE_LIMITED", "RATE_LIMITED"]
    frame = {"type": "CapabilityAdvertise", "address": MATH, "capabilities": ["c"]}
    rig.feed(agent, make_envelope(frame, corrId="b9"))
    assert codes(rig, agent) == ["RATE_LIMITED"]


def test_messages_past_the_bound_of_a_second_are_refused_and_the_next_second_begins_anew() -> None:
    rig, _, client = rig_with(messages_per_s=3)
    for number in range(5):
        rig.feed(client, request(number))
    assert codes(rig, client) == ["RATE_LIMITED"] * 3  # the attach was one of the three
    rig.now = 1.0
    rig.feed(client, request(9))
    assert codes(rig, client) == []


def test_who_goes_on_regardless_is_cut_off_and_nobody_else() -> None:
    rig, agent, client = rig_with(messages_per_s=2, errors=10)
    for number in range(20):
        rig.feed(client, request(number))
    closed = [e for e in rig.log if isinstance(e, CloseLink)]
    assert [(e.link, e.code) for e in closed] == [(client, 1008)]
    assert agent in rig.core.state.sessions


def test_bytes_are_counted_too_and_zero_is_no_bound() -> None:
    meter = Meter(Limits(bytes_per_s=100))
    assert [meter.takes(1, 60, now) for now in (0.0, 0.1, 0.2, 1.0)] == [True, True, False, True]
    free = Meter(Limits(messages_per_s=0, bytes_per_s=0, errors=0))
    assert all(free.takes(1, 10**9, 0.0) and free.bears(0.0) for _ in range(1000))


def test_a_message_is_taken_whole_even_where_it_holds_more_than_a_second_may() -> None:
    rig, _, client = rig_with(messages_per_s=5)
    rig.now = 1.0
    rig.feed(client, together(range(9)))
    assert codes(rig, client) == []
    rig.feed(client, together(range(10, 13)))
    assert codes(rig, client) == ["RATE_LIMITED"] * 3


def test_errors_are_forgiven_after_a_while() -> None:
    meter = Meter(Limits(errors=2))
    assert [meter.bears(now) for now in (0.0, 1.0, 2.0, 10.0)] == [True, True, False, True]


def test_what_comes_from_a_sentinel_is_of_many_and_not_counted_by_the_second() -> None:
    rig, _, client = rig_with(messages_per_s=3)
    peer = rig.peer("s2", ours=True)
    for link in (client, peer):
        for number in range(10):
            rig.feed(link, request(number))
    assert "RATE_LIMITED" in codes(rig, client)
    assert "RATE_LIMITED" not in codes(rig, peer)
