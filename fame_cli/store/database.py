"""The file of a store: SQLite, held by one process at a time.

What `apply` returns from is on the disk (write-ahead log, synchronous=FULL): a process that is killed loses nothing of
it, and neither does a machine that loses its power, if its disk says the truth. The lock is the file's own (SQLite's
exclusive locking mode), so that it ends with the process, however that ends.
"""

import contextlib
import os
import sqlite3
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from fame_cli.core.message import IN, Message
from fame_cli.errors import ConfigError, FameError, StoreFull
from fame_cli.store.medium import LANE_S, MAX_LANES, MAX_SEEN, SEEN_S, Change, Kept, Put, Remove, seen_by

__all__ = ["HELD", "VERSION", "Database", "told"]

HELD = "another process uses it"
"""What is wrong with a file that a running node has."""

VERSION = 1
"""Of the tables; a file with a greater one was made by a later `fame`."""

_OURS = 0x46414D45
"""``FAME``, the file's application id."""

_TABLES = """
CREATE TABLE messages (
    n INTEGER PRIMARY KEY, box TEXT NOT NULL, id TEXT NOT NULL, address TEXT NOT NULL, payload BLOB NOT NULL,
    lane TEXT NOT NULL, seq INTEGER NOT NULL, sender TEXT NOT NULL, stored_at REAL NOT NULL, expires_at REAL NOT NULL,
    attempts INTEGER NOT NULL, reason TEXT NOT NULL, origin TEXT NOT NULL, mailbox INTEGER NOT NULL, UNIQUE (box, id)
);
CREATE TABLE lanes (lane TEXT PRIMARY KEY, seq INTEGER NOT NULL, at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE seen (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, at REAL NOT NULL)
"""
_COLUMNS = ", ".join(Message.__struct_fields__)  # named as in the table, which may have them in another order
_PUT = f"""
INSERT INTO messages ({_COLUMNS}) VALUES ({", ".join("?" * len(Message.__struct_fields__))})
    ON CONFLICT (box, id) DO UPDATE SET
    address=excluded.address, payload=excluded.payload, lane=excluded.lane, seq=excluded.seq, sender=excluded.sender,
    stored_at=excluded.stored_at, expires_at=excluded.expires_at, attempts=excluded.attempts, reason=excluded.reason,
    origin=excluded.origin, mailbox=excluded.mailbox
"""
_REMOVE = "DELETE FROM messages WHERE box = ? AND id = ?"
_LANE = """
INSERT INTO lanes VALUES (?, ?, ?)
    ON CONFLICT (lane) DO UPDATE SET seq = max(seq, excluded.seq), at = max(at, excluded.at)
"""
_SAW = "INSERT INTO seen (id, at) VALUES (?, ?) ON CONFLICT (id) DO NOTHING"
_FORGET = (
    ("DELETE FROM seen WHERE at < :now - :bound", SEEN_S),
    ("DELETE FROM seen WHERE n <= (SELECT max(n) FROM seen) - :bound", MAX_SEEN),
    ("DELETE FROM lanes WHERE at < :now - :bound", LANE_S),
    ("DELETE FROM lanes WHERE lane IN (SELECT lane FROM lanes ORDER BY at DESC LIMIT -1 OFFSET :bound)", MAX_LANES),
)


