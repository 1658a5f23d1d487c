"""One real core and neighbours that are nothing but JSON: what most core tests stand on.

A neighbour is a `Link`; what it says goes in as bytes by `feed`, what the core answers it comes out as dicts by `said`.
Ids are counted, time is `rig.now`, nothing runs by itself.
"""

import json
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path

from hypothesis import settings

from fame_cli.core.balance import NEAREST, Balance
from fame_cli.core.calls import CallKey
from fame_cli.core.custody import Delivery, Mailbox
from fame_cli.core.effects import CallEnded, CloseLink, Dispatch, Effect, ItemArrived, Note, Outcome, Request, Send
from fame_cli.core.grant import Grant
from fame_cli.core.limits import Limits
from fame_cli.core.link import Link, LinkKind
from fame_cli.core.node import NodeCore
from fame_cli.core.session import Session
from fame_cli.core.settings import EXTENSIONS, MAX_HOPS, SILENCE_S, Settings

VECTORS = Path(__file__).parents[1] / "vectors"

MATH = "math1@fame.fabric"
CLIENT = "__rpc__x@/s1/c"
"""The address of the agent and the reply address of the client that `Trio` is."""

STAMP = "2026-01-01T00:00:00.000Z"

PROPERTY = settings(deadline=None, derandomize=True, max_examples=40)
"""What every property test of this folder runs under: the same examples each time, few enough to stay quick."""

Json = dict[str, object]


def counted_ids() -> Iterator[str]:
    """Make ids of the wire's length that tell their order."""
    return (f"id{number:014}" for number in count(1))


def make_envelope(frame: Json | None = None, **fields: object) -> Json:
    """Make an envelope as JSON: a request for `math1@fame.fabric` unless told otherwise; None leaves a field out."""
    if frame is None:
        frame = {"type": "Data", "payload": {"jsonrpc": "2.0", "id": "c1", "method": "add", "params": {"x": 1}}}
    envelope: Json = {"version": "1.0", "id": "e1", "traceId": "t1", "flowId": "f1", "seqId": 0, "flowFlags": 0}
    envelope |= {"frame": frame, "ts": STAMP} | fields
    return {key: value for key, value in envelope.items() if value is not None}


def make_request(reply_to: str, **fields: object) -> Json:
    """Make a request for `math1@fame.fabric` that wants its answer at `reply_to`."""
    return make_envelope(**{"to": "math1@fame.fabric", "replyTo": reply_to, "rtype": 2, "corrId": "c1", **fields})


def make_answer(to: str, corr_id: str = "c1", **payload: object) -> Json:
    """Make an answer; `payload` is the result or error of its JSON-RPC response."""
    frame: Json = {"type": "Data", "payload": {"jsonrpc": "2.0", "id": corr_id, **payload}}
    return make_envelope(frame, id="e2", to=to, corrId=corr_id, flowId="f2")


def vector_lines(name: str) -> list[Json]:
    """Read one captured transcript."""
    return [json.loads(line) for line in (VECTORS / f"{name}.jsonl").read_text().splitlines()]


