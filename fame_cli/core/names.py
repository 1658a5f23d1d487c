"""The names of the route table as they stand in records: one text each (docs/wire-extensions.md).

An address and a physical path stand for themselves, the offer of a capability is ``<capability> <address>``; no address
holds a space, so the last one divides them.
"""

from fame_cli.core.address import is_node_path, parse
from fame_cli.core.table import DEFAULT_ROUTE, Name
from fame_cli.errors import RemoteProtocolError

__all__ = ["MAX_CAPABILITY_LENGTH", "is_announceable", "is_path", "name_of", "wire_name"]

MAX_CAPABILITY_LENGTH = 256
"""Characters in one capability: a bound of ours, the original has none."""


def wire_name(name: Name) -> str:
    """Write a name as it stands in a record."""
    return f"{name[0]} {name[1]}" if isinstance(name, tuple) else name


def name_of(text: str) -> Name | None:
    """Read a name of a record; None for what isn't one, or is of a kind this version doesn't know."""
    if is_path(text):
        return text if text == DEFAULT_ROUTE or is_node_path(text) else None
    capability, space, address = text.rpartition(" ")
    try:
        if not is_announceable(address) or len(capability) > MAX_CAPABILITY_LENGTH:
            return None
    except RemoteProtocolError:
        return None
    if not space:
        return address
    return (capability, address) if capability else None


def is_path(text: str) -> bool:
    """Tell whether a name of a record is meant as a physical path; a capability may begin with a slash, too."""
    return text.startswith("/") and " " not in text


def is_announceable(address: str) -> bool:
    """Tell whether an address may be bound over a link: logical, and not one of the reserved participants.

    Raises:
        RemoteProtocolError: not an address.
    """
    parsed = parse(address)
    return not parsed.path and not parsed.participant.startswith("__")
