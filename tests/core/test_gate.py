"""The open gate: everybody whose attach makes sense."""

import pytest

from fame_cli.core.frames import NodeAttach
from fame_cli.core.gate import Gate
from fame_cli.core.link import Link, LinkKind
from fame_cli.core.settings import Settings

OWN = Settings("s1", "our-instance", routes=True)


def verdict(
    kind: LinkKind,
    url_id: str,
    origin_type: str,
    system_id: str,
    instance_id: str = "theirs",
    *,
    sentinel: bool = False,
) -> str | None:
    attach = NodeAttach(origin_type=origin_type, system_id=system_id, instance_id=instance_id)
    link = Link(1, kind, remote_id=url_id, extensions=frozenset({"mesh"} if sentinel else ()))
    refusal = Gate().admit(attach, link, OWN)
    return refusal and refusal.code


def test_an_honest_child_and_an_honest_peer_are_let_in() -> None:
    assert verdict(LinkKind.CHILD, "a1", "downstream", "a1") is None
    assert verdict(LinkKind.PEER, "s2", "peer", "s2") is None


@pytest.mark.parametrize(
    ("kind", "origin_type"),
    [(LinkKind.CHILD, "peer"), (LinkKind.PEER, "downstream"), (LinkKind.CHILD, "upstream"), (LinkKind.CHILD, "")],
)
def test_the_kind_must_be_the_one_of_the_url(kind: LinkKind, origin_type: str) -> None:
    assert verdict(kind, "x", origin_type, "x") == "INVALID_ATTACH"


@pytest.mark.parametrize("system_id", ["", ".", "..", "a/b", "a b", "é", "x" * 129])
def test_an_id_that_cannot_be_a_path_segment_is_refused(system_id: str) -> None:
    assert verdict(LinkKind.CHILD, system_id, "downstream", system_id) == "INVALID_ATTACH"


def test_the_id_must_be_the_one_of_the_url() -> None:
    assert verdict(LinkKind.CHILD, "a1", "downstream", "a2") == "INVALID_ATTACH"


@pytest.mark.parametrize(("kind", "origin_type"), [(LinkKind.PEER, "peer"), (LinkKind.CHILD, "downstream")])
def test_a_sentinel_is_linked_with_itself_neither_as_a_peer_nor_as_a_child(kind: LinkKind, origin_type: str) -> None:
    assert verdict(kind, "s1", origin_type, "s1", OWN.instance_id) == "SELF_LINK"


def test_a_peer_may_not_have_our_own_id() -> None:
    assert verdict(LinkKind.PEER, "s1", "peer", "s1") == "ID_TAKEN"


def test_a_leaf_may_have_our_own_id_because_its_path_differs() -> None:
    assert verdict(LinkKind.CHILD, "s1", "downstream", "s1") is None


def test_a_sentinel_below_us_may_not_because_records_go_by_their_id() -> None:
    assert verdict(LinkKind.CHILD, "s1", "downstream", "s1", sentinel=True) == "ID_TAKEN"
