"""What --verbose shows of each envelope, what it hides, and how it sums up."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from fame_cli.cli.output import Span
from fame_cli.cli.verbose import HIDDEN, EnvelopeLog, redact
from fame_cli.core.ids import sid_of

ATTACH_ACK = {
    "frame": {
        "type": "NodeAttachAck",
        "ok": True,
        "assignedPath": "/peer-sentinel1/c1",
        "targetSystemId": "peer-sentinel1",
        "targetPhysicalPath": "/peer-sentinel1",
    }
}
TRACE = [
    "peer-sentinel1;child;100", "peer-sentinel2;peer;2000", "math-agent2;parent;50",
    "math-agent2;local;950", "peer-sentinel2;child;3100", "peer-sentinel1;peer;1300",
]  # fmt: skip


class Screen:
    """Collect lines as text."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, spans: Sequence[Span]) -> None:
        self.lines.append(text_of(spans))


def text_of(spans: Sequence[Span]) -> str:
    return "".join(text for text, _ in spans).rstrip()


def request(**changes: object) -> dict[str, Any]:
    return {
        "id": "E1", "traceId": "T1", "to": "math2@fame.fabric", "replyTo": "__rpc__R@/peer-sentinel1/c1", "rtype": 2,
        "corrId": "K1", "flowId": "F1", "seqId": 3, "flowFlags": 1, "meta": {"fame.trace": []},
        "frame": {"type": "Data", "payload": {"jsonrpc": "2.0", "id": "K1", "method": "add", "params": {}}},
    } | changes  # fmt: skip


def reply(**changes: object) -> dict[str, Any]:
    return {
        "id": "E2", "sid": "unknown", "traceId": "T1", "to": "__rpc__R@/peer-sentinel1/c1", "corrId": "K1",
        "flowId": "F9", "seqId": 0, "flowFlags": 0, "meta": {"fame.trace": TRACE},
        "frame": {"type": "Data", "payload": {"jsonrpc": "2.0", "id": "K1", "result": 7}},
    } | changes  # fmt: skip


def replay(*passed: tuple[str, dict[str, Any], float], level: int = 1) -> tuple[list[str], list[str]]:
    """Show envelopes to a log; return the lines it printed and the lines of its summary."""
    screen = Screen()
    log = EnvelopeLog(screen, level)
    for direction, envelope, at_s in passed:
        log(direction, json.dumps(envelope).encode(), at_s)
    return screen.lines, [text_of(line) for line in log.summary()]


def test_a_request_shows_all_of_its_metadata() -> None:
    lines, _ = replay(("in", ATTACH_ACK, 5.0), ("out", request(), 5.0125))
    size = len(json.dumps(request()))
    assert lines[1] == (
        "   12.500 ms → Data         id=E1 trace=T1 from=/peer-sentinel1/c1 to=math2@fame.fabric "
        f"reply-to=__rpc__R@/peer-sentinel1/c1 flow=F1#3+SYN size={size}B hops=0"
    )


def test_a_reply_comes_from_the_address_that_was_asked() -> None:
    lines, _ = replay(("out", request(), 5.0), ("in", reply(), 5.0015))
    assert "← Data         id=E2 trace=T1 from=math2@fame.fabric" in lines[1]
    assert lines[1].endswith("hops=3")


def test_the_sentinel_is_known_by_its_digest() -> None:
    ack = {"id": "E3", "sid": sid_of("/peer-sentinel1"), "frame": {"type": "AddressBindAck", "ok": True}}
    lines, _ = replay(("in", ATTACH_ACK, 5.0), ("in", ack, 5.1))
    assert " from=peer-sentinel1 " in lines[1]


def test_a_sender_nobody_introduced_shows_as_its_digest() -> None:
    lines, _ = replay(("in", {"sid": "abc", "frame": {"type": "Data"}}, 5.0))
    assert " from=sid:abc " in lines[0]


def test_a_capability_request_shows_what_it_asks_for() -> None:
    lines, _ = replay(("out", {"capabilities": ["op:add", "eu"], "frame": {"type": "Data"}}, 5.0))
    assert " to=op:add+eu " in lines[0]


def test_a_refusal_shows_its_code() -> None:
    nack = {"corrId": "K1", "frame": {"type": "DeliveryAck", "ok": False, "code": "NO_ROUTE"}}
    lines, _ = replay(("out", request(), 5.0), ("in", nack, 5.1))
    assert lines[1].endswith("refused=NO_ROUTE")


def test_bytes_that_are_no_envelope_show_as_their_size() -> None:
    screen = Screen()
    EnvelopeLog(screen)("in", b"\xff\x00garbage", 1.0)
    assert screen.lines == ["    0.000 ms ← unreadable   size=9B"]


@pytest.mark.parametrize(
    "odd",
    [{"frame": 7}, {"frame": {"type": 3}, "id": {}}, {"meta": [], "corrId": []}, {"flowId": "f", "flowFlags": "x"},
     {"meta": {"fame.trace": 7}}, {"capabilities": [1]}],
)  # fmt: skip
def test_fields_of_odd_types_do_not_stop_the_log(odd: dict[str, Any]) -> None:
    lines, summary = replay(("out", odd, 1.0), ("in", odd, 2.0), level=2)
    assert lines
    assert summary


def test_the_second_level_adds_the_whole_envelope_without_its_secrets() -> None:
    secret = request(sec={"sig": {"val": "s3cret"}}, frame={"type": "Data", "payload": {"api_key": "s3cret", "n": 7}})
    lines, _ = replay(("out", secret, 5.0), level=2)
    shown = json.loads("\n".join(lines[1:]))
    assert shown["sec"] == HIDDEN
    assert shown["frame"]["payload"] == {"api_key": HIDDEN, "n": 7}
    assert not any("s3cret" in line for line in lines)


