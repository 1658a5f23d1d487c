"""Load configurations: find a file, read it, lay variables and flags over it, and return a checked model.

Precedence: flag, variable, file, default. The only module that opens a configuration file; what the process's variables
are it is told (`plain.environment`). A result is complete: whoever gets it never looks at the file, the flags or the
environment again.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, overload

from fame_cli.config import document, naylence, overlay
from fame_cli.config.document import Items, Leaf, Mark, Table
from fame_cli.config.fabric import FabricConfig, NodeRef
from fame_cli.config.schema import AgentConfig, ClientConfig, NodeConfig, SentinelConfig
from fame_cli.config.validate import nearest, quoted, validate
from fame_cli.errors import ConfigError, UsageError
from fame_cli.security.files import open_regular

__all__ = [
    "AnyConfig",
    "FabricNode",
    "Kind",
    "describe",
    "fabric_nodes",
    "find",
    "load",
    "load_any",
    "load_fabric",
    "load_nodes",
    "read_text",
]

Kind = Literal["sentinel", "agent", "client"]
AnyConfig = SentinelConfig | AgentConfig | ClientConfig | FabricConfig

_MODELS: dict[str, type[SentinelConfig] | type[AgentConfig] | type[ClientConfig]] = {
    "sentinel": SentinelConfig,
    "agent": AgentConfig,
    "client": ClientConfig,
}
_KINDS = [*_MODELS, "fabric"]
_COMMANDS = {"sentinel": "fame sentinel", "agent": "fame agent", "client": "fame call", "fabric": "fame up"}


@dataclass(frozen=True, slots=True)
class FabricNode:
    """Hold one node of a fabric, ready to run.

    Args:
        name: unique within the fabric: the id, else the stem of the node's own file.
        config: the checked config.
        env: the variables that the node's file was read with, and that its process should get.
    """

    name: str
    config: SentinelConfig | AgentConfig | ClientConfig
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Source:
    """Hold the resolved tree of one node before variables and flags are laid over it."""

    tree: Table
    file: Path | None
    env: Mapping[str, str]
    name: str = ""
    fixed_id: Leaf | None = None


def find(path: str | Path, base: Path | None = None) -> Path:
    """Return the file: as given, else in ``configs/``.

    Args:
        path: what the user wrote.
        base: folder that a relative path begins at; the current one if not given.

    Raises:
        ConfigError: in neither place, or no name at all.
    """
    if not str(path).strip() or Path(path) == Path():
        raise ConfigError("no file is named", hint="give the name of a YAML file, or leave the option out")
    wanted = Path(path).expanduser()
    folder = base or Path()
    for candidate in (folder / wanted, folder / "configs" / wanted):
        if _exists(candidate):
            return candidate
    if wanted.is_absolute():
        raise ConfigError("no such file", source=str(path), hint="check the path")
    present = {entry.stem: entry.name for place in (folder, folder / "configs") for entry in place.glob("*.y*ml")}
    near = nearest(wanted.stem, sorted(present))
    hint = f'did you mean "{present[near]}"' if near else "check the name, or run fame where the file is"
    raise ConfigError("no such file here or in configs/", source=str(path), hint=hint)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long, or with a NUL
        return False


def read_text(path: Path, *, waits: bool = False) -> str:
    """Return the text of a file, as much of it as `document.read` may take and a little more.

    Args:
        path: of the file.
        waits: whether it may be a pipe, which is waited for: one that the user has just named.

    Raises:
        ConfigError: unreadable, no regular file, or not UTF-8.
    """
    try:
        with path.open("rb") if waits else os.fdopen(open_regular(path), "rb") as stream:
            data = stream.read(document.MAX_CHARACTERS * 4 + 1)
        return data.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        if isinstance(error, UnicodeDecodeError):
            before = data[: error.start]
            place = Mark(str(path), before.count(b"\n") + 1, len(before) - (before.rfind(b"\n") + 1) + 1)
            raise place.error("not UTF-8 text", "save the file as UTF-8") from error
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"can't be read: {reason}", source=str(path), hint="check the file") from error


def read_tree(path: Path, env: Mapping[str, str], *, waits: bool = False) -> Table:
    """Return the resolved tree of a file.

    Raises:
        ConfigError: unreadable, not UTF-8, not YAML, too large, or a variable isn't set.
    """
    tree = document.resolve(document.read(read_text(path, waits=waits), str(path)), env)
    if not isinstance(tree, Table):
        raise AssertionError("document.read returns a mapping")
    return tree


def kind_of(tree: Table) -> str:
    """Return what a flat file describes.

    Raises:
        ConfigError: it doesn't say, or says something unknown.
    """
    kind = tree.values.get("kind")
    if kind is None:
        near = nearest("kind", [key for key in tree.values if 2 < len(key) < 7])
        mark = tree.key_marks[near] if near else tree.mark
        hint = f"begin with kind: {', '.join(_KINDS)}" if not near else f'did you mean "kind" for {quoted(near)}'
        raise mark.error("kind is missing", hint)
    text = kind.text if isinstance(kind, Leaf) else ""
    if text not in _KINDS:
        near = nearest(text, _KINDS)
        what = f"kind: unknown {quoted(text)}" if text else "kind wants one word"
        raise kind.mark.error(what, f'did you mean "{near}"' if near else f"use {', '.join(_KINDS)}")
    return text


@overload
def load(
    path: Path | None,
    *,
    kind: Literal["sentinel"],
    env: Mapping[str, str],
    overrides: Mapping[str, object] | None = None,
    node: str | None = None,
) -> SentinelConfig: ...
@overload
def load(
    path: Path | None,
    *,
    kind: Literal["agent"],
    env: Mapping[str, str],
    overrides: Mapping[str, object] | None = None,
    node: str | None = None,
) -> AgentConfig: ...
@overload
def load(
    path: Path | None,
    *,
    kind: Literal["client"],
    env: Mapping[str, str],
    overrides: Mapping[str, object] | None = None,
    node: str | None = None,
) -> ClientConfig: ...
def load(
    path: Path | None,
    *,
    kind: Kind,
    env: Mapping[str, str],
    overrides: Mapping[str, object] | None = None,
    node: str | None = None,
) -> SentinelConfig | AgentConfig | ClientConfig:
    """Return the config of one node.

    Args:
        path: its file, or that of a fabric; None for variables, flags and defaults alone.
        kind: what the caller wants to run.
        env: the environment variables.
        overrides: flags, by dotted config key (`overlay.FLAGS`); None stands for a flag that wasn't given.
        node: which node of a fabric file; not needed if it has only one of this kind.

    Raises:
        ConfigError: a bad file or variable.
        UsageError: a bad flag, or a node that the file doesn't have.
    """
    if path is None:
        if node is not None:
            raise UsageError("--node picks a node of a fabric file, and there is no file", hint="add --config FILE")
        return _finish(_Source(Table({}, Mark("")), None, env), kind, overrides or {})[0]
    tree = read_tree(path, env, waits=True)
    source = _pick(tree, path, env, kind, node) if _is_fabric(tree) else _Source(tree, path, env)
    if node is not None and not _is_fabric(tree):
        raise UsageError(f"--node picks a node of a fabric file, and {path} isn't one", hint="leave --node out")
    return _finish(source, kind, overrides or {})[0]


def load_any(path: Path, *, env: Mapping[str, str], node: str | None = None) -> tuple[AnyConfig, Table]:
    """Return whatever a file describes, and the tree it was made from; a fabric with all the files it names checked.

    Raises:
        ConfigError: anything wrong with the file, or with one it names.
        UsageError: a node that the file doesn't have.
    """
    tree = read_tree(path, env, waits=True)
    if not _is_fabric(tree):
        if node is not None:
            raise UsageError(f"--node picks a node of a fabric file, and {path} isn't one", hint="leave --node out")
        return _finish(_Source(tree, path, env), None, {})
    if node is not None:
        return _finish(_pick(tree, path, env, None, node), None, {})
    fabric = validate(FabricConfig, tree)
    for source in _sources(tree, fabric, path, env):
        _finish(source, None, {})
    return fabric, tree


def load_nodes(path: Path, *, env: Mapping[str, str]) -> list[tuple[AnyConfig, Table]]:
    """Return the config of every node that a file describes, each with the tree it was made from.

    Raises:
        ConfigError: anything wrong with the file, or with one it names.
    """
    tree = read_tree(path, env, waits=True)
    if not _is_fabric(tree):
        return [_finish(_Source(tree, path, env), None, {})]
    return [_finish(source, None, {}) for source in _sources(tree, validate(FabricConfig, tree), path, env)]


def load_fabric(path: Path, *, env: Mapping[str, str]) -> FabricConfig:
    """Return a fabric, with every node in it and every file it names checked.

    Raises:
        ConfigError: anything wrong with one of the files, or a file of another kind.
    """
    config, tree = load_any(path, env=env)
    if not isinstance(config, FabricConfig):
        mark = (tree.values.get("kind") or tree).mark
        raise mark.error(
            f"the file of one {config.kind}, not of a fabric", f"run: {_COMMANDS[config.kind]} --config {path}"
        )
    return config


def fabric_nodes(path: Path, *, env: Mapping[str, str]) -> list[FabricNode]:
    """Return every node of a fabric file in its order, ready to run.

    Raises:
        ConfigError: anything wrong with one of the files, or two nodes of one name.
    """
    load_fabric(path, env=env)
    tree = read_tree(path, env, waits=True)
    sources = _sources(tree, validate(FabricConfig, tree), path, env)
    return [FabricNode(source.name, _finish(source, None, {})[0], dict(source.env)) for source in sources]


def _is_fabric(tree: Table) -> bool:
    return not naylence.is_nested(tree) and kind_of(tree) == "fabric"


def _sources(tree: Table, fabric: FabricConfig, path: Path, env: Mapping[str, str]) -> list[_Source]:
    """Return the nodes of a fabric, those in files of their own read with their own variables."""
    items = tree.values["nodes"]
    found: dict[str, _Source] = {}
    for item, entry in zip(items.values if isinstance(items, Items) else [], fabric.nodes, strict=True):
        if isinstance(entry, NodeRef):
            source = _referenced(item, entry, path, env)
        else:
            inline = item if isinstance(item, Table) else Table({}, item.mark)
            source = _Source(inline, path, overlay.node_environment(env, {}), entry.id or "")
        if source.name in found:
            raise item.mark.error(f"a second node named {quoted(source.name)}", "give one of them an id of its own")
        found[source.name] = source
    return list(found.values())


def _referenced(item: document.Node, entry: NodeRef, path: Path, env: Mapping[str, str]) -> _Source:
    place = item.values["config"].mark if isinstance(item, Table) else item.mark
    try:
        file = find(entry.config, path.parent)
    except ConfigError as error:
        raise place.error(f"config: {quoted(entry.config)}: {error.message}", error.hint) from error
    inner = overlay.node_environment(env, entry.env)
    tree = read_tree(file, inner)
    if _is_fabric(tree):
        raise place.error(f"config: {quoted(entry.config)} is a fabric itself", "name the files of its nodes")
    fixed = Leaf(entry.id, place, is_plain=False, is_interpolated=True) if entry.id else None
    source = _Source(tree, file, inner, fixed_id=fixed)
    config, _ = _finish(source, None, {})
    return _Source(tree, file, inner, config.id or file.stem, fixed)


def _pick(tree: Table, path: Path, env: Mapping[str, str], kind: str | None, node: str | None) -> _Source:
    """Return the node that --node names, or the only one of its kind."""
    sources = _sources(tree, validate(FabricConfig, tree), path, env)
    kinds = {source.name: _finish(source, None, {})[0].kind for source in sources}
    fitting = [source for source in sources if node == source.name or (node is None and kinds[source.name] == kind)]
    names = [name for name, its_kind in kinds.items() if kind in (None, its_kind)]
    if not fitting:
        what = f"{path} has no node {quoted(node)}" if node else f"{path} has no {kind}"
        near = nearest(node or "", names)
        hint = f'did you mean "{near}"' if near else f"it has {', '.join(names or kinds)}"
        raise UsageError(what, hint=hint)
    if len(fitting) > 1:
        raise UsageError(
            f"{path} describes {len(fitting)} of kind {kind}", hint=f"add --node with one of {', '.join(names)}"
        )
    its_kind = kinds[fitting[0].name]
    if kind not in (None, its_kind):
        hint = f"run: {_COMMANDS[its_kind]} --config {path} --node {fitting[0].name}"
        raise UsageError(f"{fitting[0].name} is of kind {its_kind}, not {kind}", hint=hint)
    return fitting[0]


def _finish(
    source: _Source, kind: str | None, flags: Mapping[str, object]
) -> tuple[SentinelConfig | AgentConfig | ClientConfig, Table]:
    """Lay variables and flags over a node's tree and check the whole."""
    has_file = source.file is not None
    if not has_file:
        tree = Table({}, source.tree.mark)
        its_kind = kind or "client"
    elif naylence.is_nested(source.tree):
        tree = naylence.flatten(source.tree, source.env, kind)
        its_kind = kind_of(tree)
    else:
        tree = Table(dict(source.tree.values), source.tree.mark, dict(source.tree.key_marks))
        its_kind = kind_of(tree)
    if kind not in (None, its_kind):
        hint = f"run: {_COMMANDS[its_kind]} --config {source.file}"
        raise (tree.values.get("kind") or tree).mark.error(f"the file of a node of kind {its_kind}, not {kind}", hint)
    overlay.apply_variables(tree, its_kind, source.env, has_file=has_file)
    if source.fixed_id is not None:
        tree.put("id", source.fixed_id)
    overlay.apply_flags(tree, flags)
    if its_kind == "sentinel":
        overlay.apply_upstream(tree, source.env, has_file=has_file)
    config: NodeConfig = validate(_MODELS[its_kind], tree).with_file(source.file)
    if not isinstance(config, SentinelConfig | AgentConfig | ClientConfig):
        raise AssertionError(f"no model for {its_kind}")
    return config, tree


def describe(config: AnyConfig) -> str:
    """Return what a config is, in a few words: ``sentinel peer-sentinel1``, ``fabric peers of 4 nodes``."""
    if isinstance(config, FabricConfig):
        return f"fabric {config.name} of {len(config.nodes)} nodes"
    return f"{config.kind} {config.id}" if config.id else config.kind
