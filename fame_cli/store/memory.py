"""A store that nothing survives, for nodes that keep no file."""

from collections.abc import Sequence

from fame_cli.core.message import IN, Message
from fame_cli.store.medium import LANE_S, MAX_LANES, MAX_SEEN, SEEN_S, Change, Kept, Put, Remove, seen_by

__all__ = ["Memory"]


class Memory:
    """Keep messages in memory; it can't fail."""

    def __init__(self) -> None:
        self._messages: dict[tuple[str, str], Message] = {}
        self._lanes: dict[str, tuple[int, float]] = {}
        self._seen: dict[str, float] = {}

    def apply(self, changes: Sequence[Change]) -> None:
        """Make all changes, in order."""
        for change in changes:
            if isinstance(change, Put):
                self._put(change.message)
            elif isinstance(change, Remove):
                self._messages.pop((change.box, change.id), None)
            else:
                self._seen.setdefault(change.id, change.at)

    def _put(self, message: Message) -> None:
        self._messages[message.box, message.id] = message
        if seen_by(message):
            self._seen.setdefault(message.id, message.stored_at)
        elif message.box == IN:
            seq, at = self._lanes.get(message.lane, (0, 0.0))
            self._lanes[message.lane] = max(seq, message.seq), max(at, message.stored_at)

    def read(self) -> Kept:
        """Return everything."""
        return Kept(
            list(self._messages.values()), {lane: seq for lane, (seq, _) in self._lanes.items()}, dict(self._seen)
        )

    def forget(self, now: float) -> None:
        """Forget ids and lanes that are too old or too many."""
        seen = [(id, at) for id, at in self._seen.items() if at >= now - SEEN_S]
        self._seen = dict(seen[-MAX_SEEN:])
        lanes = [each for each in self._lanes.items() if each[1][1] >= now - LANE_S]
        self._lanes = dict(sorted(lanes, key=lambda each: each[1][1])[-MAX_LANES:])

    def close(self) -> None:
        """Let go of everything."""
