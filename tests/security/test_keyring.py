"""Whose key is which: who may say so, who is believed before whom, and how much is remembered."""

import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from core_rig import PROPERTY
from hypothesis import given
from hypothesis import strategies as st

from fame_cli.core.envelope import Meta
from fame_cli.core.gate import Refusal
from fame_cli.core.grant import Grant
from fame_cli.core.ids import sid_of
from fame_cli.core.link import Link, LinkKind
from fame_cli.security import keyring
from fame_cli.security.jwk import VOUCHED, NodeKeys, generate
from fame_cli.security.keyring import ROTATED_S, Key, Keyring, Standing

PATH = "/s1/math"
ONE, OTHER = generate(), generate()


class Ring:
    """Hold a keyring, its clock, and an authority that is a dict of grants."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.grants: dict[str, Grant] = {}
        self.certified: set[str] = set()
        self.revoked: set[str] = set()
        self.keys = Keyring(self.prove, lambda: self.now, self.revoked.__contains__)
        self.keys.certified = lambda jwk, path: f"{jwk['x']} {path}" in self.certified

    def grant(self, keys: NodeKeys, node: str, expires_at: float | None = None, issued_at: float = 0.0) -> str:
        """Grant a node its key; returns the token, which is its id, too."""
        token = f"token {len(self.grants)}"
        grant = Grant(node, node=node, thumbprint=keys.thumbprint, expires_at=expires_at)
        self.grants[token] = replace(grant, token_id=token, issued_at=issued_at)
        return token

    def prove(self, token: str) -> Grant | None:
        """Be the authority."""
        return None if token in self.revoked else self.grants.get(token)

    def counts(self, keys: NodeKeys, path: str = PATH) -> str:
        """Return the token that counts for a key at a path, "" for none."""
        key = self.keys.find(keys.kid, sid_of(path))
        assert key is None or key.grant is None or key.jwk["fame.grant"] == key.grant.token_id
        return key.grant.token_id if key is not None and key.grant is not None else ""

    def certify(self, keys: NodeKeys, path: str) -> None:
        """Give a key a certificate for a path."""
        self.certified.add(f"{keys.public_jwks()[0]['x']} {path}")

    def told(
        self, jwks: object, path: str = PATH, by: Link | None = None, *, beyond: bool = False
    ) -> list[Key] | Refusal:
        """Have keys told; by a link to the node itself unless another one is given."""
        raw = msgspec.Raw(json.dumps(jwks).encode())
        return self.keys.learn(raw, path, by or link(path), beyond=beyond)

    def knows(self, keys: NodeKeys, path: str = PATH) -> Standing | None:
        """Say how well a key is known to be that of the node at a path; None when it isn't at all."""
        key = self.keys.find(keys.kid, sid_of(path))
        return key.standing if key is not None else None


def link(path: str, kind: LinkKind = LinkKind.CHILD) -> Link:
    """Make a link to a node that is attached at a path."""
    return Link(1, kind, remote_id=path.rpartition("/")[2], remote_path=path)


PEER = link("/s2", LinkKind.PEER)


def theirs(keys: NodeKeys, **members: object) -> list[Meta]:
    """Return the JWKs of a node of the original: nothing vouches for the key to seal to."""
    sign, seal = keys.public_jwks()
    return [sign | members, {name: value for name, value in seal.items() if name != VOUCHED}]


# What is taken


def test_a_neighbour_tells_its_own_key() -> None:
    ring = Ring()
    learned = ring.told(theirs(ONE))
    assert isinstance(learned, list)
    assert [(key.kid, key.path, key.standing) for key in learned] == [(ONE.kid, PATH, Standing.ITSELF)]
    assert ring.keys.find(ONE.kid, sid_of(PATH)) is ring.keys.at(PATH) is learned[0]
    assert learned[0].public == ONE.signing.public_key()


def test_what_is_told_on_is_the_jwk_as_it_came_and_where_it_is() -> None:
    ring = Ring()
    ring.told(theirs(ONE, later="x"))
    key = ring.keys.at(PATH)
    assert key is not None
    assert key.jwk == ONE.public_jwks()[0] | {"later": "x", "sid": sid_of(PATH), "physical_path": PATH}


