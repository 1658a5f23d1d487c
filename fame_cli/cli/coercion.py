"""A text as the JSON value it stands for: what a schema wants or, where nobody has one, what it looks like."""

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from fame_cli.errors import UsageError

__all__ = ["Schema", "coerce", "guess", "kind_of", "refuse_constant", "shown"]

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


def refuse_constant(name: str) -> NoReturn:
    """Refuse ``NaN`` and its like, which Python would take."""
    raise ValueError(f"JSON has no {name}")


def guess(text: str) -> object:
    """Take a value nobody described as JSON if it parses, else as text."""
    try:
        return json.loads(text, parse_constant=refuse_constant)
    except (ValueError, RecursionError):
        return text


def coerce(name: str, text: str, schema: object, root: Schema) -> object:
    """Make the value that a schema wants of a text.

    Args:
        name: of the argument, for messages.
        root: where references of the schema point into.

    Raises:
        UsageError: it isn't one.
    """
    types = _types(schema, root, set())
    if not types:
        return guess(text)
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
        return frozenset(kind_of(value) for value in values)
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
    value = json.loads(text, parse_constant=refuse_constant)
    if not isinstance(value, dict):
        raise ValueError(text)
    return value


def _to_array(text: str) -> list[Any]:
    value = json.loads(text, parse_constant=refuse_constant)
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


def kind_of(value: object) -> str:
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
