"""Targets that are files: configs of every kind, and policies with what they decide."""

import contextlib
import tempfile
from functools import cache
from pathlib import Path

from fuzz_parts import NOW, Target

from fame_cli.config.load import load_any
from fame_cli.config.policy_file import load_policy
from fame_cli.core.envelope import Envelope
from fame_cli.core.frames import Data
from fame_cli.errors import FameError
from fame_cli.security.policy import ACTIONS, Facts

__all__ = ["TARGETS"]

ROOT = Path(__file__).parents[2]


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="fame-fuzz-"))


def _config(data: bytes) -> None:
    """Load a file of these bytes as whatever it says it is."""
    path = _folder() / "a.yaml"
    path.write_bytes(data)
    with contextlib.suppress(FameError):
        load_any(path, env={"HOST": "127.0.0.1", "EMPTY": ""})


def _configs() -> list[bytes]:
    found = [*sorted(ROOT.glob("configs/*.yaml")), *sorted(ROOT.glob("examples/*/*.yaml"))]
    few = (b"kind: sentinel\nid: ${HOST:-x}${EMPTY}$$\n", b"kind: client\ntimeout_s: 1e3\n")
    return [*few, *(path.read_bytes() for path in found)]


def _policy(data: bytes) -> None:
    """Load a policy of these bytes, and have it decide about everything there is."""
    path = _folder() / "p.yaml"
    path.write_bytes(data)
    try:
        policy = load_policy(path)
    except FameError:
        return
    for facts in _facts():
        decision = policy.decide(facts)
        assert decision == policy.decide(facts)
        assert policy.explain(facts) is not None
    policy.unreachable()


@cache
def _facts() -> list[Facts]:
    envelope = Envelope(id="e1", sid="s1", to="math1@fame.fabric", reply_to="__rpc__c@/s1/c", frame=Data())
    claims = {"aud": ["fame.fabric"], "sub": "a1", "n": 5, "none": None, "deep": {"a": [1, {"b": "c"}]}}
    more = Facts("bind", "math1@fame.fabric", "downstream", "Data", "a1", "a1", frozenset({"agent"}))
    full = more._replace(scopes=frozenset({"node.connect"}), claims=claims, envelope=envelope, signed=True, now=NOW)
    return [*(Facts(action) for action in ACTIONS), *(full._replace(action=action) for action in ACTIONS)]


def _policies() -> list[bytes]:
    when = (
        'is_signed() && claims.aud == "/" + node.id',
        'has_scope("node.connect") || claims.n + 1 > 5 && !(claims.none != null)',
        'regex_match(delivery.address, "^math[0-9]@fame\\\\.fabric$") ? true : claims["deep"].a[1].b == "c"',
        'time.now >= 0 && glob_match(envelope.to, "math*@fame.fabric")',
    )
    rules = "".join(f"  - {{effect: allow, action: bind, when: '{each}'}}\n" for each in when)
    clauses = """  - id: clauses
    action: [connect, forward_peer]
    effect: deny
    origin_type: downstream
    frame_type: [Data, KeyRequest]
    address: ["math@fame.fabric", "__rpc__*@/**"]
    scope: {any_of: [node.*, {all_of: [a, b]}, {none_of: [c]}]}
"""
    one = [f"version: '1'\ndefault_effect: deny\nrules:\n{line}\n" for line in rules.splitlines()]
    return [text.encode() for text in (*one, f"version: '1'\nrules:\n{clauses}", "rules: []\n")]


TARGETS = {"config": Target(_config, _configs), "policy": Target(_policy, _policies)}
