"""From words to params: forms, coercion by schema, and messages that name the word and the remedy."""

import contextlib
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fame_cli.cli.arguments import CallWords, build_params, parse_words
from fame_cli.errors import UsageError


def words(*typed: str, json_text: str | None = None, stdin: str = "", verb: str = "call") -> CallWords:
    return parse_words(typed, json_text, verb=verb, stdin=io.StringIO(stdin))


def params(
    *typed: str, schema: dict[str, Any] | None = None, stdin: str = "", document: str | None = None
) -> dict[str, Any]:
    return build_params(words("op", *typed, stdin=stdin, json_text=document), schema)


def keywords(*typed: str, **how: Any) -> dict[str, Any]:
    """Return the keyword arguments that go out for what was typed; nothing goes out by position."""
    made = params(*typed, **how)
    assert made["args"] == []
    return made["kwargs"]


def coerced(text: str, schema: object) -> object:
    return keywords(f"v={text}", schema={"properties": {"v": schema}})["v"]


def message(*typed: str, schema: dict[str, Any] | None = None, document: str | None = None, stdin: str = "") -> str:
    with pytest.raises(UsageError) as caught:
        build_params(words(*typed, json_text=document, stdin=stdin), schema)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_first_word_with_an_at_sign_is_the_target() -> None:
    read = words("math1@fame.fabric", "add", "x=3")
    assert (read.target, read.operation, [argument.name for argument in read.arguments]) == (
        "math1@fame.fabric", "add", ["x"],
    )  # fmt: skip


def test_without_an_at_sign_the_first_word_is_the_operation() -> None:
    read = words("tasks/send", "mail=me@home")
    assert (read.target, read.operation) == (None, "tasks/send")


def test_a_target_without_an_operation_says_how_to_go_on() -> None:
    assert message("math1@fame.fabric") == (
        "no operation after math1@fame.fabric; write: fame call math1@fame.fabric OPERATION [name=value …]"
    )


def test_an_argument_where_the_operation_should_be_is_not_taken_for_one() -> None:
    assert "no operation after a@b" in message("a@b", "x=3")
    assert '"x=3" comes before any operation' in message("x=3")


def test_a_target_that_lost_its_domain_is_recognised() -> None:
    assert "fame call math1@fame.fabric add" in message("math1", "add", "x=3")


def test_a_broken_address_is_refused_before_anything_is_sent() -> None:
    assert message("math 1@fame", "add") == '"math 1@fame" is not an address; write NAME@DOMAIN, e.g. math1@fame.fabric'


def test_colon_equals_takes_json() -> None:
    assert keywords('x:={"a": [1, null]}', 's:="7"') == {"x": {"a": [1, None]}, "s": "7"}


def test_a_value_may_hold_equals_signs_and_colons() -> None:
    assert keywords("url=http://h/?a:=1&b=@c") == {"url": "http://h/?a:=1&b=@c"}


def test_a_value_may_be_empty() -> None:
    assert coerced("", {"type": "string"}) == ""


def test_at_reads_a_file_as_text(tmp_path: Path) -> None:
    file = tmp_path / "note.txt"
    file.write_text("grüße\n", encoding="utf-8")
    assert keywords(f"text=@{file}", schema={"properties": {"text": {"type": "string"}}}) == {"text": "grüße\n"}


def test_a_number_from_a_file_may_end_with_a_newline(tmp_path: Path) -> None:
    (tmp_path / "n").write_text("7\n")
    assert keywords(f"v=@{tmp_path / 'n'}", schema={"properties": {"v": {"type": "integer"}}}) == {"v": 7}


def test_colon_equals_at_reads_a_file_as_json(tmp_path: Path) -> None:
    (tmp_path / "v.json").write_text("[1, 2]")
    assert keywords(f"v:=@{tmp_path / 'v.json'}") == {"v": [1, 2]}


