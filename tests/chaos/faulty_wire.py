"""A TCP wire between two processes that fails when it is told to: a proxy of our own, so that nobody has to be root.

    wire = FaultyWire("c1>s2", to_port, Random(7))
    await wire.start()          # wire.port is to be dialled instead of to_port
    wire.deafen("there")        # what the dialer sends on its connections is lost from now on, and nobody is told

A stream that has lost a byte is worth nothing: a connection that was deafened stays so until one of its ends gives it
up. Connections made later are whole.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

__all__ = ["FaultyWire"]

MOST_BYTES = 65_536
MOST_WAITING_BYTES = 4 * 1024 * 1024
IN_ORDER_S = 1e-6
"""Seconds between two deliveries that were due at once, so that the later one stays later."""


@dataclass(eq=False)
class _Connection:
    """Hold both ends of one connection; `far` is None until the listener has taken it."""

    near: asyncio.StreamWriter
    far: asyncio.StreamWriter | None = None
    deaf: set[str] = field(default_factory=set)
    due: dict[str, float] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)
    is_over: bool = False

    def reset(self) -> None:
        """End it on both sides as a machine does that has forgotten it: with RST."""
        self.is_over = True
        for end in (self.near, self.far):
            if end is not None:
                _reset(end)


class FaultyWire:
    """Carry bytes between whoever dials `port` and the port of a listener, and fail on demand.

    Args:
        name: for people.
        to_port: where it leads, on the loopback address; nobody has to listen there yet.
        random: decides which pieces end their connection, see `cutting`.

    Attributes:
        port: where it is to be dialled, once started.
        delay_s: seconds that everything takes longer, both ways.
        cutting: probability with which a piece that passes (a message, as a rule) ends its connection instead.
    """

    def __init__(self, name: str, to_port: int, random: Random) -> None:
        self.name = name
        self.port = 0
        self.delay_s = 0.0
        self.cutting = 0.0
        self._to_port = to_port
        self._random = random
        self._connections: dict[_Connection, asyncio.Task[None]] = {}
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """End all of it."""
        if self._server is not None:
            self._server.close()
        tasks = list(self._connections.values())
        self.reset()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def reset(self) -> None:
        """End all connections with RST; new ones are taken."""
        for connection in list(self._connections):
            connection.reset()

    def deafen(self, way: str) -> None:
        """Lose what is sent on the connections there are: ``there`` what the dialer sends, ``back``, or ``both``."""
        for connection in self._connections:
            connection.deaf |= {"there", "back"} if way == "both" else {way}

    def litter(self, data: bytes) -> None:
        """Let each end of each connection get bytes that the other never sent."""
        for connection in list(self._connections):
            for way, end in (("back", connection.near), ("there", connection.far)):
                if end is not None and way not in connection.deaf and not end.is_closing():
                    end.write(data)

    def heal(self) -> None:
        """Be slow and cut no more; what is deaf stays deaf."""
        self.delay_s = self.cutting = 0.0

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(writer)
        self._connections[connection] = asyncio.ensure_future(self._carry(connection, reader))

    async def _carry(self, connection: _Connection, near: asyncio.StreamReader) -> None:
        try:
            try:
                far, connection.far = await asyncio.open_connection("127.0.0.1", self._to_port)
            except OSError:
                return
            if connection.is_over:
                return  # meanwhile
            await asyncio.gather(
                self._pump(connection, "there", near, connection.far),
                self._pump(connection, "back", far, connection.near),
            )
        finally:
            connection.reset()
            del self._connections[connection]

    async def _pump(
        self, connection: _Connection, way: str, source: asyncio.StreamReader, sink: asyncio.StreamWriter
    ) -> None:
        """Carry one way until its source ends; whoever reads the other way goes on."""
        try:
            while data := await source.read(MOST_BYTES):
                if self._random.random() < self.cutting:
                    connection.reset()
                    return
                if way not in connection.deaf and not sink.is_closing():
                    await self._deliver(connection, way, sink, data)
        except OSError:
            if way not in connection.deaf:
                _reset(sink)
            return
        if way not in connection.deaf:
            self._later(connection, way, lambda: _end(sink))

    async def _deliver(self, connection: _Connection, way: str, sink: asyncio.StreamWriter, data: bytes) -> None:
        self._later(connection, way, lambda: None if way in connection.deaf else _write(sink, data))
        if sink.transport.get_write_buffer_size() > MOST_WAITING_BYTES:
            await sink.drain()

    def _later(self, connection: _Connection, way: str, what: Callable[[], None]) -> None:
        """Do something when all that came before it on the same way has been done."""
        loop = asyncio.get_running_loop()
        waiting = connection.waiting.get(way, 0)
        if self.delay_s == 0.0 and not waiting:
            what()
            return

        def now() -> None:
            connection.waiting[way] -= 1
            what()

        connection.waiting[way] = waiting + 1
        connection.due[way] = max(loop.time() + self.delay_s, connection.due.get(way, 0.0) + IN_ORDER_S)
        loop.call_at(connection.due[way], now)


def _write(end: asyncio.StreamWriter, data: bytes) -> None:
    if not end.is_closing():
        end.write(data)


def _end(end: asyncio.StreamWriter) -> None:
    """Say that nothing more comes; what the other side has to say still passes."""
    if not end.is_closing():
        with contextlib.suppress(OSError):
            end.write_eof()


def _reset(end: asyncio.StreamWriter) -> None:
    if not end.is_closing():
        end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.transport.abort()
