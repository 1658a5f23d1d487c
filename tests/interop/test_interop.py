"""Our nodes and real Naylence nodes on one fabric, each side driven as its users drive it.

Four fabrics, each made once: two of our sentinels, peered; two of theirs, peered; ours peering to theirs; theirs
peering to ours. Our side is the real command line with YAML files, the other side the scripts in `naylence/`.
A Naylence agent rests 10 ms after each item it streams and serves one message at a time, so a long stream of one is
asked for as seldom as the table of cases allows.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from interop_nodes import Fabric, FabricMaker, NodeProcess, Sentinel, World, free_port

from fame_cli import Client

AT_ONCE_S = 5.0  # "at once" for a whole run of a command, on a slow machine; a lost answer would take 30 s
FIBONACCI = [0, 1, 1, 2, 3, 5, 8, 13, 21, 34]
LONG = 1000
NO_ROUTE = 5
FAILED = 1
USAGE = 2
LINK_LOST = 7
SHAPES: list[Any] = [None, True, "grüße 🚀", 1.5, 2**53, [1, [None]], {"a": {"b": [None, {}]}}]


@pytest.fixture(scope="module")
def ours(new_fabric: FabricMaker) -> World:
    """Two of our sentinels, the second peering to the first; agents of both makes at each; a Naylence client."""
    fabric = new_fabric()
    near = fabric.our_sentinel("near")
    far = fabric.our_sentinel("far", peers=[near])
    near.wait()
    far.wait()
    fabric.our_agent("ours1", near, capabilities=["interop.ours1"])
    fabric.our_agent("ours2", far, capabilities=["interop.ours2"])
    theirs = [
        fabric.naylence_agent("theirs1", near, capabilities=["op:whoami"]),
        fabric.naylence_agent("theirs2", far, capabilities=["interop.theirs2"]),
    ]
    client = fabric.naylence_client(near)
    for process in [*theirs, client.process]:
        process.wait_for_ready_line()
    for name in ("ours1", "ours2", "theirs1", "theirs2"):
        fabric.wait_for_address(f"{name}@fame.fabric", near)
    return World(fabric, near, far, client)


@pytest.fixture(scope="module")
def theirs(new_fabric: FabricMaker) -> World:
    """Two Naylence sentinels, the second peering to the first; agents of both makes at each; a Naylence client."""
    fabric = new_fabric()
    near = fabric.naylence_sentinel("near").wait()
    far = fabric.naylence_sentinel("far", peer=near).wait()
    far.process.wait_for_ready_line()
    # A real sentinel never announces over a peer link what was bound before the link was there.
    fabric.our_agent("ours1", near, capabilities=["interop.ours1"])
    fabric.our_agent("ours2", far)
    client = fabric.naylence_client(near)
    agents = [
        fabric.naylence_agent("theirs1", near, capabilities=["op:whoami"]),
        fabric.naylence_agent("theirs2", far),
    ]
    for process in [*agents, client.process]:
        process.wait_for_ready_line()
    for name in ("ours1", "ours2", "theirs1", "theirs2"):
        fabric.wait_for_address(f"{name}@fame.fabric", near)
    return World(fabric, near, far, client)


def _finish_mixed(fabric: Fabric, our: Sentinel, their: Sentinel) -> World:
    """Add what must come after the peer link: the Naylence agent. That `ours1` is reached shows the link is there."""
    client = fabric.naylence_client(their)
    client.process.wait_for_ready_line()
    fabric.wait_for_address_from(client, "ours1@fame.fabric")
    fabric.naylence_agent("theirs1", their).wait_for_ready_line()
    fabric.wait_for_address("theirs1@fame.fabric", our)
    return World(fabric, our, their, client)


@pytest.fixture(scope="module")
def we_dial(new_fabric: FabricMaker) -> World:
    """Our sentinel with an agent and a peer that isn't there yet; then that peer, a Naylence sentinel."""
    fabric = new_fabric()
    port = free_port()
    our = fabric.our_sentinel("our", peers=[f"ws://127.0.0.1:{port}/fame/v1/attach/ws/peer"]).wait()
    fabric.our_agent("ours1", our)
    fabric.wait_for_address("ours1@fame.fabric", our)
    their = fabric.naylence_sentinel("their", port=port).wait()
    return _finish_mixed(fabric, our, their)


