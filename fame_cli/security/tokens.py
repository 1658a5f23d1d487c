"""Tokens: who signed one, whether it is good here and now, and the grant it comes to.

Sync and without I/O: keys that have to be fetched first raise `KeysMissing`, and `TokenVerifier.refresh` fetches them.
Everything in a token is a claim of whoever sent it until its signature has been checked; only `iss` is looked at
before, to know whose keys to take. Nothing of a token gets into a reason, a log line or a traceback.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from typing import Any, NamedTuple

from fame_cli.core.glob import check_glob, glob_matches
from fame_cli.core.grant import AGENT, CLIENT, PEER, ROLES, Grant
from fame_cli.errors import ConfigError
from fame_cli.security.authority import CONNECT_SCOPE, ISSUER_PREFIX, PEER_SCOPE, issuer_of
from fame_cli.security.jose import Opened, TokenRefused, VerifyKey, number, open_compact, verify_keys
from fame_cli.security.jwk import Jwk
from fame_cli.security.jwks import IssuerKeys, KeysMissing
from fame_cli.security.settings import Issuer

__all__ = ["KeysMissing", "TokenRefused", "TokenVerifier"]

MAX_CACHED = 4096
"""Verified tokens that are remembered, so that the same one costs a look when its node comes again."""

MAX_NAME_LENGTH = 256
MAX_PATTERNS = 256

_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
"""What others call their tokens (RFC 7519, RFC 9068); ours are JWT."""

_UNTRUSTED_ROLES = frozenset({AGENT, CLIENT})
"""What others can make of a node without the config saying so."""

HomeKeys = Sequence[Jwk] | Callable[[], Sequence[Jwk]]
"""The public keys of the fabric's authority, or what returns them as they are now."""


class _Cached(NamedTuple):
    grant: Grant
    good_until: float
    keys: object


class _Claims(NamedTuple):
    """Hold the claims that every token must have, checked."""

    subject: str
    expires_at: float
    token_id: str
    thumbprint: str
    scopes: frozenset[str]


