"""One contract, every transport: whole messages, in order, callbacks in the loop, exactly one end."""

import asyncio
import gc
import json
import re
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from types import ModuleType

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from fame_cli.core.batch import BATCH_BYTES
from fame_cli.errors import AdmissionRefused, ConnectError
from fame_cli.net import failures, picows, websocket_ends
from fame_cli.net.answer import Asked, Page, Route, Server
from fame_cli.net.choice import Network, network
from fame_cli.net.failures import is_loopback
from fame_cli.net.memory import memory_pair
from fame_cli.net.pump import Turn
from fame_cli.net.transport import HARD_LIMIT_BYTES, HIGH_WATER_BYTES, MAX_TRANSPORT_BYTES, Transport

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


def pair(dialer: str, listener: str) -> "Pair":
    """Give the maker of a link that `dialer` dials and `listener` takes."""

    @asynccontextmanager
    async def make() -> AsyncIterator[tuple[Transport, Transport]]:
        turn, accepted = Turn(), asyncio.get_running_loop().create_future()

        def accept(transport: Transport, route: Route) -> None:
            accepted.set_result(transport)

        server = await network(listener).listen("127.0.0.1", 0, turn, lambda path: ROUTE, accept)
        near = await network(dialer).dial(f"ws://127.0.0.1:{port_of(server)}/x", turn)
        waiting = asyncio.create_task(near.wait_closed())
        try:
            yield near, await accepted
        finally:
            near.close(1000, "")
            server.close()
            await waiting

    return make


def port_of(server: Server) -> int:
    return next(iter(server.sockets)).getsockname()[1]


Pair = Callable[[], "asynccontextmanager"]
ROUTE = Route("downstream", "x")
LIBRARIES = ("websockets", "picows")
LINKS = {f"{dialer} to {listener}": pair(dialer, listener) for dialer in LIBRARIES for listener in LIBRARIES}


def with_pair(make: Pair, body: Callable[[Transport, Inbox, Transport, Inbox], Awaitable[None]]) -> None:
    async def main() -> None:
        async with make() as (near, far):
            here, there = Inbox(), Inbox()
            near.start(here)
            far.start(there)
            await body(near, here, far, there)

    asyncio.run(main())


@pytest.fixture(params=["memory", *LINKS])
def make(request: pytest.FixtureRequest) -> Pair:
    return {"memory": memory, **LINKS}[request.param]


@pytest.fixture(params=LINKS)
def make_link(request: pytest.FixtureRequest) -> Pair:
    return LINKS[request.param]


@pytest.fixture(params=LIBRARIES)
def net(request: pytest.FixtureRequest) -> Network:
    return network(request.param)


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


def test_a_link_ends_with_the_code_and_the_reason_it_was_closed_with(make: Pair) -> None:
    async def body(near: Transport, here: Inbox, far: Transport, there: Inbox) -> None:
        far.close(4001, "kept für später")
        await here.until(lambda: bool(here.ends))
        await there.until(lambda: bool(there.ends))
        assert here.ends == there.ends == ["4001 kept für später"]

    with_pair(make, body)


def test_a_reason_too_long_for_a_close_frame_is_cut(make_link: Pair) -> None:
    async def body(near: Transport, here: Inbox, far: Transport, there: Inbox) -> None:
        near.close(1008, "ü" * 1000)
        await there.until(lambda: bool(there.ends))
        assert there.ends == ["1008 " + "ü" * 61]

    with_pair(make_link, body)


def test_a_receiver_that_fails_costs_its_link_and_is_reported(make_link: Pair) -> None:
    class Broken(Inbox):
        def message_received(self, data: bytes) -> None:
            raise RuntimeError("a bug")

    async def main() -> None:
        told: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(str(context["exception"])))
        async with make_link() as (near, far):
            here, there = Inbox(), Broken()
            near.start(here)
            far.start(there)
            near.send(b"x")
            await here.until(lambda: bool(here.ends))
            await there.until(lambda: bool(there.ends))
            assert told == ["a bug"]

    asyncio.run(main())


