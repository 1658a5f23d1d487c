"""Sessions: only the moves of the table, whatever comes in whatever order."""

import pytest
from core_rig import PROPERTY
from hypothesis import given
from hypothesis import strategies as st

from fame_cli.core.link import Link, LinkKind
from fame_cli.core.session import TRANSITIONS, Event, Session, State, fire
from fame_cli.errors import LocalProtocolError


def make_session(state: State) -> Session:
    return Session(Link(1, LinkKind.CHILD, remote_id="a1"), state, deadline=5.0, last_heard=0.0)


def test_a_dialled_link_opens_by_the_answer_to_its_attach() -> None:
    session = make_session(State.ATTACHING)
    fire(session, Event.ACCEPTED)
    assert session.state is State.OPEN


def test_an_accepted_link_opens_by_the_attach() -> None:
    session = make_session(State.AWAITING)
    fire(session, Event.ATTACHED)
    assert session.state is State.OPEN


def test_a_draining_link_still_carries_envelopes() -> None:
    session = make_session(State.OPEN)
    fire(session, Event.DRAIN)
    assert session.state is State.DRAINING
    assert session.is_open


@pytest.mark.parametrize("state", [state for state in State if state is not State.CLOSED])
def test_every_living_state_can_be_closed(state: State) -> None:
    session = make_session(state)
    fire(session, Event.CLOSE)
    assert session.state is State.CLOSED
    assert not session.is_open


@pytest.mark.parametrize(("state", "event"), [(s, e) for s in State for e in Event if (s, e) not in TRANSITIONS])
def test_a_move_the_table_does_not_know_is_refused_and_changes_nothing(state: State, event: Event) -> None:
    session = make_session(state)
    with pytest.raises(LocalProtocolError, match=f"{event.name} in state {state.name} on <Link 1 child a1>"):
        fire(session, event)
    assert session.state is state


@PROPERTY
@given(st.sampled_from([State.ATTACHING, State.AWAITING]), st.lists(st.sampled_from(Event)))
def test_no_order_of_events_opens_a_link_without_its_handshake(start: State, events: list[Event]) -> None:
    session = make_session(start)
    shaken = False
    for event in events:
        try:
            fire(session, event)
        except LocalProtocolError:
            continue
        shaken = shaken or event in (Event.ATTACHED, Event.ACCEPTED)
    assert shaken or not session.is_open
