"""Signatures of envelopes: what they cover holds, and what they don't is known."""

import json
from typing import Any

import msgspec
import pytest

from fame_cli.core.envelope import Envelope, data_frame, decode, encode
from fame_cli.core.frames import AddressBind, Data, DeliveryAck, MeshSummary
from fame_cli.core.ids import sid_of
from fame_cli.errors import RemoteProtocolError
from fame_cli.security.canonical import digest, payload_digest
from fame_cli.security.jwk import from_base64, generate, to_base64
from fame_cli.security.signing import (
    CLEAR,
    OURS,
    SEALED,
    THEIRS,
    Signer,
    check,
    sealed_digest,
    security_of,
    verify_bytes,
)

KEYS = generate()
PUBLIC = KEYS.signing.public_key()
SIGNER = Signer(KEYS.signing, KEYS.kid)
NOT_WHAT = "the payload isn't what was signed"
HOLDS_NOT = "the signature doesn't hold"
UNSIGNED = "it isn't signed"


def request(payload: bytes = b'{"x":3,"y":[4.5,null]}', **fields: object) -> Envelope:
    """Make a request with all the headers that are signed."""
    told: dict[str, Any] = {"version": "1.0", "id": "e1", "sid": sid_of("/s1/c"), "trace_id": "t1", "to": "a@b.c"}
    told |= {"reply_to": "__rpc__x@/s1/c", "corr_id": "k", "capabilities": ["one", "two"], "frame": data_frame(payload)}
    return Envelope(**(told | fields))


def changed(envelope: Envelope, **fields: object) -> Envelope:
    """Change an envelope on its way."""
    return decode(encode(msgspec.structs.replace(envelope, **fields)))


def with_payload(envelope: Envelope, payload: bytes, pd: str | None) -> Envelope:
    """Exchange the payload of an envelope."""
    return changed(envelope, frame=Data(payload=msgspec.Raw(payload), pd=pd))


def with_sec(envelope: Envelope, **members: object) -> Envelope:
    """Change members of `sec`."""
    sec = json.loads(bytes(envelope.sec)) | members
    return changed(envelope, sec=msgspec.Raw(json.dumps(sec).encode()))


SIGNED = SIGNER.sign(request())


def test_what_is_signed_verifies_after_it_has_travelled() -> None:
    assert check(decode(encode(SIGNED)), PUBLIC) == ""


def test_a_signature_says_its_key_and_the_digest_of_the_payload_and_nothing_more() -> None:
    written = json.loads(encode(SIGNED))
    assert written["sec"].keys() == {"sig"}
    assert written["sec"]["sig"].keys() == {"kid", "val"}
    assert written["sec"]["sig"]["kid"] == KEYS.kid
    assert len(from_base64(written["sec"]["sig"]["val"])) == 64
    assert written["frame"]["pd"] == payload_digest(data_frame(b'{"y":[4.5,null],"x":3}').payload)


def test_the_payload_may_be_written_anew_on_the_way() -> None:
    assert isinstance(SIGNED.frame, Data)
    assert check(with_payload(SIGNED, b'{ "y" : [45e-1,null], "x":3 }', SIGNED.frame.pd), PUBLIC) == ""


@pytest.mark.parametrize(
    "fields",
    [
        {"version": None},
        {"id": "e2"},
        {"sid": sid_of("/s1/d")},
        {"trace_id": None},
        {"to": "b@b.c"},
        {"reply_to": "__rpc__x@/s1/d"},
        {"capabilities": ["two", "one"]},
        {"capabilities": None},
        {"corr_id": "l"},
    ],
    ids=str,
)
def test_no_header_that_is_covered_can_be_changed(fields: dict[str, Any]) -> None:
    assert check(changed(SIGNED, **fields), PUBLIC) == HOLDS_NOT


@pytest.mark.parametrize(
    "fields", [{"ts": "now"}, {"ttl": 3}, {"rtype": 2}, {"flow_id": "f"}, {"seq_id": 9}, {"meta": {"m": 1}}], ids=str
)
def test_what_routers_write_is_not_covered(fields: dict[str, Any]) -> None:
    assert check(changed(SIGNED, **fields), PUBLIC) == ""


@pytest.mark.parametrize(
    ("pd", "wrong"), [("same", NOT_WHAT), ("its own", HOLDS_NOT), (None, NOT_WHAT), ("", NOT_WHAT)]
)
def test_a_payload_can_not_be_exchanged(pd: str | None, wrong: str) -> None:
    assert isinstance(SIGNED.frame, Data)
    other = b'{"x":1000,"y":[4.5,null]}'
    told = {"same": SIGNED.frame.pd, "its own": payload_digest(msgspec.Raw(other))}.get(pd or "", pd)
    assert check(with_payload(SIGNED, other, told), PUBLIC) == wrong


def test_a_payload_that_is_null_is_signed_as_none() -> None:
    for payload in (b"null", b""):
        signed = SIGNER.sign(request(payload))
        assert isinstance(signed.frame, Data)
        assert signed.frame.pd == digest(b"")
        assert check(signed, PUBLIC) == ""


def test_other_frames_are_covered_whole() -> None:
    bound = SIGNER.sign(request(frame=AddressBind("a@b.c", physical_path="/s1/c")))
    assert check(decode(encode(bound)), PUBLIC) == ""
    assert check(changed(bound, frame=AddressBind("a@b.d", physical_path="/s1/c")), PUBLIC) == HOLDS_NOT
    summary = SIGNER.sign(request(frame=MeshSummary({"s1": (1, 2, 3)})))
    assert check(decode(encode(summary)), PUBLIC) == ""


