"""What the simulation is worth: mistakes planted into the core, each of which some random scenario has to find.

And tables that are wrong on purpose: whatever sends an envelope round in circles, it ends, and its caller hears of it.
"""

import heapq
from collections.abc import Callable, Iterator, Mapping

import msgspec
import pytest

from fame_cli.core import attach, topology
from fame_cli.core.calls import Call, CallKey, CallTable
from fame_cli.core.envelope import Envelope, data_frame, encode
from fame_cli.core.flow import FlowControl
from fame_cli.core.frames import MeshDelta
from fame_cli.core.link import LOCAL, Link
from fame_cli.core.section import Changes, Proof, Section
from fame_cli.core.session import Session
from fame_cli.core.state import NodeState
from fame_cli.testing import SimNode, SimWorld
from fame_cli.testing.scenario import ScenarioFailed, run_scenario

MOST_SEEDS = 60
"""A mistake that takes more scenarios than this to be found is as good as not found."""

X = "x@fame.fabric"


# Mistakes


def count_a_link_that_one_end_lists(patch: pytest.MonkeyPatch) -> None:
    def extend(
        heap: list[tuple[int, str, str, str]],
        links: Mapping[str, Mapping[str, int]],
        node: str,
        distance: int,
        via: str,
        found: Mapping[str, object],
    ) -> None:
        for neighbour, cost in links.get(node, {}).items():
            if neighbour not in found:
                step = max(cost, links.get(neighbour, {}).get(node, cost))
                heapq.heappush(heap, (distance + step, via or neighbour, neighbour, node))

    patch.setattr(topology, "_extend", extend)


def keep_a_withdrawal_to_oneself(patch: pytest.MonkeyPatch) -> None:
    deltas = Section.deltas

    def without_drops(section: Section, known: int, most_bytes: int) -> Iterator[MeshDelta]:
        return (msgspec.structs.replace(delta, drop=[]) for delta in deltas(section, known, most_bytes))

    patch.setattr(Section, "deltas", without_drops)


def let_an_older_record_win(patch: pytest.MonkeyPatch) -> None:
    apply = Section.apply

    def apply_all(section: Section, delta: MeshDelta, now: float, proof: Proof | None = None) -> Changes | None:
        if not delta.final and delta.version < section.version:
            section.version = delta.base
        return apply(section, delta, now, proof)

    patch.setattr(Section, "apply", apply_all)


def answer_twice(patch: pytest.MonkeyPatch) -> None:
    end = CallTable.end

    def end_for_others(table: CallTable, key: CallKey) -> Call | None:
        call = table.get(key)
        return call if call is not None and call.ingress is LOCAL else end(table, key)

    patch.setattr(CallTable, "end", end_for_others)


def send_without_credit(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(FlowControl, "writable", lambda flow, flow_id: True)
    patch.setattr(FlowControl, "take", lambda flow, flow_id, size=0: True)


def let_calls_wait_too_long(patch: pytest.MonkeyPatch) -> None:
    open_call = CallTable.open

    def open_longer(table: CallTable, key: CallKey, call: Call) -> bool:
        call.timeout_s *= 2
        return open_call(table, key, call)

    patch.setattr(CallTable, "open", open_longer)


def miss_nobody(patch: pytest.MonkeyPatch) -> None:
    end = attach.end

    def end_for_other_reasons(state: NodeState, session: Session, code: int, reason: str) -> None:
        if reason != "nothing heard":
            end(state, session, code, reason)

    patch.setattr(attach, "end", end_for_other_reasons)


def first_failure(seeds: range) -> ScenarioFailed | None:
    for seed in seeds:
        try:
            run_scenario(seed)
        except ScenarioFailed as failure:
            return failure
    return None


@pytest.mark.parametrize(
    ("plant", "what"),
    [
        (count_a_link_that_one_end_lists, "the way from"),
        (keep_a_withdrawal_to_oneself, "different records"),
        (let_an_older_record_win, "and now"),
        (answer_twice, "is told of the end"),
        (send_without_credit, "credits of stream"),
        (let_calls_wait_too_long, "wait"),
        (miss_nobody, "which is gone"),
    ],
)
def test_a_planted_mistake_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    failure = first_failure(range(MOST_SEEDS))
    assert failure is not None
    assert what in str(failure)
    monkeypatch.undo()
    run_scenario(failure.seed)


def test_a_failure_says_how_to_see_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_a_withdrawal_to_oneself(monkeypatch)
    failure = first_failure(range(MOST_SEEDS))
    assert failure is not None
    assert f"FAME_SIM_SEED={failure.seed}" in str(failure)
    with pytest.raises(ScenarioFailed) as again:
        run_scenario(failure.seed)
    assert str(again.value) == str(failure)


# Tables that are wrong


class Sent:
    """Count the envelopes with data or a refusal that pass between sentinels."""

    def __init__(self, world: SimWorld) -> None:
        self.count = 0
        world.watches.append(self)

    def sent(self, node: SimNode, link: Link, data: bytes) -> None:
        self.count += link.meshes and any(kind in data for kind in (b'"type":"Data"', b'"type":"DeliveryAck"'))

    def turned(self, node: SimNode) -> None:
        pass


def circle(count: int, max_hops: int = 16) -> tuple[list[SimNode], SimNode]:
    """Build a ring in which every sentinel takes the next one for the way to `X`, and a client at the first."""
    world = SimWorld()
    ring = [world.sentinel(f"s{number}", max_hops=max_hops) for number in range(count)]
    for node, following in zip(ring, [*ring[1:], ring[0]], strict=True):
        world.peer(node, following)
    client = world.leaf("c", ring[0])
    world.run()
    for node, following in zip(ring, [*ring[1:], ring[0]], strict=True):
        node.core.table.bind(X, node.core.table.peers[following.name])
    return ring, client


def test_a_request_that_goes_in_a_circle_ends_with_a_refusal_at_its_caller() -> None:
    ring, client = circle(3)
    sent = Sent(client.world)
    assert client.ask(X).code == "ROUTE_LOOP"
    client.world.run()
    assert sent.count <= 6
    assert not any(node.core.calls_in_flight() for node in (*ring, client))


def test_a_request_with_too_long_a_way_ends_with_a_refusal_at_its_caller() -> None:
    ring, client = circle(8, max_hops=5)
    sent = Sent(client.world)
    assert client.ask(X).code == "HOP_LIMIT"
    client.world.run()
    assert sent.count <= 10
    assert not any(node.core.calls_in_flight() for node in (*ring, client))


def test_a_message_nobody_waits_for_dies_by_the_hop_limit() -> None:
    ring, client = circle(3)
    sent = Sent(client.world)
    [link] = client.wires
    message = Envelope(version="1.0", id="m" * 16, to=X, frame=data_frame(b'{"hello":1}'))
    client.world.carry(client, link, encode(message))
    client.world.run()
    assert sent.count == 16
    assert sum(node.core.state.unroutable for node in ring) == 1