class TokenVerifier:
    """Turn tokens into grants, or refuse them."""

    def __init__(
        self,
        issuers: Sequence[Issuer],
        home_keys: HomeKeys,
        fabric: str,
        skew_s: float,
        grants: Sequence[Grant] = (),
        revoked: Callable[[str], bool] = lambda token_id: False,
        *,
        look_again: Callable[[], None] = lambda: None,
        plain_hosts: Sequence[str] = (),
    ) -> None:
        """Take whom to believe.

        Args:
            issuers: others whose tokens are believed.
            home_keys: of the fabric's authority, each with its `iss`, and `exp` if it is honoured no longer than that.
            fabric: what `aud` of the authority's tokens has to hold.
            skew_s: seconds that `nbf` may lie ahead.
            grants: what subjects of others may do whose token doesn't say it; the first whose `subject` and, if it
                names one, `issuer` fit counts.
            revoked: tells whether a token of that id is taken back.
            look_again: has `home_keys` return them as they are now, whenever it has looked last; anybody can cause it.
            plain_hosts: hosts besides loopback whose keys may come by ``http://``.

        Raises:
            ConfigError: the keys of an issuer can't be read, or not be fetched for want of httpx or TLS.
        """
        self._issuers = {issuer.issuer: issuer for issuer in issuers}
        self._sources = {issuer.issuer: IssuerKeys(issuer, plain_hosts) for issuer in issuers}
        self._home_keys = home_keys
        self._look_again = look_again
        self._home_seen: Sequence[Jwk] | None = None
        self._home: dict[str, dict[str, VerifyKey]] = {}
        self._fabric = fabric
        self._skew_s = skew_s
        self._grants = tuple(grants)
        self._revoked = revoked
        self._cache: OrderedDict[bytes, _Cached] = OrderedDict()

    def verify(self, token: str, now: float) -> Grant:
        """Return what a token allows.

        Args:
            now: seconds since the epoch.

        Raises:
            TokenRefused: it isn't good here and now; its reason may be shown to whoever sent it.
            KeysMissing: its issuer's keys have to be fetched first.
        """
        try:
            return self._verify(token, now)
        except ConfigError as error:  # a file of the home that can't be read: who knows what is in it
            raise TokenRefused("can't be judged now", detail=str(error)) from error

    def _verify(self, token: str, now: float) -> Grant:
        home = self._authority_keys()
        digest = sha256(token.encode("utf-8", "surrogatepass")).digest()
        known = self._cache.get(digest)
        if known is None or now >= known.good_until or known.keys is not home:
            self._cache.pop(digest, None)
            known = self._verified(open_compact(token), home, now)
            self._cache[digest] = known
            if len(self._cache) > MAX_CACHED:
                self._cache.popitem(last=False)
        else:
            self._cache.move_to_end(digest)
        if known.grant.token_id and self._revoked(known.grant.token_id):
            raise TokenRefused("revoked")
        return known.grant

    def is_revoked(self, token_id: str) -> bool:
        """Tell whether a token that was good is taken back; no while nobody can tell, which `verify` minds."""
        try:
            return self._revoked(token_id)
        except ConfigError:
            return False

    async def refresh(self, issuer: str, now: float) -> None:
        """Fetch the keys of an issuer, as `KeysMissing` named it; whatever comes of it, `verify` then says.

        Args:
            now: seconds since the epoch.
        """
        source = self._sources.get(issuer)
        if source is not None:
            await source.refresh(now)

    def _authority_keys(self) -> dict[str, dict[str, VerifyKey]]:
        """Return the authorities' keys by name and id: the same object for as long as they stay the same."""
        keys = self._home_keys() if callable(self._home_keys) else self._home_keys
        if keys is not self._home_seen:
            by_issuer: dict[str, list[Jwk]] = {}
            for jwk in keys:
                with suppress(ValueError):  # no key at all
                    by_issuer.setdefault(str(jwk.get("iss") or issuer_of(jwk)), []).append(jwk)
            self._home = {issuer: verify_keys(found, "EdDSA") for issuer, found in by_issuer.items()}
            self._home_seen = keys
        return self._home

    def _verified(self, opened: Opened, home: dict[str, dict[str, VerifyKey]], now: float) -> _Cached:
        issuer = opened.claims.get("iss")
        kid = opened.header.get("kid")
        if not isinstance(issuer, str):
            raise TokenRefused("no issuer")
        if not isinstance(kid, str) or not kid:
            raise TokenRefused("no key id")
        if (issuer in home or issuer.startswith(ISSUER_PREFIX)) and kid not in home.get(issuer, {}):
            self._look_again()  # the authority may just have got a new key
            home = self._authority_keys()
        if issuer in home:
            grant, key_until = self._ours(opened, home[issuer].get(kid), now)
        elif issuer in self._issuers:
            grant, key_until = self._theirs(opened, self._issuers[issuer], kid, now)
        else:
            ours = issuer.startswith(ISSUER_PREFIX)
            raise TokenRefused("unknown issuer", detail="of another authority" if ours else "")
        return _Cached(grant, min(grant.expires_at or now, key_until), home)

    def _ours(self, opened: Opened, key: VerifyKey | None, now: float) -> tuple[Grant, float]:
        if opened.header.get("typ") != "JWT":
            raise TokenRefused("wrong type")
        _check_key(opened, key, "EdDSA", now)
        claims = _checked(opened.claims, self._fabric, CONNECT_SCOPE, now, self._skew_s)
        if not claims.token_id:
            raise TokenRefused("no token id")  # what can't be named can't be taken back
        grant = _said(opened.claims.get("fame", {}), frozenset(ROLES))
        return _filled(grant, claims, opened.claims), _until(key)

    def _theirs(self, opened: Opened, issuer: Issuer, kid: str, now: float) -> tuple[Grant, float]:
        kind = opened.header.get("typ", "JWT")
        if not isinstance(kind, str) or kind.lower() not in _TYPES:
            raise TokenRefused("wrong type")
        if opened.header.get("alg") != issuer.algorithm:
            raise TokenRefused("wrong algorithm")  # before its keys are fetched for nothing
        source = self._sources[issuer.issuer]
        key = source.find(kid, now)
        _check_key(opened, key, issuer.algorithm, now)
        claims = _checked(opened.claims, issuer.audience, issuer.scope, now, self._skew_s)
        if "fame" in opened.claims:
            allowed = _UNTRUSTED_ROLES if issuer.grant is None else _scoped(issuer.grant.roles, claims)
            grant = _said(opened.claims["fame"], allowed)
        else:
            grant = self._default(issuer, claims)
        return _filled(grant, claims, opened.claims), min(_until(key), source.good_until(now))

    def _default(self, issuer: Issuer, claims: _Claims) -> Grant:
        """Return what the config grants a subject; a peer by the issuer's grant needs its scope as well."""
        for grant in self._grants:
            if grant.issuer in ("", issuer.issuer) and glob_matches(grant.subject, claims.subject):
                return grant
        if issuer.grant is None:
            raise TokenRefused("nothing granted")
        return replace(issuer.grant, roles=_scoped(issuer.grant.roles, claims))


