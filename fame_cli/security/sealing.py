"""Payloads that only their destination can read.

Between our nodes: HPKE (RFC 9180, base mode, X25519, HKDF-SHA256, ChaCha20-Poly1305) of the whole payload, bound to the
eight headers that are signed. The order is: seal, `pd` over the ciphertext, sign. So every hop can check the whole, a
payload can't be swapped under a signature made for another, and `pd` gives nothing away: over the plaintext, as the
original has it, it would let anybody try out what a short payload may be. Nothing here ever falls back to sending or
taking a payload in clear; what can't be sealed or opened raises `SealingFailed`.

What Naylence calls sealed is read too (`ORIGINAL`); its channels are in ``channel.py``. Both ways, what travels is a
Data frame whose payload is one JSON string of base64, so that routers and other parsers notice nothing.
"""

import base64
from collections.abc import Mapping
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fame_cli.core.envelope import Envelope
from fame_cli.core.frames import Data
from fame_cli.errors import FameError, RemoteProtocolError
from fame_cli.security.canonical import payload_digest, signed_headers
from fame_cli.security.jwk import from_base64
from fame_cli.security.signing import SEALED

__all__ = [
    "CHANNEL",
    "LEVELS",
    "ORIGINAL",
    "SEALED",
    "Encryption",
    "SealingFailed",
    "checked",
    "data_of",
    "derived_key",
    "encryption_of",
    "level_of",
    "open_sealed",
    "seal",
    "sealed_as",
]

ORIGINAL = "ECDH-ES+A256GCM"
"""`sec.enc.alg` of a payload sealed by Naylence, which in spite of its name is X25519 and ChaCha20-Poly1305."""

CHANNEL = "chacha20-poly1305-channel"
"""`sec.enc.alg` of a payload of a channel."""

LEVELS = ("plaintext", "channel", "sealed")
"""How a payload can be protected, in the words of policies, from open to closed."""

_SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
_KEY_BYTES, _NONCE_BYTES = 32, 12
_URL_SAFE = bytes.maketrans(b"-_", b"+/")


class SealingFailed(FameError):
    """Say why a payload couldn't be sealed or opened; never what is in it."""

    exit_code = 4
    wire_code = "CRYPTO_LEVEL"


class Encryption(msgspec.Struct, frozen=True):
    """Hold `sec.enc`: how a payload is encrypted, for which key or in which channel, and what else that needs.

    `val` is always written, for Naylence's nodes demand it.
    """

    alg: str
    kid: str = ""
    val: str = ""


class _Opened(msgspec.Struct, frozen=True):
    """What Naylence seals."""

    payload: msgspec.Raw = msgspec.Raw(b"null")


_sec_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encryption_decoder = msgspec.json.Decoder(Encryption)
_text_decoder = msgspec.json.Decoder(str)
_base64_decoder = msgspec.json.Decoder(bytes)
_opened_decoder = msgspec.json.Decoder(_Opened)
_encoder = msgspec.json.Encoder()


def seal(envelope: Envelope, recipient_jwk: Mapping[str, Any]) -> Envelope:
    """Seal the payload of an envelope to a key; it is to be signed after that.

    Args:
        envelope: a Data envelope with `sid`, and all its other headers as they will travel.
        recipient_jwk: public X25519 key of the destination, with its `kid`.

    Raises:
        SealingFailed: the key isn't one to seal to, or the envelope has no sender, or is encrypted already.
    """
    frame = envelope.frame
    if not isinstance(frame, Data) or not envelope.sid:
        raise SealingFailed("only Data of a known sender is sealed")
    public, kid = _public_key_of(recipient_jwk)
    try:
        sealed = _SUITE.encrypt(bytes(frame.payload) or b"null", public, _bound_to(envelope))
    except ValueError as error:  # a key of low order
        raise SealingFailed("the destination's key can't be used") from error
    return sealed_as(envelope, sealed, Encryption(SEALED, kid))


def open_sealed(envelope: Envelope, private: X25519PrivateKey) -> bytes:
    """Open the payload of a sealed envelope; Naylence's is compared with its `pd`, which is over the plaintext.

    Args:
        envelope: a Data envelope whose signature has been checked.
        private: the key that `encryption_of(envelope).kid` names.

    Returns:
        The plaintext, encoded JSON.

    Raises:
        SealingFailed: it isn't sealed, not to this key, not with these headers; or it isn't what was signed.
    """
    encryption = encryption_of(envelope)
    frame = data_of(envelope)
    if encryption is None or encryption.alg not in (SEALED, ORIGINAL):
        raise SealingFailed("the payload isn't sealed in a way known here")
    try:
        if encryption.alg == ORIGINAL:
            return checked(_open_original(frame, encryption.val, private), frame)
        opened = _SUITE.decrypt(_base64_decoder.decode(frame.payload), private, _bound_to(envelope))
        msgspec.json.decode(opened, type=msgspec.Raw)  # what isn't JSON is no payload
        return opened
    except (InvalidTag, ValueError, msgspec.DecodeError, RecursionError) as error:
        raise SealingFailed("the payload can't be opened") from error


