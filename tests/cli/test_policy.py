"""`fame policy`: what is checked, what is asked, the exit codes, and that stdout holds the answer only."""

import json
import os
import threading
from pathlib import Path

import pytest
from fame_runner import Fame

POLICY = """\
rules:
  - id: connect
    action: [connect, bind]
    effect: allow
  - id: math
    description: clients may add
    effect: allow
    address: math*@fame.fabric
    role: client
  - id: late
    effect: deny
    address: math*@fame.fabric
    role: client
    node: mallory
  - id: level
    effect: allow
    address: top@**
    when: claims.level > 3
"""


@pytest.fixture
def policy(fame: Fame) -> Path:
    path = Path("policy.yaml")
    path.write_text(POLICY, encoding="utf-8")
    return path


def test_check_counts_the_rules_and_warns_of_one_that_never_matches(fame: Fame, policy: Path) -> None:
    result = fame("policy", "check", "policy.yaml")
    assert (result.exit_code, result.stdout) == (0, "policy.yaml: ok, 4 rules (3 allow, 1 deny), default deny\n")
    assert result.stderr == (
        "policy.yaml:10: warning: rule late never matches, because math (line 5) takes everything it would; "
        "move it up, or remove it\n"
    )


def test_check_warns_of_what_nobody_may_do(fame: Fame) -> None:
    Path("p.yaml").write_text("rules: [{effect: allow, action: connect}]")
    result = fame("policy", "check", "p.yaml")
    assert result.stdout == "p.yaml: ok, 1 rule (1 allow, 0 deny), default deny\n"
    assert "nobody may forward_upstream, forward_downstream" in result.stderr
    assert result.stderr.endswith("announce, key, introspect, mail; add rules that allow what is needed\n")


def test_a_policy_may_come_through_a_pipe_that_the_user_names(fame: Fame) -> None:
    os.mkfifo("p.yaml")
    writer = threading.Thread(target=Path("p.yaml").write_text, args=["rules: []"])
    writer.start()
    result = fame("policy", "check", "p.yaml")
    writer.join()
    assert result.stdout == "p.yaml: ok, 0 rules (0 allow, 0 deny), default deny\n"


def test_check_lists_what_is_wrong_and_exits_3(fame: Fame) -> None:
    Path("p.yaml").write_text("rules:\n  - effect: allow\n    wen: x\n  - effect: never\n")
    result = fame("policy", "check", "p.yaml")
    assert (result.exit_code, result.stdout) == (3, "")
    assert [line.partition(": ")[0] for line in result.stderr.splitlines()] == ["p.yaml:3:5", "p.yaml:4:13"]
    told = fame("policy", "check", "p.yaml", "-o", "json")
    assert told.exit_code == 3
    assert json.loads(told.stdout)["errors"] == result.stderr.splitlines()


def test_check_tells_programs_what_it_found(fame: Fame, policy: Path) -> None:
    assert json.loads(fame("policy", "check", "policy.yaml", "-o", "json").stdout) == {
        "file": "policy.yaml",
        "ok": True,
        "rules": 4,
        "allow": 3,
        "deny": 1,
        "default_effect": "deny",
        "unreachable": [{"rule": "late", "line": 10, "because_of": "math"}],
        "never_allowed": [],
    }


def test_why_names_the_rule_that_allows_and_exits_0(fame: Fame, policy: Path) -> None:
    result = fame("policy", "why", "policy.yaml", "--from", "client1", "--to", "math2@fame.fabric", "--role", "client")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "allowed: connect: rule connect allows (policy.yaml:2)\n"
        "  policy.yaml:2: connect: matches\n"
        "  facts: action=connect origin_type=downstream frame_type=NodeAttach node=client1 subject=client1 "
        'roles=["client"] encrypted=plaintext\n'
        "allowed: forward_downstream, deliver_local, forward_peer, forward_upstream: rule math allows: "
        "clients may add (policy.yaml:5)\n"
        "  policy.yaml:5: math: matches\n"
        "  facts: action=forward_downstream,deliver_local,forward_peer,forward_upstream address=math2@fame.fabric "
        'origin_type=downstream frame_type=Data node=client1 subject=client1 roles=["client"] encrypted=plaintext\n'
    )


