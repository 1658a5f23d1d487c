"""The load that every contender's client makes: how it counts and times, on real event loops and a chain of nothing."""

import asyncio
import math
import time
from collections.abc import Coroutine
from typing import Any

import pytest
from load import Overloaded, WrongAnswer, closed_loop, open_loop, percentile, told, until_reached

LIMIT_S = 10.0


def done(work: Coroutine[Any, Any, Any]) -> Any:
    """Run some work within bounds and return what it returns."""

    async def bounded() -> Any:
        async with asyncio.timeout(LIMIT_S):
            return await work

    return asyncio.run(bounded())


class Echo:
    """Answer at once, in a later turn of the loop; count what is under way."""

    def __init__(self, *, wrong_at: int = 0) -> None:
        self.calls = 0
        self.under_way = 0
        self.most = 0
        self._wrong_at = wrong_at

    async def call(self) -> None:
        self.calls += 1
        if self.calls == self._wrong_at:
            raise WrongAnswer("8")
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1

    async def stream(self, count: int, item_bytes: int) -> None:
        raise NotImplementedError


@pytest.mark.parametrize(("share", "value"), [(0, 1), (50, 50), (99, 99), (99.5, 100), (100, 100)])
def test_a_percentile_is_the_value_that_so_many_do_not_exceed(share: float, value: float) -> None:
    assert percentile(range(1, 101), share) == value


def test_a_percentile_of_one_value_is_that_value() -> None:
    assert percentile([4.0], 99) == 4.0


def test_there_is_no_percentile_of_nothing() -> None:
    assert math.isnan(percentile([], 50))


def test_the_closed_loop_keeps_exactly_so_many_calls_under_way() -> None:
    echo = Echo()

    row = done(closed_loop(echo.call, 8, calls=100))

    assert echo.most == 8
    assert echo.calls == row["calls"] == 100


def test_the_closed_loop_ends_when_its_time_is_over() -> None:
    row = done(closed_loop(Echo().call, 2, seconds=0.05))

    assert 0.05 <= row["seconds"] < LIMIT_S
    assert row["rate"] == pytest.approx(row["calls"] / row["seconds"])


def test_a_wrong_answer_ends_the_closed_loop() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        done(closed_loop(Echo(wrong_at=5).call, 4, seconds=LIMIT_S))

    assert told(caught.value) == "WrongAnswer: 8"


def test_the_open_loop_begins_as_many_calls_as_the_rate_says() -> None:
    echo = Echo()

    row = done(open_loop(echo.call, rate=2000, seconds=0.1))

    assert echo.calls == row["calls"] == 200
    assert row["seconds"] >= 199 / 2000


def test_the_open_loop_times_a_call_from_when_it_was_due() -> None:
    """Calls that keep the loop busy for 2 ms each can't keep a rate of 1000: each call's wait for its turn counts."""

    async def slow() -> None:
        until = time.perf_counter() + 0.002
        while time.perf_counter() < until:
            pass

    row = done(open_loop(slow, rate=1000, seconds=0.1))

    assert row["p99_us"] > 20_000


def test_a_wrong_answer_ends_the_open_loop() -> None:
    with pytest.raises(WrongAnswer):
        done(open_loop(Echo(wrong_at=5).call, rate=1000, seconds=LIMIT_S))


def test_a_rate_that_nobody_answers_ends_the_open_loop() -> None:
    async def never() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Overloaded):
        done(open_loop(never, rate=1_000_000, seconds=LIMIT_S))


def test_calls_are_made_until_one_comes_through() -> None:
    echo = Echo(wrong_at=1)

    done(until_reached(echo))

    assert echo.calls == 2
