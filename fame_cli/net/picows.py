"""WebSocket transport, by the `picows` library: frames are read and written in C, and handed on in the same callback.

The library parses, masks and shakes hands; fragments, pings, closing and their time limits are ours, and as they are in
``websocket.py``, so that nodes of either kind talk to each other. Reading ends with `last_in_buffer`: then the turn is
flushed. Where a ping comes last, the library answers it without telling us, and the loop's next callback flushes.

After a frame that breaks the protocol the library closes by itself, some 10 ms later, without telling us either; what
it reads until then is dropped here.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable
from http import HTTPStatus

from picows import (
    WSError,
    WSFrame,
    WSInvalidStatusError,
    WSInvalidURL,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_connect,
    ws_create_server,
)

from fame_cli.core.batch import joined
from fame_cli.errors import FameError
from fame_cli.net import failures
from fame_cli.net.answer import BACKLOG, Accept, Answer, Asked, Page, Route, Server, Shown, bearer
from fame_cli.net.failures import OPEN_TIMEOUT_S
from fame_cli.net.framing import frames
from fame_cli.net.pump import EARLY_FLUSH_BYTES, EARLY_FLUSH_MESSAGES, Turn
from fame_cli.net.transport import (
    HARD_LIMIT_BYTES,
    HIGH_WATER_BYTES,
    MAX_TRANSPORT_BYTES,
    Receiver,
    Transport,
    certificate_of,
    short_reason,
)

__all__ = ["PicowsTransport", "dial", "listen"]

CLOSE_TIMEOUT_S = 2.0
KEEPALIVE_S = 20.0
"""Seconds between pings, and for the pong (spec 2.3)."""

SMALL_BYTES = 4096
"""Mean size of messages up to which it is cheaper to mask them in Python (timeit: 7 µs for as many bytes) than to have
the library write each by itself."""

READ_BUFFER_BYTES = 2048
"""First size of a link's read buffer; it doubles when reads fill it, and idle links are many."""

LOGGER = logging.LoggerAdapter(logging.getLogger("picows"), {})
"""An adapter, because of a plain logger the library makes a new one for each connection."""

_CONTINUATION, _BINARY = WSMsgType.CONTINUATION, WSMsgType.BINARY
_CLOSE, _PONG = WSMsgType.CLOSE, WSMsgType.PONG


