"""Credit windows: never more under way than allowed, nothing lost, nothing out of order, nothing kept for ever."""

from collections import deque

import pytest
from core_rig import PROPERTY
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fame_cli.core import flow
from fame_cli.core.flow import LINK_SHARE, SPEC_WINDOW, Budget, FlowControl, Held
from fame_cli.core.link import Link, LinkKind

SOURCE = Link(1, LinkKind.CHILD)


def spend_all(control: FlowControl, flow_id: str) -> int:
    spent = 0
    while control.take(flow_id):
        spent += 1
    return spent


def test_a_fresh_flow_has_the_whole_window() -> None:
    assert spend_all(FlowControl(), "f") == SPEC_WINDOW


def test_flows_of_one_link_have_windows_of_their_own() -> None:
    control = FlowControl()
    spend_all(control, "busy")
    assert control.take("idle")


def test_writable_tells_what_take_would_do() -> None:
    control = FlowControl(send_window=1)
    assert control.writable("f")
    control.take("f")
    assert not control.writable("f")


def test_a_stalled_link_sends_nothing() -> None:
    control = FlowControl(stalled=True)
    assert not control.take("f")
    assert not control.writable("f")


def test_what_waits_goes_first_even_when_credit_is_back() -> None:
    control = FlowControl(send_window=1)
    control.hold("f", Held(b"first", None))
    assert not control.take("f")
    assert not control.writable("f")


def test_a_grant_releases_what_it_pays_for_in_order() -> None:
    control = FlowControl(send_window=2)
    spend_all(control, "f")
    for data in (b"1", b"2", b"3"):
        control.hold("f", Held(data, SOURCE))
    assert control.grant("f", 2) == [Held(b"1", SOURCE), Held(b"2", SOURCE)]
    assert control.held_bytes == 1
    assert control.grant("f", 1) == [Held(b"3", SOURCE)]
    assert control.held_bytes == 0


def test_too_much_credit_is_cut_to_the_window() -> None:
    control = FlowControl()
    control.take("f")
    control.grant("f", 10**30)
    assert spend_all(control, "f") == SPEC_WINDOW


def test_a_negative_grant_takes_nothing_away() -> None:
    control = FlowControl()
    control.take("f")
    control.grant("f", -5)
    assert spend_all(control, "f") == SPEC_WINDOW - 1


def test_grants_for_flows_that_never_sent_are_not_remembered() -> None:
    """Otherwise a neighbour could fill our memory with names it makes up."""
    control = FlowControl()
    for number in range(100):
        assert control.grant(f"made-up-{number}", 1) == []
    assert not control._credits


def test_control_frames_spend_credit_but_never_wait_for_it() -> None:
    control = FlowControl(send_window=1)
    control.spend("f")
    control.spend("f")
    assert not control.take("f")
    control.grant("f", 1)
    assert control.take("f")


def test_a_control_frame_does_not_forgive_a_flow_its_debt() -> None:
    control = FlowControl(send_window=2, unit_bytes=1000)
    control.take("f", 5000)  # 6 credits, 4 of them owed
    control.spend("f")
    control.grant("f", 4)
    assert not control.writable("f")
    control.grant("f", 1)
    assert control.writable("f")


def test_a_flow_that_ends_while_something_waits_is_forgotten_when_that_has_gone_out() -> None:
    control = FlowControl(send_window=1)
    control.take("f")
    control.hold("f", Held(b"1", None))
    control.hold("f", Held(b"2", None))
    control.forget("f")
    assert [held.data for held in control.grant("f", 1)] == [b"1"]
    assert [held.data for held in control.grant("f", 1)] == [b"2"]
    assert not control._credits


def test_a_flow_that_ended_and_was_abandoned_may_begin_again() -> None:
    control = FlowControl(send_window=1)
    control.take("f")
    control.hold("f", Held(b"1", None))
    control.forget("f")
    control.abandon("f")
    control.hold("f", Held(b"2", None))
    assert [held.data for held in control.grant("f", 1)] == [b"2"]
    assert control._credits


def test_a_link_holds_so_many_bytes_and_no_more() -> None:
    control = FlowControl(budget=Budget(10 * LINK_SHARE))
    assert control.hold("f", Held(b"12345", None))
    assert control.hold("g", Held(b"12345", None))
    assert not control.hold("g", Held(b"1", None))
    assert control.held_bytes == 10


def test_all_links_of_a_node_together_hold_no_more_than_its_budget() -> None:
    budget = Budget(10 * LINK_SHARE)
    links = [FlowControl(budget=budget) for _ in range(LINK_SHARE + 1)]
    *first, last = (link.hold("f", Held(b"1234567890", None)) for link in links)
    assert all(first)
    assert not last
    assert budget.held_bytes == 10 * LINK_SHARE


@pytest.mark.parametrize("let_go", ["grant", "resume", "abandon", "abandon_all"])
def test_what_a_link_lets_go_of_makes_room_for_all(let_go: str) -> None:
    budget = Budget()
    link, other = FlowControl(budget=budget), FlowControl(budget=budget)
    link.hold("f", Held(b"12345", None))
    other.hold("f", Held(b"123", None))
    match let_go:
        case "grant":
            assert [held.data for held in link.grant("f", 1)] == [b"12345"]
        case "resume":
            assert len(link.resume()) == 1
        case "abandon":
            link.abandon("f")
        case _:
            link.abandon_all()
    assert (link.held_bytes, budget.held_bytes) == (0, 3)