# WebSocket only


@asynccontextmanager
async def raw_peer(net: Network) -> AsyncIterator[tuple[Transport, Inbox, asyncio.StreamReader, asyncio.StreamWriter]]:
    """Give a transport and its other side: bytes after the handshake, which reads nothing by itself."""
    accepted = asyncio.get_running_loop().create_future()

    def accept(transport: Transport, route: Route) -> None:
        inbox = Inbox()
        transport.start(inbox)
        accepted.set_result((transport, inbox))

    server = await net.listen("127.0.0.1", 0, Turn(), lambda path: ROUTE, accept)
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server), limit=1024)
    writer.write(request_of("/x", connection="keep-alive, Upgrade"))
    transport, inbox = await accepted
    try:
        yield transport, inbox, reader, writer
    finally:
        writer.transport.abort()
        server.close()


def request_of(path: str, connection: str = "Upgrade") -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: {connection}\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: \r\n\r\n"
    ).encode()


def test_a_reader_that_stops_stalls_the_transport_and_then_ends_it_at_the_hard_limit(net: Network) -> None:
    async def main() -> None:
        async with raw_peer(net) as (transport, inbox, _, _):
            sent = 0
            while not inbox.ends and sent < 4 * HARD_LIMIT_BYTES:
                transport.send(b"x" * 262_144)
                sent += 262_144
                await asyncio.sleep(0)
            await inbox.until(lambda: bool(inbox.ends))
            assert inbox.stalls[0] is True
            assert sent < 2 * HARD_LIMIT_BYTES

    asyncio.run(main())


def test_whoever_sends_much_in_one_turn_is_told_of_the_stall_within_it(net: Network) -> None:
    """Twenty streams that never wait between two items must not fill the transport before anybody notices."""

    async def main() -> None:
        async with raw_peer(net) as (transport, inbox, _, _):
            while not inbox.stalls:
                transport.send(b"x" * 65_536)
            assert inbox.stalls == [True]
            assert inbox.ends == []

    asyncio.run(main())


def test_a_stall_is_over_once_the_other_side_has_read(net: Network) -> None:
    async def main() -> None:
        async with raw_peer(net) as (transport, inbox, reader, _):
            sent = 0
            while not inbox.stalls:
                transport.send(b"x" * 65_536)
                sent += 65_536
            reading = asyncio.create_task(reader.readexactly(sent))
            await inbox.until(lambda: inbox.stalls == [True, False])
            reading.cancel()

    asyncio.run(main())


def test_a_blank_subprotocol_header_is_accepted_as_real_peers_send_it(net: Network) -> None:
    async def main() -> None:
        async with raw_peer(net) as (_, _, reader, _):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101")
            assert b"Sec-WebSocket-Protocol" not in head

    asyncio.run(main())


MASK = b"\0\0\0\0"
BAD_FRAMES = {
    "unknown opcode": (b"\x83\x80" + MASK, 1002),
    "not masked": (b"\x82\x01x", 1002),
    "reserved bits": (b"\xc2\x81" + MASK + b"x", 1002),
    "continuation of nothing": (b"\x80\x81" + MASK + b"x", 1002),
    "beginning without an end": ((b"\x02\x81" + MASK + b"x") * 2, 1002),
    "fragmented ping": (b"\x09\x80" + MASK, 1002),
    "too large": (b"\x82\xff" + (MAX_TRANSPORT_BYTES + 1).to_bytes(8, "big") + MASK, 1009),
    "too large by far": (b"\x82\xff" + (2**62).to_bytes(8, "big") + MASK, 1009),
    "too large in parts": (
        (b"\x02\xff" + (MAX_TRANSPORT_BYTES).to_bytes(8, "big") + MASK + bytes(MAX_TRANSPORT_BYTES))
        + (b"\x80\x81" + MASK + b"x"),
        1009,
    ),
}


