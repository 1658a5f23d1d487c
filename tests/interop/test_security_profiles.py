"""Real Naylence and ours in the profiles gated and overlay, both ways, with the kit's development token server.

Three fabrics a profile: a sentinel of ours with nodes of both makes, one of theirs with the same, and one of each make
that are peers. Every node asks the token server for its token, as the kit's configurations do.
"""

import json
from collections.abc import Iterator

import pytest
from interop_nodes import Fabric, FabricMaker, NaylenceClient, Sentinel, World, items_of, result_of

PROFILES = ("gated", "overlay")
REFUSED = 4
EVERYBODY = {"subject": "**", "roles": ["agent", "client", "peer"], "addresses": ["**"], "capabilities": ["**"]}


def secured(new_fabric: FabricMaker, profile: str) -> Fabric:
    """Return a fabric with a token server that all its nodes use; its sentinels are yet to come."""
    fabric = new_fabric()
    server = fabric.token_server()
    common = {**server.accepting, **server.showing, "FAME_SECURITY_PROFILE": profile}
    fabric.ours = {**common, "FAME_HOME": str(fabric.folder / "home")}
    fabric.theirs = common
    fabric.security = {"profile": profile, "grants": [{**EVERYBODY, "prefixes": ["**"]}]}
    return fabric


def populate(fabric: Fabric, near: Sentinel, far: Sentinel) -> World:
    """Put an agent of ours at one sentinel, one of theirs at the other, and a Naylence client at the first."""
    fabric.our_agent("ours1", near)
    theirs = fabric.naylence_agent("theirs1", far)
    client = fabric.naylence_client(near)
    theirs.wait_for_ready_line()
    client.process.wait_for_ready_line()
    world = World(fabric, near, far, client)
    for address in ("ours1@fame.fabric", "theirs1@fame.fabric"):
        fabric.wait_for_address(address, near)
        fabric.wait_for_address_from(client, address)
    return world


@pytest.fixture(scope="module", params=PROFILES)
def at_ours(request: pytest.FixtureRequest, new_fabric: FabricMaker) -> World:
    """Give a sentinel of ours with nodes of both makes."""
    fabric = secured(new_fabric, request.param)
    sentinel = fabric.our_sentinel("ours").wait()
    return populate(fabric, sentinel, sentinel)


@pytest.fixture(scope="module", params=PROFILES)
def at_theirs(request: pytest.FixtureRequest, new_fabric: FabricMaker) -> World:
    """Give a sentinel of theirs with nodes of both makes."""
    fabric = secured(new_fabric, request.param)
    sentinel = fabric.naylence_sentinel("theirs").wait()
    return populate(fabric, sentinel, sentinel)


@pytest.fixture(scope="module", params=PROFILES)
def ours_dials(request: pytest.FixtureRequest, new_fabric: FabricMaker) -> World:
    """Give a sentinel of theirs, and one of ours that dialled it as a peer."""
    fabric = secured(new_fabric, request.param)
    theirs = fabric.naylence_sentinel("theirs").wait()
    ours = fabric.our_sentinel("ours", peers=[theirs]).wait()
    return populate(fabric, ours, theirs)


@pytest.fixture(scope="module", params=PROFILES)
def theirs_dials(request: pytest.FixtureRequest, new_fabric: FabricMaker) -> World:
    """Give a sentinel of ours, and one of theirs that dialled it as a peer."""
    fabric = secured(new_fabric, request.param)
    ours = fabric.our_sentinel("ours").wait()
    theirs = fabric.naylence_sentinel("theirs", peer=ours).wait()
    return populate(fabric, ours, theirs)


def all_of_it_works(world: World) -> None:
    """Call, stream and fail between nodes of both makes, in every direction."""
    for name in ("ours1", "theirs1"):
        address = f"{name}@fame.fabric"
        assert result_of(world.client.call(address, "add", x=3, y=4)) == 7
        assert items_of(world.client.stream(address, "fib_stream", n=10)) == [0, 1, 1, 2, 3, 5, 8, 13, 21, 34]
        assert "on purpose" in world.client.call(address, "fail")["error"]
        for sentinel in {world.near.id: world.near, world.far.id: world.far}.values():
            assert world.fabric.call(sentinel, address, "multiply", "x:=6", "y:=7").value == 42
            assert world.fabric.stream(sentinel, address, "count", "n:=100").items == list(range(100))


def test_nodes_of_both_makes_call_each_other_at_a_sentinel_of_ours(at_ours: World) -> None:
    all_of_it_works(at_ours)


def test_nodes_of_both_makes_call_each_other_at_a_sentinel_of_theirs(at_theirs: World) -> None:
    all_of_it_works(at_theirs)


def test_a_sentinel_of_ours_peers_with_one_of_theirs(ours_dials: World) -> None:
    all_of_it_works(ours_dials)


def test_a_sentinel_of_theirs_peers_with_one_of_ours(theirs_dials: World) -> None:
    all_of_it_works(theirs_dials)


def test_payloads_of_every_shape_keep_their_signature(at_ours: World) -> None:
    """What both makes sign is the canonical form of a payload: numbers, nulls and texts are where they could differ."""
    values = [
        0.1,
        1.0,
        -0.0,
        1e21,
        1e-7,
        2**53,
        10**20,
        None,
        True,
        "ä\u2028\U0001f600\x7f",
        {"b": [None, {}], "a": ""},
    ]
    for name in ("ours1", "theirs1"):
        for value in values:
            outcome = at_ours.client.call(f"{name}@fame.fabric", "echo", value=value)
            assert result_of(outcome) == value
            words = [f"{name}@fame.fabric", "echo", f"value:={json.dumps(value)}"]
            assert at_ours.fabric.call(at_ours.near, *words).value == value


def test_our_command_line_says_who_signed_what_a_naylence_agent_answered(at_ours: World) -> None:
    told = at_ours.fabric.run(
        "call", "theirs1@fame.fabric", "add", "x:=3", "y:=4", "--verbose", "--url", at_ours.near.url
    ).require()
    if at_ours.fabric.security["profile"] == "overlay":
        assert "theirs1" in told.err
        assert "signed" in told.err


@pytest.fixture
def without_token(at_ours: World) -> Iterator[World]:
    """Have nodes that are started meanwhile show no token."""
    ours, theirs = at_ours.fabric.ours, at_ours.fabric.theirs
    shown = ("FAME_ADMISSION_PROFILE", "FAME_ADMISSION_TOKEN_URL")
    at_ours.fabric.ours = {name: value for name, value in ours.items() if not name.startswith("FAME_ADMISSION")}
    at_ours.fabric.theirs = {name: value for name, value in theirs.items() if name not in shown}
    yield at_ours
    at_ours.fabric.ours, at_ours.fabric.theirs = ours, theirs


def test_nobody_of_either_make_gets_in_without_a_token(without_token: World) -> None:
    refused = without_token.fabric.call(without_token.near, "ours1@fame.fabric", "add", "x:=3", "y:=4")
    assert refused.code == REFUSED
    client: NaylenceClient = without_token.fabric.naylence_client(without_token.near)
    with pytest.raises(RuntimeError, match="ended early"):
        client.process.wait_for_ready_line()
    assert result_of(without_token.client.call("ours1@fame.fabric", "add", x=3, y=4)) == 7
