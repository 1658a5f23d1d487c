"""`fame bench`: what it measures, what it says about it on which stream, and its exit codes."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from fame_runner import Fame, StepClock

from fame_cli.errors import DeadlineExceeded, LinkLost, NoRoute, RemoteError

MATH2 = "math2@fame.fabric"
WAIT_S = 20
LOST = DeadlineExceeded("no answer from math2@fame.fabric agent.ping within 1 s", hint="raise --timeout")


# What it says


def test_an_address_alone_is_pinged_and_the_report_says_how_fast(fame: Fame) -> None:
    result = fame("bench", MATH2, "-n", "3", "-c", "2")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "math2@fame.fabric agent.ping: 3 answered in 0.011 s, 285.7/s\n"
        "2 in flight; this process used 0% of a core\n"
        "\n"
        "LATENCY  MIN    MEAN   P50    P90    P99    P99.9  MAX\n"
        "ms       1.500  1.500  1.500  1.500  1.500  1.500  1.500\n"
        "\n"
        f"1.5 .. 2 ms  {'█' * 40}  3  100.00 %\n"
    )
    assert fame.client.asked == [f"{MATH2} agent.ping"] * 4, "one went ahead"


def test_an_operation_is_looked_up_and_its_arguments_are_coerced_once(fame: Fame) -> None:
    result = fame("bench", "add", "x=3", "y=4", "-n", "2")
    assert (result.exit_code, result.stderr) == (0, "fame: using math2@fame.fabric for add\n")
    assert fame.client.params == {"x": 3, "y": 4}
    assert fame.client.asked == [f"{MATH2} describe", f"{MATH2} add", f"{MATH2} describe"] + [f"{MATH2} add"] * 2


def test_capabilities_stand_for_an_address(fame: Fame) -> None:
    fame.client.capabilities = {"fame.capability.math": [MATH2]}
    result = fame("bench", "--capability", "fame.capability.math", "-n", "1")
    assert result.exit_code == 0
    assert result.stdout.startswith("whoever offers fame.capability.math agent.ping: 1 answered in ")


def test_json_is_one_document_with_all_figures(fame: Fame) -> None:
    result = fame("bench", MATH2, "add", "x:=3", "y:=4", "-n", "4", "-o", "json")
    assert json.loads(result.stdout) == {
        "target": MATH2, "operation": "add", "concurrency": 64, "clients": 1, "rate": None,
        "elapsed_s": 0.0135, "interrupted": False,
        "answered": 4, "failed": 0, "broken_off": 0, "unstarted": 0, "unanswered": 0, "errors": {},
        "answered_per_s": 296.296, "busy": 0.0,
        "latency_ms": dict.fromkeys(("min", "mean", "p50", "p90", "p99", "p99.9", "max"), pytest.approx(1.5, rel=1e-6)),
        "histogram": [{"from_ms": 1.5, "to_ms": 2.0, "count": 4}],
    }  # fmt: skip


def test_ndjson_is_one_line(fame: Fame) -> None:
    assert fame("bench", MATH2, "-n", "1", "-o", "ndjson").stdout.count("\n") == 1


def test_streams_are_read_to_their_end_and_their_items_counted(fame: Fame) -> None:
    result = fame("bench", MATH2, "fib_stream", "n:=7", "--stream", "-n", "3")
    assert result.exit_code == 0
    assert result.stdout.startswith(
        "math2@fame.fabric fib_stream: 21 items in 0.011 s, 2000.0/s, 0.000 MB/s; 3 streams came to their end\n"
        "1 in flight; "
    )
    assert "\nFIRST ITEM  MIN " in result.stdout


def test_the_document_of_streams_has_items_and_bytes(fame: Fame) -> None:
    shown = json.loads(fame("bench", MATH2, "fib_stream", "n:=7", "--stream", "-n", "2", "-o", "json").stdout)
    assert (shown["items"], shown["answered"], shown["received_bytes"]) == (14, 2, 0)
    assert shown["first_item_ms"]["p50"] == pytest.approx(1.5, rel=1e-6)
    assert "latency_ms" not in shown


def test_a_stream_is_broken_off_when_the_time_is_over(fame: Fame) -> None:
    fame.clock = time.perf_counter
    result = fame("bench", MATH2, "forever", "--stream", "-d", "0.05", "-o", "json")
    shown = json.loads(result.stdout)
    assert (result.exit_code, shown["answered"], shown["failed"]) == (0, 0, 0)
    assert shown["items"] >= 1
    assert fame.client.closed_streams == shown["broken_off"] + 1, "with the one that went ahead"


def test_the_time_without_a_count_is_five_seconds(fame: Fame) -> None:
    fame.clock = StepClock(500)
    assert ": 5 answered in 6.000 s" in fame("bench", MATH2, "-c", "1").stdout


def test_warming_up_is_not_counted(fame: Fame) -> None:
    fame.clock = StepClock(100)
    result = fame("bench", MATH2, "-n", "2", "--warm-up", "1")
    assert ": 2 answered in " in result.stdout
    assert len(fame.client.asked) > 3


def test_a_rate_and_clients_are_part_of_the_report(fame: Fame) -> None:
    result = fame("bench", MATH2, "-n", "5", "--rate", "100000", "--clients", "2")
    assert result.stdout.startswith("math2@fame.fabric agent.ping: 5 answered in ")
    assert "\n100000/s, at most 64 in flight, 2 clients; " in result.stdout


def test_a_rate_that_is_not_reached_is_said(fame: Fame) -> None:
    fame.clock = StepClock(0, 0, 2000)
    result = fame("bench", MATH2, "-d", "1", "--rate", "100", "-c", "1")
    assert "\n99 were due and not started: the rate was not reached\n" in result.stdout


@pytest.mark.parametrize(("rate", "shown"), [("0.5", "0.5/s"), ("1e6", "1000000/s")])
def test_a_rate_is_written_out_and_counts_for_the_time_it_fills(fame: Fame, rate: str, shown: str) -> None:
    fame.clock = StepClock(0.0001)
    result = fame("bench", MATH2, "-n", "1", "--rate", rate)
    headline, load, *_ = result.stdout.splitlines()
    assert load.startswith(f"{shown}, at most ")
    assert headline.endswith(f" {float(rate):.1f}/s")


def test_the_id_of_a_sentinel_alone_is_pinged(fame: Fame) -> None:
    result = fame("bench", "s2", "-n", "2")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("__sys__@/s2 agent.ping: 2 answered in ")


def test_a_sentinel_that_is_out_of_reach_is_said_to_be(fame: Fame) -> None:
    result = fame("bench", "s9")
    assert (result.exit_code, result.stdout) == (5, "")
    assert result.stderr == 'fame: "s9" is out of reach; see which links there are: fame graph\n'


def test_a_word_alone_that_is_neither_operation_nor_sentinel_is_taken_for_an_operation(fame: Fame) -> None:
    result = fame("bench", "ad")
    assert (result.exit_code, result.stderr) == (5, 'fame: no agent offers "ad"; did you mean add?\n')


def test_calls_of_an_operation_that_yields_a_stream_are_said_to_take_its_first_item(fame: Fame) -> None:
    told = "fame: fib_stream yields a stream, of which a call takes the first item; add --stream to read them all\n"
    assert fame("bench", MATH2, "fib_stream", "-n", "1").stderr == told
    assert fame("bench", MATH2, "fib_stream", "-n", "1", "--stream").stderr == ""
    assert fame("bench", MATH2, "add", "x:=3", "y:=4", "-n", "1").stderr == ""
    fame.client.describes = False
    assert fame("bench", MATH2, "fib_stream", "-n", "1").stderr == ""


def test_a_client_that_is_one_too_many_says_which_it_was(fame: Fame) -> None:
    fame.client.most = 2
    result = fame("bench", MATH2, "--clients", "5")
    assert (result.exit_code, result.stdout) == (7, "")
    assert result.stderr == "fame: client 3 of 5: no room; 2 could attach; is limits.max_links less?\n"


def test_a_first_client_that_is_refused_is_not_one_of_many(fame: Fame) -> None:
    fame.client.most = 0
    assert fame("bench", MATH2, "--clients", "5").stderr == "fame: no room\n"


@pytest.mark.skipif(sys.platform == "win32", reason="has no such limit")
def test_more_clients_than_the_system_lets_it_have_files_are_refused_before_any_attaches() -> None:
    limited = 'ulimit -Sn 256; ulimit -Hn 256; exec "$@"'
    command = [sys.executable, "-m", "fame_cli", "bench", MATH2, "--clients", "1000"]
    done = subprocess.run(["sh", "-c", limited, "sh", *command], capture_output=True, text=True, timeout=WAIT_S)
    assert done.returncode == 2
    assert done.stderr == (
        "fame: 1000 clients need 1064 open files, and the system lets this process have 256; "
        "say --clients 192, or raise the limit (ulimit -Hn)\n"
    )


def test_each_client_has_an_id_of_its_own(fame: Fame) -> None:
    Path("client.yaml").write_text("kind: client\nid: tester\n")
    assert fame("bench", MATH2, "-n", "1", "--clients", "3", "--config", "client.yaml").exit_code == 0
    assert fame.client.settings is not None
    assert fame.client.settings.node_id == "tester-3"


def test_a_client_that_was_busy_all_the_time_says_that_it_may_be_the_limit(fame: Fame) -> None:
    fame.cpu_clock = StepClock(6)
    result = fame("bench", MATH2, "-n", "1")
    assert result.exit_code == 0
    assert "this process was busy all the time" in result.stderr


# Nothing and nobody to measure


def test_without_a_word_it_says_what_there_is(fame: Fame) -> None:
    result = fame("bench")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "fame: say what to measure; there is: math1@fame.fabric, math2@fame.fabric; "
        "e.g. fame bench math1@fame.fabric [OPERATION NAME=VALUE …]\n"
    )


def test_without_a_word_and_without_an_agent_it_says_how_to_start_one(fame: Fame) -> None:
    fame.client.answers["fabric.names"] = []
    assert fame("bench").stderr == (
        "fame: nothing to measure: no agent is attached; start one: fame agent --config math1.yaml\n"
    )


def test_a_call_that_can_not_work_is_told_before_any_load(fame: Fame) -> None:
    result = fame("bench", MATH2, "nope")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith('fame: math2@fame.fabric has no operation "nope"; ')
    assert len(fame.client.asked) == 1


def test_an_address_that_nobody_serves_has_its_exit_code(fame: Fame) -> None:
    result = fame("bench", "ghost@fame.fabric")
    assert (result.exit_code, result.stdout) == (5, "")
    assert result.stderr == (
        "fame: nobody serves ghost@fame.fabric; check the address; is its agent running and attached?\n"
    )


# Failures under load


def test_failed_calls_are_listed_and_the_commonest_gives_the_exit_code(fame: Fame) -> None:
    fame.client.failures = [None, LOST, NoRoute("nobody"), NoRoute("nobody, again"), None]
    result = fame("bench", MATH2, "-n", "4", "-c", "1")
    assert result.exit_code == 5
    assert "\n2 failed: NoRoute: nobody\n1 failed: DeadlineExceeded: no answer from " in result.stdout
    assert result.stderr == "fame: 3 of 4 calls failed, most of them so: nobody\n"


@pytest.mark.parametrize(("failure", "code"), [(LOST, 6), (LinkLost("down"), 7), (RemoteError("busy"), 1)])
def test_one_failed_call_is_enough_for_its_exit_code(fame: Fame, failure: Exception, code: int) -> None:
    fame.client.failures = [None, failure]
    result = fame("bench", MATH2, "-n", "10", "-c", "1", "-o", "json")
    shown = json.loads(result.stdout)
    assert (result.exit_code, shown["answered"], shown["failed"]) == (code, 9, 1)
    assert shown["errors"] == {type(failure).__name__: {"count": 1, "first": str(failure)}}


def test_a_report_without_an_answer_has_no_times(fame: Fame) -> None:
    fame.client.failures = [None]
    fame.client.failure = LinkLost("down")
    shown = json.loads(fame("bench", MATH2, "-n", "1", "-o", "json").stdout)
    assert set(shown["latency_ms"].values()) == {None}
    fame.client.failures = [None]
    assert "LATENCY" not in fame("bench", MATH2, "-n", "1").stdout


def test_calls_that_had_no_answer_in_time_are_among_the_times_and_said_to_be(fame: Fame) -> None:
    fame.clock = StepClock(0, 0, 1, 0, 2000, 0)
    fame.client.failures = [None, None, LOST]
    result = fame("bench", MATH2, "-n", "2", "-c", "1")
    assert "\n1 of the times below is of calls without an answer: as long as they had waited\n" in result.stdout
    assert "  2000.000\n" in result.stdout


# The command line


@pytest.mark.parametrize(
    "words",
    [
        ("-n", "0"), ("-c", "0"), ("-d", "0"), ("-d", "nan"), ("-r", "-1"), ("--clients", "0"), ("--warm-up", "-1"),
        ("--warm-up", "nan"), ("--timeout", "0"), ("-c", "x"), ("extra",), ("add", "x"), ("--capability", "c"),
        ("--clients", "9", "-c", "8"),
    ],
)  # fmt: skip
def test_what_can_not_be_done_is_a_usage_error_of_one_line(fame: Fame, words: tuple[str, ...]) -> None:
    result = fame("bench", MATH2, *words) if words != ("extra",) else fame("bench", "math2", "extra")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert fame.client.asked == []


def test_it_says_what_is_wrong_with_so_many_clients(fame: Fame) -> None:
    assert fame("bench", MATH2, "--clients", "9", "-c", "8").stderr == (
        "fame: 9 clients share 8 calls in flight; say -c 9, or more\n"
    )


# Terminals and signals


def watched(argv: Sequence[str], *, until: bytes) -> tuple[int, bytes, bytes]:
    """Send Ctrl-C once the terminal at stderr shows something; return exit code, stdout, and what it showed."""
    ours, theirs = pty.openpty()
    env = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=theirs, env=env) as process:
        os.close(theirs)
        shown = b""
        while until not in shown:
            shown += os.read(ours, 4096)  # the timeout of the test is its bound
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=WAIT_S)
    os.close(ours)
    return process.returncode, out, shown


def test_ctrl_c_ends_the_load_and_shows_what_there_is(fame_process: Callable[..., Sequence[str]]) -> None:
    argv = fame_process("bench", MATH2, "forever", "--stream", "-d", "1000")
    code, out, shown = watched(argv, until=b" 1 items, ")
    assert code == 130
    assert b"\ninterrupted: this is what there was until then\n" in out
    assert out.startswith(b"math2@fame.fabric forever: 1 items in ")
    assert b"\n1 broken off at the end\n" in out
    assert b"0 failed" in shown


def test_ctrl_c_while_it_warms_up_has_nothing_to_show(fame_process: Callable[..., Sequence[str]]) -> None:
    argv = fame_process("bench", MATH2, "forever", "--stream", "--warm-up", "1000")
    code, out, _ = watched(argv, until=b"warm-up")
    assert code == 130
    assert out.startswith(b"math2@fame.fabric forever: 0 items in 0.000 s, 0.0/s")


def test_bars_have_colour_on_a_terminal(fame_process: Callable[..., Sequence[str]]) -> None:
    ours, theirs = pty.openpty()
    env = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | {"TERM": "xterm"}
    argv = fame_process("bench", MATH2, "-n", "3")
    subprocess.run(argv, stdout=theirs, stderr=subprocess.DEVNULL, env=env, timeout=WAIT_S, check=True)
    assert b"\x1b[36m" + "█".encode() in os.read(ours, 65_536)
    os.close(theirs)
    os.close(ours)


def test_a_terminal_that_can_not_show_bars_gets_other_signs(fame_process: Callable[..., Sequence[str]]) -> None:
    ours, theirs = pty.openpty()
    env = os.environ | {"TERM": "xterm", "PYTHONIOENCODING": "ascii"}
    argv = fame_process("bench", MATH2, "-d", "0.5")
    subprocess.run(argv, stdout=theirs, stderr=theirs, env=env, timeout=WAIT_S, check=True)
    shown = os.read(ours, 65_536)
    assert b"----" in shown
    assert b"#" in shown
    assert b"\\u" not in shown
    os.close(theirs)
    os.close(ours)


@pytest.mark.parametrize("words", [("-o", "json"), ("-o", "ndjson")])
def test_programs_get_no_progress_even_on_a_terminal(
    fame_process: Callable[..., Sequence[str]], words: tuple[str, ...]
) -> None:
    ours, theirs = pty.openpty()
    argv = fame_process("bench", MATH2, "forever", "--stream", "-d", "0.5", *words)
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=theirs, timeout=WAIT_S, check=True)
    os.write(theirs, b"end")
    assert json.loads(done.stdout)["items"] >= 1
    assert os.read(ours, 4096).startswith(b"closed streams: ")
    os.close(theirs)
    os.close(ours)


def test_without_a_terminal_there_is_no_progress(fame_process: Callable[..., Sequence[str]]) -> None:
    argv = fame_process("bench", MATH2, "forever", "--stream", "-d", "0.5")
    done = subprocess.run(argv, capture_output=True, timeout=WAIT_S, check=True)
    assert done.stderr.startswith(b"closed streams: ")
