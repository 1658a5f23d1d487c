"""``fame call``: one operation, one result on stdout."""

import asyncio
import sys
from collections.abc import Sequence

import typer

from fame_cli.cli import output
from fame_cli.cli.arguments import CallWords, parse_words
from fame_cli.cli.options import (
    CapabilityOption,
    ConfigOption,
    DebugOption,
    FormatOption,
    Invocation,
    JsonOption,
    SessionOption,
    TimeoutOption,
    UrlOption,
    VerboseOption,
    WordsArgument,
    invocation_of,
)
from fame_cli.cli.output import OutputFormat
from fame_cli.cli.session import Flags, ask, attached, check_callee, choose_callee

__all__ = ["call"]


def call(
    ctx: typer.Context,
    words: WordsArgument,
    json_text: JsonOption = None,
    capability: CapabilityOption = None,
    session: SessionOption = None,
    timeout: TimeoutOption = None,
    form: FormatOption = OutputFormat.text,
    url: UrlOption = None,
    config: ConfigOption = None,
    verbose: VerboseOption = 0,
    debug: DebugOption = False,
) -> None:
    """Call an operation of an agent and print its result.

    Without a TARGET the operation is looked up on the fabric.

    fame call math1@fame.fabric add x=3 y=4
    fame call math1@fame.fabric add --json '{"x": 3, "y": 4}'
    fame call multiply x:=6 y:=7 --verbose
    fame call --capability fame.capability.math add x=3 y=4
    """
    request = parse_words(words, json_text, verb="call", stdin=sys.stdin)
    check_callee(request, capability or ())
    flags = Flags(url, config, timeout, verbose)
    asyncio.run(_call(invocation_of(ctx), request, flags, form, capability or (), session))


async def _call(
    invocation: Invocation,
    request: CallWords,
    flags: Flags,
    form: OutputFormat,
    capabilities: Sequence[str],
    session: str | None,
) -> None:
    async with attached(invocation, flags) as client:
        callee = await choose_callee(client, request, capabilities, verb="call")
        async with ask(client, callee, request) as params:
            result = await client.request(
                callee.address,
                request.operation,
                params,
                timeout_s=flags.timeout_s,
                capabilities=callee.asked_for,
                session=session,
            )
        output.result(result, form)
