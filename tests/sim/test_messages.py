"""Messages that somebody answers for, on virtual time: none is lost, whatever breaks, and each sender's stay in order.

``FAME_SIM_SEED=17`` replays one random scenario, ``FAME_SIM_SEEDS=5000`` runs more of them (``make sim SEEDS=5000``).
"""

import itertools
import os
import random
from collections.abc import Callable

import pytest

from fame_cli.core.custody import Delivery, Mailbox
from fame_cli.core.effects import BindAnswered, Dispatch, Effect
from fame_cli.core.link import LinkKind
from fame_cli.core.message import DEAD
from fame_cli.testing import SimNode, SimWorld
from fame_cli.testing.actors import REBIND_S
from fame_cli.testing.dialing import keep_linked
from fame_cli.testing.invariants import Violation
from fame_cli.testing.simnode import Steps

X, Y = "x@fame.fabric", "y@fame.fabric"

SEEDS = [int(os.environ["FAME_SIM_SEED"])] if "FAME_SIM_SEED" in os.environ else range(150)
if "FAME_SIM_SEEDS" in os.environ:
    SEEDS = range(int(os.environ["FAME_SIM_SEEDS"]))


class Handler:
    """Handle the messages of a node: in a moment, slowly, or not at the first try."""

    def __init__(self, node: SimNode, handled: dict[bytes, list[float]]) -> None:
        self.node = node
        self.handled = handled
        self.prompt = False
        self.gives_up = False
        node.react = self._react

    def _react(self, node: SimNode, effect: Effect) -> None:
        if isinstance(effect, Dispatch) and effect.request.message:
            self.node.do(self._handle(effect.request.message, bytes(effect.request.params)))
        elif isinstance(effect, BindAnswered) and effect.code:
            self.node.do(self._bind_again(effect.address))

    def _bind_again(self, address: str) -> Steps:
        """Ask for an address again that the sentinel thinks a former life still has."""
        yield REBIND_S
        self.node.unserve(address)
        self.node.serve(address)

    def _handle(self, message_id: str, payload: bytes) -> Steps:
        node, chance = self.node, self.node.world.random
        if not self.prompt:
            yield chance.choice([0.0, 0.0, 0.01, chance.uniform(0, 2)])
            if chance.random() < 0.05:
                tries = 1 if self.gives_up else 1000
                node.perform(node.core.unhandled(message_id, "not now", node.world.now, tries=tries))
                return
        self.handled.setdefault(payload, []).append(node.world.now)
        node.perform(node.core.handled(message_id, node.world.now))


