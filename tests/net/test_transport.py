"""One contract, every transport: whole messages, in order, callbacks in the loop, exactly one end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import connect

from fame_cli.core.batch import BATCH_BYTES
from fame_cli.errors import AdmissionRefused, ConnectError
from fame_cli.net.memory import memory_pair
from fame_cli.net.pump import Turn
from fame_cli.net.transport import HARD_LIMIT_BYTES, HIGH_WATER_BYTES, MAX_TRANSPORT_BYTES, Transport
from fame_cli.net.websocket import AcceptedLink, WebSocketTransport, dial, is_loopback, listen

BOUND_S = 10


class Inbox:
    """Record what a transport brings."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.ends: list[str] = []
        self.stalls: list[bool] = []
        self.changed = asyncio.Event()

    def message_received(self, data: bytes) -> None:
        self.messages.append(data)
        self.changed.set()

    def transport_stalled(self) -> None:
        self.stalls.append(True)
        self.changed.set()

    def transport_drained(self) -> None:
        self.stalls.append(False)
        self.changed.set()

    def connection_lost(self, reason: str) -> None:
        self.ends.append(reason)
        self.changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(BOUND_S):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


@asynccontextmanager
async def memory() -> AsyncIterator[tuple[Transport, Transport]]:
    yield memory_pair()


@asynccontextmanager
async def websocket() -> AsyncIterator[tuple[Transport, Transport]]:
    turn, accepted = Turn(), asyncio.get_running_loop().create_future()

    async def accept(transport: WebSocketTransport, route: tuple[str, str]) -> None:
        accepted.set_result(transport)
        await transport.wait_closed()

    server = await listen("127.0.0.1", 0, turn, lambda connection, request: None, accept)
    port = next(iter(server.sockets)).getsockname()[1]
    near = await dial(f"ws://127.0.0.1:{port}/x", turn)
    waiting = asyncio.create_task(near.wait_closed())
    try:
        yield near, await accepted
    finally:
        near.close(1000, "")
        server.close()
        await server.wait_closed()
        await waiting


Pair = Callable[[], "asynccontextmanager"]


def with_pair(make: Pair, body: Callable[[Transport, Inbox, Transport, Inbox], Awaitable[None]]) -> None:
    async def main() -> None:
        async with make() as (near, far):
            here, there = Inbox(), Inbox()
            near.start(here)
            far.start(there)
            await body(near, here, far, there)

    asyncio.run(main())


@pytest.fixture(params=[memory, websocket])
def make(request: pytest.FixtureRequest) -> Pair:
    return request.param


def test_messages_arrive_whole_and_in_order_both_ways(make: Pair) -> None:
    async def body(near: Transport, here: Inbox, far: Transport, there: Inbox) -> None:
        sent = [b"%d" % number * (number + 1) for number in range(200)]
        for data in sent:
            near.send(data)
            far.send(data)
        await here.until(lambda: len(here.messages) == 200)
        await there.until(lambda: len(there.messages) == 200)
        assert here.messages == there.messages == sent

    with_pair(make, body)


def test_a_message_as_large_as_allowed_arrives(make: Pair) -> None:
    async def body(near: Transport, here: Inbox, far: Transport, there: Inbox) -> None:
        near.send(b"x" * MAX_TRANSPORT_BYTES)
        await there.until(lambda: bool(there.messages))
        assert len(there.messages[0]) == MAX_TRANSPORT_BYTES

    with_pair(make, body)


def test_what_came_before_start_is_delivered_first(make: Pair) -> None:
    async def main() -> None:
        async with make() as (near, far):
            near.start(Inbox())
            near.send(b"early")
            for _ in range(20):
                await asyncio.sleep(0)
            there = Inbox()
            far.start(there)
            near.send(b"late")
            await there.until(lambda: len(there.messages) == 2)
            assert there.messages == [b"early", b"late"]

    asyncio.run(main())


def test_what_leaves_in_one_turn_is_one_message_once_both_ends_batch(make: Pair) -> None:
    async def body(near: Transport, here: Inbox, far: Transport, there: Inbox) -> None:
        near.send(b"alone")
        near.batch()
        for data in (b"a", b"b", b"c"):
            near.send(data)
        await there.until(lambda: len(there.messages) == 2)
        near.send(b"later")
        await there.until(lambda: len(there.messages) == 3)
        assert there.messages == [b"alone", b"a\nb\nc", b"later"]

    with_pair(make, body)


