"""What a message that comes in is: its place among those of its sender, its name, who sent it; and whether it has room.

Pure functions over `NodeState`; nothing changes here. ``inbox.py`` takes it in.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from fame_cli.core.address import parse
from fame_cli.core.custody import Mailbox
from fame_cli.core.envelope import LANE, PREV, SENDER, SEQ, Envelope, encode
from fame_cli.core.gate import Refusal
from fame_cli.core.ids import sid_of
from fame_cli.core.lanes import ROOM
from fame_cli.core.link import LOCAL
from fame_cli.core.state import NodeState

__all__ = ["ALONE", "MAX_NAME", "crowded", "mailbox_for", "own_words", "placed", "sender_of"]

ALONE = "~"
"""How the id of a message begins whose sender numbers nothing; no id that is made here does."""

MAX_NAME = 128
"""Characters of a lane or an id that somebody else has made up."""


def placed(state: NodeState, envelope: Envelope) -> tuple[str, int, int]:
    """Return a message's lane, its number there, and the number that has to have come before.

    Where the sender numbers nothing the lane is `ALONE` and the id of the envelope, with the number 1. Where envelopes
    are signed a lane is its signer's, so that nobody can take the numbers of somebody else.
    """
    meta = envelope.meta or {}
    seq, before = _number(meta, SEQ), _number(meta, PREV)
    lane = _text(meta, LANE) if seq else ""
    kid = state.gate.kid(envelope) if state.gate.signs else ""
    if not lane or lane.startswith(ALONE):
        name = envelope.id or state.new_id()
        lane, seq, before = f"{ALONE}{name if len(name) <= MAX_NAME else sid_of(name)}", 1, 0
    return f"{lane}/{kid}" if kid else lane, seq, before


def _number(meta: Mapping[str, Any], key: str) -> int:
    value = meta.get(key)
    return value if isinstance(value, int) and 0 < value < 2**53 else 0


def _text(meta: Mapping[str, Any] | None, key: str) -> str:
    """Return a text somebody else has made up, "" for one that is longer than any of ours."""
    value = meta.get(key) if meta else None
    return value if isinstance(value, str) and len(value) <= MAX_NAME else ""


def own_words(envelope: Envelope, data: bytes) -> tuple[Envelope, bytes]:
    """Return what a leaf sends, and its bytes, without what it may not say of a message: who sent it, another's lane.

    A lane is called after the id of its sender, which is where it is acknowledged to. A node that had to take another
    id still calls its lanes after the first one, which the other begins with.
    """
    meta = envelope.meta or {}
    name = _text(meta, LANE).partition("/")[0]
    own = parse(envelope.reply_to).path.rpartition("/")[2] if envelope.reply_to else ""
    foreign = {SENDER} if name and own.startswith(name) else {SENDER, LANE, SEQ, PREV}
    if not foreign & meta.keys():
        return envelope, data
    kept = {key: value for key, value in meta.items() if key not in foreign}
    envelope = msgspec.structs.replace(envelope, meta=kept or None)
    return envelope, encode(envelope)


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


def crowded(state: NodeState, address: str, size: int) -> Refusal | None:
    """Say why one more message has no room; None when it has."""
    delivery, box = state.settings.delivery, state.inbox
    if len(box) >= delivery.max_messages or box.size + size > delivery.max_bytes:
        return Refusal("QUEUE_FULL", f"{len(box)} messages wait here to be handled")
    mailbox = mailbox_for(state, address)
    if mailbox is not None:
        if size + ROOM > state.settings.max_message_bytes:
            return Refusal("MESSAGE_TOO_LARGE", f"{size} bytes; a mailbox takes {ROOM} less than an envelope")
        lane = state.outbox.lanes.get(address)
        count, held = (lane.count, lane.size) if lane is not None else (0, 0)
        if len(box) + count >= mailbox.max_messages or box.size + held + size > mailbox.max_bytes:
            return Refusal("QUEUE_FULL", f"the mailbox of {address} is full")
    return None


def mailbox_for(state: NodeState, address: str) -> Mailbox | None:
    """Return the mailbox a message goes to; None where the address is served here."""
    return None if LOCAL in state.table.ways(address) else state.settings.mailboxes.get(address)
