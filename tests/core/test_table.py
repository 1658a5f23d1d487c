"""The route table: every verb and its undo, nearness, turns, and the same answers as a table that only has lists."""

import pytest
from core_rig import PROPERTY
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fame_cli.core import table as table_module
from fame_cli.core.address import parse, pool_matches
from fame_cli.core.balance import is_eligible, rank
from fame_cli.core.link import LOCAL, Link, LinkKind, Origin, Way
from fame_cli.core.table import Name, RouteTable
from fame_cli.errors import RemoteProtocolError

CHILD = Link(1, LinkKind.CHILD, remote_id="a1", segment="a1")
OTHER_CHILD = Link(2, LinkKind.CHILD, remote_id="a2", segment="a2")
PEER = Link(3, LinkKind.PEER, remote_id="s2", segment="s2")
PARENT = Link(4, LinkKind.PARENT, remote_id="root", segment="root")
STRANGER = Link(5, LinkKind.CHILD, remote_id="c", segment="c")
MESH_PEER = Link(6, LinkKind.PEER, remote_id="s3", segment="s3", extensions=frozenset({"mesh"}))
NEAR = Origin("s3", link=MESH_PEER, distance=1)
FAR = Origin("s4", link=MESH_PEER, distance=2)
LOST = Origin("s9")
HEARSAY = Origin("s3", hearsay=True, link=MESH_PEER, distance=1)

MATH = "math1@fame.fabric"


def table_of_s1() -> RouteTable:
    table = RouteTable("/s1", "s1")
    table.local.add("__sys__")
    for link in (CHILD, OTHER_CHILD, PEER):
        table.attach(link)
    table.bind("/s2", PEER)
    return table


# Addresses


def test_a_bound_address_is_found_until_it_is_unbound() -> None:
    table = table_of_s1()
    assert table.bind(MATH, CHILD)
    assert table.find(MATH, STRANGER) is CHILD
    assert table.unbind(MATH, CHILD)
    assert table.find(MATH, STRANGER) is None


def test_binding_and_unbinding_twice_changes_nothing_the_second_time() -> None:
    table = table_of_s1()
    table.bind(MATH, CHILD)
    assert not table.bind(MATH, CHILD)
    table.unbind(MATH, CHILD)
    assert not table.unbind(MATH, CHILD)
    assert not table.unbind("never@bound", CHILD)


def test_only_the_owner_can_unbind() -> None:
    table = table_of_s1()
    table.bind(MATH, CHILD)
    assert not table.unbind(MATH, OTHER_CHILD)
    assert table.find(MATH, STRANGER) is CHILD


def test_the_nearest_owner_is_found_and_among_equals_the_oldest() -> None:
    table = table_of_s1()
    owners: list[Way] = [PARENT, PEER, HEARSAY, FAR, NEAR, OTHER_CHILD, CHILD, LOCAL]
    for owner in owners:
        table.bind(MATH, owner)
    assert table.ways(MATH) == tuple(owners)
    for nearest in (LOCAL, OTHER_CHILD, CHILD, NEAR, FAR, PEER, HEARSAY, PARENT):
        assert table.find(MATH, STRANGER) is nearest
        table.unbind(MATH, nearest)
    assert table.find(MATH, STRANGER) is None


def test_an_owner_out_of_reach_is_passed_over() -> None:
    table = table_of_s1()
    table.bind(MATH, LOST)
    assert table.find(MATH, STRANGER) is None
    table.bind(MATH, FAR)
    assert table.find(MATH, STRANGER) is FAR


def test_an_owner_beyond_the_asker_is_passed_over() -> None:
    table = table_of_s1()
    table.bind(MATH, NEAR)
    assert table.find(MATH, MESH_PEER) is None


def test_an_owner_that_asks_itself_gets_the_next_one() -> None:
    table = table_of_s1()
    table.bind(MATH, CHILD)
    table.bind(MATH, PEER)
    assert table.find(MATH, CHILD) is PEER
    assert table.find(MATH, PEER) is CHILD


def test_our_own_calls_may_end_at_our_own_bindings() -> None:
    table = table_of_s1()
    table.bind(MATH, LOCAL)
    assert table.find(MATH, LOCAL) is LOCAL


