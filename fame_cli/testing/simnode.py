"""One node of a simulated fabric: a real core, and a record of what it was asked and told.

Nothing happens here by itself: ``sim.py`` holds the time and carries the messages.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fame_cli.core.batch import BATCH, joined
from fame_cli.core.calls import CallKey
from fame_cli.core.effects import (
    BindAnswered,
    CallEnded,
    CloseLink,
    Delivered,
    Dispatch,
    DispatchCancelled,
    Effect,
    FlowOpen,
    ItemArrived,
    LinkAttached,
    LinkRefused,
    Note,
    Outcome,
    Request,
    Send,
)
from fame_cli.core.link import Link
from fame_cli.core.message import Message
from fame_cli.core.node import NodeCore
from fame_cli.testing.disk import SimDisk

if TYPE_CHECKING:
    from fame_cli.testing.sim import SimWorld

__all__ = ["SimNode", "Steps", "Wire"]

Served = Callable[[Request], bytes | None]

Steps = Iterator[float | None]
"""Something a node does in its life: it yields seconds to sleep, or None to sleep until one of its links changes."""


@dataclass(slots=True, eq=False)
class Wire:
    """Join one end, at `origin`, to the other, which is `link` at `node`; a deaf one takes everything, for nothing."""

    origin: "SimNode"
    node: "SimNode"
    link: Link
    up: bool = True
    busy_until: float = 0.0
    is_deaf: bool = False


@dataclass(eq=False)
class SimNode:
    """Be one node of a simulated fabric, with what it was asked and told.

    It stays the same through crash and restart; its core, and what its core knew, doesn't.

    Attributes:
        life: counts the restarts.
        offers: address → capabilities, as served; bound anew after a restart.
        habits: what it does in each of its lives, see `SimWorld.accustom`.
        batching: links on which the envelopes of one turn travel as one message.
        waiting: what is to happen to it when it runs again, while it is stopped; None while it runs.
        resumed_at: when it last ran again.
        delivered: id of a message of its own → "" once it was acknowledged, or the code it was given up with.
        disk: keeps its messages; it outlives it.
        react: is shown every effect but the sending ones, after the node itself has taken it.
    """

    world: "SimWorld"
    core: NodeCore
    number: int = 0
    life: int = 0
    alive: bool = True
    served: dict[str, Served] = field(default_factory=dict)
    offers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    cancelled: list[CallKey] = field(default_factory=list)
    opened: list[CallKey] = field(default_factory=list)
    outcomes: dict[CallKey, list[Outcome]] = field(default_factory=dict)
    items: dict[CallKey, list[ItemArrived]] = field(default_factory=dict)
    events: list[Effect] = field(default_factory=list)
    refusals: dict[Link, LinkRefused] = field(default_factory=dict)
    wires: dict[Link, Wire] = field(default_factory=dict)
    sent: dict[Link, list[bytes]] = field(default_factory=dict)
    batching: dict[Link, None] = field(default_factory=dict)
    delivered: dict[str, str] = field(default_factory=dict)
    habits: list[Callable[[], Steps]] = field(default_factory=list)
    react: Callable[["SimNode", Effect], None] | None = None
    due: float | None = None
    waiting: list[Callable[[], None]] | None = None
    resumed_at: float = float("-inf")
    _outgoing: dict[Link, list[bytes]] = field(default_factory=dict)
    _dormant: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.disk = SimDisk(self)

    def __repr__(self) -> str:
        return f"<SimNode {self.name}>"

    @property
    def name(self) -> str:
        """The node's id."""
        return self.core.settings.node_id

    def serve(self, address: str, answer: Served | None = None, capabilities: tuple[str, ...] = ()) -> None:
        """Bind an address; `answer` gives the JSON of each result, without it requests gather in `requests`."""
        if answer is not None:
            self.served[address] = answer
        self.offers[address] = capabilities
        self.perform(self.core.bind(address))
        for capability in capabilities:
            self.perform(self.core.advertise(capability, address))

    def unserve(self, address: str) -> None:
        """Undo `serve`."""
        self.served.pop(address, None)
        for capability in self.offers.pop(address, ()):
            self.perform(self.core.withdraw(capability, address))
        self.perform(self.core.unbind(address))

    def start(self, to: str | None, method: str = "add", params: bytes = b"{}", **how: object) -> CallKey:
        """Start a call and return its key; `how` as in `NodeCore.call`."""
        key, effects = self.core.call(to, method, params, self.world.now, **how)  # type: ignore[arg-type]  # tests only
        self.perform(effects)
        return key

    def ask(self, to: str | None, method: str = "add", params: bytes = b"{}", **how: object) -> Outcome:
        """Call, let the fabric work until the call has ended, and return how it ended."""
        key = self.start(to, method, params, **how)
        self.world.run(until=lambda: key in self.outcomes)
        return self.outcomes[key][0]

    def send(self, to: str, payload: bytes) -> Message:
        """Answer for a message; it must not be refused."""
        message, effects = self.core.send(to, payload, self.world.now)
        self.perform(effects)
        assert isinstance(message, Message), message
        return message

    def perform(self, effects: list[Effect]) -> None:
        """Carry out effects in the simulated world."""
        for effect in effects:
            match effect:
                case Send(link, data):
                    self._outgoing.setdefault(link, []).append(data)
                    continue
                case CloseLink(link, _, _):
                    self._flush()
                    self.world.hang_up(self, link)
                    self.links_changed()
                case Dispatch(request):
                    self._dispatch(request)
                case CallEnded(key, outcome):
                    self.outcomes.setdefault(key, []).append(outcome)
                case ItemArrived(key=key):
                    self.items.setdefault(key, []).append(effect)
                case DispatchCancelled(key, _):
                    self.cancelled.append(key)
                case FlowOpen(key):
                    self.opened.append(key)
                case LinkAttached(link):
                    self._flush()
                    if BATCH in link.extensions:
                        self.batching[link] = None
                    self.events.append(effect)
                    self.links_changed()
                case LinkRefused(link, _, _):
                    self.refusals[link] = effect
                    self.events.append(effect)
                case BindAnswered() | Note():
                    self.events.append(effect)
                case Delivered(name, code, _):
                    self.delivered[name] = code
                case _:
                    self.disk.take(effect)
            if self.react is not None:
                self.react(self, effect)
        self._flush()
        self.world.arm(self)

    def _flush(self) -> None:
        """Send what this turn has gathered, where it was agreed in one message."""
        outgoing, self._outgoing = self._outgoing, {}
        for link, queue in outgoing.items():
            for message in joined(queue) if link in self.batching else queue:
                self.world.carry(self, link, message)

    def noted(self, event: str) -> list[Note]:
        """Return the notes of one event."""
        return [effect for effect in self.events if isinstance(effect, Note) and effect.event == event]

    def _dispatch(self, request: Request) -> None:
        self.requests.append(request)
        answer = self.served.get(request.address)
        if answer is not None and request.key is not None:
            self.perform(self.core.reply(request.key, answer(request), self.world.now))

    def do(self, steps: Steps) -> None:
        """Do something step by step from now on, until it is done or this life ends."""
        life = self.life

        def go_on() -> None:
            if self.is_stopped and self.life == life:
                self.turn(go_on)
                return
            wait = next(steps, -1.0) if self.alive and self.life == life else -1.0
            if wait is None:
                self._dormant.append(go_on)
            elif wait >= 0.0:
                self.world.at(self.world.now + wait, go_on)

        self.world.at(self.world.now, go_on)

    @property
    def is_stopped(self) -> bool:
        """Tell whether it is alive and doesn't run, see `SimWorld.stop`."""
        return self.waiting is not None

    def wants_turn_at(self, when: float) -> bool:
        """Tell whether a timer that was set for it is still good."""
        return self.alive and self.due == when and not self.is_stopped

    def turn(self, what: Callable[[], None]) -> None:
        """Have something happen to it: now, or when it runs again."""
        if self.waiting is None:
            what()
        else:
            self.waiting.append(what)

    def links_changed(self) -> None:
        """Let those steps go on that wait for a change of the links."""
        dormant, self._dormant = self._dormant, []
        for go_on in dormant:
            self.world.at(self.world.now, go_on)

    def begin(self, core: NodeCore) -> None:
        """Begin another life with a core that knows nothing."""
        self.core, self.alive, self.life = core, True, self.life + 1
        self.due = self.waiting = None
        self._dormant.clear()
