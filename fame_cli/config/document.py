"""YAML text as a tree in which every value and every key knows its place.

Pure. It never constructs anything from tags, never guesses types (a plain ``on`` or ``8000`` stays text until a field
of the schema, or `natural`, reads it) and never follows an input without bound: size, depth and the expansion of
aliases have limits. Whatever is wrong is a `ConfigError` with file, line and column. The rest of the package only
sees these trees, so a bad value can be traced to its line however late it is found.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import yaml

from fame_cli.config.interpolate import interpolate
from fame_cli.config.mask import is_secret_name
from fame_cli.errors import ConfigError

__all__ = [
    "MAX_CHARACTERS",
    "MAX_DEPTH",
    "MAX_NODES",
    "Items",
    "Leaf",
    "Mark",
    "Node",
    "Table",
    "Text",
    "read",
    "resolve",
]

MAX_CHARACTERS = 262_144
"""Characters of one file."""

MAX_DEPTH = 32
"""Mappings and lists within each other."""

MAX_NODES = 20_000
"""Values of one file, an alias counted as everything it stands for."""

NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Mark:
    """Hold a place: a file with line and column (1-based, 0 if unknown), or a variable or flag by its name."""

    source: str
    line: int = 0
    column: int = 0
    is_flag: bool = False

    def error(self, what: str, hint: str = "") -> ConfigError:
        """Return an error at this place."""
        return ConfigError(what, source=self.source, line=self.line, column=self.column, hint=hint)


class Text(str):
    """Carry a scalar into the schema: its text, and what decides whether a field may read it as something else."""

    __slots__ = ("is_interpolated", "is_plain")
    is_plain: bool
    is_interpolated: bool

    def __new__(cls, text: str, *, is_plain: bool, is_interpolated: bool) -> "Text":
        """Make the text with its two facts."""
        made = super().__new__(cls, text)
        made.is_plain = is_plain
        made.is_interpolated = is_interpolated
        return made

    @property
    def is_typed(self) -> bool:
        """Tell whether a field may read it as a number or switch: anything but a quoted literal."""
        return self.is_plain or self.is_interpolated


@dataclass(frozen=True, slots=True)
class Leaf:
    """Hold one scalar.

    Args:
        text: the text, after escapes and, once resolved, after interpolation.
        mark: where it begins.
        is_plain: it stands without quotes.
        is_interpolated: it held a variable, or came from one, so its field decides the type even if quoted.
        is_secret: a secret variable's value is in it.
        text_column: column of its first character if the file has it verbatim, else 0.
    """

    text: str
    mark: Mark
    is_plain: bool = True
    is_interpolated: bool = False
    is_secret: bool = False
    text_column: int = 0

    @property
    def is_null(self) -> bool:
        """Tell whether this is YAML's null, written as such."""
        return self.is_plain and not self.is_interpolated and self.text in NULLS

    def data(self) -> Text | None:
        """Return the value for the schema."""
        if self.is_null:
            return None
        return Text(self.text, is_plain=self.is_plain, is_interpolated=self.is_interpolated)


@dataclass(slots=True)
class Items:
    """Hold a list."""

    values: list["Node"]
    mark: Mark

    def data(self) -> list[object]:
        """Return the values for the schema."""
        return [value.data() for value in self.values]


@dataclass(slots=True)
class Table:
    """Hold a mapping, and the place of each of its keys."""

    values: dict[str, "Node"]
    mark: Mark
    key_marks: dict[str, Mark] = field(default_factory=dict)

    def data(self) -> dict[str, object]:
        """Return the values for the schema."""
        return {key: value.data() for key, value in self.values.items()}

    def put(self, key: str, value: "Node", mark: Mark | None = None) -> None:
        """Set or replace one key; `mark` is the key's place, the value's own if not given."""
        self.values[key] = value
        self.key_marks[key] = mark or value.mark

    def drop(self, key: str) -> None:
        """Remove one key if it is there."""
        self.values.pop(key, None)
        self.key_marks.pop(key, None)

    def text(self, key: str) -> str:
        """Return the text of a scalar, "" if the key is missing, null or not a scalar."""
        value = self.values.get(key)
        return value.text if isinstance(value, Leaf) and not value.is_null else ""


Node = Leaf | Items | Table


