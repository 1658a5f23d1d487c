"""Targets that prove or hide something: tokens, proofs, certificates, sealed payloads and channels."""

import contextlib
import json
from base64 import b64decode
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path

import msgspec
from fuzz_parts import NOW, Target, keys, together
from neighbour_rig import MATH

from fame_cli.core.envelope import Envelope, decode, encode
from fame_cli.core.frames import Data, SecureOpen
from fame_cli.errors import RemoteProtocolError
from fame_cli.security.authority import Authority
from fame_cli.security.canonical import payload_digest
from fame_cli.security.certificates import CertificateRefused, anchors_in, node_named_in, validate_x5c
from fame_cli.security.channel import Channels
from fame_cli.security.dpop import ProofChecker, proof
from fame_cli.security.jose import TokenRefused, sign_compact
from fame_cli.security.jwk import NodeKeys, to_base64
from fame_cli.security.sealing import SealingFailed, encryption_of, level_of, open_sealed, seal
from fame_cli.security.tokens import KeysMissing, TokenVerifier

__all__ = ["TARGETS"]

VECTORS = Path(__file__).parents[1] / "vectors" / "security"


def vector(name: str) -> object:
    """Read a captured file."""
    return json.loads((VECTORS / name).read_text(encoding="utf-8"))


# Tokens and proofs


@cache
def _authority() -> Authority:
    return Authority(keys("authority").signing, fabric="fame.fabric")


def _verifier() -> TokenVerifier:
    return TokenVerifier((), _authority().public_jwks, "fame.fabric", 30.0)


def _token(data: bytes) -> None:
    """Verify a token as it comes, or one with any claims or header that the authority has signed."""
    text = _compact(data, {"typ": "JWT", "kid": _authority().kid}, keys("authority"))
    verifier = _verifier()
    grant = None
    with _refusals():
        grant = verifier.verify(text, NOW)
    if grant is None:
        return
    assert grant.subject
    assert grant.expires_at is None or grant.expires_at > NOW
    assert verifier.verify(text, NOW) == grant


def _compact(data: bytes, header: dict[str, object], own: NodeKeys) -> str:
    """Return a JWS: the bytes themselves, or with claims and header out of them, signed."""
    door, rest = (data[0] if data else 0) % 2, data[1:]
    if door:
        with contextlib.suppress(Exception):  # what can't be signed says nothing of what is verified
            parts = json.loads(rest)
            return sign_compact({**header, **parts["header"]}, parts["claims"], own.signing)
    return rest.decode("utf-8", "surrogateescape")


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """Take a refusal for what it is, if it holds nothing of what was refused."""
    try:
        yield
    except (TokenRefused, KeysMissing) as refused:
        if "eyJ" in str(refused):
            raise AssertionError("a token got into a reason") from refused


def _claims(**changes: object) -> dict[str, object]:
    said = {"node": "a1", "roles": ["agent"], "addresses": [MATH], "capabilities": ["*"], "prefixes": []}
    base = {"iss": _authority().issuer, "aud": "fame.fabric", "sub": "a1", "iat": NOW - 5, "nbf": NOW - 5}
    return {**base, "exp": NOW + 60, "jti": "j1", "scope": "node.connect", "fame": said, **changes}


def _tokens() -> list[bytes]:
    claims = _claims()
    token = sign_compact({"typ": "JWT", "kid": _authority().kid}, claims, keys("authority").signing)
    bound = _claims(cnf={"jkt": keys("a1").thumbprint}, scope="node.connect node.peer")
    late, several = _claims(exp=NOW - 1), _claims(aud=["fame.fabric", "x"])
    return [
        b"\0" + token.encode(),
        *(together(1, {"header": {}, "claims": each}) for each in (claims, bound, late, several)),
        together(1, {"header": {"typ": "at+jwt", "crit": []}, "claims": claims}),
    ]


PATH, TOKEN = "/fame/v1/attach/ws/downstream/a1", "a token"


