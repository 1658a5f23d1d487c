"""A fabric's own authority: it issues the certificates that `certificates.validate_x5c` checks.

It signs what it is told to, for a key whose holder has shown that it holds it: by a request (CSR) with its signature,
or because the caller has the private key itself. What a certificate says is always the caller's decision, never the
request's. A leaf looks as Naylence's do, with more said: that it is no authority, and whose key issued it.

No files and no clock: PEM in and out, and `now` in seconds since the epoch.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fame_cli.core.ids import sid_of
from fame_cli.security.certificates import (
    LOGICALS,
    NODE_ID,
    SID,
    UNREADABLE,
    CertificateRefused,
    moment,
    node_uri,
)

__all__ = ["DEFAULT_TTL_S", "CertificateAuthority", "ServerNames", "private_pem", "request_for"]

DEFAULT_TTL_S = 86_400.0
"""Life of a node's certificate: a day, as Naylence's. There is no revocation list; short lives take its place."""

AUTHORITY_TTL_S = 10 * 365 * 86_400.0
"""Life of an authority's own certificate."""

_EARLIER = timedelta(seconds=60)
"""How long before now a certificate begins, for clocks that are behind ours."""


@dataclass(slots=True, frozen=True)
class ServerNames:
    """Hold under what a node's listener is reached by TLS: names and addresses; empty for a node that only dials."""

    dns: tuple[str, ...] = ()
    addresses: tuple[IPv4Address | IPv6Address, ...] = ()


