"""A fabric in one process: real cores, no sockets, virtual time, and every run with one seed the same.

    world = SimWorld(seed=1)
    s1, s2 = world.sentinel("s1"), world.sentinel("s2")
    world.peer(s2, s1)
    agent, client = world.leaf("a2", s2), world.leaf("c", s1)
    agent.serve("math2@fame.fabric", lambda request: b"7")
    world.run()
    assert client.ask("math2@fame.fabric", "add").kind == "result"

One heap ordered by (time, sequence) holds everything that will happen; nothing else decides the order.
"""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from fame_cli.core.calls import CallKey
from fame_cli.core.effects import (
    BindAnswered,
    CallEnded,
    CloseLink,
    Dispatch,
    DispatchCancelled,
    Effect,
    FlowOpen,
    ItemArrived,
    LinkAttached,
    LinkRefused,
    Note,
    Outcome,
    Request,
    Send,
)
from fame_cli.core.ids import ID_LENGTH, digits_from_bytes
from fame_cli.core.link import Link, LinkKind
from fame_cli.core.node import NodeCore
from fame_cli.core.state import Settings

__all__ = ["SimNode", "SimWorld"]

Served = Callable[[Request], bytes | None]


@dataclass(slots=True, eq=False)
class _Wire:
    """Join one end to the other."""

    node: "SimNode"
    link: Link
    up: bool = True