def _proof(data: bytes) -> None:
    """Check a proof as it comes, or one with any claims or header that the node has signed."""
    own = keys("a1")
    text = _compact(data, {}, own)
    checker = ProofChecker(30.0)
    taken = 0
    for _ in range(2):
        with _refusals():
            checker.check(text, PATH, TOKEN, own.thumbprint, NOW)
            taken += 1
    assert taken < 2, "a proof was taken twice"


def _proofs() -> list[bytes]:
    own = keys("a1")
    made = proof(own, f"ws://127.0.0.1:8000{PATH}", TOKEN, NOW)
    jwk = {name: value for name, value in own.public_jwks()[0].items() if name in ("kty", "crv", "x")}
    digest = to_base64(sha256(TOKEN.encode()).digest())
    claims = {"jti": "p1", "htm": "GET", "htu": f"ws://h{PATH}", "iat": int(NOW), "ath": digest}
    return [b"\0" + made.encode(), together(1, {"header": {"typ": "dpop+jwt", "jwk": jwk}, "claims": claims})]


# Certificates


@cache
def _anchors() -> tuple:
    found = vector("naylence_certificates.json")
    assert isinstance(found, dict)
    return anchors_in(found["root"].encode())


def _certificate(data: bytes) -> None:
    """Check one certificate, or the chain of a key: with what it came, where it came from."""
    with contextlib.suppress(CertificateRefused):
        node_named_in(data[1:])
    try:
        jwk, path = json.loads(data[1:])
    except (ValueError, TypeError, RecursionError):
        return
    if isinstance(jwk, dict) and isinstance(path, str):
        with contextlib.suppress(CertificateRefused):
            validate_x5c(jwk.get("x5c"), jwk, path, _anchors(), 1_795_478_000.0)


def _certificates() -> list[bytes]:
    found = vector("refused_untrusted_certificate.json")
    assert isinstance(found, list)
    frame = found[0][1]["frame"]
    jwk = frame["keys"][0]
    return [together(0, [jwk, frame["assignedPath"]]), *(b"\0" + b64decode(each) for each in jwk["x5c"])]


# Sealed payloads


def _sealed(data: bytes) -> None:
    """Open what is sealed, or came through a channel, whoever says so."""
    own = keys("a1")
    try:
        envelope = decode(data)
    except RemoteProtocolError:
        return
    level_of(envelope)
    with contextlib.suppress(SealingFailed):
        encryption_of(envelope)
    channels = Channels()
    if isinstance(envelope.frame, SecureOpen):
        channels.accept(envelope.frame, envelope.sid or "", NOW)
    if isinstance(envelope.frame, Data):
        with contextlib.suppress(SealingFailed):
            open_sealed(envelope, own.encryption)
        with contextlib.suppress(SealingFailed):
            channels.open(envelope, NOW)
        with contextlib.suppress(SealingFailed, RemoteProtocolError):
            seal(envelope, own.public_jwks()[1])


def _seals() -> list[bytes]:
    payload = b'{"jsonrpc":"2.0","id":"c1","method":"add","params":{"x":3,"y":4}}'
    raw = msgspec.Raw(payload)
    plain = Envelope(id="e1", sid="s1", to=MATH, frame=Data(payload=raw, pd=payload_digest(raw)))
    sealed = seal(plain, keys("a1").public_jwks()[1])
    asked = SecureOpen(cid="c", eph_pub="AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", alg="CHACHA20P1305")
    enc = {"alg": "chacha20-poly1305-channel", "kid": "c", "val": "00" * 12}
    channel = Envelope(
        id="e2",
        sid="s1",
        sec=msgspec.Raw(msgspec.json.encode({"sig": {}, "enc": enc})),
        frame=Data(payload=msgspec.Raw(b'"AAAA"'), codec="b64"),
    )
    return [encode(each) for each in (plain, sealed, channel, Envelope(id="o", sid="s1", frame=asked))]


TARGETS = {
    "token": Target(_token, _tokens),
    "proof": Target(_proof, _proofs),
    "certificate": Target(_certificate, _certificates),
    "sealed": Target(_sealed, _seals),
}
