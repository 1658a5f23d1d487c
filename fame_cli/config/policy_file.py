"""Policy files: YAML or JSON of the grammar of security.md 8, read into the rules of ``security/policy.py``.

Everything wrong is a `ConfigError` with its place, and nothing is skipped: an unknown clause, an empty one, a misspelt
name in a `when`. The type of a policy (basic or advanced) makes no difference: all clauses count in both. Variables
aren't replaced, because ``$`` belongs to regular expressions here.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal, NamedTuple, Self, get_args

from pydantic import BeforeValidator, Field, PlainValidator, model_validator
from pydantic_core import SchemaError, SchemaValidator, core_schema

from fame_cli.config import document, load
from fame_cli.config.document import Items, Text
from fame_cli.config.fields import bad, to_text
from fame_cli.config.section import Section
from fame_cli.config.validate import nearest, quoted, validate
from fame_cli.core.frames import Frame
from fame_cli.core.glob import check_glob
from fame_cli.core.grant import ROLES
from fame_cli.errors import ConfigError
from fame_cli.security.expression import Expression, parse
from fame_cli.security.policy import (
    ACTIONS,
    ALLOW,
    ANY_ACTION,
    ORIGINS,
    Policy,
    Rule,
    ScopeRequirement,
    all_of,
    any_of,
    none_of,
    scope_matching,
    word_among,
)

__all__ = [
    "FRAME_TYPES",
    "MAX_RULES",
    "MAX_SCOPE_DEPTH",
    "POLICY_VARIABLE",
    "PolicyFile",
    "compile_regex",
    "load_policy",
    "policy_path",
]

MAX_RULES = 1024
MAX_SCOPE_DEPTH = 5
"""Of ``any_of``, ``all_of`` and ``none_of`` within each other (security.md 8)."""

POLICY_VARIABLE = "FAME_AUTH_POLICY_PATH"
"""Names the policy file, over what the config says."""

FRAME_TYPES = tuple(kind.__name__ for kind in get_args(Frame))
_JOINS = {"any_of": any_of, "all_of": all_of, "none_of": none_of}
_VERSIONS = ("1", "1.0", "1.0.0")
_BEGIN = "begin with version: '1' and rules:"


class _Scope(NamedTuple):
    """Hold what a token's scopes have to be, and how that was written."""

    requirement: ScopeRequirement
    text: str


def compile_regex(pattern: str) -> Callable[[str], bool]:
    """Compile a regular expression that is searched in time linear in the text.

    The engine is the ``regex`` crate of Rust, which pydantic carries: Python's own may take for ever over a text that
    somebody chose for it, and no check of a pattern's form rules that out. It knows no back references and no
    look-around.

    Raises:
        ConfigError: not a pattern of that engine.
    """
    try:
        schema = core_schema.str_schema(pattern=pattern, regex_engine="rust-regex")
        return SchemaValidator(schema).isinstance_python
    except SchemaError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = (lines or ["malformed"])[-1].removeprefix("error: ").rstrip(".")
        raise ConfigError(f"not a regular expression: {reason}", hint="correct the pattern") from error


def _each(value: object) -> list[tuple[tuple[int, ...], str]]:
    """Return the texts of a value that may be one or a list of them, each with its place in the list."""
    if isinstance(value, Text):
        return [((), value.strip())]
    if not isinstance(value, list):
        raise bad("not a text or a list of them", "write one, or a list in brackets")
    if not value:
        raise bad("the list is empty", "add an item, or remove the clause")
    for index, item in enumerate(value):
        if not isinstance(item, Text):
            raise bad("not a text", "write one value", at=(index,))
    return [((index,), item.strip()) for index, item in enumerate(value)]


def _patterns(value: object) -> object:
    """Check patterns, one or a list."""
    if value is None:
        return None
    found = _each(value)
    for place, pattern in found:
        try:
            check_glob(pattern)
        except ConfigError as error:
            raise bad(error.message, error.hint or "correct the pattern", at=place) from error
    return tuple(pattern for _, pattern in found)


def _words(*known: str) -> BeforeValidator:
    """Return what reads one or several of a few words, however they are written: ``ForwardPeer`` is `forward_peer`."""

    def read(value: object) -> object:
        if value is None:
            return None
        found: set[str] = set()
        for place, word in _each(value):
            meant = word_among(word, known)
            if not meant:
                near = nearest(word, list(known))
                hint = f'did you mean "{near}"' if near else f"use {', '.join(known)}"
                raise bad(f"unknown {quoted(word)}", hint, at=place)
            found.add(meant)
        return frozenset(found)

    return BeforeValidator(read)


def _scope(value: object) -> object:
    return _scope_at(value, 0, ())


def _scope_at(value: object, depth: int, at: tuple[str | int, ...]) -> _Scope:
    """Read one scope pattern, or what joins several."""
    if depth > MAX_SCOPE_DEPTH:
        raise bad(f"nested deeper than {MAX_SCOPE_DEPTH}", "flatten it", at=at)
    if isinstance(value, Text):
        pattern = value.strip()
        try:
            check_glob(pattern)
        except ConfigError as error:
            raise bad(error.message, error.hint or "correct the pattern", at=at) from error
        return _Scope(scope_matching(pattern), repr(pattern))
    if not isinstance(value, dict):
        raise bad("not a scope", "write one pattern, or any_of, all_of or none_of with a list", at=at)
    if len(value) != 1:
        raise bad("not one of any_of, all_of and none_of", "nest them where you need several", at=at)
    ((name, items),) = value.items()
    if name not in _JOINS:
        raise bad(f"unknown key {quoted(name)}", f"use {', '.join(_JOINS)}", at=(*at, name))
    if not isinstance(items, list) or not items:
        raise bad("not a list of scopes", "write at least one", at=(*at, name))
    parts = [_scope_at(item, depth + 1, (*at, name, index)) for index, item in enumerate(items)]
    text = ", ".join(part.text for part in parts)
    return _Scope(_JOINS[name]([part.requirement for part in parts]), f"{name}({text})")


