"""Operations answered by an HTTP call: arguments as JSON body, or as query of a GET; the JSON answer is the result.

The URL is the config's and nothing a caller says changes where the call goes: redirects aren't followed. The client
library is an extra (``fame-cli[http]``) and is loaded when an operation of this kind is made.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fame_cli.core.envelope import encode_json
from fame_cli.errors import ConfigError, RemoteError
from fame_cli.net.failures import is_loopback
from fame_cli.node.operation import read_json

if TYPE_CHECKING:
    import httpx

__all__ = ["HttpCall", "http_caller"]

MESSAGE_CHARACTERS = 200
"""Characters of an error's body that reach the caller."""


@dataclass(slots=True, frozen=True)
class HttpCall:
    """Answer with what a web service answers.

    Args:
        url: ``http://`` or ``https://``; a query in it stays.
        method: HTTP method.
        headers: to send; ``Content-Type`` and ``Accept`` are JSON unless given.
    """

    url: str
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)


def http_caller(
    name: str, call: HttpCall, *, timeout_s: float, max_bytes: int
) -> Callable[[Mapping[str, object]], Awaitable[object]]:
    """Return the coroutine function that makes an HTTP call.

    Args:
        name: of the operation, for messages.
        timeout_s: seconds until it is given up, > 0.
        max_bytes: bytes the answer may have.

    Raises:
        ConfigError: httpx isn't installed, or the URL isn't one it can call.
    """
    try:
        import httpx  # an extra
    except ImportError as error:
        what = f"operation {name}: HTTP calls need httpx"
        raise ConfigError(what, hint="install the extra `http` (pip install httpx)") from error
    url, host = _url(name, call.url)
    with_body = call.method != "GET"
    usual = {"accept": "application/json", **({"content-type": "application/json"} if with_body else {})}
    headers = httpx.Headers(usual | {key.lower(): value for key, value in call.headers.items()}, encoding="utf-8")
    trust = httpx.create_ssl_context() if url.scheme == "https" else False

    async def answer(arguments: Mapping[str, object]) -> object:
        asked = url if with_body else url.copy_merge_params(_query(arguments))
        content = encode_json(arguments) if with_body else None
        try:
            async with (
                asyncio.timeout(timeout_s),
                httpx.AsyncClient(verify=trust, timeout=None, trust_env=not is_loopback(url.host)) as client,
                client.stream(call.method, asked, headers=headers, content=content) as response,
            ):
                return _result(name, host, response, await _start(response, max_bytes), max_bytes)
        except TimeoutError as error:
            raise RemoteError(f"{name}: {host} didn't answer within {timeout_s:g} s") from error
        except httpx.HTTPError as error:
            why = str(error).partition("\n")[0] or type(error).__name__
            raise RemoteError(f"{name}: {host} can't be asked: {why}") from error

    return answer


def _url(name: str, text: str) -> "tuple[httpx.URL, str]":
    """Return a URL and what messages call it: no path and no query, which may hold secrets."""
    import httpx  # loaded already

    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise ConfigError(f"operation {name}: not a URL: {error}", hint="write http://host:port/path") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigError(f"operation {name}: not an http:// or https:// URL", hint="write http://host:port/path")
    return url, f"{url.scheme}://{url.netloc.decode().rpartition('@')[2]}"


def _query(arguments: Mapping[str, object]) -> dict[str, str]:
    """Write arguments as a query: texts as they are, the rest as JSON, null left out."""
    given = {key: value for key, value in arguments.items() if value is not None}
    return {key: value if isinstance(value, str) else encode_json(value).decode() for key, value in given.items()}


async def _start(response: "httpx.Response", max_bytes: int) -> bytes:
    """Read an answer's body, or somewhat more of it than we take."""
    parts: list[bytes] = []
    size = 0
    async for part in response.aiter_bytes():
        parts.append(part)
        size += len(part)
        if size > max_bytes:
            break
    return b"".join(parts)


def _result(name: str, host: str, response: "httpx.Response", body: bytes, max_bytes: int) -> object:
    if not response.is_success:
        start = " ".join(body[: 4 * MESSAGE_CHARACTERS].decode(errors="replace").split())[:MESSAGE_CHARACTERS]
        what = f"{name}: {host} answered HTTP {response.status_code}" + (f": {start}" if start else "")
        raise RemoteError(what, data={"status": response.status_code})
    if len(body) > max_bytes:
        raise RemoteError(f"{name}: {host} answered more than {max_bytes} bytes")
    return read_json(name, f"what {host} answered", body) if body.strip() else None
