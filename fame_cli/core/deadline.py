"""How long a caller still waits: `fame.timeout` of a request counts down where the request waits (spec 8.1, ours).

Pure. Nobody compares clocks: a node takes off the time the envelope stood still there, and what the wire takes counts
as nothing. An item of a stream may take as long as the first, so a stream's time isn't shortened; it only runs out.
"""

from typing import Any

import msgspec

from fame_cli.core.envelope import STREAM, TIMEOUT, Envelope, encode

__all__ = ["EXPIRED", "MAX_TIMEOUT_MS", "WORTH_S", "time_left_s", "with_less_time"]

EXPIRED = "DEADLINE_EXCEEDED"
"""Code of the NACK for a request whose caller's time was over on the way."""

MAX_TIMEOUT_MS = 2**31
"""Times longer than this (25 days) count as none."""

WORTH_S = 0.02
"""Seconds of waiting that are worth writing an envelope anew."""


def time_left_s(envelope: Envelope) -> float:
    """Return how many seconds the caller of a request waits from now on; 0 if it doesn't say."""
    left: Any = envelope.meta.get(TIMEOUT) if envelope.meta else None
    return left / 1000 if isinstance(left, int) and 0 < left < MAX_TIMEOUT_MS else 0.0


def with_less_time(envelope: Envelope, data: bytes, waited_s: float) -> tuple[Envelope, bytes] | None:
    """Return a request that has waited, and its bytes, with as much less time; None when its time is over.

    Args:
        data: the envelope encoded.
    """
    left_s = time_left_s(envelope)
    if not left_s or waited_s < WORTH_S:
        return envelope, data
    left_ms = round((left_s - waited_s) * 1000)
    if left_ms <= 0:
        return None
    if (envelope.rtype or 0) & STREAM:
        return envelope, data
    shorter = msgspec.structs.replace(envelope, meta={**(envelope.meta or {}), TIMEOUT: left_ms})
    return shorter, encode(shorter)
