"""What Naylence's strict nodes sent, read by ours: certificates, sealed payloads and channels, as captured."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding

from fame_cli.core.envelope import Envelope, decode
from fame_cli.core.frames import Data, KeyAnnounce, NodeAttach, NodeAttachAck, SecureAccept, SecureOpen
from fame_cli.core.ids import sid_of
from fame_cli.security.canonical import payload_digest
from fame_cli.security.certificates import CertificateRefused, anchors_in, node_named_in, validate_x5c
from fame_cli.security.channel import Channels
from fame_cli.security.issuing import CertificateAuthority
from fame_cli.security.sealing import SealingFailed, derived_key, encryption_of, level_of, open_sealed

VECTORS = Path(__file__).parents[1] / "vectors" / "security"
NOW = 1_795_478_000.0
"""Within the day of 2026-11-23 for which the certificates were issued."""


def vector(name: str) -> Any:
    return json.loads((VECTORS / name).read_text(encoding="utf-8"))


def envelope_of(wire: Any) -> Envelope:
    return decode(json.dumps(wire).encode())


def session(name: str) -> Iterator[Envelope]:
    for line in (VECTORS / name).read_text(encoding="utf-8").splitlines():
        if "envelope" in (event := json.loads(line)):
            yield envelope_of(event["envelope"])


SESSIONS = ("session_strict_sealed.jsonl", "session_strict_channel.jsonl")


# --- certificates ----------------------------------------------------------------------------------------------------


def certified_keys() -> Iterator[tuple[dict[str, Any], str]]:
    """Yield each key with a certificate that the sessions show, and the path it was announced for."""
    for name in SESSIONS:
        for envelope in session(name):
            match envelope.frame:
                case NodeAttach(keys=keys, assigned_path=path) | NodeAttachAck(keys=keys, target_physical_path=path):
                    pass
                case KeyAnnounce(keys=keys, physical_path=path):
                    pass
                case _:
                    continue
            listed = msgspec.json.decode(keys) if keys else []
            yield from ((jwk, path or "") for jwk in listed if "x5c" in jwk)


CERTIFIED = list(certified_keys())


def test_the_sessions_show_certificates() -> None:
    assert len(CERTIFIED) >= 6


@pytest.mark.parametrize(("jwk", "path"), CERTIFIED)
def test_a_captured_certificate_is_right_in_all_but_its_issuer(jwk: dict[str, Any], path: str) -> None:
    """The authority's own certificate wasn't captured. It is the last thing asked for; everything before it fits."""
    anchors = (CertificateAuthority.create("another", NOW).certificate,)
    with pytest.raises(CertificateRefused, match="no authority trusted here"):
        validate_x5c(jwk["x5c"], jwk, path, anchors, NOW)
    assert node_named_in(base64.b64decode(jwk["x5c"][0])).sid == sid_of(path)
    with pytest.raises(CertificateRefused, match="another node"):
        validate_x5c(jwk["x5c"], jwk, path + "x", anchors, NOW)
    with pytest.raises(CertificateRefused, match="has expired"):
        validate_x5c(jwk["x5c"], jwk, path, anchors, NOW + 2 * 86_400)


def test_the_captured_answer_of_the_authority_names_the_node_that_asked() -> None:
    found = vector("welcome_and_ca.json")
    asked = found["request"]
    leaf = anchors_in(found["response"]["certificate_pem"].encode())[0]
    assert node_named_in(leaf.public_bytes(Encoding.DER)) == (asked["requester_id"], sid_of(asked["physical_path"]))


def test_the_certificate_that_naylence_refused_is_refused() -> None:
    (_, attach), _ = vector("refused_untrusted_certificate.json")
    frame = attach["frame"]
    with pytest.raises(CertificateRefused):
        validate_x5c(
            frame["keys"][0]["x5c"],
            frame["keys"][0],
            frame["assignedPath"],
            anchors_in(vector("naylence_certificates.json")["root"].encode()),
            NOW,
        )


# --- sealed ----------------------------------------------------------------------------------------------------------

READER = X25519PrivateKey.from_private_bytes(
    base64.b64decode(vector("sealed_encryption.json")["reader_private_x25519"])
)


def test_what_naylence_sealed_to_us_is_read() -> None:
    found = vector("sealed_encryption.json")
    assert json.loads(open_sealed(envelope_of(found["response"]), READER)) == found["decrypted"]["payload"]


def test_what_naylence_sealed_to_another_is_not_read() -> None:
    with pytest.raises(SealingFailed, match="can't be opened"):
        open_sealed(envelope_of(vector("sealed_encryption.json")["request"]), READER)


def test_a_digest_of_another_payload_is_noticed_after_opening() -> None:
    """Naylence doesn't compare them, and runs whatever was sealed under a signature made for something else."""
    wire = vector("sealed_encryption.json")["response"]
    wire["frame"]["pd"] = sid_of("8")
    with pytest.raises(SealingFailed, match="isn't the one that was signed"):
        open_sealed(envelope_of(wire), READER)


