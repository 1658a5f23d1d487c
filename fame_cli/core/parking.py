"""Envelopes that wait for the key of their signature: few, for a short time, and no neighbour more than its share.

Pure data; ``keysharing.py`` acts on it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from fame_cli.core.envelope import Envelope
from fame_cli.core.link import Link
from fame_cli.core.session import Session

__all__ = ["KEY_WAIT_S", "Parked", "Parking"]

KEY_WAIT_S = 5.0
"""Seconds an envelope waits for the key of its signature."""

MAX_LINK_BYTES = 1024 * 1024
"""Bytes that wait for one neighbour."""


class Parked(NamedTuple):
    """Hold one envelope that waits.

    Args:
        session: it came by.
        envelope: what it is.
        data: its bytes.
        since: when it began to wait, in the core's time.
        waited: ids of the keys it has waited for, the one it waits for now among them; never twice for the same.
    """

    session: Session
    envelope: Envelope
    data: bytes
    since: float
    waited: tuple[str, ...] = ()


@dataclass(slots=True)
class _Wait:
    deadline: float
    asked: str
    parked: list[Parked] = field(default_factory=list)


@dataclass(slots=True)
class Parking:
    """Hold what waits, by link and kid: one neighbour's forged signature makes nobody else's envelope wait.

    Args:
        most_kids: unknown keys that one link's envelopes may wait for.
        most_envelopes: envelopes of one link that may wait.
    """

    most_kids: int = 64
    most_envelopes: int = 256
    _waits: dict[Link, dict[str, _Wait]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self._waits)

    def has_asked(self, link: Link, kid: str) -> bool:
        """Tell whether envelopes of a link wait for a key already."""
        return kid in self._waits.get(link, ())

    def has_room(self, link: Link, kid: str, size: int) -> bool:
        """Tell whether one more envelope of a link may wait."""
        waits = self._waits.get(link, {})
        if kid not in waits and len(waits) >= self.most_kids:
            return False
        parked = [each for wait in waits.values() for each in wait.parked]
        return len(parked) < self.most_envelopes and sum(len(each.data) for each in parked) + size <= MAX_LINK_BYTES

    def add(self, kid: str, parked: Parked, asked: str, now: float) -> None:
        """Have an envelope wait; `asked` is the `corrId` of the question for its key, the first time."""
        waits = self._waits.setdefault(parked.session.link, {})
        waits.setdefault(kid, _Wait(now + KEY_WAIT_S, asked)).parked.append(parked)

    def take(self, kid: str) -> list[Parked]:
        """Return what waits for a key, over all links, and let go of it."""
        links = [link for link, waits in self._waits.items() if kid in waits]
        return [parked for link in links for parked in self._pop(link, kid)]

    def take_asked(self, link: Link, asked: str) -> list[Parked]:
        """Return what waits for the answer to one question, and let go of it."""
        kids = [kid for kid, wait in self._waits.get(link, {}).items() if wait.asked == asked]
        return [parked for kid in kids for parked in self._pop(link, kid)]

    def take_overdue(self, now: float) -> Iterator[Parked]:
        """Give what has waited too long, and let go of it."""
        overdue = [(link, kid) for link, waits in self._waits.items() for kid in waits if waits[kid].deadline <= now]
        for link, kid in overdue:
            yield from self._pop(link, kid)

    def forget(self, link: Link) -> None:
        """Let go of what a link that is gone has sent."""
        self._waits.pop(link, None)

    def _pop(self, link: Link, kid: str) -> list[Parked]:
        waits = self._waits[link]
        parked = waits.pop(kid).parked
        if not waits:
            del self._waits[link]
        return parked
