"""The parser of ``fame``: which commands there are, and how what it finds wrong reads.

A command's module is imported when that command is chosen, not before; listing the commands needs only the texts
below. So ``fame --help`` and ``fame --version`` never import websockets, pydantic or jinja2. Commands raise; they
don't print errors and don't exit.
"""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

from fame_cli.cli import failing, output
from fame_cli.cli.options import DebugOption, Invocation, invocation_of
from fame_cli.version import VERSION

__all__ = ["COMMANDS", "CommandEntry", "app", "report"]


_WORDS = (
    (re.compile(r"Input should be a valid integer.*"), "give a whole number"),
    (re.compile(r"Input should be a valid number.*"), "give a number"),
    (re.compile(r"Input should be greater than or equal to (\S+)"), r"give at least \1"),
    (re.compile(r"Input should be less than or equal to (\S+)"), r"give at most \1"),
)
"""How the parser speaks of values, and how we do."""


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """Hold where a command lives and what the list of commands says about it.

    Args:
        target: ``module:name`` of a command function, or of a typer app for a group of commands.
        summary: one line for ``fame --help``.
        panel: the heading it is listed under.
        takes_words: whether it takes the words of a call; they have a usage line of their own.
    """

    target: str
    summary: str
    panel: str
    takes_words: bool = False


COMMANDS = {
    "sentinel": CommandEntry("fame_cli.cli.sentinel:sentinel", "Run a sentinel.", "Nodes"),
    "agent": CommandEntry("fame_cli.cli.agent:agent", "Run an agent.", "Nodes"),
    "call": CommandEntry("fame_cli.cli.call:call", "Call an operation of an agent.", "Client", True),
    "stream": CommandEntry("fame_cli.cli.stream:stream", "Call a streaming operation of an agent.", "Client", True),
    "send": CommandEntry("fame_cli.cli.send:send", "Send a message that nobody answers.", "Client"),
    "task": CommandEntry("fame_cli.cli.task:app", "Start, watch and cancel long work of agents.", "Client"),
    "ls": CommandEntry("fame_cli.cli.ls:ls", "List what can be called, and where it is.", "Look around"),
    "doctor": CommandEntry("fame_cli.cli.doctor:doctor", "Say what is wrong with a set-up.", "Look around"),
    "describe": CommandEntry("fame_cli.cli.describe:describe", "Show what an agent offers.", "Look around"),
    "routes": CommandEntry("fame_cli.cli.routes:routes", "Show which way a sentinel sends what.", "Look around"),
    "peers": CommandEntry("fame_cli.cli.peers:peers", "List the neighbours of a sentinel.", "Look around"),
    "graph": CommandEntry("fame_cli.cli.graph:graph", "Show the sentinels and their links.", "Look around"),
    "ping": CommandEntry("fame_cli.cli.ping:ping", "Measure the round trip to an agent.", "Look around"),
    "bench": CommandEntry("fame_cli.cli.bench:bench", "Measure a fabric under load.", "Look around", True),
    "trace": CommandEntry("fame_cli.cli.trace:trace", "Show the way of a call, hop by hop.", "Look around"),
    "mail": CommandEntry("fame_cli.cli.mail:app", "List and mend messages a node keeps.", "Look around"),
    "up": CommandEntry("fame_cli.cli.up:up", "Start all nodes of a fabric file.", "Fabric"),
    "ps": CommandEntry("fame_cli.cli.up:ps", "List the nodes that `fame up` started.", "Fabric"),
    "logs": CommandEntry("fame_cli.cli.up:logs", "Show what the nodes of a fabric say.", "Fabric"),
    "down": CommandEntry("fame_cli.cli.up:down", "Stop the nodes that `fame up -d` started.", "Fabric"),
    "reload": CommandEntry("fame_cli.cli.reload:reload", "Have running nodes read their config again.", "Fabric"),
    "keys": CommandEntry("fame_cli.cli.keys:app", "Make, show and change keys.", "Security"),
    "token": CommandEntry("fame_cli.cli.token:app", "Issue, show and take back tokens.", "Security"),
    "ca": CommandEntry("fame_cli.cli.ca:app", "Issue certificates of nodes.", "Security"),
    "config": CommandEntry("fame_cli.cli.config_cmd:app", "Check and show config files.", "Files"),
    "policy": CommandEntry("fame_cli.cli.policy:app", "Check policy files, and ask them why.", "Files"),
    "render": CommandEntry("fame_cli.cli.render:app", "Write files for other tools.", "Files"),
}