def test_each_sealed_payload_of_the_session_is_known_as_that_and_closed_to_us() -> None:
    sealed = [each for each in session(SESSIONS[0]) if level_of(each) == "sealed"]
    assert len(sealed) >= 20
    for envelope in sealed:
        with pytest.raises(SealingFailed, match="can't be opened"):
            open_sealed(envelope, READER)


# --- channel ---------------------------------------------------------------------------------------------------------


def captured_key() -> ChaCha20Poly1305:
    """Derive the key of the captured channel as its opener did."""
    found = vector("channel_encryption.json")
    private = X25519PrivateKey.from_private_bytes(base64.b64decode(found["opener_ephemeral_private_b64"]))
    accepted = found["secure_accept"]["frame"]
    key = derived_key(private, base64.b64decode(accepted["ephPub"]), f"fame-channel:{accepted['cid']}".encode())
    assert base64.b64encode(key).decode() == found["channel_key_b64"]
    return ChaCha20Poly1305(key)


@pytest.mark.parametrize("name", ["request", "response"])
def test_what_came_through_a_channel_of_naylences_is_read(name: str) -> None:
    """Both ends have the same key, so the owner's table reads the answer as well, once it has that key."""
    found = vector("channel_encryption.json")
    wire = found[name]
    enc = wire["sec"]["enc"]
    ciphertext = base64.b64decode(wire["frame"]["payload"])
    opened = captured_key().decrypt(bytes.fromhex(enc["val"]), ciphertext, enc["kid"].encode())
    assert payload_digest(msgspec.Raw(opened)) == wire["frame"]["pd"]
    if name == "response":
        assert json.loads(opened) == found["response_plaintext"]


def test_a_channel_that_naylence_asks_for_is_opened_and_carries_what_it_writes() -> None:
    """The captured SecureOpen, our answer, and the captured payloads written anew under the key both derive."""
    found = vector("channel_encryption.json")
    asked = envelope_of(found["secure_open"])
    assert isinstance(asked.frame, SecureOpen)
    channels = Channels()
    accepted = channels.accept(asked.frame, asked.sid or "", NOW)
    assert set(msgspec.to_builtins(accepted)) == set(found["secure_accept"]["frame"])
    private = X25519PrivateKey.from_private_bytes(base64.b64decode(found["opener_ephemeral_private_b64"]))
    cid = asked.frame.cid
    key = ChaCha20Poly1305(
        derived_key(private, base64.b64decode(accepted.eph_pub or ""), f"fame-channel:{cid}".encode())
    )
    request = envelope_of(found["request"])
    enc = encryption_of(request)
    assert enc is not None
    assert isinstance(request.frame, Data)
    nonce = bytes.fromhex(enc.val)
    plain = captured_key().decrypt(nonce, msgspec.json.decode(request.frame.payload, type=bytes), cid.encode())
    again = msgspec.json.encode(key.encrypt(nonce, plain, cid.encode()))
    frame = msgspec.structs.replace(request.frame, payload=msgspec.Raw(again))
    assert channels.open(msgspec.structs.replace(request, frame=frame), NOW) == plain


def test_no_payload_of_the_session_opens_in_a_channel_that_was_never_shared() -> None:
    channels = Channels()
    counted = 0
    for envelope in session(SESSIONS[1]):
        if isinstance(envelope.frame, SecureOpen) and not len(channels):
            assert channels.accept(envelope.frame, envelope.sid or "", NOW).ok
        elif level_of(envelope) == "channel":
            counted += 1
            with pytest.raises(SealingFailed):
                channels.open(envelope, NOW)
    assert counted >= 20


def test_the_answers_of_naylence_to_a_request_have_the_form_ours_have() -> None:
    answers = [each.frame for each in session(SESSIONS[1]) if isinstance(each.frame, SecureAccept)]
    assert answers
    assert all(
        each.accepted and each.alg == "CHACHA20P1305" and len(base64.b64decode(each.eph_pub or "")) == 32
        for each in answers
    )