@pytest.fixture(scope="module")
def they_dial(new_fabric: FabricMaker) -> World:
    """Our sentinel with an agent; then a Naylence sentinel that peers to it."""
    fabric = new_fabric()
    our = fabric.our_sentinel("our").wait()
    fabric.our_agent("ours1", our)
    fabric.wait_for_address("ours1@fame.fabric", our)
    their = fabric.naylence_sentinel("their", peer=our).wait()
    return _finish_mixed(fabric, our, their)


@pytest.fixture(params=["we_dial", "they_dial"])
def mixed(request: pytest.FixtureRequest) -> World:
    """Each way round of a peer link between one of ours (near) and one of theirs (far)."""
    world = request.getfixturevalue(request.param)
    assert isinstance(world, World)
    return world


def _result(outcome: dict[str, Any]) -> Any:
    """Return what a Naylence client got; it must have got something."""
    assert outcome["ok"], outcome
    return outcome["result"]


def _items(outcome: dict[str, Any]) -> list[Any]:
    """Return the items a Naylence client got; the stream must have ended well."""
    assert outcome["ok"], outcome
    items = outcome["items"]
    assert isinstance(items, list)
    return items


# --- a Naylence client through our two peered sentinels to our agents ------------------------------------------------


@pytest.mark.parametrize("agent", ["ours1", "ours2"])
def test_a_naylence_client_calls_our_agents_on_both_sides_of_our_peer_link(ours: World, agent: str) -> None:
    address = f"{agent}@fame.fabric"
    assert _result(ours.client.call(address, "add", x=3, y=4)) == 7
    assert _result(ours.client.call(address, "multiply", x=6, y=7)) == 42


@pytest.mark.parametrize("agent", ["ours1", "ours2"])
def test_a_naylence_client_streams_from_our_agents_on_both_sides_of_our_peer_link(ours: World, agent: str) -> None:
    assert _items(ours.client.stream(f"{agent}@fame.fabric", "fib_stream", n=10)) == FIBONACCI


@pytest.mark.parametrize("agent", ["ours1", "ours2"])
def test_a_naylence_client_gets_a_long_stream_of_ours_in_order(ours: World, agent: str) -> None:
    assert _items(ours.client.stream(f"{agent}@fame.fabric", "count", n=LONG)) == list(range(LONG))


def test_an_empty_stream_of_ours_ends_at_once_for_a_naylence_client(ours: World) -> None:
    outcome = ours.client.stream("ours2@fame.fabric", "count", n=0)
    assert _items(outcome) == []
    assert outcome["seconds"] < AT_ONCE_S


@pytest.mark.parametrize("value", SHAPES, ids=str)
def test_values_of_every_shape_pass_through_our_sentinels_unharmed(ours: World, value: Any) -> None:
    assert _result(ours.client.call("ours2@fame.fabric", "echo", value=value)) == value
    assert _result(ours.client.call("theirs2@fame.fabric", "echo", value=value)) == value


def test_a_message_near_the_size_limit_passes_both_ways(ours: World) -> None:
    big = "x" * 250_000
    assert _result(ours.client.call("ours2@fame.fabric", "echo", value=big)) == big


def test_many_calls_and_streams_of_a_naylence_client_at_once_all_end_well(ours: World) -> None:
    calls = [
        {
            "do": "call",
            "name": f"call{n}",
            "to": f"ours{n % 2 + 1}@fame.fabric",
            "method": "echo",
            "params": {"value": n},
        }
        for n in range(40)
    ]
    streams = [
        {"do": "stream", "name": f"stream{n}", "to": "ours2@fame.fabric", "method": "count", "params": {"n": 100}}
        for n in range(5)
    ]
    outcomes = {outcome["name"]: outcome for outcome in ours.client.do(*calls, *streams)}
    assert [_result(outcomes[f"call{n}"]) for n in range(40)] == list(range(40))
    assert all(_items(outcomes[f"stream{n}"]) == list(range(100)) for n in range(5))


