"""Which of several providers gets a call: rank, then the rule a sentinel's config names.

Pure. `nearest` needs no agreement between sentinels: whoever is nearest for one of them is nearest for the next one on
the way, too. The others choose once, at the first sentinel, and pin the call to what they chose (``fame.via``).
"""

from hashlib import blake2b
from typing import Literal, TypeVar
from zlib import crc32

from fame_cli.core.link import LOCAL, Link, LinkKind, Origin, Way

__all__ = ["BALANCES", "NEAREST", "Balance", "choose", "is_eligible", "is_hearsay", "rank"]

Balance = Literal["nearest", "round_robin", "random", "sticky"]
"""``nearest``: in turn over those equally near. ``round_robin``: in turn over all. ``random``: any. ``sticky``: the
same one for the same session key, as long as it is there."""

BALANCES: tuple[Balance, ...] = ("nearest", "round_robin", "random", "sticky")

NEAREST: Balance = "nearest"

_RANK = {LinkKind.LOCAL: 0, LinkKind.CHILD: 1, LinkKind.PEER: 3, LinkKind.PARENT: 4}
_ORIGIN_RANK = 2

T = TypeVar("T")


def rank(way: Way) -> tuple[int, int, str]:
    """Return a key that sorts ways, best first: here, a child, the mesh by distance and id, hearsay, the parent."""
    if isinstance(way, Origin):
        return (_RANK[LinkKind.PEER] if way.hearsay else _ORIGIN_RANK), way.distance, way.node_id
    return _RANK[way.kind], 0, ""


def is_hearsay(way: Way) -> bool:
    """Tell whether a way leads to a name only because a plain Naylence neighbour said so."""
    return way.hearsay if isinstance(way, Origin) else way.kind is LinkKind.PEER and not way.meshes


def is_eligible(way: Way, origin: Link) -> bool:
    """Tell whether a way can be gone by what came in over `origin`: it is within reach and doesn't lead back."""
    link = way if isinstance(way, Link) else way.link
    return (link is not origin and link is not None) or link is LOCAL


def choose(candidates: list[tuple[T, Way]], balance: Balance, key: str, turn: int, node_id: str = "") -> tuple[T, Way]:
    """Pick one of several providers that are all within reach; hearsay only where there is nothing else.

    Args:
        candidates: at least one.
        key: of the session for ``sticky``, of the envelope for ``random``.
        turn: a number that grows by one with each choice.
        node_id: of the sentinel that chooses. ``sticky`` chooses a sentinel first and one of its own providers then, so
            that all sentinels choose alike.
    """
    known = [candidate for candidate in candidates if not is_hearsay(candidate[1])] or candidates
    if balance == "sticky":
        return max(known, key=lambda candidate: _lots(key, candidate, node_id))
    if balance == "nearest":
        nearest = min(rank(way)[:2] for _, way in known)
        known = [candidate for candidate in known if rank(candidate[1])[:2] == nearest]
    elif balance == "random":
        turn = crc32(key.encode())
    return known[turn % len(known)]


def _lots(key: str, candidate: tuple[object, Way], node_id: str) -> tuple[bytes, bytes]:
    """Return what a session draws for a provider: one lot for its sentinel, one for itself there."""
    name, way = candidate
    if isinstance(way, Origin):
        return _draw(f"{key} {way.node_id}"), b""
    return _draw(f"{key} {node_id}"), _draw(f"{key} {name} {way.segment or way.remote_id}")


def _draw(text: str) -> bytes:
    """Return a lot; a checksum won't do, because it deals the same shares to all keys."""
    return blake2b(text.encode(), digest_size=8).digest()
