"""Records of the mesh: whoever gets deltas ends with what the owner has, wherever they came from and in what pieces."""

import random
from itertools import pairwise

import pytest
from core_rig import PROPERTY
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fame_cli.core import record as record_module
from fame_cli.core import section as section_module
from fame_cli.core.envelope import encode_json
from fame_cli.core.frames import MeshDelta, MeshRecord
from fame_cli.core.link import Link, LinkKind, Origin
from fame_cli.core.record import BOUND, HEARSAY, NOTHING, Mesh, Record
from fame_cli.core.section import Section

PLENTY = 10**6
"""Bytes that hold any delta of these tests in one piece."""


def section_of(**values: int) -> Section:
    """Make a section as its owner does; its version is the number of names."""
    section = Section()
    for name, value in values.items():
        section.put(name, value, 0.0)
    return section


def many(count: int, prefix: str = "name") -> dict[str, int]:
    return {f"{prefix}{number:03}": 1 for number in range(count)}


def copy_of(owner: Section) -> Section:
    """Make the section of a relay that has got everything."""
    copy = Section()
    feed(copy, owner)
    return copy


def feed(receiver: Section, sender: Section, most_bytes: int = PLENTY) -> None:
    """Give a receiver all it lacks."""
    for delta in list(sender.deltas(receiver.version, most_bytes)):
        receiver.apply(delta, 1.0)


# What the owner does


def test_a_fresh_section_is_empty_and_has_version_0() -> None:
    section = Section()
    assert (section.version, len(section), dict(section.items()), "a" in section) == (0, 0, {}, False)


def test_every_change_is_a_version() -> None:
    section = section_of(a=1, b=2)
    assert section.put("a", 3, 0.0)
    assert section.put("b", None, 0.0)
    assert (section.version, dict(section.items()), len(section)) == (4, {"a": 3}, 1)
    assert (section.get("a"), section.get("b"), section.get("c")) == (3, None, None)


@pytest.mark.parametrize(("name", "value"), [("a", 1), ("b", None), ("c", None)])
def test_what_changes_nothing_is_no_version(name: str, value: int | None) -> None:
    section = section_of(a=1, b=2)
    section.put("b", None, 0.0)
    assert not section.put(name, value, 0.0)
    assert section.version == 3


def test_a_name_is_as_old_as_it_has_been_there_without_a_break() -> None:
    section = Section()
    section.put("a", 1, 1.0)
    section.put("a", 2, 2.0)
    assert section.since("a") == 1.0
    section.put("a", None, 3.0)
    section.put("a", 1, 4.0)
    assert section.since("a") == 4.0


def test_the_age_of_a_name_that_was_never_there_is_an_error() -> None:
    with pytest.raises(KeyError):
        Section().since("a")


# One delta


def test_a_newcomer_gets_the_whole_set_without_what_is_gone() -> None:
    owner = section_of(a=1, b=2, c=3)
    owner.put("b", None, 0.0)
    assert list(owner.deltas(0, PLENTY)) == [MeshDelta(base=0, version=4, put={"a": 1, "c": 3})]


def test_who_is_behind_gets_what_he_lacks_and_what_is_gone() -> None:
    owner = section_of(a=1, b=2, c=3)
    owner.put("a", None, 0.0)
    owner.put("b", 5, 0.0)
    assert list(owner.deltas(3, PLENTY)) == [MeshDelta(base=3, version=5, put={"b": 5}, drop=["a"])]


@pytest.mark.parametrize("known", [3, 4])
def test_who_lacks_nothing_gets_nothing(known: int) -> None:
    assert list(section_of(a=1, b=2, c=3).deltas(known, PLENTY)) == []


def test_a_delta_says_what_changed() -> None:
    receiver = section_of(a=1, b=2)
    assert receiver.apply(MeshDelta(base=2, version=9, put={"a": 5, "c": 3}, drop=["b", "d"]), 1.0) == {
        "a": (1, 5),
        "b": (2, None),
        "c": (None, 3),
    }
    assert (receiver.version, dict(receiver.items())) == (9, {"a": 5, "c": 3})


def test_a_whole_set_drops_what_is_not_in_it() -> None:
    receiver = section_of(a=1, b=2)
    assert receiver.apply(MeshDelta(base=0, version=9, put={"b": 2, "c": 3}), 1.0) == {"a": (1, None), "c": (None, 3)}
    assert (receiver.version, dict(receiver.items())) == (9, {"b": 2, "c": 3})


