"""Operations without Python: their parameters are checked and described like any."""

from collections.abc import Awaitable

import pytest
from declared_rig import ask, declared, optional, required
from node_rig import bounded

from fame_cli.errors import ConfigError, RemoteError
from fame_cli.node.declared import Answer, HttpCall, JsonType, Parameter, Template
from fame_cli.node.operation import INVALID_PARAMS

TYPES: list[tuple[JsonType, object, list[object]]] = [
    ("integer", 3, [3.5, "3", True, None]),
    ("number", 3, ["3", True, None]),
    ("number", 3.5, [[]]),
    ("string", "a", [3, None, ["a"]]),
    ("boolean", True, [1, "true", None]),
    ("object", {"a": {"b": 1}}, [[], "{}", None]),
    ("array", [1, "a", None], [{}, "[]", None]),
]


@pytest.mark.parametrize(("kind", "good", "wrong"), TYPES)
def test_arguments_are_held_to_their_type(kind: JsonType, good: object, wrong: list[object]) -> None:
    operation = declared(Template("{{ x | tojson }}", "json"), required("x", kind))
    result = ask(operation, x=good)
    assert result == good
    assert type(result) is type(good)
    for value in wrong:
        with pytest.raises(RemoteError, match=r"^op: x: expected ") as caught:
            operation.invoke([], {"x": value})
        assert (caught.value.code, caught.value.data) == (INVALID_PARAMS, {"parameter": "x"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "op needs a; it takes a, b"),
        ({"a": "x", "c": 1}, "op has no parameter c; it takes a, b"),
        ({"a": "x", "b": None}, "op: b: expected int, got null"),
    ],
)
def test_missing_and_unknown_arguments_are_refused(arguments: dict[str, object], message: str) -> None:
    operation = declared(Template("{{ a }}{{ b }}"), required("a"), optional("b", 2, "integer"))
    with pytest.raises(RemoteError) as caught:
        operation.invoke([], arguments)
    assert (caught.value.code, str(caught.value)) == (INVALID_PARAMS, message)


def test_arguments_may_come_by_position() -> None:
    async def main() -> object:
        operation = declared(Template("{{ a }}{{ b }}"), required("a"), optional("b", 2, "integer"))
        outcome = operation.invoke(["x", 3], {})
        assert isinstance(outcome, Awaitable)
        return await outcome

    assert bounded(main()) == "x3"


def test_defaults_fill_what_is_not_given() -> None:
    operation = declared(
        Template("{{ a }} {{ b }} {{ c }}"), optional("a", "x"), optional("b", [1], "array"), optional("c", None)
    )
    assert ask(operation) == "x [1] None"
    assert ask(operation, a="y", c=None) == "y [1] None"


def test_a_parameter_may_have_any_name() -> None:
    operation = declared(
        Template("{{ class }}{{ __init__ }}{{ self_ }}", "json"),
        *(required(name, "integer") for name in ("class", "__init__", "self_")),
    )
    assert ask(operation, **{"class": 1, "__init__": 2, "self_": 3}) == 123


def test_the_schema_is_that_of_the_parameters() -> None:
    operation = declared(
        Template(""),
        Parameter("n", "number", description="How much."),
        Parameter("tags", "array", required=False, default=["a"]),
        Parameter("note", "string", required=False, default=None),
    )
    assert operation.describe() == {
        "name": "op",
        "description": "What it does.",
        "streaming": False,
        "schema": {
            "type": "object",
            "properties": {
                "n": {"type": "number", "description": "How much."},
                "tags": {"type": "array", "default": ["a"]},
                "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
            },
            "required": ["n"],
            "additionalProperties": False,
        },
    }


@pytest.mark.parametrize("answer", [Template("a"), HttpCall("http://127.0.0.1:1/")])
def test_only_a_command_can_stream(answer: Answer) -> None:
    with pytest.raises(ConfigError, match="only a command can stream"):
        declared(answer, streaming=True)
