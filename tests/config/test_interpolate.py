"""Variables in values: every form, every mistake, and that nothing else ever escapes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fame_cli.config import interpolate as module
from fame_cli.config.interpolate import MAX_DEPTH, interpolate
from fame_cli.errors import ConfigError

ENV = {"A": "alpha", "EMPTY": "", "EVIL": "${A} $$ {x}: - [\n"}


def failure(text: str, **place: object) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        interpolate(text, ENV, **place)  # type: ignore[arg-type]
    return caught.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("", ""),
        ("${A}", "alpha"),
        ("x${A}y${A}", "xalphayalpha"),
        ("$<A>", "alpha"),
        ("${env:A}", "alpha"),
        ("${EMPTY}", ""),
        ("${A:-d}", "alpha"),
        ("${B:-d}", "d"),
        ("${EMPTY:-d}", "d"),
        ("${B:-}", ""),
        ("${B:-ws://h:1/p}", "ws://h:1/p"),
        ("${A:?needed}", "alpha"),
        ("${env:A:d}", "alpha"),
        ("${env:B:d}", "d"),
        ("${env:B:}", ""),
        ("${env:EMPTY:d}", ""),
        ("${env:B:ws://h:1/p}", "ws://h:1/p"),
        ("${env:B:${env:C:8000}}", "8000"),
        ("${B:-${C:-$<A>}}!", "alpha!"),
        ("${B:-a ${A} b}", "a alpha b"),
        ('${B:-{"a": {}}}', '{"a": {}}'),
        ("$$", "$"),
        ("$${A}", "${A}"),
        ("$$$${A}", "$${A}"),
        ("$$${A}", "$alpha"),
        ("${B:-$$5}", "$5"),
        ("$A", "$A"),
        ("$", "$"),
        ("5$", "5$"),
        ("$5 and $(x)", "$5 and $(x)"),
        ("{{ name }}", "{{ name }}"),
        ("}{", "}{"),
    ],
)
def test_each_form_gives_its_text(text: str, expected: str) -> None:
    assert interpolate(text, ENV).text == expected


def test_a_value_is_never_read_for_variables_again() -> None:
    assert interpolate("${EVIL}", ENV).text == ENV["EVIL"]


def test_only_the_variables_whose_values_are_in_the_text_are_named() -> None:
    assert interpolate("${A} ${B:-x} ${EMPTY:-y}", ENV).names == {"A"}


def test_a_default_that_is_not_needed_may_hold_a_missing_variable() -> None:
    assert interpolate("${A:-${NOPE}}", ENV).text == "alpha"


def test_a_default_that_is_not_needed_must_still_be_well_formed() -> None:
    assert "${x:y}" in str(failure("${A:-${x:y}}"))


@pytest.mark.parametrize("text", ["${NOPE}", "$<NOPE>", "${env:NOPE}", "a${A}${B:-${NOPE}}"])
def test_a_missing_variable_is_named(text: str) -> None:
    assert str(failure(text)) == "variable NOPE isn't set; set it, or write ${NOPE:-default}"


def test_a_required_variable_gives_its_message() -> None:
    assert str(failure("${NOPE:?say where\n the sentinel is}")) == (
        "variable NOPE isn't set: say where the sentinel is; set NOPE"
    )


def test_a_required_variable_must_not_be_empty() -> None:
    assert str(failure("${EMPTY:?}")) == "variable EMPTY is empty; set EMPTY"


def test_one_colon_without_env_shows_both_right_spellings() -> None:
    assert str(failure("${PORT:8000}")).endswith("write ${PORT:-default} or ${env:PORT:default}")


@pytest.mark.parametrize("text", ["${env:PORT:-8000}", "${env:PORT:?message}"])
def test_the_two_ways_to_give_a_default_are_not_mixed(text: str) -> None:
    assert str(failure(text)).endswith("write ${PORT:-default} or ${env:PORT:default}")


@pytest.mark.parametrize(
    "text",
    [
        "${",
        "${}",
        "${A",
        "${B:-x",
        "${B:-{}",
        "${1}",
        "${ A }",
        "${A-x}",
        "${A:+x}",
        "${A.b}",
        "${{ A }}",
    ],
)
def test_what_is_no_known_form_is_an_error(text: str) -> None:
    assert "$$" in failure(text).hint


@pytest.mark.parametrize("text", ["$<", "$<A", "$<1>", "$<A:-x>", "$< A>"])
def test_what_only_begins_like_the_angle_form_is_an_error(text: str) -> None:
    assert "$<NAME>" in str(failure(text))


def nested(depth: int) -> str:
    return "".join(f"${{N{index}:-" for index in range(depth)) + "end" + "}" * depth


def test_variables_nest_ten_deep() -> None:
    assert interpolate(nested(MAX_DEPTH), {}).text == "end"


def test_variables_do_not_nest_eleven_deep() -> None:
    assert "deeper than 10" in str(failure(nested(MAX_DEPTH + 1)))


def test_a_value_does_not_grow_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_RESULT_CHARACTERS", 100)
    with pytest.raises(ConfigError, match="grows past 100"):
        interpolate("${A}" * 26, {"A": "aaaa"})


def test_the_column_is_that_of_the_variable_where_the_text_is_verbatim() -> None:
    error = failure("ab ${NOPE}", source="f.yaml", line=3, column=7, exact=True)
    assert (error.source, error.line, error.column) == ("f.yaml", 3, 10)


def test_the_column_is_that_of_the_value_where_the_text_had_escapes() -> None:
    assert failure("ab ${NOPE}", source="f.yaml", line=3, column=7).column == 7


TEMPLATES = st.text(alphabet="${}<>:-?$ABenv_1 {$\n\u20ac", max_size=60)


@given(st.one_of(st.text(), TEMPLATES), st.dictionaries(st.sampled_from(["A", "B", "e", "n"]), st.text(max_size=5)))
def test_any_text_gives_text_or_a_config_error(text: str, env: dict[str, str]) -> None:
    try:
        interpolate(text, env)
    except ConfigError as error:
        said = str(error)
    else:
        said = ""
    assert "\n" not in said


@given(st.text())
def test_any_text_comes_back_with_its_dollars_doubled(text: str) -> None:
    assert interpolate(text.replace("$", "$$"), {}).text == text


@given(st.text())
def test_any_value_comes_back_as_it_is(value: str) -> None:
    assert interpolate("${V}", {"V": value}).text == value
