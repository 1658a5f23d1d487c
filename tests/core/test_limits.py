"""Bounds of a link: past one of them a neighbour hears why, and nobody else notices."""

import json
from collections.abc import Iterable

from core_rig import MATH, Rig, make_envelope, make_request

from fame_cli.core.effects import CloseLink
from fame_cli.core.grant import Grant
from fame_cli.core.limits import Census, Limits, Meter
from fame_cli.core.link import Link, LinkKind

SUE, TOM = Grant("sue", issuer="i"), Grant("tom", issuer="i")


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


# Several links of one holder


def test_more_links_of_one_holder_carry_no_more_a_second_and_others_notice_nothing() -> None:
    rig = Rig(limits=Limits(messages_per_s=5))
    sues, tom = [rig.child(f"c{n}", ours=True, grant=SUE) for n in range(3)], rig.child("t", ours=True, grant=TOM)
    for number in range(2):  # beside their three attaches
        rig.feed(sues[number], request(number))
    assert "RATE_LIMITED" not in [code for link in sues for code in codes(rig, link)]
    rig.feed(sues[2], request(2))
    rig.feed(tom, request(3))
    assert codes(rig, sues[2]) == ["RATE_LIMITED"]
    assert codes(rig, tom) == ["NO_ROUTE"]


def test_the_bytes_of_all_links_of_a_holder_count_together() -> None:
    census = Census(Limits(bytes_per_s=100))
    one, two, other = (census.enter("", holder) for holder in (SUE.holder, SUE.holder, TOM.holder))
    assert [meter.takes(1, 60, 0.0) for meter in (one, two, one, two, other)] == [True, True, False, False, True]


def test_more_links_of_one_holder_hold_no_more_calls() -> None:
    rig, agent, client = rig_with(calls_in_flight=3)
    sues = [rig.child(f"sue{number}", ours=True, grant=SUE) for number in range(5)]

    def asks(link: Link, number: int) -> list[object]:
        rig.feed(link, make_request(f"__rpc__x@/s1/{link.remote_id}", corrId=f"c{number}", id=f"e{number}"))
        return codes(rig, link)

    assert [asks(link, number) for number, link in enumerate(sues)] == [[], [], [], ["RATE_LIMITED"], ["RATE_LIMITED"]]
    assert asks(client, 9) == []
    rig.do(rig.core.link_closed(sues[0]))  # which ends the calls over it
    assert [asks(sues[4], 10), asks(sues[4], 11)] == [[], ["RATE_LIMITED"]]
    assert len([e for e in rig.said(agent) if e["frame"]["type"] == "Data"]) == 5  # type: ignore[index]


def test_a_sentinel_counts_for_itself_alone_whoever_else_shows_its_credential() -> None:
    rig, _, _ = rig_with(calls_in_flight=2, messages_per_s=9)
    peer, leaf = rig.peer("s2", ours=True, grant=SUE), rig.child("c2", ours=True, grant=SUE)
    for number in range(20):
        rig.feed(peer, request(number))
    rig.feed(leaf, request(30))
    assert "RATE_LIMITED" not in codes(rig, peer)
    assert codes(rig, leaf) == []


def test_a_grant_that_names_nobody_is_counted_by_its_link() -> None:
    census = Census(Limits(links_per_grant=1))
    assert census.enter("", Grant("").holder) is not census.enter("", Grant("").holder)
    assert census.crowded("", Grant("").holder) == ""


def test_holders_are_told_apart_by_issuer_and_not_by_key() -> None:
    keys = [Grant("sue", issuer="i", thumbprint=key).holder for key in ("k1", "k2")]
    assert keys[0] == keys[1] != Grant("sue", issuer="j").holder


# How many links


def test_so_many_links_from_one_host_and_no_more() -> None:
    census = Census(Limits(links_per_host=2))
    for _ in range(2):
        assert census.crowded("10.0.0.1", None) == ""
        census.enter("10.0.0.1", None)
    assert census.crowded("10.0.0.1", None) == "10.0.0.1 has as many links open as limits.links_per_host allows (2)"
    assert census.crowded("10.0.0.2", None) == census.crowded("", None) == ""
    census.leave("10.0.0.1", None)
    assert census.crowded("10.0.0.1", None) == ""


def test_so_many_links_of_one_holder_and_no_more_wherever_they_come_from() -> None:
    census = Census(Limits(links_per_grant=2))
    for host in ("10.0.0.1", "10.0.0.2"):
        census.enter(host, SUE.holder)
    assert census.crowded("10.0.0.3", SUE.holder) == "sue has as many links open as limits.links_per_grant allows (2)"
    assert census.crowded("10.0.0.1", TOM.holder) == ""
    census.leave("10.0.0.2", SUE.holder)
    assert census.crowded("10.0.0.3", SUE.holder) == ""


def test_zero_links_are_any_number() -> None:
    census = Census(Limits(links_per_host=0, links_per_grant=0))
    for _ in range(1000):
        census.enter("10.0.0.1", SUE.holder)
    assert census.crowded("10.0.0.1", SUE.holder) == ""


def test_a_link_counts_from_its_first_moment_to_its_last_however_it_ends() -> None:
    rig = Rig(limits=Limits(links_per_host=2, links_per_grant=2, attach_s=1.0))
    mute = rig.open(LinkKind.CHILD, "m", grant=SUE, host="h")
    child = rig.child("c", ours=True, grant=SUE, host="h")
    assert rig.core.crowded("h")
    assert rig.core.crowded("", SUE)
    rig.now = 1.0
    rig.do(rig.core.tick(rig.now))  # too late to attach
    assert mute not in rig.core.state.sessions
    assert (rig.core.crowded("h"), rig.core.crowded("", SUE)) == ("", "")
    rig.do(rig.core.link_closed(child))
    assert rig.core.state.census == Census(rig.core.settings.limits)  # nothing is left of anybody


def test_links_we_dialled_are_not_counted() -> None:
    rig = Rig(limits=Limits(links_per_host=1))
    link = rig.dialed_peer("s2", ours=True)
    rig.do(rig.core.link_closed(link))
    assert rig.core.state.census == Census(rig.core.settings.limits)
