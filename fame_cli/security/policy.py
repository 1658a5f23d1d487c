"""Rules on top of grants: the first rule that matches decides, and where none does, the default (security.md 8).

Pure. `config.policy_file` reads files into rules; gates ask `Policy.decide` with `Facts`. The rules are sorted by
action when the policy is made, and which of them are left for some facts, but for their `when`, is remembered: a
sentinel meets the same few neighbours and addresses for ever. A `when` that can't be evaluated denies, whatever its
rule or the rules after it say.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from fame_cli.core.address import MAX_ADDRESS_LENGTH
from fame_cli.core.glob import ANYTHING, matches_any
from fame_cli.security.expression import Expression
from fame_cli.security.facts import Facts
from fame_cli.security.functions import EvaluationFailed

__all__ = [
    "ACTIONS",
    "ALLOW",
    "ANY_ACTION",
    "DENY",
    "FRAMES",
    "ORIGINS",
    "Decision",
    "Facts",
    "Policy",
    "Rule",
    "ScopeRequirement",
    "Step",
    "all_of",
    "any_of",
    "none_of",
    "scope_matching",
    "word_among",
]

ROUTED = ("forward_upstream", "forward_downstream", "forward_peer", "deliver_local")
"""What happens to an envelope."""

ACTIONS = ("connect", *ROUTED, "attach_peer", "bind", "advertise", "announce", "key", "introspect", "mail")
"""What a policy is asked about; those after `ROUTED` are ours."""

FRAMES = {
    "connect": "NodeAttach",
    "attach_peer": "NodeAttach",
    "bind": "AddressBind",
    "advertise": "CapabilityAdvertise",
    "announce": "AddressBind",
    "key": "KeyRequest",
}
"""What asks for an action that isn't about an envelope on its way."""

ANY_ACTION = "*"
ALLOW, DENY = "allow", "deny"
ORIGINS = ("downstream", "upstream", "peer", "local")

_REMEMBERED = 4096
_KEY_FIELDS = Facts._fields.index("claims")


def word_among(word: str, known: Iterable[str]) -> str:
    """Return which of some words is meant: case, ``_``, ``-`` and blanks make no difference; "" for none of them."""
    return next((each for each in known if _folded(each) == _folded(word)), "")


def _folded(word: str) -> str:
    return word.lower().replace("_", "").replace("-", "").replace(" ", "")


ScopeRequirement = Callable[[frozenset[str]], bool]
"""Tells whether the scopes of a token are enough."""


def scope_matching(pattern: str) -> ScopeRequirement:
    """Require a scope that matches a pattern."""
    return lambda scopes: any(matches_any((pattern,), scope) for scope in scopes)


def any_of(wanted: Sequence[ScopeRequirement]) -> ScopeRequirement:
    """Require one of several."""
    return lambda scopes: any(each(scopes) for each in wanted)


def all_of(wanted: Sequence[ScopeRequirement]) -> ScopeRequirement:
    """Require all of several."""
    return lambda scopes: all(each(scopes) for each in wanted)


def none_of(wanted: Sequence[ScopeRequirement]) -> ScopeRequirement:
    """Require that none of several is there."""
    return lambda scopes: not any(each(scopes) for each in wanted)


class Decision(NamedTuple):
    """Say what is to happen, by which rule, and why.

    Args:
        allowed: whether it may be.
        rule: id of the rule; "" where none matched.
        why: for logs and people, never for the neighbour.
    """

    allowed: bool
    rule: str
    why: str


class Step(NamedTuple):
    """Say how one rule took the facts: "" in `missed` where it matched, else the clause that didn't."""

    rule: str
    missed: str


