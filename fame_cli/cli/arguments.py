"""From the words of a command line to the `params` of a call.

``name=value`` is text, coerced by the operation's JSON schema when there is one, else taken as JSON if it parses as
such; ``name:=json`` is JSON; ``name=@file`` and ``name:=@file`` take text and JSON from a file (``-``: from stdin);
``--json`` gives the whole object. Everything wrong with them is a `UsageError` of one line that says which word and
what to write instead. Nothing here talks to a fabric: who describes an operation is the caller's business.
"""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TextIO

from fame_cli.cli.likeness import alike
from fame_cli.core import address
from fame_cli.errors import RemoteProtocolError, UsageError

__all__ = ["Argument", "CallWords", "build_params", "parse_argument", "parse_words", "shown"]

Schema = Mapping[str, Any]

_SHOWN_CHARACTERS = 60
_DEEPEST = 32
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
_TRY_ORDER = ("null", "boolean", "integer", "number", "object", "array", "string")
"""Narrowest first, so that ``integer|string`` makes 7 a number and "seven" a text."""

_ARTICLES = {
    "null": "null",
    "boolean": "true or false",
    "integer": "an integer",
    "number": "a number",
    "object": "an object",
    "array": "an array",
    "string": "a text",
}


@dataclass(frozen=True, slots=True)
class Argument:
    """Hold one argument: `text` as typed or read, still to be coerced, or a finished `value` when `text` is None."""

    name: str
    text: str | None = None
    value: object = None


@dataclass(frozen=True, slots=True)
class CallWords:
    """Hold what the words of ``fame call`` and ``fame stream`` mean; `target` is None if none was given."""

    target: str | None
    operation: str
    arguments: tuple[Argument, ...]
    document: Mapping[str, Any] | None = None

    @property
    def needs_schema(self) -> bool:
        """Tell whether some argument is text whose type only the operation's schema can tell."""
        return any(argument.text is not None for argument in self.arguments)


def parse_words(words: Sequence[str], json_text: str | None, *, verb: str, stdin: TextIO) -> CallWords:
    """Read ``[TARGET] OPERATION [name=value …]`` and the ``--json`` option.

    Args:
        words: the positional words, at least one.
        json_text: the value of ``--json``; ``-`` reads stdin; None if it wasn't given.
        verb: the command, for the examples in messages: ``call`` or ``stream``.
        stdin: read at most once, and only if a word asks for it.

    Raises:
        UsageError: a word is wrong; the message names it.
    """
    target, operation, rest = _split(words, verb)
    reader = _StdinReader(stdin)
    arguments: dict[str, Argument] = {}
    document = None if json_text is None else _read_document(json_text, reader)
    for word in rest:
        argument = parse_argument(word, reader.read, verb=verb)
        if argument.name in arguments or argument.name in (document or {}):
            raise UsageError(f"argument {shown(argument.name)} is given twice", hint="keep one of them")
        arguments[argument.name] = argument
    return CallWords(target, operation, tuple(arguments.values()), document)


def _split(words: Sequence[str], verb: str) -> tuple[str | None, str, Sequence[str]]:
    first = words[0]
    if "@" not in first or "=" in first:
        _check_operation(words, verb)
        return None, first, words[1:]
    try:
        address.parse(first)
    except RemoteProtocolError as error:
        raise UsageError(
            f"{shown(first)} is not an address", hint="write NAME@DOMAIN, e.g. math1@fame.fabric"
        ) from error
    if len(words) < 2 or "=" in words[1]:
        raise UsageError(f"no operation after {first}", hint=f"write: fame {verb} {first} OPERATION [name=value …]")
    return first, words[1], words[2:]


def _check_operation(words: Sequence[str], verb: str) -> None:
    """Refuse what can't be an operation, and a target that lost its domain."""
    first = words[0]
    if "=" in first or not first:
        raise UsageError(
            f"{shown(first)} comes before any operation", hint=f"write: fame {verb} [TARGET] OPERATION [name=value …]"
        )
    if len(words) > 1 and "=" not in words[1]:
        raise UsageError(
            f"{shown(first)} is not an address and {shown(words[1])} not an argument",
            hint=f"a target has a domain (fame {verb} {first}@fame.fabric {words[1]} …), an argument is name=value",
        )


