"""The table of calls: entered once, ended once, timed out in order, never growing for ever; and JSON-RPC payloads."""

import json

import msgspec
import pytest
from core_rig import PROPERTY
from hypothesis import given
from hypothesis import strategies as st

from fame_cli.core import calls
from fame_cli.core.calls import (
    Call,
    CallKey,
    CallTable,
    ends_stream,
    error_payload,
    read_request,
    read_response,
    request_payload,
    result_payload,
)
from fame_cli.core.link import LOCAL, Link, LinkKind
from fame_cli.errors import LocalProtocolError, RemoteProtocolError

WEST, EAST = Link(1, LinkKind.CHILD), Link(2, LinkKind.CHILD)


def transit(touched: float = 0.0, *, streaming: bool = False, ingress: Link = WEST, timeout_s: float = 0.0) -> Call:
    return Call(ingress, EAST, "r", streaming, touched, timeout_s)


def ours(touched: float, timeout_s: float) -> Call:
    return Call(LOCAL, EAST, "r", False, touched, timeout_s)


def key(number: int) -> CallKey:
    return (f"x@/s1/{number}", str(number))


# The table


def test_a_call_is_found_until_it_has_ended() -> None:
    table = CallTable()
    call = transit()
    assert table.open(key(1), call)
    assert table.get(key(1)) is call
    assert table.end(key(1)) is call
    assert table.get(key(1)) is None
    assert len(table) == 0


def test_only_the_first_to_end_a_call_gets_it() -> None:
    table = CallTable()
    table.open(key(1), ours(0, 5))
    assert table.end(key(1)) is not None
    assert table.end(key(1)) is None


def test_the_same_name_from_another_link_does_not_rob_the_first_call() -> None:
    table = CallTable()
    first = transit()
    table.open(key(1), first)
    assert not table.open(key(1), transit(ingress=EAST))
    assert table.get(key(1)) is first


def test_the_same_name_from_the_same_link_begins_anew() -> None:
    table = CallTable()
    table.open(key(1), transit())
    again = transit()
    assert table.open(key(1), again)
    assert table.get(key(1)) is again


def test_a_call_that_begins_anew_leaves_no_deadline_behind() -> None:
    """A deadline without a call would have the node woken for it again and again."""
    table = CallTable()
    table.open(key(1), transit(timeout_s=4))
    table.open(key(1), transit(1, timeout_s=32))
    assert table.next_deadline() == 33
    assert table.expired(32) == []
    table.end(key(1))
    assert table.next_deadline() is None


def test_calls_time_out_in_the_order_of_their_deadlines() -> None:
    table = CallTable()
    table.open(key(1), ours(0, 30))
    table.open(key(2), ours(1, 5))
    table.open(key(3), ours(2, 5))
    assert table.next_deadline() == 6
    assert table.expired(5.9) == []
    assert table.expired(6) == [(key(2), table.get(key(2)))]
    assert sorted(found for found, _ in table.expired(30)) == [key(1), key(2), key(3)]


def test_a_call_that_has_ended_has_no_deadline() -> None:
    table = CallTable()
    table.open(key(1), ours(0, 5))
    table.open(key(2), ours(1, 5))
    table.end(key(1))
    assert table.next_deadline() == 6
    table.end(key(2))
    assert table.next_deadline() is None
    assert table.expired(100) == []


def test_an_item_gives_a_stream_its_whole_time_again() -> None:
    table = CallTable()
    call = ours(0, 5)
    table.open(key(1), call)
    table.open(key(2), ours(1, 5))
    table.touch(key(1), call, 4)
    assert table.next_deadline() == 6
    assert [found for found, _ in table.expired(8.9)] == [key(2)]


def test_a_call_between_others_has_a_deadline_when_its_caller_says_how_long_he_waits() -> None:
    table = CallTable()
    table.open(key(1), transit(timeout_s=8))
    assert table.next_deadline() == 8
    assert [found for found, _ in table.expired(8)] == [key(1)]


