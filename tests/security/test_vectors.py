"""What real nodes signed, and what was changed of it: verified or refused as the vectors say."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from fame_cli.core.envelope import decode
from fame_cli.core.frames import Data
from fame_cli.core.ids import sid_of
from fame_cli.security.canonical import canonical, frame_digest, payload_digest, signed_bytes, signed_headers
from fame_cli.security.jwk import from_base64
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


@pytest.mark.parametrize("name", ["overlay", "strict_channel", "strict_sealed", "stickiness_aft"])
def test_every_signed_envelope_of_a_captured_session_verifies(name: str) -> None:
    lines = [json.loads(line) for line in (VECTORS / f"session_{name}.jsonl").read_text().splitlines()]
    envelopes = [decode(json.dumps(line["envelope"]).encode()) for line in lines if "envelope" in line]
    texts = [json.dumps(line) for line in lines]
    keys = {jwk["kid"]: jwk for text in texts for jwk in _jwks(json.loads(text)) if jwk.get("crv") == "Ed25519"}
    checked = 0
    for envelope in envelopes:
        sec = security_of(envelope)
        if sec.sig is not None and sec.sig.kid in keys:
            assert check(envelope, public(keys[sec.sig.kid])) == ""
            checked += 1
    assert checked >= 20


def _jwks(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        own = [value] if "kty" in value else []
        return own + [jwk for each in value.values() for jwk in _jwks(each)]
    return [jwk for each in value for jwk in _jwks(each)] if isinstance(value, list) else []
