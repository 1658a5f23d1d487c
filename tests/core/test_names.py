"""Names as texts: every name of the route table has one, and what isn't one is nobody's name."""

import pytest
from core_rig import PROPERTY
from hypothesis import given
from hypothesis import strategies as st

from fame_cli.core.names import MAX_CAPABILITY_LENGTH, is_announceable, is_path, name_of, wire_name
from fame_cli.core.table import Name, RouteTable
from fame_cli.errors import RemoteProtocolError

MATH = "math1@fame.fabric"

NAMES: list[tuple[Name, str]] = [
    (MATH, MATH),
    ("math@*.pool.fabric", "math@*.pool.fabric"),
    ("/s1", "/s1"),
    ("/root/s1", "/root/s1"),
    ("/", "/"),
    (("add", MATH), f"add {MATH}"),
    (("op:fib stream", MATH), f"op:fib stream {MATH}"),
    (("/v1/chat", MATH), f"/v1/chat {MATH}"),
    (("/", MATH), f"/ {MATH}"),
    ((" ", MATH), f"  {MATH}"),
    (("能力", "math@*.pool.fabric"), "能力 math@*.pool.fabric"),
]


@pytest.mark.parametrize(("name", "text"), NAMES, ids=[text for _, text in NAMES])
def test_a_name_has_one_text_and_a_text_one_name(name: Name, text: str) -> None:
    assert wire_name(name) == text
    assert name_of(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "math1",
        "add math1",
        f" {MATH}",
        "math1@/s1",
        "add math1@/s1",
        "__sys__@fame.fabric",
        "//",
        "/s 1",
        "/s1/",
        "@fame.fabric",
        f"{MATH}\x00",
        f"{MATH} ",
        f"add  {MATH} add",
        "x" * 2000 + "@fame.fabric",
        "c" * (MAX_CAPABILITY_LENGTH + 1) + f" {MATH}",
    ],
)
def test_what_is_no_name_or_of_an_unknown_kind_is_none(text: str) -> None:
    assert name_of(text) is None


def test_the_longest_capability_is_one() -> None:
    assert name_of("c" * MAX_CAPABILITY_LENGTH + f" {MATH}") is not None


@PROPERTY
@given(text=st.text(max_size=12) | st.builds("{} {}".format, st.text(max_size=6), st.sampled_from([MATH, "/", "x"])))
def test_any_text_is_read_and_what_is_read_is_written_the_same_and_fits_the_table(text: str) -> None:
    name = name_of(text)
    if name is not None:
        assert wire_name(name) == text
        assert RouteTable().ways(name) == ()


def test_a_path_holds_no_space() -> None:
    assert [is_path(text) for text in ("/", "/s1", f"/v1/chat {MATH}", MATH)] == [True, True, False, False]


@pytest.mark.parametrize(
    ("address", "may_be"),
    [(MATH, True), ("m@*.f", True), ("m@/s1", False), ("__rpc__@f", False), ("__sys__@/s1", False)],
)
def test_only_logical_addresses_that_are_not_reserved_are_bound_over_a_link(address: str, may_be: bool) -> None:
    assert is_announceable(address) is may_be


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        is_announceable("math1")
