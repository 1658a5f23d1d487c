"""The routing rules, one test each, in the order of the docstring of `route`."""

import pytest

from fame_cli.core.link import LOCAL, Link, LinkKind, Origin, Way
from fame_cli.core.routing import Drop, route
from fame_cli.core.table import RouteTable
from fame_cli.errors import RemoteProtocolError

AGENT = Link(1, LinkKind.CHILD, remote_id="a1", segment="a1")
CLIENT = Link(2, LinkKind.CHILD, remote_id="c", segment="c")
PLAIN_PEER = Link(3, LinkKind.PEER, remote_id="n1", segment="n1")
PLAIN_PARENT = Link(4, LinkKind.PARENT, remote_id="root", segment="root")
PEER = Link(5, LinkKind.PEER, remote_id="s2", segment="s2", extensions=frozenset({"mesh"}))
NEAR = Origin("s2", link=PEER, distance=1)
FAR = Origin("s3", link=PEER, distance=2)
LOST = Origin("s4")

MATH = "math1@fame.fabric"


@pytest.fixture
def table() -> RouteTable:
    """Be a sentinel with an agent, a client, a plain peer and two sentinels of the mesh, and no plain parent."""
    table = RouteTable("/s1", "s1")
    table.local.add("__sys__")
    for link in (AGENT, CLIENT, PLAIN_PEER, PEER):
        table.attach(link)
    table.bind("/n1", PLAIN_PEER)
    for origin in (NEAR, FAR, LOST):
        table.origins[origin.node_id] = origin
        table.bind(f"/{origin.node_id}", origin)
    return table


def is_dropped(target: Way | Drop, reason: str) -> bool:
    return isinstance(target, Drop) and target.code == "NO_ROUTE" and reason in target.reason


def test_rule_0_an_answer_goes_the_way_its_request_came_wherever_the_name_is(table: RouteTable) -> None:
    table.bind(MATH, AGENT)
    assert route(MATH, None, PEER, table, back=CLIENT) is CLIENT
    assert route("x@/s3/a9", None, AGENT, table, back=PEER) is PEER
    assert route("nobody@/s1", None, AGENT, table, back=LOCAL, pin="s2") is LOCAL


def test_rule_1_a_pinned_call_goes_to_that_sentinel_and_no_nearer_one(table: RouteTable) -> None:
    table.bind(MATH, AGENT)
    assert route(MATH, None, CLIENT, table, pin="s3") is FAR
    assert route(None, ["op:add"], CLIENT, table, pin="s3") is FAR


def test_rule_1_a_call_pinned_to_a_sentinel_nobody_knows_goes_nowhere(table: RouteTable) -> None:
    table.bind(MATH, AGENT)
    table.bind("/", PLAIN_PARENT)
    assert is_dropped(route(MATH, None, CLIENT, table, pin="s9"), "s9, which had a provider, is gone")


def test_rule_1_a_call_pinned_to_this_sentinel_goes_to_one_of_its_own_providers(table: RouteTable) -> None:
    table.balance = "round_robin"
    for way in (AGENT, NEAR, FAR):
        table.bind("math@*.fame.fabric", way)
        table.advertise("op:add", MATH, way)
    for _ in range(4):
        assert route("math@fame.fabric", None, PEER, table, pin="s1") is AGENT
        assert route(None, ["op:add"], PEER, table, pin="s1") is AGENT


def test_rule_2_a_capability_leads_to_its_provider(table: RouteTable) -> None:
    table.advertise("op:add", MATH, AGENT)
    assert route(None, ["op:add"], CLIENT, table) is AGENT


def test_rule_2_capabilities_do_not_count_beside_an_address(table: RouteTable) -> None:
    table.advertise("op:add", MATH, AGENT)
    assert is_dropped(route("other@fame.fabric", ["op:add"], CLIENT, table), "other@fame.fabric")


def test_rule_2_a_capability_nobody_offers_goes_to_a_plain_parent(table: RouteTable) -> None:
    table.bind("/", PLAIN_PARENT)
    assert route(None, ["op:add"], CLIENT, table) is PLAIN_PARENT


def test_rule_2_a_session_key_chooses_the_provider(table: RouteTable) -> None:
    table.balance = "sticky"
    for way in (AGENT, CLIENT, NEAR, FAR):
        table.advertise("op:add", MATH, way)
        table.bind("math@*.fame.fabric", way)
    for to, capabilities in ((None, ["op:add"]), ("math@fame.fabric", None)):
        chosen = {key: route(to, capabilities, LOCAL, table, key=key) for key in "abcdefgh"}
        assert chosen == {key: route(to, capabilities, LOCAL, table, key=key) for key in "abcdefgh"}
        assert len(set(map(repr, chosen.values()))) > 1