class CertificateAuthority:
    """Hold an authority's certificate and its private key, and issue certificates of nodes."""

    def __init__(self, certificate: x509.Certificate, key: Ed25519PrivateKey) -> None:
        self.certificate = certificate
        self._key = key

    @classmethod
    def create(cls, name: str, now: float, ttl_s: float = AUTHORITY_TTL_S) -> "CertificateAuthority":
        """Make a new authority.

        Args:
            name: of the fabric, at most 60 characters.
            now: seconds since the epoch.
            ttl_s: seconds, > 0.
        """
        key = Ed25519PrivateKey.generate()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} CA"[:64])])
        usage = _usage(key_cert_sign=True, crl_sign=True)
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        certificate = (
            _begun(subject, subject, key.public_key(), now, ttl_s)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(identifier, critical=False)
            .sign(key, None)
        )
        return cls(certificate, key)

    @classmethod
    def load(cls, certificate_pem: bytes, key_pem: bytes) -> "CertificateAuthority":
        """Read an authority from its two files.

        Raises:
            CertificateRefused: they aren't an Ed25519 authority, or don't belong together.
        """
        try:
            certificate = x509.load_pem_x509_certificate(certificate_pem)
            key = load_pem_private_key(key_pem, None)
            public = certificate.public_key()
        except UNREADABLE as error:
            raise CertificateRefused("the authority's files can't be read") from error
        if not isinstance(key, Ed25519PrivateKey) or public != key.public_key():
            raise CertificateRefused("the authority's key isn't the one of its certificate")
        return cls(certificate, key)

    @property
    def name(self) -> str:
        """The name in its certificate."""
        return self.certificate.subject.rfc4514_string()

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of its certificate, as others print it: hexadecimal, in pairs."""
        return self.certificate.fingerprint(SHA256()).hex(":").upper()

    @property
    def certificate_pem(self) -> str:
        """The authority's certificate, which everybody may have."""
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def key_pem(self) -> bytes:
        """The authority's private key (PKCS 8), for its file alone."""
        return private_pem(self._key)

    def issue(
        self,
        node_id: str,
        path: str,
        public: Ed25519PublicKey,
        now: float,
        ttl_s: float = DEFAULT_TTL_S,
        names: ServerNames = ServerNames(),
        logicals: Sequence[str] = (),
    ) -> str:
        """Issue a node's certificate for a key that the caller knows to be the node's.

        Args:
            node_id: last part of `path`.
            path: physical path of the node.
            public: its signing key, the one in its JWK.
            now: seconds since the epoch.
            ttl_s: seconds, > 0; cut where the authority itself ends.
            names: what a TLS listener of it is called.
            logicals: domains that Naylence nodes read as the node's.

        Returns:
            The chain as PEM, leaf first, without the authority.

        Raises:
            CertificateRefused: `path` isn't the node's, a name can't be in a certificate, or the authority has ended.
        """
        if path.rpartition("/")[2] != node_id:
            raise CertificateRefused(f"{path} isn't a path of {node_id}", hint=f"a node's path ends in /{node_id}")
        if moment(now) >= self.certificate.not_valid_after_utc:
            raise CertificateRefused("the authority's own certificate has expired", hint="make a new one: fame ca init")
        left_s = (self.certificate.not_valid_after_utc - moment(now)).total_seconds()
        builder = _begun(x509.Name([]), self.certificate.subject, public, now, min(ttl_s, left_s))
        for extension, is_critical in self._extensions(node_id, path, public, names, logicals):
            builder = builder.add_extension(extension, is_critical)
        return builder.sign(self._key, None).public_bytes(Encoding.PEM).decode()

    def answer(
        self,
        request_pem: bytes,
        node_id: str,
        path: str,
        now: float,
        ttl_s: float = DEFAULT_TTL_S,
        names: ServerNames = ServerNames(),
        logicals: Sequence[str] = (),
    ) -> str:
        """Issue a certificate for the key of a request (CSR), whose signature shows that the asker holds it.

        Nothing but the key is taken from the request: what the certificate says is the caller's decision.

        Raises:
            CertificateRefused: the request can't be read, isn't signed by its own key, or see `issue`.
        """
        try:
            request = x509.load_pem_x509_csr(request_pem)
            public, is_own = request.public_key(), request.is_signature_valid
        except UNREADABLE as error:
            raise CertificateRefused("the request isn't a PEM certificate request") from error
        if not isinstance(public, Ed25519PublicKey):
            raise CertificateRefused("the request's key isn't Ed25519")
        if not is_own:
            raise CertificateRefused("the request isn't signed by the key it asks for")
        return self.issue(node_id, path, public, now, ttl_s, names, logicals)

    def _extensions(
        self, node_id: str, path: str, public: Ed25519PublicKey, names: ServerNames, logicals: Sequence[str]
    ) -> list[tuple[x509.ExtensionType, bool]]:
        """Return what a leaf says, each with whether a reader must understand it."""
        uses = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        found: list[tuple[x509.ExtensionType, bool]] = [
            (_alternative_names(path, names), True),  # critical, for the subject is empty (RFC 5280, 4.2.1.6)
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_usage(digital_signature=True), True),
            (x509.ExtendedKeyUsage(uses), True),
            (x509.SubjectKeyIdentifier.from_public_key(public), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), False),
            (x509.UnrecognizedExtension(SID, sid_of(path).encode()), False),
            (x509.UnrecognizedExtension(NODE_ID, node_id.encode()), False),
        ]
        if logicals:
            listed = json.dumps(list(logicals)).encode()
            found.append((x509.UnrecognizedExtension(LOGICALS, listed), False))
        return found


def request_for(key: Ed25519PrivateKey) -> bytes:
    """Make a request (CSR, PEM) that shows an authority that this key is held; it asks for nothing else."""
    return (
        x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, None).public_bytes(Encoding.PEM)
    )


def private_pem(key: Ed25519PrivateKey) -> bytes:
    """Write a private key as PKCS 8, unencrypted: for a file that its owner alone may read."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _begun(
    subject: x509.Name, issuer: x509.Name, public: Ed25519PublicKey, now: float, ttl_s: float
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment(now) - _EARLIER)
        .not_valid_after(moment(now) + timedelta(seconds=ttl_s))
    )


def _alternative_names(path: str, names: ServerNames) -> x509.SubjectAlternativeName:
    try:
        listed = [
            x509.UniformResourceIdentifier(node_uri(path)),
            *(x509.DNSName(name) for name in names.dns),
            *(x509.IPAddress(address) for address in names.addresses),
        ]
        return x509.SubjectAlternativeName(listed)
    except ValueError as error:
        raise CertificateRefused(
            "a name of the listener can't be in a certificate", hint="use its ASCII form"
        ) from error


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )
