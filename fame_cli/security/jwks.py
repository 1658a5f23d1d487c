"""The public keys of other issuers: from a file, or fetched from their JWKS and kept for a while (RFC 7517).

Fetching is bounded: one request at a time and issuer, none sooner than `RETRY_S` after the last, so that tokens with
made-up key ids can't make a node knock at its issuer's door. An issuer that can't be reached stays believed, with the
keys it had, for `STALE_S`.
"""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from fame_cli.errors import ConfigError
from fame_cli.security.files import content_of, why
from fame_cli.security.jose import ALGORITHMS, SMALLEST_RSA_BITS, TokenRefused, VerifyKey, verify_keys
from fame_cli.security.jwk import Jwk
from fame_cli.security.settings import Issuer
from fame_cli.security.web import WebError, check_url, fetch, host_of

__all__ = ["FRESH_S", "RETRY_S", "STALE_S", "IssuerKeys", "KeysMissing", "read_key_file"]

FRESH_S = 300.0
"""Seconds for which fetched keys are good without another look."""

STALE_S = 3600.0
"""Seconds for which they are good while their issuer can't be reached."""

RETRY_S = 30.0
"""Seconds between two fetches, be it that a key isn't among those fetched."""

RETRY_FAILED_S = 5.0
"""Seconds after a fetch that failed: its server may just be starting."""

DISCOVERY = "/.well-known/openid-configuration"
_PEM_KID = "pem"


class KeysMissing(Exception):
    """Say that the keys of an issuer have to be fetched before a token of it can be judged."""

    def __init__(self, issuer: str) -> None:
        super().__init__(issuer)
        self.issuer = issuer


class IssuerKeys:
    """Hold the keys of one issuer, and fetch them when they are asked for."""

    def __init__(self, issuer: Issuer, plain_hosts: Sequence[str] = ()) -> None:
        """Take the issuer and read its key file, if it has one.

        Raises:
            ConfigError: its algorithm isn't known, its file can't be read, or its URL can't be asked.
        """
        if issuer.algorithm not in ALGORITHMS:
            what = f"issuer {issuer.issuer}: unknown algorithm {issuer.algorithm!r}"
            raise ConfigError(what, hint=f"use {', '.join(ALGORITHMS)}")
        self._issuer = issuer
        self._plain_hosts = tuple(plain_hosts)
        self._keys: dict[str, VerifyKey] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._failure = ""
        self._tries = 0
        self._fetching = asyncio.Lock()
        self._only: VerifyKey | None = None
        if issuer.key_file is not None:
            self._keys = self._from_file(issuer.key_file)
        else:
            check_url(issuer.jwks_url or issuer.issuer, plain_hosts, what=f"keys of issuer {issuer.issuer}")

    def find(self, kid: str, now: float) -> VerifyKey:
        """Return the key of that id.

        Args:
            now: seconds since the epoch.

        Raises:
            KeysMissing: it may be among the issuer's keys, if they are fetched.
            TokenRefused: it isn't among them.
        """
        if self._issuer.key_file is not None:
            known = self._only or self._keys.get(kid)
            if known is None:
                raise TokenRefused("unknown key")
            return known
        known = self._keys.get(kid)
        if known is not None and self._age(now) < FRESH_S:
            return known
        if self._may_try(now):
            raise KeysMissing(self._issuer.issuer)
        if known is not None and self._age(now) < STALE_S:
            return known
        raise TokenRefused("the issuer's keys can't be had" if self._failure else "unknown key", detail=self._failure)

    def good_until(self, now: float) -> float:
        """Return when what was verified with these keys has to be looked at again, seconds since the epoch."""
        if self._issuer.key_file is not None:
            return float("inf")
        return now if self._fetched_at is None else self._fetched_at + FRESH_S

    async def refresh(self, now: float) -> None:
        """Fetch the keys, unless somebody else just has; a failure is remembered and told by `find`.

        Args:
            now: seconds since the epoch.
        """
        asked = self._tries
        async with self._fetching:
            if asked != self._tries or self._issuer.key_file is not None or not self._may_try(now):
                return
            try:
                self._keys = verify_keys(await self._fetched(), self._issuer.algorithm)
                self._fetched_at, self._failure = now, ""
            except WebError as error:
                self._failure = str(error)
            self._tried_at = now
            self._tries += 1

    def _age(self, now: float) -> float:
        return float("inf") if self._fetched_at is None else now - self._fetched_at

    def _may_try(self, now: float) -> bool:
        wait_s = RETRY_FAILED_S if self._failure else RETRY_S
        return self._tried_at is None or not 0 <= now - self._tried_at < wait_s

    async def _fetched(self) -> list[object]:
        url = self._issuer.jwks_url or await self._discovered()
        status, document = await fetch(url)
        keys = document.get("keys") if isinstance(document, dict) else None
        if status != 200 or not isinstance(keys, list):
            raise WebError(f"{host_of(url)} answered HTTP {status} without a JWKS")
        return keys

    async def _discovered(self) -> str:
        """Return where the issuer says its keys are (OpenID Connect Discovery 1.0, 4)."""
        url = self._issuer.issuer.rstrip("/") + DISCOVERY
        status, document = await fetch(url)
        found = document if status == 200 and isinstance(document, dict) else {}
        place = found.get("jwks_uri")
        if found.get("issuer") != self._issuer.issuer or not isinstance(place, str):
            raise WebError(f"{host_of(url)} answered HTTP {status} without the configuration of this issuer")
        try:
            check_url(place, self._plain_hosts, what="jwks_uri")
        except ConfigError as error:
            raise WebError(f"{host_of(url)} names a place for its keys that can't be asked: {error.message}") from error
        return place

    def _from_file(self, path: Path) -> dict[str, VerifyKey]:
        jwks = read_key_file(path)
        keys = verify_keys(jwks, self._issuer.algorithm)
        if not keys:
            raise ConfigError(f"no key for {self._issuer.algorithm}", source=str(path), hint="give JWK, JWKS or PEM")
        self._only = keys.get(_PEM_KID) if [jwk.get("kid") for jwk in jwks] == [_PEM_KID] else None
        return keys


def read_key_file(path: Path) -> list[Jwk]:
    """Return the public keys in a file: a JWK, a JWKS, or one PEM, whose key goes by any id.

    Raises:
        ConfigError: it can't be read, or holds none.
    """
    try:
        text = content_of(path)
    except OSError as error:
        raise ConfigError(f"can't be read: {why(error)}", source=str(path)) from error
    try:
        if text.lstrip().startswith(b"-----BEGIN"):
            return [_pem(text)]
        document = json.loads(text)
        found = document.get("keys", [document])
        return [jwk for jwk in found if isinstance(jwk, dict)]
    except (ValueError, AttributeError, TypeError, RecursionError, JoseError):
        raise ConfigError("no public key", source=str(path), hint="give JWK, JWKS or PEM") from None


def _pem(text: bytes) -> Jwk:
    match load_pem_public_key(text):
        case Ed25519PublicKey() as key:
            jwk = dict(OKPKey.import_key(key).as_dict(private=False))
        case RSAPublicKey() as key if key.key_size >= SMALLEST_RSA_BITS:
            jwk = dict(RSAKey.import_key(key).as_dict(private=False))
        case EllipticCurvePublicKey() as key:
            jwk = dict(ECKey.import_key(key).as_dict(private=False))
        case _:
            raise ValueError("a key of another kind")
    return {**jwk, "kid": _PEM_KID}