def _scoped(roles: frozenset[str], claims: _Claims) -> frozenset[str]:
    return roles if PEER_SCOPE in claims.scopes else roles - {PEER}


def _check_key(opened: Opened, key: VerifyKey | None, algorithm: str, now: float) -> None:
    if key is None or (key.expires_at is not None and now >= key.expires_at):
        raise TokenRefused("unknown key")
    opened.verify(algorithm, key.key)


def _until(key: VerifyKey | None) -> float:
    return float("inf") if key is None or key.expires_at is None else key.expires_at


def _checked(claims: Mapping[str, Any], audience: str, scope: str, now: float, skew_s: float) -> _Claims:
    """Check the claims of a token whose signature is good; `exp` is taken at its word, `nbf` with some skew."""
    expires_at = number(claims.get("exp"))
    if expires_at is None:
        raise TokenRefused("no expiry")
    if now >= expires_at:
        raise TokenRefused("expired")
    for member in ("nbf", "iat"):
        begins = number(claims.get(member, 0))
        if begins is None:
            raise TokenRefused("malformed")
        if begins > now + skew_s:
            raise TokenRefused("not valid yet")
    audiences = claims.get("aud")
    if audience not in (audiences if isinstance(audiences, list) else [audiences]):
        raise TokenRefused("wrong audience")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_NAME_LENGTH:
        raise TokenRefused("no subject")
    token_id = claims.get("jti", "")
    if not isinstance(token_id, str) or len(token_id) > MAX_NAME_LENGTH:
        raise TokenRefused("malformed")
    scopes = _scopes(claims)
    if scope and scope not in scopes:
        raise TokenRefused("missing scope")
    return _Claims(subject, expires_at, token_id, _confirmed(claims), scopes)


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    """Return the scopes, in any of the forms issuers write them (security.md 1.2)."""
    found: set[str] = set()
    for member in ("scope", "scopes", "scp"):
        said = claims.get(member)
        if isinstance(said, str):
            found.update(said.split())
        elif isinstance(said, list):
            found.update(each for each in said if isinstance(each, str))
    return frozenset(found)


def _confirmed(claims: Mapping[str, Any]) -> str:
    """Return the thumbprint a token is bound to, "" for none; another kind of binding can't be checked (RFC 7800)."""
    if "cnf" not in claims:
        return ""
    bound = claims["cnf"]
    if not isinstance(bound, dict) or set(bound) != {"jkt"} or not isinstance(bound["jkt"], str) or not bound["jkt"]:
        raise TokenRefused("unknown confirmation")
    return str(bound["jkt"])


def _said(said: object, allowed: frozenset[str]) -> Grant:
    """Return the grant that a ``fame`` claim is; roles beyond `allowed` don't count."""
    if not isinstance(said, dict):
        raise TokenRefused("malformed grant")
    roles = frozenset(_texts(said, "roles")) & allowed
    node = said.get("node", "**")
    if not isinstance(node, str):
        raise TokenRefused("malformed grant")
    addresses, capabilities, prefixes = (_texts(said, name) for name in ("addresses", "capabilities", "prefixes"))
    try:
        for pattern in (node, *addresses, *capabilities, *prefixes):
            check_glob(pattern)
    except ConfigError as error:
        raise TokenRefused("malformed grant") from error
    return Grant("", node, roles, addresses, capabilities, prefixes)


def _texts(said: Mapping[str, object], member: str) -> tuple[str, ...]:
    found = said.get(member, [])
    if not isinstance(found, list) or len(found) > MAX_PATTERNS or not all(isinstance(each, str) for each in found):
        raise TokenRefused("malformed grant")
    return tuple(found)


def _filled(grant: Grant, claims: _Claims, all_claims: Mapping[str, Any]) -> Grant:
    if grant.thumbprint and claims.thumbprint and grant.thumbprint != claims.thumbprint:
        raise TokenRefused("wrong key")
    ends = [each for each in (claims.expires_at, grant.expires_at) if each is not None]
    return replace(
        grant,
        subject=claims.subject,
        thumbprint=claims.thumbprint or grant.thumbprint,
        expires_at=min(ends),
        issuer=str(all_claims["iss"]),
        token_id=claims.token_id,
        issued_at=number(all_claims.get("iat", 0)) or 0.0,
        scopes=claims.scopes,
        claims=all_claims,
    )
