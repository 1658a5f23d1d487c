"""What is known on disk of the fabrics that were started here, so that another command can list and stop them.

One folder a fabric file, ``<state>/fame/<name>-<digest of the file's path>/``, readable by its user alone: who runs
(`fabric.json`, replaced in one piece) and one log file a node. The file may be stale: a pid in it is only ever a
`Process`, which knows when it was born.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from fame_cli.cli.fabric.processes import Process, is_running
from fame_cli.errors import ConfigError, UsageError
from fame_cli.security.files import content_of, open_lock, put

__all__ = [
    "FabricState",
    "NodeState",
    "all_states",
    "folder_for",
    "forget",
    "held",
    "running",
    "running_already",
    "save",
    "state_root",
]

_FILE = "fabric.json"


@dataclass(slots=True)
class NodeState:
    """Hold what is known of one node.

    Args:
        name: unique in the fabric.
        kind: sentinel or agent.
        place: ``host:port`` or address, as really bound once it is ready.
        pid: 0 until it is started.
        birth: see `Process`.
        started_at: seconds since the epoch.
        is_ready: it has said so.
        drain_s: seconds it may take to finish what runs once it is told to stop.
    """

    name: str
    kind: str
    place: str = ""
    pid: int = 0
    birth: str = ""
    started_at: float = 0.0
    is_ready: bool = False
    drain_s: float = 0.0

    @property
    def process(self) -> Process:
        """Return its process, which may never have been started."""
        return Process(self.pid, self.birth)

    def status(self) -> str:
        """Return waiting, starting, ready or ended, as it is now."""
        if not self.pid:
            return "waiting"
        if not is_running(self.process):
            return "ended"
        return "ready" if self.is_ready else "starting"


@dataclass(slots=True)
class FabricState:
    """Hold what is known of one fabric: its name, its file (absolute) and its nodes in the order of their start."""

    name: str
    file: str
    nodes: list[NodeState] = field(default_factory=list)
    folder: str = ""

    def log(self, node: str) -> Path:
        """Return the log file of a node."""
        return Path(self.folder, f"{node}.log")


def state_root(env: Mapping[str, str]) -> Path:
    """Return the folder of all states: ``$XDG_STATE_HOME/fame``, else ``~/.local/state/fame``.

    Raises:
        ConfigError: neither variable holds an absolute path.
    """
    given, home = env.get("XDG_STATE_HOME", ""), env.get("HOME", "")
    if Path(given).is_absolute():  # a relative one is to be ignored (XDG base directory specification)
        return Path(given, "fame")
    if not Path(home).is_absolute():
        raise ConfigError("no place to remember what runs", source="HOME", hint="set HOME or XDG_STATE_HOME")
    return Path(home, ".local", "state", "fame")


def folder_for(root: Path, name: str, file: Path) -> Path:
    """Make the folder of a fabric and return it.

    Args:
        root: see `state_root`.
        name: of the fabric.
        file: its file, absolute.
    """
    folder = root / f"{name}-{hashlib.sha256(os.fsencode(file)).hexdigest()[:10]}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


def save(state: FabricState) -> None:
    """Write the state down; a reader sees the old one or the new one. Nothing is written once it is forgotten."""
    content = msgspec.json.format(msgspec.json.encode(state), indent=2)
    with suppress(FileNotFoundError):
        put(Path(state.folder, _FILE), content, lasts=False)


def forget(state: FabricState) -> None:
    """Remove the folder of a fabric, logs and all."""
    shutil.rmtree(state.folder, ignore_errors=True)


def all_states(root: Path) -> list[FabricState]:
    """Return the states of all fabrics, by name.

    Raises:
        ConfigError: one of them can't be read.
    """
    return [_read(path) for path in sorted(root.glob(f"*/{_FILE}"))]


def _read(path: Path) -> FabricState:
    try:
        state = msgspec.json.decode(content_of(path, follow=False), type=FabricState)
    except (OSError, ValueError, RecursionError) as error:  # msgspec's is a ValueError
        raise ConfigError(f"can't be read: {error}", source=str(path), hint=f"remove {path.parent}") from error
    state.folder = str(path.parent)
    return state


def running(state: FabricState) -> list[NodeState]:
    """Return the nodes whose process is there."""
    return [node for node in state.nodes if is_running(node.process)]


@contextmanager
def held(folder: Path, file: Path) -> Iterator[None]:
    """Keep other ``fame up`` of the same file out for the block.

    Raises:
        UsageError: one is in such a block.
    """
    descriptor = open_lock(folder / "lock")
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise running_already(file) from error
        yield
    finally:
        os.close(descriptor)


def running_already(file: Path) -> UsageError:
    """Return the error for a second ``fame up`` of a file."""
    name = shown(file)
    return UsageError(f"{name} is running already", hint=f"see: fame ps; stop it: fame down {name}")


def shown(file: Path) -> str:
    """Return a path as its user would type it here."""
    here = Path.cwd()
    return str(file.relative_to(here) if file.is_relative_to(here) else file)
