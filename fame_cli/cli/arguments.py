"""From the words of a command line to the `params` of a call.

``name=value`` is text, coerced by the operation's JSON schema when there is one, else taken as JSON if it parses as
such; ``name:=json`` is JSON; ``name=@file`` and ``name:=@file`` take text and JSON from a file (``-``: from stdin);
``--json`` gives the whole object. A message that is for no operation is one word, or an object of such arguments.
Everything wrong with them is a `UsageError` of one line that says which word and what to write instead. Nothing here
talks to a fabric: who describes an operation is the caller's business.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from fame_cli.cli.coercion import Schema, coerce, guess, kind_of, refuse_constant, shown
from fame_cli.cli.likeness import alike
from fame_cli.core import address
from fame_cli.errors import RemoteProtocolError, UsageError

__all__ = [
    "Argument",
    "CallWords",
    "build_arguments",
    "build_params",
    "parse_argument",
    "parse_message",
    "parse_words",
    "shown",
]

_ARGUMENT = re.compile(r"[^\W\d][\w.-]*:?=")
"""How an argument begins; any other word with a ``=`` in it is a text."""


@dataclass(frozen=True, slots=True)
class Argument:
    """Hold one argument: `text` as typed or read, still to be coerced, or a finished `value` when `text` is None."""

    name: str
    text: str | None = None
    value: object = None


@dataclass(frozen=True, slots=True)
class CallWords:
    """Hold what the words of ``fame call`` and ``fame stream`` mean; `target` is None if none was given."""

    target: str | None
    operation: str
    arguments: tuple[Argument, ...]
    document: Mapping[str, Any] | None = None

    @property
    def needs_schema(self) -> bool:
        """Tell whether some argument is text whose type only the operation's schema can tell."""
        return any(argument.text is not None for argument in self.arguments)


def parse_words(words: Sequence[str], json_text: str | None, *, verb: str, stdin: TextIO) -> CallWords:
    """Read ``[TARGET] OPERATION [name=value …]`` and the ``--json`` option.

    Args:
        words: the positional words, at least one.
        json_text: the value of ``--json``; ``-`` reads stdin; None if it wasn't given.
        verb: the command, for the examples in messages: ``call`` or ``stream``.
        stdin: read at most once, and only if a word asks for it.

    Raises:
        UsageError: a word is wrong; the message names it.
    """
    target, operation, rest = _split(words, verb)
    return CallWords(target, operation, *_read_arguments(rest, json_text, _StdinReader(stdin), verb))


def parse_message(address: str, words: Sequence[str], json_text: str | None, *, stdin: TextIO) -> object:
    """Read the payload of a message that is for no operation: one word of JSON or text, or the members of an object.

    Args:
        address: whom it is for, to be checked.
        words: ``-`` is stdin, ``@FILE`` a file, ``name=value`` and the like an object's members, whatever else a value.
        json_text: the value of ``--json``.
        stdin: read at most once, and only if a word asks for it.

    Returns:
        A JSON value.

    Raises:
        UsageError: a word is wrong, or there is nothing to send.
    """
    _check_address(address)
    reader = _StdinReader(stdin)
    if len(words) == 1 and json_text is None and not _ARGUMENT.match(words[0]):
        word = words[0]
        literal = "for a text that starts with @ write '\"@…\"'"
        if word.startswith("@"):
            return guess(_read_file(word, word[1:], reader.read, literal))
        return guess(reader.read() if word == "-" else word)
    if not words and json_text is None:
        raise UsageError("there is nothing to send", hint="give JSON, a text, name=value, @FILE, or - for stdin")
    text = next((word for word in words if not _ARGUMENT.match(word)), None)
    if text is not None:
        raise UsageError(f"{shown(text)} is one word of several", hint="quote a text that has blanks: 'like this'")
    return build_arguments(CallWords(address, "", *_read_arguments(words, json_text, reader, "send")), None)


def _read_arguments(
    words: Sequence[str], json_text: str | None, reader: "_StdinReader", verb: str
) -> tuple[tuple[Argument, ...], Mapping[str, Any] | None]:
    arguments: dict[str, Argument] = {}
    document = None if json_text is None else _read_document(json_text, reader)
    for word in words:
        argument = parse_argument(word, reader.read, verb=verb)
        if argument.name in arguments or argument.name in (document or {}):
            raise UsageError(f"argument {shown(argument.name)} is given twice", hint="keep one of them")
        arguments[argument.name] = argument
    return tuple(arguments.values()), document


def _split(words: Sequence[str], verb: str) -> tuple[str | None, str, Sequence[str]]:
    first = words[0]
    if "@" not in first or "=" in first:
        _check_operation(words, verb)
        return None, first, words[1:]
    _check_address(first)
    if len(words) < 2 or "=" in words[1]:
        raise UsageError(f"no operation after {first}", hint=f"write: fame {verb} {first} OPERATION [name=value …]")
    return first, words[1], words[2:]


