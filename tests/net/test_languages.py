"""Which language a port speaks: found out where a dial has failed, without showing anything, and not past a proxy."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fame_cli.errors import ConnectError
from fame_cli.net import failures, languages
from fame_cli.net.answer import Shown
from fame_cli.net.choice import network
from fame_cli.net.languages import in_the_other_language, told
from fame_cli.net.pump import Turn

ERROR = ConnectError("it failed", hint="look")


@asynccontextmanager
async def port_that(answers: bytes | None, heard: list[bytes]) -> AsyncIterator[int]:
    """Have a port that says something to whatever it is sent; nothing at all for None."""

    served: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.current_task())
        try:
            heard.append(await reader.read(4096))
            if answers is None:
                await reader.read()
            else:
                writer.write(answers)
                await writer.drain()
        except ConnectionError:
            pass
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.gather(*filter(None, served))


def asked(scheme: str, answers: bytes | None) -> tuple[str, list[bytes]]:
    """Return what is told of a failure at a port that answers so, and what the port heard."""
    heard: list[bytes] = []

    async def main() -> str:
        async with port_that(answers, heard) as port:
            return str(await told(f"{scheme}://127.0.0.1:{port}/x", ERROR)).replace(str(port), "PORT")

    return asyncio.run(main()), heard


def test_a_port_that_answers_http_where_tls_was_dialled_is_told_with_the_url_to_try() -> None:
    text, heard = asked("wss", b"HTTP/1.1 404 Not Found\r\n\r\n")
    assert text == "127.0.0.1:PORT doesn't speak TLS; try ws://127.0.0.1:PORT/x"
    assert heard == [b"GET /readyz HTTP/1.1\r\nHost: sentinel\r\nConnection: close\r\n\r\n"]


@pytest.mark.parametrize(("scheme", "answers"), [("wss", b"SSH-2.0-x\r\n"), ("ws", b"SSH-2.0-x\r\n"), ("wss", b"")])
def test_a_port_that_speaks_neither_is_told_as_before(scheme: str, answers: bytes) -> None:
    assert asked(scheme, answers)[0] == str(ERROR)


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_a_port_that_says_nothing_is_not_waited_for_long(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(languages, "ASK_S", 0.05)
    assert asked(scheme, None)[0] == str(ERROR)


def test_a_port_that_is_gone_is_told_as_before() -> None:
    async def main() -> str:
        async with port_that(b"", []) as port:
            pass
        return str(await told(f"wss://127.0.0.1:{port}/x", ERROR))

    assert asyncio.run(main()) == str(ERROR)


def test_nobody_is_asked_past_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[bytes] = []
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setattr(failures, "is_loopback", lambda host: False)

    async def main() -> str:
        async with port_that(b"HTTP/1.1 404 Not Found\r\n\r\n", heard) as port:
            return str(await told(f"wss://127.0.0.1:{port}/x", ERROR))

    assert (asyncio.run(main()), heard) == (str(ERROR), [])


@pytest.mark.parametrize("library", ["websockets", "picows"])
def test_a_dial_that_tls_servers_answer_in_http_is_looked_into(library: str) -> None:
    """They say 400 to plain HTTP; what isn't TLS stays what it was told as, and hears the token once, not twice."""
    heard: list[bytes] = []

    async def main() -> None:
        async with port_that(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", heard) as port:
            with pytest.raises(
                failures.Misspoken, match=r"answered HTTP 400 to ws://.*; is it a sentinel's attach URL"
            ):
                await network(library).dial(f"ws://127.0.0.1:{port}/x", Turn(), Shown("a-token"))

    asyncio.run(main())
    assert [b"token" in each for each in heard] == [True, False]


@pytest.mark.parametrize(("url", "other"), [("ws://a:1/x", "wss://a:1/x"), ("wss://a/x", "ws://a/x")])
def test_each_language_has_the_other(url: str, other: str) -> None:
    assert in_the_other_language(url) == other


def test_the_url_to_try_is_one_to_configure() -> None:
    async def main() -> None:
        server = await asyncio.start_server(_say_http, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            url = f"wss://127.0.0.1:{port}/fame/v1/attach/ws/downstream/client-1"
            found = await told(url, ConnectError("no"))
            assert found.hint == f"try ws://127.0.0.1:{port}/fame/v1/attach/ws/downstream"

    asyncio.run(main())


async def _say_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readline()
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    writer.close()


def test_a_question_that_the_loop_itself_spoils_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def spoilt(host: str, port: int) -> bool:
        raise RuntimeError("unable to perform operation on <UVPoll closed=True 0x1>; the handler is closed")

    monkeypatch.setattr(languages, "speaks_tls", spoilt)
    error = ConnectError("no")
    assert asyncio.run(told("ws://127.0.0.1:1/fame/v1/attach/ws/peer/s1", error)) is error
