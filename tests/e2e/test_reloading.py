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
from fame_cli.security.keystore import Home

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
    assert done.stderr.startswith(f"fame: {mesh.folder / 's1.yaml'}:1:")
    assert 'limits.max_links: "many"' in done.stderr
    assert done.stderr.endswith(" (not reloaded: s1)\n")
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


POLICY = "version: '1'\nrules:\n  - {id: %s, effect: allow}\n"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_policy_is_loaded_again_or_told_to_be_wrong_and_the_old_one_stays(mesh: Mesh, workers: int) -> None:
    Home(mesh.folder / "home").make_authority("fame.fabric")
    policy = mesh.folder / "p.yaml"
    policy.write_text(POLICY % "first")
    mesh.sentinel("s1", workers=workers, security={"profile": "gated", "home": "home", "policy": "p.yaml"})
    mesh.wait_ready()
    assert mesh.fame("s1", "reload").stdout == "s1: nothing to change\n"
    policy.write_text(POLICY % "second")
    done = mesh.fame("s1", "reload")
    assert (done.returncode, done.stdout, done.stderr) == (0, "s1: reloaded p.yaml\n", "")
    mesh.wait_logged("s1", "policy_changed")
    policy.write_text(POLICY.replace("effect", "efect") % "third")
    for _ in range(2):
        done = mesh.fame("s1", "reload")
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)
        assert done.stderr.startswith(f"fame: {policy}:3:")
        assert done.stderr.endswith('did you mean "effect" (not reloaded: s1)\n')
    s1 = mesh.processes["s1"]
    assert [line["files"] for line in s1.events("config_reloaded")] == [[], ["p.yaml"]]
    assert [f"{policy}:3:" in line["reason"] for line in s1.events("config_not_reloaded")] == [True, True]


def test_a_mistake_in_one_node_s_file_is_told_once_with_all_whom_it_keeps_back(mesh: Mesh) -> None:
    for name in ("s1", "s2"):
        (mesh.folder / f"{name}.yaml").write_text(f"kind: sentinel\nid: {name}\nlisten: 127.0.0.1:{mesh.port(name)}\n")
    (mesh.folder / "fabric.yaml").write_text("kind: fabric\nname: two\nnodes: [{config: s1.yaml}, {config: s2.yaml}]\n")
    try:
        assert mesh.fame("s1", "up", "-d", "fabric.yaml").returncode == 0
        with (mesh.folder / "s2.yaml").open("a") as stream:
            stream.write("drain_s: soon\n")
        done = mesh.fame("s1", "reload")
    finally:
        assert mesh.fame("s1", "down").returncode == 0
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)
    assert done.stderr.startswith(f'fame: {mesh.folder}/s2.yaml:4:10: drain_s: "soon"')
    assert done.stderr.endswith(" (not reloaded: s1, s2)\n")
