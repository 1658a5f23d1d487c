"""What real nodes signed, and what was changed of it: verified or refused as the vectors say."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from fame_cli.core.envelope import Envelope, decode
from fame_cli.core.frames import Data, KeyAnnounce, NodeAttach, NodeAttachAck
from fame_cli.core.gate import Refusal
from fame_cli.core.ids import sid_of
from fame_cli.core.link import Link, LinkKind
from fame_cli.security.canonical import canonical, frame_digest, payload_digest, signed_bytes, signed_headers
from fame_cli.security.jwk import from_base64
from fame_cli.security.keyring import Keyring
from fame_cli.security.signing import check, security_of

VECTORS = Path(__file__).parents[1] / "vectors" / "security"


def vector(name: str) -> Any:
    """Read one file."""
    return json.loads((VECTORS / name).read_text())


def public(jwk: dict[str, Any]) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(from_base64(jwk["x"]))


@pytest.mark.parametrize("case", vector("signed_envelopes.json"), ids=lambda case: case["name"])
def test_what_real_nodes_signed_verifies_and_its_parts_are_ours(case: dict[str, Any]) -> None:
    envelope = decode(json.dumps(case["envelope"]).encode())
    frame = envelope.frame
    digest = (frame.pd or "") if isinstance(frame, Data) else frame_digest(frame)
    assert digest == case["frame_digest"]
    assert signed_headers(envelope) == case["canonical_headers"]
    assert signed_bytes(envelope, case["signer_sid"], digest).hex() == case["tbs_hex"]
    assert check(envelope, public(case["public_jwk"])) == ""
    assert sid_of(case["signer_physical_path"]) == case["signer_sid"]


@pytest.mark.parametrize("case", vector("tampered_data.json"), ids=lambda case: case["name"])
def test_what_was_changed_on_the_way_is_refused_if_the_signature_covers_it(case: dict[str, Any]) -> None:
    wrong = check(decode(json.dumps(case["envelope"]).encode()), public(case["public_jwk"]))
    assert bool(wrong) == (case.get("final_destination_must") == "reject")


@pytest.mark.parametrize("case", vector("digests.json")["payload_digests"], ids=lambda case: case["digest"])
def test_payloads_have_the_digests_of_the_original(case: dict[str, Any]) -> None:
    raw = json.dumps(case["payload"]).encode()
    assert payload_digest(msgspec.Raw(raw)) == case["digest"]
    assert case["canonical"] is None or canonical(raw).decode() == case["canonical"]


def test_paths_have_the_digests_of_the_original() -> None:
    sids = vector("digests.json")["sids"]
    assert {path: sid_of(path) for path in sids} == sids


def test_a_foreign_implementation_of_the_original_is_understood() -> None:
    probe = vector("interop_probe_overlay.json")
    for name, key in (("request", "identity_jwk"), ("response", "response_key")):
        assert check(decode(json.dumps(probe[name]).encode()), public(probe[key])) == ""


@pytest.mark.parametrize(
    ("name", "signed"), [("overlay", 40), ("strict_channel", 44), ("strict_sealed", 48), ("stickiness_aft", 74)]
)
def test_every_signed_envelope_of_a_captured_session_verifies_with_the_keys_told_before_it(
    name: str, signed: int
) -> None:
    lines = [json.loads(line) for line in (VECTORS / f"session_{name}.jsonl").read_text().splitlines()]
    envelopes = [decode(json.dumps(line["envelope"]).encode()) for line in lines if "envelope" in line]
    acks = [each.frame for each in envelopes if isinstance(each.frame, NodeAttachAck)]
    paths = {ack.ref_id: ack.assigned_path or "" for ack in acks}
    ring = Keyring(lambda token: None, lambda: 0.0)
    checked = 0
    for envelope in envelopes:
        sec = security_of(envelope)
        if sec.sig is not None:
            key = ring.find(sec.sig.kid, envelope.sid or "")
            assert key is not None
            assert check(envelope, key.public) == ""
            checked += 1
        learn(ring, envelope, paths)
    assert checked == signed


def learn(ring: Keyring, envelope: Envelope, paths: dict[str | None, str]) -> None:
    """Learn the keys an envelope tells of, if it does; `paths` has where those who attach come to be."""
    match envelope.frame:
        case NodeAttach(keys=keys):
            path = paths[envelope.id]
        case NodeAttachAck(target_physical_path=str(path), keys=keys) | KeyAnnounce(physical_path=path, keys=keys):
            pass
        case _:
            return
    assert not isinstance(ring.learn(keys, path, Link(1, LinkKind.PEER, remote_path=path), beyond=False), Refusal)
