"""What several targets need: the form of their input, and keys that are the same in every run."""

import json
from collections.abc import Callable
from hashlib import sha256
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fame_cli.security.jwk import NodeKeys

__all__ = ["NOW", "Target", "keys", "split", "together"]

MOST_MESSAGES = 8
NOW = 1_800_000_000.0


class Target(NamedTuple):
    """Hold one thing to fuzz.

    Args:
        run: takes any bytes; raises when it has found a bug.
        seeds: input that gets far, to begin with.
    """

    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]


def keys(name: str) -> NodeKeys:
    """Return keys that are the same in every run, so that what is kept stays signed."""
    secret = sha256(name.encode()).digest()
    return NodeKeys(Ed25519PrivateKey.from_private_bytes(secret), X25519PrivateKey.from_private_bytes(secret))


def split(data: bytes) -> tuple[int, list[bytes]]:
    """Return the number of a door and the messages that go there."""
    return (data[0] if data else 0), data[1:].split(b"\n", MOST_MESSAGES - 1)


def together(door: int, *messages: object) -> bytes:
    """Make the input that `split` takes apart: messages as they are, or as JSON."""
    return bytes([door]) + b"\n".join(
        each if isinstance(each, bytes) else json.dumps(each).encode() for each in messages
    )
