"""The gate of profile ``overlay``: everything is signed besides, and believed for that.

Asked by the core, without I/O; the time comes from a clock, in seconds since the epoch.
"""

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

import msgspec

from fame_cli.core.address import parse
from fame_cli.core.envelope import CARRIED, Envelope
from fame_cli.core.frames import KeyAnnounce, MeshUpdate, NodeAttach
from fame_cli.core.gate import KnownKey, Refusal, Unknown, Verdict
from fame_cli.core.grant import ADMIN, PEER, Grant
from fame_cli.core.ids import id_time, sid_of
from fame_cli.core.link import Link, LinkKind
from fame_cli.core.settings import Settings
from fame_cli.security.gated import NO_ADMIN, GrantGate, below, is_answer
from fame_cli.security.judging import Judge
from fame_cli.security.jwk import NodeKeys, thumbprint
from fame_cli.security.keyring import Key, Keyring
from fame_cli.security.replay import Replays
from fame_cli.security.signing import CLEAR, Signer, check, security_of, verify_bytes

__all__ = ["KeyGate", "Means"]


class Means(NamedTuple):
    """Hold what a gate signs and judges by.

    Args:
        clock: the time.
        keys: of this node.
        token: the grant of this node's key, "" when it has none.
        granted: returns what a token allows, None when it isn't to be believed.
        skew_s: seconds that clocks may differ.
        judge: asks the policy; None where there is none.
        revoked: tells whether a token of that id is taken back.
    """

    clock: Callable[[], float]
    keys: NodeKeys
    token: str
    granted: Callable[[str], Grant | None]
    skew_s: float
    judge: Judge | None = None
    revoked: Callable[[str], bool] = lambda token_id: False


