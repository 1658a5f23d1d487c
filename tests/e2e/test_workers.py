"""A sentinel of several processes: one from outside, a mesh inside, and nobody left behind."""

import asyncio
import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing
from pathlib import Path

import pytest
import waiting
from mesh_nodes import LIMIT_S, Mesh, reached, run, until
from tls_rig import Authority

from fame_cli import Client
from fame_cli.errors import FameError
from fame_cli.security.keystore import Home
from fame_cli.security.settings import SecuritySettings, Tls

pytestmark = pytest.mark.e2e

COUNT = 3
AGENTS = [f"a{number}" for number in range(1, 7)]
CLIENTS = 12
"""As many that all of them at one worker would be chance of one in hundreds of thousands."""


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Mesh]:
    with closing(Mesh(tmp_path)) as made:
        yield made


def start(mesh: Mesh, workers: int = COUNT) -> None:
    mesh.sentinel("s", workers=workers)
    mesh.wait_logged("s", "node_ready", node_id="s", workers=workers)


def pids(mesh: Mesh) -> dict[int, int]:
    """Return the process of each worker that was started last."""
    return {line["worker"]: line["pid"] for line in mesh.processes["s"].events("worker_started")}


def lives(pid: int) -> bool:
    """Tell whether a process is there and not only unburied."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


async def place_of(client: Client) -> str:
    """Return the id of the worker a client is attached to."""
    told = await client.ask("fabric.status")
    assert isinstance(told, dict)
    return str(told["node"])


async def all_reached(mesh: Mesh, count: int) -> set[str]:
    """Have that many clients call every agent at once, and return which workers they were attached to."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(mesh.client("s")) for _ in range(count)]
        calls = [reached(client, f"{agent}@fame.fabric") for client in clients for agent in AGENTS]
        assert await asyncio.gather(*calls) == AGENTS * count
        return {await place_of(client) for client in clients}


def test_every_client_reaches_every_agent_wherever_they_land(mesh: Mesh) -> None:
    start(mesh)
    for agent in AGENTS:
        mesh.agent(agent, "s")

    async def main() -> None:
        places = await all_reached(mesh, CLIENTS)
        assert places <= {"s", "s.2", "s.3"}
        assert len(places) > 1

    run(main())


def test_workers_are_linked_however_few_links_a_host_may_have(mesh: Mesh) -> None:
    mesh.sentinel("s", workers=COUNT, limits={"links_per_host": 1})
    mesh.wait_logged("s", "node_ready", node_id="s", workers=COUNT)
    assert mesh.processes["s"].events("link_turned_away") == []


def test_a_worker_that_dies_is_replaced_and_calls_work_again(mesh: Mesh) -> None:
    start(mesh)
    for agent in AGENTS:
        mesh.agent(agent, "s")
    before = pids(mesh)
    os.kill(before[1], signal.SIGKILL)

    async def works() -> bool | None:
        try:
            await all_reached(mesh, CLIENTS)
        except FameError:  # the links of a worker end with it
            return None
        return True

    async def main() -> None:
        await until(lambda: pids(mesh)[1] != before[1], "worker 1 is started again")
        await waiting.eventually(works, within_s=LIMIT_S)

    run(main())
    ended = mesh.processes["s"].events("worker_ended")
    assert [(line["worker"], line["code"]) for line in ended] == [(1, -signal.SIGKILL)]
    assert {number: pid for number, pid in pids(mesh).items() if number > 1} == {2: before[2], 3: before[3]}


def test_a_worker_that_is_back_is_linked_with_all_and_ready(mesh: Mesh) -> None:
    start(mesh)
    os.kill(pids(mesh)[2], signal.SIGKILL)

    async def main() -> None:
        links = {"s": {"s.2", "s.3"}, "s.2": {"s", "s.3"}, "s.3": {"s", "s.2"}}

        async def healed() -> bool | None:
            async with mesh.client("s") as client:
                try:
                    told = {at: await client.ask("fabric.links", at=f"/{at}") for at in links}
                except FameError:
                    return None
            seen = {at: {row["node"] for row in rows if row["kind"] == "peer"} for at, rows in told.items()}
            return True if seen == links else None

        await until(lambda: bool(mesh.processes["s"].events("worker_ended")), "the end of worker 2 is noticed")
        await waiting.eventually(healed, within_s=LIMIT_S)
        await until(lambda: {ready(mesh) for _ in range(CLIENTS)} == {(200, "ready")}, "every worker is ready")

    run(main())


