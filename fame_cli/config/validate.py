"""From tree to model: pydantic's findings become errors of one line with the place in the user's file.

Pure. ``FILE:LINE:COLUMN: what; what to do``. Values are repeated shortened, on one line, and masked if they are
secrets. A key or word that is nearly right is answered with the right one.
"""

import difflib
import json
import re
from collections.abc import Iterable, Iterator
from typing import NoReturn, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from fame_cli.config.document import Items, Leaf, Mark, Node, Table
from fame_cli.config.fields import PROBLEM
from fame_cli.config.mask import MASK, is_secret_name, mask_text
from fame_cli.config.overlay import FLAGS
from fame_cli.config.section import UNKNOWN_KEYS, Section
from fame_cli.errors import FameError, UsageError

__all__ = ["dotted", "findings", "mark_at", "nearest", "quoted", "validate"]

_SectionT = TypeVar("_SectionT", bound=Section)
_Path = tuple[str | int, ...]
_Problem = tuple[Mark, str, str]
"""A place, what is wrong there, what to do."""

_SHOWN_CHARACTERS = 60
_EXAMPLES = {
    "agent": "agent: {import: math_agent1:MathAgent, address: math1@fame.fabric}",
    "address": "address: math1@fame.fabric",
    "direct_url": "direct_url: ws://127.0.0.1:8000/fame/v1/attach/ws/downstream",
    "name": "name: my-fabric",
    "nodes": "nodes: [{config: peer1.yaml}]",
    "url": "url: http://127.0.0.1:8080/path",
    "type": "type: string",
    "config": "config: peer1.yaml",
    "issuer": "issuer: https://idp.example",
    "audience": "audience: fame.fabric",
}
_SHAPES = {
    "list_type": ("a list", 'write it as "- item" lines'),
    "dict_type": ("a mapping", 'write it as "key: value" lines'),
    "model_type": ("a mapping", 'write it as "key: value" lines'),
    "model_attributes_type": ("a mapping", 'write it as "key: value" lines'),
    "string_type": ("a text", "write one value"),
    "int_type": ("a whole number", "write digits only, e.g. 64"),
    "float_type": ("a number", "write it like 30 or 0.5"),
    "bool_type": ("true or false", "write one of them"),
}


def nearest(word: str, known: list[str]) -> str:
    """Return the known word most like `word`, "" if none is near."""
    folded = {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in reversed(known)}
    key = re.sub(r"[^a-z0-9]", "", word.lower())
    found = difflib.get_close_matches(key, folded, 1, 0.6)
    return folded[found[0]] if found else ""


def quoted(text: str) -> str:
    """Return a value in quotes, on one line, shortened to 60 characters, with what looks like a secret masked."""
    shown = json.dumps(" ".join(mask_text(text).split()), ensure_ascii=False)
    shown = "".join(letter if letter.isprintable() else "\ufffd" for letter in shown)
    return shown if len(shown) <= _SHOWN_CHARACTERS else f'{shown[: _SHOWN_CHARACTERS - 2]}…"'


def validate(model: type[_SectionT], tree: Table) -> _SectionT:
    """Return the model of a resolved tree.

    Raises:
        ConfigError: the first problem by line; the others are its notes, so that all can be listed at once.
        UsageError: the same, where the value came from a flag.
    """
    data = tree.data()
    found: list[_Problem] = []
    misspelt: set[_Path] = set()
    while True:
        try:
            made = model.model_validate(data)
        except ValidationError as error:
            details = error.errors()
            unknown = [one for one in details if one["type"] == UNKNOWN_KEYS]
            shown = [
                one for one in unknown or details if one["type"] != "missing" or _clean(one["loc"]) not in misspelt
            ]
            found += [problem for one in shown for problem in _problems(one, tree)]
            dropped = 0
            for one in unknown:  # they hide the other problems of their section: look again without them
                path, known = _clean(one["loc"]), list(one["ctx"]["known"])
                misspelt |= {(*path, nearest(key, known)) for key in one["ctx"]["keys"]}
                dropped += _drop(data, path, one["ctx"]["keys"])
            if not dropped:
                _raise(found, error)
        else:
            if found:
                _raise(found, None)
            return made


def _drop(data: object, path: _Path, keys: Iterable[str]) -> int:
    """Take keys out of a section; returns how many there were, for one section may be found wrong in several ways."""
    for step in path:
        if isinstance(data, list):
            data = data[int(step)]
        elif isinstance(data, dict):
            data = data.get(step)
    if not isinstance(data, dict):
        return 0
    present = [key for key in keys if key in data]
    for key in present:
        del data[key]
    return len(present)


def _raise(found: list[_Problem], cause: Exception | None) -> NoReturn:
    """Raise the first problem of the file with the others as notes."""
    found.sort(key=lambda problem: (problem[0].line, problem[0].column))
    first, *others = [_error(mark, what, hint) for mark, what, hint in found]
    for other in others:
        first.add_note(str(other))
    raise first from cause


def findings(error: FameError) -> list[str]:
    """Return the lines of everything that was wrong where an error of `validate` came from."""
    return [str(error), *vars(error).get("__notes__", [])]