class Rig:
    """Hold a core, its time and what it has said and done."""

    def __init__(
        self,
        node_id: str = "s1",
        *,
        routes: bool = True,
        max_message_bytes: int = 262_144,
        max_hops: int = MAX_HOPS,
        balance: Balance = NEAREST,
        limits: Limits | None = None,
        silence_s: float = SILENCE_S,
        delivery: Delivery | None = None,
        mailboxes: Mapping[str, Mailbox] | None = None,
    ) -> None:
        ids = counted_ids()
        own = Settings(
            node_id,
            f"instance-of-{node_id}",
            routes,
            max_message_bytes=max_message_bytes,
            max_hops=max_hops,
            balance=balance,
            limits=limits or Limits(),
            silence_s=silence_s,
            delivery=delivery or Delivery(),
            mailboxes=mailboxes or {},
        )
        self.core = NodeCore(own, lambda: next(ids), lambda: STAMP)
        self.now = 0.0
        self.log: list[Effect] = []
        self._numbers = count(1)
        self._versions = count(1)
        self._ties: dict[str, dict[str, int]] = {}
        self._summed_up: set[Link] = set()
        self._unread: dict[Link, list[Json]] = {}
        self._granted: dict[Link, list[Json]] = {}

    # Neighbours

    def open(
        self, kind: LinkKind, remote_id: str = "", *, dialed: bool = False, grant: Grant | None = None, host: str = ""
    ) -> Link:
        """Open a link that isn't attached yet."""
        link = Link(next(self._numbers), kind, dialed, "" if dialed else remote_id, grant=grant, host=host)
        self.do(self.core.link_opened(link, self.now))
        return link

    def child(
        self,
        name: str,
        *,
        ours: bool = False,
        sentinel: bool = False,
        instance: str = "",
        grant: Grant | None = None,
        host: str = "",
    ) -> Link:
        """Attach a child that dialled us: a leaf, or a sentinel of ours, which takes part in the mesh."""
        link = self.open(LinkKind.CHILD, name, grant=grant, host=host)
        return self._accept(link, ours or sentinel, sentinel, instance)

    def peer(self, name: str, *, ours: bool = False, instance: str = "", grant: Grant | None = None) -> Link:
        """Attach a peer that dialled us; one of ours takes part in the mesh."""
        return self._accept(self.open(LinkKind.PEER, name, grant=grant), ours, False, instance)

    def dialed_peer(self, name: str, *, ours: bool = False, instance: str = "") -> Link:
        """Attach to a peer that we dialled."""
        return self._dial(LinkKind.PEER, name, f"/{name}", None, ours, instance)

    def parent(self, name: str = "root", *, path: str = "/root/s1", ours: bool = False) -> Link:
        """Attach to a parent that we dialled and that gives us `path`."""
        return self._dial(LinkKind.PARENT, name, f"/{name}", path, ours, "")

    def _accept(self, link: Link, ours: bool, sentinel: bool, instance: str) -> Link:
        attach = attach_of(link.remote_id, link.kind, ours=ours, sentinel=sentinel, instance=instance)
        self.feed(link, attach)
        assert self.session(link).is_open
        self._unread.pop(link)
        return link

    def _dial(self, kind: LinkKind, name: str, path: str, assigned: str | None, ours: bool, instance: str) -> Link:
        link = self.open(kind, dialed=True)
        [attach] = self.said(link)
        self.feed(link, ack_of(attach, name, path, assigned, ours=ours, instance=instance))
        return link

    def mesh_offer(self, link: Link, node_id: str, offers: Mapping[str, int]) -> None:
        """Have a sentinel offer exactly these names to the mesh: the neighbour at `link`, or one right behind it.

        What is said begins with the neighbour's summary and its own link to us. Call `settle` before it counts.

        Args:
            offers: name → 1 when it is bound there, 2 when a plain neighbour told of it.
        """
        if link not in self._summed_up:
            self._summed_up.add(link)
            self.feed(link, make_envelope({"type": "MeshSummary", "have": {}}))
        near = link.remote_id
        self._ties.setdefault(near, {})[self.core.settings.node_id] = 1
        if node_id != near:
            self._ties[near][node_id] = 1
            self._ties.setdefault(node_id, {})[near] = 1
        records = [self._record(near, "links", self._ties[near]), self._record(node_id, "offers", offers)]
        if node_id != near:
            records.append(self._record(node_id, "links", self._ties[node_id]))
        self.feed(link, make_envelope({"type": "MeshUpdate", "records": records}))

    def _record(self, node_id: str, part: str, names: Mapping[str, int]) -> Json:
        whole = {"base": 0, "version": next(self._versions), "put": dict(names)}
        return {"id": node_id, "instance": f"instance-of-{node_id}", "incarnation": 1, part: whole}

    # Doing

    def settle(self) -> list[Effect]:
        """Let the turn end: what has changed is sent, and next hops are computed before they are asked for again."""
        return self.do(self.core.tick(self.now))

    def do(self, effects: list[Effect]) -> list[Effect]:
        """Record what the core asks for."""
        self.log += effects
        for effect in effects:
            if isinstance(effect, Send):
                self._unread.setdefault(effect.link, []).append(json.loads(effect.data))
        return effects

    def feed(self, link: Link, message: Json | bytes) -> list[Effect]:
        """Give the core one message of a link."""
        data = message if isinstance(message, bytes) else json.dumps(message, ensure_ascii=False).encode()
        return self.do(self.core.receive(link, data, self.now))

    def bind(self, link: Link, address: str) -> None:
        """Have a neighbour bind an address, and forget what was said about it."""
        self.feed(link, make_envelope({"type": "AddressBind", "address": address}))
        self._unread.clear()
        self._granted.clear()

    def call(self, to: str | None, method: str = "add", **how: object) -> CallKey:
        """Start a call of the core's own; `how` as in `NodeCore.call`."""
        key, effects = self.core.call(to, method, b"{}", self.now, **how)  # type: ignore[arg-type]  # tests only
        self.do(effects)
        return key

    def advance(self, seconds: float) -> list[Effect]:
        """Let time pass and the core's timer fire whenever it asks for it."""
        end = self.now + seconds
        done: list[Effect] = []
        while (deadline := self.core.next_deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            done += self.do(self.core.tick(self.now))
        self.now = end
        return done

    # Looking

    def session(self, link: Link) -> Session:
        """Return the session of a link."""
        return next(session for session in self.core.sessions() if session.link is link)

    def said(self, link: Link, *, credits: bool = False) -> list[Json]:
        """Return what was sent on a link since the last look, credits left out unless asked for (see `granted`)."""
        said = self._unread.pop(link, [])
        if credits:
            return said
        self._granted.setdefault(link, []).extend(m for m in said if m["frame"]["type"] == "CreditUpdate")
        return [message for message in said if message["frame"]["type"] != "CreditUpdate"]

    def granted(self, link: Link) -> list[Json]:
        """Return the credits given on a link since the last look."""
        rest = self.said(link)
        if rest:
            self._unread[link] = rest
        return self._granted.pop(link, [])

    def requests(self) -> list[Request]:
        """Return what was dispatched here."""
        return [effect.request for effect in self.log if isinstance(effect, Dispatch)]

    def outcomes(self, key: CallKey) -> list[Outcome]:
        """Return how a call of ours ended, once for each time it did."""
        return [effect.outcome for effect in self.log if isinstance(effect, CallEnded) and effect.key == key]

    def items(self, key: CallKey) -> list[bytes]:
        """Return the stream items that arrived for a call of ours."""
        return [bytes(effect.value) for effect in self.log if isinstance(effect, ItemArrived) and effect.key == key]

    def closed(self) -> list[tuple[Link, int, str]]:
        """Return the links the core has closed."""
        return [(effect.link, effect.code, effect.reason) for effect in self.log if isinstance(effect, CloseLink)]

    def noted(self, event: str) -> list[Note]:
        """Return the notes of one event."""
        return [effect for effect in self.log if isinstance(effect, Note) and effect.event == event]


class Trio:
    """Be a sentinel with an agent that serves `math1@fame.fabric` and a client, all given as JSON."""

    def __init__(self, *, ours: bool = False) -> None:
        self.rig = Rig()
        self.agent = self.rig.child("a1", ours=ours)
        self.client = self.rig.child("c", ours=ours)
        self.rig.bind(self.agent, MATH)

    def ask(self, **changes: object) -> list[Json]:
        """Send a request from the client and return what the agent got."""
        self.rig.feed(self.client, make_request(CLIENT, **changes))
        return self.rig.said(self.agent)

    def answer(self, corr_id: str = "c1", **payload: object) -> list[Json]:
        """Send an answer from the agent and return what the client got."""
        self.rig.feed(self.agent, make_answer(CLIENT, corr_id, **payload))
        return self.rig.said(self.client)

    def item(self, number: int, corr_id: str = "c1") -> None:
        """Send one stream item in a flow of its own."""
        self.rig.feed(self.agent, make_answer(CLIENT, corr_id, result=number) | {"flowId": corr_id})


def offer_of(instance: str, *, sentinel: bool = True) -> Json:
    """Make the `meta` with which a node of ours offers its extensions; only a sentinel offers the mesh."""
    extensions = [name for name in EXTENSIONS if sentinel or name != "mesh"]
    own: Json = {"fame.ext": extensions, "fame.window": 256, "fame.instance": instance}
    own["fame.silence"] = 10_000
    return own | {"fame.cost": 1} if sentinel else own


def attach_of(
    name: str, kind: LinkKind, *, ours: bool = False, sentinel: bool = False, instance: str = "", **fields: object
) -> Json:
    """Make the NodeAttach of a neighbour; a peer is always a sentinel."""
    instance = instance or f"instance-of-{name}"
    origin = "peer" if kind is LinkKind.PEER else "downstream"
    frame: Json = {"type": "NodeAttach", "originType": origin, "systemId": name, "instanceId": instance}
    meta = offer_of(instance, sentinel=sentinel or kind is LinkKind.PEER) if ours else None
    return make_envelope(frame, **{"id": "attach", "corrId": "attach-corr", "meta": meta, **fields})


def ack_of(attach: Json, name: str, path: str, assigned: str | None, *, ours: bool = False, instance: str = "") -> Json:
    """Make the positive NodeAttachAck of a neighbour called `name` at `path`."""
    frame: Json = {
        "type": "NodeAttachAck",
        "ok": True,
        "refId": attach["id"],
        "targetSystemId": name,
        "targetPhysicalPath": path,
        "routingEpoch": "epoch-1",
    }
    if assigned is not None:
        frame["assignedPath"] = assigned
    meta = offer_of(instance or f"instance-of-{name}") if ours else None
    return make_envelope(frame, id="ack", corrId=attach["corrId"], meta=meta)


def frames(messages: list[Json], kind: str) -> list[Json]:
    """Return the frames of one type out of what was said."""
    found = [message["frame"] for message in messages]
    return [frame for frame in found if isinstance(frame, dict) and frame["type"] == kind]


def types(messages: list[Json]) -> list[str]:
    """Return the frame types of what was said, in order."""
    return [str(frame["type"]) for message in messages if isinstance(frame := message["frame"], dict)]


def nack_of(messages: list[Json]) -> Json:
    """Return the one thing said, a NACK, with the code, reason and `refId` of its frame beside its own fields."""
    [message] = messages
    frame = message["frame"]
    assert isinstance(frame, dict)
    assert (frame["type"], frame["ok"]) == ("DeliveryAck", False)
    return message | {"code": frame["code"], "refId": frame["refId"], "reason": frame["reason"]}


def cancel_of(reply_to: str = CLIENT, corr_id: str | None = "c1") -> Json:
    """Make the CallCancel of a call."""
    return make_envelope({"type": "CallCancel"}, replyTo=reply_to, corrId=corr_id)


def caller() -> tuple[Rig, Link]:
    """Be a client below a sentinel of ours; the link leads to the sentinel."""
    rig = Rig("c", routes=False)
    return rig, rig.parent("s1", path="/s1/c", ours=True)
