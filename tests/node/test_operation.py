"""One operation: what its signature makes of arguments, of wrong ones, and of the schema callers see."""

import asyncio
import enum
import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, NotRequired, Optional, TypedDict

import msgspec
import pytest

from fame_cli.errors import RemoteError
from fame_cli.node.operation import INTERNAL, INVALID_PARAMS, operation_from


def invoke(function, *args: object, **arguments: object) -> object:
    return operation_from(function).invoke(args, arguments)


def refusal(function, *args: object, **arguments: object) -> tuple[str, str]:
    """Return the text of a refusal and the parameter it names."""
    with pytest.raises(RemoteError) as caught:
        operation_from(function).invoke(args, arguments)
    assert caught.value.code == INVALID_PARAMS
    return caught.value.message, caught.value.data["parameter"]


def properties(function) -> dict[str, object]:
    return operation_from(function).schema["properties"]


def add(x: int, y: int = 1) -> int:
    """Add two numbers."""
    return x + y


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclass
class Point:
    x: int
    y: int = 0


class Options(TypedDict):
    deep: bool
    note: NotRequired[str]


class Size(NamedTuple):
    width: int
    height: int


class Box(msgspec.Struct):
    size: Size
    color: Color = Color.RED


# What may be given


@pytest.mark.parametrize(
    ("args", "arguments", "result"),
    [((3, 4), {}, 7), ((3,), {}, 4), ((3,), {"y": 4}, 7), ((), {"x": 3, "y": 4}, 7), ((), {"y": 4, "x": 3}, 7)],
)
def test_arguments_come_by_position_by_name_and_by_default(args, arguments, result) -> None:
    assert operation_from(add).invoke(args, arguments) == result


@pytest.mark.parametrize(
    ("hint", "given", "taken"),
    [
        (int, 3, 3),
        (int, -(2**70), -(2**70)),
        (float, 3, 3.0),
        (bool, True, True),
        (str, "", ""),
        (list[int], [1, 2], [1, 2]),
        (set[int], [1, 1], {1}),
        (tuple[int, str], [1, "a"], (1, "a")),
        (dict[str, float], {"a": 1}, {"a": 1.0}),
        (Optional[int], None, None),  # noqa: UP045  # the old spelling is what is tested
        (int | None, 4, 4),
        (int | str, "a", "a"),
        (Literal["up", "down"], "up", "up"),
        (Literal[1, 2], 2, 2),
        (Color, "blue", Color.BLUE),
        (Level, 2, Level.HIGH),
        (Point, {"x": 1}, Point(1, 0)),
        (list[Point], [{"x": 1, "y": 2}], [Point(1, 2)]),
        (Options, {"deep": True}, {"deep": True}),
        (Size, [1, 2], Size(1, 2)),
        (Box, {"size": [1, 2], "color": "blue"}, Box(Size(1, 2), Color.BLUE)),
        (date, "2026-01-31", date(2026, 1, 31)),
        (bytes, "aGk=", b"hi"),
        (Annotated[int, msgspec.Meta(ge=1)], 1, 1),
        (object, {"a": [1]}, {"a": [1]}),
        (None, None, None),
    ],
)
def test_an_argument_becomes_what_its_hint_says(hint, given, taken) -> None:
    def echo(value):
        return value

    echo.__annotations__["value"] = hint
    assert invoke(echo, value=given) == taken
    assert type(invoke(echo, given)) is type(taken)


@pytest.mark.parametrize("given", [1, "a", None, [1], {"a": None}, 1.5, True])
def test_an_argument_without_a_hint_is_taken_as_it_comes(given) -> None:
    def echo(value):
        return value

    assert invoke(echo, given) == given


def test_a_hint_that_cannot_be_checked_takes_anything() -> None:
    def read(path: Path, either: Point | Size | Box | Options) -> list[object]:
        return [path, either]

    assert invoke(read, "a.txt", 1) == ["a.txt", 1]
    assert properties(read) == {"path": {}, "either": {}}


def test_hints_that_name_what_is_not_there_count_as_none() -> None:
    def later(x: "Missing") -> "Missing":  # noqa: F821  # the name is missing on purpose
        return x

    assert invoke(later, "a") == "a"


def test_keyword_only_parameters_come_by_name() -> None:
    def scale(x: int, *, by: int = 2, offset: int) -> int:
        return x * by + offset

    assert invoke(scale, 3, offset=1) == 7
    assert invoke(scale, x=3, by=3, offset=1) == 10
    assert refusal(scale, 3, 2, 1) == ("scale takes 1 positional arguments, got 3", "1")


def test_positional_only_parameters_come_either_way() -> None:
    def half(x: int, /) -> float:
        return x / 2

    assert invoke(half, 3) == invoke(half, x=3) == 1.5


def test_further_positional_arguments_go_to_the_star_parameter() -> None:
    def total(first: int, *rest: int) -> int:
        return first + sum(rest)

    assert invoke(total, 1, 2, 3) == 6
    assert invoke(total, first=1) == 1
    assert refusal(total)[1] == "first"