def test_a_call_that_is_forgotten_leaves_no_deadline_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "MAX_TRANSIT_CALLS", 0)
    table = CallTable()
    table.open(key(1), transit(timeout_s=8))
    table.forget_stale(1)
    assert len(table) == 0
    assert table.next_deadline() is None


def test_other_calls_between_others_have_no_deadline() -> None:
    table = CallTable()
    call = transit()
    table.open(key(1), call)
    table.touch(key(1), call, 7)
    assert table.next_deadline() is None
    assert call.touched == 7


def test_the_calls_over_a_link_are_those_that_came_or_went_by_it() -> None:
    table = CallTable()
    third = Link(3, LinkKind.PEER)
    table.open(key(1), transit())
    table.open(key(2), Call(EAST, LOCAL, "r", False, 0))
    table.open(key(3), Call(third, LOCAL, "r", False, 0))
    assert [found for found, _ in table.over(EAST)] == [key(1), key(2)]
    assert [found for found, _ in table.over(third)] == [key(3)]


def test_a_call_between_others_is_forgotten_after_an_hour_of_silence() -> None:
    table = CallTable()
    table.open(key(1), transit(0))
    table.open(key(2), transit(1))
    table.forget_stale(3600)
    assert table.get(key(1)) is None
    assert table.get(key(2)) is not None


def test_a_live_stream_does_not_keep_silent_calls_behind_it_alive() -> None:
    table = CallTable()
    stream = transit(0, streaming=True)
    table.open(key(1), stream)
    table.open(key(2), transit(0))
    table.touch(key(1), stream, 3599)
    table.forget_stale(3600)
    assert table.get(key(1)) is stream
    assert table.get(key(2)) is None


def test_calls_of_this_node_are_never_forgotten() -> None:
    table = CallTable()
    table.open(key(1), ours(0, 5))
    table.open(key(2), Call(WEST, LOCAL, "r", False, 0))
    table.forget_stale(10**6)
    assert len(table) == 2


@pytest.mark.parametrize("streaming", [False, True])
def test_too_many_calls_between_others_push_out_the_longest_silent(
    monkeypatch: pytest.MonkeyPatch, streaming: bool
) -> None:
    monkeypatch.setattr(calls, "MAX_TRANSIT_CALLS", 3)
    table = CallTable()
    for number in range(5):
        table.open(key(number), transit(number, streaming=streaming))
    table.forget_stale(5)
    assert [number for number in range(5) if table.get(key(number))] == [2, 3, 4]


# Payloads


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


def test_a_request_is_read_with_its_parameters_raw() -> None:
    request = read_request(raw({"jsonrpc": "2.0", "id": 7, "method": "add", "params": {"x": 1}}))
    assert request is not None
    assert (request.method, json.loads(bytes(request.params)), bytes(request.id)) == ("add", {"x": 1}, b"7")


@pytest.mark.parametrize(
    "payload",
    [
        5,
        "hello",
        [],
        {},
        {"jsonrpc": "2.0", "id": "x", "method": "add"},
        {"id": "x", "method": "add", "params": {}},
        {"jsonrpc": "2.0", "id": "x", "params": {}},
        {"jsonrpc": "2.0", "id": "x", "method": 5, "params": {}},
        {"jsonrpc": "2.0", "id": "x", "result": 5},
    ],
)
def test_what_lacks_a_part_of_a_request_is_a_plain_message(payload: object) -> None:
    assert read_request(raw(payload)) is None


def test_a_payload_nested_too_deep_is_a_plain_message() -> None:
    assert read_request(msgspec.Raw(b"[" * 100_000 + b"]" * 100_000)) is None


def test_a_response_tells_a_result_from_none() -> None:
    assert read_response(raw({"id": "x", "result": 0})).has_result
    assert not read_response(raw({"id": "x", "result": None})).has_result
    assert not read_response(raw({"id": "x"})).has_result


def test_a_response_with_an_error_gives_its_parts() -> None:
    error = read_response(raw({"error": {"code": -32601, "message": "no", "data": [1]}})).error
    assert error is not None
    assert (error.code, error.message, json.loads(bytes(error.data))) == (-32601, "no", [1])