def read(text: str, source: str, *, begin: str = "begin with kind: sentinel, agent, client or fabric") -> Table:
    """Parse the one mapping that a configuration file holds.

    Args:
        text: the file's text, without a byte order mark.
        source: file name for errors.
        begin: what to do about a file that holds nothing of the kind.

    Raises:
        ConfigError: not YAML, not a mapping, a duplicate key, or past one of the limits.
    """
    if len(text) > MAX_CHARACTERS:
        raise ConfigError(f"the file is larger than {MAX_CHARACTERS} characters", source=source, hint="split it")
    return _Builder(text, source, begin).document()


def resolve(node: Node, env: Mapping[str, str]) -> Node:
    """Return a copy of the tree with every variable in its values replaced.

    Raises:
        ConfigError: a variable isn't set, or an expression is malformed.
    """
    match node:
        case Table():
            values = {key: resolve(value, env) for key, value in node.values.items()}
            return Table(values, node.mark, dict(node.key_marks))
        case Items():
            return Items([resolve(value, env) for value in node.values], node.mark)
        case Leaf():
            return _resolve_leaf(node, env)


def _resolve_leaf(leaf: Leaf, env: Mapping[str, str]) -> Leaf:
    if "$" not in leaf.text:
        return leaf
    mark, exact = leaf.mark, bool(leaf.text_column)
    result = interpolate(
        leaf.text, env, source=mark.source, line=mark.line, column=leaf.text_column or mark.column, exact=exact
    )
    secret = any(is_secret_name(name) for name in result.names)
    # "$$" alone doesn't make a value interpolated: no variable decided its text, so its quotes still mean text.
    has_expression = bool(re.search(r"\$[{<]", leaf.text.replace("$$", "")))
    return replace(leaf, text=result.text, is_interpolated=has_expression, is_secret=secret, text_column=0)


class _Place(Protocol):
    """Be the mark of either of PyYAML's two scanners."""

    @property
    def line(self) -> int: ...
    @property
    def column(self) -> int: ...
    @property
    def index(self) -> int: ...


def _mark(source: str, mark: _Place | None) -> Mark:
    return Mark(source, mark.line + 1, mark.column + 1) if mark else Mark(source)


