"""The language of `when`: what holds, what fails and so denies, and what is refused when it is read."""

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fame_cli.config.policy_file import compile_regex
from fame_cli.core.envelope import decode
from fame_cli.errors import ConfigError
from fame_cli.security.expression import MAX_CHARACTERS, MAX_DEPTH, MAX_NODES, parse
from fame_cli.security.facts import Facts
from fame_cli.security.functions import EvaluationFailed

CLAIMS: dict[str, Any] = {
    "sub": "client1",
    "aud": "/s1",
    "role": "Administrator",
    "level": 5,
    "vip": True,
    "groups": ["a", "b"],
    "many": ["x"] * 65,
    "long": "x" * 1025,
    "x-y": {"z": "deep"},
    "nan": float("nan"),
    "huge": 10**400,
}
ENVELOPE = decode(
    json.dumps(
        {
            "id": "e1",
            "sid": "S",
            "to": "math@fame.fabric",
            "replyTo": "__rpc__@/s1/c1",
            "sec": {"sig": {"kid": "K1", "val": "…"}, "enc": {"alg": "x", "kid": "K2"}},
            "frame": {"type": "Data", "payload": {}},
        }
    ).encode()
)
FACTS = Facts(
    "deliver_local",
    address="math@fame.fabric",
    origin_type="downstream",
    frame_type="Data",
    node="client1",
    subject="client1",
    roles=frozenset({"client"}),
    scopes=frozenset({"node.connect", "admin"}),
    claims=CLAIMS,
    envelope=ENVELOPE,
    signed=True,
    encrypted="channel",
    own_id="s1",
    own_path="/s1",
    now=1_700_000_000.5,
)


def holds(text: str, facts: Facts = FACTS) -> bool:
    return parse(text, compile_regex).holds(facts)


