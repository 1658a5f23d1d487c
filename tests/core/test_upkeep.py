"""What a node looks after now and then: only what it may be time for, and fair when it is itself behind."""

import pytest
from core_rig import Rig, ack_of, attach_of, make_envelope, types

from fame_cli.core.flow import Held
from fame_cli.core.link import LinkKind


def waiting(rig: Rig) -> int:
    """Return how many sessions are to be looked at sometime."""
    return sum(len(sessions) for sessions in rig.core.state.looks.values())


# What is due


def test_an_accepted_link_that_does_not_attach_is_given_up_after_5_seconds() -> None:
    rig = Rig()
    link = rig.open(LinkKind.CHILD, "c")
    rig.advance(4.9)
    assert rig.closed() == []
    rig.advance(0.2)
    assert rig.closed() == [(link, 1001, "no attach in time")]


def test_a_dialled_link_that_is_not_answered_is_given_up_after_10_seconds() -> None:
    rig = Rig()
    link = rig.open(LinkKind.PEER, dialed=True)
    rig.advance(9.9)
    assert rig.closed() == []
    rig.advance(0.2)
    assert rig.closed() == [(link, 1001, "no attach in time")]


@pytest.mark.parametrize(("ours", "silence_s"), [(True, 10), (False, 30)])
def test_a_link_that_is_silent_is_given_up_after_10_seconds_or_30_to_a_plain_node(ours: bool, silence_s: int) -> None:
    rig = Rig()
    silent, alive = rig.child("a1", ours=ours), rig.child("a2", ours=ours)
    rig.advance(silence_s / 2)
    rig.feed(alive, b"even garbage is a sign of life")
    rig.advance(silence_s / 2 - 0.1)
    assert rig.closed() == []
    rig.advance(0.2)
    assert rig.closed() == [(silent, 1001, "nothing heard")]
    assert rig.noted("link_silent")[0].facts["silent_s"] == silence_s


@pytest.mark.parametrize("ours", [True, False])
def test_the_connecting_side_gives_up_a_neighbour_that_answers_no_heartbeat(ours: bool) -> None:
    rig = Rig()
    link = rig.dialed_peer("s2", ours=ours)
    rig.advance(9.9 if ours else 29.9)
    assert rig.closed() == []
    rig.advance(0.2)
    assert rig.closed() == [(link, 1001, "nothing heard")]


def test_calls_over_a_silent_link_end_with_link_lost() -> None:
    rig = Rig(routes=False)
    rig.parent(path="/root/a1", ours=True)
    key = rig.call("math1@fame.fabric", timeout_s=60)
    rig.advance(10.1)
    assert [(outcome.kind, outcome.code) for outcome in rig.outcomes(key)] == [("nack", "LINK_LOST")]


@pytest.mark.parametrize(
    ("own_s", "theirs", "silence_s", "beat_s"),
    [
        (10, 10_000, 10, 4),
        (10, 5_000, 10, 2),
        (5, 60_000, 5, 2),
        (60, 60_000, 60, 24),
        (10, 1, 10, 1),
        (10, -5, 10, 1),
        (10, "soon", 30, 15),
        (60, None, 60, 15),
    ],
)
def test_heartbeats_are_as_frequent_as_the_less_patient_end_needs(
    own_s: float, theirs: object, silence_s: float, beat_s: float
) -> None:
    rig = Rig(silence_s=own_s)
    link = rig.open(LinkKind.PEER, dialed=True)
    [attach] = rig.said(link)
    assert isinstance(attach["meta"], dict)
    assert attach["meta"]["fame.silence"] == own_s * 1000
    ack = ack_of(attach, "s2", "/s2", None, ours=True)
    assert isinstance(ack["meta"], dict)
    rig.feed(link, ack | {"meta": ack["meta"] | {"fame.silence": theirs}})
    session = rig.session(link)
    assert (session.silence_s, session.beat_s) == (silence_s, beat_s)


