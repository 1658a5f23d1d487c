"""Set-ups for a doctor, broken on purpose: files in a folder, and whoever listens on loopback."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
from tls_rig import Authority
from websockets.asyncio.server import ServerConnection, serve

from fame_cli.cli.checkup.case import Case
from fame_cli.cli.checkup.examination import examine
from fame_cli.cli.checkup.findings import Finding, State
from fame_cli.cli.checkup.machine import Machine
from fame_cli.core.grant import AGENT, CLIENT, PEER, Grant
from fame_cli.node.sentinel import Sentinel
from fame_cli.security.keystore import Home
from fame_cli.security.settings import SecuritySettings

__all__ = ["DOWNSTREAM", "PEER_PATH", "World", "free_port", "seen"]

DOWNSTREAM, PEER_PATH = "/fame/v1/attach/ws/downstream", "/fame/v1/attach/ws/peer"

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


async def turns() -> None:
    """Let the loop turn."""
    for _ in range(20):
        await asyncio.sleep(0)


@dataclass
class World:
    """Hold one set-up: what is in the folder, who listens, and what the doctor is told.

    Args:
        folder: for all files.
        stack: ends what listens.
    """

    folder: Path
    stack: AsyncExitStack
    env: dict[str, str] = field(default_factory=dict)
    file: str | None = None
    url: str | None = None
    timeout_s: float = 10.0
    machine: Machine = field(default_factory=Machine.here)

    def write(self, text: str, name: str = "node.yaml", mode: int = 0o600) -> Path:
        """Write a file; a YAML file is the config."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        if name == "node.yaml":
            self.file = str(path)
        return path

    def client(self, url: str, more: str = "") -> None:
        """Describe a client of a sentinel."""
        self.write(f"kind: client\nupstream: {{direct_url: '{url}'}}\n{more}")

    def changed(self, **facts: Any) -> None:
        """Have the machine be another."""
        self.machine = replace(self.machine, **facts)

    def home(self, authority: bool = True) -> Home:
        """Make a home folder, with an authority or without."""
        made = Home(self.folder / "home")
        self.env["FAME_HOME"] = str(made.root)
        if authority:
            made.make_authority("fame.fabric")
        return made

    def token(self, home: Home, now: float, ttl_s: float = 3600.0, *, named: str = "c1", **how: Any) -> str:
        """Issue a token into ``token.jwt`` and return it."""
        authority = home.authority()
        assert authority is not None
        roles = how.pop("roles", frozenset({AGENT, CLIENT, PEER}))
        grant = Grant(named, named, roles=roles, addresses=("*@fame.fabric",), prefixes=("**",), **how)
        token = authority.issue(grant, now, ttl_s, "")
        self.write(token, "token.jwt")
        return token

    def authority(self, name: str = "ca") -> Authority:
        """Make an authority of certificates."""
        (self.folder / "tls").mkdir(exist_ok=True)
        return Authority(self.folder / "tls", name)

    async def sentinel(self, security: SecuritySettings | None = None, **how: Any) -> Sentinel:
        """Run a sentinel of ours on a free port."""
        made = Sentinel(id=how.pop("id", "s1"), listen="127.0.0.1:0", security=security, **how)
        return await self.stack.enter_async_context(made)

    async def server(self, answer: Answer) -> str:
        """Run any other server, and return its host and port."""

        writers: list[asyncio.StreamWriter] = []

        async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            try:
                with suppress(OSError, asyncio.IncompleteReadError):
                    await answer(reader, writer)
            finally:
                writer.close()

        server = await asyncio.start_server(served, "127.0.0.1", 0)

        async def end() -> None:
            await turns()  # for connections that have come and aren't taken yet
            server.close()
            for writer in writers:
                writer.transport.abort()
            await turns()

        self.stack.push_async_callback(end)
        return f"127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def mute(self) -> str:
        """Run a server that takes connections and never says a word."""

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()

        return await self.server(answer)

    async def web(self, status: int = 404) -> str:
        """Run a web server that is no sentinel."""

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(f"HTTP/1.1 {status} No\r\nServer: nginx\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()

        return await self.server(answer)

    async def neighbour(self, meta: Mapping[str, object] | None, *, ok: bool = True, reason: str = "") -> str:
        """Run a sentinel that isn't ours, or is older: it answers the attach and nothing else."""

        async def answer(connection: ServerConnection) -> None:
            async for message in connection:
                asked = msgspec.json.decode(message)
                frame = {"type": "NodeAttachAck", "ok": ok, "refId": asked["id"], "reason": reason or None}
                frame |= {"targetSystemId": "n1", "assignedPath": "/n1/c", "targetPhysicalPath": "/n1"} if ok else {}
                ack = {"id": "a" * 16, "corrId": asked.get("corrId"), "frame": frame}
                if asked["frame"]["type"] == "NodeAttach":
                    await connection.send(msgspec.json.encode(ack | ({"meta": meta} if meta else {})))

        server = await self.stack.enter_async_context(serve(answer, "127.0.0.1", 0))
        return f"127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"

    def pipe(self, name: str) -> Path:
        """Make a pipe that nobody writes to, until all is over."""
        path = self.folder / name
        os.mkfifo(path)

        def release() -> None:
            with suppress(OSError):
                os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))

        self.stack.callback(release)
        return path

    async def examined(self) -> list[Finding]:
        """Return what the doctor finds."""
        case = Case(self.env, self.file, url=self.url, timeout_s=self.timeout_s, machine=self.machine)
        return await asyncio.to_thread(examine, case)


@asynccontextmanager
async def seen(folder: Path) -> AsyncIterator[World]:
    """Give an empty set-up."""
    async with AsyncExitStack() as stack:
        yield World(folder, stack)


def amiss(found: list[Finding]) -> list[Finding]:
    """Return what isn't ok."""
    return [finding for finding in found if finding.state is not State.ok]
