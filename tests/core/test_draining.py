"""Winding down: nothing new begins, what runs is finished, and the others find ways around."""

import random

import pytest
from core_rig import (
    CLIENT,
    MATH,
    Rig,
    ack_of,
    attach_of,
    caller,
    frames,
    make_answer,
    make_envelope,
    make_request,
    nack_of,
    types,
)
from mesh_rig import MeshRig

from fame_cli.core.link import LinkKind


def wind_down(mesh: MeshRig, label: str) -> None:
    mesh.do(mesh[label], mesh[label].core.wind_down(mesh.now))


def reply(mesh: MeshRig, label: str) -> None:
    """Have a node answer what it was asked last."""
    [*_, request] = mesh[label].requests()
    assert request.key is not None
    mesh.do(mesh[label], mesh[label].core.reply(request.key, b"7", mesh.now))
    mesh.run()


def chain() -> MeshRig:
    """Be three sentinels in a line with a client at one end and an agent at each."""
    mesh = MeshRig("s1", "s2", "s3").chain("s1", "s2", "s3")
    for number in (1, 2, 3):
        mesh.leaf(f"a{number}", f"s{number}", f"math{number}@fame.fabric")
    mesh.leaf("c", "s1")
    return mesh


# A sentinel


@pytest.mark.parametrize("label", ["s1", "s2", "s3"])
def test_a_call_in_flight_ends_well_whichever_sentinel_on_its_way_winds_down(label: str) -> None:
    mesh = chain()
    key = mesh.call("c", "math3@fame.fabric")
    wind_down(mesh, label)
    mesh.run()
    assert not mesh[label].core.is_idle(mesh.now)
    reply(mesh, "a3")
    assert [outcome.kind for outcome in mesh.outcomes("c", key)] == ["result"]
    assert mesh[label].core.is_idle(mesh.now)


def test_a_stream_goes_on_through_a_sentinel_that_winds_down() -> None:
    mesh = chain()
    key = mesh.call("c", "math3@fame.fabric", streaming=True)
    wind_down(mesh, "s2")
    mesh.run()
    [request] = mesh["a3"].requests()
    assert request.key is not None
    for item in (b"1", b"2"):
        mesh.do(mesh["a3"], mesh["a3"].core.reply_item(request.key, item, mesh.now))
        mesh.run()
    assert not mesh["s2"].core.is_idle(mesh.now)
    mesh.do(mesh["a3"], mesh["a3"].core.reply(request.key, None, mesh.now))
    mesh.run()
    assert [outcome.kind for outcome in mesh.outcomes("c", key)] == ["end"]
    assert mesh["s2"].core.is_idle(mesh.now)


def test_a_request_that_was_under_way_when_the_others_were_told_arrives() -> None:
    mesh = chain()
    key, effects = mesh["c"].core.call("math3@fame.fabric", "add", b"{}", mesh.now)
    mesh.do(mesh["c"], effects)
    mesh.deliver("c", "s1")
    wind_down(mesh, "s2")
    mesh.run()
    reply(mesh, "a3")
    assert [outcome.kind for outcome in mesh.outcomes("c", key)] == ["result"]


def test_what_an_attached_node_asks_of_a_sentinel_that_winds_down_is_refused_with_a_code_of_its_own() -> None:
    mesh = chain()
    wind_down(mesh, "s1")
    mesh.run()
    [outcome] = mesh.outcomes("c", mesh.call("c", "math1@fame.fabric"))
    assert (outcome.kind, outcome.code, outcome.message) == ("nack", "NODE_DRAINING", "s1 is about to end")


def test_the_others_find_a_way_around_it() -> None:
    mesh = MeshRig("s1", "s2", "s3", "s4").ring("s1", "s2", "s3", "s4")
    mesh.leaf("a", "s3", MATH)
    mesh.leaf("c", "s1")
    way = mesh.way("s1", MATH)
    wind_down(mesh, way[1])
    mesh.run()
    [around] = {"s2", "s4"} - set(way)
    assert mesh.way("s1", MATH) == ["s1", around, "s3"]
    key = mesh.call("c", MATH)
    reply(mesh, "a")
    assert [outcome.kind for outcome in mesh.outcomes("c", key)] == ["result"]


def test_names_at_it_are_known_nowhere_else_any_more() -> None:
    mesh = chain()
    wind_down(mesh, "s3")
    mesh.run()
    [outcome] = mesh.outcomes("c", mesh.call("c", "math3@fame.fabric"))
    assert outcome.code == "NO_ROUTE"


def test_what_binds_at_it_now_is_told_to_nobody() -> None:
    mesh = chain()
    wind_down(mesh, "s3")
    mesh.run()
    mesh.do(mesh["a3"], mesh["a3"].core.bind("late@fame.fabric"))
    mesh.run()
    assert mesh.way("s1", "late@fame.fabric") == []
    assert not mesh["s3"].mesh.own.offers


def test_a_link_that_is_not_open_yet_ends_and_a_new_one_is_refused() -> None:
    rig = Rig()
    waiting = rig.open(LinkKind.CHILD, "slow")
    rig.do(rig.core.wind_down(rig.now))
    assert [(link, code) for link, code, _ in rig.closed()] == [(waiting, 1000)]
    late = rig.open(LinkKind.CHILD, "late")
    rig.feed(late, attach_of("late", LinkKind.CHILD))
    [ack] = frames(rig.said(late), "NodeAttachAck")
    assert (ack["ok"], ack["code"]) == (False, "NODE_DRAINING")


