"""The check of what a node writes: that its folders take it, that there is room, and that its database is whole."""

import os
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path

from fame_cli.cli.checkup.case import Case, Subject
from fame_cli.cli.checkup.findings import Finding, State, fail, fail_of, ok, warn
from fame_cli.cli.checkup.holders import holder_of
from fame_cli.config.schema import SentinelConfig
from fame_cli.errors import ConfigError
from fame_cli.store.database import Database

__all__ = ["CHECK", "folder", "look_at", "store"]

CHECK = "storage"

LEAST_BYTES = 64 * 1024 * 1024
"""Free on a disk, below which it is said to be nearly full."""

BUSY_S = 0.5
"""Seconds that a lock of another process is waited for."""


def look_at(subject: Subject, case: Case) -> list[Finding]:
    """Look where a node writes: its audit log, and the file of the messages it answers for."""
    config, free_bytes = subject.config, case.machine.free_bytes
    told: list[Finding] = []
    if subject.settings is not None and subject.settings.audit is not None:
        told += folder(subject.settings.audit, free_bytes)
    path = config.storage_file()
    if path is not None:
        return [*told, *store(path, free_bytes)]
    if config.delivery.profile == "at-least-once" or (isinstance(config, SentinelConfig) and config.mailboxes):
        what = "the messages it answers for are kept in memory, and end with its process"
        told.append(warn(CHECK, what, "set storage.profile: sqlite"))
    return told


def store(path: Path, free_bytes: Callable[[Path], int]) -> list[Finding]:
    """Say whether a node could keep its messages in a file; one that is there stays as it is.

    Args:
        path: of the file.
        free_bytes: tells what is free on the disk of a folder.
    """
    place = folder(path, free_bytes)
    if not path.exists():
        return place
    try:
        database = Database(path, wait_s=BUSY_S)
    except ConfigError as error:
        if not _is_busy(error.__cause__):
            return [fail_of(CHECK, error)]
        holder = holder_of(path) or "another process"
        return [warn(CHECK, f"{path} is in use by {holder}", "fine while its node runs, else stop that process")]
    try:
        database.check()
    finally:
        database.close()
    return [*(finding for finding in place if finding.state is not State.ok), ok(CHECK, f"{path} is whole")]


def _is_busy(cause: BaseException | None) -> bool:
    return isinstance(cause, sqlite3.DatabaseError) and cause.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


def folder(path: Path, free_bytes: Callable[[Path], int]) -> list[Finding]:
    """Say whether a file can be written, by its folder, or by the one in which that would be made.

    Args:
        path: of the file, which need not be there.
        free_bytes: tells what is free on the disk of a folder.
    """
    there = next(each for each in path.absolute().parents if each.exists())
    if not there.is_dir():
        what = f"{path} can't be written: {there} isn't a folder"
        return [fail(CHECK, what, "name a file in another folder", ConfigError)]
    if path.exists() and not (path.is_file() and os.access(path, os.W_OK)):
        return [fail(CHECK, f"{path} can't be written", "see whose it is, or name another file", ConfigError)]
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        told = (error.strerror or type(error).__name__).lower()
        return [
            fail(CHECK, f"nothing can be written in {there}: {told}", "see whose it is, or name another", ConfigError)
        ]
    free = free_bytes(there)
    if free < LEAST_BYTES:
        return [warn(CHECK, f"the disk of {there} is nearly full: {free // 2**20} MiB are free", "make room")]
    return [ok(CHECK, f"{path}: can be written")]
