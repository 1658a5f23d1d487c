"""The JSON Schema of configuration files, for editors.

Pure. Editors read draft 7, so pydantic's newer words are translated. It describes a file as it is written, not as it is
read: a number may be ``${PORT}``, a switch may be ``yes``, an empty value means the default.
"""

from typing import Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from fame_cli.config.fabric import FabricConfig
from fame_cli.config.naylence import NODE_KEYS
from fame_cli.config.schema import AgentConfig, ClientConfig, SentinelConfig

__all__ = ["VARIABLE_PATTERN", "json_schema"]

VARIABLE_PATTERN = r"\$[{<]"
"""What a value holds that a variable decides."""

_KINDS: dict[str, type[BaseModel]] = {
    "sentinel": SentinelConfig,
    "agent": AgentConfig,
    "client": ClientConfig,
    "fabric": FabricConfig,
}
_VARIABLE = {"type": "string", "pattern": VARIABLE_PATTERN}
_SCALARS = {"integer", "number", "boolean"}

Schema = dict[str, object]


def json_schema() -> Schema:
    """Return the schema of every kind of configuration file, as JSON values."""
    models: list[tuple[type[BaseModel], Literal["validation"]]] = [(model, "validation") for model in _KINDS.values()]
    _, made = models_json_schema(models, by_alias=True, ref_template="#/definitions/{model}")
    definitions = made["$defs"]
    schemas = {name: _authoring(schema) for name, schema in definitions.items()}
    schemas["NaylenceFile"] = _naylence()
    branches: list[object] = [
        {
            "if": {"required": ["kind"], "properties": {"kind": {"const": kind}}},
            "then": {"$ref": f"#/definitions/{model.__name__}"},
        }
        for kind, model in _KINDS.items()
    ]
    nested = {"if": {"required": ["node"]}, "then": {"$ref": "#/definitions/NaylenceFile"}}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "fame configuration",
        "type": "object",
        "properties": {"kind": {"anyOf": [{"enum": list(_KINDS)}, _VARIABLE]}, "node": {"type": "object"}},
        "anyOf": [{"required": ["kind"]}, {"required": ["node"]}],
        "allOf": [*branches, nested],
        "definitions": schemas,
    }


def _authoring(schema: object) -> object:
    """Return a subschema as a file may be written."""
    if isinstance(schema, list):
        return [_authoring(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    notes = {key: schema[key] for key in ("description", "default") if key in schema}
    kept = {key: value for key, value in schema.items() if key not in ("properties", "default", "title", "description")}
    if "oneOf" in kept:
        kept["anyOf"] = kept.pop("oneOf")
    if "properties" in schema:
        # A model has a default for its kind, but a node written into a fabric must say what it is.
        required = [*schema.get("required", []), *(name for name in schema["properties"] if name == "kind")]
        kept |= {"required": required} if required else {}
        kept["properties"] = {
            name: _authoring(item) if name in required else _or_empty(_authoring(item))
            for name, item in schema["properties"].items()
        }
    for key in ("items", "additionalProperties", "anyOf", "allOf"):
        if key in kept:
            kept[key] = _authoring(kept[key])
    return {**notes, **_scalar(kept)}


def _scalar(schema: Schema) -> Schema:
    """Let a scalar also be a variable, and a text any scalar that YAML would read as something else."""
    if "const" in schema or "enum" in schema:
        return {"anyOf": [{key: value for key, value in schema.items() if key != "type"}, _VARIABLE]}
    if schema.get("type") == "boolean":
        return {"anyOf": [{"type": "boolean"}, {"enum": ["yes", "no", "on", "off"]}, _VARIABLE]}
    if schema.get("type") in _SCALARS:
        return {"anyOf": [schema, _VARIABLE]}
    if schema.get("type") == "string":
        return {**schema, "type": ["string", "number", "boolean"]}
    return schema


def _or_empty(schema: object) -> Schema:
    """Let a key that has a default stand without a value; its help and default stay where editors look for them."""
    if not isinstance(schema, dict):
        return {}
    notes = {key: schema[key] for key in ("description", "default") if key in schema}
    rest = {key: value for key, value in schema.items() if key not in notes}
    choices = rest["anyOf"] if rest.keys() == {"anyOf"} else [rest]
    null: Schema = {"type": "null"}
    return {**notes, "anyOf": [*choices, *([] if null in choices else [null])]} if rest else notes


def _naylence() -> Schema:
    """Return the schema of the nested form; its keys may be in snake_case or camelCase."""
    keys: dict[str, object] = {}
    for name, text in NODE_KEYS.items():
        first, *others = name.split("_")
        keys[name] = keys[first + "".join(word.capitalize() for word in others)] = {"description": text}
    beside = {
        "agent": {"$ref": "#/definitions/AgentBlock"},
        "log": {"$ref": "#/definitions/LogConfig"},
        "limits": {"$ref": "#/definitions/LimitsConfig"},
        "timeout_s": {"anyOf": [{"type": "number"}, _VARIABLE]},
    }
    node = {"type": "object", "properties": keys, "additionalProperties": False}
    return {
        "type": "object",
        "description": "The nested form of the Naylence fabric.",
        "properties": {"node": node, **beside},
        "required": ["node"],
        "additionalProperties": False,
    }
