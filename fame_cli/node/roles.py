"""What a node expects of those who serve, call and watch.

Protocols beside their one consumer, ``runner.py``; ``host.py`` and ``client.py`` fulfil them.
"""

from collections.abc import Callable
from typing import Protocol

from fame_cli.core.calls import CallKey
from fame_cli.core.effects import ItemArrived, Outcome, Request

__all__ = ["Caller", "Observer", "Service"]

Observer = Callable[[str, bytes, float], None]
"""Called with "out" or "in", the envelope's bytes, and the moment in seconds of the monotonic clock."""


class Service(Protocol):
    """Answer requests for a local address."""

    def dispatch(self, request: Request) -> None:
        """Start to answer one request."""
        ...

    def dispatch_cancelled(self, key: CallKey, reason: str) -> None:
        """Stop answering it."""
        ...

    def flow_opened(self, key: CallKey) -> None:
        """Go on producing its stream."""
        ...

    def is_idle(self) -> bool:
        """Tell whether nothing runs or waits to run."""
        ...


class Caller(Protocol):
    """Wait for the answer of one call."""

    def item_arrived(self, item: ItemArrived) -> None:
        """Take a stream item."""
        ...

    def call_ended(self, outcome: Outcome) -> None:
        """Take the end; nothing follows."""
        ...