class _StdinReader:
    """Hand out stdin once; a second word that wants it would silently get nothing."""

    def __init__(self, stdin: TextIO) -> None:
        self._stdin = stdin
        self._taken = False

    def read(self) -> str:
        if self._taken:
            raise UsageError("stdin is asked for twice", hint="put one of the two into a file: name=@FILE")
        self._taken = True
        return self._stdin.read()


def parse_argument(word: str, read_stdin: Callable[[], str], *, verb: str = "call") -> Argument:
    """Read one ``name=value``, ``name:=json``, ``name=@file`` or ``name:=@file``.

    Raises:
        UsageError: not of that form, bad JSON, or a file that can't be read.
    """
    left, equals, right = word.partition("=")
    is_json = left.endswith(":")
    name = left.removesuffix(":")
    if not equals or not name:
        raise UsageError(f"{shown(word)} is not an argument", hint="write name=value, name:=JSON or name=@FILE")
    text = _read_file(name, right[1:], read_stdin) if right.startswith("@") else right
    if not is_json:
        return Argument(name, text=text)
    return Argument(name, value=_parse_json(text, where=f"{name}:="))


def _read_file(name: str, path: str, read_stdin: Callable[[], str]) -> str:
    if path == "-":
        return read_stdin()
    literal = f"for a text that starts with @ write {name}:='\"@…\"'"
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{name}=@{path}: {(error.strerror or str(error)).lower()}", hint=literal) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{name}=@{path}: not UTF-8 text", hint="JSON carries text only; encode it first") from error
    except ValueError as error:  # a name that holds a null
        raise UsageError(f"{name}=@{shown(path)}: {error}", hint=literal) from error


def _read_document(text: str, reader: _StdinReader) -> Mapping[str, Any]:
    document = _parse_json(reader.read() if text == "-" else text, where="--json")
    if not isinstance(document, dict):
        raise UsageError(f"--json: {_kind_of(document)} instead of an object", hint="write --json '{\"name\": value}'")
    return document


def _parse_json(text: str, *, where: str) -> object:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        reason = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
        hint = "quote a text: '\"like this\"'" if where.endswith(":=") else ""
        raise UsageError(f"{where} {shown(text)} is not JSON: {reason}", hint=hint) from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"JSON has no {name}")


def build_params(words: CallWords, schema: Schema | None) -> dict[str, Any]:
    """Make the JSON-RPC `params` (spec 8.1): no positional arguments, and what was typed as keywords.

    Agents and plain RPC services both take that form. ``--json`` alone goes out as it was written, for callees that
    expect a model of their own.

    Args:
        words: what was typed.
        schema: JSON Schema of the operation's parameters; None if nobody knows it.

    Raises:
        UsageError: a value doesn't fit its type, or the operation has no such parameter.
    """
    typed = {argument.name: _value_of(argument, schema, words.operation) for argument in words.arguments}
    if words.document is not None and not typed:
        return dict(words.document)
    return {"args": [], "kwargs": {**(words.document or {}), **typed}}


def _value_of(argument: Argument, schema: Schema | None, operation: str) -> object:
    if schema is not None:
        _check_name(argument.name, schema, operation)
    if argument.text is None:
        return argument.value
    if schema is None:
        return _guess(argument.text)
    return _coerce(argument.name, argument.text, _property(argument.name, schema), schema)


def _property(name: str, schema: Schema) -> object:
    properties = schema.get("properties")
    return properties.get(name) if isinstance(properties, Mapping) else None


def _check_name(name: str, schema: Schema, operation: str) -> None:
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or name in properties or schema.get("additionalProperties") is not False:
        return
    nearest = alike(name, properties)
    takes = ", ".join(properties) or "no arguments"
    hint = f"did you mean {nearest[0]}? it takes {takes}" if nearest else f"it takes {takes}"
    raise UsageError(f"{operation} has no argument {shown(name)}", hint=hint)


