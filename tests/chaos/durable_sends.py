"""The messages of a chaos run that somebody answers for: who keeps them in which file, and how one is sent.

Callers, agents and, in some seeds, a sentinel with mailboxes have a file each, which their next life finds again. A
message is accepted once it is in the file of its caller, and handled once its agent's handler has written down its id.
"""

from pathlib import Path
from typing import Any

from fame_cli import Client
from fame_cli.core.message import DEAD, Message
from fame_cli.store.database import Database

__all__ = ["IDS_BY_OPERATION", "left_in", "mailboxes_of", "make_client", "send", "storage_of"]

IDS_BY_OPERATION = 3
"""Every third message runs an operation, the others are for `on_message`."""


def make_client(told: dict[str, Any], timeout_s: float) -> Client:
    """Make the client of a caller: of the same node and with the same file in each of its lives.

    Args:
        told: what the caller was told, with its ``name`` and the ``folder`` of the run.
    """
    store = store_file(told["name"], Path(told["folder"]))
    return Client(told["url"], node_id=told["name"], timeout_s=timeout_s, storage=store)


async def send(client: Client, to: str, message_id: str) -> None:
    """Send one message and return when it is accepted: from then on it must be handled, whatever happens."""
    number = int(message_id.rpartition(".")[2])
    operation = "" if number % IDS_BY_OPERATION else "take"
    await client.send(to, {"id": message_id}, operation=operation, durable=True)


def storage_of(name: str, folder: Path) -> dict[str, Any]:
    """Return what the config of a node needs beside all else, so that what it has acknowledged outlives it."""
    return {"storage": {"profile": "sqlite", "path": str(store_file(name, folder))}}


def mailboxes_of(name: str, addresses: list[str], folder: Path) -> dict[str, Any]:
    """Return what the config of a sentinel needs beside all else, to keep messages for these addresses."""
    if not addresses:
        return {}
    return {"mailboxes": [{"address": address} for address in addresses], **storage_of(name, folder)}


def store_file(name: str, folder: Path) -> Path:
    """Return where a node has its messages."""
    return folder / "stores" / f"{name}.db"


def left_in(folder: Path) -> tuple[list[str], int]:
    """Describe the dead letters of all files, and count what waits in them, once all nodes have ended."""
    left: list[tuple[str, Message]] = []
    for path in sorted((folder / "stores").glob("*.db")):
        database = Database(path)
        left += [(path.stem, message) for message in database.read().messages]
        database.close()
    dead = [f"{name}: {each.address} {each.origin}: {each.reason}" for name, each in left if each.box == DEAD]
    return dead, len(left) - len(dead)
