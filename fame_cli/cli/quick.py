"""The short way to the one-shot commands: plain command lines, read without typer.

Importing typer, and pydantic with which it reads values, takes 60 ms; all of a ``fame call`` takes 85
(benchmarks/results/startup.json). So the commands that stand in scripts and loops are read here, if every word
of their command line is beyond doubt. Anything else (help, a short option with its value glued on, a wrong value, any
other command) is left to the parser: nothing is refused here. ``tests/cli/test_quick.py`` holds that both agree.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence, Set
from importlib import import_module
from typing import NamedTuple

from fame_cli.cli import failing
from fame_cli.cli.given import Given
from fame_cli.cli.invocation import Invocation
from fame_cli.cli.output import OutputFormat

__all__ = ["COMMANDS", "QuickCommand", "read", "run"]

_COMPLETING = "_FAME_COMPLETE"
"""The shell sets it to ask the parser for completions."""


_SHARED = frozenset({"--timeout", "--output", "-o", "--url", "--config"})
_CALLING = _SHARED | {"--json", "--capability", "--session"}
_PINGING = _SHARED | {"--count", "-c", "--interval", "-i"}


class QuickCommand(NamedTuple):
    """Say how a command line is read, and which module's `run` does the work.

    Args:
        module: of the work.
        options: those that have a value.
        fewest: words it needs.
        most: words it takes.
        is_call: whether ``-v`` and ``--retry`` are among its options.
    """

    module: str
    options: Set[str]
    fewest: int
    most: int
    is_call: bool = False


COMMANDS = {
    "call": QuickCommand("fame_cli.cli.calling", _CALLING, 1, sys.maxsize, True),
    "stream": QuickCommand("fame_cli.cli.streaming", _CALLING, 1, sys.maxsize, True),
    "ping": QuickCommand("fame_cli.cli.pinging", _PINGING, 1, 1),
    "ls": QuickCommand("fame_cli.cli.listing", _SHARED, 0, 1),
}


def run(arguments: Sequence[str]) -> int | None:
    """Run the command of a plain command line and return its exit code; None if the parser has to read it.

    Args:
        arguments: of the process, without its name.
    """
    invocation = Invocation()
    found = read(arguments, invocation.environment())
    if found is None:
        return None
    command, given = found
    invocation.command = f"fame {arguments[0]}"
    work = vars(import_module(command.module))["run"]
    return failing.exit_code_of(lambda: work(invocation, given), lambda failure: failing.report(failure, debug=False))


def read(arguments: Sequence[str], env: Mapping[str, str]) -> tuple[QuickCommand, Given] | None:
    """Return a command and what was given to it; None if the parser has to read this command line.

    Args:
        arguments: of the process, without its name.
        env: the environment variables.
    """
    command = COMMANDS.get(arguments[0]) if arguments else None
    if command is None or _COMPLETING in env or sys.platform == "win32":  # there the parser expands * and ~
        return None
    given = Given([])
    rest = iter(arguments[1:])
    for word in rest:
        if word[:1] != "-" or word == "-":
            given.words.append(word)
        elif command.is_call and (word == "--verbose" or not word[1:].strip("v")):
            given.verbose += 1 if word == "--verbose" else len(word) - 1
        elif command.is_call and word == "--retry":
            given.retry = True
        elif not _take(command, given, word, rest):
            return None
    return (command, given) if command.fewest <= len(given.words) <= command.most else None


def _take(command: QuickCommand, given: Given, word: str, rest: Iterator[str]) -> bool:
    """Take an option with its value; False if that needs the parser."""
    option, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
    if option not in command.options:
        return False
    if not equals:
        value = next(rest, "--")
        if value[:1] == "-" and value != "-":
            return False
    return _put(given, option, value)


def _put(given: Given, option: str, value: str) -> bool:
    """Put the value of an option in its place; False if that needs the parser."""
    match option:
        case "--url":
            given.url = value
        case "--config":
            given.config = value
        case "--json":
            given.json_text = value
        case "--session":
            given.session = value
        case "--capability":
            given.capability = [*(given.capability or ()), value]
        case "--output" | "-o" if value in OutputFormat.__members__:
            given.form = OutputFormat(value)
        case "--timeout" if _is_above_zero(value):
            given.timeout = float(value)
        case "--interval" | "-i" if _is_above_zero(value):
            given.interval = float(value)
        case "--count" | "-c" if value.isdigit() and _is_above_zero(value):
            given.count = int(value)
        case _:
            return False
    return True


def _is_above_zero(value: str) -> bool:
    """Tell whether a text is beyond doubt a number above 0, such as ``3`` or ``2.5``."""
    plain = len(value) <= 9 and value.isascii() and value.replace(".", "", 1).isdigit()
    return plain and float(value) > 0