def test_a_key_is_known_at_its_path_alone() -> None:
    ring = Ring()
    ring.told(theirs(ONE))
    assert ring.knows(ONE, "/s1/other") is None
    assert ring.knows(OTHER) is None


@pytest.mark.parametrize(
    "change", [{"crv": "Ed448"}, {"kty": "RSA"}, {"use": "enc"}, {"use": ""}, {"crv": "P-256", "kty": "EC"}], ids=str
)
def test_keys_of_other_kinds_are_passed_over(change: dict[str, str]) -> None:
    ring = Ring()
    assert ring.told([OTHER.public_jwks()[0] | change, *theirs(ONE)]) == [ring.keys.at(PATH)]
    assert ring.told(theirs(OTHER, **change)) == []


@pytest.mark.parametrize(
    "keys",
    [
        "{}",
        "7",
        '"text"',
        "null",
        "true",
        "[7]",
        '[{"kid":7}]',
        "[null]",
        "[",
        "NaN",
        "[" * 100_000,
        '["\\ud800"]',
        "é",
    ],
    ids=lambda keys: keys[:10],
)
def test_what_is_no_list_of_keys_is_refused(keys: str) -> None:
    refusal = Ring().keys.learn(msgspec.Raw(keys.encode("latin-1")), PATH, link(PATH), beyond=True)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "INVALID_KEYS"


def test_no_keys_are_none() -> None:
    assert Ring().keys.learn(msgspec.Raw(), PATH, link(PATH), beyond=False) == []


