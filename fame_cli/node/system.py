"""What a sentinel answers about the fabric, beside what every node answers: operations at ``__sys__@/<sentinel>``.

Introspection is RPC like everything else, so it crosses hops, is traced and is guarded the same way. What there is to
tell is put together in ``core/report.py``; the shapes are in docs/wire-extensions.md. A list that doesn't fit into one
answer is given in pages: each answer has as many rows from `offset` on as fit, and a list is at its end when there are
none.
"""

import time

import msgspec

from fame_cli.core import report
from fame_cli.core.link import LinkKind, Origin
from fame_cli.core.report import OPERATION, Row
from fame_cli.node.agent import operation
from fame_cli.node.paging import page_of
from fame_cli.node.postmaster import Postmaster

__all__ = ["SystemAgent"]


class SystemAgent(Postmaster):
    """Tell what this sentinel knows of the fabric, and look after the messages it keeps."""

    @operation(name="fabric.lookup")
    def lookup(self, capability: str) -> list[Row]:
        """List the providers of a capability, nearest first: address, first hop, sentinel that has it, hops."""
        return report.lookup(self._node.core.state, capability, time.monotonic())

    @operation(name="fabric.operations")
    def operation_names(self) -> list[str]:
        """List the operations somebody offers."""
        offers = (name[0] for name in self._node.core.table.names() if isinstance(name, tuple))
        return sorted({offer.removeprefix(OPERATION) for offer in offers if offer.startswith(OPERATION)})

    @operation(name="fabric.names")
    def names(self, offset: int = 0) -> list[Row]:
        """List addresses with their operations and capabilities: who has them, and how far away."""
        return self._page(report.names(self._node.core.state, time.monotonic()), offset)

    @operation(name="fabric.routes")
    def routes(self, offset: int = 0) -> list[Row]:
        """List destinations: next hop, the sentinels on the way, age, and who else claims the same address."""
        return self._page(report.routes(self._node.core.state, time.monotonic()), offset)

    @operation(name="fabric.links")
    def links(self, offset: int = 0) -> list[Row]:
        """List the attached neighbours, and those this sentinel dials and can't reach."""
        dialing = [report.missing_link(url, kind, reason) for url, (kind, reason) in self._node.dialing.items()]
        return self._page(report.links(self._node.core.state, time.monotonic()) + dialing, offset)

    @operation(name="fabric.graph")
    def graph(self, offset: int = 0) -> report.Graph:
        """Describe the topology: sentinels, the links between them, plain Naylence neighbours; counted through."""
        whole = report.graph(self._node.core.state, time.monotonic())
        sentinels, links = whole["sentinels"], whole["links"]
        page = self._page([*sentinels, *links, *whole["plain"]], offset)
        first, second = max(len(sentinels) - offset, 0), max(len(sentinels) + len(links) - offset, 0)
        return {
            "node": whole["node"],
            "sentinels": page[:first],
            "links": page[first:second],
            "plain": page[second:],
        }

    @operation(name="fabric.keys")
    def keys(self, address: str) -> Row:
        """Tell the keys of the node that has an address: its path and its JWKs; or which sentinel to ask (``at``)."""
        core = self._node.core
        way = core.table.way_to(address)
        if isinstance(way, Origin):
            return {"at": report.path_of(core.state, way.node_id)}
        path = "" if way is None else core.table.path if way.kind is LinkKind.LOCAL else way.remote_path
        jwks = core.state.gate.keys_at(path) if path else []
        return {"path": path, "keys": [msgspec.json.decode(jwk) for jwk in jwks]} if jwks else {}

    @operation(name="fabric.status")
    def status(self) -> Row:
        """Describe this sentinel: id, path, links, calls in flight, answers it had to drop, seconds since its start."""
        core, now = self._node.core, time.monotonic()
        return {
            "node": self._node.node_id,
            "path": core.table.path,
            "uptime_s": round(now - self._node.started, 3),
            "calls_in_flight": core.calls_in_flight(),
            "unroutable_answers": core.state.unroutable,
            "links": self._page(report.links(core.state, now), 0),
        }

    def _page(self, rows: list[Row], offset: int) -> list[Row]:
        return page_of(rows[max(offset, 0) :], self._node.core.settings.max_message_bytes)
