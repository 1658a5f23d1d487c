"""The routing rules, one test each, in the order of the docstring of `route`."""

import pytest

from fame_cli.core.link import LOCAL, Link, LinkKind
from fame_cli.core.routing import Drop, route
from fame_cli.core.table import RouteTable
from fame_cli.errors import RemoteProtocolError

AGENT = Link(1, LinkKind.CHILD, remote_id="a1", segment="a1")
CLIENT = Link(2, LinkKind.CHILD, remote_id="c", segment="c")
PEER = Link(3, LinkKind.PEER, remote_id="s2", segment="s2")
PARENT = Link(4, LinkKind.PARENT, remote_id="root", segment="root")

MATH = "math1@fame.fabric"


@pytest.fixture
def table() -> RouteTable:
    """Be a sentinel with an agent, a client and a peer, and no parent."""
    table = RouteTable("/s1")
    table.local.add("__sys__")
    for link in (AGENT, CLIENT, PEER):
        table.attach(link)
    return table


def is_dropped(target: Link | Drop, reason: str) -> bool:
    return isinstance(target, Drop) and target.code == "NO_ROUTE" and reason in target.reason


def test_rule_0_a_capability_leads_to_its_provider(table: RouteTable) -> None:
    table.advertise("op:add", MATH, AGENT)
    assert route(None, ["op:add"], CLIENT, table) is AGENT


def test_rule_0_capabilities_do_not_count_beside_an_address(table: RouteTable) -> None:
    table.advertise("op:add", MATH, AGENT)
    assert is_dropped(route("other@fame.fabric", ["op:add"], CLIENT, table), "other@fame.fabric")


def test_rule_0_a_capability_nobody_offers_goes_to_the_parent(table: RouteTable) -> None:
    table.attach(PARENT)
    assert route(None, ["op:add"], CLIENT, table) is PARENT


@pytest.mark.parametrize("nearest", [LOCAL, AGENT, PEER])
def test_rule_1_a_name_leads_to_its_closest_owner(table: RouteTable, nearest: Link) -> None:
    table.attach(PARENT)
    owners = [LOCAL, AGENT, PEER]
    for owner in owners[owners.index(nearest) :]:
        table.bind(MATH, owner)
    assert route(MATH, None, CLIENT, table) is nearest


def test_rule_2_a_path_leads_here_or_down_or_to_a_peer(table: RouteTable) -> None:
    assert route("__sys__@/s1", None, CLIENT, table) is LOCAL
    assert route("x@/s1/a1", None, CLIENT, table) is AGENT
    assert route("x@/s2/a2", None, CLIENT, table) is PEER


def test_rule_3_an_unknown_name_at_this_node_goes_nowhere_not_even_up(table: RouteTable) -> None:
    table.attach(PARENT)
    assert is_dropped(route("nobody@/s1", None, CLIENT, table), "nothing called nobody@/s1 at this node")


def test_rule_4_what_nobody_here_knows_goes_up(table: RouteTable) -> None:
    table.attach(PARENT)
    assert route(MATH, None, CLIENT, table) is PARENT
    assert route("x@/elsewhere", None, CLIENT, table) is PARENT


def test_rule_4_nothing_goes_back_up(table: RouteTable) -> None:
    table.attach(PARENT)
    assert is_dropped(route(MATH, None, PARENT, table), MATH)


def test_rule_5_without_a_parent_there_is_nowhere_to_go(table: RouteTable) -> None:
    assert is_dropped(route(MATH, None, CLIENT, table), f"nobody serves {MATH}")


def test_the_refusal_names_what_was_wanted(table: RouteTable) -> None:
    assert is_dropped(route(None, ["a", "b"], CLIENT, table), "nobody serves a and b")
    assert is_dropped(route(None, None, CLIENT, table), "nobody serves an empty address")
    assert is_dropped(route(None, [], CLIENT, table), "nobody serves an empty address")


def test_a_route_is_never_sent_back_where_it_came_from(table: RouteTable) -> None:
    table.bind(MATH, AGENT)
    table.advertise("op:add", MATH, AGENT)
    assert isinstance(route(MATH, None, AGENT, table), Drop)
    assert isinstance(route("x@/s1/a1", None, AGENT, table), Drop)
    assert isinstance(route("x@/s2/a2", None, PEER, table), Drop)
    assert isinstance(route(None, ["op:add"], AGENT, table), Drop)


def test_a_call_of_our_own_may_end_here(table: RouteTable) -> None:
    table.bind(MATH, LOCAL)
    assert route(MATH, None, LOCAL, table) is LOCAL


def test_what_is_no_address_is_refused(table: RouteTable) -> None:
    with pytest.raises(RemoteProtocolError):
        route("nonsense", None, CLIENT, table)
