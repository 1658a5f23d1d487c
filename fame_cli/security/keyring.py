"""Whose key is which: what this node has been told of the keys of others, and how far that is to be believed.

A key is *proved* when a grant by somebody this node trusts names it and allows the id at the end of its path: then it
doesn't matter who told of it. Any other key is *told*: as good as the neighbour who told, and only about nodes at or
below that neighbour's own path, unless it is a peer or the parent, who pass on what lies beyond them. Nobody's key is
replaced by telling of another one under its name (security.md 4.4, and what the original lacks there). Times are
seconds since the epoch.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from fame_cli.core.address import is_node_path
from fame_cli.core.gate import Refusal
from fame_cli.core.grant import Grant
from fame_cli.core.ids import sid_of
from fame_cli.core.link import Link
from fame_cli.security.jwk import VOUCHED, Jwk, from_base64, thumbprint, vouched_bytes
from fame_cli.security.signing import verify_bytes

__all__ = ["Key", "Keyring"]

MAX_KEYS = 16_384
MAX_TOLD = 1_024
"""Keys in all, and keys that one neighbour may have told us of without proof."""

MAX_PATHS = 64
"""Paths one proved key may be at: a client that runs many times at once."""

MAX_JWKS = 16
"""Keys in one frame that are looked at."""


class _Jwk(msgspec.Struct):
    """Read what is needed of a JWK (RFC 8037); other members stay in the original."""

    kid: str = ""
    kty: str = ""
    crv: str = ""
    x: str = ""
    use: str = ""


@dataclass(slots=True, frozen=True)
class Key:
    """Hold a signing key at one path.

    Args:
        kid: its id.
        path: physical path of the node that signs with it; `sid` is the digest of that.
        public: what verifies.
        jwk: as it was told, with `sid` and `physical_path` (security.md 4.3).
        grant: what proves it; None when it is told.
        teller: the link that told of it; None for our own.
        encryption: the X25519 JWK that came with it, None if none did that could be believed as far as this key.
        is_certified: True when a certificate says whose key it is.
    """

    kid: str
    path: str
    sid: str
    public: Ed25519PublicKey
    jwk: dict[str, Any]
    grant: Grant | None = None
    teller: Link | None = None
    encryption: dict[str, Any] | None = None
    is_certified: bool = False

    @property
    def expires_at(self) -> float | None:
        """Say when it is no longer to be believed; None for never."""
        return self.grant.expires_at if self.grant is not None else None


class Keyring:
    """Remember keys, the most lately used of them if they are many.

    Args:
        prove: returns the grant a token stands for, None when it isn't to be believed.
        clock: the time.
    """

    def __init__(self, prove: Callable[[str], Grant | None], clock: Callable[[], float]) -> None:
        self._prove = prove
        self._clock = clock
        self._keys: OrderedDict[str, dict[str, Key]] = OrderedDict()
        self._told: dict[Link, dict[tuple[str, str], None]] = {}
        self._at: dict[str, Key] = {}
        self.certified: Callable[[Jwk, str], bool] = lambda jwk, path: False

    def find(self, kid: str, sid: str) -> Key | None:
        """Return the key of an id at the path a sid stands for, None when nobody has told of it."""
        known = self._keys.get(kid)
        key = known.get(sid) if known is not None else None
        if key is None:
            return None
        if key.expires_at is not None and key.expires_at <= self._clock():
            self._drop(key)
            return None
        self._keys.move_to_end(kid)
        return key

    def at(self, path: str) -> Key | None:
        """Return the key of the node at a path, the one learned last; None when there is none."""
        key = self._at.get(path)
        return None if key is None else self.find(key.kid, key.sid)

    def encryption_at(self, path: str) -> Jwk | None:
        """Return the key to seal to for the node at a path."""
        key = self.at(path)
        return None if key is None else key.encryption

    def all_of(self, kid: str) -> list[Key]:
        """Return a key at all paths where it is."""
        return [key for sid in list(self._keys.get(kid, ())) if (key := self.find(kid, sid)) is not None]

    def learn(self, keys: msgspec.Raw, path: str, teller: Link | None, *, beyond: bool) -> list[Key] | Refusal:
        """Take the keys of the node at a path.

        Args:
            keys: JSON list of JWKs.
            teller: the link that tells; None for our own.
            beyond: True when the teller may speak of nodes that aren't below it.

        Returns:
            The signing keys that are known now; none if there was none in it.
        """
        try:
            listed: list[Any] = msgspec.json.decode(keys) if bytes(keys) else []
            parsed = [(msgspec.convert(each, _Jwk), each) for each in listed[:MAX_JWKS]]
        except (msgspec.DecodeError, msgspec.ValidationError, TypeError, RecursionError):
            return Refusal("INVALID_KEYS", "the keys aren't a list of JWKs")
        if not is_node_path(path):
            return Refusal("INVALID_KEYS", "a key without the path of its node")
        encryption = next((raw for jwk, raw in parsed if jwk.crv == "X25519" and jwk.use == "enc"), None)
        learned: list[Key] = []
        for jwk, raw in parsed:
            if (jwk.kty, jwk.crv, jwk.use) == ("OKP", "Ed25519", "sig") and 0 < len(jwk.kid) <= 128:
                key = self._read(jwk, raw, path, teller, encryption)
                refusal = "its key isn't one" if key is None else self._add(key, beyond=beyond)
                if refusal or key is None:
                    return Refusal("KEY_REFUSED", refusal)
                learned.append(key)
        return learned

    def _read(
        self, jwk: _Jwk, raw: dict[str, Any], path: str, teller: Link | None, encryption: dict[str, Any] | None
    ) -> Key | None:
        try:
            public = Ed25519PublicKey.from_public_bytes(from_base64(jwk.x))
        except ValueError:
            return None
        token: Any = raw.get("fame.grant")
        grant = self._prove(token) if isinstance(token, str) else None
        if grant is not None and not (grant.thumbprint == thumbprint(raw) and _is_of(grant, path)):
            grant = None
        sid = sid_of(path)
        told = {**raw, "sid": sid, "physical_path": path}
        if encryption is not None and not _vouches(public, encryption, needed=grant is not None):
            encryption = None
        good = self.certified(raw, path)
        return Key(jwk.kid, path, sid, public, told, grant, teller, encryption, good)

    def _add(self, key: Key, *, beyond: bool) -> str:
        """Remember a key; say why not, "" when all is well."""
        others = list(self._keys.get(key.kid, {}).values())
        same = [other for other in others if other.jwk["x"] == key.jwk["x"]]
        if key.teller is not None and key.grant is None:
            if not beyond and not _is_below(key.path, key.teller.remote_path):
                return f"{key.path[:128]} isn't below {key.teller.remote_path}"
            if len(same) < len(others) or any(other.path != key.path for other in others if other.teller is None):
                return f"{key.kid} is another key already"
            if any(other.path == key.path and other.grant is not None for other in same):
                return ""  # known already, and better
            mine = self._told.setdefault(key.teller, {})
            if len(mine) >= MAX_TOLD:
                return "too many keys from there"
            mine[key.kid, key.sid] = None
        elif len(same) < len(others):
            if any(other.grant is not None or other.teller is None for other in others):
                return f"{key.kid} is another key already"
            for other in others:
                self._drop(other)  # told under a proved key's name: it goes
        known = self._keys.setdefault(key.kid, {})
        before = known.get(key.sid)
        if before is not None and before.is_certified and not key.is_certified:
            return ""  # known already, and better
        if before is not None and key.encryption is None:
            key = replace(key, encryption=before.encryption)
        known[key.sid] = self._at[key.path] = key
        self._keys.move_to_end(key.kid)
        while len(known) > MAX_PATHS:
            self._drop(next(iter(known.values())))
        while len(self._keys) > MAX_KEYS:
            for old in list(next(iter(self._keys.values())).values()):
                self._drop(old)
        return ""

    def forget(self, teller: Link) -> None:
        """Forget what a link that is gone has told without proof."""
        for kid, sid in self._told.pop(teller, ()):
            key = self._keys.get(kid, {}).get(sid)
            if key is not None and key.teller is teller and key.grant is None:
                self._drop(key)

    def _drop(self, key: Key) -> None:
        known = self._keys.get(key.kid, {})
        known.pop(key.sid, None)
        if (at := self._at.get(key.path)) is not None and at.kid == key.kid:
            del self._at[key.path]
        if not known:
            self._keys.pop(key.kid, None)


def _vouches(public: Ed25519PublicKey, encryption: Jwk, *, needed: bool) -> bool:
    """Tell whether a signing key has signed the encryption key beside it; the original's don't."""
    signature = encryption.get(VOUCHED)
    if signature is None:
        return not needed
    return isinstance(signature, str) and verify_bytes(public, signature, vouched_bytes(encryption))


def _is_of(grant: Grant, path: str) -> bool:
    """Tell whether a path ends in an id that a grant allows; a sentinel gives namesakes a dash and four characters."""
    last = path.rpartition("/")[2]
    return grant.may_attach_as(last) or (last[-5:-4] == "-" and grant.may_attach_as(last[:-5]))


def _is_below(path: str, above: str) -> bool:
    return path == above or path.startswith(f"{above}/")
