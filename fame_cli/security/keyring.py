"""Whose key is which: what this node has been told of the keys of others, and how far that is to be believed.

A key is *proved* when a grant by somebody this node trusts names it and allows the id at the end of its path: then it
doesn't matter who told of it. Any other key is *told*: as good as the neighbour who told, and only about nodes at or
below that neighbour's own path, unless it is a peer or the parent, who pass on what lies beyond them. Nobody's key is
replaced by telling of another one under its name, and where a better known key is, no lesser one gets in
(security.md 4.4, and what the original lacks there). What a proved key may do says the token issued last of those that
were shown with it, wherever; one that is taken back says and proves nothing any more. Times are seconds since the
epoch.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from fame_cli.core.address import MAX_ADDRESS_LENGTH, is_node_path
from fame_cli.core.gate import Refusal
from fame_cli.core.grant import Grant
from fame_cli.core.ids import sid_of
from fame_cli.core.link import Link
from fame_cli.security.jwk import VOUCHED, Jwk, from_base64, kid_of, thumbprint, vouched_bytes
from fame_cli.security.known import TOKEN, Key, Standing, standing_by, with_encryption_of, with_grant_of
from fame_cli.security.signing import verify_bytes

__all__ = ["MAX_KEYS", "MAX_TOLD", "MAX_TOLD_BYTES", "ROTATED_S", "Key", "Keyring", "Standing"]

MAX_KEYS = 16_384
"""Keys in all, each once for every path it is at."""

MAX_TOLD = 1_024
MAX_TOLD_BYTES = 2 * 1024 * 1024
"""Keys, and bytes of them, that are remembered because one neighbour told without proof."""

MAX_PATHS = 64
"""Paths one key may be at: a client that runs many times at once."""

MAX_AT_PATH = 8
"""Keys at one path: that of its node, and those it had before."""

MAX_JWKS = 16
"""Keys in one frame that are looked at."""

MAX_JWK_BYTES = 16 * 1024
MAX_KID_LENGTH = 128

ROTATED_S = 300.0
"""Seconds for which a key is still good when another one of the same standing has come to its path."""


class _Jwk(msgspec.Struct):
    """Read what is needed of a JWK (RFC 8037); other members stay in the original."""

    kid: str = ""
    kty: str = ""
    crv: str = ""
    x: str = ""
    use: str = ""


_Place = tuple[str, str]
"""A kid and a sid: a key at one path."""


@dataclass(slots=True)
class _Told:
    """Count what one neighbour has told without proof; the least recently used is first."""

    sizes: OrderedDict[_Place, int] = field(default_factory=OrderedDict)
    total: int = 0


class Keyring:
    """Remember keys, the most lately used of them if they are many.

    Args:
        prove: returns the grant a token stands for, None when it isn't to be believed.
        clock: the time.
        revoked: tells whether a token of that id is taken back.
    """

    def __init__(
        self,
        prove: Callable[[str], Grant | None],
        clock: Callable[[], float],
        revoked: Callable[[str], bool] = lambda token_id: False,
    ) -> None:
        self._prove = prove
        self._clock = clock
        self._revoked = revoked
        self._keys: OrderedDict[_Place, Key] = OrderedDict()
        self._of: dict[str, OrderedDict[str, None]] = {}  # kid → sids
        self._at: dict[str, dict[_Place, None]] = {}  # path → its keys, the one learned last at the end
        self._shown: dict[str, str] = {}  # kid → what tells its tokens apart
        self._told: dict[Link, _Told] = {}
        self.certified: Callable[[Jwk, str], bool] = lambda jwk, path: False

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, kid: str, sid: str) -> Key | None:
        """Return the key of an id at the path a sid stands for, None when nobody has told of it."""
        place = kid, sid
        key = self._live(place)
        if key is None:
            return None
        self._keys.move_to_end(place)
        self._of[kid].move_to_end(sid)
        if key.is_told and key.teller is not None:
            self._told[key.teller].sizes.move_to_end(place)
        return key

    def at(self, path: str) -> Key | None:
        """Return the key of the node at a path, the best known or the one learned last; None when there is none."""
        keys = self._all_at(path)
        return max(reversed(keys), key=lambda key: key.standing) if keys else None

    def encryption_at(self, path: str) -> Jwk | None:
        """Return the key to seal to for the node at a path."""
        key = self.at(path)
        return None if key is None else key.encryption

    def all_of(self, kid: str) -> list[Key]:
        """Return a key at all paths where it is."""
        return [key for sid in list(self._of.get(kid, ())) if (key := self._live((kid, sid))) is not None]

    def shown_with(self, kid: str) -> str:
        """Tell apart which token was shown with a key, "" where none was: another one has to be told of again."""
        return self._shown.get(kid, "")

    def learn(self, keys: msgspec.Raw, path: str, teller: Link | None, *, beyond: bool) -> list[Key] | Refusal:
        """Take the keys of the node at a path.

        Args:
            keys: JSON list of JWKs; those of other kinds than ours are passed over.
            teller: the link that tells; None for our own.
            beyond: True when the teller may speak of nodes that aren't below it.

        Returns:
            The signing keys that are known now; none if there was none in it.
        """
        try:
            listed: Any = msgspec.json.decode(keys) if bytes(keys) else []
            if not isinstance(listed, list):
                return Refusal("INVALID_KEYS", "the keys aren't a list of JWKs")
            parsed = [(msgspec.convert(each, _Jwk), each) for each in listed[:MAX_JWKS]]
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return Refusal("INVALID_KEYS", "the keys aren't a list of JWKs")
        if len(path) > MAX_ADDRESS_LENGTH or not is_node_path(path):
            return Refusal("INVALID_KEYS", "a key without the path of its node")
        encryption = next((raw for jwk, raw in parsed if jwk.crv == "X25519" and jwk.use == "enc"), None)
        learned: list[Key] = []
        for jwk, raw in parsed:
            if (jwk.kty, jwk.crv, jwk.use) != ("OKP", "Ed25519", "sig"):
                continue
            key = self._read(jwk, raw, path, teller, encryption)
            refusal = "its key isn't one" if key is None else self._why_not(key, beyond=beyond)
            if refusal or key is None:
                return Refusal("KEY_REFUSED", refusal)
            learned.append(self._add(key))
        return learned

    def forget(self, teller: Link) -> None:
        """Forget what a link that is gone has told without proof."""
        told = self._told.get(teller, _Told())
        for place in list(told.sizes):
            self._drop(self._keys[place])

    # Reading

    def _read(self, jwk: _Jwk, raw: Jwk, path: str, teller: Link | None, encryption: Jwk | None) -> Key | None:
        """Read one signing key; None when it isn't one."""
        size = len(msgspec.json.encode(raw)) + (len(msgspec.json.encode(encryption)) if encryption is not None else 0)
        if not 0 < len(jwk.kid) <= MAX_KID_LENGTH or not jwk.kid.isprintable() or size > MAX_JWK_BYTES:
            return None
        try:
            public = Ed25519PublicKey.from_public_bytes(from_base64(jwk.x))
        except ValueError:
            return None
        token: Any = raw.get(TOKEN)
        grant = self._prove(token) if isinstance(token, str) else None
        if grant is not None and not (grant.thumbprint == thumbprint(raw) and standing_by(grant, path) is not None):
            grant = None
        standing = self._standing(raw, path, teller, grant)
        if encryption is not None and not _vouches(public, encryption, needed=standing >= Standing.NAMESAKE):
            encryption = None
        sid = sid_of(path)
        told = {**raw, "sid": sid, "physical_path": path}
        return Key(jwk.kid, path, sid, public, told, standing, size, grant, teller, encryption)

    def _standing(self, raw: Jwk, path: str, teller: Link | None, grant: Grant | None) -> Standing:
        if teller is None:
            return Standing.OWN
        if self.certified(raw, path):
            return Standing.CERTIFIED
        if grant is not None and (proved := standing_by(grant, path)) is not None:
            return proved
        if path == teller.remote_path:
            return Standing.ITSELF
        below = bool(teller.remote_path) and path.startswith(f"{teller.remote_path}/")
        return Standing.BELOW if below else Standing.BEYOND

    def _why_not(self, key: Key, *, beyond: bool) -> str:
        """Say why a key isn't to be learned; "" when it is."""
        if key.standing is Standing.BEYOND and not beyond and key.teller is not None:
            return f"{key.path[:128]} isn't below {key.teller.remote_path}"
        for other in self.all_of(key.kid):
            if other.public != key.public and not _gives_way(other, key):
                return f"{key.kid} is another key already"
            if other.standing is Standing.OWN and other.path != key.path and key.is_told:
                return f"{key.kid} is our own key"
        if key.standing is not Standing.ITSELF:  # a neighbour that has been let in is at its path, whatever was before
            for other in self._all_at(key.path):
                if other.kid != key.kid and other.standing > key.standing and other.ends_at is None:
                    return f"{key.path[:128]} has a key that is better known"
        return ""

    # Keeping

    def _add(self, key: Key) -> Key:
        """Remember a key; return what is remembered, which is what was before if that is better."""
        place = key.kid, key.sid
        before = self._live(place)
        if key.grant is not None and key.teller is not None:
            key = self._share_grant(key)
            before = self._live(place)
        if before is not None and before.public == key.public:
            if _outdoes(before, key):
                return before
            key = with_encryption_of(before, key)
        for other in self.all_of(key.kid):
            if other.public != key.public:
                self._drop(other)
            elif other.standing is key.standing is Standing.OWN and other.path != key.path:
                self._end(other)  # this node has moved
        for other in self._all_at(key.path):
            if (other.kid, other.sid) == place or other.standing < key.standing:
                self._drop(other)
            elif other.standing is key.standing:
                self._end(other)
        self._keep(key)
        self._of.setdefault(key.kid, OrderedDict())[key.sid] = None
        self._at.setdefault(key.path, {})[place] = None
        self._make_room(key, place)
        return key

    def _share_grant(self, key: Key) -> Key:
        """Have the token issued last count at all paths it is for, and return the key with that."""
        others = [each for each in self.all_of(key.kid) if each.public == key.public and each.grant is not None]
        for other in others:
            if _issued(other) > _issued(key):
                key = with_grant_of(key, other)
        for other in others:
            if other.teller is not None and _issued(other) <= _issued(key):
                self._keep(with_grant_of(other, key))
        return key

    def _keep(self, key: Key) -> None:
        """Put a key in its place, and see whether it came with another token than before."""
        before = self._keys.get((key.kid, key.sid))
        shown = f"{_issued(key)} {key.grant.token_id}" if key.grant is not None else ""
        if before is None or before.grant != key.grant:
            self._shown[key.kid] = shown
        self._keys[key.kid, key.sid] = key

    def _end(self, key: Key) -> None:
        """Have a key be over in a while, in which what it has signed before arrives."""
        if key.ends_at is None:
            self._keys[key.kid, key.sid] = replace(key, ends_at=self._clock() + ROTATED_S)

    def _make_room(self, key: Key, place: _Place) -> None:
        """Count a key that has come, and forget the least recently used of what is too much."""
        if key.is_told and key.teller is not None:
            told = self._told.setdefault(key.teller, _Told())
            told.sizes[place] = key.size
            told.total += key.size
            while len(told.sizes) > MAX_TOLD or told.total > MAX_TOLD_BYTES:
                self._drop(self._keys[next(iter(told.sizes))])
        sids = self._of[key.kid]
        while len(sids) > MAX_PATHS:
            self._drop(self._keys[key.kid, next(iter(sids))])
        while len(self._at[key.path]) > MAX_AT_PATH:
            self._drop(min((self._keys[each] for each in self._at[key.path] if each != place), key=_standing_of))
        while len(self._keys) > MAX_KEYS:
            oldest = next(iter(self._keys.values()))
            if oldest.standing is Standing.OWN:
                self._keys.move_to_end((oldest.kid, oldest.sid))  # of these there are MAX_PATHS at most
            else:
                self._drop(oldest)

    def _live(self, place: _Place) -> Key | None:
        key = self._keys.get(place)
        if key is None:
            return None
        expires_at = key.expires_at
        if (expires_at is not None and expires_at <= self._clock()) or self._is_taken_back(key):
            self._drop(key)
            return None
        return key

    def _is_taken_back(self, key: Key) -> bool:
        grant = key.grant
        if grant is None or not grant.token_id or key.standing is Standing.OWN:
            return False
        return self._revoked(grant.token_id)

    def _all_at(self, path: str) -> list[Key]:
        return [key for place in list(self._at.get(path, ())) if (key := self._live(place)) is not None]

    def _drop(self, key: Key) -> None:
        place = key.kid, key.sid
        del self._keys[place]
        for index, name, entry in ((self._of, key.kid, key.sid), (self._at, key.path, place)):
            _remove(index, name, entry)
        if key.kid not in self._of:
            self._shown.pop(key.kid, None)
        if key.is_told and key.teller is not None:
            told = self._told[key.teller]
            told.total -= told.sizes.pop(place)
            if not told.sizes:
                del self._told[key.teller]