@pytest.mark.parametrize(
    "change",
    [
        {"x": "AAAA"},
        {"x": "é"},
        {"x": ONE.public_jwks()[0]["x"] + "!"},
        {"kid": ""},
        {"kid": "k" * 129},
        {"kid": "a\nb"},
        {"more": "m" * 20000},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_key_that_is_none_is_refused(change: dict[str, str]) -> None:
    ring = Ring()
    refusal = ring.told(theirs(ONE, **change))
    assert isinstance(refusal, Refusal)
    assert refusal.code == "KEY_REFUSED"
    assert not len(ring.keys)


@pytest.mark.parametrize(
    "path", ["", "/", "s1", "/s1//math", "/s1/", "/" + "s" * 1100, "/s 1"], ids=lambda path: path[:9]
)
def test_a_key_without_a_path_is_refused(path: str) -> None:
    ring = Ring()
    assert isinstance(ring.told(theirs(ONE), path, PEER, beyond=True), Refusal)
    assert not len(ring.keys)


# Who may tell


def test_a_neighbour_speaks_for_what_is_below_it_by_whole_names() -> None:
    ring = Ring()
    teller = link("/s1/ab")
    assert isinstance(ring.told(theirs(ONE), "/s1/ab/x/y", teller), list)
    for path in ("/s1/abc", "/s1/abc/x", "/s1", "/s1/a", "/s2/ab/x"):
        assert isinstance(ring.told(theirs(OTHER), path, teller), Refusal)
    assert (ring.knows(ONE, "/s1/ab/x/y"), len(ring.keys)) == (Standing.BELOW, 1)


def test_who_may_speak_of_what_lies_beyond_is_believed_least() -> None:
    ring = Ring()
    assert isinstance(ring.told(theirs(ONE), "/s3/math", PEER, beyond=True), list)
    assert ring.knows(ONE, "/s3/math") is Standing.BEYOND


def test_nothing_is_below_a_neighbour_whose_path_is_not_known() -> None:
    ring = Ring()
    assert isinstance(ring.told(theirs(ONE), by=link("")), Refusal)


def test_a_kid_is_not_for_another_key_wherever_that_is() -> None:
    ring = Ring()
    ring.told(theirs(ONE, kid="k"))
    for path in (PATH, "/s1/evil"):
        refusal = ring.told(theirs(OTHER, kid="k"), path)
        assert refusal == Refusal("KEY_REFUSED", "k is another key already")
    assert [key.public for key in ring.keys.all_of("k")] == [ONE.signing.public_key()]


def test_a_kid_that_is_the_name_of_a_key_can_not_be_squatted() -> None:
    ring = Ring()
    ring.told(theirs(OTHER, kid=ONE.kid), "/s1/evil")
    assert isinstance(ring.told(theirs(ONE)), list)
    assert [key.path for key in ring.keys.all_of(ONE.kid)] == [PATH]


def test_a_kid_that_was_only_told_of_goes_to_the_key_that_is_proved() -> None:
    ring = Ring()
    ring.told(theirs(OTHER, kid="k"), "/s1/evil")
    token = ring.grant(ONE, "math")
    assert isinstance(ring.told(theirs(ONE, kid="k", **{"fame.grant": token})), list)
    assert [key.standing for key in ring.keys.all_of("k")] == [Standing.PROVED]


def test_a_kid_that_is_proved_is_nobody_elses_even_if_that_is_proved() -> None:
    ring = Ring()
    ring.told(theirs(ONE, kid="k", **{"fame.grant": ring.grant(ONE, "math")}))
    other = theirs(OTHER, kid="k", **{"fame.grant": ring.grant(OTHER, "evil")})
    assert isinstance(ring.told(other, "/s1/evil"), Refusal)
    assert ring.keys.all_of("k")[0].path == PATH


def test_our_own_key_is_where_we_are_and_nowhere_else() -> None:
    ring = Ring()
    own = msgspec.Raw(json.dumps(ONE.public_jwks()).encode())
    ring.keys.learn(own, "/s1", None, beyond=True)
    assert ring.told(theirs(ONE), "/s2/x", PEER, beyond=True) == Refusal("KEY_REFUSED", f"{ONE.kid} is our own key")
    assert isinstance(ring.told(theirs(OTHER), "/s1", PEER, beyond=True), Refusal)
    assert ring.knows(ONE, "/s1") is Standing.OWN


def test_a_node_that_has_moved_leaves_its_old_path_to_others() -> None:
    ring = Ring()
    own = msgspec.Raw(json.dumps(ONE.public_jwks()).encode())
    ring.keys.learn(own, "/s1/a", None, beyond=True)
    ring.keys.learn(own, "/s2/a", None, beyond=True)
    assert isinstance(ring.told(theirs(OTHER), "/s1/a", PEER, beyond=True), list)
    assert ring.knows(ONE, "/s1/a") is Standing.OWN
    ring.now += ROTATED_S
    assert (ring.knows(ONE, "/s1/a"), ring.knows(ONE, "/s2/a")) == (None, Standing.OWN)


# Proof


def proved(ring: Ring, keys: NodeKeys, path: str, node: str = "math", by: Link = PEER) -> list[Key] | Refusal:
    """Have a proved key told by somebody it has nothing to do with."""
    return ring.told(keys.public_jwks(ring.grant(keys, node)), path, by)


def test_a_proved_key_is_believed_whoever_tells_it() -> None:
    ring = Ring()
    assert isinstance(proved(ring, ONE, "/s9/math"), list)
    assert ring.knows(ONE, "/s9/math") is Standing.PROVED


@pytest.mark.parametrize(
    ("path", "standing"),
    [
        ("/s9/math", Standing.PROVED),
        ("/s9/math-a1B2", Standing.NAMESAKE),
        ("/s9/math-a1B", None),
        ("/s9/math-a1B2c", None),
        ("/s9/maths", None),
        ("/math/x", None),
        ("/s9/math+a1B2", None),
    ],
)
def test_a_grant_proves_a_key_at_the_ids_it_allows(path: str, standing: Standing | None) -> None:
    ring = Ring()
    assert isinstance(proved(ring, ONE, path), Refusal if standing is None else list)
    assert ring.knows(ONE, path) is standing


@pytest.mark.parametrize("case", ["another key's", "no key's", "not believed", "no text"])
def test_a_grant_that_does_not_fit_proves_nothing(case: str) -> None:
    ring = Ring()
    token: Any = ring.grant(OTHER, "math")
    if case == "no key's":
        ring.grants[token] = replace(ring.grants[token], thumbprint="")
    elif case == "not believed":
        token = "token of somebody else"
    elif case == "no text":
        token = {"a": [1]}
    jwks = theirs(ONE, **{"fame.grant": token})
    assert isinstance(ring.told(jwks, PATH, PEER), Refusal)
    assert isinstance(ring.told(jwks), list)
    assert ring.knows(ONE) is Standing.ITSELF


def test_a_proved_key_may_be_at_several_paths() -> None:
    ring = Ring()
    for path in ("/s1/math", "/s2/math", "/s1/math-0000"):
        proved(ring, ONE, path)
    assert {key.path for key in ring.keys.all_of(ONE.kid)} == {"/s1/math", "/s2/math", "/s1/math-0000"}


def test_a_key_is_over_with_its_grant() -> None:
    ring = Ring()
    ring.told(ONE.public_jwks(ring.grant(ONE, "math", expires_at=ring.now + 60)))
    ring.now += 59.9
    assert ring.knows(ONE) is Standing.PROVED
    ring.now += 0.1
    assert (ring.knows(ONE), ring.keys.at(PATH), ring.keys.all_of(ONE.kid), len(ring.keys)) == (None, None, [], 0)


def test_a_later_grant_prolongs_a_key_and_an_older_one_does_not_shorten_it() -> None:
    ring = Ring()
    for issued_at, seconds in ((1, 60), (2, 120), (0, 30)):
        token = ring.grant(ONE, "math", expires_at=ring.now + seconds, issued_at=issued_at)
        ring.told(ONE.public_jwks(token), PATH, PEER)
    ring.now += 119
    assert ring.knows(ONE) is Standing.PROVED


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 1, 0), (1, 0, 1)], ids=str)
@pytest.mark.parametrize("paths", [(PATH, PATH), (PATH, "/s2/math-a1B2")], ids=["one path", "two paths"])
def test_of_several_tokens_for_a_key_the_one_issued_last_counts(order: tuple[int, ...], paths: tuple[str, ...]) -> None:
    ring = Ring()
    old = ring.grant(ONE, "math", expires_at=ring.now + 900, issued_at=1)
    new = ring.grant(ONE, "math*", expires_at=ring.now + 60, issued_at=2)
    for which in order:
        assert isinstance(ring.told(ONE.public_jwks((old, new)[which]), paths[which], PEER), list)
    assert {ring.counts(ONE, path) for path in paths} == {new}
    assert ring.keys.shown_with(ONE.kid) == f"2 {new}"


