"""What the programs of this example share: addresses, and where the two sentinels are unless a variable says otherwise.

Nobody here knows where an agent runs. An address is a name; the sentinels find the way.
"""

import os

MATH_AGENT1_ADDR = "math1@fame.fabric"
MATH_AGENT2_ADDR = "math2@fame.fabric"

SENTINEL1 = "127.0.0.1:8000"
SENTINEL2 = "127.0.0.1:8001"


def attach_url(sentinel: str) -> str:
    """Return the URL to attach to: ``FAME_DIRECT_ADMISSION_URL`` if set, else that of `sentinel` (host:port)."""
    return os.environ.get("FAME_DIRECT_ADMISSION_URL") or f"ws://{sentinel}/fame/v1/attach/ws/downstream"


def peer_url(sentinel: str) -> str:
    """Return the URL to peer with: ``FAME_PEER_WS_URL`` if set, else that of `sentinel` (host:port)."""
    return os.environ.get("FAME_PEER_WS_URL") or f"ws://{sentinel}/fame/v1/attach/ws/peer"


def listen(sentinel: str) -> str:
    """Return where to listen: `sentinel` (host:port), with the port from ``FAME_SENTINEL_PORT`` if that is set."""
    host, _, port = sentinel.partition(":")
    return f"{host}:{os.environ.get('FAME_SENTINEL_PORT') or port}"
