"""The log files of nodes: read what is new, tell an event from other output, and write it for a person.

A node logs one JSON object a line (``ts``, ``level``, ``event``, facts); whatever else its process says, a traceback
for one, is text. Files may grow while they are read, may not be there yet, and may be cut short by somebody else.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from fame_cli.cli.output import Span
from fame_cli.security.files import open_regular

__all__ = ["COLOURS", "LogLine", "Tail", "ansi", "merged", "parse", "spans"]

COLOURS = ("cyan", "green", "magenta", "yellow", "blue", "bright_cyan", "bright_green", "bright_magenta")
"""Styles for the names of nodes, used in turn."""

_LEVELS = {"debug": "dim", "warning": "yellow", "error": "bold red", "critical": "bold red"}
_CHUNK_BYTES = 1_048_576
_LINE_BYTES = 262_144


@dataclass(frozen=True, slots=True)
class LogLine:
    """Hold one line: an event and its facts, or, with `event` "", some text.

    Args:
        text: the line as it was written.
        event: name of the event.
        level: of the event.
        moment: when, ISO 8601; "" if not known.
        facts: what the event is about.
    """

    text: str
    event: str = ""
    level: str = ""
    moment: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


def parse(text: str) -> LogLine:
    """Read one line; what isn't an event is text, never an error."""
    try:
        found = json.loads(text) if text.startswith("{") else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("event"), str):
        return LogLine(text)
    facts = {name: value for name, value in found.items() if name not in ("ts", "level", "event")}
    return LogLine(text, found["event"], str(found.get("level", "info")), str(found.get("ts", "")), facts)


def merged(read: Mapping[str, Sequence[LogLine]]) -> list[tuple[str, LogLine]]:
    """Return the lines of several nodes by time; one that has none belongs to the one before it.

    Args:
        read: lines in the order of their file, by node.
    """
    timed: list[tuple[str, str, LogLine]] = []
    for name, lines in read.items():
        moment = ""
        for line in lines:
            moment = line.moment or moment
            timed.append((moment, name, line))
    timed.sort(key=lambda entry: entry[0])
    return [(name, line) for _, name, line in timed]


def spans(name: str, style: str, width: int, line: LogLine) -> list[Span]:
    """Write a line for a person, the node's name in front.

    Args:
        name: of the node.
        style: of its name.
        width: columns for the names of all nodes.
        line: what it said.
    """
    head = (f"{name:<{width}} │ ", style)
    if not line.event:
        return [head, (_harmless(line.text), "")]
    facts = " ".join(f"{key}={_fact(value)}" for key, value in line.facts.items() if value not in ("", None, []))
    level = _LEVELS.get(line.level, "")
    told = f"{line.level:<7} {line.event:<20} "
    return [head, (f"{_clock(line.moment)} ", "dim"), (_harmless(told if facts else told.rstrip()), level), (facts, "")]


def ansi(line: Sequence[Span]) -> str:
    """Return a line as a terminal takes it, in colour unless ``NO_COLOR`` is set."""
    from rich.console import Console  # 40 ms that only a coloured line is worth
    from rich.text import Text

    console = Console(force_terminal=True, highlight=False)
    with console.capture() as captured:
        console.print(Text.assemble(*line), soft_wrap=True, end="")
    return captured.get()


def _clock(moment: str) -> str:
    try:
        return datetime.fromisoformat(moment).astimezone().strftime("%H:%M:%S.%f")[:-3]
    except ValueError:
        return "--:--:--.---"


def _fact(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(_fact, value))
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if text.isprintable() and " " not in text else repr(text)


def _harmless(text: str) -> str:
    """Show control characters instead of obeying them; a node may log what a stranger sent."""
    return text if text.isprintable() else "".join(part if part.isprintable() else repr(part)[1:-1] for part in text)


@dataclass(slots=True)
class Tail:
    """Read a growing file line by line, from its beginning."""

    path: Path
    _position: int = 0
    _rest: bytes = b""

    def read(self, *, is_last: bool = False) -> list[LogLine]:
        """Return the lines that have become complete since the last time, of at most a megabyte.

        Args:
            is_last: nobody writes any more: read to the end, and what has no line end is a line too.
        """
        lines = self._read_some()
        while is_last and self._has_more():
            lines += self._read_some()
        if self._rest and (is_last or len(self._rest) > _LINE_BYTES):
            lines.append(self._rest)
            self._rest = b""
        return [parse(line.decode("utf-8", "replace").rstrip("\r")) for line in lines]

    def _has_more(self) -> bool:
        return self.path.exists() and self.path.stat().st_size > self._position

    def _read_some(self) -> list[bytes]:
        try:
            with os.fdopen(open_regular(self.path, follow=False), "rb") as stream:
                if stream.seek(0, 2) < self._position:
                    self._position, self._rest = 0, b""
                stream.seek(self._position)
                chunk = stream.read(_CHUNK_BYTES)
        except FileNotFoundError:
            return []
        self._position += len(chunk)
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return lines
