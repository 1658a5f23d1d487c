"""Who may look into the messages a node keeps, and change what becomes of them: admins, wherever they are attached."""

from dataclasses import dataclass

import pytest
from secure_rig import SecureRig

from fame_cli.config.policy_file import compile_regex
from fame_cli.core.calls import request_payload
from fame_cli.core.effects import Send
from fame_cli.core.envelope import Envelope, data_frame
from fame_cli.core.gate import ADMIN_ONLY
from fame_cli.core.grant import ADMIN, CLIENT, PEER, Grant
from fame_cli.core.link import Link, LinkKind
from fame_cli.security.expression import parse
from fame_cli.security.gated import NO_ADMIN, GrantGate
from fame_cli.security.judging import Judge
from fame_cli.security.policy import Policy, Rule

PROFILES = ["gated", "overlay", "strict-overlay"]
NEAR, FAR, AGENT = "s1", "s3", "math"


def fabric(profile: str, *bare: str, roles: frozenset[str]) -> SecureRig:
    """Make a chain of three sentinels, an agent at its end and somebody of some roles at its beginning."""
    rig = SecureRig("s1", "s2", "s3", profile=profile, bare=bare)
    rig.chain("s1", "s2", "s3")
    rig.leaf(AGENT, "s3", "math1@fame.fabric")
    rig.allow("asker", roles=roles)
    rig.leaf("asker", "s1")
    return rig


def ask(rig: SecureRig, at: str, method: str, **how: object) -> tuple[int, str]:
    """Ask a node at `__sys__`; return how many requests it was given, and the code of the refusal, "" for none."""
    asker, node = rig["asker"], rig[at]
    before = len(node.requests())
    to = f"__sys__@{node.core.table.path}"
    key, effects = asker.core.call(to, method, b"{}", rig.now, **how)  # type: ignore[arg-type]  # tests only
    rig.do(asker, effects)
    rig.run()
    codes = [outcome.code for outcome in rig.outcomes("asker", key)]
    return len(node.requests()) - before, codes[0] if codes else ""


@pytest.mark.parametrize("at", [NEAR, FAR, AGENT])
@pytest.mark.parametrize("profile", PROFILES)
def test_an_admin_may_and_a_client_may_not(profile: str, at: str) -> None:
    admin, client = (fabric(profile, roles=frozenset({role})) for role in (ADMIN, CLIENT))
    for method in sorted(ADMIN_ONLY):
        assert ask(admin, at, method) == (1, "")
        assert ask(client, at, method) == (0, "UNAUTHORIZED")


@pytest.mark.parametrize("at", [NEAR, FAR, AGENT])
def test_in_the_open_everybody_may(at: str) -> None:
    assert ask(fabric("open", roles=frozenset({CLIENT})), at, "mail.drop") == (1, "")


@pytest.mark.parametrize("profile", PROFILES)
def test_a_request_nobody_answers_is_held_to_the_same(profile: str) -> None:
    rig = fabric(profile, roles=frozenset({CLIENT}))
    for at in (NEAR, FAR, AGENT):
        payload = request_payload("q", "mail.drop", b"{}")
        _, effects = rig["asker"].core.post(f"__sys__@{rig[at].core.table.path}", payload, rig.now)
        rig.do(rig["asker"], effects)
        rig.run()
        assert rig[at].requests() == []


@pytest.mark.parametrize(("role", "reached"), [(CLIENT, (0, "UNAUTHORIZED")), (ADMIN, (1, ""))])
def test_a_sealed_request_is_held_to_the_same(role: str, reached: tuple[int, str]) -> None:
    """It can't be read before it is opened."""
    rig = fabric("strict-overlay", roles=frozenset({role}))
    assert ask(rig, NEAR, "mail.drop", seal_to="/s1") == reached
    assert not [effect for effect in rig["asker"].log if isinstance(effect, Send) and b"mail.drop" in effect.data]


def test_a_key_that_is_only_told_is_no_admins_far_away() -> None:
    rig = fabric("overlay", "asker", roles=frozenset({ADMIN}))
    assert ask(rig, NEAR, "mail.drop") == (1, "")  # by its credential
    assert ask(rig, FAR, "mail.drop") == (0, "UNAUTHORIZED")


SIGNING = ["overlay", "strict-overlay"]


