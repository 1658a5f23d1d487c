"""The authority: what its tokens say, and what it doesn't sign."""

import json
import re
from base64 import urlsafe_b64decode

import pytest
from token_rig import NOW

from fame_cli.core.grant import Grant
from fame_cli.errors import ConfigError
from fame_cli.security.authority import LONGEST_TTL_S, Authority
from fame_cli.security.jwk import generate, signing_jwk, thumbprint

MATH = Grant(
    "math1",
    node="math1",
    roles=frozenset({"agent"}),
    addresses=("math1@fame.fabric",),
    capabilities=("**",),
    thumbprint="jkt",
)


def authority() -> Authority:
    return Authority(generate().signing, fabric="fame.fabric", made_at=NOW)


def part(token: str, index: int) -> dict[str, object]:
    text = token.split(".")[index]
    found = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    assert isinstance(found, dict)
    return found


def test_a_token_says_what_the_grant_says() -> None:
    issuing = authority()
    claims = part(issuing.issue(MATH, NOW + 0.7, 3600), 1)
    assert re.fullmatch(r"[\w-]{16}", str(claims.pop("jti")))
    assert claims == {
        "iss": issuing.issuer,
        "aud": "fame.fabric",
        "sub": "math1",
        "iat": NOW,
        "nbf": NOW,
        "exp": NOW + 3600,
        "scope": "node.connect",
        "cnf": {"jkt": "jkt"},
        "fame": {"node": "math1", "roles": ["agent"], "addresses": ["math1@fame.fabric"], "capabilities": ["**"]},
    }


def test_the_header_names_algorithm_type_and_key() -> None:
    issuing = authority()
    assert part(issuing.issue(MATH, NOW, 60), 0) == {"alg": "EdDSA", "typ": "JWT", "kid": issuing.kid}


def test_a_peer_has_the_scope_of_peers_and_its_prefixes() -> None:
    peer = Grant("s2", roles=frozenset({"peer"}), prefixes=("**",))
    claims = part(authority().issue(peer, NOW, 60, "other.fabric"), 1)
    assert (claims["scope"], claims["aud"]) == ("node.connect node.peer", "other.fabric")
    assert claims["fame"] == {"node": "**", "roles": ["peer"], "prefixes": ["**"]}
    assert "cnf" not in claims


def test_no_two_tokens_have_one_id() -> None:
    issuing = authority()
    assert len({part(issuing.issue(MATH, NOW, 60), 1)["jti"] for _ in range(50)}) == 50


def test_the_authority_is_named_by_its_first_key_for_good() -> None:
    first = authority()
    later = Authority(generate().signing, fabric="fame.fabric", issuer=first.issuer)
    assert first.issuer == "fame:" + thumbprint(first.public_jwks[0])
    assert (later.issuer, later.kid != first.kid) == (first.issuer, True)
    assert [jwk["iss"] for jwk in later.public_jwks] == [first.issuer]


@pytest.mark.parametrize("ttl_s", [0, -1, 0.5, LONGEST_TTL_S + 1, float("nan"), float("inf")])
def test_a_life_out_of_bounds_is_refused(ttl_s: float) -> None:
    with pytest.raises(ConfigError, match="1 s to 30 days"):
        authority().issue(MATH, NOW, ttl_s)


def test_what_is_no_pattern_is_not_signed() -> None:
    with pytest.raises(ConfigError, match="is no pattern"):
        authority().issue(Grant("a", addresses=("^a.*",)), NOW, 60)


def test_a_token_that_no_handshake_can_carry_is_not_issued() -> None:
    many = Grant("a", addresses=tuple(f"agent-number-{number}@fame.fabric" for number in range(300)))
    with pytest.raises(ConfigError, match="fewer patterns"):
        authority().issue(many, NOW, 60)


def test_the_private_key_is_in_the_private_form_alone() -> None:
    key = generate().signing
    issuing = Authority(key, fabric="fame.fabric")
    assert "d" in issuing.private_jwk()
    assert not any("d" in jwk for jwk in issuing.public_jwks)
    assert issuing.public_jwks[0]["x"] == signing_jwk(key)["x"]
