"""What a running node can be told anew, as plain values, and who is told when a process gets a SIGHUP."""

from collections.abc import Callable
from dataclasses import dataclass, field

from fame_cli.core.balance import NEAREST, Balance
from fame_cli.core.limits import Limits
from fame_cli.core.settings import MAX_HELD_BYTES, MAX_HOPS
from fame_cli.node.draining import DRAIN_S
from fame_cli.node.renewal import look_at_policy
from fame_cli.node.runner import Node
from fame_cli.security.settings import SecuritySettings

__all__ = ["Adjust", "Adjustable", "Reload", "adjust_node"]


@dataclass(slots=True, frozen=True)
class Adjustable:
    """Hold what can change without a restart; each value is what counts from now on.

    Args:
        limits: bounds of each link.
        max_hops: links an envelope may pass.
        max_held_bytes: bytes that may wait for neighbours that don't keep up.
        drain_s: seconds that what runs has to finish once the node is told to stop.
        balance: how a sentinel spreads calls over several providers.
        max_links: links a sentinel holds at once.
        peers: attach URL → cost, of the sentinels to peer with.
        max_concurrent: calls an agent runs at once.
        security: what is shown to single peers, and where the policy comes from; the rest of it stays as it was.
    """

    limits: Limits = field(default_factory=Limits)
    max_hops: int = MAX_HOPS
    max_held_bytes: int = MAX_HELD_BYTES
    drain_s: float = DRAIN_S
    balance: Balance = NEAREST
    max_links: int = 10_000
    peers: dict[str, int] = field(default_factory=dict)
    max_concurrent: int = 64
    security: SecuritySettings | None = None


Adjust = Callable[[Adjustable], None]
"""Tells a running node."""

Reload = Callable[[Adjust], None]
"""Called at a SIGHUP: reads the config again, and adjusts the node if there is something new."""


def adjust_node(node: Node, told: Adjustable) -> None:
    """Tell a node what concerns every kind of it."""
    node.perform(node.core.adjust(told.limits, told.max_hops, told.max_held_bytes, told.balance))
    if node.security is not None and told.security is not None:
        look_at_policy(node.security)  # what it says has been loaded afresh, and would count without a word
        node.security.adjust(told.security)
