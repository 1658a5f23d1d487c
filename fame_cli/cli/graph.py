"""``fame graph``: the sentinels and the links between them, as one sentinel knows them."""

import asyncio
from enum import StrEnum
from typing import Annotated

import msgspec
import typer

from fame_cli.cli import output
from fame_cli.cli.answers import asked_graph
from fame_cli.cli.drawing import as_dot, as_mermaid, as_text
from fame_cli.cli.options import (
    AtOption,
    ConfigOption,
    DebugOption,
    Invocation,
    TimeoutOption,
    UrlOption,
    invocation_of,
)
from fame_cli.cli.output import OutputFormat
from fame_cli.cli.places import path_of
from fame_cli.cli.session import Flags, attached

__all__ = ["GraphFormat", "graph"]


class GraphFormat(StrEnum):
    """Name the ways a graph can be written (``-o``)."""

    text = "text"
    mermaid = "mermaid"
    dot = "dot"
    json = "json"
    ndjson = "ndjson"


_DRAWN = {GraphFormat.text: as_text, GraphFormat.mermaid: as_mermaid, GraphFormat.dot: as_dot}

GraphFormatOption = Annotated[GraphFormat, typer.Option("-o", "--output", help="How the graph is written.")]


def graph(
    ctx: typer.Context,
    at: AtOption = None,
    timeout: TimeoutOption = None,
    form: GraphFormatOption = GraphFormat.text,
    url: UrlOption = None,
    config: ConfigOption = None,
    debug: DebugOption = False,
) -> None:
    """Show the sentinels of the fabric and the links between them, with their costs.

    A link that only one of its ends lists is half: it has just come up or
    gone, and isn't used. Plain Naylence nodes are shown where they are
    attached.

    fame graph
    fame graph -o mermaid
    fame graph -o dot | dot -Tsvg -o fabric.svg
    """
    asyncio.run(_graph(invocation_of(ctx), Flags(url, config, timeout), at, form))


async def _graph(invocation: Invocation, flags: Flags, at: str | None, form: GraphFormat) -> None:
    async with attached(invocation, flags) as client:
        found = await asked_graph(client, at=await path_of(client, at))
    if form in _DRAWN:
        for line in _DRAWN[form](found):
            output.data(line)
        output.flush()
    else:
        output.result(msgspec.to_builtins(found), OutputFormat(form.value))
