"""The work of ``fame ls``: what there is to call, where it is and how far away."""

import asyncio
from fnmatch import fnmatchcase

import msgspec

from fame_cli.cli import output, tables
from fame_cli.cli.answers import Name, asked_all
from fame_cli.cli.arguments import shown
from fame_cli.cli.given import Given
from fame_cli.cli.invocation import Invocation
from fame_cli.cli.session import Flags, attached

__all__ = ["run"]

TITLES = ("ADDRESS", "OPERATIONS", "CAPABILITIES", "WHERE", "HOPS")


def run(invocation: Invocation, given: Given) -> None:
    """List what can be called, all of it or what fits the one word."""
    asyncio.run(_ls(invocation, given, given.words[0] if given.words else None))


async def _ls(invocation: Invocation, given: Given, pattern: str | None) -> None:
    async with attached(invocation, Flags.of(given)) as client:
        known = await asked_all(client, "fabric.names", Name)
    names = [name for name in known if pattern is None or _fits(name, pattern)]
    names.sort(key=lambda name: (name.address, name.hops, name.node))
    rows = [(name.address, sorted(name.operations), sorted(name.capabilities), name.node, name.hops) for name in names]
    tables.show(TITLES, rows, msgspec.to_builtins(names), given.form)
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
