"""What sentinels tell each other: every one originates one record of its links and offers, and all hand them on.

Pure functions over `NodeState`. A link that opens begins with a summary each way, and each side sends what the other
lacks. From then on a change travels as a delta, over each link at most once a direction, because every node remembers
which version each neighbour has, by its word or by our own deltas. What changed within one turn of the loop travels in
one message. A digest goes with the heartbeats; where it differs, the summary is sent again (docs/wire-extensions.md).

Nothing here routes: records become ways in the route table, and ``topology.py`` says which next hop they have.
"""

from collections.abc import Iterable

from fame_cli.core.address import is_node_id
from fame_cli.core.announce import tell
from fame_cli.core.envelope import encode_json
from fame_cli.core.frames import MeshRecord, MeshSummary, MeshUpdate
from fame_cli.core.keysharing import tell_key
from fame_cli.core.link import Link
from fame_cli.core.names import name_of
from fame_cli.core.namesake import MAX_INCARNATION, has_other_key, heard_of_ourselves
from fame_cli.core.proving import is_alive, proof_of, sign_own, sums
from fame_cli.core.publish import check_conflict
from fame_cli.core.record import NOTHING, Mesh, Record, Version, both
from fame_cli.core.section import Section
from fame_cli.core.session import State
from fame_cli.core.state import NodeState, send
from fame_cli.core.table import Name
from fame_cli.errors import RemoteProtocolError

__all__ = ["ask", "flush", "forget", "join", "leave", "on_summary", "on_update", "reprice", "set_cost"]

ASK_S = 1.0
"""Seconds between two summaries to one neighbour."""

MAX_RECORDS = 16_384
"""Records of other sentinels kept; past it, those out of reach make room, and strangers find none."""

LOST_S = 2.0
"""Seconds out of reach after which a record has to make room, if there is none: it may have come just now."""

MOST_BYTES = 65_536
"""Bytes in one message of the mesh, about: less than what a neighbour takes unless it was told to take little."""

SUMMARY_ENTRY_BYTES = 56
"""What an entry of a summary takes beside the id, at most."""

RECORD_BYTES = 512
"""What a record of an update takes beside the names in it, at most: id, instance, and four numbers."""


# Links


def join(state: NodeState, link: Link, now: float) -> None:
    """Take a link to a sentinel of ours that has opened; beside another one that is in use it stays in reserve."""
    mesh = state.mesh
    assert mesh is not None
    before = mesh.links.get(link.remote_id)
    session = state.sessions.get(before) if before is not None else None
    if session is not None and session.state is State.OPEN:
        ask(state, link, now)  # the other end may have chosen this one
        return
    mesh.links[link.remote_id] = link
    if before is not None:
        _forget_link(mesh, before)
        _point(state, mesh, before, link)
    if mesh.own.links.put(link.remote_id, link.cost, now):
        mesh.links_changed(now)
        mesh.spread(mesh.own.node_id, now)
    ask(state, link, now)


def set_cost(state: NodeState, link: Link, cost: int, now: float) -> None:
    """Make a link as dear as the end that didn't make it says, if that is dearer."""
    mesh = state.mesh
    if mesh is None or cost <= link.cost or mesh.links.get(link.remote_id) is not link:
        return
    link.cost = cost
    mesh.own.links.put(link.remote_id, cost, now)
    mesh.links_changed(now)
    mesh.spread(mesh.own.node_id, now)


def reprice(state: NodeState, link: Link, now: float) -> None:
    """Take what the ends of a link say of its cost now, be it less than before."""
    mesh, cost = state.mesh, max(link.own_cost, link.told_cost)
    if mesh is None or cost == link.cost:
        return
    link.cost = cost
    if mesh.links.get(link.remote_id) is link and state.draining_since is None:
        mesh.own.links.put(link.remote_id, cost, now)
        mesh.links_changed(now)
        mesh.spread(mesh.own.node_id, now)


def leave(state: NodeState, link: Link, now: float) -> None:
    """Take the end of such a link: nothing goes over it from this moment on."""
    mesh = state.mesh
    if mesh is None:
        return
    _forget_link(mesh, link)
    if mesh.links.get(link.remote_id) is not link:
        return
    others = (session.link for session in state.sessions.values() if session.state is State.OPEN)
    other = next((each for each in others if each.meshes and each.remote_id == link.remote_id), None)
    if other is not None:  # a parent that is a peer, too
        join(state, other, now)
        return
    del mesh.links[link.remote_id]
    _point(state, mesh, link, None)
    mesh.own.links.put(link.remote_id, None, now)
    mesh.links_changed(now)
    mesh.spread(mesh.own.node_id, now)


def _point(state: NodeState, mesh: Mesh, before: Link, after: Link | None) -> None:
    """Have what went over one link go over another, or nowhere until the next hops are computed."""
    for record in mesh.records.values():
        for way in (record.bound, record.hearsay):
            way.link = after if way.link is before else way.link
    state.table.changed()