def test_an_empty_set_is_a_set_too() -> None:
    receiver = section_of(a=1)
    assert receiver.apply(MeshDelta(base=0, version=9), 1.0) == {"a": (1, None)}
    assert (receiver.version, len(receiver)) == (9, 0)


@pytest.mark.parametrize(
    "delta",
    [
        pytest.param(MeshDelta(base=1, version=2, put={"a": 9}), id="known already"),
        pytest.param(MeshDelta(base=1, version=3, put={"a": 9}), id="the same version"),
        pytest.param(MeshDelta(base=0, version=3, put={"z": 9}), id="a whole set of the same version"),
        pytest.param(MeshDelta(base=0, version=1, final=3, put={"z": 9}), id="a piece of a set of the same version"),
        pytest.param(MeshDelta(base=4, version=5, put={"a": 9}), id="a gap"),
        pytest.param(MeshDelta(base=-3, version=-2, put={"a": 9}), id="below nothing"),
    ],
)
def test_what_is_old_or_does_not_fit_changes_nothing(delta: MeshDelta) -> None:
    receiver = section_of(a=1, b=2, c=3)
    assert receiver.apply(delta, 1.0) is None
    assert (receiver.version, dict(receiver.items())) == (3, {"a": 1, "b": 2, "c": 3})


def test_a_delta_from_further_back_fits_too() -> None:
    owner, receiver = section_of(a=1, b=2, c=3), section_of(a=1, b=2)
    [delta] = owner.deltas(1, PLENTY)
    assert receiver.apply(delta, 1.0) == {"c": (None, 3)}


def test_a_delta_repeated_does_no_harm() -> None:
    owner, receiver = section_of(a=1, b=2, c=3), Section()
    [delta] = owner.deltas(0, PLENTY)
    receiver.apply(delta, 1.0)
    assert receiver.apply(delta, 1.0) is None
    assert dict(receiver.items()) == dict(owner.items())


# Memory of what is gone


def test_few_dropped_names_are_remembered_however_few_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(section_module, "MOST_DROPPED", 3)
    owner = section_of(a=1, b=2, c=3)
    for name in "abc":
        owner.put(name, None, 0.0)
    assert list(owner.deltas(3, PLENTY)) == [MeshDelta(base=3, version=6, drop=["a", "b", "c"])]


def test_who_is_further_behind_than_what_is_remembered_gets_the_whole_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(section_module, "MOST_DROPPED", 2)
    owner = section_of(a=1, b=2, c=3, d=4)
    for name in "abc":
        owner.put(name, None, 0.0)
    assert list(owner.deltas(6, PLENTY)) == [MeshDelta(base=0, version=7, put={"d": 4})]


def test_who_has_the_version_that_is_the_last_to_be_told_apart_gets_what_he_lacks() -> None:
    owner = section_of(a=1, b=2)
    relay = copy_of(owner)
    assert relay.floor == 2
    owner.put("c", 3, 0.0)
    feed(relay, owner)
    assert list(relay.deltas(2, PLENTY)) == [MeshDelta(base=2, version=3, put={"c": 3})]


def test_as_many_dropped_names_are_remembered_as_there_are_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(section_module, "MOST_DROPPED", 0)
    owner = section_of(**many(10))
    for name in many(5):
        owner.put(name, None, 0.0)
    [delta] = owner.deltas(10, PLENTY)
    assert (delta.base, delta.drop) == (10, list(many(5)))


def test_a_name_that_came_and_went_is_still_told_to_be_gone_to_who_may_have_it() -> None:
    """One relay has seen it come, another one neither its coming nor its going, but the latter tells the former."""
    owner = section_of(a=1)
    relay = copy_of(owner)
    owner.put("x", 1, 0.0)
    witness = copy_of(owner)
    owner.put("x", None, 0.0)
    feed(relay, owner)
    feed(witness, relay)
    assert (witness.version, dict(witness.items())) == (3, {"a": 1})


# Pieces


def test_a_large_delta_comes_in_pieces_that_follow_on_each_other() -> None:
    owner = section_of(**many(12))
    pieces = list(owner.deltas(2, 150))
    assert len(pieces) > 1
    assert pieces[0].base == 2
    assert [piece.base for piece in pieces[1:]] == [piece.version for piece in pieces[:-1]]
    assert pieces[-1].version == 12
    receiver = section_of(**many(2))
    for piece in pieces:
        receiver.apply(piece, 1.0)
    assert dict(receiver.items()) == dict(owner.items())


