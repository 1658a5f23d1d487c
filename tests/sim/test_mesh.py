"""Whole meshes on virtual time: a story for each way to break one, what a change costs, and random scenarios.

``FAME_SIM_SEED=17`` replays one random scenario, ``FAME_SIM_SEEDS=5000`` runs more of them (``make sim SEEDS=5000``),
``FAME_SIM_MINUTES=10`` breaks each for so long (``make sim SEEDS=500 MINUTES=10``).
"""

import itertools
import os
from hashlib import sha256

import pytest

from fame_cli.core import report
from fame_cli.core.link import Link, LinkKind
from fame_cli.testing import SimNode, SimWorld
from fame_cli.testing.dialing import keep_linked
from fame_cli.testing.invariants import Invariants, at_rest, distances, real_links
from fame_cli.testing.measured import MeasuredMesh
from fame_cli.testing.scenario import GARBAGE, Scenario, run_scenario

X = "x@fame.fabric"

SEEDS = [int(os.environ["FAME_SIM_SEED"])] if "FAME_SIM_SEED" in os.environ else range(200)
if "FAME_SIM_SEEDS" in os.environ:
    SEEDS = range(int(os.environ["FAME_SIM_SEEDS"]))
MINUTES = float(os.environ.get("FAME_SIM_MINUTES") or 0)


class Ring:
    """Be a ring of four sentinels whose links are made again when lost: an agent at s2 serves `X`, a client asks at s0.

    Of the two ways between them the one over s1 is cheaper.
    """

    def __init__(self, seed: int = 0) -> None:
        self.world = world = SimWorld(seed)
        Invariants(world)
        self.sentinels = [world.sentinel(f"s{number}", incarnation=1000) for number in range(4)]
        self.s0, self.s1, self.s2, self.s3 = self.sentinels
        self.dials = [keep_linked(self.s1, self.s0), keep_linked(self.s2, self.s1)]
        self.dials += [keep_linked(self.s3, self.s2, cost=2), keep_linked(self.s3, self.s0)]
        self.agent, self.client = world.node("a"), world.node("c")
        self.dials.append(keep_linked(self.agent, self.s2, LinkKind.PARENT))
        self.dials.append(keep_linked(self.client, self.s0, LinkKind.PARENT))
        self.agent.serve(X, lambda request: b"7", ("op:add",))
        world.advance(1.0)

    def ask(self) -> str:
        """Call the agent; return the first sentinel on the way, or the code of the refusal."""
        outcome = self.client.ask(X, trace=True)
        return outcome.code or [entry.split(";")[0] for entry in outcome.trace or []][1]

    def comes_to_rest(self, within_s: float) -> bool:
        """Let time pass until nothing is wrong."""
        until = self.world.now + within_s
        while self.world.now < until and at_rest(self.world, self.dials):
            self.world.advance(0.25)
        return not at_rest(self.world, self.dials)


def link_to(node: SimNode, name: str) -> Link:
    return next(session.link for session in node.core.sessions() if session.link.remote_id == name)


# Links and parts of the network


def test_calls_take_the_cheaper_way_round_and_the_other_one_while_that_is_broken() -> None:
    ring = Ring()
    assert ring.ask() == "s1"
    ring.world.partition([ring.s1], [ring.s2])
    ring.world.advance(0.1)
    assert ring.ask() == "s3"
    ring.world.heal()
    assert ring.comes_to_rest(within_s=10)
    assert ring.ask() == "s1"


def test_a_call_over_a_link_that_is_lost_ends_at_once_and_the_next_goes_another_way() -> None:
    ring = Ring()
    ring.agent.served.clear()
    key = ring.client.start(X)
    ring.world.run()
    started = ring.world.now
    ring.world.cut(ring.s1, link_to(ring.s1, "s2"))
    ring.world.run(until=lambda: key in ring.client.outcomes)
    assert [outcome.code for outcome in ring.client.outcomes[key]] == ["LINK_LOST"]
    assert ring.world.now - started < 0.1
    ring.agent.served[X] = lambda request: b"7"
    assert ring.client.ask(X).kind == "result"


