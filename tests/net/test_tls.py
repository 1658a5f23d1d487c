"""Links over TLS, by every pair of transports and on both event loops: encrypted, of the right name, and with a
certificate of the dialler's where the listener wants one."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import uvloop
from tls_rig import EC, ED25519, Authority, der_of

from fame_cli.errors import ConnectError
from fame_cli.net import handshake
from fame_cli.net.answer import Asked, Page, Route, Shown
from fame_cli.net.choice import Network, network
from fame_cli.net.pump import Turn
from fame_cli.net.transport import Transport
from fame_cli.security.settings import Tls
from fame_cli.security.tls import client_context, server_context

BOUND_S = 10
LIBRARIES = ("websockets", "picows")
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class Inbox:
    """Record what a link brings."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.ends: list[str] = []
        self.changed = asyncio.Event()

    def message_received(self, data: bytes) -> None:
        self.messages.append(data)
        self.changed.set()

    def transport_stalled(self) -> None: ...

    def transport_drained(self) -> None: ...

    def connection_lost(self, reason: str) -> None:
        self.ends.append(reason)
        self.changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(BOUND_S):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


class Port:
    """Hold a listener: what was asked of it, and the inbox of its links."""

    def __init__(self) -> None:
        self.port = 0
        self.asked: list[Asked] = []
        self.inbox = Inbox()

    @property
    def url(self) -> str:
        return f"wss://localhost:{self.port}/x"


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    """Run on each event loop in turn; nothing may reach its exception handler."""

    def on_loop(work: Coroutine[Any, Any, None]) -> None:
        told: list[dict[str, Any]] = []

        async def main() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
            await work

        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            runner.run(main())
        assert told == []

    return on_loop


@pytest.fixture(params=LIBRARIES)
def net(request: pytest.FixtureRequest) -> Network:
    return network(request.param)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@asynccontextmanager
async def listening(net: Network, tls: Tls) -> AsyncIterator[Port]:
    found = Port()
    links: list[Transport] = []

    def answer(asked: Asked) -> Page | Route:
        found.asked.append(asked)
        return Page(200, b"{}") if asked.path == "/healthz" else Route("downstream", "x", asked)

    def accept(transport: Transport, route: Route) -> None:
        links.append(transport)
        transport.start(found.inbox)

    server = await net.listen("127.0.0.1", 0, Turn(), answer, accept, tls=server_context(tls))
    found.port = next(iter(server.sockets)).getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        async with asyncio.timeout(BOUND_S):
            await asyncio.gather(*(link.wait_closed() for link in links))


@asynccontextmanager
async def dialled(net: Network, port: Port, tls: Tls, token: str = "") -> AsyncIterator[tuple[Transport, Inbox]]:
    transport, inbox = await net.dial(port.url, Turn(), Shown(token, tls=client_context(tls))), Inbox()
    transport.start(inbox)
    try:
        yield transport, inbox
    finally:
        transport.close(1000, "")
        async with asyncio.timeout(BOUND_S):
            await transport.wait_closed()


Run = Callable[[Awaitable[None]], None]


@pytest.mark.parametrize("kind", [ED25519, EC])
@pytest.mark.parametrize("listener", LIBRARIES)
def test_messages_of_every_size_pass_both_ends_being_known(
    run: Run, net: Network, listener: str, kind: str, tmp_path: Path
) -> None:
    authority = Authority(tmp_path, kind=kind)
    server, client = authority.issue("s1", clients="required"), authority.issue("a1")

    async def body() -> None:
        async with listening(network(listener), server) as port, dialled(net, port, client, "a.b.c") as (link, _):
            sent = [b"small", b"x" * 500_000, b"", b"y" * 70_000, b"last"]
            for data in sent:
                link.send(data)
            await port.inbox.until(lambda: port.inbox.messages == sent)
            assert port.asked == [Asked("/x", "a.b.c", "", "127.0.0.1", der_of(client))]

    run(body())


def test_a_dialler_without_a_certificate_has_none(run: Run, net: Network, authority: Authority) -> None:
    server = authority.issue("s1", clients="optional")

    async def body() -> None:
        async with listening(net, server) as port:
            async with dialled(net, port, Tls(authorities=authority.file)):
                assert port.asked[-1].certificate == b""
            own = authority.issue("a1")
            async with dialled(net, port, own):
                assert port.asked[-1].certificate == der_of(own)

    run(body())


def test_health_is_answered_over_tls(run: Run, net: Network, authority: Authority) -> None:
    async def body() -> None:
        async with listening(net, authority.issue("s1")) as port:
            context = client_context(Tls(authorities=authority.file))
            reader, writer = await asyncio.open_connection("localhost", port.port, ssl=context)
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            async with asyncio.timeout(BOUND_S):
                assert (await reader.read()).startswith(b"HTTP/1.1 200 OK\r\n")
            writer.close()

    run(body())


# Who doesn't get through


def refused_to_dial(run: Run, net: Network, server: Tls, client: Tls, match: str, host: str = "localhost") -> None:
    async def body() -> None:
        async with listening(net, server) as port:
            url = port.url.replace("localhost", host)
            with pytest.raises(ConnectError, match=match) as told:
                await net.dial(url, Turn(), Shown(tls=client_context(client)))
            assert "\n" not in str(told.value)
            assert port.asked == []

    run(body())