def test_what_is_no_address_is_neither_bound_nor_found() -> None:
    table = table_of_s1()
    with pytest.raises(RemoteProtocolError):
        table.bind("nonsense", CHILD)
    with pytest.raises(RemoteProtocolError):
        table.find("nonsense", CHILD)
    assert list(table.names()) == []


# Pools


def test_the_members_of_a_pool_take_turns() -> None:
    table = table_of_s1()
    for link in (CHILD, OTHER_CHILD):
        table.bind("math@*.fame.fabric", link)
    picked = [table.find("math@x.fame.fabric", STRANGER) for _ in range(4)]
    assert picked.count(CHILD) == picked.count(OTHER_CHILD) == 2


def test_a_pool_prefers_its_nearest_members() -> None:
    table = table_of_s1()
    table.bind("math@*.fame.fabric", PEER)
    table.bind("math@*.fame.fabric", CHILD)
    assert {table.find("math@fame.fabric", STRANGER) for _ in range(4)} == {CHILD}


@pytest.mark.parametrize("name", ["math@*.fame.fabric", "math@fame.fabric"])
def test_what_leads_only_back_to_one_asker_is_still_found_by_the_next(name: str) -> None:
    table = table_of_s1()
    table.bind(name, CHILD)
    assert table.find("math@fame.fabric", CHILD) is None
    assert table.find("math@fame.fabric", STRANGER) is CHILD
    assert table.find("math@fame.fabric", CHILD) is None


def test_a_pool_without_members_here_is_still_found_elsewhere() -> None:
    table = table_of_s1()
    table.bind("math@*.fame.fabric", NEAR)
    assert table.find("math@fame.fabric", STRANGER, here=True) is None
    assert table.find("math@fame.fabric", STRANGER) is NEAR


def test_a_pool_never_sends_back_to_the_asker() -> None:
    table = table_of_s1()
    table.bind("math@*.fame.fabric", CHILD)
    assert table.find("math@fame.fabric", CHILD) is None


def test_an_exact_address_wins_over_a_pool() -> None:
    table = table_of_s1()
    table.bind("math@*.fame.fabric", CHILD)
    table.bind("math@x.fame.fabric", PEER)
    assert table.find("math@x.fame.fabric", STRANGER) is PEER


def test_a_pool_of_another_name_does_not_count() -> None:
    table = table_of_s1()
    table.bind("math@*.fame.fabric", CHILD)
    assert table.find("text@x.fame.fabric", STRANGER) is None


def test_an_emptied_pool_is_gone() -> None:
    table = table_of_s1()
    table.bind("math@*.a", CHILD)
    table.bind("math@*.b", CHILD)
    table.unbind("math@*.a", CHILD)
    assert list(table.names()) == ["math@*.b"]
    table.unbind("math@*.b", CHILD)
    assert list(table.names()) == []
    assert not table._pools
    assert table.ways("math@*.b") == ()
    assert not table._pools


def test_a_member_out_of_reach_gets_no_calls() -> None:
    table = table_of_s1()
    for way in (LOST, FAR):
        table.bind("math@*.fame.fabric", way)
    assert {table.find("math@fame.fabric", STRANGER) for _ in range(4)} == {FAR}


def test_two_pools_called_alternately_each_give_all_members_their_turn() -> None:
    table = RouteTable("/s1")
    links = [Link(number, LinkKind.CHILD, remote_id=f"a{number}", segment=f"a{number}") for number in (1, 2)]
    for pool in ("x@*.d", "y@*.d"):
        for link in links:
            table.bind(pool, link)
    met = {(to, table.find(to, LOCAL)) for _ in range(2) for to in ("x@d", "y@d")}
    assert len(met) == 4


def test_a_member_of_two_pools_that_match_gets_one_turn() -> None:
    table = table_of_s1()
    for pool in ("math@*.fabric", "math@*.fame.fabric"):
        table.bind(pool, CHILD)
    table.bind("math@*.fame.fabric", OTHER_CHILD)
    picked = [table.find("math@x.fame.fabric", STRANGER) for _ in range(4)]
    assert picked.count(CHILD) == picked.count(OTHER_CHILD) == 2