def test_between_our_own_nodes_the_connecting_side_beats_every_4_seconds() -> None:
    rig = Rig()
    link = rig.dialed_peer("s2", ours=True)
    rig.said(link)
    beats = []
    for _ in range(20):
        rig.advance(1)
        rig.feed(link, make_envelope({"type": "NodeHeartbeatAck", "ok": True}))
        beats += [rig.now for kind in types(rig.said(link)) if kind == "NodeHeartbeat"]
    assert beats == [4, 8, 12, 16, 20]


def test_the_connecting_side_beats_a_plain_node_every_15_seconds_and_the_accepting_side_never_does() -> None:
    rig = Rig()
    dialed, accepted = rig.dialed_peer("s2"), rig.peer("s3")
    rig.advance(14.9)
    assert rig.said(dialed) == []
    rig.advance(0.1)
    [beat] = rig.said(dialed)
    assert beat["frame"] == {"type": "NodeHeartbeat"}
    assert {"corrId", "sid"} <= set(beat)
    assert not {"to", "replyTo"} & set(beat)
    rig.feed(dialed, make_envelope({"type": "NodeHeartbeatAck", "ok": True}))
    rig.advance(14.9)
    assert rig.said(dialed) == []
    rig.advance(0.1)
    assert types(rig.said(dialed)) == ["NodeHeartbeat"]
    assert rig.said(accepted) == []


def test_a_heartbeat_in_the_mesh_carries_our_digest() -> None:
    rig = Rig()
    dialed = rig.dialed_peer("s2", ours=True)
    rig.said(dialed)
    rig.advance(4)
    [beat] = rig.said(dialed)
    assert isinstance(beat["meta"], dict)
    assert list(beat["meta"]) == ["fame.digest"]


def test_a_replaced_link_is_looked_after_until_it_may_close() -> None:
    rig = Rig("s2")
    old = rig.dialed_peer("s1", ours=True)
    rig.peer("s1", ours=True)
    assert rig.core.dialed_links() == 1
    rig.advance(1.5)
    assert rig.closed() == []
    rig.advance(2)
    assert rig.closed() == [(old, 1000, "replaced by a newer link")]


# Only what is due, and fairly


def test_a_quiet_second_looks_at_none_of_many_children() -> None:
    rig = Rig()
    for number in range(50):
        rig.child(f"a{number}", ours=True)
    rig.advance(6)  # past the time for the handshake
    before = {second: list(sessions) for second, sessions in rig.core.state.looks.items()}
    rig.advance(3)
    assert {second: list(sessions) for second, sessions in rig.core.state.looks.items()} == before


def test_every_session_is_looked_at_again_and_one_that_has_ended_is_not() -> None:
    rig = Rig()
    peer, parent = rig.dialed_peer("s2", ours=True), rig.parent(path="/s1")
    children = [rig.child(f"a{number}") for number in range(5)]
    rig.advance(7)
    assert waiting(rig) == len(rig.core.sessions()) == 7
    rig.do(rig.core.link_closed(children[0]))
    rig.do(rig.core.link_closed(parent))
    rig.do(rig.core.link_closed(peer))
    assert waiting(rig) == len(rig.core.sessions()) == 4


def test_a_handshake_gets_one_more_second_when_the_node_is_behind() -> None:
    rig = Rig()
    link = rig.open(LinkKind.CHILD, "a1")
    rig.now = 7.0  # the loop comes back after seven seconds; what the neighbour sent hasn't been read yet
    rig.do(rig.core.tick(rig.now))
    assert rig.closed() == []
    rig.feed(link, attach_of("a1", LinkKind.CHILD))
    rig.advance(5)
    assert rig.session(link).is_open


def test_a_node_that_stays_behind_gives_that_second_once() -> None:
    rig = Rig()
    link = rig.open(LinkKind.CHILD, "a1")
    for now in (7.0, 14.0):
        rig.now = now
        rig.do(rig.core.tick(rig.now))
    assert rig.closed() == [(link, 1001, "no attach in time")]


