"""Whatever comes in, in whatever state: nothing raises, no other link is touched, and honest neighbours are served.

Real envelopes with one thing wrong reach deeper than random bytes; both are tried, and every kind of link with them.
"""

import json

import pytest
from core_rig import PROPERTY, make_envelope
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from neighbour_rig import HOSTILE, MATH, RECORD, everybody, is_still_well, seeds

from fame_cli.core.effects import CloseLink
from fame_cli.core.link import LOCAL, next_link

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
