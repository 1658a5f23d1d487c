"""The client and the worker of gRPC: `python -m contenders.grpc_ends {client|worker} [PORT]`.

grpc.aio with methods that take and give bytes: no protobuf in between, and no router either.
"""

import asyncio
import sys
from collections.abc import AsyncIterator

import grpc
from load import WrongAnswer, run, serve

from contenders import messages

OPTIONS = [("grpc.max_receive_message_length", 4 * 1024 * 1024)]


class GrpcEnds:
    """Call and stream over one channel."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._add = channel.unary_unary("/bench/add")
        self._stream = channel.unary_stream("/bench/stream")

    async def call(self) -> None:
        """Ask the worker to add."""
        messages.check(await self._add(messages.request()))

    async def stream(self, count: int, item_bytes: int) -> None:
        """Read a stream to its end."""
        number = 0
        async for item in self._stream(messages.request_for_stream(count, item_bytes)):
            messages.check_item(item, number, item_bytes)
            number += 1
        if number != count:
            raise WrongAnswer(f"{number} of {count} items")


async def client(port: str) -> None:
    """Connect and do what stdin says."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=OPTIONS) as channel:
        await serve(GrpcEnds(channel))


async def worker(_: str) -> None:
    """Serve until killed."""

    async def add(message: bytes, _: grpc.aio.ServicerContext) -> bytes:
        return messages.answer_to(message)

    async def stream(message: bytes, _: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        for item in messages.stream_asked_for(message):
            yield item

    handlers = {
        "add": grpc.unary_unary_rpc_method_handler(add),
        "stream": grpc.unary_stream_rpc_method_handler(stream),
    }
    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print("ready", port, flush=True)
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    run({"client": client, "worker": worker}[sys.argv[1]](sys.argv[2]))
