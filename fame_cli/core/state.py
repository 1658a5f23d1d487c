"""What one node knows, and the few ways it says something: the ground ``node.py``, ``control.py`` and
``announce.py`` stand on.

Pure. What a node says of its own goes out through `send`; what it carries for others, through ``carry.py``. Effects
gather in `effects` until the public verb that caused them returns them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from fame_cli.core.boxes import Inbox, Outbox
from fame_cli.core.calls import CallKey, CallTable, Late
from fame_cli.core.effects import Effect, Note, Send
from fame_cli.core.envelope import FLOW_ACK, SYN, Envelope, encode
from fame_cli.core.flow import Budget, Flow
from fame_cli.core.frames import CreditUpdate, DeliveryAck, Frame, Meta, NodeHeartbeat
from fame_cli.core.gate import Gate
from fame_cli.core.ids import sid_of
from fame_cli.core.limits import Census
from fame_cli.core.link import Link
from fame_cli.core.parking import Parking
from fame_cli.core.record import Mesh
from fame_cli.core.session import Session
from fame_cli.core.settings import Settings
from fame_cli.core.table import Name, RouteTable

__all__ = ["NodeState", "credit_back", "nack_frame", "rest", "send", "send_credit"]


@dataclass(slots=True)
class NodeState:
    """Hold everything a node knows.

    Args:
        settings: what it was told at birth.
        new_id: makes a fresh id.
        stamp: makes the text of `ts` (spec 3); the core has no clock.
        flow_id: credit bucket of what this node originates.
        budget: what all links together may hold for neighbours that don't keep up.
        looks: second → sessions that are to be looked at in it, see `look_at`.
        listeners: those of `sessions` that are told of names frame by frame, now or later; hardly any, never children.
        sequence: envelopes originated in that flow so far.
        resting: neighbours that have got all the answers of this second, and what they asked for waits.
        wake_at: when that second is over; means nothing while nobody rests.
        late: calls that have ended before their answers, see ``late.py``.
        producers: (link, flow) → call whose local producer waits for credit there.
        sid: digest of the physical path, None while there is none.
        mesh: what a sentinel knows of the others; None for a node that doesn't route.
        gate: says who may do what, and signs what is ours.
        parking: envelopes that wait for the key of their signature.
        census: counts the links that came to this node.
        outbox: messages this node answers for until somebody else does.
        inbox: messages that have come for it and aren't handled yet.
        waiting: name → when plain peers may be told of it.
        unroutable: answers that had no way to go, and were dropped.
        now: when anything last happened.
        renamed_at: when it last took another id.
        renaming: True when another sentinel holds this one's id and this one has to give way.
        draining_since: when this node began to wind down, None while it takes what is new.
    """

    settings: Settings
    new_id: Callable[[], str]
    stamp: Callable[[], str]
    flow_id: str
    table: RouteTable = field(default_factory=RouteTable)
    calls: CallTable = field(default_factory=CallTable)
    sessions: dict[Link, Session] = field(default_factory=dict)
    listeners: dict[Link, Session] = field(default_factory=dict)
    budget: Budget = field(default_factory=Budget)
    looks: dict[int, dict[Link, Session]] = field(default_factory=dict)
    effects: list[Effect] = field(default_factory=list)
    producers: dict[tuple[Link, Flow], CallKey] = field(default_factory=dict)
    resting: dict[Link, Session] = field(default_factory=dict)
    wake_at: float = 0.0
    late: dict[CallKey, Late] = field(default_factory=dict)
    sid: str | None = None
    sequence: int = 0
    mesh: Mesh | None = None
    gate: Gate = field(default_factory=Gate)
    parking: Parking = field(default_factory=Parking)
    census: Census = field(default_factory=Census)
    outbox: Outbox = field(default_factory=Outbox)
    inbox: Inbox = field(default_factory=Inbox)
    waiting: dict[Name, float] = field(default_factory=dict)
    unroutable: int = 0
    now: float = 0.0
    renaming: bool = False
    renamed_at: float = float("-inf")
    draining_since: float | None = None

    def note(self, event: str, level: str = "info", /, **facts: object) -> None:
        """Add a log-worthy event; a fact that is None is left out."""
        self.effects.append(Note(event, {name: fact for name, fact in facts.items() if fact is not None}, level))

    def next_sequence(self) -> int:
        """Count one more envelope of this node's own flow and return its `seqId`."""
        self.sequence += 1
        return self.sequence - 1

    def look_at(self, session: Session, when: float) -> None:
        """Have `due` return a session from about `when` on, in the core's seconds; the last word counts."""
        self.look_away(session)
        session.look = int(when)
        self.looks.setdefault(session.look, {})[session.link] = session

    def look_away(self, session: Session) -> None:
        """Undo `look_at`."""
        self.looks.get(session.look, {}).pop(session.link, None)

    def due(self, now: float) -> list[Session]:
        """Return the sessions that are to be looked at now, once each."""
        seconds = sorted(second for second in self.looks if second <= now)
        return [session for second in seconds for session in self.looks.pop(second).values()]

    def move(self, path: str) -> None:
        """Take a physical path and the digest that names it."""
        self.table.move(path)
        self.sid = sid_of(path) if path else None
        self.gate.moved(path)


