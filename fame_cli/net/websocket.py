"""WebSocket transport, by the `websockets` library: its connection classes, with two things changed.

A received data frame is handed on in the same callback instead of through a queue and a task switch, and everything
sent in one turn of the loop leaves in one write. Handshake, masking, keepalive, TLS, proxies and closing stay the
library's. Errors of the library are mapped to ours here and nowhere else.
"""

import asyncio
import ssl
from collections.abc import Sequence
from http import HTTPStatus
from socket import socket
from urllib.request import getproxies, proxy_bypass

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import Server as LibraryServer
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI, WebSocketException
from websockets.frames import DATA_OPCODES, Frame
from websockets.http11 import Request, Response
from websockets.protocol import OPEN, Event
from websockets.typing import Subprotocol

from fame_cli.core.batch import joined
from fame_cli.net import failures
from fame_cli.net.answer import BACKLOG, Accept, Answer, Asked, Page, Route, Shown, bearer
from fame_cli.net.failures import OPEN_TIMEOUT_S
from fame_cli.net.pump import EARLY_FLUSH_BYTES, EARLY_FLUSH_MESSAGES, Turn
from fame_cli.net.transport import (
    HARD_LIMIT_BYTES,
    HIGH_WATER_BYTES,
    MAX_TRANSPORT_BYTES,
    Receiver,
    certificate_of,
    short_reason,
)

__all__ = ["WebSocketTransport", "dial", "listen", "proxied"]

CLOSE_TIMEOUT_S = 2.0
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


class _AcceptedLink(_Link, ServerConnection):
    """A connection that came to us; `route` is what its path asked for."""

    route: Route = Route("", "")

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

    def certificate(self) -> bytes:
        """Return the other side's certificate, b"" for none."""
        return certificate_of(self._connection.transport)

    def close(self, code: int, reason: str) -> None:
        """Write what is queued, then start the closing handshake; `wait_closed` sees it through."""
        if self._end is None:
            self.flush()
            self._end = (code, short_reason(reason))
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


def proxied(name: str) -> bool:
    """Tell whether a host may have to be reached through a proxy; which one is for the library to say."""
    return not failures.is_loopback(name) and bool(getproxies()) and not proxy_bypass(name)


async def dial(url: str, turn: Turn, shown: Shown = Shown()) -> WebSocketTransport:  # noqa: B008  # it is frozen
    """Open a WebSocket connection.

    Args:
        url: complete ``ws://`` or ``wss://`` URL.
        shown: goes into the handshake.

    Raises:
        ConnectError: nobody listens, or it isn't a WebSocket.
        AdmissionRefused: the other side refused before the upgrade (HTTP 401 or 403).
    """
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
            subprotocols=[Subprotocol("bearer"), Subprotocol(shown.token)] if shown.token else None,
            additional_headers={"DPoP": shown.proof} if shown.proof else None,
            ssl=(shown.tls or True) if url.startswith("wss:") else None,
            proxy=None if failures.is_loopback(failures.name_of(failures.host_of(url))) else True,
        )
    except InvalidStatus as error:
        raise failures.refused(url, error.response.status_code, bytes(error.response.body)) from error
    except OSError as error:  # first, because a certificate that doesn't hold is a ValueError, too
        raise failures.unreachable(url, error) from error
    except (InvalidURI, ValueError) as error:  # ValueError: a port or a host that can't be
        raise failures.bad_url(url) from error
    except (InvalidHandshake, WebSocketException, EOFError) as error:
        raise failures.no_websocket(url, error) from error
    assert isinstance(connection, _DialedLink)
    return WebSocketTransport(connection, turn)


class _Server:
    """Listen on a port; see `answer.Server`."""

    def __init__(self, server: LibraryServer) -> None:
        self._server = server

    @property
    def sockets(self) -> Sequence[socket]:
        """The sockets it listens on."""
        return list(self._server.sockets)

    def close(self) -> None:
        """Take no more links; those that are open stay."""
        self._server.close(close_connections=False)


async def listen(
    host: str,
    port: int,
    turn: Turn,
    answer: Answer,
    accept: Accept,
    *,
    reuse_port: bool = False,
    tls: ssl.SSLContext | None = None,
) -> _Server:
    """Listen for WebSocket links and plain HTTP requests on one port; see `answer.Listen`."""

    async def run(connection: ServerConnection) -> None:
        assert isinstance(connection, _AcceptedLink)
        transport = WebSocketTransport(connection, turn)
        accept(transport, connection.route)
        await transport.wait_closed()

    def request_received(connection: ServerConnection, request: Request) -> Response | None:
        assert isinstance(connection, _AcceptedLink)
        if not request.headers.get("Sec-WebSocket-Protocol", "x").strip():
            del request.headers["Sec-WebSocket-Protocol"]  # a real peer sends it blank (spec 2.2)
        headers = request.headers
        protocols = ",".join(headers.get_all("Sec-WebSocket-Protocol"))
        authorization = ",".join(headers.get_all("Authorization"))
        token, proof = bearer(protocols, authorization), ",".join(headers.get_all("DPoP"))
        said = answer(Asked(request.path, token, proof, _host(connection)))
        if isinstance(said, Page):
            return _response(said)
        connection.route = said
        return None

    return _Server(
        await serve(
            run,
            host,
            port,
            reuse_port=reuse_port or None,
            ssl=tls,
            ssl_handshake_timeout=None if tls is None else OPEN_TIMEOUT_S,
            backlog=BACKLOG,
            create_connection=_AcceptedLink,
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
    )


def _host(connection: ServerConnection) -> str:
    address = connection.remote_address
    return str(address[0]) if isinstance(address, tuple) else ""


def _response(page: Page) -> Response:
    size = str(len(page.body))
    headers = Headers({"Content-Type": "application/json", "Content-Length": size, "Connection": "close"})
    return Response(page.status, HTTPStatus(page.status).phrase, headers, page.body)
