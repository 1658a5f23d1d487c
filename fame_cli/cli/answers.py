"""What sentinels and agents answer about themselves, with types, checked as it arrives so that commands may rely on it.

The shapes are those of docs/wire-extensions.md (``sys``). Members this side doesn't know are passed over, and most may
be missing, so that nodes of different versions understand each other.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from fame_cli.cli.clients import CallingClient
from fame_cli.cli.session import METHOD_NOT_FOUND, advised
from fame_cli.errors import NoRoute, RemoteError, RemoteProtocolError

__all__ = [
    "Described",
    "Graph",
    "GraphLink",
    "GraphPlain",
    "GraphSentinel",
    "Letter",
    "Mended",
    "Name",
    "Neighbour",
    "Operation",
    "Route",
    "asked",
    "asked_all",
    "asked_graph",
    "read",
]


class Name(msgspec.Struct, frozen=True):
    """Hold one address and one sentinel that offers it; `hops` is 0 at the asked sentinel."""

    address: str
    operations: list[str] = []
    capabilities: list[str] = []
    node: str = ""
    hops: int = 0
    next_hop: str = ""


class Neighbour(msgspec.Struct, frozen=True):
    """Hold one link of a sentinel; `cost` counts between sentinels, `age_s` is in seconds.

    In state ``dialing`` there is none yet: `path` is the URL that is tried, `reason` why it can't be reached.
    """

    node: str
    kind: str = ""
    path: str = ""
    plain: bool = False
    mesh: bool = False
    dialed: bool = False
    cost: int = 1
    age_s: float = 0.0
    state: str = "open"
    extensions: list[str] = []
    reason: str = ""


class Route(msgspec.Struct, frozen=True):
    """Hold where one name leads from a sentinel; `via` has both ends, `conflict` the others that offer the same."""

    destination: str
    kind: str = "address"
    next_hop: str = ""
    via: list[str] = []
    origin: str = ""
    hops: int = 0
    cost: int = 0
    age_s: float = 0.0
    conflict: list[str] = []


class GraphSentinel(msgspec.Struct, frozen=True):
    """Hold one sentinel; `hops` is None where no way leads there."""

    node: str
    path: str = ""
    hops: int | None = None
    age_s: float = 0.0
    incarnation: int | str = 0
    offers: int = 0


class GraphLink(msgspec.Struct, frozen=True):
    """Hold one link between sentinels; `half` when only one end lists it, and then it isn't used."""

    a: str
    b: str
    cost: int = 1
    half: bool = False


class GraphPlain(msgspec.Struct, frozen=True):
    """Hold one plain Naylence node, the sentinel it is linked to, and what it is to that: child, peer or parent."""

    node: str
    at: str
    kind: str = ""


class Graph(msgspec.Struct, frozen=True):
    """Hold what one sentinel, `node`, knows of all others."""

    node: str
    sentinels: list[GraphSentinel] = []
    links: list[GraphLink] = []
    plain: list[GraphPlain] = []


class Operation(msgspec.Struct, frozen=True):
    """Hold one operation of an agent."""

    name: str
    description: str = ""
    streaming: bool = False
    schema: dict[str, Any] = {}


class Described(msgspec.Struct, frozen=True):
    """Hold what an agent says of itself."""

    description: str = ""
    operations: list[Operation] = []
    tasks: list[Operation] = []
    capabilities: list[str] = []


class Letter(msgspec.Struct, frozen=True):
    """Hold a message that a node keeps, without its payload of so many `bytes`; see `fame_cli.core.message.Message`.

    How long it has been kept is told by the node's own clock (`age_s`).
    """

    id: str
    box: str
    address: str = ""
    lane: str = ""
    seq: int = 0
    sender: str = ""
    stored_at: float = 0.0
    expires_at: float = 0.0
    attempts: int = 0
    reason: str = ""
    origin: str = ""
    mailbox: bool = False
    bytes: int = 0
    age_s: float = 0.0


class Mended(msgspec.Struct, frozen=True):
    """Hold the ids of the messages that were retried or dropped, and why others weren't."""

    ids: list[str]
    reason: str = ""


T = TypeVar("T")


async def asked(
    client: CallingClient,
    method: str,
    kind: type[T],
    *,
    at: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    whom: str = "sentinel",
) -> T:
    """Ask a sentinel and return its answer as `kind`.

    Args:
        at: physical path of the sentinel; None for the one the client is attached to.
        whom: what is said of who is asked.

    Raises:
        RemoteError: it doesn't know the question, or couldn't answer.
        NoRoute: it can't be reached.
        RemoteProtocolError: the answer is something else.
    """
    whom = f"the {whom}" if at is None else f"the {whom} at {at}"
    try:
        return read(await client.ask(method, at=at, arguments=arguments), kind, f"{whom} answered {method}")
    except RemoteError as error:
        if error.code == METHOD_NOT_FOUND:
            hint = "it runs another version of fame"
            raise RemoteError(f"{whom} can't answer {method}", code=error.code, hint=hint) from error
        raise RemoteError(f"{whom}: {method}: {error.message}", code=error.code, hint=error.hint) from error
    except NoRoute as error:
        raise advised(error, "see who is there: fame graph") from error


async def asked_all(client: CallingClient, method: str, kind: type[T], *, at: str | None = None) -> list[T]:
    """Ask a sentinel for a list, page by page to its end; arguments and errors as `asked`."""
    rows: list[T] = []
    while True:
        page = await asked(client, method, list[kind], at=at, arguments={"offset": len(rows)})  # type: ignore[valid-type]  # a list of what the caller wants
        if not page:
            return rows
        rows += page


async def asked_graph(client: CallingClient, *, at: str | None = None) -> Graph:
    """Ask a sentinel for the topology, page by page to its end; errors as `asked`."""
    whole = page = await asked(client, "fabric.graph", Graph, at=at)
    while page.sentinels or page.links or page.plain:
        offset = {"offset": len(whole.sentinels) + len(whole.links) + len(whole.plain)}
        page = await asked(client, "fabric.graph", Graph, at=at, arguments=offset)
        whole.sentinels.extend(page.sentinels)
        whole.links.extend(page.links)
        whole.plain.extend(page.plain)
    return whole


def read(answer: object, kind: type[T], who_said: str) -> T:
    """Return an answer as `kind`.

    Args:
        who_said: for the message, e.g. ``the sentinel answered fabric.names``.

    Raises:
        RemoteProtocolError: it is something else.
    """
    try:
        return msgspec.convert(answer, kind)
    except msgspec.ValidationError as error:
        raise RemoteProtocolError(f"{who_said} with something else: {error}") from error
