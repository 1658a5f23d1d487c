"""A random fabric and what may befall one: `run_scenario` builds it from a seed, breaks it, mends it and judges it.

    run_scenario(17)  # raises `ScenarioFailed`, which names the seed, when anything is wrong

Everything is drawn from the one random source of the world, so a seed is a scenario: nodes, links, names, calls and
misfortunes. What must hold while it breaks is in ``invariants.py``, and so is what must hold when it has come to rest.
"""

from collections.abc import Callable

from fame_cli.core.link import LOCAL, LinkKind
from fame_cli.testing.actors import REBIND_S, SimAgent, SimClient
from fame_cli.testing.dialing import Dial, keep_linked
from fame_cli.testing.invariants import Invariants, Violation, at_rest, distances, off_course, real_links
from fame_cli.testing.sim import SimNode, SimWorld
from fame_cli.testing.traffic import Traffic

__all__ = ["GARBAGE", "Scenario", "ScenarioFailed", "run_scenario"]

ADDRESSES = [f"a{number}@fame.fabric" for number in range(6)]
POOLS = [f"p{number}@*.fame.fabric" for number in range(2)]
ASKED = [*ADDRESSES, *(f"p{number}@x.fame.fabric" for number in range(2)), "nobody@fame.fabric"]
CAPABILITIES = ["op:add", "op:mul", "fast"]

GARBAGE = [
    b"",
    bytes(range(256)),
    b"GET / HTTP/1.1\r\n\r\n",
    b'{"version":"1.0","id":"half","to":"a0@fame.fab',
    b'{"id":"1","frame":{"type":"Surprise"}}',
    b'{"id":"1","to":"a0@fame.fabric"}',
    b'{"frame":{"type":"Data","payload":' + b"[" * 2000 + b"]" * 2000 + b"}}",
    b'{"seqId":' + b"9" * 5000 + b',"frame":{"type":"Data","payload":1}}',
    b'{"frame":{"type":"CreditUpdate","flowId":"nobody\'s","credits":-99999999}}',
    b'{"id":"b","frame":{"type":"AddressBind","address":"__sys__@/s1"}}',
    b'{"replyTo":"x@/y","corrId":"c","frame":{"type":"CallCancel"}}',
    b'{"corrId":"x","frame":{"type":"NodeAttachAck","ok":true,"targetSystemId":"s1"}}',
    b'{"corrId":"x","frame":{"type":"DeliveryAck","ok":false,"code":7}}',
    b'{"id":"m","frame":{"type":"MeshUpdate","records":[{}]}}',
]
"""What may come by a link whose neighbour has lost its mind. None of it ends a link, none of it means anything."""

FIRST_INCARNATION = 1_000_000
"""Later lives begin below it if their clock was put back; no two lives of one sentinel begin alike."""

REST_S = 120.0
"""Seconds in which a mended fabric must have come to rest: links are dialled again, silence is noticed, calls end."""


class ScenarioFailed(AssertionError):
    """Report what went wrong in a scenario, and how to see it again."""

    def __init__(self, seed: int, what: str) -> None:
        super().__init__(f"FAME_SIM_SEED={seed}: {what}")
        self.seed = seed


def run_scenario(seed: int, minutes: float = 0.0) -> "Scenario":
    """Run one scenario from start to end and return it.

    Args:
        minutes: in which it is broken; 0 for a few misfortunes.

    Raises:
        ScenarioFailed: something is wrong, whatever it is.
    """
    scenario = Scenario(seed, minutes)
    try:
        scenario.run()
    except Exception as error:
        raise ScenarioFailed(seed, f"{type(error).__name__} at {scenario.world.now:.3f} s: {error}") from error
    return scenario


