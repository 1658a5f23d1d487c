"""Addresses: the grammar of spec 3.1, its edges, and what never gets in."""

import contextlib

import pytest
from core_rig import PROPERTY
from hypothesis import given
from hypothesis import strategies as st

from fame_cli.core.address import MAX_ADDRESS_LENGTH, Address, is_node_id, is_node_path, parse, physical, pool_matches
from fame_cli.errors import RemoteProtocolError


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("math1@fame.fabric", ("math1", "fame.fabric", "")),
        ("math@*.fame.fabric", ("math", "*.fame.fabric", "")),
        ("__sys__@/s1/a1", ("__sys__", "", "/s1/a1")),
        ("x@/", ("x", "", "/")),
        ("x@fame.fabric/s1", ("x", "fame.fabric", "/s1")),
        ("x@fame.fabric/", ("x", "fame.fabric", "/")),
        ("A-1_b@h-1", ("A-1_b", "h-1", "")),
        ("x@/a.b_c-d", ("x", "", "/a.b_c-d")),
    ],
)
def test_a_legal_address_falls_into_its_parts(text: str, parts: tuple[str, str, str]) -> None:
    assert parse(text) == parts


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "math1",
        "math1@",
        "@fame.fabric",
        "ma th@fame.fabric",
        "a@b@c",
        "x@*",
        "x@fame.*",
        "x@a..b",
        "x@.a",
        "x@*.",
        "x@a_b",
        "x@//",
        "x@/a/",
        "x@/a//b",
        "x@/a/*",
        "x@fame.fabric\n",
        "x\n@fame.fabric",
        "x@/s1\n",
        "é@fame.fabric",
        "x@fäme",
        "x@\N{FULLWIDTH DIGIT ONE}",
    ],
)
def test_what_the_grammar_does_not_allow_is_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError, match="not an address"):
        parse(text)


def test_an_address_may_be_as_long_as_the_bound_and_no_longer() -> None:
    longest = "x@" + "a" * (MAX_ADDRESS_LENGTH - 2)
    assert parse(longest).host == longest[2:]
    with pytest.raises(RemoteProtocolError):
        parse(longest + "a")


def test_the_error_shows_only_the_beginning_of_a_long_text() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        parse("!" * 10_000)
    assert len(str(caught.value)) < 200


def test_only_a_wildcard_host_makes_a_pool() -> None:
    assert parse("math@*.fame.fabric").is_pool
    assert not parse("math@fame.fabric").is_pool
    assert not parse("math@/s1").is_pool


def test_the_segments_of_a_path_start_at_the_root() -> None:
    assert parse("x@/s1/a1").segments == ["s1", "a1"]
    assert parse("x@/").segments == []
    assert parse("x@fame.fabric").segments == []


def test_a_physical_address_is_written_with_the_path() -> None:
    assert physical("__sys__", "/s1") == "__sys__@/s1"


@pytest.mark.parametrize(
    ("host", "taken"),
    [
        ("fame.fabric", True),
        ("x.fame.fabric", True),
        ("y.x.fame.fabric", True),
        ("*.fame.fabric", True),
        ("notfame.fabric", False),
        ("fabric", False),
        ("", False),
    ],
)
def test_a_pool_takes_its_domain_and_all_under_it(host: str, taken: bool) -> None:
    assert pool_matches("*.fame.fabric", host) is taken


@pytest.mark.parametrize("text", ["s1", "a.b", "A_b-9", "x" * 128, "..."])
def test_a_node_id_is_one_path_segment(text: str) -> None:
    assert is_node_id(text)


@pytest.mark.parametrize("text", ["", ".", "..", "a/b", "a b", "x" * 129, "*", "a\n", "é"])
def test_what_cannot_be_one_path_segment_is_no_node_id(text: str) -> None:
    assert not is_node_id(text)


@pytest.mark.parametrize("text", ["/s1", "/s1/a1", "/a.b_c-d"])
def test_a_node_lies_at_a_path_of_one_segment_or_more(text: str) -> None:
    assert is_node_path(text)


@pytest.mark.parametrize("text", ["", "/", "s1", "/s1/", "//s1", "/s 1", "x@/s1", "/s1\n"])
def test_what_is_no_such_path_is_no_place_for_a_node(text: str) -> None:
    assert not is_node_path(text)


_SEGMENT = st.text("abzAZ09-_.", min_size=1, max_size=8)
_LABEL = st.text("abzAZ09-", min_size=1, max_size=8)
_HOSTS = st.builds(
    lambda star, labels: ("*." if star else "") + ".".join(labels), st.booleans(), st.lists(_LABEL, min_size=1)
)
_PATHS = st.lists(_SEGMENT).map(lambda segments: "/" + "/".join(segments))
_PLACES = st.one_of(st.tuples(_HOSTS, st.just("")), st.tuples(st.just(""), _PATHS), st.tuples(_HOSTS, _PATHS))
_ADDRESSES = st.builds(
    lambda participant, place: Address(participant, *place), st.text("abzAZ09-_", min_size=1, max_size=8), _PLACES
)


@PROPERTY
@given(_ADDRESSES)
def test_parsing_what_was_written_gives_the_same_address(address: Address) -> None:
    assert parse(str(address)) == address


@PROPERTY
@given(st.one_of(st.text(max_size=40), st.text("aZ0-_./*@ \n", max_size=20)))
def test_any_text_is_an_address_or_is_refused(text: str) -> None:
    with contextlib.suppress(RemoteProtocolError):
        assert str(parse(text)) == text
