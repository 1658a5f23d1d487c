"""The short way to the one-shot commands: plain command lines, read without typer.

Importing typer, and pydantic with which it reads values, takes 60 ms; all the rest of a ``fame call`` takes 80
(benchmarks/README.md, whole processes). So the commands that stand in scripts and loops are read here, if every word
of their command line is beyond doubt. Anything else (help, a short option with its value glued on, a wrong value, any
other command) is left to the parser: nothing is refused here. ``tests/cli/test_quick.py`` holds that both agree.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import NamedTuple

from fame_cli.cli import failing
from fame_cli.cli.given import Given
from fame_cli.cli.invocation import Invocation
from fame_cli.cli.output import OutputFormat

__all__ = ["COMMANDS", "QuickCommand", "read", "run"]

_COMPLETING = "_FAME_COMPLETE"
"""The shell sets it to ask the parser for completions."""


def _text(given: Given, name: str, value: str) -> bool:
    setattr(given, name, value)
    return True


def _texts(given: Given, name: str, value: str) -> bool:
    given.capability = [*(given.capability or ()), value]
    return True


def _form(given: Given, name: str, value: str) -> bool:
    if value not in OutputFormat.__members__:
        return False
    given.form = OutputFormat(value)
    return True


def _seconds(given: Given, name: str, value: str) -> bool:
    if len(value) > 9 or not value.isascii() or not value.replace(".", "", 1).isdigit():
        return False
    setattr(given, name, float(value))
    return float(value) > 0


def _count(given: Given, name: str, value: str) -> bool:
    if len(value) > 9 or not value.isascii() or not value.isdigit():
        return False
    given.count = int(value)
    return given.count >= 1


Take = Callable[[Given, str, str], bool]
"""Puts the value of an option under its name in what was given; False if that needs the parser."""

_SHARED: dict[str, tuple[str, Take]] = {
    "--timeout": ("timeout", _seconds),
    "--output": ("form", _form),
    "-o": ("form", _form),
    "--url": ("url", _text),
    "--config": ("config", _text),
}
_CALLING: dict[str, tuple[str, Take]] = {
    **_SHARED,
    "--json": ("json_text", _text),
    "--capability": ("capability", _texts),
    "--session": ("session", _text),
}
_PINGING: dict[str, tuple[str, Take]] = {
    **_SHARED,
    "--count": ("count", _count),
    "-c": ("count", _count),
    "--interval": ("interval", _seconds),
    "-i": ("interval", _seconds),
}


class QuickCommand(NamedTuple):
    """Say how a command line is read, and which module's `run` does the work.

    Args:
        module: of the work.
        options: option → its name in `Given`, and what takes its value.
        fewest: words it needs.
        most: words it takes.
        has_verbose: whether ``-v`` is one of its options.
    """

    module: str
    options: Mapping[str, tuple[str, Take]]
    fewest: int
    most: int
    has_verbose: bool = False


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
        elif command.has_verbose and (word == "--verbose" or not word[1:].strip("v")):
            given.verbose += 1 if word == "--verbose" else len(word) - 1
        elif not _take(command, given, word, rest):
            return None
    return (command, given) if command.fewest <= len(given.words) <= command.most else None


def _take(command: QuickCommand, given: Given, word: str, rest: Iterator[str]) -> bool:
    """Take an option with its value; False if that needs the parser."""
    option, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
    known = command.options.get(option)
    if known is None:
        return False
    if not equals:
        value = next(rest, "--")
        if value[:1] == "-" and value != "-":
            return False
    name, take = known
    return take(given, name, value)
