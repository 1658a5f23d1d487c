"""WebSocket frames of several messages at once, for a library that writes each frame by itself. Pure but for masks."""

import os

__all__ = ["frames"]


def frames(queue: list[bytes], *, masked: bool) -> list[bytes]:
    """Lay out a binary frame for each message (RFC 6455, 5.2): header, data, header, data, …

    Args:
        masked: True towards a server, which takes nothing else (RFC 6455, 5.3).
    """
    chunks: list[bytes] = []
    for data in queue:
        size = len(data)
        mask_bit = 0x80 if masked else 0
        if size < 126:
            header = bytes((0x82, mask_bit | size))
        elif size < 65_536:
            header = b"\x82" + bytes((mask_bit | 126,)) + size.to_bytes(2, "big")
        else:
            header = b"\x82" + bytes((mask_bit | 127,)) + size.to_bytes(8, "big")
        if masked:
            key = os.urandom(4)
            chunks += (header + key, _masked(data, key))
        else:
            chunks += (header, data)
    return chunks


def _masked(data: bytes, key: bytes) -> bytes:
    size = len(data)
    mask = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(mask, "little")).to_bytes(size, "little")
