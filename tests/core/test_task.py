"""Tasks as values: every step of the table, nothing but the table, and bounds that hold."""

import itertools

import msgspec
import pytest

from fame_cli.core.task import (
    CANCELED,
    COMPLETED,
    FAILED,
    INPUT_REQUIRED,
    MOST_ASKED,
    NOTHING,
    OVER,
    STEPS,
    SUBMITTED,
    WORKING,
    Bounds,
    Finished,
    Said,
    Task,
    Update,
    advance,
    asked_again,
)
from fame_cli.errors import LocalProtocolError

BOUNDS = Bounds()
STATES = (SUBMITTED, WORKING, INPUT_REQUIRED, COMPLETED, CANCELED, FAILED)
VERBS = ("start", "update", "ask", "answer", "withdraw", "complete", "fail", "cancel", "restart")


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def made(**changes: object) -> Task:
    return msgspec.structs.replace(Task(id="t1", name="sort", payload=raw({"n": 3})), **changes)


def after(*steps: str, task: Task | None = None) -> Task:
    found = task or made()
    for number, step in enumerate(steps):
        found = advance(found, step, float(number), BOUNDS)
    return found


@pytest.mark.parametrize(("state", "step"), list(itertools.product(STATES, VERBS)))
def test_a_task_takes_the_steps_of_the_table_and_no_others(state: str, step: str) -> None:
    task = made(state=state)
    if (state, step) in STEPS:
        assert advance(task, step, 5.0, BOUNDS).state == STEPS[state, step]
    else:
        with pytest.raises(LocalProtocolError, match=f"is {state} and can't {step}"):
            advance(task, step, 5.0, BOUNDS)


def test_nothing_follows_a_task_that_is_over() -> None:
    assert not [state for state, _ in STEPS if state in OVER]
    assert [state for state in STATES if made(state=state).is_over] == [COMPLETED, CANCELED, FAILED]


def test_a_task_that_is_not_over_can_always_be_cancelled_and_can_always_fail() -> None:
    for state in set(STATES) - OVER:
        assert {STEPS[state, "cancel"], STEPS[state, "fail"]} == {CANCELED, FAILED}


def test_a_state_has_its_moment_and_what_belongs_to_it() -> None:
    done = advance(after("start"), "complete", 7.0, BOUNDS, raw({"sum": 6}))
    assert (done.state, done.since, done.value) == (COMPLETED, 7.0, raw({"sum": 6}))


def test_an_update_leaves_state_and_moment_alone() -> None:
    working = after("start")
    told = advance(working, "update", 9.0, BOUNDS, raw("half"))
    assert (told.state, told.since, told.updates, told.told) == (WORKING, working.since, (Update(0, raw("half")),), 1)


def test_each_step_makes_a_new_version_and_leaves_the_old_one_as_it_was() -> None:
    task = made()
    assert [after(*steps).version for steps in (("start",), ("start", "update"), ("start", "update", "complete"))] == [
        1,
        2,
        3,
    ]
    assert task == made()


def test_questions_and_answers_are_kept_in_order() -> None:
    task = after("start")
    for answer in ("red", "blue"):
        task = advance(task, "ask", 1.0, BOUNDS, raw("which?"))
        assert (task.state, task.value) == (INPUT_REQUIRED, raw("which?"))
        task = advance(task, "answer", 2.0, BOUNDS, raw(answer))
        assert (task.state, task.value) == (WORKING, NOTHING)
    assert task.answers == [raw("red"), raw("blue")]
    assert task.said[0] == Said("agent", raw("which?"))


def test_a_task_may_not_ask_for_ever() -> None:
    task = after("start", *["ask", "answer"] * MOST_ASKED)
    with pytest.raises(LocalProtocolError, match="which is the most"):
        after("ask", task=task)


def test_only_the_latest_updates_are_kept_and_they_keep_their_numbers() -> None:
    task = after("start", *["update"] * (BOUNDS.updates + 3))
    assert len(task.updates) == BOUNDS.updates
    assert (task.updates[0].number, task.updates[-1].number, task.told) == (3, BOUNDS.updates + 2, BOUNDS.updates + 3)


def test_updates_are_bounded_in_bytes_and_the_newest_stays() -> None:
    few = Bounds(update_bytes=10)
    task = after("start")
    for value in ("aaaa", "bbbb", "cccccccccccc"):
        task = advance(task, "update", 1.0, few, raw(value))
    assert [each.value for each in task.updates] == [raw("cccccccccccc")]


def test_what_is_too_large_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="has 12 bytes, and 8 are the most"):
        advance(after("start"), "complete", 1.0, Bounds(result_bytes=8), raw("0123456789"))


def test_starts_are_counted_until_there_is_something_new() -> None:
    assert after("start", "restart", "start").starts == 2
    assert after("start", "restart", "start", "update").starts == 0


def test_a_question_that_is_withdrawn_or_cut_off_leaves_no_value() -> None:
    for step, state in (("withdraw", WORKING), ("restart", SUBMITTED)):
        task = advance(advance(after("start"), "ask", 1.0, BOUNDS, raw("?")), step, 2.0, BOUNDS)
        assert (task.state, task.value) == (state, NOTHING)


def test_a_request_sent_again_is_told_from_another_task() -> None:
    assert asked_again(made(), "sort", raw({"n": 3}))
    assert not asked_again(made(), "sort", raw({"n": 4}))
    assert not asked_again(made(), "find", raw({"n": 3}))


def test_a_task_is_the_same_after_it_was_written_down() -> None:
    task = advance(advance(after("start"), "update", 1.0, BOUNDS, raw([1])), "ask", 2.0, BOUNDS, raw("?"))
    assert msgspec.json.decode(msgspec.json.encode(task), type=Task) == task


@pytest.mark.parametrize(
    ("bounds", "gone"),
    [
        (Bounds(), []),
        (Bounds(finished=2), ["t0"]),
        (Bounds(finished_bytes=2 * made().size), ["t0"]),
        (Bounds(finished_s=8.0), ["t0", "t1"]),
        (Bounds(finished=0), ["t0", "t1", "t2"]),
    ],
)
def test_finished_tasks_are_forgotten_by_count_bytes_and_age_oldest_first(bounds: Bounds, gone: list[str]) -> None:
    finished = Finished(bounds)
    for number in range(3):
        finished.add(made(id=f"t{number}", since=float(number)))
    assert finished.spare(10.0) == gone
    assert finished.spare(10.0) == []


def test_an_answer_about_a_task_fits_into_a_message() -> None:
    bounds = Bounds.within(4096)
    assert bounds.result_bytes + bounds.update_bytes <= 4096 * 3 / 4