def test_an_unknown_authority_is_told_with_what_to_do(run: Run, net: Network, tmp_path: Path) -> None:
    server, other = Authority(tmp_path, "theirs").issue("s1"), Authority(tmp_path, "ours")
    expected = r"^the certificate of localhost:\d+ is from an authority that isn't known here; name its file"
    refused_to_dial(run, net, server, Tls(authorities=other.file), expected)
    refused_to_dial(run, net, server, Tls(), expected)


def test_an_expired_certificate_is_told(run: Run, net: Network, authority: Authority, tmp_path: Path) -> None:
    async def body() -> None:
        old = authority.issue("s1", begins=timedelta(days=-3), ends=timedelta(days=-2))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # ours wouldn't take it
        assert old.certificate is not None
        context.load_cert_chain(old.certificate, old.key)
        server = await net.listen("127.0.0.1", 0, Turn(), lambda asked: Page(200, b""), lambda *_: None, tls=context)
        port = next(iter(server.sockets)).getsockname()[1]
        with pytest.raises(ConnectError, match=r"^the certificate of localhost:\d+ has expired; renew it there$"):
            await net.dial(
                f"wss://localhost:{port}/x", Turn(), Shown(tls=client_context(Tls(authorities=authority.file)))
            )
        server.close()

    run(body())


@pytest.mark.parametrize(("hosts", "dialled_as"), [(("127.0.0.1",), "localhost"), (("localhost",), "127.0.0.1")])
def test_a_certificate_for_another_host_is_told(
    run: Run, net: Network, authority: Authority, hosts: tuple[str, ...], dialled_as: str
) -> None:
    server = authority.issue("s1", hosts=hosts)
    match = rf"^the certificate of {dialled_as}:\d+ isn't for {dialled_as}; dial a name that it is for"
    refused_to_dial(run, net, server, Tls(authorities=authority.file), match, dialled_as)


def test_a_dialler_that_shows_no_certificate_where_one_is_required_is_told_about_certificates(
    run: Run, net: Network, authority: Authority
) -> None:
    server = authority.issue("s1", clients="required")
    refused_to_dial(run, net, server, Tls(authorities=authority.file), r"certificate.*security\.tls\.certificate")


def test_a_dialler_with_a_strangers_certificate_is_told_about_certificates(
    run: Run, net: Network, authority: Authority, tmp_path: Path
) -> None:
    stranger = replace(Authority(tmp_path, "strangers").issue("x1"), authorities=authority.file)
    server = authority.issue("s1", clients="required")
    refused_to_dial(run, net, server, stranger, r"certificate.*security\.tls\.certificate")


def test_a_certificate_that_is_replaced_counts_for_the_next_link(run: Run, net: Network, authority: Authority) -> None:
    server = authority.issue("s1")

    async def body() -> None:
        async with listening(net, server) as port, dialled(net, port, Tls(authorities=authority.file)) as (first, _):
            authority.issue("s1", hosts=("elsewhere",))
            with pytest.raises(ConnectError, match="isn't for localhost"):
                await net.dial(port.url, Turn(), Shown(tls=client_context(Tls(authorities=authority.file))))
            first.send(b"still here")
            await port.inbox.until(lambda: port.inbox.messages == [b"still here"])

    run(body())


# Two languages on one port


def test_http_without_tls_on_a_port_with_tls_is_hung_up_quietly(
    run: Run, net: Network, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    async def body() -> None:
        async with listening(net, authority.issue("s1")) as port:
            for data in (
                b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
                b"\0" * 100,
                b"\x16\x03\x01\xff\xff" + b"x" * 300,
            ):
                reader, writer = await asyncio.open_connection("127.0.0.1", port.port)
                writer.write(data)
                writer.write_eof()
                async with asyncio.timeout(BOUND_S):
                    with suppress(ConnectionError):
                        assert b"HTTP" not in await reader.read()
                writer.close()
            with pytest.raises(ConnectError, match=r"^localhost:\d+ speaks TLS, and .*; try wss://localhost:\d+/x$"):
                await net.dial(port.url.replace("wss:", "ws:"), Turn(), Shown("a-token"))
            assert port.asked == []
            async with dialled(net, port, Tls(authorities=authority.file)):
                pass

    with caplog.at_level(logging.WARNING):
        run(body())
    assert caplog.records == []


def test_a_handshake_of_tls_that_stops_half_way_is_given_up(
    run: Run, net: Network, authority: Authority, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(handshake, "TLS_TIMEOUT_S", 0.1)

    async def body() -> None:
        async with listening(net, authority.issue("s1")) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port.port)
            writer.write(b"\x16\x03\x01\x00\xc8\x01")  # the beginning of a ClientHello
            async with asyncio.timeout(BOUND_S):
                with suppress(ConnectionError):
                    assert await reader.read() == b""
            writer.close()

    with caplog.at_level(logging.WARNING):
        run(body())
    assert caplog.records == []


def test_a_listener_that_never_says_hello_is_given_up(
    run: Run, net: Network, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handshake, "TLS_TIMEOUT_S", 0.1)

    async def body() -> None:
        gone = asyncio.Event()

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(ConnectionError):
                while await reader.read(4096):
                    pass
            writer.close()
            gone.set()

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ConnectError, match=r"^localhost:\d+ didn't answer.*ws:// or wss://\?$"):
            await net.dial(f"wss://localhost:{port}/x", Turn())
        await asyncio.wait_for(gone.wait(), BOUND_S)
        server.close()
        await server.wait_closed()

    run(body())
