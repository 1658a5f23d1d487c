"""Policy files: what loads, what it comes to, and that nothing wrong is skipped."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fame_cli.config.policy_file import MAX_RULES, PolicyFile, load_policy, policy_path
from fame_cli.config.validate import findings
from fame_cli.errors import ConfigError, FameError
from fame_cli.security.policy import ACTIONS, Facts, Policy

Write = Callable[..., Path]
Read = Callable[[str], Policy]
Wrong = Callable[[str], list[str]]
CALL = Facts("deliver_local", address="math2@fame.fabric", origin_type="downstream", frame_type="Data", node="client1")
DOCUMENT = Path(__file__).parents[2] / "docs" / "policy.md"


@pytest.fixture
def read(write: Write) -> Read:
    return lambda text: load_policy(write(text, "p.yaml"))


@pytest.fixture
def wrong(write: Write) -> Wrong:
    def lines(text: str) -> list[str]:
        path = write(text, "p.yaml")
        with pytest.raises(ConfigError) as caught:
            load_policy(path)
        return findings(caught.value)

    return lines


NAYLENCE = """
version: '1'
type: AdvancedAuthorizationPolicy

rules:
  - id: connect
    action: connect
    effect: allow

  - id: access-math-agent-from-downstream
    origin_type: downstream
    frame_type:
      - Data
    address:
      - math@fame.fabric
    action: forward_downstream
    effect: allow
    when: |
      is_encrypted() && claims.aud == "/" + node.id

  - id: allow-public-key-exchange
    origin_type: downstream
    frame_type: [KeyRequest, KeyAnnounce]
    action: ForwardDownstream
    effect: allow
    when: |
      is_signed() && claims.aud == "/" + node.id

  - id: allow-rpc-replies-from-downstream
    origin_type: downstream
    address:
      - __rpc__*@/**
    action: forward_downstream
    effect: allow
"""


def test_a_file_written_for_the_original_s_advanced_engine_loads_and_decides(read: Read) -> None:
    policy = read(NAYLENCE)
    facts = CALL._replace(
        action="forward_downstream", address="math@fame.fabric", claims={"aud": "/s1"}, own_id="s1", encrypted="channel"
    )
    assert policy.decide(facts).rule == "access-math-agent-from-downstream"
    assert not policy.decide(facts._replace(encrypted="plaintext")).allowed
    assert not policy.decide(facts._replace(own_id="s2")).allowed
    assert policy.decide(facts._replace(frame_type="KeyRequest", signed=True)).rule == "allow-public-key-exchange"
    assert policy.decide(facts._replace(address="__rpc__1@/s1/c")).allowed
    assert not policy.decide(CALL).allowed
    assert [rule.line for rule in policy.rules] == [6, 10, 21, 29]


def test_the_example_of_the_document_loads_and_says_what_it_seems_to(write: Write) -> None:
    yaml = re.findall(r"^```yaml\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (policy,) = [load_policy(write(text, "p.yaml")) for text in yaml]
    facts = CALL._replace(roles=frozenset({"client"}), claims={"team": "science"}, signed=True)
    assert policy.decide(facts).rule == "math-is-for-clients"
    assert not policy.decide(facts._replace(claims={})).allowed
    assert policy.decide(Facts("forward_peer", address="__rpc__x@/s1/c1")).allowed
    assert not policy.unreachable()


@pytest.mark.parametrize("kind", ["", "type: BasicAuthorizationPolicy\n", "type: AdvancedAuthorizationPolicy\n"])
def test_every_type_counts_every_clause(read: Read, kind: str) -> None:
    policy = read(kind + "rules: [{effect: deny, when: 'claims.bad == true'}, {effect: allow}]")
    assert policy.decide(CALL).allowed
    assert not policy.decide(CALL._replace(claims={"bad": True})).allowed


def test_json_is_read_as_well(read: Read) -> None:
    policy = read(
        '{"version": "1", "default_effect": "allow", "rules": [{"id": "x", "effect": "deny", "action": "bind"}]}'
    )
    assert policy.decide(CALL).allowed
    assert policy.decide(Facts("bind")).rule == "x"


def test_no_rules_mean_no(read: Read) -> None:
    assert not read("version: 1").decide(CALL).allowed


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_may_be_written_in_several_ways(read: Read, action: str) -> None:
    camel = "".join(word.title() for word in action.split("_"))
    for written in (action, action.upper(), action.replace("_", "-"), action.replace("_", " "), camel):
        assert read(f"rules: [{{effect: allow, action: '{written}'}}]").decide(Facts(action)).allowed


@pytest.mark.parametrize(
    ("scope", "scopes", "is_met"),
    [
        ("a", {"a"}, True),
        ("'math.*'", {"math.add"}, True),
        ("'math.*'", {"math.add.x"}, False),
        ("{any_of: [a, b]}", {"b"}, True),
        ("{all_of: [a, {none_of: [b, c]}]}", {"a"}, True),
        ("{all_of: [a, {none_of: [b, c]}]}", {"a", "c"}, False),
        ("{any_of: [{any_of: [{any_of: [{any_of: [{any_of: [a]}]}]}]}]}", {"a"}, True),
    ],
)
def test_scopes_are_joined_as_written(read: Read, scope: str, scopes: set[str], is_met: bool) -> None:
    policy = read(f"rules: [{{effect: allow, scope: {scope}}}]")
    assert policy.decide(CALL._replace(scopes=frozenset(scopes))).allowed is is_met


def test_our_own_clauses_are_read(read: Read) -> None:
    policy = read("rules: [{effect: allow, role: [Client, admin], subject: 'team-*', node: ['client?', x]}]")
    facts = CALL._replace(roles=frozenset({"client"}), subject="team-a")
    assert policy.decide(facts).allowed
    for change in ({"roles": frozenset({"peer"})}, {"subject": "a"}, {"node": "y"}):
        assert not policy.decide(facts._replace(**change)).allowed


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "rules: [{effect: allow, adress: x}]",
            'p.yaml:1:25: unknown key "adress" in rules[0]; did you mean "address"',
        ),
        ("rules: []\nrulez: []", 'p.yaml:2:1: unknown key "rulez"; did you mean "rules"'),
        ("rules:\n  - id: x", "p.yaml:2:5: rules[0].effect is missing; add effect: …"),
        ("rules: [{effect: permit}]", 'p.yaml:1:18: rules[0].effect: unknown "permit"; use allow or deny'),
        ("default_effect: maybe", 'p.yaml:1:17: default_effect: unknown "maybe"; use allow or deny'),
        ("version: '2'", "p.yaml:1:10: version: unknown version; use '1'"),
        ("type: OtherPolicy", 'p.yaml:1:7: type: unknown "OtherPolicy"; use BasicAuthorizationPolicy or'),
        (
            "rules: [{effect: allow, action: send}]",
            'p.yaml:1:33: rules[0].action: unknown "send"; use connect',
        ),
        ("rules: [{effect: allow, action: [bind, bnid]}]", 'rules[0].action[1]: unknown "bnid"; did you mean "bind"'),
        ("rules: [{effect: allow, action: []}]", "rules[0].action: the list is empty"),
        ("rules: [{effect: allow, origin_type: side}]", "use downstream, upstream, peer, local"),
        ("rules: [{effect: allow, frame_type: Dat}]", 'did you mean "Data"'),
        ("rules: [{effect: allow, role: boss}]", "use agent, client, peer, admin"),
        ("rules: [{effect: allow, address: '^a$'}]", "p.yaml:1:34: rules[0].address: '^a$' is no pattern"),
        ("rules: [{effect: allow, address: [a, '']}]", "rules[0].address[1]: a pattern has 1-256 characters"),
        ("rules: [{effect: allow, address: {a: b}}]", "rules[0].address: not a text or a list of them"),
        ("rules: [{effect: allow, address: [[a]]}]", "rules[0].address[0]: not a text"),
        (f"rules: [{{effect: allow, node: {'a' * 257}}}]", "a pattern has 1-256 characters"),
        ("rules: [{effect: allow, scope: [a, b]}]", "not a scope; write one pattern, or any_of"),
        (
            "rules: [{effect: allow, scope: {some_of: [a]}}]",
            'rules[0].scope.some_of: unknown key "some_of"',
        ),
        ("rules: [{effect: allow, scope: {any_of: [a], all_of: [b]}}]", "rules[0].scope: not one of any_of"),
        ("rules: [{effect: allow, scope: {any_of: []}}]", "rules[0].scope.any_of: not a list of scopes"),
        ("rules: [{effect: allow, scope: {any_of: [a, '^b']}}]", "p.yaml:1:45: rules[0].scope.any_of[1]: '^b' is no"),
        ("rules: [{effect: allow, scope: " + "{any_of: [" * 6 + "a" + "]}" * 6 + "}]", "nested deeper than 5"),
        ("rules: [{effect: allow, when: 'claims.a = 1'}]", "p.yaml:1:31: rules[0].when: at character 10: '=' means"),
        ("rules: [{effect: allow, when: [a]}]", "rules[0].when: not an expression"),
        ("rules: [{effect: allow, when: 'has_scop(1)'}]", 'unknown function "has_scop"; did you mean "has_scope"'),
        ("rules: [{effect: allow, id: a}, {effect: deny, id: a}]", 'p.yaml:1:52: rules[1].id: a second rule "a"; give'),
        ("rules: [{effect: allow, id: rule_1}, {effect: deny}]", 'a second rule "rule_1"'),
        ("rules: {a: b}", "p.yaml:1:8: rules: not a list"),
        ("rules: [allow]", "rules[0]: not a mapping"),
        ("", "p.yaml:1:1: the file has no settings; begin with version: '1' and rules:"),
        ("- a", "the file has no settings; begin with version"),
        ("rules: [", "not YAML"),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_what_to_do(wrong: Wrong, text: str, line: str) -> None:
    assert line in wrong(text)[0]


@pytest.mark.parametrize(
    "clause", ["when", "scope", "address", "action", "origin_type", "frame_type", "role", "subject", "node"]
)
@pytest.mark.parametrize("value", ["", "null", "''", "[]"])
def test_a_clause_without_a_value_is_an_error_and_no_clause_that_matches_all(
    wrong: Wrong, clause: str, value: str
) -> None:
    assert f"rules[0].{clause}" in wrong(f"rules:\n  - effect: allow\n    {clause}: {value}\n")[0]


def test_all_mistakes_are_listed(wrong: Wrong) -> None:
    text = "rules:\n  - effect: allow\n    when: nope()\n  - effect: never\n  - effect: deny\n    action: fly\n"
    assert [line.split(": ")[0] for line in wrong(text)] == ["p.yaml:3:11", "p.yaml:4:13", "p.yaml:6:13"]


def test_too_many_rules_are_refused(wrong: Wrong) -> None:
    assert "more than 1024 rules" in wrong("rules:\n" + "  - {effect: allow}\n" * (MAX_RULES + 1))[0]


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read"):
        load_policy(tmp_path / "nope.yaml")


def test_dollars_are_left_alone(read: Read) -> None:
    text = (
        r"""rules: [{effect: allow, when: 'regex_match(delivery.address, "^math2@fame\\.fabric$") && "${X}" != ""' }]"""
    )
    assert read(text).decide(CALL).allowed


# Which file


def test_the_file_that_is_given_comes_first_then_the_variable_then_the_config(write: Write) -> None:
    for name in ("given.yaml", "variable.yaml"):
        write("version: 1", name)
    env = {"FAME_AUTH_POLICY_PATH": "variable.yaml"}
    assert policy_path("given.yaml", None, env) == Path("given.yaml")
    assert policy_path(None, None, env) == Path("variable.yaml")
    assert policy_path(None, None, {}) is None


def test_a_config_without_a_policy_names_none(write: Write) -> None:
    write("kind: sentinel\n", "s.yaml")
    assert policy_path(None, "s.yaml", {}) is None


# Keeping in step


def test_a_file_that_has_changed_is_loaded_again(write: Write) -> None:
    path = write("rules: [{effect: allow}]")
    kept = PolicyFile(path)
    assert not kept.refresh()
    write("rules: [{effect: deny }]")
    os.utime(path, (1, 1))
    assert kept.refresh()
    assert not kept.policy.decide(CALL).allowed
    assert not kept.refresh()


def test_a_change_for_the_worse_is_said_once_and_what_was_good_stays(write: Write) -> None:
    path = write("rules: [{effect: allow}]")
    kept = PolicyFile(path)
    write("rules: [{effect: allow, whn: x}]")
    with pytest.raises(ConfigError, match="whn"):
        kept.refresh()
    assert not kept.refresh()
    assert kept.policy.decide(CALL).allowed
    path.unlink()
    with pytest.raises(ConfigError, match="can't be read"):
        kept.refresh()
    assert not kept.refresh()
    write("rules: [{effect: deny}]")
    assert kept.refresh()
    assert not kept.policy.decide(CALL).allowed


_CLAUSES = ["id", "effect", "action", "address", "scope", "when", "role", "any_of", "none_of", "rules", "version"]
_VALUES: Any = st.recursive(
    st.sampled_from(["allow", "deny", "bind", "*", "a.**", "^x", "true", "claims.a > 1", "is_signed()", "~", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_CLAUSES), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(_CLAUSES), _VALUES, max_size=4) | st.fixed_dictionaries({"rules": _VALUES}))
def test_any_document_loads_or_is_refused_with_a_line(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(json.dumps(data), encoding="utf-8")
    try:
        said = str(load_policy(path).decide(CALL).allowed)
    except FameError as error:
        said = str(error)
    assert said in ("True", "False") or re.match(r".*any\.yaml(:\d+)*: .", said)


def test_a_pipe_is_no_policy_and_is_not_waited_for(write: Write) -> None:
    path = write("rules: []\n", "p.yaml")
    kept = PolicyFile(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ConfigError, match=r"p.yaml: can't be read: Not a regular file"):
        kept.refresh()
