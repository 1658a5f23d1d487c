"""What a node looks after now and then: only what it may be time for, and fair when it is itself behind."""

from core_rig import Rig, attach_of

from fame_cli.core.link import LinkKind


def waiting(rig: Rig) -> int:
    """Return how many sessions are to be looked at sometime."""
    return sum(len(sessions) for sessions in rig.core.state.looks.values())


def test_a_quiet_second_looks_at_none_of_many_children() -> None:
    rig = Rig()
    for number in range(50):
        rig.child(f"a{number}", ours=True)
    rig.advance(6)  # past the time for the handshake
    before = {second: list(sessions) for second, sessions in rig.core.state.looks.items()}
    rig.advance(10)
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
