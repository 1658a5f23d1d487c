"""Real processes of both makes, started and stopped by the interop tests.

`Fabric` starts nodes: Naylence ones as the scripts in `naylence/` under an interpreter that has the real kit, ours
through the real command line with YAML files. Every wait has a deadline, every process is killed at the end, and what
the processes said is kept for the report of a failing test. Nothing here imports `fame_cli`: the tests see only what a
user sees.
"""

import json
import os
import queue
import re
import secrets
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self

__all__ = [
    "Cli",
    "Fabric",
    "FabricMaker",
    "NaylenceClient",
    "NodeProcess",
    "Sentinel",
    "TokenServer",
    "World",
    "environment",
    "eventually",
    "free_port",
    "items_of",
    "result_of",
]

SCRIPTS = Path(__file__).parent / "naylence"
START_S = 25.0
ANSWER_S = 40.0
KEPT_LINES = 2000
SHOWN_LINES = 60
ATTACH = "fame/v1/attach"
ENVELOPE_LINE = re.compile(r" ms [→←] |(Received|Forwarded|Sent) envelope")

OUR_AGENT = '''
"""The counterpart of the Naylence agent: the same operations on our side."""

import json
from collections.abc import AsyncIterator

from fame_cli import Agent, operation


class MathAgent(Agent):
    """Plain calls, an error and two streams."""

    @operation
    async def add(self, x: int, y: int) -> int:
        """Return the sum."""
        return x + y

    @operation(name="multiply")
    def times(self, x: int, y: int) -> int:
        """Return the product."""
        return x * y

    @operation
    async def echo(self, value: object = None) -> object:
        """Return the argument as it came."""
        return value

    @operation
    async def fail(self, message: str = "on purpose") -> None:
        """Raise an error that carries the message."""
        raise ValueError(message)

    @operation
    async def fib_stream(self, n: int = 10) -> AsyncIterator[int]:
        """Yield the first n Fibonacci numbers."""
        a, b = 0, 1
        for _ in range(n):
            yield a
            a, b = b, a + b

    @operation
    async def count(self, n: int = 10) -> AsyncIterator[int]:
        """Yield 0 .. n - 1."""
        for value in range(n):
            yield value

    async def on_message(self, payload: object) -> None:
        """Say what has come, as the Naylence agent does."""
        print("got", json.dumps(payload), flush=True)
'''


