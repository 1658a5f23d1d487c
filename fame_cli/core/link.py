"""A link: one attached neighbour, whatever its role.

Plain values; there is one class for all roles (the kind says which), and it holds no behaviour and no transport.
The shell makes a `Link`, keeps its transport in a dict beside it, and hands it to the core with every event.
"""

from dataclasses import dataclass
from enum import Enum

__all__ = ["LOCAL", "Link", "LinkKind"]


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
    """

    number: int
    kind: LinkKind
    dialed: bool = False
    remote_id: str = ""
    remote_path: str = ""
    segment: str = ""
    instance_id: str = ""
    extensions: frozenset[str] = frozenset()

    @property
    def is_ours(self) -> bool:
        """Tell whether the neighbour speaks any of our extensions; a plain Naylence node speaks none."""
        return bool(self.extensions)

    def __repr__(self) -> str:
        return f"<Link {self.number} {self.kind.value} {self.remote_id or '?'}>"


LOCAL = Link(number=0, kind=LinkKind.LOCAL, remote_id="local")
"""Stands for this node itself wherever a link is asked for: routes, calls, traces."""
