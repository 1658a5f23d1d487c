"""The mesh when all is well: shapes of all kinds, links and names that come late or twice, pools.

Everything here is a real process, started from YAML like a user's. How a mesh takes losses is in
`test_mesh_failures.py`.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field
from itertools import combinations, pairwise, permutations
from pathlib import Path

import pytest
import waiting
from mesh_nodes import Mesh, Relay, reached, run, until, until_the_way_is, way_of

from fame_cli import Client
from fame_cli.errors import NoRoute

pytestmark = pytest.mark.e2e

ITEMS = 1000
AT_ONCE_S = 2.0
RETIRED_S = 10.0
LINK_EVENTS = ("link_attached", "link_closed", "link_failed", "link_refused")


@dataclass(frozen=True)
class Shape:
    """Describe a mesh.

    Args:
        links: the peer links, the end that dials first.
        ways: shortest ways between two agents' sentinels, in one direction; there is an agent wherever one ends.
        parents: sentinel → the one above it.
    """

    links: tuple[tuple[str, str], ...]
    ways: tuple[tuple[str, ...], ...]
    parents: Mapping[str, str] = field(default_factory=dict)

    @property
    def sentinels(self) -> list[str]:
        """List all sentinels."""
        return sorted({end for link in (*self.links, *self.parents.items()) for end in link})

    @property
    def ends(self) -> list[str]:
        """List the sentinels that have an agent, which is called like its sentinel with an `a` before it."""
        return sorted({end for way in self.ways for end in (way[0], way[-1])})

    def path(self, name: str) -> str:
        """Return the physical path of a sentinel once all are attached."""
        return f"{self.path(self.parents[name]) if name in self.parents else ''}/{name}"


def chain(count: int) -> tuple[tuple[str, str], ...]:
    return tuple(pairwise(f"s{number}" for number in range(1, count + 1)))


SHAPES = {
    "line-2": Shape(chain(2), (("s1", "s2"),)),
    "line-3": Shape(chain(3), (("s1", "s2", "s3"),)),
    "line-6": Shape(chain(6), (("s1", "s2", "s3", "s4", "s5", "s6"),)),
    "ring-3": Shape((*chain(3), ("s3", "s1")), (("s1", "s2"), ("s2", "s3"), ("s1", "s3"))),
    "ring-5": Shape((*chain(5), ("s5", "s1")), (("s1", "s2", "s3"), ("s1", "s5", "s4"))),
    "full-4": Shape(tuple(combinations(("s1", "s2", "s3", "s4"), 2)), (("s1", "s4"), ("s2", "s3"))),
    "tree": Shape(
        (("p1", "p2"),),
        (("c1", "p1", "p2", "c2"), ("g", "p1", "c1"), ("g", "p2", "c2")),
        {"p1": "g", "p2": "g", "c1": "p1", "c2": "p2"},
    ),
}


@pytest.fixture(scope="module", params=SHAPES)
def shaped(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shape, Mesh]]:
    """Give a mesh of each shape, with its agents reached from everywhere."""
    shape = SHAPES[request.param]
    with closing(Mesh(tmp_path_factory.mktemp(request.param))) as mesh:
        for name in shape.sentinels:
            peers = [far for near, far in shape.links if near == name]
            mesh.sentinel(name, peers, parent=shape.parents.get(name, ""))
        for end in shape.ends:
            mesh.agent(f"a{end}", end)
        mesh.wait_ready()
        for name in shape.parents:  # who gets another parent gets another path, and so does everybody below
            mesh.wait_logged(name, "link_attached", kind="parent", path=shape.path(shape.parents[name]))
        for end in shape.ends:
            mesh.wait_logged(f"a{end}", "link_attached", path=shape.path(end))
        for end in shape.ends:
            mesh.wait_served(end, *(f"a{other}@fame.fabric" for other in shape.ends))
        yield shape, mesh


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Mesh]:
    """Give an empty mesh."""
    with closing(Mesh(tmp_path)) as made:
        yield made


@pytest.fixture(scope="module")
def sentinels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Give a line of three sentinels."""
    with closing(Mesh(tmp_path_factory.mktemp("line"))) as made:
        made.line(3)
        made.wait_ready()
        yield made


@pytest.fixture
def line(sentinels: Mesh) -> Iterator[Mesh]:
    """Give a line of three sentinels, s1 - s2 - s3, without agents; those of the test end with it."""
    yield sentinels
    sentinels.stop_agents()


# Shapes


async def read_all(client: Client, address: str) -> list[object]:
    """Read a stream of `ITEMS` numbers to its end."""
    return [item async for item in client.stream(address, "count", n=ITEMS)]


def test_each_end_calls_each_other_by_the_shortest_way(shaped: tuple[Shape, Mesh]) -> None:
    shape, mesh = shaped

    async def body() -> None:
        for way in (*shape.ways, *(way[::-1] for way in shape.ways)):
            await until_the_way_is(mesh, [*way, f"a{way[-1]}"])
            async with mesh.client(way[0]) as client:
                assert await client.call(f"a{way[-1]}@fame.fabric", "add", x=3, y=4) == 7

    run(body())


