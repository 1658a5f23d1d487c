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

_PARTS = {"**": ".*", "*": "[^./@]*", "?": "[^./@]"}
_SPLIT = re.compile(r"(\*\*|\*|\?)")


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
    return re.compile("".join(_PARTS.get(part, re.escape(part)) for part in _SPLIT.split(pattern)), re.DOTALL)


def glob_matches(pattern: str, text: str) -> bool:
    """Tell whether the whole text matches a pattern."""
    return pattern == ANYTHING or _compiled(pattern).fullmatch(text) is not None


def matches_any(patterns: Iterable[str], text: str) -> bool:
    """Tell whether the whole text matches one of several patterns; no pattern, no match."""
    return any(glob_matches(pattern, text) for pattern in patterns)
