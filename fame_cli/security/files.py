"""Files that hold secrets: 0600 in folders of 0700, written whole or not at all, refused where others can read them."""

import contextlib
import fcntl
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fame_cli.errors import ConfigError

__all__ = ["PRIVATE", "PUBLIC", "locked", "make_folder", "read_file", "read_json", "write_file", "write_json"]

PRIVATE, PUBLIC = 0o600, 0o644
"""Modes of files."""

MAX_FILE_BYTES = 4 * 1024 * 1024
"""More than any file of ours has."""


def make_folder(folder: Path, *, hint: str = "set FAME_HOME") -> None:
    """Make a folder for its owner alone; one that is there stays as it is.

    Args:
        folder: which.
        hint: what to do when it can't be made.

    Raises:
        ConfigError: it can't be made, or others may write in it.
    """
    try:
        if not folder.is_dir():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = stat.S_IMODE(folder.stat().st_mode)
    except OSError as error:
        raise ConfigError(f"can't be made: {_why(error)}", source=str(folder), hint=hint) from error
    if mode & 0o022:
        raise ConfigError("others may write in this folder", source=str(folder), hint=f"chmod 700 {folder}")


def read_file(path: Path, mode: int) -> bytes | None:
    """Return what a file holds; None if it isn't there.

    Args:
        mode: `PRIVATE` if nobody else may read it, `PUBLIC` if nobody else may write it.

    Raises:
        ConfigError: others can do more with it than `mode` says, or it can't be read. The text shows nothing of it.
    """
    try:
        with path.open("rb") as stream:
            actual = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
            if actual & 0o066 & ~mode:
                what = "read" if mode == PRIVATE else "change"
                raise ConfigError(f"others can {what} this file", source=str(path), hint=f"chmod {mode:o} {path}")
            return stream.read(MAX_FILE_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"can't be read: {_why(error)}", source=str(path)) from error


def read_json(path: Path, mode: int) -> Any:
    """Return what a JSON file holds; None if it isn't there.

    Raises:
        ConfigError: as `read_file`, or it isn't JSON.
    """
    content = read_file(path, mode)
    try:
        return None if content is None else json.loads(content)
    except (ValueError, RecursionError):
        raise ConfigError("not JSON", source=str(path)) from None  # what is wrong with it may quote it


def write_file(path: Path, content: bytes, mode: int) -> None:
    """Write a file so that a reader sees the old one or the new one; its folder must be there.

    Raises:
        ConfigError: it can't be written.
    """
    try:
        descriptor, fresh = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")  # 0600 from its first byte
    except OSError as error:
        raise ConfigError(f"can't be written: {_why(error)}", source=str(path)) from error
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        Path(fresh).replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            Path(fresh).unlink()
        raise ConfigError(f"can't be written: {_why(error)}", source=str(path)) from error


def write_json(path: Path, value: Any, mode: int) -> None:
    """Write a JSON file as `write_file` does."""
    write_file(path, json.dumps(value, indent=2).encode() + b"\n", mode)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes that change the files of a folder out for the block, which must be short.

    Raises:
        ConfigError: the folder can't be written to.
    """
    try:
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
    except OSError as error:
        raise ConfigError(f"can't be written to: {_why(error)}", source=str(folder)) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _why(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
