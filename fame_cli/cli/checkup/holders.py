"""Which process has a port or a file, as far as the system tells: on Linux, and of processes that are one's own."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ["holder_of", "listener_on"]

SEARCH_S = 0.5
"""Seconds after which a search among very many processes is given up."""

_LISTENING = "0A"
"""The state of a socket in /proc/net/tcp."""


def listener_on(port: int) -> str:
    """Return the process that listens on a port, e.g. ``process 312 (nginx)``; "" where nobody tells."""
    return _process_with({f"socket:[{inode}]" for inode in _inodes(port)})


def holder_of(path: Path) -> str:
    """Return the process that has a file open, "" where nobody tells."""
    return _process_with({str(path.resolve())})


def _process_with(targets: set[str]) -> str:
    """Return the first process with a descriptor that leads to one of some targets."""
    until = time.monotonic() + SEARCH_S
    for process in Path("/proc").glob("[0-9]*") if targets else ():
        if time.monotonic() > until:
            break
        with suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                with suppress(OSError):
                    if os.readlink(descriptor) in targets:
                        return f"process {process.name} ({(process / 'comm').read_text().strip()})"
    return ""


def _inodes(port: int) -> Iterator[str]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]