def test_of_tokens_issued_in_the_same_second_the_one_shown_last_counts() -> None:
    ring = Ring()
    first, second = (ring.grant(ONE, "math", issued_at=1) for _ in range(2))
    for token in (first, second, first):
        ring.told(ONE.public_jwks(token), PATH, PEER)
        assert ring.counts(ONE) == token


def test_a_token_for_another_id_leaves_a_key_what_it_may_under_its_own() -> None:
    ring = Ring()
    math, poems = ring.grant(ONE, "math", issued_at=1), ring.grant(ONE, "poems", issued_at=2)
    ring.told(ONE.public_jwks(math), PATH, PEER)
    ring.told(ONE.public_jwks(poems), "/s1/poems", PEER)
    assert (ring.counts(ONE), ring.counts(ONE, "/s1/poems")) == (math, poems)


def test_a_token_that_is_taken_back_counts_no_more_at_once() -> None:
    ring = Ring()
    token = ring.grant(ONE, "math", issued_at=2)
    ring.told(ONE.public_jwks(token))
    ring.revoked.add(token)
    assert (ring.knows(ONE), ring.keys.shown_with(ONE.kid)) == (None, "")
    ring.told(ONE.public_jwks(token))
    assert (ring.knows(ONE), ring.counts(ONE)) == (Standing.ITSELF, "")


def test_an_older_token_counts_again_when_the_newer_one_is_taken_back_or_over() -> None:
    ring = Ring()
    old = ring.grant(ONE, "math", issued_at=1)
    for number in range(2):
        newer = ring.grant(ONE, "math", expires_at=ring.now + 60, issued_at=2)
        ring.told(ONE.public_jwks(newer), PATH, PEER)
        assert ring.counts(ONE) == newer
        ring.revoked.update([newer] if number else [])
        ring.now += 60 if not number else 0
        ring.told(ONE.public_jwks(old), PATH, PEER)
        assert ring.counts(ONE) == old


