"""Patterns: what they match, letter by letter, and that no pattern keeps anybody busy."""

import time

import pytest
from core_rig import PROPERTY
from hypothesis import given
from hypothesis import strategies as st

from fame_cli.core.glob import MAX_GLOB_LENGTH, check_glob, glob_matches, matches_any
from fame_cli.errors import ConfigError


def plainly(pattern: str, text: str) -> bool:
    """Match by the definition: every way to share the text among the stars is tried."""
    if not pattern:
        return not text
    if pattern.startswith("**"):
        return any(plainly(pattern[2:], text[at:]) for at in range(len(text) + 1))
    if pattern[0] == "*":
        run = next((at for at, letter in enumerate(text) if letter in "./@"), len(text))
        return any(plainly(pattern[1:], text[at:]) for at in range(run + 1))
    if not text or (text[0] in "./@" if pattern[0] == "?" else text[0] != pattern[0]):
        return False
    return plainly(pattern[1:], text[1:])


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("math1@fame.fabric", "math1@fame.fabric"),
        ("math*@fame.fabric", "math@fame.fabric"),
        ("math?@fame.*", "math1@fame.fabric"),
        ("**", ""),
        ("**", "a\nb@/c.d"),
        ("*@/**", "__rpc__x@/s1/c1"),
        ("**a*b", "a.ab"),
        ("a[b]+(c)", "a[b]+(c)"),
    ],
)
def test_a_pattern_matches_the_whole_of_a_text(pattern: str, text: str) -> None:
    assert glob_matches(pattern, text)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("math*", "math1@fame.fabric"),
        ("*", "a.b"),
        ("*", "a/b"),
        ("?", ""),
        ("?", "."),
        ("math", "math1"),
        ("a", "a\n"),
    ],
)
def test_and_nothing_but_the_whole(pattern: str, text: str) -> None:
    assert not glob_matches(pattern, text)


@PROPERTY
@given(st.text("ab.@*?", max_size=9), st.text("ab.@", max_size=9))
def test_it_matches_what_the_definition_says(pattern: str, text: str) -> None:
    assert glob_matches(pattern, text) is plainly(pattern, text)


@PROPERTY
@given(
    st.lists(st.sampled_from(["**", "*", "?", "a", "b", ".", "ab", "a."]), max_size=8).map("".join),
    st.text("ab.", max_size=10),
)
def test_it_does_so_with_many_stars(pattern: str, text: str) -> None:
    assert glob_matches(pattern, text) is plainly(pattern, text)


@pytest.mark.parametrize("piece", ["**a", "*a", "**a*b", "*?", "**?*", "**.*a"])
def test_no_pattern_and_text_keep_anybody_busy(piece: str) -> None:
    pattern = piece * (MAX_GLOB_LENGTH // len(piece) - 1) + "!"
    for text in ("a" * 1024, "ab" * 512, "a." * 512):
        begun = time.perf_counter()
        assert not glob_matches(pattern, text)
        assert time.perf_counter() - begun < 2  # ways to share: more than a year's work


def test_nothing_matches_no_pattern() -> None:
    assert not matches_any((), "a")
    assert matches_any(("b", "a"), "a")


@pytest.mark.parametrize("pattern", ["", "x" * (MAX_GLOB_LENGTH + 1), "^a$"])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigError):
        check_glob(pattern)
