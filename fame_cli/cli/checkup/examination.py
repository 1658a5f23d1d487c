"""All checks in their order, and the report they make.

Causes come before what they cause, because the exit code of ``fame doctor`` is that of the first failure. A check is a
function over the whole case, or over one node of it; more is said in ``checkup/__init__.py``.
"""

from collections.abc import Callable
from dataclasses import dataclass

from fame_cli.cli.checkup import (
    clocks,
    configs,
    credentials,
    limits,
    ports,
    profiles,
    reaching,
    storing,
    versions,
)
from fame_cli.cli.checkup.bounds import gathered
from fame_cli.cli.checkup.case import Case, Subject
from fame_cli.cli.checkup.findings import Finding, without_echoes

__all__ = ["CHECKS", "Check", "examine"]

Look = Callable[[Case], list[Finding]]
LookAt = Callable[[Subject, Case], list[Finding]]


@dataclass(frozen=True, slots=True)
class Check:
    """Hold one check.

    Args:
        name: as the report has it.
        look: looks at everything; None where there is nothing to see but nodes.
        look_at: looks at one node.
        grace_s: seconds beyond the usual bound that `look_at`, which bounds itself, may need to clean up.
    """

    name: str
    look: Look | None = None
    look_at: LookAt | None = None
    grace_s: float = 0.0

    def findings(self, case: Case) -> list[Finding]:
        """Return what it finds, within its time."""
        told: list[Finding] = []
        look, look_at = self.look, self.look_at
        if look is not None:
            told += gathered(self.name, [("", lambda: look(case))], case.timeout_s)
        if look_at is not None:
            works = [(subject.name, _of(subject, look_at, case)) for subject in case.subjects]
            told += gathered(self.name, works, case.timeout_s + self.grace_s)
        return told


def _of(subject: Subject, look_at: LookAt, case: Case) -> Callable[[], list[Finding]]:
    return lambda: look_at(subject, case)


CHECKS = (
    Check(configs.CHECK, configs.look),
    Check(versions.CHECK, versions.look, versions.look_at),
    Check(clocks.CHECK, clocks.look),
    Check(credentials.CERTIFICATES, look_at=credentials.look_at_certificates),
    Check(credentials.TOKENS, look_at=credentials.look_at_tokens),
    Check(profiles.CHECK, look_at=profiles.look_at),
    Check(storing.CHECK, look_at=storing.look_at),
    Check(limits.CHECK, look_at=limits.look_at),
    Check(ports.CHECK, ports.look, ports.look_at),
    Check(reaching.CHECK, look_at=reaching.look_at, grace_s=reaching.GRACE_S),
)


def examine(case: Case) -> list[Finding]:
    """Make all checks, one after the other, and return what they have found."""
    return without_echoes(finding for check in CHECKS for finding in check.findings(case))
