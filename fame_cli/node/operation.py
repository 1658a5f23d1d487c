"""One operation of an agent: its name, its JSON Schema, and a function that checks arguments before it calls.

All the looking at signatures happens once, when the operation is made; a call converts its arguments with one msgspec
struct built from the type hints. What the hints ask for is what the schema says and what callers are held to: a
missing, unknown or wrong argument is answered with -32602 and its name, and the handler never runs. Operations that
come from a config instead of a function (``declared.py``) have the same `Shape`.
"""

import asyncio
import inspect
import re
import sys
import typing
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Annotated, Any

import msgspec

from fame_cli.core.envelope import encode_json
from fame_cli.errors import LocalProtocolError, RemoteError

__all__ = [
    "INTERNAL",
    "INVALID_PARAMS",
    "Field",
    "Invoke",
    "Operation",
    "Schema",
    "Shape",
    "operation_from",
    "optional_field",
    "read_json",
    "wrong_argument",
]

INVALID_PARAMS, INTERNAL = -32602, -32603
"""JSON-RPC error codes."""

Schema = dict[str, Any]
"""JSON Schema of an operation's parameters: always of type object."""

Invoke = Callable[[Sequence[object], Mapping[str, object]], object]
"""(positional, keyword) → the result, an awaitable of it, or an async iterator of items."""

Field = tuple[str, Any] | tuple[str, Any, Any]
"""A parameter: its name, its type hint, and its default or a `msgspec.field`; without a default it is required."""

_DEFS = "#/$defs/"
_END = object()

LONGEST_ECHO = 200
"""Characters of a caller's own text that an answer repeats."""

UNRESOLVED = (NameError, TypeError, AttributeError, SyntaxError)
"""What reading a type hint raises when it names something that can't be found at run time."""


@dataclass(slots=True, frozen=True)
class Operation:
    """Hold one operation.

    Args:
        name: what callers say; becomes the capability ``op:<name>``.
        description: one line or more for people.
        streaming: True when it yields items.
        schema: JSON Schema of its parameters.
        invoke: check the arguments and start it; raises RemoteError (-32602) when they don't fit.
    """

    name: str
    description: str
    streaming: bool
    schema: Schema
    invoke: Invoke

    def describe(self) -> dict[str, object]:
        """Return what `agent.describe` tells of it."""
        return {
            "name": self.name,
            "description": self.description,
            "streaming": self.streaming,
            "schema": self.schema,
        }

    def encode(self, value: object) -> bytes:
        """Encode what the operation gave back.

        Raises:
            RemoteError: -32603, it has no JSON form; a nan has none either, and must not become the null that ends a
                stream (spec 8.3).
        """
        try:
            data = encode_json(value)
        except LocalProtocolError as error:
            raise RemoteError(f"{self.name} gave back something with {error.message}", code=INTERNAL) from error
        if data == b"null" and value is not None:
            raise RemoteError(f"{self.name} gave back {value!r:.40}, which JSON can't say", code=INTERNAL)
        return data


def wrong_argument(message: str, parameter: str) -> RemoteError:
    """Build the answer to an argument that doesn't fit."""
    return RemoteError(message, code=INVALID_PARAMS, data={"parameter": parameter})


def read_json(operation: str, what: str, data: bytes | str) -> object:
    """Read what something outside has answered for an operation.

    Raises:
        RemoteError: -32603, it isn't JSON.
    """
    try:
        value: object = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RemoteError(f"{operation}: {what} isn't JSON: {error}", code=INTERNAL) from error
    return value


def operation_from(
    function: Callable[..., Any], *, name: str | None = None, description: str | None = None, thread: bool = False
) -> Operation:
    """Make an operation of a function or bound method.

    Plain functions and generators run in the event loop and must not block; with `thread` they run in a thread. A
    generator, async or not, streams.

    Args:
        name: None for the function's own. description: None for its docstring.
    """
    shape = _shape_of(function, name or function.__name__)
    inner = inspect.unwrap(function)
    streaming = inspect.isasyncgenfunction(inner) or inspect.isgeneratorfunction(inner)
    call: Callable[..., object] = function
    if inspect.isgeneratorfunction(function):
        call = _stepped_in_thread(function) if thread else _stepped(function)
    elif thread and not inspect.iscoroutinefunction(function):
        call = _threaded(function)
    return Operation(
        name or function.__name__,
        description if description is not None else inspect.getdoc(function) or "",
        streaming,
        shape.schema(),
        shape.invoker(call),
    )