def test_a_batch_never_grows_past_its_limit_and_keeps_the_order(make: Pair) -> None:
    async def body(near: Transport, here: Inbox, far: Transport, there: Inbox) -> None:
        near.batch()
        sent = [b"%d" % number + b"x" * size for number, size in enumerate([10, BATCH_BYTES, 10, 40_000, 40_000, 10])]
        for data in sent:
            near.send(data)
        await there.until(lambda: b"\n".join(there.messages) == b"\n".join(sent))
        assert all(len(message) <= BATCH_BYTES or b"\n" not in message for message in there.messages)

    with_pair(make, body)


def test_what_was_sent_before_close_arrives_and_both_ends_hear_of_the_end_once(make: Pair) -> None:
    async def body(near: Transport, here: Inbox, far: Transport, there: Inbox) -> None:
        near.send(b"last words")
        near.close(1000, "normal closure")
        near.close(1000, "again")
        await there.until(lambda: bool(there.ends))
        await here.until(lambda: bool(here.ends))
        assert there.messages == [b"last words"]
        assert len(here.ends) == len(there.ends) == 1
        assert there.ends[0].startswith("1000")

    with_pair(make, body)


def test_sending_to_an_ended_transport_is_silent(make: Pair) -> None:
    async def body(near: Transport, here: Inbox, far: Transport, there: Inbox) -> None:
        near.close(1000, "")
        await here.until(lambda: bool(here.ends))
        near.send(b"to nobody")
        await asyncio.sleep(0)
        assert there.messages == []

    with_pair(make, body)


def test_wait_closed_returns_at_the_far_end_too(make: Pair) -> None:
    async def body(near: Transport, here: Inbox, far: Transport, there: Inbox) -> None:
        near.close(1000, "")
        async with asyncio.timeout(BOUND_S):
            await near.wait_closed()
            await far.wait_closed()

    with_pair(make, body)


