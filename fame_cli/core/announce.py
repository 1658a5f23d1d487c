"""Telling neighbours without the mesh which names lie this way (spec 6.1-6.3): AddressBind, CapabilityAdvertise and
their undoing.

Pure. One rule decides what a link may hear (`_exports`), one diff against what it has heard makes the frames, so
repeating an announcement costs nothing and every withdrawal finds its announcement. A leaf announcing its own
addresses to its sentinel and a sentinel announcing to a plain parent or peer are the same thing.

A plain Naylence peer hears AddressBind only, never sooner than 1 s after the attach, and never an unbind: it has no
rule for more, and what it has no rule for can stop its read loop (spec 6.2, 6.5). Plain sentinels may be linked among
themselves, where the last bind wins and nothing stops a loop. So those of us that have plain peers tell them of a name
one after the other (`_wait_s`), and not at all when the peer has it from another of us. A child is never told anything.
"""

from collections.abc import Container, Iterable, Iterator

from fame_cli.core.address import physical
from fame_cli.core.balance import is_hearsay
from fame_cli.core.envelope import ACK, encode_json
from fame_cli.core.frames import AddressBind, AddressUnbind, CapabilityAdvertise, CapabilityWithdraw
from fame_cli.core.link import Link, LinkKind, Origin, Way, next_link
from fame_cli.core.session import Session
from fame_cli.core.state import NodeState, send
from fame_cli.core.table import DEFAULT_ROUTE, Name

__all__ = ["has_listeners", "plain_peer", "tell", "tell_all", "tell_waiting", "told_by"]

PLAIN_PEER_DELAY_S = 1.0
"""Seconds between the attach of a plain Naylence peer and our first AddressBind (spec 6.2)."""

STAGGER_S = 1.0
"""Seconds between the turns of sentinels that tell their plain peers of one name: binds that cross would make a loop.

What a plain neighbour said waits one turn more, for others of its kind to say first that they know."""


MOST_CAPABILITIES = 512
MOST_BYTES = 32_768
"""Capabilities in one frame, and bytes they take there, about."""


def plain_peer(link: Link) -> bool:
    """Tell whether the link leads to a peer that knows the original's rules only."""
    return link.kind is LinkKind.PEER and not link.meshes


def has_listeners(state: NodeState) -> bool:
    """Tell whether any neighbour is told of names this way."""
    return bool(state.listeners)


def tell_all(state: NodeState, session: Session, now: float) -> None:
    """Tell one neighbour everything it may hear and hasn't, once its time has come."""
    if session.announce_at is None or now < session.announce_at:
        return
    if plain_peer(session.link) and now < session.announce_at + STAGGER_S * _turn(state):
        return
    session.replayed = True
    _tell_one(state, session, [*state.table.names()], now)


def tell(state: NodeState, names: Iterable[Name], now: float) -> None:
    """Tell every neighbour concerned what became of these names; who is told everything later is left out."""
    if not state.listeners:
        return
    names = [name for name in names if isinstance(name, tuple) or not name.startswith("/")]
    sessions = [session for session in state.listeners.values() if session.is_open and session.replayed]
    if any(plain_peer(session.link) for session in sessions):
        for name in names:
            wait_s = _wait_s(state, name)
            if wait_s:
                state.waiting.setdefault(name, now + wait_s)
            else:
                state.waiting.pop(name, None)
    for session in sessions if names else ():
        _tell_one(state, session, names, now)


def tell_waiting(state: NodeState, now: float) -> None:
    """Tell plain peers of the names whose turn has come; called now and then."""
    due = [name for name, when in state.waiting.items() if now >= when]
    for name in due:
        del state.waiting[name]
    for session in state.listeners.values() if due else ():
        if session.is_open and session.replayed:
            _tell_one(state, session, due, now)