@pytest.mark.parametrize("payload", [5, [], "x", {"error": "text"}, {"error": {"code": "x"}}])
def test_what_is_no_response_is_refused(payload: object) -> None:
    with pytest.raises(RemoteProtocolError, match="JSON-RPC response"):
        read_response(raw(payload))


def test_an_absent_payload_is_neither_request_nor_response() -> None:
    assert read_request(msgspec.Raw()) is None
    with pytest.raises(RemoteProtocolError):
        read_response(msgspec.Raw())


@pytest.mark.parametrize(
    ("payload", "ends"),
    [
        (b'{"jsonrpc":"2.0","id":"x","result":5}', False),
        (b'{"jsonrpc":"2.0","id":"x","result":null}', True),
        (b'{"jsonrpc":"2.0","id":"x"}', True),
        (b'{"jsonrpc":"2.0","id":"x","error":{"code":1,"message":"m"}}', True),
        (b'{"jsonrpc":"2.0","id":"x","error":{"code":1,"message":"m","data":{"a":1,"result":5}}}', True),
        (b'{"jsonrpc": "2.0", "id": "x", "result": 5}', False),
        (b'{"result":5,"jsonrpc":"2.0"}', False),
        (b'{"jsonrpc":"2.0","id":{"a":1},"result":null}', True),
        (b'{"jsonrpc":"2.0","id":"' + b"i" * 200 + b'","result":5}', False),
        (b'{"jsonrpc":"2.0","id":"' + b"i" * 200 + b'"}', True),
        (b"[1]", False),
        (b"", False),
        (b"{", False),
        (b"[" * 100_000, False),
    ],
)
def test_the_end_of_a_stream_is_what_has_no_result(payload: bytes, ends: bool) -> None:
    assert ends_stream(msgspec.Raw(payload)) is ends


_VALUES = st.none() | st.integers(0, 9) | st.text(max_size=3) | st.just({"result": 1}) | st.just([None])


@PROPERTY
@given(st.dictionaries(st.sampled_from(["jsonrpc", "id", "result", "error"]), _VALUES), st.booleans())
def test_the_quick_look_for_a_streams_end_agrees_with_the_parser(payload: dict[str, object], compact: bool) -> None:
    data = raw(payload) if not compact else msgspec.Raw(json.dumps(payload, separators=(",", ":")).encode())
    try:
        expected = not read_response(data).has_result
    except RemoteProtocolError:
        return
    assert ends_stream(data) is expected


def test_the_payloads_we_write_can_be_read() -> None:
    request = read_request(msgspec.Raw(request_payload("abc", 'say "é"', b'{"x":1}')))
    assert request is not None
    assert (request.method, bytes(request.id), bytes(request.params)) == ('say "é"', b'"abc"', b'{"x":1}')
    assert json.loads(result_payload(b"7", b"[1]")) == {"jsonrpc": "2.0", "id": 7, "result": [1]}


def test_no_result_is_written_for_null_and_for_the_end_of_a_stream() -> None:
    assert json.loads(result_payload(b'"x"', None)) == {"jsonrpc": "2.0", "id": "x"}


def test_an_answer_to_a_request_without_id_has_a_null_id() -> None:
    assert json.loads(result_payload(b"", b"1"))["id"] is None
    assert json.loads(result_payload(b"", None))["id"] is None
    assert json.loads(error_payload(b"", 1, "m"))["id"] is None


def test_the_data_of_an_error_is_written_only_when_there_is_some() -> None:
    assert json.loads(error_payload(b"1", -1, "m"))["error"] == {"code": -1, "message": "m"}
    assert json.loads(error_payload(b"1", -1, "m", {"a": 1}))["error"] == {"code": -1, "message": "m", "data": {"a": 1}}


def test_error_data_without_json_form_is_our_own_mistake() -> None:
    with pytest.raises(LocalProtocolError):
        error_payload(b"1", -1, "m", object())
