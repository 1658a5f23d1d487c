"""Ed25519 signatures of envelopes, as the original makes them (security.md 5.1, 5.4, 5.5): by whom an envelope is of.

Whoever passes it on leaves the signature alone. 20 µs to sign, 60 to verify; what is around them takes 10 (measured
with a payload of 200 bytes).
"""

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from fame_cli.core.envelope import Envelope
from fame_cli.core.frames import Data
from fame_cli.security.canonical import frame_digest, payload_digest, signed_bytes
from fame_cli.security.jwk import from_base64, to_base64

__all__ = ["Security", "Signature", "Signer", "check", "security_of", "verify_bytes"]


class Signature(msgspec.Struct, frozen=True):
    """Hold `sec.sig`: which key, and 64 bytes in base64url without padding; an `alg` beside them is passed over."""

    kid: str
    val: str


class Security(msgspec.Struct, frozen=True, omit_defaults=True):
    """Hold `sec` of an envelope: the signature, and how the payload is encrypted (raw JSON)."""

    sig: Signature | None = None
    enc: msgspec.Raw = msgspec.Raw()


_decoder = msgspec.json.Decoder(Security)
_NONE = Security()


def security_of(envelope: Envelope) -> Security:
    """Read `sec`; what can't be read counts as absent, so that it is refused for that."""
    if not envelope.sec:
        return _NONE
    try:
        return _decoder.decode(envelope.sec)
    except (msgspec.DecodeError, RecursionError):
        return _NONE


class Signer:
    """Sign what one node originates.

    Args:
        key: its signing key.
        kid: the key's id.
    """

    def __init__(self, key: Ed25519PrivateKey, kid: str) -> None:
        self.kid = kid
        self._sign = key.sign
        self._head = f'{{"sig":{{"kid":"{kid}","val":"'

    def sign(self, envelope: Envelope) -> Envelope:
        """Return an envelope with its signature, and the digest of its payload; `sid` must be set.

        Raises:
            RemoteProtocolError: the payload has no canonical form.
        """
        frame = envelope.frame
        if isinstance(frame, Data):
            digest = payload_digest(frame.payload)
            frame = msgspec.structs.replace(frame, pd=digest)
        else:
            digest = frame_digest(frame)
        signature = to_base64(self._sign(signed_bytes(envelope, envelope.sid or "", digest)))
        return msgspec.structs.replace(envelope, frame=frame, sec=msgspec.Raw(f'{self._head}{signature}"}}}}'.encode()))

    def sign_bytes(self, data: bytes) -> str:
        """Sign anything else; base64url."""
        return to_base64(self._sign(data))


def verify_bytes(public: Ed25519PublicKey, signature: str, data: bytes) -> bool:
    """Tell whether a signature in base64url holds."""
    try:
        public.verify(from_base64(signature), data)
    except (InvalidSignature, ValueError):
        return False
    return True


def check(envelope: Envelope, public: Ed25519PublicKey, *, plaintext: bool = True) -> str:
    """Say what is wrong with a signed envelope; "" when nothing is.

    Args:
        public: the signer's key; that it belongs to `envelope.sid` is for the caller to know.
        plaintext: False where the payload can't be read: then it isn't compared with its digest.

    Raises:
        RemoteProtocolError: what it holds has no canonical form.
    """
    signature = security_of(envelope).sig
    if signature is None or envelope.sid is None:
        return "it isn't signed"
    frame = envelope.frame
    if isinstance(frame, Data):
        if plaintext and frame.pd != payload_digest(frame.payload):
            return "the payload isn't what was signed"
        digest = frame.pd or ""
    else:
        digest = frame_digest(frame)
    data = signed_bytes(envelope, envelope.sid, digest)
    return "" if verify_bytes(public, signature.val, data) else "the signature doesn't hold"
