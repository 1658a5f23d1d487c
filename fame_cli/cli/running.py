"""What is known on disk of the nodes that run on this machine from a file, so that `fame reload` finds them.

One small file a process, ``<state>/fame/nodes/<pid>.json``, readable by its user alone and gone with the process. Only
who owns the process can signal it, and a pid that has been given out again is told by its birth, so nothing is asked
over the fabric, where a config's machine can't be told from any other. Where no such file can be written the node runs
all the same; a SIGHUP still reloads it.
"""

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import msgspec

from fame_cli.cli.fabric.processes import Process, is_running, myself
from fame_cli.cli.fabric.state import state_root
from fame_cli.config.reload import Outcome
from fame_cli.errors import ConfigError
from fame_cli.security.files import content_of, put

__all__ = ["Running", "all_running", "noted", "path_of", "read"]

_FOLDER = "nodes"

_MAX_BYTES = 65_536
"""More than any such file has."""


@dataclass(slots=True)
class Running:
    """Hold what is known of one process.

    Args:
        pid: of it.
        birth: see `Process`.
        kind: sentinel or agent.
        file: its config, absolute.
        node: which node of a fabric file, or its id; "" if it has none.
        reloads: how often it has read its config again.
        outcome: how the last time went.
    """

    pid: int
    birth: str
    kind: str
    file: str
    node: str = ""
    reloads: int = 0
    outcome: Outcome = field(default_factory=Outcome)

    @property
    def process(self) -> Process:
        """Return its process."""
        return Process(self.pid, self.birth)

    @property
    def name(self) -> str:
        """Return what to call it."""
        return self.node or f"{self.kind} {self.pid}"


class Note:
    """Keep the file of this process true.

    Args:
        path: of the file; None where there is no place for it.
        state: what it says.
    """

    def __init__(self, path: Path | None, state: Running) -> None:
        self._path = path
        self._state = state

    def write(self) -> None:
        """Write it in one piece."""
        if self._path is None:
            return
        with suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            put(self._path, msgspec.json.encode(self._state), lasts=False)

    def reloaded(self, outcome: Outcome) -> None:
        """Take how a reload went."""
        self._state.reloads += 1
        self._state.outcome = outcome
        self.write()

    def remove(self) -> None:
        """Remove it."""
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)


@contextmanager
def noted(env: Mapping[str, str], kind: str, file: Path | None, node: str) -> Iterator[Note]:
    """Say for the block that this process runs a node from a file; nothing is said of one without."""
    process = myself()
    state = Running(process.pid, process.birth, kind, str(file.resolve()) if file else "", node)
    path: Path | None = None
    if file is not None:
        with suppress(ConfigError):
            path = path_of(state_root(env), process.pid)
    note = Note(path, state)
    is_usual = path is not None and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
    if is_usual:
        signal.signal(signal.SIGHUP, _pass_over)
    note.write()
    try:
        yield note
    finally:
        note.remove()
        if is_usual:
            signal.signal(signal.SIGHUP, signal.SIG_DFL)


def _pass_over(number: int, frame: FrameType | None) -> None:
    """Take a SIGHUP that comes before the node can, which would else end this process."""


def path_of(root: Path, pid: int) -> Path:
    """Return the file of a process."""
    return root / _FOLDER / f"{pid}.json"


def all_running(root: Path) -> list[Running]:
    """Return the nodes that run, by file and name; what is left of others is removed."""
    found: list[Running] = []
    for path in root.glob(f"{_FOLDER}/*.json"):
        state = read(path)
        if state is not None and is_running(state.process):
            found.append(state)
        else:
            with suppress(OSError):
                path.unlink(missing_ok=True)
    return sorted(found, key=lambda state: (state.file, state.name))


def read(path: Path) -> Running | None:
    """Return what a file says, None if it says nothing."""
    try:
        return msgspec.json.decode(content_of(path, _MAX_BYTES, follow=False), type=Running)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
