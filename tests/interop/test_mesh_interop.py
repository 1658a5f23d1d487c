"""Meshed sentinels of ours between real Naylence nodes: several hops, rings, a Naylence parent and a Naylence child.

Four fabrics, each made once: a row of Naylence, ours, ours and Naylence, dialled by us and dialled by them; a ring of
three of ours with Naylence sentinels on it, one by one link and one by two; a row of three of ours with a Naylence
parent at one end and a Naylence child at the other.

Two habits of the original shape all of this. It never tells a peer what was bound before their link was there, so its
agents come last, or come again. And it never takes back what it told a peer, so names outlive their agents there.
"""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from interop_nodes import (
    Fabric,
    FabricMaker,
    NaylenceClient,
    NodeProcess,
    Sentinel,
    World,
    eventually,
    free_port,
    items_of,
    result_of,
)

from fame_cli import Client

AT_ONCE_S = 5.0  # "at once" for a whole run of a command, on a slow machine; a lost answer would take 30 s
LONG = 1000
THEIR_LONG = 200  # a Naylence agent rests 10 ms after each item
NO_ROUTE = 5
FAILED = 1
LINK_LOST = 7
QUIET_S = 5.0
FEW = 100
"""What all sentinels of a ring may count in `QUIET_S`, should all heartbeats fall into it; a storm has thousands."""


def _url_at(port: int) -> str:
    """Return the peer URL of a sentinel that is yet to come."""
    return f"ws://127.0.0.1:{port}/fame/v1/attach/ws/peer"


