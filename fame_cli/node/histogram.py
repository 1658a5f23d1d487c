"""Times counted in buckets whose width grows with the time, so that any number of them takes the same memory.

Pure. A bucket is as wide as 1/128 of what it counts or less, hence no percentile is off by more than half of that
(0.4 %); least, greatest and mean are exact. The idea is Gil Tene's HdrHistogram.
"""

from collections.abc import Iterator
from math import ceil

__all__ = ["GREATEST_S", "RELATIVE_ERROR", "Histogram"]

_BITS = 7
"""Leading bits of a time that its bucket keeps, after the first."""

_GREATEST_NS = (1 << 42) - 1

GREATEST_S = _GREATEST_NS / 1e9
"""Longer times, from 73 minutes on, are counted as this one."""

RELATIVE_ERROR = 1 / (2 << _BITS)
"""How far a percentile may be off, as a part of itself."""

_SERIES = ((10, 15, 20, 30, 50, 70), (10, 20, 50), (10,))
"""Where the rows of `Histogram.rows` may begin in each decade, from fine to coarse."""


def _bucket_of(time_ns: int) -> int:
    """Return the bucket of a time: below 256 ns its own, then 128 for each doubling."""
    shift = time_ns.bit_length() - _BITS - 1
    return time_ns if shift <= 0 else (shift << _BITS) + (time_ns >> shift)


def _middle_ns(bucket: int) -> float:
    """Return the middle of the times that a bucket counts."""
    shift = (bucket >> _BITS) - 1
    if shift <= 0:
        return bucket
    lowest = ((bucket & ((1 << _BITS) - 1)) | 1 << _BITS) << shift
    return lowest + ((1 << shift) - 1) / 2


class Histogram:
    """Count times.

    Attributes:
        count: how many were recorded.
    """

    def __init__(self) -> None:
        self.count = 0
        self._buckets = [0] * (_bucket_of(_GREATEST_NS) + 1)
        self._least_ns = _GREATEST_NS
        self._greatest_ns = 0
        self._sum_ns = 0

    def record(self, time_s: float, times: int = 1) -> None:
        """Count a time, in seconds, so many times; below 0 is 0, and above `GREATEST_S` is that."""
        time_ns = min(max(int(time_s * 1e9), 0), _GREATEST_NS)
        self.count += times
        self._sum_ns += time_ns * times
        if time_ns < self._least_ns:
            self._least_ns = time_ns
        if time_ns > self._greatest_ns:
            self._greatest_ns = time_ns
        self._buckets[_bucket_of(time_ns)] += times

    def merge(self, other: "Histogram") -> None:
        """Count what another one has counted as well."""
        self.count += other.count
        self._sum_ns += other._sum_ns
        self._least_ns = min(self._least_ns, other._least_ns)
        self._greatest_ns = max(self._greatest_ns, other._greatest_ns)
        self._buckets = [mine + its for mine, its in zip(self._buckets, other._buckets, strict=True)]

    @property
    def least_s(self) -> float | None:
        """Return the shortest time in seconds; None when there is none."""
        return self._least_ns / 1e9 if self.count else None

    @property
    def greatest_s(self) -> float | None:
        """Return the longest time in seconds; None when there is none."""
        return self._greatest_ns / 1e9 if self.count else None

    @property
    def mean_s(self) -> float | None:
        """Return the mean in seconds; None when there is none."""
        return self._sum_ns / self.count / 1e9 if self.count else None

    def percentile(self, percent: float) -> float | None:
        """Return the time in seconds within which that many of a hundred stay (nearest rank); None when there is none.

        Args:
            percent: 0 .. 100.
        """
        if not self.count:
            return None
        left = max(1, ceil(percent * self.count / 100 - 1e-9))  # 99.9 % of 1000 are 999, whatever floats make of it
        for middle_ns, count in self._counted():
            left -= count
            if left <= 0:
                return middle_ns / 1e9
        return self.greatest_s

    def rows(self, most: int) -> list[tuple[float, float, int]]:
        """Return the counts in rows for people: from, to (seconds, `to` not included), how many.

        Each row begins at a round number; the finest of the series of those is taken with which there are at most
        `most` rows, or else one row a decade. Rows between the first and the last with a count may be empty.
        """
        for series in _SERIES:
            rows = self._rows(series) if self.count else []
            if len(rows) <= most:
                break
        return [(low_ns / 1e9, high_ns / 1e9, count) for low_ns, high_ns, count in rows]

    def _rows(self, series: tuple[int, ...]) -> list[tuple[float, float, int]]:
        marks = [0.0, *(step * 10.0**exponent for exponent in range(-1, 13) for step in series)]
        place, counts = 0, [0] * (len(marks) - 1)
        for middle_ns, count in self._counted():
            while middle_ns >= marks[place + 1]:
                place += 1
            counts[place] += count
        filled = [place for place, count in enumerate(counts) if count]
        return [(marks[each], marks[each + 1], counts[each]) for each in range(filled[0], filled[-1] + 1)]

    def _counted(self) -> Iterator[tuple[float, int]]:
        """Yield what the buckets in use stand for, in nanoseconds, with their counts, from short to long."""
        least, greatest = self._least_ns, self._greatest_ns
        first = _bucket_of(least)
        for bucket, count in enumerate(self._buckets[first : _bucket_of(greatest) + 1], first):
            if count:
                yield min(max(_middle_ns(bucket), least), greatest), count