def send(
    state: NodeState,
    session: Session,
    frame: Frame,
    *,
    to: str | None = None,
    reply_to: str | None = None,
    corr_id: str | None = None,
    trace_id: str | None = None,
    rtype: int | None = None,
    flow_flags: int = 0,
    meta: Meta | None = None,
    anonymous: bool = False,
) -> str:
    """Write an envelope of ours to a link, regardless of credit: for control frames and refusals, which are few.

    Args:
        anonymous: True to say nothing of who sends it, and to sign nothing: for what opens a link, and heartbeats.

    Returns:
        The envelope id.
    """
    envelope_id = state.new_id()
    sequence = state.next_sequence()
    envelope = Envelope(
        version="1.0",
        id=envelope_id,
        sid=None if anonymous else state.sid,
        trace_id=trace_id or state.new_id(),
        to=to,
        reply_to=reply_to,
        rtype=rtype,
        corr_id=corr_id,
        flow_id=state.flow_id,
        seq_id=sequence,
        flow_flags=flow_flags or (0 if sequence else SYN),
        frame=frame,
        ts=state.stamp(),
        meta=meta,
    )
    session.flow.spend(state.flow_id)
    if state.gate.signs and not anonymous and not isinstance(frame, NodeHeartbeat):
        envelope = state.gate.sign(envelope)
    state.effects.append(Send(session.link, encode(envelope)))
    return envelope_id


def send_credit(state: NodeState, session: Session, flow: Flow, credits: int, trace_id: str | None) -> None:
    """Grant credits of one flow: the only frame that costs none itself (spec 7)."""
    reply_to, flow_id = (None, flow) if isinstance(flow, str) else flow
    frame = CreditUpdate(flow_id=flow_id, credits=credits)
    envelope = Envelope(
        version="1.0",
        id=state.new_id(),
        trace_id=trace_id or state.new_id(),
        reply_to=reply_to,
        corr_id=None if reply_to is None else flow_id,
        flow_id=flow_id,
        seq_id=0,
        flow_flags=FLOW_ACK,
        frame=frame,
        ts=state.stamp(),
    )
    state.effects.append(Send(session.link, encode(envelope)))


def credit_back(state: NodeState, source: Link | None, flow: Flow, size: int = 0) -> None:
    """Give a flow's credit back to the link an envelope came in by, once the envelope has left us."""
    session = state.sessions.get(source) if source is not None else None
    if session is not None:
        credits = session.flow.received(flow, size)
        if credits:
            send_credit(state, session, flow, credits, None)


def rest(state: NodeState, session: Session) -> None:
    """Let what waits at a link wait for the next second, see ``pacing.py``."""
    session.flow.resting = True
    if session.link not in state.resting:
        state.note("answers_delayed", "debug", link=session.link.number, node=session.link.remote_id)
    state.resting[session.link] = session
    state.wake_at = int(state.now) + 1


def nack_frame(code: str, reason: str, ref_id: str | None) -> DeliveryAck:
    """Build the frame of a refusal (spec 6.4)."""
    return DeliveryAck(ok=False, code=code, reason=reason, ref_id=ref_id)