@pytest.mark.parametrize("nearest", [LOCAL, AGENT, NEAR, FAR, PLAIN_PEER])
def test_rule_3_a_name_leads_to_its_nearest_owner(table: RouteTable, nearest: Way) -> None:
    table.bind("/", PLAIN_PARENT)
    owners = [LOCAL, AGENT, NEAR, FAR, PLAIN_PEER]
    for owner in owners[owners.index(nearest) :]:
        table.bind(MATH, owner)
    assert route(MATH, None, CLIENT, table) is nearest


def test_rule_3_an_exact_address_comes_before_a_pool(table: RouteTable) -> None:
    table.bind("math1@*.fabric", LOCAL)
    table.bind(MATH, FAR)
    assert route(MATH, None, CLIENT, table) is FAR
    assert route("math1@other.fabric", None, CLIENT, table) is LOCAL


def test_rule_3_an_owner_out_of_reach_is_passed_over(table: RouteTable) -> None:
    table.bind(MATH, LOST)
    assert is_dropped(route(MATH, None, CLIENT, table), f"nobody serves {MATH}")
    table.bind(MATH, FAR)
    assert route(MATH, None, CLIENT, table) is FAR


def test_rule_4_a_path_leads_here_or_down_or_to_a_neighbour_or_into_the_mesh(table: RouteTable) -> None:
    assert route("__sys__@/s1", None, CLIENT, table) is LOCAL
    assert route("x@/s1/a1", None, CLIENT, table) is AGENT
    assert route("x@/n1/a2", None, CLIENT, table) is PLAIN_PEER
    assert route("x@/s2/a2", None, CLIENT, table) is NEAR
    assert route("x@/s3", None, CLIENT, table) is FAR


def test_rule_5_an_unknown_name_at_this_node_goes_nowhere_not_even_up(table: RouteTable) -> None:
    table.bind("/", PLAIN_PARENT)
    assert is_dropped(route("nobody@/s1", None, CLIENT, table), "nothing called nobody@/s1 at this node")


def test_rule_6_what_nobody_is_known_to_have_goes_up(table: RouteTable) -> None:
    table.bind("/", PLAIN_PARENT)
    assert route(MATH, None, CLIENT, table) is PLAIN_PARENT
    assert route("x@/elsewhere", None, CLIENT, table) is PLAIN_PARENT


def test_rule_6_a_sentinel_that_has_a_plain_parent_stands_for_it(table: RouteTable) -> None:
    table.bind("/", FAR)
    assert route(MATH, None, CLIENT, table) is FAR


def test_rule_6_nothing_goes_back_up(table: RouteTable) -> None:
    table.bind("/", PLAIN_PARENT)
    assert is_dropped(route(MATH, None, PLAIN_PARENT, table), MATH)


def test_rule_6_a_parent_of_ours_is_no_default(table: RouteTable) -> None:
    table.attach(Link(6, LinkKind.PARENT, remote_id="root", extensions=frozenset({"mesh"})))
    assert is_dropped(route(MATH, None, CLIENT, table), MATH)


def test_rule_7_without_a_default_there_is_nowhere_to_go(table: RouteTable) -> None:
    assert is_dropped(route(MATH, None, CLIENT, table), f"nobody serves {MATH}")


def test_the_refusal_names_what_was_wanted(table: RouteTable) -> None:
    assert is_dropped(route(None, ["a", "b"], CLIENT, table), "nobody offers a and b")
    assert is_dropped(route(None, None, CLIENT, table), "nobody offers what has no name")
    assert is_dropped(route(None, [], CLIENT, table), "nobody offers what has no name")


def test_a_route_is_never_sent_back_where_it_came_from(table: RouteTable) -> None:
    table.bind(MATH, AGENT)
    table.bind("far@fame.fabric", FAR)
    table.advertise("op:add", MATH, AGENT)
    assert isinstance(route(MATH, None, AGENT, table), Drop)
    assert isinstance(route("far@fame.fabric", None, PEER, table), Drop)
    assert isinstance(route("x@/s1/a1", None, AGENT, table), Drop)
    assert isinstance(route("x@/n1/a2", None, PLAIN_PEER, table), Drop)
    assert isinstance(route(None, ["op:add"], AGENT, table), Drop)


@pytest.mark.parametrize("to", ["x@/s2/a2", "x@/s3/a3"])
def test_a_path_is_never_sent_back_into_the_mesh_where_it_came_from(table: RouteTable, to: str) -> None:
    assert isinstance(route(to, None, PEER, table), Drop)


def test_a_pinned_call_is_never_sent_back_where_it_came_from(table: RouteTable) -> None:
    assert isinstance(route(MATH, None, PEER, table, pin="s3"), Drop)


def test_a_call_of_our_own_may_end_here(table: RouteTable) -> None:
    table.bind(MATH, LOCAL)
    assert route(MATH, None, LOCAL, table) is LOCAL


def test_what_is_no_address_is_refused(table: RouteTable) -> None:
    with pytest.raises(RemoteProtocolError):
        route("nonsense", None, CLIENT, table)
