"""`fame ca`: an authority of one's own in the home folder, and certificates for the keys of nodes."""

import json
import stat
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from fame_runner import Fame

from fame_cli.errors import ConfigError, UsageError
from fame_cli.security.certificates import CertificateRefused, anchors_in, chain_to_x5c, validate_x5c
from fame_cli.security.issuing import request_for
from fame_cli.security.jwk import load, to_base64


@pytest.fixture
def home(fame: Fame, tmp_path: Path) -> Path:
    """Give an empty home folder."""
    fame.env["FAME_HOME"] = str(tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def authority(fame: Fame, home: Path) -> Path:
    """Give a home folder with an authority."""
    assert fame("ca", "init").exit_code == 0
    return home


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def check(chain: str, key: Ed25519PrivateKey, path: str, home: Path) -> x509.Certificate:
    """Check a chain as a node would that has nothing but ca.pem, and return the leaf."""
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": to_base64(key.public_key().public_bytes_raw())}
    validate_x5c(chain_to_x5c(chain), jwk, path, anchors_in((home / "ca.pem").read_bytes()), time.time())
    return x509.load_pem_x509_certificate(chain.encode())


def key_in(home: Path, node: str) -> Ed25519PrivateKey:
    return load(json.loads((home / "keys" / f"{node}.json").read_text())["keys"]).signing


def test_an_authority_is_two_files_of_which_one_is_private(fame: Fame, home: Path) -> None:
    result = fame("ca", "init")
    assert (result.exit_code, result.stdout) == (0, "")
    assert f"wrote {home / 'ca.pem'}" in result.stderr
    assert mode_of(home) == 0o700
    assert (mode_of(home / "ca.key"), mode_of(home / "ca.pem")) == (0o600, 0o644)


def test_an_authority_is_never_replaced_unasked(fame: Fame, authority: Path) -> None:
    before = (authority / "ca.key").read_bytes()
    result = fame("ca", "init")
    assert result.exit_code == UsageError.exit_code
    assert "is there already; see it with: fame ca show" in result.stderr
    assert (authority / "ca.key").read_bytes() == before


def test_a_certificate_is_for_the_key_the_node_signs_with(fame: Fame, authority: Path) -> None:
    result = fame("ca", "issue", "--node", "math1", "--path", "/s1/math1")
    assert (result.exit_code, result.stderr) == (0, "")
    check(result.stdout, key_in(authority, "math1"), "/s1/math1", authority)
    assert mode_of(authority / "keys" / "math1.json") == 0o600
    again = fame("ca", "issue", "--node", "math1")
    check(again.stdout, key_in(authority, "math1"), "/math1", authority)


def test_a_listeners_certificate_has_its_names_and_its_life(fame: Fame, authority: Path, tmp_path: Path) -> None:
    words = "ca issue --node s1 --dns s1.example --dns s1 --ip 127.0.0.1 --ip ::1 --ttl 2h --out tls"
    result = fame(*words.split())
    assert (result.exit_code, result.stdout) == (0, "")
    folder = tmp_path / "tls"
    assert mode_of(folder / "node.key") == 0o600
    key = load_pem_private_key((folder / "node.key").read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    leaf = check((folder / "node.pem").read_text(), key, "/s1", authority)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["s1.example", "s1"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert 7000 < (leaf.not_valid_after_utc.timestamp() - time.time()) <= 7200


def test_a_request_gets_a_certificate_and_its_key_stays_where_it_is(
    fame: Fame, authority: Path, tmp_path: Path
) -> None:
    key = Ed25519PrivateKey.generate()
    (tmp_path / "node.csr").write_bytes(request_for(key))
    result = fame("ca", "issue", "--node", "math1", "--csr", "node.csr", "--out", "out")
    assert result.exit_code == 0
    check((tmp_path / "out" / "node.pem").read_text(), key, "/math1", authority)
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["node.pem"]
    assert not (authority / "keys").exists()
    piped = fame("ca", "issue", "--node", "math1", "--csr", "-", stdin=request_for(key).decode())
    check(piped.stdout, key, "/math1", authority)


def test_a_request_that_is_none_is_refused(fame: Fame, authority: Path, tmp_path: Path) -> None:
    (tmp_path / "node.csr").write_text("nothing")
    result = fame("ca", "issue", "--node", "math1", "--csr", "node.csr")
    assert result.exit_code == CertificateRefused.exit_code
    assert "isn't a PEM certificate request" in result.stderr
    assert fame("ca", "issue", "--node", "math1", "--csr", "missing").exit_code == UsageError.exit_code


def test_show_tells_what_to_compare(fame: Fame, authority: Path) -> None:
    facts = json.loads(fame("ca", "show", "-o", "json").stdout)
    found = x509.load_pem_x509_certificate((authority / "ca.pem").read_bytes())
    assert facts["name"] == "CN=fame.fabric CA"
    assert facts["not_after"] == found.not_valid_after_utc.isoformat()
    text = fame("ca", "show").stdout
    assert facts["sha256"] in text
    assert "PRIVATE" not in text


def test_without_an_authority_the_error_says_how_to_make_one(fame: Fame, home: Path) -> None:
    for words in (["ca", "show"], ["ca", "issue", "--node", "math1"]):
        result = fame(*words)
        assert result.exit_code == ConfigError.exit_code
        assert result.stderr == f"fame: {home / 'ca.pem'}: no such file; make an authority: fame ca init\n"


def test_a_private_key_that_others_can_read_is_not_used(fame: Fame, authority: Path) -> None:
    (authority / "ca.key").chmod(0o640)
    result = fame("ca", "issue", "--node", "math1")
    assert result.exit_code == ConfigError.exit_code
    assert f"others can read this file; chmod 600 {authority / 'ca.key'}" in result.stderr


@pytest.mark.parametrize("file", ["ca.key", "ca.pem", "keys/math1.json"])
def test_a_broken_file_is_named_and_not_quoted(fame: Fame, authority: Path, file: str) -> None:
    fame("ca", "issue", "--node", "math1")
    (authority / file).write_text("secret")
    result = fame("ca", "issue", "--node", "math1")
    assert result.exit_code in (ConfigError.exit_code, CertificateRefused.exit_code)
    assert "secret" not in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--node m/1", "can't be a node's path"),
        ("--node m1 --path /s1/m2", "isn't a path of m1; a node's path ends in /m1"),
        ("--node m1 --path m1", "can't be a node's path"),
        ("--node m1 --ip s1.example", "isn't an IP address; give host names with --dns"),
        ("--node m1 --ttl soon", "--ttl 'soon' is not a time; write a whole number and s, m, h or d, e.g. --ttl 12h"),
        ("--node m1 --ttl 0h", "valid for a second at least"),
    ],
)
def test_what_can_not_be_issued_is_said_in_a_line(fame: Fame, authority: Path, words: str, said: str) -> None:
    result = fame("ca", "issue", *words.split())
    assert result.exit_code == UsageError.exit_code
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (authority / "keys").exists()


def test_a_name_no_certificate_can_hold_is_refused(fame: Fame, authority: Path) -> None:
    result = fame("ca", "issue", "--node", "s1", "--dns", "höst")
    assert result.exit_code == CertificateRefused.exit_code
    assert "can't be in a certificate; use its ASCII form" in result.stderr


def test_a_folder_that_can_not_be_made_is_named(fame: Fame, authority: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = fame("ca", "issue", "--node", "s1", "--out", "file/tls")
    assert result.exit_code == ConfigError.exit_code
    assert result.stderr == "fame: file/tls: can't be made: not a directory; choose another folder with --out\n"


def test_the_home_is_where_the_variables_say(fame: Fame, tmp_path: Path) -> None:
    fame.env["HOME"] = str(tmp_path / "user")
    assert fame("ca", "init").exit_code == 0
    assert (tmp_path / "user" / ".config" / "fame" / "ca.pem").is_file()
    fame.env["XDG_CONFIG_HOME"] = str(tmp_path / "xdg")
    assert fame("ca", "init").exit_code == 0
    assert (tmp_path / "xdg" / "fame" / "ca.pem").is_file()
    fame.env.clear()
    assert "set it to a folder of your own" in fame("ca", "init").stderr