def _both(first: NaylenceClient, second: NaylenceClient, *steps: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """Let two clients work at the same time: the first does the first half of the steps, the second the rest."""
    half = len(steps) // 2
    with ThreadPoolExecutor() as pool:
        outcomes = pool.submit(first.do, *steps[:half]), pool.submit(second.do, *steps[half:])
        return outcomes[0].result(), outcomes[1].result()


def _stream(name: str, n: int) -> dict[str, Any]:
    return {"do": "stream", "to": f"{name}@fame.fabric", "method": "count", "params": {"n": n}}


def _echo(name: str, value: object) -> dict[str, Any]:
    return {"do": "call", "to": f"{name}@fame.fabric", "method": "echo", "params": {"value": value}}


def _refused_at_once(client: NaylenceClient, address: str) -> None:
    outcome = client.call(address, "add", x=1, y=1)
    assert not outcome["ok"], outcome
    assert "nacked" in outcome["error"]
    assert outcome["seconds"] < AT_ONCE_S


def _no_route_at_once(fabric: Fabric, at: Sentinel, address: str) -> None:
    refused = fabric.call(at, address, "add", "x:=1", "y:=1")
    assert refused.code == NO_ROUTE, refused.err
    assert refused.seconds < AT_ONCE_S


def _until_refused(fabric: Fabric, at: Sentinel, address: str) -> None:
    """Wait until a sentinel has heard that an agent is gone."""
    eventually(
        lambda: fabric.call(at, address, "add", "x:=1", "y:=1", "--timeout", "3").code == NO_ROUTE,
        f"{address} is unknown at {at.id}",
    )


# --- a row: Naylence, ours, ours, Naylence ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row(World):
    """Ours in the middle (`near`, `far`), a Naylence sentinel beside each, and a client at each of those.

    Args:
        left, right: the Naylence sentinels; `client` is attached to the left one.
        right_client: a Naylence client at the right one.
    """

    left: Sentinel
    right: Sentinel
    right_client: NaylenceClient


def _finish_row(fabric: Fabric, near: Sentinel, far: Sentinel, left: Sentinel, right: Sentinel) -> Row:
    """Add what must come after the links: that the ends know our agents shows they are up."""
    clients = [fabric.naylence_client(left), fabric.naylence_client(right)]
    for client, known in zip(clients, ("ours2", "ours1"), strict=True):
        client.process.wait_for_ready_line()
        fabric.wait_for_address_from(client, f"{known}@fame.fabric")
    agents = [fabric.naylence_agent("theirs1", left), fabric.naylence_agent("theirs2", right)]
    fabric.our_agent("late2", far)
    for agent in agents:
        agent.wait_for_ready_line()
    for client, known in zip(clients, ("theirs2", "theirs1"), strict=True):
        fabric.wait_for_address_from(client, f"{known}@fame.fabric")
    fabric.wait_for_address_from(clients[0], "late2@fame.fabric")
    return Row(fabric, near, far, clients[0], left, right, clients[1])


def _our_two(fabric: Fabric, *peers: str) -> tuple[Sentinel, Sentinel]:
    """Start two of ours, peered, with an agent each; each dials one of the further peers as well."""
    near = fabric.our_sentinel("near", peers=peers[:1])
    far = fabric.our_sentinel("far", peers=[near, *peers[1:]])
    fabric.our_agent("ours1", near.wait())
    fabric.our_agent("ours2", far.wait())
    fabric.wait_for_address("ours2@fame.fabric", near)
    fabric.wait_for_address("ours1@fame.fabric", far)
    return near, far


@pytest.fixture(scope="module")
def we_dial(new_fabric: FabricMaker) -> Row:
    """Ours dial both ends. The left end is there first, with an agent already bound; the right one comes later."""
    fabric = new_fabric()
    left = fabric.naylence_sentinel("left").wait()
    fabric.naylence_agent("early1", left).wait_for_ready_line()
    port = free_port()
    near, far = _our_two(fabric, left.peer_url, _url_at(port))
    right = fabric.naylence_sentinel("right", port=port).wait()
    return _finish_row(fabric, near, far, left, right)


@pytest.fixture(scope="module")
def they_dial(new_fabric: FabricMaker) -> Row:
    """Both ends dial ours."""
    fabric = new_fabric()
    near, far = _our_two(fabric)
    left, right = fabric.naylence_sentinel("left", peer=near), fabric.naylence_sentinel("right", peer=far)
    return _finish_row(fabric, near, far, left.wait(), right.wait())


@pytest.fixture(params=["we_dial", "they_dial"])
def row(request: pytest.FixtureRequest) -> Row:
    """Each way round of the links between ours and theirs."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Row)
    return found


def test_naylence_nodes_call_each_other_across_two_sentinels_of_ours(row: Row) -> None:
    assert result_of(row.client.call("theirs2@fame.fabric", "add", x=3, y=4)) == 7
    assert result_of(row.right_client.call("theirs1@fame.fabric", "multiply", x=6, y=7)) == 42
    assert result_of(row.client.call("theirs2@fame.fabric", "echo", value={"a": [None, "grüße 🚀"]})) == {
        "a": [None, "grüße 🚀"]
    }


def test_each_of_many_calls_across_the_row_gets_its_own_answer(row: Row) -> None:
    """All callers of one side look alike at the far end, but for what tells one call from another."""
    eastward = [{**_echo("theirs2", n), "name": n} for n in range(20)]
    westward = [{**_echo("theirs1", n), "name": n} for n in range(20, 40)]
    for outcomes in _both(row.client, row.right_client, *eastward, *westward):
        assert all(result_of(outcome) == outcome["name"] for outcome in outcomes)


def test_errors_of_a_naylence_agent_come_back_across_the_row(row: Row) -> None:
    failed = row.client.call("theirs2@fame.fabric", "fail", message="broken on purpose")
    assert not failed["ok"]
    assert "broken on purpose" in failed["error"]
    assert "Method not found" in row.right_client.call("theirs1@fame.fabric", "nonsense")["error"]


def test_long_streams_of_naylence_agents_cross_the_row_both_ways_at_once(row: Row) -> None:
    eastward, westward = _both(
        row.client, row.right_client, _stream("theirs2", THEIR_LONG), _stream("theirs1", THEIR_LONG)
    )
    assert items_of(eastward[0]) == items_of(westward[0]) == list(range(THEIR_LONG))


def test_naylence_clients_stream_from_our_agents_two_and_three_hops_away(row: Row) -> None:
    eastward, westward = _both(row.client, row.right_client, _stream("ours2", LONG), _stream("ours1", LONG))
    assert items_of(eastward[0]) == items_of(westward[0]) == list(range(LONG))
    assert result_of(row.client.call("late2@fame.fabric", "add", x=3, y=4)) == 7


def test_our_client_calls_and_streams_from_a_naylence_agent_beyond_our_second_sentinel(row: Row) -> None:
    assert row.fabric.call(row.near, "theirs2@fame.fabric", "multiply", "x:=6", "y:=7").value == 42
    failed = row.fabric.call(row.near, "theirs2@fame.fabric", "fail", "message=broken on purpose")
    assert failed.code == FAILED
    assert "broken on purpose" in failed.err
    assert row.fabric.stream(row.near, "theirs2@fame.fabric", "count", "n:=100").items == list(range(100))


def test_our_client_at_their_sentinel_reaches_what_is_at_the_other_end_of_the_row(row: Row) -> None:
    assert row.fabric.call(row.left, "theirs2@fame.fabric", "add", "x:=3", "y:=4").value == 7
    assert row.fabric.stream(row.left, "ours2@fame.fabric", "count", "n:=100").items == list(range(100))


def test_an_unknown_address_is_refused_at_once_all_along_the_row(row: Row) -> None:
    _refused_at_once(row.client, "ghost@fame.fabric")
    for at in (row.near, row.far, row.left):
        _no_route_at_once(row.fabric, at, "ghost@fame.fabric")


def test_a_naylence_client_is_refused_at_once_when_our_agent_far_away_is_gone(they_dial: Row) -> None:
    """Its sentinel keeps the name for ever, so the call comes to ours, and our no finds its way back."""
    agent = they_dial.fabric.our_agent("gone2", they_dial.far)
    they_dial.fabric.wait_for_address_from(they_dial.client, "gone2@fame.fabric")
    agent.kill()
    _until_refused(they_dial.fabric, they_dial.near, "gone2@fame.fabric")
    _refused_at_once(they_dial.client, "gone2@fame.fabric")


def test_the_no_of_a_naylence_sentinel_whose_agent_is_gone_crosses_the_row(we_dial: Row) -> None:
    agent = we_dial.fabric.naylence_agent("leaving2", we_dial.right)
    agent.wait_for_ready_line()
    we_dial.fabric.wait_for_address_from(we_dial.client, "leaving2@fame.fabric")
    agent.kill()
    agent.join()
    _refused_at_once(we_dial.client, "leaving2@fame.fabric")
    refused = we_dial.fabric.call(we_dial.near, "leaving2@fame.fabric", "add", "x:=1", "y:=1")
    assert refused.code == LINK_LOST, refused.err  # that sentinel still waits for its agent to come back
    assert refused.seconds < AT_ONCE_S


def test_a_call_to_nobody_at_their_sentinel_costs_nothing_two_hops_away(row: Row) -> None:
    """A real sentinel stops reading a link over which such a call came, so none of ours may pass it on."""
    _no_route_at_once(row.fabric, row.near, f"nobody@/{row.right.id}")
    _refused_at_once(row.client, f"nobody@/{row.near.id}")
    assert result_of(row.client.call("theirs2@fame.fabric", "add", x=3, y=4)) == 7


def test_an_agent_bound_at_their_sentinel_before_our_link_is_known_once_it_comes_again(we_dial: Row) -> None:
    _no_route_at_once(we_dial.fabric, we_dial.near, "early1@fame.fabric")
    we_dial.fabric.naylence_agent("early1", we_dial.left).wait_for_ready_line()
    we_dial.fabric.wait_for_address_from(we_dial.right_client, "early1@fame.fabric")
    assert we_dial.fabric.call(we_dial.far, "early1@fame.fabric", "add", "x:=3", "y:=4").value == 7


def test_naylence_nodes_that_want_every_message_acknowledged_work_across_the_row(they_dial: Row) -> None:
    """An agent of that kind stands still until the caller has acknowledged an item, so those find their way too."""
    client = they_dial.fabric.naylence_client(they_dial.left, delivery="at-least-once")
    agent = they_dial.fabric.naylence_agent("careful2", they_dial.right, delivery="at-least-once")
    client.process.wait_for_ready_line()
    agent.wait_for_ready_line()
    they_dial.fabric.wait_for_address_from(client, "careful2@fame.fabric")
    outcome = client.do(_stream("careful2", 50))[0]
    assert items_of(outcome) == list(range(50))
    assert outcome["seconds"] < 2 * AT_ONCE_S
    assert items_of(client.do(_stream("ours2", 100))[0]) == list(range(100))
    answered = they_dial.fabric.stream(they_dial.near, "careful2@fame.fabric", "count", "n:=50")
    assert answered.items == list(range(50))
    assert answered.seconds < 2 * AT_ONCE_S


def test_callers_all_along_the_row_learn_at_once_that_a_naylence_sentinel_died_over_their_calls(they_dial: Row) -> None:
    """It is a third one, come later: a sentinel that dies breaks the link it was reached by, and that is noticed."""
    doomed = they_dial.fabric.naylence_sentinel("doomed", peer=they_dial.far).wait()
    doomed.process.wait_for_ready_line()
    agent = they_dial.fabric.naylence_agent("doomed3", doomed)
    agent.wait_for_ready_line()
    they_dial.fabric.wait_for_address_from(they_dial.client, "doomed3@fame.fabric")
    sleep = ("doomed3@fame.fabric", "sleep")
    idle = _status(they_dial.fabric, they_dial.far)["calls_in_flight"]
    with ThreadPoolExecutor() as pool:
        theirs = pool.submit(they_dial.client.call, *sleep, seconds=60)
        agent.wait_for_line("sleeping")
        ours = pool.submit(they_dial.fabric.call, they_dial.near, *sleep, "seconds:=60")
        _until_calls_in_flight(they_dial.fabric, they_dial.far, idle + 2)
        doomed.process.kill()
        assert "nacked" in theirs.result()["error"]
        assert theirs.result()["seconds"] < 2 * AT_ONCE_S
        assert ours.result().code == LINK_LOST, ours.result().err
        assert ours.result().seconds < 2 * AT_ONCE_S


def _until_calls_in_flight(fabric: Fabric, at: Sentinel, least: int) -> None:
    """Wait until that many calls are under way through a sentinel of ours, the one that asks included."""
    eventually(lambda: _status(fabric, at)["calls_in_flight"] >= least, f"{least} calls in flight at {at.id}")


def _status(fabric: Fabric, at: Sentinel) -> dict[str, Any]:
    status = fabric.call(at, f"__sys__@/{at.id}", "fabric.status").value
    assert isinstance(status, dict)
    return status


# --- a ring of ours with Naylence sentinels on it --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ring(World):
    """Three of ours, all linked; `far` is the third. A Naylence sentinel with a client and an agent hangs off `near`.

    Args:
        second: the second of ours; it dials a port where nobody listens yet.
        port: that port.
        single: the Naylence sentinel.
    """

    second: Sentinel
    port: int
    single: Sentinel

    @property
    def sentinels(self) -> list[NodeProcess]:
        """Every sentinel, to count what it sends and receives."""
        return [sentinel.process for sentinel in (self.near, self.second, self.far, self.single)]


@dataclass(frozen=True, slots=True)
class Twice:
    """The ring, and a Naylence sentinel that is linked to two of its sentinels.

    Args:
        fabric: that of the ring.
        double: the sentinel; it dialled one, and the other dialled it.
        client: a Naylence client there.
    """

    fabric: Fabric
    ring: Ring
    double: Sentinel
    client: NaylenceClient

    @property
    def sentinels(self) -> list[NodeProcess]:
        """Every sentinel, to count what it sends and receives."""
        return [*self.ring.sentinels, self.double.process]


@pytest.fixture(scope="module")
def ring(new_fabric: FabricMaker) -> Ring:
    """Three of ours in a ring, an agent at each, and a Naylence sentinel that dialled one of them."""
    fabric = new_fabric()
    port = free_port()
    near = fabric.our_sentinel("first", show_envelopes=True)
    second = fabric.our_sentinel("second", peers=[near, _url_at(port)], show_envelopes=True)
    far = fabric.our_sentinel("third", peers=[near, second], show_envelopes=True)
    for number, sentinel in enumerate((near, second, far), start=1):
        fabric.our_agent(f"ours{number}", sentinel.wait())
    single = fabric.naylence_sentinel("single", peer=near, show_envelopes=True).wait()
    client = fabric.naylence_client(single)
    client.process.wait_for_ready_line()
    for number in (1, 2, 3):
        fabric.wait_for_address_from(client, f"ours{number}@fame.fabric")
    fabric.naylence_agent("theirs1", single).wait_for_ready_line()
    for sentinel in (near, second, far):
        fabric.wait_for_address("theirs1@fame.fabric", sentinel)
    return Ring(fabric, near, far, client, second, port, single)


@pytest.fixture(scope="module")
def twice(ring: Ring) -> Twice:
    """Add a Naylence sentinel that two of the ring are linked to: it hears each name twice, and passes it on."""
    fabric = ring.fabric
    double = fabric.naylence_sentinel("double", peer=ring.near, port=ring.port, show_envelopes=True).wait()
    client = fabric.naylence_client(double)
    for sentinel in (ring.near, ring.second):
        _until_linked(fabric, sentinel, double)
    client.process.wait_for_ready_line()
    for known in ("ours1", "ours2", "ours3"):
        fabric.wait_for_address_from(client, f"{known}@fame.fabric")
    fabric.naylence_agent("theirs2", double).wait_for_ready_line()
    for sentinel in (ring.near, ring.second, ring.far):
        fabric.wait_for_address("theirs2@fame.fabric", sentinel)
    return Twice(fabric, ring, double, client)


def _until_linked(fabric: Fabric, at: Sentinel, other: Sentinel) -> None:
    eventually(
        lambda: other.id in [link["node"] for link in _status(fabric, at)["links"]], f"{at.id} is linked to {other.id}"
    )


def _stays_quiet(sentinels: Sequence[NodeProcess], seconds: float = QUIET_S) -> None:
    """Watch what all of them send and receive; fail as soon as it is more than `FEW`."""
    before = sum(sentinel.envelopes for sentinel in sentinels)
    assert before > 0, "nothing was counted"
    until = time.monotonic() + seconds

    def quiet_so_far() -> bool:
        passed = sum(sentinel.envelopes for sentinel in sentinels) - before
        assert passed <= FEW, f"{passed} envelopes within {seconds:g} s"
        return time.monotonic() > until

    eventually(quiet_so_far, "the ring was watched", within_s=2 * seconds)


def test_a_ring_with_a_naylence_sentinel_on_it_is_quiet(ring: Ring) -> None:
    _stays_quiet(ring.sentinels)


@pytest.mark.parametrize("agent", ["ours1", "ours2", "ours3"])
def test_a_naylence_client_reaches_our_agents_all_around_the_ring(ring: Ring, agent: str) -> None:
    assert result_of(ring.client.call(f"{agent}@fame.fabric", "add", x=3, y=4)) == 7
    assert items_of(ring.client.stream(f"{agent}@fame.fabric", "count", n=100)) == list(range(100))


def test_our_client_reaches_a_naylence_agent_from_all_around_the_ring(ring: Ring) -> None:
    for sentinel in (ring.near, ring.second, ring.far):
        assert ring.fabric.call(sentinel, "theirs1@fame.fabric", "multiply", "x:=6", "y:=7").value == 42


def test_a_naylence_sentinel_that_hears_every_name_twice_stirs_no_storm(twice: Twice) -> None:
    """It passes on to the one link what it hears on the other: in a ring of its kind, for ever."""
    _stays_quiet(twice.sentinels)


def test_both_makes_reach_each_other_through_two_links_to_one_naylence_sentinel(twice: Twice) -> None:
    for known in ("ours1", "ours2", "ours3", "theirs1", "theirs2"):
        assert result_of(twice.client.call(f"{known}@fame.fabric", "add", x=3, y=4)) == 7
    assert result_of(twice.ring.client.call("theirs2@fame.fabric", "add", x=3, y=4)) == 7
    assert items_of(twice.client.stream("ours3@fame.fabric", "count", n=LONG)) == list(range(LONG))
    for sentinel in (twice.ring.near, twice.ring.second, twice.ring.far):
        assert twice.fabric.call(sentinel, "theirs2@fame.fabric", "multiply", "x:=6", "y:=7").value == 42
    items = twice.fabric.stream(twice.ring.far, "theirs2@fame.fabric", "count", "n:=100").items
    assert items == list(range(100))


def test_a_name_that_only_a_naylence_sentinel_still_believes_in_is_not_sought_in_circles(twice: Twice) -> None:
    """It never unlearns, and told each link what it had from the other: so each seems to lead to a provider."""
    agent = twice.fabric.our_agent("brief3", twice.ring.far)
    twice.fabric.wait_for_address_from(twice.client, "brief3@fame.fabric")
    agent.kill()
    for sentinel in (twice.ring.near, twice.ring.second, twice.ring.far):
        _until_refused(twice.fabric, sentinel, "brief3@fame.fabric")
    for client in (twice.client, twice.ring.client):
        _refused_at_once(client, "brief3@fame.fabric")
    _stays_quiet(twice.sentinels, seconds=2.0)
    twice.fabric.our_agent("brief3", twice.ring.second)
    for sentinel in (twice.ring.near, twice.ring.far):
        twice.fabric.wait_for_address("brief3@fame.fabric", sentinel)
    twice.fabric.wait_for_address_from(twice.client, "brief3@fame.fabric")


# --- a Naylence parent above a row of ours, a Naylence child below its end -------------------------------------------


@dataclass(frozen=True, slots=True)
class Tree(World):
    """Three of ours in a row: `near` is a child of a Naylence sentinel, a Naylence sentinel is a child of `far`.

    Args:
        middle: the second of ours.
        parent: the Naylence sentinel above; `client` is attached to it.
        child: the one below.
        low_client: a Naylence client at that one.
    """

    middle: Sentinel
    parent: Sentinel
    child: Sentinel
    low_client: NaylenceClient


@pytest.fixture(scope="module")
def tree(new_fabric: FabricMaker) -> Tree:
    """Parent first, then our row, then the child; an agent of theirs at both ends, one of ours at both ends of ours."""
    fabric = new_fabric()
    parent = fabric.naylence_sentinel("parent").wait()
    near = fabric.our_sentinel("near", upstream=parent)
    middle = fabric.our_sentinel("middle", peers=[near])
    far = fabric.our_sentinel("far", peers=[middle]).wait()
    child = fabric.naylence_sentinel("child", upstream=far).wait()
    client, low_client = fabric.naylence_client(parent), fabric.naylence_client(child)
    agents = [
        fabric.naylence_agent("above", parent, capabilities=["interop.above"]),
        fabric.naylence_agent("below", child, capabilities=["interop.below", "op:whoami"]),
    ]
    fabric.our_agent("ours1", near.wait(), capabilities=["interop.ours1"])
    fabric.our_agent("ours3", far, capabilities=["interop.ours3"])
    for process in [*agents, client.process, low_client.process]:
        process.wait_for_ready_line()
    for known in ("ours3", "below"):
        fabric.wait_for_address_from(client, f"{known}@fame.fabric")
    for known in ("ours1", "above"):
        fabric.wait_for_address_from(low_client, f"{known}@fame.fabric")
    fabric.wait_for_address("below@fame.fabric", near)
    return Tree(fabric, near, far, client, middle.wait(), parent, child, low_client)


def test_a_naylence_client_at_the_parent_reaches_our_agent_two_sentinels_beyond_its_child(tree: Tree) -> None:
    assert result_of(tree.client.call("ours3@fame.fabric", "add", x=3, y=4)) == 7
    assert items_of(tree.client.stream("ours3@fame.fabric", "count", n=LONG)) == list(range(LONG))
    assert "on purpose" in tree.client.call("ours3@fame.fabric", "fail")["error"]


def test_our_client_two_sentinels_away_reaches_an_agent_at_the_naylence_parent(tree: Tree) -> None:
    for sentinel in (tree.near, tree.middle, tree.far):
        assert tree.fabric.call(sentinel, "above@fame.fabric", "multiply", "x:=6", "y:=7").value == 42
    assert tree.fabric.stream(tree.far, "above@fame.fabric", "count", "n:=100").items == list(range(100))
    failed = tree.fabric.call(tree.far, "above@fame.fabric", "fail", "message=broken on purpose")
    assert failed.code == FAILED
    assert "broken on purpose" in failed.err


def test_our_client_two_sentinels_away_reaches_an_agent_at_the_naylence_child(tree: Tree) -> None:
    for sentinel in (tree.near, tree.middle, tree.far):
        assert tree.fabric.call(sentinel, "below@fame.fabric", "multiply", "x:=6", "y:=7").value == 42
    assert tree.fabric.stream(tree.near, "below@fame.fabric", "count", "n:=100").items == list(range(100))


def test_our_client_two_sentinels_away_finds_an_agent_at_the_naylence_child_by_what_it_can_do(tree: Tree) -> None:
    assert tree.fabric.call(tree.near, "whoami").value.startswith("below-")

    async def ask() -> Any:
        async with Client(tree.near.url) as client:
            wanted = ["interop.below"]
            return await client.request(None, "whoami", {}, capabilities=wanted, timeout_s=AT_ONCE_S)

    assert asyncio.run(ask()).startswith("below-")


def test_naylence_nodes_at_the_top_and_at_the_bottom_reach_each_other_through_ours(tree: Tree) -> None:
    assert result_of(tree.client.call("below@fame.fabric", "add", x=3, y=4)) == 7
    assert result_of(tree.low_client.call("above@fame.fabric", "add", x=3, y=4)) == 7
    down, up = _both(tree.client, tree.low_client, _stream("below", THEIR_LONG), _stream("above", THEIR_LONG))
    assert items_of(down[0]) == items_of(up[0]) == list(range(THEIR_LONG))


@pytest.mark.parametrize("capability", ["interop.ours1", "interop.ours3", "interop.below"])
def test_a_naylence_client_at_the_parent_finds_agents_below_by_capability(tree: Tree, capability: str) -> None:
    assert result_of(tree.client.call_capability(capability, "add", x=3, y=4)) == 7


@pytest.mark.parametrize("capability", ["interop.ours1", "interop.ours3", "interop.above"])
def test_a_naylence_client_at_the_child_finds_agents_above_by_capability(tree: Tree, capability: str) -> None:
    assert result_of(tree.low_client.call_capability(capability, "add", x=3, y=4)) == 7


def test_what_nobody_has_is_refused_at_once_at_the_top_at_the_bottom_and_between(tree: Tree) -> None:
    """The parent's no is for callers it doesn't know: it must come back the way their calls took."""
    _refused_at_once(tree.client, "ghost@fame.fabric")
    _refused_at_once(tree.low_client, "ghost@fame.fabric")
    for sentinel in (tree.near, tree.far):
        _no_route_at_once(tree.fabric, sentinel, "ghost@fame.fabric")
    outcome = tree.low_client.call_capability("interop.nobody", "add", x=3, y=4)
    assert "nacked" in outcome["error"]
    assert outcome["seconds"] < AT_ONCE_S
