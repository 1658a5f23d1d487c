"""What ``--verbose`` shows: every envelope of a call as a line, and in the end where it went and what took how long.

`EnvelopeLog` is the observer a client calls for each envelope. It reads, it never changes or keeps a payload, and
what it can't read it shows as so many bytes. Secrets are hidden by `redact` before anything is rendered. Lines leave
through the `say` function given to it (`output.diagnostic`), never through stdout.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fame_cli.cli.output import Span
from fame_cli.cli.trace_path import Path, links_passed, read_path
from fame_cli.core.envelope import ITEMS
from fame_cli.core.ids import sid_of

__all__ = ["HIDDEN", "EnvelopeLog", "redact"]

HIDDEN = "(hidden)"
"""What stands in the place of a secret."""

_MOST_EXCHANGES = 1000
"""Requests remembered for the summary; a node that runs for days forgets the oldest."""

_TRACE = "fame.trace"
_SECRET_NAMES = frozenset({"aft", "auth", "cookie", "jwk", "keys", "nonce", "pwd", "sec", "setcookie"})
_SECRET_PARTS = re.compile(
    r"token|secret|passw|passphrase|authorization|credential|bearer|"
    r"(api|access|private|signing|encryption|shared|session)key$"
)
_SECRET_TEXT = re.compile(
    r"(?i:\b(?:bearer|basic))\s+(?=[\w.~+/=-]*[A-Z0-9])[\w.~+/=-]{8,}"
    r"|\beyJ[\w-]{5,}\.[\w-]+\.[\w-]*"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)"
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"
    r"|(?i:(?<=[?&]))(?:access_token|token|key|api_key|sig|signature|password|secret)=[^&\s]+"
)


def redact(value: object) -> object:
    """Return a copy of a JSON value with its secrets hidden.

    Hidden are whole values under names that speak of keys, tokens, passwords or signatures (``sec``, ``keys``,
    ``apiKey``, ``Authorization``, …), and, in any text, bearer tokens, JWTs, private keys and passwords in URLs.
    """
    if isinstance(value, dict):
        return {name: HIDDEN if _is_secret(name, held) else redact(held) for name, held in value.items()}
    if isinstance(value, list):
        return [redact(held) for held in value]
    if isinstance(value, str):
        return _SECRET_TEXT.sub(HIDDEN, value)
    return value


def _is_secret(name: str, held: object) -> bool:
    if not isinstance(held, str | list | dict) or not held:
        return False  # a count of tokens is no token
    plain = name.lower().replace("_", "").replace("-", "")
    return plain in _SECRET_NAMES or _SECRET_PARTS.search(plain) is not None


@dataclass(slots=True)
class _Exchange:
    """Remember one request and what came back for it; of a stream, `replies` are its items."""

    to: str
    sent_s: float
    streaming: bool
    replies: int = 0
    first_s: float = 0.0
    last_s: float = 0.0
    trace: Sequence[object] = ()


@dataclass(slots=True)
class _Traffic:
    envelopes: int = 0
    size_bytes: int = 0


@dataclass(slots=True)
class EnvelopeLog:
    """Print envelopes as they pass and sum them up in the end.

    Args:
        say: takes one line of styled text.
        level: 1 for a line of metadata an envelope, 2 to add the envelope itself.
        signer: who signed the last answer, for the summary; "" where nothing is signed.
    """

    say: Callable[[Sequence[Span]], None]
    level: int = 1
    signer: str = ""
    _start_s: float | None = None
    _own_path: str = ""
    _sentinel: str = ""
    _names: dict[str, str] = field(default_factory=dict)
    _exchanges: dict[str, _Exchange] = field(default_factory=dict)
    _traffic: dict[str, _Traffic] = field(default_factory=lambda: {"out": _Traffic(), "in": _Traffic()})

    def __call__(self, direction: str, data: bytes, at_s: float) -> None:
        """Take note of one envelope.

        Args:
            direction: ``out`` for sent, ``in`` for received.
            data: the envelope as it travels.
            at_s: seconds on the caller's monotonic clock.
        """
        if self._start_s is None:
            self._start_s = at_s
        passed = self._traffic[direction]
        passed.envelopes += 1
        passed.size_bytes += len(data)
        envelope = _read(data)
        frame = _part(envelope, "frame")
        self._learn_names(frame)
        exchange = self._follow(direction, envelope, frame, at_s)
        self.say(self._line(direction, envelope, frame, exchange, len(data), at_s - self._start_s))
        if self.level > 1:
            self._say_whole(envelope)

    def _learn_names(self, frame: Mapping[str, Any]) -> None:
        """Pick up from the attach handshake who we are and who the sentinel is (spec 5.2)."""
        if frame.get("type") != "NodeAttachAck":
            return
        self._own_path = _text(frame, "assignedPath")
        self._sentinel = _text(frame, "targetSystemId")
        self._names[sid_of(self._own_path)] = "client"
        self._names[sid_of(_text(frame, "targetPhysicalPath"))] = self._sentinel

    def _follow(
        self, direction: str, envelope: Mapping[str, Any], frame: Mapping[str, Any], at_s: float
    ) -> _Exchange | None:
        """Pair replies with requests by their correlation id; return the request an inbound envelope answers."""
        key = _text(envelope, "corrId")
        if direction == "out":
            if key and frame.get("type") == "Data":
                if len(self._exchanges) >= _MOST_EXCHANGES:
                    del self._exchanges[next(iter(self._exchanges))]
                self._exchanges[key] = _Exchange(_destination(envelope), at_s, _wants_stream(envelope))
            return None
        exchange = self._exchanges.get(key)
        if exchange is not None and not _is_receipt(frame):
            exchange.last_s = at_s
            if not (exchange.replies and _is_end_mark(frame)):
                exchange.replies += _items_in(envelope)
            if not exchange.first_s:
                exchange.first_s = at_s
                exchange.trace = _trace_of(envelope)
        return exchange

    def _line(
        self,
        direction: str,
        envelope: Mapping[str, Any],
        frame: Mapping[str, Any],
        exchange: _Exchange | None,
        size_bytes: int,
        since_start_s: float,
    ) -> list[Span]:
        arrow, style = ("→", "cyan") if direction == "out" else ("←", "green")
        kind = _text(frame, "type") or "unreadable"
        line = [(f"{since_start_s * 1000:9.3f} ms ", "dim"), (f"{arrow} {kind:<12}", style)]
        for name, value in (
            ("id", _text(envelope, "id")),
            ("trace", _text(envelope, "traceId")),
            ("from", self._sender(direction, envelope, exchange)),
            ("to", _destination(envelope)),
            ("reply-to", _text(envelope, "replyTo")),
            ("flow", _flow(envelope)),
            ("size", f"{size_bytes}B"),
            ("hops", str(links_passed(_trace_of(envelope))) if _TRACE in _part(envelope, "meta") else ""),
            ("refused", _refusal(frame)),
        ):
            if value:
                line += [(f" {name}=", "dim"), (_SECRET_TEXT.sub(HIDDEN, value), "")]
        return line

    def _sender(self, direction: str, envelope: Mapping[str, Any], exchange: _Exchange | None) -> str:
        """Name who sent an envelope; the wire only carries a digest of the sender's path (spec 3)."""
        if direction == "out":
            return self._own_path or "client"
        sid = _text(envelope, "sid")
        if sid in self._names:
            return self._names[sid]
        if exchange is not None and _part(envelope, "frame").get("type") == "Data":
            return exchange.to
        return f"sid:{sid}" if sid else self._sentinel

    def _say_whole(self, envelope: Mapping[str, Any]) -> None:
        for row in json.dumps(redact(envelope), ensure_ascii=False, indent=2).splitlines():
            self.say([("             " + row, "dim")])

    def summary(self) -> list[list[Span]]:
        """Return the closing lines: path, time in each hop, totals. Call it once everything has passed."""
        if self._start_s is None:
            return []
        lines: list[list[Span]] = []
        exchange = self._last_exchange()
        if exchange is not None and exchange.replies:
            lines += self._path_lines(exchange)
        elif exchange is not None:
            lines.append(_labelled("path", f"no answer from {exchange.to}"))
        if self.signer:
            lines.append(_labelled("signed", f"by {self.signer}"))
        sent, received = self._traffic["out"], self._traffic["in"]
        lines.append(
            _labelled(
                "passed",
                f"{sent.envelopes} out ({sent.size_bytes} B), {received.envelopes} in ({received.size_bytes} B)",
            )
        )
        return lines

    def _last_exchange(self) -> _Exchange | None:
        return next(reversed(self._exchanges.values()), None)

    def _path_lines(self, exchange: _Exchange) -> list[list[Span]]:
        path = read_path(
            exchange.trace,
            round_trip_us=_microseconds(exchange.first_s - exchange.sent_s),
            attached_to=self._sentinel,
            agent=_agent_name(exchange.to),
        )
        lines = [_labelled("path", _drawn(path, exchange))]
        rows = [(hop.label, hop.time_us) for hop in path.hops]
        if path.agent_us is not None:
            rows.append((f"in {path.nodes[-1].name}", path.agent_us))
        width = max((len(label) for label, _ in rows), default=0)
        lines += [_labelled("", f"{label:<{width}}  {_milliseconds(time_us)}") for label, time_us in rows]
        lines.append(_labelled("total", _total(exchange)))
        return lines


