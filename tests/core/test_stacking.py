"""Stacked reply addresses: what a plain neighbour answers comes back to us, and on to where it was meant for."""

import msgspec
import pytest
from core_rig import PROPERTY, make_request
from hypothesis import given
from hypothesis import strategies as st

from fame_cli.core.envelope import Envelope, decode, encode_json
from fame_cli.core.link import Link, LinkKind
from fame_cli.core.stacking import stack_prefix, stacked, unstacked

MESH = frozenset({"mesh"})


def request(reply_to: str | None, **fields: object) -> Envelope:
    """Make a request that wants its answer at `reply_to`."""
    return decode(encode_json(make_request(reply_to or "", **{"replyTo": reply_to, **fields})))


def answer(to: str | None) -> Envelope:
    return msgspec.structs.replace(request(None), to=to)


# Which neighbours


@pytest.mark.parametrize(
    ("link", "prefix"),
    [
        pytest.param(Link(1, LinkKind.PEER), "/s1", id="a plain peer knows us by our id"),
        pytest.param(Link(1, LinkKind.PEER, extensions=frozenset({"sys"})), "/s1", id="so does one of ours"),
        pytest.param(Link(1, LinkKind.PARENT), "/root/s1", id="a plain parent by our path"),
        pytest.param(Link(1, LinkKind.PEER, extensions=MESH), "", id="a peer of the mesh needs none"),
        pytest.param(Link(1, LinkKind.PARENT, extensions=MESH), "", id="nor does a parent of the mesh"),
        pytest.param(Link(1, LinkKind.CHILD), "", id="nor a child"),
    ],
)
def test_answers_of_plain_neighbours_come_by_what_leads_to_us_there(link: Link, prefix: str) -> None:
    assert stack_prefix(link, "s1", "/root/s1") == prefix


# On the way out


@pytest.mark.parametrize(
    ("reply_to", "prefix", "path", "stacked_to"),
    [
        pytest.param("x@/s2/c", "/s1", "/s1", "x@/s1/s2/c", id="from elsewhere, to a peer"),
        pytest.param("x@/s2/c", "/root/s1", "/root/s1", "x@/root/s1/s2/c", id="from elsewhere, to a parent"),
        pytest.param("x@/s10/c", "/s1", "/s1", "x@/s1/s10/c", id="from an id that begins like ours"),
        pytest.param("x@/root/s1/c", "/s1", "/root/s1", "x@/s1/root/s1/c", id="from below, to a peer of a child"),
        pytest.param("x@/", "/s1", "/s1", "x@/s1", id="from nowhere in particular"),
    ],
)
def test_our_way_is_put_in_front_of_a_reply_address(reply_to: str, prefix: str, path: str, stacked_to: str) -> None:
    before = request(reply_to)
    after = stacked(before, prefix, path)
    assert after == msgspec.structs.replace(before, reply_to=stacked_to)


@pytest.mark.parametrize("reply_to", ["x@/s1/c", "x@/s1", "x@fame.fabric", None])
def test_what_comes_to_us_anyway_stays_as_it_is(reply_to: str | None) -> None:
    envelope = request(reply_to)
    assert stacked(envelope, "/s1", "/s1") is envelope


def test_a_signed_request_is_left_alone() -> None:
    envelope = request("x@/s2/c", sec={"sig": {}})
    assert stacked(envelope, "/s1", "/s1") is envelope


# On the way back


@pytest.mark.parametrize(
    ("to", "prefix", "meant_for"),
    [
        pytest.param("x@/s1/s2/c", "/s1", "x@/s2/c", id="by a peer"),
        pytest.param("x@/root/s1/s2/c", "/root/s1", "x@/s2/c", id="by a parent"),
        pytest.param("x@/s1/root/s1/c", "/s1", "x@/root/s1/c", id="for below us, by a peer of a child"),
        pytest.param("x@/s1/c", "/s1", "x@/c", id="nothing tells whether it was put on"),
    ],
)
def test_our_way_is_taken_off_an_answer(to: str, prefix: str, meant_for: str) -> None:
    before = answer(to)
    assert unstacked(before, prefix) == msgspec.structs.replace(before, to=meant_for)


@pytest.mark.parametrize("to", ["x@/s1", "x@/s10/c", "x@/s2/s1/c", "x@fame.fabric", None])
def test_what_was_not_stacked_stays_as_it_came(to: str | None) -> None:
    envelope = answer(to)
    assert unstacked(envelope, "/s1") is envelope


def test_a_signed_answer_is_left_alone() -> None:
    envelope = msgspec.structs.replace(answer("x@/s1/s2/c"), sec=msgspec.Raw(b"{}"))
    assert unstacked(envelope, "/s1") is envelope


rest = st.lists(st.sampled_from(["s1", "s2", "root", "c", "s10"]), max_size=3).map(
    lambda way: "".join(f"/{s}" for s in way)
)


@PROPERTY
@given(
    path=st.sampled_from(["/s1", "/root/s1"]),
    parent=st.booleans(),
    first=st.sampled_from(["", "/s2", "/s10"]),
    rest=rest,
)
def test_what_is_put_on_is_what_is_taken_off(path: str, parent: bool, first: str, rest: str) -> None:
    reply_to, prefix = f"x@{first or f'{path}/c'}{rest}", path if parent else "/s1"
    before = request(reply_to)
    there = stacked(before, prefix, path)
    assert there is before or unstacked(answer(there.reply_to), prefix).to == reply_to
