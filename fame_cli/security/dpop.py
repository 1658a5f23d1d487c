"""Proof that whoever shows a bound token holds its key: DPoP (RFC 9449), in the handshake of a link.

No I/O. A proof is good for one handshake, at one path, with one token, within the skew of the clocks. The host isn't
compared: behind a proxy it is another one.
"""

import secrets
from collections.abc import Mapping
from hashlib import sha256
from hmac import compare_digest
from typing import Any
from urllib.parse import urlsplit

from fame_cli.security.jose import Opened, TokenRefused, number, open_compact, sign_compact, verify_keys
from fame_cli.security.jwk import NodeKeys, signing_jwk, thumbprint, to_base64

__all__ = ["MAX_PROOF_BYTES", "ProofChecker", "proof"]

MAX_PROOF_BYTES = 4096

MAX_SEEN = 65_536
"""Proofs remembered against being shown again; with more of them within the skew, no further one is taken."""

MAX_SEEN_OF_ONE = 256
"""Of one key, so that no node uses up what is there for all."""

_TYPE = "dpop+jwt"
_METHOD = "GET"
_MAX_ID_LENGTH = 128


def proof(keys: NodeKeys, url: str, token: str, now: float) -> str:
    """Return the proof for a handshake, the value of the header ``DPoP``.

    Args:
        keys: of the node that dials.
        url: what it dials.
        token: what it shows.
        now: seconds since the epoch.
    """
    jwk = signing_jwk(keys.signing)
    header = {"typ": _TYPE, "jwk": {member: jwk[member] for member in ("kty", "crv", "x")}}
    claims = {
        "jti": secrets.token_urlsafe(12),
        "htm": _METHOD,
        "htu": urlsplit(url)._replace(query="", fragment="").geturl(),
        "iat": int(now),
        "ath": _digest(token),
    }
    return sign_compact(header, claims, keys.signing)


class ProofChecker:
    """Check proofs at a listener, each of which is taken once."""

    def __init__(self, skew_s: float) -> None:
        """Start with none seen.

        Args:
            skew_s: seconds that clocks may differ, > 0.
        """
        self._skew_s = skew_s
        self._seen: dict[str, dict[str, float]] = {}
        self._count = 0
        self._swept_at = 0.0

    def check(self, proof: str, path: str, token: str, jkt: str, now: float) -> None:
        """Check one.

        Args:
            proof: what came in the header ``DPoP``.
            path: that was asked for.
            token: that was shown with it.
            jkt: thumbprint the token is bound to.
            now: seconds since the epoch.

        Raises:
            TokenRefused: it isn't good for this handshake; its reason may be shown to whoever sent it.
        """
        if not proof:
            raise TokenRefused("no proof of the key")
        opened = open_compact(proof, max_bytes=MAX_PROOF_BYTES)
        if opened.header.get("typ") != _TYPE:
            raise TokenRefused("wrong type of proof")
        _check_signature(opened, jkt)
        claims = opened.claims
        if claims.get("htm") != _METHOD or _path_of(claims.get("htu")) != path.partition("?")[0]:
            raise TokenRefused("proof for another request")
        said = claims.get("ath")
        if not isinstance(said, str) or not compare_digest(said.encode("utf-8", "replace"), _digest(token).encode()):
            raise TokenRefused("proof for another token")
        made_at = number(claims.get("iat"))
        if made_at is None or abs(now - made_at) > self._skew_s:
            raise TokenRefused("proof too old or too new")
        self._take(jkt, claims.get("jti"), made_at + self._skew_s, now)

    def _take(self, jkt: str, proof_id: object, until: float, now: float) -> None:
        """Note that a proof has been shown."""
        if not isinstance(proof_id, str) or not 0 < len(proof_id) <= _MAX_ID_LENGTH:
            raise TokenRefused("malformed")
        self._sweep(now)
        own = self._seen.get(jkt, {})
        if proof_id in own:
            raise TokenRefused("proof shown before")
        if len(own) >= MAX_SEEN_OF_ONE or self._count >= MAX_SEEN:
            raise TokenRefused("too many proofs")
        self._seen.setdefault(jkt, own)[proof_id] = until
        self._count += 1

    def _sweep(self, now: float) -> None:
        """Forget the proofs that are too old to be taken anyway, now and then."""
        if abs(now - self._swept_at) < self._skew_s / 4:
            return
        left = {
            jkt: kept
            for jkt, ids in self._seen.items()
            if (kept := {proof_id: until for proof_id, until in ids.items() if until >= now})
        }
        self._seen, self._count, self._swept_at = left, sum(map(len, left.values())), now


def _check_signature(opened: Opened, jkt: str) -> None:
    jwk = opened.header.get("jwk")
    if not isinstance(jwk, Mapping) or "d" in jwk:
        raise TokenRefused("malformed")
    key = _only_key(jwk)
    try:
        is_bound = compare_digest(thumbprint(jwk), jkt)
    except TypeError:  # an issuer has bound its token to what no thumbprint looks like
        is_bound = False
    if not is_bound:
        raise TokenRefused("proof of another key")
    opened.verify("EdDSA", key)


def _only_key(jwk: Mapping[str, Any]) -> Any:
    found = verify_keys([{**jwk, "kid": "_"}], "EdDSA")
    if not found:
        raise TokenRefused("malformed")
    return found["_"].key


def _path_of(url: object) -> str | None:
    try:
        return urlsplit(url).path if isinstance(url, str) else None
    except ValueError:
        return None


def _digest(token: str) -> str:
    return to_base64(sha256(token.encode("utf-8", "surrogatepass")).digest())
