"""Client, relay and worker of the bare TCP chain: `python -m contenders.tcp_ends {client|relay|worker} [PORT]`.

The floor: what any chain of four Python processes costs. Relays forward bytes as they come and parse nothing; the ends
put a length and a number before each message, and join what they write in one turn of the loop.
"""

import asyncio
import struct
import sys
from collections.abc import Callable, Iterator
from typing import cast

from load import WrongAnswer, run, serve

from contenders import messages

HEAD = struct.Struct("!IQ")
STREAM = 1 << 63
"""The bit in a message's number that says that it belongs to a stream."""


class Framed(asyncio.Protocol):
    """Cut what arrives into messages; `arrived(number, message)` gets each."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.may_write = asyncio.Event()
        self.may_write.set()
        self._rest = b""
        self._queue: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's own doesn't derive from it

    def pause_writing(self) -> None:
        self.may_write.clear()

    def resume_writing(self) -> None:
        self.may_write.set()

    def data_received(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        at, end = 0, len(data)
        while end - at >= HEAD.size:
            length, number = HEAD.unpack_from(data, at)
            following = at + HEAD.size + length
            if following > end:
                break
            self.arrived(number, data[at + HEAD.size : following])
            at = following
        self._rest = data[at:]

    def arrived(self, number: int, message: bytes) -> None:
        """Take one message."""
        raise NotImplementedError

    def send(self, number: int, message: bytes) -> None:
        """Write one message, together with the others of this turn."""
        if not self._queue:
            asyncio.get_running_loop().call_soon(self._flush)
        self._queue.append(HEAD.pack(len(message), number))
        self._queue.append(message)

    def _flush(self) -> None:
        self.transport.write(b"".join(self._queue))
        self._queue.clear()


class TcpEnds(Framed):
    """Ask, and match answers by their number."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 0
        self._open: dict[int, asyncio.Future[bytes]] = {}
        self._item: Callable[[bytes], None] = lambda _: None

    def arrived(self, number: int, message: bytes) -> None:
        if number & STREAM:
            self._item(message)
        elif (waiting := self._open.pop(number, None)) is not None and not waiting.done():
            waiting.set_result(message)

    def connection_lost(self, exc: Exception | None) -> None:
        for waiting in self._open.values():
            if not waiting.done():
                waiting.set_exception(exc or ConnectionResetError("the relay hung up"))

    async def call(self) -> None:
        """Ask the worker to add."""
        self._next += 1
        answer = self._open[self._next] = asyncio.get_running_loop().create_future()
        self.send(self._next, messages.request())
        messages.check(await answer)

    async def stream(self, count: int, item_bytes: int) -> None:
        """Ask the worker for a stream and read it."""
        done = asyncio.get_running_loop().create_future()
        number = 0

        def item(message: bytes) -> None:
            nonlocal number
            try:
                messages.check_item(message, number, item_bytes)
            except WrongAnswer as error:
                if not done.done():
                    done.set_exception(error)
            number += 1
            if number == count and not done.done():
                done.set_result(None)

        self._item = item
        self.send(STREAM, messages.request_for_stream(count, item_bytes))
        await done


class Worker(Framed):
    """Answer, and stream no faster than the socket takes it."""

    streaming: asyncio.Task[None] | None = None

    def arrived(self, number: int, message: bytes) -> None:
        if number & STREAM:
            wish = messages.stream_asked_for(message)
            self.streaming = asyncio.get_running_loop().create_task(self._stream(wish))
        else:
            self.send(number, messages.answer_to(message))

    async def _stream(self, items: Iterator[bytes]) -> None:
        for item in items:
            self.transport.write(HEAD.pack(len(item), STREAM) + item)
            await self.may_write.wait()


class Half(asyncio.Protocol):
    """One side of a relay: write what the other side reads, and slow it down when that doesn't leave."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.other: Half

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's own doesn't derive from it

    def data_received(self, data: bytes) -> None:
        self.other.transport.write(data)

    def pause_writing(self) -> None:
        self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.other.transport.close()


async def client(port: int) -> None:
    """Connect and do what stdin says."""
    transport, ends = await asyncio.get_running_loop().create_connection(TcpEnds, "127.0.0.1", port)
    await serve(ends)
    transport.close()


async def relay(port: int) -> None:
    """Take one connection and join it with one to a port."""
    loop = asyncio.get_running_loop()
    near, far = Half(), Half()
    near.other, far.other = far, near
    await loop.create_connection(lambda: far, "127.0.0.1", port)
    await listen(lambda: near)


async def worker(_: int) -> None:
    """Serve until killed."""
    await listen(Worker)


async def listen(protocol: Callable[[], asyncio.Protocol]) -> None:
    """Listen at a free port, say which, and go on until killed."""
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    print("ready", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    run({"client": client, "relay": relay, "worker": worker}[sys.argv[1]](int(sys.argv[2])))