def test_why_asks_first_whether_the_neighbour_is_let_in(fame: Fame) -> None:
    Path("p.yaml").write_text("rules: [{effect: allow, action: [forward_downstream], address: 'math@**'}]")
    result = fame("policy", "why", "p.yaml", "--from", "c", "--to", "math@fame.fabric", "--signed")
    assert result.exit_code == 4
    assert result.stdout == (
        "denied: connect: no rule matches, and default_effect is deny (p.yaml)\n"
        "  facts: action=connect origin_type=downstream frame_type=NodeAttach node=c subject=c encrypted=plaintext\n"
    )
    narrowed = fame("policy", "why", "p.yaml", "--to", "math@fame.fabric", "--action", "ForwardDownstream")
    assert narrowed.exit_code == 0
    assert narrowed.stdout.startswith("allowed: forward_downstream: rule rule_0 allows (p.yaml:1)\n")


def test_why_asks_of_a_peer_whether_it_may_be_one(fame: Fame) -> None:
    Path("p.yaml").write_text("rules: [{effect: allow, action: [connect, forward_downstream]}]")
    words = ["policy", "why", "p.yaml", "--from", "s2", "--to", "math@fame.fabric", "--origin"]
    assert fame(*words, "downstream").exit_code == 0
    assert fame(*words, "upstream").exit_code == 0
    denied = fame(*words, "peer")
    assert denied.exit_code == 4
    assert denied.stdout.startswith("denied: attach_peer: no rule matches")
    assert denied.stdout.count("denied") == 1


def test_why_takes_the_agent_to_be_attached_there_and_says_what_is_otherwise_elsewhere(fame: Fame) -> None:
    ways = "{effect: allow, action: [forward_downstream, forward_peer], role: client}"
    Path("p.yaml").write_text(f"rules:\n- {{effect: allow, action: connect}}\n- {ways}\n")
    words = ["policy", "why", "p.yaml", "--from", "c", "--to", "math@fame.fabric", "--role", "client"]
    result = fame(*words)
    heads = [line.partition(": ")[::2] for line in result.stdout.splitlines() if not line.startswith(" ")]
    assert result.exit_code == 0
    assert [(verdict, rest.partition(":")[0]) for verdict, rest in heads] == [
        ("allowed", "connect"),
        ("allowed", "forward_downstream, forward_peer"),
        ("denied", "deliver_local, forward_upstream"),
    ]
    told = json.loads(fame(*words, "-o", "json").stdout)
    assert (told["allowed"], told["rule"], told["facts"]["action"]) == (True, "rule_1", "forward_downstream")
    assert [(each["action"], each["allowed"]) for each in told["walked"]] == [
        ("connect", True),
        ("forward_downstream", True),
        ("forward_peer", True),
        ("deliver_local", False),
        ("forward_upstream", False),
    ]


def test_why_says_no_where_a_call_may_go_anywhere_but_to_who_is_attached(fame: Fame) -> None:
    Path("p.yaml").write_text("rules: [{effect: deny, action: forward_downstream}, {effect: allow}]")
    result = fame("policy", "why", "p.yaml", "--from", "c", "--to", "math@fame.fabric")
    heads = [line.partition(": rule")[0] for line in result.stdout.splitlines() if not line.startswith(" ")]
    assert result.exit_code == 4
    assert heads == ["denied: forward_downstream", "allowed: deliver_local, forward_peer, forward_upstream"]
    told = json.loads(fame("policy", "why", "p.yaml", "--to", "math@fame.fabric", "-o", "json").stdout)
    assert (told["allowed"], told["rule"], told["facts"]["action"]) == (False, "rule_0", "forward_downstream")


def test_why_asks_of_a_question_to_a_sentinel_whether_it_may_be_asked(fame: Fame) -> None:
    Path("p.yaml").write_text("rules: [{effect: deny, action: introspect, frame_type: Data}, {effect: allow}]")
    result = fame("policy", "why", "p.yaml", "--from", "c", "--to", "__sys__@/s1")
    assert (result.exit_code, result.stdout.splitlines()[0]) == (4, "denied: introspect: rule rule_0 denies (p.yaml:1)")


def test_why_without_an_address_asks_who_is_let_in(fame: Fame, policy: Path) -> None:
    result = fame("policy", "why", "policy.yaml", "--from", "c")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == "allowed: connect: rule connect allows (policy.yaml:2)"
    assert result.stdout.count("allowed") == 1


