"""What a node is told at its birth. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fame_cli.core.balance import NEAREST, Balance
from fame_cli.core.batch import BATCH
from fame_cli.core.custody import Delivery, Mailbox
from fame_cli.core.envelope import MAX_MESSAGE_BYTES
from fame_cli.core.flow import MAX_HELD_BYTES
from fame_cli.core.limits import Limits

__all__ = ["EXTENSIONS", "MAX_HELD_BYTES", "MAX_HOPS", "SILENCE_S", "Settings"]

EXTENSIONS = (BATCH, "cancel", "mesh", "sys", "window")
"""What we offer in `fame.ext` of NodeAttach and NodeAttachAck (docs/wire-extensions.md); ``mesh`` if we route,
``batch`` unless it is turned off."""

SILENCE_S = 10.0
"""Seconds without a word after which a link between our own nodes is given up."""

MAX_HOPS = 16
"""Links an envelope may pass."""


@dataclass(slots=True, frozen=True)
class Settings:
    """Hold what a node is told at its birth.

    Args:
        node_id: one path segment, unique in the fabric.
        instance_id: names this process, so that a reconnect is told from a namesake.
        routes: True for a sentinel: it accepts links and carries envelopes for others.
        logicals: host patterns the node may bind, as in NodeAttach.
        max_message_bytes: largest envelope, bytes of JSON (spec 2.3: 262 144).
        max_hops: links an envelope may pass, 1 or more.
        balance: how a sentinel spreads calls over the providers of a pool or a capability.
        batch: join the envelopes of one turn in one message, towards neighbours that take it.
        max_held_bytes: bytes that may wait here for neighbours that don't keep up, over all links.
        incarnation: of the sentinel's record; greater than in any earlier life of its id, if that can be had.
        limits: bounds of each neighbour.
        silence_s: seconds without a word after which a link to another node of ours is given up.
        delivery: how messages are delivered, and how long the node answers for them.
        mailboxes: address → bounds of what a sentinel keeps for it while nobody serves it.
        epoch_s: seconds of the epoch at which the core's time was 0, for what outlives the process.
    """

    node_id: str
    instance_id: str
    routes: bool = False
    logicals: tuple[str, ...] = ("*",)
    max_message_bytes: int = MAX_MESSAGE_BYTES
    max_hops: int = MAX_HOPS
    balance: Balance = NEAREST
    batch: bool = True
    max_held_bytes: int = MAX_HELD_BYTES
    incarnation: int = 1
    limits: Limits = field(default_factory=Limits)
    silence_s: float = SILENCE_S
    delivery: Delivery = field(default_factory=Delivery)
    mailboxes: Mapping[str, Mailbox] = field(default_factory=dict)
    epoch_s: float = 0.0

    @property
    def extensions(self) -> tuple[str, ...]:
        """Return what this node offers in `fame.ext`."""
        absent = {name for name, offered in (("mesh", self.routes), (BATCH, self.batch)) if not offered}
        return tuple(name for name in EXTENSIONS if name not in absent)
