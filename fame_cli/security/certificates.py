"""The check of a certificate that came with a node's key (``x5c``), and what a node's certificate looks like.

A certificate binds a signing key to the place of a node: its one URI is ``spiffe://naylence.fame/nodes/<sid>``. What it
looks like is Naylence's, so that its nodes can read ours and we theirs. Whether it counts is decided here:
`validate_x5c` walks the path from the leaf to one of *our* anchors and looks at every certificate on it.

``cryptography.x509.verification`` can't be asked: it knows the Web PKI's algorithms only and refuses every Ed25519 key,
whatever the extension policies say. So the path is checked by RFC 5280, 6.1, cut down to what a fabric needs: Ed25519
throughout, `MAX_CHAIN` certificates in order, no policies, of name constraints only those that don't touch a node's
name, and no critical extension that isn't looked at. Signatures and names of issuers are compared by
`Certificate.verify_directly_issued_by`.

No files and no clock: `now` is in seconds since the epoch.
"""

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from fame_cli.core.ids import sid_of
from fame_cli.errors import FameError
from fame_cli.security.jwk import to_base64

__all__ = [
    "LOGICALS",
    "MAX_CHAIN",
    "NODE_ID",
    "SID",
    "UNREADABLE",
    "CertificateRefused",
    "NodeName",
    "anchors_in",
    "chain_to_x5c",
    "moment",
    "node_named_in",
    "node_uri",
    "validate_x5c",
]

MAX_CHAIN = 3
"""Certificates in an ``x5c``, the leaf among them, the anchor not."""

MAX_CERTIFICATE_BYTES = 4096
"""DER bytes of one certificate of an ``x5c``; ours have 500."""

_URI = "spiffe://naylence.fame/nodes/"

SID = x509.ObjectIdentifier("1.3.6.1.4.1.58530.1")
LOGICALS = x509.ObjectIdentifier("1.3.6.1.4.1.58530.2")
NODE_ID = x509.ObjectIdentifier("1.3.6.1.4.1.58530.4")
"""Naylence's extensions, all raw bytes instead of DER: digest of the path, JSON list of domains, id."""

UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)
"""What `cryptography` raises, here and there, over bytes that aren't a certificate or have a part it doesn't know."""

_CRITICAL_OF_LEAF = (x509.BasicConstraints, x509.KeyUsage, x509.ExtendedKeyUsage, x509.SubjectAlternativeName)
_CRITICAL_OF_AUTHORITY = (x509.BasicConstraints, x509.KeyUsage, x509.ExtendedKeyUsage, x509.NameConstraints)

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


class CertificateRefused(FameError):
    """Say why a certificate, or a request for one, doesn't count; safe to tell the other side."""

    exit_code = 4
    wire_code = "CERTIFICATE_REFUSED"


class NodeName(NamedTuple):
    """Hold whom a certificate names: id of the node, "" if it has none, and digest of its path."""

    node_id: str
    sid: str


def node_uri(path: str) -> str:
    """Return the URI that a certificate has for the node at a physical path."""
    return _URI + sid_of(path)


# --- reading ---------------------------------------------------------------------------------------------------------


def anchors_in(pem: bytes) -> tuple[x509.Certificate, ...]:
    """Read the authorities to trust: one or more certificates in PEM.

    Raises:
        CertificateRefused: there is none, or one can't be read or isn't Ed25519.
    """
    try:
        found = x509.load_pem_x509_certificates(pem)
    except UNREADABLE as error:
        raise CertificateRefused("no PEM certificate of an authority") from error
    return tuple(_read(each.public_bytes(Encoding.DER)) for each in found)


def chain_to_x5c(chain_pem: str) -> list[str]:
    """Turn a chain in PEM into the member ``x5c`` of a JWK: base64 of DER, leaf first."""
    certificates = x509.load_pem_x509_certificates(chain_pem.encode())
    return [base64.b64encode(each.public_bytes(Encoding.DER)).decode() for each in certificates]


def node_named_in(der: bytes) -> NodeName:
    """Tell whom a certificate names that somebody has verified already, such as TLS a dialler's.

    Raises:
        CertificateRefused: it names no node, or two.
    """
    leaf = _read(der)
    found = _extension(leaf, x509.UnrecognizedExtension, NODE_ID)
    return NodeName(found.value.decode("utf-8", "replace") if found else "", _sid_in(leaf))


def moment(now: float) -> datetime:
    """Return seconds since the epoch as certificates count time."""
    return datetime.fromtimestamp(now, UTC)


def _read(der: bytes) -> x509.Certificate:
    """Read one certificate so far that nothing in it can fail later."""
    if len(der) > MAX_CERTIFICATE_BYTES:
        raise CertificateRefused("a certificate is too large")
    try:
        certificate = x509.load_der_x509_certificate(der)
        version, public, _ = certificate.version, certificate.public_key(), list(certificate.extensions)
    except (*UNREADABLE, x509.InvalidVersion) as error:
        raise CertificateRefused("a certificate can't be read") from error
    if version is not x509.Version.v3 or not isinstance(public, Ed25519PublicKey):
        raise CertificateRefused("a certificate isn't version 3 with an Ed25519 key")
    return certificate


def _extension(
    certificate: x509.Certificate, kind: type[_Extension], oid: x509.ObjectIdentifier | None = None
) -> _Extension | None:
    for extension in certificate.extensions:
        if isinstance(extension.value, kind) and (oid is None or extension.oid == oid):
            return extension.value
    return None


