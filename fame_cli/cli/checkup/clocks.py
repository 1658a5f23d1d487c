"""What there is to say of clocks: this machine's, a neighbour's, and the times in certificates and tokens."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from fame_cli.cli.checkup.case import Case
from fame_cli.cli.checkup.findings import Finding, fail, ok, warn
from fame_cli.errors import FameError

__all__ = ["CHECK", "Dated", "ages", "look", "skew"]

CHECK = "clock"

EARLIEST_S = 1_767_225_600.0
"""2026-01-01, before this was written: no clock that is right shows less."""

LATEST_S = 4_102_444_800.0
"""2100-01-01."""

SOON_S = 7 * 86_400.0
"""What ends within that time ends soon, unless its whole life is short."""

SOON_SHARE = 0.2
"""Of a short life, the share at whose beginning it ends soon: nearly five hours of a day."""


class Dated(NamedTuple):
    """Hold something that is good for a time.

    Args:
        check: whose it is.
        what: how it is called.
        begins, ends: seconds since the epoch; None where it doesn't say.
        renew: how to get another one.
    """

    check: str
    what: str
    begins: float | None
    ends: float | None
    renew: str


def look(case: Case) -> list[Finding]:
    """Say whether the clock of this machine can be right."""
    now, told = case.machine.now(), _date(case.machine.now())
    if not EARLIEST_S <= now <= LATEST_S:
        return [fail(CHECK, f"the clock of this machine says {told}", "set it; see that NTP runs")]
    written = case.path.stat().st_mtime if case.path is not None else now
    if written > now + 60:
        what = f"{case.path} was written at {_date(written)}, and the clock of this machine says {told}"
        return [warn(CHECK, what, "see which is wrong; see that NTP runs")]
    return [ok(CHECK, f"it is {told}")]


def skew(host: str, ahead_s: float, unsure_s: float, allowed_s: float, *, matters: bool) -> Finding:
    """Say how far a neighbour's clock is from ours.

    Args:
        host: the neighbour's.
        ahead_s: seconds its clock is ahead of ours, below 0 when it is behind.
        unsure_s: seconds by which that may be wrong, >= 0.
        allowed_s: `security.skew_s`.
        matters: True where credentials or signatures are looked at, which are refused beyond `allowed_s`.
    """
    apart_s, way = abs(ahead_s), "ahead of" if ahead_s > 0 else "behind"
    what = f"the clock of {host} is {_seconds(apart_s)} {way} ours"
    surely_s = apart_s - unsure_s
    if surely_s > allowed_s and matters:
        return fail(CHECK, f"{what}; {allowed_s:g} s are allowed", "set the clocks by NTP, or raise security.skew_s")
    if surely_s > allowed_s / 2:
        return warn(CHECK, what, f"set the clocks by NTP: above the open profile {allowed_s:g} s are allowed")
    return ok(CHECK, f"{host} is within {_seconds(apart_s + unsure_s)} of ours")


def ages(dated: Sequence[Dated], now: float, skew_s: float) -> Iterator[Finding]:
    """Say what isn't good yet, no longer, or not for long."""
    for each in dated:
        begins, ends = each.begins, each.ends
        if begins is not None and begins > now + skew_s:
            what = f"{each.what} isn't valid before {_date(begins)}, and it is {_date(now)} here"
            yield fail(CHECK, what, "check the clock of this machine, and of whoever issued it", FameError)
        if ends is None or ends <= now:
            continue  # what is over is refused where it is read
        life_s = SOON_S if begins is None else ends - begins
        if ends - now < min(SOON_S, SOON_SHARE * life_s):
            yield warn(each.check, f"{each.what} ends in {_span(ends - now)}, at {_date(ends)}", each.renew)


def _date(seconds: float) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return f"{seconds:g} s after 1970"


def _span(seconds: float) -> str:
    for unit_s, name in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit_s:
            return f"{seconds / unit_s:.0f} {name}"
    return f"{seconds:.0f} seconds"


def _seconds(seconds: float) -> str:
    return _span(seconds) if seconds >= 120 else f"{seconds:.3f} s" if seconds < 1 else f"{seconds:.1f} s"