@pytest.mark.parametrize("name", ["plain", "日本語の名前", "\x01\x02\x03\x04\x05", '"quoted"', "\U0001f600" * 8])
def test_no_piece_takes_more_bytes_than_it_may(name: str) -> None:
    owner = section_of(**{f"{name}{number}": 2**53 for number in range(40)})
    for piece in owner.deltas(1, 600):
        assert len(encode_json(piece.put)) <= 602  # with the braces


def test_an_entry_that_is_too_large_makes_a_piece_of_its_own() -> None:
    owner = section_of(**{"a": 1, "b" * 500: 1, "c": 1})
    assert [len(piece.put) for piece in owner.deltas(0, 100)] == [1, 1, 1]


def test_pieces_do_not_grow_from_relay_to_relay() -> None:
    """What a relay got in one piece it can't divide, so it doesn't add to it either."""
    owner = Section()
    relays = [Section() for _ in range(4)]
    for turn in range(12):
        for name in many(1 if turn % 2 else 10, f"turn{turn}-"):
            owner.put(name, 1, 0.0)
        feed(relays[0], owner, 400)
    for relay, following in pairwise(relays):
        feed(following, relay, 400)
    assert dict(relays[-1].items()) == dict(owner.items())
    assert all(len(encode_json(piece)) <= 500 for piece in relays[-1].deltas(0, 400))


def whole_pieces() -> tuple[Section, list[MeshDelta]]:
    """Return an owner's section at version 100 and it in pieces, as a newcomer gets it."""
    owner = section_of(**many(90), old=1)
    for number in range(9):
        owner.put("old", number + 2, 0.0)
    pieces = list(owner.deltas(0, 600))
    assert len(pieces) > 3
    assert pieces[0].version < 50
    return owner, pieces


def test_a_whole_set_in_pieces_takes_the_place_of_a_version_between_them() -> None:
    owner, pieces = whole_pieces()
    receiver = Section()
    receiver.apply(MeshDelta(base=0, version=50, put={"gone": 1, "name001": 7}), 1.0)
    for piece in pieces:
        receiver.apply(piece, 1.0)
    assert (receiver.version, dict(receiver.items())) == (100, dict(owner.items()))


def test_until_a_whole_set_is_complete_what_there_was_stays_in_use() -> None:
    _, pieces = whole_pieces()
    receiver = section_of(gone=1)
    for piece in pieces[:-1]:
        assert not receiver.apply(piece, 1.0)
        assert (receiver.version, dict(receiver.items())) == (1, {"gone": 1})
    changes = receiver.apply(pieces[-1], 1.0)
    assert changes is not None
    assert (len(changes), changes["gone"], changes["name000"]) == (92, (1, None), (None, 1))


def test_half_a_set_is_not_handed_on() -> None:
    _, pieces = whole_pieces()
    relay = Section()
    relay.apply(pieces[0], 1.0)
    assert list(relay.deltas(0, PLENTY)) == []


def test_a_piece_that_comes_twice_does_no_harm() -> None:
    owner, pieces = whole_pieces()
    receiver = Section()
    for piece in pieces[:2] + pieces[:2] + pieces[1:]:
        receiver.apply(piece, 1.0)
    assert dict(receiver.items()) == dict(owner.items())


def test_pieces_that_overlap_are_handed_on_in_their_order() -> None:
    """Two senders divide the same set differently."""
    owner, pieces = whole_pieces()
    others = list(owner.deltas(0, 500))
    assert {piece.version for piece in others[:-1]}.isdisjoint(piece.version for piece in pieces[:-1])
    relay = Section()
    for piece in (pieces[0], *others[1:]):
        relay.apply(piece, 1.0)
    handed_on = list(relay.deltas(0, 300))
    assert [piece.base for piece in handed_on[1:]] == [piece.version for piece in handed_on[:-1]]
    assert [piece.version for piece in handed_on] == sorted({piece.version for piece in handed_on})
    assert dict(copy_of(relay).items()) == dict(owner.items())


def test_a_set_with_a_piece_missing_is_not_taken() -> None:
    _, pieces = whole_pieces()
    receiver = Section()
    for piece in [pieces[0], *pieces[2:]]:
        receiver.apply(piece, 1.0)
    assert (receiver.version, len(receiver)) == (0, 0)


