"""Commands: arguments on stdin, the result on stdout, killed with all their children when their time is over."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

import node_rig
import pytest
import uvloop
from declared_rig import ask, declared, failure, items_of, optional, required
from node_rig import bounded, pair, until

from fame_cli.errors import RemoteError
from fame_cli.node.agent import Agent
from fame_cli.node.declared import Command


@pytest.fixture(params=[None, uvloop.new_event_loop], ids=["asyncio", "uvloop"], autouse=True)
def _loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every test on both event loops: they treat processes differently."""
    monkeypatch.setattr(node_rig, "loop_factory", request.param)


def script(code: str, *, result: Any = "text") -> Command:
    return Command((sys.executable, "-c", f"import json, os, sys, time\n{code}"), result)


def shell(code: str) -> Command:
    """Run what starts more quickly than Python, where time is short."""
    return Command(("sh", "-c", code))


def with_child(pids: Path) -> Command:
    """Run a program that starts another, writes down both ids and waits."""
    return shell(f"sleep 60 & echo $$ $! > {pids}; wait")


def read(pids: Path) -> list[int]:
    """Read the process ids a program has written down; none before the line is whole."""
    text = pids.read_text() if pids.exists() else ""
    return [int(pid) for pid in text.split()] if text.endswith("\n") else []


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and waits for its parent doesn't."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


# One answer


def test_a_command_gets_its_arguments_as_json_on_stdin_and_its_stdout_is_the_result() -> None:
    operation = declared(
        script("a = json.load(sys.stdin); print(a['x'] + a['y'], sorted(a))"),
        required("x", "integer"),
        optional("y", 2, "integer"),
    )
    assert ask(operation, x=1) == "3 ['x', 'y']"


def test_the_output_of_a_command_may_be_json() -> None:
    assert ask(
        declared(script("print(sys.stdin.read())", result="json"), required("x", "object")), x={"a": [None, "é"]}
    ) == {"x": {"a": [None, "é"]}}
    assert failure(declared(script("print('a')", result="json"))).startswith("op: what the command prints isn't JSON: ")


def test_a_command_loses_the_line_ends_at_the_end_of_its_output_and_nothing_else() -> None:
    assert ask(declared(script("print(' a\\n\\n b \\r\\n\\n')"))) == " a\n\n b "


def test_a_command_never_sees_a_shell() -> None:
    assert ask(declared(Command(("echo", "$HOME;", "*", "`id`", "a  b")))) == "$HOME; * `id` a  b"


def test_a_command_that_does_not_read_its_arguments_is_free_not_to() -> None:
    assert ask(declared(Command(("true",)), required("x")), x="a" * 1_000_000) == ""


def test_large_arguments_and_large_output_pass_at_the_same_time() -> None:
    operation = declared(script("for line in sys.stdin: print(line)"), required("x"), max_bytes=3_000_000)
    assert len(ask(operation, x="a" * 2_000_000)) > 2_000_000


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("sys.exit(3)", "ended with code 3"),
        ("sys.exit('first\\nno such city ')", "ended with code 1: no such city"),
        ("print('out'); sys.stderr.write('x' * 100_000 + '\\nlast\\n\\n'); sys.exit(2)", "ended with code 2: last"),
        ("sys.stderr.buffer.write(b'caf\\xe9'); sys.exit(2)", "ended with code 2: caf�"),
        ("os.kill(os.getpid(), 9)", "was killed by signal 9"),
    ],
)
def test_a_command_that_fails_says_how(code: str, told: str) -> None:
    assert failure(declared(script(code))) == f"op: the command {told}"


def test_the_exit_code_of_a_command_is_in_the_data() -> None:
    with pytest.raises(RemoteError) as caught:
        ask(declared(script("sys.exit(3)")))
    assert caught.value.data == {"exit_code": 3}


def test_what_a_command_says_on_stderr_is_no_part_of_its_result() -> None:
    assert ask(declared(script("print('a'); sys.stderr.write('b' * 1_000_000)"))) == "a"


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (("/no/such/program",), "/no/such/program can't be started: no such file or directory"),
        (("/",), "/ can't be started: permission denied"),
        (("echo", "a\0b"), "echo can't be started: embedded null byte"),
    ],
)
def test_a_program_that_cannot_be_started_is_told(argv: tuple[str, ...], told: str) -> None:
    assert failure(declared(Command(argv))) == f"op: {told}"


def test_a_command_that_prints_too_much_is_killed() -> None:
    operation = declared(script("while True: print('a' * 1000)"), max_bytes=5000)
    assert failure(operation) == "op: the command prints more than 5000 bytes"
    assert len(ask(declared(script("print('a' * 4999)"), max_bytes=5000))) == 4999


def test_a_command_that_prints_what_is_not_utf_8_is_an_error() -> None:
    assert failure(declared(script("sys.stdout.buffer.write(b'\\xff')"))) == "op: the command prints what isn't UTF-8"


def test_a_command_that_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    assert failure(declared(with_child(pids), timeout_s=1.5)) == "op: the command took longer than 1.5 s"
    assert len(read(pids)) == 2
    bounded(until(lambda: not any(map(is_alive, read(pids)))))


