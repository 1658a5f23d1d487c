"""What one sentinel says of itself to the mesh: its links and its offers, each a versioned set of its own.

Pure. A `Section` maps names to numbers and remembers in which version each name last changed, so that it can give
anybody exactly what he lacks. A delta names final values; it fits on any version between its base and itself, and
repeating it does no harm. Dropped names are remembered as long as they are few; whoever is further behind than that
gets the whole set (base 0). If that is large it comes in pieces, which say so (`final`), are put together aside, and
take effect at once: they leave out what is gone, so they must not be mixed with anything but themselves.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby

import msgspec

from fame_cli.core.envelope import encode_json
from fame_cli.core.frames import MeshDelta, MeshRecord
from fame_cli.core.link import Link, Origin
from fame_cli.core.topology import Hop

__all__ = ["BOUND", "HEARSAY", "NOTHING", "Changes", "Mesh", "Record", "Section", "Version"]

BOUND, HEARSAY = 1, 2
"""Values of an offer: the name is at the sentinel itself or a child of it; or a plain Naylence neighbour told of it."""

MOST_DROPPED = 64
"""Dropped names remembered however few are left; beyond it, as many as there are names."""

MAX_NAMES = 262_144
"""Names in one section; a record that goes on past it isn't followed any further."""

DOUBT_S = 1.0
MAX_DOUBTED = 1024
"""Seconds between two doubts about one id, and ids that are remembered for it."""

ENTRY_BYTES = 18
"""What an entry of a delta takes beside its name, at most: a colon, 16 digits, a comma."""

Version = tuple[int, int, int]
"""Incarnation of a record, version of its links, version of its offers."""

NOTHING: Version = (0, 0, 0)
"""What somebody has who has no record at all."""

Changes = dict[str, tuple[int | None, int | None]]
"""Name → (value before, value after); None where it isn't there."""


class _Entry(msgspec.Struct, gc=False):
    """Hold one name of a section; a struct that Python's collector passes over, because there may be very many."""

    version: int
    value: int | None
    since: float


def _size(name: str) -> int:
    """Return the bytes of a name as JSON; for those that need no care without writing it (measured)."""
    if name.isascii() and name.isprintable() and '"' not in name and "\\" not in name:
        return len(name) + 2
    return len(encode_json(name))


@dataclass(slots=True)
class _Pieces:
    """Hold what has come of a whole set: its pieces up to `version`; all of it is there at `final`."""

    final: int
    version: int = 0
    entries: dict[str, _Entry] = field(default_factory=dict)


