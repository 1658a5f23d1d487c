"""The only module that prints. stdout carries data and nothing else; everything said to a person goes to stderr.

Data is written as it comes and flushed where somebody may be reading along. A reader that leaves (``| head -3``) ends
the command quietly: writing raises `ReaderGone`, which `main.py` turns into exit code 0. Colour is for terminals only,
never with ``NO_COLOR``; rich is imported when a line needs it, so that ``fame --version`` doesn't pay for it. Text for
people is made harmless first: what a remote node says can't move the cursor or forge a second line.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import TextIO

__all__ = [
    "OutputFormat",
    "ReaderGone",
    "Span",
    "data",
    "descriptor_of",
    "diagnostic",
    "discard_stdout",
    "end_items",
    "error",
    "flush",
    "harmless",
    "item",
    "live_line",
    "note",
    "open_missing",
    "render",
    "result",
    "styled",
    "trace",
]

Span = tuple[str, str]
"""Some text and its rich style; "" for none."""


_DRAWN = str.maketrans("→←↔─━│├└█▉▊▋▌▍▎▏µ", "><=--||`########u", "") | str.maketrans({"…": "...", "⋯": "..."})
"""What stands for the signs we draw with where a stream can't carry them, most of them as wide as they are."""


class OutputFormat(StrEnum):
    """Name the ways a result can be written (``-o``)."""

    text = "text"
    json = "json"
    ndjson = "ndjson"


class ReaderGone(Exception):
    """Say that whoever read our stdout has left; nothing is wrong."""


# --- data, on stdout -------------------------------------------------------------------------------------------------


def data(text: str, *, end: str = "\n") -> None:
    """Write data to stdout as it is.

    Raises:
        ReaderGone: the other end of the pipe is closed.
    """
    try:
        _write(sys.stdout, text + end)
    except BrokenPipeError as gone:
        raise ReaderGone from gone


def styled(spans: Sequence[Span]) -> None:
    """Write a line to stdout, in colour on a terminal; made harmless, for it is for people.

    Raises:
        ReaderGone: the other end of the pipe is closed.
    """
    shown = _for_people(sys.stdout, spans)
    if sys.stdout.isatty():
        _say_styled(shown, stderr=False)
    else:
        data("".join(text for text, _ in shown))


def flush() -> None:
    """Hand everything written so far to whoever reads stdout.

    Raises:
        ReaderGone: the other end of the pipe is closed.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError as gone:
        raise ReaderGone from gone


def render(value: object, form: OutputFormat, *, one_line: bool = False) -> str:
    """Write a JSON value as text.

    Args:
        value: any JSON value.
        form: ``text``: a string bare, other scalars as JSON, objects and arrays as indented JSON; ``json``: one
            document; ``ndjson``: one line of JSON.
        one_line: never spread a value over several lines, however the format would; strings keep what they hold.
    """
    if form is OutputFormat.text and isinstance(value, str):
        return value
    compact = one_line or form is OutputFormat.ndjson
    return json.dumps(value, ensure_ascii=False, indent=None if compact else 2)


def result(value: object, form: OutputFormat) -> None:
    """Print the result of a call."""
    data(render(value, form))
    flush()


def item(value: object, form: OutputFormat, *, index: int) -> None:
    """Print one item of a stream at once: a line, or with ``json`` one element of the array that holds them all.

    Args:
        value: any JSON value.
        form: see `render`; an object is one line here in every format.
        index: 0 for the first item.
    """
    text = render(value, form, one_line=True)
    if form is OutputFormat.json:
        data(("," if index else "[") + "\n  " + text, end="")
    else:
        data(text)
    flush()


def end_items(form: OutputFormat, *, count: int) -> None:
    """Close what `item` opened, so that a broken-off stream is still one JSON document."""
    if form is OutputFormat.json:
        data("\n]" if count else "[]")
    flush()


def discard_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's last flush can't fail on a closed pipe."""
    _discard(sys.stdout)


def _discard(stream: TextIO) -> None:
    descriptor = descriptor_of(stream)
    if descriptor is None:
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def open_missing() -> None:
    """Give standard streams that the caller has closed (``>&-``) something harmless to be."""
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: SIM115  # for the life of the process
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # likewise
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115  # likewise


def descriptor_of(stream: TextIO) -> int | None:
    """Return the file descriptor behind a stream; None where there is none, as in tests."""
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return None


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
    except UnicodeEncodeError:
        stream.write(_escaped(stream, text))


def _escaped(stream: TextIO, text: str) -> str:
    encoding = stream.encoding or "ascii"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _for_people(stream: TextIO, spans: Sequence[Span]) -> list[Span]:
    """Return spans made harmless, and as a stream can carry them: signs we draw with by others that look like them."""
    shown = [(harmless(text), style) for text, style in spans]
    try:
        "".join(text for text, _ in shown).encode(stream.encoding or "ascii")
    except UnicodeEncodeError:
        return [(_escaped(stream, text.translate(_DRAWN)), style) for text, style in shown]
    return shown


# --- words for people, on stderr -------------------------------------------------------------------------------------


def error(text: str) -> None:
    """Say in one line what went wrong."""
    _say([("fame: ", "bold red"), (text, "")])


def note(text: str) -> None:
    """Say something worth knowing that is not a result, e.g. which agent was chosen."""
    _say([("fame: ", "dim"), (text, "")])


def diagnostic(spans: Sequence[Span]) -> None:
    """Print one line of styled text, as ``--verbose`` does."""
    _say(spans)


def trace(failure: BaseException) -> None:
    """Print the traceback of a failure, for ``--debug``."""
    _write(sys.stderr, "".join(traceback.format_exception(failure)))


def _say(spans: Sequence[Span]) -> None:
    """Write one line to stderr; a stderr nobody reads is no reason to fail."""
    shown = _for_people(sys.stderr, spans)
    try:
        if sys.stderr.isatty() and any(style for _, style in shown):
            _say_styled(shown, stderr=True)
        else:
            _write(sys.stderr, "".join(text for text, _ in shown) + "\n")
            sys.stderr.flush()
    except OSError:
        _discard(sys.stderr)


def _say_styled(spans: Sequence[Span], *, stderr: bool) -> None:
    from rich.console import Console  # 40 ms that only a coloured line is worth
    from rich.text import Text

    Console(stderr=stderr, highlight=False).print(Text.assemble(*spans), soft_wrap=True)


@contextmanager
def live_line() -> Iterator[Callable[[Sequence[Span]], None] | None]:
    """Give what rewrites one line at the foot of the terminal, gone after the block; None if stderr is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console  # as above
    from rich.live import Live
    from rich.text import Text

    def show(spans: Sequence[Span]) -> None:
        live.update(Text.assemble(*_for_people(sys.stderr, spans), no_wrap=True, overflow="ellipsis"), refresh=True)

    console = Console(stderr=True, highlight=False)
    with Live(
        console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
    ) as live:
        yield show


def harmless(text: str) -> str:
    """Show control characters instead of obeying them, so that what a remote node says stays text."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )
