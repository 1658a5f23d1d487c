"""Canonical JSON and what is made of it: as Python prints it, or refused, and never anything else."""

import json
import math
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from core_rig import PROPERTY
from hypothesis import example, given
from hypothesis import strategies as st

from fame_cli.core.envelope import Envelope, raw_list
from fame_cli.core.frames import (
    AddressBind,
    AddressBindAck,
    AddressUnbindAck,
    CallCancel,
    CapabilityAdvertiseAck,
    CapabilityWithdrawAck,
    DeliveryAck,
    Frame,
    KeyAnnounce,
    MeshSummary,
    SecureAccept,
    SecureOpen,
)
from fame_cli.errors import RemoteProtocolError
from fame_cli.security.canonical import (
    canonical,
    digest,
    frame_digest,
    payload_digest,
    signed_bytes,
    signed_headers,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.integers() | st.integers(10**18, 10**40) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=5),
    max_leaves=20,
)
FRAGMENTS = st.sampled_from(
    ["{", "}", "[", "]", ",", ":", '"', "\\", "\\u", "d800", "-", "0", "1", ".", "e", "+", "null", "NaN", " ", "é"]
)


def printed(value: object) -> bytes:
    """Print a value as the original does."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def read(frame: dict[str, Any]) -> Frame:
    """Read a frame as it comes."""
    decoded: Frame = msgspec.json.decode(json.dumps(frame), type=Frame)
    return decoded


def digest_of(members: dict[str, Any]) -> str:
    """Return the digest of a frame whose canonical form is known."""
    return digest(printed(members))


@given(VALUES, st.booleans(), st.sampled_from([None, 1, "\t"]))
@PROPERTY
def test_every_value_is_written_as_python_writes_it_however_it_came(
    value: object, ascii_only: bool, indent: int | str | None
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert canonical(text.encode()) == printed(value)


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(["{!r}", "{:.30e}", "{:E}", "{:.3f}"]))
@PROPERTY
def test_every_number_is_written_as_python_writes_it_however_it_came(value: float, form: str) -> None:
    text = form.format(value)
    assert canonical(text.encode()) == printed(json.loads(text))


@pytest.mark.parametrize(
    "text",
    [
        "-0",
        "-0.0",
        "-0e0",
        "1E5",
        "1e16",
        "1e15",
        "1e22",
        "0.0001",
        "0.00001",
        "5e-324",
        "1.10",
        "2.50e1",
        "1e-400",
        "18446744073709551616",
        "-9223372036854775809",
        "9" * 300,
        "123456789012345678901234567890.0",
        '"\\u0000\\u001f\\u007f\\u2028\\b\\f\\n\\r\\t\\/\\"\\\\"',
        '"\\ud83d\\ude00"',
        '"\x7f\u2028"',
        " [ 1 , { } ] ",
        '{"a":1,"a":2}',
        '{"":1}',
        '{"\\ud83d\\ude00":1,"\\uffff":2}',
        '{"a":{"b":1,"b":null},"a":{"c":1}}',
    ],
)
def test_odd_ways_to_write_something_make_no_difference(text: str) -> None:
    assert canonical(text.encode()) == printed(json.loads(text))


@pytest.mark.parametrize(
    "data",
    [
        b"1e400",
        b"[-1e400]",
        b"NaN",
        b"Infinity",
        b"1" * 5000,
        b"[" * 100000,
        b'{"a":' * 100000,
        b'"\\ud800"',
        b'"\\ude00\\ud83d"',
        b'{"\\ud800":1}',
        b'"\xed\xa0\x80"',
        b'"\xff"',
        b"",
        b"01",
        b"1.",
        b"[1,]",
        b"'a'",
        b'"\n"',
        b"nul",
        b"\xef\xbb\xbf1",
        b"1 2",
    ],
    ids=lambda data: repr(data[:12]),
)
def test_what_has_no_canonical_form_is_refused_and_the_text_shows_nothing_of_it(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match=r"^no canonical form: \w+$"):
        canonical(data)


@given(st.lists(FRAGMENTS, max_size=12).map("".join) | st.text(max_size=20))
@example('{"a":1e999}')
@PROPERTY
def test_any_text_is_refused_or_written_as_python_writes_it(text: str) -> None:
    data = text.encode("utf-8", "surrogatepass")
    with suppress(RemoteProtocolError):
        assert canonical(data) == printed(json.loads(data))


@given(st.binary(max_size=40))
@PROPERTY
def test_any_bytes_are_refused_or_digested(data: bytes) -> None:
    with suppress(RemoteProtocolError):
        assert 0 < len(payload_digest(msgspec.Raw(data))) <= 22


def test_nulls_of_a_payload_count() -> None:
    assert canonical(b'{"a":null,"b":[null]}') == b'{"a":null,"b":[null]}'


def test_no_payload_and_null_are_the_same() -> None:
    assert payload_digest(msgspec.Raw()) == payload_digest(msgspec.Raw(b"null")) == digest(b"")
    assert payload_digest(msgspec.Raw(b'""')) != digest(b"")


@pytest.mark.parametrize(
    "frame", [DeliveryAck, AddressBindAck, AddressUnbindAck, CapabilityAdvertiseAck, CapabilityWithdrawAck]
)
def test_an_ack_that_does_not_say_so_is_ok(frame: type[Frame]) -> None:
    name = frame.__name__
    assert frame_digest(read({"type": name})) == digest_of({"type": name, "ok": True})
    assert frame_digest(read({"type": name, "ok": False})) == digest_of({"type": name, "ok": False})


def test_a_channel_has_an_algorithm_and_options() -> None:
    told = {"cid": "c", "ephPub": "p"}
    full = {"alg": "CHACHA20P1305"} | told
    assert frame_digest(SecureOpen("c", "p")) == digest_of({"type": "SecureOpen", "opts": 0} | full)
    accept = SecureAccept(cid="c", eph_pub="p")
    assert frame_digest(accept) == digest_of({"type": "SecureAccept", "ok": True} | full)
    other = read({"type": "SecureOpen", "alg": "x", "opts": 7} | told)
    assert frame_digest(other) == digest_of({"type": "SecureOpen", "alg": "x", "opts": 7} | told)


def test_members_that_nobody_knows_are_left_out() -> None:
    frame = {"type": "AddressBind", "address": "a@b"}
    assert frame_digest(read(frame | {"later": {"x": 1}})) == digest_of(frame) == frame_digest(AddressBind("a@b"))


def test_nulls_of_a_frame_are_left_out_at_every_depth() -> None:
    keys = [{"kid": "k", "x": None, "more": [1, None, {"y": None, "z": 0.5}]}, None]
    frame = {"type": "KeyAnnounce", "physicalPath": "/s1", "created": "now", "address": None, "keys": keys}
    kept = [{"kid": "k", "more": [1, {"z": 0.5}]}]
    whole = {"type": "KeyAnnounce", "physicalPath": "/s1", "created": "now", "keys": kept}
    assert frame_digest(read(frame)) == digest_of(whole)


def test_a_key_request_has_the_same_digest_in_either_spelling() -> None:
    told = {"type": "KeyRequest", "kid": "k"}
    digests = {frame_digest(read(told | {name: "/s1"})) for name in ("physicalPath", "physical_path")}
    assert digests == {digest_of(told | {"physicalPath": "/s1"})}


def test_frames_of_ours_are_digested_as_they_are_sent() -> None:
    assert frame_digest(CallCancel()) == digest_of({"type": "CallCancel"})
    summary = MeshSummary({"s2": (1, 2, 3), "s1": (4, 5, 6)}, upto="s2")
    assert frame_digest(summary) == digest_of(
        {"type": "MeshSummary", "have": {"s1": [4, 5, 6], "s2": [1, 2, 3]}, "upto": "s2"}
    )
    update = {"type": "MeshUpdate", "records": [{"id": "s1", "instance": "i", "incarnation": 7}]}
    assert frame_digest(read(update)) == digest_of(update)


@pytest.mark.parametrize("jwk", [b'{"x":1e400}', b'["\\ud800"]', b"[" * 9000, b"1" * 5000])
def test_a_frame_without_a_canonical_form_is_refused(jwk: bytes) -> None:
    announce = KeyAnnounce("/s1", keys=raw_list([msgspec.Raw(jwk)]))
    with pytest.raises(RemoteProtocolError, match="no canonical form"):
        frame_digest(announce)


@given(st.lists(st.none() | TEXTS, min_size=7, max_size=7), st.none() | st.lists(TEXTS, max_size=3))
@PROPERTY
def test_the_headers_are_written_as_python_writes_them(texts: list[str | None], capabilities: list[str] | None) -> None:
    names = ("version", "id", "sid", "trace_id", "to", "reply_to", "corr_id")
    told = dict(zip(names, texts, strict=True)) | {"capabilities": capabilities}
    envelope = Envelope(frame=CallCancel(), **told)  # type: ignore[arg-type]
    assert signed_headers(envelope).encode() == printed(told)


def test_what_is_signed_is_sender_headers_and_frame_with_a_separator_between() -> None:
    envelope = Envelope(id="e", frame=CallCancel())
    sid, headers, frame = signed_bytes(envelope, "sender", "digest").split(b"\x1f")
    assert (sid, frame) == (b"sender", b"digest")
    assert headers == signed_headers(envelope).encode()


def test_a_separator_in_a_header_is_escaped_so_that_no_part_can_grow_into_the_next() -> None:
    assert signed_bytes(Envelope(id="\x1f", frame=CallCancel()), "s", "d").count(b"\x1f") == 2


def test_headers_with_half_a_surrogate_pair_are_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="no canonical form"):
        signed_bytes(Envelope(id="\ud800", frame=CallCancel()), "s", "d")


def test_a_digest_has_no_leading_zeros() -> None:
    found = {digest(str(number).encode()) for number in range(500)}
    assert not [each for each in found if each.startswith("0")]
    assert max(map(len, found)) == math.ceil(128 / math.log2(62))