def _error(mark: Mark, what: str, hint: str) -> FameError:
    what, hint = " ".join(what.split()), " ".join(hint.split())
    if mark.is_flag or not mark.source:
        return UsageError(f"{mark.source}: {what}" if mark.source else what, hint=hint)
    return mark.error(what, hint)


def _problems(details: ErrorDetails, tree: Table) -> Iterator[_Problem]:
    context = details.get("ctx", {})
    path = (*_clean(details["loc"]), *context.get("at", ()))
    match details["type"]:
        case kind if kind == UNKNOWN_KEYS:
            for key in context["keys"]:
                yield (mark_at(tree, (*path, key), of_key=True), *_unknown_key(path, key, list(context["known"])))
            return
        case "missing":
            mark = mark_at(tree, path[:-1], of_key=False)
            yield (tree.mark if mark.is_flag else mark, *_missing(tree, path))
            return
        case "union_tag_not_found" | "union_tag_invalid":
            hint = "give it kind: sentinel, agent or client, or config: FILE"
            yield mark_at(tree, path, of_key=False), f"{dotted(path)} isn't a node", hint
            return
    is_key = bool(details["loc"]) and details["loc"][-1] == "[key]"
    mark = mark_at(tree, path, of_key=is_key)
    value = quoted(str(path[-1])) if is_key else _shown(_node_at(tree, path), path, details["input"])
    what, hint = _value_problem(details, _node_at(tree, path), path, value)
    yield mark, what if mark.is_flag or not path else f"{dotted(path)}: {what}", hint


def _value_problem(details: ErrorDetails, node: Node | None, path: _Path, value: str) -> tuple[str, str]:
    """Return what is wrong with the value at a path, without naming the path, and what to do."""
    kind, context = details["type"], details.get("ctx", {})
    if kind == PROBLEM:
        return str(context["what"]).replace("{value}", value), str(context["hint"])
    if details["input"] is None or (isinstance(node, Leaf) and not node.text and kind != "literal_error"):
        return "no value", f"add {_example(path)}" if path else "add the settings"
    if kind in _SHAPES:
        wanted, hint = _SHAPES[kind]
        return f"not {wanted}", hint
    if kind == "literal_error":
        known = re.findall(r"'([^']*)'", str(context.get("expected", "")))
        near = nearest(value, known)
        return f"unknown {value}", f'did you mean "{near}"' if near and len(known) > 4 else f"use {_either(known)}"
    for limit, words in (("ge", "at least"), ("gt", "more than"), ("le", "at most"), ("lt", "less than")):
        if limit in context:
            return f"{value} is out of range", f"use {words} {_number(context[limit])}"
    return ("the list is empty", "add an item") if kind == "too_short" else (details["msg"], "correct it")


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) and value < 1e6 else str(value)


def _either(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _unknown_key(path: _Path, key: str, known: list[str]) -> tuple[str, str]:
    where = f" in {dotted(path)}" if path else ""
    near = nearest(key, known)
    return f"unknown key {quoted(key)}{where}", f'did you mean "{near}"' if near else f"use {', '.join(known)}"


def _missing(tree: Table, path: _Path) -> tuple[str, str]:
    name = dotted(path)
    if tree.mark.source:
        return f"{name} is missing", f"add {_example(path)}"
    flags = [FLAGS["agent.import"], FLAGS["agent.address"]] if name == "agent" else [FLAGS.get(name, name)]
    return f"{name} is missing", f"give {' and '.join(flags)}, or a file with --config"


def _example(path: _Path) -> str:
    if path[-1] == "direct_url" and "peers" in path:
        return _EXAMPLES["direct_url"].replace("downstream", "peer")
    return _EXAMPLES.get(str(path[-1]), "a value" if isinstance(path[-1], int) else f"{path[-1]}: …")


def _clean(location: _Path) -> _Path:
    """Drop pydantic's own steps: the tag of a union, and the mark of a key."""
    return tuple(step for step in location if isinstance(step, int) or not (step == "[key]" or step.startswith("<")))


def dotted(path: _Path) -> str:
    """Write a path as a user would: ``peers[0].direct_url``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return " ".join(text[:200].split())


def _node_at(tree: Table, path: _Path) -> Node | None:
    node: Node | None = tree
    for step in path:
        match node:
            case Table():
                node = node.values.get(str(step))
            case Items() if isinstance(step, int) and step < len(node.values):
                node = node.values[step]
            case _:
                return None
    return node


def mark_at(tree: Table, path: _Path, *, of_key: bool) -> Mark:
    """Return the place of a value, of its key, or of the nearest section that holds it."""
    for length in range(len(path), -1, -1):
        if of_key and length:
            parent = _node_at(tree, path[: length - 1])
            if isinstance(parent, Table) and str(path[length - 1]) in parent.key_marks:
                return parent.key_marks[str(path[length - 1])]
        node = _node_at(tree, path[:length])
        if node is not None:
            return node.mark
    return tree.mark


def _shown(node: Node | None, path: _Path, value: object) -> str:
    names = [step for step in path if isinstance(step, str)]
    if names and is_secret_name(names[-1]) and names[-2:-1] != ["params"]:
        return MASK
    if isinstance(node, Leaf):
        return MASK if node.is_secret else quoted(node.text)
    return quoted(str(value)) if isinstance(value, str | int | float) else "the value"
