"""Watching whoever reads our stdout, without blocking the event loop.

A stream may be slow, and so may its reader. `ready` waits for a reader that pauses while heartbeats go on;
`until_reader_leaves` notices one that has gone before there is anything to write to it. Printing stays in `output.py`.
"""

import asyncio
import os
import select
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from fame_cli.cli import output

__all__ = ["ready", "until_reader_leaves"]


async def ready() -> None:
    """Wait until stdout takes more, with the event loop running, so that a paused ``| less`` doesn't cost the link."""
    descriptor = output.descriptor_of(sys.stdout)
    if descriptor is None:
        return
    try:
        if select.select([], [descriptor], [], 0)[1]:
            return
        await _writable(descriptor)
    except (OSError, ValueError, NotImplementedError):  # a file, or a platform that can't tell: writing will do
        return


async def _writable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    taken = asyncio.Event()
    loop.add_writer(descriptor, taken.set)
    try:
        await taken.wait()
    finally:
        loop.remove_writer(descriptor)


@contextmanager
def until_reader_leaves() -> Iterator[None]:
    """Break off the running task as soon as the reader of our stdout is gone, even if nothing is being written.

    Raises:
        ReaderGone: out of the ``with`` block.
    """
    descriptor, task = output.descriptor_of(sys.stdout), asyncio.current_task()
    if descriptor is None or task is None or not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        yield
        return
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()

    def leave() -> None:
        loop.remove_reader(descriptor)
        gone.set()
        task.cancel()

    loop.add_reader(descriptor, leave)  # the write end of a pipe becomes "readable" when its reader closes
    try:
        yield
    except asyncio.CancelledError:
        if not gone.is_set():
            raise
        task.uncancel()
        raise output.ReaderGone from None
    finally:
        loop.remove_reader(descriptor)
