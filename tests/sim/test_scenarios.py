"""Whole fabrics on virtual time: real cores, real bytes, no sockets. Each test is a short story of a few nodes.

A story that depends on who is faster runs over many seeds; what fails names its seed and replays exactly.
"""

import itertools
from collections import Counter

import pytest

from fame_cli.core.calls import CallKey
from fame_cli.core.effects import LinkRefused, Outcome, Request
from fame_cli.core.link import LOCAL, Link, LinkKind, next_link
from fame_cli.core.session import State
from fame_cli.testing import SimNode, SimWorld

MATH1, MATH2 = "math1@fame.fabric", "math2@fame.fabric"

SEEDS = range(60)


class Peers:
    """Be the smallest fabric with a peer link: agent a2 at s2, client c at s1, s2 dialled s1."""

    def __init__(self, seed: int = 0) -> None:
        self.world = SimWorld(seed)
        self.s1, self.s2 = self.world.sentinel("s1"), self.world.sentinel("s2")
        self.world.peer(self.s2, self.s1)
        self.agent, self.client = self.world.leaf("a2", self.s2), self.world.leaf("c", self.s1)
        self.world.run()

    def serve(self, answer: bytes | None = b"7") -> None:
        """Have the agent answer every call alike; with None the requests gather there."""
        self.agent.serve(MATH2, (lambda request: answer) if answer else None)
        self.world.run()

    def opened(self, *, streaming: bool = False, timeout_s: float = 30.0) -> tuple[CallKey, Request]:
        """Start a call that waits at the agent; return its key and the request there."""
        key = self.client.start(MATH2, streaming=streaming, timeout_s=timeout_s)
        self.world.run()
        return key, self.agent.requests[-1]


def link_to(node: SimNode, name: str) -> Link:
    """Return a node's link to the neighbour of that name."""
    return next(session.link for session in node.core.sessions() if session.link.remote_id == name)


def key_of(request: Request) -> CallKey:
    assert request.key is not None
    return request.key


def one_outcome(node: SimNode, key: CallKey) -> Outcome:
    [outcome] = node.outcomes[key]
    return outcome


def nobody_keeps_a_call(world: SimWorld) -> bool:
    return all(node.core.calls_in_flight() == 0 for node in world.nodes)


# Calls


def test_a_call_crosses_two_sentinels_and_comes_back() -> None:
    fabric = Peers()
    fabric.serve()
    outcome = fabric.client.ask(MATH2, "add", b'{"x":3}')
    assert (outcome.kind, bytes(outcome.value)) == ("result", b"7")
    assert (fabric.agent.requests[0].method, bytes(fabric.agent.requests[0].params)) == ("add", b'{"x":3}')
    fabric.world.run()
    assert nobody_keeps_a_call(fabric.world)


def test_a_thousand_calls_at_once_are_all_answered_once() -> None:
    fabric = Peers()
    fabric.serve()
    keys = [fabric.client.start(MATH2) for _ in range(1000)]
    fabric.world.run()
    assert Counter(len(fabric.client.outcomes[key]) for key in keys) == {1: 1000}
    assert {one_outcome(fabric.client, key).kind for key in keys} == {"result"}
    assert nobody_keeps_a_call(fabric.world)


def test_a_null_result_crosses_the_fabric() -> None:
    fabric = Peers()
    fabric.agent.serve(MATH2, lambda request: None)
    fabric.world.run()
    outcome = fabric.client.ask(MATH2)
    assert (outcome.kind, bytes(outcome.value)) == ("result", b"")


def test_a_remote_error_crosses_the_fabric() -> None:
    fabric = Peers()
    fabric.serve(None)
    key, request = fabric.opened()
    fabric.agent.perform(fabric.agent.core.reply_error(key_of(request), -32602, "x", {"p": 1}, fabric.world.now))
    fabric.world.run()
    outcome = one_outcome(fabric.client, key)
    assert (outcome.kind, outcome.code, outcome.message, bytes(outcome.data)) == ("error", "-32602", "x", b'{"p":1}')


def test_a_call_without_a_route_is_refused_at_once() -> None:
    fabric = Peers()
    started = fabric.world.now
    outcome = fabric.client.ask("nobody@fame.fabric")
    assert (outcome.kind, outcome.code) == ("nack", "NO_ROUTE")
    assert fabric.world.now - started < 0.1


