"""WebSocket transport, by the `websockets` library: its connection classes, with two things changed.

A received data frame is handed on in the same callback instead of through a queue and a task switch, and everything
sent in one turn of the loop leaves in one write. Handshake, masking, keepalive, TLS, proxies and closing stay the
library's. Errors of the library are mapped to ours here and nowhere else.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from ipaddress import ip_address

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI, WebSocketException
from websockets.frames import DATA_OPCODES, Frame
from websockets.http11 import Request, Response
from websockets.protocol import OPEN, Event

from fame_cli.core.batch import joined
from fame_cli.errors import AdmissionRefused, ConnectError
from fame_cli.net.pump import Turn
from fame_cli.net.transport import HARD_LIMIT_BYTES, HIGH_WATER_BYTES, MAX_TRANSPORT_BYTES, Receiver

__all__ = ["WebSocketTransport", "dial", "is_loopback", "listen"]

OPEN_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0
BACKLOG = 4096
"""Connections that may wait to be accepted, as far as the system agrees. One that finds no room tries again after one
second, three, seven, …: with asyncio's 100 it took 28 s until 2,000 agents that dialled at once had attached (measured,
bench_scale.py)."""

EARLY_FLUSH_BYTES = 256 * 1024
"""Bytes sent in one turn that are written without waiting for its end, so that a stall is noticed within the turn."""

EARLY_FLUSH_MESSAGES = 16
"""Messages sent in one turn that are written without waiting for its end, so that the next node works while this one
still does (measured, four processes with 64 calls in flight: 26 000 calls/s against 18 000; 8 and 32 are as good).
"""

KEEPALIVE_S = 20.0
"""Seconds between pings, and for the pong (spec 2.3)."""


class _Link(Connection):
    """Hand frames on at once and write once a turn; mixed into both of the library's connection classes."""

    transport: asyncio.Transport
    upward: "WebSocketTransport | None" = None
    _early: list[bytes]
    _parts: list[bytes]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the TCP connection."""
        self._early, self._parts = [], []
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
        if self.upward is None:
            self._early.append(data)
        else:
            self.upward.arrived(data)

    def attach(self, upward: "WebSocketTransport") -> None:
        """Deliver to `upward` from now on, first what came before."""
        self.upward = upward
        early, self._early = self._early, []
        for data in early:
            upward.arrived(data)

    def data_received(self, data: bytes) -> None:
        """Take bytes, and end the turn: what they made anybody send leaves now."""
        super().data_received(data)
        if self.upward is not None:
            self.upward.turn.flush()

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


class _DialedLink(_Link, ClientConnection):
    """A connection we made."""


class AcceptedLink(_Link, ServerConnection):
    """A connection that came to us; `route` is what its path asked for."""

    route: tuple[str, str] = ("", "")

    def process_event(self, event: Event) -> None:
        """Take the request first, frames after it."""
        if self.request is None:
            ServerConnection.process_event(self, event)
        else:
            _Link.process_event(self, event)


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

    def start(self, receiver: Receiver) -> None:
        """Begin to call back; what came before is delivered first."""
        self._receiver = receiver
        self._connection.attach(self)
        if self._connection.connection_lost_waiter.done():
            self.lost()

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
            self._end = (code, reason)
            self._ended.set()

    async def wait_closed(self) -> None:
        """See the connection to its end; this is also what carries out `close`."""
        await self._ended.wait()
        code, reason = self._end or (1000, "")
        await self._connection.close(code, reason)
        await self._connection.wait_closed()

    # Called by the connection

    def arrived(self, data: bytes) -> None:
        """Take one message."""
        if self._receiver is not None and self._end is None:
            self._receiver.message_received(data)

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


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address is this machine's loopback."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


async def dial(url: str, turn: Turn) -> WebSocketTransport:
    """Open a WebSocket connection.

    Args:
        url: complete ``ws://`` or ``wss://`` URL.

    Raises:
        ConnectError: nobody listens, or it isn't a WebSocket.
        AdmissionRefused: the other side refused before the upgrade (HTTP 401 or 403).
    """
    host = url.partition("://")[2].partition("/")[0].rpartition("@")[2]
    name = host.partition("]")[0].strip("[") if host.startswith("[") else host.partition(":")[0]
    try:
        connection = await connect(
            url,
            create_connection=_DialedLink,
            compression=None,
            max_size=MAX_TRANSPORT_BYTES,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=KEEPALIVE_S,
            ping_timeout=KEEPALIVE_S,
            write_limit=HIGH_WATER_BYTES,
            proxy=None if is_loopback(name) else True,
        )
    except InvalidStatus as error:
        status = error.response.status_code
        if status in (401, 403):
            raise AdmissionRefused(
                f"{host} refused the link (HTTP {status})", hint="check the URL's path and this node's id"
            ) from error
        raise ConnectError(f"{host} answered HTTP {status} to {url}", hint="is it a sentinel's attach URL?") from error
    except (InvalidURI, ValueError) as error:  # ValueError: a port or a host that can't be
        raise ConnectError(f"not a WebSocket URL: {url}", hint="write ws://host:port/fame/v1/attach/ws/…") from error
    except TimeoutError as error:
        raise ConnectError(f"{host} didn't answer within {OPEN_TIMEOUT_S:g} s", hint="is it a sentinel?") from error
    except socket.gaierror as error:
        raise ConnectError(f"there is no host called {name}", hint="check the URL") from error
    except OSError as error:
        if not _is_refusal(error):
            told = error.strerror or str(error) or type(error).__name__
            raise ConnectError(f"can't connect to {host}: {told}", hint="check the URL: ws:// or wss://?") from error
        raise ConnectError(
            f"no sentinel listens on {host}", hint=f"start one: fame sentinel --listen {host}"
        ) from error
    except (InvalidHandshake, WebSocketException, EOFError) as error:
        raise ConnectError(f"{host} doesn't speak WebSocket: {error}", hint="is it a sentinel's port?") from error
    assert isinstance(connection, _DialedLink)
    return WebSocketTransport(connection, turn)


def _is_refusal(error: OSError) -> bool:
    """Tell whether nobody listens; of several addresses tried, asyncio tells only in words."""
    return isinstance(error, ConnectionRefusedError) or "Connect call failed" in str(error)


async def listen(
    host: str,
    port: int,
    turn: Turn,
    answer: Callable[[AcceptedLink, Request], Response | None],
    accept: Callable[[WebSocketTransport, tuple[str, str]], Awaitable[None]],
    reuse_port: bool = False,
) -> Server:
    """Listen for WebSocket links and plain HTTP requests on one port.

    Args:
        host: address to bind. port: 0 for any free one.
        answer: sees every request first; a Response ends it there, None lets the upgrade go on (and then it has set
            `route` of the connection).
        accept: called with each new link and its route; the link lasts as long as the call.
        reuse_port: other processes listen on the same port, and the system spreads connections over them.

    Raises:
        OSError: the port can't be had.
    """

    async def run(connection: ServerConnection) -> None:
        assert isinstance(connection, AcceptedLink)
        await accept(WebSocketTransport(connection, turn), connection.route)

    def request_received(connection: ServerConnection, request: Request) -> Response | None:
        assert isinstance(connection, AcceptedLink)
        if not request.headers.get("Sec-WebSocket-Protocol", "x").strip():
            del request.headers["Sec-WebSocket-Protocol"]  # a real peer sends it blank (spec 2.2)
        return answer(connection, request)

    return await serve(
        run,
        host,
        port,
        reuse_port=reuse_port or None,
        backlog=BACKLOG,
        create_connection=AcceptedLink,
        process_request=request_received,
        compression=None,
        max_size=MAX_TRANSPORT_BYTES,
        open_timeout=OPEN_TIMEOUT_S,
        close_timeout=CLOSE_TIMEOUT_S,
        ping_interval=KEEPALIVE_S,
        ping_timeout=KEEPALIVE_S,
        write_limit=HIGH_WATER_BYTES,
        select_subprotocol=lambda _, offered: "bearer" if offered and offered[0] == "bearer" else None,  # type: ignore[arg-type,return-value]  # Subprotocol is a NewType of str
    )