def test_a_memory_transport_stalls_and_drains() -> None:
    async def body(near: Transport, here: Inbox, far: Transport, there: Inbox) -> None:
        for _ in range(HIGH_WATER_BYTES // 65_536 + 2):
            near.send(b"x" * 65_536)
        assert here.stalls == [True]
        await here.until(lambda: here.stalls == [True, False])

    with_pair(memory, body)


# WebSocket only


@asynccontextmanager
async def deaf_reader() -> AsyncIterator[tuple[WebSocketTransport, Inbox, asyncio.StreamReader]]:
    """Give a transport whose other side has shaken hands and reads nothing more."""
    accepted = asyncio.get_running_loop().create_future()

    async def accept(transport: WebSocketTransport, route: tuple[str, str]) -> None:
        inbox = Inbox()
        transport.start(inbox)
        accepted.set_result((transport, inbox))
        await transport.wait_closed()

    server = await listen("127.0.0.1", 0, Turn(), lambda connection, request: None, accept)
    port = next(iter(server.sockets)).getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    key = "dGhlIHNhbXBsZSBub25jZQ=="
    writer.write(
        f"GET /x HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: \r\n\r\n".encode()
    )
    transport, inbox = await accepted
    try:
        yield transport, inbox, reader
    finally:
        writer.transport.abort()
        server.close()
        await server.wait_closed()


def test_a_reader_that_stops_stalls_the_transport_and_then_ends_it_at_the_hard_limit() -> None:
    async def main() -> None:
        async with deaf_reader() as (transport, inbox, _):
            sent = 0
            while not inbox.ends and sent < 4 * HARD_LIMIT_BYTES:
                transport.send(b"x" * 262_144)
                sent += 262_144
                await asyncio.sleep(0)
            await inbox.until(lambda: bool(inbox.ends))
            assert inbox.stalls[0] is True
            assert sent < 2 * HARD_LIMIT_BYTES

    asyncio.run(main())


def test_whoever_sends_much_in_one_turn_is_told_of_the_stall_within_it() -> None:
    """Twenty streams that never wait between two items must not fill the transport before anybody notices."""

    async def main() -> None:
        async with deaf_reader() as (transport, inbox, _):
            while not inbox.stalls:
                transport.send(b"x" * 65_536)
            assert inbox.stalls == [True]
            assert inbox.ends == []

    asyncio.run(main())


def test_a_blank_subprotocol_header_is_accepted_as_real_peers_send_it() -> None:
    async def main() -> None:
        async with deaf_reader() as (_, _, reader):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101")
            assert b"Sec-WebSocket-Protocol" not in head

    asyncio.run(main())


def serve_and(body: Callable[[int, list[Inbox]], Awaitable[None]]) -> None:
    async def main() -> None:
        inboxes = [Inbox()]

        async def accept(transport: WebSocketTransport, route: tuple[str, str]) -> None:
            inboxes[0].changed.set()
            transport.start(inboxes[0])
            await transport.wait_closed()

        def answer(connection: AcceptedLink, request: object) -> object:
            return connection.respond(403, "no") if request.path == "/forbidden" else None

        server = await listen("127.0.0.1", 0, Turn(), answer, accept)
        try:
            await body(next(iter(server.sockets)).getsockname()[1], inboxes)
        finally:
            server.close()
            await server.wait_closed()

    asyncio.run(main())


@pytest.mark.parametrize(("offered", "answered"), [(["bearer", "abc.def"], "bearer"), (["other"], None)])
def test_the_bearer_subprotocol_is_answered_only_when_it_comes_first(offered: list[str], answered: str | None) -> None:
    async def body(port: int, inboxes: list[Inbox]) -> None:
        async with connect(f"ws://127.0.0.1:{port}/x", subprotocols=offered, proxy=None) as connection:
            assert connection.subprotocol == answered

    serve_and(body)


def test_fragmented_and_text_messages_arrive_as_one_message_each() -> None:
    async def body(port: int, inboxes: list[Inbox]) -> None:
        async with connect(f"ws://127.0.0.1:{port}/x", proxy=None) as connection:
            await connection.send([b"ab", b"cd", b"ef"])
            await connection.send("text")
            await connection.send(["te", "xt"])
            await connection.ping()
            await inboxes[0].until(lambda: len(inboxes[0].messages) == 3)
            assert inboxes[0].messages == [b"abcdef", b"text", b"text"]

    serve_and(body)


def test_a_lone_message_is_written_in_the_turn_it_was_sent_in() -> None:
    """The answer to a message leaves before the loop goes round again: no read waits for another callback's flush."""

    async def main() -> None:
        async with websocket() as (near, far):
            written: list[int] = []

            class Echo(Inbox):
                def message_received(self, data: bytes) -> None:
                    far.send(data)
                    asyncio.get_running_loop().call_soon(lambda: written.append(far._connection.protocol.state))

            here, echo = Inbox(), Echo()
            near.start(here)
            far.start(echo)
            flushed: list[int] = []
            flush = far.flush
            far.flush = lambda: (flush(), flushed.append(len(written)))  # type: ignore[method-assign]
            near.send(b"x")
            await here.until(lambda: bool(here.messages))
            assert flushed[0] == 0

    asyncio.run(main())


def test_nobody_listening_is_a_connect_error_that_says_what_to_do() -> None:
    async def main() -> None:
        with pytest.raises(ConnectError, match=r"no sentinel listens on 127\.0\.0\.1:1; start one"):
            await dial("ws://127.0.0.1:1/x", Turn())

    asyncio.run(main())


def test_a_403_is_a_refusal() -> None:
    async def body(port: int, inboxes: list[Inbox]) -> None:
        with pytest.raises(AdmissionRefused, match="HTTP 403"):
            await dial(f"ws://127.0.0.1:{port}/forbidden", Turn())

    serve_and(body)


def test_something_that_is_no_websocket_is_a_connect_error() -> None:
    async def main() -> None:
        async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"SSH-2.0-x\r\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(hello, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ConnectError, match="doesn't speak WebSocket"):
            await dial(f"ws://127.0.0.1:{port}/x", Turn())
        server.close()
        await server.wait_closed()

    asyncio.run(main())


def test_a_url_that_is_none_is_a_connect_error() -> None:
    async def main() -> None:
        with pytest.raises(ConnectError, match="not a WebSocket URL"):
            await dial("http://127.0.0.1:1/x", Turn())

    asyncio.run(main())


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("localhost", True), ("[::1]", True), ("10.0.0.1", False), ("example.org", False)],
)
def test_loopback_is_told_from_the_rest(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_tls_where_there_is_none_is_not_taken_for_nobody_listening() -> None:
    async def body(port: int, inboxes: list[Inbox]) -> None:
        with pytest.raises(ConnectError, match=r"can't connect to 127.*check the URL: ws:// or wss://"):
            await dial(f"wss://127.0.0.1:{port}/x", Turn())

    serve_and(body)


def test_a_host_that_is_not_there_is_said_to_be_that() -> None:
    async def main() -> None:
        with pytest.raises(ConnectError, match=r"there is no host called nowhere\.invalid"):
            await dial("ws://nowhere.invalid:8000/x", Turn())

    asyncio.run(main())
