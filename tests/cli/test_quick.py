"""Plain command lines: whatever is read without the parser is read as the parser reads it."""

from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fame_cli.cli import quick
from fame_cli.cli.failing import exit_code_of
from fame_cli.cli.given import Given
from fame_cli.cli.invocation import Invocation
from fame_cli.cli.main import load_command
from fame_cli.cli.output import ReaderGone

PARSERS = {"--debug", "--help", "-v", "--verbose", "--retry"}
"""Options that aren't in the tables: the parser's, and those without a value."""

VALUES = ["1", "json"]
"""Every option takes one of these."""

WORDS = {"call": "words", "stream": "words", "ping": "address", "ls": "pattern"}
"""What the parser calls the words of each command."""


def by_parser(name: str, arguments: list[str]) -> Given:
    """Return what the parser makes of the arguments of a command."""
    read: dict[str, Any] = dict(load_command(name).make_context(name, list(arguments), obj=Invocation()).params)
    words = read.pop(WORDS[name])
    read.pop("debug")
    words = list(words) if isinstance(words, list | tuple) else [] if words is None else [words]
    given = Given(words, **{key: value for key, value in read.items() if value != ()})
    given.capability = None if given.capability is None else list(given.capability)
    return given


def quickly(name: str, *arguments: str) -> Given | None:
    """Return what is read without the parser."""
    found = quick.read([name, *arguments], {})
    return None if found is None else found[1]


PLAIN = [
    ("call", ["math1@fame.fabric", "add", "x=3", "y:=4"]),
    ("call", ["add", "--timeout", "2.5", "x=3", "--url=ws://s/fame/v1/attach/ws/downstream"]),
    ("call", ["add", "--json", "-", "-o", "json", "--output=text"]),
    ("call", ["--capability", "a", "add", "--capability=b", "--session", "s", "-vv", "--verbose", "-v"]),
    ("call", ["add", "--config", "a.yaml", "--session", ""]),
    ("call", ["add", "-", "x=-1"]),
    ("call", ["--retry", "add", "x=-1"]),
    ("stream", ["fib_stream", "--retry"]),
    ("call", ["add", "--timeout", "1", "--timeout", "2."]),
    ("stream", ["fib_stream", "n=10", "-o", "ndjson", "-v"]),
    ("ping", ["math1@fame.fabric", "-c", "3", "-i", "0.2"]),
    ("ping", ["--count=3", "s1", "--interval", "1", "--timeout", ".5"]),
    ("ls", []),
    ("ls", ["math*", "-o", "json"]),
]


@pytest.mark.parametrize(("name", "arguments"), PLAIN)
def test_a_plain_command_line_is_read_as_the_parser_reads_it(name: str, arguments: list[str]) -> None:
    read = quickly(name, *arguments)
    assert read is not None
    assert asdict(read) == asdict(by_parser(name, arguments))


PIECES = [
    "add", "x=1", "-", "--", "-v", "-vv", "-vo", "--verbose", "--verbose=1", "--timeout", "--timeout=3", "3",
    "3.5", "-3", "1e3", "٣", "0", "", "-o", "-ojson", "json", "JSON", "--output", "-o=json",
    "--url", "ws://h", "--ur", "--config", "-c", "-c3", "--count", "-i", "--interval=0", "--json", "--session",
    "--capability", "--debug", "--retry", "--retry=1", "--no-retry", "--help", "-h", "--no-debug",
]  # fmt: skip


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(sorted(quick.COMMANDS)), st.lists(st.sampled_from(PIECES), max_size=6))
def test_any_command_line_is_read_alike_or_left_to_the_parser(name: str, arguments: list[str]) -> None:
    read = quickly(name, *arguments)
    if read is not None:
        assert asdict(read) == asdict(by_parser(name, arguments))


@pytest.mark.parametrize("name", sorted(quick.COMMANDS))
def test_every_option_of_the_parser_is_known(name: str) -> None:
    command = quick.COMMANDS[name]
    theirs = {option for param in load_command(name).params for option in param.opts if option[0] == "-"}
    assert command.options == theirs - PARSERS
    assert command.is_call == ("-v" in theirs) == ("--retry" in theirs)
    words = ["x"] * command.fewest
    for option in command.options:
        assert [value for value in VALUES if quickly(name, *words, option, value) is not None], option


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--help"],
        ["call"],
        ["call", "--help"],
        ["call", "add", "--debug"],
        ["call", "add", "--", "x=1"],
        ["call", "add", "--timeout"],
        ["call", "add", "--timeout", "0"],
        ["call", "add", "--timeout", "soon"],
        ["call", "add", "--timeout", "1e3"],
        ["call", "add", "--url", "--debug"],
        ["call", "add", "-ojson"],
        ["call", "add", "-o", "xml"],
        ["ping", "a@b", "c@d"],
        ["ping", "a@b", "-c", "0"],
        ["ping", "a@b", "-v"],
        ["routes"],
    ],
)
def test_whatever_is_not_plain_is_left_to_the_parser(arguments: list[str]) -> None:
    assert quick.read(arguments, {}) is None


def test_completions_are_the_parsers() -> None:
    assert quick.read(["ls"], {"_FAME_COMPLETE": "complete_bash"}) is None


def test_a_command_that_fails_says_so_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert quick.run(["call", "math1", "add"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith('fame: "math1" is not an address and "add" not an argument; ')


@pytest.mark.parametrize(("outcome", "code"), [(None, 0), (3, 3)])
def test_a_command_may_choose_its_exit_code(outcome: int | None, code: int) -> None:
    assert exit_code_of(lambda: outcome, lambda _: 1) == code


@pytest.mark.parametrize(
    ("failure", "code"), [(KeyboardInterrupt(), 130), (ReaderGone(), 0), (BrokenPipeError(), 0), (ValueError(), 9)]
)
def test_an_interrupted_command_and_a_reader_that_leaves_end_without_a_word(
    failure: BaseException, code: int, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise failure

    assert exit_code_of(fail, lambda _: 9) == code
    assert capfd.readouterr() == ("", "")
