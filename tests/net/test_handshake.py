"""What a handshake carries: read off requests, laid out for them, and never seen in a repr."""

import asyncio

import pytest

from fame_cli.errors import ConfigError
from fame_cli.net.handshake import HEADER_BYTES, Asked, Shown, asked, bearer, offers_bearer

SECRET = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"


class Connection(asyncio.BaseTransport):
    """Stand for a connection that nothing is known about."""


def read(**headers: str) -> Asked | None:
    lines = {name.replace("_", "-").lower(): value for name, value in headers.items()}
    return asked("/x?y", lambda name: [lines[name.lower()]] if name.lower() in lines else [], Connection())


@pytest.mark.parametrize(
    ("protocols", "authorization", "token"),
    [
        ("bearer, abc", "", "abc"),
        ("bearer,abc", "", "abc"),
        (" bearer , abc , more", "", "abc"),
        ("bearer", "", ""),
        ("bearer,", "", ""),
        ("", "", ""),
        ("  ", "", ""),
        ("other, bearer, abc", "", ""),
        ("Bearer, abc", "", ""),
        ("", "Bearer abc", "abc"),
        ("", "bearer   abc ", "abc"),
        ("", "Basic abc", ""),
        ("", "Bearer", ""),
        ("bearer", "Bearer abc", "abc"),
        ("bearer, abc", "Bearer def", "abc"),
    ],
)
def test_a_token_is_read_from_behind_bearer_or_from_authorization(
    protocols: str, authorization: str, token: str
) -> None:
    assert bearer(protocols, authorization) == token


def test_a_request_is_read_with_its_token_and_its_proof() -> None:
    assert read(sec_websocket_protocol=f"bearer, {SECRET}", dpop="proof") == Asked("/x?y", SECRET, "proof")
    assert read() == Asked("/x?y")


@pytest.mark.parametrize("name", ["sec_websocket_protocol", "authorization", "dpop"])
def test_a_header_that_is_too_long_is_turned_away(name: str) -> None:
    assert read(**{name: "x" * (HEADER_BYTES + 1)}) is None
    assert read(**{name: "x" * HEADER_BYTES}) is not None


@pytest.mark.parametrize(
    ("protocols", "answered"),
    [("bearer, abc", True), ("bearer", True), ("other, bearer", False), ("", False), (" ", False)],
)
def test_bearer_is_answered_where_it_comes_first(protocols: str, answered: bool) -> None:
    assert offers_bearer(lambda name: [protocols]) is answered


def test_what_is_shown_is_laid_out_for_the_handshake() -> None:
    assert (Shown().offer, Shown().headers) == ([], {})
    shown = Shown(SECRET, "proof")
    assert (shown.offer, shown.headers) == (["bearer", SECRET], {"DPoP": "proof"})


@pytest.mark.parametrize(
    "token", ["a b", "a\r\nX: y", "a\nb", "a\0b", "a,b", "ä", "a\x7f", '"a"', " zq", "zq\n", "x" * HEADER_BYTES]
)
def test_what_a_header_cannot_hold_is_refused_without_being_shown(token: str) -> None:
    with pytest.raises(
        ConfigError, match=r"^this node's token can't be sent: it has .*; check FAME_ADMISSION_TOKEN"
    ) as told:
        _ = Shown(token).offer
    assert token not in str(told.value)
    with pytest.raises(ConfigError):
        _ = Shown("good", token).headers


def test_no_repr_has_a_token_or_a_proof() -> None:
    for value in (Asked("/x", SECRET, "pro-of", "::1", b"der"), Shown(SECRET, "pro-of")):
        for text in (repr(value), str(value), f"{value}"):
            assert SECRET not in text
            assert "pro-of" not in text


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("::1", "::/64"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_a_site_of_ipv6_is_one_host(host: str, network: str) -> None:
    assert Asked("/", host=host).network == network
