"""The language of a rule's `when` (security.md 8): read once into a tree, evaluated without effects and within bounds.

Pure. The grammar is the original's, so that files written for it load. CEL was looked at and left: cel-python (0.5)
brings six packages and an import of its own parser for a language that is not the files', and its matching takes whole
patterns from claims. This reader is a page long, knows every name a rule may use, and so refuses a misspelt one when
the file is loaded instead of denying for ever.

    either  = both { "||" both } [ "?" either ":" either ]
    both    = equal { "&&" equal }
    equal   = order [ ( "==" | "!=" ) order ]
    order   = sum [ ( "<" | "<=" | ">" | ">=" | [ "not" ] "in" ) sum ]
    sum     = product { ( "+" | "-" ) product }        product = unary { ( "*" | "/" | "%" ) unary }
    unary   = ( "!" | "-" ) unary | value { "." NAME | "[" either "]" }
    value   = NUMBER | TEXT | true | false | null | NAME | NAME "(" … ")" | "[" … "]" | "(" either ")"

What isn't there is null. Two values that are both absent are neither equal nor unequal: that fails, and so denies.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from fame_cli.errors import ConfigError
from fame_cli.security.facts import OPEN_ROOTS, PATHS, Facts, snake
from fame_cli.security.functions import (
    FUNCTIONS,
    MAX_ARGUMENTS,
    MAX_ITEMS,
    EvaluationFailed,
    Function,
    bounded,
    kind_of,
)
from fame_cli.security.lexicon import MAX_REGEX, Token, tokens, unknown
from fame_cli.security.operators import OPERATORS, compared, truth

__all__ = ["MAX_CHARACTERS", "MAX_DEPTH", "MAX_NODES", "CompileRegex", "Expression", "parse"]

MAX_CHARACTERS = 4096
MAX_DEPTH = 32
"""Brackets, arguments, signs and alternatives within each other."""
MAX_NODES = 256
"""Values, names, operators and calls."""

CompileRegex = Callable[[str], Callable[[str], bool]]
"""Compiles a regular expression of an engine that never goes back; ConfigError says what is wrong with it."""

_Run = Callable[[Facts], object]
_WORDS: dict[str, object] = {"true": True, "false": False, "null": None}


class _Part(NamedTuple):
    """Hold a piece of the tree: what evaluates it, and its text if it is one that stands there as such."""

    run: _Run
    text: str | None = None
    is_null: bool = False


class Expression(NamedTuple):
    """Hold an expression that has been read.

    Args:
        text: as it was written.
        run: works it out.
    """

    text: str
    run: _Run

    def holds(self, facts: Facts) -> bool:
        """Tell whether it is true; null counts as false.

        Raises:
            EvaluationFailed: it has no value, or one that is neither true nor false.
        """
        try:
            return truth(self.run(facts))
        except RecursionError as error:
            raise EvaluationFailed("a value that is nested too deep") from error


def parse(text: str, compile_regex: CompileRegex) -> Expression:
    """Read an expression.

    Args:
        text: of a rule's `when`.
        compile_regex: for the patterns of ``regex_match``.

    Raises:
        ConfigError: not of the grammar, an unknown name, or past a limit; without a place in a file.
    """
    if len(text) > MAX_CHARACTERS:
        raise ConfigError(f"an expression of more than {MAX_CHARACTERS} characters", hint="split the rule")
    return Expression(text, _Reader(tokens(text), compile_regex).whole().run)


class _Reader:
    """Read tokens into a tree, counting as it goes."""

    def __init__(self, found: list[Token], compile_regex: CompileRegex) -> None:
        self._tokens = found
        self._at = 0
        self._nodes = 0
        self._depth = 0
        self._compile_regex = compile_regex

    # Tokens

    @property
    def _now(self) -> Token:
        return self._tokens[self._at]

    def _take(self, *texts: str) -> str:
        """Take the next token if it is one of these operators or words; "" if it isn't."""
        token = self._now
        if token.kind == "text" or token.text not in texts:
            return ""
        self._at += 1
        return token.text

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise self._now.error(f"{self._now.shown} where {text!r} is wanted", "check the brackets")

    def _part(self, run: _Run, text: str | None = None, *, is_null: bool = False) -> _Part:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise self._now.error(f"an expression of more than {MAX_NODES} parts", "split the rule")
        return _Part(run, text, is_null)

    # Grammar

    def whole(self) -> _Part:
        """Read everything."""
        part = self._either()
        if self._now.kind != "end":
            raise self._now.error(f"{self._now.shown} after the end of the expression", "join conditions by && or ||")
        return part

    def _either(self) -> _Part:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._now.error(f"nested deeper than {MAX_DEPTH}", "flatten it")
        part = self._joined("||", lambda: self._joined("&&", self._equal, _all), _any)
        if self._take("?"):
            yes = self._either()
            self._expect(":")
            no = self._either()
            condition = part.run
            part = self._part(lambda facts: yes.run(facts) if truth(condition(facts)) else no.run(facts))
        self._depth -= 1
        return part

    def _joined(self, operator: str, operand: Callable[[], _Part], join: Callable[[tuple[_Run, ...]], _Run]) -> _Part:
        parts = [operand()]
        while self._take(operator):
            parts.append(operand())
        return parts[0] if len(parts) == 1 else self._part(join(tuple(part.run for part in parts)))

    def _equal(self) -> _Part:
        left = self._order()
        operator = self._take("==", "!=")
        if not operator:
            return left
        right = self._order()
        if self._now.text in ("==", "!=") and self._now.kind != "text":
            raise self._now.error("comparisons in a row", "join them by &&")
        is_null_meant, wanted, one, other = left.is_null or right.is_null, operator == "==", left.run, right.run
        return self._part(lambda facts: compared(one(facts), other(facts), is_null_meant=is_null_meant) is wanted)

    def _order(self) -> _Part:
        left = self._sum()
        operator = self._take("<", "<=", ">", ">=", "in", "not")
        if not operator:
            return left
        if operator == "not":
            self._expect("in")
            operator = "not in"
        return self._binary(operator, left, self._sum())

    def _sum(self) -> _Part:
        left = self._product()
        while operator := self._take("+", "-"):
            left = self._binary(operator, left, self._product())
        return left

    def _product(self) -> _Part:
        left = self._unary()
        while operator := self._take("*", "/", "%"):
            left = self._binary(operator, left, self._unary())
        return left

    def _binary(self, operator: str, left: _Part, right: _Part) -> _Part:
        apply, one, other = OPERATORS[operator], left.run, right.run
        return self._part(lambda facts: apply(one(facts), other(facts)))

    def _unary(self) -> _Part:
        operator = self._take("!", "-")
        if not operator:
            return self._members(self._value())
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._now.error(f"nested deeper than {MAX_DEPTH}", "flatten it")
        run = self._unary().run
        self._depth -= 1
        if operator == "!":
            return self._part(lambda facts: not truth(run(facts)))
        minus = OPERATORS["-"]
        return self._part(lambda facts: minus(0, run(facts)))

    def _members(self, part: _Part) -> _Part:
        while True:
            if self._take("."):
                part = self._member(part.run, self._name())
            elif self._take("["):
                part = self._item(part.run, self._either().run)
                self._expect("]")
            else:
                return part

    def _member(self, run: _Run, name: str) -> _Part:
        return self._part(lambda facts: _member_of(run(facts), name))

    def _item(self, run: _Run, key: _Run) -> _Part:
        return self._part(lambda facts: _item_of(run(facts), key(facts)))

    def _name(self) -> str:
        token = self._now
        if token.kind != "name":
            raise token.error(
                f"{token.shown} where a name is wanted", 'write other names in brackets, as in claims["x-y"]'
            )
        self._at += 1
        return token.text

    def _value(self) -> _Part:
        token = self._now
        if token.kind == "number":
            self._at += 1
            number = _number(token)
            return self._part(lambda facts: number)
        if token.kind == "text":
            self._at += 1
            text = token.text
            return self._part(lambda facts: text, text)
        if self._take("("):
            part = self._either()
            self._expect(")")
            return part
        if self._take("["):
            return self._list(self._arguments("]", MAX_ITEMS))
        if token.kind != "name":
            raise token.error(f"{token.shown} where a value is wanted", "write a name, a text, a number or a call")
        self._at += 1
        if self._take("("):
            return self._call(token)
        return self._reference(token)

    def _arguments(self, end: str, most: int) -> list[_Part]:
        parts: list[_Part] = []
        while not self._take(end):
            if parts:
                self._expect(",")
            if len(parts) == most:
                raise self._now.error(f"more than {most} values", "split them")
            parts.append(self._either())
        return parts

    def _list(self, parts: list[_Part]) -> _Part:
        runs = tuple(part.run for part in parts)
        return self._part(lambda facts: [run(facts) for run in runs])

    def _call(self, name: Token) -> _Part:
        function = FUNCTIONS.get(name.text)
        if function is None and name.text != "regex_match":
            raise unknown(name, "function", [*FUNCTIONS, "regex_match"])
        parts = self._arguments(")", MAX_ARGUMENTS)
        least, most = (function.least, function.most) if function else (2, 2)
        if not least <= len(parts) <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            raise name.error(f"{name.text} takes {wanted} arguments, not {len(parts)}", "correct the call")
        if function is None:
            return self._regex(name, parts)
        return self._part(_called(function, tuple(part.run for part in parts)))

    def _regex(self, name: Token, parts: list[_Part]) -> _Part:
        value, pattern = parts[0].run, parts[1].text
        if pattern is None:
            raise name.error("the pattern of regex_match isn't a text in quotes", "write the pattern out")
        if len(pattern) > MAX_REGEX:
            raise name.error(f"a pattern of more than {MAX_REGEX} characters", "shorten it")
        try:
            search = self._compile_regex(pattern)
        except ConfigError as error:
            raise name.error(error.message, error.hint) from error
        return self._part(lambda facts: _searched(search, value(facts)))

    def _reference(self, name: Token) -> _Part:
        """Read a name with the members that belong to it: all of them known, but for those of claims."""
        if name.text in _WORDS:
            value = _WORDS[name.text]
            return self._part(lambda facts: value, is_null=value is None)
        if name.text in OPEN_ROOTS:
            return self._part(lambda facts: facts.claims)
        path = snake(name.text)
        known = {known for path in PATHS for known in _prefixes(path)}
        if path not in known:
            raise unknown(name, "name", sorted({*OPEN_ROOTS, *(each.partition(".")[0] for each in PATHS)}))
        while path not in PATHS:
            below = [each for each in known if each.startswith(f"{path}.")]
            if not self._take("."):
                raise self._now.error(f"{path} isn't a value", f"use {min(below, key=len)}")
            member, path = self._now, f"{path}.{snake(self._name())}"
            if path not in known:
                raise unknown(
                    member, f"member of {path.rpartition('.')[0]}", [each.rpartition(".")[2] for each in below]
                )
        read = PATHS[path]
        return self._part(lambda facts: bounded(read(facts)))


