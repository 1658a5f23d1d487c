"""``fame peers``: the neighbours of a sentinel, one line for each open link."""

import asyncio

import msgspec
import typer

from fame_cli.cli import tables
from fame_cli.cli.answers import Neighbour, asked_all
from fame_cli.cli.options import (
    AtOption,
    ConfigOption,
    DebugOption,
    FormatOption,
    Invocation,
    TimeoutOption,
    UrlOption,
    invocation_of,
)
from fame_cli.cli.output import OutputFormat
from fame_cli.cli.places import path_of
from fame_cli.cli.session import Flags, attached

__all__ = ["peers"]

TITLES = ("NODE", "KIND", "SPEAKS", "COST", "STATE", "DIALED", "AGE", "PATH")

KINDS = ("parent", "peer", "child")
"""In the order in which they are listed."""


def peers(
    ctx: typer.Context,
    at: AtOption = None,
    timeout: TimeoutOption = None,
    form: FormatOption = OutputFormat.text,
    url: UrlOption = None,
    config: ConfigOption = None,
    debug: DebugOption = False,
) -> None:
    """List the neighbours of a sentinel: its parent, its peers, its children.

    SPEAKS is "mesh" for a sentinel that shares its routes, "fame" for another
    node of ours, "plain" for a Naylence node. DIALED tells whether the asked
    sentinel opened the link. Only links of a mesh have a COST.

    fame peers
    fame peers --at peer-sentinel2
    """
    asyncio.run(_peers(invocation_of(ctx), Flags(url, config, timeout), at, form))


async def _peers(invocation: Invocation, flags: Flags, at: str | None, form: OutputFormat) -> None:
    async with attached(invocation, flags) as client:
        found = await asked_all(client, "fabric.links", Neighbour, at=await path_of(client, at))
    found.sort(key=lambda link: (KINDS.index(link.kind) if link.kind in KINDS else len(KINDS), link.node))
    tables.show(TITLES, [_row(link) for link in found], msgspec.to_builtins(found), form)


def _row(link: Neighbour) -> tuple[object, ...]:
    if link.state == "dialing":  # its path is the URL that is tried
        return (link.node, link.kind, "", None, link.state, link.dialed, "", link.path)
    return (
        link.node,
        link.kind,
        "mesh" if link.mesh else "plain" if link.plain else "fame",
        link.cost if link.mesh else None,
        link.state,
        link.dialed,
        tables.duration(link.age_s),
        link.path,
    )
