"""``fame ls``: what there is to call, where it is and how far away."""

import asyncio
from fnmatch import fnmatchcase
from typing import Annotated

import msgspec
import typer

from fame_cli.cli import output, tables
from fame_cli.cli.answers import Name, asked_all
from fame_cli.cli.arguments import shown
from fame_cli.cli.options import (
    ConfigOption,
    DebugOption,
    FormatOption,
    Invocation,
    TimeoutOption,
    UrlOption,
    invocation_of,
)
from fame_cli.cli.output import OutputFormat
from fame_cli.cli.session import Flags, attached

__all__ = ["ls"]

TITLES = ("ADDRESS", "OPERATIONS", "CAPABILITIES", "WHERE", "HOPS")

PatternArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="PATTERN",
        show_default=False,
        help="Part of an address, an operation or a capability; with * or ? a pattern for the whole of one.",
    ),
]


def ls(
    ctx: typer.Context,
    pattern: PatternArgument = None,
    timeout: TimeoutOption = None,
    form: FormatOption = OutputFormat.text,
    url: UrlOption = None,
    config: ConfigOption = None,
    debug: DebugOption = False,
) -> None:
    """List what can be called: addresses, operations, where and how far.

    WHERE is the sentinel an agent is attached to. An address that several
    sentinels offer has a line for each.

    fame ls
    fame ls 'math*@fame.fabric'
    fame ls fib_stream -o json
    """
    asyncio.run(_ls(invocation_of(ctx), Flags(url, config, timeout), pattern, form))


async def _ls(invocation: Invocation, flags: Flags, pattern: str | None, form: OutputFormat) -> None:
    async with attached(invocation, flags) as client:
        known = await asked_all(client, "fabric.names", Name)
    names = [name for name in known if pattern is None or _fits(name, pattern)]
    names.sort(key=lambda name: (name.address, name.hops, name.node))
    rows = [(name.address, sorted(name.operations), sorted(name.capabilities), name.node, name.hops) for name in names]
    tables.show(TITLES, rows, msgspec.to_builtins(names), form)
    if not known:
        output.note("no agent is attached; start one: fame agent --config math1.yaml")
    elif not names:
        output.note(f"nothing fits {shown(pattern or '')}; all there is: fame ls")


def _fits(name: Name, pattern: str) -> bool:
    return any(_matches(text, pattern) for text in (name.address, *name.operations, *name.capabilities))


def _matches(text: str, pattern: str) -> bool:
    return fnmatchcase(text, pattern) if _is_pattern(pattern) else pattern in text


def _is_pattern(text: str) -> bool:
    return not set("*?[").isdisjoint(text)
