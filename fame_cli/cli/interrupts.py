"""Ctrl-C for commands that have something to say in the end: it ends a block of theirs instead of the process."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["until_interrupted"]


@contextmanager
def until_interrupted() -> Iterator[asyncio.Event]:
    """Let Ctrl-C end the block and what runs in it, and nothing else; the event tells whether it has."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    interrupted = asyncio.Event()

    def interrupt() -> None:
        interrupted.set()
        if task is not None:
            task.cancel()

    try:
        loop.add_signal_handler(signal.SIGINT, interrupt)
    except (NotImplementedError, RuntimeError, ValueError):  # no such thing here: Ctrl-C ends it all
        yield interrupted
        return
    try:
        yield interrupted
    except asyncio.CancelledError:
        if not interrupted.is_set() or task is None or task.uncancel():
            raise
    finally:
        loop.remove_signal_handler(signal.SIGINT)
