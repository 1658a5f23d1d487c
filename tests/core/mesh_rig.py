"""Real cores joined back to back: what one sends, the next one gets, in order on each link, when `run` is called.

Nodes are named by a label, which is their id unless told otherwise. Everything that passed a link is kept in `passed`
as (from, to, frame), and `lost` may swallow some of it. Time is `mesh.now`, nothing runs by itself.
"""

import json
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count, pairwise

from core_rig import STAMP, Json

from fame_cli.core import report
from fame_cli.core.balance import NEAREST, Balance
from fame_cli.core.calls import CallKey
from fame_cli.core.effects import CallEnded, CloseLink, Dispatch, Effect, Note, Outcome, Request, Send
from fame_cli.core.grant import Grant
from fame_cli.core.link import Link, LinkKind
from fame_cli.core.node import NodeCore
from fame_cli.core.reach import settle
from fame_cli.core.record import Mesh, Record
from fame_cli.core.settings import Settings

PEER, PARENT = LinkKind.PEER, LinkKind.PARENT


@dataclass(slots=True)
class Passed:
    """Hold one message that a link carried."""

    source: str
    target: str
    frame: Json
    size: int

    @property
    def kind(self) -> str:
        """The frame's type."""
        return str(self.frame["type"])


@dataclass(eq=False, repr=False)
class Node:
    """Hold one core, what it did, and the other end of each of its links."""

    label: str
    core: NodeCore
    ends: dict[Link, tuple["Node", Link]] = field(default_factory=dict)
    log: list[Effect] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"<Node {self.label}>"

    @property
    def node_id(self) -> str:
        """The id it goes by now."""
        return self.core.settings.node_id

    @property
    def mesh(self) -> Mesh:
        """What it knows of the mesh."""
        assert self.core.state.mesh is not None
        return self.core.state.mesh

    def record(self, node_id: str) -> Record:
        """Return the record it has of another sentinel."""
        return self.mesh.records[node_id]

    def link_to(self, label: str) -> Link:
        """Return the newest link to a node."""
        return [link for link, (node, _) in self.ends.items() if node.label == label][-1]

    def noted(self, event: str) -> list[Note]:
        """Return the notes of one event."""
        return [effect for effect in self.log if isinstance(effect, Note) and effect.event == event]

    def requests(self) -> list[Request]:
        """Return what was dispatched here."""
        return [effect.request for effect in self.log if isinstance(effect, Dispatch)]


