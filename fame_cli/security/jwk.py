"""Keys as JSON: what the wire and the files hold of Ed25519 and X25519 keys (RFC 7517, 7638, 8037; security.md 4.3)."""

import json
from base64 import urlsafe_b64encode
from binascii import Error, a2b_base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fame_cli.core.ids import ID_LENGTH, digits_of

__all__ = [
    "VOUCHED",
    "Jwk",
    "NodeKeys",
    "from_base64",
    "generate",
    "kid_of",
    "load",
    "load_signing",
    "private_signing_jwk",
    "signing_jwk",
    "thumbprint",
    "to_base64",
    "vouched_bytes",
]

VOUCHED = "fame.sig"
"""Member of an encryption JWK: the signature of the signing key beside it."""

Jwk = dict[str, Any]
"""A JSON Web Key (RFC 7517)."""

PRIVATE_BYTES = 32

_FROM_URL = bytes.maketrans(b"-_+/", b"+/!!")


def to_base64(data: bytes) -> str:
    """Write bytes in base64url without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def from_base64(text: str) -> bytes:
    """Read base64url with or without padding; nothing else may be in it.

    Raises:
        ValueError: it isn't that.
    """
    try:
        return a2b_base64(f"{text}{'=' * (-len(text) % 4)}".encode().translate(_FROM_URL), strict_mode=True)
    except Error as error:
        raise ValueError("not base64url") from error


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """Return the thumbprint of an OKP key (RFC 7638, SHA-256, base64url).

    Raises:
        ValueError: it isn't such a key.
    """
    named = {member: jwk.get(member) for member in ("crv", "kty", "x")}
    if named["kty"] != "OKP" or not all(isinstance(value, str) for value in named.values()):
        raise ValueError("not an OKP key")
    members = json.dumps(named, separators=(",", ":"))
    return to_base64(sha256(members.encode()).digest())


def kid_of(public: bytes) -> str:
    """Return the id of a key: made of the key itself, so that nobody else can have it."""
    return digits_of(int.from_bytes(sha256(public).digest()[:16]))[:ID_LENGTH]


@dataclass(frozen=True, slots=True, repr=False)
class NodeKeys:
    """Hold the private keys of one node: one to sign with, one to open what is sealed for it."""

    signing: Ed25519PrivateKey
    encryption: X25519PrivateKey

    @property
    def kid(self) -> str:
        """The id of the signing key."""
        return kid_of(self.signing.public_key().public_bytes_raw())

    @property
    def encryption_kid(self) -> str:
        """The id of the encryption key."""
        return kid_of(self.encryption.public_key().public_bytes_raw())

    @property
    def thumbprint(self) -> str:
        """The thumbprint of the signing key, as a grant names it (RFC 7800, `cnf.jkt`)."""
        return thumbprint(self.public_jwks()[0])

    def public_jwks(self, grant: str = "", chain: Sequence[str] = ()) -> list[dict[str, Any]]:
        """Return the public keys as they travel: to sign, then to seal.

        Args:
            grant: token that says whose key it is, "" for none.
            chain: certificates, DER in base64, leaf first (`x5c`).
        """
        sign = signing_jwk(self.signing)
        sealing = self.encryption.public_key().public_bytes_raw()
        seal = {"kty": "OKP", "crv": "X25519", "x": to_base64(sealing), "kid": self.encryption_kid}
        extra: dict[str, Any] = ({"fame.grant": grant} if grant else {}) | ({"x5c": list(chain)} if chain else {})
        vouched = to_base64(self.signing.sign(vouched_bytes(seal)))
        return [sign | extra, seal | {"alg": "ECDH-ES", "use": "enc", VOUCHED: vouched}]

    def private_jwks(self) -> list[dict[str, Any]]:
        """Return the keys as the file of a node holds them, and nothing else ever does."""
        seal = self.public_jwks()[1] | {"d": to_base64(self.encryption.private_bytes_raw())}
        return [private_signing_jwk(self.signing), seal]


def vouched_bytes(encryption: Mapping[str, Any]) -> bytes:
    """Return what a signing key signs of the encryption key beside it, so that nobody can exchange that."""
    return f"fame-enc\x1f{encryption.get('kid')}\x1f{encryption.get('x')}".encode("utf-8", "replace")


def signing_jwk(key: Ed25519PrivateKey) -> Jwk:
    """Return the public part of a signing key."""
    public = key.public_key().public_bytes_raw()
    return {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": to_base64(public),
        "kid": kid_of(public),
        "alg": "EdDSA",
        "use": "sig",
    }


def private_signing_jwk(key: Ed25519PrivateKey) -> Jwk:
    """Return a signing key as a file holds it, and nothing else ever does."""
    return signing_jwk(key) | {"d": to_base64(key.private_bytes_raw())}


def generate() -> NodeKeys:
    """Make the keys of a node."""
    return NodeKeys(Ed25519PrivateKey.generate(), X25519PrivateKey.generate())


def load(jwks: Sequence[Mapping[str, Any]]) -> NodeKeys:
    """Read what `NodeKeys.private_jwks` returned.

    Raises:
        ValueError: it isn't that; the text shows nothing of it.
    """
    by_curve = {jwk.get("crv"): jwk for jwk in jwks}
    sealing = _private(by_curve.get("X25519"))
    return NodeKeys(load_signing(by_curve.get("Ed25519")), X25519PrivateKey.from_private_bytes(sealing))


def load_signing(jwk: Mapping[str, Any] | None) -> Ed25519PrivateKey:
    """Read what `private_signing_jwk` returned.

    Raises:
        ValueError: it isn't that; the text shows nothing of it.
    """
    return Ed25519PrivateKey.from_private_bytes(_private(jwk))


def _private(jwk: Mapping[str, Any] | None) -> bytes:
    text = None if jwk is None else jwk.get("d")
    if not isinstance(text, str) or len(found := from_base64(text)) != PRIVATE_BYTES:
        raise ValueError("not a private key")
    return found
