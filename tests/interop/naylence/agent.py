"""Run one real Naylence agent: `agent.py --address A --url URL [--id ID] [--capability C]...`.

A script for an interpreter that has `naylence-agent-sdk` installed; the interop tests start it as a process. It never
imports our own package. It prints `READY <id>` on stdout once its address is bound at the sentinel it attached to.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator


def arguments() -> argparse.Namespace:
    """Read the command line; every value can also come from the environment."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", default=os.environ.get("INTEROP_ADDRESS", "math@fame.fabric"))
    parser.add_argument("--url", default=os.environ.get("FAME_DIRECT_ADMISSION_URL"))
    parser.add_argument("--delivery", default="at-most-once", choices=["at-most-once", "at-least-once"])
    parser.add_argument("--id", default=os.environ.get("INTEROP_ID", f"nl-agent-{os.getpid()}"))
    parser.add_argument("--capability", action="append", default=[])
    parser.add_argument("--rest", type=float, default=0.0, help="seconds that each message takes")
    return parser.parse_args()


ARGS = arguments()
if ARGS.url:
    os.environ["FAME_DIRECT_ADMISSION_URL"] = ARGS.url

import node_security  # noqa: E402
from naylence.agent import BaseAgent  # noqa: E402  (after the environment, which it reads when imported)
from naylence.fame.core import FameFabric  # noqa: E402
from naylence.fame.service import operation  # noqa: E402
from naylence.fame.util.logging import enable_logging  # noqa: E402


class MathAgent(BaseAgent):
    """Plain calls, an error, a slow call and two streams: what the tests ask both fabrics for."""

    @property
    def capabilities(self) -> list[str]:
        """What this agent advertises: the kit's own capabilities, and those of the command line."""
        return [*super().capabilities, *ARGS.capability]

    @operation
    async def add(self, x: int, y: int) -> int:
        """Return the sum of x and y."""
        return x + y

    @operation(name="multiply")
    async def times(self, x: int, y: int) -> int:
        """Return the product of x and y."""
        return x * y

    @operation
    async def echo(self, value: object = None) -> object:
        """Return the argument as it came."""
        return value

    @operation
    async def whoami(self) -> str:
        """Return this node's id."""
        return str(ARGS.id)

    @operation
    async def fail(self, message: str = "on purpose") -> None:
        """Raise an error that carries the message."""
        raise ValueError(message)

    @operation
    async def sleep(self, seconds: float = 0.1) -> float:
        """Return after that many seconds; says on stderr that it has begun."""
        print("sleeping", file=sys.stderr, flush=True)
        await asyncio.sleep(seconds)
        return seconds

    @operation(name="fib_stream", streaming=True)
    async def fib(self, n: int = 10) -> AsyncIterator[int]:
        """Yield the first n Fibonacci numbers."""
        a, b = 0, 1
        for _ in range(n):
            yield a
            a, b = b, a + b

    @operation(name="count", streaming=True)
    async def count_up(self, n: int = 10) -> AsyncIterator[int]:
        """Yield 0 .. n - 1 and say on stderr how many left, so that a test can see what was produced."""
        sent = 0
        try:
            for value in range(n):
                yield value
                sent += 1
        finally:
            print(f"count yielded {sent} of {n}", file=sys.stderr, flush=True)

    async def on_message(self, message: object) -> None:
        """Say on stdout what has come, then take the time it takes."""
        print("got", json.dumps(message), flush=True)
        await asyncio.sleep(ARGS.rest)


async def main(served: BaseAgent | None = None) -> None:
    """Serve until SIGINT or SIGTERM."""
    enable_logging(log_level=os.environ.get("INTEROP_LOG_LEVEL", "warning"))
    config = {
        "node": {
            "type": "Node",
            "id": ARGS.id,
            "requested_logicals": ["fame.fabric"],
            "security": node_security.security(),
            "admission": node_security.admission(),
            "delivery": {"type": "DeliveryProfile", "profile": ARGS.delivery},
        }
    }
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with FameFabric.create(root_config=config) as fabric:
        await fabric.serve(served or MathAgent(), ARGS.address)
        print(f"READY {ARGS.id}", flush=True)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