def test_parted_halves_know_only_what_is_theirs_and_find_each_other_again() -> None:
    ring = Ring()
    ring.world.partition([ring.s0, ring.s1], [ring.s2, ring.s3])
    assert ring.ask() == "NO_ROUTE"
    assert report.names(ring.s0.core.state, ring.world.now) == []
    ring.world.heal()
    assert ring.comes_to_rest(within_s=10)
    assert ring.ask() == "s1"


def test_a_network_that_stands_still_for_a_moment_loses_nothing() -> None:
    ring = Ring()
    ring.world.partition([ring.s0, ring.s1], [ring.s2, ring.s3], silently=True)
    key = ring.client.start(X)
    ring.world.advance(5)
    assert key not in ring.client.outcomes
    ring.world.heal()
    ring.world.run()
    assert [outcome.kind for outcome in ring.client.outcomes[key]] == ["result"]
    assert at_rest(ring.world, ring.dials) == []


def test_a_network_that_stands_still_for_long_is_given_up_and_taken_up_again() -> None:
    ring = Ring()
    ring.world.partition([ring.s0, ring.s1], [ring.s2, ring.s3], silently=True)
    ring.world.advance(35)
    assert ring.ask() == "NO_ROUTE"
    ring.world.heal()
    assert ring.comes_to_rest(within_s=15)
    assert ring.ask() == "s1"


def test_what_waited_arrives_in_order() -> None:
    ring = Ring()
    ring.agent.served.clear()
    key = ring.client.start(X, streaming=True)
    ring.world.run()
    request = ring.agent.requests[-1]
    assert request.key is not None
    ring.world.hold(ring.s1, ring.s0, one_way=True)
    for item in range(20):
        ring.agent.perform(ring.agent.core.reply_item(request.key, b"%d" % item, ring.world.now))
    ring.agent.perform(ring.agent.core.reply(request.key, None, ring.world.now))
    ring.world.run()
    assert key not in ring.client.items
    ring.world.release(ring.s1, ring.s0)
    ring.world.run()
    assert [bytes(item.value) for item in ring.client.items[key]] == [b"%d" % item for item in range(20)]
    assert [outcome.kind for outcome in ring.client.outcomes[key]] == ["end"]


def test_a_link_that_one_end_has_given_up_is_not_used_even_where_the_other_end_has_not_noticed() -> None:
    ring = Ring()
    ring.world.hold(ring.s2, ring.s1, one_way=True)
    link = link_to(ring.s2, "s1")
    ring.s2.perform(ring.s2.core.link_closed(link))
    ring.world.hang_up(ring.s2, link)
    ring.world.advance(1.0)
    assert [session.link.remote_id for session in ring.s1.core.sessions()] == ["s0", "s2"]
    assert ring.ask() == "s3"


@pytest.mark.parametrize("timers_first", [True, False])
def test_a_node_that_stands_still_loses_nothing_and_answers_when_it_goes_on(timers_first: bool) -> None:
    ring = Ring()
    ring.world.stop(ring.s1)
    keys = [ring.client.start(X, timeout_s=30.0) for _ in range(5)]
    ring.world.advance(5)
    assert not ring.client.outcomes
    assert len(ring.agent.requests) == 0
    ring.world.resume(ring.s1, timers_first=timers_first)
    ring.world.run()
    assert [ring.client.outcomes[key][0].kind for key in keys] == ["result"] * 5
    assert at_rest(ring.world, ring.dials) == []


def test_a_client_that_stands_still_hears_the_end_of_its_calls_when_it_goes_on() -> None:
    ring = Ring()
    ring.agent.served.clear()
    key = ring.client.start(X, timeout_s=3.0)
    ring.world.run()
    ring.world.stop(ring.client)
    ring.world.advance(5)
    assert key not in ring.client.outcomes
    ring.world.resume(ring.client)
    ring.world.advance(0.001)
    assert [outcome.kind for outcome in ring.client.outcomes[key]] == ["timeout"]


@pytest.mark.parametrize("one_way", [True, False])
def test_a_link_that_brings_nothing_any_more_is_given_up_and_made_again(one_way: bool) -> None:
    ring = Ring()
    ring.world.deafen(ring.s1, ring.s2, one_way=one_way)
    key = ring.client.start(X, timeout_s=60.0)
    ring.world.advance(5)
    assert key not in ring.client.outcomes
    ring.world.advance(25)
    assert [outcome.code for outcome in ring.client.outcomes[key]] == ["LINK_LOST"]
    assert ring.comes_to_rest(within_s=10)
    assert ring.ask() == "s1"


