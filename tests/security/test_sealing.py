"""Sealing: only the destination reads it, only as it was sent, and nothing ever travels in clear instead."""

import base64
import json
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import example, given
from hypothesis import strategies as st

from fame_cli.core.envelope import Envelope, decode, encode
from fame_cli.core.frames import Data, NodeHeartbeat
from fame_cli.core.ids import sid_of
from fame_cli.security.sealing import (
    LEVELS,
    ORIGINAL,
    SEALED,
    Encryption,
    SealingFailed,
    encryption_of,
    level_of,
    open_sealed,
    seal,
)
from fame_cli.security.signing import Signer, check

PAYLOAD = b'{"jsonrpc":"2.0","id":"c1","method":"add","params":{"x":3,"y":4}}'
PRIVATE = X25519PrivateKey.generate()


def jwk_of(private: X25519PrivateKey = PRIVATE, **changes: Any) -> dict[str, Any]:
    x = base64.urlsafe_b64encode(private.public_key().public_bytes_raw()).rstrip(b"=").decode()
    return {"kty": "OKP", "crv": "X25519", "x": x, "kid": "enc1", "alg": "ECDH-ES", "use": "enc"} | changes


def clear(payload: bytes = PAYLOAD, pd: str | None = None, **changes: Any) -> Envelope:
    """Return an envelope that is to be sealed."""
    given = {
        "version": "1.0",
        "id": "e1",
        "sid": "s1",
        "trace_id": "t1",
        "to": "math1@fame.fabric",
        "reply_to": "__rpc__c@/s1/c",
        "corr_id": "c1",
        "frame": Data(payload=msgspec.Raw(payload), pd=pd),
    }
    return Envelope(**given | changes)


def altered(envelope: Envelope, **changes: Any) -> Envelope:
    return msgspec.structs.replace(envelope, **changes)


def with_frame(envelope: Envelope, **changes: Any) -> Envelope:
    return altered(envelope, frame=msgspec.structs.replace(envelope.frame, **changes))


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=9) | st.sampled_from([SEALED, ORIGINAL]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["alg", "kid", "val"]), inner),
    max_leaves=8,
)

SIGNING = Ed25519PrivateKey.generate()
SENT = Signer(SIGNING, "k").sign(seal(clear(), jwk_of()))


def test_the_destination_reads_what_was_sealed() -> None:
    assert open_sealed(decode(encode(SENT)), PRIVATE) == PAYLOAD


def test_a_sealed_payload_is_one_json_string_for_everybody_else() -> None:
    wire = msgspec.json.decode(encode(SENT))
    assert wire["frame"]["codec"] == "b64"
    assert wire["sec"]["enc"] == {"alg": "fame-sealed-1", "kid": "enc1", "val": ""}
    assert wire["sec"]["sig"]["kid"] == "k"
    assert len(base64.b64decode(wire["frame"]["payload"], validate=True)) == 32 + len(PAYLOAD) + 16
    assert b"add" not in encode(SENT).replace(b"fame.fabric", b"")


def test_the_same_payload_is_never_sealed_the_same_way_twice() -> None:
    assert seal(clear(), jwk_of()).frame != SENT.frame


def test_nobody_else_reads_it() -> None:
    with pytest.raises(SealingFailed, match="can't be opened"):
        open_sealed(SENT, X25519PrivateKey.generate())


@pytest.mark.parametrize(
    "change",
    [
        {"version": "1.1"},
        {"id": "e2"},
        {"sid": "s2"},
        {"trace_id": "t2"},
        {"to": "math2@fame.fabric"},
        {"reply_to": "__rpc__evil@/s1/evil"},
        {"reply_to": None},
        {"capabilities": ["x"]},
        {"corr_id": "c2"},
    ],
    ids=str,
)
def test_it_opens_with_the_headers_it_was_sealed_with_and_no_others(change: dict[str, Any]) -> None:
    with pytest.raises(SealingFailed, match="can't be opened"):
        open_sealed(altered(SENT, **change), PRIVATE)


