"""What one sentinel says of itself to the mesh: its links and its offers, each a versioned set of its own.

Pure. How such a set keeps its history and makes its deltas is in ``section.py``.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from fame_cli.core.frames import MeshDelta, MeshRecord
from fame_cli.core.link import Link, Origin
from fame_cli.core.section import Section
from fame_cli.core.topology import Hop

__all__ = ["BOUND", "HEARSAY", "NOTHING", "Mesh", "Record", "Version", "both", "leads_to"]

BOUND, HEARSAY = 1, 2
"""Values of an offer: the name is at the sentinel itself or a child of it; or a plain Naylence neighbour told of it."""

DOUBT_S = 1.0
MAX_DOUBTED = 1024
"""Seconds between two doubts about one id, and ids that are remembered for it."""

Version = tuple[int, int, int]
"""Incarnation of a record, version of its links, version of its offers."""

NOTHING: Version = (0, 0, 0)
"""What somebody has who has no record at all."""


def both(one: Version, other: Version) -> Version:
    """Return what somebody has who has got both."""
    return max(one, other) if one[0] != other[0] else (one[0], max(one[1], other[1]), max(one[2], other[2]))


def leads_to(message: MeshRecord) -> Version:
    """Return what somebody has who has got a message, and the pieces that follow on those in it."""
    links, offers = message.links, message.offers
    return (
        message.incarnation,
        max(links.version, links.final) if links is not None else 0,
        max(offers.version, offers.final) if offers is not None else 0,
    )


@dataclass(slots=True)
class Record:
    """Hold what one sentinel says of itself.

    Args:
        node_id: its id.
        instance: names the process that said it.
        incarnation: counts the lives of the id; a higher one beats everything said before.
        links: neighbour id → cost.
        offers: name → `BOUND` or `HEARSAY`. A name is an address, a pool, ``<capability> <address>``, a physical path,
            or ``/`` for "whatever nobody else has".
        heard_at: when this node first heard of the life it tells of, in this node's time.
        bound, hearsay: the same sentinel as a way to names of either kind.
        lost_at: when it went out of reach, in this node's time; None while it is within.
        kid, signature: of the sentinel, under its id, instance and incarnation; "" where nobody signs.
    """

    node_id: str
    instance: str
    incarnation: int
    links: Section = field(default_factory=Section)
    offers: Section = field(default_factory=Section)
    heard_at: float = 0.0
    bound: Origin = field(init=False)
    hearsay: Origin = field(init=False)
    lost_at: float | None = None
    kid: str = ""
    signature: str = ""

    def __post_init__(self) -> None:
        self.bound, self.hearsay = Origin(self.node_id), Origin(self.node_id, hearsay=True)

    @property
    def life(self) -> tuple[int, str]:
        """Tell one life of the id from others: the greater one counts, even if two began in the same instant."""
        return self.incarnation, self.instance

    @property
    def version(self) -> Version:
        """Say how new it is; of two versions of one record the greater is the newer."""
        return self.incarnation, self.links.version, self.offers.version

    def way(self, value: int) -> Origin:
        """Return the way that offers of this value lead by."""
        return self.hearsay if value == HEARSAY else self.bound

    def links_of(self) -> Mapping[str, int]:
        """Return neighbour id → cost."""
        return dict(self.links.items())

    def messages(self, known: Version, most_bytes: int) -> Iterator[MeshRecord]:
        """Give what somebody who has `known` lacks, in pieces of about `most_bytes`."""
        links, offers = known[1:] if known[0] == self.incarnation else (0, 0)
        if known[0] != self.incarnation and not self.links.version and not self.offers.version:
            yield self._message()  # all that is known of this life
        told: MeshDelta | None = None  # the last piece of the links, which travels with the first of the offers
        for delta in self.links.deltas(links, most_bytes // 2):
            if told is not None:
                yield self._message(told)
            told = delta
        for delta in self.offers.deltas(offers, most_bytes if told is None else most_bytes // 2):
            yield self._message(told, delta)
            told = None
        if told is not None:
            yield self._message(told)

    def _message(self, links: MeshDelta | None = None, offers: MeshDelta | None = None) -> MeshRecord:
        life = self.node_id, self.instance, self.incarnation
        return MeshRecord(*life, links=links, offers=offers, kid=self.kid, sig=self.signature)


@dataclass(slots=True)
class Mesh:
    """Hold what a sentinel knows of the mesh, and what its neighbours know.

    Args:
        own: the record of this node.
        records: those of the others, by id.
        links: neighbour id → link that carries the mesh.
        known: link → id → version that neighbour has. A link is missing until its first summary.
        owed: link → ids that neighbour may lack news of.
        asked: link → when it got our summary last.
        summed_up: link → when its last summary began, and the id the next piece has to follow on.
        hops: id → how it is reached; those out of reach are missing.
        flush_at: when `owed` is due; None while nothing is.
        changed: True when links have changed in this turn; `stale` from the next turn until hops are computed again.
        outdone: instance of a namesake → incarnation in which we outdid it.
        computed: times the hops were computed, for whoever measures.
        digest: of what is within reach; "" when it has to be computed anew.
        doubted: id → when a namesake's record last made its version doubtful.
    """

    own: Record
    records: dict[str, Record] = field(default_factory=dict)
    links: dict[str, Link] = field(default_factory=dict)
    known: dict[Link, dict[str, Version]] = field(default_factory=dict)
    owed: dict[Link, dict[str, None]] = field(default_factory=dict)
    asked: dict[Link, float] = field(default_factory=dict)
    summed_up: dict[Link, tuple[float, str]] = field(default_factory=dict)
    hops: dict[str, Hop] = field(default_factory=dict)
    flush_at: float | None = None
    changed: bool = False
    stale: bool = False
    outdone: dict[str, int] = field(default_factory=dict)
    computed: int = 0
    digest: str = ""
    doubted: dict[str, float] = field(default_factory=dict)

    def heard(self, link: Link, message: MeshRecord) -> None:
        """Remember what the sender of a message has: at least what it sent."""
        known = self.known.get(link)
        if known is not None:
            known[message.id] = both(known.get(message.id, NOTHING), leads_to(message))

    def spread(self, node_id: str, now: float) -> None:
        """Have a record looked at for every neighbour at the end of this turn."""
        self.digest = ""
        for link in self.known:
            if self.links.get(link.remote_id) is link:  # a second link to the same neighbour needs no news
                self.owe(link, node_id, now)

    def owe(self, link: Link, node_id: str, now: float) -> None:
        """Have a record looked at for one neighbour at the end of this turn."""
        self.owed.setdefault(link, {})[node_id] = None
        self._wake(now)

    def doubt(self, node_id: str, now: float) -> None:
        """Forget, now and then, which version the neighbours have: it may be a namesake's, born in the same instant."""
        if now - self.doubted.get(node_id, float("-inf")) < DOUBT_S:
            return
        if len(self.doubted) >= MAX_DOUBTED:
            self.doubted.clear()
        self.doubted[node_id] = now
        for known in self.known.values():
            known.pop(node_id, None)

    def links_changed(self, now: float) -> None:
        """Have next hops computed anew, from the end of this turn on."""
        self.changed = True
        self._wake(now)

    def _wake(self, now: float) -> None:
        if self.flush_at is None:
            self.flush_at = now
