"""Authorities and certificates for tests of TLS, made on the spot."""

import contextlib
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from fame_cli.security.settings import Tls

__all__ = ["EC", "ED25519", "Authority", "der_of"]

Key = Ed25519PrivateKey | ec.EllipticCurvePrivateKey
EC, ED25519 = "EC", "Ed25519"


class Authority:
    """Issue certificates into a folder.

    Args:
        folder: for all files.
        name: of the authority, and of its file.
        kind: of its key and of all it issues.
    """

    def __init__(self, folder: Path, name: str = "ca", kind: str = ED25519) -> None:
        self.folder = folder
        self.kind = kind
        self.file = folder / f"{name}.pem"
        self._key = self._new_key()
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(self._name, self._key, timedelta(hours=-1), timedelta(days=2))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.file.write_bytes(self._signed(builder).public_bytes(Encoding.PEM))

    def issue(
        self,
        name: str,
        *,
        hosts: tuple[str, ...] = ("localhost", "127.0.0.1"),
        begins: timedelta = timedelta(hours=-1),
        ends: timedelta = timedelta(days=1),
        clients: str = "none",
        password: bytes = b"",
    ) -> Tls:
        """Write a certificate, its key (0600) and return what names them; times are from now."""
        key = self._new_key()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(subject, key, begins, ends)
        names = x509.SubjectAlternativeName([_name_of(host) for host in hosts])
        certificate = self._signed(builder.add_extension(names, critical=False))
        tls = Tls(self.folder / f"{name}.pem", self.folder / f"{name}.key", self.file, clients)
        assert tls.certificate is not None
        assert tls.key is not None
        tls.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
        locked: KeySerializationEncryption = BestAvailableEncryption(password) if password else NoEncryption()
        tls.key.touch(0o600)
        tls.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))
        return tls

    def _new_key(self) -> Key:
        return ec.generate_private_key(ec.SECP256R1()) if self.kind == EC else Ed25519PrivateKey.generate()

    def _builder(self, subject: x509.Name, key: Key, begins: timedelta, ends: timedelta) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins)
            .not_valid_after(now + ends)
        )

    def _signed(self, builder: x509.CertificateBuilder) -> x509.Certificate:
        return builder.sign(self._key, hashes.SHA256() if self.kind == EC else None)


def _name_of(host: str) -> x509.GeneralName:
    with contextlib.suppress(ValueError):
        return x509.IPAddress(ip_address(host))
    return x509.DNSName(host)


def der_of(tls: Tls) -> bytes:
    """Return the certificate of a node as TLS shows it."""
    assert tls.certificate is not None
    return x509.load_pem_x509_certificate(tls.certificate.read_bytes()).public_bytes(Encoding.DER)