def test_further_names_go_to_the_double_star_parameter() -> None:
    def tell(greeting: str = "hi", **names: str) -> list[object]:
        return [greeting, names]

    assert invoke(tell, a=1, greeting="ho") == ["ho", {"a": 1}]
    assert operation_from(tell).schema["additionalProperties"] is True


def test_everything_at_once() -> None:
    def mix(a, /, b, *rest, c, d=4, **more):
        return [a, b, rest, c, d, more]

    assert invoke(mix, 1, 2, 9, 8, c=3, e=5) == [1, 2, (9, 8), 3, 4, {"e": 5}]
    assert invoke(mix, a=1, b=2, c=3) == [1, 2, (), 3, 4, {}]


def test_a_list_default_is_fresh_for_every_call() -> None:
    def collect(x: int, into: list[int] = []) -> list[int]:  # noqa: B006  # that is the point
        into.append(x)
        return into

    collected = operation_from(collect)
    assert collected.invoke([1], {}) == [1]
    assert collected.invoke([2], {}) == [2]


def test_any_default_is_passed_as_it_is() -> None:
    missing = object()

    def given(x=missing, point: Point = Point(1, 2), color: Color = Color.BLUE):  # noqa: B008
        return [x is missing, point, color]

    assert invoke(given) == [True, Point(1, 2), Color.BLUE]
    assert properties(given)["x"] == {}
    assert properties(given)["point"]["default"] == {"x": 1, "y": 2}
    assert properties(given)["color"]["default"] == "blue"


def test_parameters_may_have_any_name() -> None:
    def odd(__struct_fields__: int, größe: int, self: int = 1) -> list[int]:
        return [__struct_fields__, größe, self]

    assert invoke(odd, __struct_fields__=1, größe=2) == [1, 2, 1]
    assert refusal(odd, 1, "a") == ("odd: größe: expected int, got str", "größe")


# What may not


@pytest.mark.parametrize(
    ("args", "arguments", "message", "parameter"),
    [
        ((), {}, "add needs x; it takes x, y", "x"),
        ((), {"y": 1}, "add needs x; it takes x, y", "x"),
        ((1,), {"z": 1}, "add has no parameter z; it takes x, y", "z"),
        ((1,), {"a`b\n": 1}, "add has no parameter 'a`b\\n'; it takes x, y", "a`b\n"),
        ((1, 2, 3), {}, "add takes 2 positional arguments, got 3", "2"),
        ((1,), {"x": 1}, "add got x twice: by position and by name", "x"),
        (("1",), {}, "add: x: expected int, got str", "x"),
        ((1.5,), {}, "add: x: expected int, got float", "x"),
        ((True,), {}, "add: x: expected int, got bool", "x"),
        ((None,), {}, "add: x: expected int, got null", "x"),
        ((1, [1]), {}, "add: y: expected int, got array", "y"),
    ],
)
def test_a_wrong_argument_is_told_with_its_name(args, arguments, message, parameter) -> None:
    assert refusal(add, *args, **arguments) == (message, parameter)


def test_a_wrong_part_of_an_argument_is_told_with_its_place() -> None:
    def draw(points: list[Point], shape: dict[str, int] | None = None) -> None: ...

    assert refusal(draw, [{"x": 1}, {"x": "a"}]) == ("draw: points[1].x: expected int, got str", "points")
    assert refusal(draw, [{}]) == ("draw: points[0]: object missing required field x", "points")
    assert refusal(draw, [], {"a": "b"}) == ("draw: shape[...]: expected int, got str", "shape")


def test_a_word_that_is_none_of_the_choices_is_refused() -> None:
    def turn(way: Literal["left", "right"], color: Color = Color.RED) -> None: ...

    assert refusal(turn, "up") == ("turn: way: invalid enum value 'up'", "way")
    assert refusal(turn, "left", "green") == ("turn: color: invalid enum value 'green'", "color")


def test_a_number_out_of_its_range_is_refused() -> None:
    def roll(sides: Annotated[int, msgspec.Meta(ge=2)]) -> None: ...

    assert refusal(roll, 1) == ("roll: sides: expected int >= 2", "sides")


def test_an_operation_without_parameters_says_that_it_takes_nothing() -> None:
    def ping() -> str:
        return "pong"

    assert invoke(ping) == "pong"
    assert refusal(ping, a=1) == ("ping has no parameter a; it takes nothing", "a")
    assert refusal(ping, 1) == ("ping takes 0 positional arguments, got 1", "0")


# What callers are told


def test_the_schema_says_what_the_signature_says() -> None:
    def greet(name: str, times: int = 1, loud: bool | None = None, *, size: int | float = 1.5) -> None: ...

    schema = operation_from(greet).schema
    assert schema == {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "times": {"type": "integer", "default": 1},
            "loud": {"anyOf": [{"type": "boolean"}, {"type": "null"}], "default": None},
            "size": {"type": "number", "default": 1.5},
        },
        "required": ["name"],
        "additionalProperties": False,
    }