def refused(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse(text, compile_regex)
    return caught.value


@pytest.mark.parametrize(
    "text",
    [
        "true",
        "!false",
        "!null",
        "!!true",
        'claims.aud == "/" + node.id',
        "claims.aud == '/s1'",
        'claims["sub"] == neighbour.id',
        'claims["x-y"].z == "deep"',
        'claims.groups[1] == "b"',
        "claims.groups[9] == null",
        "claims.absent == null && null == claims.absent.further",
        'claims.absent != "admin"',
        'lower(claims.role) == "administrator" && upper("ß") == "SS"',
        "claims.level >= 5 && claims.level < 5.5 && 2 + 3 * 2 == 8 && 7 % 4 == 3 && -claims.level == -5",
        '"b" > "a" && "a" <= "a"',
        '"a" in claims.groups && "c" not in claims.groups && claims.role in ["Administrator", "x"]',
        '"z" in claims["x-y"]',
        'starts_with(claims.role, "Admin") && ends_with(claims.role, "or") && contains(claims.role, "nist")',
        'contains(claims.groups, "a")',
        "len(claims.groups) == 2 && len(claims.absent) == 0 && len(split('a,b,c', ',')) == 3",
        'trim("  a ") == "a" && split("a.b", ".")[1] == "b"',
        'exists(claims.sub) && !exists(claims.absent) && coalesce(claims.absent, "x") == "x"',
        'glob_match(envelope.to, "*@fame.*") && !glob_match(envelope.to, "*")',
        'regex_match(envelope.to, "^math[0-9]*@") && !regex_match(claims.absent, ".*")',
        'regex_match("a1", "^a\\\\d$")',
        'has_scope("admin") && !has_scope("root") && !has_scope(claims.absent)',
        'has_any_scope("root", "admin") && has_any_scope(["admin"]) && has_all_scopes("admin", "node.connect")',
        "!has_all_scopes([]) && !has_all_scopes('admin', claims.absent)",
        'is_signed() && is_encrypted() && encryption_level() == "channel"',
        'is_encrypted_at_least("channel") && !is_encrypted_at_least("sealed")',
        'envelope.frame.type == "Data" && envelope.replyTo == envelope.reply_to && envelope.sid == "S"',
        'envelope.sec.sig.present && envelope.sec.sig.kid == "K1" && envelope.sec.enc.level == "channel"',
        'delivery.origin_type == "downstream" && delivery.originType == delivery.origin_type',
        'delivery.routingAction == "deliver_local" && delivery.action == delivery.routing_action',
        'time.now_ms == 1700000000500 && time.now_iso == "2023-11-14T22:13:20.500Z"',
        "claims.vip ? claims.level == 5 : false",
        "false || claims.absent || true",
        "claims.level == 5.0",
        'node.path == "/s1" && node.sid == node.sid',
        '"client" in neighbour.roles && neighbour.subject == "client1"',
        "len(secure_hash(claims.sub)) == 16 && len(secure_hash(claims.sub, 8)) == 8",
    ],
)
def test_what_is_so_holds(text: str) -> None:
    assert holds(text)


@pytest.mark.parametrize("text", ["false", "null", "claims.absent", "true == 1", '"5" == 5', "claims.groups == 'a'"])
def test_what_is_not_so_does_not(text: str) -> None:
    assert not holds(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("claims.absent == claims.missing", "neither side"),
        ("claims.absent != envelope.flowId", "neither side"),
        ("claims.absent > 3", "nothing > a number has no value"),
        ('claims.level > "3"', "a number > a text has no value"),
        ("claims.sub", "a text where true or false is wanted"),
        ("!claims.level", "a number where true or false is wanted"),
        ("claims.sub.name == 'x'", "a text has no member name"),
        ("claims.groups['a']", "a list has no item named by a text"),
        ("1 / 0 == 1", "a division by 0"),
        ("1 % 0 == 1", "a division by 0"),
        ("claims.long == 'x'", "more than 1024 characters"),
        ("'x' in claims.many", "more than 64 items"),
        ("claims.nan < 1", "too large"),
        ("claims.huge > 1", "too large"),
        ("9000000000000000000 * 9 > 1", "too large"),
        ("lower(claims.level) == 'x'", "lower wants a text, not a number"),
        ("len(5) == 1", "len wants"),
        ("'a' in 'abc'", "in wants a list"),
        ("split('abc', '')[0] == 'a'", "separator"),
        ("glob_match(claims.sub, '^a')", "glob_match"),
        ("is_encrypted_at_least('very')", "plaintext, channel, sealed"),
        ("regex_match(claims.level, '5')", "regex_match wants a text"),
        ("secure_hash('a', 99) == 'x'", "length of 1 to 43"),
        ("true + 1 == 2", "true or false + a number"),
    ],
)
def test_what_has_no_value_fails_and_says_why_without_the_value(text: str, why: str) -> None:
    with pytest.raises(EvaluationFailed) as caught:
        holds(text)
    assert why in str(caught.value)


def test_a_text_that_grows_past_its_limit_fails() -> None:
    with pytest.raises(EvaluationFailed, match="1024"):
        holds(f'"{"x" * 1000}" + "{"y" * 100}" == "z"')


def test_claims_that_are_nested_without_end_fail() -> None:
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(EvaluationFailed, match="too deep"):
        holds("claims.a == claims.b", FACTS._replace(claims={"a": [deep], "b": [[deep]]}))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "at character 1: the end where a value is wanted"),
        ("claims.sub = 'a'", "at character 12: '=' means nothing; write =="),
        ("true & true", "write &&"),
        ("true and true", "'and' after the end of the expression; join conditions by && or ||"),
        ("not true", "write !"),
        ("(true", "')' is wanted"),
        ("true)", "')' after the end"),
        ("'abc", "at character 1: a text without its end"),
        (r"'a\d'", r"at character 3: unknown escape \d; write \\d for \d"),
        ("has_scop('a')", 'at character 1: unknown function "has_scop"; did you mean "has_scope"'),
        ("has_scope()", "has_scope takes 1 arguments, not 0"),
        ("secure_hash()", "secure_hash takes 1 to 2 arguments, not 0"),
        ("claim.sub == 'a'", 'unknown name "claim"; did you mean "claims"'),
        ("envelope.form == 'a'", 'unknown member of envelope "form"'),
        ("envelope.frame == 'Data'", "envelope.frame isn't a value; use envelope.frame.type"),
        ("node.idd == 'a'", 'did you mean "id"'),
        ("1 < 2 < 3", "'<' after the end"),
        ("1 == 1 == 1", "comparisons in a row"),
        ("regex_match(claims.sub, claims.pattern)", "isn't a text in quotes"),
        ("regex_match('a', '(')", "not a regular expression: unclosed group"),
        (r"regex_match('a', '(a)\\1')", "backreferences"),
        ("regex_match('a', '(?=a)')", "look-around"),
        (f"regex_match('a', '{'a' * 257}')", "more than 256"),
        (f"'{'x' * 1025}' == 'a'", "more than 1024"),
        ("claims.5", "where a name is wanted"),
        ("claims.", "the end where a name is wanted"),
        ("99999999999999999999 > 1", "too large"),
        ("5x > 1", "means nothing"),
        ("\x00", "means nothing"),
    ],
)
def test_what_is_not_of_the_grammar_is_refused_with_its_place(text: str, what: str) -> None:
    assert what in str(refused(text))


