"""Links: plain values that know whether the other side is one of ours."""

from fame_cli.core.link import LOCAL, Link, LinkKind


def test_a_neighbour_with_any_extension_is_one_of_ours() -> None:
    assert Link(1, LinkKind.PEER, extensions=frozenset({"cancel"})).is_ours


def test_a_plain_naylence_neighbour_has_none() -> None:
    assert not Link(1, LinkKind.PEER).is_ours


def test_two_links_are_the_same_only_when_they_are_one() -> None:
    assert Link(1, LinkKind.CHILD) != Link(1, LinkKind.CHILD)


def test_a_link_says_what_it_is() -> None:
    assert repr(Link(3, LinkKind.CHILD, remote_id="a1")) == "<Link 3 child a1>"
    assert repr(Link(4, LinkKind.PARENT)) == "<Link 4 parent ?>"
    assert repr(LOCAL) == "<Link 0 local local>"
