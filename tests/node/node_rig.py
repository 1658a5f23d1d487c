"""Real nodes for the tests of the shell: pairs of nodes over memory, sentinels on loopback, and bounded waits."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

import msgspec

from fame_cli.core.calls import CallKey
from fame_cli.core.effects import ItemArrived, Outcome
from fame_cli.core.link import LinkKind
from fame_cli.net.memory import MemoryTransport, memory_pair
from fame_cli.node.agent import Agent
from fame_cli.node.dialing import keep_attached
from fame_cli.node.host import AgentHost
from fame_cli.node.options import Options
from fame_cli.node.runner import Node
from fame_cli.node.sentinel import Sentinel
from fame_cli.node.serving import offers_of

BOUND_S = 20
"""Seconds a whole test may take; none comes near."""

MATH = "math@fame.fabric"

loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
"""Makes the event loop of `bounded`; None for asyncio's own."""

T = TypeVar("T")


def bounded(main: Coroutine[Any, Any, T]) -> T:
    """Run a test's coroutine, within bounds."""

    async def within() -> T:
        async with asyncio.timeout(BOUND_S):
            return await main

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(within())


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until a condition holds."""
    for _ in count():  # `bounded` ends it
        if condition():
            return
        await asyncio.sleep(0)


async def turns(count: int = 50) -> None:
    """Let the loop turn, for what should not happen to have its chance."""
    for _ in range(count):
        await asyncio.sleep(0)


@dataclass
class Asked:
    """Hold one call: what came, and how it ended."""

    node: Node
    key: CallKey = ("", "")
    items: list[object] = field(default_factory=list)
    outcome: Outcome | None = None
    arrived: list[ItemArrived] = field(default_factory=list)
    _unread: list[ItemArrived] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def item_arrived(self, item: ItemArrived) -> None:
        self.items.append(msgspec.json.decode(item.value))
        self.arrived.append(item)
        self._unread.append(item)
        self._changed.set()

    def call_ended(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self._changed.set()

    def read(self, count: int) -> None:
        """Say that the next `count` items have been read."""
        for _ in range(count):
            self.node.item_consumed(self._unread.pop(0))

    async def end(self) -> Outcome:
        """Wait for the end, reading what comes."""
        while self.outcome is None:
            self.read(len(self._unread))
            self._changed.clear()
            await self._changed.wait()
        return self.outcome

    async def result(self) -> object:
        """Wait for the result of a call that must succeed."""
        outcome = await self.end()
        assert outcome.kind in ("result", "end"), (outcome.code, outcome.message)
        return msgspec.json.decode(outcome.value) if bytes(outcome.value) else None

    async def failure(self) -> tuple[int, str]:
        """Wait for the error of a call that must fail: its code and text."""
        outcome = await self.end()
        assert outcome.kind == "error", outcome
        return int(outcome.code), outcome.message


class Pair:
    """Be a serving node and a calling node with a link of memory between them."""

    def __init__(self, serving: Node, calling: Node, link: MemoryTransport) -> None:
        self.serving = serving
        self.calling = calling
        self.link = link

    def ask(
        self,
        operation: str,
        *args: object,
        streaming: bool = False,
        packs: bool = False,
        params: object = None,
        **arguments: object,
    ) -> Asked:
        """Start a call of `MATH`."""
        if params is None:
            params = {"args": list(args), "kwargs": arguments}
        asked = Asked(self.calling)
        data = msgspec.json.encode(params)
        asked.key = self.calling.call(asked, MATH, operation, data, streaming=streaming, packs=packs)
        return asked


@asynccontextmanager
async def pair(agent: Agent, max_concurrent: int = 64, max_message_bytes: int = 262_144) -> AsyncIterator[Pair]:
    """Serve an agent at `MATH` on one node and attach another to it."""
    near, far = memory_pair()
    async with (
        Node("serving", routes=True, options=Options(max_message_bytes)) as serving,
        Node("calling", options=Options(max_message_bytes)) as calling,
    ):
        serving.serve(MATH, AgentHost(serving, agent, max_concurrent))
        serving.open_link(far, LinkKind.CHILD, "calling", dialed=False)
        link = calling.open_link(near, LinkKind.PARENT, "", dialed=True)
        assert await calling.attach_answer(link) is None
        yield Pair(serving, calling, near)


@asynccontextmanager
async def serving(agent: Agent, url: str, address: str = MATH, node_id: str = "agent") -> AsyncIterator[Node]:
    """Serve an agent at a sentinel for as long as the context lasts."""
    async with Node(node_id) as node:
        node.serve(address, AgentHost(node, agent))
        for offer in offers_of(agent):
            node.perform(node.core.advertise(offer, address))
        node.spawn(keep_attached(node, url, LinkKind.PARENT))
        assert (await node.bound(address)).code == ""
        yield node


@asynccontextmanager
async def fabric(*agents: tuple[str, Agent]) -> AsyncIterator[Sentinel]:
    """Run a sentinel on a free port, and an agent at each address."""
    async with Sentinel(id="s1", listen="127.0.0.1:0") as sentinel, AsyncExitStack() as stack:
        for number, (address, agent) in enumerate(agents):
            await stack.enter_async_context(serving(agent, sentinel.url, address, f"agent{number}"))
        yield sentinel