@dataclass(frozen=True, slots=True)
class Rule:
    """Hold one rule; a clause that is None or empty isn't there.

    Args:
        id: unique within the policy.
        effect: `ALLOW` or `DENY`.
        actions: of `ACTIONS`, or `ANY_ACTION`.
        address: patterns, one of which the address has to match.
        origin_type: of `ORIGINS`.
        frame_type: names of the wire.
        role: of ``grant.ROLES``, one of which the neighbour has.
        subject: patterns over the grant's subject.
        node: patterns over the neighbour's id.
        scope: what its token has to hold, and `scope_text` says it.
        when: a condition.
        description: for people.
        line: in its file, 0 where there is none.
    """

    id: str
    effect: str
    actions: frozenset[str] = frozenset({ANY_ACTION})
    address: tuple[str, ...] = ()
    origin_type: frozenset[str] = frozenset()
    frame_type: frozenset[str] = frozenset()
    role: frozenset[str] = frozenset()
    subject: tuple[str, ...] = ()
    node: tuple[str, ...] = ()
    scope: ScopeRequirement | None = None
    scope_text: str = ""
    when: Expression | None = None
    description: str = ""
    line: int = 0
    _misses: tuple[tuple[str, Callable[[Facts], bool]], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_misses", tuple(self._checks()))  # the way of frozen dataclasses

    def _checks(self) -> Iterator[tuple[str, Callable[[Facts], bool]]]:
        """Yield name and test of each clause that is there but for `when`, the cheap ones first."""
        origins, frames, roles = self.origin_type, self.frame_type, self.role
        addresses, subjects, nodes, scope = self.address, self.subject, self.node, self.scope
        if origins:
            yield "origin_type", lambda facts: facts.origin_type not in origins
        if frames:
            yield "frame_type", lambda facts: facts.frame_type not in frames
        if roles:
            yield "role", lambda facts: roles.isdisjoint(facts.roles)
        if nodes:
            yield "node", lambda facts: not (facts.node and matches_any(nodes, facts.node))
        if subjects:
            yield "subject", lambda facts: not (facts.subject and matches_any(subjects, facts.subject))
        if addresses:
            yield "address", lambda facts: not (facts.address and matches_any(addresses, facts.address))
        if scope:
            yield "scope", lambda facts: not scope(facts.scopes)

    def is_about(self, action: str) -> bool:
        """Tell whether it says something about an action."""
        return action in self.actions or ANY_ACTION in self.actions

    @property
    def decision(self) -> Decision:
        """Return what is to happen where it matches."""
        verb = "allows" if self.effect == ALLOW else "denies"
        told = f": {self.description}" if self.description else ""
        return Decision(self.effect == ALLOW, self.id, f"rule {self.id} {verb}{told}")

    def missed_clause(self, facts: Facts) -> str:
        """Return the first clause besides `when` that doesn't match, "" when all do."""
        for name, misses in self._misses:  # measured: a third faster than a generator
            if misses(facts):
                return name
        return ""

    def missed(self, facts: Facts) -> str:
        """Return the first clause that doesn't match, "" when all do.

        Raises:
            EvaluationFailed: all others match, and `when` has no value.
        """
        missed = self.missed_clause(facts)
        return missed or ("" if self.when is None or self.when.holds(facts) else "when")

    def covers(self, other: "Rule") -> bool:
        """Tell whether it surely matches whatever another rule matches."""
        if ANY_ACTION not in self.actions and not (
            other.actions <= self.actions or (ANY_ACTION in other.actions and self.actions >= set(ACTIONS))
        ):
            return False
        mine, theirs = self._given(), other._given()
        return all(
            clause in theirs and (values >= theirs[clause] or (ANYTHING in values and clause != "scope"))
            for clause, values in mine.items()
        )

    def _given(self) -> Mapping[str, frozenset[str]]:
        """Return the values of each clause that is there, `scope` and `when` as they are written."""
        clauses = {
            "address": frozenset(self.address),
            "origin_type": self.origin_type,
            "frame_type": self.frame_type,
            "role": self.role,
            "subject": frozenset(self.subject),
            "node": frozenset(self.node),
            "scope": frozenset({self.scope_text} if self.scope else ()),
            "when": frozenset({self.when.text} if self.when else ()),
        }
        return {clause: values for clause, values in clauses.items() if values}


class Policy:
    """Decide by rules.

    Args:
        rules: in order.
        default_allows: what is to happen where none matches.
    """

    def __init__(self, rules: Sequence[Rule], *, default_allows: bool = False) -> None:
        self.rules = tuple(rules)
        self.default_allows = default_allows
        self._by_action = {
            action: tuple(rule for rule in self.rules if rule.is_about(action)) for action in (*ACTIONS, ANY_ACTION)
        }
        effect = ALLOW if default_allows else DENY
        self._default = Decision(default_allows, "", f"no rule matches, and default_effect is {effect}")
        self._remembered = lru_cache(_REMEMBERED)(self._candidates)

    def decide(self, facts: Facts) -> Decision:
        """Return what is to happen; never raises, whatever the facts hold."""
        candidates = self._remembered if len(facts.address) <= MAX_ADDRESS_LENGTH else self._candidates
        for when, decision in candidates(facts[:_KEY_FIELDS]):
            if when is None:
                return decision
            try:
                if when.holds(facts):
                    return decision
            except EvaluationFailed as failure:
                why = f"rule {decision.rule} denies: its when can't be evaluated: {failure}"
                return Decision(False, decision.rule, why)
        return self._default

    def _candidates(self, key: tuple[Any, ...]) -> tuple[tuple[Expression | None, Decision], ...]:
        """Return what is to happen by the rules that match but for their `when`, up to the first without one."""
        facts = Facts(*key)
        found: list[tuple[Expression | None, Decision]] = []
        if facts.action not in self._by_action:
            return ((None, Decision(False, "", f"unknown action {facts.action[:40]!r}")),)
        for rule in self._by_action[facts.action]:
            if not rule.missed_clause(facts):
                found.append((rule.when, rule.decision))
                if rule.when is None:
                    break
        return tuple(found)

    def explain(self, facts: Facts) -> list[Step]:
        """Return how the rules for an action took the facts, up to the one that decided."""
        steps: list[Step] = []
        for rule in self._by_action.get(facts.action, ()):
            try:
                steps.append(Step(rule.id, rule.missed(facts)))
            except EvaluationFailed as failure:
                return [*steps, Step(rule.id, f"when: {failure}")]
            if not steps[-1].missed:
                break
        return steps

    def unreachable(self) -> list[tuple[Rule, Rule]]:
        """Return the rules that never match, each with the one before it that takes everything from it."""
        return [
            (rule, first)
            for index, rule in enumerate(self.rules)
            if (first := next((earlier for earlier in self.rules[:index] if earlier.covers(rule)), None)) is not None
        ]

    def never_allowed(self) -> list[str]:
        """Return the actions that nobody may do, whatever the facts."""
        if self.default_allows:
            return []
        return [action for action in ACTIONS if all(rule.effect == DENY for rule in self._by_action[action])]
