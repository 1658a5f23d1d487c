"""Who lives at the edge of a simulated fabric: agents that take their time, clients that never stop asking.

Both check what only they can see: an agent's answers come to the client that asked, a stream brings its items in order
and all of them before its end, and every call ends exactly once, before its time is over.
"""

from dataclasses import dataclass, field

import msgspec

from fame_cli.core.calls import CallKey
from fame_cli.core.effects import BindAnswered, CallEnded, Dispatch, Effect, ItemArrived, Request
from fame_cli.testing.invariants import Violation
from fame_cli.testing.simnode import SimNode, Steps

__all__ = ["REBIND_S", "SimAgent", "SimClient"]

REBIND_S = 5.0
"""Seconds until an agent whose address was refused tries again, as one does that is started again by its operator."""

MAX_TRIES = 8
"""Times it tries: for longer than it takes to miss the dead."""

LONG = 300
"""Items in a long stream: more than a window. They are sent as fast as may be, and read slowly."""

SLOWLY_S = 5.0
"""Seconds an item of a long stream lies unread."""


@dataclass(eq=False)
class SimAgent:
    """Serve addresses: answer late, never, or item by item, until it is told to be `prompt`.

    Attributes:
        refused: addresses that its sentinel didn't let it have, and that it will try to bind again → in which life.
        tries: address → refusals since it was last bound.
    """

    node: SimNode
    prompt: bool = False
    refused: dict[str, int] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.node.react = self._react

    @property
    def name(self) -> bytes:
        """What it answers: JSON of who it is."""
        return b'"agent %d"' % self.node.number

    def _react(self, node: SimNode, effect: Effect) -> None:
        if isinstance(effect, Dispatch) and effect.request.key is not None:
            node.do(self._answer(effect.request, effect.request.key))
        elif isinstance(effect, BindAnswered) and not effect.code:
            self.tries.pop(effect.address, None)
        elif isinstance(effect, BindAnswered):
            self._refused(effect.address)

    def _answer(self, request: Request, key: CallKey) -> Steps:
        node, random = self.node, self.node.world.random
        if self.prompt and not request.streaming:
            node.perform(node.core.reply(key, self.name, node.world.now))
            return
        yield random.choice([0.0, 0.001, 0.1, random.uniform(0, 3)])
        if random.random() < 0.05:
            return  # its caller's time will be over some day
        if request.streaming:
            items = msgspec.json.decode(request.params)["items"]
            for item in range(items):
                while not node.core.writable(key):
                    yield 0.05
                node.perform(node.core.reply_item(key, b"%d" % item, node.world.now))
                if items != LONG:
                    yield random.choice([0.0, 0.01, 0.1])
            node.perform(node.core.reply(key, None, node.world.now))
        elif random.random() < 0.1:
            node.perform(node.core.reply_error(key, -32000, "no", None, node.world.now))
        else:
            node.perform(node.core.reply(key, self.name, node.world.now))

    def _refused(self, address: str) -> None:
        if address in self.node.offers and self.refused.get(address) != self.node.life:
            self.refused[address] = self.node.life
            self.node.do(self._rebind(address))

    def _rebind(self, address: str) -> Steps:
        """Give an address back, and try again later: it may be a dead self that has it, whom nobody has missed yet."""
        node = self.node
        tries = self.tries[address] = self.tries.get(address, 0) + 1
        capabilities = node.offers[address]
        yield 0.0
        node.unserve(address)
        if not self.prompt or tries <= MAX_TRIES:
            yield REBIND_S
            node.unserve(address)  # it may have been bound, and refused, meanwhile
            node.serve(address, None, capabilities)
        del self.refused[address]

    def waits(self) -> bool:
        """Tell whether it will try again to bind an address."""
        return self.node.alive and self.node.life in self.refused.values()


LATE_S = 0.001
"""Seconds that the end of a call may be late: numbers with a point are never quite what they should be."""