def test_the_schema_shows_defaults_that_are_lists() -> None:
    def pick(of: list[int] = [1, 2]) -> None: ...  # noqa: B006

    assert properties(pick)["of"] == {"type": "array", "items": {"type": "integer"}, "default": [1, 2]}


def test_the_schema_of_a_nested_type_is_a_definition_it_refers_to() -> None:
    def put(box: Box) -> None: ...

    schema = operation_from(put).schema
    assert schema["properties"]["box"] == {"$ref": "#/$defs/Box"}
    assert schema["$defs"].keys() == {"Box", "Color", "Size"}
    assert schema["$defs"]["Box"]["properties"]["color"]["$ref"] == "#/$defs/Color"


def test_a_type_of_the_user_may_be_called_arguments() -> None:
    @dataclass
    class Arguments:
        a: int

    def run(arguments: Arguments) -> int:
        return arguments.a

    run.__annotations__["arguments"] = Arguments
    assert invoke(run, {"a": 3}) == 3
    assert list(properties(run)) == ["arguments"]
    assert len(operation_from(run).schema["$defs"]) == 1


def test_every_schema_is_json() -> None:
    def all_of_it(a: Point, b: Color, c: Options, d: Size, e: set[int], f: date, g=object()) -> None: ...  # noqa: B008

    assert json.loads(json.dumps(operation_from(all_of_it).schema))["required"] == ["a", "b", "c", "d", "e", "f"]


def test_a_docstring_is_the_description() -> None:
    assert operation_from(add).describe() == {
        "name": "add",
        "description": "Add two numbers.",
        "streaming": False,
        "schema": operation_from(add).schema,
    }


def test_name_and_description_may_be_given() -> None:
    made = operation_from(add, name="math.add", description="Sum.")
    assert (made.name, made.description) == ("math.add", "Sum.")
    with pytest.raises(RemoteError, match=r"^math\.add needs x"):
        made.invoke([], {})
    assert operation_from(lambda: 1).description == ""


# What comes back


def test_generators_of_both_kinds_stream() -> None:
    def count(n: int):
        yield from range(n)

    async def count_async(n: int):
        for number in range(n):
            yield number

    async def collect(function) -> list[object]:
        made = operation_from(function)
        assert made.streaming
        return [item async for item in made.invoke([3], {})]

    assert asyncio.run(collect(count)) == asyncio.run(collect(count_async)) == [0, 1, 2]
    assert not operation_from(add).streaming


def test_a_blocking_function_runs_in_a_thread() -> None:
    import threading

    def where() -> bool:
        return threading.current_thread() is threading.main_thread()

    async def main() -> list[object]:
        return [await operation_from(where, thread=True).invoke([], {}), operation_from(where).invoke([], {})]

    assert asyncio.run(main()) == [False, True]


def test_a_blocking_generator_runs_in_a_thread_step_by_step() -> None:
    import threading

    def where():
        for _ in range(2):
            yield threading.current_thread() is threading.main_thread()

    async def main() -> list[object]:
        return [item async for item in operation_from(where, thread=True).invoke([], {})]

    assert asyncio.run(main()) == [False, False]


@pytest.mark.parametrize("value", [object(), {"a": {1: object()}}, "\ud800", 1j])
def test_a_result_without_a_json_form_is_an_error_of_the_operation(value) -> None:
    with pytest.raises(RemoteError, match=r"^add gave back something with no JSON form") as caught:
        operation_from(add).encode(value)
    assert caught.value.code == INTERNAL


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (Point(1), b'{"x":1,"y":0}'),
        (Color.RED, b'"red"'),
        (
            {
                1,
            },
            b"[1]",
        ),
        (date(2026, 1, 2), b'"2026-01-02"'),
    ],
)
def test_results_of_usual_types_have_a_json_form(value, data) -> None:
    assert operation_from(add).encode(value) == data


def test_a_nan_is_an_error_and_not_the_null_that_ends_a_stream() -> None:
    with pytest.raises(RemoteError, match=r"add gave back nan, which JSON can't say"):
        operation_from(add).encode(float("nan"))


def test_an_unknown_argument_is_repeated_short_and_on_one_line() -> None:
    with pytest.raises(RemoteError) as caught:
        operation_from(add).invoke([], {"x": 1, "y": 2, "z\n" * 1000: 3})
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 1500


def test_a_wrong_key_inside_an_argument_names_the_argument() -> None:
    def count(words: dict[int, str]) -> int:
        return len(words)

    with pytest.raises(RemoteError) as caught:
        operation_from(count).invoke([], {"words": {"one": "x"}})
    assert caught.value.data == {"parameter": "words"}


def test_a_hint_that_cannot_be_found_does_not_spoil_the_others() -> None:
    def mixed(x: int, y: "NotThere") -> int:  # noqa: F821
        return x

    with pytest.raises(RemoteError, match="x: expected int"):
        operation_from(mixed).invoke([], {"x": "one", "y": object()})


def test_null_is_good_where_the_default_is_none() -> None:
    def greet(name: str = None) -> str:  # noqa: RUF013
        return name or "you"

    assert operation_from(greet).invoke([], {"name": None}) == "you"
