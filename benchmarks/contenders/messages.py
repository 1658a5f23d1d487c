"""What travels through the chains that have no messages of their own: NATS, gRPC, bare TCP.

A request is a JSON object of 300 bytes, as long as the FAME envelope of the same call; worker and client decode and
encode with msgspec, as `fame` does. A stream's item is a JSON value: a number, or a text of 64 KiB.
"""

from collections.abc import Iterator

import msgspec
from load import WrongAnswer

__all__ = ["answer_to", "check", "check_item", "items", "request", "request_for_stream", "stream_asked_for"]

REQUEST_BYTES = 300
SUM = 7

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_PADDING = "." * (REQUEST_BYTES - len(_encode({"method": "add", "params": {"x": 3, "y": 4}, "padding": ""})))


def request() -> bytes:
    """Encode one call."""
    return _encode({"method": "add", "params": {"x": 3, "y": 4}, "padding": _PADDING})


def answer_to(message: bytes) -> bytes:
    """Do what a call asks for, and encode the answer."""
    params = _decode(message)["params"]
    return _encode({"result": params["x"] + params["y"]})


def check(message: bytes) -> None:
    """Raise WrongAnswer unless this is the answer to `request`."""
    if _decode(message)["result"] != SUM:
        raise WrongAnswer(message[:100].decode(errors="replace"))


def request_for_stream(count: int, item_bytes: int) -> bytes:
    """Encode the wish for a stream."""
    return _encode({"count": count, "item_bytes": item_bytes})


def stream_asked_for(message: bytes) -> Iterator[bytes]:
    """Yield the items that a wish asks for, each encoded by itself."""
    wish = _decode(message)
    return items(wish["count"], wish["item_bytes"])


def items(count: int, item_bytes: int) -> Iterator[bytes]:
    """Yield encoded items: 0, 1, 2, … or texts of that many bytes."""
    text = "x" * item_bytes
    for number in range(count):
        yield _encode(text if item_bytes else number)


def check_item(message: bytes, number: int, item_bytes: int) -> None:
    """Raise WrongAnswer unless this is item `number` of its stream."""
    value = _decode(message)
    if (len(value) != item_bytes) if item_bytes else (value != number):
        raise WrongAnswer(f"item {number}: {message[:100].decode(errors='replace')}")
