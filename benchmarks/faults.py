"""Fabrics whose parts a driver can kill, cut and poison, and what their callers see of it (Linux).

Two makes, one shape: a sentinel with the client, a second one with two agents, and a relay on the link between them.
"""

import json
import queue
import selectors
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from chain import Broken, Chain, Process, free_port
from environments import ROOT, naylence_python

__all__ = ["ADDRESS", "PROBED", "Caller", "Ended", "Fabric", "Relay", "fame", "naylence"]

ATTACH = "fame/v1/attach/ws"
ADDRESS, PROBED = "bench@fame.fabric", "probe@fame.fabric"
AGENTS = {"agent": ADDRESS, "second-agent": PROBED}
SCRIPTS = ROOT / "tests" / "interop" / "naylence"
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of zero seconds: closing sends a reset."""

Call: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ended:
    """Hold how a call ended: `at` by the monotonic clock, in seconds."""

    name: str
    at: float
    ok: bool
    why: str


class Caller:
    """Make calls through a client process, and hear when they end."""

    def __init__(self, command: Sequence[str], env: dict[str, str]) -> None:
        self._popen = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=ROOT / "benchmarks",
            env=env,
            text=True,
            start_new_session=True,
        )
        self._ended: queue.Queue[Ended] = queue.Queue()
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._ready.wait(20):
            self.end()
            raise Broken("the client isn't attached within 20 s")

    def _read(self) -> None:
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            now = time.monotonic()
            if line.startswith("READY"):
                self._ready.set()
            elif line.startswith("{"):
                told = json.loads(line)
                why = "" if told["ok"] else f"{told['kind']}: {told['error']}"[:160]
                self._ended.put(Ended(told["name"], now, told["ok"], why))

    def begin(self, names: Sequence[str], method: str, to: str = ADDRESS, **params: object) -> float:
        """Begin some calls at once; returns when."""
        assert self._popen.stdin is not None
        calls: list[Call] = [
            {"do": "call", "to": to, "method": method, "params": params, "name": name} for name in names
        ]
        self._popen.stdin.write(json.dumps(calls) + "\n")
        self._popen.stdin.flush()
        return time.monotonic()

    def next(self, within_s: float) -> Ended | None:
        """Return the next call that ends; None if none does within that many seconds."""
        with suppress(queue.Empty):
            return self._ended.get(timeout=max(within_s, 0.0))
        return None

    def end(self) -> None:
        """End the process."""
        self._popen.kill()
        self._popen.wait(5)
        for stream in (self._popen.stdin, self._popen.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()
        self._reader.join(5)


class Relay:
    """Be the wire to a port, in a thread of its own.

    Attributes:
        port: where it is to be dialled.
    """

    def __init__(self, to_port: int) -> None:
        self._to = ("127.0.0.1", to_port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._orders: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._over = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """Reset all connections; new ones are taken."""
        self._orders.put("cut")

    def end(self) -> None:
        """End everything."""
        self._over = True
        self._thread.join(5)
        self._cut()
        self._listening.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._over:
            for key, _ in self._selector.select(0.01):
                end = key.fileobj
                assert isinstance(end, socket.socket)
                if end is self._listening:
                    self._take()
                elif end in self._pairs:
                    self._pass_on(end)
            while not self._orders.empty():
                self._orders.get()
                self._cut()

    def _take(self) -> None:
        near, _ = self._listening.accept()
        try:
            far = socket.create_connection(self._to, timeout=2)
        except OSError:
            near.close()
            return
        for one, other in ((near, far), (far, near)):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._pairs[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _pass_on(self, end: socket.socket) -> None:
        try:
            data = end.recv(65_536)
            if data:
                self._pairs[end].sendall(data)
                return
        except OSError:
            pass  # as good as its end
        self._close(end)

    def _close(self, end: socket.socket) -> None:
        for each in (end, self._pairs[end]):
            self._selector.unregister(each)
            del self._pairs[each]
            each.close()

    def _cut(self) -> None:
        while self._pairs:
            end, other = next(iter(self._pairs.items()))
            for each in (end, other):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self._close(end)


@dataclass(slots=True)
class Fabric:
    """Hold the parts of one fabric.

    Args:
        url: where to attach to the first sentinel.
        far_id: id of the second sentinel.
        commands: role → how to start it, and what it says when it is up.
    """

    chain: Chain
    relay: Relay
    caller: Caller
    url: str
    far_id: str
    commands: dict[str, tuple[Sequence[str], str]]
    running: dict[str, Process] = field(default_factory=dict)

    def kill(self, role: str) -> float:
        """Kill a process without a word; returns when."""
        process = self.running[role]
        at = time.monotonic()
        process.signal(signal.SIGKILL)
        return at

    def restart(self, role: str) -> float:
        """Start it again; returns when it was begun."""
        command, _ = self.commands[role]
        at = time.monotonic()
        self.running[role] = self.chain.start(f"{role} again", *command)
        return at

    def end(self) -> None:
        """End what isn't of the chain."""
        self.caller.end()
        self.relay.end()


