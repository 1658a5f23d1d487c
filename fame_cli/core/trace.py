"""The trace of an envelope: who it passed, and when by that node's own clock (docs/wire-extensions.md).

Pure. A trace exists only where a caller asked for one; entries of strangers are kept when they are text and dropped
when they are anything else, and the list is bounded.
"""

from typing import Any

import msgspec

from fame_cli.core.envelope import TRACE, Envelope
from fame_cli.core.frames import Meta
from fame_cli.core.link import Link

__all__ = ["extended", "trace_of", "traced"]

MAX_TRACE = 64
"""Entries in one trace: 16 hops there and back, and room."""


def traced(node_id: str, envelope: Envelope, origin: Link, now: float) -> Envelope:
    """Return an envelope with this node's entry added to its trace."""
    meta = dict(envelope.meta or {})
    meta[TRACE] = extended(node_id, trace_of(meta) or [], origin, now)
    return msgspec.structs.replace(envelope, meta=meta)


def trace_of(meta: Meta | None) -> list[str] | None:
    """Return the trace entries of an envelope, None when it has none; anything odd among them is left out."""
    trace: Any = (meta or {}).get(TRACE)
    return [entry for entry in trace if isinstance(entry, str)] if isinstance(trace, list) else None


def extended(node_id: str, entries: list[str], origin: Link, now: float) -> list[str]:
    """Return a trace with one more entry: this node, the kind of link the envelope came in by, and µs."""
    if len(entries) >= MAX_TRACE:
        return entries
    return [*entries, f"{node_id};{origin.kind.value};{int(now * 1e6)}"]