def ready(mesh: Mesh) -> tuple[int, str]:
    """Ask whichever worker answers whether the sentinel is ready."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{mesh.port('s')}/readyz", timeout=5) as answer:
            return answer.status, json.load(answer)["status"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)["status"]


def test_readiness_is_that_of_the_whole(mesh: Mesh) -> None:
    """Only the first worker knows the parent; all say what is missing."""
    mesh.sentinel("s", parent="p", workers=2)

    async def main() -> None:
        await until(lambda: bool(mesh.processes["s"].events("node_started")), "all workers take links")
        assert {ready(mesh) for _ in range(CLIENTS)} == {(503, "waiting for upstream")}
        assert not mesh.processes["s"].events("node_ready")
        mesh.sentinel("p")
        await until(lambda: {ready(mesh) for _ in range(CLIENTS)} == {(200, "ready")}, "every worker is ready")

    run(main())
    mesh.wait_logged("s", "node_ready", node_id="s")


def test_whoever_is_at_any_worker_reaches_what_is_above_and_beside(mesh: Mesh) -> None:
    """A parent and a peer dialled from inside, a peer that dials from outside, agents at all of them."""
    mesh.sentinel("p")
    mesh.sentinel("q")
    mesh.sentinel("s", ["q"], parent="p", workers=COUNT)
    mesh.sentinel("r", ["s"])
    for sentinel in ("p", "q", "r", "s"):
        mesh.wait_logged(sentinel, "node_ready")
    for agent, at in (("ap", "p"), ("aq", "q"), ("ar", "r"), ("as", "s")):
        mesh.agent(agent, at)
    addresses = [f"{name}@fame.fabric" for name in ("ap", "aq", "ar", "as")]
    for at in ("p", "q", "r"):
        mesh.wait_served(at, *addresses)

    async def main() -> None:
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(mesh.client("s")) for _ in range(CLIENTS)]
            for client in clients:
                assert [await reached(client, address) for address in addresses] == ["ap", "aq", "ar", "as"]
            assert len({await place_of(client) for client in clients}) > 1

    run(main())


def test_workers_of_a_sentinel_with_a_certificate_are_linked_without_it(mesh: Mesh) -> None:
    """The certificate is for where clients come; the workers link on loopback, where it may not hold."""
    home, authority = Home(mesh.folder / "home"), Authority(mesh.folder)
    home.make_authority("fame.fabric")
    files = authority.issue("s", hosts=("localhost",), clients="optional")
    tls = {"certificate": str(files.certificate), "key": str(files.key), "authorities": str(files.authorities)}
    told = {"profile": "gated", "home": str(home.root), "tls": {**tls, "clients": files.clients}}
    mesh.sentinel("s", workers=2, security=told)
    mesh.wait_logged("s", "node_ready", node_id="s", workers=2)

    async def main() -> None:
        url = mesh.url("s").replace("ws://127.0.0.1", "wss://localhost")
        shown = SecuritySettings(profile="gated", home=home.root, tls=Tls(authorities=files.authorities))
        async with Client(url, security=shown) as client:
            assert await place_of(client) in ("s", "s.2")

    run(main())


def test_sentinels_with_workers_that_dial_each_other_work(mesh: Mesh) -> None:
    """Their links may end at any two workers, which is one way more."""
    mesh.sentinel("s", ["t"], workers=2)
    mesh.sentinel("t", ["s"], workers=2)
    mesh.wait_logged("s", "node_ready", node_id="s")
    mesh.wait_logged("t", "node_ready", node_id="t")
    mesh.agent("as", "s")
    mesh.agent("at", "t")
    for at in ("s", "t"):
        mesh.wait_served(at, "as@fame.fabric", "at@fame.fabric")
    for name in ("s", "t"):
        assert not mesh.processes[name].events("id_taken")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_in_good_order(mesh: Mesh, number: signal.Signals) -> None:
    start(mesh)
    workers = pids(mesh)
    process = mesh.processes["s"]
    process.signal(number)
    assert process.end() == 0
    assert not [pid for pid in workers.values() if lives(pid)]
    assert [line["node_id"] for line in process.events("node_stopped")] == ["s"]
    assert not process.events("worker_ended")


def test_a_signal_while_the_workers_start_ends_all_without_a_word_of_advice(mesh: Mesh) -> None:
    process = mesh.sentinel("s", workers=COUNT)

    async def main() -> None:
        await until(lambda: len(pids(mesh)) == COUNT, "all workers are started")

    run(main())
    process.signal(signal.SIGINT)
    assert process.end() == 0
    assert not [pid for pid in pids(mesh).values() if lives(pid)]
    assert [line for line in process.log if not line.startswith("{")] == []


def test_no_worker_outlives_a_supervisor_that_is_killed(mesh: Mesh) -> None:
    start(mesh)
    workers = pids(mesh)
    mesh.processes["s"].signal(signal.SIGKILL)

    async def main() -> None:
        await until(lambda: not any(map(lives, workers.values())), "all workers end")

    run(main())


def test_a_port_that_is_taken_is_one_line_and_its_exit_code(mesh: Mesh) -> None:
    start(mesh, 2)
    listen = f"127.0.0.1:{mesh.port('s')}"
    done = mesh.fame("s", "sentinel", "--listen", listen, "--workers", "2")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith(f"fame: listen: can't listen on {listen}: address already in use; ")
    assert done.stderr.count("\n") == 1


def test_a_worker_that_cannot_start_takes_the_whole_down(mesh: Mesh) -> None:
    process = mesh.sentinel("s", workers=2)

    async def main() -> None:
        await until(lambda: pids(mesh).keys() == {1, 2}, "both workers are started")
        os.kill(pids(mesh)[2], signal.SIGKILL)

    run(main())
    assert process.end() == 1
    assert "fame: worker 2 was ended by signal 9 before it took links; see what it said above" in process.log
    assert not lives(pids(mesh)[1])


def test_nobody_starts_a_worker_by_hand(mesh: Mesh) -> None:
    done = mesh.fame("s", "sentinel", "--worker", "s.2")
    assert done.returncode == 2
    assert "use --workers N" in done.stderr
