"""Captured traffic of the real Naylence: every envelope is read and written back, and our sentinel answers in form.

A transcript is replayed against a core that plays the sentinel `s1`: what the real nodes sent goes in as it was, and
what comes out must have the form of what the real sentinel said. Where ours differs on purpose, a test says so.
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from functools import cache

import pytest
from core_rig import VECTORS, Json, Rig, vector_lines

from fame_cli.core.envelope import decode, encode
from fame_cli.core.ids import sid_of
from fame_cli.core.link import Link, LinkKind
from fame_cli.core.settings import MAX_HOPS

NAMES = sorted(path.stem for path in VECTORS.glob("*.jsonl"))


@cache
def texts(name: str) -> list[str]:
    """Return the envelopes of a transcript; text frames and elided ones are no envelopes (see its README)."""
    lines = vector_lines(name)
    return [str(line["text"]) for line in lines if line.get("opcode") == "binary" and not line.get("elided")]


@pytest.mark.parametrize("name", NAMES)
def test_every_envelope_is_read_and_written_back_with_the_same_keys_and_values(name: str) -> None:
    assert texts(name)
    for text in texts(name):
        assert json.loads(encode(decode(text.encode()))) == json.loads(text)


@pytest.mark.parametrize("name", NAMES)
def test_every_envelope_is_written_back_in_the_same_order_of_keys(name: str) -> None:
    for text in texts(name):
        assert list(json.loads(encode(decode(text.encode())))) == list(json.loads(text))


@pytest.mark.parametrize("name", NAMES)
def test_every_sender_digest_is_that_of_a_path_in_the_transcript(name: str) -> None:
    paths = set()
    digests = set()
    for text in texts(name):
        envelope = json.loads(text)
        frame = envelope["frame"]
        paths |= {frame[key] for key in ("assignedPath", "targetPhysicalPath", "physicalPath") if key in frame}
        digests |= {envelope[key] for key in ("sid",) if key in envelope}
    assert digests <= {sid_of(path) for path in paths}


# Replay


class Replay:
    """Play `s1` to the connecting sides of a transcript, and sort what they hear from us beside what they heard."""

    def __init__(self, name: str) -> None:
        self.rig = Rig("s1")
        self.links: dict[str, Link] = {}
        self.heard: dict[str, list[Json]] = defaultdict(list)
        self.both: dict[str, list[tuple[str, Json]]] = defaultdict(list)
        for line in vector_lines(name):
            if str(line["link"]).endswith("-s1"):
                self._play(line)

    def _play(self, line: Json) -> None:
        name = str(line["link"])
        self.rig.advance(max(float(str(line["t"])) - self.rig.now, 0.0))
        if line["dir"] == "s2c":
            if "text" in line:
                self.heard[name].append(json.loads(str(line["text"])))
        elif line.get("event") == "open":
            *_, kind, node_id = str(line["path"]).split("/")
            self.links[name] = self.rig.open(LinkKind.PEER if kind == "peer" else LinkKind.CHILD, node_id)
        elif line.get("event") == "close":
            self.rig.do(self.rig.core.link_closed(self.links[name]))
        else:
            self.both[name].append(("theirs", json.loads(str(line["text"]))))
            self.rig.feed(self.links[name], str(line["text"]).encode())
        for other, link in self.links.items():
            self.both[other] += [("ours", message) for message in self.rig.said(link, credits=True)]

    def ours(self, name: str) -> list[Json]:
        """Return what our sentinel said on a link."""
        return [message for side, message in self.both[name] if side == "ours"]


@cache
def replay(name: str) -> Replay:
    return Replay(name)


FORWARDED = ("Data", "DeliveryAck")
"""Frames that travel further than one link."""


def as_it_came(message: Json) -> Json:
    """Take the hops off a forwarded envelope: the last key, one less than the limit, which the real sentinel lacks."""
    frame = message["frame"]
    assert isinstance(frame, dict)
    if frame["type"] not in FORWARDED or "ttl" not in message:
        return message
    assert (list(message)[-1], message["ttl"]) == ("ttl", MAX_HOPS - 1)
    return {key: value for key, value in message.items() if key != "ttl"}


OWN_CHOICE = {"id", "flowId", "seqId", "flowFlags", "ts", "routingEpoch", "reason"}
"""Fields whose values are the sentinel's own; that they are there is compared, what they hold isn't."""


def form(message: Json) -> Json:
    """Return what a node may depend on: which fields there are, and the values that repeat something it said."""
    frame = message["frame"]
    assert isinstance(frame, dict)
    shown = {key: None if key in OWN_CHOICE else value for key, value in message.items() if key != "frame"}
    return shown | {"frame": {key: None if key in OWN_CHOICE else value for key, value in frame.items()}}


def comparable(messages: Iterable[Json]) -> list[Json]:
    """Leave out what is a matter of timing: credit, and binds told to peers."""
    timing = ("CreditUpdate", "AddressBind")
    return [form(m) for m in messages if isinstance(m["frame"], dict) and m["frame"]["type"] not in timing]


@pytest.mark.parametrize(
    ("name", "link"),
    [
        ("downstream_attach", "a1-s1"),
        ("downstream_attach", "client-s1"),
        ("heartbeat", "a1-s1"),
        ("heartbeat", "s2-s1"),
        ("capability_routing", "a1-s1"),
        ("capability_routing", "client-s1"),
        ("capability_routing", "s2-s1"),
        ("streaming", "a1-s1"),
        ("streaming", "client-s1"),
        ("unbind", "c-s1"),
        ("unbind", "s2-s1"),
        ("agent_task", "a1-s1"),
        ("agent_task", "bg-s1"),
        ("agent_task", "client-s1"),
        ("delivery_ack", "a1-s1"),
        ("delivery_ack", "client-s1"),
        ("auth_subprotocol", "client-s1"),
        ("peer_attach", "s2-s1"),
        ("bind_propagation_across_peer", "a1-s1"),
    ],
)
def test_our_sentinel_says_what_the_real_one_said(name: str, link: str) -> None:
    played = replay(name)
    assert comparable(map(as_it_came, played.ours(link))) == comparable(played.heard[link])


@pytest.mark.parametrize("name", NAMES)
def test_our_sentinel_counts_the_hops_of_what_it_forwards_and_of_nothing_else(name: str) -> None:
    said = [each for both in replay(name).both.values() for each in both]
    theirs = {message["id"] for side, message in said if side == "theirs"}
    for side, message in said:
        assert ("ttl" in message) is (side == "ours" and message["id"] in theirs)


def test_our_sentinel_differs_where_the_caller_of_one_answer_gets_more() -> None:
    """A stream answered to `rtype` 2 is one item for the caller (spec 8.3); the rest could stop its read loop."""
    played = replay("rpc_error")
    wanted = comparable(played.heard["client-s1"])
    got = comparable(map(as_it_came, played.ours("client-s1")))
    missing = [message for message in wanted if message not in got]
    assert [message for message in wanted if message in got] == got
    assert [(m["corrId"], m["frame"]) for m in missing] == [
        ("2yHhNedUCerPP8DU", {"type": "Data", "payload": {"jsonrpc": "2.0", "id": "2yHhNedUCerPP8DU", **result}})
        for result in ({"result": 1}, {"result": 1}, {})
    ]


def test_a_call_that_killed_the_real_link_is_refused_by_ours_and_the_link_lives() -> None:
    played = replay("rpc_error")
    assert [m["frame"]["type"] for m in played.heard["evil-s1"] if isinstance(m["frame"], dict)] == [
        "NodeAttachAck",
        "Data",
    ]
    frames = [m["frame"] for m in played.ours("evil-s1") if isinstance(m["frame"], dict)]
    said = [frame for frame in frames if frame["type"] != "CreditUpdate"]
    assert [frame["type"] for frame in said] == ["NodeAttachAck", "Data", "DeliveryAck", "NodeHeartbeatAck"]
    assert said[2]["code"] == "NO_ROUTE"


@pytest.mark.parametrize("name", ["streaming", "stream_cancel", "stale_reply_poison", "rpc_error"])
def test_no_real_sender_would_stand_still_for_want_of_credit(name: str) -> None:
    """Replayed from the sender's side (spec 7): 32 to begin with, one for each envelope, at most 32 at any time."""
    for both in replay(name).both.values():
        balance: dict[object, int] = defaultdict(lambda: 32)
        for side, message in both:
            frame = message["frame"]
            assert isinstance(frame, dict)
            if side == "ours" and frame["type"] == "CreditUpdate":
                balance[frame["flowId"]] = min(balance[frame["flowId"]] + frame["credits"], 32)
            elif side == "theirs" and frame["type"] != "CreditUpdate":
                assert balance[message["flowId"]] > 0
                balance[message["flowId"]] -= 1


@pytest.mark.parametrize("name", ["streaming", "stream_cancel"])
def test_we_never_send_more_than_a_real_receiver_allows(name: str) -> None:
    for both in replay(name).both.values():
        balance: dict[object, int] = defaultdict(lambda: 32)
        for side, message in both:
            frame = message["frame"]
            assert isinstance(frame, dict)
            if side == "theirs" and frame["type"] == "CreditUpdate":
                balance[frame["flowId"]] = min(balance[frame["flowId"]] + frame["credits"], 32)
            elif side == "ours" and frame["type"] != "CreditUpdate":
                balance[message["flowId"]] -= 1
                assert balance[message["flowId"]] >= 0
