"""Loading a fabric: closed and open loop, what is counted, and how each ends."""

import asyncio
from collections.abc import Callable
from functools import partial

import pytest
from host_rig import Failing, Work
from node_rig import MATH, bounded, fabric, serving, turns, until

from fame_cli.errors import DeadlineExceeded, FameError, LinkLost, NoRoute, RemoteError
from fame_cli.node.client import Client
from fame_cli.node.load import Load, Plan, Tally, calling, streaming
from fame_cli.node.sentinel import Sentinel


class HandClock:
    """Be a clock that stands until somebody moves it."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Held:
    """Be calls that last until each is let go; after `let_all` they last no longer."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Future[None]] = []
        self.most = 0
        self.made = 0
        self._free = False

    async def __call__(self) -> None:
        self.made += 1
        if self._free:
            return
        waiting = asyncio.get_running_loop().create_future()
        self.waiting.append(waiting)
        self.most = max(self.most, len(self.waiting))
        await waiting

    def let_go(self) -> None:
        self.waiting.pop(0).set_result(None)

    def let_all(self) -> None:
        self._free = True
        while self.waiting:
            self.let_go()


def ask(client: Client, operation: str, /, **arguments: object) -> Callable:
    return partial(client.request, MATH, operation, {"kwargs": arguments})


def read(client: Client, operation: str, /, **arguments: object) -> Callable:
    return partial(client.open_stream, MATH, operation, {"kwargs": arguments})


# Closed loop


def test_as_many_calls_as_asked_for_are_made_and_timed() -> None:
    async def main() -> None:
        async with fabric((MATH, Work())) as sentinel, Client(sentinel.url) as client:
            tally = await Load([calling(ask(client, "add", x=3, y=4))], Plan(8, calls=100)).run()
        assert (tally.started, tally.answered, tally.failed, tally.broken_off) == (100, 100, 0, 0)
        assert tally.latency.count == 100
        assert 0 < (tally.latency.least_s or 0) <= (tally.latency.greatest_s or 0) < tally.elapsed_s(0)

    bounded(main())


def test_never_more_than_asked_for_are_in_flight() -> None:
    async def main() -> None:
        held = Held()
        running = asyncio.create_task(Load([calling(held)], Plan(5, calls=20)).run())
        await until(lambda: len(held.waiting) == 5)
        await turns()
        held.let_go()
        await until(lambda: held.made == 6)
        held.let_all()
        await running
        assert (held.most, held.made) == (5, 20)

    bounded(main())


def test_it_ends_when_the_time_is_over_and_waits_for_what_is_in_flight() -> None:
    async def main() -> None:
        clock, held = HandClock(), Held()
        load = Load([calling(held)], Plan(4, duration_s=10), clock=clock)
        running = asyncio.create_task(load.run())
        await until(lambda: len(held.waiting) == 4)
        clock.now_s = 9.0
        held.let_go()
        await until(lambda: held.made == 5)
        clock.now_s = 11.0
        held.let_go()
        await turns()
        assert (held.made, running.done()) == (5, False)
        held.let_all()
        tally = await running
        assert (tally.started, tally.answered, tally.broken_off, tally.elapsed_s(99)) == (5, 5, 0, 11)

    bounded(main())


def test_the_load_is_spread_over_all_clients() -> None:
    async def main() -> None:
        each = [Held(), Held(), Held()]
        running = asyncio.create_task(Load([calling(one) for one in each], Plan(6, calls=6)).run())
        await until(lambda: [len(one.waiting) for one in each] == [2, 2, 2])
        for one in each:
            one.let_all()
        await running

    bounded(main())


def test_errors_are_counted_by_class_and_the_commonest_is_known() -> None:
    errors: list[FameError] = [NoRoute("first"), RemoteError("a"), NoRoute("second"), RemoteError("b"), NoRoute("c")]

    async def fail() -> None:
        raise errors.pop(0)

    async def main() -> Tally:
        return await Load([calling(fail)], Plan(1, calls=5)).run()

    tally = bounded(main())
    assert tally.errors == {NoRoute: 3, RemoteError: 2}
    assert str(tally.commonest()) == "first"
    assert (tally.answered, tally.failed, tally.latency.count) == (0, 5, 0)