def test_a_slow_way_is_slow_and_nothing_else() -> None:
    ring = Ring()
    ring.world.delay(ring.s1, ring.s2, 0.2)
    started = ring.world.now
    assert ring.ask() == "s1"
    assert 0.4 < ring.world.now - started < 0.5
    ring.world.heal()
    started = ring.world.now
    assert ring.ask() == "s1"
    assert ring.world.now - started < 0.1


@pytest.mark.parametrize("data", GARBAGE)
def test_garbage_on_a_link_changes_nothing(data: bytes) -> None:
    ring = Ring()
    ring.world.litter(ring.s1, link_to(ring.s1, "s2"), data)
    ring.world.advance(1)
    assert at_rest(ring.world, ring.dials) == []
    assert ring.ask() == "s1"


# Sentinels that come and go


def test_a_dead_sentinel_is_gone_round() -> None:
    ring = Ring()
    ring.world.kill(ring.s1)
    assert ring.ask() == "s3"
    ring.world.restart(ring.s1)
    assert ring.comes_to_rest(within_s=10)
    assert ring.ask() == "s1"


def test_a_sentinel_that_dies_without_a_sound_is_missed_after_10_seconds() -> None:
    ring = Ring()
    ring.world.kill(ring.s1, silently=True)
    key = ring.client.start(X, timeout_s=60.0)
    ring.world.advance(5)
    assert key not in ring.client.outcomes
    ring.world.advance(6)
    assert [outcome.code for outcome in ring.client.outcomes[key]] == ["LINK_LOST"]
    assert ring.ask() == "s3"


@pytest.mark.parametrize("incarnation", [None, 999, 1000, 1])
def test_a_sentinel_that_begins_again_is_believed_whatever_its_clock_says(incarnation: int | None) -> None:
    ring = Ring()
    ring.s1.serve("old@fame.fabric")
    ring.world.run()
    ring.world.kill(ring.s1)
    ring.s1.offers.clear()
    ring.world.restart(ring.s1, incarnation)
    ring.s1.serve("new@fame.fabric", lambda request: b"1")
    assert ring.comes_to_rest(within_s=20)
    assert ring.client.ask("old@fame.fabric").code == "NO_ROUTE"
    assert ring.agent.ask("new@fame.fabric").kind == "result"


@pytest.mark.parametrize("incarnation", [None, 999, 1000, 1])
def test_a_sentinel_that_began_again_behind_a_partition_is_believed_after_it(incarnation: int | None) -> None:
    ring = Ring()
    ring.s1.serve("old@fame.fabric")
    ring.world.run()
    ring.world.partition([ring.s0, ring.s1], [ring.s2, ring.s3])
    ring.world.kill(ring.s1)
    ring.s1.offers.clear()
    ring.world.restart(ring.s1, incarnation)
    ring.s1.serve("new@fame.fabric", lambda request: b"1")
    ring.world.advance(5)
    ring.world.heal()
    assert ring.comes_to_rest(within_s=20)
    assert ring.agent.ask("old@fame.fabric").code == "NO_ROUTE"
    assert ring.agent.ask("new@fame.fabric").kind == "result"


def test_a_sentinel_that_joins_late_knows_all_and_is_known_by_all() -> None:
    ring = Ring()
    late = ring.world.sentinel("late")
    late.serve("late@fame.fabric", lambda request: b"1")
    ring.dials.append(keep_linked(late, ring.s0))
    assert ring.comes_to_rest(within_s=5)
    assert late.ask(X).kind == "result"
    assert ring.agent.ask("late@fame.fabric").kind == "result"


def test_a_sentinel_that_begins_again_before_it_is_missed_takes_another_id_and_works_under_it() -> None:
    ring = Ring()
    ring.world.kill(ring.s1, silently=True)
    ring.world.restart(ring.s1)
    assert ring.comes_to_rest(within_s=60)
    assert ring.s1.name.startswith("s1-")
    assert ring.ask() == ring.s1.name