def test_links_that_open_all_the_time_do_not_put_a_look_off() -> None:
    rig = Rig()
    link = rig.open(LinkKind.CHILD, "silent")
    for number in range(7):
        rig.now = 1.5 * (number + 1)
        rig.open(LinkKind.CHILD, f"c{number}")
        rig.do(rig.core.tick(rig.now))
    assert (link, 1001, "no attach in time") in rig.closed()


# A node that was away


def stopped(rig: Rig, seconds: float) -> None:
    """Have the node do nothing for so long, as if it had been stopped."""
    rig.now += seconds
    rig.do(rig.core.tick(rig.now))


def test_a_node_that_was_stopped_does_not_take_its_own_absence_for_the_silence_of_others() -> None:
    rig = Rig()
    dialed, accepted = rig.dialed_peer("s2", ours=True), rig.child("a1", ours=True)
    rig.advance(3)
    rig.said(dialed)
    stopped(rig, 20)
    assert rig.closed() == []
    assert types(rig.said(dialed)) == ["NodeHeartbeat"]  # at once: who only answers has to be asked
    for link in (dialed, accepted):
        rig.feed(link, make_envelope({"type": "NodeHeartbeatAck", "ok": True}))
    rig.advance(9)
    assert rig.closed() == []


def test_who_is_gone_when_a_node_comes_back_is_given_up_when_its_silence_is_over() -> None:
    rig = Rig()
    link = rig.child("a1", ours=True)
    rig.advance(3)
    stopped(rig, 20)
    rig.advance(5.9)
    assert rig.closed() == []
    rig.advance(2)
    assert rig.closed() == [(link, 1001, "nothing heard")]


def test_a_node_that_is_always_behind_notices_silence_all_the_same() -> None:
    rig = Rig()
    link = rig.child("a1", ours=True)
    for _ in range(12):
        stopped(rig, 2.5)
    assert rig.closed() == [(link, 1001, "nothing heard")]


def test_a_namesake_that_is_asked_whether_it_lives_is_not_taken_for_alive_after_an_absence() -> None:
    rig = Rig()
    link = rig.peer("s2", ours=True, instance="first")
    rig.open(LinkKind.PEER, "s2")
    claim = rig.open(LinkKind.PEER, "s2")
    rig.feed(claim, attach_of("s2", LinkKind.PEER, ours=True, instance="second"))
    probed = rig.session(link).probed_at
    assert probed is not None
    stopped(rig, 5)
    session = rig.session(link)
    assert session.probed_at is not None
    assert session.last_heard <= session.probed_at


# What there was no room for


def test_what_there_was_no_room_for_is_told_once_a_sweep_with_whom_it_was_for() -> None:
    rig = Rig()
    agent, client = rig.child("a1"), rig.child("c1")
    rig.core.state.budget.most_bytes = 400
    slow = rig.core.state.sessions[client].flow
    slow.stalled = True
    assert [slow.hold("f", Held(b"x" * size, agent)) for size in (90, 50, 50)] == [True, False, False]
    rig.advance(1.1)
    told = {"count": 2, "node": "c1", "node_bytes": 90, "held_bytes": 90, "max_held_bytes": 400}
    assert [note.facts for note in rig.noted("envelopes_given_up")] == [told]
    rig.advance(1.1)
    assert len(rig.noted("envelopes_given_up")) == 1


def test_nobody_is_named_when_all_that_was_held_has_gone_on() -> None:
    rig = Rig()
    agent, client = rig.child("a1"), rig.child("c1")
    rig.core.state.budget.most_bytes = 4
    assert not rig.core.state.sessions[client].flow.hold("f", Held(b"xx", agent))
    rig.advance(1.1)
    [note] = rig.noted("envelopes_given_up")
    assert (note.facts["node"], note.facts["node_bytes"]) == ("", 0)
