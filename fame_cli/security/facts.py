"""What a policy decides from, and by which names the rules' expressions reach it.

Pure. A gate fills `Facts` in; `PATHS` are the names of everything in them that an expression may read (security.md 8),
each with the function that reads it when it is asked for, so that an envelope nobody looks at costs nothing.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from fame_cli.core.envelope import Envelope
from fame_cli.core.ids import sid_of

__all__ = ["LEVELS", "OPEN_ROOTS", "PATHS", "Facts", "snake"]

LEVELS = ("plaintext", "channel", "sealed")
"""How well a payload is hidden, in order."""

OPEN_ROOTS = frozenset({"claims"})
"""Names whose members nobody knows beforehand."""


class Facts(NamedTuple):
    """Hold what is known of one thing that somebody wants to do; a tuple, because one is made for each envelope.

    The fields up to `scopes` are what the clauses of a rule look at; decisions are remembered by them.

    Args:
        action: what is wanted, one of `policy.ACTIONS`.
        address: of the envelope, or what is to be bound or announced; "" for none.
        origin_type: where it comes from: downstream, upstream, peer, local; "" where that means nothing.
        frame_type: as on the wire, e.g. ``Data``; "" for none.
        node: id of the neighbour that wants it.
        subject: of its grant.
        roles: of its grant.
        scopes: of its token.
        claims: of its token, verified.
        envelope: what it sent; None for none.
        signed: the envelope's signature has been verified.
        encrypted: one of `LEVELS`.
        own_id: this node's id.
        own_path: its physical path.
        now: seconds since the epoch.
    """

    action: str
    address: str = ""
    origin_type: str = ""
    frame_type: str = ""
    node: str = ""
    subject: str = ""
    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    claims: Mapping[str, Any] = {}
    envelope: Envelope | None = None
    signed: bool = False
    encrypted: str = LEVELS[0]
    own_id: str = ""
    own_path: str = ""
    now: float = 0.0


_Reader = Callable[[Facts], object]


class _Signature(msgspec.Struct, frozen=True):
    kid: str | None = None


class _Encryption(msgspec.Struct, frozen=True):
    alg: str | None = None
    kid: str | None = None


class _Security(msgspec.Struct, frozen=True):
    sig: _Signature | None = None
    enc: _Encryption | None = None


_security = msgspec.json.Decoder(_Security)
_CAPITAL = re.compile(r"(?<=[a-z0-9])([A-Z])")


def snake(name: str) -> str:
    """Write a name as rules and expressions have it: ``originType`` is ``origin_type``."""
    return _CAPITAL.sub(r"_\1", name).lower()


def _sec(facts: Facts) -> _Security:
    raw = facts.envelope.sec if facts.envelope else b""
    if not raw:
        return _Security()
    try:
        return _security.decode(raw)
    except msgspec.DecodeError:
        return _Security()


def _header(field: str) -> _Reader:
    """Return what reads one field of the envelope's header; the fields are those of the wire, not a user's words."""
    index = Envelope.__struct_fields__.index(field)
    return lambda facts: None if facts.envelope is None else msgspec.structs.astuple(facts.envelope)[index]


def _iso(facts: Facts) -> str:
    return datetime.fromtimestamp(facts.now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_HEADER_FIELDS = (
    *("id", "sid", "trace_id", "corr_id", "flow_id", "to", "reply_to", "capabilities", "rtype", "seq_id"),
    *("flow_flags", "priority", "ts", "ttl"),
)

PATHS: dict[str, _Reader] = {
    **{f"envelope.{field}": _header(field) for field in _HEADER_FIELDS},
    "envelope.frame.type": lambda facts: facts.frame_type or None,
    "envelope.sec.sig.present": lambda facts: _sec(facts).sig is not None,
    "envelope.sec.sig.kid": lambda facts: signature.kid if (signature := _sec(facts).sig) else None,
    "envelope.sec.enc.present": lambda facts: _sec(facts).enc is not None,
    "envelope.sec.enc.kid": lambda facts: encryption.kid if (encryption := _sec(facts).enc) else None,
    "envelope.sec.enc.alg": lambda facts: encryption.alg if (encryption := _sec(facts).enc) else None,
    "envelope.sec.enc.level": lambda facts: facts.encrypted,
    "delivery.action": lambda facts: facts.action,
    "delivery.routing_action": lambda facts: facts.action,
    "delivery.address": lambda facts: facts.address or None,
    "delivery.origin_type": lambda facts: facts.origin_type or None,
    "neighbour.id": lambda facts: facts.node or None,
    "neighbour.subject": lambda facts: facts.subject or None,
    "neighbour.roles": lambda facts: sorted(facts.roles),
    "neighbour.scopes": lambda facts: sorted(facts.scopes),
    "node.id": lambda facts: facts.own_id or None,
    "node.path": lambda facts: facts.own_path or None,
    "node.physical_path": lambda facts: facts.own_path or None,
    "node.sid": lambda facts: sid_of(facts.own_path) if facts.own_path else None,
    "time.now": lambda facts: facts.now,
    "time.now_ms": lambda facts: int(facts.now * 1000),
    "time.now_iso": _iso,
}
"""Dotted name → what reads it; ``claims`` aside, which has members of its own."""