def test_what_a_command_leaves_behind_does_not_keep_its_caller(tmp_path: Path) -> None:
    """The child holds stdout open when its parent has ended: the call ends in time all the same."""
    pid = tmp_path / "pid"
    assert failure(declared(shell(f"sleep 60 & echo $! > {pid}"), timeout_s=1.5)).endswith("took longer than 1.5 s")
    assert read(pid)
    bounded(until(lambda: not any(map(is_alive, read(pid)))))


def test_a_cancelled_command_is_killed_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    async def main() -> None:
        async with pair(Agent.from_operations([declared(with_child(pids))])) as nodes:
            asked = nodes.ask("op")
            await until(lambda: len(read(pids)) == 2)
            nodes.calling.cancel(asked.key)
            await until(lambda: not any(map(is_alive, read(pids))))

    bounded(main())


def test_a_command_cancelled_while_it_starts_is_killed_with_its_children(tmp_path: Path) -> None:
    """However many turns of the loop it has had, nothing of it is left."""

    async def main() -> None:
        for number in range(12):
            pids = tmp_path / str(number)
            outcome = declared(with_child(pids)).invoke([], {})
            assert isinstance(outcome, Awaitable)
            task = asyncio.ensure_future(outcome)
            for _ in range(number):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            await until(lambda: not any(map(is_alive, read(pids))))  # noqa: B023  # called before the next round

    bounded(main())


def test_commands_run_at_the_same_time(tmp_path: Path) -> None:
    """Each waits for the file the other makes."""

    async def main() -> None:
        code = (
            f"a = json.load(sys.stdin); folder = {str(tmp_path)!r}\n"
            "open(f'{folder}/{a[\"mine\"]}', 'w').close()\n"
            "while not os.path.exists(f'{folder}/{a[\"other\"]}'): time.sleep(0.01)"
        )
        operation = declared(script(code), required("mine"), required("other"))
        async with pair(Agent.from_operations([operation])) as nodes:
            asked = [nodes.ask("op", "a", "b"), nodes.ask("op", "b", "a")]
            assert [await each.result() for each in asked] == ["", ""]

    bounded(main())


# Streams


def test_each_line_of_a_streaming_command_is_an_item_and_json_if_it_is_json() -> None:
    operation = declared(
        script("print('1\\n\"a\"\\n{\"b\": [2]}\\nplain text\\n\\n007\\ntrue\\n{broken'); print('no end', end='')"),
        streaming=True,
    )
    assert operation.streaming
    assert items_of(operation) == [1, "a", {"b": [2]}, "plain text", "", "007", True, "{broken", "no end"]


def test_a_streaming_command_without_output_is_an_empty_stream() -> None:
    assert items_of(declared(Command(("true",)), streaming=True)) == []


def test_lines_come_while_the_command_still_runs(tmp_path: Path) -> None:
    """The command goes on only when its first line has been taken."""
    flag = tmp_path / "flag"
    code = f"print('first', flush=True)\nwhile not os.path.exists({str(flag)!r}): time.sleep(0.01)\nprint('second')"

    async def main() -> list[object]:
        items: list[object] = []
        outcome = declared(script(code), streaming=True).invoke([], {})
        assert isinstance(outcome, AsyncIterator)
        async for item in outcome:
            items.append(item)
            flag.touch()
        return items

    assert bounded(main()) == ["first", "second"]


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (script("print(1); sys.exit('broke')"), "op: the command ended with code 1: broke"),
        (script("print(1, flush=True); print('a' * 5000)"), "op: the command prints a line of more than 2000 bytes"),
        (script("print(1, flush=True); os.write(1, b'\\xff\\n')"), "op: the command prints what isn't UTF-8"),
    ],
)
def test_a_stream_that_fails_ends_in_its_error(command: Command, told: str) -> None:
    items = items_of(declared(command, streaming=True, max_bytes=2000))
    assert items[0] == 1
    assert str(items[1]) == told
    assert len(items) == 2


def test_a_stream_that_stands_still_too_long_ends_in_an_error() -> None:
    items = items_of(declared(shell("echo 1; sleep 60"), streaming=True, timeout_s=1.0))
    assert items[0] == 1
    assert str(items[1]) == "op: the command printed nothing for 1 s"


def test_a_stream_may_be_longer_than_what_one_line_may_be() -> None:
    items = items_of(declared(script("for n in range(1000): print('a' * 100)"), streaming=True, max_bytes=2000))
    assert items == ["a" * 100] * 1000


def test_a_stream_that_is_closed_kills_its_command() -> None:
    async def main() -> None:
        operation = declared(script("while True: print(os.getpid())"), streaming=True)
        async with pair(Agent.from_operations([operation])) as nodes:
            asked = nodes.ask("op", streaming=True)
            await until(lambda: bool(asked.items))
            pid = asked.items[0]
            assert isinstance(pid, int)
            nodes.calling.cancel(asked.key)
            await until(lambda: not is_alive(pid))
            first = await nodes.ask("op").result()
            assert isinstance(first, int)
            await until(lambda: not is_alive(first))

    bounded(main())


def test_a_command_runs_in_the_folder_it_is_given(tmp_path: Path) -> None:
    assert ask(declared(Command(("pwd",), folder=str(tmp_path)))) == str(tmp_path.resolve())
