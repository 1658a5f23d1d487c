"""The settings of a client without a file, where nothing about them needs a closer look: no pydantic, no YAML.

Pure but for `environment`. Most runs of ``fame call`` have a URL at most. Whatever this module isn't sure of it leaves
to `load`, which is the rule: what is decided here is what `load` would decide, and nothing is refused here.
"""

import os
import re
from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["DEFAULT_ATTACH_URL", "DEFAULT_TIMEOUT_S", "PlainClient", "environment", "plain_client"]

DEFAULT_ATTACH_URL = "ws://127.0.0.1:8000/fame/v1/attach/ws/downstream"
DEFAULT_TIMEOUT_S = 30.0

_URL_VARIABLE = "FAME_DIRECT_ADMISSION_URL"
_LONGEST_S = 86_400
_PLAIN_URL = re.compile(
    r"wss?://[A-Za-z0-9]([A-Za-z0-9.-]{0,250}[A-Za-z0-9])?(:[1-9][0-9]{0,3})?(:[1-5][0-9]{4})?"
    r"/fame/v1/attach/ws/downstream"
)
"""Beyond doubt an attach URL; there are others."""


class PlainClient(NamedTuple):
    """Hold what a client needs to know: `timeout_s` in seconds, > 0."""

    url: str
    timeout_s: float


def environment() -> dict[str, str]:
    """Return a copy of the process's environment variables."""
    return dict(os.environ)


def plain_client(env: Mapping[str, str], url: str | None, timeout_s: float | None) -> PlainClient | None:
    """Return the settings of a client without a file; None where `load` has to look.

    Args:
        env: the environment variables; any of ours but the URL needs a closer look.
        url: the flag; None if it wasn't given.
        timeout_s: likewise, in seconds.
    """
    others = [name for name, value in env.items() if name.startswith("FAME_") and value and name != _URL_VARIABLE]
    chosen = url or env.get(_URL_VARIABLE) or DEFAULT_ATTACH_URL
    seconds = DEFAULT_TIMEOUT_S if timeout_s is None else timeout_s
    if others or url == "" or not _PLAIN_URL.fullmatch(chosen) or not 0 < seconds <= _LONGEST_S:
        return None
    return PlainClient(chosen, seconds)
