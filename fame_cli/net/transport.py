"""What a transport is: five methods down, four callbacks up. The contract tests hold every transport to it.

A transport carries whole messages, in order, and loses none without ending. It never raises from `send`: a message
for a transport that has ended is dropped, and its end has been reported. Callbacks run in the event loop, one at a
time, and never before `start`; `connection_lost` is the last and comes exactly once.
"""

from typing import Protocol

__all__ = ["TOO_EARLY", "Early", "Receiver", "Transport", "short_reason"]

HIGH_WATER_BYTES = 1024 * 1024
"""Bytes that wait in a transport before it says it is stalled."""

HARD_LIMIT_BYTES = 16 * 1024 * 1024
"""Bytes that wait in a transport before it gives its connection up: the other side has stopped reading for good."""

MAX_TRANSPORT_BYTES = 1024 * 1024
"""Largest message a transport takes in. Well above the largest envelope, so that one too large is answered by a
refusal and doesn't cost the link (the core knows the real limit)."""

EARLY_BYTES, EARLY_MESSAGES = 64 * 1024, 64
"""What is kept of a link before `start`. Nothing more is read until then, so this holds what came along with the
handshake; a listener may take a while to find out whether it wants a link at all."""

TOO_EARLY = "too much before the link was open"


class Early:
    """Keep what comes before `start`, within bounds."""

    __slots__ = ("_bytes", "_messages")

    def __init__(self) -> None:
        self._messages: list[bytes] = []
        self._bytes = 0

    def keep(self, data: bytes) -> bool:
        """Keep a message; False, and everything is let go, where that is more than there is room for."""
        self._bytes += len(data)
        if self._bytes > EARLY_BYTES or len(self._messages) >= EARLY_MESSAGES:
            self._messages.clear()
            return False
        self._messages.append(data)
        return True

    def taken(self) -> list[bytes]:
        """Return what was kept, and keep it no longer."""
        messages, self._messages = self._messages, []
        self._bytes = 0
        return messages


class Receiver(Protocol):
    """Take what a transport brings."""

    def message_received(self, data: bytes) -> None:
        """Take one whole message."""
        ...

    def transport_stalled(self) -> None:
        """Take that more than `HIGH_WATER_BYTES` wait to be written."""
        ...

    def transport_drained(self) -> None:
        """Take that a stall is over."""
        ...

    def connection_lost(self, reason: str) -> None:
        """Take that nothing will come or go any more."""
        ...


class Transport(Protocol):
    """Carry messages to one neighbour."""

    def start(self, receiver: Receiver) -> None:
        """Begin to call back; what came before is delivered first."""
        ...

    def send(self, data: bytes) -> None:
        """Queue one message without line breaks; it is written in this turn of the event loop, together with the others
        of the turn."""
        ...

    def batch(self) -> None:
        """Join the messages of a turn from now on (``core/batch.py``); what is queued leaves as it is."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Write what is queued, then end the connection in good order."""
        ...

    async def wait_closed(self) -> None:
        """Return once the connection has ended, whoever ended it."""
        ...


def short_reason(reason: str) -> str:
    """Cut a reason to what fits in a close frame: 123 bytes of UTF-8 (RFC 6455, 5.5)."""
    return reason.encode()[:123].decode(errors="ignore")
