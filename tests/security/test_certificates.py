"""Certificates: what the authority issues, and which chains prove a key to be a node's, each way in shut on its own."""

import base64
import json
import ssl
import time
from collections.abc import Callable
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from fame_cli.core.ids import sid_of
from fame_cli.security.certificates import (
    SID,
    CertificateRefused,
    NodeName,
    anchors_in,
    chain_to_x5c,
    moment,
    node_named_in,
    node_uri,
    validate_x5c,
)
from fame_cli.security.issuing import CertificateAuthority, ServerNames, private_pem, request_for

NOW = 1_795_500_000.0
PATH = "/s1/math1"
AUTHORITY = CertificateAuthority.create("test.fabric", NOW - 86_400)
ANCHORS = (AUTHORITY.certificate,)
KEY = Ed25519PrivateKey.generate()


def jwk_of(key: Ed25519PrivateKey) -> dict[str, Any]:
    x = base64.urlsafe_b64encode(key.public_key().public_bytes_raw()).rstrip(b"=").decode()
    return {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "k", "alg": "EdDSA", "use": "sig"}


def issued(**changes: Any) -> list[str]:
    given = {"node_id": "math1", "path": PATH, "public": KEY.public_key(), "now": NOW} | changes
    return chain_to_x5c(AUTHORITY.issue(**given))


GOOD = issued()


def check(x5c: Any, key: Ed25519PrivateKey = KEY, path: str = PATH, now: float = NOW, anchors: Any = ANCHORS) -> None:
    validate_x5c(x5c, jwk_of(key), path, anchors, now)


def refused(x5c: Any, **changes: Any) -> str:
    with pytest.raises(CertificateRefused) as caught:
        check(x5c, **changes)
    return caught.value.message


def named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


USAGE = {
    "digital_signature": False,
    "content_commitment": False,
    "key_encipherment": False,
    "data_encipherment": False,
    "key_agreement": False,
    "key_cert_sign": False,
    "crl_sign": False,
    "encipher_only": False,
    "decipher_only": False,
}
URI = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(node_uri(PATH))])
SIGNS = x509.KeyUsage(**USAGE | {"digital_signature": True})
ISSUES = x509.KeyUsage(**USAGE | {"key_cert_sign": True})
CLIENT = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
Extensions = dict[x509.ExtensionType, bool]


def leaf_extensions() -> Extensions:
    """Return what Naylence's leaves say, each with whether it is critical."""
    return {URI: False, SIGNS: True, CLIENT: True}


def authority_extensions(path_length: int | None = 0) -> Extensions:
    return {x509.BasicConstraints(True, path_length): True, ISSUES: True}


