"""`fame trace`: the way of one call as a table, and what can be told where nobody stamps."""

import json

from fame_runner import Fame, StepClock

from fame_cli.errors import NoRoute, RemoteError

MATH2 = "math2@fame.fabric"


def test_each_hop_is_shown_there_and_back_with_its_times(fame: Fame) -> None:
    result = fame("trace", MATH2)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "math2@fame.fabric: client → s1 ↔ s2 → a2\n"
        "#  WAY    FROM    TO      LINK    TIME      SUM\n"
        "1  there  client  s1      child   -         -\n"
        "2  there  s1      s2      peer    -         -\n"
        "3  there  s2      a2      parent  -         -\n"
        "4  in     a2      -       -       0.900 ms  0.900 ms\n"
        "5  back   a2      s2      child   0.200 ms  1.100 ms\n"
        "6  back   s2      s1      peer    0.100 ms  1.200 ms\n"
        "7  back   s1      client  parent  0.300 ms  1.500 ms\n"
    )
    assert fame.client.asked == [f"{MATH2} agent.ping"]


def test_the_client_asks_for_traces(fame: Fame) -> None:
    fame("trace", MATH2)
    assert fame.client.settings is not None
    assert (fame.client.settings.trace, fame.client.settings.observer) == (True, None)


def test_an_agent_of_another_make_that_is_behind_a_sentinel_of_ours_answers_too(fame: Fame) -> None:
    fame.client.failure = RemoteError("Method not found", code=-32601)
    assert fame("trace", MATH2).exit_code == 0


def test_a_sentinel_is_traced_by_its_id(fame: Fame) -> None:
    fame.client.trace = ["s1;child;100", "s2;peer;10", "s2;local;20", "s1;peer;1300"]
    assert fame("trace", "s2").stdout.splitlines()[0] == "__sys__@/s2: client → s1 ↔ s2"
    assert fame.client.asked == ["attached fabric.graph", "__sys__@/s2 agent.ping"]


def test_where_nobody_stamps_there_is_the_round_trip_and_a_note(fame: Fame) -> None:
    fame.client.trace = []
    fame.clock = StepClock(0, 3.25)
    result = fame("trace", MATH2)
    assert (result.exit_code, result.stdout) == (0, "math2@fame.fabric: answered after 3.250 ms\n")
    assert result.stderr == "fame: math2@fame.fabric doesn't report the way of a call: it is of another make\n"


def test_the_trace_of_an_earlier_call_is_not_taken_for_this_one(fame: Fame) -> None:
    fame.client.last_trace = ["s1;child;1", "s1;local;2"]
    fame.client.trace = []
    assert "answered after" in fame("trace", MATH2).stdout


def test_json_has_each_step_in_microseconds(fame: Fame) -> None:
    shown = json.loads(fame("trace", MATH2, "-o", "json").stdout)
    assert (shown["address"], shown["round_trip_us"], shown["path"]) == (MATH2, 1500, ["client", "s1", "s2", "a2"])
    assert len(shown["steps"]) == 7
    assert shown["steps"][4] == {
        "number": 5, "way": "back", "from": "a2", "to": "s2", "link": "child", "time_us": 200, "sum_us": 1100,
    }  # fmt: skip
    assert shown["steps"][3]["link"] is None


def test_nobody_there_is_one_line_with_exit_code_5(fame: Fame) -> None:
    result = fame("trace", "math9@fame.fabric")
    assert (result.exit_code, result.stdout) == (5, "")
    assert result.stderr == "fame: nobody serves math9@fame.fabric; see what there is: fame ls\n"


def test_a_hint_that_came_with_the_error_is_kept(fame: Fame) -> None:
    fame.client.failure = NoRoute("too far", hint="raise limits.max_hops")
    assert fame("trace", MATH2).stderr == "fame: too far; raise limits.max_hops\n"
