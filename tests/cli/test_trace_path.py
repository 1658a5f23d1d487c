"""Reading `fame.trace`: the path and the time of each hop, from whole and from partial traces."""

import pytest

from fame_cli.cli.trace_path import Hop, Step, links_passed, read_path, read_steps

PEERS = ["s1;child;100", "s2;peer;2000", "a2;parent;50", "a2;local;950", "s2;child;3100", "s1;peer;1300"]


def test_a_whole_trace_draws_the_path_with_both_ends_named() -> None:
    path = read_path(PEERS, round_trip_us=1500, agent="math2")
    assert str(path) == "client → s1 ↔ s2 → math2"


def test_each_hop_is_the_difference_of_what_its_two_ends_waited() -> None:
    path = read_path(PEERS, round_trip_us=1500, agent="math2")
    assert path.hops == (Hop("client → s1", 300), Hop("s1 ↔ s2", 100), Hop("s2 → math2", 200))
    assert path.agent_us == 900


def test_hops_and_agent_add_up_to_the_round_trip() -> None:
    path = read_path(PEERS, round_trip_us=1500)
    assert sum(hop.time_us for hop in path.hops) + (path.agent_us or 0) == 1500


def test_the_far_end_keeps_its_node_id_if_no_name_is_given() -> None:
    assert str(read_path(PEERS, round_trip_us=1500)) == "client → s1 ↔ s2 → a2"


def test_a_service_of_the_sentinel_itself_is_the_end_of_the_path() -> None:
    path = read_path(["s1;child;100", "s1;local;400"], round_trip_us=500)
    assert (str(path), path.agent_us, path.hops) == ("client → s1", 300, (Hop("client → s1", 200),))


def test_an_agent_inside_a_sentinel_may_stamp_its_arrival_too() -> None:
    path = read_path(["s1;child;100", "s1;local;120", "s1;local;400"], round_trip_us=500)
    assert (str(path), path.agent_us) == ("client → s1", 300)


def test_a_node_that_stamped_one_way_only_stays_in_the_path_without_a_time() -> None:
    trace = ["s1;child;100", "s2;peer;7", "a2;parent;50", "a2;local;950", "s1;peer;1300"]
    path = read_path(trace, round_trip_us=1500)
    assert str(path) == "client → s1 ↔ s2 → a2"
    assert path.hops == (Hop("client → s1", 300), Hop("s1 ↔ s2 → a2", 300))


def test_a_silent_sentinel_the_client_is_attached_to_shows_without_a_stamp() -> None:
    trace = ["s2;peer;10", "a2;parent;50", "a2;local;950", "s2;child;1010"]
    path = read_path(trace, round_trip_us=1500, attached_to="n1", agent="math2")
    assert str(path) == "client → n1 ↔ s2 → math2"
    assert path.hops[0] == Hop("client → n1 ↔ s2", 500)


def test_an_unknown_first_sentinel_shows_as_a_question_mark() -> None:
    trace = ["s2;peer;10", "a2;parent;50", "a2;local;950", "s2;child;1010"]
    assert str(read_path(trace, round_trip_us=1500)) == "client → ? ↔ s2 → a2"


def test_a_stamped_first_sentinel_is_not_shown_twice() -> None:
    assert str(read_path(PEERS, round_trip_us=1500, attached_to="s1")) == "client → s1 ↔ s2 → a2"


def test_without_a_stamp_there_is_only_what_the_client_knows() -> None:
    path = read_path([], round_trip_us=1500, attached_to="n1")
    assert (str(path), path.hops, path.agent_us) == ("client → n1", (), None)


def test_a_request_that_was_never_answered_shows_how_far_it_came() -> None:
    path = read_path(PEERS[:3], round_trip_us=1500, agent="math2")
    assert (str(path), path.agent_us, path.hops) == ("client → s1 ↔ s2 → a2", None, ())


def test_a_node_met_twice_is_drawn_once() -> None:
    trace = ["s1;child;1", "s2;peer;1", "s1;peer;9", "a1;parent;5", "a1;local;6", "s1;child;12"]
    assert str(read_path(trace, round_trip_us=50)) == "client → s1 ↔ s2 → a1"


