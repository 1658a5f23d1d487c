"""Facts about this machine, read once, so that verdicts can be had for any machine."""

import platform
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

__all__ = ["Machine"]

DISTRIBUTION = "fame-cli"
_MEMORY = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")
_MOST = 2**62


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


@dataclass(frozen=True, slots=True)
class Machine:
    """Hold what checks compare configs with.

    Args:
        now: the time, seconds since the epoch.
        open_files: files a process may have open at most.
        memory_bytes: free for another process; None where nobody tells.
        python: version.
        requirements: of this distribution, as its metadata have them; empty where it isn't installed as one.
        installed: name of a package, in lower case with dashes, to its version.
        free_bytes: tells what is free on the disk of a folder.
    """

    now: Callable[[], float] = time.time
    open_files: int = _MOST
    memory_bytes: int | None = None
    python: tuple[int, ...] = field(default_factory=lambda: tuple(sys.version_info[:3]))
    requirements: tuple[str, ...] = ()
    installed: Mapping[str, str] = field(default_factory=dict)
    free_bytes: Callable[[Path], int] = _free_bytes

    @classmethod
    def here(cls) -> "Machine":
        """Return the facts about this machine."""
        return cls(
            open_files=_open_files(),
            memory_bytes=_free_memory(),
            requirements=_requirements(),
            installed={_plain(each.name): each.version for each in metadata.distributions() if each.name},
        )


def _plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _requirements() -> tuple[str, ...]:
    try:
        return tuple(metadata.requires(DISTRIBUTION) or ())
    except metadata.PackageNotFoundError:
        return ()


def _open_files() -> int:
    if sys.platform == "win32":
        return _MOST
    import resource  # not on Windows

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if hard == resource.RLIM_INFINITY else hard


def _free_memory() -> int | None:
    """Return what the system has free, or less where a container's limit says so."""
    if platform.system() != "Linux":
        return None
    lines = _text(_MEMORY).splitlines()
    free = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    limit, used = _text(_GROUP / "memory.max").strip(), _text(_GROUP / "memory.current").strip()
    if limit.isdigit() and used.isdigit():
        free.append(max(int(limit) - int(used), 0))
    return min(free, default=None)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
