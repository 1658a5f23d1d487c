"""How links by the `websockets` library come to be: dialled, or taken on a port.

Errors of the library are mapped to ours here and nowhere else. No redirect is followed: what a dialler shows is for the
host it was told to dial.
"""

import ssl
from collections.abc import Sequence
from http import HTTPStatus
from socket import socket
from typing import Any
from urllib.request import getproxies, proxy_bypass

from websockets.asyncio.client import connect
from websockets.asyncio.server import Server as LibraryServer
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI, WebSocketException
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from fame_cli.net import failures, handshake
from fame_cli.net.answer import BACKLOG, TOO_LONG, Accept, Answer, Page, Shown
from fame_cli.net.discreet import Discreet
from fame_cli.net.handshake import PROTOCOLS
from fame_cli.net.pump import Turn
from fame_cli.net.transport import HIGH_WATER_BYTES, MAX_TRANSPORT_BYTES
from fame_cli.net.websocket import CLOSE_TIMEOUT_S, AcceptedLink, DialedLink, WebSocketTransport

__all__ = ["dial", "listen", "proxied"]

LOGGER = Discreet("websockets")


def proxied(name: str) -> bool:
    """Tell whether a host may have to be reached through a proxy; which one is for the library to say."""
    return not failures.is_loopback(name) and bool(getproxies()) and not proxy_bypass(name)


class _Connect(connect):
    """Dial without following anybody elsewhere."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Take a redirect for the error it is."""
        return exc


async def dial(url: str, turn: Turn, shown: Shown = Shown()) -> WebSocketTransport:  # noqa: B008  # it is frozen
    """Open a WebSocket connection.

    Args:
        url: complete ``ws://`` or ``wss://`` URL.
        shown: goes into the handshake.

    Raises:
        ConnectError: nobody listens, its certificate doesn't hold, or it isn't a WebSocket.
        AdmissionRefused: the other side refused before the upgrade (HTTP 401 or 403).
        ConfigError: what is to be shown can't be.
    """
    offer, headers = [Subprotocol(each) for each in shown.offer], shown.headers
    tls: dict[str, Any] = {}
    if url.startswith("wss:"):  # these three are meaningful with TLS only, and refused without
        tls = {"ssl": shown.tls or ssl.create_default_context(), "ssl_handshake_timeout": handshake.TLS_TIMEOUT_S}
        tls["ssl_shutdown_timeout"] = CLOSE_TIMEOUT_S
    try:
        connection = await _Connect(
            url,
            create_connection=DialedLink,
            subprotocols=offer or None,
            additional_headers=headers,
            compression=None,
            max_size=MAX_TRANSPORT_BYTES,
            open_timeout=failures.OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=None,
            write_limit=HIGH_WATER_BYTES,
            proxy=None if failures.is_loopback(failures.name_of(failures.host_of(url))) else True,
            logger=LOGGER,
            **tls,
        )
    except InvalidStatus as error:
        response = error.response
        raise failures.refused(url, response.status_code, bytes(response.body), shown.token) from error
    except OSError as error:  # first, because a certificate that doesn't hold is a ValueError, too
        raise failures.unreachable(url, error) from error
    except (InvalidURI, ValueError) as error:  # ValueError: a port or a host that can't be
        raise failures.bad_url(url) from error
    except (InvalidHandshake, WebSocketException, EOFError) as error:
        raise failures.no_websocket(url, error) from error
    assert isinstance(connection, DialedLink)
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
        assert isinstance(connection, AcceptedLink)
        transport = WebSocketTransport(connection, turn)
        accept(transport, connection.route)
        await transport.wait_closed()

    def request_received(connection: ServerConnection, request: Request) -> Response | None:
        return _answered(connection, request, answer)

    timeouts: dict[str, Any] = {
        "ssl_handshake_timeout": handshake.TLS_TIMEOUT_S,
        "ssl_shutdown_timeout": CLOSE_TIMEOUT_S,
    }
    return _Server(
        await serve(
            run,
            host,
            port,
            reuse_port=reuse_port or None,
            backlog=BACKLOG,
            create_connection=AcceptedLink,
            process_request=request_received,
            process_response=_completed,
            compression=None,
            max_size=MAX_TRANSPORT_BYTES,
            open_timeout=failures.OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=None,
            write_limit=HIGH_WATER_BYTES,
            logger=LOGGER,
            ssl=tls,
            **(timeouts if tls is not None else {}),
        )
    )


def _answered(connection: ServerConnection, request: Request, answer: Answer) -> Response | None:
    """Answer one request; None has the library go on with the handshake."""
    assert isinstance(connection, AcceptedLink)
    values = request.headers.get_all
    asked = handshake.asked(request.path, values, connection.transport)
    said = TOO_LONG if asked is None else answer(asked)
    if isinstance(said, Page):
        return _response(said)
    connection.route = said
    connection.offers_bearer = handshake.offers_bearer(values)
    if PROTOCOLS in request.headers:  # the library would read a token again, and refuse a blank one (spec 2.2)
        del request.headers[PROTOCOLS]
    return None


def _completed(connection: ServerConnection, request: Request, response: Response) -> None:
    """Complete what the library is about to answer."""
    assert isinstance(connection, AcceptedLink)
    if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
        connection.transport.resume_reading()  # the library waits for the other side to hang up
    elif connection.offers_bearer:
        response.headers[PROTOCOLS] = handshake.BEARER


def _response(page: Page) -> Response:
    size = str(len(page.body))
    headers = Headers({"Content-Type": "application/json", "Content-Length": size, "Connection": "close"})
    headers.update(page.headers)
    return Response(page.status, HTTPStatus(page.status).phrase, headers, page.body)
