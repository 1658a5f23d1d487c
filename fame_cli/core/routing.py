"""Where an envelope goes: one function, rules in order, first match wins (spec 9).

Pure, and the only place that decides. The answer is a link (LOCAL: deliver it here) or a `Drop` that says why.
"""

from collections.abc import Sequence

import msgspec

from fame_cli.core.link import LOCAL, Link
from fame_cli.core.table import RouteTable

__all__ = ["Drop", "route"]


class Drop(msgspec.Struct, frozen=True, gc=False):
    """Say why an envelope goes nowhere: a NACK code (spec 6.4) and a reason for people."""

    code: str
    reason: str


def route(to: str | None, capabilities: Sequence[str] | None, origin: Link, table: RouteTable) -> Link | Drop:
    """Decide where an envelope goes.

    0. No `to`: the closest provider of all its capabilities, then rule 4. With `to`, capabilities don't count.
    1. A name bound here, then at a child, then at a peer: exact address first, then pool.
    2. A physical path: this node, one of its children, or a peer's tree by its root.
    3. An address at this node's own path that nobody here has goes nowhere: no other node can have it.
    4. The parent, unless the envelope came from there.
    5. Nowhere.

    Never back over the link it came in by: a caller that is its own provider is served before it asks.

    Args:
        to: destination address, None when routed by capability.
        capabilities: wanted capabilities, all of them (spec 6.3).
        origin: link the envelope came in by, LOCAL when it is our own.
        table: what is known; only pool and capability turns change in it.

    Raises:
        RemoteProtocolError: `to` isn't an address.
    """
    if to is not None:
        target = table.find(to, origin)
        if target is not None and (target is not origin or target is LOCAL):
            return target
        if target is None and table.is_here(to):
            return Drop("NO_ROUTE", f"nothing called {to} at this node")
    else:
        provider = table.provider(capabilities or (), origin)
        if provider is not None:
            return provider[1]
    if table.parent is not None and table.parent is not origin:
        return table.parent
    return Drop("NO_ROUTE", f"nobody serves {to or ' and '.join(capabilities or ('an empty address',))}")
