"""HTTP calls: what is sent, what is taken as an answer, and how everything else is told."""

import asyncio
import gzip
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from declared_rig import declared, failure, optional, required
from node_rig import bounded

from fame_cli.errors import ConfigError, RemoteError
from fame_cli.node.declared import HttpCall, Parameter
from fame_cli.node.operation import INTERNAL

Respond = Callable[[str, dict[str, str], bytes], bytes]


def http(status: str = "200 OK", body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@asynccontextmanager
async def web_service(respond: Respond) -> AsyncIterator[str]:
    """Answer HTTP requests: `respond` gets request line, headers and body."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        writer.write(respond(head[0], headers, body))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def asked_over_http(
    respond: Respond,
    *parameters: Parameter,
    path: str = "/path",
    method: str = "POST",
    headers: dict[str, str] | None = None,
    timeout_s: float = 15.0,
    **arguments: object,
) -> Any:
    """Call an operation that asks a web service."""

    async def main() -> object:
        async with web_service(respond) as url:
            operation = declared(
                HttpCall(url + path, method, headers or {}), *parameters, timeout_s=timeout_s, max_bytes=5000
            )
            outcome = operation.invoke([], arguments)
            assert isinstance(outcome, Awaitable)
            return await outcome

    return bounded(main())


def echo(line: str, headers: dict[str, str], body: bytes) -> bytes:
    return http("200 OK", json.dumps({"line": line, "headers": headers, "body": body.decode()}).encode())


def test_an_http_call_sends_its_arguments_as_json_and_its_json_answer_is_the_result() -> None:
    told = asked_over_http(echo, required("city"), optional("days", 3, "integer"), city="Zürich")
    assert told["line"] == "POST /path HTTP/1.1"
    assert json.loads(told["body"]) == {"city": "Zürich", "days": 3}
    assert told["headers"]["content-type"] == "application/json"
    assert told["headers"]["accept"] == "application/json"


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_other_methods_send_json_too(method: str) -> None:
    told = asked_over_http(echo, required("a"), method=method, a="b")
    assert told["line"] == f"{method} /path HTTP/1.1"
    assert told["body"] == '{"a":"b"}'


def test_a_get_sends_its_arguments_as_query_and_keeps_that_of_the_url() -> None:
    parameters = [
        required("q"),
        required("n", "number"),
        required("deep", "boolean"),
        required("tags", "array"),
        optional("none", None),
    ]
    told = asked_over_http(
        echo, *parameters, path="/find?key=s%20e", method="GET", q="a&b=ü", n=1.5, deep=True, tags=[1, "x"]
    )
    assert told["line"] == "GET /find?key=s+e&q=a%26b%3D%C3%BC&n=1.5&deep=true&tags=%5B1%2C%22x%22%5D HTTP/1.1"
    assert told["body"] == ""
    assert "content-type" not in told["headers"]


def test_headers_of_the_config_are_sent_and_win() -> None:
    told = asked_over_http(echo, headers={"Authorization": "Bearer a", "ACCEPT": "text/json", "X-Name": "Zürich"})
    assert told["headers"]["authorization"] == "Bearer a"
    assert told["headers"]["accept"] == "text/json"
    assert told["headers"]["x-name"].encode("latin-1").decode() == "Zürich"


def test_an_empty_answer_is_null() -> None:
    assert asked_over_http(lambda *_: http("204 No Content")) is None


@pytest.mark.parametrize(
    ("response", "told"),
    [
        (http("404 Not Found", b"no\n such  city"), "answered HTTP 404: no such city"),
        (http("500 Internal Server Error"), "answered HTTP 500"),
        (http("503 Service Unavailable", b"x" * 100_000), "answered HTTP 503: " + "x" * 200),
        (http("302 Found", b"", "Location: http://127.0.0.1:1/"), "answered HTTP 302"),
        (http("200 OK", b"x" * 5001), "answered more than 5000 bytes"),
        (b"garbage\r\n\r\n", "can't be asked: "),
        (b"", "can't be asked: "),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{", "can't be asked: "),
    ],
)
def test_an_answer_that_is_no_result_is_an_error(response: bytes, told: str) -> None:
    with pytest.raises(RemoteError, match=rf"^op: http://127\.0\.0\.1:\d+ {told}") as caught:
        asked_over_http(lambda *_: response)
    assert caught.value.code == INTERNAL
    assert "\n" not in str(caught.value)


def test_the_status_of_a_refusal_is_in_the_data() -> None:
    with pytest.raises(RemoteError) as caught:
        asked_over_http(lambda *_: http("404 Not Found"))
    assert caught.value.data == {"status": 404}


def test_an_answer_that_is_not_json_is_an_error() -> None:
    with pytest.raises(RemoteError, match=r"^op: what http://127\.0\.0\.1:\d+ answered isn't JSON: "):
        asked_over_http(lambda *_: http("200 OK", b"<html>"))


def test_a_small_answer_that_unpacks_into_a_large_one_is_an_error() -> None:
    body = gzip.compress(b'"' + b"x" * 1_000_000 + b'"')
    with pytest.raises(RemoteError, match="answered more than 5000 bytes"):
        asked_over_http(lambda *_: http("200 OK", body, "Content-Encoding: gzip"))


def test_a_service_that_does_not_answer_in_time_is_an_error() -> None:
    async def main() -> None:
        silent = asyncio.Event()

        async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await silent.wait()
            writer.close()

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            outcome = declared(HttpCall(f"http://127.0.0.1:{port}/secret?key=secret"), timeout_s=0.2).invoke([], {})
            assert isinstance(outcome, Awaitable)
            with pytest.raises(RemoteError, match=rf"^op: http://127\.0\.0\.1:{port} didn't answer within 0\.2 s$"):
                await outcome
            silent.set()

    bounded(main())


def test_a_service_that_is_not_there_is_an_error_that_tells_no_secrets() -> None:
    told = failure(declared(HttpCall("http://user:secret@127.0.0.1:1/secret?key=secret")))
    assert told.startswith("op: http://127.0.0.1:1 can't be asked: ")
    assert "secret" not in told


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1/", "file:///etc/passwd", "127.0.0.1", "http://", "http://a:b:c/", "http://[::1"]
)
def test_only_http_urls_can_be_called(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^operation op: not a"):
        declared(HttpCall(url))


def test_https_urls_can_be_called() -> None:
    assert failure(declared(HttpCall("https://127.0.0.1:1/"))).startswith("op: https://127.0.0.1:1 can't be asked: ")


def test_http_calls_without_their_extra_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(ConfigError) as caught:
        declared(HttpCall("http://127.0.0.1/"))
    assert str(caught.value) == "operation op: HTTP calls need httpx; install the extra `http` (pip install httpx)"
