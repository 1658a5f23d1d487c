"""Credit windows of one link (spec 7): how many envelopes of a flow may be under way, and what waits for credit.

A flow is named by `flowId`. Sending costs one credit of the flow (between our own nodes a large envelope costs more,
so that a window bounds bytes too), a CreditUpdate gives some back. What can't be sent
waits here, flow by flow, so that one slow flow never holds up the others of its link and nobody ever waits inside a
read loop. A stream of ours has a flow of its own (``flownames.py``); its credit is given back when its reader
has taken the item, so the reader's pace reaches the producer hop by hop. Every other flow gets it at receipt.

Pure. Nothing here knows what an envelope is.
"""

from collections import deque
from dataclasses import dataclass, field
from math import inf

import msgspec

from fame_cli.core.link import Link

__all__ = ["MAX_HELD_BYTES", "OUR_WINDOW", "SPEC_WINDOW", "Budget", "Flow", "FlowControl", "Held"]

Flow = str | tuple[str, str]
"""What a flow goes by on one link: its `flowId`, or the names of the call whose answers alone it carries."""

SPEC_WINDOW = 32
"""Envelopes a flow may have under way towards a node that negotiated nothing (spec 7)."""

OUR_WINDOW = 256
"""Credits of a flow between our own nodes, negotiated at attach: what a slow reader can have in flight, per stream."""

OUR_UNIT_BYTES = 4096
"""Between our own nodes an envelope costs one credit, and one more for each of these that it fills: 1 MiB a window."""

NO_UNIT = 1 << 62
"""Bytes no envelope has: every envelope costs one credit."""

MAX_FLOWS = 8192
"""Flows remembered a link; the one longest unused is forgotten first and starts with a full window again."""

RESUMED_BYTES = 256 * 1024
"""Bytes set free in one go when a transport takes bytes again."""

MAX_HELD_BYTES = 256 * 1024 * 1024
"""Bytes that may wait at one node for neighbours that don't keep up, unless it is told otherwise."""

LINK_SHARE = 4
"""One part in so many of these is all that one link may hold, so that one slow reader leaves room for others. Of
256 MiB that is 64 MiB: 64 streams with nobody reading."""


class Held(msgspec.Struct, frozen=True, gc=False):
    """One encoded envelope that waits for credit, and the link whose credit it still holds (None: nobody's).

    `flow` and `size` are what it took on that link, in bytes. A request has the names of its `call`, and the time it
    waits `since`. An answer is `unpaid` when it counts against its asker's rate as it goes out.
    """

    data: bytes
    source: Link | None
    size: int = 0
    call: tuple[str, str] | None = None
    since: float = 0.0
    flow: Flow = ""
    unpaid: bool = False


@dataclass(slots=True)
class Budget:
    """Bound what waits at a node over all its links: a hundred slow readers are no more than one.

    Args:
        most_bytes: bytes that may wait in all.
        held_bytes: bytes that wait now.
        refused: envelopes there was no room for since somebody last looked.
    """

    most_bytes: int = MAX_HELD_BYTES
    held_bytes: int = 0
    refused: int = 0


