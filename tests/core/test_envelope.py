"""Envelopes: one door in, one door out; what can't be read is refused and never anything else."""

import contextlib
import json

import msgspec
import pytest
from core_rig import PROPERTY, make_envelope
from hypothesis import given
from hypothesis import strategies as st

from fame_cli.core.envelope import Envelope, data_frame, decode, encode, encode_json, peek, with_ttl
from fame_cli.core.frames import CreditUpdate, Data, DeliveryAck, Frame, NodeHeartbeat
from fame_cli.errors import LocalProtocolError, RemoteProtocolError

SPEC_ORDER = (
    "version id sid traceId to replyTo capabilities rtype corrId flowId seqId flowFlags priority frame ts sec aft meta"
)


def test_the_keys_are_written_in_the_order_of_the_specification_but_for_the_hops_last() -> None:
    full = Envelope(
        version="1.0",
        id="i",
        sid="s",
        trace_id="t",
        to="a@b",
        reply_to="c@d",
        capabilities=["x"],
        rtype=2,
        corr_id="k",
        flow_id="f",
        seq_id=0,
        flow_flags=1,
        priority="low",
        frame=NodeHeartbeat(),
        ts="now",
        sec=msgspec.Raw(b"{}"),
        aft="a",
        meta={"m": 1},
        ttl=3,
    )
    assert list(json.loads(encode(full))) == [*SPEC_ORDER.split(), "ttl"]


def test_what_is_absent_is_not_written() -> None:
    assert encode(Envelope(frame=NodeHeartbeat())) == b'{"frame":{"type":"NodeHeartbeat"}}'


def test_the_frame_is_all_the_wire_requires() -> None:
    assert decode(b'{"frame":{"type":"NodeHeartbeat"}}') == Envelope(frame=NodeHeartbeat())
    with pytest.raises(RemoteProtocolError, match="frame"):
        decode(b'{"id":"x"}')


def test_a_payload_goes_through_byte_for_byte() -> None:
    payload = b'{ "a" :[1.10,1e3, null], "\\u00e9":"\xc3\xa9" }'
    envelope = decode(b'{"frame":{"type":"Data","payload":%b}}' % payload)
    assert isinstance(envelope.frame, Data)
    assert bytes(envelope.frame.payload) == payload
    assert payload in encode(envelope)


def test_a_null_field_counts_as_absent() -> None:
    assert decode(b'{"to":null,"meta":null,"frame":{"type":"Data"}}').to is None


def test_keys_of_a_later_version_are_passed_over() -> None:
    assert decode(b'{"hops":[],"frame":{"type":"Data"}}') == Envelope(frame=Data())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"{",
        b'"x"',
        b'{"frame":{}}',
        b'{"frame":{"type":"Nothing"}}',
        b'{"frame":{"type":5}}',
        b'{"frame":[]}',
        b'{"frame":{"type":"Data"}} {}',
        b'{"id":5,"frame":{"type":"Data"}}',
        b'{"to":["a@b"],"frame":{"type":"Data"}}',
        b'{"capabilities":"c","frame":{"type":"Data"}}',
        b'{"rtype":"2","frame":{"type":"Data"}}',
        b'{"meta":[],"frame":{"type":"Data"}}',
        b'{"id":"\xff","frame":{"type":"Data"}}',
        b'{"frame":{"type":"Data","payload":"\xff"}}',
        b'{"id":"\\ud800","frame":{"type":"Data"}}',
        b'{"seqId":' + b"9" * 5000 + b',"frame":{"type":"Data"}}',
        b'{"meta":{"x":' + b"9" * 5000 + b'},"frame":{"type":"Data"}}',
        b'{"meta":{"x":1e999},"frame":{"type":"Data"}}',
        b'{"frame":{"type":"Data","payload":' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
        b'{"meta":{"x":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b'},"frame":{"type":"Data"}}',
        b"\xef\xbb\xbf{}",
        '{"frame":{"type":"Data"}}'.encode("utf-16"),
    ],
)
def test_what_is_no_envelope_is_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="not an envelope"):
        decode(data)


def test_the_header_of_an_unreadable_frame_can_still_be_read() -> None:
    header = peek(json.dumps(make_envelope({"type": "Nothing"}, to="a@b", replyTo="c@d", corrId="k")).encode())
    assert header is not None
    assert (header.id, header.trace_id, header.to, header.reply_to, header.corr_id) == ("e1", "t1", "a@b", "c@d", "k")


