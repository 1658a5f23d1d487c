"""Tokens: which are believed, which are refused and with what words, and what they come to."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from token_rig import AGENT_GRANT, AUDIENCE, ISSUER, NOW, claims_of, jwk_of, key_of, sign, verifier_of

from fame_cli.core.grant import Grant
from fame_cli.errors import ConfigError
from fame_cli.security.authority import Authority
from fame_cli.security.jwk import generate
from fame_cli.security.settings import Issuer
from fame_cli.security.tokens import MAX_CACHED, TokenRefused, TokenVerifier

VECTORS = Path(__file__).parents[1] / "vectors" / "security"
KEY = key_of()
MATH = Grant("math1", node="math1", roles=frozenset({"agent"}), addresses=("math1@fame.fabric",), thumbprint="jkt")


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    """Give an issuer whose keys are in a file: one to sign with, and one that must never be used."""
    file = tmp_path_factory.mktemp("keys") / "jwks.json"
    keys = [jwk_of(KEY, use="sig"), jwk_of(KEY, "k-enc", use="enc")]
    file.write_text(json.dumps({"keys": keys}))
    return Issuer(ISSUER, AUDIENCE, key_file=file, grant=AGENT_GRANT)


def reason(verifier: TokenVerifier, token: str, now: float = NOW) -> str:
    with pytest.raises(TokenRefused) as refused:
        verifier.verify(token, now)
    assert refused.value.code == "UNAUTHORIZED"
    return refused.value.reason


def authority() -> Authority:
    return Authority(generate().signing, fabric="fame.fabric", made_at=NOW)


def by_hand() -> tuple[Authority, dict[str, Any]]:
    """Return an authority whose key is `KEY`, and claims in its name."""
    issuing = Authority(KEY.private_key, fabric="fame.fabric")
    return issuing, claims_of(iss=issuing.issuer, fame={"roles": ["agent"]})


def ours(issuing: Authority, **how: Any) -> TokenVerifier:
    return TokenVerifier([], issuing.public_jwks, "fame.fabric", 60.0, **how)


# Of the authority


def test_a_token_of_the_authority_comes_to_the_grant_it_was_issued_for() -> None:
    issuing = authority()
    grant = ours(issuing).verify(issuing.issue(MATH, NOW, 3600), NOW + 1)
    assert replace(grant, claims={}, token_id="") == replace(
        MATH, issuer=issuing.issuer, expires_at=NOW + 3600, issued_at=NOW, scopes=frozenset({"node.connect"})
    )
    assert (grant.token_id, grant.claims["sub"]) == (grant.claims["jti"], "math1")


def test_a_token_of_another_authority_is_refused() -> None:
    assert reason(ours(authority()), authority().issue(MATH, NOW, 60)) == "unknown issuer"


def test_a_token_for_another_fabric_is_refused() -> None:
    issuing = authority()
    assert reason(ours(issuing), issuing.issue(MATH, NOW, 60, "other.fabric")) == "wrong audience"


def test_a_token_ends_when_it_says_without_grace() -> None:
    issuing = authority()
    verifier, token = ours(issuing), issuing.issue(MATH, NOW, 60)
    assert verifier.verify(token, NOW + 59.9)
    assert reason(verifier, token, NOW + 60) == "expired"


def test_clocks_may_differ_before_a_token_begins() -> None:
    issuing = authority()
    token = issuing.issue(MATH, NOW, 3600)
    assert ours(issuing).verify(token, NOW - 60)
    assert reason(ours(issuing), token, NOW - 61) == "not valid yet"


def test_a_revoked_token_is_refused_though_it_was_good_before() -> None:
    issuing, taken_back = authority(), set[str]()
    verifier = ours(issuing, revoked=lambda token_id: token_id in taken_back)
    token = issuing.issue(MATH, NOW, 60)
    taken_back.add(verifier.verify(token, NOW).token_id)
    assert reason(verifier, token) == "revoked"


def test_what_was_revoked_is_not_guessed_when_it_cannot_be_read() -> None:
    def unreadable(token_id: str) -> bool:
        raise ConfigError("not JSON", source="revoked.json")

    issuing = authority()
    with pytest.raises(TokenRefused, match="can't be judged now") as refused:
        ours(issuing, revoked=unreadable).verify(issuing.issue(MATH, NOW, 60), NOW)
    assert refused.value.detail == "revoked.json: not JSON"
    assert not ours(issuing, revoked=unreadable).is_revoked(
        "t"
    )  # or all that is proved were over for a moment's mistake


def test_an_old_key_is_honoured_until_it_ends() -> None:
    old = authority()
    new = Authority(generate().signing, fabric="fame.fabric", issuer=old.issuer)
    keys = [*new.public_jwks, {**old.public_jwks[0], "exp": NOW + 100}]
    verifier = TokenVerifier([], keys, "fame.fabric", 60.0)
    token = old.issue(MATH, NOW, 3600)
    assert verifier.verify(token, NOW + 99)
    assert reason(verifier, token, NOW + 100) == "unknown key"
    assert verifier.verify(new.issue(MATH, NOW, 3600), NOW + 100)


def test_keys_of_the_home_that_change_count_at_once() -> None:
    first, second = authority(), authority()
    keys = [first.public_jwks]
    verifier = TokenVerifier([], lambda: keys[0], "fame.fabric", 60.0)
    token = first.issue(MATH, NOW, 60)
    assert verifier.verify(token, NOW)
    keys[0] = second.public_jwks
    assert reason(verifier, token) == "unknown issuer"
    assert verifier.verify(second.issue(MATH, NOW, 60), NOW)


def test_a_key_of_the_home_that_is_none_harms_no_other() -> None:
    issuing = authority()
    verifier = TokenVerifier([], [{"kty": "oct"}, *issuing.public_jwks], "fame.fabric", 60.0)
    assert verifier.verify(issuing.issue(MATH, NOW, 60), NOW)


@pytest.mark.parametrize("kind", ["at+jwt", "dpop+jwt", "jwt", None])
def test_a_token_in_the_name_of_the_authority_is_exactly_a_jwt(kind: str | None) -> None:
    issuing, claims = by_hand()
    assert reason(ours(issuing), sign(KEY, claims, kid=issuing.kid, typ=kind)) == "wrong type"


def test_a_token_in_the_name_of_the_authority_has_an_id_to_take_it_back_by() -> None:
    issuing, claims = by_hand()
    del claims["jti"]
    assert reason(ours(issuing), sign(KEY, claims, kid=issuing.kid)) == "no token id"


# Of other issuers: the cases of the vectors

REFUSED = {
    "garbage_token": "malformed",
    "expired": "expired",
    "expired_5s_ago": "expired",
    "wrong_audience": "wrong audience",
    "wrong_issuer": "unknown issuer",
    "missing_scope": "missing scope",
    "no_exp_claim": "no expiry",
    "no_aud_claim": "wrong audience",
    "no_sub_claim": "no subject",
    "nbf_future": "not valid yet",
    "unknown_kid": "unknown key",
    "no_kid": "no key id",
    "alg_none": "wrong algorithm",
    "hs256_with_public_key": "wrong algorithm",
}

TOKENS: dict[str, Callable[[], str]] = {
    "ok": lambda: sign(KEY, claims_of()),
    "garbage_token": lambda: "not-a-token",
    "expired": lambda: sign(KEY, claims_of(iat=NOW - 7200, nbf=NOW - 7200, exp=NOW - 3600)),
    "expired_5s_ago": lambda: sign(KEY, claims_of(exp=NOW - 5)),
    "wrong_audience": lambda: sign(KEY, claims_of(aud="another.fabric")),
    "audience_list": lambda: sign(KEY, claims_of(aud=["x", AUDIENCE])),
    "wrong_issuer": lambda: sign(KEY, claims_of(iss="http://evil.example")),
    "missing_scope": lambda: sign(KEY, claims_of(scope="other")),
    "scopes_list_claim": lambda: sign(KEY, claims_of(scope=None, scopes=["node.connect"])),
    "no_exp_claim": lambda: sign(KEY, claims_of(exp=None)),
    "no_aud_claim": lambda: sign(KEY, claims_of(aud=None)),
    "no_sub_claim": lambda: sign(KEY, claims_of(sub=None)),
    "nbf_future": lambda: sign(KEY, claims_of(nbf=NOW + 600)),
    "unknown_kid": lambda: sign(KEY, claims_of(), kid="k9"),
    "no_kid": lambda: sign(KEY, claims_of(), kid=None),
    "alg_none": lambda: f"{_part({'alg': 'none', 'kid': 'k1'})}.{_part(claims_of())}.",
    "hs256_with_public_key": lambda: sign(json.dumps(jwk_of(KEY)), claims_of(), alg="HS256"),
}


def _part(document: object) -> str:
    return urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize("case", TOKENS)
def test_the_token_cases_of_the_vectors(case: str, issuer: Issuer) -> None:
    """What Naylence refuses we refuse; what it takes we take, but for tokens without `exp` and `sub`."""
    vector = json.loads((VECTORS / "attach_refusals.json").read_text(encoding="utf-8"))[case]
    assert bool(vector.get("ack_ok")) == (case not in REFUSED or case in ("no_exp_claim", "no_sub_claim"))
    verifier, token = verifier_of(issuer), TOKENS[case]()
    if case in REFUSED:
        assert reason(verifier, token) == REFUSED[case]
    else:
        assert verifier.verify(token, NOW).subject == "client-test"


def test_the_token_of_the_development_server_is_taken(tmp_path: Path) -> None:
    vector = json.loads((VECTORS / "token_endpoint.json").read_text(encoding="utf-8"))
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps(vector["jwks"]))
    claims = vector["decoded"]["claims"]
    verifier = verifier_of(Issuer(claims["iss"], claims["aud"], key_file=file, grant=AGENT_GRANT))
    token = vector["response"]["json"]["access_token"]
    grant = verifier.verify(token, claims["iat"])
    assert (grant.subject, grant.roles, grant.expires_at) == ("client-test", AGENT_GRANT.roles, claims["exp"])
    assert reason(verifier, token, claims["exp"]) == "expired"


# Of other issuers: the rest


@pytest.mark.parametrize(
    ("expected", "token"),
    [
        ("too long", lambda: sign(KEY, claims_of(filler="x" * 8192))),
        ("malformed", lambda: ""),
        ("malformed", lambda: "a.b.c"),
        ("malformed", lambda: "é.é.é"),
        ("malformed", lambda: "\ud800"),
        ("malformed", lambda: sign(KEY, b"[]")),
        ("malformed", lambda: sign(KEY, b"[" * 2500 + b"]" * 2500)),
        ("malformed", lambda: sign(KEY, b'{"exp":' + b"9" * 4400 + b"}")),
        ("no issuer", lambda: sign(KEY, claims_of(iss=None))),
        ("no issuer", lambda: sign(KEY, claims_of(iss=[ISSUER]))),
        ("wrong type", lambda: sign(KEY, claims_of(), typ="dpop+jwt")),
        ("wrong type", lambda: sign(KEY, claims_of(), typ="logout+jwt")),
        ("unknown critical header", lambda: sign(KEY, claims_of(), crit=["kid"])),
        ("unknown key", lambda: sign(KEY, claims_of(), kid="k-enc")),
        ("bad signature", lambda: sign(key_of(), claims_of())),
        ("bad signature", lambda: sign(KEY, claims_of())[:-6] + "AAAAAA"),
        ("wrong algorithm", lambda: sign(key_of("ES256"), claims_of(), alg="ES256")),
        ("no expiry", lambda: sign(KEY, claims_of(exp="2030"))),
        ("no expiry", lambda: sign(KEY, claims_of(exp=True))),
        ("no expiry", lambda: sign(KEY, claims_of(exp=float("nan")))),
        ("no expiry", lambda: sign(KEY, claims_of(exp=float("inf")))),
        ("no expiry", lambda: sign(KEY, claims_of(exp=10**400))),
        ("malformed", lambda: sign(KEY, claims_of(nbf="soon"))),
        ("not valid yet", lambda: sign(KEY, claims_of(iat=NOW + 61))),
        ("wrong audience", lambda: sign(KEY, claims_of(aud={"a": AUDIENCE}))),
        ("wrong audience", lambda: sign(KEY, claims_of(aud="fame.fabric.evil"))),
        ("no subject", lambda: sign(KEY, claims_of(sub=""))),
        ("no subject", lambda: sign(KEY, claims_of(sub="x" * 257))),
        ("malformed", lambda: sign(KEY, claims_of(jti=7))),
        ("missing scope", lambda: sign(KEY, claims_of(scope="node.connected not.node.connect"))),
        ("unknown confirmation", lambda: sign(KEY, claims_of(cnf={"x5t#S256": "abc"}))),
        ("unknown confirmation", lambda: sign(KEY, claims_of(cnf={"jkt": ""}))),
        ("unknown confirmation", lambda: sign(KEY, claims_of(cnf="jkt"))),
    ],
)
def test_a_token_that_is_not_good_is_refused(expected: str, token: Callable[[], str], issuer: Issuer) -> None:
    assert reason(verifier_of(issuer), token()) == expected


@pytest.mark.parametrize("member", ["jwk", "jku", "x5u", "x5c"])
def test_a_key_that_comes_with_the_token_is_not_looked_at(member: str, issuer: Issuer) -> None:
    evil = key_of()
    carried: Any = {"jwk": jwk_of(evil), "jku": "http://evil/", "x5u": "http://evil/", "x5c": ["MII"]}[member]
    assert reason(verifier_of(issuer), sign(evil, claims_of(), **{member: carried})) == "bad signature"


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: raw.decode("latin-1")))
def test_whatever_comes_as_a_token_is_refused_and_nothing_else(text: str) -> None:
    with pytest.raises(TokenRefused):
        TokenVerifier([], [], "fame.fabric", 60.0).verify(text, NOW)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=9), st.lists, max_leaves=5), st.data())
def test_whatever_a_signed_claim_holds_is_judged(value: object, data: st.DataObject) -> None:
    issuing, claims = by_hand()
    member = data.draw(st.sampled_from(["exp", "nbf", "iat", "aud", "sub", "jti", "scope", "scp", "cnf", "fame"]))
    token = sign(KEY, claims | {member: value}, kid=issuing.kid)
    try:
        grant = ours(issuing).verify(token, NOW)
    except TokenRefused:
        return
    assert isinstance(grant.subject, str)
    assert isinstance(grant.expires_at, float)


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "application/at+jwt", None])
def test_others_call_their_tokens_as_they_do(kind: str | None, issuer: Issuer) -> None:
    assert verifier_of(issuer).verify(sign(KEY, claims_of(), typ=kind), NOW)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_each_algorithm_verifies_with_its_keys_and_no_other(algorithm: str, tmp_path: Path) -> None:
    keys = {name: key_of(name) for name in ("RS256", "ES256", "EdDSA")}
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [jwk_of(key, name) for name, key in keys.items()]}))
    verifier = verifier_of(Issuer(ISSUER, AUDIENCE, algorithm, key_file=file, grant=AGENT_GRANT))
    for name, key in keys.items():
        token = sign(key, claims_of(), alg=name, kid=name)
        if name == algorithm:
            assert verifier.verify(token, NOW)
        else:
            assert reason(verifier, token) == "wrong algorithm"
    cut = sign(keys[algorithm], claims_of(), alg=algorithm, kid=algorithm).rpartition(".")[0]
    for signature in ("", "AA", "A" * 86, "*"):
        assert reason(verifier, f"{cut}.{signature}") in ("bad signature", "malformed")


def test_a_token_of_others_may_be_bound_to_a_key(issuer: Issuer) -> None:
    assert verifier_of(issuer).verify(sign(KEY, claims_of(cnf={"jkt": "abc"})), NOW).thumbprint == "abc"


# What a token of others comes to


def granted(issuer: Issuer, grants: tuple[Grant, ...] = (), **claims: Any) -> Grant:
    return verifier_of(issuer, grants=grants).verify(sign(KEY, claims_of(**claims)), NOW)


def test_without_a_grant_of_its_own_a_token_gets_the_one_of_its_issuer(issuer: Issuer) -> None:
    grant = granted(issuer)
    assert (grant.subject, grant.addresses, grant.issuer) == ("client-test", ("*@fame.fabric",), ISSUER)
    assert (grant.token_id, grant.scopes) == ("id-1", {"node.connect"})


def test_a_subject_that_the_config_names_gets_what_it_says_there(issuer: Issuer) -> None:
    grants = (
        Grant("client-*", node="c1", roles=frozenset({"peer"}), prefixes=("**",)),
        Grant("**", roles=frozenset({"admin"})),
    )
    grant = granted(issuer, grants)
    assert (grant.subject, grant.node, grant.roles) == ("client-test", "c1", {"peer"})
    assert granted(issuer, grants, sub="alice").roles == {"admin"}


def test_a_grant_for_the_subjects_of_one_issuer_is_not_for_those_of_another(issuer: Issuer) -> None:
    told = Grant("client-test", roles=frozenset({"admin"}), issuer=ISSUER)
    assert granted(issuer, (told,)).roles == {"admin"}
    assert granted(issuer, (replace(told, issuer="https://other"),)).roles == AGENT_GRANT.roles


def test_where_nothing_is_granted_the_token_is_refused(issuer: Issuer) -> None:
    nothing = replace(issuer, grant=None)
    assert reason(verifier_of(nothing), sign(KEY, claims_of())) == "nothing granted"


def test_a_peer_by_the_grant_of_its_issuer_needs_the_scope_of_peers(issuer: Issuer) -> None:
    peers = replace(issuer, grant=replace(AGENT_GRANT, roles=frozenset({"agent", "peer"})))
    assert granted(peers).roles == {"agent"}
    assert granted(peers, scope="node.connect node.peer").roles == {"agent", "peer"}
    assert granted(issuer, scope="node.connect node.peer").roles == {"agent", "client"}


def test_the_scope_of_peers_counts_in_any_of_its_forms(issuer: Issuer) -> None:
    peers = replace(issuer, grant=replace(AGENT_GRANT, roles=frozenset({"peer"})))
    assert granted(peers, scp=["node.peer"]).roles == {"peer"}
    assert granted(peers, scp="node.peer").roles == {"peer"}
    assert granted(peers, scopes=["node.peer", 7]).roles == {"peer"}


def test_a_grant_in_a_token_of_others_gives_no_role_that_its_issuer_may_not_give(issuer: Issuer) -> None:
    said = {"node": "x", "roles": ["agent", "peer", "admin"], "addresses": ["x@fame.fabric"], "prefixes": ["**"]}
    grant = granted(issuer, fame=said)
    assert (grant.roles, grant.node, grant.addresses) == ({"agent"}, "x", ("x@fame.fabric",))
    assert granted(replace(issuer, grant=None), fame=said).roles == {"agent"}
    everything = replace(issuer, grant=replace(AGENT_GRANT, roles=frozenset({"agent", "peer", "admin"})))
    assert granted(everything, fame=said).roles == {"agent", "admin"}
    assert granted(everything, fame=said, scope="node.connect node.peer").roles == {"agent", "peer", "admin"}


@pytest.mark.parametrize(
    "said",
    [
        [],
        "all",
        {"roles": "agent"},
        {"roles": [1]},
        {"node": 1},
        {"node": ""},
        {"addresses": ["^.*$"]},
        {"addresses": ["a" * 257]},
        {"addresses": ["a"] * 257},
        {"prefixes": {"a": 1}},
    ],
)
def test_a_grant_that_makes_no_sense_is_refused(said: object, issuer: Issuer) -> None:
    assert reason(verifier_of(issuer), sign(KEY, claims_of(fame=said))) == "malformed grant"


def test_a_grant_of_the_config_may_end_sooner_and_bind_to_a_key(issuer: Issuer) -> None:
    own = (Grant("**", roles=frozenset({"agent"}), thumbprint="abc", expires_at=NOW + 5),)
    grant = granted(issuer, own)
    assert (grant.thumbprint, grant.expires_at) == ("abc", NOW + 5)
    assert reason(verifier_of(issuer, grants=own), sign(KEY, claims_of(cnf={"jkt": "other"}))) == "wrong key"


# Remembering


def test_a_token_that_comes_again_is_not_verified_again(issuer: Issuer) -> None:
    verifier, token = verifier_of(issuer), sign(KEY, claims_of())
    assert verifier.verify(token, NOW) is verifier.verify(token, NOW + 1)


def test_what_is_remembered_is_bounded_and_the_oldest_goes_first(issuer: Issuer) -> None:
    verifier = verifier_of(issuer)
    tokens = [sign(KEY, claims_of(n=number)) for number in range(MAX_CACHED + 1)]
    grants = [verifier.verify(token, NOW) for token in tokens[:-1]]
    assert verifier.verify(tokens[0], NOW) is grants[0]
    verifier.verify(tokens[-1], NOW)
    assert verifier.verify(tokens[0], NOW) is grants[0]
    assert verifier.verify(tokens[1], NOW) is not grants[1]


def test_no_reason_shows_anything_of_the_token(issuer: Issuer) -> None:
    secret = "s3cr3t-subject"
    for changes in ({"aud": secret}, {"scope": secret}, {"iss": secret}, {"cnf": {secret: secret}}, {"nbf": secret}):
        token = sign(KEY, claims_of(sub=secret, **changes))
        with pytest.raises(TokenRefused) as refused:
            verifier_of(issuer).verify(token, NOW)
        assert secret not in f"{refused.value} {refused.value!r} {refused.value.detail}"
        assert token not in repr(refused.value.__cause__)
