"""The receiver of one transport: what it brings goes to the node, under the link it belongs to."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from fame_cli.core.link import Link

if TYPE_CHECKING:
    from fame_cli.node.runner import Node

__all__ = ["Inbound"]


class Inbound:
    """Pass what one transport brings to the node, under the link it belongs to."""

    def __init__(self, node: "Node", link: Link) -> None:
        self.node = node
        self.link = link
        self.is_full = False
        # not a method: one call less for each message that arrives
        self.message_received: Callable[[bytes], None] = partial(node.message_received, link)

    def transport_stalled(self) -> None:
        """Take that no more can be written for now."""
        self.is_full = True
        self.node.perform(self.node.core.link_stalled(self.link))

    def transport_drained(self) -> None:
        """Write what has waited, bit by bit, until the transport is full again."""
        self.is_full = False
        while not self.is_full and self.node.core.is_stalled(self.link):
            self.node.perform(self.node.core.link_drained(self.link))

    def connection_lost(self, reason: str) -> None:
        """Take the end of the transport."""
        self.node.connection_lost(self.link, reason)
