"""What every kind of node can be told beside who it is: limits, wire, security and delivery, as plain values."""

import time
from dataclasses import dataclass, field
from pathlib import Path

from fame_cli.core.balance import NEAREST, Balance
from fame_cli.core.custody import Delivery, Mailbox
from fame_cli.core.envelope import MAX_MESSAGE_BYTES
from fame_cli.core.limits import Limits
from fame_cli.core.settings import MAX_HELD_BYTES, MAX_HOPS, SILENCE_S, Settings
from fame_cli.node.clock import incarnation, new_id
from fame_cli.security.settings import SecuritySettings

__all__ = ["Options", "settings_of"]


@dataclass(slots=True, frozen=True)
class Options:
    """Hold what a node can be told.

    Args:
        max_message_bytes: largest envelope, in bytes of JSON.
        max_hops: links an envelope may pass.
        max_held_bytes: bytes that may wait here for neighbours that don't keep up, over all links.
        limits: bounds of each neighbour.
        balance: how a sentinel spreads calls over several providers.
        transport: what carries its links: auto, websockets or picows, see ``net/choice.py``.
        silence_s: seconds without a word after which a link to another node of ours is given up, 3 or more.
        batch: join the envelopes of one turn in one message, towards neighbours that take it.
        security: whom it trusts, and how it is trusted; None is the open profile.
        delivery: how messages are delivered, and how long the node answers for them.
        storage: the file that keeps them; None keeps them in memory.
        mailboxes: the addresses a sentinel keeps messages for while nobody serves them.
    """

    max_message_bytes: int = MAX_MESSAGE_BYTES
    max_hops: int = MAX_HOPS
    max_held_bytes: int = MAX_HELD_BYTES
    limits: Limits = field(default_factory=Limits)
    balance: Balance = NEAREST
    transport: str = "auto"
    batch: bool = True
    silence_s: float = SILENCE_S
    security: SecuritySettings | None = None
    delivery: Delivery = field(default_factory=Delivery)
    storage: Path | None = None
    mailboxes: tuple[Mailbox, ...] = ()


def settings_of(options: Options, node_id: str, *, routes: bool, logicals: tuple[str, ...], now: float) -> Settings:
    """Return what the core of a node is told.

    Args:
        now: the core's time.
    """
    return Settings(
        node_id,
        new_id(),
        routes,
        logicals,
        max_message_bytes=options.max_message_bytes,
        max_hops=options.max_hops,
        balance=options.balance,
        batch=options.batch,
        max_held_bytes=options.max_held_bytes,
        incarnation=incarnation() if routes else 1,
        limits=options.limits,
        silence_s=options.silence_s,
        delivery=options.delivery,
        mailboxes={each.address: each for each in options.mailboxes},
        epoch_s=time.time() - now,
    )