@pytest.mark.parametrize("seed", range(20))
def test_two_that_dial_each_other_keep_exactly_one_link_whatever_happens_to_them(seed: int) -> None:
    world = SimWorld(seed)
    Invariants(world)
    a, b = world.sentinel("a"), world.sentinel("b")
    dials = [keep_linked(a, b), keep_linked(b, a)]
    for _ in range(10):
        world.advance(world.random.expovariate(2))
        node = world.random.choice([a, b])
        if node.wires and world.random.random() < 0.5:
            world.cut(node, next(iter(node.wires)))
        else:
            world.kill(node, silently=world.random.random() < 0.3)
            world.restart(node)
    world.advance(100)
    assert at_rest(world, dials) == []
    assert distances(real_links(world))[a.name][b.name] == 1


def test_an_agent_is_attached_and_bound_again_when_its_sentinel_has_come_back() -> None:
    ring = Ring()
    ring.world.kill(ring.s2)
    assert ring.ask() == "NO_ROUTE"
    ring.world.advance(3)
    ring.world.restart(ring.s2)
    assert ring.comes_to_rest(within_s=10)
    assert ring.ask() == "s1"


def test_the_longest_way_is_as_long_as_the_hop_limit() -> None:
    world = SimWorld()
    line = [world.sentinel(f"s{number}") for number in range(17)]
    for a, b in itertools.pairwise(line):
        world.peer(b, a)
    client, near, far = world.leaf("c", line[0]), world.leaf("near", line[14]), world.leaf("far", line[15])
    near.serve("near@fame.fabric", lambda request: b"1")
    far.serve("far@fame.fabric", lambda request: b"1")
    world.run()
    assert client.ask("near@fame.fabric").kind == "result"
    assert client.ask("far@fame.fabric").code == "HOP_LIMIT"


# What a change costs


@pytest.fixture(scope="module", params=[10, 20, 30])
def mesh(request: pytest.FixtureRequest) -> MeasuredMesh:
    made = MeasuredMesh(request.param, seed=request.param)
    made.start()
    return made


def test_one_new_binding_costs_at_most_one_message_a_link_and_direction(mesh: MeasuredMesh) -> None:
    cost = mesh.bind(mesh.nodes[3], "new@fame.fabric")
    assert cost.busiest == 1
    assert cost.records == cost.messages <= cost.directions
    assert cost.rounds <= mesh.diameter()
    assert cost.computations == 0


def test_a_lost_link_costs_the_records_of_its_two_ends(mesh: MeasuredMesh) -> None:
    a, b = mesh.spare_link()
    cost = mesh.lose_link(a, b)
    assert cost.busiest <= 2
    assert cost.records <= 2 * cost.directions
    assert cost.rounds <= mesh.diameter()
    assert cost.computations <= len(mesh.world.nodes)


def test_a_lost_sentinel_costs_a_record_of_each_of_its_neighbours() -> None:
    mesh = MeasuredMesh(25, seed=2)
    mesh.start()
    node = mesh.spare_node(links=4)
    neighbours = len(node.wires)
    cost = mesh.lose_node(node)
    assert cost.records <= neighbours * cost.directions
    assert cost.rounds <= mesh.diameter() + 1
    assert cost.computations <= len(mesh.world.nodes)


# Anything, in any order


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_mesh_keeps_its_promises_while_it_breaks_and_once_it_is_mended(seed: int) -> None:
    run_scenario(seed, MINUTES)


def test_a_seed_is_one_scenario() -> None:
    class Wires:
        def __init__(self, world: SimWorld) -> None:
            self.seen, self.world = sha256(), world
            world.watches.append(self)

        def sent(self, node: SimNode, link: Link, data: bytes) -> None:
            self.seen.update(b"%r %b" % (self.world.now, data))

        def turned(self, node: SimNode) -> None:
            pass

    scenarios = [Scenario(3), Scenario(3), Scenario(4)]
    wires = [Wires(scenario.world) for scenario in scenarios]
    for scenario in scenarios:
        scenario.run()
    seen = [wire.seen.digest() for wire in wires]
    assert seen[0] == seen[1] != seen[2]
