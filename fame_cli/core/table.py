"""The route table: name → ways, for exact addresses, pools, capabilities and physical paths.

Pure. Each verb has its undo (bind/unbind, advertise/withdraw, attach/detach). A name may have several ways: links to
neighbours, and origins, which are sentinels further away (``mesh.py`` keeps their next hops). Where one is as good as
the other, the first owner keeps a name until it leaves. Changes are returned, not announced: ``announce.py`` decides
who hears of them.
"""

from collections.abc import Iterable, Iterator

from fame_cli.core.address import Address, parse, pool_matches
from fame_cli.core.balance import NEAREST, Balance, choose, is_eligible, rank
from fame_cli.core.link import LOCAL, Link, LinkKind, Origin, Way

__all__ = ["DEFAULT_ROUTE", "Name", "Offer", "RouteTable"]

Offer = tuple[str, str]
"""(capability, address)."""

Name = str | Offer
"""What a way leads to: an address, a physical path (it starts with a slash), or an offer."""

DEFAULT_ROUTE = "/"
"""The physical path above all others: a way to it is a way to whatever nobody else has (spec 9, rule 7)."""

Ways = tuple[Way, ...]

MAX_CACHED = 10_000
"""Physical addresses remembered between two changes of the table."""


class RouteTable:
    """Know which ways lead to which name.

    Args:
        path: this node's physical path, "" while it has none.
        node_id: this node's id.
        balance: how calls are spread over several providers of a pool or a capability.

    Attributes:
        local: participants bound at the physical path (``__sys__``, inboxes).
        children: path segment → link. peers: system id → link. parent: the upstream link.
        origins: id → the sentinel as a way to what is bound there; for calls that are pinned to it.
        generation: grows by one with every change.
    """

    def __init__(self, path: str = "", node_id: str = "", balance: Balance = NEAREST) -> None:
        self.path = path
        self.node_id = node_id
        self.balance: Balance = balance
        self.local: set[str] = set()
        self.children: dict[str, Link] = {}
        self.peers: dict[str, Link] = {}
        self.parent: Link | None = None
        self.generation = 0
        self.origins: dict[str, Origin] = {}
        self._exact: dict[str, Ways] = {}
        self._paths: dict[str, Ways] = {}
        self._pools: dict[str, dict[str, Ways]] = {}
        self._offers: dict[str, dict[str, Ways]] = {}
        self._names: dict[Link, dict[Name, None]] = {}
        self._cache: dict[str, Way | None] = {}
        self._turns: dict[str, int] = {}
        self._sole: tuple[Way] = (LOCAL,)

    # Names

    def bind(self, address: str, way: Way) -> bool:
        """Add a way to an address, a pool or a physical path; False when it was one already.

        Raises:
            RemoteProtocolError: not an address.
        """
        return self.add(address, way)

    def unbind(self, address: str, way: Way) -> bool:
        """Undo `bind`; False when there was nothing to undo."""
        return self.remove(address, way)

    def advertise(self, capability: str, address: str, way: Way) -> bool:
        """Add a way to a provider of `capability`; False when it was one already."""
        return self.add((capability, address), way)

    def withdraw(self, capability: str, address: str, way: Way) -> bool:
        """Undo `advertise`; False when there was nothing to undo."""
        return self.remove((capability, address), way)

    def ways(self, name: Name) -> Ways:
        """Return the ways to exactly this name, oldest first."""
        slot, key = self._slot(name)
        return slot.get(key, ())

    def names(self) -> Iterator[Name]:
        """Iterate over every address and offer in the table, addresses first; physical paths are left out."""
        yield from self._exact
        for participant, pools in self._pools.items():
            yield from (f"{participant}@{host}" for host in pools)
        for capability, providers in self._offers.items():
            yield from ((capability, address) for address in providers)

    def paths(self) -> Iterator[str]:
        """Iterate over the physical paths in the table."""
        yield from self._paths

    # Participants at the physical path

    def open_box(self, participant: str) -> None:
        """Deliver what comes for `participant` at this node's physical path."""
        self.local.add(participant)
        self.changed()

    def close_box(self, participant: str) -> None:
        """Undo `open_box`."""
        self.local.discard(participant)
        self.changed()

    # Neighbours

    def attach(self, link: Link) -> None:
        """Make an attached neighbour reachable by its physical path."""
        if link.kind is LinkKind.CHILD:
            self.children[link.segment] = link
        elif link.kind is LinkKind.PEER:
            self.peers[link.remote_id] = link
        elif link.kind is LinkKind.PARENT:
            self.parent = link
        self.changed()

    def way_to(self, address: str) -> Way | None:
        """Return the nearest way to an address, None for nobody; no turn is taken.

        Raises:
            RemoteProtocolError: not an address.
        """
        parse(address)
        return self.find(address, LOCAL)

    def count_of(self, link: Link) -> int:
        """Return how many names lead to a link."""
        return len(self._names.get(link, ()))

    def detach(self, link: Link) -> list[Name]:
        """Undo `attach` and drop every name of the link; return those names."""
        if self.children.get(link.segment) is link:
            del self.children[link.segment]
        if self.peers.get(link.remote_id) is link:
            del self.peers[link.remote_id]
        if self.parent is link:
            self.parent = None
        names = list(self._names.get(link, ()))
        for name in names:
            self.remove(name, link)
        self.changed()
        return names

    def move(self, path: str) -> None:
        """Take another physical path (the parent decides it)."""
        self.path = path
        self.changed()

    # Look-ups

    def find(self, to: str, origin: Link, key: str = "", *, here: bool = False) -> Way | None:
        """Return the best way to an address that doesn't lead back over `origin`, LOCAL for this node, None for none.

        Args:
            key: what a pool's member is chosen by, see ``balance.py``.
            here: look among this node and its neighbours only.

        Raises:
            RemoteProtocolError: not an address.
        """
        ways = self._exact.get(to)
        if ways is not None:
            if len(ways) == 1 and is_eligible(ways[0], origin):  # the rule, and worth a shortcut (measured)
                return ways[0]
            eligible = [way for way in ways if is_eligible(way, origin)]
            if eligible:
                return min(eligible, key=rank)
        if to in self._cache:
            return self._cache[to]
        address = parse(to)
        pool = self._pool_members(address, origin) if address.host and self._pools else []
        if here:
            pool = [way for way in pool if isinstance(way, Link)]
        if pool:
            return self._choose([(to, way) for way in pool], key, to, self._rule(origin, here))[1]
        if not address.path:
            return None  # for this origin, or here: for another there may be one, so it isn't remembered
        if len(self._cache) >= MAX_CACHED:
            self._cache.clear()
        way = self._by_path(address)
        self._cache[to] = way
        return way

    def default(self, origin: Link) -> Way | None:
        """Return the way for what nobody is known to have, our own parent first; None but for back over `origin`."""
        above = self._paths.get(DEFAULT_ROUTE, ())
        if len(above) == 1:
            return above[0] if is_eligible(above[0], origin) else None
        eligible = [way for way in above if is_eligible(way, origin)]
        return min(eligible, key=lambda way: (isinstance(way, Origin), rank(way)), default=None)

    def is_here(self, to: str) -> bool:
        """Tell whether an address lies at this node's own physical path, bound or not."""
        address = parse(to)
        return not address.host and address.path == self.path

    def is_spread(self, to: str | None) -> bool:
        """Tell whether an address may have several providers: it is met by a pool, or chosen by capability."""
        return to is None or (to not in self._exact and parse(to).participant in self._pools)

    def providers(self, capabilities: Iterable[str], origin: Link = LOCAL) -> list[tuple[str, Way]]:
        """List (address, way) of all that offer every one of `capabilities` (AND, spec 6.3), closest first."""
        wanted = list(dict.fromkeys(capabilities))
        if not wanted:
            return []
        first, *rest = (self._offers.get(capability, {}) for capability in wanted)
        found = [
            (address, way)
            for address, ways in first.items()
            for way in ways
            if is_eligible(way, origin) and all(way in other.get(address, ()) for other in rest)
        ]
        return sorted(found, key=lambda provider: rank(provider[1]))

    def provider(
        self, capabilities: Iterable[str], origin: Link, key: str = "", *, here: bool = False
    ) -> tuple[str, Way] | None:
        """Pick a provider as `balance` says, see `find`; never over `origin`."""
        capabilities = list(capabilities)
        found = self.providers(capabilities, origin)
        if here:
            found = [provider for provider in found if isinstance(provider[1], Link)]
        return self._choose(found, key, " ".join(capabilities), self._rule(origin, here)) if found else None

    def _rule(self, origin: Link, here: bool) -> Balance:
        """Return how to choose: a call that another sentinel has pinned to nobody is on its way to the nearest.

        To choose once more could send it back to where it has been.
        """
        return NEAREST if origin.meshes and not here else self.balance

    def _choose(self, candidates: list[tuple[str, Way]], key: str, wanted: str, rule: Balance) -> tuple[str, Way]:
        """Pick one. What is wanted has turns of its own: two that are called alternately would each get one member."""
        if wanted not in self._turns and len(self._turns) >= MAX_CACHED:
            self._turns.clear()
        self._turns[wanted] = turn = self._turns.get(wanted, -1) + 1
        return choose(candidates, rule, key, turn, self.node_id)

    def _pool_members(self, address: Address, origin: Link) -> list[Way]:
        pools = self._pools.get(address.participant, {})
        members = [way for pattern, ways in pools.items() if pool_matches(pattern, address.host) for way in ways]
        return [way for way in dict.fromkeys(members) if is_eligible(way, origin)]

    def _by_path(self, address: Address) -> Way | None:
        """Find who has the longest part of a physical path; what lies below this node is nobody else's."""
        path = address.path
        while path:
            if path == self.path:
                if address.path == path:
                    return LOCAL if address.participant in self.local else None
                return self.children.get(address.segments[path.count("/")])
            eligible = [way for way in self._paths.get(path, ()) if is_eligible(way, LOCAL)]
            if eligible:
                return min(eligible, key=rank)
            path = path.rpartition("/")[0]
        return None

    # Storage

    def _slot(self, name: Name) -> tuple[dict[str, Ways], str]:
        """Return the dict a name is in, or would be in, and its key there."""
        if isinstance(name, tuple):
            return self._offers.get(name[0], {}), name[1]
        if name.startswith("/"):
            return self._paths, name
        address = parse(name)
        if address.is_pool:
            return self._pools.get(address.participant, {}), address.host
        return self._exact, name

    def _made_slot(self, name: Name) -> tuple[dict[str, Ways], str]:
        slot, key = self._slot(name)
        if not slot:
            if isinstance(name, tuple):
                return self._offers.setdefault(name[0], {}), key
            if "@*." in name:
                return self._pools.setdefault(parse(name).participant, {}), key
        return slot, key

    def add(self, name: Name, way: Way) -> bool:
        """Add a way to a name; False when it was one already.

        Raises:
            RemoteProtocolError: a text that is neither an address nor a path.
        """
        slot, key = self._made_slot(name)
        ways = slot.get(key, ())
        if way in ways:
            return False
        slot[key] = (*ways, way) if ways else self._alone(way)
        if isinstance(way, Link):
            self._names.setdefault(way, {})[name] = None
        self.changed()
        return True

    def _alone(self, way: Way) -> Ways:
        """Return a way as the only one to a name; names that come one after the other share it: 64 bytes each."""
        if self._sole[0] is not way:
            self._sole = (way,)
        return self._sole

    def remove(self, name: Name, way: Way) -> bool:
        """Undo `add`; False when there was nothing to undo."""
        slot, key = self._slot(name)
        ways = slot.get(key, ())
        if way not in ways:
            return False
        if isinstance(way, Link):
            names = self._names[way]
            del names[name]
            if not names:
                del self._names[way]
        slot[key] = tuple(other for other in ways if other is not way)
        if not slot[key]:
            del slot[key]
            self._prune(name)
        self.changed()
        return True

    def _prune(self, name: Name) -> None:
        if isinstance(name, tuple):
            if not self._offers[name[0]]:
                del self._offers[name[0]]
        elif "@*." in name and not self._pools[parse(name).participant]:
            del self._pools[parse(name).participant]

    def changed(self) -> None:
        """Forget what was looked up before: a name, a neighbour or a next hop has changed."""
        self.generation += 1
        if self._cache:
            self._cache.clear()
