"""Envelopes that come a second time: their ids are remembered for as long as they could pass for new.

The original's signature doesn't cover `ts`, so an old envelope can be made to look new. Nodes with proved keys put the
time into the id, which is signed: its first seven digits are milliseconds in base 62. Seconds here are of the epoch.
"""

__all__ = ["Replays"]

MAX_REMEMBERED = 262_144
"""Ids in each of two generations: about 60 MB if both are full."""


class Replays:
    """Tell what comes for the first time.

    Two generations are enough: a new one begins when the older one holds nothing that could still pass for new. If it
    has to begin sooner, because more comes than is remembered, nothing older than what is remembered passes for new.

    Args:
        skew_s: seconds that clocks may differ, and that envelopes may be under way.
    """

    def __init__(self, skew_s: float) -> None:
        self._skew_s = skew_s
        self._new: set[tuple[str, str]] = set()
        self._old: set[tuple[str, str]] = set()
        self._since = self._old_since = float("-inf")
        self._floor = float("-inf")

    def is_timely(self, made_at: float, now: float) -> bool:
        """Tell whether clocks may differ by as much."""
        return abs(now - made_at) <= self._skew_s

    def is_new(self, sid: str, envelope_id: str, made_at: float, now: float) -> bool:
        """Remember an envelope; False when it has come before, or is too old or too far ahead to tell."""
        if now - self._since > 2 * self._skew_s or len(self._new) >= MAX_REMEMBERED:
            if len(self._new) >= MAX_REMEMBERED:
                self._floor = self._since + self._skew_s
            self._old, self._new, self._since = self._new, set(), now
        if not self.is_timely(made_at, now) or made_at < self._floor:
            return False
        key = (sid, envelope_id)
        if key in self._new or key in self._old:
            return False
        self._new.add(key)
        return True
