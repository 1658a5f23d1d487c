"""A transport without a network: two ends in one process, the same contract as a WebSocket.

For a client and an agent in one program, and for tests. Messages arrive in the loop's next turn, never inside `send`.
"""

import asyncio

from fame_cli.core.batch import joined
from fame_cli.net.transport import HIGH_WATER_BYTES, Receiver

__all__ = ["MemoryTransport", "memory_pair"]


class MemoryTransport:
    """Be one end of a pair."""

    def __init__(self) -> None:
        self.other: MemoryTransport = self
        self._loop = asyncio.get_running_loop()
        self._receiver: Receiver | None = None
        self._early: list[bytes] = []
        self._queue: list[bytes] = []
        self._batches = False
        self._alone = 0
        self._in_flight_bytes = 0
        self._stalled = False
        self._closed = asyncio.Event()

    def start(self, receiver: Receiver) -> None:
        """Begin to call back; what came before is delivered first."""
        self._receiver = receiver
        early, self._early = self._early, []
        for data in early:
            receiver.message_received(data)

    def send(self, data: bytes) -> None:
        """Queue one message for the other end."""
        if self._closed.is_set():
            return
        self._in_flight_bytes += len(data)
        if self._in_flight_bytes > HIGH_WATER_BYTES and not self._stalled and self._receiver is not None:
            self._stalled = True
            self._receiver.transport_stalled()
        if not self._queue:
            self._loop.call_soon(self._deliver)
        self._queue.append(data)

    def batch(self) -> None:
        """Join the messages of a turn from now on."""
        self._batches, self._alone = True, len(self._queue)

    def _deliver(self) -> None:
        """Bring the other end what was sent in this turn."""
        queue, self._queue = self._queue, []
        alone, self._alone = queue[: self._alone], 0
        rest = queue[len(alone) :]
        self.arrived(sum(map(len, queue)))
        for data in alone + (joined(rest) if rest and self._batches else rest):
            self.other.arrive(data)

    def arrive(self, data: bytes) -> None:
        """Take a message of the other end."""
        if self._receiver is None:
            self._early.append(data)
        elif not self._closed.is_set():
            self._receiver.message_received(data)

    def arrived(self, size: int) -> None:
        """Take that `size` bytes are no longer on their way."""
        self._in_flight_bytes -= size
        if self._stalled and self._in_flight_bytes <= HIGH_WATER_BYTES // 2 and self._receiver is not None:
            self._stalled = False
            self._receiver.transport_drained()

    def close(self, code: int, reason: str) -> None:
        """End both ends, after what is on its way."""
        for end in (self, self.other):
            self._loop.call_soon(end.end, f"{code} {reason}".strip())

    def end(self, reason: str) -> None:
        """Take that the connection has ended."""
        if not self._closed.is_set():
            self._closed.set()
            if self._receiver is not None:
                self._receiver.connection_lost(reason)

    async def wait_closed(self) -> None:
        """Return once the connection has ended."""
        await self._closed.wait()


def memory_pair() -> tuple[MemoryTransport, MemoryTransport]:
    """Make two connected ends."""
    left, right = MemoryTransport(), MemoryTransport()
    left.other, right.other = right, left
    return left, right