class _Builder:
    """Turn the parser's events into a tree, counting as it goes."""

    def __init__(self, text: str, source: str, begin: str) -> None:
        self._text = text
        self._source = source
        self._begin = begin
        self._last: Mark = Mark(source, 1, 1)
        self._count = 0
        self._deepest = 0
        self._anchors: dict[str, tuple[Node, int, int]] = {}  # the value, how many values it is, its height
        self._open_anchors: set[str] = set()

    def document(self) -> Table:
        """Return the file's mapping."""
        try:
            return self._document(iter(yaml.parse(self._text, Loader=yaml.SafeLoader)))
        except yaml.reader.ReaderError as error:
            before = self._text[: error.position]
            mark = Mark(self._source, before.count("\n") + 1, error.position - (before.rfind("\n") + 1) + 1)
            raise mark.error("a control character YAML doesn't allow", "remove it") from error
        except yaml.MarkedYAMLError as error:
            raise self._syntax_error(error) from error
        except (ValueError, OverflowError) as error:  # the scanner's own chr() and int() on absurd escapes and versions
            raise self._last.error("not YAML: an escape or number out of range", "correct it") from error

    def _document(self, events: Iterator[yaml.Event]) -> Table:
        root: Node | None = None
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    raise _mark(self._source, event.start_mark).error(
                        "a second document", "keep one document a file, or use kind: fabric"
                    )
                root = self._node(next(events), events, 1)
        if isinstance(root, Table) and root.values:
            return root
        mark = root.mark if root else Mark(self._source, 1, 1)
        is_empty = root is None or not isinstance(root, Leaf) or root.is_null
        what = "the file has no settings" if is_empty else "the file isn't a mapping"
        raise mark.error(what, self._begin)

    def _node(self, event: yaml.Event, events: Iterator[yaml.Event], depth: int) -> Node:
        mark = self._last = _mark(self._source, event.start_mark)
        self._grow(1, depth, mark)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, depth, mark)
        if not isinstance(event, yaml.ScalarEvent | yaml.SequenceStartEvent | yaml.MappingStartEvent):
            raise mark.error("not YAML: a value is missing", "add it")
        if event.tag is not None and event.tag != "!":
            raise mark.error(f"the tag {_short(event.tag)} isn't supported", "remove it; quotes make text of a value")
        if event.anchor is None:
            return self._body(event, events, depth, mark)
        count, deepest, self._deepest = self._count, self._deepest, depth
        self._open_anchors.add(event.anchor)
        node = self._body(event, events, depth, mark)
        self._open_anchors.discard(event.anchor)
        self._anchors[event.anchor] = (node, self._count - count + 1, self._deepest - depth)
        self._deepest = max(deepest, self._deepest)
        return node

    def _body(self, event: yaml.NodeEvent, events: Iterator[yaml.Event], depth: int, mark: Mark) -> Node:
        if isinstance(event, yaml.ScalarEvent):
            return self._leaf(event, mark)
        if isinstance(event, yaml.SequenceStartEvent):
            values: list[Node] = []
            while not isinstance(item := next(events), yaml.SequenceEndEvent):
                values.append(self._node(item, events, depth + 1))
            return Items(values, mark)
        table = Table({}, mark)
        while not isinstance(item := next(events), yaml.MappingEndEvent):
            key, key_mark = self._key(item, table)
            table.put(key, self._node(next(events), events, depth + 1), key_mark)
        return table

    def _key(self, event: yaml.Event, table: Table) -> tuple[str, Mark]:
        mark = self._last = _mark(self._source, event.start_mark)
        if not isinstance(event, yaml.ScalarEvent):
            hint = 'quote a value that begins with {, [ or *, as in "${NAME}"'
            raise mark.error("a key must be plain text", hint)
        key: str = event.value
        if key == "<<" and event.style is None:
            raise mark.error("merge keys (<<) aren't supported", "write the keys out")
        if "${" in key or "$<" in key:
            raise mark.error(f"a variable in the key {_short(key)}", "use variables in values only")
        if _SURROGATE.search(key):
            raise mark.error("half a surrogate pair in a key", "write the character itself")
        if key in table.values:
            raise mark.error(
                f"duplicate key {_short(key)}", f"remove one; the first is on line {table.key_marks[key].line}"
            )
        return key, mark

    def _leaf(self, event: yaml.ScalarEvent, mark: Mark) -> Leaf:
        value: str = event.value
        if _SURROGATE.search(value):
            raise mark.error("half a surrogate pair in a value", "write the character itself")
        is_plain = event.style is None
        begin = (event.start_mark.index if event.start_mark else 0) + (0 if is_plain else 1)
        is_verbatim = "\n" not in value and self._text.startswith(value, begin) and event.style not in ("|", ">")
        text_column = mark.column + (0 if is_plain else 1) if is_verbatim else 0
        return Leaf(value, mark, is_plain=is_plain, text_column=text_column)

    def _alias(self, event: yaml.AliasEvent, depth: int, mark: Mark) -> Node:
        name = event.anchor or ""
        if name in self._open_anchors:
            raise mark.error(f"the alias {_short('*' + name)} contains itself", "write the value out")
        if name not in self._anchors:
            hint = "quote the value if it begins with a star, else name an anchor that stands before it"
            raise mark.error(f"the alias {_short('*' + name)} has no anchor", hint)
        node, size, height = self._anchors[name]
        self._grow(size, depth + height, mark)
        return node

    def _grow(self, size: int, depth: int, mark: Mark) -> None:
        self._count += size
        self._deepest = max(self._deepest, depth)
        if depth > MAX_DEPTH:
            raise mark.error(f"nested deeper than {MAX_DEPTH}", "flatten it")
        if self._count > MAX_NODES:
            raise mark.error(f"more than {MAX_NODES} values, aliases counted in full", "split the file")

    def _syntax_error(self, error: yaml.MarkedYAMLError) -> ConfigError:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(str(error.problem or error.context or "malformed").split())
        lines = self._text.splitlines()
        line = lines[mark.line] if mark and mark.line < len(lines) else ""
        return _mark(self._source, mark).error(f"not YAML: {problem}", _syntax_hint(problem, line))


def _syntax_hint(problem: str, line: str) -> str:
    if "\\t" in problem or "\t" in line:
        return "indent with spaces, not tabs"
    if "${" in line:
        return 'put quotes around a value with a variable, as in "${NAME}"'
    if "mapping values are not allowed" in problem:
        return 'check the indentation, and put quotes around a value that holds ": "'
    return "check the indentation, brackets and quotes here and on the line before"


def _short(text: str) -> str:
    shown = " ".join(text.split())
    return '"' + (shown if len(shown) <= 60 else shown[:57] + "…") + '"'