class Scenario:
    """Hold one random fabric, see `run_scenario`.

    Attributes:
        story: what befell it, in order, for people.
    """

    def __init__(self, seed: int, minutes: float = 0.0) -> None:
        self.seed = seed
        self.minutes = minutes
        self.world = SimWorld(seed, keeps_sent=False)
        self.random = self.world.random
        self.story: list[str] = []
        self.sentinels: list[SimNode] = []
        self.dials: list[Dial] = []
        self.agents: list[SimAgent] = []
        self.clients: list[SimClient] = []
        self._dead: dict[SimNode, None] = {}
        self._mended = False
        Invariants(self.world)

    def run(self) -> None:
        """Build it, let it settle, break it, mend it, and judge it."""
        self._build()
        self.world.advance(self.random.choice([0.01, 1.0, 3.0]))
        self._lose_half_a_link()
        self._hire_clients()
        left = self.random.randint(4, 20)
        while self.world.now < 60 * self.minutes if self.minutes else left > 0:
            self.world.advance(self.random.expovariate(1 / 2.5))
            _insist(self._overdue())
            self._misfortune()
            left -= 1
        self._mend()
        self._rest()
        self._ask_everything()

    def _tell(self, what: str) -> None:
        self.story.append(f"{self.world.now:9.3f} {what}")

    def _batches(self, number: int) -> bool:
        """Tell whether a sentinel joins envelopes: in one seed of three all do, in one none, in one every other."""
        return (True, False, number % 2 == 0)[self.seed % 3]

    # Building

    def _build(self) -> None:
        random, world = self.random, self.world
        count, is_tree = random.randint(3, 8), random.random() < 0.4
        for number in range(count):
            balance = random.choice(["nearest", "nearest", "round_robin", "random", "sticky"])
            incarnation = FIRST_INCARNATION + random.randrange(FIRST_INCARNATION)
            batch = self._batches(number)
            self.sentinels.append(world.sentinel(f"s{number}", balance=balance, incarnation=incarnation, batch=batch))
        pairs = [(number, random.randrange(number)) for number in range(1, count)]
        for low, high in pairs:
            parent = is_tree and random.random() < 0.5
            self._link(self.sentinels[low], self.sentinels[high], LinkKind.PARENT if parent else LinkKind.PEER)
        others = [(a, b) for a in range(count) for b in range(a) if (a, b) not in pairs]
        for low, high in random.sample(others, min(len(others), random.randrange(count))):
            self._link(self.sentinels[low], self.sentinels[high], LinkKind.PEER)
        for number in range(random.randint(2, 5)):
            agent = SimAgent(world.node(f"g{number}"))
            self.agents.append(agent)
            self._link(agent.node, random.choice(self.sentinels), LinkKind.PARENT)
        if random.random() < 0.3:
            self.agents.append(SimAgent(random.choice(self.sentinels)))
        for agent in self.agents:
            self._serve(agent.node)
        if random.random() < 0.5:
            self._end(random.choice(self.sentinels), silently=False)  # it joins later

    def _link(self, a: SimNode, b: SimNode, kind: LinkKind) -> None:
        random = self.random
        if kind is LinkKind.PEER and random.random() < 0.5:
            a, b = b, a
        cost = random.choice([1, 1, 1, 2, 5]) if b in self.sentinels else 1
        self.dials.append(keep_linked(a, b, kind, cost))
        if kind is LinkKind.PEER and random.random() < 0.25:
            self.dials.append(keep_linked(b, a, kind, random.choice([1, cost])))
            self._tell(f"{b.name} dials {a.name}, too")
        self._tell(f"{a.name} dials {b.name} as {kind.value} at cost {cost}")

    def _serve(self, node: SimNode) -> None:
        random = self.random
        for address in random.sample([*ADDRESSES, *POOLS], random.randint(1, 3)):
            node.serve(address, None, tuple(random.sample(CAPABILITIES, random.randrange(3))))
            self._tell(f"{node.name} serves {address}")

    def _hire_clients(self) -> None:
        for number in range(self.random.randint(1, 3)):
            node = self.world.node(f"c{number}")
            self._link(node, self.random.choice(self.sentinels), LinkKind.PARENT)
            self.clients.append(SimClient(node, ASKED, CAPABILITIES))

    # Misfortunes

    def _lose_half_a_link(self) -> None:
        """Have one end of a link give it up and the other not notice; where there is another way, it must be taken."""
        dials = [dial for dial in self.dials if dial.dialer in self.sentinels and dial.dialer.alive]
        if not dials or off_course(self.world):
            return
        dial = self.random.choice(dials)
        giver, other = self.random.sample([dial.dialer, dial.listener], 2)
        link = next((link for link, wire in giver.wires.items() if wire.node is other), None)
        if link is None:
            return
        self._tell(f"{giver.name} gives up {other.name}, which doesn't notice")
        self.world.hold(giver, other, one_way=True)
        giver.perform(giver.core.link_closed(link))
        self.world.hang_up(giver, link)
        giver.links_changed()
        self.world.advance(2.0)
        if other.name in distances(real_links(self.world))[giver.name]:
            _insist(off_course(self.world))
        self.world.release(giver, other)

    def _misfortune(self) -> None:
        what: list[Callable[[], None]] = [
            *[self._cut] * 3,
            *[self._crash] * 3,
            *[self._rebind] * 2,
            *[self._stop] * 2,
            *[self._deafen] * 2,
            self._partition,
            self._hold,
            self._delay,
            self._litter,
        ]
        self.random.choice(what)()

    def _cut(self) -> None:
        node = self.random.choice(self.world.nodes)
        if node.wires:
            link = self.random.choice(list(node.wires))
            self._tell(f"the link from {node.name} to {node.wires[link].node.name} is lost")
            self.world.cut(node, link)

    def _partition(self) -> None:
        nodes = self.random.sample(self.sentinels, len(self.sentinels))
        cut = self.random.randrange(1, len(nodes))
        left, right = nodes[:cut], nodes[cut:]
        silently = self.random.random() < 0.5
        self._tell(f"{left} and {right} are parted{' silently' if silently else ''}")
        self.world.partition(left, right, silently=silently)
        self._later(self.random.choice([2.0, 10.0, 40.0]), self.world.heal)

    def _hold(self) -> None:
        a, b = self._two_linked()
        one_way = self.random.random() < 0.5
        self._tell(f"messages from {a.name} to {b.name} wait{'' if one_way else ', and back'}")
        self.world.hold(a, b, one_way=one_way)
        self._later(self.random.choice([0.2, 5.0, 35.0]), lambda: self.world.release(a, b))

    def _stop(self) -> None:
        node, timers_first = self.random.choice(self.world.nodes), self.random.random() < 0.5
        seconds = self.random.choice([0.5, self.random.uniform(1.0, 20.0), 35.0])
        self._tell(f"{node.name} doesn't run for {seconds:.1f} s{', and looks at its clock first' * timers_first}")
        self.world.stop(node)
        self._later(seconds, lambda: self.world.resume(node, timers_first=timers_first))

    def _deafen(self) -> None:
        """Lose all that travels between two nodes, one way or both; it is for them to notice."""
        a, b = self._two_linked()
        one_way = self.random.random() < 0.5
        self._tell(f"whatever {a.name} sends {b.name} is lost{'' if one_way else ', and what comes back'}")
        self.world.deafen(a, b, one_way=one_way)

    def _delay(self) -> None:
        a, b = self._two_linked()
        seconds = self.random.choice([0.2, 0.2, 2.0])
        self._tell(f"messages between {a.name} and {b.name} take {seconds} s more")
        self.world.delay(a, b, seconds)
        self._later(self.random.choice([2.0, 20.0]), lambda: self.world.delay(a, b, 0.0))

    def _litter(self) -> None:
        node = self.random.choice(self.world.nodes)
        if node.wires:
            link, data = self.random.choice(list(node.wires)), self.random.choice(GARBAGE)
            self._tell(f"{node.wires[link].node.name} gets {data[:40]!r} by its link from {node.name}")
            self.world.litter(node, link, data)

    def _two_linked(self) -> list[SimNode]:
        dial = self.random.choice(self.dials)
        return self.random.sample([dial.dialer, dial.listener], 2)

    def _crash(self) -> None:
        node = self.random.choice(self.world.nodes)
        if len(self._dead) < 3:
            self._end(node, silently=self.random.random() < 0.4)
            self._later(self.random.uniform(0.1, 20.0), lambda: self._restart(node))

    def _end(self, node: SimNode, *, silently: bool) -> None:
        self._tell(f"{node.name} dies{' silently' if silently else ''}")
        self._dead[node] = None
        self.world.kill(node, silently=silently)

    def _restart(self, node: SimNode) -> None:
        if node in self._dead:
            del self._dead[node]
            incarnation = self.random.choice([None, self.random.randrange(1, FIRST_INCARNATION)])
            self._tell(f"{node.name} begins again in incarnation {incarnation or 'next'}")
            self.world.restart(node, incarnation)

    def _rebind(self) -> None:
        agent = self.random.choice(self.agents)
        if agent.node.alive and not agent.node.is_stopped:
            for address in list(agent.node.offers):
                agent.node.unserve(address)
            self._tell(f"{agent.node.name} serves nothing")
            self._later(self.random.choice([0.0, 0.003, 1.0, 10.0]), lambda: self._serve_again(agent))

    def _serve_again(self, agent: SimAgent) -> None:
        if agent.node.alive:
            agent.node.turn(lambda: self._serve(agent.node))

    def _later(self, seconds: float, what: Callable[[], None]) -> None:
        self.world.at(self.world.now + seconds, lambda: None if self._mended else what())

    # The end

    def _mend(self) -> None:
        """Let everything be well again, but for some that stay dead."""
        self._mended = True
        self._tell("everything is mended")
        self.world.heal()
        for node in list(self.world.nodes):
            self.world.resume(node)
        for node in list(self._dead):
            if self.random.random() < 0.8:
                self._restart(node)
        for client in self.clients:
            client.stopped = True
        for agent in self.agents:
            agent.prompt = True

    def _rest(self) -> None:
        """Wait until nothing is wrong any more; it must stay so."""
        until = self.world.now + REST_S
        self.world.advance(2 * REBIND_S)
        while self.world.now < until and (self._problems() or self._problems(in_s=0.5)):
            self.world.advance(5.0)
        _insist(self._problems())
        traffic = Traffic(self.world)
        self.world.advance(self.random.uniform(1.0, 35.0))
        _insist(self._problems())
        if traffic.messages:
            raise Violation(f"sentinels still tell each other something: {traffic.messages}")

    def _overdue(self) -> list[str]:
        return [f"{client.node.name} still waits for {key}" for client in self.clients for key in client.overdue()]

    def _problems(self, in_s: float = 0.0) -> list[str]:
        self.world.advance(in_s)
        problems = at_rest(self.world, self.dials)
        _insist(self._overdue())
        problems += [f"{agent.node.name} will bind {list(agent.refused)}" for agent in self.agents if agent.waits()]
        for client in self.clients:
            problems += [f"{client.node.name} waits for {key}" for key in client.open_calls() if client.node.alive]
        return problems

    def _ask_everything(self) -> None:
        """Have everybody call every name; what is bound within reach is answered by the nearest that has it."""
        callers = [node for node in self.world.nodes if _home(node) is not None]
        asked = [(node, to, node.start(to, timeout_s=5.0)) for node in callers for to in ASKED]
        self.world.advance(10.0)
        for node, to, key in asked:
            outcomes = node.outcomes.get(key, [])
            answers = [bytes(outcome.value) or (outcome.code or outcome.kind).encode() for outcome in outcomes]
            expected = self._nearest(node, to) or [b"NO_ROUTE"]
            if len(answers) != 1 or answers[0] not in expected:
                raise Violation(f"{node.name} asked {to} and got {answers}, not one of {expected}")
        _insist(self._problems())

    def _nearest(self, node: SimNode, to: str) -> list[bytes]:
        """List what the nearest that have an address answer; of a pool any of its members may."""
        name = to.replace("@x.", "@*.")
        home = _home(node)
        far = distances(real_links(self.world)).get(home.name, {}) if home is not None else {}
        owners = [
            ((far[place.name], place.name), agent.name)
            for agent in self.agents
            if agent.node.alive and name in agent.node.offers and LOCAL in agent.node.core.table.ways(name)
            if (place := _home(agent.node)) is not None and place.name in far
        ]
        nearest = min((where for where, _ in owners), default=None)
        return [answer for where, answer in owners if where == nearest or name in POOLS]


def _home(node: SimNode) -> SimNode | None:
    """Return the sentinel a node is attached to; a sentinel is its own."""
    if node.core.settings.routes:
        return node
    parent = node.core.table.parent
    wire = node.wires.get(parent) if parent is not None else None
    return wire.node if wire is not None else None


def _insist(problems: list[str]) -> None:
    if problems:
        raise Violation("; ".join(problems[:8]))