def free_port() -> int:
    """Return a TCP port that was free a moment ago on the loopback address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(check: Callable[[], bool], what: str, *, within_s: float = START_S, every_s: float = 0.1) -> None:
    """Poll until the check holds.

    Raises:
        TimeoutError: it didn't hold within that many seconds; the message says what was awaited.
    """
    deadline = time.monotonic() + within_s
    while not check():
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {within_s:g} s: {what}")
        time.sleep(every_s)


def answers(url: str) -> bool:
    """Tell whether an HTTP GET of the URL is answered with 200."""
    try:
        with urllib.request.urlopen(url, timeout=1.0) as response:  # a URL of our own making, on the loopback address
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


WIRE = ("FAME_TRANSPORT", "FAME_BATCH")
"""Variables that `make test-wire` sets, to run the same tests over each transport, with and without batches."""


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment without FAME_ variables but for the `WIRE`, unbuffered, with the extra ones."""
    kept = {name: value for name, value in os.environ.items() if name in WIRE or not name.startswith("FAME_")}
    return {**kept, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", **extra}


class NodeProcess:
    """One running node: its lines as they come, and a certain end.

    Attributes:
        envelopes: sent and received ones so far, for a node of either make that was told to show them.
    """

    def __init__(self, name: str, command: Sequence[str], *, env: Mapping[str, str], cwd: Path) -> None:
        self.name = name
        self.envelopes = 0
        self.log: deque[str] = deque(maxlen=KEPT_LINES)
        self.results: queue.Queue[dict[str, Any]] = queue.Queue()
        self._said_ready = threading.Event()
        self._popen = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            cwd=cwd,
            env=dict(env),
            start_new_session=True,
        )
        assert self._popen.stdout is not None
        assert self._popen.stderr is not None
        self._readers = [
            threading.Thread(target=self._read, args=(stream,), daemon=True)
            for stream in (self._popen.stdout, self._popen.stderr)
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            self.log.append(line.rstrip())
            if ENVELOPE_LINE.search(line):
                self.envelopes += 1
            if line.startswith("READY "):
                self._said_ready.set()
            if line.startswith('{"ok"'):
                self.results.put(json.loads(line))

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._popen.pid

    def tail(self) -> str:
        """Return the last lines it wrote, and whether it still runs."""
        code = self._popen.poll()
        state = "running" if code is None else f"ended with {code}"
        return "\n".join([f"--- {self.name} ({state})", *list(self.log)[-SHOWN_LINES:]])

    def require_running(self) -> None:
        """Raise RuntimeError, with its last lines, if the process has ended."""
        if self._popen.poll() is not None:
            raise RuntimeError(f"a node ended early\n{self.tail()}")

    def wait_until(self, check: Callable[[], bool], what: str, *, within_s: float = START_S) -> None:
        """Wait for a condition while this process lives; TimeoutError and RuntimeError carry its last lines."""

        def alive_and_holds() -> bool:
            self.require_running()
            return check()

        try:
            eventually(alive_and_holds, what, within_s=within_s)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.tail()}") from error

    def wait_for_ready_line(self) -> None:
        """Wait for the `READY` line of a Naylence script."""
        self.wait_until(self._said_ready.is_set, f"{self.name} says READY")

    def wait_for_line(self, text: str) -> None:
        """Wait until it has written a line that holds the text."""
        self.wait_until(lambda: any(text in line for line in list(self.log)), f"{self.name} says {text!r}")

    def got(self) -> list[Any]:
        """Return the messages its agent says it got, in order."""
        return [json.loads(line.removeprefix("got ")) for line in list(self.log) if line.startswith("got ")]

    def write(self, line: str) -> None:
        """Write one line to its stdin."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(line + "\n")
        self._popen.stdin.flush()

    def kill(self) -> None:
        """End it and everything it started, at once."""
        if self._popen.poll() is None:
            os.killpg(self._popen.pid, signal.SIGKILL)

    def join(self) -> None:
        """Wait for the end that `kill` brought, and close the pipes."""
        self._popen.wait(timeout=10)
        for reader in self._readers:
            reader.join(timeout=5)
        for stream in (self._popen.stdin, self._popen.stdout, self._popen.stderr):
            if stream is not None and not stream.closed:
                try:
                    stream.close()
                except BrokenPipeError:
                    continue


@dataclass(frozen=True, slots=True)
class Sentinel:
    """A sentinel of either make, and how to reach it."""

    id: str
    port: int
    process: NodeProcess

    @property
    def url(self) -> str:
        """Where agents and clients attach."""
        return f"ws://127.0.0.1:{self.port}/{ATTACH}/ws/downstream"

    @property
    def peer_url(self) -> str:
        """Where other sentinels peer."""
        return f"ws://127.0.0.1:{self.port}/{ATTACH}/ws/peer"

    def wait(self) -> Self:
        """Wait until it takes links: a Naylence listener is open a moment before its attach routes are there."""
        self.process.wait_until(
            lambda: answers(f"http://127.0.0.1:{self.port}/{ATTACH}/health"), f"{self.id} answers its health check"
        )
        return self


@dataclass(frozen=True, slots=True)
class TokenServer:
    """The kit's development token server, with one client for everybody.

    Args:
        issuer: its URL, and `iss` of its tokens.
    """

    issuer: str

    @property
    def own(self) -> dict[str, str]:
        """Variables of the server itself."""
        client = {"FAME_JWT_CLIENT_ID": "interop", "FAME_JWT_CLIENT_SECRET": "of-the-interop-tests"}
        return {**client, "FAME_JWT_ISSUER": self.issuer, "FAME_JWT_AUDIENCE": "fame.fabric"}

    @property
    def accepting(self) -> dict[str, str]:
        """Variables of a node that believes its tokens."""
        return {"FAME_JWT_TRUSTED_ISSUER": self.issuer, "FAME_JWT_AUDIENCE": "fame.fabric"}

    @property
    def showing(self) -> dict[str, str]:
        """Variables of a node that asks it for a token and shows that where it dials."""
        return {
            "FAME_ADMISSION_PROFILE": "direct",
            "FAME_ADMISSION_TOKEN_URL": f"{self.issuer}/oauth/token",
            "FAME_ADMISSION_CLIENT_ID": self.own["FAME_JWT_CLIENT_ID"],
            "FAME_ADMISSION_CLIENT_SECRET": self.own["FAME_JWT_CLIENT_SECRET"],
            "FAME_JWT_AUDIENCE": "fame.fabric",
        }


@dataclass(frozen=True, slots=True)
class NaylenceClient:
    """A real Naylence client that stays attached and does what it is told."""

    process: NodeProcess

    def do(self, *steps: Mapping[str, Any], within_s: float = ANSWER_S) -> list[dict[str, Any]]:
        """Run the steps, all at once, and return their outcomes in the order they ended."""
        self.process.write(json.dumps(list(steps)))
        deadline = time.monotonic() + within_s
        outcomes = []
        for _ in steps:
            try:
                outcomes.append(self.process.results.get(timeout=max(0.0, deadline - time.monotonic())))
            except queue.Empty as error:
                raise TimeoutError(f"no answer within {within_s:g} s to {steps}\n{self.process.tail()}") from error
        return outcomes

    def call(self, to: str, method: str, **params: Any) -> dict[str, Any]:
        """Call by address; return the outcome: `ok` with `result`, or `error`."""
        return self.do({"do": "call", "to": to, "method": method, "params": params})[0]

    def send(self, to: str, *payloads: Any) -> list[dict[str, Any]]:
        """Send messages, one after the other; `result` of an outcome is the acknowledgement, None where none is due."""
        return [self.do({"do": "send", "to": to, "payload": payload})[0] for payload in payloads]

    def call_capability(self, capability: str, method: str, **params: Any) -> dict[str, Any]:
        """Call whoever advertises the capability."""
        return self.do({"do": "call", "capabilities": [capability], "method": method, "params": params})[0]

    def stream(self, to: str, method: str, **params: Any) -> dict[str, Any]:
        """Stream by address; return the outcome: `ok` with `items`, or `error`."""
        return self.do({"do": "stream", "to": to, "method": method, "params": params})[0]


@dataclass(frozen=True, slots=True)
class Cli:
    """What one run of our command line left behind."""

    command: str
    code: int
    out: str
    err: str
    seconds: float

    @property
    def value(self) -> Any:
        """The one JSON value on stdout; the run must have succeeded."""
        return json.loads(self.require().out)

    @property
    def items(self) -> list[Any]:
        """The JSON values on stdout, one a line; the run must have succeeded."""
        return [json.loads(line) for line in self.require().out.splitlines()]

    def require(self) -> Self:
        """Fail with all that was said unless the exit code is 0."""
        assert self.code == 0, f"{self.command} ended with {self.code}\n{self.out[-2000:]}\n{self.err[-4000:]}"
        return self


@dataclass(slots=True)
class Fabric:
    """A handful of nodes for some tests; `close` ends them all.

    Args:
        python: an interpreter with the Naylence kit.
        folder: where YAML files go; also the working folder and the HOME of our processes.
        security: the section of that name in the YAML of our nodes.
        ours: more variables of our processes.
        theirs: more variables of the Naylence ones (`naylence/node_security.py`).
    """

    python: str
    folder: Path
    processes: list[NodeProcess] = field(default_factory=list)
    security: dict[str, Any] = field(default_factory=lambda: {"profile": "open"})
    ours: dict[str, str] = field(default_factory=dict)
    theirs: dict[str, str] = field(default_factory=dict)

    def token_server(self) -> "TokenServer":
        """Start the kit's development token server."""
        port = free_port()
        server = TokenServer(f"http://127.0.0.1:{port}")
        command = [self.python, "-m", "naylence.fame.fastapi.oauth2_server"]
        env = environment({"APP_HOST": "127.0.0.1", "APP_PORT": str(port), "FAME_LOG_LEVEL": "error", **server.own})
        process = self._keep(NodeProcess("token server", command, env=env, cwd=SCRIPTS))
        process.wait_until(lambda: answers(f"{server.issuer}/.well-known/jwks.json"), "the token server has keys")
        return server

    def naylence_sentinel(
        self,
        name: str,
        *,
        peer: Sentinel | None = None,
        upstream: Sentinel | None = None,
        port: int = 0,
        show_envelopes: bool = False,
    ) -> Sentinel:
        """Start a Naylence sentinel; one that can't reach its peer or its parent at once ends itself."""
        node, port = self._id(name), port or free_port()
        arguments = ["--port", str(port), "--id", node, *(["--peer", peer.peer_url] if peer else [])]
        arguments += ["--upstream", upstream.url] if upstream else []
        return Sentinel(node, port, self._start_naylence(node, "sentinel.py", arguments, show_envelopes))

    def naylence_agent(
        self,
        name: str,
        at: Sentinel,
        *,
        capabilities: Sequence[str] = (),
        delivery: str = "at-most-once",
        script: str = "agent.py",
        rest_s: float = 0.0,
    ) -> NodeProcess:
        """Start a Naylence agent that serves `NAME@fame.fabric`; wait for its line with `wait_for_ready_line`.

        Args:
            rest_s: seconds it takes over each message.
        """
        node = self._id(name)
        arguments = ["--id", node, "--url", at.url, "--address", f"{name}@fame.fabric", "--delivery", delivery]
        arguments += ["--rest", str(rest_s)]
        for capability in capabilities:
            arguments += ["--capability", capability]
        return self._start_naylence(node, script, arguments)

    def naylence_client(self, at: Sentinel, *, delivery: str = "at-most-once") -> NaylenceClient:
        """Start a Naylence client; `process.wait_for_ready_line` waits until it is attached."""
        node = self._id("client")
        arguments = ["--id", node, "--url", at.url, "--delivery", delivery]
        return NaylenceClient(self._start_naylence(node, "client.py", arguments))

    def our_sentinel(
        self,
        name: str,
        *,
        peers: Sequence[Sentinel | str] = (),
        upstream: Sentinel | None = None,
        show_envelopes: bool = False,
        more: Mapping[str, Any] | None = None,
    ) -> Sentinel:
        """Start `fame sentinel --config FILE`; a peer is a sentinel, or the URL of one that is yet to come.

        Args:
            more: keys of its config.
        """
        node, port = self._id(name), free_port()
        urls = [peer if isinstance(peer, str) else peer.peer_url for peer in peers]
        config = {
            "kind": "sentinel",
            "id": node,
            "listen": f"127.0.0.1:{port}",
            "peers": [{"direct_url": url} for url in urls],
            "upstream": {"direct_url": upstream.url} if upstream else None,
            "log": {"show_envelopes": show_envelopes},
            "security": self.security,
            **(more or {}),
        }
        return Sentinel(node, port, self._start_ours(node, "sentinel", config))

    def restart(self, sentinel: Sentinel) -> Sentinel:
        """Kill a sentinel of ours without a goodbye and start it again from the same file."""
        sentinel.process.kill()
        sentinel.process.join()
        return Sentinel(sentinel.id, sentinel.port, self._run_ours(sentinel.id, "sentinel"))

    def our_agent(
        self,
        name: str,
        at: Sentinel,
        *,
        capabilities: Sequence[str] = (),
        code: str = OUR_AGENT,
        more: Mapping[str, Any] | None = None,
    ) -> NodeProcess:
        """Start `fame agent --config FILE` that serves `NAME@fame.fabric`; it says nothing when it is ready.

        Args:
            code: a module with a class `MathAgent`.
            more: keys of its config.
        """
        module = f"our_agent_{len(self.processes)}"
        (self.folder / f"{module}.py").write_text(textwrap.dedent(code), encoding="utf-8")
        node = self._id(name)
        agent = {
            "import": f"{module}:MathAgent",
            "address": f"{name}@fame.fabric",
            "capabilities": list(capabilities),
        }
        config = {
            "kind": "agent",
            "id": node,
            "upstream": {"direct_url": at.url},
            "agent": agent,
            "security": self.security,
            **(more or {}),
        }
        return self._start_ours(node, "agent", config)

    def run(self, *arguments: str, within_s: float = ANSWER_S) -> Cli:
        """Run our command line to its end."""
        started = time.monotonic()
        done = subprocess.run(
            [*self._fame(), *arguments],
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=within_s,
            cwd=self.folder,
            env=self._our_environment(),
            stdin=subprocess.DEVNULL,
            check=False,
        )
        spent = time.monotonic() - started
        return Cli("fame " + " ".join(arguments), done.returncode, done.stdout, done.stderr, spent)

    def call(self, at: Sentinel, *words: str) -> Cli:
        """Run `fame call WORDS` at a sentinel."""
        return self.run("call", *words, "-o", "json", "--url", at.url)

    def stream(self, at: Sentinel, *words: str) -> Cli:
        """Run `fame stream WORDS` at a sentinel."""
        return self.run("stream", *words, "-o", "ndjson", "--url", at.url)

    def stream_start(self, at: Sentinel, *words: str, take: int) -> Cli:
        """Run `fame stream WORDS`, read some items and leave, as `| head` does."""
        started = time.monotonic()
        arguments = ["stream", *words, "-o", "ndjson", "--url", at.url]
        with subprocess.Popen(
            [*self._fame(), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=self._our_environment(),
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            out = "".join(process.stdout.readline() for _ in range(take))
            process.stdout.close()
            code = process.wait(timeout=ANSWER_S)
            return Cli("fame " + " ".join(arguments), code, out, process.stderr.read(), time.monotonic() - started)

    def wait_for_address(self, address: str, at: Sentinel) -> None:
        """Wait until a call of ours from that sentinel reaches the address."""
        last = ""

        def reached() -> bool:
            nonlocal last
            tried = self.call(at, address, "add", "x:=1", "y:=1", "--timeout", "3")
            last = tried.err
            return tried.code == 0

        try:
            eventually(reached, f"{address} answers at {at.id}", within_s=START_S, every_s=0.2)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{last}\n{self.tails()}") from error

    def wait_for_address_from(self, client: NaylenceClient, address: str) -> None:
        """Wait until a call of a Naylence client reaches the address."""
        try:
            eventually(
                lambda: bool(client.call(address, "add", x=1, y=1)["ok"]), f"{address} answers a Naylence client"
            )
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.tails()}") from error

    def tails(self) -> str:
        """Return the last lines of every process."""
        return "\n".join(process.tail() for process in self.processes)

    def close(self) -> None:
        """Kill every process, then wait for all of them."""
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.join()

    def _id(self, name: str) -> str:
        return f"{name}-{secrets.token_hex(4)}"

    def _start_naylence(
        self, node: str, script: str, arguments: Sequence[str], show_envelopes: bool = False
    ) -> NodeProcess:
        shown = show_envelopes or os.environ.get("INTEROP_ENVELOPES") == "true"
        extra = {"FAME_SHOW_ENVELOPES": "true"} if shown else {}
        command = [self.python, str(SCRIPTS / script), *arguments]
        return self._keep(NodeProcess(node, command, env=environment({**extra, **self.theirs}), cwd=SCRIPTS))

    def _start_ours(self, node: str, kind: str, config: Mapping[str, Any]) -> NodeProcess:
        (self.folder / f"{node}.yaml").write_text(json.dumps(config, indent=2), encoding="utf-8")  # JSON is YAML
        return self._run_ours(node, kind)

    def _run_ours(self, node: str, kind: str) -> NodeProcess:
        command = [*self._fame(), kind, "--config", str(self.folder / f"{node}.yaml"), "--log-level", "debug"]
        return self._keep(NodeProcess(node, command, env=self._our_environment(), cwd=self.folder))

    def _keep(self, process: NodeProcess) -> NodeProcess:
        self.processes.append(process)
        return process

    def _fame(self) -> list[str]:
        return [sys.executable, "-m", "fame_cli"]

    def _our_environment(self) -> dict[str, str]:
        repository = str(Path(__file__).parents[2])
        found = os.environ.get("PYTHONPATH")
        path = f"{repository}{os.pathsep}{found}" if found else repository
        return environment({"HOME": str(self.folder), "PYTHONPATH": path, **self.ours})


@dataclass(frozen=True, slots=True)
class World:
    """A fabric with its nodes in place.

    Args:
        fabric: what started them, and runs our command line.
        near: the sentinel our command line attaches to.
        far: the sentinel at the other side of the peer link.
        client: a Naylence client that stays attached.
    """

    fabric: Fabric
    near: Sentinel
    far: Sentinel
    client: NaylenceClient


def result_of(outcome: Mapping[str, Any]) -> Any:
    """Return what a Naylence client got; it must have got something."""
    assert outcome["ok"], outcome
    return outcome["result"]


def items_of(outcome: Mapping[str, Any]) -> list[Any]:
    """Return the items a Naylence client got; the stream must have ended well."""
    assert outcome["ok"], outcome
    items = outcome["items"]
    assert isinstance(items, list)
    return items


class FabricMaker:
    """Make fabrics, each in a folder of its own, and end them all."""

    def __init__(self, python: str, new_folder: Callable[[], Path]) -> None:
        self._python = python
        self._new_folder = new_folder
        self._made: list[Fabric] = []

    def __call__(self) -> Fabric:
        """Return a new fabric without nodes."""
        fabric = Fabric(self._python, self._new_folder())
        self._made.append(fabric)
        return fabric

    def close(self) -> None:
        """End every process of every fabric made."""
        for fabric in self._made:
            fabric.close()