def test_each_limit_is_held_when_an_expression_is_read() -> None:
    assert str(MAX_CHARACTERS) in str(refused(" " * MAX_CHARACTERS + "true"))
    assert str(MAX_DEPTH) in str(refused("(" * MAX_DEPTH + "true" + ")" * MAX_DEPTH))
    assert str(MAX_DEPTH) in str(refused("!" * MAX_DEPTH + "true"))
    assert str(MAX_NODES) in str(refused("||".join(["true"] * (MAX_NODES + 1))))
    assert "64" in str(refused(f"1 in [{','.join(['1'] * 65)}]"))
    assert "16" in str(refused(f"coalesce({','.join(['1'] * 17)}) == 1"))


def test_what_is_just_within_the_limits_is_read() -> None:
    assert holds("(" * (MAX_DEPTH - 1) + "true" + ")" * (MAX_DEPTH - 1))
    assert holds("||".join(["false"] * (MAX_NODES - 2) + ["true"]))
    assert holds("+".join(["1"] * 127) + " == 127")
    assert holds(f"len([{','.join(['1'] * 64)}]) == 64")


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "(a|a)*b", "(a*)*(a*)*(a*)*b", "^(([a-z])+.)+[A-Z]([a-z])+$", ".*.*.*.*=x"]
)
def test_no_pattern_and_text_keep_it_busy(pattern: str) -> None:
    expression = parse(f"regex_match(claims.x, {json.dumps(pattern)})", compile_regex)
    begun = time.perf_counter()
    expression.holds(Facts("bind", claims={"x": "a" * 1023 + "!"}))
    assert time.perf_counter() - begun < 1.0  # a backtracking engine takes years


@pytest.mark.parametrize(
    ("subject", "prefix"), [("client-test", "zDz0MLPI"), ("alice", "aoB1p0L1"), ("auth0|123", "feNu9SAd")]
)
def test_the_hash_of_a_subject_is_the_prefix_of_the_original_s_node_ids(subject: str, prefix: str) -> None:
    assert holds(f"secure_hash('{subject}', 8) == '{prefix}'")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "sub"]), inner, max_size=3),
    max_leaves=6,
)
_WORDS = st.sampled_from(
    [
        *("claims", "claims.a", "claims.b", "claims.a.b", "claims['sub']", "claims.a[0]", "null", "true", "1", "'x'"),
        *("node.id", "envelope.to", "has_scope(", "lower(", "len(", "contains(", "coalesce(", "regex_match("),
        *(")", ",", "&&", "||", "!", "==", "!=", "<", ">=", "in", "+", "-", "*", "/", "%", "?", ":", "[", "]", "("),
    ]
)


@settings(max_examples=500, deadline=None)
@given(st.text(max_size=120) | st.lists(_WORDS, min_size=1, max_size=9).map(" ".join), _JSON)
def test_any_text_is_refused_or_has_a_value_or_fails_as_it_should(text: str, value: Any) -> None:
    try:
        outcome: object = parse(text, compile_regex).holds(FACTS._replace(claims={"a": value, "b": value}))
    except (ConfigError, EvaluationFailed) as error:
        outcome = error.message != ""
    assert outcome in (True, False)
