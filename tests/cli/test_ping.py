"""`fame ping`: a line for each answer, a summary however it ends, and the right exit code."""

import json
import select
import signal
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from fame_runner import Fame, StepClock

from fame_cli.errors import DeadlineExceeded, LinkLost, NoRoute, PolicyDenied, RemoteError

MATH2 = "math2@fame.fabric"
WAIT_S = 20
LOST = DeadlineExceeded("no answer from math2@fame.fabric agent.ping within 1 s", hint="raise --timeout")


def test_each_answer_is_a_line_and_then_comes_the_summary(fame: Fame) -> None:
    fame.clock = StepClock(1, 3, 0, 0, 1, 0, 0, 2)
    result = fame("ping", MATH2, "-c", "3", "-i", "0")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "answer from math2@fame.fabric: seq=1 time=3.000 ms\n"
        "answer from math2@fame.fabric: seq=2 time=1.000 ms\n"
        "answer from math2@fame.fabric: seq=3 time=2.000 ms\n"
        "3 sent, 3 answered, 0% lost\n"
        "round trip min/median/max 1.000/2.000/3.000 ms\n"
    )
    assert fame.client.asked == [f"{MATH2} agent.ping"] * 3


def test_an_agent_of_another_make_answers_too(fame: Fame) -> None:
    fame.client.failure = RemoteError("Method not found", code=-32601)
    result = fame("ping", MATH2, "-c", "1")
    assert result.exit_code == 0
    assert result.stdout.startswith("answer from math2@fame.fabric: seq=1 time=1.500 ms\n1 sent, 1 answered, 0% lost\n")


def test_an_error_of_the_agent_is_an_answer_and_shown_with_it(fame: Fame) -> None:
    fame.client.failure = RemoteError("busy\x1b", code=-32029)
    result = fame("ping", MATH2, "-c", "1")
    assert result.exit_code == 0
    assert result.stdout.startswith("answer from math2@fame.fabric: seq=1 time=1.500 ms (busy\\x1b)\n")


def test_a_lost_call_is_told_on_stderr_and_counted(fame: Fame) -> None:
    fame.client.failures = [LOST, None, None]
    result = fame("ping", MATH2, "-c", "3", "-i", "0")
    assert result.exit_code == 0
    assert result.stderr == f"fame: seq=1: {LOST}\n"
    assert "\n3 sent, 2 answered, 33% lost\n" in result.stdout


@pytest.mark.parametrize(("failure", "code"), [(NoRoute("nobody"), 5), (LOST, 6), (LinkLost("the link is down"), 7)])
def test_no_answer_at_all_has_the_exit_code_of_the_last_failure(fame: Fame, failure: Exception, code: int) -> None:
    fame.client.failures = [LOST, failure]
    result = fame("ping", MATH2, "-c", "2", "-i", "0")
    assert (result.exit_code, result.stdout) == (code, "2 sent, 0 answered, 100% lost\n")
    assert result.stderr.count("\n") == 2


def test_an_unknown_address_says_what_to_do(fame: Fame) -> None:
    result = fame("ping", "math9@fame.fabric", "-c", "1")
    assert result.stderr == "fame: seq=1: nobody serves math9@fame.fabric; see what there is: fame ls\n"


def test_what_will_not_be_over_by_the_next_call_ends_it(fame: Fame) -> None:
    fame.client.failure = PolicyDenied("not for you")
    result = fame("ping", MATH2)
    assert (result.exit_code, result.stderr) == (4, "fame: not for you\n")


def test_a_sentinel_is_pinged_by_its_id(fame: Fame) -> None:
    assert fame("ping", "s2", "-c", "1").exit_code == 0
    assert fame.client.asked == ["attached fabric.graph", "__sys__@/s2 agent.ping"]


def test_json_is_one_document(fame: Fame) -> None:
    fame.client.failures = [None, LOST]
    assert json.loads(fame("ping", MATH2, "-c", "2", "-i", "0", "-o", "json").stdout) == {
        "address": MATH2, "sent": 2, "answered": 1, "min_ms": 1.5, "median_ms": 1.5, "max_ms": 1.5,
        "calls": [{"seq": 1, "time_ms": 1.5}, {"seq": 2, "error": LOST.message}],
    }  # fmt: skip


def test_ndjson_is_a_line_for_each_call_and_one_for_all(fame: Fame) -> None:
    fame.client.failures = [RemoteError("busy", code=-32029), LOST]
    lines = [json.loads(line) for line in fame("ping", MATH2, "-c", "2", "-i", "0", "-o", "ndjson").stdout.splitlines()]
    assert lines[0] == {"seq": 1, "time_ms": 1.5, "error": "busy"}
    assert lines[1] == {"seq": 2, "error": LOST.message}
    assert (lines[2]["sent"], lines[2]["answered"]) == (2, 1)


def test_a_summary_without_an_answer_has_no_times(fame: Fame) -> None:
    fame.client.failure = LOST
    shown = json.loads(fame("ping", MATH2, "-c", "1", "-o", "json").stdout)
    assert (shown["min_ms"], shown["median_ms"], shown["max_ms"]) == (None, None, None)


@pytest.mark.parametrize("option", [("-c", "0"), ("-i", "-1"), ("-c", "x")])
def test_a_wrong_number_is_a_usage_error(fame: Fame, option: tuple[str, str]) -> None:
    assert fame("ping", MATH2, *option).exit_code == 2


def test_it_runs_where_no_signal_can_be_caught(fame: Fame) -> None:
    with ThreadPoolExecutor(1) as elsewhere:
        assert elsewhere.submit(fame, "ping", MATH2, "-c", "1").result(WAIT_S).exit_code == 0


def interrupted(argv: Sequence[str], *, first: bytes) -> tuple[int, bytes, bytes]:
    """Send Ctrl-C once a command has said `first`; return its exit code, the rest of stdout, and stderr."""
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        stream = process.stdout if first.startswith(b"answer") else process.stderr
        assert stream is not None
        assert select.select([stream], [], [], WAIT_S)[0], "nothing came"
        assert stream.readline().startswith(first)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=WAIT_S)
    return process.returncode, out, err


def test_ctrl_c_gives_the_summary_and_exit_code_0(fame_process: Callable[..., Sequence[str]]) -> None:
    code, out, err = interrupted(fame_process("ping", MATH2, "-i", "1000"), first=b"answer from math2")
    assert (code, err) == (0, b"")
    assert out.startswith(b"1 sent, 1 answered, 0% lost\nround trip min/median/max ")


def test_ctrl_c_without_an_answer_has_the_code_of_the_failure(fame_process: Callable[..., Sequence[str]]) -> None:
    code, out, _ = interrupted(fame_process("ping", "math9@fame.fabric", "-i", "1000"), first=b"fame: seq=1")
    assert (code, out) == (5, b"1 sent, 0 answered, 100% lost\n")