@pytest.mark.parametrize("data", [b"", b"[]", b'{"id":5}', b'{"id":"\xff"}', b"[" * 100_000])
def test_nothing_is_read_where_no_header_is(data: bytes) -> None:
    assert peek(data) is None


def test_a_value_without_json_form_is_our_own_mistake() -> None:
    deep: list[object] = []
    deep.append(deep)
    for value in (object(), {"x": {1j}}, "\ud800", deep):
        with pytest.raises(LocalProtocolError, match="no JSON form"):
            encode_json(value)


def test_a_payload_is_wrapped_without_being_parsed() -> None:
    assert encode(Envelope(frame=data_frame(b'{"a": 1}'))) == b'{"frame":{"type":"Data","payload":{"a": 1}}}'


# Hops


@pytest.mark.parametrize(
    ("data", "changed"),
    [
        (b'{"frame":{"type":"Data"}}', b'{"frame":{"type":"Data"},"ttl":7}'),
        (b'{ "frame": {"type":"Data"},\n"new": [1] }', b'{ "frame": {"type":"Data"},\n"new": [1] ,"ttl":7}'),
        (b'{"frame":{"type":"Data"},"new":1,"ttl":8}', b'{"frame":{"type":"Data"},"new":1,"ttl":7}'),
        (b'{"frame":{"type":"Data"},"ttl":-12}', b'{"frame":{"type":"Data"},"ttl":7}'),
        (
            b'{"frame":{"type":"Data"},"meta":{"a":1,"ttl":5}}',
            b'{"frame":{"type":"Data"},"meta":{"a":1,"ttl":5},"ttl":7}',
        ),
    ],
)
def test_the_hops_are_changed_in_the_bytes_that_came(data: bytes, changed: bytes) -> None:
    assert with_ttl(decode(data), data, 7) == changed


@pytest.mark.parametrize(
    "data",
    [
        b'{"ttl":8,"frame":{"type":"Data"}}',
        b'{"ttl":8,"frame":{"type":"Data"},"meta":{"a":1,"ttl":8}}',
        b'{"frame":{"type":"Data"}, "ttl": 8}',
        b'{"frame":{"type":"Data"},"ttl":8}\n',
        b'{"frame":{"type":"Data"}}\n',
        b'{"ttl":null,"frame":{"type":"Data"}}',
        b'{"frame":{"type":"Data"},"ttl":null}',
    ],
)
def test_hops_written_elsewhere_or_otherwise_are_changed_too(data: bytes) -> None:
    envelope = decode(data)
    changed = decode(with_ttl(envelope, data, 7))
    assert changed == msgspec.structs.replace(envelope, ttl=7)


_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=8,
)
_FRAMES: st.SearchStrategy[Frame] = st.one_of(
    st.builds(lambda value: data_frame(encode_json(value)), _JSON),
    st.builds(DeliveryAck, ok=st.booleans() | st.none(), code=_TEXTS, ref_id=_TEXTS),
    st.builds(CreditUpdate, flow_id=_TEXTS, credits=st.integers(-(2**63), 2**63)),
)
_ENVELOPES = st.builds(
    Envelope,
    id=st.none() | _TEXTS,
    to=st.none() | _TEXTS,
    capabilities=st.none() | st.lists(_TEXTS, max_size=2),
    rtype=st.none() | st.integers(0, 7),
    seq_id=st.none() | st.integers(0, 2**63),
    meta=st.none() | st.dictionaries(_TEXTS, _JSON, max_size=2),
    ttl=st.none() | st.integers(-(2**63), 2**63),
    frame=_FRAMES,
)


@PROPERTY
@given(_ENVELOPES)
def test_reading_what_was_written_gives_the_same_envelope(envelope: Envelope) -> None:
    assert decode(encode(envelope)) == envelope


@PROPERTY
@given(_ENVELOPES, st.integers(0, 300))
def test_changing_the_hops_changes_nothing_else(envelope: Envelope, hops: int) -> None:
    assert decode(with_ttl(envelope, encode(envelope), hops)) == msgspec.structs.replace(envelope, ttl=hops)


@PROPERTY
@given(st.binary(max_size=200) | _JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_an_envelope_or_are_refused(data: bytes) -> None:
    peek(data)
    with contextlib.suppress(RemoteProtocolError):
        decode(data)
