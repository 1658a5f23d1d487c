"""An operation as one line: ``add(x: integer, y: integer = 3) -> one answer``, read off its JSON schema.

Pure. A schema comes from a remote agent, so it may be nonsense; what can't be read is shown as ``any``.
"""

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["parameters_of", "signature"]

_DEEPEST = 8


def signature(name: str, schema: Mapping[str, Any], *, streaming: bool, gives: str = "") -> str:
    """Return the line for one operation.

    ``y?: integer`` is a parameter that may be left out without a default that can be told; ``...`` says that any other
    names are taken, too.
    """
    required = schema.get("required")
    names = required if isinstance(required, list) else []
    properties = parameters_of(schema)
    parts = [_parameter(each, properties[each], is_required=each in names) for each in properties]
    if schema.get("additionalProperties") not in (None, False):
        parts.append("...")
    return f"{name}({', '.join(parts)}) -> {gives or ('stream' if streaming else 'one answer')}"


def parameters_of(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the parameters of an operation: name → schema."""
    properties = schema.get("properties")
    return properties if isinstance(properties, Mapping) else {}


def _parameter(name: str, schema: object, *, is_required: bool) -> str:
    has_default = isinstance(schema, Mapping) and "default" in schema
    mark = "" if is_required or has_default else "?"
    default = f" = {_json(schema['default'])}" if isinstance(schema, Mapping) and has_default else ""
    return f"{name}{mark}: {_kind(schema)}{default}"


def _kind(schema: object, depth: int = 0) -> str:
    """Name what a schema allows, as ``integer[] | null``."""
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return "any"
    branches = schema.get("anyOf") or schema.get("oneOf")
    if isinstance(branches, list):
        return " | ".join(dict.fromkeys(_kind(branch, depth + 1) for branch in branches))
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if isinstance(values, list) and values:
        return " | ".join(_json(value) for value in values)
    reference = schema.get("$ref")
    if isinstance(reference, str):
        return reference.rpartition("/")[2] or "any"
    declared = schema.get("type")
    if isinstance(declared, list):
        return " | ".join(str(each) for each in declared)
    if declared == "array" and "items" in schema:
        inner = _kind(schema["items"], depth + 1)
        return f"({inner})[]" if " | " in inner else f"{inner}[]"
    return declared if isinstance(declared, str) else "any"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