class Story:
    """Build a fabric, send messages through it while it breaks, mend it, and look what became of them."""

    def __init__(self, seed: int, *, mailboxes: bool) -> None:
        self.random = random.Random(seed)
        self.world = SimWorld(seed, keeps_sent=False)
        self.handled: dict[bytes, list[float]] = {}
        self.accepted: dict[bytes, tuple[str, str]] = {}
        self.numbers = itertools.count(1)
        self.mended = False
        delivery = Delivery(at_least_once=True, max_age_s=0)
        boxes = {each: Mailbox(each, max_age_s=0) for each in (X, Y)} if mailboxes else {}
        self.sentinels = [
            self.world.sentinel(f"s{number}", delivery=delivery, mailboxes=boxes if number else {}, incarnation=1000)
            for number in range(self.random.randint(2, 4))
        ]
        for near, far in itertools.pairwise(self.sentinels):
            keep_linked(near, far)
        for number, sentinel in enumerate(self.sentinels):
            for address in boxes if number else ():
                sentinel.offers[address] = ()
                sentinel.offers.pop(address)
                self.world.accustom(sentinel, lambda node=sentinel, to=address: self._keep_mailbox(node, to))
        self.agents = [self._leaf(name) for name in ("gx", "gy")]
        for agent, address in zip(self.agents, (X, Y), strict=True):
            agent.serve(address)
        self.handlers = [Handler(agent, self.handled) for agent in self.agents]
        self.senders = [self._leaf(name) for name in ("c0", "c1")]
        self.world.advance(1.0)

    def _keep_mailbox(self, node: SimNode, address: str) -> Steps:
        node.perform(node.core.advertise(f"mail:{address}", address))
        yield 0.0

    def _leaf(self, name: str) -> SimNode:
        node = self.world.node(name)
        keep_linked(node, self.random.choice(self.sentinels), LinkKind.PARENT)
        return node

    def run(self) -> None:
        for _ in range(self.random.randint(5, 25)):
            self.world.advance(self.random.expovariate(1 / 1.5))
            self._send()
            if self.random.random() < 0.6:
                self._break()
        self._mend()
        until = self.world.now + 300
        while self.world.now < until and self._unhandled():
            self.world.advance(1.0)
        if self._unhandled():
            raise Violation(f"lost: {self._unhandled()}")
        self.world.advance(60.0)
        left = [message for node in self.world.nodes for message in node.core.messages()]
        left += [message for node in self.world.nodes for message in node.disk.messages.values()]
        if left:
            raise Violation(f"still kept: {left[:3]}")

    def _send(self) -> None:
        sender = self.random.choice(self.senders)
        if not sender.alive or sender.is_stopped:
            return
        for _ in range(self.random.choice([1, 3, 20, 200])):
            to = self.random.choice([X, Y])
            payload = b'{"n":%d}' % next(self.numbers)
            message = sender.send(to, payload)
            self._when_kept(sender, message.id, payload, to)

    def _when_kept(self, sender: SimNode, message_id: str, payload: bytes, to: str) -> None:
        """Note a message as accepted once it is on the disk of its sender, or has been delivered before one looks."""
        life = sender.life

        def look() -> None:
            if ("out", message_id) in sender.disk.messages or sender.delivered.get(message_id) == "":
                self.accepted[payload] = sender.name, to
            elif sender.life == life and sender.alive and sender.delivered.get(message_id) is None:
                self.world.at(self.world.now + 0.005, look)

        look()

    def _break(self) -> None:
        what: list[Callable[[], None]] = [self._cut, self._crash, self._crash, self._fill, self._stop, self._deafen]
        self.random.choice(what)()

    def _cut(self) -> None:
        node = self.random.choice(self.world.nodes)
        if node.wires:
            self.world.cut(node, self.random.choice(list(node.wires)))

    def _crash(self) -> None:
        node = self.random.choice(self.world.nodes)
        self.world.kill(node, silently=self.random.random() < 0.3)
        self.world.at(self.world.now + self.random.uniform(0.1, 15.0), lambda: self._restart(node))

    def _restart(self, node: SimNode) -> None:
        if not node.alive:
            self.world.restart(node)

    def _fill(self) -> None:
        node = self.random.choice(self.world.nodes)
        node.disk.is_full = True
        self.world.at(self.world.now + self.random.uniform(0.01, 5.0), lambda: setattr(node.disk, "is_full", False))

    def _stop(self) -> None:
        node = self.random.choice(self.world.nodes)
        self.world.stop(node)
        self.world.at(self.world.now + self.random.uniform(0.5, 20.0), lambda: self.world.resume(node))

    def _deafen(self) -> None:
        a = self.random.choice(self.world.nodes)
        if a.wires:
            self.world.deafen(a, self.random.choice(list(a.wires.values())).node)

    def _mend(self) -> None:
        self.world.heal()
        for node in (*self.sentinels, *self.agents, *self.senders):
            if node.is_stopped:
                self.world.resume(node)
            self._restart(node)
            node.disk.is_full = False
        for handler in self.handlers:
            handler.prompt = True

    def _unhandled(self) -> list[bytes]:
        return [payload for payload in self.accepted if payload not in self.handled]

    def retry_dead(self, node: SimNode) -> None:
        """Try the dead letters of a node again, as many as it takes."""
        for box, name in list(node.disk.messages) if node.alive and not node.is_stopped else ():
            if box == DEAD:
                _, effects = node.core.retry(node.disk.messages[box, name], node.world.now)
                node.perform(effects)

    def check_order(self) -> None:
        """Each sender's messages to one address were handled in the order in which they were sent, the first time."""
        runs: dict[tuple[str, str], list[tuple[float, int]]] = {}
        for payload, run in self.accepted.items():
            runs.setdefault(run, []).append((self.handled[payload][0], int(payload[5:-1])))
        for run, firsts in runs.items():
            numbers = [number for _, number in sorted(firsts)]
            late = [(a, b) for a, b in itertools.pairwise(numbers) if a > b]
            if late:
                raise Violation(f"{run}: {late}")


@pytest.mark.parametrize("seed", SEEDS)
def test_no_message_is_lost_and_each_senders_stay_in_order(seed: int) -> None:
    story = Story(seed, mailboxes=False)
    story.run()
    story.check_order()


class Graveyard(Story):
    """Have handlers give up, and somebody who tries their dead letters again while everything breaks."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, mailboxes=False)
        for handler in self.handlers:
            handler.gives_up = True
        self.world.at(self.world.now, self._look_after_them)

    def _look_after_them(self) -> None:
        for agent in self.agents:
            self.retry_dead(agent)
        self.world.at(self.world.now + self.random.uniform(0.005, 3.0), self._look_after_them)


@pytest.mark.parametrize("seed", SEEDS[::3])
def test_no_dead_letter_is_lost_when_it_is_tried_again(seed: int) -> None:
    Graveyard(seed).run()


@pytest.mark.parametrize("seed", SEEDS)
def test_no_message_is_lost_by_way_of_mailboxes(seed: int) -> None:
    Story(seed, mailboxes=True).run()
