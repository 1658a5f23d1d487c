"""Where an envelope can go: a link, which is one attached neighbour whatever its role, or an origin beyond a link.

Plain values; there is one class for all roles (the kind says which), and it holds no behaviour and no transport.
The shell makes a `Link`, keeps its transport in a dict beside it, and hands it to the core with every event. An
`Origin` is a sentinel of the mesh that offers names; ``mesh.py`` says over which link it is reached at the moment.
"""

from dataclasses import dataclass
from enum import Enum

from fame_cli.core.grant import Grant, Holder

__all__ = ["LOCAL", "Link", "LinkKind", "Origin", "Way", "next_link"]


class LinkKind(Enum):
    """Say what the neighbour is to us; the values are the words of `fame.trace` and of the logs."""

    LOCAL = "local"
    CHILD = "child"
    PEER = "peer"
    PARENT = "parent"


@dataclass(slots=True, eq=False)
class Link:
    """Hold what is known of a neighbour.

    Args:
        number: unique within the process, for logs.
        kind: what the neighbour is to us.
        dialed: True when we made the connection (then we attach and beat, spec 1).
        remote_id: the neighbour's system id: from the URL when it dialled, from the ack when we did.
        remote_path: its physical path, "" until attached.
        segment: last segment of the path we gave a child; differs from `remote_id` when two share an id.
        instance_id: what the neighbour said of its process, "" until attached.
        extensions: names both sides know (docs/wire-extensions.md).
        reply_prefix: physical path that answers of a plain neighbour come by, put in front of reply addresses (see
            ``stacking.py``); "" for none.
        cost: what passing the link costs in the mesh, 1 or more; the dearer of the two ends' opinions counts.
        own_cost: what this end says of it.
        told_cost: what the other end has said of it.
        url: attach URL it was dialled at, "" where the other side dialled.
        grant: what the neighbour may do, by its credential; None where nobody asks, and for a neighbour we dialled.
        expires_at: when its credential expires, in the core's time; 0 for never.
        host: network address it came from, as it is counted; "" where nobody knows, and for one we dialled.
        account: whose calls in flight its own are counted with; None for its own alone.
        kid: of the key a sentinel's record is signed with, where the link stands for one that is no neighbour; else "".
    """

    number: int
    kind: LinkKind
    dialed: bool = False
    remote_id: str = ""
    remote_path: str = ""
    segment: str = ""
    instance_id: str = ""
    extensions: frozenset[str] = frozenset()
    reply_prefix: str = ""
    cost: int = 1
    own_cost: int = 0
    told_cost: int = 1
    url: str = ""
    grant: Grant | None = None
    expires_at: float = 0.0
    host: str = ""
    account: Holder | None = None
    kid: str = ""

    def __post_init__(self) -> None:
        self.own_cost = self.own_cost or self.cost

    @property
    def meshes(self) -> bool:
        """Tell whether the link carries the records of the mesh: at both ends is a sentinel of ours."""
        return "mesh" in self.extensions

    @property
    def is_leaf(self) -> bool:
        """Tell whether the neighbour speaks for itself and what is below it alone: a child outside the mesh."""
        return self.kind is LinkKind.CHILD and not self.meshes

    @property
    def is_ours(self) -> bool:
        """Tell whether the neighbour speaks any of our extensions; a plain Naylence node speaks none."""
        return bool(self.extensions)

    def __repr__(self) -> str:
        return f"<Link {self.number} {self.kind.value} {self.remote_id or '?'}>"


LOCAL = Link(number=0, kind=LinkKind.LOCAL, remote_id="local")
"""Stands for this node itself wherever a link is asked for: routes, calls, traces."""


@dataclass(slots=True, eq=False)
class Origin:
    """Stand for a sentinel elsewhere in the mesh, as a way to the names it offers.

    Args:
        node_id: its id.
        hearsay: True for the names it only heard of from a plain Naylence neighbour (docs/wire-extensions.md).
        link: the next hop towards it, None while it is out of reach.
        distance: sum of the costs on the way; means nothing while it is out of reach.
    """

    node_id: str
    hearsay: bool = False
    link: Link | None = None
    distance: int = 0

    def __repr__(self) -> str:
        return f"<Origin {self.node_id} {self.distance if self.link else 'out of reach'}>"


Way = Link | Origin
"""What a name leads to."""


def next_link(way: Way) -> Link | None:
    """Return the link to take towards a way, None while there is none."""
    return way.link if isinstance(way, Origin) else way