@pytest.mark.parametrize("name", BAD_FRAMES)
def test_a_frame_that_breaks_the_protocol_ends_its_link_with_a_code(net: Network, name: str) -> None:
    async def main() -> None:
        data, code = BAD_FRAMES[name]
        async with raw_peer(net) as (_, inbox, reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"\x82\x82" + MASK + b"ok")
            await inbox.until(lambda: inbox.messages == [b"ok"])
            writer.write(data)
            head = await reader.readexactly(4)
            assert (head[0], int.from_bytes(head[2:])) == (0x88, code)
            writer.close()
            await inbox.until(lambda: bool(inbox.ends))
            assert inbox.ends[0].startswith(str(code))
            assert inbox.messages == [b"ok"]

    asyncio.run(main())


def test_a_listener_that_breaks_the_protocol_ends_the_link_and_nothing_else(net: Network) -> None:
    """The loop isn't told: what is wrong with others is no fault of ours."""

    faults: list[dict[str, object]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, fault: faults.append(fault))

        async def talk_nonsense(connection: ServerConnection) -> None:
            connection.transport.write(b"\x82\x81" + MASK + b"x")  # only clients mask
            await connection.wait_closed()

        async with serve(talk_nonsense, "127.0.0.1", 0) as server:
            transport = await net.dial(f"ws://127.0.0.1:{port_of(server)}/x", Turn())
            inbox = Inbox()
            transport.start(inbox)
            await inbox.until(lambda: bool(inbox.ends))
            await transport.wait_closed()
            assert inbox.messages == []

    asyncio.run(main())
    gc.collect()  # what nobody has looked at is reported when it is thrown away
    assert faults == []


def test_a_frame_too_large_never_arrives_however_fast_the_rest_of_it_comes(net: Network) -> None:
    """The close frame is out before the frame is whole, and the connection is open a while longer."""

    async def main() -> None:
        size = 2 * MAX_TRANSPORT_BYTES
        async with raw_peer(net) as (_, inbox, reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"\x82\xff" + size.to_bytes(8, "big") + MASK + bytes(size) + b"\x82\x82" + MASK + b"ok")
            with suppress(ConnectionError):  # what it doesn't read any more may reset the connection
                await reader.readexactly(4)
                await writer.drain()
            writer.close()
            await inbox.until(lambda: bool(inbox.ends))
            assert inbox.messages == []

    asyncio.run(main())


def test_a_ping_is_answered(net: Network) -> None:
    async def main() -> None:
        async with raw_peer(net) as (_, inbox, reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"\x89\x82" + MASK + b"ok")
            async with asyncio.timeout(BOUND_S):
                assert await reader.readexactly(4) == b"\x8a\x02ok"
            assert inbox.ends == inbox.messages == []

    asyncio.run(main())


def test_a_peer_that_answers_no_close_is_not_waited_for(net: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module_of(net), "CLOSE_TIMEOUT_S", 0.05)

    async def main() -> None:
        async with raw_peer(net) as (transport, inbox, _, _):
            transport.close(1001, "going away")
            async with asyncio.timeout(BOUND_S):
                await transport.wait_closed()
            await inbox.until(lambda: inbox.ends == ["1001 going away"])

    asyncio.run(main())