def test_a_newer_token_counts_for_a_key_whose_certificate_was_told_before() -> None:
    ring = Ring()
    ring.certify(ONE, PATH)
    ring.told(ONE.public_jwks(ring.grant(ONE, "math", issued_at=1)), PATH, PEER)
    ring.certified.clear()
    newer = ring.grant(ONE, "math", issued_at=2)
    ring.told(ONE.public_jwks(newer), PATH, PEER)
    assert (ring.knows(ONE), ring.counts(ONE)) == (Standing.CERTIFIED, newer)


def test_our_own_key_is_told_with_the_token_we_have_now() -> None:
    ring = Ring()
    for issued_at in (2, 1):
        token = ring.grant(ONE, "math", issued_at=issued_at)
        ring.keys.learn(msgspec.Raw(json.dumps(ONE.public_jwks(token)).encode()), PATH, None, beyond=True)
        assert (ring.knows(ONE), ring.counts(ONE)) == (Standing.OWN, token)


# Who is believed before whom


def test_where_a_proved_key_is_nobody_can_tell_another() -> None:
    ring = Ring()
    proved(ring, ONE, PATH)
    assert isinstance(ring.told(theirs(OTHER), PATH, PEER, beyond=True), Refusal)
    assert isinstance(ring.told(theirs(OTHER), PATH, link("/s1")), Refusal)
    assert (ring.knows(ONE), ring.knows(OTHER)) == (Standing.PROVED, None)


def test_what_was_told_of_a_path_goes_when_its_key_is_proved() -> None:
    ring = Ring()
    ring.told(theirs(OTHER), PATH, PEER, beyond=True)
    proved(ring, ONE, PATH)
    assert (ring.knows(ONE), ring.knows(OTHER)) == (Standing.PROVED, None)


def test_a_namesake_does_not_take_the_place_of_the_node_whose_name_it_would_have() -> None:
    ring = Ring()
    proved(ring, OTHER, "/s1/db-prod", "db-prod")
    assert isinstance(proved(ring, ONE, "/s1/db-prod", "db"), Refusal)
    assert ring.knows(OTHER, "/s1/db-prod") is Standing.PROVED


def test_who_is_let_in_at_a_path_is_there_whoever_was_there_before() -> None:
    ring = Ring()
    proved(ring, ONE, PATH)
    assert isinstance(ring.told(theirs(OTHER)), list)
    assert (ring.knows(ONE), ring.knows(OTHER)) == (Standing.PROVED, Standing.ITSELF)
    assert ring.keys.encryption_at(PATH) == ONE.public_jwks()[1]


def test_what_a_node_says_of_itself_counts_more_than_what_others_say_of_it() -> None:
    ring = Ring()
    ring.told(theirs(ONE))
    assert isinstance(ring.told(theirs(OTHER), PATH, PEER, beyond=True), Refusal)
    ring.told(theirs(ONE), "/s2/x", PEER)
    assert isinstance(ring.told(theirs(OTHER), "/s2/x", link("/s3", LinkKind.PEER), beyond=True), Refusal)


def test_a_certificate_counts_more_than_a_grant() -> None:
    ring = Ring()
    proved(ring, ONE, PATH)
    ring.certify(OTHER, PATH)
    assert isinstance(ring.told(OTHER.public_jwks(), PATH, PEER, beyond=False), list)
    assert (ring.knows(ONE), ring.knows(OTHER)) == (None, Standing.CERTIFIED)
    ring.certified.clear()
    ring.told(theirs(OTHER))
    key = ring.keys.at(PATH)
    assert key is not None
    assert (key.is_certified, key.teller) == (True, PEER)


def test_a_key_that_another_has_followed_is_good_for_a_while() -> None:
    ring = Ring()
    proved(ring, ONE, PATH)
    proved(ring, OTHER, PATH)
    ring.now += ROTATED_S - 1
    assert (ring.knows(ONE), ring.knows(OTHER)) == (Standing.PROVED, Standing.PROVED)
    key = ring.keys.at(PATH)
    assert key is not None
    assert key.kid == OTHER.kid
    ring.now += 1
    assert (ring.knows(ONE), ring.knows(OTHER)) == (None, Standing.PROVED)


