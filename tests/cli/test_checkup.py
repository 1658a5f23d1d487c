"""The verdicts of a doctor's checks, each from figures or files alone, and how the checks are run."""

import asyncio
import json
import threading
from pathlib import Path

import pytest
from doctor_rig import seen

from fame_cli.cli.checkup import clocks, versions, web
from fame_cli.cli.checkup.bounds import gathered
from fame_cli.cli.checkup.findings import Finding, State, exit_code_of, fail, ok, warn, without_echoes
from fame_cli.cli.checkup.greeting import seconds_of
from fame_cli.errors import ConfigError, ConnectError

BOUND_S = 20.0


def test_a_check_that_does_not_end_is_left_behind() -> None:
    never = threading.Event()

    def hang() -> list[Finding]:
        never.wait()
        return []

    try:
        (told,) = gathered("storage", [("s1", hang)], 0.05)
    finally:
        never.set()
    assert (told.what, told.exit_code) == ("s1: storage: the check didn't end within 0.05 s", 6)


def test_the_checks_of_several_nodes_share_their_time() -> None:
    both = threading.Barrier(2, timeout=BOUND_S)

    def meet() -> list[Finding]:
        both.wait()
        return [ok("ports", "met")]

    assert [each.what for each in gathered("ports", [("a", meet), ("b", meet)], BOUND_S)] == ["a: met", "b: met"]


def test_the_exit_code_is_that_of_the_first_failure() -> None:
    found = [warn("a", "w", "d"), fail("b", "x", "d", ConnectError), fail("c", "y", "d", ConfigError)]
    assert [exit_code_of(found), exit_code_of(found[:1]), exit_code_of([])] == [7, 0, 0]


def test_what_has_been_said_is_not_said_again() -> None:
    found = [fail("certificates", "no key", "a", ConfigError), ok("x", "fine"), fail("security", "no key", "b")]
    assert without_echoes(found) == found[:2]


@pytest.mark.parametrize(
    "text",
    ["ws://me:hushhush@host/", "Authorization: Bearer hushhush", "http://h/?token=hushhush", "x eyJhushhush.eyJx.y z"],
)
def test_a_finding_never_shows_what_looks_like_a_secret(text: str) -> None:
    assert "hushhush" not in json.dumps([fail("a", text, text).document(), ok("a", text).document()])


@pytest.mark.parametrize(
    ("ahead_s", "unsure_s", "matters", "state"),
    [
        (0.02, 0.01, True, "ok"),
        (-29.0, 0.0, True, "ok"),
        (31.0, 0.0, True, "warn"),
        (31.0, 2.0, True, "ok"),
        (-61.0, 0.5, True, "fail"),
        (-61.0, 0.5, False, "warn"),
        (1e12, 0.0, True, "fail"),
    ],
)
def test_a_clock_counts_as_wrong_only_beyond_doubt(ahead_s: float, unsure_s: float, matters: bool, state: str) -> None:
    assert clocks.skew("h", ahead_s, unsure_s, 60.0, matters=matters).state is State(state)


@pytest.mark.parametrize(
    ("begins", "ends", "states"),
    [
        (-86_400.0, 86_400.0 * 365, []),
        (-86_400.0 * 365, 86_400.0 * 6, ["warn"]),
        (-86_400.0, 3_600.0, ["warn"]),
        (-3_600.0, 3_600.0 * 6, []),
        (30.0, 86_400.0 * 30, []),
        (90.0, 86_400.0 * 30, ["fail"]),
        (None, None, []),
        (None, 3_600.0, ["warn"]),
        (-10.0, -5.0, []),
    ],
)
def test_what_ends_soon_is_told_in_time_for_its_kind(
    begins: float | None, ends: float | None, states: list[str]
) -> None:
    now = 1_795_000_000.0
    moments = [None if each is None else now + each for each in (begins, ends)]
    found = clocks.ages([clocks.Dated("tokens", "the token", *moments, "renew it")], now, 60.0)
    assert [finding.state.value for finding in found] == states


@pytest.mark.parametrize(
    ("version", "bounds", "met"),
    [
        ("17.4", ">=17.4,<18", True),
        ("17.4.1", ">=17.4,<18", True),
        ("18.0rc1", "<18,>=17.4", False),
        ("17.10", ">=17.4,<18", True),
        ("2", ">=2.0.0", True),
        ("1.9", "!=1.9", False),
        ("1.9", "", True),
        ("1.9", "~=1.8", True),
        ("nonsense", ">=1", False),
    ],
)
def test_versions_are_compared_by_their_numbers(version: str, bounds: str, met: bool) -> None:
    assert versions.meets(version, bounds) is met


@pytest.mark.parametrize(
    ("ts", "seconds"),
    [
        ("1970-01-01T00:01:40.500Z", 100.5),
        ("1970-01-01T01:01:40+01:00", 100.0),
        ("1970-01-01T00:01:40", None),
        ("yesterday", None),
        (None, None),
    ],
)
def test_a_time_without_a_zone_is_none(ts: str | None, seconds: float | None) -> None:
    assert seconds_of(ts) == seconds


@pytest.mark.parametrize(
    "answer",
    [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1", b"HTTP/1.1 abc x\r\n\r\n", b"\x15\x03\x01"],
)
def test_whatever_is_not_http_is_no_answer(answer: bytes, tmp_path: Path) -> None:
    async def whole() -> web.Said | None:
        async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(answer)
            await writer.drain()

        async with asyncio.timeout(BOUND_S), seen(tmp_path) as world:
            host, _, port = (await world.server(reply)).rpartition(":")
            return await web.get(host, int(port), "/")

    assert asyncio.run(whole()) is None


def test_the_time_of_an_answer_is_in_its_date() -> None:
    assert web.Said(200, {"date": "Thu, 01 Jan 1970 00:01:40 GMT"}, None).date_s == 100.0
    assert [web.Said(200, {"date": text}, None).date_s for text in ("", "soon")] == [None, None]