def _check_address(word: str) -> None:
    try:
        address.parse(word)
    except RemoteProtocolError as error:
        raise UsageError(
            f"{shown(word)} is not an address", hint="write NAME@DOMAIN, e.g. math1@fame.fabric"
        ) from error


def _check_operation(words: Sequence[str], verb: str) -> None:
    """Refuse what can't be an operation, and a target that lost its domain."""
    first = words[0]
    if "=" in first or not first:
        raise UsageError(
            f"{shown(first)} comes before any operation", hint=f"write: fame {verb} [TARGET] OPERATION [name=value …]"
        )
    if len(words) > 1 and "=" not in words[1]:
        raise UsageError(
            f"{shown(first)} is not an address and {shown(words[1])} not an argument",
            hint=f"a target has a domain (fame {verb} {first}@fame.fabric {words[1]} …), an argument is name=value",
        )


class _StdinReader:
    """Hand out stdin once; a second word that wants it would silently get nothing."""

    def __init__(self, stdin: TextIO) -> None:
        self._stdin = stdin
        self._taken = False

    def read(self) -> str:
        if self._taken:
            raise UsageError("stdin is asked for twice", hint="put one of the two into a file: name=@FILE")
        self._taken = True
        return self._stdin.read()


def parse_argument(word: str, read_stdin: Callable[[], str], *, verb: str = "call") -> Argument:
    """Read one ``name=value``, ``name:=json``, ``name=@file`` or ``name:=@file``.

    Raises:
        UsageError: not of that form, bad JSON, or a file that can't be read.
    """
    left, equals, right = word.partition("=")
    is_json = left.endswith(":")
    name = left.removesuffix(":")
    if not equals or not name:
        raise UsageError(f"{shown(word)} is not an argument", hint="write name=value, name:=JSON or name=@FILE")
    literal = f"for a text that starts with @ write {name}:='\"@…\"'"
    text = _read_file(f"{name}={right}", right[1:], read_stdin, literal) if right.startswith("@") else right
    if not is_json:
        return Argument(name, text=text)
    return Argument(name, value=_parse_json(text, where=f"{name}:="))


def _read_file(word: str, path: str, read_stdin: Callable[[], str], literal: str) -> str:
    """Read a file, or stdin for ``-``; `word` asks for it, and `literal` says how to write one like it as a text."""
    if path == "-":
        return read_stdin()
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{word}: {(error.strerror or str(error)).lower()}", hint=literal) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{word}: not UTF-8 text", hint="JSON carries text only; encode it first") from error
    except ValueError as error:  # a name that holds a null
        raise UsageError(f"{shown(word)}: {error}", hint=literal) from error


def _read_document(text: str, reader: _StdinReader) -> Mapping[str, Any]:
    document = _parse_json(reader.read() if text == "-" else text, where="--json")
    if not isinstance(document, dict):
        raise UsageError(f"--json: {kind_of(document)} instead of an object", hint="write --json '{\"name\": value}'")
    return document


def _parse_json(text: str, *, where: str) -> object:
    try:
        return json.loads(text, parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        reason = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
        hint = "quote a text: '\"like this\"'" if where.endswith(":=") else ""
        raise UsageError(f"{where} {shown(text)} is not JSON: {reason}", hint=hint) from error


def build_params(words: CallWords, schema: Schema | None) -> dict[str, Any]:
    """Make the JSON-RPC `params` (spec 8.1): no positional arguments, and what was typed as keywords.

    Agents and plain RPC services both take that form. ``--json`` alone goes out as it was written, for callees that
    expect a model of their own.

    Args:
        words: what was typed.
        schema: JSON Schema of the operation's parameters; None if nobody knows it.

    Raises:
        UsageError: a value doesn't fit its type, or the operation has no such parameter.
    """
    if words.document is not None and not words.arguments:
        return dict(words.document)
    return {"args": [], "kwargs": build_arguments(words, schema)}


def build_arguments(words: CallWords, schema: Schema | None) -> dict[str, Any]:
    """Return what was typed and what ``--json`` gave as one object; arguments and errors as `build_params`."""
    typed = {argument.name: _value_of(argument, schema, words.operation) for argument in words.arguments}
    return {**(words.document or {}), **typed}


def _value_of(argument: Argument, schema: Schema | None, operation: str) -> object:
    if schema is not None:
        _check_name(argument.name, schema, operation)
    if argument.text is None:
        return argument.value
    if schema is None:
        return guess(argument.text)
    return coerce(argument.name, argument.text, _property(argument.name, schema), schema)


def _property(name: str, schema: Schema) -> object:
    properties = schema.get("properties")
    return properties.get(name) if isinstance(properties, Mapping) else None


def _check_name(name: str, schema: Schema, operation: str) -> None:
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or name in properties or schema.get("additionalProperties") is not False:
        return
    nearest = alike(name, properties)
    takes = ", ".join(properties) or "no arguments"
    hint = f"did you mean {nearest[0]}? it takes {takes}" if nearest else f"it takes {takes}"
    raise UsageError(f"{operation} has no argument {shown(name)}", hint=hint)