def test_a_naylence_client_gets_the_error_text_of_our_agent(ours: World) -> None:
    outcome = ours.client.call("ours2@fame.fabric", "fail", message="broken on purpose")
    assert not outcome["ok"]
    assert "broken on purpose" in outcome["error"]


def test_a_naylence_client_is_told_at_once_that_our_agent_has_no_such_operation(ours: World) -> None:
    outcome = ours.client.call("ours2@fame.fabric", "nonsense")
    assert "Method not found" in outcome["error"]
    assert outcome["seconds"] < AT_ONCE_S


def test_a_naylence_client_is_told_at_once_that_an_address_is_unknown_to_our_sentinels(ours: World) -> None:
    outcome = ours.client.call("ghost@fame.fabric", "add", x=1, y=1)
    assert "nacked" in outcome["error"]
    assert outcome["seconds"] < AT_ONCE_S


def test_an_unknown_physical_address_costs_a_naylence_client_nothing_but_that_call(ours: World) -> None:
    for sentinel in (ours.near, ours.far):
        outcome = ours.client.call(f"nobody@/{sentinel.id}", "add", x=1, y=1)
        assert "nacked" in outcome["error"]
        assert outcome["seconds"] < AT_ONCE_S
    assert _result(ours.client.call("ours2@fame.fabric", "add", x=3, y=4)) == 7


# --- Naylence agents on our sentinels --------------------------------------------------------------------------------


@pytest.mark.parametrize("agent", ["theirs1", "theirs2"])
def test_our_client_calls_naylence_agents_on_our_sentinels(ours: World, agent: str) -> None:
    address = f"{agent}@fame.fabric"
    assert ours.fabric.call(ours.near, address, "add", "x:=3", "y:=4").value == 7
    assert ours.fabric.call(ours.near, address, "multiply", "--json", '{"x": 6, "y": 7}').value == 42


@pytest.mark.parametrize("agent", ["theirs1", "theirs2"])
def test_a_naylence_client_calls_naylence_agents_through_our_sentinels(ours: World, agent: str) -> None:
    assert _result(ours.client.call(f"{agent}@fame.fabric", "add", x=3, y=4)) == 7
    assert _items(ours.client.stream(f"{agent}@fame.fabric", "fib_stream", n=10)) == FIBONACCI


def test_our_client_types_plain_arguments_by_itself_where_an_agent_cannot_describe_them(ours: World) -> None:
    assert ours.fabric.call(ours.near, "theirs1@fame.fabric", "add", "x=3", "y=4").value == 7


def test_our_client_gets_a_long_stream_of_a_naylence_agent_in_order_across_our_peer_link(ours: World) -> None:
    assert ours.fabric.stream(ours.near, "theirs2@fame.fabric", "count", f"n:={LONG}").items == list(range(LONG))


def test_our_client_reports_what_a_naylence_agent_raised(ours: World) -> None:
    failed = ours.fabric.call(ours.near, "theirs2@fame.fabric", "fail", "message=broken on purpose")
    assert failed.code == FAILED
    assert "broken on purpose" in failed.err


def test_our_client_is_told_that_a_naylence_agent_has_no_such_operation(ours: World) -> None:
    failed = ours.fabric.call(ours.near, "theirs1@fame.fabric", "nonsense")
    assert failed.code == FAILED
    assert "nonsense" in failed.err
    assert failed.seconds < AT_ONCE_S


# --- capabilities ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("capability", ["interop.ours1", "interop.ours2"])
def test_a_naylence_client_reaches_our_agents_by_capability(ours: World, capability: str) -> None:
    assert _result(ours.client.call_capability(capability, "add", x=3, y=4)) == 7


def test_our_client_reaches_a_naylence_agent_by_the_name_of_an_operation(ours: World) -> None:
    answer = ours.fabric.call(ours.near, "whoami")
    assert answer.value.startswith("theirs1-")