def test_the_end_of_a_stall_releases_every_flow() -> None:
    control = FlowControl(stalled=True)
    control.hold("f", Held(b"1", None))
    control.hold("g", Held(b"2", SOURCE))
    assert control.resume() == [("f", Held(b"1", None)), ("g", Held(b"2", SOURCE))]
    assert control.take("f")


def test_a_grant_during_a_stall_is_kept_for_later() -> None:
    control = FlowControl(send_window=1)
    control.take("f")
    control.stalled = True
    control.hold("f", Held(b"1", None))
    assert control.grant("f", 1) == []
    assert control.resume() == [("f", Held(b"1", None))]


def test_other_windows_start_afresh() -> None:
    control = FlowControl()
    control.spend("f")
    control.received("f")
    control.resize(100, 8, 1000)
    assert spend_all(control, "f") == 100
    assert [control.received("f") for _ in range(2)] == [0, 2]


def test_a_grant_is_due_at_a_quarter_of_the_window() -> None:
    control = FlowControl()
    control.resize(32, 32, 1000)
    assert [control.received("f") for _ in range(16)] == [0, 0, 0, 0, 0, 0, 0, 8] * 2


def test_a_node_that_negotiated_nothing_gets_a_window_for_every_envelope() -> None:
    assert [FlowControl().received("f") for _ in range(3)] == [32, 32, 32]


def test_a_large_envelope_costs_more_both_ways_and_none_is_too_large() -> None:
    control = FlowControl()
    control.resize(10, 10, 1000)
    assert control.take("f", 4500)  # 5 credits
    assert control.take("f", 9999)  # 10 credits: 5 of debt
    assert not control.take("f", 1)
    control.hold("f", Held(b"x" * 2500, None))  # 3 credits
    assert control.grant("f", 5) == []
    assert len(control.grant("f", 1)) == 1
    assert control.grant("f", 2) == []
    assert not control.writable("f")
    control.grant("f", 1)
    assert control.writable("f")
    assert control.received("f", 999) == 0  # 1 credit
    assert control.received("f", 1000) == 3  # 2 credits: a quarter of the window is reached


def test_an_ended_flow_leaves_nothing_behind() -> None:
    control = FlowControl()
    control.take("f")
    control.received("f")
    control.forget("f")
    assert not control._credits
    assert not control._taken


def test_an_ended_flow_still_sends_what_waits() -> None:
    control = FlowControl(send_window=1)
    control.take("f")
    control.hold("f", Held(b"1", None))
    control.forget("f")
    assert control.grant("f", 1) == [Held(b"1", None)]


def test_no_more_flows_are_remembered_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "MAX_FLOWS", 4)
    control = FlowControl(unit_bytes=1000)
    for number in range(20):
        control.take(f"f{number}")
        control.received(f"f{number}")
    assert len(control._credits) <= 4
    assert len(control._taken) <= 4


class FlowModel(RuleBasedStateMachine):
    """Compare one link's windows with lists: what was given in must come out once, in order, inside the window."""

    flows = st.sampled_from(["a", "b", "c"])

    @initialize(window=st.integers(1, 5))
    def begin(self, window: int) -> None:
        self.window = window
        self.control = FlowControl(send_window=window)
        self.under_way = dict.fromkeys("abc", 0)
        self.waiting: dict[str, deque[bytes]] = {flow_id: deque() for flow_id in "abc"}
        self.serial = 0

    @rule(flow_id=flows)
    def send(self, flow_id: str) -> None:
        self.serial += 1
        data = b"%d" % self.serial
        writable = self.control.writable(flow_id)
        sent = self.control.take(flow_id)
        assert sent is writable
        if sent:
            assert not self.waiting[flow_id]
            self.under_way[flow_id] += 1
        else:
            assert self.control.hold(flow_id, Held(data, None))
            self.waiting[flow_id].append(data)

    def released(self, flow_id: str, held: list[Held]) -> None:
        for item in held:
            assert item.data == self.waiting[flow_id].popleft()
            self.under_way[flow_id] += 1

    @rule(flow_id=flows, credits=st.integers(-2, 7))
    def grant(self, flow_id: str, credits: int) -> None:
        self.under_way[flow_id] = max(self.under_way[flow_id] - max(credits, 0), 0)
        self.released(flow_id, self.control.grant(flow_id, credits))

    @rule()
    def stall(self) -> None:
        self.control.stalled = True

    @rule()
    def resume(self) -> None:
        for flow_id, item in self.control.resume():
            self.released(flow_id, [item])

    @invariant()
    def never_more_than_the_window_is_under_way(self) -> None:
        assert all(0 <= count <= self.window for count in self.under_way.values())

    @invariant()
    def the_bytes_that_wait_are_counted(self) -> None:
        assert self.control.held_bytes == sum(len(data) for queue in self.waiting.values() for data in queue)

    @invariant()
    def nothing_waits_that_could_go(self) -> None:
        for flow_id, queue in self.waiting.items():
            assert not queue or self.control.stalled or self.under_way[flow_id] == self.window


TestFlowModel = FlowModel.TestCase
TestFlowModel.settings = settings(PROPERTY, max_examples=20, stateful_step_count=25)


def test_a_stall_ends_bit_by_bit() -> None:
    """All that has gathered at once would only fill the transport again, and end it at its hard limit."""
    control = FlowControl()
    control.resize(100, 100, 1000)
    control.stalled = True
    for flow_id in "abc":
        assert control.hold(flow_id, Held(b"x" * 100, None))
    assert [flow_id for flow_id, _ in control.resume(150)] == ["a", "b"]
    assert control.stalled
    assert [flow_id for flow_id, _ in control.resume(150)] == ["c"]
    assert not control.stalled
