"""What a check has found: one line each, with what to do about it, and never a secret in it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from fame_cli.config.mask import MASK, mask_text
from fame_cli.errors import FameError

__all__ = ["Finding", "State", "exit_code_of", "fail", "fail_of", "ok", "warn", "without_echoes"]

_TOKEN = re.compile(r"eyJ[\w=-]+(\.[\w=-]*)*")
"""What looks like a token, whole or in part."""


class State(StrEnum):
    """Name how bad it is."""

    ok = "ok"
    warn = "warn"
    fail = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """Hold one line of a doctor's report.

    Args:
        check: which check says so.
        state: how bad it is.
        what: what there is.
        do: what to do about it; "" for nothing.
        exit_code: of a command that would fail for this reason; 0 unless it is a failure.
    """

    check: str
    state: State
    what: str
    do: str = ""
    exit_code: int = 0

    def about(self, name: str) -> "Finding":
        """Return the same, said of one node of several."""
        return replace(self, what=f"{name}: {self.what}") if name else self

    def document(self) -> dict[str, str]:
        """Return it as programs read it."""
        return {"check": self.check, "state": self.state.value, "what": self.what, "do": self.do}


def ok(check: str, what: str) -> Finding:
    """Say that something is as it should be."""
    return Finding(check, State.ok, _shown(what))


def warn(check: str, what: str, do: str) -> Finding:
    """Say that something works and may not be meant, or won't for long."""
    return Finding(check, State.warn, _shown(what), _shown(do))


def fail(check: str, what: str, do: str, kind: type[FameError] = FameError) -> Finding:
    """Say that something doesn't work.

    Args:
        kind: the error a command would end with for it.
    """
    return Finding(check, State.fail, _shown(what), _shown(do), kind.exit_code)


def fail_of(check: str, error: FameError) -> Finding:
    """Say what an error says, its hint as what to do."""
    what = str(error).removesuffix(f"; {error.hint}") if error.hint else str(error)
    return Finding(check, State.fail, _shown(what), _shown(error.hint), error.exit_code)


def _shown(text: str) -> str:
    """Return a text on one line, without what looks like a secret."""
    return _TOKEN.sub(MASK, mask_text(" ".join(text.split())))


def exit_code_of(findings: Iterable[Finding]) -> int:
    """Return the exit code of the first failure, 0 if there is none."""
    return next((finding.exit_code for finding in findings if finding.state is State.fail), 0)


def without_echoes(findings: Iterable[Finding]) -> list[Finding]:
    """Leave out what an earlier check has said already: one cause shows wherever somebody meets it."""
    told: dict[str, Finding] = {}
    for finding in findings:
        told.setdefault(finding.what, finding)
    return list(told.values())
