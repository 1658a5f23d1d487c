"""The gate of profile ``strict-overlay``: keys need certificates, and the payloads of calls are sealed end to end.

A sentinel routes what it can't read; it sees who calls whom, when, and how much. What asks a sentinel itself
(``__sys__``) and refusals travel in the clear, signed as everything is.
"""

from collections.abc import Callable

import msgspec
from cryptography.x509 import Certificate

from fame_cli.core.envelope import Envelope
from fame_cli.core.frames import Data, KeyAnnounce
from fame_cli.core.gate import Refusal, Verdict
from fame_cli.core.link import Link
from fame_cli.security.certificates import CertificateRefused, validate_x5c
from fame_cli.security.jwk import Jwk
from fame_cli.security.keyring import Key
from fame_cli.security.overlay import KeyGate, Means
from fame_cli.security.sealing import SealingFailed, open_sealed, seal
from fame_cli.security.signing import CLEAR, security_of

__all__ = ["StrictGate"]


class StrictGate(KeyGate):
    """Hold every key to its certificate, and every payload to its seal.

    Args:
        means: as of `KeyGate`.
        certify: returns the certificates of this node's key at a path, DER in base64, leaf first.
        anchors: authorities whose certificates are believed.
        seals: False to take and send payloads in the clear besides.
    """

    certifies = True

    def __init__(
        self,
        means: Means,
        *,
        certify: Callable[[str], list[str]],
        anchors: tuple[Certificate, ...],
        seals: bool = True,
    ) -> None:
        self._certify = certify
        self._anchors = anchors
        super().__init__(means)
        self._ring.certified = self._is_certified
        self.seals = seals

    def moved(self, path: str) -> None:
        """Get a certificate for where this node is now."""
        self._chain = self._certify(path) if path else []
        super().moved(path)

    def _is_certified(self, jwk: Jwk, path: str) -> bool:
        chain = jwk.get("x5c")
        if not isinstance(chain, list):
            return False
        try:
            validate_x5c(chain, jwk, path, self._anchors, self._clock())
        except CertificateRefused:
            return False
        return True

    def _is_believed(self, key: Key, link: Link, envelope: Envelope) -> Verdict:
        """Ask for a certificate; the neighbour's own comes by KeyAnnounce, once it knows its path."""
        if key.is_certified or (isinstance(envelope.frame, KeyAnnounce) and self._joined.get(link) is not None):
            return None
        return Refusal("CERTIFICATE_REQUIRED", "its key has no certificate that is good here")

    def seal(self, envelope: Envelope, path: str) -> Envelope | Refusal:
        """Seal to the key of the node at a path, which has been told and proved before."""
        recipient = self._ring.encryption_at(path)
        if recipient is None:
            return Refusal("CRYPTO_LEVEL", f"nobody told the key of {path}")
        try:
            return seal(envelope, recipient)
        except SealingFailed as error:
            return Refusal("CRYPTO_LEVEL", str(error))

    def open(self, envelope: Envelope, *, sealed: bool) -> Envelope | Refusal:
        """Open what is sealed for this node; what should have been and isn't is refused."""
        frame = envelope.frame
        assert isinstance(frame, Data)
        if security_of(envelope).level == CLEAR:
            return Refusal("CRYPTO_LEVEL", "its payload isn't sealed") if sealed and self.seals else envelope
        try:
            opened = open_sealed(envelope, self._keys.encryption)
        except SealingFailed as error:
            return Refusal("CRYPTO_LEVEL", str(error))
        return msgspec.structs.replace(
            envelope, frame=msgspec.structs.replace(frame, payload=msgspec.Raw(opened), codec=None)
        )
