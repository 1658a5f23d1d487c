"""A real fabric with innocent neighbours who call each other all the while, to see what an attack costs them.

`Stage` starts two peered sentinels and an agent at each, as processes, in one profile. The agents call each other
without pause and remember what became of it; `Stage.undisturbed` holds them, and the memory of the sentinels, to their
bounds while a test does its worst through links of its own (``hostile_wire.py``).
"""

import asyncio
import contextlib
import functools
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import pytest
import uvloop
from hostile_wire import FABRIC, Identity, Json, Mint, Wire, attach
from interop_nodes import NodeProcess, environment, free_port
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from fame_cli.security.certificates import chain_to_x5c
from fame_cli.security.issuing import CertificateAuthority

__all__ = ["FABRIC", "INNOCENTS", "MIB", "Stage", "against"]

INNOCENTS = ("innocent1", "innocent2")
ATTACH = "fame/v1/attach/ws"
START_S = 25.0
REPORT_S = 15.0
TEST_S = 60.0
AFTER_S = 0.3
"""Seconds that the innocents go on after an attack, so that late harm shows."""

MIB = 1024 * 1024

INNOCENT = '''
"""An agent that calls another one without pause, and says what became of it."""

import asyncio
import json
import os
import signal
import time
from pathlib import Path

from fame_cli import Agent, Client, operation
from fame_cli.security.settings import SecuritySettings

HOME = os.environ.get("FAME_HOME")
SECURITY = SecuritySettings(os.environ.get("FAME_SECURITY_PROFILE", "open"), Path(HOME) if HOME else None)
CALL_S = 10.0
PAUSE_S = 0.005


class Innocent(Agent):
    """Add, stream, and tell how the calls went since the last time somebody asked."""

    def __init__(self, url: str, other: str) -> None:
        self.url, self.other = url, other
        self.task = None
        self.clear()

    def clear(self) -> None:
        self.answered, self.failed, self.worst_s, self.errors = 0, 0, 0.0, []

    async def on_start(self) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self.report)
        self.task = asyncio.create_task(self.keep_calling())

    async def on_stop(self) -> None:
        self.task.cancel()

    async def keep_calling(self) -> None:
        while True:
            try:
                async with Client(self.url, timeout_s=CALL_S, security=SECURITY) as client:
                    while True:
                        await self.call(client)
                        await asyncio.sleep(PAUSE_S)
            except Exception as error:
                self.note(f"can't attach: {error!r}")
                await asyncio.sleep(0.1)

    async def call(self, client: Client) -> None:
        started = time.monotonic()
        try:
            if await client.call(self.other, "add", x=3, y=4) != 7:
                raise ValueError("a wrong sum")
            self.answered += 1
        except Exception as error:
            self.note(repr(error))
        self.worst_s = max(self.worst_s, time.monotonic() - started)

    def note(self, error: str) -> None:
        self.failed += 1
        self.errors = [*self.errors, error][-5:]

    @operation
    def add(self, x: int, y: int) -> int:
        """Return the sum."""
        return x + y

    @operation
    async def tick(self, n: int, s: float):
        """Yield 0 .. n - 1, one every s seconds."""
        for number in range(n):
            yield number
            await asyncio.sleep(s)

    @operation
    async def linger(self, s: float) -> str:
        """Answer late."""
        await asyncio.sleep(s)
        return "late"

    def report(self) -> None:
        """Say what became of the calls since the last report."""
        told = {"ok": True, "answered": self.answered, "failed": self.failed, "worst_s": self.worst_s}
        print(json.dumps(told | {"errors": self.errors}), flush=True)
        self.clear()
'''


