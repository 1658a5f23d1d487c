"""A sentinel where few files may be open: it makes room for its links, and turns away in words what is too much."""

import asyncio
import json
import sys
from pathlib import Path

import pytest
from mesh_nodes import ATTACH, Mesh, MeshProcess, run

from fame_cli import Client
from fame_cli.errors import ConnectError

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(sys.platform == "win32", reason="has no such limit")]


class Limited(MeshProcess):
    """Be a node whose process may have few files open."""

    def __init__(self, folder: Path, port: int, *, soft: int, hard: int, max_links: int) -> None:
        config = {"kind": "sentinel", "id": "s1", "listen": f"127.0.0.1:{port}", "limits": {"max_links": max_links}}
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