def test_clocks_that_ran_backwards_claim_no_negative_time() -> None:
    trace = ["s1;child;100", "a1;parent;5", "a1;local;905", "s1;parent;500"]
    path = read_path(trace, round_trip_us=300)
    assert all(hop.time_us >= 0 for hop in path.hops)


def test_a_reply_stamped_before_its_request_has_no_time() -> None:
    path = read_path(["s1;child;100", "a1;parent;5", "a1;local;6", "s1;parent;50"], round_trip_us=300)
    assert path.nodes[1].span_us is None


# Steps


def test_steps_go_there_through_the_agent_and_back() -> None:
    assert read_steps(PEERS, round_trip_us=1500) == (
        Step("there", "client", "s1", "child"),
        Step("there", "s1", "s2", "peer"),
        Step("there", "s2", "a2", "parent"),
        Step("in", "a2", "", "", 900, 900),
        Step("back", "a2", "s2", "child", 200, 1100),
        Step("back", "s2", "s1", "peer", 100, 1200),
        Step("back", "s1", "client", "parent", 300, 1500),
    )


def test_the_times_of_the_steps_add_up_to_the_round_trip() -> None:
    for trace in (PEERS, [*PEERS[:4], PEERS[5]], PEERS[:4], PEERS[1:5]):
        steps = read_steps(trace, round_trip_us=1500)
        assert sum(step.time_us or 0 for step in steps) == 1500


def test_a_node_may_be_called_like_the_callers_end() -> None:
    steps = read_steps(["client;child;100", "client;local;400"], round_trip_us=500)
    assert [(step.way, step.time_us, step.sum_us) for step in steps] == [
        ("there", None, None), ("in", 300, 300), ("back", 200, 500),
    ]  # fmt: skip


def test_an_agent_inside_a_sentinel_is_no_step_of_its_own() -> None:
    steps = read_steps(["s1;child;100", "s1;local;120", "s1;local;400"], round_trip_us=500)
    assert steps == (
        Step("there", "client", "s1", "child"),
        Step("in", "s1", "", "", 300, 300),
        Step("back", "s1", "client", "parent", 200, 500),
    )


def test_a_step_to_a_node_that_stamped_one_way_only_has_no_time() -> None:
    trace = ["s1;child;100", "a2;parent;50", "a2;local;950", "s2;child;7", "s1;peer;1300"]
    back = [step for step in read_steps(trace, round_trip_us=1500) if step.way == "back"]
    assert [(step.receiver, step.time_us, step.sum_us) for step in back] == [
        ("s2", None, None), ("s1", 300, 1200), ("client", 300, 1500),
    ]  # fmt: skip


def test_a_silent_sentinel_next_to_the_client_is_a_question_mark_both_ways() -> None:
    steps = read_steps(["s2;peer;10", "a2;parent;50", "a2;local;950", "s2;child;1010"], round_trip_us=1500)
    assert steps[0] == Step("there", "?", "s2", "peer")
    assert steps[-1] == Step("back", "?", "client", "", 500, 1500)


def test_steps_claim_no_negative_time() -> None:
    trace = ["s1;child;100", "a1;parent;5", "a1;local;905", "s1;parent;500"]
    times = [step.time_us for step in read_steps(trace, round_trip_us=300)]
    assert all(time is None or time >= 0 for time in times)


@pytest.mark.parametrize("trace", [[], PEERS[:3], ["s1;local;1"], ["junk"]])
def test_without_an_agents_stamps_there_are_no_steps(trace: list[str]) -> None:
    assert read_steps(trace, round_trip_us=1500) == ()


@pytest.mark.parametrize(
    ("trace", "links"),
    [([], 0), (PEERS[:2], 2), (PEERS, 3), (["s1;child;1", "s1;local;2"], 1), (["junk"], 0)],
)
def test_links_are_counted_from_the_client_and_then_from_the_agent(trace: list[object], links: int) -> None:
    assert links_passed(trace) == links


@pytest.mark.parametrize(
    "junk", [None, 7, [], "", "s1", "s1;child", "s1;child;", "s1;child;x", "s1;boss;1", ";child;1", "s1;child;1e3",
             "s1;child;" + "9" * 40, "s1;child;²"]
)  # fmt: skip
def test_entries_that_are_no_stamps_are_skipped(junk: object) -> None:
    assert str(read_path([junk, *PEERS], round_trip_us=1500)) == "client → s1 ↔ s2 → a2"