def test_a_load_without_an_error_has_no_commonest() -> None:
    assert Tally().commonest() is None


def test_errors_that_come_at_once_leave_the_loop_to_others() -> None:
    """Else a client whose link is down would never see it come back."""

    async def fail() -> None:
        raise NoRoute("at once")

    async def main() -> None:
        load = Load([calling(fail)], Plan(3, duration_s=1000))
        running = asyncio.create_task(load.run())
        await until(lambda: load.tally.failed >= 9)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    bounded(main())


def test_an_agent_that_fails_is_counted_as_the_error_it_is() -> None:
    async def main() -> None:
        async with fabric((MATH, Failing())) as sentinel, Client(sentinel.url) as client:
            tally = await Load([calling(ask(client, "plain", what="own"))], Plan(2, calls=3)).run()
        assert tally.errors == {RemoteError: 3}
        assert tally.examples[RemoteError].message == "out of stock"

    bounded(main())


def test_an_agent_that_leaves_under_load_is_counted_and_the_load_goes_on() -> None:
    async def main() -> None:
        work = Work()
        async with Sentinel(id="s1", listen="127.0.0.1:0") as sentinel, Client(sentinel.url) as client:
            async with serving(work, sentinel.url):
                load = Load([calling(ask(client, "hold"))], Plan(3, calls=8))
                running = asyncio.create_task(load.run())
                await until(lambda: len(work.started) == 3)
            tally = await running
        assert tally.errors == {LinkLost: 3, NoRoute: 5}

    bounded(main())


def test_cancelling_breaks_off_what_is_in_flight_and_leaves_the_tally_right() -> None:
    async def main() -> None:
        work = Work()
        async with fabric((MATH, work)) as sentinel, Client(sentinel.url) as client:
            load = Load([calling(ask(client, "hold", name="x"))], Plan(3))
            running = asyncio.create_task(load.run())
            await until(lambda: len(work.started) == 3)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            await until(lambda: work.ended.count("x cancelled") == 3)
        tally = load.tally
        assert (tally.started, tally.answered, tally.failed, tally.broken_off) == (3, 0, 0, 3)
        assert tally.ended_s is not None

    bounded(main())


def test_a_bug_in_a_call_is_not_counted_but_raised() -> None:
    async def fail() -> None:
        raise ValueError("a bug")

    with pytest.raises(ExceptionGroup) as raised:
        bounded(Load([calling(fail)], Plan(1, calls=1)).run())
    assert raised.group_contains(ValueError, match="a bug")


# Open loop


def test_a_rate_makes_the_calls_that_fall_into_the_time() -> None:
    async def main() -> None:
        async with fabric((MATH, Work())) as sentinel, Client(sentinel.url) as client:
            load = Load([calling(ask(client, "add", x=3, y=4))], Plan(64, duration_s=0.1, rate=500))
            tally = await load.run()
        assert (tally.started + tally.unstarted, tally.failed) == (50, 0)
        assert tally.answered == tally.started

    bounded(main())


def test_calls_are_started_when_due_and_no_sooner() -> None:
    starts: list[float] = []

    async def main() -> Tally:
        async def note() -> None:
            starts.append(load.clock())

        load = Load([calling(note)], Plan(64, calls=20, rate=400))
        return await load.run()

    tally = bounded(main())
    began = tally.began_s or 0.0
    assert len(starts) == 20
    assert all(start >= began + number / 400 - 0.0021 for number, start in enumerate(starts))
    assert (tally.latency.greatest_s or 0) < tally.elapsed_s(0)