def test_streams_run_whole_in_all_directions_at_once(shaped: tuple[Shape, Mesh]) -> None:
    shape, mesh = shaped

    async def body() -> None:
        async with AsyncExitStack() as stack:
            clients = {end: await stack.enter_async_context(mesh.client(end)) for end in shape.ends}
            streams = [read_all(clients[near], f"a{far}@fame.fabric") for near, far in permutations(shape.ends, 2)]
            assert all(items == list(range(ITEMS)) for items in await asyncio.gather(*streams))

    run(body())


# Links: twice, missing, late


async def has_one_link_to_each(mesh: Mesh, name: str, *others: str) -> None:
    """Wait until a sentinel has a peer link to each of these and no second one; one that was replaced drains first."""
    async with mesh.client(name) as client:

        async def settled() -> bool | None:
            links = await client.request(f"__sys__@/{name}", "fabric.links", {"kwargs": {}})
            peers = [link for link in links if link["kind"] == "peer"]
            assert sorted(link["node"] for link in peers if link["state"] == "open") == sorted(others)
            return True if len(peers) == len(others) else None

        await waiting.eventually(settled, within_s=RETIRED_S)


def test_peers_that_all_name_each_other_have_one_link_a_pair(mesh: Mesh) -> None:
    names = ["s1", "s2", "s3", "s4"]
    for name in names:
        mesh.sentinel(name, [other for other in names if other != name])
    mesh.agent("a1", "s1")
    mesh.agent("a4", "s4")
    mesh.wait_ready()
    mesh.wait_served("s1", "a4@fame.fabric")
    mesh.wait_served("s4", "a1@fame.fabric")
    for name in names:
        run(has_one_link_to_each(mesh, name, *(other for other in names if other != name)))


@pytest.mark.parametrize("order", [("s1", "s2"), ("s2", "s1")], ids="-".join)
def test_peers_that_name_each_other_serve_whoever_was_started_first(mesh: Mesh, order: tuple[str, str]) -> None:
    first, second = order
    mesh.sentinel(first, [second])
    mesh.agent("early", first)
    mesh.wait_logged(first, "link_failed")
    mesh.sentinel(second, [first])
    mesh.agent("late", second)
    mesh.wait_ready()
    mesh.wait_served(first, "late@fame.fabric")
    mesh.wait_served(second, "early@fame.fabric")
    run(has_one_link_to_each(mesh, first, second))
    run(has_one_link_to_each(mesh, second, first))


@pytest.mark.parametrize(("prompt", "late"), [("s1", "s2"), ("s2", "s1")], ids=["smaller-first", "greater-first"])
def test_the_second_link_of_a_pair_leaves_no_gap_in_a_stream(mesh: Mesh, prompt: str, late: str) -> None:
    """Both dial; one of them through a relay that holds it up until a stream runs over the link of the other."""

    async def body() -> None:
        async with Relay(mesh.port(prompt)) as relay:
            both = mesh.sentinel(prompt, [late]), mesh.sentinel(late, [mesh.peer_url(prompt, relay.port)])
            mesh.agent("ticker", "s2")
            await asyncio.to_thread(mesh.wait_ready, prompt, "ticker")
            async with mesh.client("s1") as client:
                await reached(client, "ticker@fame.fabric")
                stream = client.stream("ticker@fame.fabric", "tick")
                items = [await anext(stream) for _ in range(50)]
                said = sum(len(node.events(*LINK_EVENTS)) for node in both)
                relay.let_go()
                settled = until(lambda: sum(len(n.events(*LINK_EVENTS)) for n in both) > said, "the second link")
                waiting = asyncio.ensure_future(settled)
                while not waiting.done():
                    items.append(await anext(stream))
                await waiting
                items += [await anext(stream) for _ in range(200)]
                await client.call("ticker@fame.fabric", "stop_ticking")
                items += [item async for item in stream]
            assert items == list(range(len(items)))

    run(body())


def test_a_peer_that_is_not_there_holds_up_nobody_and_serves_as_soon_as_it_is(mesh: Mesh) -> None:
    mesh.sentinel("hub", ["left", "ghost", "right"])
    mesh.sentinel("left")
    mesh.sentinel("right")
    mesh.agent("a-left", "left")
    mesh.agent("a-right", "right")
    mesh.wait_ready("left", "right", "a-left", "a-right")
    mesh.wait_served("left", "a-right@fame.fabric")
    mesh.wait_served("right", "a-left@fame.fabric")
    mesh.wait_logged("hub", "link_failed", url=mesh.peer_url("ghost"))
    mesh.sentinel("ghost")
    mesh.agent("a-ghost", "ghost")
    mesh.wait_ready()
    mesh.wait_served("left", "a-ghost@fame.fabric")
    mesh.wait_served("ghost", "a-left@fame.fabric", "a-right@fame.fabric")


