"""Answers that come after their call has ended early: dropped, and paid by who asked and didn't wait.

They were on their way when the caller gave up, so that their provider can't be blamed for them. Pure functions over
`NodeState`.
"""

from fame_cli.core.calls import Call, CallKey, Late
from fame_cli.core.link import Link
from fame_cli.core.state import NodeState

__all__ = ["expect_late", "is_late"]

MAX_LATE = 8192
"""Calls remembered; the oldest is forgotten first."""

MAX_NAMES = 1024
"""Characters of a call's names beyond which it isn't remembered."""

UNTOLD = 8192
"""Answers of a stream that may come from a plain provider, which can't be told to stop."""


def expect_late(state: NodeState, key: CallKey, call: Call) -> None:
    """Remember a call that is about to end early, where answers of its provider are counted."""
    provider = state.sessions.get(call.egress)
    if (
        provider is None
        or provider.meter is None
        or not provider.meter.is_bound
        or len(key[0]) + len(key[1]) > MAX_NAMES
    ):
        return
    caller = state.sessions.get(call.ingress)
    payer = caller.meter.answers if caller is not None and caller.meter is not None else None
    left = 1
    if call.streaming:
        left = provider.flow.receive_window if "cancel" in call.egress.extensions else UNTOLD
    state.late.pop(key, None)
    state.late[key] = Late(call.egress, left, payer)
    if len(state.late) > MAX_LATE:
        del state.late[next(iter(state.late))]


def is_late(state: NodeState, origin: Link, key: CallKey, size: int, now: float) -> bool:
    """Tell whether an envelope that belongs to no call answers one that has ended; then it has been paid.

    Args:
        size: its bytes.
    """
    late = state.late.get(key)
    if late is None or late.egress is not origin:
        return False
    late.left -= 1
    if not late.left:
        del state.late[key]
    if late.payer is not None:
        late.payer.owe(size, now)
    meter = state.sessions[origin].meter
    if meter is not None:
        meter.gives_back(size)
    state.note("stale_answer_dropped", "debug", to=key[0], link=origin.number)
    return True
