"""Lengths of time as people write them on a command line: ``30m``, ``24h``, ``7d``."""

import re

from fame_cli.errors import UsageError

__all__ = ["seconds_of"]

_SPAN = re.compile(r"([1-9][0-9]{0,8})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST_S = 100 * 365 * 86_400


def seconds_of(text: str, option: str) -> float:
    """Return the seconds that a length of time has, at least one.

    Args:
        text: a whole number and its unit: s, m, h or d.
        option: where it was given, for the error.

    Raises:
        UsageError: it isn't one.
    """
    found = _SPAN.fullmatch(text)
    seconds = int(found[1]) * _SECONDS[found[2]] if found else 0
    if not 0 < seconds <= _LONGEST_S:
        raise UsageError(f"{option} {text[:40]!r} isn't a length of time", hint=f"e.g. {option} 30m, 24h or 7d")
    return float(seconds)
