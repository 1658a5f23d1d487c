"""What a node knows and how it says something: the few ways out, and the credit they cost."""

import json

from core_rig import STAMP, counted_ids

from fame_cli.core.effects import Note, Send
from fame_cli.core.frames import NodeHeartbeat
from fame_cli.core.link import LOCAL, Link, LinkKind
from fame_cli.core.session import Session, State
from fame_cli.core.settings import EXTENSIONS, Settings
from fame_cli.core.state import (
    NodeState,
    credit_back,
    nack_frame,
    send,
    send_credit,
)


def make_state() -> tuple[NodeState, Session]:
    ids = counted_ids()
    state = NodeState(Settings("s1", "i", routes=True), lambda: next(ids), lambda: STAMP, flow_id="ours")
    session = Session(Link(1, LinkKind.PEER), State.OPEN, 0.0, 0.0)
    state.sessions[session.link] = session
    return state, session


def written(state: NodeState) -> list[dict[str, object]]:
    return [json.loads(effect.data) for effect in state.effects if isinstance(effect, Send)]


def test_only_a_sentinel_offers_to_take_part_in_the_mesh() -> None:
    assert Settings("s1", "i", routes=True).extensions == EXTENSIONS
    assert set(EXTENSIONS) - set(Settings("a1", "i").extensions) == {"mesh"}


def test_a_node_that_is_told_not_to_batch_does_not_offer_it() -> None:
    assert Settings("s1", "i", True, batch=False).extensions == tuple(name for name in EXTENSIONS if name != "batch")


def test_a_session_is_due_once_in_the_second_named_last() -> None:
    state, session = make_state()
    state.look_at(session, 3.7)
    state.look_at(session, 5.2)
    assert (state.due(4.9), state.due(5.0), state.due(9.0)) == ([], [session], [])


def test_a_session_nobody_looks_at_any_more_is_never_due() -> None:
    state, session = make_state()
    state.look_at(session, 3.0)
    state.look_away(session)
    assert state.due(9.0) == []


def test_what_is_due_comes_in_the_order_of_its_time() -> None:
    state, late = make_state()
    early = Session(Link(2, LinkKind.CHILD), State.OPEN, 0.0, 0.0)
    state.look_at(late, 4.0)
    state.look_at(early, 2.0)
    assert state.due(9.0) == [early, late]


def test_the_sender_digest_follows_the_path() -> None:
    state, _ = make_state()
    state.move("/s1")
    assert (state.table.path, state.sid) == ("/s1", "4YYDfe32uhoXzWn6Kq7Rf9")
    state.move("")
    assert state.sid is None


def test_a_note_has_an_event_its_facts_and_a_level() -> None:
    state, _ = make_state()
    state.note("link_closed", "warning", link=1)
    state.note("link_attached")
    assert state.effects == [Note("link_closed", {"link": 1}, "warning"), Note("link_attached", {}, "info")]


def test_an_envelope_of_ours_has_every_field_the_original_writes() -> None:
    state, session = make_state()
    state.move("/s1")
    envelope_id = send(state, session, NodeHeartbeat(), corr_id="k")
    assert written(state) == [
        {
            "version": "1.0",
            "id": envelope_id,
            "sid": "4YYDfe32uhoXzWn6Kq7Rf9",
            "traceId": "id00000000000002",
            "corrId": "k",
            "flowId": "ours",
            "seqId": 0,
            "flowFlags": 1,
            "frame": {"type": "NodeHeartbeat"},
            "ts": STAMP,
        }
    ]


def test_an_anonymous_envelope_has_no_sender_digest() -> None:
    state, session = make_state()
    state.move("/s1")
    send(state, session, NodeHeartbeat(), anonymous=True)
    assert "sid" not in written(state)[0]


def test_only_the_first_envelope_of_the_flow_is_marked() -> None:
    state, session = make_state()
    for _ in range(2):
        send(state, session, NodeHeartbeat())
    send(state, session, NodeHeartbeat(), flow_flags=4)
    assert [(e["seqId"], e["flowFlags"]) for e in written(state)] == [(0, 1), (1, 0), (2, 4)]


def test_an_envelope_of_ours_goes_out_whatever_its_credit() -> None:
    state, session = make_state()
    for _ in range(100):
        send(state, session, NodeHeartbeat())
    assert len(written(state)) == 100
    assert not session.flow.take("ours")


def test_a_grant_is_anonymous_marked_and_costs_nothing() -> None:
    state, session = make_state()
    send_credit(state, session, "f", 32, "t")
    send_credit(state, session, "f", 32, None)
    first, second = written(state)
    assert first == {
        "version": "1.0",
        "id": "id00000000000001",
        "traceId": "t",
        "flowId": "f",
        "seqId": 0,
        "flowFlags": 2,
        "frame": {"type": "CreditUpdate", "flowId": "f", "credits": 32},
        "ts": STAMP,
    }
    assert second["traceId"] not in ("t", None)
    assert session.flow.take("f")


def test_credit_goes_back_to_the_link_the_envelope_came_by() -> None:
    state, session = make_state()
    credit_back(state, session.link, "f")
    assert [e["frame"] for e in written(state)] == [{"type": "CreditUpdate", "flowId": "f", "credits": 32}]


def test_credit_goes_back_to_a_node_of_ours_a_quarter_of_the_window_at_a_time() -> None:
    state, session = make_state()
    session.flow.resize(256, 256, 8192)
    for _ in range(63):
        credit_back(state, session.link, "f", 100)
    assert written(state) == []
    credit_back(state, session.link, "f", 100)
    assert [e["frame"] for e in written(state)] == [{"type": "CreditUpdate", "flowId": "f", "credits": 64}]


def test_credit_of_nobody_of_this_node_or_of_a_lost_link_goes_nowhere() -> None:
    state, _ = make_state()
    for source in (None, LOCAL, Link(9, LinkKind.CHILD)):
        for _ in range(100):
            credit_back(state, source, "f")
    assert written(state) == []


def test_a_refusal_says_what_it_refuses_and_why() -> None:
    nack = nack_frame("NO_ROUTE", "nobody", "e1")
    assert (nack.accepted, nack.code, nack.reason, nack.ref_id) == (False, "NO_ROUTE", "nobody", "e1")
