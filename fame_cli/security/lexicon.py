"""The words of an expression: texts, numbers, names and operators, each with its place. Pure."""

import difflib
import re
from typing import NamedTuple

from fame_cli.errors import ConfigError
from fame_cli.security.functions import MAX_TEXT

__all__ = ["MAX_REGEX", "Token", "tokens", "unknown"]

MAX_REGEX = 256
"""Characters of a regular expression."""

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<number> [0-9]+ (?:\.[0-9]+)? (?:[eE][+-]?[0-9]+)? (?![A-Za-z_]) )
  | (?P<name> [A-Za-z_][A-Za-z0-9_]* )
  | (?P<text> "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' )
  | (?P<operator> && | \|\| | == | != | <= | >= | [-<>!+*/%?:.,()\[\]] )
  | (?P<end> \Z )
  )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'", "/": "/"}
_INSTEAD = {"=": "==", "&": "&&", "|": "||"}
_WORDS_INSTEAD = {"and": "&&", "or": "||", "not": "!"}


class Token(NamedTuple):
    """Hold one word: a number, a name, a text without its quotes, an operator, or the end; `at` counts from 1."""

    kind: str
    text: str
    at: int

    @property
    def shown(self) -> str:
        """Return the word as an error shows it."""
        if self.kind == "end":
            return "the end"
        return "a text" if self.kind == "text" else repr(self.text[:40])

    def error(self, what: str, hint: str) -> ConfigError:
        """Return an error at this word."""
        return ConfigError(f"at character {self.at}: {what}", hint=hint)


def tokens(text: str) -> list[Token]:
    """Split an expression into its words, the end last.

    Raises:
        ConfigError: something that is none.
    """
    found: list[Token] = []
    position = 0
    while not found or found[-1].kind != "end":
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            rest = text[position:].lstrip()
            raise _none(rest, len(text) - len(rest) + 1)
        kind, word, at = match.lastgroup, match[match.lastgroup], match.start(match.lastgroup) + 1
        found.append(Token(kind, _unquoted(word, at) if kind == "text" else word, at))
        position = match.end()
    return found


def _none(rest: str, at: int) -> ConfigError:
    letter = rest[:1]
    if letter in "\"'":
        return ConfigError(f"at character {at}: a text without its end", hint="close the quotes")
    instead = _INSTEAD.get(letter)
    hint = f"write {instead}" if instead else "remove it, or put quotes around a text"
    return ConfigError(f"at character {at}: {letter!r} means nothing", hint=hint)


def _unquoted(word: str, at: int) -> str:
    def letter(match: re.Match[str]) -> str:
        code = match[1]
        if len(code) == 5:
            return chr(int(code[1:], 16))
        if code not in _ESCAPES:
            place = at + 1 + match.start()
            raise ConfigError(f"at character {place}: unknown escape \\{code}", hint=f"write \\\\{code} for \\{code}")
        return _ESCAPES[code]

    text = _ESCAPE.sub(letter, word[1:-1])
    if len(text) > MAX_TEXT:
        raise ConfigError(f"at character {at}: a text of more than {MAX_TEXT} characters", hint="shorten it")
    return text


def unknown(token: Token, what: str, known: list[str]) -> ConfigError:
    """Return the error of a name nobody knows, with the one that was probably meant."""
    if token.text in _WORDS_INSTEAD:
        return token.error(f"{token.text!r} is no operator", f"write {_WORDS_INSTEAD[token.text]}")
    near = difflib.get_close_matches(token.text.lower(), known, 1, 0.6)
    hint = f'did you mean "{near[0]}"' if near else f"use {', '.join(known)}"
    return token.error(f'unknown {what} "{token.text[:40]}"', hint)