@dataclass(slots=True)
class FlowControl:
    """Count the credits of one link, both ways.

    Args:
        send_window: credits the other side lets a flow have under way.
        receive_window: credits we let a flow of the other side have under way.
        unit_bytes: bytes that cost one credit more; `NO_UNIT` when every envelope costs one (spec 7).
        stalled: True while the transport takes no more bytes; then everything waits.
        resting: True while the other side has got all it may this second; then what waits goes on waiting.
        held_bytes: bytes that wait now.
        budget: what this link shares with all others of its node.
    """

    send_window: int = SPEC_WINDOW
    receive_window: int = SPEC_WINDOW
    unit_bytes: int = NO_UNIT
    stalled: bool = False
    resting: bool = False
    held_bytes: int = 0
    budget: Budget = field(default_factory=Budget)
    _credits: dict[Flow, int] = field(default_factory=dict)
    _taken: dict[Flow, int] = field(default_factory=dict)
    _held: dict[Flow, deque[Held]] = field(default_factory=dict)
    _over: set[Flow] = field(default_factory=set)

    def resize(self, send_window: int, receive_window: int, unit_bytes: int = NO_UNIT) -> None:
        """Start again with other windows; the handshake that agreed on them counts no more."""
        self.send_window = send_window
        self.receive_window = receive_window
        self.unit_bytes = unit_bytes
        self._credits.clear()
        self._taken.clear()

    def take(self, flow_id: Flow, size: int = 0) -> bool:
        """Spend the credit of an envelope of `size` bytes; False when the flow has none or something already waits.

        One credit is enough to begin with: an envelope that costs more than there is leaves the flow in debt, so that
        none is too large for a window.
        """
        credits = self._credits.get(flow_id)
        if credits is None:
            credits = self.send_window
            if len(self._credits) >= MAX_FLOWS:
                self._credits.pop(next(iter(self._credits)))
        if credits <= 0 or self.stalled or flow_id in self._held:
            return False
        self._credits[flow_id] = credits - 1 - size // self.unit_bytes
        return True

    def writable(self, flow_id: Flow) -> bool:
        """Tell whether `take` would succeed."""
        return self._credits.get(flow_id, self.send_window) > 0 and not self.stalled and flow_id not in self._held

    def uses(self, flow_id: Flow) -> bool:
        """Tell whether anything has come or gone in a flow that isn't forgotten."""
        return flow_id in self._credits or flow_id in self._taken or flow_id in self._held

    def spend(self, flow_id: Flow) -> None:
        """Spend a credit that may not be there: control frames count but never wait."""
        credits = self._credits.get(flow_id, self.send_window)
        self._credits[flow_id] = credits - 1 if credits > 0 else credits

    def hold(self, flow_id: Flow, held: Held) -> bool:
        """Let an envelope wait for credit; False when the link, or the node, already holds all it may."""
        budget, more = self.budget, len(held.data)
        if self.held_bytes + more > budget.most_bytes // LINK_SHARE or budget.held_bytes + more > budget.most_bytes:
            budget.refused += 1
            return False
        self._held.setdefault(flow_id, deque()).append(held)
        self._count(more)
        return True

    def _count(self, more_bytes: int) -> None:
        self.held_bytes += more_bytes
        self.budget.held_bytes += more_bytes

    def grant(self, flow_id: Flow, credits: int) -> list[Held]:
        """Add credits the other side gave and return what may be sent now, in order.

        The balance never exceeds the window (spec 7), so over-granting does no harm; negative grants count as none,
        and a flow that has spent nothing needs none: a name the other side made up isn't remembered.
        """
        if flow_id in self._credits:
            self._credits[flow_id] = min(self._credits[flow_id] + max(credits, 0), self.send_window)
        return self._release(flow_id)

    def take_back(self, flow_id: Flow, held: Held) -> list[Held]:
        """Give the credit back of an envelope that was set free but isn't sent; returns what may be sent instead."""
        return self.grant(flow_id, 1 + len(held.data) // self.unit_bytes)

    def resume(self, most_bytes: int = RESUMED_BYTES) -> list[tuple[Flow, Held]]:
        """End a stall as far as `most_bytes` go and return (flow, envelope) of what may be sent now.

        `stalled` stays True while there is more: all that has gathered at once would only fill the transport again.
        """
        self.stalled = False
        resumed: list[tuple[Flow, Held]] = []
        for flow_id in list(self._held):
            if most_bytes <= 0:
                self.stalled = True
                break
            released = self._release(flow_id)
            most_bytes -= sum(len(held.data) for held in released)
            resumed += [(flow_id, held) for held in released]
        return resumed

    def ready(self) -> list[Flow]:
        """List the flows of which `free` would return something."""
        if self.stalled or self.resting:
            return []
        return [flow_id for flow_id in self._held if self._credits.get(flow_id, self.send_window) > 0]

    def free(self, flow_id: Flow, most: int) -> list[Held]:
        """Return what may be sent now of a flow, in order, and put the flow behind the others."""
        released = self._release(flow_id, most)
        if flow_id in self._held:
            self._held[flow_id] = self._held.pop(flow_id)
        return released

    def _release(self, flow_id: Flow, most: float = inf) -> list[Held]:
        waiting = self._held.get(flow_id)
        released: list[Held] = []
        if self.stalled or self.resting:
            return released
        while waiting and self._credits.get(flow_id, self.send_window) > 0 and len(released) < most:
            released.append(waiting.popleft())
            cost = 1 + len(released[-1].data) // self.unit_bytes
            self._credits[flow_id] = self._credits.get(flow_id, self.send_window) - cost
        if waiting is not None and not waiting:
            del self._held[flow_id]
            if flow_id in self._over:
                self.forget(flow_id)
        self._count(-sum(len(held.data) for held in released))
        return released

    def received(self, flow_id: Flow, size: int = 0) -> int:
        """Count one envelope of `size` bytes as taken; return the credits to grant now, 0 while a grant can wait.

        Grants are made at a quarter of the window, early enough that a sender in step never stands still. A node that
        negotiated nothing gets a whole window for every envelope: granting too much does no harm, and waiting brings
        a real sentinel to a standstill under many concurrent calls (spec 7, measured there).
        """
        if self.unit_bytes == NO_UNIT:
            return self.receive_window
        cost = 1 + size // self.unit_bytes
        taken = self._taken.get(flow_id, 0) + cost
        if taken * 4 >= self.receive_window:
            self._taken[flow_id] = 0
            return taken
        if taken == cost and len(self._taken) >= MAX_FLOWS:
            self._taken.pop(next(iter(self._taken)))
        self._taken[flow_id] = taken
        return 0

    def abandon(self, flow_id: Flow) -> None:
        """Drop what waits in a flow that nobody will read any more."""
        self._count(-sum(len(held.data) for held in self._held.pop(flow_id, ())))
        self._over.discard(flow_id)

    def abandon_all(self) -> None:
        """Drop everything that waits: the link has ended."""
        self._held.clear()
        self._over.clear()
        self._count(-self.held_bytes)

    def forget(self, flow_id: Flow) -> None:
        """Drop the counters of a flow that has ended, once what waits has gone out."""
        if flow_id in self._held:
            self._over.add(flow_id)
        else:
            self._over.discard(flow_id)
            self._credits.pop(flow_id, None)
        self._taken.pop(flow_id, None)