class _WordsCommand(TyperCommand):
    """A command whose usage line shows what its words are, not that they are one list."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the pieces of the usage line."""
        return ["[OPTIONS]", "[TARGET]", "OPERATION", "[NAME=VALUE]..."]


class FameGroup(TyperGroup):
    """The group of all commands: listed from `COMMANDS`, imported when chosen, failing in one place."""

    def resolve_command(  # the parser keeps the class of `ctx` to itself, hence Any
        self,
        ctx: Any,
        args: list[str],
    ) -> tuple[str | None, Any, list[str]]:
        """Find the command a word names and import it."""
        name, listed, rest = super().resolve_command(ctx, args)
        if name is None or listed is None:
            return name, listed, rest
        invocation_of(ctx).command = f"fame {name}"
        return name, load_command(name), rest

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,  # the parser's own signature: context settings, of which `obj` is ours
    ) -> object:
        """Parse, run, and turn whatever happens into an exit code.

        Returns:
            The exit code if not `standalone_mode`, which otherwise exits with it.
        """
        invocation = extra.setdefault("obj", Invocation())
        code = failing.exit_code_of(
            lambda: super(FameGroup, self).main(args, "fame", complete_var, False, windows_expand_args, **extra),
            lambda failure: report(failure, invocation),
        )
        if standalone_mode:
            sys.exit(code)
        return code


def load_command(name: str) -> Any:
    """Import the command of that name and return it as the parser wants it."""
    module_name, _, attribute = COMMANDS[name].target.partition(":")
    found = vars(import_module(module_name))[attribute]
    if isinstance(found, typer.Typer):
        group = get_group(found)
        group.name = name
        return group
    single = typer.Typer(add_completion=False)
    single.command(name, cls=_WordsCommand if COMMANDS[name].takes_words else None)(found)
    return get_command(single)


def report(failure: BaseException, invocation: Invocation) -> int:
    """Say in one line on stderr what went wrong, be it what the parser found; with ``--debug`` where, too.

    Returns:
        The exit code that belongs to it.
    """
    match failing.leading(failure):
        case typer.TyperException() as wrong:
            line, code = _parser_message(wrong, invocation), wrong.exit_code
        case typer.Abort():
            line, code = "aborted", failing.INTERRUPTED
        case _:
            return failing.report(failure, debug=invocation.debug)
    if invocation.debug:
        output.trace(failing.leading(failure))
    output.error(" ".join(line.split()))
    return code


def _parser_message(failure: typer.TyperException, invocation: Invocation) -> str:
    text = failure.format_message().replace("Value error, ", "").rstrip(".")
    for words, ours in _WORDS:
        text = words.sub(ours, text)
    return f"{text}{'' if text.endswith('?') else ';'} try: {invocation.command} --help"


app = typer.Typer(
    name="fame",
    cls=FameGroup,
    help="A fabric of agents: run sentinels and agents, and call any of them from anywhere.",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(value: bool) -> None:
    if value:
        output.data(f"fame {VERSION}")
        raise typer.Exit


@app.callback()
def _root(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version.")
    ] = False,
    debug: DebugOption = False,
) -> None:
    if ctx.invoked_subcommand is None:
        if text := ctx.get_help():  # rich prints it by itself
            output.data(text)
        raise typer.Exit(2)


def _listed() -> None:
    """Stand for a command in the list; `FameGroup.resolve_command` puts the real one in its place."""


for _name, _entry in COMMANDS.items():
    app.command(_name, help=_entry.summary, rich_help_panel=_entry.panel)(_listed)
