"""The load every contender's client process makes, so that all of them are measured alike. Nothing but the stdlib.

A client process attaches, then does what its stdin says, one JSON command a line, and answers each with one JSON line:

    {"do": "warm", "calls": 500, "in_flight": 16, "items": 200}
    {"do": "closed", "in_flight": 64, "seconds": 1.5}     that many calls always under way
    {"do": "open", "rate": 4000, "seconds": 1.5}          calls begun evenly paced, whatever became of the earlier ones
    {"do": "stream", "count": 10000, "item_bytes": 0, "seconds": 0.5}    such streams, one after the other

In the open loop a call's time counts from the moment it was to be sent, so that a sender that falls behind doesn't hide
it. Garbage is collected before each measurement, and never otherwise than the interpreter does by itself meanwhile.
"""

import asyncio
import ctypes
import gc
import json
import math
import os
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeAlias

__all__ = ["ITEM_BYTES", "Ends", "Overloaded", "WrongAnswer", "closed_loop", "open_loop", "percentile", "run", "serve"]

Row: TypeAlias = dict[str, Any]
Call: TypeAlias = Callable[[], Awaitable[None]]

ITEM_BYTES = 65_536
"""Size of a large stream item."""

REACH_S = 20.0
"""Seconds a fabric has from the first try until a call comes through."""

RETRY_S = 0.02
MAX_BEHIND = 20_000
"""Calls of the open loop that may be under way; more means that the rate can't be kept."""


class Ends(Protocol):
    """What a contender's client can do: one call and one stream, over its whole chain."""

    async def call(self) -> None:
        """Make one call, and raise `WrongAnswer` unless the answer is right."""

    async def stream(self, count: int, item_bytes: int) -> None:
        """Read that many items, small ones when `item_bytes` is 0; raise `WrongAnswer` unless each came, in order."""


class WrongAnswer(Exception):
    """An answer or an item isn't what was asked for."""


class Overloaded(Exception):
    """The rate of the open loop can't be kept."""


# The loops


async def closed_loop(call: Call, in_flight: int, *, seconds: float = math.inf, calls: int | None = None) -> Row:
    """Keep that many calls under way for some seconds, or until so many are made.

    Returns:
        ``calls`` made, the ``seconds`` it took, ``rate`` in calls a second, ``p50_us``, ``p99_us``.
    """
    clock = time.perf_counter
    took: list[float] = []
    started = clock()
    until = started + seconds
    left = math.inf if calls is None else float(calls)

    async def keep_calling() -> None:
        nonlocal left
        before = clock()
        while before < until and left > 0:
            left -= 1
            await call()
            after = clock()
            took.append(after - before)
            before = after

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(keep_calling())
    return summary(took, clock() - started)


async def open_loop(call: Call, rate: float, seconds: float) -> Row:
    """Begin `rate` calls a second, evenly paced, for some seconds; returns as `closed_loop`.

    Raises:
        Overloaded: the answers fall behind without end.
    """
    clock = time.perf_counter
    took: list[float] = []
    total = max(1, round(rate * seconds))
    begun = 0
    all_begun = asyncio.Event()
    failed: list[BaseException] = []
    tasks: set[asyncio.Task[None]] = set()

    async def one(due: float) -> None:
        await call()
        took.append(clock() - due)

    def ended(task: asyncio.Task[None]) -> None:
        tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            failed.append(error)
            all_begun.set()

    def tick() -> None:
        nonlocal begun
        now = clock()
        while begun < total and (due := started + begun / rate) <= now:
            begun += 1
            task = loop.create_task(one(due))
            tasks.add(task)
            task.add_done_callback(ended)
        if begun >= total or len(tasks) > MAX_BEHIND:
            all_begun.set()

    loop = asyncio.get_running_loop()
    started = clock()
    try:
        with ticking(1 / rate, tick):
            await all_begun.wait()
        if len(tasks) > MAX_BEHIND:
            raise Overloaded(f"{len(tasks)} calls are waiting at {rate:.0f} a second")
        while tasks and not failed:
            await asyncio.wait(tasks)
        if failed:
            raise failed[0]
    finally:
        for task in tasks:
            task.cancel()
    return summary(took, clock() - started)