def test_a_call_that_was_sent_here_is_served_by_this_node_or_its_neighbours() -> None:
    table = table_of_s1()
    table.balance = "round_robin"
    for way in (CHILD, NEAR, FAR):
        table.bind("math@*.fame.fabric", way)
        table.advertise("a", MATH, way)
    assert {table.find("math@fame.fabric", STRANGER) for _ in range(6)} == {CHILD, NEAR, FAR}
    assert {table.find("math@fame.fabric", STRANGER, here=True) for _ in range(6)} == {CHILD}
    assert {table.provider(["a"], STRANGER, here=True) for _ in range(6)} == {(MATH, CHILD)}


def test_a_session_key_chooses_the_same_member_every_time() -> None:
    table = table_of_s1()
    table.balance = "sticky"
    for way in (CHILD, OTHER_CHILD, NEAR, FAR):
        table.bind("math@*.fame.fabric", way)
        table.advertise("a", MATH, way)
    for key in "abcdefgh":
        assert len({table.find("math@fame.fabric", STRANGER, key) for _ in range(3)}) == 1
        assert len({table.provider(["a"], STRANGER, key) for _ in range(3)}) == 1
    assert len({table.find("math@fame.fabric", STRANGER, key) for key in "abcdefgh"}) > 1


def test_only_what_may_have_several_providers_is_spread() -> None:
    table = table_of_s1()
    table.bind("math@*.fame.fabric", CHILD)
    table.bind("math@x.fame.fabric", CHILD)
    assert table.is_spread("math@y.fame.fabric")
    assert table.is_spread(None)
    assert not table.is_spread("math@x.fame.fabric")
    assert not table.is_spread("text@y.fame.fabric")


# Paths


def test_a_path_below_ours_leads_to_the_child() -> None:
    table = table_of_s1()
    assert table.find("x@/s1/a1", STRANGER) is CHILD
    assert table.find("x@/s1/a1/deeper", STRANGER) is CHILD
    assert table.find("x@/s1/nobody", STRANGER) is None


def test_a_path_at_our_own_place_needs_a_local_name() -> None:
    table = table_of_s1()
    assert table.find("__sys__@/s1", STRANGER) is LOCAL
    assert table.find("nobody@/s1", STRANGER) is None


def test_a_path_elsewhere_leads_to_whoever_has_its_beginning() -> None:
    table = table_of_s1()
    assert table.find("x@/s2", STRANGER) is PEER
    assert table.find("x@/s2/a9", STRANGER) is PEER
    assert table.find("x@/s3", STRANGER) is None
    assert table.find("x@/", STRANGER) is None


def test_of_several_beginnings_of_a_path_the_longest_counts() -> None:
    table = table_of_s1()
    table.bind("/root", NEAR)
    table.bind("/root/s4", FAR)
    assert table.find("x@/root", STRANGER) is NEAR
    assert table.find("x@/root/s5", STRANGER) is NEAR
    assert table.find("x@/root/s4", STRANGER) is FAR
    assert table.find("x@/root/s4/a1", STRANGER) is FAR


def test_what_lies_below_this_node_is_not_looked_for_above_it() -> None:
    table = RouteTable("/root/s1")
    table.attach(CHILD)
    table.bind("/root", NEAR)
    assert table.find("x@/root/s1/a1", STRANGER) is CHILD
    assert table.find("x@/root/s1/a2", STRANGER) is None
    assert table.find("x@/root/s1", STRANGER) is None
    assert table.find("x@/root/s2", STRANGER) is NEAR


def test_a_sentinel_below_this_one_is_reached_by_the_path_it_offers() -> None:
    table = RouteTable("/root/s1")
    table.bind("/root/s1/s4", FAR)
    assert table.find("x@/root/s1/s4", STRANGER) is FAR
    assert table.find("x@/root/s1/s4/a1", STRANGER) is FAR


def test_of_two_that_have_a_path_the_nearer_is_found_and_one_out_of_reach_is_not() -> None:
    table = table_of_s1()
    table.bind("/s4", LOST)
    assert table.find("x@/s4/a1", STRANGER) is None
    table.bind("/s4", FAR)
    table.bind("/s4", NEAR)
    assert table.find("x@/s4/a1", STRANGER) is NEAR


def test_a_path_can_be_given_back() -> None:
    table = table_of_s1()
    assert not table.bind("/s2", PEER)
    assert table.unbind("/s2", PEER)
    assert not table.unbind("/s2", PEER)
    assert table.find("x@/s2", STRANGER) is None
    assert list(table.paths()) == []


