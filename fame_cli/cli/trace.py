"""``fame trace``: the way of one call, node by node, there and back, and where its time went.

The nodes on the way stamp the call with their own clocks (docs/wire-extensions.md, ``fame.trace``); `trace_path` says
what can be told from that. Nodes that don't stamp are passed over.
"""

import asyncio
from collections.abc import Sequence

import typer

from fame_cli.cli import output, tables
from fame_cli.cli.options import (
    ConfigOption,
    DebugOption,
    FormatOption,
    Invocation,
    PlaceArgument,
    TimeoutOption,
    UrlOption,
    invocation_of,
)
from fame_cli.cli.output import OutputFormat
from fame_cli.cli.pinging import PING
from fame_cli.cli.places import address_of, check_place
from fame_cli.cli.session import Flags, advised, attached
from fame_cli.cli.trace_path import Step, read_path, read_steps
from fame_cli.errors import NoRoute, RemoteError

__all__ = ["trace"]

TITLES = ("#", "WAY", "FROM", "TO", "LINK", "TIME", "SUM")


def trace(
    ctx: typer.Context,
    address: PlaceArgument,
    timeout: TimeoutOption = None,
    form: FormatOption = OutputFormat.text,
    url: UrlOption = None,
    config: ConfigOption = None,
    debug: DebugOption = False,
) -> None:
    """Show the way of one call, hop by hop, there and back, and its times.

    LINK is what the sender of a hop is to its receiver. TIME, given on the
    way back, is that of the link in both directions and of passing on at its
    ends: clocks of different nodes can't be compared, so one direction alone
    has none. SUM is the time from passing the call on to having its answer,
    on the receiver's own clock.

    fame trace math2@fame.fabric
    fame trace peer-sentinel2
    """
    check_place(address)
    asyncio.run(_trace(invocation_of(ctx), Flags(url, config, timeout, trace=True), address, form))


async def _trace(invocation: Invocation, flags: Flags, word: str, form: OutputFormat) -> None:
    async with attached(invocation, flags) as client:
        address = await address_of(client, word)
        before = client.last_trace
        started = invocation.clock()
        try:
            await client.request(address, PING, {"kwargs": {}})
        except RemoteError:  # has come there and back as well
            pass
        except NoRoute as error:
            raise advised(error) from error
        round_trip_us = round(1e6 * (invocation.clock() - started))
        stamps = () if client.last_trace is before else client.last_trace
    _show(address, stamps, round_trip_us, form)


def _show(address: str, stamps: Sequence[str], round_trip_us: int, form: OutputFormat) -> None:
    path = read_path(stamps, round_trip_us=round_trip_us)
    steps = read_steps(stamps, round_trip_us=round_trip_us)
    if form is not OutputFormat.text:
        nodes = [node.name for node in path.nodes]
        told = [_document(number, step) for number, step in enumerate(steps, 1)]
        output.result({"address": address, "round_trip_us": round_trip_us, "path": nodes, "steps": told}, form)
    elif steps:
        output.data(output.harmless(f"{address}: {path}"))
        for line in tables.lines_of(TITLES, [_row(number, step) for number, step in enumerate(steps, 1)]):
            output.data(line)
    else:
        output.data(output.harmless(f"{address}: answered after {tables.milliseconds(round_trip_us)}"))
    output.flush()
    if not steps:
        output.note(f"{address} doesn't report the way of a call: it is of another make")


def _row(number: int, step: Step) -> Sequence[object]:
    times = tables.milliseconds(step.time_us), tables.milliseconds(step.sum_us)
    return (number, step.way, step.sender, step.receiver, step.link, *times)


def _document(number: int, step: Step) -> dict[str, object]:
    return {
        "number": number,
        "way": step.way,
        "from": step.sender,
        "to": step.receiver,
        "link": step.link or None,
        "time_us": step.time_us,
        "sum_us": step.sum_us,
    }
