"""Targets that links lead to: requests, envelopes, handshakes, and the messages of neighbours of every kind."""

import asyncio
import contextlib
import json
from functools import cache
from types import SimpleNamespace

import msgspec
from core_rig import Rig, ack_of, attach_of, make_envelope, make_request, types
from fuzz_parts import Target, keys, split, together
from neighbour_rig import MATH, everybody, is_still_well, seeds
from secure_rig import SecureRig

from fame_cli.core.address import parse
from fame_cli.core.batch import joined, one_line, parted
from fame_cli.core.custody import Delivery, Mailbox
from fame_cli.core.effects import Effect, Keep, Move, Send
from fame_cli.core.envelope import decode, encode, peek, with_ttl
from fame_cli.core.frames import Data
from fame_cli.core.grant import Grant
from fame_cli.core.link import LinkKind
from fame_cli.core.message import Message
from fame_cli.errors import RemoteProtocolError
from fame_cli.net.answer import Answer, Asked, Page, Route
from fame_cli.net.choice import Network
from fame_cli.node.listening import Listener
from fame_cli.node.runner import Node
from fame_cli.security.canonical import canonical, frame_digest, payload_digest, signed_bytes
from fame_cli.security.signing import check, security_of

__all__ = ["TARGETS"]

# Requests


@cache
def _answer() -> Answer:
    """Return what answers the requests of a listener, which has none to listen with."""
    found: list[Answer] = []

    async def listen(host: str, port: int, turn: object, answer: Answer, *rest: object, **more: object) -> object:
        found.append(answer)
        return SimpleNamespace(sockets=[SimpleNamespace(getsockname=lambda: (host, port))])

    async def main() -> None:
        node = Node("s1", routes=True)
        node.network = Network("none", node.network.dial, listen)  # type: ignore[arg-type]  # of this form
        await Listener(node, has_parent=False, max_links=10).start("127.0.0.1", 1)

    asyncio.run(main())
    return found[0]


def _request(data: bytes) -> None:
    """Answer a request for a link or a page."""
    path, token, proof, *_ = [*data.decode("latin-1").split("\n"), "", ""]
    answer = _answer()(Asked(path, token, proof, "127.0.0.1"))
    if isinstance(answer, Route):
        assert answer.kind in ("downstream", "peer")
        assert answer.remote_id in path
    else:
        assert isinstance(answer, Page)
        assert answer.status in (200, 403, 404, 503)
        assert json.loads(answer.body)


def _requests() -> list[bytes]:
    pages = ("healthz", "readyz", "fame/v1/attach/health", "fame/v1/attach/ws/downstream/a1?x=1\ntoken\nproof")
    return [f"/{page}".encode() for page in (*pages, "fame/v1/attach/ws/peer/s2", "fame/v1/attach/ws/Peer/a/b")]


# Envelopes


def _envelope(data: bytes) -> None:
    """Read one envelope, and everything that looks into it by itself."""
    for line in parted(data):
        assert line in data
    with contextlib.suppress(RemoteProtocolError):
        assert b"\n" not in one_line(data)
    with contextlib.suppress(RemoteProtocolError):
        canonical(data)
    peek(data)
    try:
        envelope = decode(data)
    except RemoteProtocolError:
        return
    written = encode(envelope)
    assert decode(written) == envelope
    assert joined([written, written]) == [written + b"\n" + written] or b"\n" in written or len(written) > 30_000
    assert decode(with_ttl(envelope, data, 7)) == msgspec.structs.replace(envelope, ttl=7)
    for address in (envelope.to, envelope.reply_to):
        with contextlib.suppress(RemoteProtocolError):
            parse(address or "")
    security_of(envelope)
    with contextlib.suppress(RemoteProtocolError):
        digest = payload_digest(envelope.frame.payload) if isinstance(envelope.frame, Data) else ""
        signed_bytes(envelope, envelope.sid or "", digest or frame_digest(envelope.frame))
    with contextlib.suppress(RemoteProtocolError):
        check(envelope, keys("a1").signing.public_key())


def _envelopes() -> list[bytes]:
    return [*(json.dumps(seed).encode() for seed in seeds()), *_signed()]


# An open sentinel


def _messages(data: bytes) -> None:
    """Give a sentinel with neighbours of every kind messages of one of them."""
    door, messages = split(data)
    rig, links = everybody()
    link = links[door % len(links)]
    for message in messages:
        rig.feed(link, message)
    rig.advance(2.0)
    assert is_still_well(rig, links, link)


def _messages_seeds() -> list[bytes]:
    honest = seeds()
    return [together(number % 7, honest[number], honest[-number]) for number in range(len(honest))]


# Handshakes

DOORS = ((LinkKind.CHILD, False), (LinkKind.PEER, False), (LinkKind.PEER, True), (LinkKind.PARENT, True))


def _handshake(data: bytes) -> None:
    """Give a sentinel messages of a neighbour that hasn't attached, on each side of a dial."""
    door, messages = split(data)
    kind, dialed = DOORS[door % len(DOORS)]
    rig = Rig()
    honest = rig.child("honest")
    link = rig.open(kind, "late", dialed=dialed)
    for message in messages:
        rig.feed(link, message)
    rig.advance(12.0)
    rig.said(honest)
    rig.feed(honest, make_envelope({"type": "NodeHeartbeat"}))
    assert "NodeHeartbeatAck" in types(rig.said(honest))