def come_again(rig: SecureRig, role: str, token_id: str, issued_at: float) -> None:
    """Have a new process with the key of the asker show another token than the one before."""
    rig.crash("asker")
    rig.allow("asker", roles=frozenset({role}), token_id=token_id, issued_at=issued_at)
    rig.leaf("asker", NEAR)


def asked_everywhere(rig: SecureRig) -> set[tuple[int, str]]:
    return {ask(rig, at, "mail.drop") for at in (NEAR, FAR, AGENT)}


@pytest.mark.parametrize("profile", SIGNING)
def test_after_an_admins_token_is_revoked_its_key_may_what_an_older_token_says(profile: str) -> None:
    rig = fabric(profile, roles=frozenset({CLIENT}))
    come_again(rig, ADMIN, "admin", 2.0)
    assert asked_everywhere(rig) == {(1, "")}
    rig.revoked.add("admin")
    come_again(rig, CLIENT, "client", 1.0)
    assert asked_everywhere(rig) == {(0, "UNAUTHORIZED")}
    assert ask(rig, FAR, "flow.show") == (1, "")


@pytest.mark.parametrize("profile", SIGNING)
def test_a_token_issued_later_counts_everywhere_whether_it_allows_more_or_less(profile: str) -> None:
    rig = fabric(profile, roles=frozenset({CLIENT}))
    for number, role in enumerate((CLIENT, ADMIN, CLIENT, ADMIN)):
        come_again(rig, role, f"t{number}", float(number))
        assert asked_everywhere(rig) == ({(1, "")} if role is ADMIN else {(0, "UNAUTHORIZED")})


@pytest.mark.parametrize("profile", SIGNING)
def test_a_token_issued_earlier_and_shown_later_does_not_count(profile: str) -> None:
    rig = fabric(profile, roles=frozenset({CLIENT}))
    come_again(rig, CLIENT, "client", 2.0)
    assert asked_everywhere(rig) == {(0, "UNAUTHORIZED")}
    come_again(rig, ADMIN, "admin", 1.0)
    assert asked_everywhere(rig) == {(0, "UNAUTHORIZED")}


def test_an_admin_whose_token_is_revoked_is_none_any_more_over_a_link_that_is_open() -> None:
    rig = fabric("overlay", roles=frozenset({CLIENT}))
    come_again(rig, ADMIN, "admin", 1.0)
    assert asked_everywhere(rig) == {(1, "")}
    rig.revoked.add("admin")
    assert asked_everywhere(rig) == {(0, "UNAUTHORIZED")}


@pytest.mark.parametrize("ours", [True, False])
def test_a_sentinel_of_another_make_has_not_made_sure_who_asks(ours: bool) -> None:
    gate = GrantGate(lambda: 0.0, lambda token: None)
    extensions = frozenset({"mesh", "sys"}) if ours else frozenset()
    peer = Grant("s2", roles=frozenset({PEER}))
    for kind in (LinkKind.PEER, LinkKind.PARENT):
        link = Link(1, kind, remote_id="s2", remote_path="/s2", grant=peer, extensions=extensions)
        assert gate.verify(link, asked("mail.show")) == (None if ours else NO_ADMIN)
        assert gate.verify(link, asked("fabric.names")) is None


def asked(method: str) -> Envelope:
    payload = request_payload("q", method, b"{}")
    return Envelope(id="e", sid="s", to="__sys__@/s1", frame=data_frame(payload))


@dataclass
class Kept:
    """Keep a policy that never changes."""

    policy: Policy

    def refresh(self) -> bool:
        """Have nothing new."""
        return False


@pytest.mark.parametrize(("condition", "allowed"), [("true", True), ("false", False)])
def test_the_policy_is_asked_besides(condition: str, allowed: bool) -> None:
    rule = Rule("only", "allow", actions=frozenset({"mail"}), when=parse(condition, compile_regex))
    judge = Judge(Kept(Policy([rule])), lambda: 0.0, lambda event, facts: None)
    gate = GrantGate(lambda: 0.0, lambda token: None, judge)
    admin = Link(1, LinkKind.CHILD, remote_id="a", remote_path="/s1/a", grant=Grant("a", roles=frozenset({ADMIN})))
    assert (gate.may_mend(admin, asked("mail.drop")) is None) == allowed
