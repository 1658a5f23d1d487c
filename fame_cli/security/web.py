"""The few HTTP requests that security makes: keys of issuers, and tokens. Bounded in time and size, never redirected.

The client library is an extra (``fame-cli[http]``); it is loaded when somebody is set up who needs it. What a server
says is shown in part at most, and nothing that was sent to it.
"""

import asyncio
import ipaddress
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from fame_cli.errors import ConfigError

if TYPE_CHECKING:
    import httpx

__all__ = ["Reply", "WebError", "check_url", "fetch", "host_of"]

TIMEOUT_S = 5.0
MAX_BYTES = 256 * 1024


class WebError(Exception):
    """Say why a server gave nothing of use: its host and a few words, fit for a log."""


class Reply(NamedTuple):
    """Hold what a server answered: `document` is its JSON, None where it wasn't any."""

    status: int
    document: object


def check_url(url: str, plain_hosts: Sequence[str], *, what: str) -> None:
    """Check at start that a URL can be asked, and may be.

    Args:
        plain_hosts: hosts besides loopback that may be asked without TLS.
        what: what the URL is for, e.g. ``keys of https://issuer``.

    Raises:
        ConfigError: it isn't an HTTP URL, it is plain HTTP to a host that isn't named, or httpx isn't installed.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError as error:
        raise ConfigError(f"{what}: not a URL", hint="write https://host/path") from error
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
        raise ConfigError(f"{what}: not an http:// or https:// URL", hint="write https://host/path")
    if parts.scheme == "http" and not _is_loopback(host) and host not in plain_hosts:
        hint = f"write https://, or name {host} in security.plain_hosts"
        raise ConfigError(f"{what}: plain http:// to another host", hint=hint)
    try:
        import httpx  # noqa: F401  # an extra: better missed now than at the first token
    except ImportError as error:
        raise ConfigError(f"{what}: needs httpx", hint="install it: pip install 'fame-cli[http]'") from error


def host_of(url: str) -> str:
    """Return how messages call a server: no path and no query, which may hold secrets."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


async def fetch(url: str, form: Mapping[str, str] | None = None) -> Reply:
    """Get a JSON document, or with `form` post it url-encoded.

    Raises:
        WebError: no answer in time, or too much of one.
    """
    import httpx  # an extra; `check_url` has seen to it

    host = urlsplit(url).hostname or ""
    trust = httpx.create_ssl_context() if url.startswith("https:") else False
    try:
        async with (
            asyncio.timeout(TIMEOUT_S),
            httpx.AsyncClient(verify=trust, timeout=None, trust_env=not _is_loopback(host)) as client,
            client.stream(
                "GET" if form is None else "POST", url, data=form, headers={"accept": "application/json"}
            ) as response,
        ):
            return Reply(response.status_code, _document(await _body(response, host_of(url))))
    except TimeoutError as error:
        raise WebError(f"{host_of(url)} didn't answer within {TIMEOUT_S:g} s") from error
    except httpx.HTTPError as error:
        raise WebError(f"{host_of(url)} can't be asked: {type(error).__name__}") from error


async def _body(response: "httpx.Response", host: str) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in response.aiter_bytes():
        parts.append(part)
        size += len(part)
        if size > MAX_BYTES:
            raise WebError(f"{host} answered more than {MAX_BYTES} bytes")
    return b"".join(parts)


def _document(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