def _read(data: bytes) -> Mapping[str, Any]:
    try:
        envelope = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return envelope if isinstance(envelope, dict) else {}


def _part(envelope: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = envelope.get(name)
    return part if isinstance(part, dict) else {}


def _text(part: Mapping[str, Any], name: str) -> str:
    value = part.get(name)
    return value if isinstance(value, str) else ""


def _trace_of(envelope: Mapping[str, Any]) -> Sequence[object]:
    trace = _part(envelope, "meta").get(_TRACE)
    return trace if isinstance(trace, list) else ()


def _destination(envelope: Mapping[str, Any]) -> str:
    """Return where an envelope goes: its address, or the capabilities asked for (spec 6.3)."""
    capabilities = envelope.get("capabilities")
    if "to" not in envelope and isinstance(capabilities, list):
        return "+".join(str(capability) for capability in capabilities)
    return _text(envelope, "to")


def _flow(envelope: Mapping[str, Any]) -> str:
    """Return flow id, sequence number and flags as ``ID#7 SYN``."""
    flow = _text(envelope, "flowId")
    if not flow:
        return ""
    flags = envelope.get("flowFlags")
    names = [name for bit, name in ((1, "SYN"), (2, "ACK"), (4, "RESET")) if isinstance(flags, int) and flags & bit]
    return "".join([flow, f"#{envelope.get('seqId', '?')}", *(f"+{name}" for name in names)])


def _wants_stream(envelope: Mapping[str, Any]) -> bool:
    rtype = envelope.get("rtype")
    return isinstance(rtype, int) and bool(rtype & 4)


def _is_receipt(frame: Mapping[str, Any]) -> bool:
    """Tell an acknowledgement, which says "received" and no more (spec 6.4), from an answer."""
    return frame.get("type") == "DeliveryAck" and frame.get("ok") is not False


def _is_end_mark(frame: Mapping[str, Any]) -> bool:
    """Tell whether a Data frame ends a stream: neither result nor error (spec 8.3)."""
    payload = _part(frame, "payload")
    return frame.get("type") == "Data" and "result" not in payload and "error" not in payload


def _items_in(envelope: Mapping[str, Any]) -> int:
    """Return how many items an answer holds: one, unless it is a pack of them (docs/wire-extensions.md)."""
    if ITEMS not in _part(envelope, "meta"):
        return 1
    told = _part(envelope, "meta")[ITEMS]
    result = _part(_part(envelope, "frame"), "payload").get("result")
    if isinstance(result, list):
        return len(result)
    return told if isinstance(told, int) and told > 0 else 1  # sealed: the answer says it beside


def _refusal(frame: Mapping[str, Any]) -> str:
    return (_text(frame, "code") or "no code") if frame.get("ok") is False else ""


def _agent_name(to: str) -> str:
    """Return the name to show for the far end: ``math2`` of math2@fame.fabric, "" for a node's own services."""
    participant, at, _ = to.rpartition("@")
    return participant if at and not participant.startswith("__") else ""


def _drawn(path: Path, exchange: _Exchange) -> str:
    if path.agent_us is not None:
        return str(path)
    far = _agent_name(exchange.to) or exchange.to
    return f"{path} ⋯ {far} (the far end doesn't report its times)"


def _total(exchange: _Exchange) -> str:
    first = _microseconds(exchange.first_s - exchange.sent_s)
    if not exchange.streaming:
        return _milliseconds(first)
    whole = exchange.last_s - exchange.sent_s
    rate = f", {exchange.replies / whole:.0f}/s" if whole > 0 else ""
    items = "1 item" if exchange.replies == 1 else f"{exchange.replies} items"
    return f"{_milliseconds(_microseconds(whole))}, {items}{rate}, first after {_milliseconds(first)}"


def _labelled(label: str, text: str) -> list[Span]:
    return [(f"{label:<7}", "bold"), (text, "")]


def _microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)


def _milliseconds(microseconds: int) -> str:
    return f"{microseconds / 1000:.3f} ms"
