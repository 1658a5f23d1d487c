"""Channels that Naylence's nodes open to this one: answered, read and written as the original has them.

A channel is a key that two nodes agree on by one exchange of X25519 and use for an hour. The original's key depends on
nothing but the exchange and the channel's name, so everything else has to be held here: a channel belongs to the node
that opened it (its verified `sid`), under any name another node may have one of its own, only the opener closes it, and
each payload is compared with its signed `pd`. Our own nodes don't open channels; they seal (``sealing.py``).

State without a clock: `now` in seconds, any clock that doesn't run back.
"""

import base64
import secrets
from collections import Counter
from typing import NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from fame_cli.core.envelope import Envelope
from fame_cli.core.frames import SecureAccept, SecureOpen
from fame_cli.security.sealing import (
    CHANNEL,
    Encryption,
    SealingFailed,
    checked,
    data_of,
    derived_key,
    encryption_of,
    sealed_as,
)

__all__ = ["LIFE_S", "MAX_CHANNELS", "MAX_PER_PEER", "Channels"]

LIFE_S = 3600.0
"""Seconds a channel lives, as the original's do."""

MAX_PER_PEER = 16
"""Channels one node may have open here: one for each address it talks to, and a few that were lost."""

MAX_CHANNELS = 4096
"""Channels altogether; each holds a key and a name, less than 2 KB."""

MAX_CID_LENGTH = 1100
"""Characters in the name of a channel: the original writes the address into it."""

_ALG = "CHACHA20P1305"
_NO_KEY = base64.b64encode(bytes(32)).decode()

_base64_decoder = msgspec.json.Decoder(bytes)


class _Channel(NamedTuple):
    key: ChaCha20Poly1305
    ends_at: float


class Channels:
    """Hold the open channels, each under who opened it and its name."""

    def __init__(
        self, life_s: float = LIFE_S, max_per_peer: int = MAX_PER_PEER, max_channels: int = MAX_CHANNELS
    ) -> None:
        self._life_s = life_s
        self._max_per_peer = max_per_peer
        self._max_channels = max_channels
        self._channels: dict[tuple[str, str], _Channel] = {}  # in the order they end
        self._count: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._channels)

    def accept(self, asked: SecureOpen, sid: str, now: float) -> SecureAccept:
        """Answer somebody who wants a channel; a refusal is an answer as well.

        Args:
            asked: the frame.
            sid: digest of the node that signed it, verified.
            now: seconds.
        """
        self._expire(now)
        if asked.alg not in (None, _ALG) or not 0 < len(asked.cid) <= MAX_CID_LENGTH:
            return _refused(asked, "MALFORMED", "unknown algorithm, or no name of a channel")
        if (sid, asked.cid) in self._channels:  # a repeated frame must not change a key in use
            return _refused(asked, "CHANNEL_TAKEN", "the channel is open already")
        if self._count[sid] >= self._max_per_peer or len(self._channels) >= self._max_channels:
            return _refused(asked, "RATE_LIMITED", "too many channels are open")
        private = X25519PrivateKey.generate()
        try:
            key = derived_key(private, base64.b64decode(asked.eph_pub, validate=True), _info(asked.cid))
        except ValueError:
            return _refused(asked, "MALFORMED", "ephPub isn't a key")
        self._channels[sid, asked.cid] = _Channel(ChaCha20Poly1305(key), now + self._life_s)
        self._count[sid] += 1
        own = base64.b64encode(private.public_key().public_bytes_raw()).decode()
        return SecureAccept(ok=True, cid=asked.cid, eph_pub=own, alg=_ALG)

    def close(self, cid: str, sid: str) -> bool:
        """Close a channel for the node that opened it; False when that node has none of this name."""
        if self._channels.pop((sid, cid), None) is None:
            return False
        self._count[sid] -= 1
        if not self._count[sid]:
            del self._count[sid]
        return True

    def open(self, envelope: Envelope, now: float) -> bytes:
        """Open a payload that came through the channel its sender opened.

        Args:
            envelope: a Data envelope whose signature, and so whose `sid`, has been checked.
            now: seconds.

        Returns:
            The plaintext, encoded JSON.

        Raises:
            SealingFailed: no such channel of this sender, or the payload isn't what was encrypted and signed.
        """
        encryption = encryption_of(envelope)
        frame = data_of(envelope)
        if encryption is None or encryption.alg != CHANNEL:
            raise SealingFailed("the payload isn't one of a channel")
        channel = self._found(envelope.sid or "", encryption.kid, now)
        try:
            nonce, ciphertext = bytes.fromhex(encryption.val), _base64_decoder.decode(frame.payload)
            opened = channel.key.decrypt(nonce, ciphertext, encryption.kid.encode())
        except (InvalidTag, ValueError, msgspec.DecodeError) as error:
            raise SealingFailed("the payload can't be opened") from error
        return checked(opened, frame)

    def seal(self, payload: bytes, envelope: Envelope, opener_sid: str, cid: str, now: float) -> Envelope:
        """Encrypt the payload of a signed answer for the node that opened a channel.

        Args:
            payload: the plaintext, encoded JSON; what `pd` is over.
            envelope: a Data envelope with `sid`, `pd` and signature.
            opener_sid: the node it goes to.
            cid: name of the channel.
            now: seconds.

        Raises:
            SealingFailed: there is no such channel any more, or the envelope isn't signed.
        """
        channel = self._found(opener_sid, cid, now)
        nonce = secrets.token_bytes(12)  # random, as the original's: some 2^32 of one key before two are likely equal
        ciphertext = channel.key.encrypt(nonce, payload, cid.encode())
        return sealed_as(envelope, ciphertext, Encryption(CHANNEL, cid, nonce.hex()))

    def _found(self, sid: str, cid: str, now: float) -> _Channel:
        channel = self._channels.get((sid, cid))
        if channel is None or channel.ends_at <= now:
            raise SealingFailed("no such channel is open", hint="open it again")
        return channel

    def _expire(self, now: float) -> None:
        while self._channels:
            (sid, cid), first = next(iter(self._channels.items()))
            if first.ends_at > now:
                return
            self.close(cid, sid)


def _info(cid: str) -> bytes:
    return b"fame-channel:" + cid.encode()


def _refused(asked: SecureOpen, code: str, reason: str) -> SecureAccept:
    cid = asked.cid[:MAX_CID_LENGTH]
    return SecureAccept(ok=False, code=code, reason=reason, cid=cid, eph_pub=_NO_KEY, alg=_ALG)
