"""What a message that comes in is: its place among those of its sender, its name, who sent it; and whether it has room.

Pure functions over `NodeState`; nothing changes here. ``inbox.py`` takes it in.
"""

from collections.abc import Mapping
from typing import Any

from fame_cli.core.address import parse
from fame_cli.core.custody import Mailbox
from fame_cli.core.envelope import LANE, PREV, SENDER, SEQ, Envelope
from fame_cli.core.ids import sid_of
from fame_cli.core.link import LOCAL
from fame_cli.core.state import NodeState

__all__ = ["crowded", "mailbox_for", "name_of", "placed", "sender_of"]

MAX_NAME = 128
"""Characters of a lane or an id that somebody else has made up."""


def placed(state: NodeState, envelope: Envelope) -> tuple[str, int, int]:
    """Return a message's lane, its number there, and the number that has to have come before.

    Where envelopes are signed a lane is its signer's, so that nobody can take the numbers of somebody else.
    """
    meta = envelope.meta or {}
    seq, before = _number(meta, SEQ), _number(meta, PREV)
    lane = _text(meta, LANE) if seq else ""
    kid = state.gate.kid(envelope) if state.gate.signs else ""
    if not lane:
        lane, seq, before = envelope.id or state.new_id(), 1, 0
    return f"{lane}/{kid}" if kid else lane, seq, before


def _number(meta: Mapping[str, Any], key: str) -> int:
    value = meta.get(key)
    return value if isinstance(value, int) and 0 < value < 2**53 else 0


def _text(meta: Mapping[str, Any] | None, key: str) -> str:
    value = meta.get(key) if meta else None
    return value[:MAX_NAME] if isinstance(value, str) else ""


def name_of(state: NodeState, envelope: Envelope) -> str:
    """Return the id the sender knows a message by, unless there is one already that is called so."""
    name = envelope.corr_id or ""
    taken = name in state.inbox.arrivals or name in state.outbox.lane_of or name in state.outbox.unkept
    return state.new_id() if taken or not 0 < len(name) <= MAX_NAME else name


def sender_of(state: NodeState, envelope: Envelope) -> str:
    """Return who sent a message: the path it is acknowledged to, or the digest of its signer's, where that is another.

    Of what comes out of a mailbox it is whom that names, if its sentinel may be believed.
    """
    named = _text(envelope.meta, SENDER)
    signs = state.gate.signs
    if named and (not signs or state.gate.speaks_for(envelope, envelope.to or "", keeps=True) is None):
        return named
    path = parse(envelope.reply_to).path if envelope.reply_to else ""
    if envelope.sid and signs and sid_of(path) != envelope.sid:
        return envelope.sid
    return path or envelope.sid or ""


def crowded(state: NodeState, address: str, size: int) -> str:
    """Say why one more message has no room; "" when it has."""
    delivery, box = state.settings.delivery, state.inbox
    if len(box) >= delivery.max_messages or box.size + size > delivery.max_bytes:
        return f"{len(box)} messages wait here to be handled"
    mailbox = mailbox_for(state, address)
    if mailbox is not None:
        lane = state.outbox.lanes.get(address)
        count, held = (lane.count, lane.size) if lane is not None else (0, 0)
        if len(box) + count >= mailbox.max_messages or box.size + held + size > mailbox.max_bytes:
            return f"the mailbox of {address} is full"
    return ""


def mailbox_for(state: NodeState, address: str) -> Mailbox | None:
    """Return the mailbox a message goes to; None where the address is served here."""
    return None if LOCAL in state.table.ways(address) else state.settings.mailboxes.get(address)
