"""Load on a fabric: calls or streams, as many in flight or as many a second as a plan says, and what became of them.

Nothing here knows of a terminal, or of more than the bare calls it is given (`Client.request`, `Client.open_stream`
with their arguments filled in), so the generator costs little beside them. Two ways to load:

- **closed loop**: so many calls in flight, the next one as soon as one has ended. A fabric that stands still is called
  less, so its pauses count for little;
- **open loop** (`Plan.rate`): calls are due at even distances, whatever becomes of those before. One that starts late
  counts from when it was due, so a pause shows in all calls that fell into it (no "coordinated omission").

A call without an answer counts, too, with the time it has waited for one: else a fabric that stands still to the end
would show the times of before. That is less than it would have taken, so how many there are is said beside the times.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from math import ceil, inf
from typing import Protocol

from fame_cli.errors import DeadlineExceeded, FameError
from fame_cli.node.histogram import Histogram

__all__ = ["Items", "Load", "Plan", "Tally", "Work", "calling", "streaming"]

TICK_S = 0.001
"""How often the open loop starts what is due: no event loop has a finer timer."""

LEAD_S = 0.002
"""How much too early it may start a call, which then counts from its start: so ticks never look like latency."""

SLICES = 1000
"""Most times that the calls an open loop hasn't started are counted as: there may be millions."""

PAUSE_S = 0.01
"""What a failed call costs its place in the closed loop: errors that come at once mustn't become all it does."""