def test_news_from_elsewhere_is_taken_while_a_set_is_on_its_way() -> None:
    """The pieces leave out what is gone, so they must not be mixed with anything but themselves."""
    owner, pieces = whole_pieces()
    receiver = Section()
    receiver.apply(MeshDelta(base=0, version=20, put={"name000": 1}), 1.0)
    receiver.apply(pieces[0], 1.0)
    receiver.apply(MeshDelta(base=20, version=92, put={"x": 1}), 1.0)
    assert receiver.version == 92
    for piece in pieces[1:]:
        receiver.apply(piece, 1.0)
    assert (receiver.version, dict(receiver.items())) == (100, dict(owner.items()))


def test_pieces_of_two_sets_are_not_mixed() -> None:
    owner = section_of(**many(40), x=1)
    early = list(owner.deltas(0, 300))
    owner.put("x", None, 0.0)
    owner.put("y", 1, 0.0)
    late = list(owner.deltas(0, 300))
    receiver = Section()
    for piece in (*early[:3], *late[:2], *early[3:], *late[2:]):
        receiver.apply(piece, 1.0)
    assert (receiver.version, dict(receiver.items())) == (owner.version, dict(owner.items()))


def test_a_set_that_is_never_completed_keeps_nobody_from_better_news() -> None:
    receiver = section_of(a=1)
    receiver.apply(MeshDelta(base=0, version=5, final=2**60, put={"z": 1}), 1.0)
    assert receiver.apply(MeshDelta(base=1, version=2, put={"b": 1}), 1.0) == {"b": (None, 1)}
    assert receiver.apply(MeshDelta(base=0, version=3, put={"b": 1}), 1.0) == {"a": (1, None)}


def test_a_set_that_is_outrun_by_other_news_is_given_up() -> None:
    _, pieces = whole_pieces()
    receiver = section_of(a=1)
    receiver.apply(pieces[0], 1.0)
    receiver.apply(MeshDelta(base=1, version=101, put={"b": 1}), 1.0)
    for piece in pieces[1:]:
        assert receiver.apply(piece, 1.0) is None
        assert not receiver.misses(piece)
    assert dict(receiver.items()) == {"a": 1, "b": 1}


def test_what_is_news_but_lacks_something_before_it_is_told_from_what_is_old() -> None:
    receiver = section_of(a=1, b=1)
    assert receiver.misses(MeshDelta(base=3, version=4, put={"a": 9}))
    assert receiver.misses(MeshDelta(base=1, version=3, final=4, put={"a": 9}))
    assert not receiver.misses(MeshDelta(base=2, version=4, put={"a": 9}))
    assert not receiver.misses(MeshDelta(base=1, version=2, put={"a": 9}))
    assert not receiver.misses(MeshDelta(base=1, version=2, final=2, put={"a": 9}))
    assert not receiver.misses(MeshDelta(base=0, version=3, final=4, put={"a": 9}))


# Any order, any pieces, any relays

NAMES = ["x", "y", "z"]
RELAYS = 3

who = st.integers(0, RELAYS - 1)


