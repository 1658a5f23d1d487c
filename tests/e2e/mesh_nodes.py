"""Fabrics of many processes for the tests of the mesh.

A `Mesh` starts sentinels and agents the way a user does, each from a YAML file of its own, all at once and in no order.
Tests call through `Client`, within their own event loop, or through the `fame` command. A `Relay` is a wire between two
sentinels that a test holds in its hand. Every wait has a deadline, and every process is ended with its mesh.
"""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import waiting
from interop_nodes import NodeProcess, environment, eventually, free_port

from fame_cli import Client
from fame_cli.cli.trace_path import read_path
from fame_cli.errors import NoRoute

__all__ = ["MATH", "Mesh", "MeshProcess", "Relay", "reached", "run", "until", "until_the_way_is", "way_of"]

FAME = [sys.executable, "-m", "fame_cli"]
LIMIT_S = 40.0
MATH = "fame.capability.math"
ATTACH = "fame/v1/attach/ws"

AGENT = '''
"""What every agent of the mesh tests serves."""

import asyncio
from collections.abc import AsyncIterator

from fame_cli import Agent, operation


class Station(Agent):
    """Answer at once or late, stream to an end or until told, and say who it is."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.enough = asyncio.Event()

    @operation
    def who(self) -> str:
        """Say which of them this is."""
        return self.name

    @operation
    def add(self, x: int, y: int) -> int:
        """Return the sum."""
        return x + y

    @operation
    async def linger(self, s: float) -> str:
        """Say the same as `who`, but later."""
        await asyncio.sleep(s)
        return self.name

    @operation
    async def count(self, n: int) -> AsyncIterator[int]:
        """Yield 0 .. n - 1 as fast as it goes."""
        for number in range(n):
            yield number

    @operation
    async def fib_stream(self, n: int = 10) -> AsyncIterator[int]:
        """Yield the first n Fibonacci numbers."""
        a, b = 0, 1
        for _ in range(n):
            yield a
            a, b = b, a + b

    @operation
    async def tick(self) -> AsyncIterator[int]:
        """Count slowly until told to stop."""
        number = 0
        while not self.enough.is_set():
            yield number
            number += 1
            await asyncio.sleep(0.002)

    @operation
    def stop_ticking(self) -> None:
        """End `tick` the orderly way."""
        self.enough.set()
'''


