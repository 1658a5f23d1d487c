"""Clocks that jump while nodes run: links and calls go by monotonic time; signatures alone look at the clock."""

import time
from collections.abc import AsyncIterator

import pytest
from mesh_rig import PEER
from node_rig import MATH, bounded, fabric
from secure_rig import SecureRig

from fame_cli import Agent, Client, operation

HOUR_S = 3600.0


def line(profile: str) -> SecureRig:
    """Make two sentinels, an agent at the one and a client at the other."""
    rig = SecureRig("s1", "s2", profile=profile)
    rig.chain("s1", "s2")
    rig.leaf("math", "s2", MATH)
    rig.leaf("client", "s1")
    rig.run()
    return rig


def asked(rig: SecureRig) -> str:
    """Call the agent, and return how the call ended, in a word."""
    key = rig.call("client", MATH)
    if rig["math"].requests() and not rig.outcomes("client", key):
        rig.answer("math")
    outcome = rig.outcomes("client", key)[-1]
    return outcome.code or outcome.kind


def links(rig: SecureRig) -> dict[str, list[int]]:
    """Return the numbers of the open links of each node."""
    return {label: [s.link.number for s in node.core.sessions() if s.is_open] for label, node in rig.nodes.items()}


@pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S])
@pytest.mark.parametrize("label", ["s1", "s2", "math", "client"])
@pytest.mark.parametrize("profile", ["gated", "overlay"])
def test_no_link_ends_and_a_call_in_flight_is_answered(profile: str, label: str, jump_s: float) -> None:
    rig = line(profile)
    before = links(rig)
    key = rig.call("client", MATH, timeout_s=120.0)
    rig.ahead_s[label] = jump_s
    rig.advance(60.0)
    assert links(rig) == before
    rig.answer("math")
    assert [outcome.kind for outcome in rig.outcomes("client", key)] == ["result"]


@pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S])
@pytest.mark.parametrize("label", ["s1", "client", "math"])
def test_where_envelopes_are_signed_new_calls_of_that_node_are_refused_until_its_clock_is_right(
    label: str, jump_s: float
) -> None:
    rig = line("overlay")
    rig.ahead_s[label] = jump_s
    found = rig.call("client", MATH, timeout_s=5.0)
    rig.advance(6.0)
    [outcome] = rig.outcomes("client", found)
    assert outcome.code == "CLOCK_SKEW"
    rig.ahead_s.clear()
    rig.advance(1.0)
    assert asked(rig) == "result"


@pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S])
def test_gated_nodes_go_on_calling(jump_s: float) -> None:
    rig = line("gated")
    for label in ("s1", "client", "math"):
        rig.ahead_s[label] = jump_s
        assert asked(rig) == "result"


@pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S])
def test_records_that_change_after_a_jump_reach_the_others(jump_s: float) -> None:
    rig = line("overlay")
    rig.ahead_s["s2"] = jump_s
    rig.bind("s2", "new@fame.fabric")
    rig.advance(30.0)
    assert rig.way("s1", "new@fame.fabric")[-1] == "s2"
    rig.add("s3")
    rig.join("s3", "s2", PEER)
    rig.advance(1.0)
    assert rig.reach("s1") == {"s2", "s3"}


class Patient(Agent):
    """Answer once the clock has jumped."""

    @operation
    async def count(self, n: int) -> AsyncIterator[int]:
        for number in range(n):
            yield number

    @operation
    def add(self, x: int, y: int) -> int:
        return x + y


@pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S])
def test_a_whole_open_fabric_does_not_notice(jump_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds, nanoseconds = time.time, time.time_ns

    async def main() -> None:
        async with fabric((MATH, Patient())) as sentinel, Client(sentinel.url) as client:
            stream = client.stream(MATH, "count", n=2000)
            assert [await anext(stream) for _ in range(3)] == [0, 1, 2]
            links = [session.link.number for session in sentinel.node.core.sessions()]
            monkeypatch.setattr(time, "time", lambda: seconds() + jump_s)
            monkeypatch.setattr(time, "time_ns", lambda: nanoseconds() + int(jump_s * 1e9))
            assert [item async for item in stream] == [*range(3, 2000)]
            assert await client.call(MATH, "add", x=1, y=2) == 3
            async with Client(sentinel.url) as another:
                assert await another.call(MATH, "add", x=1, y=2) == 3
            assert [session.link.number for session in sentinel.node.core.sessions()][: len(links)] == links

    bounded(main())