def test_a_yes_can_not_be_made_a_no() -> None:
    said = SIGNER.sign(request(frame=DeliveryAck(ref_id="e1")))
    assert check(changed(said, frame=DeliveryAck(ok=True, ref_id="e1")), PUBLIC) == ""
    assert check(changed(said, frame=DeliveryAck(ok=False, ref_id="e1")), PUBLIC) == HOLDS_NOT


def test_a_signature_by_another_key_does_not_hold() -> None:
    assert check(SIGNED, generate().signing.public_key()) == HOLDS_NOT


@pytest.mark.parametrize(
    "val",
    ["", "AAAA", to_base64(bytes(64)), to_base64(bytes(65)), "!" * 86, "é" * 43, "\ud83d\ude00", "A" * 100_000],
    ids=lambda val: repr(val[:6]),
)
def test_what_is_no_signature_does_not_hold(val: str) -> None:
    assert check(with_sec(SIGNED, sig={"kid": KEYS.kid, "val": val}), PUBLIC) == HOLDS_NOT


def test_nothing_may_hide_in_a_signature() -> None:
    sig = security_of(SIGNED).sig
    assert sig is not None
    for val in (f"{sig.val}!", f"{sig.val} ", f"{sig.val[:40]}\n{sig.val[40:]}"):
        assert check(with_sec(SIGNED, sig={"kid": sig.kid, "val": val}), PUBLIC) == HOLDS_NOT


@pytest.mark.parametrize(
    "sec",
    [
        b"null",
        b"7",
        b"[]",
        b"{}",
        b'{"sig":null}',
        b'{"sig":7}',
        b'{"sig":{"kid":"k"}}',
        b'{"sig":{"kid":7,"val":"x"}}',
        b'{"sig":{"kid":"k","val":null}}',
        b'{"sig":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b"",
    ],
    ids=lambda sec: repr(sec[:30]),
)
def test_what_can_not_be_read_counts_as_unsigned(sec: bytes) -> None:
    envelope = msgspec.structs.replace(SIGNED, sec=msgspec.Raw(sec))
    assert security_of(envelope).sig is None
    assert check(envelope, PUBLIC) == UNSIGNED


def test_who_signs_has_to_say_who_it_is() -> None:
    assert check(changed(SIGNED, sid=None), PUBLIC) == UNSIGNED


def test_members_of_later_versions_are_passed_over() -> None:
    sig = {"kid": KEYS.kid, "val": json.loads(bytes(SIGNED.sec))["sig"]["val"], "alg": "EdDSA", "more": [1]}
    assert check(with_sec(SIGNED, sig=sig, more={}), PUBLIC) == ""


def test_a_payload_of_the_original_is_compared_by_who_opens_it() -> None:
    """It signs the plaintext and sends a ciphertext: on the way there is nothing to compare."""
    sealed = with_sec(SIGNED, enc={"alg": "ECDH-ES+A256GCM", "kid": "k", "val": "v"})
    assert security_of(sealed).level == THEIRS
    assert isinstance(SIGNED.frame, Data)
    assert check(with_payload(sealed, b'"ciphertext"', SIGNED.frame.pd), PUBLIC) == ""
    assert check(with_payload(sealed, b'"ciphertext"', "another"), PUBLIC) == HOLDS_NOT
    assert check(with_payload(sealed, b'"ciphertext"', None), PUBLIC) == NOT_WHAT


@pytest.mark.parametrize(
    ("enc", "level"),
    [(b"null", CLEAR), (b"7", THEIRS), (b"{}", THEIRS), (b'{"alg":null}', THEIRS), (b'{"alg":"later"}', THEIRS)],
)
def test_whatever_is_said_of_encryption_is_not_ours_unless_it_says_so(enc: bytes, level: str) -> None:
    assert security_of(changed(SIGNED, sec=msgspec.Raw(b'{"enc":%b}' % enc))).level == level


def test_a_payload_that_we_sealed_is_compared_on_every_hop() -> None:
    enc = b'{"alg":"%b","kid":"k","val":""}' % SEALED.encode()
    sealed = SIGNER.sign(request(b'"ciphertext"', sec=msgspec.Raw(b'{"enc":%b}' % enc)))
    assert security_of(sealed).level == OURS
    assert bytes(security_of(sealed).enc) == enc
    assert isinstance(sealed.frame, Data)
    assert sealed.frame.pd == sealed_digest(msgspec.Raw(b'"ciphertext"'))
    assert check(decode(encode(sealed)), PUBLIC) == ""
    assert check(with_payload(sealed, b'"other"', sealed.frame.pd), PUBLIC) == NOT_WHAT


def test_a_ciphertext_can_not_be_passed_off_as_a_plaintext() -> None:
    enc = b'{"enc":{"alg":"%b"}}' % SEALED.encode()
    sealed = SIGNER.sign(request(b'"ciphertext"', sec=msgspec.Raw(enc)))
    sig = json.loads(bytes(sealed.sec))["sig"]
    bare = changed(sealed, sec=msgspec.Raw(json.dumps({"sig": sig}).encode()))
    assert security_of(bare).level == CLEAR
    assert check(bare, PUBLIC) == NOT_WHAT


@pytest.mark.parametrize("payload", [b"1e400", b'"\\ud800"', b"1" * 5000])
def test_what_has_no_canonical_form_is_neither_signed_nor_verified(payload: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        SIGNER.sign(request(payload))
    with pytest.raises(RemoteProtocolError):
        check(msgspec.structs.replace(SIGNED, frame=Data(payload=msgspec.Raw(payload), pd="x")), PUBLIC)


def test_other_bytes_are_signed_too() -> None:
    signature = SIGNER.sign_bytes(b"a record")
    assert verify_bytes(PUBLIC, signature, b"a record")
    assert not verify_bytes(PUBLIC, signature, b"another")
