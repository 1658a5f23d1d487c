"""Every error a caller can meet, as one tree.

The same tree serves the wire (``wire_code``: the ``code`` of a DeliveryAck), the Python API (the classes) and
the command line (``exit_code``)::

    FameError                     1   an operation failed, or an internal fault
    ├── UsageError                2   the command line is wrong
    ├── ConfigError               3   a file or a variable is wrong
    ├── AdmissionRefused          4   the other side refused the link
    ├── PolicyDenied              4   a policy refused the call
    ├── NoRoute                   5   nobody serves this address or capability
    ├── DeadlineExceeded          6   no answer in time
    ├── ConnectError              7   can't connect
    ├── LinkLost                  7   the link or the provider went away during the call
    ├── StreamEnded               8   a stream stopped before its end mark
    ├── RemoteError               1   the operation itself answered with an error
    ├── Overloaded                1   a node on the way has too much of this already
    ├── StoreFull                 1   what a node keeps can't be written now
    ├── CallCancelled           130   the caller gave up
    └── ProtocolError             1
        ├── LocalProtocolError        we broke a rule: a bug to report
        └── RemoteProtocolError       the other side broke a rule

Exceptions keep facts as attributes and build their text in ``__str__``: one line with what, where and what to do next.
"""

from typing import Any

__all__ = [
    "AdmissionRefused",
    "CallCancelled",
    "ConfigError",
    "ConnectError",
    "DeadlineExceeded",
    "FameError",
    "LinkLost",
    "LocalProtocolError",
    "NoRoute",
    "Overloaded",
    "PolicyDenied",
    "ProtocolError",
    "RemoteError",
    "RemoteProtocolError",
    "StoreFull",
    "StreamEnded",
    "UsageError",
    "error_for_nack",
    "step_in",
]


class FameError(Exception):
    """Be the root of every error `fame` raises on purpose; anything else that escapes is a bug."""

    exit_code = 1
    wire_code = "INTERNAL"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class UsageError(FameError):
    """Report a command line that can't be carried out."""

    exit_code = 2
    wire_code = "USAGE"


class ConfigError(FameError):
    """Report a bad file or variable, with its place.

    Args:
        message: what is wrong, e.g. ``unknown key "peer"``.
        source: file name or variable name; "" when there is none.
        line: 1-based line, 0 if unknown.
        column: 1-based column, 0 if unknown.
        hint: what to do next.
    """

    exit_code = 3
    wire_code = "CONFIG"

    def __init__(self, message: str, *, source: str = "", line: int = 0, column: int = 0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.source = source
        self.line = line
        self.column = column

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.source, self.line, self.column) if part)
        text = super().__str__()
        return f"{place}: {text}" if place else text


class AdmissionRefused(FameError):
    """Report that the other side refused the link (NodeAttachAck ok=false, HTTP 401/403, close 1008)."""

    exit_code = 4
    wire_code = "REFUSED"


class PolicyDenied(FameError):
    """Report that a policy on the way refused the envelope."""

    exit_code = 4
    wire_code = "UNAUTHORIZED"


class NoRoute(FameError):
    """Report that nobody serves this address, capability or operation."""

    exit_code = 5
    wire_code = "NO_ROUTE"


class DeadlineExceeded(FameError):
    """Report that no answer came in time.

    Args:
        last: why the last try failed, where there were several.
    """

    exit_code = 6
    wire_code = "DEADLINE_EXCEEDED"

    def __init__(self, message: str, *, hint: str = "", last: FameError | None = None) -> None:
        super().__init__(message, hint=hint)
        self.last = last


class ConnectError(FameError):
    """Report that no link could be made: nobody listens, or the handshake failed."""

    exit_code = 7
    wire_code = "CONNECT"


class LinkLost(FameError):
    """Report that a link on the way, or the provider itself, went away with the call in flight."""

    exit_code = 7
    wire_code = "LINK_LOST"