@dataclass(eq=False)
class SimNode:
    """Be one node of a simulated fabric, with what it was asked and told."""

    world: "SimWorld"
    core: NodeCore
    served: dict[str, Served] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    cancelled: list[CallKey] = field(default_factory=list)
    opened: list[CallKey] = field(default_factory=list)
    outcomes: dict[CallKey, list[Outcome]] = field(default_factory=dict)
    items: dict[CallKey, list[ItemArrived]] = field(default_factory=dict)
    events: list[Effect] = field(default_factory=list)
    wires: dict[Link, _Wire] = field(default_factory=dict)
    sent: dict[Link, list[bytes]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The node's id."""
        return self.core.settings.node_id

    def serve(self, address: str, answer: Served | None = None, capabilities: tuple[str, ...] = ()) -> None:
        """Bind an address; `answer` gives the JSON of each result, without it requests gather in `requests`."""
        if answer is not None:
            self.served[address] = answer
        self.perform(self.core.bind(address))
        for capability in capabilities:
            self.perform(self.core.advertise(capability, address))

    def start(self, to: str | None, method: str = "add", params: bytes = b"{}", **how: object) -> CallKey:
        """Start a call and return its key; `how` as in `NodeCore.call`."""
        key, effects = self.core.call(to, method, params, self.world.now, **how)  # type: ignore[arg-type]  # tests only
        self.perform(effects)
        return key

    def ask(self, to: str | None, method: str = "add", params: bytes = b"{}", **how: object) -> Outcome:
        """Call, let the fabric work until the call has ended, and return how it ended."""
        key = self.start(to, method, params, **how)
        self.world.run(until=lambda: key in self.outcomes)
        return self.outcomes[key][0]

    def perform(self, effects: list[Effect]) -> None:
        """Carry out effects in the simulated world."""
        for effect in effects:
            match effect:
                case Send(link, data):
                    self.sent.setdefault(link, []).append(data)
                    self.world.carry(self.wires.get(link), data)
                case CloseLink(link, _, _):
                    self.world.hang_up(self, link)
                case Dispatch(request):
                    self._dispatch(request)
                case CallEnded(key, outcome):
                    self.outcomes.setdefault(key, []).append(outcome)
                case ItemArrived(key=key):
                    self.items.setdefault(key, []).append(effect)
                case DispatchCancelled(key, _):
                    self.cancelled.append(key)
                case FlowOpen(key):
                    self.opened.append(key)
                case LinkAttached() | LinkRefused() | BindAnswered() | Note():
                    self.events.append(effect)

    def noted(self, event: str) -> list[Note]:
        """Return the notes of one event."""
        return [effect for effect in self.events if isinstance(effect, Note) and effect.event == event]

    def _dispatch(self, request: Request) -> None:
        self.requests.append(request)
        answer = self.served.get(request.address)
        if answer is not None and request.key is not None:
            self.perform(self.core.reply(request.key, answer(request), self.world.now))


class SimWorld:
    """Hold the nodes, the wires and the time.

    Args:
        seed: of the one random source; latencies and ids come from it.
        latency_s: (least, most) seconds a message takes; order on one wire is kept.
    """

    def __init__(self, seed: int = 0, latency_s: tuple[float, float] = (0.001, 0.005)) -> None:
        self.now = 0.0
        self.random = random.Random(seed)
        self.nodes: list[SimNode] = []
        self._latency_s = latency_s
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._busy_until: dict[_Wire, float] = {}

    # Building

    def sentinel(self, name: str) -> SimNode:
        """Add a sentinel."""
        return self._add(Settings(name, self._new_id(), routes=True))

    def leaf(self, name: str, sentinel: SimNode) -> SimNode:
        """Add an agent or a client, attached to a sentinel."""
        leaf = self._add(Settings(name, self._new_id()))
        self.join(leaf, sentinel, LinkKind.PARENT)
        return leaf

    def peer(self, dialer: SimNode, listener: SimNode) -> None:
        """Have one sentinel dial another as its peer."""
        self.join(dialer, listener, LinkKind.PEER)

    def join(self, dialer: SimNode, listener: SimNode, kind: LinkKind) -> tuple[Link, Link]:
        """Make a link; `kind` is what the listener is to the dialer."""
        self._count += 1
        out = Link(2 * self._count, kind, dialed=True)
        back = LinkKind.PEER if kind is LinkKind.PEER else LinkKind.CHILD
        into = Link(2 * self._count + 1, back, remote_id=dialer.name)
        dialer.wires[out] = _Wire(listener, into)
        listener.wires[into] = _Wire(dialer, out)
        listener.perform(listener.core.link_opened(into, self.now))
        dialer.perform(dialer.core.link_opened(out, self.now))
        return out, into

    def _add(self, settings: Settings) -> SimNode:
        node = SimNode(self, NodeCore(settings, self._new_id, lambda: "2026-01-01T00:00:00.000Z"))
        self.nodes.append(node)
        return node

    def _new_id(self) -> str:
        digits = ""
        while len(digits) < ID_LENGTH:
            digits += digits_from_bytes(self.random.randbytes(ID_LENGTH + 4))
        return digits[:ID_LENGTH]

    # Happening

    def carry(self, wire: _Wire | None, data: bytes) -> None:
        """Let a message travel."""
        if wire is not None and wire.up:
            arrival = max(self.now + self.random.uniform(*self._latency_s), self._busy_until.get(wire, 0.0))
            self._busy_until[wire] = arrival
            self._at(arrival, lambda: self._arrive(wire, data))

    def _arrive(self, wire: _Wire, data: bytes) -> None:
        if wire.up:
            wire.node.perform(wire.node.core.receive(wire.link, data, self.now))

    def hang_up(self, node: SimNode, link: Link) -> None:
        """Close a link in good order: what is under way still arrives."""
        wire = node.wires.pop(link, None)
        if wire is not None:
            self._at(self._busy_until.get(wire, self.now), lambda: self._gone(wire))

    def cut(self, node: SimNode, link: Link) -> None:
        """Lose a link: both ends notice, what was under way is lost."""
        wire = node.wires.pop(link)
        wire.up = False
        node.perform(node.core.link_closed(link))
        self._gone(wire)

    def kill(self, node: SimNode) -> None:
        """End a node without a word."""
        for link in list(node.wires):
            wire = node.wires.pop(link)
            wire.up = False
            self._gone(wire)
        self.nodes.remove(node)

    def _gone(self, wire: _Wire) -> None:
        wire.up = False
        back = wire.node.wires.pop(wire.link, None)
        if back is not None:
            back.up = False
        wire.node.perform(wire.node.core.link_closed(wire.link))

    def _at(self, when: float, what: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._heap, (when, self._count, what))

    def run(self, for_s: float = 60.0, until: Callable[[], bool] | None = None) -> None:
        """Let things happen until nothing is under way (or `until` holds), or `for_s` seconds have passed.

        Timers of the nodes fire on the way, but a world in which only timers are left counts as quiet.
        """
        end = self.now + for_s
        while until is None or not until():
            timer, node = min(
                ((deadline, index) for index, n in enumerate(self.nodes) if (deadline := n.core.next_deadline())),
                default=(float("inf"), -1),
            )
            if self._heap and self._heap[0][0] <= min(timer, end):
                self.now, _, what = heapq.heappop(self._heap)
                what()
            elif timer <= end and (until is not None or self._heap):
                self.now = max(timer, self.now)
                self.nodes[node].perform(self.nodes[node].core.tick(self.now))
            else:
                return

    def advance(self, seconds: float) -> None:
        """Let time pass, timers and messages included."""
        end = self.now + seconds
        self.run(seconds, until=lambda: self.now >= end)
        self.now = end