class Relays(RuleBasedStateMachine):
    """One owner and some relays that tell each other what they have, each message lost, late or twice as it comes."""

    @initialize()
    def begin(self) -> None:
        self.owner = Section()
        self.relays = [Section() for _ in range(RELAYS)]
        self.late: list[tuple[Section, MeshDelta]] = []

    @rule(name=st.sampled_from(NAMES), value=st.sampled_from([None, 1, 2]), receiver=who)
    def put(self, name: str, value: int | None, receiver: int) -> None:
        """Change a name, and tell one relay at once."""
        self.owner.put(name, value, 0.0)
        feed(self.relays[receiver], self.owner)

    @rule(count=st.sampled_from([3, 70]))
    def churn(self, count: int) -> None:
        for name in many(count, f"churn{self.owner.version}-"):
            self.owner.put(name, 1, 0.0)
            self.owner.put(name, None, 0.0)

    @rule(
        sender=st.integers(-1, RELAYS - 1),
        receiver=who,
        most=st.sampled_from([0, 60, PLENTY]),
        back=st.sampled_from([0, 2, 1000]),
        fates=st.lists(st.sampled_from(["now", "now", "late", "twice", "lost"]), max_size=6),
    )
    def tell(self, sender: int, receiver: int, most: int, back: int, fates: list[str]) -> None:
        """Give a relay what it seems to lack, as if it were `back` versions further behind."""
        source, to = self.owner if sender < 0 else self.relays[sender], self.relays[receiver]
        for number, delta in enumerate(list(source.deltas(max(0, to.version - back), most))):
            fate = fates[number] if number < len(fates) else "now"
            if fate in ("now", "twice"):
                to.apply(delta, 1.0)
            if fate in ("late", "twice"):
                self.late.append((to, delta))

    @rule(order=st.randoms(use_true_random=False))
    def arrive_late(self, order: random.Random) -> None:
        order.shuffle(self.late)
        for to, delta in self.late:
            to.apply(delta, 1.0)
        self.late.clear()

    @invariant()
    def who_has_the_owners_version_has_what_the_owner_has(self) -> None:
        for relay in self.relays:
            assert relay.version <= self.owner.version
            if relay.version == self.owner.version:
                assert dict(relay.items()) == dict(self.owner.items())
                assert len(relay) == len(self.owner)

    def teardown(self) -> None:
        """When all is quiet, one after the other catches up from its neighbour in the chain."""
        for sender, receiver in zip([self.owner, *self.relays], self.relays, strict=False):
            feed(receiver, sender, 60)
            assert (receiver.version, dict(receiver.items())) == (self.owner.version, dict(self.owner.items()))


TestRelays = Relays.TestCase
TestRelays.settings = settings(PROPERTY, max_examples=12, stateful_step_count=20)


# Records


def record_of(incarnation: int = 3) -> Record:
    record = Record("s9", "i9", incarnation)
    record.links.put("s8", 5, 0.0)
    record.offers.put("math1@fame.fabric", BOUND, 0.0)
    record.offers.put("math2@fame.fabric", HEARSAY, 0.0)
    return record


def test_a_record_tells_its_life_and_the_versions_of_its_halves() -> None:
    assert record_of().version == (3, 1, 2)
    assert Record("s9", "i9", 1).version > NOTHING


def test_a_record_knows_the_links_it_lists() -> None:
    assert record_of().links_of() == {"s8": 5}


def test_first_hand_offers_and_hearsay_lead_by_ways_of_their_own() -> None:
    record = record_of()
    bound, hearsay = record.way(BOUND), record.way(HEARSAY)
    assert isinstance(bound, Origin)
    assert (bound.node_id, bound.hearsay, hearsay.node_id, hearsay.hearsay) == ("s9", False, "s9", True)


def test_who_knows_nothing_of_this_life_gets_everything() -> None:
    record = record_of()
    for known in (NOTHING, (2, 40, 40)):
        [all_of_it] = record.messages(known, PLENTY)
        assert (all_of_it.id, all_of_it.instance, all_of_it.incarnation) == ("s9", "i9", 3)
        assert all_of_it.links == MeshDelta(base=0, version=1, put={"s8": 5})
        assert all_of_it.offers is not None
        assert all_of_it.offers.base == 0


def test_links_that_come_in_pieces_are_followed_by_the_offers() -> None:
    record = record_of()
    for number in range(40):
        record.links.put(f"neighbour-{number}", 1, 0.0)
    pieces = list(record.messages(NOTHING, 200))
    assert [piece.offers is None for piece in pieces[:-1]][:3] == [True, True, True]
    assert sum(piece.links is not None for piece in pieces) > 4
    assert sum(piece.offers is not None for piece in pieces) >= 1
    taken = Record("s9", "i9", 3)
    for piece in pieces:
        for section, delta in ((taken.links, piece.links), (taken.offers, piece.offers)):
            if delta is not None:
                section.apply(delta, 0.0)
    assert taken.version == record.version


@pytest.mark.parametrize("name", ["plain", 'a "quoted" one', "a\\b", "日本語", "tab\there"])
def test_the_size_of_a_name_is_that_of_its_json(name: str) -> None:
    assert section_module._size(name) == len(encode_json(name))


def test_who_does_not_know_of_this_life_hears_of_it_even_if_that_is_all_there_is() -> None:
    record = Record("s9", "i9", 3)
    assert list(record.messages((2, 40, 40), PLENTY)) == [MeshRecord("s9", "i9", 3)]
    assert list(record.messages((3, 0, 0), PLENTY)) == []


