"""Who of several providers gets a call: rank first, then the rule the config names, the same on every run."""

from collections import Counter

import pytest
from core_rig import MATH, PROPERTY, Rig, make_request
from hypothesis import given
from hypothesis import strategies as st
from mesh_rig import MeshRig

from fame_cli.core.balance import BALANCES, Balance, choose, is_eligible, is_hearsay, rank
from fame_cli.core.link import LOCAL, Link, LinkKind, Origin, Way

MESH = frozenset({"mesh"})
CHILD = Link(1, LinkKind.CHILD, remote_id="a1", segment="a1")
OTHER_CHILD = Link(2, LinkKind.CHILD, remote_id="a1", segment="a1-x")
PEER = Link(3, LinkKind.PEER, remote_id="old")
PARENT = Link(4, LinkKind.PARENT, remote_id="root")
VIA = Link(5, LinkKind.PEER, remote_id="s2", extensions=MESH)
NEAR, FAR = Origin("s3", link=VIA, distance=1), Origin("s4", link=VIA, distance=7)
TOLD = Origin("s3", hearsay=True, link=VIA, distance=1)

POOL = "math@a.pool.fabric"


# Ranks


def test_here_comes_before_a_child_the_mesh_hearsay_and_the_parent() -> None:
    ways: list[Way] = [PARENT, TOLD, PEER, FAR, NEAR, CHILD, LOCAL]
    assert sorted(ways, key=rank) == [LOCAL, CHILD, NEAR, FAR, PEER, TOLD, PARENT]


def test_first_hand_beats_hearsay_at_any_distance() -> None:
    assert rank(Origin("s9", link=VIA, distance=10**9)) < min(rank(PEER), rank(TOLD))


def test_of_sentinels_equally_far_the_smallest_id_comes_first() -> None:
    assert rank(Origin("a", link=VIA, distance=3)) < rank(Origin("b", link=VIA, distance=3))


@pytest.mark.parametrize(
    ("way", "hearsay"),
    [(LOCAL, False), (CHILD, False), (PARENT, False), (PEER, True), (VIA, False), (NEAR, False), (TOLD, True)],
)
def test_hearsay_is_what_plain_peers_told(way: Way, hearsay: bool) -> None:
    assert is_hearsay(way) is hearsay


@pytest.mark.parametrize(
    ("way", "origin", "eligible"),
    [
        (CHILD, OTHER_CHILD, True),
        (CHILD, CHILD, False),
        (LOCAL, LOCAL, True),
        (NEAR, CHILD, True),
        (NEAR, VIA, False),
        (Origin("s9"), CHILD, False),
    ],
)
def test_a_way_is_gone_unless_it_is_lost_or_leads_back(way: Way, origin: Link, eligible: bool) -> None:
    assert is_eligible(way, origin) is eligible


# Choices


def chosen(ways: list[Way], balance: Balance, keys: list[str]) -> list[Way]:
    """Choose once for each key, as one call after the other."""
    return [
        choose([("math1@fame.fabric", way) for way in ways], balance, key, turn)[1] for turn, key in enumerate(keys)
    ]


def keys(count: int) -> list[str]:
    return [f"key{number}" for number in range(count)]


def test_nearest_takes_turns_among_those_equally_near() -> None:
    twin = Origin("s5", link=VIA, distance=1)
    assert chosen([FAR, NEAR, twin, PEER], "nearest", keys(4)) == [NEAR, twin, NEAR, twin]
    assert chosen([NEAR, CHILD, OTHER_CHILD], "nearest", keys(3)) == [CHILD, OTHER_CHILD, CHILD]


def test_round_robin_takes_turns_among_all() -> None:
    assert chosen([CHILD, NEAR, FAR], "round_robin", keys(6)) == 2 * [CHILD, NEAR, FAR]


def test_random_takes_anyone_and_the_same_one_for_the_same_envelope() -> None:
    ways: list[Way] = [CHILD, NEAR, FAR]
    assert min(Counter(map(repr, chosen(ways, "random", keys(300)))).values()) > 60
    assert len(set(map(repr, chosen(ways, "random", 10 * ["same"])))) == 1


@pytest.mark.parametrize("balance", BALANCES)
def test_hearsay_is_taken_only_where_there_is_nothing_else(balance: Balance) -> None:
    assert set(map(repr, chosen([PEER, TOLD, FAR], balance, keys(20)))) == {repr(FAR)}
    assert chosen([PEER], balance, ["k"]) == [PEER]


def test_a_session_stays_with_its_provider() -> None:
    ways: list[Way] = [CHILD, OTHER_CHILD, NEAR, FAR]
    first = chosen(ways, "sticky", keys(50))
    assert chosen(ways[::-1], "sticky", keys(50)) == first


def test_sessions_spread_evenly() -> None:
    ways: list[Way] = [Origin(f"s{number}", link=VIA, distance=1) for number in range(3)]
    shares = Counter(map(repr, chosen(ways, "sticky", keys(300))))
    assert sorted(shares) == sorted(map(repr, ways))
    assert min(shares.values()) > 80
    assert max(shares.values()) < 120


@PROPERTY
@given(key=st.text(max_size=8), count=st.integers(2, 8), gone=st.integers(0, 7))
def test_a_session_moves_only_when_its_own_provider_leaves(key: str, count: int, gone: int) -> None:
    ways: list[Way] = [Origin(f"s{number}", link=VIA, distance=number) for number in range(count)]
    [before] = chosen(ways, "sticky", [key])
    left = ways[gone % count]
    [after] = chosen([way for way in ways if way is not left], "sticky", [key])
    assert after is before or before is left


