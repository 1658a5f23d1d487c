"""What a chaos run consists of, drawn from its seed before it begins: the fabric, and every fault with its time.

So a seed replays the same faults at the same times to the same processes and wires; what happens in between is the
machine's. Nothing here starts anything.
"""

from dataclasses import dataclass
from itertools import pairwise
from random import Random

__all__ = ["AGENTS", "CALLERS", "CUT_PROBABILITY", "DELAY_S", "KINDS", "Fabric", "Fault", "draw_fabric", "draw_faults"]

AGENTS = 6
CALLERS = 8

PAUSE_S = (1.5, 4.5)
"""Seconds between two faults: least, most."""

KINDS = ("kill", "kill", "stop", "stop", "reset", "reset", "half-open", "delay", "cutting", "garbage", "disk full")
"""Each as often as it stands here."""

RESTART_S = (0.2, 3.0)
STOP_S = (1.0, 20.0)
DELAY_S = 0.2
SLOW_FOR_S = (2.0, 8.0)
CUT_PROBABILITY = 0.05
FULL_FOR_S = (2.0, 8.0)
MAILBOXES = 0.5
"""Seeds in which a sentinel has some."""

WAYS = ("there", "back", "both")


@dataclass(frozen=True)
class Fabric:
    """Say who there is, and who dials whom.

    Attributes:
        wires: dialer → sentinels it dials; agents and callers dial one.
        kept_for: agents that the last sentinel has mailboxes for.
    """

    sentinels: tuple[str, ...]
    agents: tuple[str, ...]
    callers: tuple[str, ...]
    wires: tuple[tuple[str, str], ...]
    kept_for: tuple[str, ...] = ()

    @property
    def processes(self) -> tuple[str, ...]:
        """Everybody."""
        return (*self.sentinels, *self.agents, *self.callers)

    @property
    def postman(self) -> str:
        """The sentinel with the mailboxes; "" for none."""
        return self.sentinels[-1] if self.kept_for else ""

    @property
    def stores(self) -> tuple[str, ...]:
        """Everybody who has messages in a file."""
        return (*self.agents, *self.callers, *self.sentinels[-1:]) if self.kept_for else (*self.agents, *self.callers)

    def dialed_by(self, name: str) -> list[str]:
        """List the sentinels that one dials."""
        return [listener for dialer, listener in self.wires if dialer == name]


@dataclass(frozen=True)
class Fault:
    """Be one thing that goes wrong.

    Args:
        at: seconds after the first call.
        target: a process, or for a fault of the network a wire, ``dialer>listener``.
        seconds: how long it lasts, or until a killed process is started again; 0 for what is over at once.
        way: for a link that is half open: what is lost, ``there`` (what the dialer sends), ``back`` or ``both``.
    """

    at: float
    kind: str
    target: str
    seconds: float = 0.0
    way: str = ""

    def __str__(self) -> str:
        lasts = f" for {self.seconds:.1f} s" if self.seconds else ""
        return f"{self.at:7.1f} s  {self.kind:9} {self.target}{lasts}{' ' * bool(self.way)}{self.way}"


def draw_fabric(seed: int) -> Fabric:
    """Draw two to four sentinels in a ring or a pair, the homes of six agents and eight callers, and mailboxes."""
    random = Random(f"fabric {seed}")
    sentinels = tuple(f"s{number}" for number in range(1, random.randint(2, 4) + 1))
    agents = tuple(f"a{number}" for number in range(1, AGENTS + 1))
    callers = tuple(f"c{number}" for number in range(1, CALLERS + 1))
    wires = [(later, former) for former, later in pairwise(sentinels)]
    if len(sentinels) > 2:
        wires.append((sentinels[0], sentinels[-1]))
    wires += [(name, random.choice(sentinels)) for name in (*agents, *callers)]
    mail = Random(f"mail {seed}")
    kept_for = agents[:2] if mail.random() < MAILBOXES else ()
    return Fabric(sentinels, agents, callers, tuple(wires), kept_for)


def draw_faults(seed: int, fabric: Fabric, seconds: float) -> list[Fault]:
    """Draw what goes wrong within so many seconds."""
    random = Random(f"faults {seed}")
    faults: list[Fault] = []
    at = random.uniform(*PAUSE_S)
    while at < seconds:
        faults.append(_draw(random, at, fabric))
        at += random.uniform(*PAUSE_S)
    return faults


def _draw(random: Random, at: float, fabric: Fabric) -> Fault:
    kind = random.choice(KINDS)
    process, (dialer, listener) = random.choice(fabric.processes), random.choice(fabric.wires)
    wire, way = f"{dialer}>{listener}", random.choice(WAYS)
    if kind == "kill":
        return Fault(at, kind, process, random.uniform(*RESTART_S))
    if kind == "stop":
        return Fault(at, kind, process, random.uniform(*STOP_S))
    if kind == "disk full":
        return Fault(at, kind, random.choice(fabric.stores), random.uniform(*FULL_FOR_S))
    if kind == "half-open":
        return Fault(at, kind, wire, way=way)
    if kind in ("delay", "cutting"):
        return Fault(at, kind, wire, random.uniform(*SLOW_FOR_S))
    return Fault(at, "garbage" if kind == "garbage" else "reset", wire)