def _stepped(function: Callable[..., Iterator[object]]) -> Callable[..., AsyncIterator[object]]:
    async def items(*args: object, **arguments: object) -> AsyncIterator[object]:
        for item in function(*args, **arguments):
            yield item

    return items


def _stepped_in_thread(function: Callable[..., Iterator[object]]) -> Callable[..., AsyncIterator[object]]:
    async def items(*args: object, **arguments: object) -> AsyncIterator[object]:
        iterator = function(*args, **arguments)
        while (item := await asyncio.to_thread(next, iterator, _END)) is not _END:
            yield item

    return items


def _threaded(function: Callable[..., object]) -> Callable[..., Awaitable[object]]:
    def start(*args: object, **arguments: object) -> Awaitable[object]:
        return asyncio.to_thread(function, *args, **arguments)

    return start


class Shape:
    """Know what arguments an operation takes: read once, then used for the schema and for every call.

    Args:
        name: of the operation, for messages.
        positional: parameters that may be given by position, in order.
        keyword_only: parameters that may not.
        rest: True when more positional arguments are taken. open_ended: True when any other names are.
    """

    def __init__(
        self,
        name: str,
        positional: Sequence[Field],
        keyword_only: Sequence[Field] = (),
        *,
        rest: bool = False,
        open_ended: bool = False,
    ) -> None:
        self._name = name
        self._positional = [field[0] for field in positional]
        self._keyword_only = [field[0] for field in keyword_only]
        self._rest = rest
        self._open = open_ended
        # attributes of a struct can't have every name that a parameter can, so they are numbered
        fields = {f"a{at}": field for at, field in enumerate([*positional, *keyword_only])}
        self._struct = msgspec.defstruct(
            "Arguments",
            [(attribute, *field[1:]) for attribute, field in fields.items()],
            rename={attribute: field[0] for attribute, field in fields.items()},
            kw_only=True,
            forbid_unknown_fields=not open_ended,
        )

    def schema(self) -> Schema:
        """Return the JSON Schema of the parameters."""
        ((top,), components) = msgspec.json.schema_components([self._struct], ref_template=f"{_DEFS}{{name}}")
        schema: Schema = dict(components.pop(top["$ref"].removeprefix(_DEFS)))
        schema.pop("title", None)
        schema["additionalProperties"] = self._open
        schema["properties"] = {name: _shortened(each) for name, each in schema["properties"].items()}
        if components:
            schema["$defs"] = components
        return schema

    def invoker(self, call: Callable[..., object]) -> Invoke:
        """Return the function that checks arguments and calls."""
        struct, positional = self._struct, len(self._positional)
        names = [*self._positional, *self._keyword_only]
        convert, as_tuple = msgspec.convert, msgspec.structs.astuple
        plain = not self._keyword_only and not self._rest and not self._open

        def invoke(args: Sequence[object], kwargs: Mapping[str, object]) -> object:
            given = self._merge(args, kwargs) if args else kwargs
            try:
                checked = convert(given, struct)
            except msgspec.ValidationError as error:
                raise self._explain(str(error)) from error
            values = as_tuple(checked)
            if plain:
                return call(*values)
            extra = {key: value for key, value in given.items() if key not in names}
            named = dict(zip(self._keyword_only, values[positional:], strict=True))
            return call(*values[:positional], *args[positional:], **named, **extra)

        return invoke

    def _merge(self, args: Sequence[object], kwargs: Mapping[str, object]) -> dict[str, object]:
        if len(args) > len(self._positional) and not self._rest:
            takes = f"{self._name} takes {len(self._positional)} positional arguments, got {len(args)}"
            raise wrong_argument(takes, str(len(self._positional)))
        given = dict(zip(self._positional, args, strict=False))
        twice = given.keys() & kwargs.keys()
        if twice:
            name = min(twice)
            raise wrong_argument(f"{self._name} got {name} twice: by position and by name", name)
        return {**given, **kwargs}

    def _explain(self, problem: str) -> RemoteError:
        """Turn msgspec's words into ours, with the parameter's name in front."""
        takes = ", ".join([*self._positional, *self._keyword_only]) or "nothing"
        missing = re.fullmatch(r"Object missing required field `(\w+)`", problem)
        if missing:
            return wrong_argument(f"{self._name} needs {missing[1]}; it takes {takes}", missing[1])
        unknown = re.fullmatch(r"Object contains unknown field `(.*)`", problem, re.DOTALL)
        if unknown:
            name = unknown[1][:LONGEST_ECHO]
            shown = name if name.isidentifier() else ascii(name)
            return wrong_argument(f"{self._name} has no parameter {shown}; it takes {takes}", name)
        place = re.fullmatch(r"(.*) - at (?:`key` in )?`\$\.?(\w*)(.*)`", problem, re.DOTALL)
        if place:
            where = place[2] + place[3]
            what = place[1][0].lower() + place[1][1:].replace("`", "")
            return wrong_argument(f"{self._name}: {where}: {what}", place[2])
        return wrong_argument(f"{self._name}: {problem}", "")


