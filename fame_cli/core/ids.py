"""Identifiers as the wire wants them (spec 3): random ids, node ids and the sender digest.

Pure: randomness comes in as bytes. Receivers treat every id as an opaque string, so only what we *make* follows
these rules; what we accept is bounded in ``address.py``.
"""

from hashlib import sha256

__all__ = ["ALPHABET", "ID_LENGTH", "digits_from_bytes", "sid_of"]

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""Base-62 digits in digit order (spec 3)."""

ID_LENGTH = 16
"""Characters of an envelope, trace or correlation id: 95 bits when drawn uniformly."""

_DIGITS = bytes(ord(ALPHABET[value % 62]) for value in range(256))
_UNEVEN = bytes(range(248, 256))


def digits_from_bytes(entropy: bytes) -> str:
    """Turn random bytes into about as many base-62 digits, every digit equally likely.

    Bytes of 248 and above (3 %) are left out, because 256 isn't a multiple of 62. Made for many ids at once: the
    caller cuts the text into pieces of `ID_LENGTH`.
    """
    return entropy.translate(_DIGITS, _UNEVEN).decode("ascii")


def sid_of(physical_path: str) -> str:
    """Return the sender digest of a node's physical path (spec 3).

    Base-62 of the first 16 bytes of SHA-256 over the UTF-8 path, without padding.
    """
    value = int.from_bytes(sha256(physical_path.encode()).digest()[:16], "big")
    digits: list[str] = []
    while value:
        value, digit = divmod(value, 62)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits)) or "0"