def _wait_s(state: NodeState, name: Name) -> float:
    """Return how long plain peers wait for a name: its owner tells first, then the others in the order of their ids."""
    ways = state.table.ways(name)
    if any(isinstance(way, Link) and not is_hearsay(way) for way in ways):
        return 0.0
    gateways = _gateways(state)
    somebody_first = any(is_hearsay(way) or (isinstance(way, Origin) and way.node_id in gateways) for way in ways)
    return STAGGER_S * (_turn(state) + somebody_first)


def _turn(state: NodeState) -> int:
    """Return how many sentinels with plain peers come before this one."""
    return sum(node_id < state.settings.node_id for node_id in _gateways(state))


def _gateways(state: NodeState) -> set[str]:
    """Return the other sentinels that have plain peers: they offer their paths by hearsay."""
    return {
        way.node_id
        for path in state.table.paths()
        if path != DEFAULT_ROUTE
        for way in state.table.ways(path)
        if isinstance(way, Origin) and way.hearsay and way.link is not None
    }


def _tell_one(state: NodeState, session: Session, names: list[Name], now: float) -> None:
    plain = plain_peer(session.link)
    gained: dict[str, list[str]] = {}
    lost: dict[str, list[str]] = {}
    for name in names:
        wanted = _exports(state, session, name, now)
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
        for part in _parts(capabilities):
            _say(state, session, CapabilityWithdraw(capabilities=part, address=address))
    for address, capabilities in gained.items():
        for part in _parts(capabilities):
            _say(state, session, CapabilityAdvertise(capabilities=part, address=address))


def _parts(capabilities: list[str]) -> Iterator[list[str]]:
    """Divide what doesn't fit into one frame: a sentinel of ours takes no more than so many at once."""
    part: list[str] = []
    size = 0
    for capability in capabilities:
        if len(part) >= MOST_CAPABILITIES or size > MOST_BYTES:
            yield part
            part, size = [], 0
        part.append(capability)
        size += len(encode_json(capability))
    yield part


def _exports(state: NodeState, session: Session, name: Name, now: float) -> bool:
    """Tell whether a neighbour may hear of a name: it must lead somewhere else, and not be what it said itself."""
    if state.draining_since is not None:
        return False
    link = session.link
    ways = [way for way in state.table.ways(name) if next_link(way) is not None]
    if not plain_peer(link):
        return any(next_link(way) is not link for way in ways)
    if now < state.waiting.get(name, now) or _is_told_by_another(state, session, name):
        return False
    if any(not is_hearsay(way) for way in ways):
        return True
    return link not in ways and any(not _said_by(state, link, way) for way in ways)


def told_by(state: NodeState, paths: Container[Name]) -> list[Name]:
    """List the names that plain peers have from the sentinels at these paths, and so not from this one."""
    sessions = state.listeners.values()
    return [name for session in sessions for name, path in session.echoes.items() if path in paths]


def _is_told_by_another(state: NodeState, session: Session, name: Name) -> bool:
    """Tell whether a plain peer has a name from another sentinel of ours that is still there."""
    path = session.echoes.get(name) if isinstance(name, str) else None
    return path is not None and any(next_link(way) is not None for way in state.table.ways(path))


def _said_by(state: NodeState, link: Link, way: Way) -> bool:
    """Tell whether a sentinel that goes by hearsay may have it from the very neighbour at `link`."""
    if not isinstance(way, Origin):
        return False
    others = state.table.ways(f"/{link.remote_id}")
    return any(isinstance(other, Origin) and other.node_id == way.node_id for other in others)


def _remember(session: Session, name: Name, wanted: bool) -> None:
    if wanted:
        session.announced.add(name)
    else:
        session.announced.discard(name)


def _bind(state: NodeState, session: Session, address: str) -> None:
    ref = _say(state, session, AddressBind(address=address, physical_path=state.table.path or None))
    session.announced.add(address)
    if session.link.kind is LinkKind.PARENT:
        session.unanswered[ref] = address


def _unbind(state: NodeState, session: Session, address: str) -> None:
    ref = _say(state, session, AddressUnbind(address=address))
    session.announced.discard(address)
    if session.link.kind is LinkKind.PARENT:
        session.withdrawn.add(ref)


def _say(
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
