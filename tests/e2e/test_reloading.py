"""Nodes that read their config again while they work, as a user has them do it."""

import json
import signal
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mesh_nodes import Mesh, reached, run, until

from fame_cli.errors import NoRoute

pytestmark = pytest.mark.e2e


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Mesh]:
    with closing(Mesh(tmp_path)) as made:
        yield made


def rewrite(mesh: Mesh, name: str, changes: Mapping[str, Any]) -> None:
    file = mesh.folder / f"{name}.yaml"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_a_peer_is_added_to_a_sentinel_that_runs_and_what_needs_a_restart_is_named(mesh: Mesh) -> None:
    for name in ("s1", "s2"):
        mesh.sentinel(name)
    mesh.agent("a2", "s2")
    mesh.wait_ready()
    rewrite(mesh, "s1", {"peers": [{"direct_url": mesh.peer_url("s2")}], "listen": "127.0.0.1:1"})

    async def main() -> None:
        async with mesh.client("s1") as client:
            done = mesh.fame("s1", "reload", "s1.yaml")
            assert (done.returncode, done.stderr) == (0, "")
            assert done.stdout == "s1: changed peers\ns1: listen needs a restart\n"
            assert await reached(client, "a2@fame.fabric") == "a2"
            assert not mesh.processes["s1"].events("link_closed")

    run(main())
    assert [line["key"] for line in mesh.processes["s1"].events("config_kept")] == ["listen"]


def test_a_file_that_is_wrong_changes_nothing_and_is_told_in_one_line(mesh: Mesh) -> None:
    mesh.sentinel("s1")
    mesh.wait_ready()
    rewrite(mesh, "s1", {"limits": {"max_links": "many"}})
    done = mesh.fame("s1", "reload")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)
    assert f"s1 goes on as it was: {mesh.folder / 's1.yaml'}:" in done.stderr
    assert 'limits.max_links: "many"' in done.stderr
    mesh.processes["s1"].require_running()


def test_the_workers_of_a_sentinel_and_an_agent_are_told_too(mesh: Mesh) -> None:
    mesh.sentinel("s2")
    mesh.sentinel("s1", workers=3)
    mesh.agent("a2", "s2")
    mesh.agent("a1", "s1")
    mesh.wait_ready()
    rewrite(mesh, "s1", {"peers": [{"direct_url": mesh.peer_url("s2")}], "log": {"level": "debug"}})
    rewrite(mesh, "a1", {"drain_s": 1})

    async def main() -> None:
        for name in ("s1", "a1"):
            mesh.processes[name].signal(signal.SIGHUP)
            await until(lambda name=name: bool(mesh.processes[name].events("config_reloaded")), f"{name} has reloaded")
        async with mesh.client("s1") as client:
            assert await reached(client, "a2@fame.fabric") == "a2"
            with pytest.raises(NoRoute):
                await client.call("nobody@fame.fabric", "who")
        workers = mesh.processes["s1"]
        await until(lambda: bool(workers.events("envelope_refused")), "a worker logs what only debug shows")

    run(main())
    assert mesh.processes["s1"].events("config_reloaded")[0]["changed"] == ["log.level", "peers"]
    assert mesh.processes["a1"].events("config_reloaded")[0]["changed"] == ["drain_s"]
    assert not mesh.processes["s1"].events("worker_ended")


def test_all_nodes_of_a_fabric_file_are_told_at_once_or_one_of_them(mesh: Mesh) -> None:
    ports = {name: mesh.port(name) for name in ("s1", "s2")}
    nodes = [{"kind": "sentinel", "id": name, "listen": f"127.0.0.1:{port}"} for name, port in ports.items()]
    file = mesh.folder / "fabric.yaml"
    file.write_text(json.dumps({"kind": "fabric", "name": "two", "nodes": nodes}))
    try:
        assert mesh.fame("s1", "up", "-d", "fabric.yaml").returncode == 0
        for node in nodes:
            node["drain_s"] = 1
        file.write_text(json.dumps({"kind": "fabric", "name": "two", "nodes": nodes}))
        assert mesh.fame("s1", "reload", "fabric.yaml", "--node", "s2").stdout == "s2: changed drain_s\n"
        assert mesh.fame("s1", "reload").stdout == "s1: changed drain_s\ns2: nothing to change\n"
    finally:
        assert mesh.fame("s1", "down").returncode == 0
    done = mesh.fame("s1", "reload", "fabric.yaml")
    assert done.returncode == 2
    assert "nothing runs here from fabric.yaml" in done.stderr