@contextmanager
def ticking(interval_s: float, tick: Callable[[], None]) -> Iterator[None]:
    """Call `tick` from the event loop once an interval, more often or later at times; at once the first time.

    An event loop's own timers are rounded to milliseconds, which is more than a call takes, so this is a timer of the
    kernel where there is one (Linux), and a loop that never sleeps elsewhere.
    """
    loop = asyncio.get_running_loop()
    if sys.platform != "linux":
        spinning = loop.create_task(spin(tick))
        try:
            yield
        finally:
            spinning.cancel()
        return
    timer = kernel_timer(interval_s)

    def expired() -> None:
        os.read(timer, 8)
        tick()

    loop.add_reader(timer, expired)
    try:
        tick()
        yield
    finally:
        loop.remove_reader(timer)
        os.close(timer)


async def spin(tick: Callable[[], None]) -> None:
    """Call `tick` in every turn of the loop."""
    while True:
        tick()
        await asyncio.sleep(0)


def kernel_timer(interval_s: float) -> int:
    """Return the descriptor of a timer that expires once an interval (timerfd_create(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    timer = int(libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC))
    seconds, rest = divmod(max(1000, round(interval_s * 1e9)), 1_000_000_000)
    times = (ctypes.c_long * 4)(seconds, rest, seconds, rest)  # struct itimerspec: the interval, then the first time
    if timer < 0 or libc.timerfd_settime(timer, 0, ctypes.byref(times), None) < 0:
        raise OSError(ctypes.get_errno(), "no timer from the kernel")
    return timer


def summary(took_s: list[float], seconds: float) -> Row:
    """Sum up what the calls took."""
    took_s.sort()
    return {
        "calls": len(took_s),
        "seconds": seconds,
        "rate": len(took_s) / seconds,
        "p50_us": percentile(took_s, 50) * 1e6,
        "p99_us": percentile(took_s, 99) * 1e6,
    }


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value that `share` percent of the ordered ones don't exceed (nearest rank); NaN for none."""
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(share / 100 * len(ordered)) - 1)]


# The client process


async def serve(ends: Ends) -> None:
    """Wait until calls come through, say so, and then do what stdin says until it ends."""
    await until_reached(ends)
    say({"ready": True})
    while line := await asyncio.to_thread(sys.stdin.readline):
        command = json.loads(line)
        gc.collect()
        try:
            async with asyncio.timeout(command["limit_s"]):
                say(await perform(ends, command))
        except TimeoutError:
            say({"error": f"not done within {command['limit_s']:.0f} s"})
        except Exception as error:  # the boundary: a measurement that fails is shown as failed, whatever the reason
            say({"error": told(error)})


async def until_reached(ends: Ends) -> None:
    """Call until a call comes through.

    Raises:
        TimeoutError: none did; its cause is the last error.
    """
    deadline = time.monotonic() + REACH_S
    while True:
        try:
            async with asyncio.timeout(REACH_S / 4):
                return await ends.call()
        except Exception as error:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no call came through within {REACH_S:g} s: {told(error)}") from error
            await asyncio.sleep(RETRY_S)


async def perform(ends: Ends, command: Row) -> Row:
    """Make one measurement."""
    match command["do"]:
        case "closed":
            return await closed_loop(ends.call, command["in_flight"], seconds=command["seconds"])
        case "open":
            return await open_loop(ends.call, command["rate"], command["seconds"])
        case "stream":
            return await timed_streams(ends, command["count"], command["item_bytes"], command["seconds"])
        case "warm":
            await ends.stream(command["items"], 0)
            await ends.stream(max(1, command["items"] // 10), ITEM_BYTES)
            return await closed_loop(ends.call, command["in_flight"], calls=command["calls"])
    raise ValueError(f"there is no {command['do']}")


async def timed_streams(ends: Ends, count: int, item_bytes: int, seconds: float) -> Row:
    """Read whole streams of `count` items until the seconds are over, one at least; say how many items came in one."""
    started = time.perf_counter()
    spent, items = 0.0, 0
    while not items or spent < seconds:
        await ends.stream(count, item_bytes)
        items += count
        spent = time.perf_counter() - started
    return {"items": items, "seconds": spent, "rate": items / spent}


def say(row: Row) -> None:
    """Write one line to stdout."""
    print(json.dumps(row), flush=True)


def told(error: BaseException) -> str:
    """Describe an error in one line; that of a group by its first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}".rstrip(": ")


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` on uvloop where it is installed."""
    try:
        import uvloop  # an extra of most contenders
    except ImportError:
        asyncio.run(work)
        return
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)