class MeshRig:
    """Hold some nodes, their links and the time."""

    def __init__(self, *names: str, **how: int) -> None:
        self.now = 0.0
        self.nodes: dict[str, Node] = {}
        self.passed: list[Passed] = []
        self.lost: Callable[[Passed], bool] = lambda _: False
        self.order: random.Random | None = None
        self._wires: dict[tuple[Node, Link], deque[bytes]] = {}  # those that carry something
        self._stirred: dict[Node, None] = {}
        self._numbers = count(1)
        self._ids = count(1)
        for name in names:
            self.add(name, **how)

    # Building

    def add(
        self,
        label: str,
        node_id: str = "",
        *,
        instance: str = "",
        incarnation: int = 1,
        max_message_bytes: int = 262_144,
        balance: Balance = NEAREST,
        routes: bool = True,
    ) -> Node:
        """Add a sentinel, or a leaf."""
        settings = Settings(
            node_id or label,
            instance or f"instance-of-{label}",
            routes,
            max_message_bytes=max_message_bytes,
            balance=balance,
            incarnation=incarnation,
        )
        node = Node(label, self.make_core(label, settings))
        self.nodes[label] = node
        return node

    def make_core(self, label: str, settings: Settings) -> NodeCore:
        """Make the core of a node; rigs with security give it a gate."""
        return NodeCore(settings, lambda: f"id{next(self._ids):014}", lambda: STAMP)

    def grant_of(self, label: str) -> Grant | None:
        """Return the credential a node shows where it dials."""
        return None

    def __getitem__(self, label: str) -> Node:
        return self.nodes[label]

    def join(self, dialer: str, listener: str, kind: LinkKind = PEER, cost: int = 1, back: int = 0) -> None:
        """Have one node dial another; `cost` counts at the dialer's end, `back` at the other one, if it differs."""
        near, far = self[dialer], self[listener]
        out = Link(next(self._numbers), kind, dialed=True, cost=cost)
        accepted = PEER if kind is PEER else LinkKind.CHILD
        into = Link(next(self._numbers), accepted, remote_id=near.node_id, cost=back or cost)
        into.grant = self.grant_of(dialer)
        near.ends[out], far.ends[into] = (far, into), (near, out)
        self.do(far, far.core.link_opened(into, self.now))
        self.do(near, near.core.link_opened(out, self.now))

    def chain(self, *labels: str) -> "MeshRig":
        """Join each node to the next one, and let things settle."""
        for near, far in pairwise(labels):
            self.join(near, far)
        self.run()
        return self

    def ring(self, *labels: str) -> "MeshRig":
        """Join nodes in a circle, and let things settle."""
        return self.chain(*labels, labels[0])

    def leaf(self, label: str, sentinel: str, *addresses: str) -> Node:
        """Attach an agent that serves some addresses."""
        node = self.add(label, routes=False)
        self.join(label, sentinel, PARENT)
        self.run()
        for address in addresses:
            self.do(node, node.core.bind(address))
        self.run()
        return node

    def cut(self, one: str, other: str) -> None:
        """Lose the newest link between two nodes, and what was under way on it; both ends notice."""
        near = self[one]
        out = near.link_to(other)
        far, into = near.ends[out]
        self._part(near, out)
        self.do(near, near.core.link_closed(out))
        self.do(far, far.core.link_closed(into))

    def crash(self, label: str) -> None:
        """End a node without a word."""
        node = self.nodes.pop(label)
        for link, (far, into) in list(node.ends.items()):
            self._part(node, link)
            self.do(far, far.core.link_closed(into))

    def _part(self, near: Node, out: Link) -> None:
        far, into = near.ends.pop(out)
        del far.ends[into]
        for end in ((near, out), (far, into)):
            self._wires.pop(end, None)

    # Doing

    def bind(self, label: str, *names: str) -> None:
        """Have a node serve addresses of its own, or offer capabilities: ``<capability> <address>``."""
        core = self[label].core
        for name in names:
            capability, space, address = name.rpartition(" ")
            self.do(self[label], core.advertise(capability, address) if space else core.bind(address))

    def unbind(self, label: str, *addresses: str) -> None:
        """Undo `bind` of addresses."""
        for address in addresses:
            self.do(self[label], self[label].core.unbind(address))

    def call(self, label: str, to: str | None, **how: object) -> CallKey:
        """Start a call and let things settle; `how` as in `NodeCore.call`."""
        key, effects = self[label].core.call(to, "add", b"{}", self.now, **how)  # type: ignore[arg-type]  # tests only
        self.do(self[label], effects)
        self.run()
        return key

    def outcomes(self, label: str, key: CallKey) -> list[Outcome]:
        """Return how a call ended."""
        return [e.outcome for e in self[label].log if isinstance(e, CallEnded) and e.key == key]

    def feed(self, source: str, target: str, message: Json | bytes) -> None:
        """Have a node get what another one never said, over the link between them."""
        data = message if isinstance(message, bytes) else json.dumps(message).encode()
        self.do(self[target], self[target].core.receive(self[target].link_to(source), data, self.now))

    def do(self, node: Node, effects: list[Effect]) -> None:
        """Carry out what a core asks for."""
        self._stirred[node] = None
        node.log += effects
        for effect in effects:
            if isinstance(effect, Send) and effect.link in node.ends:
                self._wires.setdefault((node, effect.link), deque()).append(effect.data)
            elif isinstance(effect, CloseLink) and effect.link in node.ends:
                far, into = node.ends[effect.link]
                self._drain((node, effect.link))
                if effect.link in node.ends:
                    self._part(node, effect.link)
                    self.do(far, far.core.link_closed(into))

    def deliver(self, source: str, target: str) -> None:
        """Have one node get what another one has sent it, and nothing else happen."""
        self._drain((self[source], self[source].link_to(target)))

    def step(self, count: int) -> None:
        """Let so many messages arrive, or as many as there are, and no more."""
        for _ in range(count):
            if self._wires:
                self._deliver(self.order.choice([*self._wires]) if self.order else next(iter(self._wires)))

    def run(self) -> None:
        """Let every turn end and every message arrive until nothing is left to do at this time."""
        self._stirred |= dict.fromkeys(self.nodes.values())
        for _ in range(20_000):
            while self._stirred:
                node = next(iter(self._stirred))
                del self._stirred[node]
                self._tick(node)
            if not self._wires:
                return
            self._deliver(self.order.choice([*self._wires]) if self.order else next(iter(self._wires)))
        raise AssertionError("it never comes to rest")

    def advance(self, seconds: float) -> None:
        """Let time pass and timers fire whenever they are due."""
        end = self.now + seconds
        self.run()
        while (due := min(self._deadlines(), default=end + 1)) <= end:
            self.now = max(self.now, due)
            self.run()
        self.now = end

    def _deadlines(self) -> list[float]:
        return [due for node in self.nodes.values() if (due := node.core.next_deadline()) is not None]

    def _tick(self, node: Node) -> None:
        due = node.core.next_deadline()
        if due is not None and due <= self.now:
            self.do(node, node.core.tick(self.now))

    def _drain(self, end: tuple[Node, Link]) -> None:
        while end in self._wires:
            self._deliver(end)

    def _deliver(self, end: tuple[Node, Link]) -> None:
        node, link = end
        wire = self._wires[end]
        data = wire.popleft()
        if not wire:
            del self._wires[end]
        far, into = node.ends[link]
        message = Passed(node.label, far.label, json.loads(data)["frame"], len(data))
        if not self.lost(message):
            self.passed.append(message)
            self.do(far, far.core.receive(into, data, self.now))

    # Looking

    def updates(self, source: str = "", target: str = "") -> list[Passed]:
        """Return the updates that passed since the last look at everything (`forget`)."""
        return self._of("MeshUpdate", source, target)

    def summaries(self, source: str = "", target: str = "") -> list[Passed]:
        """Return the summaries that passed since the last look at everything (`forget`)."""
        return self._of("MeshSummary", source, target)

    def _of(self, kind: str, source: str, target: str) -> list[Passed]:
        return [p for p in self.passed if p.kind == kind and source in ("", p.source) and target in ("", p.target)]

    def forget(self) -> None:
        """Begin to look anew."""
        self.passed.clear()
        for node in self.nodes.values():
            node.log.clear()

    def way(self, label: str, destination: str) -> list[str]:
        """Return the sentinels on the way to a name, [] when there is none."""
        rows = [r for r in report.routes(self[label].core.state, self.now) if r["destination"] == destination]
        return list(rows[0]["via"]) if rows else []  # type: ignore[call-overload]  # rows are plain values

    def within(self, label: str) -> list[Record]:
        """Return the records a node has of everybody within its reach, its own first."""
        node = self[label]
        settle(node.core.state, self.now)
        return [node.mesh.own, *(record for record in node.mesh.records.values() if record.lost_at is None)]

    def reach(self, label: str) -> set[str]:
        """Return the ids of the others within a node's reach."""
        return {record.node_id for record in self.within(label)[1:]}

    def contents(self, label: str) -> dict[str, tuple[dict[str, int], dict[str, int]]]:
        """Return the links and offers of everybody within a node's reach, as it knows them."""
        return {r.node_id: (dict(r.links.items()), dict(r.offers.items())) for r in self.within(label)}

    def agree(self) -> bool:
        """Tell whether all sentinels know the same."""
        routers = [label for label, node in self.nodes.items() if node.core.settings.routes]
        return all(self.contents(label) == self.contents(routers[0]) for label in routers)


def update_of(*records: Json) -> Json:
    """Make an update as JSON."""
    return envelope_of({"type": "MeshUpdate", "records": list(records)})


def record_of(node_id: str, *, instance: str = "", incarnation: int = 1, **sections: Json) -> Json:
    """Make a record of an update: whole sets of version 1, unless `links` and `offers` say otherwise."""
    return {"id": node_id, "instance": instance or f"instance-of-{node_id}", "incarnation": incarnation, **sections}


def whole(version: int = 1, **put: int) -> Json:
    """Make a whole set."""
    return {"base": 0, "version": version, "put": put}


def summary_of(have: Json, **fields: str) -> Json:
    """Make a summary as JSON."""
    return envelope_of({"type": "MeshSummary", "have": have, **fields})


def envelope_of(frame: Json) -> Json:
    """Make a control envelope, counted against no flow."""
    return {"version": "1.0", "id": "e1", "frame": frame, "ts": STAMP}
