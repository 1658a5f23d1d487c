"""Where sends that somebody has to answer for plug into the chaos run: how one is sent, and what keeps it.

Until clients have durable sends, a send here is a call of `take` of ``chaos_agent.py``: accepted once it is answered,
so whatever was accepted has been handled, too. The counting is the same: the handler writes down each id it is given,
and what was accepted and isn't there is lost. To plug in what is durable, change this module and nothing else.
"""

from pathlib import Path
from typing import Any

from fame_cli import Client

__all__ = ["IS_DURABLE", "make_client", "send", "storage_of"]

IS_DURABLE = False
"""Whether what was accepted is kept until it is handled, by files that outlive the processes."""


def make_client(told: dict[str, Any], timeout_s: float) -> Client:
    """Make the client of a caller; what it keeps has to lie in a file of its own that its next life finds again.

    Args:
        told: what the caller was told, with its ``name`` and the ``folder`` of the run.
    """
    return Client(told["url"], timeout_s=timeout_s)


async def send(client: Client, to: str, message_id: str, deadline_s: float) -> None:
    """Send one message and return when it is accepted: from then on it must be handled, whatever happens."""
    await client.request(to, "take", {"kwargs": {"id": message_id}}, timeout_s=deadline_s)


def storage_of(name: str, folder: Path) -> dict[str, Any]:
    """Return what the config of an agent needs beside all else, so that what it has acknowledged outlives it."""
    return {}
