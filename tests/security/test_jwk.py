"""Keys: how they are written, named and read again."""

import json
from pathlib import Path

import pytest

from fame_cli.core.ids import ALPHABET
from fame_cli.security.jwk import (
    VOUCHED,
    from_base64,
    generate,
    kid_of,
    load,
    load_signing,
    private_signing_jwk,
    signing_jwk,
    thumbprint,
    to_base64,
)

VECTOR = json.loads(
    (Path(__file__).parents[1] / "vectors" / "security" / "node_attach_with_keys.json").read_text(encoding="utf-8")
)


def test_public_keys_have_the_members_that_naylence_sends() -> None:
    ours = generate().public_jwks()
    theirs = VECTOR["request"]["frame"]["keys"]
    assert [sorted(jwk.keys() - {VOUCHED}) for jwk in ours] == [sorted(jwk) for jwk in theirs]
    for own, other in zip(ours, theirs, strict=True):
        fixed = {"kty", "crv", "alg", "use"}
        assert {name: own[name] for name in fixed} == {name: other[name] for name in fixed}
        assert [len(own[name]) for name in ("x", "kid")] == [len(other[name]) for name in ("x", "kid")]


def test_a_token_and_certificates_travel_with_the_signing_key_alone() -> None:
    signing, encryption = generate().public_jwks("a.b.c", ["MII"])
    assert (signing["fame.grant"], signing["x5c"]) == ("a.b.c", ["MII"])
    assert encryption.keys() == {"kty", "crv", "x", "kid", "alg", "use", VOUCHED}


def test_the_thumbprint_is_that_of_the_rfc() -> None:
    # RFC 8037, A.3
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "any"}
    assert thumbprint(jwk) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@pytest.mark.parametrize("jwk", [{}, {"kty": "oct", "k": "AA"}, {"kty": "OKP", "crv": "Ed25519", "x": 1}])
def test_what_is_no_okp_key_has_no_thumbprint(jwk: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="not an OKP key"):
        thumbprint(jwk)


def test_the_thumbprint_of_a_node_is_that_of_its_signing_key() -> None:
    keys = generate()
    assert keys.thumbprint == thumbprint(keys.public_jwks("a token")[0])


def test_a_kid_names_the_key_itself() -> None:
    keys = generate()
    raw = keys.signing.public_key().public_bytes_raw()
    assert kid_of(raw) == keys.kid == keys.public_jwks()[0]["kid"]
    assert len(keys.kid) == 16
    assert set(keys.kid) <= set(ALPHABET)
    assert kid_of(bytes(32)) != kid_of(bytes(31) + b"\1")


def test_bytes_survive_being_written_with_or_without_padding() -> None:
    for length in range(5):
        data = bytes(range(251, 251 + length))
        assert from_base64(to_base64(data)) == from_base64(to_base64(data) + "=" * (-len(to_base64(data)) % 4)) == data


@pytest.mark.parametrize("text", ["a", "AA!", "A A", "AA\n", "+/+/", "AAA=A", "====", "é", "\ud800"])
def test_what_is_not_quite_base64url_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"base64url|encode"):
        from_base64(text)


def test_keys_survive_being_written() -> None:
    keys = generate()
    assert load(json.loads(json.dumps(keys.private_jwks()))).public_jwks() == keys.public_jwks()


def test_a_signing_key_survives_being_written() -> None:
    key = generate().signing
    assert signing_jwk(load_signing(private_signing_jwk(key))) == signing_jwk(key)


@pytest.mark.parametrize("lost", ["d", "crv"])
def test_half_a_key_is_none_and_the_error_shows_nothing_of_it(lost: str) -> None:
    jwks = generate().private_jwks()
    secret = jwks[0]["d"]
    del jwks[0][lost]
    with pytest.raises(ValueError, match="not a private key") as error:
        load(jwks)
    assert secret not in str(error.value)


@pytest.mark.parametrize("private", ["AA", "é", 7])
def test_a_private_part_that_is_none_is_refused(private: object) -> None:
    with pytest.raises(ValueError, match=r"not|ASCII"):
        load_signing({"d": private})


def test_a_repr_shows_no_private_key() -> None:
    keys = generate()
    for jwk in keys.private_jwks():
        assert jwk["d"] not in repr(keys)