def test_paths_are_no_names() -> None:
    table = table_of_s1()
    table.bind(MATH, CHILD)
    assert list(table.names()) == [MATH]
    assert list(table.paths()) == ["/s2"]


def test_the_default_is_our_own_parent_or_the_nearest_that_has_one() -> None:
    table = table_of_s1()
    assert table.default(STRANGER) is None
    for way in (LOST, FAR, NEAR, PARENT):
        table.bind("/", way)
    assert table.default(STRANGER) is PARENT
    table.unbind("/", PARENT)
    assert table.default(STRANGER) is NEAR


def test_the_default_does_not_lead_back() -> None:
    table = table_of_s1()
    for way in (FAR, PARENT):
        table.bind("/", way)
    assert table.default(PARENT) is FAR
    table.unbind("/", PARENT)
    assert table.default(MESH_PEER) is None


def test_the_default_is_no_path_of_an_address() -> None:
    table = table_of_s1()
    table.bind("/", PARENT)
    assert table.find("x@/elsewhere", STRANGER) is None


def test_a_sentinel_whose_name_begins_like_ours_is_another_one() -> None:
    table = table_of_s1()
    assert table.find("x@/s11/a1", STRANGER) is None


def test_children_of_a_sentinel_below_another_are_found_by_their_own_segment() -> None:
    table = RouteTable("/root/s1")
    table.attach(CHILD)
    assert table.find("x@/root/s1/a1", STRANGER) is CHILD
    assert table.find("x@/root", STRANGER) is None


def test_a_node_without_a_path_has_no_children_and_no_place() -> None:
    table = RouteTable()
    assert table.find("x@/s1", STRANGER) is None


def test_a_name_with_a_host_and_a_path_falls_back_to_the_path() -> None:
    assert table_of_s1().find("x@fame.fabric/s1/a1", STRANGER) is CHILD


def test_an_address_lies_here_when_its_path_is_ours() -> None:
    table = table_of_s1()
    assert table.is_here("anything@/s1")
    assert not table.is_here("anything@/s1/a1")
    assert not table.is_here("anything@fame.fabric/s1")


def test_resolved_paths_are_remembered_until_the_table_changes() -> None:
    table = table_of_s1()
    assert table.find("x@/s1/c", CHILD) is None
    table.attach(STRANGER)
    assert table.find("x@/s1/c", CHILD) is STRANGER
    assert table.find("x@/s1/c", CHILD) is STRANGER
    table.move("/s9")
    assert table.find("x@/s1/c", CHILD) is None


def test_a_remembered_miss_or_way_ends_with_the_change_that_makes_it_wrong() -> None:
    table = table_of_s1()
    assert table.find("math@x.fame.fabric", STRANGER) is None
    table.bind("math@*.fame.fabric", CHILD)
    assert table.find("math@x.fame.fabric", STRANGER) is CHILD
    assert table.find("x@/s1/a2", STRANGER) is OTHER_CHILD
    table.detach(OTHER_CHILD)
    assert table.find("x@/s1/a2", STRANGER) is None


def test_no_more_paths_are_remembered_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_module, "MAX_CACHED", 3)
    table = table_of_s1()
    for number in range(10):
        table.find(f"x@/s1/n{number}", CHILD)
    assert len(table._cache) <= 3


# Neighbours


@pytest.mark.parametrize("link", [CHILD, PEER, PARENT])
def test_a_detached_neighbour_leaves_no_way_behind(link: Link) -> None:
    table = RouteTable("/s1")
    table.attach(link)
    table.bind(MATH, link)
    table.advertise("cap", MATH, link)
    table.bind("/", link)
    assert table.detach(link) == [MATH, ("cap", MATH), "/"]
    assert (table.children, table.peers, table.parent) == ({}, {}, None)
    assert list(table.names()) == list(table.paths()) == []
    assert table.detach(link) == []


def test_a_replaced_link_takes_nothing_from_its_successor() -> None:
    table = RouteTable("/s1")
    table.attach(CHILD)
    successor = Link(9, LinkKind.CHILD, remote_id="a1", segment="a1")
    table.attach(successor)
    table.bind(MATH, successor)
    table.detach(CHILD)
    assert table.find("x@/s1/a1", STRANGER) is successor
    assert table.find(MATH, STRANGER) is successor


