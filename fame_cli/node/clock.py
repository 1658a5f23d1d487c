"""Fresh ids and time stamps: the two things a core is given because it may not fetch them itself."""

import os
import time

from fame_cli.core.ids import ID_LENGTH, TIME_DIGITS, digits_from_bytes, time_digits

__all__ = ["incarnation", "new_id", "random_id", "stamp", "timed_id"]

_ids: list[str] = []


def new_id() -> str:
    """Return a fresh id; made a thousand at a time, because one is needed two or three times a call (measured)."""
    if not _ids:
        digits = digits_from_bytes(os.urandom(17_000))
        _ids.extend(digits[at : at + ID_LENGTH] for at in range(0, len(digits) - ID_LENGTH, ID_LENGTH))
    return _ids.pop()


def timed_id() -> str:
    """Return a fresh id that tells its time, for nodes that sign (``security/replay.py``)."""
    global _timed
    millisecond = time.time_ns() // 1_000_000
    if millisecond != _timed[0]:
        _timed = (millisecond, time_digits(millisecond))
    return _timed[1] + new_id()[TIME_DIGITS:]


_timed = (0, "")


def random_id(prefix: str) -> str:
    """Return a node id nobody else has: a word for people and six random characters."""
    return f"{prefix}-{new_id()[:6]}"


def incarnation() -> int:
    """Return a number greater than any this id had in an earlier life: the milliseconds, and 8 random bits.

    The bits tell two sentinels apart that were given one id and started at once. A clock that was put back does no
    harm: the neighbours show a sentinel its past, and it outdoes that (``core/mesh.py``).
    """
    return time.time_ns() // 1_000_000 << 8 | os.urandom(1)[0]


_stamped = (0, "")


def stamp() -> str:
    """Return the time as envelopes carry it (spec 3): UTC, milliseconds, ``Z``; made once a millisecond."""
    global _stamped
    millisecond = time.time_ns() // 1_000_000
    if millisecond != _stamped[0]:
        seconds, rest = divmod(millisecond, 1000)
        _stamped = (millisecond, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:03d}Z")
    return _stamped[1]
