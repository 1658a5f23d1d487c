"""One process: start it on its own, tell it from a later one with the same pid, end it.

A started process has a session of its own, so a Ctrl-C in this terminal doesn't reach it and closing the terminal
doesn't end it; whoever started it must say `stop`. Nothing is ever signalled by its pid alone: the kernel gives pids
out again, so a `Process` also holds when it was born, and a pid born at another time is somebody else.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

__all__ = [
    "POLL_S",
    "STOP_S",
    "Interrupts",
    "Process",
    "exit_code",
    "is_running",
    "myself",
    "reload_signal",
    "start",
    "stop",
]

POLL_S = 0.05
"""Seconds between two looks at a process or a log file."""

STOP_S = 5.0
"""Seconds a process has to end after SIGTERM before SIGKILL, beside those in which it finishes what runs."""

_REAP_S = 2.0
"""Seconds to wait for the kernel to bury what got SIGKILL."""

_APPENDING = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe isn't waited for


@dataclass(frozen=True, slots=True)
class Process:
    """Name one process: its pid, and what tells it from others that have had or will have that pid."""

    pid: int
    birth: str


def start(argv: Sequence[str], env: Mapping[str, str], log: Path) -> Process:
    """Start a process in a session of its own, with nothing to read and all it writes appended to a file.

    Args:
        argv: the program by its path, and its arguments.
        env: all of its variables.
        log: made if it isn't there, for this user alone.

    Raises:
        OSError: the program or the file isn't there.
    """
    pid = os.posix_spawn(
        argv[0],
        list(argv),
        dict(env),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), _APPENDING, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigmask=[],
        setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP],  # nohup and `&` would have it ignore them
    )
    return Process(pid, _look_up(pid)[1])


def myself() -> Process:
    """Return this process."""
    return Process(os.getpid(), _look_up(os.getpid())[1])


def reload_signal(process: Process) -> None:
    """Tell a process to read its config again, if it is still the one we mean."""
    _signal(process, signal.SIGHUP)


def is_running(process: Process) -> bool:
    """Tell whether this very process is still there; one that has ended but isn't buried yet isn't."""
    is_alive, birth = _look_up(process.pid)
    return is_alive and birth == process.birth


def exit_code(process: Process) -> int | None:
    """Bury a child of ours that has ended and return its exit code, negative for a signal; None if it still runs.

    One that isn't our child, or was buried before, counts as 0 once it is gone.
    """
    try:
        pid, status = os.waitpid(process.pid, os.WNOHANG)
    except ChildProcessError:
        return None if is_running(process) else 0
    return os.waitstatus_to_exitcode(status) if pid else None


def stop(processes: Sequence[Process], *, grace_s: float = STOP_S, hurry: Callable[[], bool] = lambda: False) -> None:
    """End processes: SIGTERM, and SIGKILL for those, with all they have started, that don't go.

    Args:
        processes: those that have ended already don't matter.
        grace_s: seconds between the two, >= 0.
        hurry: asked meanwhile; True cuts the grace short.
    """
    left = [process for process in processes if is_running(process)]
    for process in left:
        _signal(process, signal.SIGTERM)
    left = _wait(left, grace_s, hurry)
    for process in left:
        _signal(process, signal.SIGKILL)
    _wait(left, _REAP_S, lambda: False)


def _wait(processes: Sequence[Process], limit_s: float, hurry: Callable[[], bool]) -> list[Process]:
    deadline = time.monotonic() + limit_s
    while left := [process for process in processes if exit_code(process) is None]:
        if time.monotonic() >= deadline or hurry():
            break
        time.sleep(POLL_S)
    return left


def _signal(process: Process, number: signal.Signals) -> None:
    """Signal a process, or with SIGKILL its whole session, if it is still the one we mean."""
    if not is_running(process):
        return
    try:
        if number is signal.SIGKILL and os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, number)
        else:
            os.kill(process.pid, number)
    except ProcessLookupError:
        return


def _look_up(pid: int) -> tuple[bool, str]:
    """Return whether a pid is alive (neither gone nor a zombie) and what is known of its birth, "" if nothing."""
    if pid <= 0:
        return False, ""
    return _from_proc(pid) if sys.platform == "linux" else _from_ps(pid)


def _from_proc(pid: int) -> tuple[bool, str]:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return False, ""
    fields = stat.rpartition(")")[2].split()  # the name before it may hold spaces and parentheses
    return fields[0] not in "ZX", f"{fields[19]}@{boot[:8]}"


def _from_ps(pid: int) -> tuple[bool, str]:
    command = ["/bin/ps", "-o", "stat=", "-o", "lstart=", "-p", str(pid)]
    found = subprocess.run(command, capture_output=True, text=True, check=False, env={"LC_ALL": "C", "TZ": "UTC"})
    state, _, birth = found.stdout.strip().partition(" ")
    return bool(state) and not state.startswith("Z"), " ".join(birth.split())


@dataclass(slots=True)
class Interrupts:
    """Count SIGINT, SIGTERM and SIGHUP during a ``with`` block, which would else end this process at once.

    Use it in the main thread. A SIGHUP that is ignored stays ignored, as nohup wants it.
    """

    count: int = 0
    _before: dict[int, Callable[[int, FrameType | None], object] | int | None] = field(default_factory=dict)

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._before:
            number, before = self._before.popitem()
            signal.signal(number, signal.SIG_DFL if before is None else before)

    def _take(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
