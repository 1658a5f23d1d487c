"""Proofs of possession: which go with a token, and that each is good once."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from token_rig import NOW, jwk_of, key_of, sign

from fame_cli.security.dpop import MAX_PROOF_BYTES, MAX_SEEN, MAX_SEEN_OF_ONE, ProofChecker, proof
from fame_cli.security.jose import open_compact
from fame_cli.security.jwk import generate, thumbprint
from fame_cli.security.tokens import TokenRefused

KEYS = generate()
PATH = "/fame/v1/attach/ws/downstream/a1"
URL = f"wss://s1.example:8000{PATH}?x=1#y"
TOKEN = "a.b.c"


def check(text: str, *, path: str = PATH, token: str = TOKEN, jkt: str = KEYS.thumbprint, now: float = NOW) -> None:
    ProofChecker(60.0).check(text, path, token, jkt, now)


def refusal(text: str, **how: Any) -> str:
    with pytest.raises(TokenRefused) as refused:
        check(text, **how)
    return refused.value.reason


def test_a_proof_says_what_the_rfc_asks_for() -> None:
    token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"  # RFC 9449, 7.1, and its `ath`
    opened = open_compact(proof(KEYS, URL, token, NOW + 0.9))
    jwk = KEYS.public_jwks()[0]
    assert opened.header == {
        "alg": "EdDSA",
        "typ": "dpop+jwt",
        "jwk": {"kty": "OKP", "crv": "Ed25519", "x": jwk["x"]},
    }
    claims = dict(opened.claims)
    assert len(claims.pop("jti")) == 16
    assert claims == {
        "htm": "GET",
        "htu": f"wss://s1.example:8000{PATH}",
        "iat": NOW,
        "ath": "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo",
    }


def test_a_proof_of_the_key_for_this_handshake_is_taken() -> None:
    check(proof(KEYS, URL, TOKEN, NOW))


def test_the_host_may_be_another_and_a_query_does_not_count() -> None:
    check(proof(KEYS, "ws://inside:1" + PATH, TOKEN, NOW), path=f"{PATH}?token=x")


@pytest.mark.parametrize("off_s", [-60, 60])
def test_clocks_may_differ(off_s: float) -> None:
    check(proof(KEYS, URL, TOKEN, NOW), now=NOW + off_s)


@pytest.mark.parametrize("off_s", [-62, 61])
def test_a_proof_from_another_time_is_refused(off_s: float) -> None:
    assert refusal(proof(KEYS, URL, TOKEN, NOW), now=NOW + off_s) == "proof too old or too new"


def test_a_proof_goes_with_its_path_its_token_and_its_key() -> None:
    text = proof(KEYS, URL, TOKEN, NOW)
    assert refusal(text, path="/fame/v1/attach/ws/downstream/a2") == "proof for another request"
    assert refusal(text, token="a.b.d") == "proof for another token"
    assert refusal(text, jkt=generate().thumbprint) == "proof of another key"
    assert refusal(text, jkt="é") == "proof of another key"
    assert refusal("", token=TOKEN) == "no proof of the key"


def test_a_proof_is_taken_once_and_forgotten_when_it_is_too_old() -> None:
    checker, text = ProofChecker(60.0), proof(KEYS, URL, TOKEN, NOW)
    checker.check(text, PATH, TOKEN, KEYS.thumbprint, NOW)
    with pytest.raises(TokenRefused, match="shown before"):
        checker.check(text, PATH, TOKEN, KEYS.thumbprint, NOW + 60)
    with pytest.raises(TokenRefused, match="too old"):
        checker.check(text, PATH, TOKEN, KEYS.thumbprint, NOW + 61)


def test_one_key_cannot_fill_the_memory_and_gets_room_again() -> None:
    checker = ProofChecker(60.0)
    for _ in range(MAX_SEEN_OF_ONE):
        checker.check(proof(KEYS, URL, TOKEN, NOW), PATH, TOKEN, KEYS.thumbprint, NOW)
    with pytest.raises(TokenRefused, match="too many proofs"):
        checker.check(proof(KEYS, URL, TOKEN, NOW), PATH, TOKEN, KEYS.thumbprint, NOW)
    other = generate()
    checker.check(proof(other, URL, TOKEN, NOW), PATH, TOKEN, other.thumbprint, NOW)
    later = NOW + 61
    checker.check(proof(KEYS, URL, TOKEN, later), PATH, TOKEN, KEYS.thumbprint, later)
    assert MAX_SEEN >= 100 * MAX_SEEN_OF_ONE


def test_who_has_no_such_key_leaves_no_trace() -> None:
    checker = ProofChecker(60.0)
    text = proof(KEYS, URL, TOKEN, NOW)
    with pytest.raises(TokenRefused):
        checker.check(text, PATH, TOKEN, generate().thumbprint, NOW)
    checker.check(text, PATH, TOKEN, KEYS.thumbprint, NOW)


OTHER = key_of()
JWK = {name: value for name, value in jwk_of(OTHER).items() if name in ("kty", "crv", "x")}
JKT = thumbprint(JWK)
CLAIMS = dict(open_compact(proof(KEYS, URL, TOKEN, NOW)).claims)


def by_hand(changes: dict[str, Any] | None = None, **header: Any) -> str:
    header = {"typ": "dpop+jwt", "jwk": JWK, "kid": None} | header
    claims = {name: value for name, value in (CLAIMS | (changes or {})).items() if value is not None}
    return sign(OTHER, claims, **header)


def test_a_proof_made_by_hand_is_good_like_that() -> None:
    check(by_hand(), jkt=JKT)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("malformed", "x"),
        ("too long", "x" * (MAX_PROOF_BYTES + 1)),
        ("wrong type of proof", by_hand(typ="JWT")),
        ("wrong type of proof", by_hand(typ=None)),
        ("unknown critical header", by_hand(crit=["kid"], kid="k")),
        ("malformed", by_hand(jwk=None)),
        ("malformed", by_hand(jwk={**JWK, "d": "AA"})),
        ("malformed", by_hand(jwk={"kty": "oct", "k": "AA"})),
        ("malformed", by_hand(jwk={**JWK, "crv": "Ed448"})),
        ("malformed", by_hand(jwk={**JWK, "x": "AA"})),
        ("malformed", by_hand(jwk=jwk_of(key_of("ES256")))),
        ("proof of another key", by_hand(jwk=KEYS.public_jwks()[0])),
        ("bad signature", by_hand()[:-8] + "AAAAAAAA"),
        ("proof for another request", by_hand({"htm": "POST"})),
        ("proof for another request", by_hand({"htu": None})),
        ("proof for another request", by_hand({"htu": 7})),
        ("proof for another request", by_hand({"htu": "http://[x"})),
        ("proof for another token", by_hand({"ath": None})),
        ("proof for another token", by_hand({"ath": "é\ud800"})),
        ("proof too old or too new", by_hand({"iat": None})),
        ("proof too old or too new", by_hand({"iat": float("nan")})),
        ("proof too old or too new", by_hand({"iat": True})),
        ("malformed", by_hand({"jti": None})),
        ("malformed", by_hand({"jti": ""})),
        ("malformed", by_hand({"jti": "x" * 129})),
        ("malformed", by_hand({"jti": ["x"]})),
    ],
)
def test_a_proof_that_is_not_good_is_refused(expected: str, text: str) -> None:
    assert refusal(text, jkt=JKT) == expected


def test_a_shared_secret_is_no_key() -> None:
    text = sign(
        "secret-secret-secret-secret-secret", CLAIMS, alg="HS256", typ="dpop+jwt", jwk={"kty": "oct", "k": "AA"}
    )
    assert refusal(text, jkt=JKT) == "malformed"
    text = sign("secret-secret-secret-secret-secret", CLAIMS, alg="HS256", typ="dpop+jwt", jwk=JWK)
    assert refusal(text, jkt=JKT) == "wrong algorithm"


@given(st.text(max_size=300))
def test_whatever_comes_as_a_proof_is_refused_and_nothing_else(text: str) -> None:
    refusal(text)