class Database:
    """Keep messages in a file.

    Args:
        path: made if it isn't there, for its owner alone, in a folder for its owner alone.
        wait_s: seconds to wait for another process that holds it.

    Raises:
        ConfigError: it is damaged, of a later version, another program's, or held by another process, or others can
            read it.
    """

    def __init__(self, path: Path, *, wait_s: float = 5.0) -> None:
        self._path = path
        _make(path)
        try:
            self._sql = sqlite3.connect(path, timeout=wait_s, isolation_level=None)
        except sqlite3.Error as error:
            raise _unusable(error, path) from error
        try:
            self._prepare()
        except sqlite3.Error as error:
            self._sql.close()
            raise _unusable(error, path) from error
        except ConfigError:
            self._sql.close()
            raise

    def _prepare(self) -> None:
        """Lock the file, see whose it is, and make the tables in a new one."""
        self._sql.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._sql.execute("BEGIN EXCLUSIVE")
        owner, version = self._number("PRAGMA application_id"), self._number("PRAGMA user_version")
        is_new = not owner and not version and not self._number("SELECT count(*) FROM sqlite_master")
        if is_new:
            for table in _TABLES.split(";"):
                self._sql.execute(table)
            self._sql.execute(f"PRAGMA application_id = {_OURS}")
            self._sql.execute(f"PRAGMA user_version = {VERSION}")
        self._sql.execute("COMMIT")
        if not is_new and owner != _OURS:
            raise ConfigError("a database of another program", source=str(self._path), hint="name another file")
        if version > VERSION:
            hint = "update fame, or name another file"
            raise ConfigError(
                f"made by a later fame (version {version} of {VERSION})", source=str(self._path), hint=hint
            )
        self._sql.execute("PRAGMA journal_mode = WAL")
        self._sql.execute("PRAGMA synchronous = FULL")

    def _number(self, query: str) -> int:
        return int(self._sql.execute(query).fetchone()[0])

    def apply(self, changes: Sequence[Change]) -> None:
        """Make all changes, in order, or none of them; they are on the disk once it returns.

        Raises:
            StoreFull: the disk is full or can't be written; the same changes may be possible later.
            FameError: one of them can't be kept: a number or a text that no file takes.
        """
        if not changes:
            return
        try:
            self._sql.execute("BEGIN IMMEDIATE")
            self._apply(changes)
            self._sql.execute("COMMIT")
        except (sqlite3.Error, OverflowError, ValueError) as error:
            with contextlib.suppress(sqlite3.Error):
                self._sql.execute("ROLLBACK")  # it may have been rolled back already
            raise told(error, self._path) from error

    def _apply(self, changes: Sequence[Change]) -> None:
        """Make changes, sorted by what is to be done: what comes to the same is done once, and in few statements."""
        puts: dict[tuple[str, str], Message] = {}
        gone: dict[tuple[str, str], None] = {}
        seen: list[tuple[str, float]] = []
        lanes: dict[str, tuple[str, int, float]] = {}
        for change in changes:
            if isinstance(change, Put):
                message = change.message
                puts[message.box, message.id] = message
                if seen_by(message):
                    seen.append((message.id, message.stored_at))
                elif message.box == IN and message.seq >= lanes.get(message.lane, ("", 0))[1]:
                    lanes[message.lane] = (message.lane, message.seq, message.stored_at)
            elif isinstance(change, Remove):
                puts.pop((change.box, change.id), None)
                gone[change.box, change.id] = None
            else:
                seen.append((change.id, change.at))
        rows = [msgspec.structs.astuple(each) for each in puts.values()]
        for statement, values in ((_REMOVE, gone), (_PUT, rows), (_SAW, seen), (_LANE, lanes.values())):
            if values:
                self._sql.executemany(statement, values)

    def read(self) -> Kept:
        """Return everything.

        Raises:
            ConfigError: it is damaged.
        """
        try:
            rows = self._sql.execute(f"SELECT {_COLUMNS} FROM messages ORDER BY n")
            messages = [_message(row) for row in rows]
            lanes = dict(self._sql.execute("SELECT lane, seq FROM lanes"))
            seen = dict(self._sql.execute("SELECT id, at FROM seen ORDER BY n"))
        except sqlite3.Error as error:
            raise _unusable(error, self._path) from error
        return Kept(messages, lanes, seen)

    def check(self) -> None:
        """Look through the whole file.

        Raises:
            ConfigError: it is damaged.
        """
        try:
            said = self._sql.execute("PRAGMA quick_check(1)").fetchone()[0]
        except sqlite3.Error as error:
            raise _unusable(error, self._path) from error
        if said != "ok":
            raise _unusable(sqlite3.DatabaseError(said), self._path, sqlite3.SQLITE_CORRUPT)

    def forget(self, now: float) -> None:
        """Forget ids and lanes that are too old or too many; a failure leaves them for the next time."""
        with contextlib.suppress(sqlite3.Error):
            for statement, bound in _FORGET:
                self._sql.execute(statement, {"now": now, "bound": bound})

    def close(self) -> None:
        """Let the file go."""
        with contextlib.suppress(sqlite3.Error):  # what is in the log stays there until it is opened again
            self._sql.close()


def told(error: Exception, path: Path) -> FameError:
    """Turn what SQLite says of a write into one line of ours."""
    code = error.sqlite_errorcode & 0xFF if isinstance(error, sqlite3.OperationalError | sqlite3.DatabaseError) else 0
    if not isinstance(error, sqlite3.Error) or isinstance(error, sqlite3.IntegrityError | sqlite3.DataError):
        return FameError(f"{path}: a message that can't be stored: {type(error).__name__}")
    if code == sqlite3.SQLITE_FULL:
        return StoreFull(f"{path}: the disk is full", hint="make room: it is written again as soon as there is some")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreFull(f"{path}: damaged: {_why(error)}", hint=_DAMAGED)
    return StoreFull(f"{path}: can't be written: {_why(error)}", hint="see to its disk: it is tried again")


_DAMAGED = "stop the node, put a copy back, or move the file away to begin with an empty one"


def _unusable(error: sqlite3.Error, path: Path, code: int = 0) -> ConfigError:
    """Turn what SQLite says when a file is opened or read into one line of ours; `code` where the error has none."""
    code = code or (error.sqlite_errorcode & 0xFF if isinstance(error, sqlite3.DatabaseError) else 0)
    if code == sqlite3.SQLITE_BUSY:
        return ConfigError(HELD, source=str(path), hint="stop that one, or name another file")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        hint = "put a copy back, or move it away to begin with an empty one"
        return ConfigError(f"damaged: {_why(error)}", source=str(path), hint=hint)
    return ConfigError(f"can't be used: {_why(error)}", source=str(path), hint="see to its disk, or name another file")


def _why(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _message(row: tuple[Any, ...]) -> Message:
    id, box, address, payload, lane, seq, sender, stored_at, expires_at, attempts, reason, origin, mailbox = row
    return Message(
        id=id,
        box=box,
        address=address,
        payload=payload,
        lane=lane,
        seq=seq,
        sender=sender,
        stored_at=stored_at,
        expires_at=expires_at,
        attempts=attempts,
        reason=reason,
        origin=origin,
        mailbox=bool(mailbox),
    )


def _make(path: Path) -> None:
    """Make the file, empty, if it isn't there; SQLite gives those beside it the same mode.

    Raises:
        ConfigError: it can't be made, or others can read or replace it.
    """
    folder, source = path.parent, str(path)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if stat.S_IMODE(folder.stat().st_mode) & 0o022:
            raise ConfigError("others may write in this folder", source=str(folder), hint=f"chmod 700 {folder}")
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            _sync(folder)
        mode = path.stat().st_mode
    except OSError as error:
        why = (error.strerror or type(error).__name__).lower()
        raise ConfigError(f"can't be made: {why}", source=source, hint="name a file in a folder of yours") from error
    if not stat.S_ISREG(mode):
        raise ConfigError("not a file", source=source, hint="name a file")
    if stat.S_IMODE(mode) & 0o077:
        raise ConfigError("others can read this file", source=source, hint=f"chmod 600 {path}")


def _sync(folder: Path) -> None:
    """Have the folder's list of files on the disk, or a loss of power could take the file with it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
