"""Operations as signatures: what each kind of schema reads like, and that no schema is too odd to be shown."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fame_cli.cli.signature import signature


def shown(schema: object, *required: str) -> str:
    """Return how one parameter called ``v`` is shown."""
    line = signature("f", {"properties": {"v": schema}, "required": list(required)}, streaming=False)
    return line.removeprefix("f(").removesuffix(") -> one answer")


def test_an_operation_reads_like_a_function() -> None:
    schema = {"properties": {"x": {"type": "integer"}, "y": {"type": "integer", "default": 3}}, "required": ["x"]}
    assert signature("add", schema, streaming=False) == "add(x: integer, y: integer = 3) -> one answer"


def test_a_stream_says_so() -> None:
    assert signature("ticks", {}, streaming=True) == "ticks() -> stream"


def test_what_may_be_left_out_without_a_default_has_a_question_mark() -> None:
    assert (shown({"type": "string"}), shown({"type": "string"}, "v")) == ("v?: string", "v: string")


def test_a_default_of_null_is_one() -> None:
    assert shown({"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}) == "v: string | null = null"


@pytest.mark.parametrize("extra", [True, {"type": "string"}])
def test_other_names_are_dots_where_they_are_taken(extra: object) -> None:
    assert signature("f", {"properties": {"x": {}}, "additionalProperties": extra}, streaming=False) == (
        "f(x?: any, ...) -> one answer"
    )


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({}, "any"),
        (True, "any"),
        ({"type": "array", "items": {"type": "integer"}}, "integer[]"),
        ({"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}, "(integer | null)[]"),
        ({"type": "array"}, "array"),
        ({"type": ["integer", "null"]}, "integer | null"),
        ({"oneOf": [{"type": "integer"}, {"type": "integer"}]}, "integer"),
        ({"enum": ["a", 1]}, '"a" | 1'),
        ({"const": "é"}, '"é"'),
        ({"$ref": "#/$defs/Point"}, "Point"),
        ({"$ref": ""}, "any"),
    ],
)
def test_each_schema_has_a_kind(schema: object, kind: str) -> None:
    assert shown(schema, "v") == f"v: {kind}"


def test_a_schema_that_is_endlessly_deep_comes_to_an_end() -> None:
    schema: dict[str, Any] = {"type": "array"}
    schema["items"] = schema
    assert shown(schema, "v").startswith("v: any[]")


@given(st.recursive(st.none() | st.booleans() | st.text() | st.integers(), st.lists))
def test_whatever_an_agent_describes_can_be_shown(odd: Any) -> None:
    for schema in (odd, {"type": odd}, {"enum": odd}, {"const": odd}, {"anyOf": odd}, {"oneOf": [odd]}, {"$ref": odd}):
        assert shown(schema).startswith("v")
    signature("f", {"properties": odd, "required": odd, "additionalProperties": odd}, streaming=False)
