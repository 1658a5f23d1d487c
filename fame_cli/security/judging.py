"""The policy in the way of a gate: facts of what a neighbour wants go in, a refusal comes out, and denials are told."""

import shlex
from collections.abc import Callable

from fame_cli.core.envelope import Envelope
from fame_cli.core.gate import Refusal
from fame_cli.core.grant import Grant
from fame_cli.core.link import LOCAL, Link, LinkKind
from fame_cli.security.facts import LEVELS, Facts
from fame_cli.security.policy import FRAMES
from fame_cli.security.settings import PolicySource
from fame_cli.security.signing import CLEAR, security_of

__all__ = ["Judge", "way_of"]

Tell = Callable[[str, dict[str, object]], None]
"""Takes an event for the audit log and its facts."""

_ORIGINS = {LinkKind.CHILD: "downstream", LinkKind.PEER: "peer", LinkKind.PARENT: "upstream", LinkKind.LOCAL: "local"}
_WAYS = {LinkKind.CHILD: "forward_downstream", LinkKind.PEER: "forward_peer", LinkKind.PARENT: "forward_upstream"}
_MOST_SCOPES = 8
_NOBODY = Grant("")


def way_of(target: Link, envelope: Envelope) -> str:
    """Return what the policy calls it to send an envelope to a link, or to deliver it here."""
    if target is LOCAL:
        return "introspect" if (envelope.to or "").startswith("__sys__@") else "deliver_local"
    return _WAYS[target.kind]


class Judge:
    """Ask the policy.

    Args:
        source: keeps it; it may be replaced.
        clock: seconds since the epoch.
        tell: hears of every denial; the neighbour doesn't hear which rule it was.
    """

    def __init__(self, source: PolicySource, clock: Callable[[], float], tell: Tell) -> None:
        self.source = source
        self._clock = clock
        self._tell = tell
        self.own_id = ""
        self.own_path = ""
        self.verifies = False
        """Whether signatures have been checked before the policy is asked; what wasn't checked counts as unsigned."""

    def __call__(
        self, action: str, link: Link, address: str, envelope: Envelope | None = None, grant: Grant | None = None
    ) -> Refusal | None:
        """Decide; None is a yes.

        Args:
            action: one of `policy.ACTIONS`.
            link: where it comes from.
            address: of the envelope, or what is to be bound or announced.
            grant: of whom it is; the neighbour's if None.
        """
        holder = grant or link.grant or _NOBODY
        sealed = envelope is not None and security_of(envelope).level != CLEAR
        facts = Facts(
            action,
            address,
            _ORIGINS[link.kind],
            type(envelope.frame).__name__ if envelope is not None else FRAMES.get(action, ""),
            link.remote_id,
            holder.subject,
            holder.roles,
            holder.scopes,
            holder.claims,
            envelope,
            envelope is not None and self.verifies,
            LEVELS[2] if sealed else LEVELS[0],
            self.own_id,
            self.own_path,
            self._clock(),
        )
        decision = self.source.policy.decide(facts)
        if decision.allowed:
            return None
        told: dict[str, object] = {"action": action, "address": address, "link": link.number, "node": link.remote_id}
        told |= {"subject": holder.subject, "rule": decision.rule or "default", "why": decision.why}
        self._tell("policy_denied", told)
        return Refusal("UNAUTHORIZED", f"{_whose(self.own_id)} denies it; ask it there: {_question(facts)}")


def _whose(own_id: str) -> str:
    return f"the policy of {own_id}" if own_id else "the policy"


def _question(facts: Facts) -> str:
    """Return the command that finds out which rule it was, for whoever has the policy: a neighbour hears no more."""
    said = {"--from": facts.node, "--to": facts.address, "--action": facts.action}
    said |= {"--origin": facts.origin_type} if facts.origin_type != "downstream" else {}
    said |= {"--subject": facts.subject} if facts.subject != facts.node else {}
    words = [word for option, value in said.items() if value for word in (option, value)]
    words += [word for role in sorted(facts.roles) for word in ("--role", role)]
    words += [word for scope in sorted(facts.scopes)[:_MOST_SCOPES] for word in ("--scope", scope)]
    return shlex.join(["fame", "policy", "why", "--config", "FILE", *words, *(["--signed"] if facts.signed else [])])
