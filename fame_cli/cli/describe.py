"""``fame describe``: what one agent is and what it can do, each operation as a signature."""

import asyncio
from collections.abc import Iterator

import typer

from fame_cli.cli import output
from fame_cli.cli.answers import Described, Operation, read
from fame_cli.cli.clients import CallingClient
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
from fame_cli.cli.places import address_of, check_place
from fame_cli.cli.session import METHOD_NOT_FOUND, Flags, advised, attached, with_place
from fame_cli.cli.signature import parameters_of, signature
from fame_cli.errors import NoRoute, RemoteError

__all__ = ["describe"]


def describe(
    ctx: typer.Context,
    address: PlaceArgument,
    timeout: TimeoutOption = None,
    form: FormatOption = OutputFormat.text,
    url: UrlOption = None,
    config: ConfigOption = None,
    debug: DebugOption = False,
) -> None:
    """Show what an agent offers: each operation and task with what it takes and gives.

    -o json gives the whole answer, JSON schemas included. With the id of a
    sentinel, what that one can be asked.

    fame describe math1@fame.fabric
    fame describe peer-sentinel2
    """
    check_place(address)
    asyncio.run(_describe(invocation_of(ctx), Flags(url, config, timeout), address, form))


async def _describe(invocation: Invocation, flags: Flags, word: str, form: OutputFormat) -> None:
    async with attached(invocation, flags) as client:
        address = await address_of(client, word)
        answer = await _answer(client, address)
    described = read(answer, Described, f"{address} described itself")
    if form is not OutputFormat.text:
        output.result(answer, form)
        return
    for line in _lines(address, described):
        output.data(output.harmless(line))
    output.flush()


async def _answer(client: CallingClient, address: str) -> object:
    """Ask an agent for its description.

    Raises:
        RemoteError: it has none to give.
        NoRoute: nobody serves the address.
    """
    try:
        return await client.describe(address)
    except RemoteError as error:
        if error.code != METHOD_NOT_FOUND:
            raise with_place(address, "agent.describe", error) from error
        hint = f"it is of another make; call what you know of it: fame call {address} OPERATION"
        raise RemoteError(f"{address} can't describe itself", code=error.code, hint=hint) from error
    except NoRoute as error:
        raise advised(error) from error


def _lines(address: str, described: Described) -> Iterator[str]:
    yield address
    yield from _indented(described.description, 2)
    for operation in described.operations:
        yield ""
        yield from _operation(operation)
    for task in described.tasks:
        yield ""
        yield from _operation(task, "task")
    if not described.operations and not described.tasks:
        yield ""
        yield "no operations"
    if described.capabilities:
        yield ""
        yield f"capabilities: {', '.join(described.capabilities)}"


def _operation(operation: Operation, gives: str = "") -> Iterator[str]:
    yield signature(operation.name, operation.schema, streaming=operation.streaming, gives=gives)
    yield from _indented(operation.description, 2)
    for name, schema in parameters_of(operation.schema).items():
        told = schema.get("description") if isinstance(schema, dict) else None
        if isinstance(told, str) and told:
            yield f"  {name}: {' '.join(told.split())}"


def _indented(text: str, by: int) -> Iterator[str]:
    for line in text.strip().splitlines():
        yield (" " * by + line).rstrip()