class KeyGate(GrantGate):
    """Hold every envelope to its signature, and sign our own."""

    signs = True

    def __init__(self, means: Means) -> None:
        super().__init__(means.clock, means.granted, means.judge)
        if means.judge is not None:
            means.judge.verifies = True
        self._keys = keys = means.keys
        self._token = means.token
        self._chain: list[str] = []
        self._path = ""
        self._signer = Signer(keys.signing, keys.kid)
        self._ring = Keyring(means.granted, means.clock, means.revoked)
        self._replays = Replays(means.skew_s)
        self._joined: dict[Link, Key] = {}
        self.own_kid = keys.kid
        self._own = self._jwks()

    def _jwks(self) -> msgspec.Raw:
        return msgspec.Raw(msgspec.json.encode(self._keys.public_jwks(self._token, self._chain)))

    # Links

    def admit(self, attach: NodeAttach, link: Link, own: Settings) -> Refusal | None:
        """Ask for a key besides; what it is good for shows once the path is settled."""
        if not bytes(attach.keys):
            return Refusal("SIGNATURE_REQUIRED", "this sentinel wants signed envelopes: attach with keys")
        return super().admit(attach, link, own)

    def joined(self, link: Link, keys: msgspec.Raw) -> Refusal | None:
        """Take the neighbour's own keys; a grant for one key is good for that key alone."""
        if not bytes(keys):
            return Refusal("SIGNATURE_REQUIRED", f"{link.remote_id} doesn't sign: its profile is lower than ours")
        learned = self._ring.learn(keys, link.remote_path, link, beyond=False)
        if isinstance(learned, Refusal):
            return learned
        if not learned:
            return Refusal("INVALID_KEYS", "no Ed25519 key to sign with")
        key = learned[0]
        wanted = link.grant.thumbprint if link.grant is not None else ""
        if wanted and (key.grant is None or key.grant.thumbprint != wanted):
            return Refusal("UNAUTHORIZED", "the credential is for another key")
        if link.grant is None and key.grant is not None and not key.grant.may_be(PEER):
            return Refusal("UNAUTHORIZED", f"{link.remote_id} isn't a sentinel by its key")
        self._joined[link] = key
        return None

    def left(self, link: Link) -> None:
        """Forget what the link told; what is proved may be met elsewhere."""
        self._joined.pop(link, None)
        self._ring.forget(link)

    def is_same(self, one: Link, other: Link) -> bool:
        """Compare keys where both are known; what is told of a sentinel further away counts where it is proved."""
        ours, theirs = self._print_of(one), self._print_of(other)
        if one.kid:
            return not ours or ours == theirs
        return ours == theirs if ours and theirs else super().is_same(one, other)

    def _print_of(self, link: Link) -> str:
        """Return the thumbprint of the key that a neighbour, or a sentinel elsewhere, has proved to be its own."""
        joined = self._joined.get(link)
        if joined is not None:
            return thumbprint(joined.jwk)
        if link.kid:
            key = self._of_sentinel(link.remote_id, link.kid)
            return thumbprint(key.jwk) if key is not None and not key.is_told else ""
        return link.grant.thumbprint if link.grant is not None else ""

    def moved(self, path: str) -> None:
        """Have our own key at our path, to tell those who ask."""
        super().moved(path)
        self._path = path
        self._own = self._jwks()
        if path:
            self._ring.learn(self._own, path, None, beyond=True)

    def renew(self, token: str) -> None:
        """Have the new credential travel with our key, if it names it."""
        grant = self._granted(token)
        if grant is not None and grant.thumbprint == self._keys.thumbprint:
            self._token = token
            self.moved(self._path)

    # Envelopes

    def verify(self, link: Link, envelope: Envelope) -> Verdict:
        """Check the signature, that the key is the sender's, and that the sender is where it says it is."""
        sec = security_of(envelope)
        if sec.sig is None or not envelope.sid:
            return Refusal("SIGNATURE_REQUIRED", "it isn't signed")
        key = self._ring.find(sec.sig.kid, envelope.sid)
        if key is None and isinstance(envelope.frame, KeyAnnounce):
            key = self._moved_neighbour(link, envelope, envelope.frame)
        if key is None:
            if self._ring.all_of(sec.sig.kid) and link.is_leaf:
                return Refusal("SIGNATURE_INVALID", "the key isn't the sender's")
            return Unknown(sec.sig.kid)
        refusal = self._is_placed(link, envelope, key)
        if refusal is not None:
            return refusal
        unbelieved = self._is_believed(key, link, envelope)
        if unbelieved is not None:
            return unbelieved
        wrong = check(envelope, key.public)
        if wrong:
            return Refusal("SIGNATURE_INVALID", wrong)
        if isinstance(envelope.frame, MeshUpdate):
            return self._knows_all(envelope.frame)
        return self.remember(envelope) if link.is_leaf and isinstance(envelope.frame, CARRIED) else None

    def _moved_neighbour(self, link: Link, envelope: Envelope, announce: KeyAnnounce) -> Key | None:
        """Return the key of a neighbour that tells it anew from another path of its own, as which it signs already."""
        own = self._joined.get(link)
        last = announce.physical_path.rpartition("/")[2]
        if own is None or last != link.remote_id or envelope.sid != sid_of(announce.physical_path):
            return None
        return own if self.kid(envelope) == own.kid else None

    def _is_believed(self, key: Key, link: Link, envelope: Envelope) -> Verdict:
        """Ask nothing more of a key in this profile."""
        return None

    def _signed_by(self, envelope: Envelope) -> Grant | None:
        """Return what is proved of the signer of a verified envelope."""
        key = self._key_of(envelope)
        return key.grant if key is not None else None

    def may_mend(self, link: Link, envelope: Envelope) -> Refusal | None:
        """Ask besides for a key that is proved to be an admin's, or for a neighbour with an admin's credential."""
        key = self._key_of(envelope)
        grant = key.grant if key is not None else None
        if grant is None and key is not None and link.is_leaf and key.path == link.remote_path:
            grant = link.grant if link.grant is not None and not link.grant.thumbprint else None  # else it is the key's
        if grant is None or not grant.may_be(ADMIN):
            return NO_ADMIN
        return super().may_mend(link, envelope)

    def _key_of(self, envelope: Envelope) -> Key | None:
        return self._ring.find(self.kid(envelope), envelope.sid or "")

    def _is_placed(self, link: Link, envelope: Envelope, key: Key) -> Refusal | None:
        """Check that an envelope comes from where its signer is, and asks for answers there."""
        carried, own = isinstance(envelope.frame, CARRIED), self._joined.get(link)
        by_itself = not carried and own is not None and own.kid == key.kid
        if (link.is_leaf or not carried) and not by_itself and not below(key.path, link.remote_path):
            return Refusal("SIGNATURE_INVALID", "its signer isn't there")
        grant = key.grant if key.grant is not None else (link.grant if link.kind is LinkKind.CHILD else None)
        if envelope.reply_to and carried:
            path = parse(envelope.reply_to).path
            is_own = path == key.path if path else grant is None or grant.may_bind(envelope.reply_to)
            if not is_own:
                return Refusal("UNAUTHORIZED", "the reply address isn't the signer's")
        return self._may_ask(grant, envelope) if grant is not None else None

    def _knows_all(self, update: MeshUpdate) -> Verdict:
        """Have the keys of all records fetched before any of them is looked at."""
        for record in update.records:
            if not record.kid:
                return Refusal("SIGNATURE_REQUIRED", "a record isn't signed")
            if not self._ring.all_of(record.kid):
                return Unknown(record.kid)
        return None

    def remember(self, envelope: Envelope) -> Refusal | None:
        """Look at the time and the id; an id tells the time itself where its signer is one of ours.

        Answers may have waited for a slow reader however long: the call they are for tells that they aren't old.
        """
        now, made_at = self._clock(), None
        if not is_answer(envelope):
            made_at = id_time(envelope.id or "") if self._signed_by(envelope) is not None else _stamped(envelope.ts)
            if made_at is None or not self._replays.is_timely(made_at, now):
                return Refusal("CLOCK_SKEW", "its time is off: compare the clocks of both machines")
        if self._replays.is_new(envelope.sid or "", envelope.id or "", made_at, now):
            return None
        return Refusal("REPLAY_DETECTED", "it has come before, or too many have come since")

    def sign(self, envelope: Envelope) -> Envelope:
        """Sign an envelope of ours."""
        return self._signer.sign(envelope)

    def open(self, envelope: Envelope, *, sealed: bool) -> Envelope | Refusal:
        """Open nothing: this profile doesn't seal."""
        if security_of(envelope).level != CLEAR:
            return Refusal("CRYPTO_LEVEL", "this node opens nothing that is sealed")
        return envelope

    def speaks_for(self, envelope: Envelope, address: str, *, keeps: bool = False) -> Refusal | None:
        """Hold an answer to the place or the grant of its signer; a key that is only told has none."""
        key = self._key_of(envelope)
        if key is None or (keeps and key.grant is not None and key.grant.may_announce(address)):
            return None
        return self._held(key, address)

    def owns(self, path: str, address: str) -> Refusal | None:
        """Hold the key at a path to an address, as an answer from there would be."""
        key = self._ring.at(path)
        return Refusal("KEY_UNKNOWN", f"nobody told the key of {path}") if key is None else self._held(key, address)

    def _held(self, key: Key, address: str) -> Refusal | None:
        place = parse(address).path if address else ""
        if place:
            good = key.path == place
        else:
            good = key.grant.may_answer(address) if key.grant is not None else not self.certifies
        if good:
            return None
        who = key.grant.subject if key.grant is not None else key.path
        return Refusal("SIGNATURE_INVALID", f"signed by {who}, who may not answer for {address or 'anybody'}")

    def signer(self, envelope: Envelope) -> str:
        """Name the signer of a verified envelope."""
        key = self._key_of(envelope)
        if key is None:
            return ""
        if key.grant is not None:
            return f"{key.grant.subject} (key {key.kid}, proved by {key.grant.issuer})"
        told = key.teller.remote_id if key.teller is not None else "this node"
        return f"{key.path} (key {key.kid}, told by {told})"

    # Keys

    def keys(self) -> msgspec.Raw:
        """Return our public keys."""
        return self._own

    def kid(self, envelope: Envelope) -> str:
        """Return the id of the key an envelope is signed with."""
        signature = security_of(envelope).sig
        return signature.kid if signature is not None else ""

    def find(self, kid: str) -> list[KnownKey]:
        """Return a key at all paths where it is known to be."""
        return [KnownKey(key.path, _raw(key)) for key in self._ring.all_of(kid)]

    def shown_with(self, kid: str) -> str:
        """Tell apart which token was shown with a key."""
        return self._ring.shown_with(kid)

    def keys_at(self, path: str) -> list[msgspec.Raw]:
        """Return the keys of the node at a path, to tell others; [] when there are none."""
        key = self._ring.at(path)
        return [] if key is None else _raw(key)

    def learn(self, announce: KeyAnnounce, link: Link) -> Refusal | None:
        """Take keys a neighbour tells of: of what is below it, and from a peer or the parent of what is beyond it."""
        beyond = link.kind is not LinkKind.CHILD or (link.grant is not None and link.grant.may_be(PEER))
        learned = self._ring.learn(announce.keys, announce.physical_path, link, beyond=beyond)
        return learned if isinstance(learned, Refusal) else None

    # Records

    def sign_record(self, statement: bytes) -> tuple[str, str]:
        """Sign what this sentinel says of itself."""
        return self._signer.kid, self._signer.sign_bytes(statement)

    def check_record(self, node_id: str, kid: str, statement: bytes, signature: str) -> Verdict:
        """Check that a record is signed by the sentinel it is of."""
        key = self._of_sentinel(node_id, kid)
        if key is None:
            return Refusal("SIGNATURE_INVALID", f"the key isn't {node_id}'s")
        if not verify_bytes(key.public, signature, statement):
            return Refusal("SIGNATURE_INVALID", "the signature doesn't hold")
        return None

    def _of_sentinel(self, node_id: str, kid: str) -> Key | None:
        """Return a key at the path of a sentinel where it is known best, None where it isn't the sentinel's."""
        keys = [
            key
            for key in self._ring.all_of(kid)
            if (key.is_certified or not self.certifies)
            and key.path.rpartition("/")[2] == node_id
            and (key.grant is None or key.grant.may_be(PEER))
        ]
        return max(keys, key=lambda key: key.standing, default=None)

    def may_offer(self, node_id: str, kid: str, name: str, link: Link) -> bool:
        """Hold a sentinel to what its grant lets it announce; paths are its own by their form."""
        if name.startswith("/"):
            return True
        grants = [key.grant for key in self._ring.all_of(kid) if key.grant is not None]
        address = name.rpartition(" ")[2]
        if not grants:
            return super().may_offer(node_id, kid, name, link)
        return any(grant.may_announce(address) for grant in grants)


def _raw(key: Key) -> list[msgspec.Raw]:
    jwks = [key.jwk] if key.encryption is None else [key.jwk, key.encryption]
    return [msgspec.Raw(msgspec.json.encode(jwk)) for jwk in jwks]


def _stamped(ts: str | None) -> float | None:
    """Read the time of an envelope (spec 3)."""
    try:
        return datetime.fromisoformat(ts).timestamp() if ts else None
    except ValueError:
        return None
