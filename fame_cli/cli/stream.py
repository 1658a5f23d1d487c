"""``fame stream``: the items of a streaming operation on stdout, each as it comes.

However it ends (the end mark, Ctrl-C, a reader that has seen enough), the stream is closed, which cancels the producer.
"""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import aclosing

import typer

from fame_cli.cli import output, reader
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
from fame_cli.cli.session import Flags, Stream, ask, attached, check_callee, choose_callee

__all__ = ["stream"]


def stream(
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
    """Call a streaming operation of an agent and print its items, one a line, as they come.

    Without a TARGET the operation is looked up on the fabric. The timeout counts from item to item. Ctrl-C cancels
    the producer, and so does a reader that leaves.

    fame stream math2@fame.fabric fib_stream n=10
    fame stream fib_stream --verbose
    fame stream --capability fame.capability.math fib_stream
    fame stream fib_stream n=1000 | head -3
    """
    request = parse_words(words, json_text, verb="stream", stdin=sys.stdin)
    check_callee(request, capability or ())
    flags = Flags(url, config, timeout, verbose)
    asyncio.run(_stream(invocation_of(ctx), request, flags, form, capability or (), session))


async def _stream(
    invocation: Invocation,
    request: CallWords,
    flags: Flags,
    form: OutputFormat,
    capabilities: Sequence[str],
    session: str | None,
) -> None:
    async with attached(invocation, flags) as client:
        callee = await choose_callee(client, request, capabilities, verb="stream")
        async with ask(client, callee, request) as params:
            items = client.open_stream(
                callee.address,
                request.operation,
                params,
                timeout_s=flags.timeout_s,
                capabilities=callee.asked_for,
                session=session,
            )
            await _print_items(items, form)


async def _print_items(items: Stream, form: OutputFormat) -> None:
    count = 0
    async with aclosing(items):  # outside: closing must not be broken off once the reader has left
        with reader.until_reader_leaves():
            try:
                async for item in items:
                    await reader.ready()
                    output.item(item, form, index=count)
                    count += 1
            finally:
                output.end_items(form, count=count)
