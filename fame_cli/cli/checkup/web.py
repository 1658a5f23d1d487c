"""One HTTP request to whoever has a port, without a library: to find out who it is, and what time it is there."""

import asyncio
import json
import ssl
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import NamedTuple

__all__ = ["ANYBODY", "Said", "get", "health_of"]

MAX_BYTES = 64 * 1024
_PATHS = ("/readyz", "/fame/v1/attach/health")
"""What a sentinel of ours answers, and what any does."""


def _anybody() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


ANYBODY = _anybody()
"""TLS that believes everybody, to ask who is there; nothing is shown to them."""


class Said(NamedTuple):
    """Hold an answer: its status, its headers by their names in lower case, and its JSON, None if it isn't any."""

    status: int
    headers: Mapping[str, str]
    document: object

    @property
    def date_s(self) -> float | None:
        """The time it was given at, seconds since the epoch, cut to whole ones; None if it doesn't say."""
        try:
            return parsedate_to_datetime(self.headers.get("date", "")).timestamp()
        except (ValueError, TypeError, OverflowError):
            return None

    @property
    def facts(self) -> Mapping[str, object]:
        """The members of its JSON object; none if it isn't one."""
        return self.document if isinstance(self.document, dict) else {}


async def get(host: str, port: int, path: str, tls: ssl.SSLContext | None = None) -> Said | None:
    """Ask for a page; None where something else than HTTP answers, or nothing but a closed connection.

    Raises:
        OSError: no connection came about; `ssl.SSLError` is one.
    """
    reader, writer = await asyncio.open_connection(host, port, ssl=tls, limit=MAX_BYTES)
    try:
        shown = f"[{host}]" if ":" in host else host
        head = f"GET {path} HTTP/1.1\r\nHost: {shown}:{port}\r\nAccept: application/json\r\nConnection: close\r\n\r\n"
        writer.write(head.encode("ascii", "replace"))
        return _read(await _answer(reader))
    finally:
        writer.transport.abort()


async def _answer(reader: asyncio.StreamReader) -> bytes:
    """Return as much of an answer as belongs to it: what its length says, else all until the connection ends."""
    answer = b""
    while len(answer) < MAX_BYTES:
        try:
            part = await reader.read(MAX_BYTES - len(answer))
        except ConnectionResetError:
            break
        answer += part
        head, mark, body = answer.partition(b"\r\n\r\n")
        if not part or (answer and not b"HTTP/".startswith(answer[:5])) or (mark and len(body) >= _length(head)):
            break
    return answer


def _length(head: bytes) -> int:
    length = _headers(head).get("content-length", "")
    return int(length) if length.isdigit() else MAX_BYTES


def _headers(head: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in head.decode("latin-1").split("\r\n")[1:])
    return {name.strip().lower(): value.strip() for name, _, value in lines}


def _read(answer: bytes) -> Said | None:
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    if not head.startswith(b"HTTP/") or len(words) < 2 or not words[1].isdigit():
        return None
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    return Said(int(words[1]), _headers(head), document)


async def health_of(
    host: str, port: int, tls: ssl.SSLContext | None = None, prefix: str = ""
) -> tuple[str, Said | None]:
    """Return what kind of thing answers on a port, and what it said last.

    Args:
        prefix: of its paths, where a proxy gives it one.

    Returns:
        ``fame`` for a sentinel of ours, ``naylence`` for another, ``http`` for something else that speaks HTTP, "" for
        what doesn't.

    Raises:
        OSError: no connection came about.
    """
    ready, health = [await get(host, port, prefix + path, tls) for path in _PATHS]
    if health is not None and "listener_type" in health.facts:
        return ("fame", ready) if ready is not None and "node" in ready.facts else ("naylence", health)
    return ("http", health or ready) if health or ready else ("", None)
