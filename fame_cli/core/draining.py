"""How a node winds down before it ends: nothing new begins, and what runs is finished.

Pure functions over `NodeState`. A sentinel takes back what it has said of itself, so that the others find ways around
it, and refuses what those attached to it ask; what other sentinels sent before they knew still goes on. A leaf takes
its names back and serves what was on its way until its sentinel has said that it knows.
"""

from fame_cli.core import attach
from fame_cli.core.announce import tell
from fame_cli.core.link import LOCAL, Link
from fame_cli.core.mesh import flush
from fame_cli.core.publish import farewell
from fame_cli.core.state import NodeState

__all__ = ["is_idle", "turns_away", "wind_down"]

ANSWER_S = 1.0
"""Seconds a parent has to acknowledge that names are gone; a plain one may never do."""


def wind_down(state: NodeState, now: float) -> None:
    """Begin to wind down; a second time changes nothing."""
    if state.draining_since is not None:
        return
    state.draining_since = now
    for session in [each for each in state.sessions.values() if not each.is_open]:
        attach.end(state, session, attach.CLOSE_NORMAL, "this node is about to end")
    farewell(state)
    tell(state, list(state.table.names()), now)
    flush(state, now)


def turns_away(state: NodeState, origin: Link) -> bool:
    """Tell whether a node that winds down refuses a request: one of a neighbour that can't have heard of it."""
    return state.settings.routes and origin is not LOCAL and not origin.meshes


def is_idle(state: NodeState, now: float) -> bool:
    """Tell whether everything has ended: calls, answers that wait for credit, messages that are handled or under
    way, and what the parent has to know."""
    if len(state.calls) or state.budget.held_bytes or state.inbox.running or state.inbox.ready:
        return False
    if any(lane.flying for lane in state.outbox.lanes.values()):
        return False
    late = state.draining_since is None or now >= state.draining_since + ANSWER_S
    return late or not any(session.withdrawn for session in state.listeners.values())