@pytest.mark.parametrize("to", ["nobody@/s1", "nobody@/s2", "nobody@/s2/a2", "nobody@/s2/gone", "nobody@/gone"])
def test_a_name_that_is_not_there_is_refused_wherever_it_should_be(to: str) -> None:
    fabric = Peers()
    assert fabric.client.ask(to).code == "NO_ROUTE"
    fabric.serve()
    assert fabric.client.ask(MATH2).kind == "result"


def test_an_agent_may_call_another_across_the_fabric() -> None:
    fabric = Peers()
    fabric.serve()
    caller = fabric.world.leaf("a1", fabric.s1)
    caller.serve(MATH1, lambda request: b"1")
    fabric.world.run()
    assert caller.ask(MATH2).kind == "result"
    assert fabric.agent.ask(MATH1).kind == "result"


def test_a_sentinel_may_call_and_be_called_itself() -> None:
    fabric = Peers()
    fabric.serve()
    assert fabric.s1.ask(MATH2).kind == "result"
    fabric.s2.serve("status@fame.fabric", lambda request: b"{}")
    fabric.world.run()
    assert fabric.client.ask("status@fame.fabric").kind == "result"


# Streams


def test_a_stream_brings_its_items_in_order_and_then_its_end() -> None:
    fabric = Peers()
    fabric.serve(None)
    key, request = fabric.opened(streaming=True)
    for number in range(20):
        fabric.agent.perform(fabric.agent.core.reply_item(key_of(request), b"%d" % number, fabric.world.now))
    fabric.agent.perform(fabric.agent.core.reply(key_of(request), None, fabric.world.now))
    fabric.world.run()
    assert [bytes(item.value) for item in fabric.client.items[key]] == [b"%d" % number for number in range(20)]
    assert one_outcome(fabric.client, key).kind == "end"
    assert nobody_keeps_a_call(fabric.world)


def test_an_error_in_a_stream_follows_the_items_before_it() -> None:
    fabric = Peers()
    fabric.serve(None)
    key, request = fabric.opened(streaming=True)
    fabric.agent.perform(fabric.agent.core.reply_item(key_of(request), b"1", fabric.world.now))
    fabric.agent.perform(fabric.agent.core.reply_error(key_of(request), -32603, "mid-stream", None, fabric.world.now))
    fabric.world.run()
    assert len(fabric.client.items[key]) == 1
    assert one_outcome(fabric.client, key).message == "mid-stream"


def test_an_operation_that_does_not_stream_gives_a_stream_of_one() -> None:
    fabric = Peers()
    fabric.serve()
    key = fabric.client.start(MATH2, streaming=True)
    fabric.world.run()
    assert [bytes(item.value) for item in fabric.client.items[key]] == [b"7"]
    assert one_outcome(fabric.client, key).kind == "end"


def produce(agent: SimNode, request: Request, now: float) -> int:
    """Send items until the core says to wait; return how many."""
    sent = 0
    while agent.core.writable(key_of(request)):
        agent.perform(agent.core.reply_item(key_of(request), b"%d" % sent, now))
        sent += 1
        assert sent < 10_000
    return sent


def test_a_stream_nobody_reads_stops_after_the_windows_on_the_way_and_goes_on_when_read() -> None:
    fabric = Peers()
    fabric.serve(None)
    key, request = fabric.opened(streaming=True)
    sent = 0
    while made := produce(fabric.agent, request, fabric.world.now):
        sent += made
        fabric.world.run()
    assert 256 <= sent <= 3 * 256
    assert fabric.agent.opened.count(key_of(request)) >= 1
    wakes = len(fabric.agent.opened)
    for item in fabric.client.items[key]:
        assert item.source is not None
        fabric.client.perform(fabric.client.core.item_consumed(item, fabric.world.now))
    fabric.world.run()
    assert len(fabric.agent.opened) > wakes
    assert produce(fabric.agent, request, fabric.world.now) > 0


def test_a_stream_nobody_reads_holds_up_no_other_call_on_its_way() -> None:
    fabric = Peers()
    fabric.serve(None)
    _, request = fabric.opened(streaming=True)
    while produce(fabric.agent, request, fabric.world.now):
        fabric.world.run()
    other, second = fabric.opened(streaming=True)
    fabric.agent.perform(fabric.agent.core.reply_item(key_of(second), b"1", fabric.world.now))
    fabric.agent.perform(fabric.agent.core.reply(key_of(second), None, fabric.world.now))
    fabric.world.run()
    assert one_outcome(fabric.client, other).kind == "end"
    fabric.agent.serve("other@fame.fabric", lambda request: b"1")
    fabric.world.run()
    assert fabric.client.ask("other@fame.fabric").kind == "result"


