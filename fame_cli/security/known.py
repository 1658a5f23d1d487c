"""A key as it is known at one path: whose it is, how well that is known, and what its holder may do.

Pure. Times are seconds since the epoch.
"""

from dataclasses import dataclass, replace
from enum import IntEnum

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from fame_cli.core.grant import Grant
from fame_cli.core.link import Link
from fame_cli.security.jwk import VOUCHED, Jwk

__all__ = ["TOKEN", "Key", "Standing", "standing_by", "with_encryption_of", "with_grant_of"]

TOKEN = "fame.grant"
"""Member of a JWK: the token that proves the key, and says what its holder may do."""


class Standing(IntEnum):
    """Say how well a key is known to be that of the node at its path; more is better."""

    BEYOND = 1  # told by a neighbour that passes on what others say
    BELOW = 2  # told by a neighbour that the node is below
    ITSELF = 3  # told by the node itself
    NAMESAKE = 4  # proved for an id that a sentinel has added a dash and four characters to
    PROVED = 5
    CERTIFIED = 6
    OWN = 7


@dataclass(slots=True, frozen=True)
class Key:
    """Hold a signing key at one path.

    Args:
        kid: its id.
        path: physical path of the node that signs with it; `sid` is the digest of that.
        public: what verifies.
        jwk: as it was told, with `sid` and `physical_path` (security.md 4.3).
        standing: how well it is known.
        size: bytes of its JWKs.
        grant: what proves it; None when it is told.
        teller: the link that told of it; None for our own.
        encryption: the X25519 JWK that came with it, None if none did that could be believed as far as this key.
        ends_at: when it is over because another one has taken its place, or its node another path; None before that.
    """

    kid: str
    path: str
    sid: str
    public: Ed25519PublicKey
    jwk: Jwk
    standing: Standing
    size: int
    grant: Grant | None = None
    teller: Link | None = None
    encryption: Jwk | None = None
    ends_at: float | None = None

    @property
    def is_certified(self) -> bool:
        """Tell whether a certificate says whose key it is, or it is our own and needs none here."""
        return self.standing >= Standing.CERTIFIED

    @property
    def is_told(self) -> bool:
        """Tell whether nothing but the word of a neighbour says whose key it is."""
        return self.standing <= Standing.ITSELF

    @property
    def expires_at(self) -> float | None:
        """Say when it is no longer to be believed; None for never."""
        granted = self.grant.expires_at if self.grant is not None else None
        return granted if self.ends_at is None else self.ends_at if granted is None else min(granted, self.ends_at)


def with_encryption_of(before: Key, key: Key) -> Key:
    """Keep the encryption key told before if none has come now, or none as good: vouched for by the signing key."""
    had, has = before.encryption, key.encryption
    if had is None:
        return key
    vouched = VOUCHED in had
    kept = (vouched or before.standing is key.standing) if has is None else vouched and VOUCHED not in has
    return replace(key, encryption=had) if kept else key


def standing_by(grant: Grant, path: str) -> Standing | None:
    """Say what a grant makes of its key at a path; a sentinel gives namesakes a dash and four characters."""
    last = path.rpartition("/")[2]
    if grant.may_attach_as(last):
        return Standing.PROVED
    return Standing.NAMESAKE if last[-5:-4] == "-" and grant.may_attach_as(last[:-5]) else None


def with_grant_of(key: Key, other: Key) -> Key:
    """Have the token shown with a key elsewhere, or later, count for it, if it is one for the id at its path.

    Where a certificate, or nothing at all, has to say whose key it is, its standing stays.
    """
    if other.grant is None or (proved := standing_by(other.grant, key.path)) is None:
        return key
    standing = proved if key.standing in (Standing.NAMESAKE, Standing.PROVED) else key.standing
    return replace(key, grant=other.grant, standing=standing, jwk={**key.jwk, TOKEN: other.jwk[TOKEN]})