def test_a_plain_peer_is_refused_too_because_it_was_never_told() -> None:
    rig = Rig()
    agent, plain = rig.child("a1"), rig.peer("old")
    rig.bind(agent, MATH)
    rig.do(rig.core.wind_down(rig.now))
    rig.feed(plain, make_request("__rpc__x@/old/c"))
    assert nack_of(rig.said(plain))["code"] == "NODE_DRAINING"
    assert not rig.said(agent)


def test_answers_that_wait_for_credit_keep_it_from_being_idle() -> None:
    rig = Rig()
    agent, client = rig.child("a1", ours=True), rig.child("c", ours=True)
    rig.bind(agent, MATH)
    rig.feed(client, make_request(CLIENT, rtype=4))
    rig.do(rig.core.link_stalled(client))
    rig.feed(agent, make_answer(CLIENT, result=1) | {"flowId": "c1"})
    rig.feed(agent, make_answer(CLIENT, result=None) | {"flowId": "c1"})
    rig.do(rig.core.wind_down(rig.now))
    assert not rig.core.is_idle(rig.now)
    rig.do(rig.core.link_drained(client))
    assert rig.core.is_idle(rig.now)


def test_winding_down_twice_changes_nothing() -> None:
    rig = Rig()
    rig.peer("s2", ours=True)
    rig.do(rig.core.wind_down(0.0))
    assert rig.do(rig.core.wind_down(1.0)) == []


# A leaf


def test_a_leaf_takes_its_names_back_and_serves_what_was_on_its_way() -> None:
    rig, up = caller()
    rig.do(rig.core.bind(MATH))
    rig.do(rig.core.advertise("op:add", MATH))
    rig.said(up)
    rig.do(rig.core.wind_down(rig.now))
    said = rig.said(up)
    assert sorted(types(said)) == ["AddressUnbind", "CapabilityWithdraw"]
    rig.feed(up, make_request("__rpc__x@/s1/d"))
    [request] = rig.requests()
    assert request.key is not None
    assert not rig.core.is_idle(rig.now)
    rig.do(rig.core.reply(request.key, b"7", rig.now))
    assert not rig.core.is_idle(rig.now)
    [unbind] = [message for message in said if types([message]) == ["AddressUnbind"]]
    rig.feed(up, make_envelope({"type": "AddressUnbindAck", "ok": True, "address": MATH, "refId": unbind["id"]}))
    assert rig.core.is_idle(rig.now)


def test_a_sentinel_that_acknowledges_nothing_is_waited_for_a_second() -> None:
    rig, _ = caller()
    rig.do(rig.core.bind(MATH))
    rig.do(rig.core.wind_down(rig.now))
    assert not rig.core.is_idle(rig.now + 0.9)
    assert rig.core.is_idle(rig.now + 1.0)


def test_a_leaf_that_attaches_anew_meanwhile_binds_nothing() -> None:
    rig, up = caller()
    rig.do(rig.core.bind(MATH))
    rig.do(rig.core.wind_down(rig.now))
    rig.do(rig.core.link_closed(up))
    again = rig.open(LinkKind.PARENT, dialed=True)
    [attach] = rig.said(again)
    rig.feed(again, ack_of(attach, "s1", "/s1", "/s1/c", ours=True))
    assert "AddressBind" not in types(rig.said(again))


# Any sentinel, at any time


@pytest.mark.parametrize("seed", range(60))
def test_what_has_arrived_is_answered_and_what_has_not_may_be_asked_again(seed: int) -> None:
    """A ring with a chord, calls from everywhere to everywhere in any state of delivery, and one sentinel goes."""
    luck = random.Random(seed)
    mesh = MeshRig("s0", "s1", "s2", "s3", "s4").ring("s0", "s1", "s2", "s3", "s4")
    mesh.join("s0", "s2")
    mesh.order = luck
    for number in range(5):
        mesh.leaf(f"a{number}", f"s{number}", f"math{number}@fame.fabric")
        mesh.leaf(f"c{number}", f"s{number}")
    leaving, calls = f"s{luck.randrange(5)}", []
    for _ in range(20):
        label = f"c{luck.randrange(5)}"
        key, effects = mesh[label].core.call(f"math{luck.randrange(5)}@fame.fabric", "add", b"{}", mesh.now)
        mesh.do(mesh[label], effects)
        calls.append((label, key))
    mesh.step(luck.randrange(60))
    wind_down(mesh, leaving)
    mesh.run()
    arrived = {request.key for number in range(5) for request in mesh[f"a{number}"].requests()}
    for number in range(5):
        for request in mesh[f"a{number}"].requests():
            assert request.key is not None
            mesh.do(mesh[f"a{number}"], mesh[f"a{number}"].core.reply(request.key, b"7", mesh.now))
    mesh.run()
    for label, key in calls:
        [outcome] = mesh.outcomes(label, key)
        assert (outcome.kind == "result") == (key in arrived)
        assert outcome.kind == "result" or outcome.code in ("NODE_DRAINING", "NO_ROUTE", "ROUTE_LOOP", "HOP_LIMIT")
    assert mesh[leaving].core.is_idle(mesh.now)
    assert [key for _, key in calls if key in arrived]
