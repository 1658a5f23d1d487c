"""Variables in a configuration value: from ``ws://${HOST:-localhost}`` to text.

Pure: the variables come in as a mapping. A variable's value is never read for expressions again, and as this works on
one parsed YAML value at a time, a value can't add structure. Nothing is passed through half understood: an expression
that isn't one of these is an error that shows the right spelling.

    ${NAME}  $<NAME>  ${env:NAME}    the value; not set is an error
    ${NAME:-default}                 the default when not set or empty
    ${NAME:?message}                 an error with the message when not set or empty
    ${env:NAME:default}              the default when not set (the Naylence spelling)
    $$                               a dollar sign; a lone $ and $NAME stay as they are
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NoReturn

from fame_cli.errors import ConfigError

__all__ = ["MAX_DEPTH", "MAX_RESULT_CHARACTERS", "Result", "interpolate"]

MAX_DEPTH = 10
"""Expressions within expressions: ``${A:-${B}}`` has depth 2."""

MAX_RESULT_CHARACTERS = 1_048_576
"""Characters one value may grow to."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RUN = re.compile(r"[^${}]+")
_DOLLAR_HINT = "write $$ for a plain dollar sign"

_Mode = Literal["required", "unless_filled", "unless_set", "message"]


@dataclass(frozen=True, slots=True)
class Result:
    """Hold the text after interpolation and the names of the variables whose values are in it."""

    text: str
    names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Expression:
    """Hold one parsed ``${…}``; `argument` is the default or the message."""

    name: str
    mode: _Mode
    offset: int
    argument: list["str | _Expression"] = field(default_factory=list)


_Template = list[str | _Expression]


