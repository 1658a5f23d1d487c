"""Addresses (spec 3.1): parse, format and match ``participant@location``.

Pure. Parsing is cached because a router meets the same few addresses for ever; nothing here looks at routes.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from fame_cli.errors import RemoteProtocolError

__all__ = ["MAX_ADDRESS_LENGTH", "Address", "is_node_id", "is_node_path", "parse", "physical", "pool_matches"]

MAX_ADDRESS_LENGTH = 1024
"""Characters. Our own bound (the original has none): 16 hops of 60-character ids fit."""

_PARTICIPANT = re.compile(r"[A-Za-z0-9_-]+")
_HOST = re.compile(r"(\*|[A-Za-z0-9-]+)(\.[A-Za-z0-9-]+)*")
_PATH = re.compile(r"/|(/[A-Za-z0-9._-]+)+")
_NODE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class Address(NamedTuple):
    """Hold the parts of one address; `host` and `path` are "" when absent, never both."""

    participant: str
    host: str
    path: str

    @property
    def is_pool(self) -> bool:
        """Tell whether the host starts with the wildcard label."""
        return self.host.startswith("*.")

    @property
    def segments(self) -> list[str]:
        """Return the node ids of the physical path, root first; [] for a logical address or ``/``."""
        return self.path.split("/")[1:] if len(self.path) > 1 else []

    def __str__(self) -> str:
        return f"{self.participant}@{self.host}{self.path}"


@lru_cache(maxsize=65_536)
def parse(text: str) -> Address:
    """Split an address at its last ``@`` and check every part.

    Raises:
        RemoteProtocolError: the text isn't an address.
    """
    participant, _, location = text.rpartition("@")
    slash = location.find("/")
    host, path = (location, "") if slash < 0 else (location[:slash], location[slash:])
    if (
        len(text) > MAX_ADDRESS_LENGTH
        or not _PARTICIPANT.fullmatch(participant)
        or not location
        or (host and not _HOST.fullmatch(host))
        or (path and not _PATH.fullmatch(path))
        or host == "*"
    ):
        raise RemoteProtocolError(f"not an address: {text[:80]!r}", hint="write it like math1@fame.fabric")
    return Address(participant, host, path)


def physical(participant: str, path: str) -> str:
    """Return the address of a participant at a node's physical path."""
    return f"{participant}@{path}"


def pool_matches(pattern_host: str, host: str) -> bool:
    """Tell whether the pool pattern ``*.D`` takes `host`: D itself, anything under it, or the pattern (spec 3.1)."""
    domain = pattern_host[2:]
    return host in (pattern_host, domain) or host.endswith("." + domain)


def is_node_path(text: str) -> bool:
    """Tell whether `text` can be a node's physical path: ``/`` and one segment, or more of both."""
    return len(text) > 1 and bool(_PATH.fullmatch(text))


def is_node_id(text: str) -> bool:
    """Tell whether `text` can be one segment of a physical path: 1-128 of ``[A-Za-z0-9._-]``, not ``.`` or ``..``."""
    return bool(_NODE_ID.fullmatch(text)) and text not in (".", "..")