def test_a_long_stream_that_is_read_never_stands_still() -> None:
    fabric = Peers()
    fabric.serve(None)
    key, request = fabric.opened(streaming=True)
    read = 0
    for _ in range(20):
        produce(fabric.agent, request, fabric.world.now)
        fabric.world.run()
        items = fabric.client.items[key]
        assert len(items) > read
        for item in items[read:]:
            assert item.source is not None
            fabric.client.perform(fabric.client.core.item_consumed(item, fabric.world.now))
        read = len(items)
        fabric.world.run()
    assert [bytes(item.value) for item in fabric.client.items[key]][:3] == [b"0", b"1", b"2"]


# Capabilities and pools


def test_a_capability_is_found_across_the_fabric() -> None:
    fabric = Peers()
    fabric.agent.serve(MATH2, lambda request: b"7", ("op:add", "fast"))
    fabric.world.run()
    assert fabric.client.ask(None, capabilities=["op:add"]).kind == "result"
    assert fabric.agent.requests[0].address == MATH2


def test_only_whoever_offers_all_capabilities_is_asked() -> None:
    fabric = Peers()
    fabric.agent.serve(MATH2, lambda request: b"2", ("op:add", "fast"))
    near = fabric.world.leaf("a1", fabric.s1)
    near.serve(MATH1, lambda request: b"1", ("op:add",))
    fabric.world.run()
    assert bytes(fabric.client.ask(None, capabilities=["op:add"]).value) == b"1"
    assert bytes(fabric.client.ask(None, capabilities=["op:add", "fast"]).value) == b"2"
    assert fabric.client.ask(None, capabilities=["op:add", "fast", "free"]).code == "NO_ROUTE"


def test_the_members_of_a_pool_share_the_calls() -> None:
    fabric = Peers()
    members = [fabric.agent, fabric.world.leaf("a3", fabric.s2)]
    for member in members:
        member.serve("math@*.fame.fabric")
    fabric.world.run()
    for _ in range(10):
        fabric.client.start("math@x.fame.fabric")
    fabric.world.run()
    assert [len(member.requests) for member in members] == [5, 5]


# Giving up


def test_a_cancel_crosses_two_sentinels_and_stops_the_work() -> None:
    fabric = Peers()
    fabric.serve(None)
    key, request = fabric.opened()
    fabric.client.perform(fabric.client.core.cancel(key))
    fabric.world.run()
    assert fabric.agent.cancelled == [key_of(request)]
    assert one_outcome(fabric.client, key).kind == "cancelled"
    assert nobody_keeps_a_call(fabric.world)


def test_a_timeout_ends_the_call_once_and_stops_the_work() -> None:
    fabric = Peers()
    fabric.serve(None)
    key, request = fabric.opened(timeout_s=2.0)
    fabric.world.advance(2.1)
    assert one_outcome(fabric.client, key).kind == "timeout"
    assert fabric.agent.cancelled == [key_of(request)]
    fabric.agent.perform(fabric.agent.core.reply(key_of(request), b"7", fabric.world.now))
    fabric.world.advance(60)
    assert len(fabric.client.outcomes[key]) == 1
    assert nobody_keeps_a_call(fabric.world)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_answer_that_crosses_its_cancel_changes_nothing(seed: int) -> None:
    fabric = Peers(seed)
    fabric.serve()
    key = fabric.client.start(MATH2)
    fabric.world.run(for_s=fabric.world.random.uniform(0, 0.03))
    fabric.client.perform(fabric.client.core.cancel(key))
    fabric.world.run()
    assert len(fabric.client.outcomes[key]) == 1
    assert nobody_keeps_a_call(fabric.world)


# Nodes and links that go away


def test_the_death_of_an_agent_ends_its_calls_at_once_everywhere() -> None:
    fabric = Peers()
    fabric.serve(None)
    keys = [fabric.opened(streaming=number % 2 == 0)[0] for number in range(6)]
    started = fabric.world.now
    fabric.world.kill(fabric.agent)
    fabric.world.run()
    assert [one_outcome(fabric.client, key).code for key in keys] == ["LINK_LOST"] * 6
    assert fabric.world.now - started < 0.1
    assert nobody_keeps_a_call(fabric.world)
    assert fabric.client.ask(MATH2).code == "NO_ROUTE"


