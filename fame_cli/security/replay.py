"""Envelopes that come a second time: their ids are remembered for as long as they could pass for new.

The original's signature doesn't cover `ts`, so an old envelope can be made to look new. Nodes with proved keys put the
time into the id, which is signed: its first seven digits are milliseconds in base 62. Seconds here are of the epoch.
"""

__all__ = ["Replays"]

MAX_REMEMBERED = 1 << 20
"""Ids in all: about 80 MB if so many are remembered."""

SLICES = 32
"""Parts of the time for which clocks may differ; what is forgotten is forgotten by such a part."""


class Replays:
    """Tell what comes for the first time.

    Ids are kept by the time they were made, and forgotten once they are too old to pass. If more come than can be
    remembered, the oldest go early, and nothing that is as old as they are passes from then on: what was made
    just now passes. Of those that are ahead of this clock no more are taken than half of the memory holds.

    Args:
        skew_s: seconds that clocks may differ, and that envelopes may be under way.
    """

    def __init__(self, skew_s: float) -> None:
        self._skew_s = skew_s
        self._slice_s = skew_s / SLICES
        self._slices: dict[int, set[int]] = {}
        self._count = 0
        self._floor = 0  # the first slice of which nothing was forgotten
        self._latest = 0.0

    def __len__(self) -> int:
        return self._count

    def is_timely(self, made_at: float, now: float) -> bool:
        """Tell whether clocks may differ by as much."""
        return abs(now - made_at) <= self._skew_s

    def is_new(self, sid: str, envelope_id: str, made_at: float | None, now: float) -> bool:
        """Remember an envelope; False when it has come before, or is too old or too far ahead to tell.

        Args:
            made_at: None for one that has no age; it is remembered as if made now.
        """
        if now < self._latest - self._skew_s:
            # The clock was ahead and was put right: nothing of this time can have passed before.
            self._floor = 0
        self._latest = now
        if made_at is None:
            made_at = now
        elif not self.is_timely(made_at, now):
            return False
        place = int(made_at / self._slice_s)
        if place < self._floor:
            return False
        ids = self._slices.get(place)
        if ids is None:
            self._forget(int((now - self._skew_s) / self._slice_s))
            ids = self._slices[place] = set()
        key = hash((sid, envelope_id))
        if key in ids:
            return False
        if self._is_crowded_ahead(place, int(now / self._slice_s)):
            return False
        if self._count >= MAX_REMEMBERED:
            self._forget(min(self._slices) + 1)
            if place < self._floor:
                return False
        ids.add(key)
        self._count += 1
        return True

    def _is_crowded_ahead(self, place: int, present: int) -> bool:
        """Tell whether ids from the future hold half of the memory: more would push out what is made now."""
        if place <= present + 1:
            return False
        ahead = sum(len(ids) for other, ids in self._slices.items() if other > present)
        return ahead >= MAX_REMEMBERED // 2

    def _forget(self, first: int) -> None:
        """Forget all slices before one, and let nothing that old pass any more."""
        self._floor = max(self._floor, first)
        for place in [place for place in self._slices if place < first]:
            self._count -= len(self._slices.pop(place))