@pytest.mark.parametrize("change", [{"ttl": 3}, {"meta": {"fame.via": "s2"}}, {"flow_id": "f"}, {"aft": "x"}], ids=str)
def test_what_forwarders_may_change_does_not_matter(change: dict[str, Any]) -> None:
    assert open_sealed(altered(SENT, **change), PRIVATE) == PAYLOAD


def test_everybody_on_the_way_can_check_it_and_nobody_can_swap_it() -> None:
    """Anybody can seal to a public key; the signature is over what was sealed."""
    assert check(SENT, SIGNING.public_key()) == ""
    swapped = seal(clear(PAYLOAD.replace(b"3", b"1000")), jwk_of())
    frame = msgspec.structs.replace(swapped.frame, pd=SENT.frame.pd)  # type: ignore[union-attr]
    assert check(altered(SENT, frame=frame), SIGNING.public_key()) == "the payload isn't what was signed"


def test_the_digest_says_nothing_of_a_short_payload() -> None:
    sent = Signer(SIGNING, "k").sign(seal(clear(b"7"), jwk_of()))
    again = Signer(SIGNING, "k").sign(seal(clear(b"7"), jwk_of()))
    assert {sent.frame.pd, again.frame.pd}.isdisjoint({sid_of("7")})  # type: ignore[union-attr]
    assert sent.frame.pd != again.frame.pd  # type: ignore[union-attr]


def test_a_plaintext_that_looks_sealed_does_not_pass_for_sealed() -> None:
    """Whoever gets a node to sign a text can't make a sealed payload of it: the digests differ."""
    text = clear(bytes(SENT.frame.payload))  # type: ignore[union-attr]
    plain = Signer(SIGNING, "k").sign(text)
    sec = json.loads(bytes(plain.sec)) | {"enc": json.loads(bytes(SENT.sec))["enc"]}
    dressed = altered(plain, sec=msgspec.Raw(json.dumps(sec).encode()))
    assert check(dressed, SIGNING.public_key()) == "the payload isn't what was signed"


def test_each_bit_of_the_ciphertext_matters() -> None:
    ciphertext = base64.b64decode(msgspec.json.decode(SENT.frame.payload))  # type: ignore[union-attr]
    for at in range(len(ciphertext)):
        bent = ciphertext[:at] + bytes([ciphertext[at] ^ 128]) + ciphertext[at + 1 :]
        with pytest.raises(SealingFailed):
            open_sealed(with_frame(SENT, payload=msgspec.Raw(msgspec.json.encode(bent))), PRIVATE)


@pytest.mark.parametrize("payload", [b"", b"null", b"7", b"{}", b'""', b'"!"', b'"AAAA"', b'"' + b"A" * 64 + b'"'])
def test_what_is_no_ciphertext_is_refused(payload: bytes) -> None:
    with pytest.raises(SealingFailed):
        open_sealed(with_frame(SENT, payload=msgspec.Raw(payload)), PRIVATE)


def test_a_payload_in_clear_is_not_taken_for_a_sealed_one() -> None:
    with pytest.raises(SealingFailed, match="isn't sealed"):
        open_sealed(clear(pd="x"), PRIVATE)


@pytest.mark.parametrize("alg", ["", "none", "fame-sealed-2", "chacha20-poly1305-channel", "aes-256-gcm"])
def test_a_way_of_sealing_that_is_not_known_is_refused(alg: str) -> None:
    with pytest.raises(SealingFailed, match="known here"):
        open_sealed(altered(SENT, sec=msgspec.Raw(msgspec.json.encode({"enc": {"alg": alg}}))), PRIVATE)


def test_calling_it_the_originals_way_does_not_open_it() -> None:
    sec = {"enc": {"alg": "ECDH-ES+A256GCM", "kid": "enc1", "val": base64.b64encode(bytes(44)).decode()}}
    with pytest.raises(SealingFailed, match="can't be opened"):
        open_sealed(altered(SENT, sec=msgspec.Raw(msgspec.json.encode(sec))), PRIVATE)