def test_this_node_itself_is_no_neighbour() -> None:
    table = RouteTable("/s1")
    table.attach(LOCAL)
    assert (table.children, table.peers, table.parent) == ({}, {}, None)


# Capabilities


def test_a_provider_must_offer_all_of_the_capabilities() -> None:
    table = table_of_s1()
    for capability, address, link in (("a", "x@f", CHILD), ("b", "x@f", CHILD), ("a", "y@f", OTHER_CHILD)):
        table.advertise(capability, address, link)
    assert table.provider(["a", "b"], STRANGER) == ("x@f", CHILD)
    assert table.provider(["a", "b", "c"], STRANGER) is None


def test_two_addresses_that_share_the_capabilities_between_them_are_no_provider() -> None:
    table = table_of_s1()
    table.advertise("a", "x@f", CHILD)
    table.advertise("b", "y@f", CHILD)
    assert table.provider(["a", "b"], STRANGER) is None


def test_nobody_provides_nothing() -> None:
    table = table_of_s1()
    table.advertise("a", "x@f", CHILD)
    assert table.provider([], STRANGER) is None


def test_a_capability_asked_for_twice_counts_once() -> None:
    table = table_of_s1()
    table.advertise("a", "x@f", CHILD)
    assert table.providers(["a", "a"]) == [("x@f", CHILD)]


def test_the_nearest_providers_take_turns() -> None:
    table = table_of_s1()
    for address, link in (("x@f", CHILD), ("y@f", OTHER_CHILD), ("z@f", PEER)):
        table.advertise("a", address, link)
    picked = [table.provider(["a"], STRANGER) for _ in range(4)]
    assert picked.count(("x@f", CHILD)) == picked.count(("y@f", OTHER_CHILD)) == 2


def test_a_provider_is_never_asked_by_itself_over_its_link() -> None:
    table = table_of_s1()
    table.advertise("a", "x@f", CHILD)
    assert table.provider(["a"], CHILD) is None
    table.advertise("a", "y@f", LOCAL)
    assert table.provider(["a"], LOCAL) == ("y@f", LOCAL)


def test_a_withdrawn_capability_is_gone() -> None:
    table = table_of_s1()
    assert table.advertise("a", "x@f", CHILD)
    assert not table.advertise("a", "x@f", CHILD)
    assert table.ways(("a", "x@f")) == (CHILD,)
    assert table.withdraw("a", "x@f", CHILD)
    assert not table.withdraw("a", "x@f", CHILD)
    assert table.providers(["a"]) == []
    assert list(table.names()) == []
    assert table.ways(("a", "x@f")) == ()
    assert not table._offers


def test_one_provider_of_two_may_withdraw() -> None:
    table = table_of_s1()
    table.advertise("a", "x@f", CHILD)
    table.advertise("a", "y@f", PEER)
    table.withdraw("a", "x@f", CHILD)
    assert table.providers(["a"]) == [("y@f", PEER)]


def test_providers_are_listed_nearest_first_and_only_those_within_reach() -> None:
    table = table_of_s1()
    for way in (PEER, LOST, FAR, HEARSAY, NEAR, CHILD):
        table.advertise("a", MATH, way)
    assert [way for _, way in table.providers(["a"])] == [CHILD, NEAR, FAR, PEER, HEARSAY]
    assert [way for _, way in table.providers(["a"], MESH_PEER)] == [CHILD, PEER]