def stalled(plan: Plan) -> Tally:
    """Make calls that take no time, but for the first, which holds everything up for a second."""

    async def main() -> Tally:
        clock = HandClock()

        async def once() -> None:
            if clock.now_s == 0:
                clock.now_s = 1.0

        return await Load([calling(once)], plan, clock=clock).run()

    return bounded(main())


def test_a_standstill_counts_for_every_call_that_was_due_in_it() -> None:
    latency = stalled(Plan(1, calls=11, rate=100)).latency
    assert latency.greatest_s == 1
    assert latency.least_s == pytest.approx(0.9)
    assert latency.percentile(50) == pytest.approx(0.95, rel=0.005)


def test_the_closed_loop_counts_a_standstill_once() -> None:
    latency = stalled(Plan(1, calls=11)).latency
    assert (latency.greatest_s, latency.percentile(90)) == (1, 0)


def test_what_was_due_and_had_no_room_in_time_is_counted() -> None:
    tally = stalled(Plan(1, duration_s=0.5, rate=100))
    assert (tally.started, tally.answered, tally.unstarted) == (1, 1, 49)


def test_what_was_due_and_not_started_counts_with_the_time_it_had_waited() -> None:
    """Half of the time nothing could start; a report without these would say that all was well but for one call."""
    tally = stalled(Plan(1, duration_s=0.5, rate=100))
    assert (tally.latency.count, tally.unanswered, tally.latency.greatest_s) == (50, 49, 1)
    assert tally.latency.least_s == pytest.approx(0.01)
    assert tally.latency.percentile(50) == pytest.approx(0.25, rel=0.005)


def test_very_many_that_were_not_started_count_like_few() -> None:
    tally = stalled(Plan(1, duration_s=0.99, rate=1e6))
    assert (tally.answered, tally.unstarted, tally.unanswered) == (1, 989_999, 989_999)
    assert tally.latency.mean_s == pytest.approx(0.495, rel=0.001)
    assert tally.latency.percentile(90) == pytest.approx(0.891, rel=0.005)


def test_a_standstill_to_the_end_shows_in_the_times() -> None:
    async def main() -> Tally:
        clock = HandClock()

        async def once() -> None:
            if clock.now_s < 1:
                clock.now_s += 0.125
                return
            clock.now_s += 2
            raise DeadlineExceeded("no answer within 2 s")

        return await Load([calling(once)], Plan(1, calls=20), clock=clock).run()

    tally = bounded(main())
    assert (tally.answered, tally.failed, tally.unanswered) == (8, 12, 12)
    assert tally.latency.percentile(40) == pytest.approx(0.125, rel=0.005)
    assert tally.latency.percentile(90) == pytest.approx(2, rel=0.005)


def test_an_error_that_is_an_answer_is_none_of_the_times() -> None:
    async def fail() -> None:
        raise RemoteError("out of stock")

    assert bounded(Load([calling(fail)], Plan(1, calls=3)).run()).latency.count == 0


def test_calls_that_are_broken_off_count_with_the_time_they_had_waited() -> None:
    async def main() -> Tally:
        clock, held = HandClock(), Held()
        load = Load([calling(held)], Plan(2), clock=clock)
        running = asyncio.create_task(load.run())
        await until(lambda: len(held.waiting) == 2)
        clock.now_s = 3.0
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        return load.tally

    tally = bounded(main())
    assert (tally.unanswered, tally.latency.count, tally.latency.least_s) == (2, 2, 3)


def test_calls_that_are_due_wait_for_room() -> None:
    async def main() -> None:
        held = Held()
        running = asyncio.create_task(Load([calling(held)], Plan(3, calls=10, rate=1e6)).run())
        await until(lambda: len(held.waiting) == 3)
        await turns()
        held.let_go()
        await until(lambda: held.made == 4)
        held.let_all()
        tally = await running
        assert (held.most, tally.answered, tally.unstarted) == (3, 10, 0)

    bounded(main())


