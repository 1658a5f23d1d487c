"""Links: plain values that know whether the other side is one of ours."""

from fame_cli.core.link import LOCAL, Link, LinkKind, Origin, next_link


def test_a_neighbour_with_any_extension_is_one_of_ours() -> None:
    assert Link(1, LinkKind.PEER, extensions=frozenset({"cancel"})).is_ours


def test_a_plain_naylence_neighbour_has_none() -> None:
    assert not Link(1, LinkKind.PEER).is_ours


def test_a_neighbour_takes_part_in_the_mesh_when_both_sides_offer_it() -> None:
    assert Link(1, LinkKind.CHILD, extensions=frozenset({"cancel", "mesh"})).meshes
    assert not Link(1, LinkKind.PEER, extensions=frozenset({"cancel"})).meshes


def test_two_links_are_the_same_only_when_they_are_one() -> None:
    assert Link(1, LinkKind.CHILD) != Link(1, LinkKind.CHILD)


def test_a_link_is_its_own_way_and_an_origin_is_reached_by_its_next_hop() -> None:
    link = Link(1, LinkKind.PEER)
    assert next_link(link) is link
    assert next_link(LOCAL) is LOCAL
    assert next_link(Origin("s3", link=link)) is link
    assert next_link(Origin("s3")) is None


def test_two_origins_are_the_same_only_when_they_are_one() -> None:
    assert Origin("s3") != Origin("s3")


def test_an_origin_says_how_far_it_is() -> None:
    assert repr(Origin("s3", link=Link(1, LinkKind.PEER), distance=2)) == "<Origin s3 2>"
    assert repr(Origin("s3")) == "<Origin s3 out of reach>"


def test_a_link_says_what_it_is() -> None:
    assert repr(Link(3, LinkKind.CHILD, remote_id="a1")) == "<Link 3 child a1>"
    assert repr(Link(4, LinkKind.PARENT)) == "<Link 4 parent ?>"
    assert repr(LOCAL) == "<Link 0 local local>"
