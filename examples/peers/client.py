"""The client: attached to the first sentinel only, it calls both agents by their addresses.

With ``FAME_SHOW_ENVELOPES=true`` every envelope is shown on stderr, and in the end the way of the last call.
"""

import asyncio
import os

from common import MATH_AGENT1_ADDR, MATH_AGENT2_ADDR, SENTINEL1, attach_url

from fame_cli import Client
from fame_cli.cli.output import diagnostic
from fame_cli.cli.verbose import EnvelopeLog


async def call_both(client: Client) -> None:
    """Call math1, one hop away, and math2, across the peer link."""
    print("math1 add(3, 4) =", await client.call(MATH_AGENT1_ADDR, "add", x=3, y=4))
    print("math1 multiply(6, 7) =", await client.call(MATH_AGENT1_ADDR, "multiply", x=6, y=7))
    print("math2 add(3, 4) =", await client.call(MATH_AGENT2_ADDR, "add", x=3, y=4))
    numbers = [str(number) async for number in client.stream(MATH_AGENT2_ADDR, "fib_stream", n=10)]
    print("math2 fib_stream(10) =", " ".join(numbers))


async def main() -> None:
    """Attach, call, and show the envelopes if that is wanted."""
    log = EnvelopeLog(diagnostic) if os.environ.get("FAME_SHOW_ENVELOPES") == "true" else None
    async with Client(attach_url(SENTINEL1), trace=log is not None, observer=log) as client:
        await call_both(client)
    for line in log.summary() if log else ():
        diagnostic(line)


if __name__ == "__main__":
    asyncio.run(main())