class PicowsTransport(WSListener):
    """Carry envelopes over one WebSocket connection; it is also what the library calls back.

    Args:
        turn: of the node.
        connected: called when hands are shaken.
    """

    def __init__(self, turn: Turn, connected: "Callable[[PicowsTransport], None] | None" = None) -> None:
        self.turn = turn
        self.link: WSTransport | None = None
        self._connected = connected
        self._loop = asyncio.get_running_loop()
        self._receiver: Receiver | None = None
        self._early: list[bytes] = []
        self._parts: bytearray | None = None
        self._queue: list[bytes] = []
        self._queued_bytes = 0
        self._batches = False
        self._closing = False
        self._pong_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._ended = asyncio.Event()

    def start(self, receiver: Receiver) -> None:
        """Begin to call back; what came before is delivered first."""
        self._receiver = receiver
        early, self._early = self._early, []
        for data in early:
            receiver.message_received(data)
        if self._ended.is_set():
            receiver.connection_lost(self._end_text())

    def send(self, data: bytes) -> None:
        """Queue one message for this turn's write."""
        if not self._closing:
            if not self._queue:
                self.turn.add(self)
            self._queue.append(data)
            self._queued_bytes += len(data)
            if self._queued_bytes >= EARLY_FLUSH_BYTES or len(self._queue) >= EARLY_FLUSH_MESSAGES:
                self.flush()

    def flush(self) -> None:
        """Write what is queued: in one write, unless it is so large that masking it here would cost more than that."""
        queue, self._queue = self._queue, []
        size, self._queued_bytes = self._queued_bytes, 0
        link = self.link
        if not queue or link is None or link.is_close_frame_sent:
            return
        if self._batches:
            queue = joined(queue)
        if len(queue) == 1 or (link.is_client_side and size > len(queue) * SMALL_BYTES):
            for data in queue:
                link.send(_BINARY, data)
        else:
            link.underlying_transport.writelines(frames(queue, masked=link.is_client_side))
        if link.underlying_transport.get_write_buffer_size() > HARD_LIMIT_BYTES:
            link.disconnect(False)

    def batch(self) -> None:
        """Join the messages of a turn from now on."""
        self.flush()
        self._batches = True

    def certificate(self) -> bytes:
        """Return the other side's certificate, b"" for none."""
        assert self.link is not None
        return certificate_of(self.link.underlying_transport)

    def close(self, code: int, reason: str) -> None:
        """Write what is queued and the close frame; the other side has `CLOSE_TIMEOUT_S` to answer it."""
        link = self.link
        if self._closing or link is None:
            return
        self.flush()
        self._closing = True
        link.send_close(code, short_reason(reason))  # type: ignore[arg-type]  # any code may be sent, not only those with a name
        self._schedule(CLOSE_TIMEOUT_S, self.abort)

    async def wait_closed(self) -> None:
        """Return once the connection has ended."""
        await self._ended.wait()

    def abort(self) -> None:
        """End the connection without a word."""
        self._closing = True
        if self.link is not None:
            self.link.disconnect(False)

    # Called by the library

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Take the connection: hands are shaken."""
        self.link = transport
        if self._closing:  # whoever dialled has given up meanwhile
            self.abort()
            return
        transport.underlying_transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        self._schedule(KEEPALIVE_S, self._beat)
        if self._connected is not None:
            try:
                self._connected(self)
            except Exception as error:
                self._fault(error)
                self.abort()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take one frame, and end the turn with the last one of a read: what they made anybody send leaves now."""
        try:
            whole = frame.msg_type is _BINARY and frame.fin and not (frame.rsv1 or frame.rsv2 or frame.rsv3)
            ended = self._closing or transport.is_close_frame_sent  # the library closes without telling us
            if whole and self._receiver is not None and self._parts is None and not ended:
                self._receiver.message_received(frame.get_payload_as_bytes())  # nearly all there is
            else:
                self._take(transport, frame)
            if frame.last_in_buffer:
                self.turn.flush()
        except Exception as error:
            self._fault(error)
            self.close(1011, "")

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Take the end of the TCP connection."""
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
        self._ended.set()
        if self._receiver is not None:
            try:
                self._receiver.connection_lost(self._end_text())
            except Exception as error:
                self._fault(error)

    def pause_writing(self) -> None:
        """Take that the socket is full."""
        if self._receiver is not None:
            self._receiver.transport_stalled()

    def resume_writing(self) -> None:
        """Take that the socket drains."""
        if self._receiver is not None:
            self._receiver.transport_drained()

    # Frames

    def _take(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            self.close(1002, "reserved bits must be 0")
        elif kind is _CLOSE:
            self._closed_by_peer(transport, frame)
        elif kind is _PONG:
            self._pong_due = False
        elif self._closing or transport.is_close_frame_sent:
            return
        elif kind is _CONTINUATION or not frame.fin or self._parts is not None:
            self._part(frame)
        else:
            self._arrived(frame.get_payload_as_bytes())

    def _part(self, frame: WSFrame) -> None:
        """Take a part of a fragmented message (RFC 6455, 5.4); text and binary are alike to us."""
        if (self._parts is not None) is not (frame.msg_type is _CONTINUATION):
            self.close(1002, "a continuation without a beginning, or a beginning without an end")
            return
        parts = self._parts = self._parts or bytearray()
        parts += frame.get_payload_as_bytes()
        if len(parts) > MAX_TRANSPORT_BYTES:
            self.close(1009, f"a message of more than {MAX_TRANSPORT_BYTES} bytes")
        elif frame.fin:
            self._parts = None
            self._arrived(bytes(parts))

    def _arrived(self, data: bytes) -> None:
        if self._receiver is None:
            self._early.append(data)
        else:
            self._receiver.message_received(data)

    def _closed_by_peer(self, transport: WSTransport, frame: WSFrame) -> None:
        """Answer a close frame, and end the connection; the server does it first (RFC 6455, 7.1.1)."""
        self.close(frame.get_close_code().value or 1000, frame.get_close_reason() or "")
        self._closing = True
        self._schedule(CLOSE_TIMEOUT_S, self.abort)
        if not transport.is_client_side:
            transport.disconnect()

    def _beat(self) -> None:
        """Ping, unless the last ping is still unanswered."""
        link = self.link
        assert link is not None
        if link.is_close_frame_sent:
            self.abort()
        elif self._pong_due:
            self.close(1011, "keepalive ping timeout")
        else:
            self._pong_due = True
            link.send_ping()
            self._schedule(KEEPALIVE_S, self._beat)

    def _schedule(self, delay_s: float, action: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(delay_s, action)

    def _fault(self, error: Exception) -> None:
        """Report a bug of ours; raised, the library would hide it in its log."""
        self._loop.call_exception_handler({"message": "a transport's callback failed", "exception": error})

    def _end_text(self) -> str:
        handshake = self.link.close_handshake if self.link is not None else None
        if handshake is None:
            return "connection lost"
        said = handshake.recv or handshake.sent
        return f"{said.code.value or 1005} {said.reason or ''}".strip() if said else "connection lost"


async def dial(url: str, turn: Turn, shown: Shown = Shown()) -> Transport:  # noqa: B008  # it is frozen
    """Open a WebSocket connection; what may go through a proxy, or names a user, is left to ``websocket.py``.

    Args:
        url: complete ``ws://`` or ``wss://`` URL.
        shown: goes into the handshake.

    Raises:
        ConnectError: nobody listens, or it isn't a WebSocket.
        AdmissionRefused: the other side refused before the upgrade (HTTP 401 or 403).
    """
    name = failures.name_of(failures.host_of(url))
    if "@" in url or not failures.is_loopback(name):
        from fame_cli.net import websocket  # on demand: most links need one library

        if "@" in url or websocket.proxied(name):
            return await websocket.dial(url, turn, shown)
    transport = PicowsTransport(turn)
    try:
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            await ws_connect(
                lambda request, response: transport,
                url,
                websocket_handshake_timeout=OPEN_TIMEOUT_S,
                max_frame_size=MAX_TRANSPORT_BYTES,
                read_buffer_init_size=READ_BUFFER_BYTES,
                logger_name=LOGGER,
                extra_headers=shown.headers,
                ssl_context=shown.tls if url.startswith("wss:") else None,
                use_aiofastnet=not url.startswith("wss:"),  # its TLS reports a failed handshake as a fault of ours
            )
    except (WSError, OSError, ValueError) as error:
        transport.abort()
        raise _mapped(url, error) from error
    except BaseException:  # being cancelled above all
        transport.abort()
        raise
    if transport.link is None:
        raise failures.no_websocket(url, "it closed the connection during the handshake")
    return transport


def _mapped(url: str, error: WSError | OSError | ValueError) -> FameError:
    """Return our error for one of the library's."""
    match error:
        case WSInvalidStatusError(response=WSUpgradeResponse(status=status), raw_body=body):
            return failures.refused(url, status, body)
        case OSError():  # before ValueError: a certificate that doesn't hold is both
            return failures.unreachable(url, error)
        case WSInvalidURL() | ValueError():  # ValueError: a port or a host that can't be
            return failures.bad_url(url)
    return failures.no_websocket(url, error)


