"""Whatever comes in, in whatever state: nothing raises, no other link is touched, and honest neighbours are served.

Real envelopes with one thing wrong reach deeper than random bytes; both are tried, and every kind of link with them.
"""

import json
from functools import cache

import pytest
from core_rig import (
    PROPERTY,
    VECTORS,
    Json,
    Rig,
    make_answer,
    make_envelope,
    make_request,
    offer_of,
    types,
    vector_lines,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fame_cli.core.effects import CloseLink
from fame_cli.core.link import LOCAL, Link, LinkKind, next_link

MATH = "math1@fame.fabric"

HOSTILE: list[object] = [
    None,
    True,
    0,
    -1,
    2**53,
    2**63,
    2**64,
    10**30,
    1.5,
    "",
    "x",
    "@",
    "x@",
    "nobody@/s1",
    "__sys__@/s1",
    "__sys__@/s2",
    "x@*",
    "*@*.x",
    "x@*.fame.fabric",
    "x@/s1/a1",
    "x@/s2/a2",
    "x" * 5000,
    "x@" + "a" * 5000,
    "\u0000",
    "é\U0001f600@fame.fabric",
    [],
    [None],
    ["x", 5],
    {},
    {"a": {"b": [1]}},
    {"fame.trace": 5, "fame.ext": 5, "fame.window": "x", "fame.via": 5, "fame.timeout": "x", "fame.digest": 5},
    {"fame.via": "s9", "fame.session": [], "fame.timeout": 10**30, "fame.digest": "x"},
    {"fame.trace": [None, "x" * 9999], "fame.ext": ["cancel"], "fame.window": -1, "fame.instance": {}},
]
"""Values that don't belong where they will be put."""


RECORD: Json = {
    "id": "s9",
    "instance": "i",
    "incarnation": 2,
    "links": {"base": 0, "version": 2, "final": 3, "put": {"s2": 1, "s1": 1}},
    "offers": {"base": 0, "version": 1, "put": {MATH: 1, "op:own own@fame.fabric": 2, "/s9": 1}, "drop": ["x"]},
}
"""What a sentinel of the mesh says of another."""


def everybody() -> tuple[Rig, list[Link]]:
    """Be a sentinel with every kind of neighbour, calls in flight in every direction, and a stream being produced."""
    rig = Rig("s1")
    links = [
        rig.child("a1"),
        rig.child("c", ours=True),
        rig.peer("s2", ours=True),
        rig.dialed_peer("s3"),
        rig.parent("root", path="/s1", ours=True),
        rig.open(LinkKind.CHILD, "late"),
        rig.open(LinkKind.PEER, dialed=True),
    ]
    rig.bind(links[0], MATH)
    rig.do(rig.core.bind("own@fame.fabric"))
    rig.do(rig.core.advertise("op:own", "own@fame.fabric"))
    rig.feed(links[1], make_request("__rpc__x@/s1/c"))
    rig.feed(links[1], make_request("__rpc__x@/s1/c", to="own@fame.fabric", corrId="c2", rtype=4))
    rig.session(links[1]).flow.send_window = 4
    while rig.core.writable(("__rpc__x@/s1/c", "c2")):
        rig.do(rig.core.reply_item(("__rpc__x@/s1/c", "c2"), b"1", 0.0))
    rig.call(MATH, streaming=True)
    rig.call("far@fame.fabric")
    return rig, links


def is_still_well(rig: Rig, links: list[Link], attacker: Link) -> bool:
    """Tell whether an honest neighbour of the attacker still has its link and is served.

    Whatever was dispatched here meanwhile is answered first: that must not fail either.
    """
    for request in rig.requests():
        if request.key is not None:
            rig.do(rig.core.reply(request.key, b"1", rig.now))
    honest = next(link for link in links[1:3] if link is not attacker)
    if not rig.session(honest).is_open:
        return False
    rig.said(honest)
    rig.feed(honest, make_envelope({"type": "NodeHeartbeat"}))
    return "NodeHeartbeatAck" in types(rig.said(honest))


@cache
def seeds() -> list[Json]:
    """Return one real envelope for every frame type of the transcripts, and one of each that only we send."""
    found: dict[str, Json] = {}
    for path in sorted(VECTORS.glob("*.jsonl")):
        for line in vector_lines(path.stem):
            if line.get("opcode") == "binary" and not line.get("elided"):
                envelope = json.loads(str(line["text"]))
                found.setdefault(envelope["frame"]["type"], envelope)
    ours = [
        make_envelope({"type": "CallCancel"}, replyTo="__rpc__x@/s1/c", corrId="c1"),
        make_envelope({"type": "CapabilityWithdraw", "capabilities": ["a"], "address": MATH}),
        make_envelope({"type": "SecureOpen", "cid": "c", "ephPub": "p"}, to=MATH, replyTo="x@/s1/c", corrId="c"),
        make_request("__rpc__x@/s1/c", meta={"fame.trace": []}, rtype=7, corrId="c9"),
        make_request("__rpc__x@/s1/c", to="own@fame.fabric", meta={"fame.trace": []}, rtype=7, corrId="c8"),
        make_answer("__rpc__x@/s1/c", "c1", result=1),
        make_envelope({"type": "CreditUpdate", "flowId": "c2", "credits": 32}),
        make_envelope(found["NodeAttach"]["frame"], meta=offer_of("i")),  # type: ignore[arg-type]  # it is a dict
        make_envelope({"type": "MeshSummary", "have": {"s1": [1, 1, 1], "s9": [2, 1, 1]}, "after": "", "upto": "x"}),
        make_envelope({"type": "MeshUpdate", "records": [RECORD]}),
        make_envelope({"type": "NodeHeartbeat"}, meta={"fame.digest": "0123456789abcdef"}),
    ]
    return [*found.values(), *ours]


FIELDS = ("id", "sid", "traceId", "to", "replyTo", "capabilities", "rtype", "corrId", "flowId", "seqId", "flowFlags")
MORE_FIELDS = ("ttl", "priority", "frame", "ts", "sec", "aft", "meta", "version")


@pytest.mark.parametrize("field", FIELDS + MORE_FIELDS)
def test_a_hostile_value_in_any_field_of_any_envelope_does_no_harm(field: str) -> None:
    rig, links = everybody()
    for seed in seeds():
        for value in HOSTILE:
            message = json.dumps(seed | {field: value}).encode()
            rig.feed(links[1], message)
    assert is_still_well(rig, links, links[1])
    assert not [effect for effect in rig.log if isinstance(effect, CloseLink)]


@pytest.mark.parametrize("number", range(7))
def test_a_hostile_value_in_any_field_of_any_frame_does_no_harm_on_any_link(number: int) -> None:
    rig, links = everybody()
    for seed in seeds():
        frame = seed["frame"]
        assert isinstance(frame, dict)
        for field in frame:
            for value in HOSTILE[:: 1 + number % 2]:
                rig.feed(links[number], json.dumps(seed | {"frame": frame | {field: value}}).encode())
    assert is_still_well(rig, links, links[number])


@pytest.mark.parametrize("number", range(7))
def test_a_hostile_value_anywhere_in_a_record_does_no_harm_on_any_link(number: int) -> None:
    rig, links = everybody()
    for value in HOSTILE:
        records = [RECORD | {field: value} for field in RECORD]
        for part in ("links", "offers"):
            delta = RECORD[part]
            assert isinstance(delta, dict)
            records += [RECORD | {part: delta | {field: value}} for field in (*delta, "drop")]
            records += [RECORD | {part: delta | {"put": {name: value}}} for name in ("s2", MATH, "", "/", "x y")]
            if isinstance(value, str):
                records += [RECORD | {part: delta | {"put": {value: 1}, "drop": [value]}}]
        for count, record in enumerate(records):
            message = make_envelope({"type": "MeshUpdate", "records": [record | {"incarnation": count + 3}, record]})
            rig.feed(links[number], json.dumps(message).encode())
        rig.settle()
    assert is_still_well(rig, links, links[number])


@pytest.mark.parametrize("number", range(7))
def test_deep_nesting_in_any_place_does_no_harm_on_any_link(number: int) -> None:
    rig, links = everybody()
    for depth in (100, 900, 1100, 20_000):
        deep = "[" * depth + "]" * depth
        for text in (
            f'{{"frame":{{"type":"Data","payload":{deep}}},"to":"{MATH}","replyTo":"x@/s1/c","corrId":"d","rtype":2}}',
            f'{{"frame":{{"type":"Data","payload":{{"jsonrpc":"2.0","method":"m","params":{deep}}}}},"to":"own@fame.fabric"}}',
            f'{{"frame":{{"type":"NodeHeartbeat"}},"meta":{{"fame.ext":{deep},"fame.trace":{deep}}}}}',
            f'{{"frame":{{"type":"NodeAttach","originType":"downstream","systemId":"late","instanceId":"i"}},'
            f'"meta":{{"fame.instance":{deep}}}}}',
            deep,
        ):
            rig.feed(links[number], text.encode())
    assert is_still_well(rig, links, links[number])


@settings(PROPERTY, max_examples=30)
@given(st.data())
def test_real_envelopes_with_bytes_changed_do_no_harm(data: st.DataObject) -> None:
    rig, links = everybody()
    link = data.draw(st.sampled_from(links))
    for _ in range(8):
        text = bytearray(json.dumps(data.draw(st.sampled_from(seeds()))).encode())
        for _ in range(data.draw(st.integers(1, 3))):
            start = data.draw(st.integers(0, len(text) - 1))
            text[start : start + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        rig.feed(link, bytes(text))
    assert is_still_well(rig, links, link)


@PROPERTY
@given(st.binary(max_size=300), st.integers(0, 6))
def test_any_bytes_do_no_harm(data: bytes, number: int) -> None:
    rig, links = everybody()
    rig.feed(links[number], data)
    assert is_still_well(rig, links, links[number])


class AnyOrder(RuleBasedStateMachine):
    """Let honest and hostile things happen in any order: nothing raises, and what is kept stays consistent."""

    which = st.integers(0, 6)

    @initialize()
    def begin(self) -> None:
        self.rig, self.links = everybody()

    @rule(number=which, seed=st.integers(0, 1000), field=st.sampled_from(FIELDS), value=st.sampled_from(HOSTILE))
    def receive(self, number: int, seed: int, field: str, value: object) -> None:
        self.rig.feed(self.links[number], json.dumps(seeds()[seed % len(seeds())] | {field: value}).encode())

    @rule(number=which, seed=st.integers(0, 1000))
    def receive_honestly(self, number: int, seed: int) -> None:
        self.rig.feed(self.links[number], seeds()[seed % len(seeds())])

    @rule(number=which)
    def lose(self, number: int) -> None:
        self.rig.do(self.rig.core.link_closed(self.links[number]))

    @rule(number=which)
    def stall(self, number: int) -> None:
        self.rig.do(self.rig.core.link_stalled(self.links[number]))

    @rule(number=which)
    def drain(self, number: int) -> None:
        self.rig.do(self.rig.core.link_drained(self.links[number]))

    @rule(number=which)
    def reconnect(self, number: int) -> None:
        kind, dialed = self.links[number].kind, self.links[number].dialed
        self.links[number] = self.rig.open(kind, f"n{number}", dialed=dialed)

    @rule(seconds=st.sampled_from([0.5, 3.0, 40.0]))
    def wait(self, seconds: float) -> None:
        self.rig.advance(seconds)

    @rule(to=st.sampled_from([MATH, "own@fame.fabric", "far@fame.fabric", "x@/s2/a", "__sys__@/s1"]))
    def call(self, to: str) -> None:
        key = self.rig.call(to, streaming=True)
        if key[1] != "":
            self.rig.do(self.rig.core.reply_item(key, b"1", self.rig.now))

    @rule()
    def rename(self) -> None:
        self.rig.do(self.rig.core.rename("s1"))

    @invariant()
    def only_open_links_are_in_the_table(self) -> None:
        table = self.rig.core.table
        known = {*table.children.values(), *table.peers.values(), *([table.parent] if table.parent else [])}
        ways = [way for name in [*table.names(), *table.paths()] for way in table.ways(name)]
        known |= {link for way in ways if (link := next_link(way)) is not None and link is not LOCAL}
        assert known <= {session.link for session in self.rig.core.sessions() if session.is_open}


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(PROPERTY, max_examples=15, stateful_step_count=25)
