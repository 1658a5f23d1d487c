"""Connections that break the rules of TCP, HTTP or WebSocket, or that are far too many, too slow or too much."""

import asyncio
import contextlib
import os
import socket
import struct
import zlib
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hostile_rig import FABRIC, INNOCENTS, MIB, Stage, against, given
from hostile_wire import attach, new_id, request
from websockets.exceptions import ConnectionClosed

pytestmark = pytest.mark.e2e

VICTIM = f"{INNOCENTS[1]}@{FABRIC}"
ALL = ("open", "gated", "overlay", "strict-overlay")
EDGES = ("open", "overlay")
"""Where the profile makes no difference but for what comes before."""

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def upgrade(stage: Stage, path: str = "", *more: str) -> bytes:
    """Return the request of a WebSocket handshake; without an attach it is a stranger's in every profile."""
    lines = [
        f"GET {path or '/fame/v1/attach/ws/downstream/stranger'} HTTP/1.1",
        f"Host: 127.0.0.1:{stage.port()}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {b64encode(os.urandom(16)).decode()}",
        "Sec-WebSocket-Version: 13",
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, bits: int = 0, masked: bool = True) -> bytes:
    """Return one WebSocket frame (RFC 6455, 5.2)."""
    head = bytes(((0x80 if fin else 0) | bits | opcode,))
    mark = 0x80 if masked else 0
    if len(payload) < 126:
        head += bytes((mark | len(payload),))
    elif len(payload) < 65_536:
        head += bytes((mark | 126,)) + struct.pack("!H", len(payload))
    else:
        head += bytes((mark | 127,)) + struct.pack("!Q", len(payload))
    return head + (b"\0\0\0\0" if masked else b"") + payload


