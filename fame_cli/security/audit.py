"""The audit log: who attached, bound, took over, was refused or denied, as JSON lines in a file of one's own.

What is written in one turn of the event loop goes to the file in one piece. Nothing here raises into the caller: a
node goes on when its disk is full, says so once in its ordinary log, and counts what is lost; the count is the first
line once writing works again. Several processes may share a file: each line is appended whole, and the file is put
away (``audit.jsonl.1`` to ``.5``) by whoever finds it full.
"""

import errno
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from fame_cli.security.masking import masked, masked_facts

__all__ = ["AUDITED", "KEPT_FILES", "MAX_FILE_BYTES", "AuditLog", "LogEvent"]

MAX_FILE_BYTES = 10 * 1024 * 1024
"""Size at which a file is put away."""

KEPT_FILES = 5
"""Files put away and kept, besides the one that is written."""

AUDITED = frozenset(
    {
        "address_bound",
        "address_taken_over",
        "announcement_refused",
        "credential_refused",
        "envelope_barred",
        "envelope_denied",
        "grant_expired",
        "grant_refused",
        "grant_renewed",
        "key_refused",
        "link_attached",
        "link_closed",
        "link_cut",
        "link_refused",
        "link_turned_away",
        "name_refused",
        "policy_changed",
        "policy_denied",  # here alone, with the rule
        "record_refused",
    }
)
"""The events of a node that are taken down (docs/events.md)."""

_MAX_WAITING = 10_000

Later = Callable[[Callable[[], None]], object]
"""Runs a function once the present turn is over: ``loop.call_soon``."""

LogEvent = Callable[..., None]
"""``node.log.log_event``: event, level, facts."""


class AuditLog:
    """Write what happened to a file.

    Args:
        path: made with mode 0600 if it isn't there, in a folder of 0700; an existing file keeps its mode.
        log_event: says in the ordinary log that this one can't be written.
        later: None writes each event at once.
        max_bytes: size at which a file is put away.
    """

    def __init__(
        self, path: Path, log_event: LogEvent, later: Later | None = None, *, max_bytes: int = MAX_FILE_BYTES
    ) -> None:
        self._path = path
        self._log_event = log_event
        self._later = later
        self._max_bytes = max_bytes
        self._waiting: list[bytes] = []
        self._descriptor = -1
        self._has_failed = False
        self._is_torn = False  # the last line in the file has no end
        self._now = 0.0
        self.lost = 0

    def write(self, event: str, facts: Mapping[str, object], now: float) -> None:
        """Take down one event; secrets in its facts are masked or left out (`masking`).

        Args:
            event: in snake_case, e.g. ``attach_refused``.
            facts: `node`, `link`, `subject` and what else there is to say; JSON values.
            now: seconds since the epoch.
        """
        self._now = now
        if len(self._waiting) >= _MAX_WAITING:
            self.lost += 1
            return
        self._waiting.append(_line(event, facts, now))
        if self._later is None:
            self.flush()
        elif len(self._waiting) == 1:
            self._later(self.flush)

    def flush(self) -> None:
        """Write what waits."""
        lines, self._waiting = self._waiting, []
        if not lines:
            return
        head = [_line("audit_lost", {"events": self.lost}, self._now)] if self.lost else []
        try:
            self._open()
            self._append(b"".join(head + lines))
        except OSError as error:
            self._fail(error, len(lines))
        else:
            self.lost, self._has_failed = 0, False

    def close(self) -> None:
        """Write what waits and let the file go; another event opens it again."""
        self.flush()
        self._drop()

    def _append(self, data: bytes) -> None:
        if self._is_torn:
            data = b"\n" + data
        written = os.write(self._descriptor, data)
        self._is_torn = written < len(data)
        if self._is_torn:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _fail(self, error: OSError, count: int) -> None:
        self.lost += count
        self._drop()
        if not self._has_failed:
            self._has_failed = True
            log_event = self._log_event
            log_event("audit_failed", "error", path=str(self._path), reason=error.strerror or type(error).__name__)

    def _drop(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> None:
        """Have the file open that is at the path now, and not full."""
        if self._descriptor >= 0 and not self._is_current():
            self._drop()
        if self._descriptor < 0:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # nobody who reads a pipe, or reads it slowly, may hold the node up
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, 0o600)
        if os.fstat(self._descriptor).st_size >= self._max_bytes:
            self._put_away()

    def _is_current(self) -> bool:
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            return False
        ours = os.fstat(self._descriptor)
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

    def _put_away(self) -> None:
        """Give the full file a number and begin another; a second process doing so at once costs a short file."""
        with suppress(FileNotFoundError):
            for number in range(KEPT_FILES - 1, 0, -1):
                with suppress(FileNotFoundError):
                    os.replace(self._numbered(number), self._numbered(number + 1))
            os.replace(self._path, self._numbered(1))
        self._drop()
        self._open()

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


def _line(event: str, facts: Mapping[str, object], now: float) -> bytes:
    moment = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    head = {"ts": moment, "event": masked(event)}
    told = {name: value for name, value in masked_facts(facts).items() if name not in head}
    return json.dumps({**head, **told}).encode() + b"\n"