def test_the_death_of_a_caller_stops_the_work_for_it() -> None:
    fabric = Peers()
    fabric.serve(None)
    requests = [fabric.opened()[1] for _ in range(3)]
    fabric.world.kill(fabric.client)
    fabric.world.run()
    assert fabric.agent.cancelled == [request.key for request in requests]
    assert nobody_keeps_a_call(fabric.world)


def test_a_lost_peer_link_ends_the_calls_over_it_and_stops_their_work() -> None:
    fabric = Peers()
    fabric.serve(None)
    key, request = fabric.opened()
    fabric.world.cut(fabric.s2, link_to(fabric.s2, "s1"))
    fabric.world.run()
    assert one_outcome(fabric.client, key).code == "LINK_LOST"
    assert fabric.agent.cancelled == [key_of(request)]
    assert fabric.client.ask(MATH2).code == "NO_ROUTE"


def test_a_lost_peer_link_does_not_touch_calls_on_either_side() -> None:
    fabric = Peers()
    fabric.serve(None)
    near = fabric.world.leaf("c2", fabric.s2)
    fabric.world.run()
    key = near.start(MATH2)
    fabric.world.run()
    fabric.world.cut(fabric.s2, link_to(fabric.s2, "s1"))
    fabric.agent.perform(fabric.agent.core.reply(key_of(fabric.agent.requests[-1]), b"7", fabric.world.now))
    fabric.world.run()
    assert one_outcome(near, key).kind == "result"


def test_a_peer_that_comes_back_learns_everything_again() -> None:
    fabric = Peers()
    fabric.agent.serve(MATH2, lambda request: b"7", ("op:add",))
    fabric.world.run()
    fabric.world.cut(fabric.s2, link_to(fabric.s2, "s1"))
    fabric.world.run()
    fabric.world.peer(fabric.s2, fabric.s1)
    fabric.world.run()
    assert fabric.client.ask(MATH2).kind == "result"
    assert fabric.client.ask(None, capabilities=["op:add"]).kind == "result"


def test_an_agent_that_comes_back_binds_its_addresses_again() -> None:
    fabric = Peers()
    fabric.serve()
    fabric.world.cut(fabric.agent, link_to(fabric.agent, "s2"))
    fabric.world.run()
    assert fabric.client.ask(MATH2).code == "NO_ROUTE"
    fabric.world.join(fabric.agent, fabric.s2, LinkKind.PARENT)
    fabric.world.run()
    assert fabric.client.ask(MATH2).kind == "result"


def test_an_agent_that_comes_back_before_its_old_link_is_missed_keeps_its_address() -> None:
    fabric = Peers()
    fabric.serve()
    mute(fabric.agent, link_to(fabric.agent, "s2"))
    fabric.agent.perform(fabric.agent.core.link_closed(link_to(fabric.agent, "s2")))
    fabric.world.join(fabric.agent, fabric.s2, LinkKind.PARENT)
    fabric.world.run()
    assert fabric.client.ask(MATH2).kind == "result"


def mute(node: SimNode, link: Link) -> None:
    """Let nothing pass on a link any more, without either end noticing."""
    wire = node.wires[link]
    wire.up = False
    back = wire.node.wires.get(wire.link)
    if back is not None:
        back.up = False


def test_links_with_nothing_to_say_live_for_ever() -> None:
    fabric = Peers()
    fabric.serve()
    fabric.world.advance(600)
    assert all(len(node.core.sessions()) == count for node, count in zip(fabric.world.nodes, (2, 2, 1, 1), strict=True))
    assert fabric.client.ask(MATH2).kind == "result"


def test_a_link_that_has_gone_silent_is_given_up_on_both_sides_after_10_seconds() -> None:
    fabric = Peers()
    fabric.serve(None)
    key, request = fabric.opened(timeout_s=120.0)
    mute(fabric.s2, link_to(fabric.s2, "s1"))
    fabric.world.advance(5)
    assert key not in fabric.client.outcomes
    fabric.world.advance(6)
    assert one_outcome(fabric.client, key).code == "LINK_LOST"
    assert fabric.agent.cancelled == [key_of(request)]


