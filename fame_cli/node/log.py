"""Log lines: an event name and its facts, as text for people and as JSON for programs.

Events are past-tense snake_case; facts are keys, never part of the text. stderr only: stdout is for results. The core
doesn't log, it notes (`Note`), and the shell writes the notes down here.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

__all__ = ["LEVELS", "log_event", "set_up_logging"]

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

_log = logging.getLogger("fame")
_log.addHandler(logging.NullHandler())  # a program that hasn't asked for logs gets none, not Python's last resort


def log_event(event: str, level: str = "info", /, **facts: object) -> None:
    """Write one event; nothing is formatted when its level is off."""
    number = LEVELS[level]
    if _log.isEnabledFor(number):
        _log.log(number, event, extra={"facts": facts})


class _Lines(logging.Formatter):
    """Format an event for a person or, with `as_json`, for a program."""

    def __init__(self, *, as_json: bool, worker: int | None) -> None:
        super().__init__()
        self._as_json = as_json
        self._common: dict[str, object] = {} if worker is None else {"worker": worker}

    def format(self, record: logging.LogRecord) -> str:
        facts: dict[str, object] = {**record.__dict__.get("facts", {}), **self._common}
        moment = datetime.fromtimestamp(record.created, UTC)
        if self._as_json:
            head = {"ts": moment.isoformat(timespec="milliseconds"), "level": record.levelname.lower()}
            return json.dumps({**head, "event": record.getMessage(), **facts}, default=str)
        told = " ".join(f"{key}={_text(value)}" for key, value in facts.items() if value not in ("", None, []))
        clock = moment.astimezone().strftime("%H:%M:%S.%f")[:-3]
        line = f"{clock} {record.levelname.lower():<7} {record.getMessage():<22} {told}".rstrip()
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _text(value: object) -> str:
    """Write a fact so that nothing a neighbour says can end the line or drive a terminal."""
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return repr(text) if " " in text or not text.isprintable() else text


def set_up_logging(
    level: str = "info", form: str = "auto", stream: TextIO | None = None, *, worker: int | None = None
) -> None:
    """Send log lines to stderr.

    Args:
        level: debug, info, warning or error.
        form: text, json, or auto: text on a terminal, JSON otherwise.
        stream: another place to write to.
        worker: number of this process among those that share the place; it is then a fact of every event.
    """
    target = stream or sys.stderr
    as_json = form == "json" or (form == "auto" and not target.isatty())
    output = logging.StreamHandler(target)
    output.setFormatter(_Lines(as_json=as_json, worker=worker))
    _log.handlers[:] = [output]
    _log.setLevel(LEVELS[level])
    _log.propagate = False
    for library in ("websockets", "picows", "aiofastnet"):  # a failed handshake of a stranger is no news
        logging.getLogger(library).setLevel(logging.CRITICAL)
