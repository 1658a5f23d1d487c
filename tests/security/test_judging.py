"""What a policy is told of an envelope: what has been checked, not what it says of itself."""

from dataclasses import dataclass

import msgspec
import pytest

from fame_cli.config.policy_file import compile_regex
from fame_cli.core.envelope import Envelope, data_frame
from fame_cli.core.grant import Grant
from fame_cli.core.link import Link, LinkKind
from fame_cli.security.expression import parse
from fame_cli.security.gated import GrantGate
from fame_cli.security.judging import Judge
from fame_cli.security.jwk import generate
from fame_cli.security.overlay import KeyGate, Means
from fame_cli.security.policy import Policy, Rule
from fame_cli.security.signing import SEALED, Signer

CHILD = Link(1, LinkKind.CHILD, remote_id="client", remote_path="/s1/client")
TARGET = Link(2, LinkKind.CHILD, remote_id="math", remote_path="/s1/math")
KEYS = generate()


@dataclass
class Kept:
    """Keep a policy that never changes."""

    policy: Policy

    def refresh(self) -> bool:
        """Have nothing new."""
        return False


def judge(condition: str) -> Judge:
    """Make a judge whose policy allows what meets a condition."""
    rule = Rule("only", "allow", when=parse(condition, compile_regex))
    return Judge(Kept(Policy([rule])), lambda: 0.0, lambda event, facts: None)


def envelope(sec: bytes) -> Envelope:
    """Make a request with something in `sec`."""
    return Envelope(id="e", sid="s", to="math@fame.fabric", frame=data_frame(b"1"), sec=msgspec.Raw(sec))


@pytest.mark.parametrize("sec", [b"", b"{}", b'{"sig":{"kid":"k","val":"v"}}'])
def test_where_nothing_is_verified_nothing_counts_as_signed(sec: bytes) -> None:
    gate = GrantGate(lambda: 0.0, lambda token: None, judge("is_signed()"))
    assert gate.passes(CHILD, TARGET, envelope(sec)) is not None


def test_what_comes_to_the_policy_of_a_node_that_verifies_is_signed() -> None:
    gate = KeyGate(Means(lambda: 0.0, KEYS, "", lambda token: None, 60.0, judge("is_signed()")))
    assert gate.passes(CHILD, TARGET, envelope(b'{"sig":{"kid":"k","val":"v"}}')) is None


@pytest.mark.parametrize("sec", [b"", b'{"sig":{"kid":"enc","val":"v"}}', b'{"enc":null}', b'{"more":"enc"}', b"7"])
def test_nothing_is_encrypted_because_a_name_says_so(sec: bytes) -> None:
    assert judge("is_encrypted()")("deliver_local", CHILD, "math@fame.fabric", envelope(sec)) is not None


def test_a_key_named_enc_makes_no_payload_encrypted() -> None:
    signed = Signer(KEYS.signing, "enc").sign(envelope(b""))
    assert judge("is_encrypted()")("deliver_local", CHILD, "math@fame.fabric", signed) is not None


def test_what_is_sealed_is_encrypted() -> None:
    sealed = envelope(b'{"enc":{"alg":"%b","kid":"k"}}' % SEALED.encode())
    assert judge("is_encrypted()")("deliver_local", CHILD, "math@fame.fabric", sealed) is None


def test_a_denial_says_how_to_find_out_where_the_policy_is_and_not_which_rule_it_was() -> None:
    asked = judge("false")
    asked.own_id = "s1"
    holder = Grant("somebody", roles=frozenset({"client"}), scopes=frozenset({"a b"}))
    refusal = asked("forward_downstream", CHILD, "math@fame.fabric", envelope(b""), holder)
    assert refusal is not None
    assert refusal.reason == (
        "the policy of s1 denies it; ask it there: fame policy why --config FILE --from client --to math@fame.fabric "
        "--action forward_downstream --subject somebody --role client --scope 'a b'"
    )


def test_a_denial_of_what_a_peer_passes_on_says_that_it_came_from_one() -> None:
    peer = Link(3, LinkKind.PEER, remote_id="s2", remote_path="/s2", grant=Grant("s2"))
    asked = judge("!is_signed()")
    asked.verifies = True
    refusal = asked("forward_downstream", peer, "math@fame.fabric", envelope(b""))
    assert refusal is not None
    assert refusal.reason.endswith("--from s2 --to math@fame.fabric --action forward_downstream --origin peer --signed")
    assert refusal.reason.startswith("the policy denies it; ")


@pytest.mark.parametrize(
    ("action", "frame"),
    [("connect", "NodeAttach"), ("bind", "AddressBind"), ("advertise", "CapabilityAdvertise"), ("key", "KeyRequest")],
)
def test_what_is_no_envelope_on_its_way_has_the_frame_that_asks_for_it(action: str, frame: str) -> None:
    rule = Rule("only", "allow", frame_type=frozenset({frame}))
    asked = Judge(Kept(Policy([rule])), lambda: 0.0, lambda event, facts: None)
    assert asked(action, CHILD, "") is None
