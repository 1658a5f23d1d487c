"""How keys get to where their signatures are met: told ahead of the first envelope, asked for where they lack.

Pure functions over `NodeState`. Every node checks what it lets through, so it has the key of all it has sent on, and a
question never goes further than to the neighbour an envelope came from (security.md 4.4). Between nodes of ours, and to
plain sentinels, the key goes ahead of the envelope, and nobody has to ask. An envelope whose key lacks is parked, a
bounded number for a bounded time; whoever sends more than that, or signs with a key that nobody knows, gets a NACK.
"""

import msgspec

from fame_cli.core.ending import deny
from fame_cli.core.envelope import Envelope, raw_list
from fame_cli.core.frames import KeyAnnounce, KeyRequest
from fame_cli.core.gate import KnownKey, Refusal
from fame_cli.core.link import Link, LinkKind
from fame_cli.core.parking import Parked
from fame_cli.core.session import Session
from fame_cli.core.state import NodeState, send

__all__ = ["forget_overdue", "on_key_announce", "on_key_request", "park", "tell_key"]

MAX_TOLD = 4096
"""Keys remembered to have been told to one neighbour; past it, all of them may be told again."""


def park(state: NodeState, parked: Parked, kid: str, now: float) -> bool:
    """Have an envelope wait for its key, and ask the neighbour it came from; False when it may not wait.

    It waits once for each key: one that has come and isn't at the path the envelope names would else be asked for, and
    told, for ever.
    """
    session = parked.session
    link = session.link
    if kid in parked.waited or not state.parking.has_room(link, kid, len(parked.data)):
        return False
    asked = ""
    if not state.parking.has_asked(link, kid):
        asked = state.new_id()
        send(state, session, KeyRequest(kid=kid, physical_path=state.table.path), corr_id=asked)
    state.parking.add(kid, parked._replace(waited=(*parked.waited, kid)), asked, now)
    return True


def on_key_announce(state: NodeState, session: Session, envelope: Envelope) -> list[Parked]:
    """Take keys a neighbour tells of; returns what has waited for them, to be looked at again."""
    frame = envelope.frame
    assert isinstance(frame, KeyAnnounce)
    refusal = state.gate.learn(frame, session.link)
    if refusal is not None:
        path = frame.physical_path[:128]
        state.note("key_refused", "warning", link=session.link.number, path=path, code=refusal.code)
    freed = [parked for kid in _kids(frame.keys) if state.gate.find(kid) for parked in state.parking.take(kid)]
    for parked in state.parking.take_asked(session.link, envelope.corr_id or ""):
        _give_up(state, parked)
    return freed


def _kids(keys: msgspec.Raw) -> list[str]:
    try:
        listed = msgspec.json.decode(keys, type=list[_Named]) if bytes(keys) else []
    except msgspec.DecodeError:
        return []
    return [each.kid for each in listed]


class _Named(msgspec.Struct):
    """Read the one member of a JWK that is asked for here."""

    kid: str = ""


def on_key_request(state: NodeState, session: Session, envelope: Envelope) -> None:
    """Tell a neighbour a key it asks for; one of ours is told, too, that we don't know it."""
    frame = envelope.frame
    assert isinstance(frame, KeyRequest)
    kid = frame.kid or ""
    known = state.gate.find(kid) if state.gate.may("key", session.link, kid) is None else []
    for key in known:
        _announce(state, session, key.path, key.jwks, envelope)
    if not known and session.link.is_ours:
        _announce(state, session, state.table.path, [], envelope)


def _announce(
    state: NodeState, session: Session, path: str, jwks: list[msgspec.Raw], asked: Envelope | None = None
) -> None:
    frame = KeyAnnounce(physical_path=path, keys=raw_list(jwks), created=state.stamp())
    corr_id, trace_id = (asked.corr_id, asked.trace_id) if asked is not None else (None, None)
    send(state, session, frame, corr_id=corr_id, trace_id=trace_id)


def _wants_keys(link: Link) -> bool:
    """Tell whether a neighbour has to be told keys unasked: ours, and plain sentinels, of which a root never asks."""
    return link.is_ours or link.kind is not LinkKind.CHILD


def tell_key(state: NodeState, session: Session, kid: str) -> None:
    """Tell a neighbour a key ahead of what is signed with it, once for each credential that is shown with it."""
    shown = state.gate.shown_with(kid)
    if session.told.get(kid) == shown or not kid or not _wants_keys(session.link):
        return
    if len(session.told) >= MAX_TOLD:
        session.told.clear()
    session.told[kid] = shown
    known: list[KnownKey] = state.gate.find(kid)
    for key in known:
        _announce(state, session, key.path, key.jwks)


def forget_overdue(state: NodeState, now: float) -> None:
    """Refuse what has waited too long for its key."""
    if state.parking:
        for parked in state.parking.take_overdue(now):
            _give_up(state, parked)


def _give_up(state: NodeState, parked: Parked) -> None:
    deny(state, parked.session, parked.envelope, Refusal("KEY_UNKNOWN", "nobody knows the key it is signed with"))
