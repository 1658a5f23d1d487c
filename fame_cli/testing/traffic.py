"""Count what the mesh costs: messages, bytes and records that sentinels exchange, over each link and direction."""

from dataclasses import dataclass, field

from fame_cli.core.link import Link
from fame_cli.testing.sim import SimNode, SimWorld

__all__ = ["Traffic"]

HEADER_BYTES = 512
"""The type of the frame stands within this many bytes of an envelope of the mesh."""


@dataclass(eq=False)
class Traffic:
    """Count the messages of the mesh, MeshSummary and MeshUpdate, from now on or from the last `clear`.

    A link has a `Link` at each end, so to count by the sender's is to count each direction by itself.

    Attributes:
        messages, message_bytes: by the sender's link.
        records: records, or pieces of them, in all updates.
        last_at: when the last one was sent, in the world's time.
    """

    world: SimWorld
    messages: dict[Link, int] = field(default_factory=dict)
    message_bytes: dict[Link, int] = field(default_factory=dict)
    records: int = 0
    last_at: float = 0.0

    def __post_init__(self) -> None:
        self.world.watches.append(self)
        self.clear()

    def clear(self) -> None:
        """Begin to count anew."""
        self.messages.clear()
        self.message_bytes.clear()
        self.records, self.last_at = 0, self.world.now

    def sent(self, node: SimNode, link: Link, data: bytes) -> None:
        """Count a message if it is one of the mesh."""
        start = data[:HEADER_BYTES]
        update = b'"type":"MeshUpdate"' in start
        if update or b'"type":"MeshSummary"' in start:
            self.messages[link] = self.messages.get(link, 0) + 1
            self.message_bytes[link] = self.message_bytes.get(link, 0) + len(data)
            self.records += data.count(b'"instance":"') if update else 0
            self.last_at = self.world.now

    def turned(self, node: SimNode) -> None:
        """Pass over everything else."""