def test_a_key_that_is_told_again_is_back() -> None:
    ring = Ring()
    for keys in (ONE, OTHER, ONE):
        ring.told(theirs(keys))
    ring.now += ROTATED_S
    assert (ring.knows(ONE), ring.knows(OTHER)) == (Standing.ITSELF, None)


def test_few_keys_are_remembered_at_one_path() -> None:
    ring = Ring()
    proved(ring, ONE, PATH)
    for _ in range(20):
        ring.told(theirs(generate()))
    assert (len(ring.keys), ring.knows(ONE)) == (keyring.MAX_AT_PATH, Standing.PROVED)


# The key to seal to


def test_the_key_to_seal_to_comes_with_the_key_to_sign_with() -> None:
    ring = Ring()
    proved(ring, ONE, PATH)
    assert ring.keys.encryption_at(PATH) == ONE.public_jwks()[1]
    assert ring.keys.encryption_at("/s1/other") is None


@pytest.mark.parametrize("vouched", [True, False])
def test_nobody_exchanges_the_key_to_seal_to_of_a_proved_key(vouched: bool) -> None:
    ring = Ring()
    sign = ONE.public_jwks(ring.grant(ONE, "math"))[0]
    other = (OTHER.public_jwks() if vouched else theirs(OTHER))[1]
    ring.told([sign, other], PATH, PEER)
    assert (ring.knows(ONE), ring.keys.encryption_at(PATH)) == (Standing.PROVED, None)
    ring.told([sign, ONE.public_jwks()[1]], PATH, PEER)
    ring.told([sign, other], PATH, PEER)
    assert ring.keys.encryption_at(PATH) == ONE.public_jwks()[1]


def test_a_key_to_seal_to_that_was_only_told_does_not_become_proved_with_the_other_one() -> None:
    ring = Ring()
    ring.told([ONE.public_jwks()[0], theirs(OTHER)[1]], PATH, PEER, beyond=True)
    ring.told([ONE.public_jwks(ring.grant(ONE, "math"))[0]], PATH, PEER)
    assert (ring.knows(ONE), ring.keys.encryption_at(PATH)) == (Standing.PROVED, None)


def test_a_certified_key_needs_to_vouch_as_well() -> None:
    ring = Ring()
    ring.certify(ONE, PATH)
    ring.told([ONE.public_jwks()[0], theirs(OTHER)[1]], PATH, PEER)
    assert (ring.knows(ONE), ring.keys.encryption_at(PATH)) == (Standing.CERTIFIED, None)


def test_a_peer_does_not_exchange_the_key_to_seal_to_of_a_neighbour() -> None:
    ring = Ring()
    ring.told(theirs(ONE))
    ring.told([theirs(ONE)[0], theirs(OTHER)[1]], PATH, PEER, beyond=True)
    assert ring.keys.encryption_at(PATH) == theirs(ONE)[1]


# Forgetting


def test_what_a_link_has_told_goes_with_it_but_for_what_is_proved() -> None:
    ring = Ring()
    third = generate()
    ring.told(theirs(ONE), "/s2/x", PEER)
    proved(ring, OTHER, PATH)
    ring.told(theirs(third), "/s1/c")
    ring.keys.forget(PEER)
    assert (ring.knows(ONE, "/s2/x"), ring.knows(OTHER), ring.knows(third, "/s1/c")) == (
        None,
        Standing.PROVED,
        Standing.ITSELF,
    )
    ring.keys.forget(PEER)
    assert len(ring.keys) == 2


def test_a_neighbour_that_reconnects_keeps_its_key_when_its_old_link_ends() -> None:
    ring = Ring()
    old, new = link(PATH), link(PATH)
    ring.told(theirs(ONE), PATH, old)
    ring.told(theirs(ONE), PATH, new)
    ring.keys.forget(old)
    assert ring.knows(ONE) is Standing.ITSELF
    ring.keys.forget(new)
    assert ring.knows(ONE) is None


def test_what_one_peer_has_told_does_not_pass_to_another_that_says_the_same() -> None:
    ring = Ring()
    other = link("/s4", LinkKind.PEER)
    ring.told(theirs(ONE), "/s3/x", PEER, beyond=True)
    ring.told(theirs(ONE), "/s3/x", other, beyond=True)
    ring.keys.forget(other)
    assert ring.knows(ONE, "/s3/x") is Standing.BEYOND


