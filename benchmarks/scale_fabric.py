"""The processes of one measurement of ``bench_scale.py``: real sentinels and agents, and loads of light nodes."""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

HERE = Path(__file__).parent
FAME = [sys.executable, "-m", "fame_cli"]
START_S = 20.0
END_S = 10.0

Json = dict[str, Any]

AGENT = '''
"""What is called."""

from fame_cli import Agent, operation


class Adder(Agent):
    """Add."""

    @operation
    def add(self, x: int, y: int) -> int:
        """Return the sum."""
        return x + y
'''


class Fabric:
    """Start real nodes and loads, and end all of them in the end; use it as a context."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="fame-scale-")
        self.folder = Path(self._folder.name)
        self._processes: list[subprocess.Popen[str]] = []
        (self.folder / "adder.py").write_text(AGENT, encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._folder.cleanup()

    def sentinel(self, name: str, port: int, peers: Sequence[int] = (), **limits: int) -> int:
        """Start a sentinel, wait until it listens, and return the id of its process."""
        config = {
            "kind": "sentinel",
            "id": name,
            "listen": f"127.0.0.1:{port}",
            "peers": [{"direct_url": f"ws://127.0.0.1:{peer}/fame/v1/attach/ws/peer"} for peer in peers],
            "limits": {"max_links": 100_000, **limits},
        }
        process = self._start(name, config)
        self._wait(port, lambda: True)
        return process.pid

    def agent(self, name: str, port: int) -> int:
        """Start an agent that adds at ``<name>@fame.fabric``, wait until it is bound, and return its process's id."""
        config = {
            "kind": "agent",
            "id": name,
            "upstream": {"direct_url": f"ws://127.0.0.1:{port}/fame/v1/attach/ws/downstream"},
            "agent": {"import": "adder:Adder", "address": f"{name}@fame.fabric"},
        }
        process = self._start(name, config)
        log = self.folder / f"{name}.log"
        self._wait(port, lambda: "node_ready" in log.read_text(encoding="utf-8"))
        return process.pid

    def load(self, port: int) -> "Load":
        """Start a process of light nodes for the sentinel at a port."""
        command = [sys.executable, str(HERE / "scale_nodes.py"), "127.0.0.1", str(port)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._processes.append(process)
        return Load(process)

    def _start(self, name: str, config: Json) -> "subprocess.Popen[str]":
        file = self.folder / f"{name}.yaml"
        file.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
        log = (self.folder / f"{name}.log").open("w")
        command = [*FAME, str(config["kind"]), "--config", str(file)]
        process = subprocess.Popen(command, stderr=log, stdout=subprocess.DEVNULL, text=True, cwd=self.folder)
        log.close()
        self._processes.append(process)
        return process

    def _wait(self, port: int, also: Any) -> None:
        until = time.monotonic() + START_S
        while not (_is_ready(port) and also()):
            if time.monotonic() > until:
                raise TimeoutError(f"nothing is ready on port {port}")
            time.sleep(0.02)


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


class Load:
    """Tell one process of light nodes what to do."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.pid = process.pid

    def begin(self, do: str, **command: object) -> None:
        """Give a command."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **command}) + "\n")
        self._process.stdin.flush()

    def end(self) -> Json:
        """Wait until it is carried out and return what it says."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("a process of light nodes has ended")
        answer: Json = json.loads(line)
        return answer


def resident_bytes(pid: int) -> int:
    """Return the memory a process has in use now (Linux)."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
