"""Agents for the tests of the host: one that holds what it is asked, one that fails in every way there is."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import msgspec
from node_rig import MATH, Pair

from fame_cli.errors import NoRoute, RemoteError
from fame_cli.node.agent import Agent, operation


class Work(Agent):
    """Hold calls until told, and remember what happened to them."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.started: list[object] = []
        self.ended: list[object] = []
        self.messages: list[object] = []

    @operation
    def add(self, x: int, y: int) -> int:
        return x + y

    @operation
    def nothing(self) -> None: ...

    @operation
    async def hold(self, name: str = "") -> str:
        self.started.append(name)
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.ended.append(f"{name} cancelled")
            raise
        finally:
            self.ended.append(name)
        return name

    @operation
    async def count(self, n: int = 10_000_000) -> AsyncIterator[int]:
        try:
            for number in range(n):
                self.started.append(number)
                yield number
        finally:
            self.ended.append("count")

    @operation
    def count_plainly(self, n: int) -> Iterator[int]:
        yield from range(n)

    async def on_message(self, payload: object) -> None:
        self.messages.append(payload)
        await self.go.wait()
        self.ended.append(payload)


class Odd(Exception):
    def __str__(self) -> str:
        raise ValueError


class Failing(Agent):
    """Fail in every way there is."""

    def raise_it(self, what: str) -> None:
        raised: dict[str, BaseException] = {
            "type": TypeError("no such thing"),
            "empty": TimeoutError(),
            "own": RemoteError("out of stock", code=-32010, data={"left": 0}),
            "hinted": RemoteError("out of stock", hint="come back"),
            "fabric": NoRoute("nobody there", hint="look again"),
            "odd": Odd(),
            "exit": SystemExit(3),
            "interrupt": KeyboardInterrupt(),
            "generator": GeneratorExit(),
            "base": BaseException("of its own"),
            "not utf-8": FileNotFoundError("caf\udce9"),
            "no json": RemoteError("see data", data=object()),
            "itself cancelled": asyncio.CancelledError(),
        }
        raise raised[what]

    @operation
    def plain(self, what: str) -> None:
        self.raise_it(what)

    @operation
    async def later(self, what: str) -> None:
        await asyncio.sleep(0)
        self.raise_it(what)

    @operation
    async def stream(self, what: str) -> AsyncIterator[int]:
        yield 1
        self.raise_it(what)

    @operation
    async def unclosable(self) -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            raise RuntimeError("can't stop")

    @operation
    def thing(self, later: bool = False) -> object:
        return object()

    @operation
    def add(self, x: int, y: int) -> int:
        return x + y


def send_raw(nodes: Pair, fields: dict[str, object], **payload: object) -> None:
    frame = {"type": "Data", "payload": {"jsonrpc": "2.0", "id": "1", **payload}}
    nodes.link.send(msgspec.json.encode({"version": "1.0", "id": "e1", "to": MATH, **fields, "frame": frame}))


def send_message(nodes: Pair, payload: object) -> None:
    frame = {"type": "Data", "payload": payload}
    nodes.link.send(msgspec.json.encode({"version": "1.0", "id": "m1", "to": MATH, "frame": frame}))
