"""``fame routes``: which way a sentinel sends what, and which names more than one sentinel offers."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer

from fame_cli.cli import output, tables
from fame_cli.cli.answers import Route, asked_all
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

__all__ = ["routes"]

TITLES = ("DESTINATION", "NEXT HOP", "PATH", "HOPS", "COST", "AGE")

KINDS = ("address", "pool", "capability", "path")
"""In the order in which they are listed."""

USUAL = KINDS[:2]
"""The kinds of destinations that are shown without ``--all``."""

AllOption = Annotated[bool, typer.Option("--all", help="Show capabilities and paths, too, and the kind of each.")]


def routes(
    ctx: typer.Context,
    at: AtOption = None,
    all_kinds: AllOption = False,
    timeout: TimeoutOption = None,
    form: FormatOption = OutputFormat.text,
    url: UrlOption = None,
    config: ConfigOption = None,
    debug: DebugOption = False,
) -> None:
    """Show which way a sentinel sends what: next hop and sentinels passed.

    Listed are addresses and pools; with --all capabilities and paths, too.
    An address marked with ! is offered at other sentinels as well; stderr
    says where.

    fame routes
    fame routes --at peer-sentinel2
    """
    asyncio.run(_routes(invocation_of(ctx), Flags(url, config, timeout), at, all_kinds, form))


async def _routes(invocation: Invocation, flags: Flags, at: str | None, all_kinds: bool, form: OutputFormat) -> None:
    async with attached(invocation, flags) as client:
        known = await asked_all(client, "fabric.routes", Route, at=await path_of(client, at))
    found = sorted((route for route in known if all_kinds or route.kind in USUAL), key=_order)
    if all_kinds:
        rows: list[Sequence[object]] = [(route.kind, *_row(route)) for route in found]
        tables.show(("KIND", *TITLES), rows, msgspec.to_builtins(found), form)
    else:
        tables.show(TITLES, [_row(route) for route in found], msgspec.to_builtins(found), form)
    for destination in dict.fromkeys(route.destination for route in found if route.conflict):
        output.note(_conflict([route for route in found if route.destination == destination]))


def _order(route: Route) -> tuple[int, str, int]:
    place = KINDS.index(route.kind) if route.kind in KINDS else len(KINDS)
    return place, route.destination, route.hops


def _row(route: Route) -> Sequence[object]:
    mark = " !" if route.conflict else ""
    return (
        route.destination + mark,
        route.next_hop,
        " → ".join(route.via),
        route.hops,
        route.cost,
        tables.duration(route.age_s),
    )


def _conflict(ways: Sequence[Route]) -> str:
    """Explain the mark at all routes of one destination."""
    places = sorted({place for route in ways for place in (route.origin, *route.conflict) if place})
    nearest = min(ways, key=lambda route: (route.cost, route.hops)).origin
    return (
        f"{ways[0].destination} is offered at {' and '.join(places)}, of which {nearest} is nearest; "
        "if that isn't meant, give one of the agents another address"
    )
