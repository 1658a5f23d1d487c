"""Patterns over addresses, paths and ids (security.md 8): anchored, dots and slashes count.

``*`` is a run without ``.``, ``/`` and ``@``, ``?`` one such character, ``**`` anything at all. Pure; compiled once.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from fame_cli.errors import ConfigError

__all__ = ["ANYTHING", "MAX_GLOB_LENGTH", "check_glob", "glob_matches", "matches_any"]

ANYTHING = "**"
"""The pattern that everything matches."""

MAX_GLOB_LENGTH = 256
"""Characters (security.md 8)."""

_ONE = "[^./@]"


def check_glob(pattern: str) -> None:
    """Check that a text is a pattern.

    Raises:
        ConfigError: it is empty, too long, or looks like a regular expression (``^…``).
    """
    if not pattern or len(pattern) > MAX_GLOB_LENGTH:
        raise ConfigError(f"a pattern has 1-{MAX_GLOB_LENGTH} characters, not {len(pattern)}")
    if pattern.startswith("^"):
        raise ConfigError(f"{pattern!r} is no pattern", hint="regular expressions aren't taken; use *, ** and ?")


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    """Compile a pattern into an expression that never tries all ways to share a text among its stars.

    What stands between two ``**`` may be taken where it first fits, for the second ``**`` takes all that is left; and
    so may what stands between two ``*``, which can't run past the first separator anyway. Both are atomic groups: the
    work is quadratic in the text at worst, not a power of it for each star.
    """
    *firsts, last = [_between(part) for part in re.split(r"\*\*", pattern)]
    if not firsts:
        return re.compile(last, re.DOTALL)
    head, *middles = firsts
    return re.compile(f"(?>{head})" + "".join(f"(?>.*?{middle})" for middle in middles) + f".*?{last}", re.DOTALL)


def _between(part: str) -> str:
    """Return the expression of what stands between two ``**``."""
    head, *pieces = ["".join(_ONE if c == "?" else re.escape(c) for c in piece) for piece in part.split("*")]
    if not pieces:
        return head
    *middles, last = pieces
    return head + "".join(f"(?>{_ONE}*?{middle})" for middle in middles) + f"{_ONE}*?{last}"


def glob_matches(pattern: str, text: str) -> bool:
    """Tell whether the whole text matches a pattern."""
    return pattern == ANYTHING or _compiled(pattern).fullmatch(text) is not None


def matches_any(patterns: Iterable[str], text: str) -> bool:
    """Tell whether the whole text matches one of several patterns; no pattern, no match."""
    return any(glob_matches(pattern, text) for pattern in patterns)
