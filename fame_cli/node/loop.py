"""Running a program on an event loop: uvloop where the platform has it, and an orderly end on signals."""

import asyncio
import gc
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from fame_cli.errors import FameError
from fame_cli.node.log import log_event, set_up_logging

__all__ = ["first_of", "keep_freed_memory", "open_files", "run", "run_program", "until_signalled"]

T = TypeVar("T")

COLLECT_AFTER = (10_000, 10, 10)
"""Objects made and kept before Python looks for cycles among the young ones, and how often it does before it looks at
older ones. A node keeps what its neighbours need and makes hardly a cycle; with Python's 700 it looks at everything
time and again while a fabric attaches: 10,000 agents took 4.9 s, and take 3.3 s (measured, bench_scale.py)."""

ROOM_BYTES = 8 * 1024 * 1024


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop  # not on Windows

    return uvloop.new_event_loop


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end, as `asyncio.run` on the fastest loop there is."""
    with _rare_collection(), asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(work)


@contextmanager
def _rare_collection() -> Iterator[None]:
    """Look for cycles less often, and not among what has been imported; afterwards everything is as before."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def run_program(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` as a whole program: log to stderr, and end in one line and its exit code when it fails.

    Raises:
        SystemExit: it failed, with the exit code of its error.
    """
    set_up_logging()
    try:
        run(work)
    except FameError as error:
        log_event("program_failed", "error", reason=str(error))
        raise SystemExit(error.exit_code) from error


def keep_freed_memory() -> None:
    """Have the C library keep what large messages free, for the next ones, instead of giving it back each time.

    glibc learns from the largest block that is freed how much room to leave (mallopt(3), M_MMAP_THRESHOLD), so one is
    made and freed; nothing is written to it. Else each message of 64 KiB has the heap grow, its pages zeroed by the
    kernel, and shrink again: 300 MB/s over two sentinels instead of 520 (measured, bench_speed.py). Other C libraries
    don't mind.
    """
    _ = bytes(ROOM_BYTES)


def open_files(wanted: int) -> int:
    """Let this process have so many files and sockets open, as far as the system agrees; return how many it may."""
    if sys.platform == "win32":
        return wanted
    import resource  # not on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return wanted if soft == resource.RLIM_INFINITY else soft
    with suppress(OSError, ValueError):  # macOS says there is no limit, and has one
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        return most
    return soft


async def until_signalled(
    told: asyncio.Event | None = None,
    then: Callable[[], Coroutine[Any, Any, None]] | None = None,
    reload: Callable[[], None] | None = None,
) -> None:
    """Return at the first SIGINT or SIGTERM, or when `told` is set; another signal after that has its usual effect.

    Args:
        told: another way to be told.
        then: what is done then; a second signal cuts it short.
        reload: called at each SIGHUP, but for the one that says that the terminal has closed: it counts as SIGTERM.
    """
    loop = asyncio.get_running_loop()
    told, again = told or asyncio.Event(), asyncio.Event()
    signals = [signal.SIGINT, signal.SIGTERM]

    def stop() -> None:
        (again if told.is_set() else told).set()

    for number in signals:
        loop.add_signal_handler(number, stop)
    if reload is not None and sys.platform != "win32":
        ends = _ends_with_terminal()
        loop.add_signal_handler(signal.SIGHUP, lambda: stop() if ends and not sys.stderr.isatty() else reload())
        signals.append(signal.SIGHUP)
    try:
        await told.wait()
        if then is not None:
            await first_of(then(), _set(again))
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


def _ends_with_terminal() -> bool:
    """Tell whether this process has a terminal that it should end with: it has, and wasn't started by nohup."""
    return sys.stderr.isatty() and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN


async def _set(event: asyncio.Event) -> None:
    await event.wait()


async def first_of(*waits: Coroutine[Any, Any, None]) -> None:
    """Return or raise with the first that ends, and cancel the others."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