@pytest.mark.parametrize(
    "change",
    [
        {"kty": "EC"},
        {"crv": "Ed25519"},
        {"use": "sig"},
        {"x": "AAAA"},
        {"x": "!" * 43},
        {"x": "é" * 43},
        {"x": None},
        {"kid": None},
        {"x": "A" * 43},
    ],
    ids=str,
)
def test_sealing_to_what_is_no_key_fails_and_sends_nothing(change: dict[str, Any]) -> None:
    with pytest.raises(SealingFailed, match="the destination's key"):
        seal(clear(), jwk_of(**change))


@pytest.mark.parametrize(
    "envelope",
    [
        clear(sid=None),
        clear(frame=NodeHeartbeat()),
        SENT,
        with_frame(clear(), codec="b64"),
        clear(sec=msgspec.Raw(b"[]")),
    ],
    ids=["no sid", "another frame", "sealed already", "another codec", "malformed header"],
)
def test_what_can_not_be_sealed_fails_and_sends_nothing(envelope: Envelope) -> None:
    with pytest.raises(SealingFailed):
        seal(envelope, jwk_of())


def test_what_was_sealed_has_to_be_json() -> None:
    with pytest.raises(SealingFailed, match="can't be opened"):
        open_sealed(with_frame(seal(clear(b"{"), jwk_of()), pd="x"), PRIVATE)
    with pytest.raises(SealingFailed, match="can't be opened"):
        open_sealed(with_frame(seal(clear(b"[" * 100_000), jwk_of()), pd="x"), PRIVATE)


def test_no_error_says_what_is_in_a_payload() -> None:
    with pytest.raises(SealingFailed) as caught:
        open_sealed(seal(clear(b'"secret"'), jwk_of()), PRIVATE)
    assert "secret" not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize(
    ("sec", "level"),
    [
        (b"", "plaintext"),
        (b"{}", "plaintext"),
        (b'{"enc":null}', "sealed"),
        (b'{"enc":{"alg":"chacha20-poly1305-channel"}}', "channel"),
        (b'{"enc":{"alg":"fame-sealed-1"}}', "sealed"),
        (b'{"enc":{"alg":"what is this"}}', "sealed"),
        (b'{"enc":{}}', "sealed"),
        (b'{"enc":7}', "sealed"),
        (b"7", "sealed"),
    ],
)
def test_what_is_not_plainly_plaintext_never_counts_as_it(sec: bytes, level: str) -> None:
    assert level_of(clear(sec=msgspec.Raw(sec))) == level
    assert level in LEVELS


def test_the_header_says_which_key_opens_it() -> None:
    assert encryption_of(SENT) == Encryption(SEALED, "enc1", "")
    assert encryption_of(clear()) is None


@given(
    sec=st.binary(max_size=80) | st.dictionaries(st.just("enc"), JSON).map(json.dumps).map(str.encode),
    payload=st.binary(max_size=120),
)
@example(sec=b'{"enc":{"alg":"ECDH-ES+A256GCM","val":"\xc3\xa9"}}', payload=b'"AAAA"')
@example(sec=b'{"enc":{"alg":"ECDH-ES+A256GCM","val":"AAAA"}}', payload=b"[[")
@example(sec=b"[" * 5000, payload=b"")
def test_whatever_comes_is_opened_or_refused_with_one_error(sec: bytes, payload: bytes) -> None:
    envelope = with_frame(altered(SENT, sec=msgspec.Raw(sec)), payload=msgspec.Raw(payload))
    assert level_of(envelope) in LEVELS
    with pytest.raises(SealingFailed):
        open_sealed(envelope, PRIVATE)


def test_it_is_hpke_as_the_library_has_it() -> None:
    """What another implementation needs to know: the suite, and `info` = label and headers."""
    suite = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
    headers = (
        '{"capabilities":null,"corr_id":"c1","id":"e1","reply_to":"__rpc__c@/s1/c","sid":"s1",'
        '"to":"math1@fame.fabric","trace_id":"t1","version":"1.0"}'
    )
    info = f"fame-sealed-1\x1f{headers}".encode()
    ciphertext = base64.b64decode(msgspec.json.decode(SENT.frame.payload))  # type: ignore[union-attr]
    assert suite.decrypt(ciphertext, PRIVATE, info) == PAYLOAD
