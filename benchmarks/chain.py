"""The processes of one chain: started, waited for with a bound, weighed, and stopped however that ends (Linux).

Nothing here knows what a contender is. Each process is the head of a session of its own, so that Ctrl-C reaches the
driver alone, and whatever a process starts ends with it.
"""

import json
import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

__all__ = ["Broken", "Chain", "Process", "busy_s", "cpu_s", "free_port"]

Row: TypeAlias = dict[str, Any]

HERE = Path(__file__).parent
START_S = 20.0
STOP_S = 3.0
POLL_S = 0.01
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class Broken(Exception):
    """A process ended, or didn't do in time what it was to do; says why in one line."""


def free_port() -> int:
    """Return a TCP port that was free a moment ago on the loopback address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def busy_s() -> float:
    """Return the CPU time that all processors together have spent on anything, since the machine started."""
    user, nice, system, _, _, irq, softirq, steal = Path("/proc/stat").read_text(encoding="ascii").split()[1:9]
    return sum(int(ticks) for ticks in (user, nice, system, irq, softirq, steal)) / TICKS_A_SECOND


def cpu_s(pid: int) -> float:
    """Return the CPU time a process has used so far, in 1/100 s."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND


class Process:
    """One process: what it says goes to a file; its stdin and stdout are pipes if it is a client.

    Attributes:
        role: its place in the chain, e.g. ``router 1``.
    """

    def __init__(self, role: str, command: Sequence[str], env: Mapping[str, str], said: Path, *, asked: bool) -> None:
        self.role = role
        self._said = said
        self._buffer = b""
        with said.open("wb") as log:
            self._popen = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE if asked else subprocess.DEVNULL,
                stdout=subprocess.PIPE if asked else log,
                stderr=log,
                cwd=HERE,
                env=dict(env),
                start_new_session=True,
            )

    def wait_for(self, text: str, more_s: float = 0.0) -> str:
        """Wait until it has said a line with the text, and return the rest of the line.

        Args:
            more_s: seconds it takes on purpose.

        Raises:
            Broken: it hasn't within 20 s and those, or ended.
        """
        deadline = time.monotonic() + START_S + more_s
        while True:
            for line in self._said.read_text(encoding="utf-8", errors="replace").splitlines():
                if text in line:
                    return line.partition(text)[2].strip()
            self._require(deadline, f"not up within {START_S:g} s")
            time.sleep(POLL_S)

    def ask(self, command: Mapping[str, object], within_s: float) -> Row:
        """Write a command and return the answer, as `hear`."""
        assert self._popen.stdin is not None
        try:
            self._popen.stdin.write(json.dumps({**command, "limit_s": within_s}).encode() + b"\n")
            self._popen.stdin.flush()
        except BrokenPipeError as error:
            raise Broken(self._told("it ended")) from error
        return self.hear(within_s + STOP_S)

    def hear(self, within_s: float) -> Row:
        """Return its next line, decoded.

        Raises:
            Broken: there is none within that many seconds, or it reports an error.
        """
        assert self._popen.stdout is not None
        deadline = time.monotonic() + within_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._popen.stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise Broken(self._told(f"no answer within {within_s:.0f} s"))
                data = os.read(self._popen.stdout.fileno(), 65_536)
                if not data:
                    raise Broken(self._told("it ended"))
                self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        answer: Row = json.loads(line)
        if "error" in answer:
            raise Broken(answer["error"])
        return answer

    def _require(self, deadline: float, reproach: str) -> None:
        if self._popen.poll() is not None:
            raise Broken(self._told(f"it ended with {self._popen.returncode}"))
        if time.monotonic() > deadline:
            raise Broken(self._told(reproach))

    def _told(self, what: str) -> str:
        """Return what went wrong with the last line the process said."""
        lines = self._said.read_text(encoding="utf-8", errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f"{self.role}: {what}{f' ({last[:200]})' if last else ''}"

    def cpu_s(self) -> float:
        """Return the CPU time it has used, in 1/100 s."""
        return cpu_s(self._popen.pid)

    def rss_mib(self) -> float:
        """Return the memory it has in use now."""
        pages = int(Path(f"/proc/{self._popen.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def peak_mib(self) -> float:
        """Return the most memory it has had in use."""
        for line in Path(f"/proc/{self._popen.pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        raise Broken(self._told("it ended"))

    def finish(self) -> None:
        """Wait for the end of a process that ends by itself.

        Raises:
            Broken: it hasn't within 20 s, or ended badly.
        """
        try:
            code = self._popen.wait(START_S)
        except subprocess.TimeoutExpired as error:
            raise Broken(self._told(f"not done within {START_S:g} s")) from error
        if code:
            raise Broken(self._told(f"it ended with {code}"))

    def end(self) -> None:
        """Tell it to stop; `join` sees to it."""
        if self._popen.stdin is not None:
            with suppress(BrokenPipeError):
                self._popen.stdin.close()
        self.signal(signal.SIGTERM)

    def join(self) -> None:
        """Wait for its end, and kill what is left of it after 3 s."""
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(STOP_S)
        self.signal(signal.SIGKILL)
        self._popen.wait(STOP_S)
        if self._popen.stdout is not None:
            self._popen.stdout.close()

    def signal(self, number: int) -> None:
        """Send a signal to it and to all it has started."""
        with suppress(ProcessLookupError):  # the whole session may have ended
            os.killpg(self._popen.pid, number)


class Chain:
    """The processes of one contender; leaving the context stops them.

    Args:
        folder: where files of this chain go.
        env: variables on top of those of this process, less its FAME_ ones.

    Attributes:
        env: variables of its processes.
    """

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self.folder = folder
        self.processes: list[Process] = []
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FAME_")}
        self.env = {**kept, "PYTHONPATH": str(HERE), "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", **env}

    def __enter__(self) -> "Chain":
        return self

    def __exit__(self, *exc: object) -> None:
        for process in self.processes:
            process.end()
        for process in self.processes:
            process.join()

    def start(self, role: str, *command: str, asked: bool = False, env: Mapping[str, str] | None = None) -> Process:
        """Start a process; don't wait for it.

        Args:
            asked: True for a client, which is told by its stdin what to do.
            env: variables on top of those of the chain.
        """
        said = self.folder / f"{role.replace(' ', '-')}.log"
        process = Process(role, command, {**self.env, **(env or {})}, said, asked=asked)
        self.processes.append(process)
        return process

    def run(self, role: str, *command: str, env: Mapping[str, str] | None = None) -> None:
        """Run a process that ends by itself, to its end.

        Raises:
            Broken: it hasn't ended within 20 s, or badly.
        """
        process = self.start(role, *command, env=env)
        process.finish()
        self.processes.remove(process)

    def write(self, name: str, content: object) -> str:
        """Write a file, JSON unless it is a text, and return its path."""
        path = self.folder / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return str(path)