def test_a_naylence_client_reaches_our_agent_on_their_sentinel_by_capability(theirs: World) -> None:
    assert _result(theirs.client.call_capability("interop.ours1", "add", x=3, y=4)) == 7


def test_our_python_client_reaches_a_naylence_agent_on_their_sentinel_by_capability(theirs: World) -> None:
    async def ask() -> Any:
        async with Client(theirs.near.url) as client:
            return await client.request(None, "whoami", {}, capabilities=["op:whoami"], timeout_s=AT_ONCE_S)

    assert asyncio.run(ask()).startswith("theirs1-")


def test_our_command_line_asks_for_an_address_where_a_sentinel_cannot_look_one_up(theirs: World) -> None:
    refused = theirs.fabric.call(theirs.near, "whoami")
    assert refused.code == USAGE
    assert "address" in refused.err
    assert refused.seconds < AT_ONCE_S


def test_a_capability_nobody_has_is_refused_at_once(ours: World) -> None:
    outcome = ours.client.call_capability("interop.nobody", "add", x=3, y=4)
    assert "nacked" in outcome["error"]
    assert outcome["seconds"] < AT_ONCE_S


# --- our client through their sentinels ------------------------------------------------------------------------------


@pytest.mark.parametrize("agent", ["theirs1", "theirs2"])
def test_our_client_calls_naylence_agents_through_their_peered_sentinels(theirs: World, agent: str) -> None:
    address = f"{agent}@fame.fabric"
    assert theirs.fabric.call(theirs.near, address, "add", "x:=3", "y:=4").value == 7
    assert theirs.fabric.stream(theirs.near, address, "fib_stream", "n:=10").items == FIBONACCI


def test_our_client_gets_a_long_stream_through_their_peered_sentinels(theirs: World) -> None:
    assert theirs.fabric.stream(theirs.near, "theirs2@fame.fabric", "count", f"n:={LONG}").items == list(range(LONG))


def test_our_client_is_told_at_once_that_an_address_is_unknown_to_their_sentinels(theirs: World) -> None:
    for verb in (theirs.fabric.call, theirs.fabric.stream):
        refused = verb(theirs.near, "ghost@fame.fabric", "fib_stream", "n:=3")
        assert refused.code == NO_ROUTE, refused.err
        assert "ghost@fame.fabric" in refused.err
        assert refused.seconds < AT_ONCE_S


# --- our agents on their sentinels -----------------------------------------------------------------------------------


@pytest.mark.parametrize("agent", ["ours1", "ours2"])
def test_a_naylence_client_calls_our_agents_on_their_sentinels(theirs: World, agent: str) -> None:
    assert _result(theirs.client.call(f"{agent}@fame.fabric", "add", x=3, y=4)) == 7
    assert _items(theirs.client.stream(f"{agent}@fame.fabric", "fib_stream", n=10)) == FIBONACCI


@pytest.mark.parametrize("agent", ["ours1", "ours2"])
def test_our_client_calls_our_agents_through_their_sentinels(theirs: World, agent: str) -> None:
    address = f"{agent}@fame.fabric"
    assert theirs.fabric.call(theirs.near, address, "add", "x=3", "y=4").value == 7
    assert theirs.fabric.stream(theirs.near, address, "count", "n=100").items == list(range(100))


def test_a_long_stream_of_our_agent_passes_their_sentinels_to_both_makes_of_client(theirs: World) -> None:
    assert _items(theirs.client.stream("ours2@fame.fabric", "count", n=LONG)) == list(range(LONG))
    assert theirs.fabric.stream(theirs.near, "ours2@fame.fabric", "count", f"n={LONG}").items == list(range(LONG))


# --- a peer link between one of ours and one of theirs ---------------------------------------------------------------


def test_a_naylence_client_at_their_sentinel_calls_and_streams_from_our_agent_at_ours(mixed: World) -> None:
    assert _result(mixed.client.call("ours1@fame.fabric", "add", x=3, y=4)) == 7
    assert _items(mixed.client.stream("ours1@fame.fabric", "count", n=LONG)) == list(range(LONG))