@dataclass(slots=True)
class Section:
    """Map names to numbers, with a history.

    Args:
        version: counts the changes; 0 is the empty set.
        floor: what happened up to this version can't be told apart any more.
    """

    version: int = 0
    floor: int = 0
    _entries: dict[str, _Entry] = field(default_factory=dict)  # in the order of their versions
    _dropped: int = 0
    _coming: _Pieces | None = None

    def __len__(self) -> int:
        return len(self._entries) - self._dropped

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def get(self, name: str) -> int | None:
        """Return the value of a name, None when it isn't there."""
        entry = self._entries.get(name)
        return entry.value if entry is not None else None

    def since(self, name: str) -> float:
        """Return when a name that is there came, in this node's time.

        Raises:
            KeyError: it isn't there.
        """
        return self._entries[name].since

    def items(self) -> Iterator[tuple[str, int]]:
        """Iterate over what is there."""
        return ((name, entry.value) for name, entry in self._entries.items() if entry.value is not None)

    def put(self, name: str, value: int | None, now: float) -> bool:
        """Change one name as its owner; None drops it. False when nothing changed."""
        if self.get(name) == value:
            return False
        self.version += 1
        self._place(name, value, self.version, now)
        return True

    def apply(self, delta: MeshDelta, now: float) -> Changes | None:
        """Take a delta of the owner's.

        Returns:
            Name → (value before, value after) of what changed. None when nothing did: it is no news, there is a gap
            between what we have and its base (see `misses`), or more pieces have to come.
        """
        if max(delta.final, delta.version) <= self.version or self.misses(delta) or self._is_overfull(delta):
            return None
        if delta.base and not delta.final:
            changed = self._change(delta, now)
        else:
            whole = self._put_together(delta, now)
            if whole is None:
                return None
            changed = self._replace(whole)
            self.floor = delta.version
        self.version = delta.version
        if self._coming is not None and self._coming.final <= self.version:
            self._coming = None
        return changed

    def _is_overfull(self, delta: MeshDelta) -> bool:
        """Tell whether a delta would make this more than anybody needs; pieces of such a set are given up."""
        held = self._entries
        if delta.final and self._coming is not None:
            held = self._coming.entries
        if (len(held) if delta.base else 0) + len(delta.put) + len(delta.drop) <= MAX_NAMES:
            return False
        self._coming = None
        return True

    def _change(self, delta: MeshDelta, now: float) -> Changes:
        changed: Changes = {}
        values: dict[str, int | None] = {**dict.fromkeys(delta.drop), **delta.put}
        for name, value in values.items():
            before = self.get(name)
            if before != value:
                changed[name] = (before, value)
            self._place(name, value, delta.version, now)  # what we never had, too: somebody else may have it
        return changed

    def _replace(self, whole: dict[str, _Entry]) -> Changes:
        before = {name: (value, self.since(name)) for name, value in self.items()}
        changed: Changes = {name: (value, None) for name, (value, _) in before.items() if name not in whole}
        for name, entry in whole.items():
            value, entry.since = before.get(name, (None, entry.since))
            if value != entry.value:
                changed[name] = (value, entry.value)
        self._entries, self._dropped = whole, 0
        return changed

    def misses(self, delta: MeshDelta) -> bool:
        """Tell whether a delta is news, but doesn't fit because something before it is missing."""
        if delta.base == 0 or max(delta.final, delta.version) <= self.version:
            return False
        if not delta.final:
            return delta.base > self.version
        coming = self._coming
        return coming is None or coming.final != delta.final or delta.base > coming.version

    def _put_together(self, delta: MeshDelta, now: float) -> dict[str, _Entry] | None:
        """Add a piece that fits to the others; return the whole set once it is complete."""
        if self._coming is None or delta.base == 0:
            self._coming = _Pieces(delta.final or delta.version)
        coming = self._coming
        if delta.version > coming.version:
            coming.version = delta.version
            for name, value in delta.put.items():
                coming.entries.pop(name, None)
                coming.entries[name] = _Entry(delta.version, value, now)
        if coming.version < coming.final:
            return None
        self._coming = None
        return coming.entries

    def deltas(self, known: int, most_bytes: int) -> Iterator[MeshDelta]:
        """Give what somebody at version `known` lacks, in pieces of about `most_bytes` that follow on each other."""
        if known >= self.version:
            return
        base = version = known if self.floor <= known else 0
        whole, final = base == 0, 0
        put: dict[str, int] = {}
        drop: list[str] = []
        size = 0
        for following, group in groupby(self._newer(base), lambda each: each[1].version):
            entries = list(group)
            more = sum(ENTRY_BYTES + _size(name) for name, _ in entries)
            if size and size + more > most_bytes:
                final = self.version if whole else 0
                yield MeshDelta(base=base, version=version, final=final, put=put, drop=drop)
                base, put, drop, size = version, {}, [], 0
            version, size = following, size + more
            put |= {name: entry.value for name, entry in entries if entry.value is not None}
            drop += [name for name, entry in entries if entry.value is None]
        yield MeshDelta(base=base, version=self.version, final=final, put=put, drop=drop)

    def _newer(self, version: int) -> list[tuple[str, _Entry]]:
        newer: list[tuple[str, _Entry]] = []
        for name, entry in reversed(self._entries.items()):
            if entry.version <= version:
                break
            if version or entry.value is not None:
                newer.append((name, entry))
        return newer[::-1]

    def _place(self, name: str, value: int | None, version: int, now: float) -> None:
        before = self._entries.pop(name, None)
        self._dropped += (value is None) - (before is not None and before.value is None)
        since = before.since if before is not None and before.value is not None else now
        self._entries[name] = _Entry(version, value, since)
        if self._dropped > max(MOST_DROPPED, len(self._entries) // 2):
            self._forget()

    def _forget(self) -> None:
        dropped = [name for name, entry in self._entries.items() if entry.value is None]
        self.floor = max(self.floor, self._entries[dropped[-1]].version)
        for name in dropped:
            del self._entries[name]
        self._dropped = 0


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
            yield MeshRecord(self.node_id, self.instance, self.incarnation)  # all that is known of this life
        told: MeshDelta | None = None  # the last piece of the links, which travels with the first of the offers
        for delta in self.links.deltas(links, most_bytes // 2):
            if told is not None:
                yield MeshRecord(self.node_id, self.instance, self.incarnation, links=told)
            told = delta
        for delta in self.offers.deltas(offers, most_bytes if told is None else most_bytes // 2):
            yield MeshRecord(self.node_id, self.instance, self.incarnation, links=told, offers=delta)
            told = None
        if told is not None:
            yield MeshRecord(self.node_id, self.instance, self.incarnation, links=told)


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