class Items(Protocol):
    """Be a stream as it comes; `aclose` cancels the producer."""

    def __aiter__(self) -> AsyncIterator[object]:
        """Iterate over the items."""
        ...

    async def aclose(self) -> None:
        """End the stream at both ends."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """Say how much load, and when it is enough: at the first of `calls` and `duration_s`.

    Args:
        concurrency: most calls in flight at once, >= 1.
        calls: how many to make, >= 1; None for no limit.
        duration_s: seconds within which calls start, > 0; None for no limit. Calls in flight are waited for, streams
            are broken off.
        rate: calls a second for an open loop, > 0; None for a closed one.
    """

    concurrency: int
    calls: int | None = None
    duration_s: float | None = None
    rate: float | None = None


@dataclass(slots=True)
class Tally:
    """Count what became of the calls; may be looked at while they run.

    Args:
        began_s: when the load began, on its clock; None while it hasn't.
        ended_s: when the last call had ended; None before.
        started: calls that were made.
        answered: those that had a result; of streams, those that came to their end.
        unstarted: calls of an open loop that were due, and for which there was no room in time.
        items: items of streams.
        latency: from the start of a call, or from when it was due, to its answer; of streams, to the first item.
        unanswered: how many of these times are of calls without an answer, to when nobody waited any longer.
        errors: how many calls failed with what class of error.
        examples: the first error of each class.
    """

    began_s: float | None = None
    ended_s: float | None = None
    started: int = 0
    answered: int = 0
    unstarted: int = 0
    items: int = 0
    latency: Histogram = field(default_factory=Histogram)
    unanswered: int = 0
    errors: Counter[type[FameError]] = field(default_factory=Counter)
    examples: dict[type[FameError], FameError] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        """Return how many calls ended with an error."""
        return self.errors.total()

    @property
    def broken_off(self) -> int:
        """Return how many calls had no end of their own, once the load is over; before, how many are in flight."""
        return self.started - self.answered - self.failed

    def elapsed_s(self, now: float) -> float:
        """Return for how many seconds the load has been running, or did run."""
        return 0.0 if self.began_s is None else (now if self.ended_s is None else self.ended_s) - self.began_s

    def fail(self, error: FameError) -> None:
        """Take the error of a call."""
        self.errors[type(error)] += 1
        self.examples.setdefault(type(error), error)

    def give_up(self, waited_s: float, times: int = 1) -> None:
        """Count so many calls without an answer with the time that they have waited for one."""
        self.latency.record(waited_s, times)
        self.unanswered += times

    def commonest(self) -> FameError | None:
        """Return the first error of the class that came most often; None if no call failed."""
        return self.examples[self.errors.most_common(1)[0][0]] if self.errors else None


Work = Callable[["Load", float], Awaitable[bool]]
"""Makes one call for a load; `since` is when it counts from. Returns False if it failed."""


def calling(request: Callable[[], Awaitable[object]]) -> Work:
    """Return the work of one call after the other."""

    async def once(load: Load, since: float) -> bool:
        tally = load.tally
        try:
            await request()
        except FameError as error:
            tally.fail(error)
            if isinstance(error, DeadlineExceeded):
                tally.give_up(load.clock() - since)
            return False
        except asyncio.CancelledError:
            tally.give_up(load.clock() - since)
            raise
        tally.latency.record(load.clock() - since)
        tally.answered += 1
        return True

    return once


def streaming(open_stream: Callable[[], Items]) -> Work:
    """Return the work of one stream after the other, each read to its end."""

    async def once(load: Load, since: float) -> bool:
        tally = load.tally
        scope = asyncio.timeout(load.left_s())
        waits = True
        try:
            async with scope, aclosing(open_stream()) as items:
                async for _ in items:
                    if waits:
                        tally.latency.record(load.clock() - since)
                        waits = False
                    tally.items += 1
            waits = False
        except FameError as error:
            tally.fail(error)
            waits = waits and isinstance(error, DeadlineExceeded)
            return False
        except TimeoutError:
            if not scope.expired():
                raise
            load.is_over = True  # by the loop's clock, which may be a little ahead of the load's
            return True
        finally:
            if waits:
                tally.give_up(load.clock() - since)
        tally.answered += 1
        return True

    return once


class Load:
    """Carry a plan out, once.

    Args:
        works: one for each client; places of a closed loop, calls of an open one go to them in turn.
        plan: how much.
        clock: seconds on a monotonic clock.

    Attributes:
        tally: what has become of the calls so far.
        is_over: True once no call may start any more, whatever the clock says.
    """

    def __init__(self, works: Sequence[Work], plan: Plan, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self.tally = Tally()
        self.is_over = False
        self._works = works
        self._plan = plan
        self._most = inf if plan.calls is None else plan.calls
        self._end = inf
        self._in_flight = 0
        self._room = asyncio.Event()

    async def run(self) -> Tally:
        """Load until there was enough; cancelling it breaks off what is in flight and leaves the tally right."""
        tally, plan = self.tally, self._plan
        began = tally.began_s = self.clock()
        if plan.duration_s is not None:
            self._end = began + plan.duration_s
        try:
            async with asyncio.TaskGroup() as group:
                if plan.rate is not None:
                    await self._pace(group, plan.rate, began)
                else:
                    for number in range(min(plan.concurrency, plan.calls or plan.concurrency)):
                        group.create_task(self._keep_busy(self._works[number % len(self._works)]))
        finally:
            tally.ended_s = self.clock()
        return tally

    def left_s(self) -> float | None:
        """Return how many seconds are left; None where time isn't what ends it."""
        return None if self._end == inf else max(self._end - self.clock(), 0.0)

    async def _keep_busy(self, work: Work) -> None:
        """Be one place of the closed loop."""
        tally, clock = self.tally, self.clock
        while tally.started < self._most and (now := clock()) < self._end and not self.is_over:
            tally.started += 1
            if not await work(self, now):
                await asyncio.sleep(PAUSE_S)

    async def _pace(self, group: asyncio.TaskGroup, rate: float, began: float) -> None:
        """Be the open loop: start each call when it is due."""
        tally, works = self.tally, self._works
        planned = min(self._most, ceil((self._end - began) * rate - 1e-6) if self._end < inf else inf)
        try:
            while tally.started < planned and (now := self.clock()) < self._end and not self.is_over:
                due = began + tally.started / rate
                if due > now + LEAD_S:
                    await asyncio.sleep(max(due - now - LEAD_S, TICK_S))
                elif self._in_flight >= self._plan.concurrency:
                    await self._wait_for_room()
                else:
                    work = works[tally.started % len(works)]
                    tally.started += 1
                    self._in_flight += 1
                    group.create_task(self._once(work, min(due, now)))
        finally:
            passed_s = min(self.clock(), self._end) - began
            tally.unstarted = max(0, int(min(planned, ceil(passed_s * rate - 1e-6))) - tally.started)
            self._give_up_unstarted(passed_s - tally.started / rate, 1 / rate)

    def _give_up_unstarted(self, longest_s: float, step_s: float) -> None:
        """Count the calls that were due and not started, the first for `longest_s`, each after it for a step less."""
        count = self.tally.unstarted
        slices = min(count, SLICES)
        for number in range(slices):
            first, end = number * count // slices, (number + 1) * count // slices
            self.tally.give_up(longest_s - (first + end - 1) / 2 * step_s, end - first)

    async def _once(self, work: Work, since: float) -> None:
        try:
            await work(self, since)
        finally:
            self._in_flight -= 1
            self._room.set()

    async def _wait_for_room(self) -> None:
        self._room.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.left_s()):
                await self._room.wait()
