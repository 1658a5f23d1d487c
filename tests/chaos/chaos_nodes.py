"""The processes of a chaos run: started from their configs, killed, stopped, started again, and their memory.

Only processes started here are ever touched, each by its own id.
"""

import asyncio
import contextlib
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["ChaosProcess", "environment"]

FAME = (sys.executable, "-m", "fame_cli")
PAGE_BYTES = resource.getpagesize()
UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


def environment(home: Path) -> dict[str, str]:
    """Return this process's environment without what could tell a node something else than its config does."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FAME_")}
    ours = {"HOME": str(home), "PYTHONPATH": str(Path(__file__).parent)}
    return {**kept, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", **ours}


class ChaosProcess:
    """Be one process through all its lives.

    Attributes:
        lives: ids of its processes, in order.
        ends: exit codes of those that ended although nobody killed them.
        rss: (seconds, bytes) as `measure` found them, of the present life.
        stopped_at: when it was stopped, None while it runs.
    """

    def __init__(self, name: str, command: Sequence[str], folder: Path) -> None:
        self.name = name
        self.lives: list[int] = []
        self.ends: list[int] = []
        self.rss: list[tuple[float, int]] = []
        self.longest: list[tuple[float, int]] = []
        self.stopped_at: float | None = None
        self._command = command
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self._killed = False
        self._said: asyncio.Task[None] | None = None

    @classmethod
    def node(cls, name: str, config: Mapping[str, object], folder: Path) -> "ChaosProcess":
        """Make a node of a config, which is written to the folder."""
        file = folder / f"{name}.yaml"
        file.write_text(json.dumps(config, indent=2), encoding="utf-8")  # JSON is YAML
        return cls(name, [*FAME, str(config["kind"]), "--config", str(file), "--log-format", "json"], folder)

    @property
    def life(self) -> str:
        """What its notes call it."""
        return f"{self.name}.{self.lives[-1] if self.lives else 0}"

    @property
    def runs(self) -> bool:
        """Tell whether it has been started and hasn't ended."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Begin a life; what it says goes to ``NAME.log``, by a pipe, so that it may talk while its disk is full."""
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=self._folder,
            env=environment(self._folder),
            start_new_session=True,
        )
        self._said = asyncio.ensure_future(self._keep_log(self._process.stdout))
        self.lives.append(self._process.pid)
        self._killed, self.stopped_at = False, None
        self._keep_longest()
        self.rss = []

    async def _keep_log(self, said: asyncio.StreamReader | None) -> None:
        with (self._folder / f"{self.name}.log").open("ab") as log:
            while said is not None and (data := await said.read(65_536)):
                log.write(data)
                log.flush()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it is there."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once."""
        self._killed = True
        self.signal(signal.SIGKILL)

    async def stop(self, within_s: float) -> None:
        """Ask it to end, wait, and end it."""
        self._killed = True
        self.signal(signal.SIGTERM)
        if self._process is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._process.wait()
        self.signal(signal.SIGKILL)
        await self._process.wait()
        if self._said is not None:
            await self._said
        self._keep_longest()

    def has_ended_by_itself(self) -> bool:
        """Tell once whether it has ended although nobody ended it."""
        if self._process is None or self._process.returncode is None or self._killed:
            return False
        self.ends.append(self._process.returncode)
        self._killed = True
        return True

    def measure(self) -> None:
        """Note the memory it has in use (Linux)."""
        if self.runs and self.lives:
            with contextlib.suppress(OSError):
                pages = int(Path(f"/proc/{self.lives[-1]}/statm").read_text(encoding="ascii").split()[1])
                if pages:  # it hasn't just ended
                    self.rss.append((time.monotonic(), pages * PAGE_BYTES))

    def _keep_longest(self) -> None:
        if len(self.rss) > len(self.longest):
            self.longest = self.rss

    def slope_mb_min(self, settled_s: float = 10.0) -> float:
        """Return how its memory grew in its longest life, in MB a minute (least squares, without its first seconds)."""
        points = [(t, size) for t, size in self.longest if t - self.longest[0][0] >= settled_s]
        if len(points) < 3:
            return 0.0
        mean_t = sum(t for t, _ in points) / len(points)
        mean_size = sum(size for _, size in points) / len(points)
        spread = sum((t - mean_t) ** 2 for t, _ in points)
        return sum((t - mean_t) * (size - mean_size) for t, size in points) / spread * 60 / 1e6

    def fill_disk(self) -> None:
        """Let no file of it grow, as if its disk were full: without root, by the limit of a file's size."""
        if self.runs:
            resource.prlimit(self.lives[-1], resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    def free_disk(self) -> None:
        """Undo `fill_disk`."""
        if self.runs:
            resource.prlimit(self.lives[-1], resource.RLIMIT_FSIZE, UNLIMITED)