class StreamEnded(FameError):
    """Report a stream that stopped before its end mark."""

    exit_code = 8
    wire_code = "STREAM_ENDED"


class RemoteError(FameError):
    """Carry the JSON-RPC error an operation answered with.

    Args:
        message: the remote text.
        code: JSON-RPC error code, e.g. -32601.
        data: whatever the other side attached, JSON values.
    """

    wire_code = "REMOTE"

    def __init__(self, message: str, *, code: int = -32603, data: Any = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.data = data


class Overloaded(FameError):
    """Report that a node on the way holds, or takes from this caller, no more than it has already."""

    wire_code = "QUEUE_FULL"


class StoreFull(FameError):
    """Report that a store can't be written now: its disk is full or fails, or too much waits for it already."""

    wire_code = "STORE_FULL"


class CallCancelled(FameError):
    """Report that the caller gave the call up."""

    exit_code = 130
    wire_code = "CANCELLED"


class ProtocolError(FameError):
    """Report a broken rule of the wire protocol."""

    wire_code = "PROTOCOL"


class LocalProtocolError(ProtocolError):
    """Report that our own side broke a rule: a bug."""


class RemoteProtocolError(ProtocolError):
    """Report that the other side broke a rule."""


_BY_WIRE_CODE: dict[str, type[FameError]] = {
    "NO_ROUTE": NoRoute,
    "HOP_LIMIT": NoRoute,
    "ROUTE_LOOP": NoRoute,
    "ADDRESS_TAKEN": AdmissionRefused,
    "UNAUTHORIZED": PolicyDenied,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "CANCELLED": CallCancelled,
    "LINK_LOST": LinkLost,
    "NODE_DRAINING": LinkLost,
    "ROUTE_CONNECTOR_CLOSED": LinkLost,
    "CHILD_UNREACHABLE": LinkLost,
    "PEER_UNREACHABLE": LinkLost,
    "QUEUE_FULL": Overloaded,
    "STORE_FULL": StoreFull,
    "RATE_LIMITED": Overloaded,
}


_HINTS = {
    "LINK_LOST": "it may be back soon: try again",
    "NODE_DRAINING": "it may be back soon: try again",
    "STORE_FULL": "make room on its disk",
    "HOP_LIMIT": "routes may be changing: try again, or raise limits.max_hops",
    "ROUTE_LOOP": "routes are changing: try again",
    "QUEUE_FULL": "read faster or ask for less at once, or raise limits.max_held_bytes at the node before it",
    "RATE_LIMITED": "ask for less at once",
    "CRYPTO_LEVEL": "whoever has the address may have moved: try again",
    "MESSAGE_TOO_LARGE": "send less, or raise limits.max_message_bytes at every node on the way",
}


MENDING = frozenset({
    "NO_ROUTE", "LINK_LOST", "PEER_UNREACHABLE", "CHILD_UNREACHABLE", "ROUTE_CONNECTOR_CLOSED", "HOP_LIMIT",
    "ROUTE_LOOP", "QUEUE_FULL", "RATE_LIMITED", "KEY_UNKNOWN", "CLOCK_SKEW", "STORE_FULL", "NODE_DRAINING",
    "OUT_OF_ORDER", "SIGNATURE_INVALID",
})  # fmt: skip
"""Codes of refusals that time may mend; after any other the same envelope is refused again."""


def step_in(reason: str) -> tuple[str, str]:
    """Part what another node says of a refusal into what is wrong and what to do next; "" where it doesn't say."""
    what, _, step = reason.partition("; ")
    return what, step


def error_for_nack(code: str, reason: str) -> FameError:
    """Turn the code and reason of a negative DeliveryAck (spec 6.4) into the error a caller should see."""
    name = code.partition(":")[0]
    kind = _BY_WIRE_CODE.get(name, FameError)
    told = reason or "not delivered"
    return kind(told if name in _BY_WIRE_CODE else f"{told} ({code or 'no code'})", hint=_HINTS.get(name, ""))