def encryption_of(envelope: Envelope) -> Encryption | None:
    """Return how an envelope's payload is encrypted; None when it isn't.

    Raises:
        SealingFailed: its security header is malformed.
    """
    encoded = _sec_of(envelope).get("enc")
    if encoded is None:
        return None
    try:
        return _encryption_decoder.decode(encoded)  # null is malformed: other readers take the member for encryption
    except (msgspec.DecodeError, RecursionError) as error:
        raise SealingFailed("the security header is malformed") from error


def level_of(envelope: Envelope) -> str:
    """Return how an envelope says it is protected: plaintext, channel or sealed; an unknown way counts as sealed."""
    plain, channel, sealed = LEVELS
    try:
        encryption = encryption_of(envelope)
    except SealingFailed:
        return sealed
    if encryption is None:
        return plain
    return channel if encryption.alg == CHANNEL else sealed


# --- what channels need, too -----------------------------------------------------------------------------------------


def data_of(envelope: Envelope) -> Data:
    """Return the Data frame of a signed envelope.

    Raises:
        SealingFailed: it has none, or no digest of its plaintext, without which a payload could be swapped.
    """
    frame = envelope.frame
    if not isinstance(frame, Data) or frame.pd is None or not envelope.sid:
        raise SealingFailed("only signed Data is encrypted")
    return frame


def sealed_as(envelope: Envelope, ciphertext: bytes, encryption: Encryption) -> Envelope:
    """Put a ciphertext in the place of the payload and say in `sec` what it is.

    Raises:
        SealingFailed: the payload is encrypted already, or has a codec, which nothing would bring back.
    """
    frame = envelope.frame
    assert isinstance(frame, Data)
    sec = _sec_of(envelope)
    if encryption_of(envelope) or frame.codec not in (None, "json"):
        raise SealingFailed("only plain JSON is encrypted, and once")
    sec["enc"] = msgspec.Raw(_encoder.encode(encryption))
    text = msgspec.Raw(_encoder.encode(ciphertext))  # bytes are written as base64
    changed = msgspec.structs.replace(frame, payload=text, codec="b64")
    return msgspec.structs.replace(envelope, frame=changed, sec=msgspec.Raw(_encoder.encode(sec)))


def checked(payload: bytes, frame: Data) -> bytes:
    """Return an opened payload if it is the one that was signed.

    Raises:
        SealingFailed: `pd` is of another payload, or what was sealed isn't JSON.
    """
    try:
        is_signed = payload_digest(msgspec.Raw(payload)) == frame.pd
    except RemoteProtocolError as error:
        raise SealingFailed("what was sealed isn't JSON") from error
    if not is_signed:
        raise SealingFailed("the payload isn't the one that was signed")
    return payload


def derived_key(private: X25519PrivateKey, public: bytes, info: bytes) -> bytes:
    """Derive a key as the original's channels and sealed payloads do: from X25519 alone, without the two public keys.

    Raises:
        ValueError: `public` isn't a usable key.
    """
    shared = private.exchange(X25519PublicKey.from_public_bytes(public))
    return HKDF(SHA256(), _KEY_BYTES, None, info).derive(shared)


# --- parts -----------------------------------------------------------------------------------------------------------


def _sec_of(envelope: Envelope) -> dict[str, msgspec.Raw]:
    if not envelope.sec:
        return {}
    try:
        return _sec_decoder.decode(envelope.sec)
    except (msgspec.DecodeError, RecursionError) as error:
        raise SealingFailed("the security header is malformed") from error


def _open_original(frame: Data, val: str, private: X25519PrivateKey) -> bytes:
    ephemeral = _from_url_safe(val)
    if len(ephemeral) != _KEY_BYTES + _NONCE_BYTES:
        raise ValueError("not a public key and a nonce")
    key = derived_key(private, ephemeral[:_KEY_BYTES], b"naylence-sealed-envelope")
    ciphertext = _from_url_safe(_text_decoder.decode(frame.payload))
    opened = ChaCha20Poly1305(key).decrypt(ephemeral[_KEY_BYTES:], ciphertext, None)
    return bytes(_opened_decoder.decode(opened).payload)


def _from_url_safe(text: str) -> bytes:
    return base64.b64decode(text.encode("ascii").translate(_URL_SAFE), validate=True)


def _public_key_of(jwk: Mapping[str, Any]) -> tuple[X25519PublicKey, str]:
    x, kid = jwk.get("x"), jwk.get("kid")
    fits = jwk.get("kty") == "OKP" and jwk.get("crv") == "X25519" and jwk.get("use", "enc") == "enc"
    if not fits or not isinstance(x, str) or not isinstance(kid, str):
        raise SealingFailed("the destination's key isn't one to seal to")
    try:
        return X25519PublicKey.from_public_bytes(from_base64(x)), kid
    except ValueError as error:
        raise SealingFailed("the destination's key is malformed") from error


def _bound_to(envelope: Envelope) -> bytes:
    """Return what a sealed payload is bound to, besides its keys: it opens with nothing else.

    HPKE's `info`, not its associated data: with one message to a context both bind alike (RFC 9180, 8.1), and the
    library gives `info` alone.
    """
    return b"\x1f".join((SEALED.encode(), signed_headers(envelope).encode()))
