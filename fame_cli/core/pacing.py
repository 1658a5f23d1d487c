"""How answers wait for the next second where their asker has got all it may in this one, and go on then.

What waits keeps the credit it came with if it is a stream's, so that its producer waits, too; nobody else does. Pure
functions over `NodeState`.
"""

from itertools import groupby
from operator import itemgetter

from fame_cli.core.answering import release
from fame_cli.core.session import Session
from fame_cli.core.state import NodeState

__all__ = ["resume", "wake"]

TURN = 8
"""Envelopes of one flow that go out before it is another's turn."""


def resume(state: NodeState, session: Session) -> None:
    """Send what waited for the transport of a link."""
    for flow, group in groupby(session.flow.resume(), key=itemgetter(0)):
        release(state, session, flow, [held for _, held in group])
    for waiting, flow in list(state.producers):
        if waiting is session.link:
            release(state, session, flow, [])


def wake(state: NodeState, now: float) -> None:
    """Send what the next second allows, flow by flow in turns, to everybody who rests; nothing before it begins."""
    if not state.resting or now < state.wake_at:
        return
    woken, state.resting = state.resting, {}
    for session in woken.values():
        session.flow.resting = False
        while ready := session.flow.ready():
            for flow in ready:
                release(state, session, flow, session.flow.free(flow, TURN))
