"""The fabric's authority: one Ed25519 key that says in tokens which node may do what.

No I/O: `keystore.py` keeps the key. It is named by its first key, so that rotating the key changes no name.
"""

import secrets
import shlex
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fame_cli.core.glob import check_glob
from fame_cli.core.grant import PEER, Grant
from fame_cli.errors import ConfigError
from fame_cli.security.jose import MAX_TOKEN_BYTES, sign_compact
from fame_cli.security.jwk import Jwk, private_signing_jwk, signing_jwk, thumbprint

__all__ = ["CONNECT_SCOPE", "ISSUER_PREFIX", "LONGEST_TTL_S", "PEER_SCOPE", "Authority", "command_for", "issuer_of"]

CONNECT_SCOPE, PEER_SCOPE = "node.connect", "node.peer"
"""What a token must have to attach at all, and to attach as a peer."""

ISSUER_PREFIX = "fame:"
"""How the names of authorities begin."""

LONGEST_TTL_S = 30 * 86_400.0
"""Seconds a token of ours may live: so long an old key of the authority has to be honoured."""


def issuer_of(jwk: Jwk) -> str:
    """Return the name of the authority that began with a key."""
    return ISSUER_PREFIX + thumbprint(jwk)


def command_for(grant: Grant | None = None) -> str:
    """Return the command that issues a grant, to be given where the authority is; None for one that isn't known."""
    if grant is None:
        return "fame token issue --node NAME --role ROLE --thumbprint JKT"
    words = ["fame", "token", "issue", "--node", grant.node]
    options = ("--role", sorted(grant.roles)), ("--address", grant.addresses), ("--thumbprint", [grant.thumbprint])
    words += [word for option, values in options for value in values if value for word in (option, value)]
    return shlex.join(words)


class Authority:
    """Issue tokens for a fabric."""

    def __init__(self, signing: Ed25519PrivateKey, *, fabric: str, issuer: str = "", made_at: float = 0.0) -> None:
        """Take the key.

        Args:
            signing: its private key.
            fabric: name of the fabric.
            issuer: its name; "" for a first key, which names it.
            made_at: when the key was made, seconds since the epoch.
        """
        self._signing = signing
        self.fabric = fabric
        self._jwk = signing_jwk(signing)
        self.issuer = issuer or issuer_of(self._jwk)
        self.made_at = made_at

    @property
    def kid(self) -> str:
        """Return the id of its key."""
        return str(self._jwk["kid"])

    @property
    def public_jwks(self) -> list[Jwk]:
        """Return its public key, with what a verifier has to know: `iss`, and `iat` as when it was made."""
        return [{**self._jwk, "iss": self.issuer, "iat": int(self.made_at)}]

    def issue(self, grant: Grant, now: float, ttl_s: float, fabric: str = "") -> str:
        """Return a token that says what a grant says, with a new id.

        Args:
            grant: `subject` and `node` name the node; `thumbprint` binds the token to a key, "" leaves it unbound.
            now: seconds since the epoch.
            ttl_s: seconds it is good for, 1 to `LONGEST_TTL_S`.
            fabric: `aud`; "" for the authority's own fabric.

        Raises:
            ConfigError: the life is out of bounds, a pattern isn't one, or the token gets too long for a handshake.
        """
        if not 1 <= ttl_s <= LONGEST_TTL_S:
            raise ConfigError(f"a token can't live {ttl_s:g} s", hint=f"1 s to {LONGEST_TTL_S / 86_400:g} days")
        for pattern in (grant.node, *grant.addresses, *grant.capabilities, *grant.prefixes):
            check_glob(pattern)
        claims = _claims(grant, int(now), ttl_s, self.issuer, fabric or self.fabric)
        token = sign_compact({"typ": "JWT", "kid": self.kid}, claims, self._signing)
        if len(token) > MAX_TOKEN_BYTES:
            what = f"the token of {grant.subject} would have {len(token)} bytes, more than {MAX_TOKEN_BYTES}"
            raise ConfigError(what, hint="say it with fewer patterns")
        return token

    def private_jwk(self) -> Jwk:
        """Return the private key, for the disk and nothing else."""
        made = {"iss": self.issuer, "fabric": self.fabric, "iat": int(self.made_at)}
        return {**private_signing_jwk(self._signing), **made}


def _claims(grant: Grant, now: int, ttl_s: float, issuer: str, fabric: str) -> dict[str, Any]:
    scopes = [CONNECT_SCOPE, PEER_SCOPE] if PEER in grant.roles else [CONNECT_SCOPE]
    said = {
        "node": grant.node,
        "roles": sorted(grant.roles),
        "addresses": list(grant.addresses),
        "capabilities": list(grant.capabilities),
        "prefixes": list(grant.prefixes),
    }
    claims: dict[str, Any] = {
        "iss": issuer,
        "aud": fabric,
        "sub": grant.subject,
        "iat": now,
        "nbf": now,
        "exp": int(now + ttl_s),
        "jti": secrets.token_urlsafe(12),
        "scope": " ".join(scopes),
        "fame": {member: value for member, value in said.items() if value},
    }
    if grant.thumbprint:
        claims["cnf"] = {"jkt": grant.thumbprint}
    return claims