async def listen(
    host: str,
    port: int,
    turn: Turn,
    answer: Answer,
    accept: Accept,
    *,
    reuse_port: bool = False,
    tls: ssl.SSLContext | None = None,
) -> Server:
    """Listen for WebSocket links and plain HTTP requests on one port; see `answer.Listen`."""

    def request_received(request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
        names = ("sec-websocket-protocol", "authorization", "dpop")
        offered, authorization, proof = (",".join(request.headers.getall(name, [])) for name in names)
        path = request.path.decode("ascii", "surrogateescape")
        said = answer(Asked(path, bearer(offered, authorization), proof))
        if isinstance(said, Route) and not _asks_for_upgrade(request):
            said = Page(426, b'{"error": "this path is for WebSocket links"}\n')
        if isinstance(said, Page):
            return WSUpgradeResponseWithListener(_response(said), None)
        chosen = {"Sec-WebSocket-Protocol": "bearer"} if offered.partition(",")[0].strip() == "bearer" else {}
        transport = PicowsTransport(turn, lambda transport: accept(transport, said))
        return WSUpgradeResponseWithListener(WSUpgradeResponse.create_101_response(chosen), transport)

    return await ws_create_server(
        request_received,
        host,
        port,
        websocket_handshake_timeout=OPEN_TIMEOUT_S,
        max_frame_size=MAX_TRANSPORT_BYTES,
        read_buffer_init_size=READ_BUFFER_BYTES,
        logger_name=LOGGER,
        reuse_port=reuse_port or None,
        use_aiofastnet=tls is None,  # as where we dial
        ssl=tls,
        ssl_handshake_timeout=None if tls is None else OPEN_TIMEOUT_S,
        backlog=BACKLOG,
    )


def _asks_for_upgrade(request: WSUpgradeRequest) -> bool:
    """Tell whether a request asks for a WebSocket; a list in its Connection header becomes what the library knows."""
    headers = request.headers
    options = ",".join(headers.getall("connection", [])).lower().split(",")
    if "upgrade" not in [option.strip() for option in options] or headers.get("upgrade", "").lower() != "websocket":
        return False
    headers["Connection"] = "upgrade"
    return True


def _response(page: Page) -> WSUpgradeResponse:
    headers = {"Content-Type": "application/json"}
    response: WSUpgradeResponse = WSUpgradeResponse.create_ok_response(page.body, headers)
    response.status = HTTPStatus(page.status)
    return response
