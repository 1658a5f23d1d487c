"""What a node looks after now and then: handshakes that take too long, neighbours that fell silent, heartbeats.

Pure functions over `NodeState`; ``node.py`` calls `sweep` once a second, which is fine enough for all of these.
"""

from fame_cli.core import attach
from fame_cli.core.announce import tell_all, tell_waiting
from fame_cli.core.frames import NodeHeartbeat
from fame_cli.core.keysharing import forget_overdue
from fame_cli.core.reach import digest_meta, forget_lost
from fame_cli.core.session import Session
from fame_cli.core.state import NodeState, send

__all__ = ["SWEEP_S", "sweep"]

SWEEP_S = 1.0
"""Seconds between two looks at the sessions: handshakes, heartbeats and silence need no finer clock."""

CLOSE_SILENT = 1001

CLOSE_EXPIRED = 4401
"""Close code of a link whose credential has expired; those from 4000 on are for applications (RFC 6455, 7.4.2)."""


def sweep(state: NodeState, now: float, due: float) -> None:
    """End what has lasted too long, beat where it is time, tell who has waited.

    Only sessions are looked at for which it may be time: of 10,000 that beat every 15 s that is one in twenty.

    Args:
        due: when this should have been called; much later than that means that this node doesn't keep up.
    """
    behind = now - due >= SWEEP_S
    if behind:
        _excuse(state, now, now - due)
    for session in state.due(now):
        again = _look(state, session, now, behind)
        if again is not None:
            state.look_at(session, again)
    if state.budget.refused:
        _tell_full(state)
    tell_waiting(state, now)
    forget_overdue(state, now)
    forget_lost(state, now)
    state.calls.forget_stale(now)


def _excuse(state: NodeState, now: float, absent_s: float) -> None:
    """Take time in which this node did nothing (stopped, asleep, busy) off the silence of its neighbours.

    What they said meanwhile may wait to be read, and who only answers wasn't asked.
    """
    for session in state.sessions.values():
        session.last_heard = min(now, session.last_heard + absent_s)
        if session.probed_at is not None:
            session.probed_at = min(now, session.probed_at + absent_s)


def _tell_full(state: NodeState) -> None:
    """Say how many envelopes there was no room for since the last sweep, and for whom most is held."""
    budget = state.budget
    held = {session.link.remote_id: session.flow.held_bytes for session in state.sessions.values()}
    slowest = max(held, key=held.__getitem__, default="")
    node_bytes = held.get(slowest, 0)
    state.note(
        "envelopes_given_up",
        "warning",
        count=budget.refused,
        node=slowest if node_bytes else "",
        node_bytes=node_bytes,
        held_bytes=budget.held_bytes,
        max_held_bytes=budget.most_bytes,
    )
    budget.refused = 0


def _look(state: NodeState, session: Session, now: float, behind: bool) -> float | None:
    """Do what it is time for in one session.

    Returns:
        When to look again, in the core's seconds; None when it has ended.
    """
    link = session.link
    if session.deadline and now >= session.deadline:
        if behind and not session.excused:  # what it has sent may be waiting for us to read it
            session.excused, session.deadline = True, now + SWEEP_S
            return session.deadline
        state.note("attach_timed_out", "warning", link=link.number)
        attach.end(state, session, CLOSE_SILENT, "no attach in time")
        return None
    if link.expires_at and now >= link.expires_at:
        state.note("grant_expired", "warning", link=link.number, node=link.remote_id)
        attach.end(state, session, CLOSE_EXPIRED, "the credential has expired")
        return None
    silent_s = now - session.last_heard
    if session.is_open and silent_s >= session.silence_s - SWEEP_S / 2:  # at the sweep that is nearest
        state.note("link_silent", "warning", link=link.number, node=link.remote_id, silent_s=round(silent_s, 1))
        attach.end(state, session, CLOSE_SILENT, "nothing heard")
        return None
    if attach.retired(state, session, now):
        attach.end(state, session, attach.CLOSE_NORMAL, "replaced by a newer link")
        return None
    if session.is_open:
        _beat(state, session, now)
    if link.dialed or link in state.listeners or session.replaced_at is not None:
        return now
    again = session.deadline or session.last_heard + session.silence_s - SWEEP_S / 2
    return min(again, link.expires_at) if link.expires_at else again


def _beat(state: NodeState, session: Session, now: float) -> None:
    if session.link.dialed and now >= session.next_beat - SWEEP_S / 2:  # at the sweep that is nearest
        session.next_beat = now + session.beat_s
        send(state, session, NodeHeartbeat(), corr_id=state.new_id(), meta=digest_meta(state, session.link, now))
    if not session.replayed:
        tell_all(state, session, now)