@dataclass(slots=True)
class Asked:
    """Hold what a client knows of a call it has made.

    Attributes:
        life: of the client, when it asked.
        length: items asked for.
        since: when it was asked, or an item last came or was read: its time runs from then on.
        items, unread: that have come, and that lie about.
    """

    life: int
    length: int
    timeout_s: float
    since: float
    items: int = 0
    unread: int = 0


@dataclass(eq=False)
class SimClient:
    """Ask whatever there is, all the time until `stopped`.

    Args:
        addresses: to be asked; some of them nobody may have.
        pause_s: seconds between two calls, on average.

    Attributes:
        calls: all it has ever made.
    """

    node: SimNode
    addresses: list[str]
    capabilities: list[str]
    pause_s: float = 0.5
    stopped: bool = False
    calls: dict[CallKey, Asked] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.node.react = self._react
        self.node.world.accustom(self.node, self._asking)

    def open_calls(self) -> list[CallKey]:
        """List the calls of this life that haven't ended."""
        node = self.node
        return [key for key, call in self.calls.items() if call.life == node.life and key not in node.outcomes]

    def overdue(self) -> list[CallKey]:
        """List the calls that should have ended by now; a client that doesn't run ends none."""
        late = [] if self.node.is_stopped or not self.node.alive else self.open_calls()
        return [key for key in late if self._is_late(self.calls[key])]

    def _is_late(self, call: Asked) -> bool:
        due = max(call.since + call.timeout_s, self.node.resumed_at)
        return not call.unread and self.node.world.now > due + LATE_S

    def _asking(self) -> Steps:
        node, random = self.node, self.node.world.random
        while not self.stopped:
            yield random.expovariate(1 / self.pause_s)
            streaming = random.random() < 0.3
            items = LONG if random.random() < 0.01 else random.randrange(20)
            to = random.choice(self.addresses) if random.random() < 0.8 else None
            timeout_s = random.choice([0.5, 3.0, 6.0])
            key = node.start(
                to,
                "work",
                b'{"items":%d}' % items,
                capabilities=None if to else [random.choice(self.capabilities)],
                streaming=streaming,
                timeout_s=timeout_s,
            )
            self.calls[key] = Asked(node.life, items, timeout_s, node.world.now)
            if random.random() < 0.1:
                node.do(self._give_up(key))

    def _give_up(self, key: CallKey) -> Steps:
        yield self.node.world.random.uniform(0, 2)
        self.node.perform(self.node.core.cancel(key))

    def _react(self, node: SimNode, effect: Effect) -> None:
        if isinstance(effect, CallEnded):
            self._ended(node, effect)
        elif isinstance(effect, ItemArrived):
            call = self.calls[effect.key]
            if bytes(effect.value) != b"%d" % call.items:
                raise Violation(f"{node.name} got item {bytes(effect.value).decode()} instead of {call.items}")
            call.items += 1
            call.unread += 1
            call.since = node.world.now
            node.do(self._read(effect, call))

    def _ended(self, node: SimNode, end: CallEnded) -> None:
        call = self.calls.get(end.key)
        if len(node.outcomes[end.key]) > 1:
            raise Violation(f"{node.name} is told of the end of {end.key} again: {node.outcomes[end.key]}")
        if call is None:
            return  # it has ended before it could be written down
        if end.outcome.kind == "end" and call.items != call.length:
            raise Violation(f"{node.name} got {call.items} items of {call.length}")
        if self._is_late(call):
            raise Violation(f"{node.name} waited for {end.key} until now, since {call.since:.3f} s: {end.outcome}")

    def _read(self, item: ItemArrived, call: Asked) -> Steps:
        yield SLOWLY_S if call.length == LONG else self.node.world.random.choice([0.0, 0.0, 0.02])
        call.unread -= 1
        call.since = self.node.world.now
        self.node.perform(self.node.core.item_consumed(item, self.node.world.now))
