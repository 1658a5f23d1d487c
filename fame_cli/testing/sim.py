"""A fabric in one process: real cores, no sockets, virtual time, and every run with one seed the same.

    world = SimWorld(seed=1)
    s1, s2 = world.sentinel("s1"), world.sentinel("s2")
    world.peer(s2, s1)
    agent, client = world.leaf("a2", s2), world.leaf("c", s1)
    agent.serve("math2@fame.fabric", lambda request: b"7")
    world.run()
    assert client.ask("math2@fame.fabric", "add").kind == "result"

One heap ordered by (time, sequence) holds everything that will happen, another one the nodes' timers; nothing else
decides the order. Wires are streams, as sockets are: what is sent arrives in order or the link is lost, so a network
that fails makes messages wait (`SimWorld.hold`), slows them down, ends links or loses all that is sent from some moment
on (`SimWorld.deafen`), and never drops one message of many. Nodes that dial again after a loss are in ``dialing.py``.
"""

import heapq
import itertools
import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Protocol

from fame_cli.core.batch import parted
from fame_cli.core.ids import ID_LENGTH, digits_from_bytes
from fame_cli.core.link import Link, LinkKind
from fame_cli.core.node import NodeCore
from fame_cli.core.settings import Settings
from fame_cli.testing.simnode import SimNode, Steps, Wire

__all__ = ["SimNode", "SimWorld", "Steps", "Watch"]


class Watch(Protocol):
    """See everything that happens in a world."""

    def sent(self, node: SimNode, link: Link, data: bytes) -> None:
        """Take that a node has written a message to a link."""

    def turned(self, node: SimNode) -> None:
        """Take that a node has done something and all its effects are performed."""


