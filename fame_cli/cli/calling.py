"""The work of ``fame call``: one operation, one result on stdout."""

import asyncio
import sys

from fame_cli.cli import output
from fame_cli.cli.arguments import CallWords, parse_words
from fame_cli.cli.given import Given
from fame_cli.cli.invocation import Invocation
from fame_cli.cli.session import Flags, ask, attached, check_callee, choose_callee

__all__ = ["run"]


def run(invocation: Invocation, given: Given) -> None:
    """Call an operation and print its result.

    Raises:
        FameError: it didn't come to a result.
    """
    request = parse_words(given.words, given.json_text, verb="call", stdin=sys.stdin)
    check_callee(request, given.capability or ())
    asyncio.run(_call(invocation, request, given))


async def _call(invocation: Invocation, request: CallWords, given: Given) -> None:
    async with attached(invocation, Flags.of(given)) as client:
        callee = await choose_callee(client, request, given.capability or (), verb="call")
        async with ask(client, callee, request) as params:
            result = await client.request(
                callee.address,
                request.operation,
                params,
                timeout_s=given.timeout,
                capabilities=callee.asked_for,
                session=given.session,
            )
        output.result(result, given.form)
