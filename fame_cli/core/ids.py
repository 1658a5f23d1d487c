"""Identifiers as the wire wants them (spec 3): random ids, node ids and the sender digest.

Pure: randomness comes in as bytes. Receivers treat every id as an opaque string, so only what we *make* follows
these rules; what we accept is bounded in ``address.py``.
"""

from hashlib import sha256

__all__ = ["ALPHABET", "ID_LENGTH", "TIME_DIGITS", "digits_from_bytes", "digits_of", "id_time", "sid_of", "time_digits"]

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


_PAIRS = [one + other for one in ALPHABET for other in ALPHABET]
_HALF = 62**10


def digits_of(value: int) -> str:
    """Write a number of up to 128 bits in base 62 without leading zeros; 0 is "0".

    Two digits at a time, and in two halves of machine size: 1 µs instead of 3 (a signed envelope needs it twice).
    """
    high, low = divmod(value, _HALF)
    top, high = divmod(high, _HALF)
    pairs: list[str] = []
    for part, steps in ((low, 5), (high, 5), (top, 1)):
        for _ in range(steps):
            part, pair = divmod(part, 3844)
            pairs.append(_PAIRS[pair])
    return "".join(reversed(pairs)).lstrip("0") or "0"


def sid_of(physical_path: str) -> str:
    """Return the sender digest of a node's physical path (spec 3).

    Base-62 of the first 16 bytes of SHA-256 over the UTF-8 path, without padding.
    """
    return digits_of(int.from_bytes(sha256(physical_path.encode()).digest()[:16]))


TIME_DIGITS = 7
"""Digits of an id that tell its time, in milliseconds of the epoch: enough until the year 2081."""

_VALUES = {digit: value for value, digit in enumerate(ALPHABET)}


def time_digits(milliseconds: int) -> str:
    """Return the first digits of an id made at a time."""
    digits = ""
    for _ in range(TIME_DIGITS):
        milliseconds, digit = divmod(milliseconds, 62)
        digits = ALPHABET[digit] + digits
    return digits


def id_time(envelope_id: str) -> float | None:
    """Return when an id was made; None if it doesn't say."""
    if len(envelope_id) != ID_LENGTH:
        return None
    milliseconds = 0
    for digit in envelope_id[:TIME_DIGITS]:
        value = _VALUES.get(digit)
        if value is None:
            return None
        milliseconds = milliseconds * 62 + value
    return milliseconds / 1000
