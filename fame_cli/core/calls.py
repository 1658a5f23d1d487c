"""Calls in flight: who asked, over which link, where it went. One table for callers, routers and providers.

A call is an entry from its request to its end. At the caller's node its `ingress` is LOCAL, at the provider's node
its `egress` is LOCAL, at every router between both are links. That one shape answers all the questions that matter:
a lost link names the calls to refuse and the calls to stop, a cancel follows the way the request took, and every call
of ours ends exactly once, because ending it is removing it.

Pure: no envelope is built here (``node.py`` does), no clock is read.
"""

from collections.abc import Iterator

import msgspec

from fame_cli.core.envelope import encode_json
from fame_cli.core.frames import EMPTY
from fame_cli.core.grant import Holder
from fame_cli.core.limits import Rate
from fame_cli.core.link import LOCAL, Link
from fame_cli.errors import RemoteProtocolError

__all__ = [
    "Call",
    "CallKey",
    "CallTable",
    "Late",
    "RpcRequest",
    "RpcResponse",
    "ends_stream",
    "error_payload",
    "read_request",
    "read_response",
    "request_payload",
    "result_payload",
]

CallKey = tuple[str, str]
"""(replyTo, corrId) of the request: what the answer's `to` and `corrId` repeat (spec 8.1)."""

MAX_TRANSIT_CALLS = 100_000
"""Entries; beyond it the oldest are forgotten (they lose their NACK on link loss, nothing else)."""

TRANSIT_AGE_S = 3600.0
"""Seconds after which a call that shows no sign of life is forgotten by the nodes between."""


class Call(msgspec.Struct):
    """Hold one call in flight.

    Args:
        ingress: link the request came in by; LOCAL at the caller's node.
        egress: link it went out by; LOCAL at the provider's node.
        request_id: envelope id of the request, the `refId` of a NACK.
        streaming: True when a stream was asked for.
        touched: when the request or the last item passed, in the core's time.
        timeout_s: seconds a local caller waits for the answer or the next item; for the others somewhat more than their
            caller waits, 0 if he didn't say.
        trace_id: repeated in whatever answers the call.
        rpc_id: raw JSON-RPC id the answers repeat; provider's node only.
        trace: trace entries to give back; provider's node only.
        sent: answers sent so far; provider's node only.
        packs: True when we said that we take several items in one answer; caller's node only.
        address: that was asked, "" where a capability was; caller's node only.
        sealed: True when the request's payload was sealed, and answers have to be; at both ends only.
        unread: answers the local reader hasn't taken; its time doesn't run while there are any. Caller's node only.
    """

    ingress: Link
    egress: Link
    request_id: str
    streaming: bool
    touched: float
    timeout_s: float = 0.0
    trace_id: str | None = None
    rpc_id: bytes = b""
    trace: list[str] | None = None
    sent: int = 0
    unread: int = 0
    packs: bool = False
    sealed: bool = False
    address: str = ""


class Late(msgspec.Struct):
    """Remember a call that ended before its answers, some of which may be on their way.

    Args:
        egress: link they come by.
        left: how many may come.
        payer: counts them, on behalf of who asked; None when it has gone.
    """

    egress: Link
    left: int
    payer: Rate | None


class CallTable:
    """Keep the calls in flight and their deadlines.

    Deadlines of one length expire in the order they were set, so each length has its own ordered dict and its head is
    always the next to expire: adding, moving and removing are O(1) and nothing stale stays behind.
    """

    def __init__(self) -> None:
        self._calls: dict[CallKey, Call] = {}
        self._from: dict[Link | Holder, int] = {}
        self._deadlines: dict[float, dict[CallKey, float]] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def get(self, key: CallKey) -> Call | None:
        """Return the call, or None when it has ended or never was."""
        return self._calls.get(key)

    def open(self, key: CallKey, call: Call) -> bool:
        """Add a call.

        Returns:
            False when the key is in use by another link: the newcomer must be refused, not the first one robbed.
        """
        known = self._calls.get(key)
        if known is not None and known.ingress is not call.ingress:
            return False
        if known is not None:
            self.end(key)
        self._calls[key] = call
        if call.ingress is not LOCAL:
            source = call.ingress.account or call.ingress
            self._from[source] = self._from.get(source, 0) + 1
        if call.timeout_s:
            self._deadlines.setdefault(call.timeout_s, {})[key] = call.touched + call.timeout_s
        return True

    def touch(self, key: CallKey, call: Call, now: float) -> None:
        """Note that an item of the call passed: its deadline starts again (spec 8.3: the time-out is per item)."""
        call.touched = now
        self._calls[key] = self._calls.pop(key)  # the longest silent come first
        if call.timeout_s:
            waiting = self._deadlines[call.timeout_s]
            del waiting[key]
            waiting[key] = now + call.timeout_s

    def end(self, key: CallKey) -> Call | None:
        """Remove a call; the first to remove it ends it, everybody after gets None."""
        call = self._calls.pop(key, None)
        if call is None:
            return None
        if call.ingress is not LOCAL:
            source = call.ingress.account or call.ingress
            left = self._from[source] - 1
            if left:
                self._from[source] = left
            else:
                del self._from[source]
        if call.timeout_s:
            waiting = self._deadlines[call.timeout_s]
            del waiting[key]
            if not waiting:
                del self._deadlines[call.timeout_s]
        return call

    def over(self, link: Link) -> list[tuple[CallKey, Call]]:
        """List the calls that came in or went out by `link`, the longest silent first."""
        return [(key, call) for key, call in self._calls.items() if call.ingress is link or call.egress is link]

    def count_from(self, link: Link) -> int:
        """Return how many calls that came in by a link, or another of its account, are in flight; none of our own."""
        return self._from.get(link.account or link, 0)

    def next_deadline(self) -> float | None:
        """Return when the next call times out, None when none can."""
        earliest: float | None = None
        for waiting in self._deadlines.values():  # few, and asked for with every message
            for deadline in waiting.values():
                if earliest is None or deadline < earliest:
                    earliest = deadline
                break
        return earliest

    def expired(self, now: float) -> list[tuple[CallKey, Call]]:
        """List the calls whose time is over, without ending them."""
        return [(key, self._calls[key]) for waiting in self._deadlines.values() for key in _due(waiting, now)]

    def forget_stale(self, now: float) -> None:
        """Drop calls between other nodes that are too old or too many; called now and then, not per message."""
        surplus = len(self._calls) - MAX_TRANSIT_CALLS
        stale: list[CallKey] = []
        for key, call in self._transit():
            if now - call.touched < TRANSIT_AGE_S and len(stale) >= surplus:
                break
            stale.append(key)
        for key in stale:
            self.end(key)

    def _transit(self) -> Iterator[tuple[CallKey, Call]]:
        return ((k, c) for k, c in self._calls.items() if c.ingress is not LOCAL and c.egress is not LOCAL)