class TableModel(RuleBasedStateMachine):
    """Compare the table with plain lists of (name, way) pairs, in the order they were made."""

    links = st.sampled_from([LOCAL, CHILD, OTHER_CHILD, PEER, PARENT, MESH_PEER])
    owners_of_names = st.sampled_from([LOCAL, CHILD, OTHER_CHILD, PEER, PARENT, NEAR, FAR, HEARSAY, LOST])
    paths = st.sampled_from(["/s2", "/s2/a", "/s3"])
    addresses = st.sampled_from(["m@f", "m@x.f", "n@f", "m@*.f", "m@*.x.f", "n@*.f"])
    capabilities = st.sampled_from(["a", "b", "c"])

    @initialize()
    def begin(self) -> None:
        self.table = table_of_s1()
        self.table.attach(PARENT)
        self.pairs: list[tuple[Name, Way]] = [("/s2", PEER)]

    def owners(self, name: Name) -> list[Way]:
        return [way for n, way in self.pairs if n == name]

    def change(self, name: Name, way: Way, changed: bool, *, present: bool) -> None:
        assert changed is (((name, way) in self.pairs) is not present)
        if changed and present:
            self.pairs.append((name, way))
        elif changed:
            self.pairs.remove((name, way))

    @rule(name=addresses | paths, way=owners_of_names)
    def bind(self, name: str, way: Way) -> None:
        self.change(name, way, self.table.bind(name, way), present=True)

    @rule(name=addresses | paths, way=owners_of_names)
    def unbind(self, name: str, way: Way) -> None:
        self.change(name, way, self.table.unbind(name, way), present=False)

    @rule(capability=capabilities, address=addresses, way=owners_of_names)
    def advertise(self, capability: str, address: str, way: Way) -> None:
        changed = self.table.advertise(capability, address, way)
        self.change((capability, address), way, changed, present=True)

    @rule(capability=capabilities, address=addresses, way=owners_of_names)
    def withdraw(self, capability: str, address: str, way: Way) -> None:
        changed = self.table.withdraw(capability, address, way)
        self.change((capability, address), way, changed, present=False)

    @rule(link=st.sampled_from([CHILD, OTHER_CHILD, PEER, PARENT]))
    def reconnect(self, link: Link) -> None:
        lost = self.table.detach(link)
        assert sorted(map(str, lost)) == sorted(str(name) for name, owner in self.pairs if owner is link)
        self.pairs = [pair for pair in self.pairs if pair[1] is not link]
        self.table.attach(link)

    @rule(to=st.sampled_from(["m@f", "m@x.f", "m@y.x.f", "n@f", "n@q.f", "o@f"]), origin=links)
    def find(self, to: str, origin: Link) -> None:
        found = self.table.find(to, origin)
        exact = [way for way in self.owners(to) if is_eligible(way, origin)]
        if exact:
            assert found is min(exact, key=rank)
            return
        wanted = parse(to)
        members = [
            way
            for name, way in self.pairs
            if isinstance(name, str) and not name.startswith("/") and parse(name).is_pool
            if parse(name).participant == wanted.participant and pool_matches(parse(name).host, wanted.host)
            if is_eligible(way, origin)
        ]
        if not members:
            assert found is None
            return
        assert found in members
        assert found is not None
        assert rank(found)[:2] == min(rank(way)[:2] for way in members)

    @rule(to=st.sampled_from(["x@/s2", "x@/s2/a", "x@/s2/a/b", "x@/s3"]), origin=links)
    def find_by_path(self, to: str, origin: Link) -> None:
        path = parse(to).path
        while path and not any(is_eligible(way, LOCAL) for way in self.owners(path)):
            path = path.rpartition("/")[0]
        expected = [way for way in self.owners(path) if is_eligible(way, LOCAL)]
        assert self.table.find(to, origin) is min(expected, key=rank, default=None)

    @rule(wanted=st.lists(capabilities, min_size=1, max_size=3), origin=links)
    def look_for_providers(self, wanted: list[str], origin: Link) -> None:
        offers = {(name[1], way) for name, way in self.pairs if isinstance(name, tuple) and is_eligible(way, origin)}
        expected = {(a, way) for a, way in offers if all(((c, a), way) in self.pairs for c in wanted)}
        assert set(self.table.providers(wanted, origin)) == expected

    @invariant()
    def the_names_are_those_that_have_a_way(self) -> None:
        names = [*self.table.names(), *self.table.paths()]
        assert len(names) == len(set(names))
        assert set(names) == {name for name, _ in self.pairs}

    @invariant()
    def the_ways_of_every_name_are_in_order(self) -> None:
        for name in {name for name, _ in self.pairs}:
            assert list(self.table.ways(name)) == self.owners(name)


TestTableModel = TableModel.TestCase
TestTableModel.settings = settings(PROPERTY, max_examples=20, stateful_step_count=25)


def test_a_participant_is_found_as_soon_as_it_is_there_and_no_longer() -> None:
    table = table_of_s1()
    assert table.find("box@/s1", STRANGER) is None
    table.open_box("box")
    assert table.find("box@/s1", STRANGER) is LOCAL
    table.close_box("box")
    assert table.find("box@/s1", STRANGER) is None
