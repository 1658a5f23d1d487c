"""What a node looks after now and then: handshakes that take too long, neighbours that fell silent, heartbeats.

Pure functions over `NodeState`; ``node.py`` calls `sweep` once a second, which is fine enough for all of these.
"""

from fame_cli.core import attach
from fame_cli.core.announce import tell_all, tell_waiting
from fame_cli.core.frames import NodeHeartbeat
from fame_cli.core.reach import digest_meta, forget_lost
from fame_cli.core.session import HEARTBEAT_S, SILENCE_S, Session
from fame_cli.core.state import NodeState, send

__all__ = ["sweep"]

CLOSE_NORMAL = 1000
CLOSE_SILENT = 1001


def sweep(state: NodeState, now: float) -> None:
    """End what has lasted too long, beat where it is time, tell who has waited."""
    for session in list(state.sessions.values()):
        if session.deadline and now >= session.deadline:
            state.note("attach_timed_out", "warning", link=session.link.number)
            attach.end(state, session, CLOSE_SILENT, "no attach in time")
        elif session.is_open and now - session.last_heard >= SILENCE_S:
            state.note("link_silent", "warning", link=session.link.number, node=session.link.remote_id)
            attach.end(state, session, CLOSE_SILENT, "nothing heard")
        elif attach.retired(state, session, now):
            attach.end(state, session, CLOSE_NORMAL, "replaced by a newer link")
        elif session.is_open:
            _beat(state, session, now)
    tell_waiting(state, now)
    forget_lost(state, now)
    state.calls.forget_stale(now)


def _beat(state: NodeState, session: Session, now: float) -> None:
    if session.link.dialed and now >= session.next_beat:
        session.next_beat = now + HEARTBEAT_S
        send(state, session, NodeHeartbeat(), corr_id=state.new_id(), meta=digest_meta(state, session.link, now))
    if not session.replayed:
        tell_all(state, session, now)