def test_a_later_life_is_the_greater_one_and_of_two_of_one_instant_one_is_greater() -> None:
    assert Record("s9", "z", 2).life < Record("s9", "a", 3).life < Record("s9", "b", 3).life


def test_who_knows_one_half_gets_the_other() -> None:
    record = record_of()
    [links] = record.messages((3, 0, 2), PLENTY)
    [offers] = record.messages((3, 1, 1), PLENTY)
    assert links.links is not None
    assert offers.offers == MeshDelta(base=1, version=2, put={"math2@fame.fabric": HEARSAY})
    assert list(record.messages((3, 1, 2), PLENTY)) == []


# The mesh

NEAR, FAR = Link(1, LinkKind.PEER), Link(2, LinkKind.PEER)


def test_a_record_is_looked_at_for_every_neighbour_whose_summary_is_known() -> None:
    west, east, spare = (Link(number, LinkKind.PEER, remote_id=name) for number, name in enumerate("wee"))
    mesh = Mesh(record_of(), known={west: {}, east: {}, spare: {}}, links={"w": west, "e": east}, digest="known")
    mesh.spread("s9", 5.0)
    assert mesh.owed == {west: {"s9": None}, east: {"s9": None}}
    assert (mesh.flush_at, mesh.digest) == (5.0, "")


def test_what_is_owed_goes_out_when_the_first_of_it_is_due() -> None:
    mesh = Mesh(record_of())
    mesh.owe(NEAR, "s9", 5.0)
    mesh.owe(NEAR, "s8", 6.0)
    assert mesh.owed == {NEAR: {"s9": None, "s8": None}}
    assert mesh.flush_at == 5.0


def test_what_neighbours_have_can_be_doubted() -> None:
    mesh = Mesh(record_of(), known={NEAR: {"s9": (3, 1, 2), "s8": (1, 1, 1)}, FAR: {}})
    mesh.doubt("s9", 5.0)
    assert mesh.known == {NEAR: {"s8": (1, 1, 1)}, FAR: {}}


def test_doubts_about_one_id_come_once_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_module, "MAX_DOUBTED", 2)
    mesh = Mesh(record_of(), known={NEAR: {}})
    for now, is_heard in ((5.0, True), (5.9, False), (6.1, True)):
        mesh.known[NEAR]["s9"] = (1, 1, 1)
        mesh.doubt("s9", now)
        assert ("s9" not in mesh.known[NEAR]) is is_heard
    mesh.doubt("s8", 7.0)
    mesh.doubt("s7", 7.0)
    assert set(mesh.doubted) == {"s7"}


def test_a_section_does_not_grow_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(section_module, "MAX_NAMES", 5)
    section = Section()
    assert section.apply(MeshDelta(base=0, version=1, put=dict.fromkeys("abc", 1)), 0.0)
    assert section.apply(MeshDelta(base=1, version=2, put=dict.fromkeys("defg", 1)), 0.0) is None
    assert section.apply(MeshDelta(base=0, version=2, put=dict.fromkeys("abcdef", 1)), 0.0) is None
    assert section.apply(MeshDelta(base=0, version=2, final=9, put=dict.fromkeys("abcd", 1)), 0.0) is None
    assert section.apply(MeshDelta(base=2, version=3, final=9, put=dict.fromkeys("efg", 1)), 0.0) is None
    assert section.apply(MeshDelta(base=3, version=9, final=9, put={"h": 1}), 0.0) is None
    assert sorted(name for name, _ in section.items()) == ["a", "b", "c"]


def test_changed_links_end_the_turn_too() -> None:
    mesh = Mesh(record_of())
    mesh.links_changed(5.0)
    assert (mesh.changed, mesh.stale, mesh.flush_at) == (True, False, 5.0)


def test_pieces_that_were_never_finished_take_no_room_from_a_new_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(section_module, "MAX_NAMES", 5)
    section = Section()
    section.apply(MeshDelta(base=0, version=2, final=9, put=dict.fromkeys("abcd", 1)), 0.0)
    section.apply(MeshDelta(base=0, version=3, final=8, put=dict.fromkeys("efg", 1)), 0.0)
    assert section.apply(MeshDelta(base=3, version=8, final=8, put={"h": 1}), 0.0)
    assert sorted(name for name, _ in section.items()) == ["e", "f", "g", "h"]