def test_a_request_that_never_ends_is_given_up(net: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "OPEN_TIMEOUT_S", 0.05)

    async def body(port: int, inboxes: list[Inbox]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /x HTTP/1.1\r\nHost: x\r\nX: ")
        async with asyncio.timeout(BOUND_S):
            assert b"101" not in await reader.read()
        writer.close()

    serve_and(net, body)


def module_of(net: Network) -> ModuleType:
    return {"websockets": websocket_ends, "picows": picows}[net.name]


def serve_and(net: Network, body: Callable[[int, list[Inbox]], Awaitable[None]], host: str = "127.0.0.1") -> None:
    async def main() -> None:
        inboxes = [Inbox()]

        def accept(transport: Transport, route: Route) -> None:
            inboxes[0].changed.set()
            transport.start(inboxes[0])

        def answer(asked: Asked) -> Page | Route:
            path = asked.path
            status = int(re.split("[/?]", path)[1]) if path.strip("/")[:1].isdigit() else 0
            told = {"error": "full"} if path.endswith("/full") else {"path": path}
            return Page(status, json.dumps(told, separators=(",", ":")).encode()) if status else ROUTE

        server = await net.listen(host, 0, Turn(), answer, accept)
        try:
            await body(port_of(server), inboxes)
        finally:
            server.close()

    asyncio.run(main())


@pytest.mark.parametrize("status", [200, 403, 404, 429, 503])
def test_a_page_is_answered_by_http_with_or_without_asking_for_an_upgrade(net: Network, status: int) -> None:
    async def body(port: int, inboxes: list[Inbox]) -> None:
        for request in (f"GET /{status}?a=b HTTP/1.1\r\nHost: x\r\n\r\n".encode(), request_of(f"/{status}?a=b")):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request)
            head, _, content = (await reader.read()).partition(b"\r\n\r\n")
            writer.close()
            first, *headers = head.decode().split("\r\n")
            assert first == f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"
            assert {"Content-Type: application/json", f"Content-Length: {len(content)}", "Connection: close"} <= set(
                headers
            )
            assert content == b'{"path":"/%d?a=b"}' % status

    serve_and(net, body)


