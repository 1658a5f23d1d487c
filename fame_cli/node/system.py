"""What a sentinel answers about itself: ordinary operations at ``__sys__@/<sentinel>``.

Introspection is RPC like everything else, so it crosses hops, is traced and is guarded the same way.
"""

import time

from fame_cli.node.agent import Agent, operation
from fame_cli.node.runner import Node

__all__ = ["SystemAgent"]

OPERATION = "op:"
"""Prefix that makes an operation's name a capability (docs/wire-extensions.md)."""


class SystemAgent(Agent):
    """Tell what this sentinel knows of the fabric."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self._node = node

    @operation(name="fabric.lookup")
    def lookup(self, capability: str) -> list[dict[str, str]]:
        """List the providers of a capability: the address, and the neighbour that leads there."""
        found = self._node.core.table.providers([capability])
        return [{"address": address, "node": link.remote_id} for address, link in found]

    @operation(name="fabric.operations")
    def operation_names(self) -> list[str]:
        """List the operations somebody offers."""
        offers = (name[0] for name in self._node.core.table.names() if isinstance(name, tuple))
        return sorted({offer.removeprefix(OPERATION) for offer in offers if offer.startswith(OPERATION)})

    @operation(name="fabric.status")
    def status(self) -> dict[str, object]:
        """Describe this sentinel: id, path, links, calls in flight, seconds since its start."""
        core = self._node.core
        links = [session.link for session in core.sessions() if session.is_open]
        return {
            "node": self._node.node_id,
            "path": core.table.path,
            "uptime_s": round(time.monotonic() - self._node.started, 3),
            "calls_in_flight": core.calls_in_flight(),
            "links": [
                {"node": link.remote_id, "kind": link.kind.value, "path": link.remote_path, "plain": not link.is_ours}
                for link in links
            ],
        }
