"""One envelope: header typed, payload left raw (spec 4).

`decode` is the only door for bytes from a link. It returns an `Envelope` or raises `RemoteProtocolError`, nothing
else; `peek` then tells who to answer. A forwarder passes the original bytes on and never parses a payload.
"""

from collections.abc import Iterable

import msgspec

from fame_cli.core.frames import Data, DeliveryAck, Frame, Meta, SecureAccept, SecureClose, SecureOpen
from fame_cli.errors import LocalProtocolError, RemoteProtocolError

__all__ = [
    "ACK",
    "CARRIED",
    "FLOW_ACK",
    "GRANT",
    "ITEMS",
    "LANE",
    "LAST",
    "MAX_MESSAGE_BYTES",
    "PACK",
    "PREV",
    "REPLY",
    "RESET",
    "SENDER",
    "SEQ",
    "SESSION",
    "STREAM",
    "SYN",
    "TIMEOUT",
    "TRACE",
    "VIA",
    "Envelope",
    "Header",
    "data_frame",
    "decode",
    "encode",
    "encode_json",
    "is_message",
    "peek",
    "raw_list",
    "with_ttl",
]

MAX_MESSAGE_BYTES = 262_144
"""Bytes of JSON in one envelope (spec 2.3)."""

CARRIED = (Data, DeliveryAck, SecureOpen, SecureAccept, SecureClose)
"""Frames that are on their way to somebody; all others are between two neighbours."""

ACK, REPLY, STREAM = 1, 2, 4
"""Bits of `rtype` (spec 4): acknowledgement wanted, one reply expected, a stream expected."""

SYN, FLOW_ACK, RESET = 1, 2, 4
"""Bits of `flowFlags` (spec 4): first of a flow, credit grant, NACK."""

TRACE = "fame.trace"
"""Key of `meta` under which the nodes on the way write themselves (docs/wire-extensions.md)."""

VIA = "fame.via"
"""Key of `meta` that pins a call to the sentinel whose provider was chosen."""

SESSION = "fame.session"
"""Key of `meta` that names the session a call belongs to, for sentinels that keep sessions together."""

TIMEOUT = "fame.timeout"
"""Key of `meta` that says how long the caller waits, in milliseconds: for the answer, or for each item of a stream."""


PACK = "fame.pack"
"""Key of `meta` of a stream's request: true when the caller takes several items in one answer."""

ITEMS = "fame.items"
"""Key of `meta` of such an answer: how many items its result, an array, holds."""

GRANT = "fame.grant"
"""Key of `meta` of a heartbeat by which a neighbour renews its credential: a token."""

LAST = "fame.last"
"""Key of `meta` of the answer that ends a stream whose payloads routers can't read."""


LANE, SEQ, PREV = "fame.lane", "fame.seq", "fame.prev"
"""Keys of `meta` of a message that is to be kept: the run it is in, its number there, and the number of the one before
it that isn't settled, 0 for none (ADR 27)."""

SENDER = "fame.sender"
"""Key of `meta` of a message out of a mailbox: who gave it in."""


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """Hold one message as it travels; fields in the order of spec 4 but for `ttl`, None where absent.

    `frame` is the only field the wire requires. `seq_id` and `flow_flags` are kept as they came: nobody checks them.
    `ttl` comes last, so that a router can change it without writing the rest anew (`with_ttl`).
    """

    version: str | None = None
    id: str | None = None
    sid: str | None = None
    trace_id: str | None = None
    to: str | None = None
    reply_to: str | None = None
    capabilities: list[str] | None = None
    rtype: int | None = None
    corr_id: str | None = None
    flow_id: str | None = None
    seq_id: int | None = None
    flow_flags: int | None = None
    priority: str | None = None
    frame: Frame
    ts: str | None = None
    sec: msgspec.Raw = msgspec.Raw()
    aft: str | None = None
    meta: Meta | None = None
    ttl: int | None = None


class Header(msgspec.Struct, frozen=True, rename="camel"):
    """Hold what a refusal needs of an envelope whose frame can't be read."""

    id: str | None = None
    trace_id: str | None = None
    to: str | None = None
    reply_to: str | None = None
    corr_id: str | None = None


_decoder = msgspec.json.Decoder(Envelope)
_header_decoder = msgspec.json.Decoder(Header)
_encoder = msgspec.json.Encoder()


def decode(data: bytes) -> Envelope:
    """Read one envelope.

    Args:
        data: UTF-8 JSON of any size; the caller checks the size first (see `NodeCore.receive`).

    Raises:
        RemoteProtocolError: not JSON, not UTF-8, nested too deep, an unknown frame or a field of a wrong type.
    """
    try:
        if not data.isascii():
            data.decode()  # the payload stays raw, so this is the only place that would notice
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RemoteProtocolError(f"not an envelope: {error}") from error


def peek(data: bytes) -> Header | None:
    """Read the header of something `decode` refused; None when even that isn't there."""
    try:
        return _header_decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def encode(envelope: Envelope) -> bytes:
    """Write one envelope as compact UTF-8 JSON, absent fields left out."""
    return _encoder.encode(envelope)


def with_ttl(envelope: Envelope, data: bytes, ttl: int) -> bytes:
    """Return an encoded envelope with another `ttl`, everything else byte for byte as it came.

    Args:
        envelope: what `data` holds.
        ttl: hops it may still take.
    """
    before = _TTL_ENDS.get(envelope.ttl)
    if before is not None and data.endswith(before):
        return data[: -len(before)] + (_TTL_ENDS.get(ttl) or _ttl_end(ttl))
    return encode(msgspec.structs.replace(envelope, ttl=ttl))


def _ttl_end(ttl: int | None) -> bytes:
    """Return how an encoded envelope with this `ttl` ends."""
    return b"}" if ttl is None else b',"ttl":%d}' % ttl


_TTL_ENDS: dict[int | None, bytes] = {ttl: _ttl_end(ttl) for ttl in (None, *range(65))}  # made once (measured)


def encode_json(value: object) -> bytes:
    """Write a JSON value for a payload.

    Raises:
        LocalProtocolError: the value has no JSON form.
    """
    try:
        return _encoder.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise LocalProtocolError(f"no JSON form: {error}") from error


def is_message(envelope: Envelope) -> bool:
    """Tell whether an envelope is a message that is to be kept: it wants an acknowledgement and no answer (ADR 27).

    What goes to a participant of a node's own, an answer that wants to be acknowledged, isn't.
    """
    to = envelope.to
    return (
        envelope.rtype == ACK
        and to is not None
        and not to.startswith(("__sys__@", "__rpc__"))
        and isinstance(envelope.frame, Data)
    )


def data_frame(payload: bytes) -> Data:
    """Wrap encoded JSON in a Data frame without copying it through a parser."""
    return Data(payload=msgspec.Raw(payload))


def raw_list(values: Iterable[bytes | msgspec.Raw]) -> msgspec.Raw:
    """Return the JSON of a list of values that are JSON already."""
    return msgspec.Raw(b"[%b]" % b",".join(bytes(value) for value in values))
