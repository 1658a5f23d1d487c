"""Which of ``ws://`` and ``wss://`` a port speaks, asked when a dial in the one has failed as it would for the other.

Nothing is shown to whoever is asked: no token, no proof, no name of ours.
"""

import asyncio
import re
import ssl
from contextlib import suppress
from urllib.parse import urlsplit

from fame_cli.errors import ConnectError
from fame_cli.net import failures

__all__ = ["ASK_S", "in_the_other_language", "speaks_http", "speaks_tls", "told"]

ASK_S = 1.0
"""Seconds for finding out."""

_OWN_ID = re.compile("(?<=/attach/ws/downstream)/[^/]*$|(?<=/attach/ws/peer)/[^/]*$")
"""What the URLs that are dialled have beyond those that are configured (spec 2.1)."""

_REQUEST = b"GET /readyz HTTP/1.1\r\nHost: sentinel\r\nConnection: close\r\n\r\n"


def in_the_other_language(url: str) -> str:
    """Return a ``ws://`` URL as ``wss://``, and the other way round."""
    scheme, _, rest = url.partition(":")
    return f"{'ws' if scheme.lower() == 'wss' else 'wss'}:{rest}"


async def speaks_tls(host: str, port: int) -> bool:
    """Tell whether a port speaks TLS, whoever has it.

    Raises:
        OSError: no connection came about.
    """
    try:
        _, writer = await asyncio.open_connection(host, port, ssl=_anybody())
    except ssl.SSLError as error:
        return "CERTIFICATE" in (error.reason or "")  # it wants ours
    writer.transport.abort()
    return True


async def speaks_http(host: str, port: int) -> bool:
    """Tell whether a port answers HTTP without TLS.

    Raises:
        OSError: no connection came about, or it broke.
    """
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(_REQUEST)
        return (await reader.read(5)).startswith(b"HTTP/")
    finally:
        writer.transport.abort()


async def told(url: str, error: ConnectError) -> ConnectError:
    """Return what to tell of a dial that has failed: that the port speaks the other language, or `error` as it is."""
    parts = urlsplit(url)
    host, has_tls = parts.hostname or "", parts.scheme == "wss"
    if _is_proxied(host):
        return error
    speaks_other = speaks_http if has_tls else speaks_tls
    with suppress(OSError, RuntimeError):  # TimeoutError is one; the other is uvloop's for a connect that is cancelled
        async with asyncio.timeout(ASK_S):
            if await speaks_other(host, parts.port or (443 if has_tls else 80)):
                what = "doesn't speak TLS" if has_tls else "speaks TLS, and was dialled without"
                hint = f"try {failures.shown(in_the_other_language(_OWN_ID.sub('', url)))}"
                return ConnectError(f"{failures.host_of(url)} {what}", hint=hint)
    return error


def _is_proxied(host: str) -> bool:
    """Tell whether a host is reached through a proxy: then it isn't for us to go there directly."""
    if failures.is_loopback(host):
        return False
    from fame_cli.net.websocket_ends import proxied  # on demand: a node on picows hardly ever needs it

    return proxied(host)


def _anybody() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
