"""How links by the `picows` library come to be: dialled, or taken on a port.

Errors of the library are mapped to ours here and nowhere else. No redirect is followed: what a dialler shows is for the
host it was told to dial.

The library's own server shows nobody the connection a request came by, and with it neither the address nor the
certificate of the dialler. So `listen` makes the library's protocol objects itself, as its ``ws_create_server`` does.
"""

import asyncio
import ssl
from http import HTTPStatus
from typing import Any

from picows import (
    WSError,
    WSInvalidStatusError,
    WSInvalidURL,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_connect,
)
from picows.picows import (  # type: ignore[attr-defined,unused-ignore]  # its own stub leaves the second out
    WSAutoPingStrategy,
    WSProtocol,
)

from fame_cli.errors import FameError
from fame_cli.net import failures, handshake
from fame_cli.net.accepting import Acceptor, bound
from fame_cli.net.answer import BACKLOG, TOO_LONG, Accept, Answer, Page, Route, Server, Shown
from fame_cli.net.discreet import Discreet
from fame_cli.net.handshake import PROTOCOLS
from fame_cli.net.picows import CLOSE_TIMEOUT_S, PicowsTransport
from fame_cli.net.pump import Turn
from fame_cli.net.transport import MAX_TRANSPORT_BYTES, Transport

__all__ = ["dial", "listen"]

READ_BUFFER_BYTES = 2048
"""First size of a link's read buffer; it doubles when reads fill it, and idle links are many."""

LOGGER = Discreet("picows")
"""An adapter, because of a plain logger the library makes a new one for each connection."""


async def dial(url: str, turn: Turn, shown: Shown = Shown()) -> Transport:  # noqa: B008  # it is frozen
    """Open a WebSocket connection; what may go through a proxy, or names a user, is left to the other library.

    Args:
        url: complete ``ws://`` or ``wss://`` URL.
        shown: goes into the handshake.

    Raises:
        ConnectError: nobody listens, its certificate doesn't hold, or it isn't a WebSocket.
        AdmissionRefused: the other side refused before the upgrade (HTTP 401 or 403).
        ConfigError: what is to be shown can't be.
    """
    offer, headers = ", ".join(shown.offer), shown.headers
    name = failures.name_of(failures.host_of(url))
    if "@" in url or not failures.is_loopback(name):
        from fame_cli.net import websocket_ends  # on demand: most links need one library

        if "@" in url or websocket_ends.proxied(name):
            return await websocket_ends.dial(url, turn, shown)
    transport = PicowsTransport(turn)
    try:
        async with asyncio.timeout(failures.OPEN_TIMEOUT_S):
            await ws_connect(
                lambda request, response: transport,
                url,
                websocket_handshake_timeout=failures.OPEN_TIMEOUT_S,
                max_frame_size=MAX_TRANSPORT_BYTES,
                read_buffer_init_size=READ_BUFFER_BYTES,
                logger_name=LOGGER,
                extra_headers=headers | ({PROTOCOLS: offer} if offer else {}),
                max_redirects=0,
                **_tls_of(url, shown),
            )
    except (WSError, OSError, ValueError, RuntimeError) as error:  # RuntimeError: uvloop's, of a socket reset meanwhile
        transport.abort()
        raise _mapped(url, error, shown.token) from error
    except BaseException:  # being cancelled above all
        transport.abort()
        raise
    if transport.link is None:
        raise failures.no_websocket(url, "it closed the connection during the handshake")
    return transport


def _tls_of(url: str, shown: Shown) -> dict[str, Any]:
    """Return what the library has to know about TLS; aiofastnet's reports a failed handshake as a fault of ours."""
    if not url.startswith("wss:"):
        return {}
    return {
        "ssl_context": shown.tls or ssl.create_default_context(),
        "use_aiofastnet": False,
        "ssl_handshake_timeout": handshake.TLS_TIMEOUT_S,
        "ssl_shutdown_timeout": CLOSE_TIMEOUT_S,
    }


def _mapped(url: str, error: WSError | OSError | ValueError | RuntimeError, token: str) -> FameError:
    """Return our error for one of the library's."""
    match error:
        case WSInvalidStatusError(response=WSUpgradeResponse(status=status)):
            return failures.refused(url, status, error.raw_body or b"", token)
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

    def connection() -> WSProtocol:
        def request_received(request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
            return _answered(request, protocol.transport.underlying_transport, turn, answer, accept)

        protocol = _protocol(request_received)
        return protocol

    if tls is None:
        return Acceptor(await bound(host, port, BACKLOG, reuse_port=reuse_port), connection)
    return await asyncio.get_running_loop().create_server(
        connection,
        host,
        port,
        reuse_port=reuse_port or None,
        backlog=BACKLOG,
        ssl=tls,
        ssl_handshake_timeout=handshake.TLS_TIMEOUT_S,
        ssl_shutdown_timeout=CLOSE_TIMEOUT_S,
    )


def _protocol(request_received: Any) -> WSProtocol:
    return WSProtocol(
        host_port=None,
        ws_path=None,
        is_client_side=False,
        ws_listener_factory=request_received,
        logger=LOGGER,
        disconnect_on_exception=True,
        websocket_handshake_timeout=failures.OPEN_TIMEOUT_S,
        enable_auto_ping=False,
        auto_ping_idle_timeout=0,
        auto_ping_reply_timeout=0,
        auto_ping_strategy=WSAutoPingStrategy.PING_WHEN_IDLE,
        enable_auto_pong=True,
        max_frame_size=MAX_TRANSPORT_BYTES,
        extra_headers=None,
        read_buffer_init_size=READ_BUFFER_BYTES,
    )


def _answered(
    request: WSUpgradeRequest, connection: asyncio.BaseTransport, turn: Turn, answer: Answer, accept: Accept
) -> WSUpgradeResponseWithListener:
    """Answer one request."""

    def values(name: str) -> list[str]:
        found: list[str] = request.headers.getall(name, [])
        return found

    asked = handshake.asked(request.path.decode("ascii", "surrogateescape"), values, connection)
    said = TOO_LONG if asked is None else answer(asked)
    if isinstance(said, Route) and not _asks_for_upgrade(request):
        said = Page(426, b'{"error": "this path is for WebSocket links"}\n')
    if isinstance(said, Page):
        return WSUpgradeResponseWithListener(_response(said), None)
    chosen = {PROTOCOLS: handshake.BEARER} if handshake.offers_bearer(values) else {}
    transport = PicowsTransport(turn, lambda transport: accept(transport, said))
    return WSUpgradeResponseWithListener(WSUpgradeResponse.create_101_response(chosen), transport)


def _asks_for_upgrade(request: WSUpgradeRequest) -> bool:
    """Tell whether a request asks for a WebSocket; a list in its Connection header becomes what the library knows."""
    headers = request.headers
    options = ",".join(headers.getall("connection", [])).lower().split(",")
    if "upgrade" not in [option.strip() for option in options] or headers.get("upgrade", "").lower() != "websocket":
        return False
    headers["Connection"] = "upgrade"
    return True


def _response(page: Page) -> WSUpgradeResponse:
    headers = [("Content-Type", "application/json"), *page.headers]
    response: WSUpgradeResponse = WSUpgradeResponse.create_ok_response(page.body, headers)
    response.status = HTTPStatus(page.status)
    return response
