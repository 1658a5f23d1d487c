"""Files that hold secrets: 0600 in folders of 0700, written whole or not at all, refused where others can read them.

What is opened by a name may be anything by then: a pipe nobody writes to, a device, a link to somewhere else. So files
are opened without waiting and only regular ones, here for all of `fame`; new ones under names nobody can have guessed.
"""

import contextlib
import errno
import fcntl
import json
import os
import shlex
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fame_cli.errors import ConfigError

__all__ = [
    "PRIVATE",
    "PUBLIC",
    "content_of",
    "locked",
    "make_folder",
    "open_lock",
    "open_regular",
    "put",
    "read_file",
    "read_json",
    "why",
    "write_file",
    "write_json",
]

PRIVATE, PUBLIC = 0o600, 0o644
"""Modes of files."""

MAX_FILE_BYTES = 4 * 1024 * 1024
"""More than any file of ours has."""


def open_regular(path: Path, *, follow: bool = True) -> int:
    """Open a file for reading and return its descriptor, at once whatever is there.

    Args:
        path: of the file.
        follow: whether it may be a link, as files that a user names may be.

    Raises:
        OSError: it can't be opened, or is no regular file.
        ValueError: no file can have this name.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    descriptor = os.open(path, flags)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "Not a regular file", str(path))


def content_of(path: Path, max_bytes: int = MAX_FILE_BYTES, *, follow: bool = True) -> bytes:
    """Return what a regular file holds.

    Args:
        path: of the file.
        max_bytes: how much it may hold.
        follow: see `open_regular`.

    Raises:
        OSError: it can't be read, is no regular file, or holds more.
        ValueError: no file can have this name.
    """
    with os.fdopen(open_regular(path, follow=follow), "rb") as stream:
        content = stream.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return content


def put(path: Path, content: bytes, mode: int = PRIVATE, *, lasts: bool = True) -> None:
    """Write a file so that a reader sees the old one or the new one; its folder must be there.

    Args:
        path: of the file; what else there is in its place is replaced, and a link isn't followed.
        content: all of it.
        mode: its permissions.
        lasts: whether it is to outlive a loss of power, which takes a while.

    Raises:
        OSError: it can't be written; nothing of it is left.
    """
    descriptor, fresh = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")  # 0600 from its first byte
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            if lasts:
                os.fsync(stream.fileno())
        Path(fresh).replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            Path(fresh).unlink()
        raise


def open_lock(path: Path) -> int:
    """Open a file for locks, made if it isn't there, and return its descriptor.

    Raises:
        OSError: it can't be made, or is a link.
    """
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, PRIVATE)


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
        raise ConfigError(f"can't be made: {why(error)}", source=str(folder), hint=hint) from error
    if mode & 0o022:
        raise ConfigError("others may write in this folder", source=str(folder), hint=_chmod(0o700, folder))


def _chmod(mode: int, path: Path) -> str:
    return f"chmod {mode:o} {shlex.quote(str(path))}"


def read_file(path: Path, mode: int) -> bytes | None:
    """Return what a file holds; None if it isn't there.

    Args:
        mode: `PRIVATE` if nobody else may read it, `PUBLIC` if nobody else may write it.

    Raises:
        ConfigError: others can do more with it than `mode` says, or it can't be read. The text shows nothing of it.
    """
    try:
        with os.fdopen(open_regular(path), "rb") as stream:
            actual = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
            if actual & 0o066 & ~mode:
                what = "read" if mode == PRIVATE else "change"
                raise ConfigError(f"others can {what} this file", source=str(path), hint=_chmod(mode, path))
            return stream.read(MAX_FILE_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"can't be read: {why(error)}", source=str(path)) from error


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
        put(path, content, mode)
    except OSError as error:
        raise ConfigError(f"can't be written: {why(error)}", source=str(path)) from error


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
        descriptor = open_lock(folder / ".lock")
    except OSError as error:
        raise ConfigError(f"can't be written to: {why(error)}", source=str(folder)) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def why(error: OSError) -> str:
    """Return why something can't be done with a file, in a few words."""
    return (error.strerror or type(error).__name__).lower()