def _forget_link(mesh: Mesh, link: Link) -> None:
    for memory in (mesh.known, mesh.owed, mesh.asked, mesh.summed_up):
        memory.pop(link, None)


# Summaries


def ask(state: NodeState, link: Link, now: float) -> None:
    """Say what this node has, in pieces of bounded size that follow on each other."""
    mesh = state.mesh
    session = state.sessions.get(link)
    if mesh is None or session is None or now - mesh.asked.get(link, float("-inf")) < ASK_S:
        return
    mesh.asked[link] = now
    versions = {mesh.own.node_id: mesh.own.version} | {
        record.node_id: record.version for record in mesh.records.values() if record.lost_at is None
    }
    have: dict[str, Version] = {}
    after, size, most = "", 0, _most_bytes(state)
    for node_id in sorted(versions):
        if size > most:
            upto = max(have)
            send(state, session, MeshSummary(have=have, after=after, upto=upto))
            have, after, size = {}, upto, 0
        have[node_id] = versions[node_id]
        size += len(node_id) + SUMMARY_ENTRY_BYTES
    send(state, session, MeshSummary(have=have, after=after))


def _most_bytes(state: NodeState) -> int:
    return min(state.settings.max_message_bytes * 3 // 4 - 1024, MOST_BYTES)


def on_summary(state: NodeState, link: Link, summary: MeshSummary, now: float) -> None:
    """Take what a neighbour has; what it lacks goes out at the end of the turn, what we lack we ask for."""
    mesh = state.mesh
    if mesh is None or not link.meshes or not _is_in_turn(mesh, link, summary, now):
        return
    known = mesh.known.setdefault(link, {})
    for node_id in [n for n in known if _in_range(n, summary)]:
        del known[node_id]
    lacking = False
    for node_id, version in summary.have.items():
        if is_node_id(node_id) and _in_range(node_id, summary) and len(known) <= MAX_RECORDS:
            known[node_id] = version
            record = _record(mesh, node_id)
            lacking = lacking or record is None or _is_behind(record.version, version)
    for record in (mesh.own, *mesh.records.values()):
        node_id = record.node_id
        behind = _is_behind(known.get(node_id, NOTHING), record.version)
        if behind and record.lost_at is None and _in_range(node_id, summary):
            mesh.owe(link, node_id, now)
    if lacking:
        ask(state, link, now)


def _is_in_turn(mesh: Mesh, link: Link, summary: MeshSummary, now: float) -> bool:
    """Tell whether a summary is to be heard: who asks for everything time and again gets it now and then.

    A neighbour sends one a second at most, its pieces one after the other; half a second leaves room for a slow link.
    """
    since, follows = mesh.summed_up.get(link, (float("-inf"), ""))
    if summary.after:
        if summary.after != follows or (summary.upto and summary.upto <= summary.after):
            return False
    elif now - since < ASK_S / 2:
        return False
    else:
        since = now
    mesh.summed_up[link] = (since, summary.upto)
    return True


def _in_range(node_id: str, summary: MeshSummary) -> bool:
    return node_id > summary.after and (not summary.upto or node_id <= summary.upto)


def _is_behind(one: Version, other: Version) -> bool:
    """Tell whether who has `one` lacks anything of `other`."""
    return one[0] < other[0] or (one[0] == other[0] and (one[1] < other[1] or one[2] < other[2]))


def _record(mesh: Mesh, node_id: str) -> Record | None:
    return mesh.own if node_id == mesh.own.node_id else mesh.records.get(node_id)


# Updates


def flush(state: NodeState, now: float) -> None:
    """Send each neighbour what is newer than what it has: one message a link, unless that gets too large."""
    mesh = state.mesh
    if mesh is None or mesh.flush_at is None or now < mesh.flush_at:
        return
    mesh.flush_at = None
    if any(mesh.own.node_id in owed for owed in mesh.owed.values()):
        sign_own(state, mesh)
    mesh.stale, mesh.changed = mesh.stale or mesh.changed, False
    owed, mesh.owed = mesh.owed, {}
    for link, node_ids in owed.items():
        _flush_link(state, mesh, link, node_ids)


def _flush_link(state: NodeState, mesh: Mesh, link: Link, node_ids: Iterable[str]) -> None:
    known, session = mesh.known.get(link), state.sessions.get(link)
    if known is None or session is None:
        return
    batch: list[MeshRecord] = []
    size, most = 0, _most_bytes(state)
    for record in [record for node_id in node_ids if (record := _record(mesh, node_id)) is not None]:
        node_id = record.node_id
        tell_key(state, session, record.kid)
        for message in record.messages(known.get(node_id, NOTHING), most - RECORD_BYTES):
            more = len(encode_json(message))
            if batch and size + more > most:
                send(state, session, MeshUpdate(records=batch))
                batch, size = [], 0
            batch.append(message)
            size += more
        known[node_id] = both(known.get(node_id, NOTHING), record.version)
    if batch:
        send(state, session, MeshUpdate(records=batch))


def on_update(state: NodeState, link: Link, update: MeshUpdate, now: float) -> None:
    """Take news from a neighbour and have the others told."""
    mesh = state.mesh
    if mesh is None or not link.meshes:
        return
    refused = [message.id for message in update.records if not _take_in(state, mesh, link, message, now)]
    if refused:
        state.note("record_refused", "warning", node=refused[0][:128], link=link.number, records=len(refused))


def _take_in(state: NodeState, mesh: Mesh, link: Link, message: MeshRecord, now: float) -> bool:
    """Take one record; False when it can't be, or there is no room for it."""
    if not (is_node_id(message.id) and is_node_id(message.instance) and 0 < message.incarnation <= MAX_INCARNATION):
        return False
    if not is_alive(state, message, _record(mesh, message.id)):
        return False
    if message.id == mesh.own.node_id:
        heard_of_ourselves(state, mesh, link, message, now)
        return True
    known = mesh.records.get(message.id)
    if known is not None and has_other_key(state, known, message, link):
        return False
    if known is None and not _has_room(state, mesh, message.id, now):
        return False
    try:
        _take(state, mesh, link, message, now)
    except RemoteProtocolError:
        return False
    return True


def _has_room(state: NodeState, mesh: Mesh, node_id: str, now: float) -> bool:
    """Make room for a record: one of a neighbour always has some, others take it from what is out of reach."""
    if len(mesh.records) < MAX_RECORDS or node_id in mesh.links:
        return True
    for record in mesh.records.values():
        if record.lost_at is not None and now - record.lost_at >= LOST_S and record.node_id not in mesh.links:
            forget(state, record, now)
            return True
    return False


def _take(state: NodeState, mesh: Mesh, link: Link, message: MeshRecord, now: float) -> None:
    record = mesh.records.get(message.id)
    if record is None:
        record = mesh.records[message.id] = _begun(state, message, now)
        state.table.origins[message.id] = record.bound
    life, before, gap = (message.incarnation, message.instance), (record.life, record.version), False
    if life != record.life and message.incarnation == record.incarnation:
        mesh.doubt(message.id, now)
    if life < record.life:
        mesh.owe(link, message.id, now)
        return
    if life > record.life:
        _restart(state, mesh, record, message, now)
    mesh.heard(link, message)
    if message.links is not None:
        gap = record.links.misses(message.links)
        if record.links.apply(message.links, now, proof_of(state, message, "links")):
            mesh.links_changed(now)
    if message.offers is not None:
        gap = gap or record.offers.misses(message.offers)
        _offers_changed(state, record, message, link, now)
    if gap:
        ask(state, link, now)
    if (record.life, record.version) != before:
        mesh.spread(message.id, now)


def _begun(state: NodeState, message: MeshRecord, now: float) -> Record:
    record = Record(message.id, message.instance, message.incarnation, heard_at=now, lost_at=now)
    record.links.sum = record.offers.sum = sums(state)
    record.kid, record.signature = message.kid, message.sig
    return record


def _offers_changed(state: NodeState, record: Record, message: MeshRecord, link: Link, now: float) -> None:
    """Turn changed offers into ways of the route table, and tell plain neighbours."""
    names: list[Name] = []
    assert message.offers is not None
    changed = record.offers.apply(message.offers, now, proof_of(state, message, "offers"))
    for text, (before, after) in (changed or {}).items():
        name = name_of(text)
        if name is None:
            continue
        names.append(name)
        if before is not None:
            state.table.remove(name, record.way(before))
        if after is not None and state.gate.may_offer(record.node_id, record.kid, text, link):
            state.table.add(name, record.way(after))
        check_conflict(state, name)
    tell(state, names, now)


def _restart(state: NodeState, mesh: Mesh, record: Record, message: MeshRecord, now: float) -> None:
    """Begin a record again: its sentinel has begun a new life and nothing of the old one counts."""
    _drop_offers(state, record, now)
    record.instance, record.incarnation, record.heard_at = message.instance, message.incarnation, now
    record.links, record.offers = Section(sum=sums(state)), Section(sum=sums(state))
    record.kid, record.signature = message.kid, message.sig
    mesh.links_changed(now)


def forget(state: NodeState, record: Record, now: float) -> None:
    """Forget a sentinel and everything it has said."""
    mesh = state.mesh
    assert mesh is not None
    _drop_offers(state, record, now)
    del mesh.records[record.node_id]
    del state.table.origins[record.node_id]
    for known in mesh.known.values():
        known.pop(record.node_id, None)
    state.note("record_forgotten", "debug", node=record.node_id)


def _drop_offers(state: NodeState, record: Record, now: float) -> None:
    """Take everything a record offers out of the route table."""
    names = [(name, value) for text, value in record.offers.items() if (name := name_of(text)) is not None]
    for name, value in names:
        state.table.remove(name, record.way(value))
    tell(state, [name for name, _ in names], now)
