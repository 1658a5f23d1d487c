"""A set of names with a number each, that knows its history: what a record of the mesh consists of, and what signs it.

Pure. A `Section` remembers in which version each name last changed, so that it can give anybody exactly what he lacks.
A delta names final values; it fits on any version between its base and itself, and repeating it does no harm. Dropped
names are remembered as long as they are few; whoever is further behind than that gets the whole set (base 0). If that
is large it comes in pieces, which say so (`final`), are put together aside, and take effect at once: they leave out
what is gone, so they must not be mixed with anything but themselves.

Where records are signed, a section keeps a sum over what is there, whatever the order it came in, and its owner signs
the digest of that. So everybody can check the set he has ended up with, however its changes were cut and joined on the
way, and nothing takes effect before that.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256, shake_256
from itertools import groupby

import msgspec

from fame_cli.core.envelope import encode_json
from fame_cli.core.frames import MeshDelta
from fame_cli.errors import RemoteProtocolError

__all__ = ["Changes", "Proof", "Section"]

MOST_DROPPED = 64
"""Dropped names remembered however few are left; beyond it, as many as there are names."""

MAX_NAMES = 262_144
"""Names in one section; a record that goes on past it isn't followed any further."""

ENTRY_BYTES = 18
"""What an entry of a delta takes beside its name, at most: a colon, 16 digits, a comma."""

Changes = dict[str, tuple[int | None, int | None]]
"""Name → (value before, value after); None where it isn't there."""

Proof = Callable[[MeshDelta, str], bool]
"""Tells whether the owner has signed that at the version a delta leads to its set has this digest."""

SUM_BYTES = 256
"""Bytes of the sum of a set. Sums of fewer bits could be made to agree by searching for names (2048 bits: about 2^90
steps, Wagner's generalised birthday); 3 µs a name."""


def _weight(name: str, value: int) -> int:
    """Return what a name adds to the sum of its set."""
    return int.from_bytes(shake_256(f"{value} {name}".encode()).digest(SUM_BYTES))


def _sum(entries: Iterable[tuple[str, int]]) -> int:
    return sum(_weight(name, value) for name, value in entries) % (1 << 8 * SUM_BYTES)


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
        sum: of what is there, whatever its order and history; None where nobody signs, and it isn't kept.
        signature: of the owner, of what is there at this version; "" where nobody signs.
    """

    version: int = 0
    floor: int = 0
    sum: int | None = None
    signature: str = ""
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

    def digest(self) -> str:
        """Return the digest of what is there, for its owner to sign; "" where no sum is kept."""
        return "" if self.sum is None else _digest(self.sum)

    def apply(self, delta: MeshDelta, now: float, proof: Proof | None = None) -> Changes | None:
        """Take a delta of the owner's.

        Args:
            proof: says whether the owner has signed what the delta leads to; None where nobody signs.

        Returns:
            Name → (value before, value after) of what changed. None when nothing did: it is no news, there is a gap
            between what we have and its base (see `misses`), or more pieces have to come.

        Raises:
            RemoteProtocolError: the owner hasn't signed it. Nothing has changed then.
        """
        if max(delta.final, delta.version) <= self.version or self.misses(delta) or self._is_overfull(delta):
            return None
        if delta.base and not delta.final:
            self._prove(delta, self._sum_after(delta), proof)
            changed = self._change(delta, now)
        else:
            whole = self._put_together(delta, now)
            if whole is None:
                return None
            if self.sum is not None:
                total = _sum((name, entry.value) for name, entry in whole.items() if entry.value is not None)
                self._prove(delta, total, proof)
                self.sum = total
            changed = self._replace(whole)
            self.floor = delta.version
        self.version, self.signature = delta.version, delta.sig
        if self._coming is not None and self._coming.final <= self.version:
            self._coming = None
        return changed

    def _prove(self, delta: MeshDelta, total: int | None, proof: Proof | None) -> None:
        if proof is not None and not proof(delta, "" if total is None else _digest(total)):
            raise RemoteProtocolError("a set its owner hasn't signed")

    def _sum_after(self, delta: MeshDelta) -> int | None:
        """Return the sum a delta leads to."""
        if self.sum is None:
            return None
        values: dict[str, int | None] = {**dict.fromkeys(delta.drop), **delta.put}
        before = [(name, value) for name in values if (value := self.get(name)) is not None]
        after = [(name, value) for name, value in values.items() if value is not None]
        return (self.sum - _sum(before) + _sum(after)) % (1 << 8 * SUM_BYTES)

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
        if self.sum is not None and base and self._size_since(base) > most_bytes:
            base = version = 0  # what lies between two pieces isn't signed: all of it, put together aside
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
        sig = self.signature
        yield MeshDelta(base=base, version=self.version, final=final, put=put, drop=drop, sig=sig)

    def _size_since(self, version: int) -> int:
        return sum(ENTRY_BYTES + _size(name) for name, _ in self._newer(version))

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
        if self.sum is not None:
            old = _weight(name, before.value) if before is not None and before.value is not None else 0
            new = _weight(name, value) if value is not None else 0
            self.sum = (self.sum - old + new) % (1 << 8 * SUM_BYTES)
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


def _digest(total: int) -> str:
    return sha256(total.to_bytes(SUM_BYTES)).hexdigest()
