"""A file that processes write to through a pipe which this process empties: they may, while their own disks are full.

What is in the pipe stays there when its writer is killed, as what is in a file does.
"""

import asyncio
import contextlib
import os
from pathlib import Path

__all__ = ["Spool"]

MOST_BYTES = 65_536


class Spool:
    """Keep what comes through a pipe.

    Args:
        path: the file it is kept in.

    Attributes:
        pipe: what others open and append to, whole lines of less than 4 KiB each.
    """

    def __init__(self, path: Path) -> None:
        self.pipe = path.with_name(f"{path.name}.pipe")
        os.mkfifo(self.pipe, 0o600)
        self._end = os.open(self.pipe, os.O_RDWR | os.O_NONBLOCK)  # for writing as well, so that it never ends
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        asyncio.get_running_loop().add_reader(self._end, self.empty)

    def empty(self) -> None:
        """Write down what is in the pipe."""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._end, MOST_BYTES):
                os.write(self._file, data)

    def close(self) -> None:
        """Write down the rest, and end."""
        asyncio.get_running_loop().remove_reader(self._end)
        self.empty()
        os.close(self._end)
        os.close(self._file)
