"""The route table: every verb and its undo, closeness, turns, and the same answers as a table that only has lists."""

import pytest
from core_rig import PROPERTY
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fame_cli.core import table as table_module
from fame_cli.core.address import parse, pool_matches
from fame_cli.core.link import LOCAL, Link, LinkKind
from fame_cli.core.table import Offer, RouteTable
from fame_cli.errors import RemoteProtocolError

CHILD = Link(1, LinkKind.CHILD, remote_id="a1", segment="a1")
OTHER_CHILD = Link(2, LinkKind.CHILD, remote_id="a2", segment="a2")
PEER = Link(3, LinkKind.PEER, remote_id="s2", segment="s2")
PARENT = Link(4, LinkKind.PARENT, remote_id="root", segment="root")
STRANGER = Link(5, LinkKind.CHILD, remote_id="c", segment="c")

MATH = "math1@fame.fabric"


def table_of_s1() -> RouteTable:
    table = RouteTable("/s1")
    table.local.add("__sys__")
    for link in (CHILD, OTHER_CHILD, PEER):
        table.attach(link)
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


def test_the_closest_owner_comes_first_and_then_the_oldest() -> None:
    table = table_of_s1()
    for link in (PARENT, PEER, OTHER_CHILD, CHILD, LOCAL):
        table.bind(MATH, link)
    assert table.links(MATH) == (LOCAL, OTHER_CHILD, CHILD, PEER, PARENT)


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


def test_a_pool_prefers_its_closest_members() -> None:
    table = table_of_s1()
    table.bind("math@*.fame.fabric", PEER)
    table.bind("math@*.fame.fabric", CHILD)
    assert {table.find("math@fame.fabric", STRANGER) for _ in range(4)} == {CHILD}


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
    assert table.links("math@*.b") == ()


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


def test_a_path_elsewhere_leads_to_the_peer_of_its_root() -> None:
    table = table_of_s1()
    assert table.find("x@/s2", STRANGER) is PEER
    assert table.find("x@/s2/a9", STRANGER) is PEER
    assert table.find("x@/s3", STRANGER) is None
    assert table.find("x@/", STRANGER) is None


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
    assert table.detach(link) == [MATH, ("cap", MATH)]
    assert (table.children, table.peers, table.parent) == ({}, {}, None)
    assert list(table.names()) == []
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


def test_the_closest_providers_take_turns() -> None:
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
    assert table.links(("a", "x@f")) == (CHILD,)
    assert table.withdraw("a", "x@f", CHILD)
    assert not table.withdraw("a", "x@f", CHILD)
    assert table.providers(["a"]) == []
    assert list(table.names()) == []
    assert not table._offers


def test_one_provider_of_two_may_withdraw() -> None:
    table = table_of_s1()
    table.advertise("a", "x@f", CHILD)
    table.advertise("a", "y@f", PEER)
    table.withdraw("a", "x@f", CHILD)
    assert table.providers(["a"]) == [("y@f", PEER)]


class TableModel(RuleBasedStateMachine):
    """Compare the table with plain lists of (name, link) pairs, in the order they were made."""

    links = st.sampled_from([LOCAL, CHILD, OTHER_CHILD, PEER, PARENT])
    addresses = st.sampled_from(["m@f", "m@x.f", "n@f", "m@*.f", "m@*.x.f", "n@*.f"])
    capabilities = st.sampled_from(["a", "b", "c"])

    @initialize()
    def begin(self) -> None:
        self.table = table_of_s1()
        self.table.attach(PARENT)
        self.pairs: list[tuple[str | Offer, Link]] = []

    def owners(self, name: str | Offer) -> list[Link]:
        closeness = [LinkKind.LOCAL, LinkKind.CHILD, LinkKind.PEER, LinkKind.PARENT]
        return sorted((link for n, link in self.pairs if n == name), key=lambda link: closeness.index(link.kind))

    def change(self, name: str | Offer, link: Link, changed: bool, *, present: bool) -> None:
        assert changed is (((name, link) in self.pairs) is not present)
        if changed and present:
            self.pairs.append((name, link))
        elif changed:
            self.pairs.remove((name, link))

    @rule(address=addresses, link=links)
    def bind(self, address: str, link: Link) -> None:
        self.change(address, link, self.table.bind(address, link), present=True)

    @rule(address=addresses, link=links)
    def unbind(self, address: str, link: Link) -> None:
        self.change(address, link, self.table.unbind(address, link), present=False)

    @rule(capability=capabilities, address=addresses, link=links)
    def advertise(self, capability: str, address: str, link: Link) -> None:
        changed = self.table.advertise(capability, address, link)
        self.change((capability, address), link, changed, present=True)

    @rule(capability=capabilities, address=addresses, link=links)
    def withdraw(self, capability: str, address: str, link: Link) -> None:
        changed = self.table.withdraw(capability, address, link)
        self.change((capability, address), link, changed, present=False)

    @rule(link=st.sampled_from([CHILD, OTHER_CHILD, PEER, PARENT]))
    def reconnect(self, link: Link) -> None:
        lost = self.table.detach(link)
        assert sorted(map(str, lost)) == sorted(str(name) for name, owner in self.pairs if owner is link)
        self.pairs = [pair for pair in self.pairs if pair[1] is not link]
        self.table.attach(link)

    @rule(to=st.sampled_from(["m@f", "m@x.f", "m@y.x.f", "n@f", "n@q.f", "o@f"]), origin=links)
    def find(self, to: str, origin: Link) -> None:
        found = self.table.find(to, origin)
        exact = [link for link in self.owners(to) if link is not origin or link is LOCAL]
        if exact:
            assert found is exact[0]
            return
        wanted = parse(to)
        members = [
            link
            for name, link in self.pairs
            if isinstance(name, str) and parse(name).is_pool
            if parse(name).participant == wanted.participant and pool_matches(parse(name).host, wanted.host)
            if link is not origin or link is LOCAL
        ]
        if not members:
            assert found is None
            return
        assert found in members
        assert found is not None
        assert not (found.kind is LinkKind.PEER and {CHILD, OTHER_CHILD} & set(members))
        assert not (found is not LOCAL and LOCAL in members)

    @rule(wanted=st.lists(capabilities, min_size=1, max_size=3))
    def look_for_providers(self, wanted: list[str]) -> None:
        offers = {(name[1], link) for name, link in self.pairs if isinstance(name, tuple)}
        expected = {(a, link) for a, link in offers if all(((c, a), link) in self.pairs for c in wanted)}
        assert set(self.table.providers(wanted)) == expected

    @invariant()
    def the_names_are_those_that_have_a_link(self) -> None:
        names = list(self.table.names())
        assert len(names) == len(set(names))
        assert set(names) == {name for name, _ in self.pairs}

    @invariant()
    def the_links_of_every_name_are_in_order(self) -> None:
        for name in {name for name, _ in self.pairs}:
            assert list(self.table.links(name)) == self.owners(name)


TestTableModel = TableModel.TestCase
TestTableModel.settings = settings(PROPERTY, max_examples=20, stateful_step_count=25)


def test_a_participant_is_found_as_soon_as_it_is_there_and_no_longer() -> None:
    table = table_of_s1()
    assert table.find("box@/s1", STRANGER) is None
    table.open_box("box")
    assert table.find("box@/s1", STRANGER) is LOCAL
    table.close_box("box")
    assert table.find("box@/s1", STRANGER) is None
