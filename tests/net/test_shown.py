"""What a dialler shows arrives with whoever listens, whichever libraries the two of them use, and nowhere else."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from fame_cli.errors import AdmissionRefused, ConfigError, ConnectError, FameError
from fame_cli.net import picows_ends, websocket_ends
from fame_cli.net.answer import Answer, Asked, Page, Route, Shown
from fame_cli.net.choice import Network, network
from fame_cli.net.pump import Turn
from fame_cli.net.transport import EARLY_BYTES, EARLY_MESSAGES, MAX_TRANSPORT_BYTES, TOO_EARLY, Early, Transport

BOUND_S = 10
NAMES = ("websockets", "picows")
TOKEN, PROOF = "eyJhaaa.bbb.c-c_c", "ddd.eee.fff"


@pytest.fixture(params=NAMES)
def net(request: pytest.FixtureRequest) -> Network:
    return network(request.param)


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
    """Hold a listener, what was asked of it, and its links, which nobody starts."""

    def __init__(self) -> None:
        self.number = 0
        self.asked: list[Asked] = []
        self.links: asyncio.Queue[Transport] = asyncio.Queue()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.number}/x"


@asynccontextmanager
async def listening(net: Network, says: Answer | None = None) -> AsyncIterator[Port]:
    port = Port()

    def answer(asked: Asked) -> Page | Route:
        port.asked.append(asked)
        return Route("downstream", "x", asked) if says is None else says(asked)

    server = await net.listen("127.0.0.1", 0, Turn(), answer, lambda link, _: port.links.put_nowait(link))
    port.number = next(iter(server.sockets)).getsockname()[1]
    try:
        yield port
    finally:
        server.close()


async def hung_up(*links: Transport) -> None:
    for link in links:
        link.close(1000, "")
    async with asyncio.timeout(BOUND_S):
        await asyncio.gather(*(link.wait_closed() for link in links))


@pytest.mark.parametrize("listens", NAMES)
@pytest.mark.parametrize("shown", [Shown(), Shown(TOKEN), Shown(TOKEN, PROOF), Shown("x" * 8000)])
def test_a_token_and_its_proof_arrive_as_they_were_shown(listens: str, net: Network, shown: Shown) -> None:
    async def main() -> None:
        async with listening(network(listens)) as port:
            link = await net.dial(port.url, Turn(), shown)
            await hung_up(link, await port.links.get())
            assert port.asked == [Asked("/x", shown.token, shown.proof, "127.0.0.1")]

    asyncio.run(main())


@pytest.mark.parametrize("echo", [b"", b"Sec-WebSocket-Protocol: bearer\r\n"])
def test_a_server_may_answer_bearer_or_nothing(net: Network, echo: bytes) -> None:
    async def main() -> None:
        heard: list[bytes] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.append(await reader.readuntil(b"\r\n\r\n"))
            key = next(line for line in heard[0].split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
            accepted = websocket_accept(key.split(b": ")[1].decode())
            writer.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accepted + b"\r\n" + echo + b"\r\n"
            )
            await reader.read(1)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        link = await net.dial(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/x", Turn(), Shown(TOKEN, PROOF))
        await hung_up(link)
        server.close()
        await server.wait_closed()
        assert f"Sec-WebSocket-Protocol: bearer, {TOKEN}\r\n".encode() in heard[0]
        assert f"DPoP: {PROOF}\r\n".encode() in heard[0]

    asyncio.run(main())


def websocket_accept(key: str) -> bytes:
    from websockets.utils import accept_key  # only here

    return accept_key(key).encode()


@pytest.mark.parametrize("name", ["a b", "a\r\nX: y", "ä", "x" * 9000])
def test_a_token_that_a_header_cannot_hold_leaves_nothing_on_the_wire(net: Network, name: str) -> None:
    async def main() -> None:
        async with listening(net) as port:
            with pytest.raises(ConfigError, match="this node's token can't be sent") as told:
                await net.dial(port.url, Turn(), Shown(name))
            assert name not in str(told.value)
            assert port.asked == []

    asyncio.run(main())


async def head_of(port: Port, *lines: str) -> tuple[str, list[str]]:
    """Ask for a link and return the status and the headers of the answer."""
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    more = ["Host: x", "Upgrade: websocket", "Connection: Upgrade", key, "Sec-WebSocket-Version: 13", *lines]
    reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
    writer.write("\r\n".join(["GET /x HTTP/1.1", *more, "", ""]).encode())
    async with asyncio.timeout(BOUND_S):
        first, *headers = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    writer.close()
    return first.split(" ", 2)[1], headers


@pytest.mark.parametrize(
    ("lines", "token", "proof"),
    [
        (["Sec-WebSocket-Protocol: bearer, abc"], "abc", ""),
        (["Sec-WebSocket-Protocol: bearer", "Sec-WebSocket-Protocol: abc"], "abc", ""),
        (["Sec-WebSocket-Protocol: bearer, a/b+c=="], "a/b+c==", ""),
        (["Sec-WebSocket-Protocol: "], "", ""),
        (["Sec-WebSocket-Protocol: bearer,"], "", ""),
        (["Authorization: Bearer abc", "DPoP: p"], "abc", "p"),
        (["DPoP: p", "DPoP: q"], "", "p,q"),
    ],
)
def test_both_libraries_read_the_same_of_a_request(net: Network, lines: list[str], token: str, proof: str) -> None:
    async def main() -> None:
        async with listening(net) as port:
            status, headers = await head_of(port, *lines)
            assert status == "101"
            assert ("Sec-WebSocket-Protocol: bearer" in headers) is lines[0].startswith("Sec-WebSocket-Protocol: b")
            assert port.asked == [Asked("/x", token, proof, "127.0.0.1")]
            await hung_up(await port.links.get())

    asyncio.run(main())


@pytest.mark.parametrize("name", ["Authorization: Bearer ", "Sec-WebSocket-Protocol: bearer, ", "DPoP: "])
def test_a_header_that_is_too_long_is_told(net: Network, name: str) -> None:
    async def main() -> None:
        async with listening(net) as port:
            assert (await head_of(port, name + "x" * 8200))[0] == "431"
            assert port.asked == []

    asyncio.run(main())


def test_a_request_without_end_is_cut_off(net: Network) -> None:
    async def main() -> None:
        async with listening(net) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
            writer.write(b"GET /x HTTP/1.1\r\n" + b"X: " + b"y" * 4000 + b"\r\n")
            for _ in range(100):
                writer.write(b"Y: " + b"z" * 1000 + b"\r\n")
                await asyncio.sleep(0)
            async with asyncio.timeout(BOUND_S):
                with suppress(ConnectionError):
                    assert b" 101 " not in await reader.read()
            writer.close()
            assert port.asked == []

    asyncio.run(main())


def test_a_page_may_have_headers_of_its_own(net: Network) -> None:
    async def main() -> None:
        page = Page(401, b"{}", (("WWW-Authenticate", "Bearer"), ("X-More", "1")))
        async with listening(net, lambda asked: page) as port:
            status, headers = await head_of(port)
            assert status == "401"
            assert {"WWW-Authenticate: Bearer", "X-More: 1", "Content-Type: application/json"} <= set(headers)

    asyncio.run(main())


REFUSALS = [
    (401, b'{"error": "token expired"}', AdmissionRefused, "refused the link: token expired; show another token"),
    (401, b'{"detail": "Authentication failed"}', AdmissionRefused, "refused the link: Authentication failed; show"),
    (401, b'{"detail": {"error_description": "no"}}', AdmissionRefused, "refused the link: no; show another token"),
    (403, b'{"error": "not you"}', AdmissionRefused, "refused the link: not you; check the URL's path"),
    (403, b"<html>", AdmissionRefused, "refused the link: HTTP 403; check"),
    (503, b'{"error": "2 links are open"}', ConnectError, "takes no link now: 2 links are open; .*limits.max_links"),
    (
        401,
        b'{"error": "bad\\u001b[31m\\n token %b"}' % TOKEN.encode(),
        AdmissionRefused,
        r"link: bad \[31m token …; show",
    ),
    (401, b'{"error": "%b"}' % (b"y" * 900), AdmissionRefused, "link: y{200}; show another"),
    (302, b"{}", ConnectError, "answered HTTP 302"),
]


@pytest.mark.parametrize(("status", "body", "kind", "text"), REFUSALS)
def test_a_refusal_is_told_in_one_line_without_the_token(
    net: Network, status: int, body: bytes, kind: type[FameError], text: str
) -> None:
    async def main() -> None:
        async with listening(net, lambda asked: Page(status, body)) as port:
            with pytest.raises(kind, match=text) as told:
                await net.dial(port.url, Turn(), Shown(TOKEN))
            assert TOKEN not in str(told.value)
            assert str(told.value).isprintable()

    asyncio.run(main())


def test_who_showed_nothing_is_told_what_to_show(net: Network) -> None:
    async def main() -> None:
        async with listening(net, lambda asked: Page(401, b'{"error": "no token"}')) as port:
            with pytest.raises(AdmissionRefused, match="no token; ") as told:
                await net.dial(port.url, Turn())
            assert told.value.hint == (
                "beside its authority set FAME_SECURITY_PROFILE as there; elsewhere FAME_NODE_ID and "
                "FAME_ADMISSION_TOKEN_FILE besides (fame token issue --node ID --role ROLE --thumbprint JKT, "
                "which fame keys show tells)"
            )

    asyncio.run(main())


def test_no_redirect_takes_a_token_to_another_host(net: Network) -> None:
    async def main() -> None:
        async with listening(net) as elsewhere:
            page = Page(307, b"{}", (("Location", elsewhere.url),))
            async with listening(net, lambda asked: page) as port:
                with pytest.raises(ConnectError, match="answered HTTP 307"):
                    await net.dial(port.url, Turn(), Shown(TOKEN, PROOF))
            assert elsewhere.asked == []

    asyncio.run(main())


def test_no_log_has_a_token_whatever_level_is_asked_for(net: Network, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with listening(net) as port:
            await hung_up(await net.dial(port.url, Turn(), Shown(TOKEN, PROOF)), await port.links.get())
            await head_of(port, f"Authorization: Bearer {TOKEN}")
            await hung_up(await port.links.get())

    with caplog.at_level(1):
        for name in ("websockets", "websockets.client", "websockets.server", "picows"):
            logging.getLogger(name).setLevel(1)
        asyncio.run(main())
    logged = "\n".join(record.getMessage() for record in caplog.records)
    assert TOKEN not in logged
    assert PROOF not in logged


def test_both_libraries_log_through_what_is_discreet() -> None:
    for made in (websocket_ends.LOGGER, picows_ends.LOGGER):
        logging.getLogger(made.logger.name).setLevel(1)
        assert not made.isEnabledFor(logging.DEBUG)
        assert made.isEnabledFor(logging.WARNING)


def test_a_user_in_a_url_is_not_in_its_errors(net: Network) -> None:
    async def main() -> None:
        async with listening(net, lambda asked: Page(404, b"{}")) as port:
            with pytest.raises(ConnectError) as told:
                await net.dial(port.url.replace("//", "//somebody:hunter2@"), Turn())
            assert "hunter2" not in str(told.value)
            assert "answered HTTP 404 to ws://127" in str(told.value)

    asyncio.run(main())


# Before a link is wanted


def frame(data: bytes) -> bytes:
    size = bytes((0x80 | len(data),)) if len(data) < 126 else b"\xff" + len(data).to_bytes(8, "big")
    if 126 <= len(data) < 65_536:
        size = b"\xfe" + len(data).to_bytes(2, "big")
    return b"\x82" + size + b"\0\0\0\0" + data


REQUEST = (
    b"GET /x HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def test_a_link_is_not_read_before_it_is_wanted_and_loses_nothing(net: Network) -> None:
    async def main() -> None:
        async with listening(net) as port:
            dialler, sent = await net.dial(port.url, Turn()), [b"%d" % number * 5000 for number in range(200)]
            dialler.start(Inbox())
            link = await port.links.get()
            for data in sent:
                dialler.send(data)
            for _ in range(200):
                await asyncio.sleep(0)
            inbox = Inbox()
            link.start(inbox)
            await inbox.until(lambda: len(inbox.messages) == len(sent))
            assert inbox.messages == sent
            await hung_up(dialler, link)

    asyncio.run(main())


def test_a_link_that_nobody_wants_makes_whoever_fills_it_wait(net: Network) -> None:
    async def main() -> None:
        async with listening(net) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
            writer.write(REQUEST)
            await reader.readuntil(b"\r\n\r\n")
            link = await port.links.get()
            for _ in range(100):
                writer.write(frame(b"x" * MAX_TRANSPORT_BYTES))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(writer.drain(), 0.5)
            writer.transport.abort()
            await hung_up(link)

    asyncio.run(main())


def test_too_much_along_with_the_request_costs_the_link(net: Network) -> None:
    async def main() -> None:
        async with listening(net) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
            writer.write(REQUEST + frame(b"x" * 10) * (EARLY_MESSAGES + 1))
            link, inbox = await asyncio.wait_for(anything(port, reader), BOUND_S), Inbox()
            if link is not None:  # one library has shaken hands by then, the other hasn't
                link.start(inbox)
                writer.transport.abort()
                await inbox.until(lambda: bool(inbox.ends))
                assert inbox.ends == [f"1008 {TOO_EARLY}"]
                assert inbox.messages == []
            writer.transport.abort()

    asyncio.run(main())


def test_what_is_kept_before_a_link_is_wanted_has_its_bounds() -> None:
    for fits, more in ((b"x" * EARLY_BYTES, b"x"), (b"x", b"x" * EARLY_BYTES)):
        early = Early()
        assert early.keep(fits)
        assert not early.keep(more)
        assert early.taken() == []
    early = Early()
    assert all(early.keep(b"") for _ in range(EARLY_MESSAGES))
    assert not early.keep(b"")
    assert early.keep(b"again")
    assert early.taken() == [b"again"]


async def anything(port: Port, reader: asyncio.StreamReader) -> Transport | None:
    """Return the link, or None if the connection ended without one."""
    linked = asyncio.ensure_future(port.links.get())
    ended = asyncio.ensure_future(reader.read())
    done, _ = await asyncio.wait([linked, ended], return_when=asyncio.FIRST_COMPLETED)
    ended.cancel()
    if linked in done:
        return linked.result()
    linked.cancel()
    return None


def test_a_few_messages_along_with_the_request_are_kept(net: Network) -> None:
    async def main() -> None:
        async with listening(net) as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port.number)
            writer.write(REQUEST + b"".join(frame(b"%d" % number) for number in range(EARLY_MESSAGES)))
            link, inbox = await asyncio.wait_for(port.links.get(), BOUND_S), Inbox()
            link.start(inbox)
            await inbox.until(lambda: len(inbox.messages) == EARLY_MESSAGES)
            assert inbox.messages == [b"%d" % number for number in range(EARLY_MESSAGES)]
            writer.transport.abort()
            await hung_up(link)

    asyncio.run(main())


def test_a_link_that_is_refused_before_it_was_started_says_why(net: Network) -> None:
    async def main() -> None:
        async with listening(net) as port:
            dialler, inbox = await net.dial(port.url, Turn()), Inbox()
            dialler.start(inbox)
            dialler.send(b"unread")
            link = await port.links.get()
            link.send(b"no")
            link.close(1008, "Authentication failed")
            await inbox.until(lambda: bool(inbox.ends))
            assert (inbox.messages, inbox.ends) == ([b"no"], ["1008 Authentication failed"])
            async with asyncio.timeout(1):  # not the time limit of closing
                await link.wait_closed()

    asyncio.run(main())
