"""WebSocket transport, by the `websockets` library: its connection classes, with two things changed.

A received data frame is handed on in the same callback instead of through a queue and a task switch, and everything
sent in one turn of the loop leaves in one write. Handshake, masking, TLS, proxies and closing stay the library's. No
pings are sent, because heartbeats do more (``core/upkeep.py``); those of others are answered. A connection is read no
further than its handshake until somebody wants what comes after it.
"""

import asyncio
import ssl

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import DATA_OPCODES, Frame
from websockets.protocol import OPEN, Event

from fame_cli.core.batch import joined
from fame_cli.net.answer import Route
from fame_cli.net.handshake import REQUEST_BYTES
from fame_cli.net.pump import EARLY_FLUSH_BYTES, EARLY_FLUSH_MESSAGES, Turn
from fame_cli.net.transport import HARD_LIMIT_BYTES, TOO_EARLY, Early, Receiver, short_reason

__all__ = ["AcceptedLink", "DialedLink", "WebSocketTransport"]

CLOSE_TIMEOUT_S = 2.0


class _Link(Connection):
    """Hand frames on at once and write once a turn; mixed into both of the library's connection classes."""

    transport: asyncio.Transport
    upward: "WebSocketTransport | None" = None
    _early: Early
    _parts: list[bytes]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the TCP connection."""
        self._early, self._parts = Early(), []
        super().connection_made(transport)

    def process_event(self, event: Event) -> None:
        """Take one frame; the parts of a fragmented message are put together first (RFC 6455, 5.4)."""
        if not isinstance(event, Frame) or event.opcode not in DATA_OPCODES:
            super().process_event(event)
            return
        data = bytes(event.data)
        if self._parts or not event.fin:
            self._parts.append(data)
            if not event.fin:
                return
            data = b"".join(self._parts)
            self._parts = []
        if self.upward is not None:
            self.upward.arrived(data)
        elif not self._early.keep(data):
            self.transport.abort()  # hands aren't even shaken, so there is no way to say why

    def keep(self, data: bytes) -> bool:
        """Keep a message until `attach`; False where there is no room for it."""
        return self._early.keep(data)

    def release(self) -> list[bytes]:
        """Go on reading, and return what was kept."""
        self.transport.resume_reading()
        return self._early.taken()

    def data_received(self, data: bytes) -> None:
        """Take bytes, and end the turn: what they made anybody send leaves now."""
        if self.upward is None:  # hands are shaken first
            super().data_received(data)
            return
        turn = self.upward.turn
        turn.reading = True
        try:
            super().data_received(data)
            turn.flush()
        finally:
            if turn.reading:
                turn.put_off()

    def send_data(self) -> None:
        """Write what the protocol has queued, in one write."""
        chunks = self.protocol.data_to_send()
        if len(chunks) > 1 and all(chunks):
            self.transport.write(b"".join(chunks))
            return
        for data in chunks:
            if data:
                self.transport.write(data)
            elif self.transport.can_write_eof():
                self.transport.write_eof()
            else:
                self.transport.close()

    def pause_writing(self) -> None:
        """Take that the socket is full."""
        super().pause_writing()
        if self.upward is not None:
            self.upward.paused(True)

    def resume_writing(self) -> None:
        """Take that the socket drains."""
        super().resume_writing()
        if self.upward is not None:
            self.upward.paused(False)

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the end of the TCP connection."""
        super().connection_lost(exc)
        if self.upward is not None:
            self.upward.lost()