# Names


def test_a_name_bound_before_the_peers_met_is_known_after() -> None:
    world = SimWorld()
    s1, s2 = world.sentinel("s1"), world.sentinel("s2")
    agent, client = world.leaf("a2", s2), world.leaf("c", s1)
    agent.serve(MATH2, lambda request: b"7", ("op:add",))
    world.run()
    assert client.ask(MATH2).code == "NO_ROUTE"
    world.peer(s1, s2)
    world.run()
    assert client.ask(MATH2).kind == "result"
    assert client.ask(None, capabilities=["op:add"]).kind == "result"


def test_a_name_given_back_is_forgotten_across_the_fabric() -> None:
    fabric = Peers()
    fabric.agent.serve(MATH2, lambda request: b"7", ("op:add",))
    fabric.world.run()
    fabric.agent.perform(fabric.agent.core.withdraw("op:add", MATH2))
    fabric.world.run()
    assert fabric.client.ask(None, capabilities=["op:add"]).code == "NO_ROUTE"
    assert fabric.client.ask(MATH2).kind == "result"
    fabric.agent.perform(fabric.agent.core.unbind(MATH2))
    fabric.world.run()
    assert fabric.client.ask(MATH2).code == "NO_ROUTE"
    assert list(fabric.s1.core.table.names()) == []


def test_the_nearer_of_two_agents_with_one_name_is_asked_and_the_other_when_it_is_gone() -> None:
    fabric = Peers()
    fabric.agent.serve(MATH1, lambda request: b'"far"')
    near = fabric.world.leaf("a1", fabric.s1)
    near.serve(MATH1, lambda request: b'"near"')
    fabric.world.run()
    assert bytes(fabric.client.ask(MATH1).value) == b'"near"'
    fabric.world.kill(near)
    fabric.world.run()
    assert bytes(fabric.client.ask(MATH1).value) == b'"far"'


def test_a_second_agent_with_the_address_of_a_first_is_told_and_served_by_the_first() -> None:
    fabric = Peers()
    fabric.serve()
    second = fabric.world.leaf("a9", fabric.s2)
    second.serve(MATH2, lambda request: b"0")
    fabric.world.run()
    assert [event.code for event in second.events if type(event).__name__ == "BindAnswered"] == ["ADDRESS_TAKEN"]
    assert bytes(fabric.client.ask(MATH2).value) == b"7"


# Namesakes


def test_clients_with_one_id_are_all_answered() -> None:
    fabric = Peers()
    fabric.serve()
    twins = [fabric.world.leaf("c", fabric.s1) for _ in range(3)]
    fabric.world.run()
    assert len({node.core.table.path for node in [fabric.client, *twins]}) == 4
    assert [node.ask(MATH2).kind for node in [fabric.client, *twins]] == ["result"] * 4


def test_a_second_sentinel_with_an_id_that_is_in_use_is_refused_until_it_takes_another() -> None:
    fabric = Peers()
    fabric.serve()
    impostor = fabric.world.sentinel("s2")
    fabric.world.peer(impostor, fabric.s1)
    fabric.world.run()
    refusals = [event for event in impostor.events if isinstance(event, LinkRefused)]
    assert [refusal.code for refusal in refusals] == ["ID_TAKEN"]
    assert fabric.client.ask(MATH2).kind == "result"
    impostor.perform(impostor.core.rename("s9"))
    fabric.world.peer(impostor, fabric.s1)
    fabric.world.run()
    assert set(fabric.s1.core.table.peers) == {"s2", "s9"}


def test_a_sentinel_that_dials_itself_is_refused() -> None:
    world = SimWorld()
    s1 = world.sentinel("s1")
    world.peer(s1, s1)
    world.run()
    assert [event.code for event in s1.events if isinstance(event, LinkRefused)] == ["SELF_LINK"]
    assert s1.core.sessions() == []


def test_a_renamed_sentinel_serves_its_agents_under_the_new_path() -> None:
    fabric = Peers()
    fabric.serve()
    fabric.s2.perform(fabric.s2.core.rename("s7"))
    fabric.world.run()
    fabric.world.join(fabric.agent, fabric.s2, LinkKind.PARENT)
    fabric.world.peer(fabric.s2, fabric.s1)
    fabric.world.run()
    assert fabric.agent.core.table.path == "/s7/a2"
    assert fabric.client.ask(MATH2).kind == "result"


