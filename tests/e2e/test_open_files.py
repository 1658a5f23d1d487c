"""A sentinel where few files may be open: it makes room for its links, and turns away in words what is too much."""

import asyncio
import json
import os
import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from mesh_nodes import ATTACH, Mesh, MeshProcess, run, until
from waiting import eventually

from fame_cli import Client
from fame_cli.errors import ConnectError

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(sys.platform == "win32", reason="has no such limit")]


class Limited(MeshProcess):
    """Be a node whose process may have few files open."""

    def __init__(
        self, folder: Path, port: int, *, soft: int, hard: int, max_links: int, transport: str = "auto"
    ) -> None:
        config: dict[str, object] = {
            "kind": "sentinel",
            "id": "s1",
            "listen": f"127.0.0.1:{port}",
            "limits": {"max_links": max_links},
        }
        config["wire"] = {"transport": transport}
        (folder / "s1.yaml").write_text(json.dumps(config), encoding="utf-8")
        limited = f'ulimit -Sn {soft}; ulimit -Hn {hard}; exec "$@"'
        node = [sys.executable, "-m", "fame_cli", "sentinel", "--config", "s1.yaml", "--log-format", "json"]
        super().__init__("s1", ["sh", "-c", limited, "sh", *node], env={}, cwd=folder)


async def attached(port: int, count: int) -> int:
    """Attach so many clients at once, and return how many got in; the others must be told why."""
    url = f"ws://127.0.0.1:{port}/{ATTACH}/downstream"
    clients = [Client(url, timeout_s=10) for _ in range(count)]
    results = await asyncio.gather(*(client.__aenter__() for client in clients), return_exceptions=True)
    entered = [client for client, result in zip(clients, results, strict=True) if isinstance(result, Client)]
    refused = [result for result in results if isinstance(result, ConnectError)]
    assert all("links are open" in str(error) for error in refused)
    assert len(entered) + len(refused) == count
    for client in entered:
        await client.__aexit__(None, None, None)
    return len(entered)


@pytest.mark.parametrize(("hard", "max_links", "most"), [(400, 200, 120), (164, 200, 100)])
def test_more_links_than_the_limit_of_open_files_at_first(tmp_path: Path, hard: int, max_links: int, most: int) -> None:
    port = Mesh(tmp_path).port("s1")
    sentinel = Limited(tmp_path, port, soft=80, hard=hard, max_links=max_links)

    async def main() -> None:
        assert await attached(port, 120) == most

    try:
        sentinel.wait_until(lambda: bool(sentinel.events("node_ready")), "s1 is ready")
        run(main())
        assert bool(sentinel.events("links_limited")) == (most < 120)
    finally:
        sentinel.kill()
        sentinel.join()


async def entered(port: int) -> bool | None:
    """Tell whether a client could attach."""
    try:
        async with Client(f"ws://127.0.0.1:{port}/{ATTACH}/downstream", timeout_s=10):
            return True
    except ConnectError:
        return None


def cpu_s(pid: int) -> float:
    """Return the CPU time a process has used so far (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(sys.platform != "linux", reason="reads CPU time where Linux tells it")
@pytest.mark.parametrize("transport", ["websockets", "picows"])
def test_connections_beyond_the_files_there_are_cost_neither_the_links_nor_the_processor(
    tmp_path: Path, transport: str
) -> None:
    """They ask for nothing, so no limit of links turns them away; the system does."""
    port = Mesh(tmp_path).port("s1")
    sentinel = Limited(tmp_path, port, soft=100, hard=100, max_links=20, transport=transport)

    async def main() -> None:
        async with Client(f"ws://127.0.0.1:{port}/{ATTACH}/downstream", timeout_s=10) as before:
            with ExitStack() as stack:
                for _ in range(160):
                    stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
                begun, spent = time.monotonic(), cpu_s(sentinel.pid)
                await until(lambda: time.monotonic() > begun + 1.5, "time passes")
                assert cpu_s(sentinel.pid) - spent < 0.3
                assert await before.ask("fabric.status")
            await eventually(lambda: entered(port), within_s=5)
        assert len(sentinel.log) < 40

    try:
        sentinel.wait_until(lambda: bool(sentinel.events("node_ready")), "s1 is ready")
        run(main())
    finally:
        sentinel.kill()
        sentinel.join()
