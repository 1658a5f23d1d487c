"""Where an envelope goes: one function, rules in order, first match wins (spec 9).

Pure, and the only place that decides. The answer is a way (LOCAL: deliver it here; an origin: take the next hop to that
sentinel) or a `Drop` that says why.
"""

from collections.abc import Sequence

import msgspec

from fame_cli.core.balance import is_eligible
from fame_cli.core.link import Link, Way, next_link
from fame_cli.core.table import RouteTable

__all__ = ["MAILBOX", "Drop", "route"]

MAILBOX = "mail:"
"""How the capability begins that a sentinel offers for each address it keeps messages for; the address follows."""


class Drop(msgspec.Struct, frozen=True, gc=False):
    """Say why an envelope goes nowhere: a NACK code (spec 6.4) and a reason for people."""

    code: str
    reason: str


def route(
    to: str | None,
    capabilities: Sequence[str] | None,
    origin: Link,
    table: RouteTable,
    back: Link | None = None,
    pin: str = "",
    key: str = "",
    *,
    mail: bool = False,
) -> Way | Drop:
    """Decide where an envelope goes.

    0. An answer: the way its request came.
    1. A call pinned to a sentinel: there, or nowhere; there, to one of its own providers.
    2. No `to`: a provider of all its capabilities, then rule 7. With `to`, capabilities don't count.
    3. A name: the nearest that has it, exact address first, then pool: here, a child, a sentinel of the mesh by
       distance; and only then what plain neighbours said.
    4. A physical path: this node, one of its children, or the sentinel that has the longest part of it.
    5. An address at this node's own path that nobody here has: nowhere, for no other node can have it.
    6. A message that is to be kept, whose name nobody has: the nearest that keeps a mailbox for it.
    7. The default route: a plain parent, our own or the nearest sentinel's that has one.
    8. Nowhere.

    Never back over the link it came in by.

    Args:
        to, capabilities: destination address, or None and the wanted capabilities, all of them (spec 6.3).
        origin: link the envelope came in by, LOCAL when it is our own.
        table: what is known; only pool and capability turns change in it.
        back: link the request came in by, when this is the answer to one.
        pin: id of the sentinel whose provider was chosen for this call already, "" when none was.
        key: what a provider is chosen by, see ``balance.py``.
        mail: True for a message that wants to be acknowledged and comes from no mailbox (ADR 27).

    Raises:
        RemoteProtocolError: `to` isn't an address.
    """
    if back is not None:
        return back
    here = bool(pin) and pin == table.node_id
    if pin and not here:
        return _pinned(pin, origin, table)
    if to is not None:
        target = table.find(to, origin, key, here=here)
        if target is not None and is_eligible(target, origin):
            return target
        if target is None and table.is_here(to):
            return Drop("NO_ROUTE", f"nothing called {to} at this node")
        keeper = _keeper(to, origin, table) if mail else None
        if keeper is not None:
            return keeper
    else:
        provider = table.provider(capabilities or (), origin, key, here=here)
        if provider is not None:
            return provider[1]
    above = table.default(origin)
    if above is not None:
        return above
    return Drop("NO_ROUTE", _nobody(to, capabilities or ()))


def _pinned(pin: str, origin: Link, table: RouteTable) -> Way | Drop:
    way = table.origins.get(pin)
    if way is None or next_link(way) is origin:
        return Drop("NO_ROUTE", f"{pin}, which had a provider, is gone")
    return way


def _keeper(to: str, origin: Link, table: RouteTable) -> Way | None:
    """Return who keeps messages for an address: who offers that under the address itself.

    Not in turn, so that what one keeps stays in order.
    """
    keepers = table.providers((f"{MAILBOX}{to}",), origin)
    return next((way for address, way in keepers if address == to), None)


def _nobody(to: str | None, capabilities: Sequence[str]) -> str:
    return (
        f"nobody serves {to}"
        if to is not None
        else f"nobody offers {' and '.join(capabilities or ('what has no name',))}"
    )