@asynccontextmanager
async def opened(stage: Stage, data: bytes = b"") -> AsyncIterator[Stream]:
    """Connect and write; the connection ends with the block."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.port())
    try:
        writer.write(data)
        yield reader, writer
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def until_closed(reader: asyncio.StreamReader, within_s: float = 20.0) -> bytes:
    """Read to the end of a connection; that it ends is what a test wants."""
    async with asyncio.timeout(within_s):
        try:
            return await reader.read()
        except OSError:  # reset, or already gone when we said that we have nothing more to say
            return b""


# HTTP

HTTP: dict[str, bytes] = {
    "a megabyte of headers": b"GET / HTTP/1.1\r\n" + b"X-Bomb: " + b"x" * 4000 + b"\r\n" + b"Y: z\r\n" * 150_000,
    "an endless request line": b"GET /" + b"x" * 1_000_000,
    "a header line without end": b"GET / HTTP/1.1\r\nX: " + b"y" * 1_000_000,
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc" + bytes(range(256)) * 10,
    "two lengths": b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 50\r\n\r\nabcde",
    "chunks of a smuggler": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\nGET /",
    "a path that climbs": b"GET /fame/v1/attach/ws/downstream/../../../etc/passwd HTTP/1.1\r\n\r\n",
    "line breaks in the id": b"GET /fame/v1/attach/ws/downstream/a%0d%0aX:y HTTP/1.1\r\nHost: x\r\n\r\n",
    "zeros": b"\0" * 500_000,
}


@pytest.mark.parametrize("name", HTTP)
@against("open", "gated")
async def test_a_request_that_is_none_is_ended_and_costs_nobody(stage: Stage, name: str) -> None:
    async with stage.undisturbed():
        for _ in range(3):
            async with opened(stage, HTTP[name]) as (reader, writer):
                with contextlib.suppress(OSError):
                    writer.write_eof()
                assert b" 101 " not in await until_closed(reader)


@against("open", "gated")
async def test_a_handshake_that_comes_byte_by_byte_is_not_waited_for(stage: Stage) -> None:
    async with stage.undisturbed(), contextlib.AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(opened(stage, b"GET /fame")) for _ in range(50)]

        async def drip() -> None:
            while True:
                for _, writer in streams:
                    writer.write(b"x")
                await given(0.5)

        dripping = asyncio.ensure_future(drip())
        try:
            await asyncio.gather(*(until_closed(reader) for reader, _ in streams))
        finally:
            dripping.cancel()


@against("open", "gated")
async def test_a_thousand_silent_connections_from_one_address_leave_room_for_others(stage: Stage) -> None:
    async with stage.undisturbed(grows=64 * MIB), contextlib.AsyncExitStack() as stack:
        for _ in range(1000):
            await stack.enter_async_context(opened(stage))
        async with stage.attached(stage.identity()) as wire:
            assert await stage.reaches(wire)


@against("open")
async def test_a_thousand_links_that_never_attach_are_all_ended(stage: Stage) -> None:
    async with stage.undisturbed(grows=64 * MIB), contextlib.AsyncExitStack() as stack:
        paths = [f"/fame/v1/attach/ws/downstream/flood-{number}" for number in range(1000)]
        streams = [await stack.enter_async_context(opened(stage, upgrade(stage, path))) for path in paths]
        answers = await asyncio.gather(*(until_closed(reader) for reader, _ in streams))
        assert all(b" 101 " in each or b" 503 " in each for each in answers)


# WebSocket


def deflated(size: int) -> bytes:
    """Return zeros, compressed as RFC 7692 says."""
    packer = zlib.compressobj(wbits=-15)
    return (packer.compress(b"0" * size) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


VIOLATIONS: dict[str, bytes] = {
    "compressed where nothing was agreed on": frame(2, deflated(50_000_000), bits=0x40),
    "not masked": frame(2, b"{}", masked=False),
    "a reserved opcode": frame(3, b"x"),
    "a long ping": frame(9, b"x" * 200),
    "a ping in pieces": frame(9, b"x", fin=False),
    "a length beyond memory": bytes((0x82, 0xFF)) + struct.pack("!Q", 2**62) + b"\0\0\0\0",
    "a negative length": bytes((0x82, 0xFF)) + struct.pack("!Q", 2**63 + 5) + b"\0\0\0\0",
    "a continuation of nothing": frame(0, b"x"),
    "a close with half a code": frame(8, b"\x03"),
    "a close with a code that is none": frame(8, struct.pack("!H", 1005)),
    "a message in a million pieces": frame(2, b"{", fin=False) + frame(0, b"x", fin=False) * 300_000,
    "a message in large pieces": frame(2, b"{", fin=False) + frame(0, b"x" * 65_000, fin=False) * 300,
}


@pytest.mark.parametrize("name", VIOLATIONS)
@against("open")
async def test_a_breach_of_the_websocket_protocol_ends_its_own_link(stage: Stage, name: str) -> None:
    offer = upgrade(stage, "", "Sec-WebSocket-Extensions: permessage-deflate")
    async with stage.undisturbed(), opened(stage, offer) as (reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 101 " in head
        assert b"permessage-deflate" not in head
        with contextlib.suppress(OSError):
            writer.write(VIOLATIONS[name])
            await writer.drain()
        await until_closed(reader, within_s=8.0)


@against(*EDGES)
async def test_a_flood_of_pings_costs_nobody(stage: Stage) -> None:
    async with stage.undisturbed(), stage.attached(stage.identity()) as wire:
        for _ in range(2000):
            await wire.socket.ping(new_id())
        await wire.alive()


@against(*EDGES)
async def test_a_link_that_is_cut_in_the_middle_of_a_message_leaves_nothing_behind(stage: Stage) -> None:
    async with stage.undisturbed():
        for number in range(100):
            path = f"/fame/v1/attach/ws/downstream/cut-{number}"
            async with opened(stage, upgrade(stage, path)) as (reader, writer):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(frame(2, b'{"frame":{"type":"NodeAttach"' * 100)[:-20])
                connection = writer.get_extra_info("socket")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # an RST, no FIN


@against("open")
async def test_a_half_closed_connection_is_ended(stage: Stage) -> None:
    async with stage.undisturbed(), opened(stage, upgrade(stage)) as (reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write_eof()
        await until_closed(reader, within_s=8.0)


# Links that are open


@against(*ALL)
async def test_a_second_attach_on_a_link_changes_nothing(stage: Stage) -> None:
    async with stage.undisturbed(), stage.attached(stage.identity()) as wire:
        path = wire.path
        for changes in ({"systemId": INNOCENTS[0]}, {"originType": "peer"}, {"assignedPath": "/evil"}, {}):
            frame = {"type": "NodeAttach", "originType": "downstream", "systemId": wire.who.node_id}
            await wire.send(wire.envelope({**frame, "instanceId": new_id(), "callbackGrants": [], **changes}))
        await wire.alive()
        assert await stage.reaches(wire)
        assert wire.path == path


@against(*ALL)
async def test_ten_thousand_tiny_envelopes_in_one_message_cost_nobody(stage: Stage) -> None:
    async with stage.undisturbed(), stage.attached(stage.identity(), ours=True) as wire:
        tiny = b'{"id":"1","frame":{"type":"NodeHeartbeat"}}'
        await wire.send(b"\n".join([tiny] * 10_000))
        for _ in range(10):
            await wire.send(b"\n".join([tiny] * 1000))
        await wire.alive()


@against(*EDGES)
async def test_a_flood_of_heartbeats_costs_nobody(stage: Stage) -> None:
    async with stage.undisturbed(), stage.attached(stage.identity()) as wire:
        with contextlib.suppress(ConnectionClosed):
            for _ in range(20_000):
                await wire.send(b'{"id":"1","corrId":"1","frame":{"type":"NodeHeartbeat"}}')


@against(*EDGES)
async def test_whoever_asks_without_end_and_reads_nothing_fills_no_memory(stage: Stage) -> None:
    async with stage.undisturbed(grows=24 * MIB), stage.attached(stage.identity(), max_queue=1) as wire:
        text = "x" * 20_000
        with contextlib.suppress(ConnectionClosed, TimeoutError):
            async with asyncio.timeout(5.0):
                for _ in range(3000):
                    body = request("nothing", "c", text=text)
                    await wire.say(body, to=VICTIM, replyTo=wire.inbox, rtype=2, corrId=new_id())
        wire.socket.transport.abort()


@against(*ALL)
async def test_an_attach_that_lies_about_its_kind_is_refused(stage: Stage) -> None:
    async with stage.undisturbed():
        for origin in ("peer", "local", "upstream", "", "DOWNSTREAM" * 100):
            async with stage.dial(stage.identity()) as wire:
                assert (await attach(wire, origin, signs=stage.signs))["code"] == "INVALID_ATTACH"
                assert (await wire.closed())[0] == 1008


@against(*ALL)
async def test_a_path_that_somebody_wants_assigned_is_not_given(stage: Stage) -> None:
    async with stage.undisturbed():
        who = stage.identity()
        async with stage.dial(who) as wire:
            ack = await attach(wire, signs=stage.signs, assignedPath="/s2/innocent2")
            assert not ack.get("ok") or ack["assignedPath"] == f"/s1/{who.node_id}"
