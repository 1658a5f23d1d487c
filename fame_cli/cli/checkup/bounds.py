"""Waiting for checks, and no longer than they may take: a disk, a name server or a pipe may never answer.

Each runs in a daemon thread. One that doesn't end is left behind, and ends with the process.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from fame_cli.cli.checkup.findings import Finding, fail, fail_of
from fame_cli.errors import DeadlineExceeded, FameError

__all__ = ["Work", "begun", "gathered", "run"]

T = TypeVar("T")

Work = Callable[[], list[Finding]]

TURNS = 5
"""Turns of an event loop in which a connection that was cut off is closed."""


def gathered(check: str, works: Sequence[tuple[str, Work]], timeout_s: float) -> list[Finding]:
    """Run a check on several nodes at the same time and return what it has found, in their order.

    Args:
        check: its name, for what is said where it doesn't end or can't go on.
        works: what to do, each with the name of its node, "" for one that is alone.
        timeout_s: seconds for all of them, > 0.
    """
    until = time.monotonic() + timeout_s
    futures = [(name, begun(work)) for name, work in works]
    return [finding.about(name) for name, future in futures for finding in _ended(check, future, until, timeout_s)]


def begun(work: Callable[[], T]) -> "Future[T]":
    """Begin something in a thread that the end of the process doesn't wait for."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()  # from now on nobody can cancel it

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # whatever it is, it is raised where the result is waited for
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=run, daemon=True).start()
    return future


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run something in an event loop of its own, which ends when its connections have."""

    async def whole() -> T:
        try:
            return await work
        finally:
            for _ in range(TURNS):
                await asyncio.sleep(0)

    return asyncio.run(whole())


def _ended(check: str, future: "Future[list[Finding]]", until: float, timeout_s: float) -> list[Finding]:
    try:
        return future.result(max(until - time.monotonic(), 0.0))
    except TimeoutError:
        what = f"{check}: the check didn't end within {timeout_s:g} s"
        return [fail(check, what, "is a file on a disk that is away, or a pipe? or raise --timeout", DeadlineExceeded)]
    except FameError as error:
        return [fail_of(check, error)]
    except OSError as error:
        return [fail(check, f"{check}: {error.strerror or error}", "see what is wrong with that file or host")]