def _guess(text: str) -> object:
    """Take a value nobody described as JSON if it parses, else as text."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return text


def _coerce(name: str, text: str, schema: object, root: Schema) -> object:
    types = _types(schema, root, set())
    if not types:
        return _guess(text)
    for kind in _TRY_ORDER:
        if kind not in types or (kind == "boolean" and not _is_plainly_boolean(text, types)):
            continue
        try:
            return _CONVERTERS[kind](text)
        except (ValueError, RecursionError):
            continue
    expected = " or ".join(_ARTICLES[kind] for kind in _TRY_ORDER if kind in types)
    hint = f"write {name}:='JSON'" if types & {"object", "array"} else ""
    raise UsageError(f"{name}: {shown(text)} is not {expected}", hint=hint)


def _is_plainly_boolean(text: str, types: frozenset[str]) -> bool:
    """Leave ``1`` and ``yes`` to the other types of a union; alone, they mean true."""
    return text in ("true", "false") or not types & {"integer", "number", "string"}


def _types(schema: object, root: Schema, seen: set[str], *, depth: int = 0) -> frozenset[str] | None:
    """Return the JSON types a schema allows; None when it allows any, or is beyond what this reads.

    Args:
        schema: a schema as an agent described it, so perhaps nonsense.
        root: where references point into.
        seen: references followed so far, added to; each is followed once, or a schema could keep us busy for ever.
        depth: how deep `schema` lies.
    """
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return None
    reference = schema.get("$ref")
    if isinstance(reference, str):
        if reference in seen:
            return frozenset()
        seen.add(reference)
        return _types(_resolve(reference, root), root, seen, depth=depth + 1)
    declared = schema.get("type")
    if isinstance(declared, str | list):
        named = [declared] if isinstance(declared, str) else declared
        return frozenset(kind for kind in _TRY_ORDER if kind in named) or None
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if isinstance(values, list) and values:
        return frozenset(_kind_of(value) for value in values)
    branches = schema.get("anyOf") or schema.get("oneOf")
    if not isinstance(branches, list):
        return None
    found = [_types(branch, root, seen, depth=depth + 1) for branch in branches]
    return None if None in found else frozenset().union(*(kinds for kinds in found if kinds is not None))


def _resolve(reference: str, root: Schema) -> object:
    node: object = root
    for part in reference.removeprefix("#").split("/")[1:]:
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def _to_null(text: str) -> None:
    if text != "null":
        raise ValueError(text)


def _to_boolean(text: str) -> bool:
    lowered = text.strip().lower()
    if lowered not in _TRUE | _FALSE:
        raise ValueError(text)
    return lowered in _TRUE


def _to_integer(text: str) -> int:
    if not re.fullmatch(r"\s*[+-]?[0-9]+\s*", text):
        raise ValueError(text)
    return int(text)


def _to_number(text: str) -> int | float:
    if re.fullmatch(r"\s*[+-]?[0-9]+\s*", text):
        return int(text)
    number = float(text)
    if not math.isfinite(number) or "_" in text:
        raise ValueError(text)
    return number


def _to_object(text: str) -> dict[str, Any]:
    value = json.loads(text, parse_constant=_refuse_constant)
    if not isinstance(value, dict):
        raise ValueError(text)
    return value


def _to_array(text: str) -> list[Any]:
    value = json.loads(text, parse_constant=_refuse_constant)
    if not isinstance(value, list):
        raise ValueError(text)
    return value


_CONVERTERS: dict[str, Callable[[str], Any]] = {
    "null": _to_null,
    "boolean": _to_boolean,
    "integer": _to_integer,
    "number": _to_number,
    "object": _to_object,
    "array": _to_array,
    "string": str,
}


def _kind_of(value: object) -> str:
    """Return the JSON Schema type of a JSON value."""
    kinds: list[tuple[type | tuple[type, ...], str]] = [
        (bool, "boolean"),
        (int, "integer"),
        (float, "number"),
        (str, "string"),
        (list, "array"),
        (dict, "object"),
    ]
    return next((name for kind, name in kinds if isinstance(value, kind)), "null")


def shown(text: str) -> str:
    """Quote a word for a message, shortened to one line."""
    flat = json.dumps(text, ensure_ascii=False)
    return flat if len(flat) <= _SHOWN_CHARACTERS else f'{flat[: _SHOWN_CHARACTERS - 2]}…"'