def _prefixes(path: str) -> list[str]:
    steps = path.split(".")
    return [".".join(steps[:count]) for count in range(1, len(steps) + 1)]


def _number(token: Token) -> object:
    try:
        return bounded(int(token.text) if token.text.isdigit() else float(token.text))
    except EvaluationFailed as error:
        raise token.error(error.message, "write a smaller one") from error


def _all(runs: tuple[_Run, ...]) -> _Run:
    return lambda facts: all(truth(run(facts)) for run in runs)


def _any(runs: tuple[_Run, ...]) -> _Run:
    return lambda facts: any(truth(run(facts)) for run in runs)


def _called(function: Function, runs: tuple[_Run, ...]) -> _Run:
    run = function.run
    return lambda facts: run(facts, *(bounded(argument(facts)) for argument in runs))


def _searched(search: Callable[[str], bool], value: object) -> bool:
    if value is None:
        return False
    if not isinstance(value, str):
        raise EvaluationFailed(f"regex_match wants a text, not {kind_of(value)}")
    bounded(value)
    return search(value)


def _member_of(value: object, name: str) -> object:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise EvaluationFailed(f"{kind_of(value)} has no member {name}")
    return bounded(value.get(name))


def _item_of(value: object, key: object) -> object:
    if value is None:
        return None
    if isinstance(value, list) and isinstance(key, int) and not isinstance(key, bool):
        return bounded(value[key]) if 0 <= key < len(value) else None
    if isinstance(value, Mapping) and isinstance(key, str):
        return bounded(value.get(key))
    raise EvaluationFailed(f"{kind_of(value)} has no item named by {kind_of(key)}")
