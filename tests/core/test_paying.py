"""Who pays for answers: whoever asked, at its own pace; a provider pays for what nobody asked it for."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from core_rig import MATH, Rig, make_answer, make_envelope, make_request, types

from fame_cli.core.flow import OUR_WINDOW
from fame_cli.core.limits import Limits, Rate
from fame_cli.core.link import Link

INBOX = "__rpc__x@/s1/c"
STREAM = 4


class Fabric:
    """Be a sentinel that takes 50 envelopes a second, an agent, and a client that asks it for streams."""

    def __init__(self, **bounds: int) -> None:
        self.rig = Rig(limits=Limits(**{"messages_per_s": 50, **bounds}))
        self.agent, self.client = self.rig.child("a", ours=True), self.rig.child("c", ours=True)
        self.rig.bind(self.agent, MATH)
        self.rig.now = 1.0

    def ask(self, corr_id: str, rtype: int = STREAM) -> None:
        self.rig.feed(self.client, make_request(INBOX, corrId=corr_id, id=f"e-{corr_id}", rtype=rtype))

    def items(self, corr_id: str, number: int, **fields: object) -> None:
        for each in range(number):
            self.rig.feed(self.agent, make_answer(INBOX, corr_id, result=each) | {"flowId": corr_id} | fields)

    def cancel(self, corr_id: str) -> None:
        self.rig.feed(self.client, make_envelope({"type": "CallCancel"}, replyTo=INBOX, corrId=corr_id))

    def heard(self) -> list[object]:
        """Return the results the client has got since the last look."""
        frames = [message["frame"] for message in self.rig.said(self.client)]
        return [frame["payload"]["result"] for frame in frames if frame["type"] == "Data"]  # type: ignore[index]

    def told(self, link: Link) -> list[object]:
        """Return the codes a neighbour was told since the last look."""
        frames = [message["frame"] for message in self.rig.said(link)]
        return [frame["code"] for frame in frames if "code" in frame]  # type: ignore[operator,index]

    @contextmanager
    def innocent(self) -> Iterator[None]:
        """Hold the agent to be told nothing bad, and to have all its own requests taken."""
        yield
        self.rig.feed(self.agent, make_request("__rpc__y@/s1/a", to="nobody@fame.fabric", id="own", corrId="own"))
        assert self.told(self.agent) == ["NO_ROUTE"]
        assert self.rig.closed() == []


def test_a_provider_does_not_pay_for_the_items_it_was_asked_for() -> None:
    fabric = Fabric()
    with fabric.innocent():
        for number in range(4):
            fabric.ask(f"c{number}")
            fabric.items(f"c{number}", 200)


def test_a_provider_does_not_pay_for_the_answers_to_calls_of_many() -> None:
    fabric = Fabric()
    clients = [fabric.rig.child(f"d{number}", ours=True) for number in range(10)]
    with fabric.innocent():
        for number in range(100):
            client = clients[number // 10]
            inbox = f"__rpc__x@{client.remote_path}"
            fabric.rig.feed(client, make_request(inbox, corrId=f"c{number}", id=f"e{number}"))
            fabric.rig.feed(fabric.agent, make_answer(inbox, f"c{number}", result=1))
            assert types(fabric.rig.said(client)) == ["Data"]


def test_who_asked_gets_so_many_answers_a_second_in_order_and_the_rest_later() -> None:
    fabric = Fabric()
    fabric.ask("c1")
    fabric.items("c1", 130)
    assert fabric.heard() == list(range(50))
    assert [note.facts["node"] for note in fabric.rig.noted("answers_delayed")] == ["c"]  # once, not for each
    fabric.rig.advance(0.9)
    assert fabric.heard() == []
    fabric.rig.advance(0.1)
    second = fabric.heard()
    fabric.rig.advance(1.0)
    assert second + fabric.heard() == list(range(50, 130))
    assert 50 <= len(second) < 60  # a handful more, for they go out some at a time
    assert fabric.rig.core.state.calls.get((INBOX, "c1")) is not None


def test_streams_take_turns_while_their_reader_is_over_its_rate() -> None:
    fabric = Fabric()
    for name in ("c1", "c2", "c3"):
        fabric.ask(name)
        fabric.items(name, 100)
    fabric.rig.said(fabric.client)
    fabric.rig.advance(1.0)
    served = [message["corrId"] for message in fabric.rig.said(fabric.client)]
    assert all(served.count(name) >= 10 for name in ("c1", "c2", "c3"))


def test_the_bytes_of_answers_are_counted_too() -> None:
    fabric = Fabric(messages_per_s=0, bytes_per_s=20_000)
    fabric.ask("c1")
    with fabric.innocent():
        for _ in range(10):
            fabric.rig.feed(fabric.agent, make_answer(INBOX, "c1", result="x" * 8000) | {"flowId": "c1"})
    assert len(fabric.heard()) == 3


def test_what_waits_keeps_its_credit_so_that_the_producer_goes_no_faster() -> None:
    fabric = Fabric()
    fabric.ask("c1")
    fabric.items("c1", 300)
    granted = sum(int(grant["frame"]["credits"]) for grant in fabric.rig.granted(fabric.agent))  # type: ignore[index]
    assert granted <= 50 + OUR_WINDOW // 4


def test_what_is_answered_does_not_count_as_sent() -> None:
    fabric = Fabric()
    fabric.ask("c1")
    fabric.items("c1", 200)
    fabric.rig.said(fabric.client)
    for number in range(40):
        fabric.ask(f"d{number}", rtype=2)
    assert fabric.told(fabric.client) == []


def test_others_answers_pass_while_one_reader_is_over_its_rate() -> None:
    fabric = Fabric()
    fabric.ask("c1")
    fabric.items("c1", 200)
    other = fabric.rig.child("d", ours=True)
    fabric.rig.feed(other, make_request("__rpc__x@/s1/d"))
    fabric.rig.feed(fabric.agent, make_answer("__rpc__x@/s1/d", result=7))
    assert types(fabric.rig.said(other)) == ["Data"]


def test_a_requests_way_to_a_reader_over_its_rate_is_free() -> None:
    fabric = Fabric()
    fabric.rig.bind(fabric.client, "mine@fame.fabric")
    fabric.ask("c1")
    fabric.items("c1", 200)
    fabric.rig.said(fabric.client)
    fabric.rig.feed(fabric.agent, make_request("__rpc__y@/s1/a", to="mine@fame.fabric", id="own", flowId="f-of-agent"))
    assert types(fabric.rig.said(fabric.client)) == ["Data"]


# What nobody asked for, or asks for any more


def test_who_answers_what_nobody_asked_pays_and_is_cut_off() -> None:
    fabric = Fabric(errors=10)
    fabric.items("c1", 70)
    assert [(link, code) for link, code, _ in fabric.rig.closed()] == [(fabric.agent, 1008)]


def test_who_answers_more_than_once_pays() -> None:
    fabric = Fabric(errors=10)
    fabric.ask("c1", rtype=2)
    fabric.items("c1", 70)
    assert len(fabric.rig.closed()) == 1


def test_who_answers_for_another_pays() -> None:
    fabric = Fabric(errors=10)
    thief = fabric.rig.child("t", ours=True)
    fabric.ask("c1")
    for _ in range(70):
        fabric.rig.feed(thief, make_answer(INBOX, "c1", result=1) | {"flowId": "c1"})
    assert [link for link, _, _ in fabric.rig.closed()] == [thief]
    assert fabric.heard() == []


@pytest.mark.parametrize("asked", ["request", "no frame"])
def test_nothing_but_an_answer_passes_for_one_beyond_the_rate(asked: str) -> None:
    fabric = Fabric(errors=10)
    fabric.ask("c1")
    more: dict[str, object] = {"rtype": 2, "replyTo": "__rpc__y@/s1/a"} if asked == "request" else {"frame": None}
    fabric.rig.said(fabric.client)
    fabric.items("c1", 70, **more)
    assert len(fabric.rig.closed()) == 1


def test_answers_that_somebody_waits_for_are_taken_even_from_who_is_over_its_own_rate() -> None:
    fabric = Fabric()
    fabric.ask("c1")
    for number in range(60):
        own = make_request("__rpc__y@/s1/a", to="nobody@fame.fabric", id=f"own{number}", corrId=f"own{number}")
        fabric.rig.feed(fabric.agent, own)
    assert "RATE_LIMITED" in fabric.told(fabric.agent)
    fabric.items("c1", 20)
    assert fabric.heard() == list(range(20))
    assert fabric.told(fabric.agent) == []


@pytest.mark.parametrize("end", ["cancel", "leave"])
def test_a_provider_does_not_pay_for_items_that_come_after_their_reader_has_gone(end: str) -> None:
    fabric = Fabric()
    for number in range(4):
        fabric.ask(f"c{number}")
        fabric.items(f"c{number}", 1)
    if end == "leave":
        fabric.rig.do(fabric.rig.core.link_closed(fabric.client))
    else:
        for number in range(4):
            fabric.cancel(f"c{number}")
    fabric.heard()
    fabric.rig.said(fabric.agent)
    with fabric.innocent():
        for number in range(4):
            fabric.items(f"c{number}", OUR_WINDOW)
    assert fabric.heard() == []


def test_a_provider_that_goes_on_and_on_pays() -> None:
    fabric = Fabric(errors=10)
    fabric.ask("c1")
    fabric.cancel("c1")
    fabric.items("c1", OUR_WINDOW)
    assert fabric.rig.closed() == []
    fabric.items("c1", 70)
    assert len(fabric.rig.closed()) == 1


def test_who_begins_streams_to_leave_them_begins_no_more_until_they_are_paid() -> None:
    fabric = Fabric()
    fabric.ask("c1")
    fabric.cancel("c1")
    fabric.items("c1", 160)  # of 50 that were left, and 110 to be paid
    fabric.heard()
    fabric.ask("c2")
    assert fabric.told(fabric.client) == ["RATE_LIMITED"]
    fabric.ask("c3", rtype=2)
    assert fabric.told(fabric.client) == []  # a call has been paid by its request
    fabric.rig.advance(2.0)
    fabric.ask("c4")
    assert fabric.told(fabric.client) == []


def test_only_so_many_ended_calls_are_remembered() -> None:
    fabric = Fabric(messages_per_s=100_000)
    for number in range(10_000):
        fabric.ask(f"c{number}")
        fabric.cancel(f"c{number}")
    long = "c" * 5000
    fabric.ask(long)
    fabric.cancel(long)
    late = fabric.rig.core.state.late
    assert len(late) == 8192
    assert (INBOX, long) not in late


def test_nothing_of_a_reader_that_has_left_waits_for_the_next_second() -> None:
    fabric = Fabric()
    fabric.ask("c1")
    fabric.items("c1", 200)
    fabric.rig.do(fabric.rig.core.link_closed(fabric.client))
    fabric.rig.advance(2.0)
    assert fabric.rig.core.state.budget.held_bytes == 0
    assert not fabric.rig.core.state.resting


def test_a_rate_counts_anew_each_second_and_pays_its_debts_first() -> None:
    rate = Rate(Limits(messages_per_s=3))
    assert [rate.takes(1, 9, now) for now in (0.0, 0.1, 0.2, 0.3, 1.0)] == [True, True, True, False, True]
    for _ in range(2 + 7):
        rate.owe(9, 1.5)
    assert rate.is_deep_in_debt(1.5)
    assert [rate.takes(1, 9, now) for now in (2.0, 3.0, 4.0, 4.1)] == [False, False, True, True]
    assert not rate.is_deep_in_debt(4.1)


def test_seconds_in_which_nothing_comes_pay_as_well() -> None:
    rate = Rate(Limits(messages_per_s=3, bytes_per_s=0))
    for _ in range(13):
        rate.owe(10**9, 0.0)
    assert [rate.is_deep_in_debt(now) for now in (0.9, 1.9, 3.0)] == [True, True, False]
    assert [rate.takes(1, 9, 3.0 + each) for each in (0, 1.0, 1.1, 1.2)] == [False, True, True, False]


def test_no_bound_is_no_debt() -> None:
    rate = Rate(Limits(messages_per_s=0, bytes_per_s=0))
    for _ in range(100):
        rate.owe(10**9, 0.0)
    assert not rate.is_deep_in_debt(0.0)
    assert rate.takes(1, 10**9, 0.0)


def test_a_pack_of_answers_in_one_message_is_not_paid_either() -> None:
    fabric = Fabric()
    fabric.ask("c1")
    pack = b"\n".join(json.dumps(make_answer(INBOX, "c1", result=n) | {"flowId": "c1"}).encode() for n in range(60))
    with fabric.innocent():
        for _ in range(3):
            fabric.rig.feed(fabric.agent, pack)


def test_an_item_that_comes_too_late_is_acknowledged_all_the_same() -> None:
    """A Naylence agent stands still until the items it sent are acknowledged (spec 6.4, 8.4)."""
    fabric = Fabric()
    fabric.ask("c1")
    fabric.cancel("c1")
    fabric.rig.said(fabric.agent)
    fabric.items("c1", 1, rtype=1, replyTo="__rpc__y@/s1/a")
    [said] = fabric.rig.said(fabric.agent)
    assert (said["frame"]["type"], said["frame"]["ok"], said["to"]) == ("DeliveryAck", True, "__rpc__y@/s1/a")  # type: ignore[index]
    assert fabric.heard() == []


def test_calls_whose_answers_nobody_counts_are_not_remembered() -> None:
    fabric = Fabric(messages_per_s=0, bytes_per_s=0)
    fabric.ask("c1")
    fabric.cancel("c1")
    assert not fabric.rig.core.state.late