def test_a_missing_file_says_how_to_write_a_text_that_starts_with_at() -> None:
    assert message("op", "v=@nowhere.txt") == (
        "v=@nowhere.txt: no such file or directory; for a text that starts with @ write v:='\"@…\"'"
    )


def test_a_file_name_that_cannot_be_one_is_refused() -> None:
    assert message("op", "v=@\0").startswith('"v=@\\u0000": embedded null byte')


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"\xff\xfe")
    assert "not UTF-8 text" in message("op", f"v=@{tmp_path / 'b'}")


def test_a_dash_reads_stdin() -> None:
    assert keywords("v=@-", stdin="hello", schema={"properties": {"v": {"type": "string"}}}) == {"v": "hello"}


def test_stdin_is_handed_out_once() -> None:
    assert "stdin is asked for twice" in message("op", "v=@-", document="-", stdin="{}")


def test_json_gives_the_whole_object_as_written() -> None:
    assert params(document='{"args": [1], "kwargs": {}}') == {"args": [1], "kwargs": {}}


def test_json_may_come_from_stdin() -> None:
    assert params(document="-", stdin='{"x": 1}') == {"x": 1}


def test_json_and_words_add_up() -> None:
    assert keywords("y=2", document='{"x": 1}') == {"x": 1, "y": 2}


def test_an_argument_given_twice_is_refused() -> None:
    assert message("op", "x=1", "x=2") == 'argument "x" is given twice; keep one of them'
    assert 'argument "x" is given twice' in message("op", "x=1", document='{"x": 1}')


def test_json_that_is_no_object_is_refused() -> None:
    assert message("op", document="[1]") == "--json: array instead of an object; write --json '{\"name\": value}'"


def test_bad_json_says_where() -> None:
    assert message("op", "x:=yes") == (
        'x:= "yes" is not JSON: Expecting value at column 1; quote a text: \'"like this"\''
    )


@pytest.mark.parametrize("text", ["NaN", "Infinity", "[-Infinity]"])
def test_numbers_json_does_not_have_are_refused(text: str) -> None:
    assert "is not JSON: JSON has no" in message("op", f"x:={text}")


@pytest.mark.parametrize("word", ["x", "=3", ":=3", "-x"])
def test_a_word_of_no_known_form_names_the_forms(word: str) -> None:
    assert "is not an argument; write name=value, name:=JSON or name=@FILE" in message("a@b", "op", word)


def test_arguments_named_like_the_wire_form_are_wrapped() -> None:
    assert params("args=1", "x=2") == {"args": [], "kwargs": {"args": 1, "x": 2}}


@pytest.mark.parametrize(
    ("text", "schema", "value"),
    [
        ("7", {"type": "integer"}, 7),
        ("-7", {"type": "integer"}, -7),
        ("7", {"type": "number"}, 7),
        ("7.5", {"type": "number"}, 7.5),
        ("1e3", {"type": "number"}, 1000.0),
        ("007", {"type": "string"}, "007"),
        ("null", {"type": "string"}, "null"),
        ("yes", {"type": "boolean"}, True),
        ("False", {"type": "boolean"}, False),
        ("0", {"type": "boolean"}, False),
        ("[1]", {"type": "array"}, [1]),
        ("{}", {"type": "object"}, {}),
        ("null", {"type": ["integer", "null"]}, None),
        ("3", {"anyOf": [{"type": "integer"}, {"type": "null"}]}, 3),
        ("three", {"anyOf": [{"type": "integer"}, {"type": "string"}]}, "three"),
        ("1", {"type": ["boolean", "integer"]}, 1),
        ("yes", {"type": ["boolean", "string"]}, "yes"),
        ("true", {"type": ["boolean", "string"]}, True),
        ("red", {"enum": ["red", "green"]}, "red"),
        ("2", {"enum": [1, 2]}, 2),
        ("2", {"const": 2}, 2),
        ("x", {}, "x"),
        ("2", {}, 2),
        ("2", True, 2),
        ("2", {"anyOf": [{"type": "string"}, {}]}, 2),
        ("2", {"type": "money"}, 2),
    ],
)
def test_a_value_becomes_what_its_schema_says(text: str, schema: object, value: object) -> None:
    result = coerced(text, schema)
    assert (result, type(result)) == (value, type(value))