def _sid_in(leaf: x509.Certificate) -> str:
    """Return the digest in the one URI of a certificate."""
    names = _extension(leaf, x509.SubjectAlternativeName)
    uris = names.get_values_for_type(x509.UniformResourceIdentifier) if names else []
    if len(uris) != 1 or not uris[0].startswith(_URI):
        raise CertificateRefused("the certificate doesn't name one node")
    return uris[0].removeprefix(_URI)


# --- the check -------------------------------------------------------------------------------------------------------


def validate_x5c(
    x5c: Sequence[str], jwk: Mapping[str, Any], path: str, anchors: Sequence[x509.Certificate], now: float
) -> None:
    """Check that a chain proves a signing key to be that of the node at a path.

    Args:
        x5c: member of a JWK (RFC 7517, 4.7) as it came, leaf first.
        jwk: the key it came with.
        path: physical path the key was told for.
        anchors: the authorities of this node; nothing of the chain is ever trusted for itself.
        now: seconds since the epoch.

    Raises:
        CertificateRefused: the chain is malformed or too long; a certificate is out of its time, has an unknown
            critical extension or may not do what it does here; the leaf is of another key or node; no anchor issued it.
    """
    leaf, *above = _chain(x5c)
    _check_leaf(leaf, jwk, path, now)
    last = leaf
    for depth, issuer in enumerate(above):
        if not _is_issued_by(last, issuer):
            raise CertificateRefused("the chain is broken")
        _check_authority(issuer, leaf, depth, now)
        last = issuer
    refusal = CertificateRefused("no authority trusted here has issued the certificate")
    for anchor in (each for each in anchors if _is_issued_by(last, each)):
        try:
            return _check_authority(anchor, leaf, len(above), now)
        except CertificateRefused as found:
            refusal = found  # another anchor may have the same name and key, and still be valid
    raise refusal


def _chain(x5c: Sequence[str]) -> list[x509.Certificate]:
    if not isinstance(x5c, list | tuple) or not 1 <= len(x5c) <= MAX_CHAIN:
        raise CertificateRefused(f"x5c isn't a list of 1 to {MAX_CHAIN} certificates")
    try:
        return [_read(base64.b64decode(each, validate=True)) for each in x5c]
    except (TypeError, ValueError) as error:
        raise CertificateRefused("x5c isn't base64") from error


def _check_leaf(leaf: x509.Certificate, jwk: Mapping[str, Any], path: str, now: float) -> None:
    public = leaf.public_key()
    own = to_base64(public.public_bytes(Encoding.Raw, PublicFormat.Raw))
    if jwk.get("kty") != "OKP" or jwk.get("crv") != "Ed25519" or jwk.get("x") != own:
        raise CertificateRefused("the certificate is of another key")
    sid = _extension(leaf, x509.UnrecognizedExtension, SID)
    if _sid_in(leaf) != sid_of(path) or (sid is not None and sid.value != sid_of(path).encode()):
        raise CertificateRefused("the certificate is of another node")
    limits, usage = _extension(leaf, x509.BasicConstraints), _extension(leaf, x509.KeyUsage)
    if (limits is not None and limits.ca) or usage is None or usage.key_cert_sign or not usage.digital_signature:
        raise CertificateRefused("the certificate isn't one of a node that signs")
    _check_common(leaf, _CRITICAL_OF_LEAF, now, needs_use=True)


def _check_authority(certificate: x509.Certificate, leaf: x509.Certificate, depth: int, now: float) -> None:
    """Check that a certificate may issue others, with `depth` authorities below it and then the leaf."""
    limits, usage = _extension(certificate, x509.BasicConstraints), _extension(certificate, x509.KeyUsage)
    if limits is None or not limits.ca or usage is None or not usage.key_cert_sign:
        raise CertificateRefused("the certificate's issuer isn't an authority")
    if limits.path_length is not None and depth > limits.path_length:
        raise CertificateRefused("the chain is longer than its authority allows")
    _check_common(certificate, _CRITICAL_OF_AUTHORITY, now, needs_use=False)
    constraints = _extension(certificate, x509.NameConstraints)
    if constraints is not None and not _leaves_alone(constraints, leaf):
        raise CertificateRefused("the certificate's issuer is limited to names that aren't compared here")


def _leaves_alone(constraints: x509.NameConstraints, leaf: x509.Certificate) -> bool:
    """Tell whether name constraints say nothing about a leaf.

    A limit on DNS names is none on a URI (RFC 5280, 4.2.1.10). Naylence's intermediates have one: their fabric's.
    """
    names = _extension(leaf, x509.SubjectAlternativeName)
    listed = [*(constraints.permitted_subtrees or ()), *(constraints.excluded_subtrees or ())]
    return all(isinstance(each, x509.DNSName) for each in listed) and not (
        names and names.get_values_for_type(x509.DNSName)
    )


def _check_common(
    certificate: x509.Certificate, known: tuple[type[x509.ExtensionType], ...], now: float, *, needs_use: bool
) -> None:
    if not certificate.not_valid_before_utc <= moment(now) <= certificate.not_valid_after_utc:
        raise CertificateRefused("a certificate of the chain has expired or isn't valid yet")
    if any(each.critical and not isinstance(each.value, known) for each in certificate.extensions):
        raise CertificateRefused("a certificate has a critical extension that isn't known here")
    uses = _extension(certificate, x509.ExtendedKeyUsage)
    if needs_use if uses is None else ExtendedKeyUsageOID.CLIENT_AUTH not in uses:
        raise CertificateRefused("a certificate isn't for clients")


def _is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (*UNREADABLE, InvalidSignature):
        return False
    wanted = _extension(certificate, x509.AuthorityKeyIdentifier)
    own = _extension(issuer, x509.SubjectKeyIdentifier)
    return wanted is None or own is None or wanted.key_identifier in (None, own.key_identifier)