# Two links between the same two peers


def one_link_each(*sentinels: SimNode, drained: bool = True) -> bool:
    """Tell whether each sentinel has one peer link; until a replaced one is drained, one that is in use."""
    return all(
        sum(
            session.link.kind is LinkKind.PEER and (drained or session.state is State.OPEN)
            for session in node.core.sessions()
        )
        == 1
        == len(node.core.table.peers)
        for node in sentinels
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_peers_that_dial_each_other_keep_exactly_one_link_and_calls_work(seed: int) -> None:
    """At the same instant, or one a moment after the other, in either order."""
    world = SimWorld(seed)
    s1, s2 = world.sentinel("s1"), world.sentinel("s2")
    agent, client = world.leaf("a2", s2), world.leaf("c", s1)
    agent.serve(MATH2, lambda request: b"7", ("op:add",))
    if seed % 3:
        world.run()
    first, second = [(s1, s2), (s2, s1)][:: 1 if seed % 2 else -1]
    world.peer(*first)
    world.run(for_s=world.random.choice([0.0, 0.0, 0.002, 0.005, 0.02]))
    world.peer(*second)
    world.run()
    assert one_link_each(s1, s2, drained=False)
    assert client.ask(MATH2).kind == "result"
    assert client.ask(None, capabilities=["op:add"]).kind == "result"
    fresh = world.leaf("a1", s1)
    fresh.serve(MATH1, lambda request: b"1")
    world.run()
    assert agent.ask(MATH1).kind == "result"
    world.advance(100)
    assert one_link_each(s1, s2)


@pytest.mark.parametrize(("dialer", "seed"), list(itertools.product(["s0", "s2"], range(10))))
def test_a_peer_dialled_twice_by_the_same_side_keeps_exactly_one_link(dialer: str, seed: int) -> None:
    world = SimWorld(seed)
    s1, other = world.sentinel("s1"), world.sentinel(dialer)
    world.peer(other, s1)
    world.run(for_s=world.random.choice([0.02, 1.0]))
    world.peer(other, s1)
    world.run()
    assert one_link_each(s1, other)


# Paths and traces


def test_a_trace_names_every_node_on_the_way_there_and_back_in_order() -> None:
    fabric = Peers()
    fabric.serve()
    trace = fabric.client.ask(MATH2, trace=True).trace
    assert trace is not None
    assert [entry.rsplit(";", 1)[0] for entry in trace] == [
        "s1;child",
        "s2;peer",
        "a2;parent",
        "a2;local",
        "s2;child",
        "s1;peer",
    ]
    times = [int(entry.rsplit(";", 1)[1]) for entry in trace]
    assert times == sorted(times)


def test_a_call_that_asks_for_no_trace_gets_none() -> None:
    fabric = Peers()
    fabric.serve()
    assert fabric.client.ask(MATH2).trace is None


def test_a_tree_of_sentinels_serves_every_leaf_from_every_other() -> None:
    world = SimWorld()
    root = world.sentinel("root")
    subs = [world.sentinel(f"s{number}") for number in range(3)]
    for sub in subs:
        world.join(sub, root, LinkKind.PARENT)
    world.run()
    leaves = [world.leaf(f"a{number}", sub) for number, sub in enumerate([*subs, root])]
    for number, leaf in enumerate(leaves):
        leaf.serve(f"math{number}@fame.fabric", lambda request: b"7", (f"op:{number}",))
    world.run()
    assert leaves[0].core.table.path == "/root/s0/a0"
    for caller, number in itertools.product(leaves, range(4)):
        assert caller.ask(f"math{number}@fame.fabric").kind == "result"
        assert caller.ask(None, capabilities=[f"op:{number}"]).kind == "result"
        assert caller.ask("nobody@fame.fabric").code == "NO_ROUTE"


def test_a_sentinel_that_gets_a_parent_moves_with_its_leaves() -> None:
    world = SimWorld()
    root, sub = world.sentinel("root"), world.sentinel("s1")
    agent, client = world.leaf("a1", sub), world.leaf("c", root)
    agent.serve(MATH1, lambda request: b"7")
    world.run()
    world.join(sub, root, LinkKind.PARENT)
    world.run()
    assert agent.core.sessions() == []
    world.join(agent, sub, LinkKind.PARENT)
    world.run()
    assert agent.core.table.path == "/root/s1/a1"
    assert client.ask(MATH1).kind == "result"


# Anything, in any order


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_breaks_every_call_ends_once_and_the_healed_fabric_works(seed: int) -> None:
    world = SimWorld(seed)
    random = world.random
    sentinels = [world.sentinel(f"s{number}") for number in range(3)]
    for left, right in itertools.combinations(sentinels, 2):
        world.peer(*random.sample([left, right], 2))
    homes = {world.leaf(f"a{number}", sentinels[number]): sentinels[number] for number in range(3)}
    clients = {world.leaf(f"c{number}", sentinels[number]): sentinels[number] for number in range(3)}
    leaves = {**homes, **clients}
    for number, agent in enumerate(homes):
        agent.serve(f"math{number}@fame.fabric", (lambda request: b"7") if number else None)
    world.run(for_s=random.uniform(0, 0.02))
    started: list[tuple[SimNode, CallKey]] = []
    for _ in range(40):
        world.run(for_s=random.expovariate(200))
        happening = random.random()
        if happening < 0.6:
            caller = random.choice(list(leaves))
            how = {"streaming": random.random() < 0.3, "timeout_s": random.choice([0.02, 5.0])}
            started.append((caller, caller.start(f"math{random.randrange(3)}@fame.fabric", **how)))
        elif happening < 0.7 and started:
            caller, key = random.choice(started)
            caller.perform(caller.core.cancel(key))
        else:
            node = random.choice(world.nodes)
            if node.wires:
                link = random.choice(list(node.wires))
                random.choice([world.cut, mute if random.random() < 0.3 else world.hang_up])(node, link)
    world.advance(40)
    assert [len(node.outcomes.get(key, [])) for node, key in started] == [1] * len(started)
    assert nobody_keeps_a_call(world)
    for leaf, sentinel in leaves.items():
        if not leaf.core.sessions():
            world.join(leaf, sentinel, LinkKind.PARENT)
    for left, right in itertools.combinations(sentinels, 2):
        if right.name not in left.core.table.peers:
            world.peer(left, right)
    world.run()
    for caller, number in itertools.product(clients, (1, 2)):
        assert caller.ask(f"math{number}@fame.fabric").kind == "result"
    for sentinel in sentinels:
        for name in sentinel.core.table.names():
            links = [next_link(way) for way in sentinel.core.table.ways(name)]
            assert all(link is LOCAL or link in sentinel.wires for link in links)


@pytest.mark.parametrize("finished", [False, True])
def test_a_stream_given_up_by_its_reader_leaves_nothing_waiting_on_the_way(finished: bool) -> None:
    world = SimWorld()
    s1, s2 = world.sentinel("s1"), world.sentinel("s2")
    world.peer(s2, s1)
    agent, client = world.leaf("a", s2), world.leaf("c", s1)
    agent.serve("math@fame.fabric")
    world.run()
    key = client.start("math@fame.fabric", streaming=True)
    world.run()
    [request] = agent.requests
    assert request.key is not None
    for _ in range(1000):
        agent.perform(agent.core.reply_item(request.key, b"1", world.now))
        world.run()
    if finished:
        agent.perform(agent.core.reply(request.key, None, world.now))
        world.run()
    assert any(session.flow.held_bytes for node in (s1, s2, agent) for session in node.core.sessions())
    client.perform(client.core.cancel(key))
    world.run()
    assert not any(session.flow.held_bytes for node in (s1, s2, agent) for session in node.core.sessions())


# Deadlines


def test_a_callers_timeout_stops_the_handler_within_the_time_of_the_hops_between_them() -> None:
    world = SimWorld(latency_s=(0.01, 0.02))
    line = [world.sentinel(f"s{number}") for number in range(4)]
    for near, far in itertools.pairwise(line):
        world.peer(near, far)
    agent, client = world.leaf("a", line[-1]), world.leaf("c", line[0])
    agent.serve(MATH2)
    world.run()
    key = client.start(MATH2, timeout_s=2.0)
    world.run(until=lambda: key in client.outcomes)
    ended = world.now
    assert one_outcome(client, key).kind == "timeout"
    world.run(until=lambda: bool(agent.cancelled))
    assert world.now - ended <= 5 * 0.02
    assert all(node.core.calls_in_flight() == 0 for node in world.nodes)
