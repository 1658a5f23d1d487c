"""What the commands about keys and tokens share: the home folder, and times as people write them."""

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from fame_cli.cli.options import invocation_of
from fame_cli.errors import UsageError

if TYPE_CHECKING:
    from fame_cli.security.keystore import Home

__all__ = ["home_of", "lifetime_s", "moment"]

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "": 1}
_LIFETIME = re.compile(r"(\d{1,9})([smhd]?)")


def home_of(ctx: typer.Context) -> "Home":
    """Return the home folder of this run."""
    from fame_cli.security.keystore import Home, home_folder  # pulls in cryptography

    return Home(home_folder(invocation_of(ctx).environment()))


def lifetime_s(text: str, option: str) -> float:
    """Return the seconds that a text like ``90s``, ``30m``, ``12h`` or ``7d`` means.

    Raises:
        UsageError: it means none.
    """
    found = _LIFETIME.fullmatch(text.strip())
    if found is None:
        hint = f"write a whole number and s, m, h or d, e.g. {option} 12h"
        raise UsageError(f"{option} {text!r} is not a time", hint=hint)
    return float(int(found[1]) * _UNITS_S[found[2]])


def moment(seconds: float) -> str:
    """Write a time since the epoch as a date and time, UTC."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{seconds:g}"
