"""The route table: address → link, for exact addresses, pools, physical paths and capabilities.

Pure. Each verb has its undo (bind/unbind, advertise/withdraw, attach/detach). A name may have several links; they stay
ordered by closeness (here, child, peer, parent) and then by age, so the first owner keeps a name until it leaves.
Changes are returned, not announced: ``announce.py`` decides who hears of them.
"""

from collections.abc import Iterable, Iterator

from fame_cli.core.address import Address, parse, pool_matches
from fame_cli.core.link import LOCAL, Link, LinkKind

__all__ = ["Offer", "RouteTable"]

Offer = tuple[str, str]
"""(capability, address)."""

Links = tuple[Link, ...]

_CLOSENESS = {LinkKind.LOCAL: 0, LinkKind.CHILD: 1, LinkKind.PEER: 2, LinkKind.PARENT: 3}

MAX_CACHED = 10_000
"""Resolved addresses remembered between two changes of the table."""


def _closeness(link: Link) -> int:
    return _CLOSENESS[link.kind]


class RouteTable:
    """Know which link leads to which name.

    Attributes:
        path: this node's physical path, "" while it has none.
        local: participants bound at the physical path (``__sys__``, inboxes).
        children: path segment → link. peers: system id → link. parent: the upstream link.
    """

    def __init__(self, path: str = "") -> None:
        self.path = path
        self.local: set[str] = set()
        self.children: dict[str, Link] = {}
        self.peers: dict[str, Link] = {}
        self.parent: Link | None = None
        self._exact: dict[str, Links] = {}
        self._pools: dict[str, dict[str, Links]] = {}
        self._offers: dict[str, dict[str, Links]] = {}
        self._names: dict[Link, dict[str | Offer, None]] = {}
        self._cache: dict[str, Link | None] = {}
        self._turn = 0

    # Names

    def bind(self, address: str, link: Link) -> bool:
        """Add `link` as a way to a logical or pool address; False when it was one already.

        Raises:
            RemoteProtocolError: not an address.
        """
        return self._add(address, link)

    def unbind(self, address: str, link: Link) -> bool:
        """Undo `bind`; False when there was nothing to undo."""
        return self._remove(address, link)

    def advertise(self, capability: str, address: str, link: Link) -> bool:
        """Add `link` as a way to a provider of `capability`; False when it was one already."""
        return self._add((capability, address), link)

    def withdraw(self, capability: str, address: str, link: Link) -> bool:
        """Undo `advertise`; False when there was nothing to undo."""
        return self._remove((capability, address), link)

    def links(self, name: str | Offer) -> Links:
        """Return the links of exactly this address or offer, closest first."""
        if isinstance(name, tuple):
            return self._offers.get(name[0], {}).get(name[1], ())
        address = parse(name)
        if address.is_pool:
            return self._pools.get(address.participant, {}).get(address.host, ())
        return self._exact.get(name, ())

    def names(self) -> Iterator[str | Offer]:
        """Iterate over every address and offer in the table, addresses first."""
        yield from self._exact
        for participant, pools in self._pools.items():
            yield from (f"{participant}@{host}" for host in pools)
        for capability, providers in self._offers.items():
            yield from ((capability, address) for address in providers)

    # Participants at the physical path

    def open_box(self, participant: str) -> None:
        """Deliver what comes for `participant` at this node's physical path."""
        self.local.add(participant)
        self._changed()

    def close_box(self, participant: str) -> None:
        """Undo `open_box`."""
        self.local.discard(participant)
        self._changed()

    # Neighbours

    def attach(self, link: Link) -> None:
        """Make an attached neighbour reachable by its physical path."""
        if link.kind is LinkKind.CHILD:
            self.children[link.segment] = link
        elif link.kind is LinkKind.PEER:
            self.peers[link.remote_id] = link
        elif link.kind is LinkKind.PARENT:
            self.parent = link
        self._changed()

    def detach(self, link: Link) -> list[str | Offer]:
        """Undo `attach` and drop every name of the link; return those names."""
        if self.children.get(link.segment) is link:
            del self.children[link.segment]
        if self.peers.get(link.remote_id) is link:
            del self.peers[link.remote_id]
        if self.parent is link:
            self.parent = None
        names = list(self._names.get(link, ()))
        for name in names:
            self._remove(name, link)
        self._changed()
        return names

    def move(self, path: str) -> None:
        """Take another physical path (the parent decides it)."""
        self.path = path
        self._changed()

    # Look-ups

    def find(self, to: str, origin: Link) -> Link | None:
        """Return the closest link to an address that isn't `origin`, LOCAL for this node, None if there is none.

        The parent isn't looked at: falling back to it is a rule of ``routing.py``.

        Raises:
            RemoteProtocolError: not an address.
        """
        for owner in self._exact.get(to, ()):
            if owner is not origin or owner is LOCAL:
                return owner
        if to in self._cache:
            return self._cache[to]
        address = parse(to)
        pool = self._pool_members(address) if address.host else []
        if pool:
            return self._pick(pool, origin)
        if len(self._cache) >= MAX_CACHED:
            self._cache.clear()
        link = self._by_path(address) if address.path else None
        self._cache[to] = link
        return link

    def is_here(self, to: str) -> bool:
        """Tell whether an address lies at this node's own physical path, bound or not."""
        return parse(to).path == self.path and not parse(to).host

    def providers(self, capabilities: Iterable[str]) -> list[tuple[str, Link]]:
        """List (address, link) of all that offer every one of `capabilities` (AND, spec 6.3), closest first."""
        wanted = list(dict.fromkeys(capabilities))
        if not wanted:
            return []
        first, *rest = (self._offers.get(capability, {}) for capability in wanted)
        found = [
            (address, link)
            for address, links in first.items()
            for link in links
            if all(link in other.get(address, ()) for other in rest)
        ]
        return sorted(found, key=lambda provider: _closeness(provider[1]))

    def provider(self, capabilities: Iterable[str], origin: Link) -> tuple[str, Link] | None:
        """Pick one of the closest providers, each in turn; never over `origin`."""
        found = [p for p in self.providers(capabilities) if p[1] is not origin or p[1] is LOCAL]
        if not found:
            return None
        nearest = [p for p in found if _closeness(p[1]) == _closeness(found[0][1])]
        self._turn += 1
        return nearest[self._turn % len(nearest)]

    def _pool_members(self, address: Address) -> list[Link]:
        pools = self._pools.get(address.participant, {})
        return [link for pattern, links in pools.items() if pool_matches(pattern, address.host) for link in links]

    def _pick(self, members: list[Link], origin: Link) -> Link | None:
        eligible = [link for link in members if link is not origin or link is LOCAL]
        if not eligible:
            return None
        nearest = [link for link in eligible if _closeness(link) == min(map(_closeness, eligible))]
        self._turn += 1
        return nearest[self._turn % len(nearest)]

    def _by_path(self, address: Address) -> Link | None:
        if address.path == self.path:
            return LOCAL if address.participant in self.local else None
        segments = address.segments
        if self.path and address.path.startswith(self.path + "/"):
            return self.children.get(segments[self.path.count("/")])
        return self.peers.get(segments[0]) if segments else None

    # Storage

    def _slot(self, name: str | Offer) -> tuple[dict[str, Links], str]:
        if isinstance(name, tuple):
            return self._offers.setdefault(name[0], {}), name[1]
        address = parse(name)
        if address.is_pool:
            return self._pools.setdefault(address.participant, {}), address.host
        return self._exact, name

    def _add(self, name: str | Offer, link: Link) -> bool:
        slot, key = self._slot(name)
        links = slot.get(key, ())
        if link in links:
            return False
        slot[key] = tuple(sorted((*links, link), key=_closeness))
        self._names.setdefault(link, {})[name] = None
        self._changed()
        return True

    def _remove(self, name: str | Offer, link: Link) -> bool:
        names = self._names.get(link, {})
        if name not in names:
            return False
        del names[name]
        if not names:
            del self._names[link]
        slot, key = self._slot(name)
        slot[key] = tuple(other for other in slot[key] if other is not link)
        if not slot[key]:
            del slot[key]
            self._prune(name)
        self._changed()
        return True

    def _prune(self, name: str | Offer) -> None:
        if isinstance(name, tuple):
            if not self._offers[name[0]]:
                del self._offers[name[0]]
        elif not self._pools.get(parse(name).participant, True):
            del self._pools[parse(name).participant]

    def _changed(self) -> None:
        if self._cache:
            self._cache.clear()
