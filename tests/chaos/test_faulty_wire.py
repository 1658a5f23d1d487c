"""The wire that fails on demand: it carries, and each fault is what it says, for the connections it says."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random

import pytest
from faulty_wire import FaultyWire

Body = Callable[[FaultyWire, "Listener"], Awaitable[None]]


class Listener:
    """Take connections, and hold what came by them and how to answer."""

    def __init__(self) -> None:
        self.ends: list[asyncio.StreamWriter] = []
        self.readers: list[asyncio.StreamReader] = []
        self.taken = asyncio.Semaphore(0)

    def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.readers.append(reader)
        self.ends.append(writer)
        self.taken.release()


def run(body: Body, seed: int = 0) -> None:
    async def main() -> None:
        listener = Listener()
        server = await asyncio.start_server(listener.take, "127.0.0.1", 0)
        wire = FaultyWire("a>b", server.sockets[0].getsockname()[1], Random(seed))
        await wire.start()
        try:
            async with asyncio.timeout(10):
                await body(wire, listener)
        finally:
            for end in listener.ends:
                end.transport.abort()
            await wire.close()
            server.close()

    asyncio.run(main())


async def dial(wire: FaultyWire, listener: Listener) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    await listener.taken.acquire()
    return reader, writer


async def is_silent(reader: asyncio.StreamReader) -> bool:
    """Tell whether nothing comes, not even an end, for a moment."""
    with suppress(TimeoutError):
        async with asyncio.timeout(0.1):
            await reader.read(1)
        return False
    return True


def test_bytes_pass_both_ways_and_so_does_the_end() -> None:
    async def body(wire: FaultyWire, listener: Listener) -> None:
        reader, writer = await dial(wire, listener)
        writer.write(b"there" * 100_000)
        assert await listener.readers[0].readexactly(500_000) == b"there" * 100_000
        listener.ends[0].write(b"back")
        listener.ends[0].close()
        assert await reader.read() == b"back"
        writer.close()
        assert await listener.readers[0].read() == b""

    run(body)


def test_a_reset_is_felt_at_both_ends_and_new_connections_are_whole() -> None:
    async def body(wire: FaultyWire, listener: Listener) -> None:
        reader, writer = await dial(wire, listener)
        wire.reset()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        with pytest.raises(ConnectionResetError):
            await listener.readers[0].read()
        writer.close()
        _, writer = await dial(wire, listener)
        writer.write(b"x")
        assert await listener.readers[1].readexactly(1) == b"x"
        writer.close()

    run(body)


@pytest.mark.parametrize(
    ("way", "there", "back"), [("there", True, False), ("back", False, True), ("both", True, True)]
)
def test_a_half_open_connection_loses_one_way_or_both_without_a_word(way: str, there: bool, back: bool) -> None:
    async def body(wire: FaultyWire, listener: Listener) -> None:
        reader, writer = await dial(wire, listener)
        wire.deafen(way)
        writer.write(b"x")
        listener.ends[0].write(b"y")
        assert await is_silent(listener.readers[0]) is there
        assert await is_silent(reader) is back
        _, whole = await dial(wire, listener)
        whole.write(b"z")
        assert await listener.readers[1].readexactly(1) == b"z"
        writer.close()
        whole.close()
        if there:
            assert await is_silent(listener.readers[0])

    run(body)


def test_a_slow_wire_keeps_the_order_even_when_it_is_fast_again() -> None:
    async def body(wire: FaultyWire, listener: Listener) -> None:
        _, writer = await dial(wire, listener)
        loop = asyncio.get_running_loop()
        wire.delay_s = 0.2
        begun = loop.time()
        writer.write(b"1")
        assert await is_silent(listener.readers[0])
        wire.heal()
        writer.write(b"2")
        writer.write_eof()
        assert await listener.readers[0].read() == b"12"
        assert 0.15 < loop.time() - begun < 2.0
        writer.close()

    run(body)


def test_what_is_due_and_has_not_been_carried_yet_stays_before_what_comes_now() -> None:
    """A busy loop is late with its timers, and what is read meanwhile must not overtake."""

    async def body(wire: FaultyWire, listener: Listener) -> None:
        _, writer = await dial(wire, listener)
        [connection] = wire._connections
        loop, seen = asyncio.get_running_loop(), []
        wire.delay_s = 0.01
        wire._later(connection, "there", lambda: seen.append(1))
        wire.heal()
        while loop.time() < connection.due["there"] + 0.01:
            pass
        wire._later(connection, "there", lambda: seen.append(2))
        done = asyncio.Event()
        wire._later(connection, "there", done.set)
        await done.wait()
        assert seen == [1, 2]
        writer.close()

    run(body)


def test_a_cutting_wire_ends_connections_as_its_random_numbers_say() -> None:
    async def pieces(wire: FaultyWire, listener: Listener) -> int:
        wire.cutting = 0.2
        _, writer = await dial(wire, listener)
        passed = 0
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                writer.write(b"x")
                await listener.readers[-1].readexactly(1)
                passed += 1
        writer.close()
        return passed

    counts: list[int] = []

    async def body(wire: FaultyWire, listener: Listener) -> None:
        counts.append(await pieces(wire, listener))

    for seed in (1, 1, 2, 3):
        run(body, seed)
    assert counts[0] == counts[1]
    assert len(set(counts)) > 1


def test_garbage_comes_at_both_ends() -> None:
    async def body(wire: FaultyWire, listener: Listener) -> None:
        reader, writer = await dial(wire, listener)
        writer.write(b"x")
        await listener.readers[0].readexactly(1)
        wire.litter(b"junk")
        assert await reader.readexactly(4) == b"junk"
        assert await listener.readers[0].readexactly(4) == b"junk"
        writer.close()

    run(body)


def test_where_nobody_listens_the_dialer_is_refused() -> None:
    async def main() -> None:
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        wire = FaultyWire("a>b", port, Random(0))
        await wire.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        await wire.close()

    asyncio.run(main())