def _when(value: object) -> object:
    if not isinstance(value, Text):
        raise bad("not an expression", 'write it as one text, e.g. has_scope("admin")')
    try:
        return parse(value, compile_regex)
    except ConfigError as error:
        raise bad(error.message, error.hint) from error


def _version(value: object) -> object:
    if isinstance(value, Text) and value in _VERSIONS:
        return str(value)
    raise bad("unknown version", f"use '{_VERSIONS[0]}'")


_Plain = Annotated[str, BeforeValidator(to_text)]
_Type = Annotated[Literal["BasicAuthorizationPolicy", "AdvancedAuthorizationPolicy"], BeforeValidator(to_text)]
_Effect = Annotated[Literal["allow", "deny"], BeforeValidator(to_text)]
_Patterns = Annotated[tuple[str, ...], BeforeValidator(_patterns)]
_Set = frozenset[str]


class RuleConfig(Section):
    """One rule. A clause that stands there empty is an error: nobody may lose a condition by losing its value."""

    id: _Plain = ""
    description: _Plain = ""
    effect: _Effect
    action: Annotated[_Set, _words(*ACTIONS, ANY_ACTION)] = frozenset({ANY_ACTION})
    address: _Patterns = ()
    origin_type: Annotated[_Set, _words(*ORIGINS)] = frozenset()
    scope: Annotated[_Scope | None, PlainValidator(_scope)] = None
    frame_type: Annotated[_Set, _words(*FRAME_TYPES)] = frozenset()
    when: Annotated[Expression | None, PlainValidator(_when)] = None
    role: Annotated[_Set, _words(*ROLES)] = frozenset()
    subject: _Patterns = ()
    node: _Patterns = ()

    keeps_null: ClassVar[frozenset[str]] = frozenset(
        {"action", "address", "origin_type", "scope", "frame_type", "when", "role", "subject", "node"}
    )

    def rule(self, index: int, line: int) -> Rule:
        """Return the rule; one without an id is named by its place, from 0, as the original does."""
        return Rule(
            id=self.id or f"rule_{index}",
            effect=self.effect,
            actions=self.action,
            address=self.address,
            origin_type=self.origin_type,
            frame_type=self.frame_type,
            role=self.role,
            subject=self.subject,
            node=self.node,
            scope=self.scope.requirement if self.scope else None,
            scope_text=self.scope.text if self.scope else "",
            when=self.when,
            description=" ".join(self.description.split()),
            line=line,
        )


class PolicyConfig(Section):
    """A policy file."""

    version: Annotated[str, PlainValidator(_version)] = _VERSIONS[0]
    type: _Type = "AdvancedAuthorizationPolicy"
    default_effect: _Effect = "deny"
    rules: list[RuleConfig] = Field(default_factory=list)

    @model_validator(mode="after")
    def _check_ids(self) -> Self:
        if len(self.rules) > MAX_RULES:
            raise bad(f"more than {MAX_RULES} rules", "join some of them by lists", at=("rules",))
        seen: dict[str, int] = {}
        for index, rule in enumerate(self.rules):
            name = rule.id or f"rule_{index}"
            if name in seen:
                raise bad(f"a second rule {quoted(name)}", "give each rule an id of its own", at=("rules", index, "id"))
            seen[name] = index
        return self


def load_policy(path: Path, *, waits: bool = False) -> Policy:
    """Return the policy of a file.

    Args:
        path: of the file.
        waits: whether it may be a pipe, see `load.read_text`.

    Raises:
        ConfigError: the first thing that is wrong, with its place; the others are its notes (`validate.findings`).
    """
    tree = document.read(load.read_text(path, waits=waits), str(path), begin=_BEGIN)
    config = validate(PolicyConfig, tree)
    items = tree.values.get("rules")
    lines = [item.mark.line for item in items.values] if isinstance(items, Items) else []
    rules = [rule.rule(index, line) for index, (rule, line) in enumerate(zip(config.rules, lines, strict=True))]
    return Policy(rules, default_allows=config.default_effect == ALLOW)


def policy_path(given: str | None, config: str | None, env: Mapping[str, str], node: str | None = None) -> Path | None:
    """Return the policy file that is meant: the one given, the variable's, the config's; None where nobody says.

    Args:
        given: what the user wrote.
        config: a config file whose `security.policy` is taken.
        env: the environment variables.
        node: which node of a fabric file.

    Raises:
        ConfigError: the config can't be read, or there is no such file.
    """
    named = given or env.get(POLICY_VARIABLE)
    if named:
        return load.find(named)
    if not config:
        return None
    path = load.find(config)
    _, tree = load.load_any(path, env=env, node=node)
    security = tree.values.get("security")
    text = security.text("policy") if isinstance(security, document.Table) else ""
    return load.find(text, path.parent) if text else None


class PolicyFile:
    """Keep the policy of a file in step with it: what has been loaded stays in force until something better has.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = _stamp(path)
        self.policy = load_policy(path)

    def refresh(self) -> bool:
        """Look at the file, and load it if it has changed; True if there is another policy now.

        Raises:
            ConfigError: it has changed for the worse; said once for each change, and the old policy stays.
        """
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        self.policy = load_policy(self._path)
        return True


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """Return what changes with a file; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
