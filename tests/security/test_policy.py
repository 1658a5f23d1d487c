"""Rules: the first that matches decides, what can't be evaluated denies, and what is remembered is what was decided."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fame_cli.config.policy_file import compile_regex
from fame_cli.core.envelope import Envelope
from fame_cli.core.frames import Data
from fame_cli.security.expression import Expression, parse
from fame_cli.security.policy import (
    ACTIONS,
    Decision,
    Facts,
    Policy,
    Rule,
    Step,
    all_of,
    any_of,
    none_of,
    scope_matching,
)

CALL = Facts("deliver_local", address="math2@fame.fabric", origin_type="downstream", frame_type="Data", node="client1")


def when(text: str) -> Expression:
    return parse(text, compile_regex)


def rule(name: str = "r", effect: str = "allow", **clauses: Any) -> Rule:
    if "actions" in clauses:
        clauses["actions"] = frozenset(clauses["actions"])
    return Rule(name, effect, **clauses)


def test_the_first_rule_that_matches_decides() -> None:
    policy = Policy(
        [
            rule("bar", "deny", address=("math2@**",), description="math2 is closed"),
            rule("rest"),
        ]
    )
    assert policy.decide(CALL) == Decision(False, "bar", "rule bar denies: math2 is closed")
    assert policy.decide(CALL._replace(address="math1@fame.fabric")) == Decision(True, "rest", "rule rest allows")


def test_without_a_match_the_default_decides_and_that_is_no() -> None:
    assert Policy([]).decide(CALL) == Decision(False, "", "no rule matches, and default_effect is deny")
    assert Policy([], default_allows=True).decide(CALL).allowed


@pytest.mark.parametrize("action", ACTIONS)
def test_a_rule_without_an_action_is_about_every_action(action: str) -> None:
    assert Policy([rule()]).decide(Facts(action)).allowed


@pytest.mark.parametrize("action", ACTIONS)
def test_a_rule_is_about_its_actions_only(action: str) -> None:
    policy = Policy([rule(actions={"bind", "deliver_local"})])
    assert policy.decide(Facts(action)).allowed is (action in ("bind", "deliver_local"))


def test_an_action_nobody_knows_is_denied_even_by_default() -> None:
    decision = Policy([rule()], default_allows=True).decide(Facts("fly"))
    assert decision == Decision(False, "", "unknown action 'fly'")


@pytest.mark.parametrize(
    ("clauses", "facts"),
    [
        ({"address": ("math*@fame.fabric",)}, CALL),
        ({"address": ("nope@**", "math2@**")}, CALL),
        ({"origin_type": frozenset({"downstream", "local"})}, CALL),
        ({"frame_type": frozenset({"Data"})}, CALL),
        ({"node": ("client?",)}, CALL),
        ({"subject": ("team-a.*",)}, CALL._replace(subject="team-a.bob")),
        ({"role": frozenset({"client", "admin"})}, CALL._replace(roles=frozenset({"client"}))),
        ({"scope": scope_matching("math.*")}, CALL._replace(scopes=frozenset({"x", "math.add"}))),
        ({"when": when("claims.a == 1")}, CALL._replace(claims={"a": 1})),
    ],
)
def test_each_clause_matches_what_it_says(clauses: dict[str, Any], facts: Facts) -> None:
    assert Policy([rule(**clauses)]).decide(facts).allowed


@pytest.mark.parametrize(
    ("clauses", "facts"),
    [
        ({"address": ("math*",)}, CALL),
        ({"address": ("**",)}, CALL._replace(address="")),
        ({"origin_type": frozenset({"peer"})}, CALL),
        ({"origin_type": frozenset({"peer"})}, CALL._replace(origin_type="")),
        ({"frame_type": frozenset({"Data"})}, CALL._replace(frame_type="SecureOpen")),
        ({"node": ("**",)}, CALL._replace(node="")),
        ({"subject": ("**",)}, CALL),
        ({"role": frozenset({"client"})}, CALL),
        ({"scope": scope_matching("*")}, CALL),
        ({"when": when("claims.a == 1")}, CALL),
    ],
)
def test_each_clause_refuses_what_it_does_not_say(clauses: dict[str, Any], facts: Facts) -> None:
    policy = Policy([rule(**clauses)])
    assert not policy.decide(facts).allowed
    assert policy.explain(facts) == [Step("r", next(iter(clauses)))]


def test_scopes_are_joined_as_written() -> None:
    wanted = all_of([any_of([scope_matching("a"), scope_matching("b")]), none_of([scope_matching("bad.*")])])
    assert wanted(frozenset({"a"}))
    assert wanted(frozenset({"b", "good.x"}))
    assert not wanted(frozenset({"a", "bad.x"}))
    assert not wanted(frozenset({"c"}))


@pytest.mark.parametrize("effect", ["allow", "deny"])
def test_a_condition_that_has_no_value_denies_whatever_comes_after(effect: str) -> None:
    policy = Policy([rule("broken", effect, when=when("claims.level > 3")), rule("rest")])
    decision = policy.decide(CALL)
    assert decision[:2] == (False, "broken")
    assert "nothing > a number" in decision.why
    assert policy.explain(CALL) == [Step("broken", "when: nothing > a number has no value")]


def test_a_condition_is_only_looked_at_where_all_else_matches() -> None:
    policy = Policy([rule("broken", when=when("claims.level > 3"), address=("other@**",)), rule("rest")])
    assert policy.decide(CALL).rule == "rest"


def test_what_an_expression_reads_decides_anew_for_each_envelope() -> None:
    policy = Policy([rule(when=when("envelope.id == 'a' && is_signed() && time.now < 10"))])
    signed = CALL._replace(envelope=Envelope(id="a", frame=Data()), signed=True, now=9.0)
    assert policy.decide(signed).allowed
    assert not policy.decide(signed._replace(envelope=Envelope(id="b", frame=Data()))).allowed
    assert not policy.decide(signed._replace(signed=False)).allowed
    assert not policy.decide(signed._replace(now=10.0)).allowed
    assert policy.decide(signed).allowed


def test_what_is_remembered_of_one_holder_is_not_said_of_another() -> None:
    policy = Policy([rule(when=when("claims.a == 1 && node.id == 's1'"))])
    good, bad = {"a": 1}, {"a": 2}
    facts = CALL._replace(claims=good, own_id="s1")
    for _ in range(2):
        assert policy.decide(facts).allowed
        assert not policy.decide(facts._replace(claims=bad)).allowed
        assert not policy.decide(facts._replace(own_id="s2")).allowed


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.builds(
            rule,
            st.uuids().map(str),
            st.sampled_from(["allow", "deny"]),
            actions=st.sets(st.sampled_from([*ACTIONS[:3], "*"]), min_size=1),
            address=st.lists(st.sampled_from(["a@*", "b@*", "**"]), max_size=2).map(tuple),
            role=st.frozensets(st.sampled_from(["client", "agent"]), max_size=2),
            when=st.sampled_from([None, when("claims.a == 1"), when("is_signed()"), when("claims.a > 1")]),
        ),
        max_size=6,
    ),
    st.lists(
        st.builds(
            CALL._replace,
            action=st.sampled_from(ACTIONS[:4]),
            address=st.sampled_from(["", "a@x", "b@x", "c@x"]),
            roles=st.frozensets(st.sampled_from(["client", "agent"])),
            claims=st.sampled_from([{}, {"a": 1}, {"a": "x"}]),
            signed=st.booleans(),
        ),
        max_size=8,
    ),
)
def test_decisions_are_those_of_going_through_the_rules_one_by_one(rules: list[Rule], asked: list[Facts]) -> None:
    policy = Policy(rules)
    for facts in asked * 2:
        steps = policy.explain(facts)
        decision = policy.decide(facts)
        if decision.rule:
            assert steps[-1].rule == decision.rule
            assert all(step.missed for step in steps[:-1])
            effect = next(each.effect for each in rules if each.id == decision.rule)
            assert decision.allowed is (effect == "allow" and not steps[-1].missed)
        else:
            assert all(step.missed for step in steps)
            assert not decision.allowed
    for later, earlier in policy.unreachable():
        assert later.id not in {policy.decide(facts).rule for facts in asked}
        assert rules.index(earlier) < rules.index(later)


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ({}, {"address": ("a@*",), "when": when("true")}),
        ({"actions": {"*"}}, {"actions": {"bind"}}),
        ({"actions": set(ACTIONS)}, {}),
        ({"actions": {"bind", "key"}}, {"actions": {"key"}}),
        ({"address": ("a@*", "b@*")}, {"address": ("b@*",), "role": frozenset({"peer"})}),
        ({"address": ("**",)}, {"address": ("a@b",)}),
        ({"origin_type": frozenset({"peer", "local"})}, {"origin_type": frozenset({"peer"})}),
        ({"when": when("is_signed()")}, {"when": when("is_signed()")}),
    ],
)
def test_a_rule_behind_one_that_takes_everything_is_unreachable(earlier: Any, later: Any) -> None:
    policy = Policy([rule("first", **earlier), rule("last", **later)])
    assert [(lost.id, first.id) for lost, first in policy.unreachable()] == [("last", "first")]


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ({"address": ("**",)}, {}),
        ({"actions": {"bind"}}, {}),
        ({"when": when("is_signed()")}, {}),
        ({"scope": scope_matching("**"), "scope_text": "'**'"}, {"scope": scope_matching("a"), "scope_text": "'a'"}),
        ({"address": ("a@*",)}, {"address": ("a@*", "b@*")}),
    ],
)
def test_a_rule_that_still_has_something_left_is_not(earlier: Any, later: Any) -> None:
    assert not Policy([rule("first", **earlier), rule("last", **later)]).unreachable()


def test_it_knows_what_nobody_may_do() -> None:
    policy = Policy([rule(actions={"connect", "bind"}), rule("no", "deny", actions={"key"})])
    assert policy.never_allowed() == [action for action in ACTIONS if action not in ("connect", "bind")]
    assert not Policy([rule()]).never_allowed()
    assert not Policy([], default_allows=True).never_allowed()