def test_a_path_for_links_asked_for_without_an_upgrade_says_so(net: Network) -> None:
    async def body(port: int, inboxes: list[Inbox]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 426 Upgrade Required\r\n")
        writer.close()

    serve_and(net, body)


def test_a_closed_server_keeps_the_links_it_has(net: Network) -> None:
    async def main() -> None:
        accepted = asyncio.get_running_loop().create_future()

        def accept(transport: Transport, route: Route) -> None:
            accepted.set_result(transport)

        server = await net.listen("127.0.0.1", 0, Turn(), lambda path: ROUTE, accept)
        near, here, there = await net.dial(f"ws://127.0.0.1:{port_of(server)}/x", Turn()), Inbox(), Inbox()
        far = await accepted
        url = f"ws://127.0.0.1:{port_of(server)}/x"
        server.close()
        near.start(here)
        far.start(there)
        near.send(b"still here")
        await there.until(lambda: there.messages == [b"still here"])
        with pytest.raises(ConnectError, match="no sentinel listens"):
            await net.dial(url, Turn())
        near.close(1000, "")
        await near.wait_closed()

    asyncio.run(main())


def test_ipv6_addresses_are_dialled_and_listened_on(net: Network) -> None:
    async def body(port: int, inboxes: list[Inbox]) -> None:
        transport = await net.dial(f"ws://[::1]:{port}/x", Turn())
        transport.start(Inbox())
        transport.send(b"six")
        await inboxes[0].until(lambda: inboxes[0].messages == [b"six"])
        transport.close(1000, "")
        await transport.wait_closed()

    if not has_ipv6():
        pytest.skip("this machine has no IPv6 loopback")
    serve_and(net, body, host="::1")


def has_ipv6() -> bool:
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe, suppress(OSError):
        probe.bind(("::1", 0))
        return True
    return False


@pytest.mark.parametrize(("offered", "answered"), [(["bearer", "abc.def"], "bearer"), (["other"], None)])
def test_the_bearer_subprotocol_is_answered_only_when_it_comes_first(
    net: Network, offered: list[str], answered: str | None
) -> None:
    async def body(port: int, inboxes: list[Inbox]) -> None:
        async with connect(f"ws://127.0.0.1:{port}/x", subprotocols=offered, proxy=None) as connection:
            assert connection.subprotocol == answered

    serve_and(net, body)


def test_fragmented_and_text_messages_arrive_as_one_message_each(net: Network) -> None:
    async def body(port: int, inboxes: list[Inbox]) -> None:
        async with connect(f"ws://127.0.0.1:{port}/x", proxy=None) as connection:
            await connection.send([b"ab", b"cd", b"ef"])
            await connection.send("text")
            await connection.send(["te", "xt"])
            await (await connection.ping())
            await inboxes[0].until(lambda: len(inboxes[0].messages) == 3)
            assert inboxes[0].messages == [b"abcdef", b"text", b"text"]

    serve_and(net, body)


@pytest.mark.parametrize("batches", [False, True])
def test_a_lone_message_is_written_in_the_turn_it_was_sent_in(make_link: Pair, batches: bool) -> None:
    """The answer to a message leaves before the loop goes round again: no read waits for another callback's flush."""

    async def main() -> None:
        async with make_link() as (near, far):
            later: list[bool] = []

            class Echo(Inbox):
                def message_received(self, data: bytes) -> None:
                    far.send(data)
                    asyncio.get_running_loop().call_soon(later.append, True)

            here = Inbox()
            near.start(here)
            far.start(Echo())
            if batches:
                far.batch()
            flushed: list[int] = []
            flush = far.flush
            far.flush = lambda: (flush(), flushed.append(len(later)))  # type: ignore[method-assign]
            near.send(b"x")
            await here.until(lambda: bool(here.messages))
            assert flushed[0] == 0

    asyncio.run(main())


def test_the_answers_to_one_read_leave_in_one_write(net: Network) -> None:
    async def main() -> None:
        async with raw_peer(net) as (transport, inbox, reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            flushes: list[int] = []
            flush = transport.flush
            transport.flush = lambda: (flushes.append(len(inbox.messages)), flush())  # type: ignore[method-assign]
            inbox.message_received = lambda data: (inbox.messages.append(data), transport.send(data))  # type: ignore[method-assign]
            writer.write((b"\x82\x81" + MASK + b"x") * 10)
            assert await reader.readexactly(30) == b"\x82\x01x" * 10
            assert flushes[0] == 10

    asyncio.run(main())


def test_nobody_listening_is_a_connect_error_that_says_what_to_do(net: Network) -> None:
    async def main() -> None:
        with pytest.raises(ConnectError, match=r"no sentinel listens on 127\.0\.0\.1:1; start one"):
            await net.dial("ws://127.0.0.1:1/x", Turn())

    asyncio.run(main())


def test_a_403_is_a_refusal(net: Network) -> None:
    async def body(port: int, inboxes: list[Inbox]) -> None:
        with pytest.raises(AdmissionRefused, match="refused the link: HTTP 403"):
            await net.dial(f"ws://127.0.0.1:{port}/403", Turn())

    serve_and(net, body)


@pytest.mark.parametrize("status", [429, 503])
def test_a_link_there_is_no_room_for_is_refused_before_the_upgrade_and_may_be_dialled_again(
    net: Network, status: int
) -> None:
    async def body(port: int, inboxes: list[Inbox]) -> None:
        with pytest.raises(ConnectError, match=r"takes no link now: full; try again later"):
            await net.dial(f"ws://127.0.0.1:{port}/{status}/full", Turn())

    serve_and(net, body)


def test_something_that_is_no_websocket_is_a_connect_error(net: Network) -> None:
    async def main() -> None:
        async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"SSH-2.0-x\r\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(hello, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ConnectError, match="doesn't speak WebSocket"):
            await net.dial(f"ws://127.0.0.1:{port}/x", Turn())
        server.close()
        await server.wait_closed()

    asyncio.run(main())


def test_a_url_that_is_none_is_a_connect_error(net: Network) -> None:
    async def main() -> None:
        with pytest.raises(ConnectError, match="not a WebSocket URL"):
            await net.dial("http://127.0.0.1:1/x", Turn())

    asyncio.run(main())


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("localhost", True), ("[::1]", True), ("10.0.0.1", False), ("example.org", False)],
)
def test_loopback_is_told_from_the_rest(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_tls_where_there_is_none_is_not_taken_for_nobody_listening(
    net: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "OPEN_TIMEOUT_S", 0.5)  # picows lets a request that isn't one come to its end

    async def body(port: int, inboxes: list[Inbox]) -> None:
        with pytest.raises(ConnectError, match=r"^127.0.0.1:\d+ doesn't speak TLS; try ws://127.0.0.1:\d+/x$"):
            await net.dial(f"wss://127.0.0.1:{port}/x", Turn())

    serve_and(net, body)


def test_a_host_that_is_not_there_is_said_to_be_that(net: Network) -> None:
    async def main() -> None:
        with pytest.raises(ConnectError, match=r"there is no host called nowhere\.invalid"):
            await net.dial("ws://nowhere.invalid:8000/x", Turn())

    asyncio.run(main())


def test_a_server_that_says_nothing_is_given_up(net: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "OPEN_TIMEOUT_S", 0.05)

    async def main() -> None:
        gone = asyncio.Event()

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(ConnectionError):
                await reader.read()
            writer.close()
            gone.set()

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        with pytest.raises(ConnectError, match="didn't answer within"):
            await net.dial(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/x", Turn())
        async with asyncio.timeout(BOUND_S):
            await gone.wait()
        server.close()
        await server.wait_closed()

    asyncio.run(main())


def test_other_answers_than_an_upgrade_are_told_by_their_status(net: Network) -> None:
    async def body(port: int, inboxes: list[Inbox]) -> None:
        with pytest.raises(ConnectError, match="answered HTTP 503 to ws://"):
            await net.dial(f"ws://127.0.0.1:{port}/503", Turn())

    serve_and(net, body)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """Make a certificate for localhost and its key."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost "
        f"-addext subjectAltName=DNS:localhost -keyout {key} -out {cert}".split(),
        check=True,
        capture_output=True,
    )
    return cert, key


@pytest.mark.parametrize("trusted", [True, False])
def test_wss_checks_the_certificate(
    net: Network, certificate: tuple[Path, Path], trusted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))

    async def main() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)

        async def echo(connection: object) -> None:
            async for data in connection:
                await connection.send(data)

        async with serve(echo, "127.0.0.1", 0, ssl=context) as server:
            url = f"wss://localhost:{next(iter(server.sockets)).getsockname()[1]}/x"
            if not trusted:
                with pytest.raises(
                    ConnectError, match=r"the certificate of localhost:\d+ is from an authority that isn't known here"
                ):
                    await net.dial(url, Turn())
                return
            transport, inbox = await net.dial(url, Turn()), Inbox()
            transport.start(inbox)
            sent = [b"small", b"x" * 500_000, b"last"]
            for data in sent:
                transport.send(data)
            await inbox.until(lambda: inbox.messages == sent)
            transport.close(1000, "")
            await transport.wait_closed()

    asyncio.run(main())


def test_a_host_behind_a_proxy_is_reached_through_it(net: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(port: int, inboxes: list[Inbox]) -> None:
        asked: list[bytes] = []
        over = asyncio.Event()

        async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.append((await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")[0])
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))
            over.set()

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65_536):
                sink.write(data)
            sink.close()

        proxy = await asyncio.start_server(tunnel, "127.0.0.1", 0)
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}")
        transport = await net.dial("ws://far.invalid:4711/x", Turn())
        transport.start(Inbox())
        transport.send(b"through")
        await inboxes[0].until(lambda: inboxes[0].messages == [b"through"])
        assert asked == [b"CONNECT far.invalid:4711 HTTP/1.1"]
        transport.close(1000, "")
        await transport.wait_closed()
        async with asyncio.timeout(BOUND_S):
            await over.wait()
        proxy.close()

    for name in ("ws_proxy", "wss_proxy", "socks_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    serve_and(net, body)


def test_a_dial_that_is_cancelled_leaves_no_link(net: Network) -> None:
    async def main() -> None:
        reached, ended = asyncio.Event(), asyncio.Event()

        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            reached.set()
            dialing.cancel()
            await asyncio.wait([dialing])
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            assert await reader.read() == b""
            ended.set()
            writer.close()

        server = await asyncio.start_server(slow, "127.0.0.1", 0)
        dialing = asyncio.create_task(net.dial(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/x", Turn()))
        await reached.wait()
        async with asyncio.timeout(BOUND_S):
            await ended.wait()
        assert dialing.cancelled()
        server.close()
        await server.wait_closed()

    asyncio.run(main())