def test_room_that_never_comes_ends_with_the_time() -> None:
    async def main() -> None:
        held = Held()
        load = Load([calling(held)], Plan(2, duration_s=0.02, rate=1000))
        running = asyncio.create_task(load.run())
        await until(lambda: load.tally.unstarted > 0)
        held.let_all()
        tally = await running
        assert (tally.answered, tally.unstarted) == (2, 18)

    bounded(main())


def test_a_failed_call_makes_room_and_costs_no_pause() -> None:
    async def fail() -> None:
        raise NoRoute("at once")

    async def main() -> Tally:
        return await Load([calling(fail)], Plan(1, calls=50, rate=1e6)).run()

    tally = bounded(main())
    assert (tally.failed, tally.unstarted) == (50, 0)


# Streams


def test_items_are_counted_and_the_first_of_each_stream_is_timed() -> None:
    async def main() -> None:
        async with fabric((MATH, Work())) as sentinel, Client(sentinel.url) as client:
            tally = await Load([streaming(read(client, "count", n=50))], Plan(2, calls=4)).run()
        assert (tally.started, tally.answered, tally.items, tally.latency.count) == (4, 4, 200, 4)

    bounded(main())


def test_a_stream_without_an_item_has_no_first() -> None:
    async def main() -> None:
        async with fabric((MATH, Work())) as sentinel, Client(sentinel.url) as client:
            tally = await Load([streaming(read(client, "count", n=0))], Plan(1, calls=2)).run()
        assert (tally.answered, tally.items, tally.latency.count) == (2, 0, 0)

    bounded(main())


def test_a_stream_without_an_end_is_broken_off_when_the_time_is_over() -> None:
    async def main() -> None:
        work = Work()
        async with fabric((MATH, work)) as sentinel, Client(sentinel.url) as client:
            load = Load([streaming(read(client, "count"))], Plan(1, duration_s=0.1))
            tally = await load.run()
            await until(lambda: "count" in work.ended)
        assert (tally.answered, tally.failed) == (0, 0)
        assert tally.broken_off == tally.started >= 1
        assert tally.items > 0

    bounded(main())


def test_no_stream_begins_after_one_was_broken_off_because_the_time_was_over() -> None:
    """The loop's timers may be early by the load's clock, here as early as can be: it stands."""

    async def main() -> Tally:
        async with fabric((MATH, Work())) as sentinel, Client(sentinel.url) as client:
            plan = Plan(2, calls=50, duration_s=0.02)
            return await Load([streaming(read(client, "count"))], plan, clock=HandClock()).run()

    tally = bounded(main())
    assert (tally.started, tally.broken_off) == (2, 2)


@pytest.mark.parametrize("rate", [None, 1000.0])
def test_a_stream_without_an_item_to_the_end_counts_with_the_time_it_waited(rate: float | None) -> None:
    class Still:
        async def __aiter__(self):
            await asyncio.get_running_loop().create_future()
            yield

        async def aclose(self) -> None: ...

    tally = bounded(Load([streaming(Still)], Plan(2, duration_s=0.05, rate=rate)).run())
    assert (tally.started, tally.broken_off, tally.items) == (2, 2, 0)
    assert tally.unanswered == 2 + tally.unstarted
    assert tally.latency.greatest_s == pytest.approx(0.05, rel=0.5)


def test_a_stream_that_fails_is_counted_with_the_items_before() -> None:
    async def main() -> None:
        async with fabric((MATH, Failing())) as sentinel, Client(sentinel.url) as client:
            tally = await Load([streaming(read(client, "stream", what="own"))], Plan(1, calls=2)).run()
        assert (tally.errors, tally.items, tally.answered) == ({RemoteError: 2}, 2, 0)

    bounded(main())


def test_a_timeout_that_is_not_the_loads_own_is_a_bug() -> None:
    class Late:
        async def __aiter__(self):
            raise TimeoutError("somebody else's")
            yield

        async def aclose(self) -> None: ...

    with pytest.raises(ExceptionGroup) as raised:
        bounded(Load([streaming(Late)], Plan(1, calls=1)).run())
    assert raised.group_contains(TimeoutError, match="somebody else's")
