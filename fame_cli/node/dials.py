"""The links a sentinel makes: each is held by a task, and which ones they are may change while it runs."""

import asyncio
import time
from collections.abc import Iterable, Mapping

from fame_cli.core.link import Link, LinkKind
from fame_cli.node.dialing import Held, attach_at_once, keep_attached
from fame_cli.node.runner import Node

__all__ = ["Dials"]


class Dials:
    """Hold the links to the peers and the parent of one sentinel.

    Args:
        peers: attach URL and cost of each peer.
        parent: attach URL of the parent, "" for a root.
    """

    def __init__(self, peers: Iterable[tuple[str, int]], parent: str) -> None:
        self._costs = dict(peers)
        self._parent = parent
        self._held: dict[str, Held | None] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._costs) + bool(self._parent)

    @property
    def has_parent(self) -> bool:
        """Tell whether there is a parent."""
        return bool(self._parent)

    async def reach(self, node: Node) -> None:
        """Attach to all of them once, for whom a neighbour that isn't there is an error.

        Raises:
            ConnectError, AdmissionRefused: one of them can't be reached, or says no.
        """
        for url in (*self._costs, self._parent):
            if url:
                self._held[url] = await attach_at_once(node, url, self._kind(url), self._costs.get(url, 1))

    def start(self, node: Node) -> None:
        """Dial all of them, and go on for ever."""
        for url in (*self._costs, self._parent):
            if url:
                self._keep(node, url)

    def change(self, node: Node, peers: Mapping[str, int], drain_s: float) -> None:
        """Have other peers; links to those that stay are left alone, links to others end with their last call.

        Args:
            drain_s: seconds the last calls over those may take.
        """
        before, self._costs = self._costs, dict(peers)
        for url in before.keys() - peers.keys():
            self._tasks.pop(url).cancel()
            node.dialing.pop(url, None)
            link = _link_at(node, url)
            if link is not None:
                node.spawn(_let_go(node, link, drain_s))
        for url, cost in peers.items():
            link = _link_at(node, url)
            if url not in before:
                self._keep(node, url)
            elif cost != before[url] and link is not None:
                node.perform(node.core.set_cost(link, cost, time.monotonic()))

    def _kind(self, url: str) -> LinkKind:
        return LinkKind.PARENT if url == self._parent else LinkKind.PEER

    def _keep(self, node: Node, url: str) -> None:
        held = self._held.pop(url, None)
        self._tasks[url] = node.spawn(keep_attached(node, url, self._kind(url), lambda: self._costs.get(url, 1), held))


def _link_at(node: Node, url: str) -> Link | None:
    """Return the link that was dialled at a URL last, None if there is none."""
    links = [session.link for session in node.core.sessions() if session.link.url == url]
    return links[-1] if links else None


async def _let_go(node: Node, link: Link, limit_s: float) -> None:
    """Use a link for nothing new, and end it after its last call, or when its time is over."""
    node.perform(node.core.retire(link, time.monotonic()))
    await asyncio.sleep(limit_s)
    node.perform(node.core.retire(link, time.monotonic()))