def test_one_neighbour_pushes_out_nothing_but_what_it_has_told_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring, "MAX_TOLD", 3)
    ring = Ring()
    mine = [generate() for _ in range(5)]
    ring.told(theirs(ONE))
    proved(ring, OTHER, "/s2/math")
    for number, keys in enumerate(mine[:3]):
        ring.told(theirs(keys), f"/s2/{number}", PEER)
    assert ring.knows(mine[0], "/s2/0") is not None  # it is in use
    for number, keys in enumerate(mine[3:], 3):
        assert isinstance(ring.told(theirs(keys), f"/s2/{number}", PEER), list)
    assert [ring.knows(keys, f"/s2/{number}") is not None for number, keys in enumerate(mine)] == [1, 0, 0, 1, 1]
    assert (ring.knows(ONE), ring.knows(OTHER, "/s2/math")) == (Standing.ITSELF, Standing.PROVED)


def test_one_neighbour_fills_no_more_than_its_bytes() -> None:
    ring = Ring()
    for number in range(200):
        ring.told(theirs(generate(), more="m" * 15_000), f"/s2/{number}", PEER)
    assert 100 < len(ring.keys) <= keyring.MAX_TOLD_BYTES / 15_000


def test_a_key_told_again_and_again_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring, "MAX_TOLD", 2)
    ring = Ring()
    ring.told(theirs(OTHER), "/s2/y", PEER)
    for _ in range(5):
        ring.told(theirs(ONE), "/s2/x", PEER)
    assert ring.knows(OTHER, "/s2/y") is Standing.BELOW


def test_a_key_is_remembered_at_the_paths_where_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring, "MAX_PATHS", 3)
    ring = Ring()
    proved(ring, ONE, "/s0/math")
    for number in range(1, 9):
        assert ring.knows(ONE, "/s0/math") is not None
        proved(ring, ONE, f"/s{number}/math")
    assert {key.path for key in ring.keys.all_of(ONE.kid)} == {"/s0/math", "/s7/math", "/s8/math"}


def test_the_least_recently_used_go_first_and_our_own_never(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring, "MAX_KEYS", 3)
    ring = Ring()
    own, used = generate(), generate()
    ring.keys.learn(msgspec.Raw(json.dumps(own.public_jwks()).encode()), "/s1", None, beyond=True)
    ring.told(theirs(used))
    for number in range(5):
        assert ring.knows(used) is not None
        ring.told(theirs(generate()), f"/s1/c{number}")
    assert len(ring.keys) == 3
    assert (ring.knows(own, "/s1"), ring.knows(used)) == (Standing.OWN, Standing.ITSELF)


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from(["/s1/a", "/s1/b", "/s2"]), st.integers(0, 2), st.integers(0, 3)),
        max_size=25,
    )
)
@PROPERTY
def test_whatever_is_told_and_forgotten_in_the_end_nothing_is_left(events: list[tuple[int, str, int, int]]) -> None:
    """Three tellers tell, prove and leave in any order; the counts inside stay right."""
    ring = Ring()
    tellers = [link("/s1"), PEER, link("/s1/a")]
    for which, path, teller, what in events:
        keys = POOL[which]
        token = ring.grant(keys, path.rpartition("/")[2], expires_at=ring.now + 10) if what == 1 else ""
        if what == 2:
            ring.keys.forget(tellers[teller])
        elif what == 3:
            ring.now += 4
        else:
            kid = {} if which % 2 else {"kid": "k"}
            ring.told([keys.public_jwks(token)[0] | kid], path, tellers[teller], beyond=teller == 1)
        assert len({(key.kid, key.public.public_bytes_raw()) for kid in KIDS for key in ring.keys.all_of(kid)}) == len(
            {kid for kid in KIDS if ring.keys.all_of(kid)}
        )
    for teller in tellers:
        ring.keys.forget(teller)
    ring.now += 1000
    assert [ring.keys.at(path) for path in ("/s1/a", "/s1/b", "/s2")] == [None] * 3
    assert len(ring.keys) == 0


POOL = [generate() for _ in range(4)]
KIDS = ["k", *(keys.kid for keys in POOL)]
