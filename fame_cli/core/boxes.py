"""What a node holds of messages it answers for: lanes on their way out, and what came in and isn't handled yet. Pure.

Plain data; ``outbox.py`` and ``inbox.py`` act on it. Times are the core's, in seconds; sizes are bytes of payloads.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf

from fame_cli.core.envelope import Header
from fame_cli.core.link import Link
from fame_cli.core.message import Message

__all__ = ["MAX_LANES", "Inbox", "Lane", "Outbox", "Place", "Run", "Verdict"]

MAX_LANES = 4096
"""Lanes of an outbox from which on those that hold nothing are forgotten."""

Verdict = tuple[str, str, str, str]
"""What became of a message that was under way: its id, a NACK code ("" when it was acknowledged), a reason, and the id
of the envelope that had it: each try has another one."""

Place = tuple[str, int]
"""A message among those of its sender: lane and number; id of its envelope and 1 where the sender numbers nothing."""

Run = tuple[str, str]
"""Messages that are handled one after the other: who numbers them, and their address."""


@dataclass(slots=True)
class Lane:
    """Hold the messages of this node to one address.

    Args:
        id: names the run that new messages join, on the wire and in the store.
        address: whom they are for.
        last_seq: highest number given out in it.
        flying: sent and not answered, oldest first.
        waiting: to be sent, oldest first.
        since: when the oldest one under way became the oldest.
        failures: tries that failed since one last succeeded.
        again: id of the envelope in which the oldest one went again, because no acknowledgement came; "" if it hasn't.
        doubled: how often the time to wait for an acknowledgement is doubled, because the receiver has been slow.
        due: when something is to be done about it: it has waited long enough, or got no answer in time.
        count: its messages, those on their way to the disk included.
        size: bytes of them.
        link: that the last one took, LOCAL for this node, None where there was no way.
    """

    id: str
    address: str
    last_seq: int = 0
    flying: deque[Message] = field(default_factory=deque)
    waiting: deque[Message] = field(default_factory=deque)
    since: float = 0.0
    failures: int = 0
    again: str = ""
    doubled: int = 0
    due: float = inf
    count: int = 0
    size: int = 0
    link: Link | None = None

    def go_back(self) -> None:
        """Take what was sent for not sent."""
        self.waiting.extendleft(reversed(self.flying))
        self.flying.clear()
        self.again = ""


@dataclass(slots=True)
class Outbox:
    """Hold the lanes of a node.

    Args:
        name: of the node, the same in each of its lives; lanes are called after it.
        lanes: address → lane.
        most: lanes there may be before those that hold nothing are looked for.
        unkept: id → message that isn't on the disk yet.
        lane_of: id of a message that is → its lane.
        verdicts: what has come for messages under way, not looked at yet.
        due: when the next lane is, or earlier.
        generation: of the route table when the lanes were last held against it.
        looked_at: when that was.
        size: bytes of all messages.
    """

    name: str = ""
    lanes: dict[str, Lane] = field(default_factory=dict)
    most: int = MAX_LANES
    unkept: dict[str, Message] = field(default_factory=dict)
    lane_of: dict[str, Lane] = field(default_factory=dict)
    verdicts: deque[Verdict] = field(default_factory=deque)
    due: float = inf
    generation: int = 0
    looked_at: float = -inf
    size: int = 0

    def __len__(self) -> int:
        return len(self.lane_of) + len(self.unkept)

    def __iter__(self) -> Iterator[Message]:
        """Iterate over what is kept, lane by lane, oldest first."""
        for lane in self.lanes.values():
            yield from lane.flying
            yield from lane.waiting

    def add(self, lane: Lane, message: Message) -> None:
        """Count a message of a lane, kept or not yet."""
        lane.count += 1
        lane.size += len(message.payload)
        self.size += len(message.payload)

    def take(self, lane: Lane, message: Message) -> None:
        """Undo `add`, and forget whose lane it is in."""
        self.lane_of.pop(message.id, None)
        lane.count -= 1
        lane.size -= len(message.payload)
        self.size -= len(message.payload)


@dataclass(slots=True)
class Inbox:
    """Hold what has come for this node and isn't handled, and what has come before.

    Args:
        arrivals: id → message, oldest first; its `attempts` are those of its handler.
        owed: place of a message that isn't on the disk yet → the link it came by, and its header: whom to tell.
        queues: run → ids of its arrivals that are on the disk, in order; the first is handled first.
        ready: runs whose first arrival may be handled.
        running: ids of messages whose handlers run.
        suspects: ids of messages that were perhaps being handled when an earlier process ended; each such end counts,
            and is written down before they are handled again.
        counting: those of them that are being written down.
        again: id of a message whose handler has failed → when it is tried again.
        dead: ids of dead letters, whose names nobody else may take; the oldest first.
        returning: id → dead letter that is on its way back here.
        taken: lane → number of the last message that was taken in; the longest unused first.
        due: when the next of `again` is, or earlier.
        size: bytes of all arrivals.
    """

    arrivals: dict[str, Message] = field(default_factory=dict)
    owed: dict[Place, tuple[Link, Header]] = field(default_factory=dict)
    queues: dict[Run, deque[str]] = field(default_factory=dict)
    ready: deque[Run] = field(default_factory=deque)
    running: set[str] = field(default_factory=set)
    suspects: set[str] = field(default_factory=set)
    counting: set[str] = field(default_factory=set)
    again: dict[str, float] = field(default_factory=dict)
    dead: dict[str, None] = field(default_factory=dict)
    returning: dict[str, Message] = field(default_factory=dict)
    taken: dict[str, int] = field(default_factory=dict)
    due: float = inf
    size: int = 0

    def __len__(self) -> int:
        return len(self.arrivals)
