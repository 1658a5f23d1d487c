"""Compact JWS as tokens and proofs use it: taken apart without trust, verified with one algorithm and one key.

No I/O. What comes from outside raises `TokenRefused` here and nothing else, with a reason that may be shown to whoever
sent it. The signatures and their encoding are joserfc's; this module decides what is looked at, and in which order.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jws
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwk import JWKRegistry, Key, OKPKey
from joserfc.jws import CompactSignature, JWSRegistry

from fame_cli.security.jwk import from_base64

__all__ = [
    "ALGORITHMS",
    "MAX_TOKEN_BYTES",
    "SMALLEST_RSA_BITS",
    "Opened",
    "TokenRefused",
    "VerifyKey",
    "number",
    "open_compact",
    "sign_compact",
    "verify_keys",
]

MAX_TOKEN_BYTES = 8 * 1024
"""More than any token needs that has to fit into the headers of a handshake."""

MAX_KEYS = 100
"""Of one issuer; what more there is in a JWKS isn't looked at."""

SMALLEST_RSA_BITS = 2048
_BROKEN = (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError)
"""What joserfc and `json` raise over bytes that aren't what they should be."""

ALGORITHMS: dict[str, dict[str, object]] = {
    "EdDSA": {"kty": "OKP", "crv": "Ed25519"},
    "RS256": {"kty": "RSA"},
    "ES256": {"kty": "EC", "crv": "P-256"},
}
"""The algorithms an issuer can have, and which keys go with them."""

_PUBLIC_MEMBERS = ("kty", "crv", "x", "y", "n", "e")


class TokenRefused(Exception):
    """Say that a token or a proof isn't good.

    Args:
        reason: why, in a few words that may be shown to whoever sent it, e.g. ``expired``.
        detail: more, for the log of this node alone; never a part of the token.
    """

    code = "UNAUTHORIZED"

    def __init__(self, reason: str, *, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


class VerifyKey(NamedTuple):
    """Hold a public key that signatures are checked with; `expires_at` in seconds since the epoch, None for never."""

    key: Key
    expires_at: float | None = None


class _OneAlgorithm(JWSRegistry):
    """Know one algorithm and no other.

    joserfc warns of the name EdDSA since RFC 9864; it is the name that FAME and most issuers use, and that it can't
    mean Ed448 here is seen to by `verify_keys`.
    """

    max_header_length = 2048
    max_payload_length = MAX_TOKEN_BYTES

    def __init__(self, name: str) -> None:
        super().__init__(algorithms=[name], strict_check_header=False)  # issuers add members of their own
        self._name = name

    def get_alg(self, name: str) -> Any:
        if name != self._name:
            raise UnsupportedAlgorithmError("not the algorithm of this issuer")
        return self.algorithms[name]


_REGISTRIES = {name: _OneAlgorithm(name) for name in ALGORITHMS}


@dataclass(slots=True, frozen=True)
class Opened:
    """Hold a compact JWS that has been taken apart; nothing in it is believed yet.

    Args:
        header: its protected header.
        claims: its payload.
    """

    header: Mapping[str, Any]
    claims: Mapping[str, Any] = field(repr=False)
    _parts: CompactSignature = field(repr=False)

    def verify(self, algorithm: str, key: Key) -> None:
        """Check the signature.

        Raises:
            TokenRefused: it isn't one of this key with this algorithm.
        """
        if self.header.get("alg") != algorithm:
            raise TokenRefused("wrong algorithm")
        try:
            is_good = jws.validate_compact(self._parts, key, registry=_REGISTRIES[algorithm])
        except _BROKEN as error:
            raise TokenRefused("bad signature") from error
        if not is_good:
            raise TokenRefused("bad signature")


def open_compact(text: str, *, max_bytes: int = MAX_TOKEN_BYTES) -> Opened:
    """Take a compact JWS apart.

    Raises:
        TokenRefused: it is too long, isn't one, or its header asks for what nobody here has.
    """
    if len(text) > max_bytes:
        raise TokenRefused("too long")
    try:
        parts = jws.extract_compact(text.encode("ascii"), None, _REGISTRIES["EdDSA"])
        header, claims = parts.headers(), json.loads(parts.payload)
    except _BROKEN:
        raise TokenRefused("malformed") from None  # what broke holds parts of it
    if not isinstance(claims, dict):
        raise TokenRefused("malformed")
    if "crit" in header or "b64" in header:
        raise TokenRefused("unknown critical header")
    return Opened(header, claims, parts)


def sign_compact(header: Mapping[str, Any], claims: Mapping[str, Any], key: Ed25519PrivateKey) -> str:
    """Return claims signed with Ed25519, as a compact JWS.

    Args:
        header: members besides `alg`.
    """
    payload = json.dumps(claims, separators=(",", ":"), ensure_ascii=False)
    return jws.serialize_compact(
        {"alg": "EdDSA", **header}, payload, OKPKey.import_key(key), registry=_REGISTRIES["EdDSA"]
    )


def verify_keys(jwks: Iterable[object], algorithm: str) -> dict[str, VerifyKey]:
    """Return by key id the keys among JWKs that signatures of an algorithm can be checked with.

    The others are left out without a word: keys for encryption, for other algorithms, without an id, too short. Of
    two with one id the first counts.
    """
    found: dict[str, VerifyKey] = {}
    for _, jwk in zip(range(MAX_KEYS), jwks, strict=False):
        if isinstance(jwk, Mapping) and isinstance(kid := jwk.get("kid"), str) and kid not in found:
            key = _verify_key(jwk, algorithm)
            if key is not None:
                found[kid] = VerifyKey(key, number(jwk.get("exp")))
    return found


def _verify_key(jwk: Mapping[str, Any], algorithm: str) -> Key | None:
    wanted = ALGORITHMS[algorithm]
    uses = jwk.get("key_ops")
    if (
        jwk.get("use", "sig") != "sig"
        or jwk.get("alg", algorithm) != algorithm
        or (uses is not None and not (isinstance(uses, list) and "verify" in uses))
        or any(jwk.get(member) != value for member, value in wanted.items())
    ):
        return None
    try:
        if jwk["kty"] == "RSA" and int.from_bytes(from_base64(jwk["n"])).bit_length() < SMALLEST_RSA_BITS:
            return None  # joserfc would warn of it, and take it
        key = JWKRegistry.import_key({member: jwk[member] for member in _PUBLIC_MEMBERS if member in jwk})
        _ = key.public_key  # computed here: a point that isn't on its curve shows now
    except _BROKEN:
        return None
    return key


def number(value: object) -> float | None:
    """Return a finite number as a float; None for anything else, be it a truth value."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if abs(found) < float("inf") else None