def run(body: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine on uvloop: asyncio's own transports break when they are aborted twice."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(body)


def against(*profiles: str) -> Callable[[Callable[..., Coroutine[Any, Any, None]]], Callable[..., None]]:
    """Run a coroutine as a test, once on a stage in each of these profiles."""

    def mark(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
        @functools.wraps(test)
        def played(stage: Stage, **fixtures: object) -> None:
            async def bounded() -> None:
                async with asyncio.timeout(TEST_S):
                    await test(stage, **fixtures)

            run(bounded())

        return pytest.mark.parametrize("stage", profiles, indirect=True)(played)

    return mark


async def given(seconds: float) -> None:
    """Give an attack its time: what must not happen has to have had the chance to."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.Event().wait()


class Stage:
    """Two sentinels that are peers, s1 and s2, and an innocent agent with its client at each.

    `shown` holds the signature of each token that was issued, to be sought where it mustn't be.

    Args:
        profile: of all of them.
        folder: an empty one.
        limits: of the sentinels, as in their config.
        security: more of the section of the sentinels.
    """

    def __init__(
        self,
        profile: str,
        folder: Path,
        *,
        limits: Mapping[str, object] | None = None,
        security: Mapping[str, object] | None = None,
    ) -> None:
        self.profile = profile
        self.folder = folder
        self.home = folder / "home"
        self.processes: dict[str, NodeProcess] = {}
        self.shown: list[str] = []
        self._ports = {"s1": free_port(), "s2": free_port()}
        self._limits = dict(limits or {})
        self._security = dict(security or {})
        (folder / "innocent.py").write_text(INNOCENT, encoding="utf-8")
        if profile != "open":
            self.fame("keys", "init")
        if profile == "strict-overlay":
            self.fame("ca", "init")

    @property
    def signs(self) -> bool:
        """Whether envelopes are signed."""
        return self.profile in ("overlay", "strict-overlay")

    def env(self) -> dict[str, str]:
        """Return the variables of all processes."""
        secured = {} if self.profile == "open" else {"FAME_HOME": str(self.home), "FAME_SECURITY_PROFILE": self.profile}
        path = f"{Path(__file__).parents[2]}{os.pathsep}{os.environ.get('PYTHONPATH', '')}".rstrip(os.pathsep)
        return environment({"HOME": str(self.folder), "PYTHONPATH": path, **secured})

    def fame(self, *words: str) -> str:
        """Run a command of `fame` to its end; returns what it wrote to stdout."""
        done = subprocess.run(
            [sys.executable, "-m", "fame_cli", *words],
            capture_output=True, text=True, timeout=60, cwd=self.folder, env=self.env(), check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"fame {' '.join(words)}: {done.returncode}\n{done.stderr[-2000:]}"
        return done.stdout

    def start(self) -> Self:
        """Start everything and wait until the innocents reach each other."""
        self.sentinel("s1")
        self.sentinel("s2", peers=["s1"])
        for number, name in enumerate(INNOCENTS, start=1):
            other = INNOCENTS[number % len(INNOCENTS)]
            url = self.url(f"s{number}")
            agent = {
                "import": "innocent:Innocent",
                "address": f"{name}@{FABRIC}",
                "init": {"url": url, "other": f"{other}@{FABRIC}"},
            }
            self._run(name, {"kind": "agent", "id": name, "upstream": {"direct_url": url}, "agent": agent})
        run(self._until_calm())
        return self

    async def _until_calm(self) -> None:
        deadline = time.monotonic() + START_S
        for name in INNOCENTS:
            self.processes[name].wait_for_line('"node_ready"')  # from here on it takes signals
        while True:
            reports = await self.reports()
            if all(each["answered"] > 0 and each["failed"] == 0 for each in reports):
                return
            assert time.monotonic() < deadline, f"the innocents don't reach each other: {reports}\n{self.tails()}"
            await given(0.2)

    def sentinel(self, name: str, peers: Sequence[str] = ()) -> None:
        """Start a sentinel."""
        config: Json = {
            "kind": "sentinel",
            "id": name,
            "listen": f"127.0.0.1:{self._ports[name]}",
            "peers": [{"direct_url": self.url(peer, "peer")} for peer in peers],
        }
        if self._limits:
            config["limits"] = self._limits
        self._run(name, config, self._security)
        self.processes[name].wait_for_line('"node_ready"')

    def _run(self, name: str, config: Json, security: Mapping[str, object] | None = None) -> None:
        file = self.folder / f"{name}.yaml"
        section = {"security": {"profile": self.profile, **(security or {})}}
        file.write_text(json.dumps(config | section), encoding="utf-8")  # JSON is YAML
        command = [sys.executable, "-m", "fame_cli", config["kind"], "--config", str(file), "--log-format", "json"]
        self.processes[name] = NodeProcess(name, command, env=self.env(), cwd=self.folder)

    def url(self, at: str = "s1", kind: str = "downstream") -> str:
        """Return where to attach."""
        return f"ws://127.0.0.1:{self.port(at)}/{ATTACH}/{kind}"

    def port(self, at: str = "s1") -> int:
        """Return the port of a sentinel."""
        return self._ports[at]

    def rss(self, at: str = "s1") -> int:
        """Return the memory a sentinel has in use, in bytes (Linux)."""
        return int(Path(f"/proc/{self.processes[at].pid}/statm").read_text(encoding="ascii").split()[1]) * 4096

    def events(self, name: str, at: str = "s1") -> list[Json]:
        """Return what a process has logged under a name."""
        lines = [json.loads(line) for line in list(self.processes[at].log) if line.startswith("{")]
        return [line for line in lines if line.get("event") == name]

    def tails(self) -> str:
        """Return the last lines of every process that tell of trouble."""
        said = [(name, line) for name, process in self.processes.items() for line in list(process.log)]
        return "\n".join(
            f"{name}: {line[:300]}" for name, line in said if '"level": "info"' not in line or "link_closed" in line
        )[-4000:]

    def close(self) -> None:
        """End everything."""
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.join()

    # Credentials

    def identity(self, node_id: str = "", **grant: Any) -> Identity:
        """Return somebody with a grant of the authority; `grant` is as in `token`."""
        who = Identity(node_id or f"evil-{secrets.token_hex(3)}")
        if self.profile != "open":
            who.bound = bool(grant.pop("bound", self.signs))
            jkt = who.thumbprint if who.bound else ""
            who.token = self.token(who.node_id, jkt=jkt, **grant)
        return who

    def token(self, node: str, **changes: Any) -> str:
        """Issue a token as the fabric's authority would, but for what a test wants otherwise (`Mint.token`)."""
        token = Mint(self.home).token(node, **changes)
        self.shown.append(token.rpartition(".")[2])
        return token

    def private(self) -> list[str]:
        """Return the private keys that lie in the home of all processes."""
        files = [json.loads(path.read_text(encoding="utf-8")) for path in self.home.rglob("*.json")]
        return [text for each in files for text in _members(each, "d")]

    # Links

    @asynccontextmanager
    async def dial(
        self,
        who: Identity,
        *,
        at: str = "s1",
        kind: str = "downstream",
        url_id: str = "",
        proof: str | None = None,
        **options: Any,
    ) -> AsyncIterator[Wire]:
        """Connect without attaching.

        Args:
            url_id: id in the URL, when it isn't the one of `who`.
            proof: another DPoP proof than that of its key; "" for none.
            options: of the connection.

        Raises:
            InvalidStatus: the upgrade was refused.
        """
        url = f"{self.url(at, kind)}/{url_id or who.node_id}"
        headers = {}
        if who.bound and proof != "":
            headers["DPoP"] = who.proof(url) if proof is None else proof
        subprotocols = [Subprotocol("bearer"), Subprotocol(who.token)] if who.token else None
        how: Json = {"proxy": None, "max_size": None, "compression": None, "close_timeout": 0.5, "ping_interval": None}
        async with connect(url, subprotocols=subprotocols, additional_headers=headers, **how | options) as socket:
            yield Wire(socket, who)

    @asynccontextmanager
    async def attached(
        self, who: Identity, *, ours: bool = False, certified: bool = True, **how: Any
    ) -> AsyncIterator[Wire]:
        """Connect and attach; that must succeed.

        Args:
            certified: False to go without a certificate where the profile wants one.
            ours: True to speak of all our extensions, False to be a plain node.
        """
        async with self.dial(who, **how) as wire:
            origin = "peer" if how.get("kind") == "peer" else "downstream"
            frame = await attach(wire, origin, signs=self.signs, ours=ours)
            assert frame.get("ok", True), f"the attacker isn't let in: {frame}\n{self.tails()}"
            if self.profile == "strict-overlay" and certified:
                await self.certify(wire)
            yield wire

    async def certify(self, wire: Wire) -> None:
        """Have the fabric's authority say that a key is at the path its node was given, and tell the sentinel."""
        files = [(self.home / name).read_bytes() for name in ("ca.pem", "ca.key")]
        authority = CertificateAuthority.load(*files)
        public = wire.who.signing.public_key()
        chain = authority.issue(wire.path.rpartition("/")[2], wire.path, public, time.time())
        keys = wire.who.jwks()
        keys[0]["x5c"] = chain_to_x5c(chain)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        await wire.say({"type": "KeyAnnounce", "physicalPath": wire.path, "keys": keys, "created": stamp})

    async def reaches(self, wire: Wire, name: str = INNOCENTS[1]) -> bool:
        """Tell whether a call still gets through to an innocent; a strict one answers that it came in clear."""
        frame = await wire.call(f"{name}@{FABRIC}", "add", x=3, y=4)
        if self.profile == "strict-overlay":
            return bool(frame.get("code") == "CRYPTO_LEVEL")
        return bool(frame["type"] == "Data" and frame["payload"].get("result") == 7)

    # Innocents

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[Wire]:
        """Attach somebody honest who may call."""
        async with self.attached(self.identity(f"watcher-{secrets.token_hex(3)}", roles=["client"])) as wire:
            yield wire

    async def reports(self) -> list[Json]:
        """Ask both innocents, by a signal, what became of their calls since the last time."""
        asked = [self.processes[name] for name in INNOCENTS]
        for process in asked:
            os.kill(process.pid, signal.SIGUSR1)
        return [await asyncio.to_thread(process.results.get, timeout=REPORT_S) for process in asked]

    @asynccontextmanager
    async def undisturbed(
        self, *, worst_s: float = 2.0, grows: int = 16 * MIB, wait_s: float = 0.3
    ) -> AsyncIterator[None]:
        """See that whatever happens inside costs the innocents nothing: no call, no time, no memory.

        Args:
            worst_s: longest that one of their calls may take.
            grows: bytes that each sentinel may grow by.
        """
        await self.reports()
        before = {at: self.rss(at) for at in self._ports}
        yield
        await given(AFTER_S)
        reports = await self.reports()
        for each in reports:
            assert each["failed"] == 0, f"an innocent's call failed: {reports}\n{self.tails()}"
            assert each["answered"] > 0, f"an innocent came to a standstill: {reports}\n{self.tails()}"
            assert each["worst_s"] < worst_s, f"an innocent's call took too long: {reports}"
        for at, past in before.items():
            grown = self.rss(at) - past
            assert grown < grows, f"{at} grew by {grown / MIB:.1f} MiB"


def _members(value: Any, name: str) -> list[str]:
    """Return what is under a name, at every depth."""
    if isinstance(value, list):
        return [text for each in value for text in _members(each, name)]
    if not isinstance(value, dict):
        return []
    own = [value[name]] if isinstance(value.get(name), str) else []
    return own + [text for each in value.values() for text in _members(each, name)]