def test_our_client_at_our_sentinel_calls_and_streams_from_a_naylence_agent_at_theirs(mixed: World) -> None:
    assert mixed.fabric.call(mixed.near, "theirs1@fame.fabric", "multiply", "x:=6", "y:=7").value == 42
    assert mixed.fabric.stream(mixed.near, "theirs1@fame.fabric", "count", "n:=200").items == list(range(200))


def test_our_client_at_their_sentinel_reaches_our_agent_at_ours(mixed: World) -> None:
    assert mixed.fabric.call(mixed.far, "ours1@fame.fabric", "add", "x=3", "y=4").value == 7


def test_an_unknown_address_is_refused_at_once_on_both_sides_of_a_mixed_peer_link(mixed: World) -> None:
    refused = mixed.fabric.call(mixed.near, "ghost@fame.fabric", "add", "x:=1", "y:=1")
    assert refused.code == NO_ROUTE, refused.err
    assert refused.seconds < AT_ONCE_S
    outcome = mixed.client.call("ghost@fame.fabric", "add", x=1, y=1)
    assert "nacked" in outcome["error"]
    assert outcome["seconds"] < AT_ONCE_S


def test_a_call_to_nobody_at_their_sentinel_does_not_cost_us_the_peer_link(mixed: World) -> None:
    """A real sentinel stops reading a link over which such a call came, so ours must not pass it on."""
    refused = mixed.fabric.call(mixed.near, f"nobody@/{mixed.far.id}", "add", "x:=1", "y:=1")
    assert refused.code == NO_ROUTE, refused.err
    assert refused.seconds < AT_ONCE_S
    after = mixed.fabric.call(mixed.near, "theirs1@fame.fabric", "add", "x:=3", "y:=4")
    assert after.value == 7
    assert after.seconds < AT_ONCE_S


# --- bursts ----------------------------------------------------------------------------------------------------------


def test_a_burst_of_calls_of_our_client_does_not_lock_up_a_sentinel_of_theirs(new_fabric: FabricMaker) -> None:
    """A real sentinel waits for credit inside the read loop of a link, and two such waits can wait for each other.

    So a client of ours must keep fewer requests unanswered at a real sentinel than a window holds. This has a sentinel
    of its own: one that locked up never answers again.
    """
    fabric = new_fabric()
    sentinel = fabric.naylence_sentinel("alone").wait()
    fabric.our_agent("ours1", sentinel)
    fabric.wait_for_address("ours1@fame.fabric", sentinel)

    async def burst() -> list[Any]:
        async with Client(sentinel.url, timeout_s=2 * AT_ONCE_S) as client:
            return await asyncio.gather(*(client.call("ours1@fame.fabric", "echo", value=n) for n in range(300)))

    assert asyncio.run(burst()) == list(range(300))


# --- leaving early, and dying --------------------------------------------------------------------------------------


def test_leaving_a_stream_of_a_naylence_agent_early_harms_neither_side(ours: World) -> None:
    """It has no way to be cancelled: it produces to the end, and must then serve on."""
    started = ours.fabric.stream_start(ours.near, "theirs2@fame.fabric", "count", "n:=200", take=3)
    assert started.items == [0, 1, 2]
    assert started.seconds < AT_ONCE_S
    assert ours.fabric.call(ours.near, "theirs2@fame.fabric", "add", "x:=3", "y:=4").value == 7


def test_a_naylence_client_that_leaves_a_stream_of_ours_early_is_served_on(ours: World) -> None:
    step = {"do": "stream", "to": "ours2@fame.fabric", "method": "count", "params": {"n": LONG}, "take": 3}
    assert _items(ours.client.do(step)[0]) == [0, 1, 2]
    assert _result(ours.client.call("ours2@fame.fabric", "add", x=3, y=4)) == 7
    assert _items(ours.client.stream("ours2@fame.fabric", "count", n=100)) == list(range(100))


def _doomed(world: World) -> tuple[NodeProcess, str]:
    """Start a Naylence agent across our peer link, to be killed over a call."""
    agent = world.fabric.naylence_agent(f"doomed{free_port()}", world.far)
    address = f"{agent.name.rpartition('-')[0]}@fame.fabric"
    agent.wait_for_ready_line()
    world.fabric.wait_for_address(address, world.near)
    return agent, address


