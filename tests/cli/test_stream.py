"""`fame stream`: items as they come, and a producer that is stopped however the reading ends."""

import os
import pty
import select
import signal
import subprocess
from collections.abc import Callable, Sequence

from fame_runner import Fame

from fame_cli.errors import RemoteError

MATH2 = "math2@fame.fabric"
WAIT_S = 20


def test_items_are_one_a_line(fame: Fame) -> None:
    result = fame("stream", MATH2, "fib_stream", "n=10")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "0\n1\n1\n2\n3\n5\n8\n13\n21\n34\n", "")


def test_without_a_target_the_operation_is_looked_up(fame: Fame) -> None:
    result = fame("stream", "fib_stream", "n=3")
    assert (result.stdout, result.stderr) == ("0\n1\n1\n", f"fame: using {MATH2} for fib_stream\n")


def test_a_capability_reaches_whoever_offers_it(fame: Fame) -> None:
    fame.client.capabilities = {"a.b": [MATH2]}
    result = fame("stream", "--capability", "a.b", "--session", "ada", "fib_stream", "n=3")
    assert (result.stdout, result.stderr, fame.client.session) == ("0\n1\n1\n", "", "ada")


def test_an_address_and_a_capability_are_a_usage_error(fame: Fame) -> None:
    assert fame("stream", "--capability", "a.b", MATH2, "ticks").exit_code == 2


def test_objects_are_one_line_each(fame: Fame) -> None:
    assert fame("stream", MATH2, "ticks").stdout == '{"tick": 1, "of": ["é"]}\ntwo\n'


def test_json_makes_one_document_of_all_items(fame: Fame) -> None:
    assert fame("stream", MATH2, "ticks", "-o", "json").stdout == '[\n  {"tick": 1, "of": ["é"]},\n  "two"\n]\n'


def test_ndjson_quotes_strings(fame: Fame) -> None:
    assert fame("stream", MATH2, "ticks", "-o", "ndjson").stdout == '{"tick": 1, "of": ["é"]}\n"two"\n'


def test_a_stream_read_to_its_end_is_not_cancelled(fame: Fame) -> None:
    fame("stream", MATH2, "fib_stream", "n=2")
    assert (fame.client.closed_streams, fame.client.detached) == (0, True)


def test_several_providers_are_listed_for_streams_too(fame: Fame) -> None:
    fame.client.addresses = (MATH2, "math1@fame.fabric")
    result = fame("stream", "ticks")
    assert result.exit_code == 2
    assert "name one: fame stream math1@fame.fabric ticks …" in result.stderr


def test_an_error_of_the_producer_is_one_line_with_exit_code_1(fame: Fame) -> None:
    fame.client.failure = RemoteError("boom")
    result = fame("stream", MATH2, "ticks")
    assert (result.exit_code, result.stderr) == (1, f"fame: {MATH2} ticks: boom\n")


def read_some(descriptor: int) -> bytes:
    """Read what is there within the time a slow machine may need."""
    assert select.select([descriptor], [], [], WAIT_S)[0], "nothing came"
    return os.read(descriptor, 65_536)


def test_ctrl_c_cancels_the_producer_and_exits_with_130(fame_process: Callable[..., Sequence[str]]) -> None:
    argv = fame_process("stream", MATH2, "forever")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert read_some(process.stdout.fileno()) == b"first\n"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=WAIT_S)
    assert (process.returncode, said) == (130, b"closed streams: 1, detached: True\n")


def test_a_reader_that_has_seen_enough_ends_it_quietly(fame_process: Callable[..., Sequence[str]]) -> None:
    argv = fame_process("stream", MATH2, "fib_stream", "n=200000")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"0\n"
        process.stdout.close()
        assert process.stderr is not None
        said = process.stderr.read()
        assert (process.wait(timeout=WAIT_S), said) == (0, b"")


def test_a_reader_that_leaves_an_idle_stream_cancels_the_producer(fame_process: Callable[..., Sequence[str]]) -> None:
    argv = fame_process("stream", MATH2, "forever")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"first\n"
        process.stdout.close()
        assert process.stderr is not None
        said = process.stderr.read()
        assert (process.wait(timeout=WAIT_S), said) == (0, b"closed streams: 1, detached: True\n")


def test_a_call_into_a_closed_pipe_ends_quietly(fame_process: Callable[..., Sequence[str]]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    argv = fame_process("call", MATH2, "add", "x:=3", "y:=4")
    done = subprocess.run(argv, stdout=writing, stderr=subprocess.PIPE, timeout=WAIT_S, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def coloured_stderr(argv: Sequence[str], **env: str) -> bytes:
    """Return what a command says when its stderr is a terminal."""
    ours, theirs = pty.openpty()
    surroundings = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | {"TERM": "xterm"} | env
    try:
        subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=theirs, env=surroundings, timeout=WAIT_S, check=False)
        return read_some(ours)
    finally:
        os.close(theirs)
        os.close(ours)


def test_a_terminal_gets_colour_unless_no_color_is_set(fame_process: Callable[..., Sequence[str]]) -> None:
    argv = fame_process("call", "ad")
    coloured, plain = coloured_stderr(argv), coloured_stderr(argv, NO_COLOR="1")
    assert (b"31m" in coloured, b"31m" in plain) == (True, False)
    assert b"did you mean add?" in plain
