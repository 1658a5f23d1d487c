"""The schema for editors: draft 7, true to what loads, and variables everywhere a value stands."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from fame_cli.config.fabric import FabricConfig
from fame_cli.config.json_schema import json_schema
from fame_cli.config.schema import AgentConfig, ClientConfig, SentinelConfig

CONFIGS = Path(__file__).parents[2] / "configs"
SCHEMA = json_schema()
TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "null": (type(None),),
    "number": (int, float),
    "integer": (int,),
}


def accepts(schema: object, value: object) -> bool:
    """Check a value against the words of JSON Schema draft 7 that our schema uses."""
    if not isinstance(schema, dict):
        return schema is not False
    if "$ref" in schema:
        definitions = SCHEMA["definitions"]
        assert isinstance(definitions, dict)
        return accepts(definitions[schema["$ref"].removeprefix("#/definitions/")], value)
    checks = [
        "type" not in schema or any(is_a(name, value) for name in listed(schema["type"])),
        "const" not in schema or schema["const"] == value,
        "enum" not in schema or value in schema["enum"],
        "anyOf" not in schema or any(accepts(part, value) for part in schema["anyOf"]),
        all(accepts(part, value) for part in schema.get("allOf", [])),
        "if" not in schema or not accepts(schema["if"], value) or accepts(schema["then"], value),
        "pattern" not in schema or not isinstance(value, str) or re.search(schema["pattern"], value) is not None,
    ]
    if isinstance(value, int | float) and not isinstance(value, bool):
        checks += [value >= schema.get("minimum", value), value <= schema.get("maximum", value)]
        checks.append("exclusiveMinimum" not in schema or value > schema["exclusiveMinimum"])
    if isinstance(value, list):
        checks += [len(value) >= schema.get("minItems", 0), all(accepts(schema.get("items"), item) for item in value)]
    if isinstance(value, dict):
        known, others = schema.get("properties", {}), schema.get("additionalProperties")
        checks.append(all(name in value for name in schema.get("required", [])))
        checks += [accepts(known.get(key, others), item) for key, item in value.items()]
    return all(checks)


def listed(names: str | list[str]) -> list[str]:
    return [names] if isinstance(names, str) else names


def is_a(name: str, value: object) -> bool:
    return isinstance(value, TYPES[name]) and (name == "boolean" or not isinstance(value, bool))


def subschemas(schema: object) -> Iterator[dict[str, object]]:
    if isinstance(schema, list):
        for item in schema:
            yield from subschemas(item)
    if isinstance(schema, dict):
        yield schema
        for item in schema.values():
            yield from subschemas(item)


def test_it_is_json() -> None:
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA


def test_it_uses_no_word_newer_than_draft_7() -> None:
    newer = {"$defs", "prefixItems", "unevaluatedProperties", "dependentRequired", "discriminator", "$dynamicRef"}
    assert not [word for schema in subschemas(SCHEMA) for word in newer & schema.keys()]


def test_no_key_that_holds_a_secret_has_an_example_or_a_default_that_could_be_taken_for_one() -> None:
    for schema in subschemas(SCHEMA):
        properties = schema.get("properties", {})
        assert isinstance(properties, dict)
        for key in properties.keys() & {"token", "client_secret"}:
            assert "examples" not in properties[key]
            assert properties[key].get("default") is None


def test_every_reference_leads_somewhere() -> None:
    definitions = SCHEMA["definitions"]
    assert isinstance(definitions, dict)
    references = {schema["$ref"] for schema in subschemas(SCHEMA) if isinstance(schema.get("$ref"), str)}
    assert references <= {f"#/definitions/{name}" for name in definitions}


def test_every_key_has_help() -> None:
    definitions = SCHEMA["definitions"]
    assert isinstance(definitions, dict)
    keys = {
        f"{name}.{key}": item
        for name, schema in definitions.items()
        for key, item in schema.get("properties", {}).items()
        if name != "NaylenceFile"
    }
    assert not [key for key, item in keys.items() if "description" not in item and "$ref" not in item]


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_every_config_of_ours_is_accepted(path: Path) -> None:
    assert accepts(SCHEMA, yaml.safe_load(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("model", [SentinelConfig, AgentConfig, ClientConfig, FabricConfig])
def test_every_scalar_may_be_a_variable(model: type) -> None:
    definitions = SCHEMA["definitions"]
    assert isinstance(definitions, dict)
    for key, item in definitions[model.__name__]["properties"].items():
        is_scalar = accepts(item, "127.0.0.1:1") or accepts(item, 5) or accepts(item, True)
        assert not is_scalar or accepts(item, "${X:-1}"), key


@pytest.mark.parametrize(
    "text",
    [
        "{kind: sentinel, limits: {max_links: '${N}'}, security: {profile: '${P:-open}', allow_open_public: '$<A>'}}",
        "{kind: sentinel, security: {allow_open_public: 'yes'}, peers: ~, log: ~}",
        "{kind: sentinel, limits: {links_per_host: ~, links_per_grant: 0}}",
        "{kind: sentinel, limits: {links_per_host: '${N}'}}",
        "{kind: client, timeout_s: '${T:-5}', id: 5}",
        "{kind: agent, agent: {import: 'm:C', address: a@b, init: {a: [1, {b: ~}]}}}",
        "{kind: sentinel, security: {profile: gated, issuers: [{issuer: i, audience: a, grant: {roles: [peer]}}]}}",
        "{kind: sentinel, security: {grants: [{subject: 'a*', issuer: i}], tls: {clients: none}, skew_s: 5}}",
        "{kind: client, admission: {token: '${T}', scope: a b}, security: {plain_hosts: [h], behind_proxy: 'yes'}}",
        "{node: {type: Sentinel, listeners: []}}",
        "{node: {requestedLogicals: []}, agent: {import: 'm:C', address: a@b}}",
    ],
)
def test_what_loads_is_accepted(text: str) -> None:
    assert accepts(SCHEMA, yaml.safe_load(text))


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        "{kind: sentinl}",
        "{kind: sentinel, peer: []}",
        "{kind: sentinel, peers: x}",
        "{kind: sentinel, limits: {max_links: many}}",
        "{kind: sentinel, limits: {max_links: 0}}",
        "{kind: sentinel, limits: {links_per_host: -1}}",
        "{kind: sentinel, limits: {links_per_grant: many}}",
        "{kind: sentinel, security: {profile: gatd}}",
        "{kind: sentinel, security: {issuers: [{issuer: i}]}}",
        "{kind: sentinel, security: {issuers: [{issuer: i, audience: a, grant: {subject: x}}]}}",
        "{kind: sentinel, admission: {profile: welcome}}",
        "{kind: sentinel, limits: {unknown_keys: 0}}",
        "{kind: agent}",
        "{kind: agent, agent: {import: 'm:C'}}",
        "{kind: fabric, name: f, nodes: []}",
        "{kind: fabric, name: f, nodes: [{}]}",
        "{node: {typ: Sentinel}}",
    ],
)
def test_what_does_not_load_is_not_accepted(text: str) -> None:
    assert not accepts(SCHEMA, yaml.safe_load(text))
