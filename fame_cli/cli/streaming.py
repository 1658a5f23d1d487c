"""The work of ``fame stream``: the items of a streaming operation on stdout, each as it comes.

However it ends (the end mark, Ctrl-C, a reader that has seen enough), the stream is closed, which cancels the producer.
"""

import asyncio
import sys
from contextlib import aclosing

from fame_cli.cli import output, reader
from fame_cli.cli.arguments import CallWords, parse_words
from fame_cli.cli.clients import Stream
from fame_cli.cli.given import Given
from fame_cli.cli.invocation import Invocation
from fame_cli.cli.output import OutputFormat
from fame_cli.cli.session import Flags, ask, attached, check_callee, choose_callee

__all__ = ["run"]


def run(invocation: Invocation, given: Given) -> None:
    """Call a streaming operation and print its items.

    Raises:
        FameError: it didn't come to its end mark.
    """
    request = parse_words(given.words, given.json_text, verb="stream", stdin=sys.stdin)
    check_callee(request, given.capability or ())
    asyncio.run(_stream(invocation, request, given))


async def _stream(invocation: Invocation, request: CallWords, given: Given) -> None:
    async with attached(invocation, Flags.of(given)) as client:
        callee = await choose_callee(client, request, given.capability or (), verb="stream")
        async with ask(client, callee, request) as params:
            items = client.open_stream(
                callee.address,
                request.operation,
                params,
                timeout_s=given.timeout,
                capabilities=callee.asked_for,
                session=given.session,
            )
            await _print_items(items, given.form)


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