class MeshProcess(NodeProcess):
    """A node that logs JSON and can be told to stop."""

    def events(self, *names: str) -> list[dict[str, Any]]:
        """Return what it has logged under those names, in order."""
        lines = [json.loads(line) for line in list(self.log) if line.startswith("{")]
        return [line for line in lines if line.get("event") in names]

    def resident_bytes(self) -> int:
        """Return the memory it has in use now (Linux)."""
        return int(Path(f"/proc/{self._popen.pid}/statm").read_text(encoding="ascii").split()[1]) * 4096

    def stop(self) -> int:
        """Tell it to stop, wait for its end and return its exit code."""
        self._popen.send_signal(signal.SIGTERM)
        return self.end()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, and nothing to those it has started."""
        self._popen.send_signal(number)

    def end(self) -> int:
        """Wait for its end and return its exit code."""
        self._popen.wait(timeout=LIMIT_S)
        self.join()
        return self._popen.returncode


class Mesh:
    """Hold the processes of one fabric and the ports of its sentinels.

    Args:
        folder: an empty one, for YAML files and as home of all processes.
        silence_s: seconds of silence after which its nodes give a link up, if not the usual ones.
        transport: library that carries its links, if not the usual one.
    """

    def __init__(self, folder: Path, *, silence_s: float | None = None, transport: str = "") -> None:
        self.folder = folder
        self._variables = {} if silence_s is None else {"FAME_SILENCE_S": f"{silence_s:g}"}
        if transport:
            self._variables["FAME_TRANSPORT"] = transport
        self.processes: dict[str, MeshProcess] = {}
        self._ports: dict[str, int] = {}
        self._ended: list[MeshProcess] = []
        self._agents: set[str] = set()
        (folder / "station.py").write_text(AGENT, encoding="utf-8")

    def port(self, name: str) -> int:
        """Return the port of a sentinel, started or not."""
        while name not in self._ports:
            if (port := free_port()) not in self._ports.values():
                self._ports[name] = port
        return self._ports[name]

    def url(self, name: str, port: int = 0) -> str:
        """Return where clients and agents attach to a sentinel, through another port if one is given."""
        return f"ws://127.0.0.1:{port or self.port(name)}/{ATTACH}/downstream"

    def peer_url(self, name: str, port: int = 0) -> str:
        """Return where other sentinels make peer links to a sentinel, through another port if one is given."""
        return f"ws://127.0.0.1:{port or self.port(name)}/{ATTACH}/peer"

    def sentinel(
        self,
        name: str,
        peers: Iterable[str] = (),
        *,
        parent: str = "",
        costs: Mapping[str, int] | None = None,
        balance: str = "",
        workers: int = 1,
        limits: Mapping[str, int] | None = None,
        security: Mapping[str, object] | None = None,
    ) -> MeshProcess:
        """Start a sentinel.

        Args:
            peers: names of sentinels to dial, or whole URLs.
            parent: name of the sentinel above it.
            costs: name of a peer → cost of the link to it, where that isn't 1.
            balance: how it chooses among several that offer a name, "" for the default.
            workers: processes it consists of.
            limits: as in its config.
            security: as in its config.
        """
        config: dict[str, Any] = {"kind": "sentinel", "id": name, "listen": f"127.0.0.1:{self.port(name)}"}
        if workers > 1:
            config["workers"] = workers
        urls = {peer: peer if "://" in peer else self.peer_url(peer) for peer in peers}
        config["peers"] = [{"direct_url": url, "cost": (costs or {}).get(peer, 1)} for peer, url in urls.items()]
        if parent:
            config["upstream"] = {"direct_url": self.url(parent)}
        if balance:
            config["routing"] = {"balance": balance}
        if limits:
            config["limits"] = limits
        if security:
            config["security"] = security
        return self._configured(name, config)

    def line(self, count: int, *, balance: str = "") -> None:
        """Start sentinels s1, s2, …, each but the last with a peer link to the next."""
        for number in range(1, count + 1):
            self.sentinel(f"s{number}", [f"s{number + 1}"] if number < count else [], balance=balance)

    def agent(
        self, name: str, at: str, *, address: str = "", capabilities: Iterable[str] = (), port: int = 0
    ) -> MeshProcess:
        """Start a `Station` at a sentinel, through another port if one is given.

        Its address is made of its name unless one is given.
        """
        self._agents.add(name)
        block = {
            "import": "station:Station",
            "address": address or f"{name}@fame.fabric",
            "capabilities": list(capabilities),
            "init": {"name": name},
        }
        upstream = {"direct_url": self.url(at, port)}
        return self._configured(name, {"kind": "agent", "id": name, "upstream": upstream, "agent": block})

    def restart(self, name: str) -> MeshProcess:
        """Start a node that has ended once more, from the same file."""
        file = self.folder / f"{name}.yaml"
        kind = json.loads(file.read_text(encoding="utf-8"))["kind"]
        if name in self.processes:
            self._ended.append(self.processes[name])
        command = [*FAME, kind, "--config", str(file), "--log-format", "json"]
        process = self.processes[name] = MeshProcess(name, command, env=self._environment(), cwd=self.folder)
        return process

    def stop(self, *names: str) -> None:
        """Stop nodes and wait for their end."""
        for name in names:
            process = self.processes.pop(name)
            self._ended.append(process)
            process.stop()

    def stop_agents(self) -> None:
        """Stop all agents and wait for their end."""
        self.stop(*(self._agents & self.processes.keys()))

    def wait_ready(self, *names: str) -> None:
        """Wait until these nodes, or all there are, have said that they are ready; none of them may end meanwhile."""
        awaited = [self.processes[name] for name in names or self.processes]

        def are_ready() -> bool:
            for process in awaited:
                process.require_running()
            return all(process.events("node_ready") for process in awaited)

        eventually(are_ready, f"{', '.join(process.name for process in awaited)} are ready", every_s=waiting.POLL_S)

    def wait_logged(self, name: str, event: str, **facts: str) -> None:
        """Wait until a node has logged an event with these facts."""
        process = self.processes[name]

        def is_logged() -> bool:
            return any(facts.items() <= line.items() for line in process.events(event))

        process.wait_until(is_logged, f"{name} logs {event} {facts}")

    def wait_served(self, at: str, *addresses: str) -> None:
        """Wait until a client at a sentinel reaches each of these addresses."""

        async def reach_all() -> None:
            async with self.client(at) as client:
                for address in addresses:
                    await reached(client, address)

        run(reach_all())

    def client(self, at: str, *, trace: bool = False) -> Client:
        """Return a client of a sentinel; enter it to attach."""
        return Client(self.url(at), timeout_s=10, trace=trace)

    def fame(self, at: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command of `fame` that asks a sentinel."""
        return subprocess.run(
            [*FAME, *words],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            cwd=self.folder,
            env=self._environment(at),
            check=False,
        )

    def begin(self, at: str, *words: str) -> "subprocess.Popen[str]":
        """Start a command of `fame` that asks a sentinel and goes on for a while; use it as a context."""
        return subprocess.Popen(
            [*FAME, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=self._environment(at),
        )

    def close(self) -> None:
        """End every process; what each said last is printed, for the report of a test that failed."""
        for process in self.processes.values():
            process.kill()
        for process in [*self._ended, *self.processes.values()]:
            process.join()
            print(process.tail())

    def _configured(self, name: str, config: Mapping[str, Any]) -> MeshProcess:
        text = json.dumps(config, indent=2)  # JSON is YAML
        (self.folder / f"{name}.yaml").write_text(text, encoding="utf-8")
        return self.restart(name)

    def _environment(self, at: str = "") -> dict[str, str]:
        asked = {"FAME_DIRECT_ADMISSION_URL": self.url(at)} if at else {}
        return environment({"HOME": str(self.folder), **self._variables, **asked})


class Relay:
    """Be a wire to a port: it takes connections at once, but no byte passes before `let_go`, nor after `hold`.

    `cut` ends all connections.

    Args:
        to_port: where it leads, on the loopback address.

    Attributes:
        port: where it is to be dialled, once entered.
    """

    def __init__(self, to_port: int) -> None:
        self.port = 0
        self._to_port = to_port
        self._may_pass = asyncio.Event()
        self._ends: list[asyncio.StreamWriter] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.cut()
        await self._server.wait_closed()

    def let_go(self) -> None:
        """Let bytes pass, those that wait first."""
        self._may_pass.set()

    def hold(self) -> None:
        """Let nothing pass from now on; neither end is told."""
        self._may_pass.clear()

    def cut(self) -> None:
        """End all connections; new ones are taken."""
        for end in self._ends:
            end.transport.abort()
        self._ends.clear()

    def _take(self, near_in: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
        self._ends.append(near_out)
        self._tasks.append(asyncio.ensure_future(self._carry(near_in, near_out)))

    async def _carry(self, near_in: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
        await self._may_pass.wait()
        try:
            far_in, far_out = await asyncio.open_connection("127.0.0.1", self._to_port)
        except OSError:
            near_out.transport.abort()
            return
        self._ends.append(far_out)
        await asyncio.gather(self._pump(near_in, far_out), self._pump(far_in, near_out))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65_536):
                await self._may_pass.wait()
                sink.write(data)
                await sink.drain()
        except OSError:
            pass  # cut: the other end hears of it, too
        finally:
            sink.close()


def run(main: Coroutine[Any, Any, None], *, within_s: float = LIMIT_S) -> None:
    """Run what a test does in an event loop, within bounds."""

    async def bounded() -> None:
        async with asyncio.timeout(within_s):
            await main

    asyncio.run(bounded())


async def until(check: Callable[[], bool], what: str, *, within_s: float = 20.0) -> None:
    """Wait until a check holds while the loop goes on.

    Raises:
        TimeoutError: it didn't hold within that many seconds; the message says what was awaited.
    """
    await asyncio.to_thread(eventually, check, what, within_s=within_s, every_s=waiting.POLL_S)


async def reached(client: Client, address: str, *, within_s: float = 15.0) -> str:
    """Ask an address who is there until somebody answers, and return who.

    Raises:
        TimeoutError: nobody did within that many seconds.
        FameError: an error other than that there is no route, which a fabric that settles has no excuse for.
    """

    async def who() -> str | None:
        try:
            return str(await client.call(address, "who"))
        except NoRoute:
            return None

    return await waiting.eventually(who, within_s=within_s)


def way_of(client: Client) -> list[str]:
    """Return the nodes the last request of a client with `trace` passed, from its sentinel to the agent's node."""
    return [node.name for node in read_path(client.last_trace, round_trip_us=0).nodes[1:]]


async def until_the_way_is(mesh: Mesh, way: Sequence[str], *, within_s: float = 15.0) -> None:
    """Call from the first of these nodes, a sentinel, to the last, an agent, until the call passes exactly these.

    Raises:
        AssertionError: it hasn't within that many seconds.
    """
    passed: list[str] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s), mesh.client(way[0], trace=True) as client:
            while passed != [*way]:
                await reached(client, f"{way[-1]}@fame.fabric")
                passed = way_of(client)
    assert passed == [*way]