def _due(waiting: dict[CallKey, float], now: float) -> Iterator[CallKey]:
    for key, deadline in waiting.items():
        if deadline > now:
            return
        yield key


class RpcRequest(msgspec.Struct, frozen=True):
    """Read side of a JSON-RPC request (spec 8.1); `params` stays raw."""

    jsonrpc: str
    method: str
    params: msgspec.Raw
    id: msgspec.Raw = EMPTY


class RpcFailure(msgspec.Struct, frozen=True):
    """Read side of a JSON-RPC error object."""

    code: int = -32603
    message: str = ""
    data: msgspec.Raw = EMPTY


class RpcResponse(msgspec.Struct, frozen=True):
    """Read side of a JSON-RPC response; neither result nor error is a null result or a stream's end (spec 8.3)."""

    result: msgspec.Raw = EMPTY
    error: RpcFailure | None = None

    @property
    def has_result(self) -> bool:
        """Tell whether there is a result that isn't null."""
        raw = bytes(self.result)
        return bool(raw) and raw != b"null"


_request_decoder = msgspec.json.Decoder(RpcRequest)
_response_decoder = msgspec.json.Decoder(RpcResponse)


def read_request(payload: msgspec.Raw) -> RpcRequest | None:
    """Read a request; None when the payload isn't a call (then it is a plain message, spec 8.6)."""
    try:
        return _request_decoder.decode(payload)
    except (msgspec.DecodeError, RecursionError):
        return None


def read_response(payload: msgspec.Raw) -> RpcResponse:
    """Read an answer.

    Raises:
        RemoteProtocolError: the payload isn't a JSON-RPC response.
    """
    try:
        return _response_decoder.decode(payload)
    except (msgspec.DecodeError, RecursionError) as error:
        raise RemoteProtocolError(f"the answer isn't a JSON-RPC response: {error}") from error


def ends_stream(payload: msgspec.Raw) -> bool:
    """Tell a router whether this answer is the last of a stream, looking no further into it than it must.

    Items written by us and by Naylence start alike, with the result right behind the id, so the first bytes decide
    for nearly all of them; only what looks different is parsed.
    """
    start = bytes(memoryview(payload)[:120])
    marker = start.find(b',"result":')
    if marker > 0 and start.find(b"{", 1, marker) < 0 and not start.startswith(b"null", marker + 10):
        return False
    try:
        return not _response_decoder.decode(payload).has_result
    except (msgspec.DecodeError, RecursionError):
        return False


def request_payload(rpc_id: str, method: str, params: bytes) -> bytes:
    """Write a JSON-RPC request around encoded `params`; `rpc_id` is one of our own ids and needs no escaping."""
    return b'{"jsonrpc":"2.0","id":"%b","method":%b,"params":%b}' % (rpc_id.encode(), encode_json(method), params)


def result_payload(rpc_id: bytes, result: bytes | None) -> bytes:
    """Write a JSON-RPC result; None writes neither result nor error: a null result, or the end of a stream."""
    if result is None:
        return b'{"jsonrpc":"2.0","id":%b}' % (rpc_id or b"null")
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (rpc_id or b"null", result)


def error_payload(rpc_id: bytes, code: int, message: str, data: object = None) -> bytes:
    """Write a JSON-RPC error; `data` is left out when None."""
    error: dict[str, object] = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (rpc_id or b"null", encode_json(error))