def _remove(index: dict[str, Any], name: str, entry: object) -> None:
    """Take an entry out of a dict of dicts, and what is empty then besides."""
    del index[name][entry]
    if not index[name]:
        del index[name]


def _standing_of(key: Key) -> Standing:
    return key.standing


def _gives_way(other: Key, key: Key) -> bool:
    """Tell whether a kid passes to another key: what was only told of to what is proved, or whose name it is."""
    names_itself = kid_of(key.public.public_bytes_raw()) == key.kid
    return other.is_told and (names_itself or not key.is_told)


def _outdoes(before: Key, key: Key) -> bool:
    """Tell whether what is known of a key at a path is to be kept when it is told again."""
    if before.standing is not key.standing:
        return before.standing > key.standing
    if before.is_told:
        return before.teller is not key.teller and key.standing is not Standing.ITSELF  # itself: it has reconnected
    return False


def _issued(key: Key) -> float:
    return key.grant.issued_at if key.grant is not None else 0.0


def _vouches(public: Ed25519PublicKey, encryption: Jwk, *, needed: bool) -> bool:
    """Tell whether a signing key has signed the encryption key beside it; the original's don't."""
    signature = encryption.get(VOUCHED)
    if signature is None:
        return not needed
    return isinstance(signature, str) and verify_bytes(public, signature, vouched_bytes(encryption))
