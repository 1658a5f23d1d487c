"""Times in buckets: how far a percentile may be off, merging, and the rows people see."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fame_cli.node.histogram import GREATEST_S, RELATIVE_ERROR, Histogram

TIMES = st.lists(st.floats(0, 2 * GREATEST_S), min_size=1, max_size=200)


def counted(times: list[float]) -> Histogram:
    histogram = Histogram()
    for time in times:
        histogram.record(time)
    return histogram


@given(TIMES, st.floats(0, 100))
def test_a_percentile_is_off_by_less_than_half_a_percent(times: list[float], percent: float) -> None:
    exact = sorted(times)[max(1, math.ceil(percent * len(times) / 100 - 1e-9)) - 1]
    shown = counted(times).percentile(percent)
    assert RELATIVE_ERROR < 0.005
    assert shown == pytest.approx(min(exact, GREATEST_S), rel=RELATIVE_ERROR, abs=1.5e-9)


@given(TIMES)
def test_least_greatest_and_mean_are_exact(times: list[float]) -> None:
    histogram, capped = counted(times), [min(time, GREATEST_S) for time in times]
    assert histogram.count == len(times)
    assert histogram.least_s == pytest.approx(min(capped), abs=1.5e-9)
    assert histogram.greatest_s == pytest.approx(max(capped), abs=1.5e-9)
    assert histogram.mean_s == pytest.approx(math.fsum(capped) / len(capped), abs=1.5e-9)


@given(TIMES)
def test_percentiles_rise_from_the_least_to_the_greatest(times: list[float]) -> None:
    histogram = counted(times)
    shown = [histogram.percentile(percent) or 0.0 for percent in (0, 25, 50, 75, 90, 99, 100)]
    assert shown == sorted(shown)
    assert (histogram.least_s or 0) <= shown[0]
    assert shown[-1] <= (histogram.greatest_s or 0)


@given(TIMES | st.just([]), TIMES | st.just([]))
def test_merging_is_counting_both(one: list[float], other: list[float]) -> None:
    merged, both = counted(one), counted(one + other)
    merged.merge(counted(other))
    for percent in (0, 50, 99, 100):
        assert merged.percentile(percent) == both.percentile(percent)
    assert (merged.count, merged.mean_s, merged.rows(16)) == (both.count, both.mean_s, both.rows(16))


@given(TIMES)
def test_rows_hold_each_time_once_side_by_side_and_no_more_than_asked_for(times: list[float]) -> None:
    rows = counted(times).rows(16)
    assert sum(count for _, _, count in rows) == len(times)
    assert [low for low, _, _ in rows[1:]] == [high for _, high, _ in rows[:-1]]
    assert len(rows) <= 16
    assert rows[0][2]
    assert rows[-1][2]


def test_rows_begin_at_round_numbers_and_grow_coarser_where_there_would_be_too_many() -> None:
    histogram = counted([0.0012, 0.0014, 0.0045])
    assert [(round(low * 1e6), round(high * 1e6), count) for low, high, count in histogram.rows(16)] == [
        (1000, 1500, 2), (1500, 2000, 0), (2000, 3000, 0), (3000, 5000, 1),
    ]  # fmt: skip
    assert [(round(low * 1e6), count) for low, _, count in histogram.rows(2)] == [(1000, 2), (2000, 1)]
    assert [(round(low * 1e6), count) for low, _, count in histogram.rows(1)] == [(1000, 3)]


def test_the_999th_of_a_thousand_is_the_percentile_99_9() -> None:
    histogram = counted([0.001] * 999 + [1.0])
    assert histogram.percentile(99.9) == pytest.approx(0.001, rel=RELATIVE_ERROR)
    assert histogram.percentile(99.91) == pytest.approx(1.0, rel=RELATIVE_ERROR)


def test_without_a_time_there_are_no_figures() -> None:
    empty = Histogram()
    assert (empty.least_s, empty.greatest_s, empty.mean_s, empty.percentile(50)) == (None, None, None, None)
    assert empty.rows(16) == []


def test_a_clock_that_goes_back_counts_as_no_time() -> None:
    assert counted([-1.0]).greatest_s == 0


def test_a_time_may_count_several_times_at_once() -> None:
    at_once, one_by_one = Histogram(), counted([0.1, 0.2, 0.2, 0.2])
    at_once.record(0.1)
    at_once.record(0.2, 3)
    assert at_once.rows(10) == one_by_one.rows(10)
    assert (at_once.count, at_once.mean_s) == (4, one_by_one.mean_s)
