"""WebSocket transport, by the `picows` library: frames are read and written in C, and handed on in the same callback.

The library parses, masks and shakes hands; fragments, pings, closing and their time limits are ours, and as they are in
``websocket.py``, so that nodes of either kind talk to each other. Reading ends with `last_in_buffer`: then the turn is
flushed. Where a ping comes last, the library answers it without telling us, and the loop's next callback flushes.

After a frame that breaks the protocol the library closes by itself, some 10 ms later, without telling us either; what
it reads until then is dropped here.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from picows import WSFrame, WSListener, WSMsgType, WSTransport

from fame_cli.core.batch import joined
from fame_cli.net.framing import frames
from fame_cli.net.pump import EARLY_FLUSH_BYTES, EARLY_FLUSH_MESSAGES, Turn
from fame_cli.net.transport import (
    HARD_LIMIT_BYTES,
    HIGH_WATER_BYTES,
    MAX_TRANSPORT_BYTES,
    TOO_EARLY,
    Early,
    Receiver,
    short_reason,
)

__all__ = ["PicowsTransport"]

CLOSE_TIMEOUT_S = 2.0
SMALL_BYTES = 4096
"""Mean size of messages up to which it is cheaper to mask them in Python (timeit: 7 µs for as many bytes) than to have
the library write each by itself."""

_CONTINUATION, _BINARY = WSMsgType.CONTINUATION, WSMsgType.BINARY
_CLOSE, _PONG = WSMsgType.CLOSE, WSMsgType.PONG


class PicowsTransport(WSListener):
    """Carry envelopes over one WebSocket connection; it is also what the library calls back.

    Args:
        turn: of the node.
        connected: called when hands are shaken.
    """

    def __init__(self, turn: Turn, connected: "Callable[[PicowsTransport], None] | None" = None) -> None:
        self.turn = turn
        self.link: WSTransport | None = None
        self._connected = connected
        self._loop = asyncio.get_running_loop()
        self._receiver: Receiver | None = None
        self._early = Early()
        self._held = False
        self._parts: bytearray | None = None
        self._queue: list[bytes] = []
        self._queued_bytes = 0
        self._batches = False
        self._closing = False
        self._timer: asyncio.TimerHandle | None = None
        self._ended = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None

    def start(self, receiver: Receiver) -> None:
        """Begin to call back; what came before is delivered first."""
        self._receiver = receiver
        for data in self._early.taken():
            receiver.message_received(data)
        self._read_on()
        if self._ended.is_set():
            receiver.connection_lost(self._end_text())

    def send(self, data: bytes) -> None:
        """Queue one message for this turn's write."""
        if not self._closing:
            if not self._queue:
                self.turn.add(self)
            self._queue.append(data)
            self._queued_bytes += len(data)
            if self._queued_bytes >= EARLY_FLUSH_BYTES or len(self._queue) >= EARLY_FLUSH_MESSAGES:
                self.flush()

    def flush(self) -> None:
        """Write what is queued: in one write, unless it is so large that masking it here would cost more than that."""
        queue, self._queue = self._queue, []
        size, self._queued_bytes = self._queued_bytes, 0
        link = self.link
        if not queue or link is None or link.is_close_frame_sent:
            return
        if self._batches:
            queue = joined(queue)
        if len(queue) == 1 or (link.is_client_side and size > len(queue) * SMALL_BYTES):
            for data in queue:
                link.send(_BINARY, data)
        else:
            link.underlying_transport.writelines(frames(queue, masked=link.is_client_side))
        if link.underlying_transport.get_write_buffer_size() > HARD_LIMIT_BYTES:
            link.disconnect(False)

    def batch(self) -> None:
        """Join the messages of a turn from now on."""
        self.flush()
        self._batches = True

    def close(self, code: int, reason: str) -> None:
        """Write what is queued and the close frame; the other side has `CLOSE_TIMEOUT_S` to answer it."""
        link = self.link
        if self._closing or link is None:
            return
        self.flush()
        self._closing = True
        self._read_on()  # else the answer to the close frame would never be read
        link.send_close(code, short_reason(reason))  # type: ignore[arg-type]  # any code may be sent, not only those with a name
        self._schedule(CLOSE_TIMEOUT_S, self.abort)

    async def wait_closed(self) -> None:
        """Return once the connection has ended."""
        await self._ended.wait()

    def abort(self) -> None:
        """End the connection without a word."""
        self._closing = True
        if self.link is not None:
            self.link.disconnect(False)

    # Called by the library

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Take the connection: hands are shaken."""
        self.link = transport
        if self._closing:  # whoever dialled has given up meanwhile
            self.abort()
            return
        transport.underlying_transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        if self._connected is not None:
            try:
                self._connected(self)
            except Exception as error:
                self._fault(error)
                self.abort()
        if self._receiver is None and not self._closing:
            self._held = True
            transport.underlying_transport.pause_reading()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take one frame, and end the turn with the last one of a read: what they made anybody send leaves now."""
        turn = self.turn
        turn.reading = True
        try:
            whole = frame.msg_type is _BINARY and frame.fin and not (frame.rsv1 or frame.rsv2 or frame.rsv3)
            ended = self._closing or transport.is_close_frame_sent  # the library closes without telling us
            if whole and self._receiver is not None and self._parts is None and not ended:
                self._receiver.message_received(frame.get_payload_as_bytes())  # nearly all there is
            else:
                self._take(transport, frame)
            if frame.last_in_buffer:
                turn.flush()
        except Exception as error:
            self._fault(error)
            self.close(1011, "")
        finally:
            if turn.reading:
                turn.put_off()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Take the end of the TCP connection."""
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
        self._ended.set()
        if transport.is_client_side:  # what the library found wrong it raises there, and complains if nobody looks
            self._looking = self._loop.create_task(_look_at_end(transport))
        if self._receiver is not None:
            try:
                self._receiver.connection_lost(self._end_text())
            except Exception as error:
                self._fault(error)

    def pause_writing(self) -> None:
        """Take that the socket is full."""
        if self._receiver is not None:
            self._receiver.transport_stalled()

    def resume_writing(self) -> None:
        """Take that the socket drains."""
        if self._receiver is not None:
            self._receiver.transport_drained()

    # Frames

    def _take(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            self.close(1002, "reserved bits must be 0")
        elif kind is _CLOSE:
            self._closed_by_peer(transport, frame)
        elif kind is _PONG or self._closing or transport.is_close_frame_sent:
            return
        elif kind is _CONTINUATION or not frame.fin or self._parts is not None:
            self._part(frame)
        else:
            self._arrived(frame.get_payload_as_bytes())

    def _part(self, frame: WSFrame) -> None:
        """Take a part of a fragmented message (RFC 6455, 5.4); text and binary are alike to us."""
        if (self._parts is not None) is not (frame.msg_type is _CONTINUATION):
            self.close(1002, "a continuation without a beginning, or a beginning without an end")
            return
        parts = self._parts = self._parts or bytearray()
        parts += frame.get_payload_as_bytes()
        if len(parts) > MAX_TRANSPORT_BYTES:
            self.close(1009, f"a message of more than {MAX_TRANSPORT_BYTES} bytes")
        elif frame.fin:
            self._parts = None
            self._arrived(bytes(parts))

    def _arrived(self, data: bytes) -> None:
        if self._receiver is not None:
            self._receiver.message_received(data)
        elif not self._early.keep(data):
            self.close(1008, TOO_EARLY)

    def _closed_by_peer(self, transport: WSTransport, frame: WSFrame) -> None:
        """Answer a close frame, and end the connection; the server does it first (RFC 6455, 7.1.1)."""
        self.close(frame.get_close_code().value or 1000, frame.get_close_reason() or "")
        self._closing = True
        self._schedule(CLOSE_TIMEOUT_S, self.abort)
        if not transport.is_client_side:
            transport.disconnect()

    def _read_on(self) -> None:
        if self._held and self.link is not None:
            self._held = False
            self.link.underlying_transport.resume_reading()

    def _schedule(self, delay_s: float, action: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(delay_s, action)

    def _fault(self, error: Exception) -> None:
        """Report a bug of ours; raised, the library would hide it in its log."""
        self._loop.call_exception_handler({"message": "a transport's callback failed", "exception": error})

    def _end_text(self) -> str:
        handshake = self.link.close_handshake if self.link is not None else None
        if handshake is None:
            return "connection lost"
        said = handshake.recv or handshake.sent
        return f"{said.code.value or 1005} {said.reason or ''}".strip() if said else "connection lost"


async def _look_at_end(link: WSTransport) -> None:
    with suppress(Exception):  # `_end_text` says it
        await link.wait_disconnected()