# In a mesh


def pool(*balances: Balance, providers: tuple[str, ...] = ("s1", "s2", "s3")) -> MeshRig:
    """Make a chain of three sentinels, with a provider each or at some; the client is at the first."""
    mesh = MeshRig()
    for label, balance in zip(("s1", "s2", "s3"), balances * 3, strict=False):
        mesh.add(label, balance=balance)
    mesh.chain("s1", "s2", "s3")
    for label in providers:
        mesh.leaf(f"a{label}", label)
        mesh.bind(f"a{label}", "math@*.pool.fabric", f"add {POOL}")
    mesh.leaf("c", "s1")
    return mesh


def served(mesh: MeshRig) -> dict[str, int]:
    return {label: len(mesh[f"a{label}"].requests()) for label in ("s1", "s2", "s3")}


def test_the_nearest_provider_gets_all_calls() -> None:
    mesh = pool("nearest")
    for _ in range(6):
        mesh.call("c", POOL)
    assert served(mesh) == {"s1": 6, "s2": 0, "s3": 0}


@pytest.mark.parametrize("to", [POOL, None], ids=["pool", "capability"])
def test_all_providers_get_calls_in_turn_however_far_they_are(to: str | None) -> None:
    """The first sentinel chooses and pins the call to its choice; the others don't choose again."""
    mesh = pool("round_robin")
    for _ in range(6):
        mesh.call("c", to, capabilities=None if to else ["add"])
    assert served(mesh) == {"s1": 2, "s2": 2, "s3": 2}


@pytest.mark.parametrize("to", [POOL, None], ids=["pool", "capability"])
@pytest.mark.parametrize("balance", BALANCES)
def test_what_the_first_sentinel_sends_to_the_nearest_no_other_one_spreads(balance: Balance, to: str | None) -> None:
    """It could come back to where it has been, where sentinels on a ring go by different rules."""
    mesh = pool("nearest", balance, balance, providers=("s2", "s3"))
    for number in range(12):
        mesh.call("c", to, capabilities=None if to else ["add"], session=f"session{number}")
    assert [len(mesh[f"a{label}"].requests()) for label in ("s2", "s3")] == [12, 0]


def test_calls_at_random_get_to_everybody() -> None:
    mesh = pool("random")
    for _ in range(30):
        mesh.call("c", POOL)
    assert min(served(mesh).values()) >= 3
    assert sum(served(mesh).values()) == 30


@given(st.integers(0, 1000))
@PROPERTY
def test_all_sentinels_choose_the_same_sentinel_for_a_session(number: int) -> None:
    """One that has two of the providers itself, one that has the third, and one that has none."""
    key = f"session-{number}"
    two = [("a", CHILD), ("a", OTHER_CHILD)]
    at_s1 = choose([*two, ("a", NEAR)], "sticky", key, 0, "s1")[1]
    at_s3 = choose([("a", CHILD), ("a", Origin("s1", link=VIA, distance=1))], "sticky", key, 0, "s3")[1]
    at_s9 = choose([("a", NEAR), ("a", Origin("s1", link=VIA, distance=2))], "sticky", key, 0, "s9")[1]
    assert (at_s1 is NEAR) == (at_s3 is CHILD) == (at_s9 is NEAR)


def test_calls_of_one_session_get_to_one_provider_and_sessions_to_all() -> None:
    mesh = pool("sticky")
    for number in range(30):
        before = served(mesh)
        for _ in range(2):
            mesh.call("c", POOL, session=f"session{number}")
        assert sorted(count - before[label] for label, count in served(mesh).items()) == [0, 0, 2]
    assert min(served(mesh).values()) > 0


def test_a_session_without_a_name_is_the_callers() -> None:
    mesh = pool("sticky")
    for _ in range(5):
        mesh.call("c", POOL)
    assert sorted(served(mesh).values()) == [0, 0, 5]


def test_a_pinned_call_goes_to_a_provider_of_the_sentinel_it_is_pinned_to_and_nowhere_else() -> None:
    rig = Rig(balance="round_robin")
    near, far = rig.peer("s2", ours=True), rig.peer("s3", ours=True)
    rig.mesh_offer(far, "s3", {"math@*.pool.fabric": 1})
    rig.settle()
    agent = rig.child("a1")
    rig.bind(agent, "math@*.pool.fabric")
    for number in range(4):
        meta = {"fame.via": "s1"}
        rig.feed(near, make_request("__rpc__x@/s2/c", id=f"e{number}", to=POOL, corrId=f"c{number}", meta=meta))
    assert len(rig.said(agent)) == 4
    rig.feed(near, make_request("__rpc__x@/s2/c", to=POOL, corrId="c9", meta={"fame.via": "s3"}))
    assert [message["meta"] for message in rig.said(far) if message["frame"]["type"] == "Data"] == [{"fame.via": "s3"}]  # type: ignore[index]  # JSON


def test_a_call_pinned_to_who_is_gone_is_refused() -> None:
    rig = Rig(balance="round_robin")
    near, agent = rig.peer("s2", ours=True), rig.child("a1")
    rig.bind(agent, MATH)
    rig.feed(near, make_request("__rpc__x@/s2/c", meta={"fame.via": "s9"}))
    assert rig.said(agent) == []
    [nack] = [message["frame"] for message in rig.said(near) if message["frame"]["type"] == "DeliveryAck"]  # type: ignore[index]  # JSON
    assert nack["code"] == "NO_ROUTE"  # type: ignore[index]  # JSON
