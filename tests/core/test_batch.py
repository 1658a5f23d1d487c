"""Joining and parting envelopes, and what the core makes of a message of several."""

import json

import pytest
from core_rig import CLIENT, PROPERTY, Rig, make_envelope, make_request
from hypothesis import given
from hypothesis import strategies as st

from fame_cli.core.batch import BATCH_BYTES, BATCH_LINES, joined, one_line, parted
from fame_cli.core.effects import CloseLink, Dispatch, Note, Send
from fame_cli.core.link import Link, LinkKind
from fame_cli.core.settings import EXTENSIONS
from fame_cli.errors import RemoteProtocolError

LINES = st.lists(
    st.one_of(st.binary(min_size=1, max_size=40), st.integers(1, 2 * BATCH_BYTES).map(lambda n: b"x" * n)).map(
        lambda data: data.replace(b"\n", b"_")
    ),
    min_size=1,
    max_size=12,
)


@PROPERTY
@given(LINES)
def test_what_is_joined_comes_apart_again_in_order(lines: list[bytes]) -> None:
    assert [line for message in joined(list(lines)) for line in parted(message)] == lines


@PROPERTY
@given(LINES)
def test_no_message_is_over_the_limit_unless_one_envelope_is(lines: list[bytes]) -> None:
    assert all(len(message) <= BATCH_BYTES or b"\n" not in message for message in joined(list(lines)))


def test_a_lone_message_stays_the_object_it_was() -> None:
    data = b"{}"
    assert joined([data])[0] is data


def test_small_ones_travel_in_as_few_messages_as_there_can_be() -> None:
    assert len(joined([b"x" * 1000] * 65)) == 1
    assert len(joined([b"x" * 1000] * 66)) == 2


def test_empty_lines_are_passed_over() -> None:
    assert parted(b"\n{}\n\n[]\n") == [b"{}", b"[]"]


def test_line_breaks_between_tokens_are_taken_out_and_those_within_texts_stay_escaped() -> None:
    value = {"a": ["one\ntwo", {"b": None}]}
    assert b"\n" not in one_line(json.dumps(value, indent=2).encode())
    assert json.loads(one_line(json.dumps(value, indent=2).encode())) == value


def test_what_has_no_line_break_stays_as_it_is() -> None:
    assert one_line(b'{ "a": 1 }') == b'{ "a": 1 }'


def test_a_line_break_in_no_json_is_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        one_line(b'{"a":\n')


# The core


def lines_of(*envelopes: object) -> bytes:
    return b"\n".join(json.dumps(envelope).encode() for envelope in envelopes)


def request(number: int) -> dict[str, object]:
    return make_request(CLIENT, id=f"e{number}", corrId=f"c{number}")


def served(batch: bool = True, max_message_bytes: int = 262_144) -> tuple[Rig, Link]:
    rig = Rig(max_message_bytes=max_message_bytes)
    rig.do(rig.core.bind("math1@fame.fabric"))
    link = rig.child("c", ours=True)
    link.extensions = frozenset(EXTENSIONS if batch else set(EXTENSIONS) - {"batch"})
    return rig, link


def test_every_envelope_of_a_message_is_taken_in_order() -> None:
    rig, link = served()
    effects = rig.core.receive(link, lines_of(request(1), request(2), request(3)), 0.0)
    assert [e.request.key[1] for e in effects if isinstance(e, Dispatch)] == ["c1", "c2", "c3"]


def test_one_bad_envelope_spoils_none_beside_it() -> None:
    rig, link = served()
    effects = rig.core.receive(link, lines_of(request(1)) + b"\n{garbage\n" + lines_of(request(2)), 0.0)
    assert [e.request.key[1] for e in effects if isinstance(e, Dispatch)] == ["c1", "c2"]
    assert [e.event for e in effects if isinstance(e, Note)] == ["envelope_rejected"]


def test_the_size_limit_holds_for_each_envelope_not_for_the_message() -> None:
    rig, link = served(max_message_bytes=4096)
    large = make_request(CLIENT, id="e2", corrId="c2", padding="x" * 5000)
    effects = rig.core.receive(link, lines_of(*[request(number) for number in range(100)]), 0.0)
    assert sum(isinstance(e, Dispatch) for e in effects) == 100
    effects = rig.core.receive(link, lines_of(large, request(103)), 0.0)
    assert [e.request.key[1] for e in effects if isinstance(e, Dispatch)] == ["c103"]
    assert any(isinstance(e, Send) and b"MESSAGE_TOO_LARGE" in e.data for e in effects)


@pytest.mark.parametrize("message", [b"\n" * BATCH_LINES, b"{}\n" + b"x" * BATCH_BYTES])
def test_a_message_of_more_than_it_may_hold_is_refused_whole(message: bytes) -> None:
    rig, link = served()
    effects = rig.core.receive(link, lines_of(request(1)) + b"\n" + message, 0.0)
    assert [e.event for e in effects if isinstance(e, Note)] == ["envelope_rejected"]
    assert [type(e) for e in effects] == [Note]


def test_a_message_holds_no_more_lines_than_it_may() -> None:
    messages = joined([b"x"] * (2 * BATCH_LINES + 1))
    assert [len(parted(message)) for message in messages] == [BATCH_LINES, BATCH_LINES, 1]


def test_a_neighbour_that_did_not_agree_gets_no_say_in_lines() -> None:
    rig, link = served(batch=False)
    effects = rig.core.receive(link, lines_of(request(1), request(2)), 0.0)
    assert [type(e) for e in effects] == [Note]


def test_line_breaks_of_a_plain_neighbour_do_not_part_an_envelope_on_the_next_link() -> None:
    rig = Rig()
    provider, caller = rig.child("a", ours=True), rig.child("c")
    rig.bind(provider, "math1@fame.fabric")
    effects = rig.core.receive(caller, json.dumps(request(1), indent=1).encode(), 0.0)
    [sent] = [e.data for e in effects if isinstance(e, Send) and e.link is provider]
    assert b"\n" not in sent
    assert json.loads(sent) == request(1) | {"ttl": 15}


def test_nothing_counts_behind_the_envelope_that_ended_the_link() -> None:
    rig = Rig()
    link = rig.open(LinkKind.CHILD, "c")
    link.extensions = frozenset(EXTENSIONS)
    attach = {"type": "NodeAttach", "originType": "downstream", "systemId": "other", "instanceId": "i"}
    effects = rig.core.receive(link, lines_of(make_envelope(attach, to=None), request(1)), 0.0)
    assert any(isinstance(e, CloseLink) for e in effects)
    assert not any(isinstance(e, Send) and b"NO_ROUTE" in e.data for e in effects)
