"""Several envelopes in one WebSocket message, a line each (docs/wire-extensions.md, ``batch``).

JSON written compactly holds no line break, so a line break can part one envelope from the next. Pure: who joins what
leaves in one turn of the loop is the transport's business, and whether a link takes it was agreed at attach.
"""

import msgspec

from fame_cli.errors import RemoteProtocolError

__all__ = ["BATCH", "BATCH_BYTES", "BATCH_LINES", "SEPARATOR", "joined", "one_line", "parted"]

BATCH = "batch"
"""Name of the extension."""

BATCH_BYTES = 64 * 1024
"""Bytes a message of several envelopes may have. A larger one travels alone: joining it would only copy it."""

BATCH_LINES = 1024
"""Envelopes a message may hold; of the smallest that do anything 65 536 bytes hold about as many."""

SEPARATOR = b"\n"


def joined(queue: list[bytes]) -> list[bytes]:
    """Join what leaves in one turn into as few messages as there can be, in order.

    Args:
        queue: encoded envelopes without line breaks; one or more.
    """
    if len(queue) == 1:
        return queue
    if len(queue) <= BATCH_LINES and sum(map(len, queue)) + len(queue) <= BATCH_BYTES:
        return [SEPARATOR.join(queue)]
    messages: list[bytes] = []
    lines: list[bytes] = []
    room = BATCH_BYTES
    for data in queue:
        if lines and (len(data) >= room or len(lines) == BATCH_LINES):
            messages.append(SEPARATOR.join(lines))
            lines, room = [], BATCH_BYTES
        lines.append(data)
        room -= len(data) + 1
    messages.append(SEPARATOR.join(lines))
    return messages


def parted(message: bytes) -> list[bytes]:
    """Return the envelopes of one message in order; empty lines are passed over.

    None are returned of a message that holds more than it may: each costs the receiver more than its bytes, and nobody
    else has a turn meanwhile.
    """
    if SEPARATOR not in message:
        return [message]
    lines = message.split(SEPARATOR, BATCH_LINES)
    if len(lines) > BATCH_LINES or len(message) > BATCH_BYTES:
        return []
    return [line for line in lines if line]


def one_line(data: bytes) -> bytes:
    """Return JSON without line breaks, as it was if it had none.

    Raises:
        RemoteProtocolError: it isn't JSON.
    """
    if SEPARATOR not in data:
        return data
    try:
        return msgspec.json.format(data, indent=-1)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RemoteProtocolError(f"not an envelope: {error}") from error