def _shape_of(function: Callable[..., Any], name: str) -> Shape:
    parameters = inspect.signature(function).parameters.values()
    kinds = inspect.Parameter
    hints = _hints(function)
    by_kind: dict[object, list[Field]] = {}
    for each in parameters:
        by_kind.setdefault(each.kind, []).append(_field(each, hints.get(each.name, Any)))
    return Shape(
        name,
        [*by_kind.get(kinds.POSITIONAL_ONLY, ()), *by_kind.get(kinds.POSITIONAL_OR_KEYWORD, ())],
        by_kind.get(kinds.KEYWORD_ONLY, ()),
        rest=kinds.VAR_POSITIONAL in by_kind,
        open_ended=kinds.VAR_KEYWORD in by_kind,
    )


def _shortened(schema: Schema) -> Schema:
    """Say "number" where msgspec says "integer or number"."""
    branches = schema.get("anyOf", [])
    if {"type": "integer"} not in branches or {"type": "number"} not in branches:
        return schema
    branches = [branch for branch in branches if branch != {"type": "integer"}]
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**rest, "anyOf": branches} if len(branches) > 1 else {**branches[0], **rest}


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the type hints of a function; one that can't be found at run time doesn't spoil the others."""
    try:
        return typing.get_type_hints(function, include_extras=True)
    except UNRESOLVED:
        inner = inspect.unwrap(function)
        names = vars(sys.modules[inner.__module__]) if inner.__module__ in sys.modules else {}
        return {name: _resolved(hint, names) for name, hint in inspect.get_annotations(inner).items()}


def _resolved(hint: object, names: dict[str, Any]) -> object:
    alone = SimpleNamespace(__annotations__={"it": hint})
    try:
        return typing.get_type_hints(alone, names, include_extras=True)["it"]
    except UNRESOLVED:
        return Any


def _field(parameter: inspect.Parameter, hint: Any) -> Field:
    if parameter.default is None and hint is not Any:
        hint = typing.Optional[hint]  # noqa: UP045  # `x: int = None` means it; `|` fails on hints that are text
    try:
        msgspec.json.schema(hint)
    except (TypeError, ValueError, NotImplementedError):
        hint = Any  # msgspec can't check it: the handler gets the JSON value as it came
    empty = parameter.default is inspect.Parameter.empty
    return (parameter.name, hint) if empty else optional_field(parameter.name, hint, parameter.default)


def optional_field(name: str, hint: object, default: object) -> Field:
    """Return a parameter with a default; lists and dicts are copied for every call."""
    if default is None or isinstance(default, bool | int | float | str):
        return (name, hint, default)
    copied = isinstance(default, list | dict | set)
    field = msgspec.field(default_factory=partial(deepcopy, default) if copied else lambda: default)
    try:
        shown = msgspec.to_builtins(default, str_keys=True)
    except (TypeError, ValueError, RecursionError):
        return (name, hint, field)  # a default callers can't be told, e.g. an object that stands for "not given"
    return (name, Annotated[hint, msgspec.Meta(extra_json_schema={"default": shown})], field)