def _handshakes() -> list[bytes]:
    rig = Rig()
    rig.open(LinkKind.PEER, dialed=True)
    [sent] = [json.loads(effect.data) for effect in rig.log if isinstance(effect, Send)]
    bind = make_envelope({"type": "AddressBind", "address": MATH})
    heartbeat = make_envelope({"type": "NodeHeartbeat"})
    return [
        together(0, attach_of("late", LinkKind.CHILD), bind, heartbeat),
        together(0, attach_of("late", LinkKind.CHILD, ours=True), bind, make_request("__rpc__x@/s1/late")),
        together(1, attach_of("late", LinkKind.PEER, ours=True), make_envelope({"type": "MeshSummary", "have": {}})),
        together(2, ack_of(sent, "s2", "/s2", None, ours=True), heartbeat),
        together(3, ack_of(sent, "root", "/root", "/root/s1"), heartbeat),
    ]


# A sentinel that verifies


class _Fixed(SecureRig):
    """Have the same keys each time."""

    def allow(self, label: str, *, node: str = "", **how: object) -> Grant:
        self.keys.setdefault(label, keys(label))
        return super().allow(label, node=node, **how)


def _secured() -> _Fixed:
    rig = _Fixed("s1", "s2")
    rig.chain("s1", "s2")
    rig.leaf("a1", "s1", MATH)
    rig.leaf("c1", "s1")
    return rig


@cache
def _signed() -> tuple[bytes, ...]:
    """Return what passes between nodes that sign: attaching, binding, records, a call and its answer."""
    rig = _secured()
    rig.call("c1", MATH)
    rig.answer("a1")
    said = [effect.data for node in rig.nodes.values() for effect in node.log if isinstance(effect, Send)]
    return tuple(dict.fromkeys(said))


def _overlay(data: bytes) -> None:
    """Give a sentinel that wants signatures messages of an agent, a client or a peer; the others can still call."""
    door, messages = split(data)
    rig = _secured()
    source = ("a1", "c1", "s2")[door % 3]
    for message in messages:
        if rig["s1"].ends and any(node.label == source for node, _ in rig["s1"].ends.values()):
            rig.feed(source, "s1", message)
            rig.run()
    rig.advance(2.0)
    if source == "s2":
        key = rig.call("c1", MATH)
        rig.answer("a1")
        assert [outcome.kind for outcome in rig.outcomes("c1", key)] == ["result"]


def _overlay_seeds() -> list[bytes]:
    return [together(number % 3, line) for number, line in enumerate(_signed())]


# A sentinel that keeps messages

AWAY = "away@fame.fabric"


class _Post(Rig):
    """Have a mailbox, a message of its own under way to an agent, and a disk that writes at once."""

    def __init__(self) -> None:
        super().__init__(mailboxes={AWAY: Mailbox(AWAY, max_messages=4)}, delivery=Delivery(max_messages=6))
        self.do(self.core.advertise(f"mail:{AWAY}", AWAY))
        self.links = [self.child("a", ours=True), self.child("c"), self.peer("s2", ours=True)]
        self.bind(self.links[0], MATH)
        own, effects = self.core.send(MATH, b"1", self.now)
        assert isinstance(own, Message)
        self.own = own.id
        self.do(effects)

    def do(self, effects: list[Effect]) -> list[Effect]:
        super().do(effects)
        for effect in effects:
            if isinstance(effect, Keep):
                self.do(self.core.kept(effect.message.box, effect.message.id, self.now))
            elif isinstance(effect, Move):
                self.do(self.core.moved(effect.message.id, self.now))
        return effects


def _mail(data: bytes) -> None:
    """Give a sentinel with boxes messages of a neighbour; what it counts stays true, and within its bounds."""
    door, messages = split(data)
    rig = _Post()
    for message in messages:
        rig.feed(rig.links[door % 3], message)
    rig.advance(12.0)
    state = rig.core.state
    assert len(state.inbox) == state.inbox.size == len(state.inbox.owed) == 0
    kept = list(state.outbox)
    assert len(kept) == len(state.outbox) == len({each.id for each in kept}) <= 6
    assert sum(len(each.payload) for each in kept) == state.outbox.size
    assert sum(each.mailbox for each in kept) <= 4
    if rig.own.encode() not in data:
        assert rig.own in {each.id for each in kept}  # who doesn't know what it is called can't have it gone


def _mail_seeds() -> list[bytes]:
    def sent(number: int, **fields: object) -> dict[str, object]:
        meta = {"fame.lane": "c/1", "fame.seq": number, "fame.prev": number - 1}
        told = {"id": f"e{number}", "to": AWAY, "replyTo": "__sys__@/s1/c", "rtype": 1, "corrId": f"m{number}"}
        return make_envelope({"type": "Data", "payload": number}, **{**told, "meta": meta, **fields})

    own = _Post().own
    yes = make_envelope({"type": "DeliveryAck", "ok": True, "refId": own}, to="__sys__@/s1", corrId=own)
    no = make_envelope({"type": "DeliveryAck", "ok": False, "code": "NO_ROUTE"}, to="__sys__@/s1", corrId=own)
    bind = make_envelope({"type": "AddressBind", "address": AWAY})
    return [
        together(1, sent(1), sent(2), sent(1), sent(4)),
        together(1, sent(1, meta=None), sent(1, meta=None), sent(2, meta={"fame.sender": "/s9/c"})),
        together(0, no, yes, sent(1, to=MATH)),
        together(0, sent(1), bind, sent(2)),
        together(2, sent(1, to="__sys__@/s1"), sent(1, corrId=own)),
    ]


TARGETS = {
    "request": Target(_request, _requests),
    "envelope": Target(_envelope, _envelopes),
    "messages": Target(_messages, _messages_seeds),
    "handshake": Target(_handshake, _handshakes),
    "mail": Target(_mail, _mail_seeds),
    "overlay": Target(_overlay, _overlay_seeds),
}