def test_names_bound_before_the_link_are_reached_over_it(mesh: Mesh) -> None:
    async def body() -> None:
        async with Relay(mesh.port("s1")) as relay:
            mesh.sentinel("s1")
            mesh.sentinel("s2", [mesh.peer_url("s1", relay.port)])
            mesh.agent("a1", "s1")
            mesh.agent("a2", "s2")
            await asyncio.to_thread(mesh.wait_ready, "s1", "a1", "a2")
            async with mesh.client("s1") as at1, mesh.client("s2") as at2:
                for client, address in ((at1, "a2@fame.fabric"), (at2, "a1@fame.fabric")):
                    with pytest.raises(NoRoute):
                        await client.call(address, "who")
                relay.let_go()
                assert await reached(at1, "a2@fame.fabric") == "a2"
                assert await reached(at2, "a1@fame.fabric") == "a1"

    run(body())


def test_a_sentinel_that_comes_late_joins_two_islands(mesh: Mesh) -> None:
    for island in (("s1", "s2"), ("s3", "s4")):
        mesh.sentinel(island[0])
        mesh.sentinel(island[1], [island[0]])
    mesh.agent("a1", "s1")
    mesh.agent("a4", "s4")
    mesh.wait_ready()
    assert mesh.fame("s1", "call", "a4@fame.fabric", "who").returncode == NoRoute.exit_code
    mesh.sentinel("bridge", ["s2", "s3"])
    mesh.wait_served("s1", "a4@fame.fabric")
    mesh.wait_served("s4", "a1@fame.fabric")


# Names: gone, back, twice


def test_an_agent_that_stops_is_gone_at_once_and_found_wherever_it_starts_again(line: Mesh) -> None:
    async def body() -> None:
        async with line.client("s3", trace=True) as client:
            for place, way in (("s1", ["s3", "s2", "s1"]), ("s2", ["s3", "s2"]), ("s1", ["s3", "s2", "s1"])):
                line.agent("mover", place)
                assert await reached(client, "mover@fame.fabric") == "mover"
                assert way_of(client) == [*way, "mover"]
                await asyncio.to_thread(line.stop, "mover")
                async with asyncio.timeout(AT_ONCE_S):
                    with pytest.raises(NoRoute):
                        await client.call("mover@fame.fabric", "who")

    run(body())


def test_the_second_agent_of_one_address_at_one_sentinel_ends_with_exit_code_4(line: Mesh) -> None:
    line.agent("first", "s1", address="one@fame.fabric")
    line.wait_ready("first")
    second = line.agent("second", "s1", address="one@fame.fabric")
    assert second.end() == 4
    assert "ADDRESS_TAKEN" in second.tail()
    line.wait_served("s3", "one@fame.fabric")


def test_two_agents_of_one_address_at_two_sentinels_are_reported_and_the_nearer_answers(line: Mesh) -> None:
    async def body() -> None:
        async with line.client("s1") as at1, line.client("s3") as at3:
            assert {await at1.call("two@fame.fabric", "who") for _ in range(10)} == {"near1"}
            assert {await at3.call("two@fame.fabric", "who") for _ in range(10)} == {"near3"}

    line.agent("near1", "s1", address="two@fame.fabric")
    line.agent("near3", "s3", address="two@fame.fabric")
    line.wait_ready("near1", "near3")
    line.wait_logged("s1", "address_conflict", address="two@fame.fabric")
    line.wait_logged("s3", "address_conflict", address="two@fame.fabric")
    run(body())


# Pools


def test_a_pool_is_served_by_its_nearest_member(line: Mesh) -> None:
    async def body() -> None:
        for place, member in (("s1", "p1"), ("s3", "p3")):
            async with line.client(place) as client:
                await reached(client, "math@fame.fabric")
                for address in ("math@fame.fabric", "math@*.fame.fabric", "math@east.fame.fabric"):
                    assert {await client.call(address, "who") for _ in range(5)} == {member}

    line.agent("p1", "s1", address="math@*.fame.fabric")
    line.agent("p3", "s3", address="math@*.fame.fabric")
    line.wait_ready("p1", "p3")
    run(body())


def test_round_robin_has_all_members_of_a_pool_answer(mesh: Mesh) -> None:
    """From beside one of them and from between them; no call may wander about between balancing sentinels."""

    async def body() -> None:
        for place in ("s1", "s2", "s3"):
            async with mesh.client(place) as client:
                known: set[str] = set()
                while known < {"p1", "p3"}:
                    known.add(await reached(client, "math@fame.fabric"))
                answers = Counter([str(await client.call("math@fame.fabric", "who")) for _ in range(10)])
                assert answers == {"p1": 5, "p3": 5}, place

    mesh.line(3, balance="round_robin")
    mesh.agent("p1", "s1", address="math@*.fame.fabric")
    mesh.agent("p3", "s3", address="math@*.fame.fabric")
    mesh.wait_ready()
    run(body())