def test_letting_somebody_in_is_about_no_address(fame: Fame) -> None:
    Path("p.yaml").write_text("rules: [{effect: allow, action: connect, address: '**'}]")
    assert fame("policy", "why", "p.yaml", "--from", "c", "--to", "a@b", "--action", "connect").exit_code == 4


def test_why_names_what_each_rule_missed_and_exits_4(fame: Fame, policy: Path) -> None:
    result = fame("policy", "why", "policy.yaml", "--from", "a1", "--to", "math2@fame.fabric", "--role", "agent")
    assert (result.exit_code, result.stderr) == (4, "")
    assert result.stdout.splitlines()[:4] == [
        "denied: forward_downstream, deliver_local, forward_peer, forward_upstream: no rule matches, and "
        "default_effect is deny (policy.yaml)",
        "  policy.yaml:5: math: role doesn't match",
        "  policy.yaml:10: late: role doesn't match",
        "  policy.yaml:15: level: address doesn't match",
    ]


def test_why_says_what_a_condition_failed_over(fame: Fame, policy: Path) -> None:
    result = fame("policy", "why", "policy.yaml", "--to", "top@x", "--claims", '{"level": "high"}')
    assert result.exit_code == 4
    assert ": rule level denies: its when can't be evaluated: a text > a number has no value" in result.stdout
    assert fame("policy", "why", "policy.yaml", "--to", "top@x", "--claims", '{"level": 4}').exit_code == 0


def test_why_tells_programs_all_of_it(fame: Fame, policy: Path) -> None:
    claims = '{"sub": "c", "scope": "a b", "scp": ["d"]}'
    result = fame("policy", "why", "policy.yaml", "--action", "ForwardPeer", "--claims", claims, "-o", "json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["allowed"], told["rule"]) == (4, False, "")
    assert told["facts"]["action"] == "forward_peer"
    assert told["facts"]["subject"] == "c"
    assert told["facts"]["scopes"] == ["a", "b", "d"]
    assert told["steps"][0] == {"rule": "math", "line": 5, "missed": "role"}


def test_why_takes_each_fact_from_its_option(fame: Fame) -> None:
    Path("p.yaml").write_text(
        "rules:\n  - effect: allow\n    origin_type: peer\n    frame_type: SecureOpen\n    scope: s\n    subject: me\n"
        "    action: connect\n"
        '    when: is_signed() && is_encrypted_at_least("sealed") && node.path == "/s1" && time.now > 1700000000\n'
    )
    facts = ["--origin", "peer", "--frame", "secureopen", "--scope", "s", "--subject", "me", "--action", "connect"]
    words = ["policy", "why", "p.yaml", *facts, "--signed", "--encrypted", "sealed", "--at", "s1"]
    assert fame(*words).exit_code == 0
    assert fame(*(word for word in words if word != "--signed")).exit_code == 4


def test_the_file_may_be_left_to_the_variable(fame: Fame, policy: Path) -> None:
    fame.env["FAME_AUTH_POLICY_PATH"] = "policy.yaml"
    assert fame("policy", "check").exit_code == 0
    assert fame("policy", "why", "--action", "bind").exit_code == 0


@pytest.mark.parametrize(
    ("words", "code", "what"),
    [
        (["check"], 2, "no policy file; name one, set FAME_AUTH_POLICY_PATH, or give a --config with one"),
        (["check", "nope.yaml"], 3, "no such file"),
        (["why", "policy.yaml", "--action", "fly"], 2, "--action fly: unknown; use connect"),
        (["why", "policy.yaml", "--origin", "local"], 2, "nothing to ask; name an address (--to), or what is wanted"),
        (["why", "policy.yaml", "--frame", "Fly"], 2, "--frame Fly: unknown; use"),
        (["why", "policy.yaml", "--claims", "{"], 2, "--claims isn't JSON; write it like"),
        (["why", "policy.yaml", "--claims", "[]"], 2, "--claims isn't a JSON object"),
    ],
)
def test_what_cannot_be_asked_is_said_in_one_line(
    fame: Fame, policy: Path, words: list[str], code: int, what: str
) -> None:
    result = fame("policy", *words)
    assert (result.exit_code, result.stdout) == (code, "")
    assert what in result.stderr
    assert result.stderr.count("\n") == 1