def test_the_summary_gives_path_hops_and_totals() -> None:
    _, summary = replay(("in", ATTACH_ACK, 4.9), ("out", request(), 5.0), ("in", reply(), 5.0015))
    sizes = [len(json.dumps(envelope)) for envelope in (request(), reply(), ATTACH_ACK)]
    assert summary == [
        "path   client → peer-sentinel1 ↔ peer-sentinel2 → math2",
        "       client → peer-sentinel1          0.300 ms",
        "       peer-sentinel1 ↔ peer-sentinel2  0.100 ms",
        "       peer-sentinel2 → math2           0.200 ms",
        "       in math2                         0.900 ms",
        "total  1.500 ms",
        f"passed 1 out ({sizes[0]} B), 2 in ({sizes[1] + sizes[2]} B)",
    ]


def test_an_agent_that_reports_no_times_leaves_the_path_open() -> None:
    _, summary = replay(("in", ATTACH_ACK, 4.9), ("out", request(), 5.0), ("in", reply(meta={}), 5.0015))
    assert summary[0] == "path   client → peer-sentinel1 ⋯ math2 (the far end doesn't report its times)"


def test_nothing_passed_is_nothing_to_sum_up() -> None:
    assert replay() == ([], [])


def test_an_unanswered_request_says_so() -> None:
    _, summary = replay(("out", request(), 5.0))
    assert summary[0] == "path   no answer from math2@fame.fabric"


def test_a_stream_is_summed_up_by_items_and_its_end_mark_is_none() -> None:
    end = reply(frame={"type": "Data", "payload": {"jsonrpc": "2.0", "id": "K1"}})
    _, summary = replay(
        ("out", request(rtype=4), 5.0), ("in", reply(), 5.002), ("in", reply(), 5.003), ("in", end, 5.004)
    )
    assert "total  4.000 ms, 2 items, 500/s, first after 2.000 ms" in summary


def pack(*items: object) -> dict[str, Any]:
    payload = {"jsonrpc": "2.0", "id": "K1", "result": list(items)}
    return reply(meta={"fame.trace": TRACE, "fame.items": len(items)}, frame={"type": "Data", "payload": payload})


def test_the_items_of_a_pack_count_one_by_one() -> None:
    end = reply(frame={"type": "Data", "payload": {"jsonrpc": "2.0", "id": "K1"}})
    _, summary = replay(
        ("out", request(rtype=4), 5.0), ("in", pack(*range(8)), 5.002), ("in", pack(8, 9), 5.003), ("in", end, 5.004)
    )
    assert "total  4.000 ms, 10 items, 2500/s, first after 2.000 ms" in summary


def test_an_empty_pack_holds_no_item() -> None:
    _, summary = replay(("out", request(rtype=4), 5.0), ("in", reply(), 5.002), ("in", pack(), 5.004))
    assert "total  4.000 ms, 1 item, 250/s, first after 2.000 ms" in summary


def test_a_list_that_is_no_pack_is_one_item() -> None:
    whole = reply(frame={"type": "Data", "payload": {"jsonrpc": "2.0", "id": "K1", "result": [1, 2, 3]}})
    _, summary = replay(("out", request(rtype=4), 5.0), ("in", whole, 5.002))
    assert "total  2.000 ms, 1 item, 500/s, first after 2.000 ms" in summary


def test_a_receipt_is_not_taken_for_the_answer() -> None:
    receipt = {"corrId": "K1", "frame": {"type": "DeliveryAck", "ok": True}}
    _, summary = replay(("out", request(), 5.0), ("in", receipt, 5.001), ("in", reply(), 5.0015))
    assert "total  1.500 ms" in summary


def test_the_last_request_is_the_one_summed_up() -> None:
    describe = request(corrId="K0", to="other@fame.fabric")
    _, summary = replay(("out", describe, 4.0), ("in", reply(corrId="K0"), 4.5), ("out", request(), 5.0),
                        ("in", reply(), 5.0015))  # fmt: skip
    assert "total  1.500 ms" in summary


@pytest.mark.parametrize(
    "name",
    ["token", "accessToken", "client_secret", "Authorization", "X-Api-Key", "password", "keys", "sec", "jwk",
     "private-key", "signingKey", "credentials", "Set-Cookie", "aft"],
)  # fmt: skip
def test_values_under_telling_names_are_hidden(name: str) -> None:
    assert redact({"a": [{name: "s3cret"}]}) == {"a": [{name: HIDDEN}]}


@pytest.mark.parametrize(
    "value", [{"key": "colour"}, {"total_tokens": 512}, {"keys": []}, {"monkey": "chimp"}, {"author": "me"}]
)
def test_ordinary_values_stay(value: object) -> None:
    assert redact(value) == value


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Bearer abcdefgh1234", HIDDEN),
        ("got Basic dXNlcjpwYXNz from it", f"got {HIDDEN} from it"),
        ("eyJhbGciOi.eyJzdWIi.c2ln", HIDDEN),
        ("ws://me:s3cret@host/fame", f"ws://{HIDDEN}@host/fame"),
        ("http://h/?a=1&token=s3cret&b=2", f"http://h/?a=1&{HIDDEN}&b=2"),
        ("-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----", HIDDEN),
        ("a basic question", "a basic question"),
    ],
)
def test_secrets_inside_texts_are_hidden(text: str, shown: str) -> None:
    assert redact([text]) == [shown]