def test_our_client_learns_at_once_that_a_naylence_agent_died_over_its_call(ours: World) -> None:
    agent, address = _doomed(ours)
    with ThreadPoolExecutor() as pool:
        call = pool.submit(ours.fabric.call, ours.near, address, "sleep", "seconds:=60")
        agent.wait_for_line("sleeping")
        agent.kill()
        assert call.result().code == LINK_LOST, call.result().err
        assert call.result().seconds < 2 * AT_ONCE_S


def test_a_naylence_client_learns_at_once_that_a_naylence_agent_died_over_its_call(ours: World) -> None:
    agent, address = _doomed(ours)
    with ThreadPoolExecutor() as pool:
        call = pool.submit(ours.client.call, address, "sleep", seconds=60)
        agent.wait_for_line("sleeping")
        agent.kill()
        assert "nacked" in call.result()["error"]
        assert call.result()["seconds"] < 2 * AT_ONCE_S


# --- at-least-once delivery: what a Naylence node does unless its config says otherwise -------------------------------


def test_a_naylence_client_that_wants_every_message_acknowledged_gets_its_answers(ours: World) -> None:
    client = ours.fabric.naylence_client(ours.near, delivery="at-least-once")
    client.process.wait_for_ready_line()
    assert _result(client.call("ours2@fame.fabric", "add", x=3, y=4)) == 7
    assert _items(client.stream("ours2@fame.fabric", "count", n=100)) == list(range(100))


def test_a_naylence_agent_that_wants_every_message_acknowledged_is_served_by_our_client(ours: World) -> None:
    agent = ours.fabric.naylence_agent("careful", ours.far, delivery="at-least-once")
    agent.wait_for_ready_line()
    ours.fabric.wait_for_address("careful@fame.fabric", ours.near)
    answered = ours.fabric.stream(ours.near, "careful@fame.fabric", "count", "n:=100")
    assert answered.items == list(range(100))
    assert answered.seconds < 2 * AT_ONCE_S
    assert ours.fabric.call(ours.near, "careful@fame.fabric", "add", "x:=3", "y:=4").value == 7


# --- time ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_heartbeats_keep_idle_links_alive(ours: World, theirs: World, we_dial: World, they_dial: World) -> None:
    """Both makes give a link up after 30 s without a message, so these links live by heartbeats alone."""
    assert ours.client.do({"do": "idle", "seconds": 36})[0]["ok"]
    for world, address in (
        (ours, "ours2@fame.fabric"),
        (theirs, "ours2@fame.fabric"),
        (we_dial, "ours1@fame.fabric"),
        (they_dial, "ours1@fame.fabric"),
    ):
        outcome = world.client.call(address, "add", x=3, y=4)
        assert _result(outcome) == 7
        assert outcome["seconds"] < AT_ONCE_S
    for world, address in ((ours, "theirs2@fame.fabric"), (we_dial, "theirs1@fame.fabric")):
        answer = world.fabric.call(world.near, address, "add", "x:=3", "y:=4")
        assert answer.value == 7
        assert answer.seconds < AT_ONCE_S


@pytest.mark.slow
def test_a_naylence_agent_and_client_come_back_to_a_sentinel_of_ours_that_was_restarted(
    new_fabric: FabricMaker,
) -> None:
    """They notice at their next heartbeat, attach again, see a new epoch and bind again."""
    fabric = new_fabric()
    first = fabric.our_sentinel("phoenix").wait()
    agent = fabric.naylence_agent("theirs1", first)
    client = fabric.naylence_client(first)
    agent.wait_for_ready_line()
    client.process.wait_for_ready_line()
    fabric.wait_for_address_from(client, "theirs1@fame.fabric")
    second = fabric.restart(first).wait()
    fabric.wait_for_address("theirs1@fame.fabric", second)
    fabric.wait_for_address_from(client, "theirs1@fame.fabric")