def test_a_reference_into_the_schema_is_followed() -> None:
    schema = {"properties": {"v": {"$ref": "#/$defs/Age"}}, "$defs": {"Age": {"type": "integer"}}}
    assert keywords("v=7", schema=schema) == {"v": 7}


def test_a_reference_to_itself_ends() -> None:
    schema = {"properties": {"v": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"$ref": "#/$defs/A"}}}
    assert keywords("v=7", schema=schema) == {"v": 7}


@pytest.mark.parametrize(
    ("text", "schema", "expected"),
    [
        ("three", {"type": "integer"}, 'v: "three" is not an integer'),
        ("1_0", {"type": "number"}, 'v: "1_0" is not a number'),
        ("3.5", {"type": "integer"}, 'v: "3.5" is not an integer'),
        ("nan", {"type": "number"}, 'v: "nan" is not a number'),
        ("maybe", {"type": "boolean"}, 'v: "maybe" is not true or false'),
        ("x", {"type": ["integer", "null"]}, 'v: "x" is not null or an integer'),
        ("a,b", {"type": "array"}, "v: \"a,b\" is not an array; write v:='JSON'"),
        ("{}", {"type": "array"}, "v: \"{}\" is not an array; write v:='JSON'"),
        ("[]", {"type": "object"}, "v: \"[]\" is not an object; write v:='JSON'"),
    ],
)
def test_a_value_that_does_not_fit_names_the_argument_and_the_type(text: str, schema: object, expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        coerced(text, schema)
    assert str(caught.value) == expected


def test_json_values_are_left_to_the_agent_to_judge() -> None:
    assert keywords('v:="three"', schema={"properties": {"v": {"type": "integer"}}}) == {"v": "three"}


def test_an_argument_the_operation_does_not_have_names_the_nearest() -> None:
    schema = {"properties": {"limit": {}, "start": {}}, "additionalProperties": False}
    assert message("op", "limt=3", schema=schema) == (
        'op has no argument "limt"; did you mean limit? it takes limit, start'
    )


def test_an_operation_without_arguments_says_so() -> None:
    schema: dict[str, Any] = {"properties": {}, "additionalProperties": False}
    assert message("op", "x=3", schema=schema) == 'op has no argument "x"; it takes no arguments'


def test_an_open_schema_takes_any_argument() -> None:
    assert keywords("extra=3", schema={"properties": {}}) == {"extra": 3}


def test_a_long_value_is_shortened_in_a_message() -> None:
    assert len(message("op", f"x:={'z' * 5000}")) < 200


def test_only_text_arguments_ask_for_a_schema() -> None:
    assert words("op", "x=1").needs_schema
    assert not words("op", "x:=1", json_text="{}").needs_schema


@given(st.text(), st.recursive(st.none() | st.booleans() | st.text() | st.integers(), st.lists))
def test_whatever_is_typed_and_described_gives_params_or_a_usage_error(text: str, odd: object) -> None:
    for schema in (odd, {"type": odd}, {"enum": odd}, {"const": odd}, {"anyOf": odd}, {"oneOf": [odd]}, {"$ref": odd}):
        with contextlib.suppress(UsageError):
            coerced(text, schema)
        with contextlib.suppress(UsageError):
            params(f"v:={text}", schema={"properties": schema})


def test_a_schema_that_multiplies_by_reference_is_read_in_no_time() -> None:
    wide = {f"L{level}": {"anyOf": [{"$ref": f"#/$defs/L{level + 1}"}] * 50} for level in range(12)}
    schema = {"properties": {"v": {"$ref": "#/$defs/L0"}}, "$defs": wide | {"L12": {"type": "integer"}}}
    assert keywords("v=7", schema=schema) == {"v": 7}