@dataclass(slots=True)
class _Reader:
    """Parse one value; the place fields are only for errors."""

    text: str
    source: str
    line: int
    column: int
    exact: bool
    position: int = 0

    def fail(self, offset: int, what: str, hint: str) -> NoReturn:
        """Raise the error for the expression that starts at `offset`."""
        column = self.column + offset if self.exact and self.column else self.column
        raise ConfigError(what, source=self.source, line=self.line, column=column, hint=hint)

    def template(self, depth: int) -> _Template:
        """Read text and expressions up to the end, or within an expression (depth > 0) up to its closing brace."""
        parts: _Template = []
        braces = 0
        while self.position < len(self.text):
            if run := _RUN.match(self.text, self.position):
                parts.append(run.group())
                self.position = run.end()
                continue
            if self.text[self.position] == "$":
                parts.append(self.dollar(depth))
                continue
            braces += 1 if self.text[self.position] == "{" else -1
            if depth and braces < 0:
                return parts
            parts.append(self.text[self.position])
            self.position += 1
        return parts

    def dollar(self, depth: int) -> str | _Expression:
        """Read what a dollar sign begins."""
        match self.text[self.position + 1 : self.position + 2]:
            case "{":
                return self.expression(depth + 1)
            case "<":
                return self.angle()
            case "$":
                self.position += 2
                return "$"
            case _:
                self.position += 1
                return "$"

    def angle(self) -> _Expression:
        """Read ``$<NAME>``."""
        start = self.position
        name = _NAME.match(self.text, start + 2)
        if name is None or not self.text.startswith(">", name.end()):
            self.fail(
                start, "$< begins a variable but isn't of the form $<NAME>", f"write ${{NAME}}, or {_DOLLAR_HINT}"
            )
        self.position = name.end() + 1
        return _Expression(name.group(), "required", start)

    def expression(self, depth: int) -> _Expression:
        """Read ``${…}`` from its dollar sign to just after its closing brace."""
        start = self.position
        if depth > MAX_DEPTH:
            self.fail(start, f"variables are nested deeper than {MAX_DEPTH}", "set one of them outside of this file")
        is_env = self.text.startswith("env:", start + 2)
        name = _NAME.match(self.text, start + (6 if is_env else 2))
        if name is None:
            self.fail(start, f"{self.excerpt(start)} doesn't name a variable", f"write ${{NAME}}, or {_DOLLAR_HINT}")
        self.position = name.end()
        mode = self.operator(start, name.group(), is_env=is_env)
        argument = self.template(depth) if mode != "required" else []
        if self.position >= len(self.text):
            self.fail(start, f"{self.excerpt(start)} is never closed", f"add the closing brace, or {_DOLLAR_HINT}")
        self.position += 1
        return _Expression(name.group(), mode, start, argument)

    def operator(self, start: int, name: str, *, is_env: bool) -> _Mode:
        """Read what follows the name, up to where the default or message begins."""
        rest = self.text[self.position : self.position + 2]
        if not rest or rest[0] == "}":
            return "required"
        if is_env and rest[0] == ":" and rest not in (":-", ":?"):
            self.position += 1
            return "unless_set"
        if not is_env and rest in (":-", ":?"):
            self.position += 2
            return "unless_filled" if rest == ":-" else "message"
        if rest[0] == ":" and (is_env or rest != ":+"):
            both = f"write ${{{name}:-default}} or ${{env:{name}:default}}"
            what = "mixes the two ways to give a default" if is_env else "has one colon, so its default isn't one"
            self.fail(start, f"{self.excerpt(start)} {what}", both)
        known = f"${{{name}}}, ${{{name}:-default}} or ${{{name}:?message}}"
        self.fail(start, f"{self.excerpt(start)} isn't a form known here", f"write {known}, or {_DOLLAR_HINT}")

    def excerpt(self, start: int) -> str:
        """Return the beginning of the expression at `start`, on one line."""
        end = self.text.find("}", start, start + 40)
        return " ".join((self.text[start : end + 1] if end > 0 else self.text[start : start + 40]).split())

    def evaluate(self, template: _Template, env: Mapping[str, str], names: set[str]) -> str:
        """Put the values in, and the names of the variables used into `names`."""
        out: list[str] = []
        size = 0
        for part in template:
            out.append(part if isinstance(part, str) else self.value(part, env, names))
            size += len(out[-1])
            if size > MAX_RESULT_CHARACTERS:
                self.fail(0, f"the value grows past {MAX_RESULT_CHARACTERS} characters", "use shorter variables")
        return "".join(out)

    def value(self, expression: _Expression, env: Mapping[str, str], names: set[str]) -> str:
        """Return the text of one expression."""
        name, value = expression.name, env.get(expression.name)
        is_missing = value is None or (not value and expression.mode in ("unless_filled", "message"))
        if value is not None and not is_missing:
            names.add(name)
            return value
        state = "isn't set" if value is None else "is empty"
        if expression.mode == "required":
            self.fail(expression.offset, f"variable {name} {state}", f"set it, or write ${{{name}:-default}}")
        argument = self.evaluate(expression.argument, env, names)
        if expression.mode == "message":
            message = " ".join(argument.split())
            self.fail(
                expression.offset, f"variable {name} {state}" + (f": {message}" if message else ""), f"set {name}"
            )
        return argument


def interpolate(
    text: str, env: Mapping[str, str], *, source: str = "", line: int = 0, column: int = 0, exact: bool = False
) -> Result:
    """Replace every variable expression of one value.

    Args:
        text: the value as parsed from YAML.
        env: the variables.
        source: file name for errors.
        line: 1-based line of the value, 0 if unknown.
        column: 1-based column of the value's first character, 0 if unknown.
        exact: the text stands in the file as it is, so that an error can count its column from there.

    Raises:
        ConfigError: a variable isn't set, or an expression isn't one of the known forms.
    """
    if "$" not in text:
        return Result(text)
    reader = _Reader(text, source, line, column, exact)
    template = reader.template(0)
    names: set[str] = set()
    return Result(reader.evaluate(template, env, names), frozenset(names))