def certificate(
    extensions: Extensions,
    *,
    issuer: str,
    by: Any,
    key: Any = KEY,
    subject: str = "",
    begins_s: float = -3600,
    ends_s: float = 3600,
    serial: int | None = None,
) -> x509.Certificate:
    """Sign any certificate, wrong ones above all."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(named(subject) if subject else x509.Name([]))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(moment(NOW) + timedelta(seconds=begins_s))
        .not_valid_after(moment(NOW) + timedelta(seconds=ends_s))
    )
    for extension, is_critical in extensions.items():
        builder = builder.add_extension(extension, is_critical)
    return builder.sign(by, None if isinstance(by, Ed25519PrivateKey) else SHA256())


def x5c_of(*certificates: x509.Certificate) -> list[str]:
    return [base64.b64encode(each.public_bytes(Encoding.DER)).decode() for each in certificates]


ROOT_KEY, MIDDLE_KEY = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
ROOT = certificate(authority_extensions(1), issuer="root", subject="root", by=ROOT_KEY, key=ROOT_KEY)


def middle(extensions: Extensions | None = None, **changes: Any) -> x509.Certificate:
    given = {"issuer": "root", "subject": "middle", "by": ROOT_KEY, "key": MIDDLE_KEY} | changes
    return certificate(authority_extensions() if extensions is None else extensions, **given)


def leaf(extensions: Extensions | None = None, **changes: Any) -> x509.Certificate:
    given = {"issuer": "root", "by": ROOT_KEY} | changes
    return certificate(leaf_extensions() if extensions is None else extensions, **given)


def refused_by_root(*chain: x509.Certificate) -> str:
    return refused(x5c_of(*chain), anchors=(ROOT,))


# --- what the authority issues ---------------------------------------------------------------------------------------


def test_a_certificate_of_the_authority_proves_the_key_of_its_node() -> None:
    check(issued())


def test_a_certificate_says_what_naylence_reads_in_it() -> None:
    found = x509.load_der_x509_certificate(base64.b64decode(issued(logicals=["fame.fabric"])[0]))
    raw = {
        each.oid.dotted_string: each.value.value
        for each in found.extensions
        if isinstance(each.value, x509.UnrecognizedExtension)
    }
    assert raw == {
        "1.3.6.1.4.1.58530.1": sid_of(PATH).encode(),
        "1.3.6.1.4.1.58530.4": b"math1",
        "1.3.6.1.4.1.58530.2": b'["fame.fabric"]',
    }
    assert list(found.subject) == []
    assert node_named_in(found.public_bytes(Encoding.DER)) == NodeName("math1", sid_of(PATH))


def test_a_certificate_ends_with_its_life_and_never_after_its_authority() -> None:
    found = x509.load_der_x509_certificate(base64.b64decode(issued(ttl_s=60)[0]))
    assert found.not_valid_after_utc == moment(NOW + 60)
    short = CertificateAuthority.create("short", NOW, ttl_s=100)
    chain = chain_to_x5c(short.issue("math1", PATH, KEY.public_key(), NOW))
    assert x509.load_der_x509_certificate(base64.b64decode(chain[0])).not_valid_after_utc == moment(NOW + 100)
    with pytest.raises(CertificateRefused, match="has expired; make a new one: fame ca init"):
        short.issue("math1", PATH, KEY.public_key(), NOW + 100)


def test_the_authority_issues_nothing_for_a_path_that_is_not_the_nodes() -> None:
    with pytest.raises(CertificateRefused, match="/s1/math1 isn't a path of math2"):
        AUTHORITY.issue("math2", PATH, KEY.public_key(), NOW)


def test_a_request_is_answered_for_its_key_and_for_nothing_else_it_asks() -> None:
    other = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(node_uri("/s1"))])
    request = x509.CertificateSigningRequestBuilder().subject_name(named("s1")).add_extension(other, False)
    chain = AUTHORITY.answer(request.sign(KEY, None).public_bytes(Encoding.PEM), "math1", PATH, NOW)
    check(chain_to_x5c(chain))


def test_a_request_that_its_own_key_has_not_signed_is_refused() -> None:
    der = bytearray(x509.load_pem_x509_csr(request_for(KEY)).public_bytes(Encoding.DER))
    stranger = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    own = KEY.public_key().public_bytes_raw()
    at = bytes(der).index(own)
    der[at : at + 32] = stranger
    pem = x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM)
    with pytest.raises(CertificateRefused, match="isn't signed by the key it asks for"):
        AUTHORITY.answer(pem, "math1", PATH, NOW)


@pytest.mark.parametrize("text", [b"", b"no request", AUTHORITY.certificate_pem.encode()])
def test_what_is_no_request_is_refused(text: bytes) -> None:
    with pytest.raises(CertificateRefused, match="isn't a PEM certificate request"):
        AUTHORITY.answer(text, "math1", PATH, NOW)


def test_a_request_for_a_key_of_another_kind_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, SHA256())
    with pytest.raises(CertificateRefused, match="isn't Ed25519"):
        AUTHORITY.answer(request.public_bytes(Encoding.PEM), "math1", PATH, NOW)


def test_an_authority_comes_back_from_its_files() -> None:
    again = CertificateAuthority.load(AUTHORITY.certificate_pem.encode(), AUTHORITY.key_pem)
    check(chain_to_x5c(again.issue("math1", PATH, KEY.public_key(), NOW)))


def test_files_that_do_not_belong_together_are_no_authority() -> None:
    other = CertificateAuthority.create("other", NOW)
    with pytest.raises(CertificateRefused, match="isn't the one of its certificate"):
        CertificateAuthority.load(AUTHORITY.certificate_pem.encode(), other.key_pem)
    with pytest.raises(CertificateRefused, match="can't be read"):
        CertificateAuthority.load(b"", other.key_pem)


def test_a_name_that_no_certificate_can_hold_is_refused() -> None:
    with pytest.raises(CertificateRefused, match="ASCII"):
        issued(names=ServerNames(dns=("höst.example",)))


# --- what Naylence accepts and this must not (and what both refuse) --------------------------------------------------


def test_a_self_signed_certificate_with_the_serial_of_the_authority_is_refused() -> None:
    forged = leaf(issuer="evil", subject="evil", by=KEY, serial=AUTHORITY.certificate.serial_number)
    assert refused(x5c_of(forged)) == "no authority trusted here has issued the certificate"


def test_a_certificate_that_another_nodes_certificate_issued_is_refused() -> None:
    node = Ed25519PrivateKey.generate()
    above = leaf({SIGNS: True, CLIENT: True, URI: False}, key=node, subject="node")
    below = leaf(issuer="node", by=node)
    assert refused_by_root(below, above) == "the certificate's issuer isn't an authority"


def test_a_certificate_under_an_expired_authority_is_refused() -> None:
    below = leaf(issuer="middle", by=MIDDLE_KEY)
    check(x5c_of(below, middle()), anchors=(ROOT,))
    assert "has expired" in refused_by_root(below, middle(begins_s=-200, ends_s=-100))


def test_a_certificate_of_another_key_than_the_one_it_came_with_is_refused() -> None:
    assert refused(issued(), key=Ed25519PrivateKey.generate()) == "the certificate is of another key"


def test_a_self_signed_certificate_is_refused() -> None:
    assert "no authority trusted here" in refused(x5c_of(leaf(issuer="evil", subject="evil", by=KEY)))


def test_the_right_name_of_an_issuer_with_a_wrong_signature_is_refused() -> None:
    assert "no authority trusted here" in refused_by_root(leaf(by=MIDDLE_KEY))


@pytest.mark.parametrize("now", [NOW + 86_401, NOW - 61])
def test_a_certificate_out_of_its_time_is_refused(now: float) -> None:
    assert "has expired or isn't valid yet" in refused(issued(), now=now)


def test_an_expired_anchor_is_refused_and_its_renewal_is_not() -> None:
    old = certificate(authority_extensions(), issuer="r", subject="r", by=ROOT_KEY, key=ROOT_KEY, ends_s=-1)
    new = certificate(authority_extensions(), issuer="r", subject="r", by=ROOT_KEY, key=ROOT_KEY)
    chain = x5c_of(leaf(issuer="r"))
    assert "has expired" in refused(chain, anchors=(old,))
    check(chain, anchors=(old, new))


def test_without_an_anchor_nothing_counts() -> None:
    assert "no authority trusted here" in refused(issued(), anchors=())


def test_the_authority_itself_is_no_node() -> None:
    root = certificate(
        {**authority_extensions(), URI: False, CLIENT: False}, issuer="root", subject="root", by=KEY, key=KEY
    )
    assert refused(x5c_of(root), anchors=(root,)) == "the certificate isn't one of a node that signs"


# --- the name --------------------------------------------------------------------------------------------------------


def test_a_certificate_of_another_path_is_refused() -> None:
    assert refused(issued(), path="/s2/math1") == "the certificate is of another node"


@pytest.mark.parametrize(
    "names",
    [
        [],
        [x509.DNSName("math1")],
        [x509.UniformResourceIdentifier(node_uri("/x")), x509.UniformResourceIdentifier(node_uri(PATH))],
        [x509.UniformResourceIdentifier(f"spiffe://other.trust/nodes/{sid_of(PATH)}")],
    ],
    ids=["no name", "no URI", "two URIs", "another trust domain"],
)
def test_a_certificate_that_does_not_name_one_node_is_refused(names: list[x509.GeneralName]) -> None:
    listed: Extensions = {x509.SubjectAlternativeName(names): False} if names else {}
    assert "doesn't name one node" in refused_by_root(leaf({**listed, SIGNS: True, CLIENT: True}))


def test_a_certificate_whose_two_names_differ_is_refused() -> None:
    other = x509.UnrecognizedExtension(SID, sid_of("/s1").encode())
    assert "another node" in refused_by_root(leaf({**leaf_extensions(), other: False}))


# --- what it may be used for -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("without", "more", "reason"),
    [
        (CLIENT, {}, "isn't for clients"),
        (CLIENT, {x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]): True}, "isn't for clients"),
        (SIGNS, {}, "isn't one of a node that signs"),
        (SIGNS, {x509.KeyUsage(**USAGE | {"digital_signature": True, "key_cert_sign": True}): True}, "isn't one of a"),
        (None, {x509.BasicConstraints(True, None): True}, "isn't one of a node that signs"),
        (None, {x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"x"): True}, "critical extension"),
    ],
    ids=["no purpose", "servers only", "no usage", "issues", "an authority", "unknown and critical"],
)
def test_a_leaf_that_is_not_for_this_is_refused(
    without: x509.ExtensionType | None, more: Extensions, reason: str
) -> None:
    extensions = leaf_extensions() | more
    if without is not None:
        del extensions[without]
    assert reason in refused_by_root(leaf(extensions))


@pytest.mark.parametrize(
    ("extensions", "reason"),
    [
        ({ISSUES: True}, "isn't an authority"),
        ({x509.BasicConstraints(False, None): True, ISSUES: True}, "isn't an authority"),
        ({x509.BasicConstraints(True, 0): True}, "isn't an authority"),
        ({x509.BasicConstraints(True, 0): True, SIGNS: True}, "isn't an authority"),
        (
            authority_extensions() | {x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]): False},
            "isn't for clients",
        ),
        (authority_extensions() | {x509.PolicyConstraints(0, None): True}, "critical extension"),
    ],
    ids=["no limits", "not an authority", "no usage", "signs only", "for servers only", "unknown and critical"],
)
def test_an_authority_in_between_that_may_not_issue_is_refused(extensions: Extensions, reason: str) -> None:
    assert reason in refused_by_root(leaf(issuer="middle", by=MIDDLE_KEY), middle(extensions))


def limited(*names: x509.GeneralName) -> Extensions:
    return {**authority_extensions(), x509.NameConstraints(list(names), None): True}


def test_an_authority_limited_to_dns_names_may_name_a_node() -> None:
    check(x5c_of(leaf(issuer="middle", by=MIDDLE_KEY), middle(limited(x509.DNSName("fame.fabric")))), anchors=(ROOT,))


def test_an_authority_limited_otherwise_is_refused() -> None:
    below = leaf(issuer="middle", by=MIDDLE_KEY)
    uris = limited(x509.UniformResourceIdentifier("other.trust"))
    assert "limited to names" in refused_by_root(below, middle(uris))
    both = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(node_uri(PATH)), x509.DNSName("evil.example")])
    server = leaf({both: False, SIGNS: True, CLIENT: True}, issuer="middle", by=MIDDLE_KEY)
    assert "limited to names" in refused_by_root(server, middle(limited(x509.DNSName("fame.fabric"))))


def test_a_chain_longer_than_its_authority_allows_is_refused() -> None:
    lower = Ed25519PrivateKey.generate()
    second = middle(issuer="middle", subject="lower", by=MIDDLE_KEY, key=lower)
    below = leaf(issuer="lower", by=lower)
    assert "longer than its authority allows" in refused_by_root(below, second, middle(authority_extensions(1)))


def test_a_chain_with_a_gap_is_refused() -> None:
    assert refused_by_root(leaf(), middle()) == "the chain is broken"


# --- the form --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "x5c",
    [None, "", [], {}, "MIIB", [1], [None], ["!"], [""], ["AAAA"], issued() * 4],
    ids=["null", "text", "empty", "object", "bare", "number", "null in it", "no base64", "blank", "no DER", "too many"],
)
def test_what_is_no_chain_is_refused(x5c: Any) -> None:
    refused(x5c)


@given(data=st.data())
def test_whatever_comes_is_refused_with_one_error(data: st.DataObject) -> None:
    """Certificates with anything changed anywhere, and bytes that never were one."""
    der = bytearray(base64.b64decode(GOOD[0]))
    begin = der.index(x509.load_der_x509_certificate(bytes(der)).tbs_certificate_bytes)
    at = data.draw(st.integers(0, len(der) - 80))  # the signature's own padding may differ harmlessly
    new = data.draw(st.binary(min_size=1, max_size=8))
    if at >= begin and new != der[at : at + len(new)]:
        der[at : at + len(new)] = new
        refused([base64.b64encode(der).decode()])
    refused([base64.b64encode(data.draw(st.binary(max_size=200))).decode()])


def test_a_certificate_with_more_behind_it_is_refused() -> None:
    der = base64.b64decode(issued()[0]) + b"\0"
    assert "can't be read" in refused([base64.b64encode(der).decode()])


def test_a_certificate_too_large_is_refused_unread() -> None:
    assert "too large" in refused([base64.b64encode(bytes(5000)).decode()])


def test_a_certificate_of_another_kind_of_key_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    assert "Ed25519" in refused_by_root(leaf(key=key))
    root = certificate(authority_extensions(), issuer="root", subject="root", by=key, key=key)
    with pytest.raises(CertificateRefused, match="Ed25519"):
        anchors_in(root.public_bytes(Encoding.PEM))


@pytest.mark.parametrize("text", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_file_without_a_certificate_holds_no_anchor(text: bytes) -> None:
    with pytest.raises(CertificateRefused):
        anchors_in(text)


@pytest.mark.parametrize("change", [{"kty": "EC"}, {"crv": "X25519"}, {"x": None}, {"x": ""}])
def test_a_key_that_is_not_the_one_certified_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(CertificateRefused, match="another key"):
        validate_x5c(issued(), jwk_of(KEY) | change, PATH, ANCHORS, NOW)


def test_each_byte_that_a_certificate_says_matters() -> None:
    der = base64.b64decode(issued()[0])
    signed = x509.load_der_x509_certificate(der).tbs_certificate_bytes
    begin = der.index(signed)
    for at in range(begin, begin + len(signed)):
        changed = der[:at] + bytes([der[at] ^ 1]) + der[at + 1 :]
        with pytest.raises(CertificateRefused):
            check([base64.b64encode(changed).decode()])


# --- TLS -------------------------------------------------------------------------------------------------------------


def shaken_hands(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Let two ends of TLS meet in memory and return them."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return ends


@pytest.fixture
def context_of(tmp_path: Path) -> Callable[..., ssl.SSLContext]:
    """Give TLS contexts of nodes that trust the authority."""

    def make(protocol: int, node_id: str, names: ServerNames) -> ssl.SSLContext:
        key = Ed25519PrivateKey.generate()
        now = time.time()
        authority = CertificateAuthority.load((tmp_path / "ca.pem").read_bytes(), (tmp_path / "ca.key").read_bytes())
        (tmp_path / "node.pem").write_text(authority.issue(node_id, f"/{node_id}", key.public_key(), now, names=names))
        (tmp_path / "node.key").write_bytes(private_pem(key))
        context = ssl.SSLContext(protocol)
        context.load_cert_chain(tmp_path / "node.pem", tmp_path / "node.key")
        context.load_verify_locations(tmp_path / "ca.pem")
        return context

    authority = CertificateAuthority.create("tls.fabric", time.time())
    (tmp_path / "ca.pem").write_text(authority.certificate_pem)
    (tmp_path / "ca.key").write_bytes(authority.key_pem)
    return make


@pytest.mark.parametrize("name", ["s1.example", "127.0.0.1"])
def test_a_listener_and_a_dialler_know_each_other_by_tls(context_of: Callable[..., ssl.SSLContext], name: str) -> None:
    names = ServerNames(("s1.example",), (ip_address("127.0.0.1"),))
    server = context_of(ssl.PROTOCOL_TLS_SERVER, "s1", names)
    server.verify_mode = ssl.CERT_REQUIRED
    client = context_of(ssl.PROTOCOL_TLS_CLIENT, "math1", ServerNames())
    near, far = shaken_hands(client, server, name)
    assert near.version() == "TLSv1.3"
    assert node_named_in(near.getpeercert(binary_form=True) or b"") == NodeName("s1", sid_of("/s1"))
    assert node_named_in(far.getpeercert(binary_form=True) or b"") == NodeName("math1", sid_of("/math1"))


def test_a_listener_under_another_name_is_refused_by_tls(context_of: Callable[..., ssl.SSLContext]) -> None:
    server = context_of(ssl.PROTOCOL_TLS_SERVER, "s1", ServerNames(("s1.example",)))
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shaken_hands(context_of(ssl.PROTOCOL_TLS_CLIENT, "math1", ServerNames()), server, "other.example")


# --- Naylence's own --------------------------------------------------------------------------------------------------

VECTORS = Path(__file__).parents[1] / "vectors" / "security"


def test_certificates_that_naylences_authority_issued_are_accepted() -> None:
    """Captured from its signing service: one leaf under the root, one under an intermediate limited to DNS names."""
    vector = json.loads((VECTORS / "naylence_certificates.json").read_text())
    anchors = anchors_in(vector["root"].encode())
    for name in ("by_root", "by_intermediate"):
        jwk = vector[name]
        validate_x5c(jwk["x5c"], jwk, vector["path"], anchors, vector["now"])
        assert node_named_in(base64.b64decode(jwk["x5c"][0])) == NodeName("math1", sid_of(vector["path"]))
        with pytest.raises(CertificateRefused, match="another node"):
            validate_x5c(jwk["x5c"], jwk, "/root1", anchors, vector["now"])
        with pytest.raises(CertificateRefused, match="no authority trusted here"):
            validate_x5c(jwk["x5c"], jwk, vector["path"], ANCHORS, vector["now"])
