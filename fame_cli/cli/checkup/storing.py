"""The check of what a node writes: that its folders take it, and that there is room."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from fame_cli.cli.checkup.case import Case, Subject
from fame_cli.cli.checkup.findings import Finding, fail, ok, warn
from fame_cli.errors import ConfigError

__all__ = ["CHECK", "folder", "look_at"]

CHECK = "storage"

LEAST_BYTES = 64 * 1024 * 1024
"""Free on a disk, below which it is said to be nearly full."""


def look_at(subject: Subject, case: Case) -> list[Finding]:
    """Look where a node writes: its audit log."""
    if subject.settings is None or subject.settings.audit is None:
        return []
    return folder(subject.settings.audit, case.machine.free_bytes)


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
