"""A worker's side of ``workers.py``: open the door, dial the others, say how it goes, and end with the supervisor.

Orders come as lines on one pipe and reports leave on another. The end of the first pipe is the end of the supervisor,
whatever ended it, and the one way it tells a worker to stop: no worker outlives it.
"""

import asyncio
import contextlib
from collections.abc import Callable
from io import FileIO

import msgspec

from fame_cli.core.link import LinkKind
from fame_cli.node.dialing import keep_attached
from fame_cli.node.listening import Listener
from fame_cli.node.runner import Node
from fame_cli.node.workers import Door, Orders, Report, dials

__all__ = ["Dismissed", "Siblings"]

LOOPBACK = "127.0.0.1"

MAX_LINE_BYTES = 16 * 1024 * 1024
"""Bytes of one order, which may hold a config."""


class Dismissed(Exception):
    """Say that a worker was to end before it had begun to serve; nothing is wrong."""


class Siblings:
    """Hold the links of one worker to the others; for one `Sentinel`.

    Args:
        number: of this worker, 1 or more.
        orders: pipe that `Orders` come from; it is closed in the end.
        reports: pipe that a `Report` is written to whenever something has changed.

    Attributes:
        dismissed: set when the supervisor is gone or wants this worker to end.
        reconfigure: called with the worker's config when that has changed.
    """

    def __init__(self, number: int, orders: FileIO, reports: FileIO) -> None:
        self.dismissed = asyncio.Event()
        self.reconfigure: Callable[[dict[str, object]], None] = lambda _: None
        self._number = number
        self._pipe = orders
        self._reports = reports
        self._orders = Orders({})
        self._may_listen = asyncio.Event()
        self._dialing: dict[int, tuple[Door, asyncio.Task[None]]] = {}
        self._place = self._listen = ""
        self._is_ready = False
        self._has_parent = False
        self._told: Report | None = None
        self._node: Node | None = None
        self._door: Listener | None = None

    async def join(self, node: Node, *, has_parent: bool, max_links: int) -> None:
        """Open the door and wait until this worker and all others that live are linked.

        Raises:
            Dismissed: the supervisor went away meanwhile, or wants this worker to end.
        """
        self._node, self._has_parent = node, has_parent
        self._door = Listener(node, has_parent=False, max_links=max_links, counts_hosts=False)
        self._place = await self._door.start(LOOPBACK, 0, in_clear=True)  # a certificate needn't be for this place
        node.spawn(self._take_orders())
        node.spawn(self._watch(node))
        self._tell()
        await self._may_listen.wait()
        if self.dismissed.is_set():
            raise Dismissed

    def leave(self) -> None:
        """Take no more links of others; those that are open stay."""
        if self._door is not None:
            self._door.stop()

    def waits_for(self) -> str:
        """Say what the whole sentinel still lacks, "" when it is ready."""
        return self._orders.waits_for

    def linked(self) -> tuple[int, ...]:
        """Return the numbers of the others that this worker holds a link with."""
        node = self._node
        if node is None:
            return ()
        peers = node.core.table.peers
        doors = self._orders.doors
        return tuple(number for number in doors if number != self._number and doors[number].node_id in peers)

    def tell_listening(self, address: str) -> None:
        """Report where links from outside are taken."""
        self._listen = address
        self._tell()

    def tell_ready(self) -> None:
        """Report that everything the config names has been attached."""
        self._is_ready = True
        self._tell()

    async def _take_orders(self) -> None:
        reader = asyncio.StreamReader(MAX_LINE_BYTES)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), self._pipe)
        try:
            while line := await reader.readline():
                self._obey(msgspec.json.decode(line, type=Orders))
        finally:
            transport.close()
            self.dismissed.set()
            self._may_listen.set()

    def _obey(self, orders: Orders) -> None:
        """Dial who is new or has a new door, and give up who is gone."""
        node = self._node
        assert node is not None  # orders come after `join`
        before, self._orders = self._orders, orders
        if orders.config is not None and orders.config != before.config:
            self.reconfigure(orders.config)
        wanted = dials(self._number, orders.doors)
        for number, (door, task) in list(self._dialing.items()):
            if wanted.get(number) != door:
                del self._dialing[number]
                task.cancel()
                node.dialing.pop(_url(door), None)
        for number, door in wanted.items():
            if number not in self._dialing and not (node.ending or node.core.is_draining):
                self._dialing[number] = (door, node.spawn(keep_attached(node, _url(door), LinkKind.PEER)))
        if orders.may_listen:
            self._may_listen.set()
        self._tell()

    async def _watch(self, node: Node) -> None:
        while True:
            await node.links_changed()
            self._tell()

    def _tell(self) -> None:
        """Report what has changed since the last time, if anything has."""
        node = self._node
        assert node is not None  # it is told from `join` on
        has_upstream = not self._has_parent or node.attached.is_set()
        door = Door(node.node_id, self._place)
        report = Report(door, self._listen, self.linked(), self._is_ready, has_upstream)
        if report != self._told:
            self._told = report
            with contextlib.suppress(BrokenPipeError):  # the other pipe ends, too, and that is where it counts
                self._reports.write(msgspec.json.encode(report) + b"\n")


def _url(door: Door) -> str:
    return f"ws://{door.place}/fame/v1/attach/ws/peer"
