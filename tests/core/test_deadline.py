"""How long a caller still waits: what stands still at a node has less time when it goes on, or goes nowhere."""

import json

import pytest
from core_rig import CLIENT, MATH, Json, Rig, Trio, cancel_of, frames, make_envelope, make_request, types

from fame_cli.core.deadline import time_left_s, with_less_time
from fame_cli.core.envelope import Envelope, decode, encode


def asking(timeout: object, **fields: object) -> Envelope:
    """Make a request whose caller waits for so many milliseconds."""
    return decode(json.dumps(make_request(CLIENT, meta={"fame.timeout": timeout, "x": 1}, **fields)).encode())


def left_ms(message: Json) -> object:
    """Return what a request says of its time."""
    meta = message["meta"]
    assert isinstance(meta, dict)
    return meta["fame.timeout"]


@pytest.mark.parametrize(
    ("timeout", "left_s"), [(1500, 1.5), (1, 0.001), (0, 0.0), (-4, 0.0), (2**31, 0.0), ("5", 0.0), (1.5, 0.0)]
)
def test_only_a_whole_positive_number_of_milliseconds_is_a_time(timeout: object, left_s: float) -> None:
    assert time_left_s(asking(timeout)) == left_s


def test_who_does_not_say_how_long_he_waits_waits_for_ever() -> None:
    envelope = decode(json.dumps(make_request(CLIENT)).encode())
    assert time_left_s(envelope) == 0
    assert with_less_time(envelope, b"as it came", 3600.0) == (envelope, b"as it came")


def test_time_that_was_waited_is_taken_off_and_nothing_else_is_changed() -> None:
    envelope = asking(5000, ttl=3)
    shorter = with_less_time(envelope, b"", 1.2)
    assert shorter is not None
    assert shorter[0] == asking(3800, ttl=3)
    assert decode(shorter[1]) == shorter[0]


def test_a_moment_is_not_worth_writing_an_envelope_anew() -> None:
    envelope = asking(5000)
    assert with_less_time(envelope, b"as it came", 0.01) == (envelope, b"as it came")


def test_a_request_whose_time_is_over_goes_nowhere() -> None:
    assert with_less_time(asking(1000), b"", 1.0) is None


def test_the_time_for_each_item_of_a_stream_is_not_shortened_but_runs_out() -> None:
    envelope = asking(1000, rtype=4)
    assert with_less_time(envelope, b"as it came", 0.9) == (envelope, b"as it came")
    assert with_less_time(envelope, b"", 1.0) is None


# Held for credit


class Stalled(Trio):
    """Be a trio whose agent takes nothing for a while."""

    def __init__(self) -> None:
        super().__init__(ours=True)
        self.rig.do(self.rig.core.link_stalled(self.agent))

    def drain(self) -> list[Json]:
        """Have the agent take what waits, and return it."""
        while self.rig.core.is_stalled(self.agent):
            self.rig.do(self.rig.core.link_drained(self.agent))
        return [message for message in self.rig.said(self.agent) if types([message]) == ["Data"]]


def test_a_request_that_was_held_goes_on_with_as_much_less_time() -> None:
    trio = Stalled()
    trio.ask(meta={"fame.timeout": 5000}, ttl=9)
    trio.rig.advance(2)
    [request] = trio.drain()
    assert left_ms(request) == 3000
    assert request["ttl"] == 8


def test_a_request_whose_time_ran_out_while_it_was_held_is_refused_and_never_sent() -> None:
    trio = Stalled()
    trio.ask(meta={"fame.timeout": 1500})
    trio.rig.advance(2)
    assert trio.drain() == []
    [nack] = frames(trio.rig.said(trio.client), "DeliveryAck")
    assert (nack["ok"], nack["code"], nack["refId"]) == (False, "DEADLINE_EXCEEDED", "e1")
    assert trio.rig.core.calls_in_flight() == 0


def test_a_request_whose_caller_gave_up_while_it_was_held_is_never_sent() -> None:
    trio = Stalled()
    trio.ask()
    trio.rig.feed(trio.client, cancel_of())
    assert trio.drain() == []


def test_what_is_not_sent_costs_no_credit_and_those_behind_it_move_up() -> None:
    trio = Stalled()
    for number in range(300):
        trio.ask(corrId=f"c{number}")
    for number in range(250):
        trio.rig.feed(trio.client, cancel_of(corr_id=f"c{number}"))
    assert [request["corrId"] for request in trio.drain()] == [f"c{number}" for number in range(250, 300)]
    flow = trio.rig.session(trio.agent).flow
    assert flow.held_bytes == 0
    assert sum(flow.take("f1") for _ in range(300)) == flow.send_window - 50


def test_a_call_of_this_nodes_own_that_was_held_has_less_time_too() -> None:
    rig = Rig(routes=False)
    parent = rig.parent(path="/root/a1", ours=True)
    rig.said(parent)
    rig.do(rig.core.link_stalled(parent))
    rig.call(MATH, timeout_s=6.0)
    rig.advance(2)
    while rig.core.is_stalled(parent):
        rig.do(rig.core.link_drained(parent))
    [request] = [message for message in rig.said(parent) if types([message]) == ["Data"]]
    assert left_ms(request) == 4000


# At the provider


def test_a_handler_is_told_when_its_caller_gives_up() -> None:
    rig = Rig()
    rig.do(rig.core.bind(MATH))
    client = rig.child("c", ours=True)
    rig.advance(2)
    rig.feed(client, encode(asking(3000)))
    rig.feed(client, make_request(CLIENT, corrId="c2"))
    assert [request.deadline for request in rig.requests()] == [5.0, 0.0]


def test_a_call_that_waited_too_long_for_its_turn_is_refused() -> None:
    rig = Rig()
    rig.do(rig.core.bind(MATH))
    client = rig.child("c", ours=True)
    rig.feed(client, make_request(CLIENT))
    rig.do(rig.core.expire((CLIENT, "c1")))
    [nack] = frames(rig.said(client), "DeliveryAck")
    assert nack["code"] == "DEADLINE_EXCEEDED"
    assert rig.core.calls_in_flight() == 0
    assert rig.do(rig.core.expire((CLIENT, "c1"))) == []


def test_an_envelope_that_is_no_request_is_not_touched() -> None:
    trio = Stalled()
    trio.rig.feed(trio.client, make_envelope(to=MATH, meta={"fame.timeout": 100}))
    trio.rig.advance(2)
    assert [left_ms(message) for message in trio.drain()] == [100]