class SimWorld:
    """Hold the nodes, the wires and the time.

    Args:
        seed: of the one random source; latencies and ids come from it.
        latency_s: (least, most) seconds a message takes; order on one wire is kept.
        keeps_sent: False to forget what was sent (`SimNode.sent`), for large worlds.

    Attributes:
        nodes: those that are alive, the longest living first.
        watches: are told of everything.
    """

    def __init__(
        self, seed: int = 0, latency_s: tuple[float, float] = (0.001, 0.005), *, keeps_sent: bool = True
    ) -> None:
        self.now = 0.0
        self.random = random.Random(seed)
        self.nodes: list[SimNode] = []
        self.watches: list[Watch] = []
        self._latency_s = latency_s
        self._keeps_sent = keeps_sent
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._timers: list[tuple[float, int, SimNode]] = []
        self._count = 0
        self._born = 0
        self._apart: dict[tuple[int, int], None] = {}
        self._held: dict[tuple[int, int], list[tuple[Wire, Callable[[], None]]]] = {}
        self._delays_s: dict[tuple[int, int], float] = {}

    # Building

    def sentinel(self, name: str, **how: object) -> SimNode:
        """Add a sentinel; `how` as in `Settings`."""
        return self._add(Settings(name, self.fresh_id(), routes=True, **how))  # type: ignore[arg-type]  # tests only

    def leaf(self, name: str, sentinel: SimNode) -> SimNode:
        """Add an agent or a client, attached to a sentinel."""
        leaf = self.node(name)
        self.join(leaf, sentinel, LinkKind.PARENT)
        return leaf

    def node(self, name: str) -> SimNode:
        """Add an agent or a client that isn't attached to anything."""
        return self._add(Settings(name, self.fresh_id()))

    def peer(self, dialer: SimNode, listener: SimNode, cost: int = 1) -> None:
        """Have one sentinel dial another as its peer."""
        self.join(dialer, listener, LinkKind.PEER, cost)

    def join(self, dialer: SimNode, listener: SimNode, kind: LinkKind, cost: int = 1) -> tuple[Link, Link]:
        """Make a link; `kind` is what the listener is to the dialer."""
        self._count += 1
        out = Link(2 * self._count, kind, dialed=True, cost=cost)
        back = LinkKind.PEER if kind is LinkKind.PEER else LinkKind.CHILD
        into = Link(2 * self._count + 1, back, remote_id=dialer.name)
        dialer.wires[out] = Wire(dialer, listener, into)
        listener.wires[into] = Wire(listener, dialer, out)
        listener.turn(lambda: listener.perform(listener.core.link_opened(into, self.now)))
        dialer.perform(dialer.core.link_opened(out, self.now))
        return out, into

    def accustom(self, node: SimNode, habit: Callable[[], Steps]) -> None:
        """Have a node do something now and in each of its later lives."""
        node.habits.append(habit)
        node.do(habit())

    def _add(self, settings: Settings) -> SimNode:
        self._born += 1
        node = SimNode(self, self._core(settings), self._born)
        self.nodes.append(node)
        return node

    def _core(self, settings: Settings) -> NodeCore:
        return NodeCore(settings, self.fresh_id, lambda: "2026-01-01T00:00:00.000Z")

    def fresh_id(self) -> str:
        """Return an id nobody else has."""
        digits = ""
        while len(digits) < ID_LENGTH:
            digits += digits_from_bytes(self.random.randbytes(ID_LENGTH + 4))
        return digits[:ID_LENGTH]

    # Happening

    def carry(self, node: SimNode, link: Link, data: bytes) -> None:
        """Let a message travel, of one envelope or several."""
        for line in parted(data) if link in node.batching else (data,):
            if self._keeps_sent:
                node.sent.setdefault(link, []).append(line)
            for watch in self.watches:
                watch.sent(node, link, line)
        wire = node.wires.get(link)
        if wire is not None and wire.up:
            self._travel(wire, lambda: self._arrive(wire, data))

    def _travel(self, wire: Wire, what: Callable[[], None], *, at_once: bool = False) -> None:
        """Let something happen at the other end, after all that is under way to it."""
        if wire.is_deaf:
            return
        pair = (wire.origin.number, wire.node.number)
        held = self._held.get(pair) if self._held else None
        if held is not None:
            held.append((wire, what))
            return
        latency = 0.0 if at_once else self.random.uniform(*self._latency_s)
        latency += self._delays_s.get(pair, 0.0) if self._delays_s else 0.0
        wire.busy_until = max(self.now + latency, wire.busy_until)
        self.at(wire.busy_until, what)

    def _arrive(self, wire: Wire, data: bytes) -> None:
        if wire.node.is_stopped:
            wire.node.turn(lambda: self._arrive(wire, data))
        elif wire.up and not wire.is_deaf:
            wire.node.perform(wire.node.core.receive(wire.link, data, self.now))

    def hang_up(self, node: SimNode, link: Link) -> None:
        """Close a link in good order: what is under way still arrives."""
        wire = node.wires.pop(link, None)
        if wire is not None:
            self._travel(wire, lambda: self._gone(wire), at_once=True)

    def _gone(self, wire: Wire) -> None:
        if wire.node.is_stopped:
            wire.node.turn(lambda: self._gone(wire))
            return
        wire.up = False
        back = wire.node.wires.pop(wire.link, None)
        if back is not None:  # else the other end has given the link up, or died, before
            back.up = False
            wire.node.perform(wire.node.core.link_closed(wire.link))
            wire.node.links_changed()

    def at(self, when: float, what: Callable[[], None]) -> None:
        """Have something happen at a time."""
        self._count += 1
        heapq.heappush(self._heap, (when, self._count, what))

    def arm(self, node: SimNode) -> None:
        """Look when a node that has done something wants to be asked again, and show it to whoever watches."""
        due = node.core.next_deadline()
        if due != node.due:
            node.due = due
            if due is not None:
                self._count += 1
                heapq.heappush(self._timers, (due, self._count, node))
        for watch in self.watches:
            watch.turned(node)

    def _next_timer(self) -> float:
        timers = self._timers
        while timers and not timers[0][2].wants_turn_at(timers[0][0]):
            heapq.heappop(timers)
        return timers[0][0] if timers else float("inf")

    def run(self, for_s: float = 60.0, until: Callable[[], bool] | None = None) -> None:
        """Let things happen until nothing is under way (or `until` holds), or `for_s` seconds have passed.

        Timers of the nodes fire on the way, but a world in which only timers are left counts as quiet. What nodes send
        at the end of a turn, they send when all that arrives at the same time has arrived.
        """
        end = self.now + for_s
        while until is None or not until():
            timer = self._next_timer()
            if self._heap and self._heap[0][0] <= min(timer, end):
                self.now, _, what = heapq.heappop(self._heap)
                what()
            elif timer <= end and (until is not None or self._heap or timer <= self.now):
                _, _, node = heapq.heappop(self._timers)
                self.now, node.due = max(timer, self.now), None
                node.perform(node.core.tick(self.now))
            else:
                return

    def advance(self, seconds: float) -> None:
        """Let time pass, timers and messages included."""
        end = self.now + seconds
        self.run(seconds, until=lambda: self.now >= end)
        self.now = end

    # Failing

    def cut(self, node: SimNode, link: Link) -> None:
        """Lose a link: both ends notice, what was under way is lost."""
        wire = node.wires.pop(link)
        wire.up = False

        def notice() -> None:
            node.perform(node.core.link_closed(link))
            node.links_changed()

        node.turn(notice)
        self._gone(wire)

    def kill(self, node: SimNode, *, silently: bool = False) -> None:
        """End a node without a word; its neighbours notice at once, or `silently` by its silence."""
        node.alive, node.due, node.waiting = False, None, None
        self.nodes.remove(node)
        for link in list(node.wires):
            wire = node.wires.pop(link)
            wire.up = False
            back = wire.node.wires.get(wire.link)
            if not silently:
                self._gone(wire)
            elif back is not None:
                back.up = False

    def restart(self, node: SimNode, incarnation: int | None = None) -> None:
        """Begin a new life of a killed node: same id, addresses and disk, else nothing of the old one.

        Args:
            incarnation: of its record; None for one that is greater than all before.
        """
        settings, mesh = node.core.settings, node.core.state.mesh
        if incarnation is None:
            incarnation = mesh.own.incarnation + 1 if mesh is not None else 1
        node.begin(self._core(replace(settings, instance_id=self.fresh_id(), incarnation=incarnation)))
        self.nodes.append(node)
        for address, capabilities in list(node.offers.items()):
            node.perform(node.core.bind(address))
            for capability in capabilities:
                node.perform(node.core.advertise(capability, address))
        node.disk.recover()
        for habit in node.habits:
            node.do(habit())

    def stop(self, node: SimNode) -> None:
        """Keep a node from running, as SIGSTOP does: what comes waits, timers don't fire, links stay open."""
        if node.alive and node.waiting is None:
            node.waiting = []

    def resume(self, node: SimNode, *, timers_first: bool = False) -> None:
        """Undo `stop`: what has come meanwhile is taken in order; late timers fire before that or after."""
        waiting, node.waiting = node.waiting, None
        if waiting is None:
            return
        node.resumed_at, node.due = self.now, None
        if timers_first:
            node.perform(node.core.tick(self.now))
        for what in waiting:
            what()
        self.arm(node)

    def deafen(self, a: SimNode, b: SimNode, *, one_way: bool = False) -> None:
        """Lose all that is sent from now on over the links there are between two nodes, or only what `a` sends.

        Nobody is told, and it doesn't mend: a stream with a hole in it delivers nothing more. New links are as ever.
        """
        for node, other in ((a, b), (b, a))[: 1 if one_way else 2]:
            for wire in node.wires.values():
                wire.is_deaf = wire.is_deaf or wire.node is other

    def delay(self, a: SimNode, b: SimNode, seconds: float) -> None:
        """Have everything between two nodes take so much longer, until `heal`; 0 to undo it."""
        self._delays_s[a.number, b.number] = self._delays_s[b.number, a.number] = seconds

    def litter(self, node: SimNode, link: Link, data: bytes) -> None:
        """Let something arrive at the other end of a link that the node there never sent."""
        wire = node.wires[link]
        self._travel(wire, lambda: self._arrive(wire, data))

    def hold(self, a: SimNode, b: SimNode, *, one_way: bool = False) -> None:
        """Make everything between two nodes wait, or only what `a` sends; neither of them notices."""
        for origin, node in ((a, b), (b, a))[: 1 if one_way else 2]:
            self._held.setdefault((origin.number, node.number), [])

    def release(self, a: SimNode, b: SimNode) -> None:
        """Undo `hold`: what has waited travels on, in order."""
        for origin, node in ((a, b), (b, a)):
            for wire, what in self._held.pop((origin.number, node.number), ()):
                self._travel(wire, what)

    def partition(self, left: Iterable[SimNode], right: Iterable[SimNode], *, silently: bool = False) -> None:
        """Part two groups: links between them are lost, or `silently` held, and no new ones can be made."""
        for a, b in itertools.product(left, list(right)):
            self._apart[a.number, b.number] = self._apart[b.number, a.number] = None
            if silently:
                self.hold(a, b)
            for link in [] if silently else [link for link, wire in a.wires.items() if wire.node is b]:
                self.cut(a, link)

    def heal(self) -> None:
        """Undo every `partition`, `hold` and `delay`."""
        self._apart.clear()
        self._delays_s.clear()
        for pair, waiting in list(self._held.items()):
            del self._held[pair]
            for wire, what in waiting:
                self._travel(wire, what)

    def reaches(self, dialer: SimNode, listener: SimNode) -> bool:
        """Tell whether a new link between two nodes could be made now."""
        pair = (dialer.number, listener.number)
        return listener.alive and pair not in self._apart and pair not in self._held and pair[::-1] not in self._held