def _begun(chain: Chain, commands: dict[str, tuple[Sequence[str], str]]) -> dict[str, Process]:
    running = {}
    for role, (command, up) in commands.items():
        running[role] = chain.start(role, *command)
        running[role].wait_for(up)
    return running


def fame(chain: Chain) -> Fabric:
    """Start a fabric of ours."""
    first, second = free_port(), free_port()
    relay = Relay(first)
    configs: dict[str, dict[str, object]] = {
        "near": {"kind": "sentinel", "id": "near", "listen": f"127.0.0.1:{first}"},
        "far": {
            "kind": "sentinel",
            "id": "far",
            "listen": f"127.0.0.1:{second}",
            "peers": [{"direct_url": f"ws://127.0.0.1:{relay.port}/{ATTACH}/peer"}],
        },
    }
    for role, address in AGENTS.items():
        configs[role] = {
            "kind": "agent",
            "id": role,
            "upstream": {"direct_url": f"ws://127.0.0.1:{second}/{ATTACH}/downstream"},
            "agent": {"import": "contenders.fault_agent:FaultAgent", "address": address, "max_concurrent": 10_000},
        }
    fame_program = (sys.executable, "-P", "-m", "fame_cli")
    commands: dict[str, tuple[Sequence[str], str]] = {}
    for role, config in configs.items():
        path = chain.write(f"{role}.yaml", config)  # JSON is YAML
        commands[role] = (*fame_program, str(config["kind"]), "--config", path, "--log-format", "json"), "node_ready"
    running = _begun(chain, commands)
    url = f"ws://127.0.0.1:{first}/{ATTACH}/downstream"
    caller = Caller([sys.executable, "-m", "contenders.fault_client", url], chain.env)
    return Fabric(chain, relay, caller, url, "far", commands, running)


def naylence(chain: Chain) -> Fabric:
    """Start a fabric of the original kit.

    Raises:
        Unavailable: there is none on this machine.
    """
    python = naylence_python()
    first, second = free_port(), free_port()
    relay = Relay(first)
    peer, downstream = f"ws://127.0.0.1:{relay.port}/{ATTACH}/peer", f"/{ATTACH}/downstream"
    sentinel, agent = (str(SCRIPTS / f"{name}.py") for name in ("sentinel", "agent"))
    upstream = f"ws://127.0.0.1:{second}{downstream}"
    commands: dict[str, tuple[Sequence[str], str]] = {
        "near": ((python, sentinel, "--port", str(first), "--id", "near"), "READY"),
        "far": ((python, sentinel, "--port", str(second), "--id", "far", "--peer", peer), "READY"),
    }
    for role, address in AGENTS.items():
        commands[role] = (python, agent, "--id", role, "--url", upstream, "--address", address), "READY"
    running = _begun(chain, commands)
    url = f"ws://127.0.0.1:{first}{downstream}"
    caller = Caller([python, "-m", "contenders.fault_client_naylence", url], chain.env)
    return Fabric(chain, relay, caller, url, "far", commands, running)