class DialedLink(_Link, ClientConnection):
    """A connection we made."""

    def process_event(self, event: Event) -> None:
        """Take the response first, frames after it."""
        if self.response is not None:
            _Link.process_event(self, event)
            return
        ClientConnection.process_event(self, event)
        if self.protocol.state is OPEN:
            self.transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the end of the TCP connection; why TLS ended it (our certificate, say) is worth telling."""
        super().connection_lost(exc)
        if self.response is None and isinstance(exc, ssl.SSLError):
            self.protocol.handshake_exc = exc


class AcceptedLink(_Link, ServerConnection):
    """A connection that came to us; `route` is what its path asked for."""

    route: Route = Route("", "")
    offers_bearer = False
    _request_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Take bytes, of a request only so many; the library would take a megabyte."""
        if self.request is None:
            self._request_bytes += len(data)
            if self._request_bytes > REQUEST_BYTES and b"\r\n\r\n" not in data:
                self.transport.abort()
                return
        super().data_received(data)

    def process_event(self, event: Event) -> None:
        """Take the request first, frames after it."""
        if self.request is not None:
            _Link.process_event(self, event)
            return
        ServerConnection.process_event(self, event)
        self.transport.pause_reading()


class WebSocketTransport:
    """Carry envelopes over one WebSocket connection."""

    def __init__(self, connection: _Link, turn: Turn) -> None:
        self.turn = turn
        self._connection = connection
        self._receiver: Receiver | None = None
        self._queue: list[bytes] = []
        self._queued_bytes = 0
        self._batches = False
        self._end: tuple[int, str] | None = None
        self._ended = asyncio.Event()
        self._lost = False
        connection.upward = self
        if connection.connection_lost_waiter.done():
            self.lost()

    def start(self, receiver: Receiver) -> None:
        """Begin to call back; what came before is delivered first."""
        self._receiver = receiver
        for data in self._connection.release():
            self.arrived(data)
        if self._lost:
            receiver.connection_lost(_end_text(self._connection.close_exc))

    def send(self, data: bytes) -> None:
        """Queue one message for this turn's write."""
        if self._end is None and not self._lost:
            if not self._queue:
                self.turn.add(self)
            self._queue.append(data)
            self._queued_bytes += len(data)
            if self._queued_bytes >= EARLY_FLUSH_BYTES or len(self._queue) >= EARLY_FLUSH_MESSAGES:
                self.flush()

    def flush(self) -> None:
        """Write what is queued."""
        queue, self._queue = self._queue, []
        self._queued_bytes = 0
        protocol = self._connection.protocol
        if not queue or protocol.state is not OPEN:
            return
        for data in joined(queue) if self._batches else queue:
            protocol.send_binary(data)
        self._connection.send_data()
        if self._connection.transport.get_write_buffer_size() > HARD_LIMIT_BYTES:
            self._connection.transport.abort()

    def batch(self) -> None:
        """Join the messages of a turn from now on."""
        self.flush()
        self._batches = True

    def close(self, code: int, reason: str) -> None:
        """Write what is queued, then start the closing handshake; `wait_closed` sees it through."""
        if self._end is None:
            self.flush()
            self._end = (code, short_reason(reason))
            self._ended.set()
            if self._receiver is None:
                self._connection.release()  # else the answer to the close frame would never be read

    async def wait_closed(self) -> None:
        """See the connection to its end; this is also what carries out `close`."""
        await self._ended.wait()
        code, reason = self._end or (1000, "")
        await self._connection.close(code, reason)
        await self._connection.wait_closed()

    # Called by the connection

    def arrived(self, data: bytes) -> None:
        """Take one message."""
        if self._end is not None:
            return
        if self._receiver is not None:
            self._receiver.message_received(data)
        elif not self._connection.keep(data):
            self.close(1008, TOO_EARLY)

    def paused(self, stalled: bool) -> None:
        """Take a change of the socket's state."""
        if self._receiver is None:
            return
        if stalled:
            self._receiver.transport_stalled()
        else:
            self._receiver.transport_drained()

    def lost(self) -> None:
        """Take the end of the connection."""
        if self._lost:
            return
        self._lost = True
        self._ended.set()
        if self._receiver is not None:
            error = self._connection.close_exc
            self._receiver.connection_lost(_end_text(error))


def _end_text(error: ConnectionClosed) -> str:
    if error.rcvd is not None:
        return f"{error.rcvd.code} {error.rcvd.reason}".strip()
    return "connection lost" if error.sent is None else f"{error.sent.code} {error.sent.reason}".strip()
