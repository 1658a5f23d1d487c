"""Telling neighbours which names lie this way (spec 6.1-6.3): AddressBind, CapabilityAdvertise and their undoing.

Pure. One rule decides what a link may hear (`_exports`), one diff against what it has heard makes the frames, so
repeating an announcement costs nothing and every withdrawal finds its announcement. A leaf announcing its own
addresses to its sentinel and a sentinel announcing to its peers are the same thing.

A plain Naylence peer hears AddressBind only, never sooner than 1 s after the attach, and never an unbind: it has no
rule for more, and what it has no rule for can stop its read loop (spec 6.2, 6.5). A child is never told anything.
"""

from collections.abc import Iterable

from fame_cli.core.address import parse, physical
from fame_cli.core.envelope import ACK
from fame_cli.core.frames import AddressBind, AddressUnbind, CapabilityAdvertise, CapabilityWithdraw
from fame_cli.core.link import Link, LinkKind
from fame_cli.core.session import Session
from fame_cli.core.state import NodeState, send
from fame_cli.core.table import Offer

__all__ = ["announce", "announce_all", "is_announceable", "plain_peer"]

PLAIN_PEER_DELAY_S = 1.0
"""Seconds between the attach of a plain Naylence peer and our first AddressBind (spec 6.2)."""


def plain_peer(link: Link) -> bool:
    """Tell whether the link leads to a peer that knows the original's rules only."""
    return link.kind is LinkKind.PEER and "announce" not in link.extensions


def announce_all(state: NodeState, session: Session, now: float) -> None:
    """Tell one neighbour everything it may hear and hasn't, once its time has come."""
    if session.announce_at is not None and session.announce_at <= now:
        session.replayed = True
        _announce_to(state, session, [*state.table.names()])


def announce(state: NodeState, names: Iterable[str | Offer]) -> None:
    """Tell every neighbour concerned what became of these names; who is told everything later is left out."""
    names = list(names)
    for session in state.sessions.values() if names else ():
        if session.is_open and session.replayed:
            _announce_to(state, session, names)


def _announce_to(state: NodeState, session: Session, names: list[str | Offer]) -> None:
    plain = plain_peer(session.link)
    gained: dict[str, list[str]] = {}
    lost: dict[str, list[str]] = {}
    for name in names:
        wanted = _exports(state, session.link, name)
        if wanted == (name in session.announced):
            continue
        if isinstance(name, tuple):
            if not plain:
                (gained if wanted else lost).setdefault(name[1], []).append(name[0])
                _remember(session, name, wanted)
        elif wanted:
            _bind(state, session, name)
        elif not plain:
            _unbind(state, session, name)
    for address, capabilities in lost.items():
        _tell(state, session, CapabilityWithdraw(capabilities=capabilities, address=address))
    for address, capabilities in gained.items():
        _tell(state, session, CapabilityAdvertise(capabilities=capabilities, address=address))


def _exports(state: NodeState, link: Link, name: str | Offer) -> bool:
    """Tell whether `link` may hear of a name: it must lead somewhere else, and peers only hear what isn't a peer's."""
    ways = [way for way in state.table.links(name) if way is not link]
    if link.kind is LinkKind.PARENT:
        return bool(ways)
    return any(way.kind in (LinkKind.LOCAL, LinkKind.CHILD) for way in ways)


def _remember(session: Session, name: str | Offer, wanted: bool) -> None:
    if wanted:
        session.announced.add(name)
    else:
        session.announced.discard(name)


def _bind(state: NodeState, session: Session, address: str) -> None:
    ref = _tell(state, session, AddressBind(address=address, physical_path=state.table.path or None))
    session.announced.add(address)
    if session.link.kind is LinkKind.PARENT:
        session.unanswered[ref] = address


def _unbind(state: NodeState, session: Session, address: str) -> None:
    _tell(state, session, AddressUnbind(address=address))
    session.announced.discard(address)


def _tell(
    state: NodeState, session: Session, frame: AddressBind | AddressUnbind | CapabilityAdvertise | CapabilityWithdraw
) -> str:
    return send(
        state,
        session,
        frame,
        reply_to=physical("__sys__", state.table.path),
        corr_id=state.new_id(),
        rtype=ACK,
    )


def is_announceable(address: str) -> bool:
    """Tell whether an address may be bound over a link: logical, and not one of the reserved participants.

    Raises:
        RemoteProtocolError: not an address.
    """
    parsed = parse(address)
    return not parsed.path and not parsed.participant.startswith("__")
