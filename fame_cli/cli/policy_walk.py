"""What ``fame policy why`` asks a policy, in the order a sentinel does, and how the answers are shown.

Asked are what lets a neighbour in, and then what may become of what it sends. The first that denies is the answer.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from fame_cli.cli import output
from fame_cli.cli.output import OutputFormat
from fame_cli.errors import UsageError
from fame_cli.security.policy import FRAMES, Decision, Facts, Policy, Step

__all__ = ["Judged", "show", "walk"]

_WAYS = ("forward_downstream", "deliver_local", "forward_peer", "forward_upstream")
"""What may become of an envelope, by where its address is: attached to the sentinel that is asked, or elsewhere."""

_ATTACHED = {"downstream": ("connect",), "peer": ("connect", "attach_peer")}
"""What a neighbour has been asked before anything comes from it; what we dialled or are isn't asked."""


_NAMELESS = frozenset({"connect", "attach_peer", "key"})
"""What isn't about an address, whatever else is asked."""


class Judged(NamedTuple):
    """Hold what a policy makes of some actions; `facts` are those of the first."""

    actions: tuple[str, ...]
    facts: Facts
    decision: Decision
    steps: tuple[Step, ...]


def walk(policy: Policy, facts: Facts) -> list[Judged]:
    """Ask a policy about an action, or if `facts` has none about all that a call needs.

    Returns:
        The first that denies, if something that is needed does, else what allows, in order. Of the ways only the first
        is needed; those that are answered otherwise follow, in either case.

    Raises:
        UsageError: there is nothing to ask.
    """
    if facts.action:
        return [_judged(policy, facts._replace(address="", envelope=None) if facts.action in _NAMELESS else facts)]
    allowed: list[Judged] = []
    for action in _ATTACHED.get(facts.origin_type, ()):
        # as a sentinel asks it: an address and a signature come only with what is sent later
        bare = facts._replace(action=action, address="", frame_type=FRAMES[action], envelope=None, signed=False)
        judged = _judged(policy, bare._replace(encrypted=Facts("").encrypted))
        if not judged.decision.allowed:
            return [judged]
        allowed.append(judged)
    ways = _ways(policy, facts) if facts.address else []
    if not allowed and not ways:
        raise UsageError("nothing to ask", hint="name an address (--to), or what is wanted of it (--action)")
    if ways and not ways[0].decision.allowed:
        return _together(ways)
    return [*allowed, *_together(ways)]


def _ways(policy: Policy, facts: Facts) -> list[Judged]:
    actions = ("introspect",) if facts.address.startswith("__sys__@") else _WAYS
    return [_judged(policy, facts._replace(action=action)) for action in actions]


def _judged(policy: Policy, facts: Facts) -> Judged:
    return Judged((facts.action,), facts, policy.decide(facts), tuple(policy.explain(facts)))


def _together(judged: Iterable[Judged]) -> list[Judged]:
    """Join what is answered in the same way for the same reasons."""
    found: dict[tuple[Decision, tuple[Step, ...]], Judged] = {}
    for each in judged:
        key = each.decision, each.steps
        found[key] = found[key]._replace(actions=(*found[key].actions, *each.actions)) if key in found else each
    return list(found.values())


def show(judged: list[Judged], policy: Policy, path: Path, form: OutputFormat) -> bool:
    """Show what `walk` has found; returns whether it may be."""
    lines = {rule.id: rule.line for rule in policy.rules}
    allowed = judged[0].decision.allowed
    if form is OutputFormat.text:
        for each in judged:
            _show_one(each, path, lines)
        return allowed
    about_address = (each for each in judged if each.facts.address)
    decisive = next(about_address, judged[-1]) if allowed else judged[0]
    told = [{"rule": step.rule, "line": lines[step.rule], "missed": step.missed} for step in decisive.steps]
    walked = [{"action": action, **_told(each)} for each in judged for action in each.actions]
    answer = {**_told(decisive), "file": str(path), "facts": _known(decisive.facts), "steps": told, "walked": walked}
    output.result(answer, form)
    return allowed


def _told(judged: Judged) -> dict[str, Any]:
    decision = judged.decision
    return {"allowed": decision.allowed, "rule": decision.rule, "why": decision.why}


def _show_one(judged: Judged, path: Path, lines: dict[str, int]) -> None:
    decision = judged.decision
    verdict = "allowed" if decision.allowed else "denied"
    place = f" ({path}:{lines[decision.rule]})" if decision.rule else f" ({path})"
    output.data(f"{verdict}: {', '.join(judged.actions)}: {decision.why}{place}")
    for step in judged.steps:
        clause = step.missed or "matches"
        missed = clause if clause == "matches" or ":" in clause else f"{clause} doesn't match"
        output.data(f"  {path.name}:{lines[step.rule]}: {step.rule}: {missed}")
    known = _known(judged.facts) | {"action": ",".join(judged.actions)}
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in known.items() if value}
    output.data(f"  facts: {' '.join(f'{name}={text}' for name, text in texts.items())}")


def _known(facts: Facts) -> dict[str, Any]:
    return {
        "action": facts.action,
        "address": facts.address,
        "origin_type": facts.origin_type,
        "frame_type": facts.frame_type,
        "node": facts.node,
        "subject": facts.subject,
        "roles": sorted(facts.roles),
        "scopes": sorted(facts.scopes),
        "claims": dict(facts.claims),
        "signed": facts.signed,
        "encrypted": facts.encrypted,
        "at": facts.own_id,
    }
