"""The life of one link: attach → open → draining → closed, as a table (spec 5).

Two rules: the connecting side attaches and beats, the accepting side only answers; and an event that the table
doesn't know in a state is refused, never guessed at. What a session holds beside its state are plain facts about the
neighbour; ``control.py`` acts on them.

    dialled:   ATTACHING --ACCEPTED--> OPEN --DRAIN--> DRAINING --CLOSE--> CLOSED
    accepted:  AWAITING  --ATTACHED--> OPEN   (CLOSE leads to CLOSED from every state)
"""

from dataclasses import dataclass, field
from enum import Enum, auto

from fame_cli.core.flow import FlowControl
from fame_cli.core.grant import Holder
from fame_cli.core.limits import Meter
from fame_cli.core.link import Link
from fame_cli.core.table import Name
from fame_cli.errors import LocalProtocolError

__all__ = ["Event", "Session", "State", "fire"]

ATTACH_DEADLINE_S = 10.0
"""Seconds a dialled link waits for its NodeAttachAck (spec 5.2)."""

HEARTBEAT_S = 15.0
"""Seconds between heartbeats of the connecting side towards a node that negotiated nothing (spec 5.3)."""

SILENCE_S = 30.0
"""Seconds without any envelope after which a link to such a node is given up (spec 2.3)."""

BEATS = 0.4
"""Part of the shorter of both ends' silences after which the connecting side beats: twice before it is over."""

LEAST_BEAT_S = 1.0
"""Seconds between two heartbeats at least, whatever the other side wants."""


class State(Enum):
    """Where a link is in its life."""

    ATTACHING = auto()
    AWAITING = auto()
    OPEN = auto()
    DRAINING = auto()
    CLOSED = auto()


class Event(Enum):
    """What moves a link on."""

    ATTACHED = auto()
    ACCEPTED = auto()
    DRAIN = auto()
    CLOSE = auto()


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.AWAITING, Event.ATTACHED): State.OPEN,
    (State.ATTACHING, Event.ACCEPTED): State.OPEN,
    (State.OPEN, Event.DRAIN): State.DRAINING,
    (State.ATTACHING, Event.CLOSE): State.CLOSED,
    (State.AWAITING, Event.CLOSE): State.CLOSED,
    (State.OPEN, Event.CLOSE): State.CLOSED,
    (State.DRAINING, Event.CLOSE): State.CLOSED,
}


CARRYING = (State.OPEN, State.DRAINING)
"""States in which envelopes may travel."""


@dataclass(slots=True)
class Session:
    """Hold what is known of one link's life; times are the core's, in seconds.

    Args:
        link: the neighbour.
        state: see the table.
        deadline: when the handshake must be over; 0 once it is.
        last_heard: when anything last came in.
        next_beat: when our next heartbeat is due; dialled links only.
        silence_s: seconds without any envelope after which we give the link up.
        beat_s: seconds between our heartbeats; dialled links only.
        attach_corr: `corrId` of our NodeAttach.
        epoch: routing epoch given to (accepted) or by (dialled) the neighbour (spec 5.2).
        announce_at: when we may first announce names over the link (spec 6.2); None when never, as on links that carry
            the mesh.
        opened: when it became open.
        probed_at: when it was asked whether it lives, because another process claims its id; None if never.
        replaced_at: when another link to the same node took over; it ends with its last call. None while it is in use.
        look: second in which it is looked at next (`NodeState.look_at`).
        excused: True once its handshake has got more time because this node was behind.
        replayed: True once the neighbour has been told what there was when its time came.
        announced: names the neighbour has from us.
        echoes: name that a plain peer has from another sentinel of ours → that sentinel's physical path.
        told: id → credential, as `Gate.shown_with` has it, of the keys the neighbour has been told of.
        unanswered: envelope id of an announcement → its name, until the neighbour has acknowledged it.
        withdrawn: envelope ids of withdrawn addresses that the parent hasn't acknowledged yet.
        flow: credit windows.
        meter: counts what the neighbour sends, over all links of its holder; None where nobody counts.
        holder: whose link it is by the credential it came with, None for nobody's.
        is_open: True while envelopes may travel; follows from `state`, and is kept because every message asks.
    """

    link: Link
    state: State
    deadline: float
    last_heard: float
    next_beat: float = 0.0
    silence_s: float = SILENCE_S
    beat_s: float = HEARTBEAT_S
    attach_corr: str = ""
    epoch: str = ""
    announce_at: float | None = None
    opened: float = 0.0
    probed_at: float | None = None
    replaced_at: float | None = None
    look: int = 0
    excused: bool = False
    replayed: bool = False
    announced: set[Name] = field(default_factory=set)
    echoes: dict[str, str] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)
    unanswered: dict[str, Name] = field(default_factory=dict)
    withdrawn: set[str] = field(default_factory=set)
    flow: FlowControl = field(default_factory=FlowControl)
    meter: Meter | None = None
    holder: Holder | None = None
    is_open: bool = False


def fire(session: Session, event: Event) -> None:
    """Move a session on.

    Raises:
        LocalProtocolError: the event isn't allowed in this state; callers check what a neighbour does before.
    """
    try:
        session.state = TRANSITIONS[session.state, event]
        session.is_open = session.state in CARRYING
    except KeyError:
        raise LocalProtocolError(f"{event.name} in state {session.state.name} on {session.link!r}") from None
