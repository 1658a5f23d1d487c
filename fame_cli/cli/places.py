"""Which place on the fabric a word means: an address as it stands, or the id of a sentinel, which has to be looked up.

Sentinels are asked where they are known by their ids but reached by their paths; the attached one knows both of all
(``fabric.graph``).
"""

from fame_cli.cli.answers import Neighbour, Route, asked_all, asked_graph
from fame_cli.cli.arguments import shown
from fame_cli.cli.clients import CallingClient
from fame_cli.cli.likeness import alike
from fame_cli.cli.session import listed
from fame_cli.core import address
from fame_cli.errors import NoRoute, RemoteProtocolError, UsageError

__all__ = ["address_of", "check_place", "node_path_of", "path_of"]

SYSTEM = "__sys__"
"""The participant that speaks for a sentinel."""


def check_place(word: str) -> None:
    """Refuse what can be neither an address nor the id of a sentinel, before anything is attached.

    Raises:
        UsageError: it is neither.
    """
    if "@" in word:
        try:
            address.parse(word)
        except RemoteProtocolError as error:
            raise UsageError(f"{shown(word)} is not an address", hint=error.hint) from error
    elif not address.is_node_id(word):
        hint = "write NAME@DOMAIN, e.g. math1@fame.fabric, or the id of a sentinel"
        raise UsageError(f"{shown(word)} is neither an address nor an id", hint=hint)


async def address_of(client: CallingClient, word: str) -> str:
    """Return the address a word means: itself, or that of the sentinel of this id.

    Raises:
        NoRoute: no sentinel has the id.
    """
    if "@" in word:
        return word
    return address.physical(SYSTEM, await _path(client, word, "(an agent's address has an @, e.g. math1@fame.fabric)"))


async def path_of(client: CallingClient, sentinel: str | None) -> str | None:
    """Return the physical path of a sentinel, None for the attached one when no id is given.

    Raises:
        NoRoute: no sentinel has the id.
    """
    return None if sentinel is None else await _path(client, sentinel, "")


async def node_path_of(client: CallingClient, place: str | None) -> str | None:
    """Return the physical path of a node, None for the attached sentinel.

    Args:
        place: the path itself, the id of a sentinel, or the address of an agent.

    Raises:
        NoRoute: nobody is there.
    """
    if place is None or place.startswith("/"):
        return place
    if "@" not in place:
        return await _path(client, place, "(an agent is named by its address or its path)")
    check_place(place)
    ways = await _ways_to(client, place, None)
    if not ways:
        raise NoRoute(f"nobody serves {place}", hint="what waits for it may be in a mailbox: fame mail ls --address …")
    nearest = min(ways, key=lambda way: way.hops)
    at = await path_of(client, nearest.origin) if nearest.hops else None
    there = await _ways_to(client, place, at) if nearest.hops else ways
    node_id = next((way.next_hop for way in there if not way.hops), "")
    for link in await asked_all(client, "fabric.links", Neighbour, at=at):
        if link.node == node_id and link.kind == "child":
            return link.path
    raise NoRoute(f"{place} has just left", hint="try again")


async def _ways_to(client: CallingClient, place: str, at: str | None) -> list[Route]:
    """List the ways of a sentinel to who has bound an address; a mailbox for it isn't one."""
    ways = await asked_all(client, "fabric.routes", Route, at=at)
    return [way for way in ways if way.destination == place and way.kind == "address"]


async def _path(client: CallingClient, sentinel: str, advice: str) -> str:
    graph = await asked_graph(client)
    paths = {each.node: each.path for each in graph.sentinels}
    if any(each.node == sentinel and each.hops is None for each in graph.sentinels):
        raise NoRoute(f"{shown(sentinel)} is out of reach", hint="see which links there are: fame graph")
    if paths.get(sentinel):
        return paths[sentinel]
    nearest = alike(sentinel, paths, 3)
    there = f"did you mean {' or '.join(nearest)}?" if nearest else f"there is: {listed(sorted(paths))}"
    raise NoRoute(f"no sentinel is called {shown(sentinel)}", hint=f"{there} {advice}" if advice else there)
