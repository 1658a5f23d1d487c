"""What the workers of one sentinel are told: ids, who dials whom, and when they may take links."""

import msgspec
import pytest

from fame_cli.node.workers import Door, Orders, Report, dials, orders, worker_id

COUNT = 3


def report(number: int, *linked: int, listens: bool = False, has_upstream: bool = True) -> Report:
    door = Door(worker_id("s", number), f"127.0.0.1:{7000 + number}")
    return Report(door, "127.0.0.1:8000" if listens else "", linked, True, has_upstream)


def whole(**changes: Report) -> dict[int, Report]:
    """Return the reports of three workers that serve; `w2` changes the second one's."""
    told = {number: report(number, *({1, 2, 3} - {number}), listens=True) for number in range(1, COUNT + 1)}
    return told | {int(name[1:]): changed for name, changed in changes.items()}


def test_the_first_worker_has_the_id_of_the_sentinel() -> None:
    assert [worker_id("s", number) for number in (1, 2, 12)] == ["s", "s.2", "s.12"]


@pytest.mark.parametrize("count", [2, 3, 7])
def test_each_pair_has_exactly_one_link(count: int) -> None:
    doors = {number: report(number).door for number in range(1, count + 1)}
    pairs = [frozenset((number, other)) for number in doors for other in dials(number, doors)]
    assert len(pairs) == len(set(pairs)) == count * (count - 1) // 2


def test_each_worker_is_told_the_doors_of_those_that_live() -> None:
    reports = {1: report(1), 3: report(3)}
    told = orders(reports, have_started=False, has_parent=False)
    assert told.keys() == {1, 3}
    assert told[1].doors == {1: reports[1].door, 3: reports[3].door} == told[3].doors


def test_nobody_takes_links_before_all_have_started() -> None:
    reports = {1: report(1, 2), 2: report(2, 1)}
    told = orders(reports, have_started=False, has_parent=False)
    assert [each.may_listen for each in told.values()] == [False, False]
    assert {each.waits_for for each in told.values()} == {"workers"}
    assert all(each.may_listen for each in orders(reports, have_started=True, has_parent=False).values())


@pytest.mark.parametrize("newcomer", [report(3), report(3, 1), report(3, 2)])
def test_a_worker_that_is_back_takes_links_once_it_is_linked_with_all(newcomer: Report) -> None:
    told = orders(whole(w3=newcomer), have_started=True, has_parent=False)
    assert not told[3].may_listen
    assert orders(whole(), have_started=True, has_parent=False)[3].may_listen


def test_a_link_counts_when_both_ends_report_it() -> None:
    told = orders(whole(w1=report(1, 2, listens=True)), have_started=True, has_parent=False)
    assert (told[2].may_listen, told[3].may_listen) == (True, False)


def test_all_answer_that_the_whole_is_ready() -> None:
    told = orders(whole(), have_started=True, has_parent=False)
    assert {each.waits_for for each in told.values()} == {""}


def test_a_worker_that_has_ended_or_is_not_back_yet_keeps_nobody_from_being_ready() -> None:
    """Nobody lands at it, because it doesn't listen."""
    reports = whole(w3=report(3))
    assert orders(reports, have_started=True, has_parent=False)[1].waits_for == ""
    del reports[3]
    assert orders(reports, have_started=True, has_parent=False)[1].waits_for == ""


def test_workers_that_lost_each_other_are_not_ready() -> None:
    reports = whole(w2=report(2, 1, listens=True))
    assert orders(reports, have_started=True, has_parent=False)[1].waits_for == "workers"


def test_all_wait_for_the_parent_that_the_first_one_holds() -> None:
    reports = whole(w1=report(1, 2, 3, listens=True, has_upstream=False))
    assert {each.waits_for for each in orders(reports, have_started=True, has_parent=True).values()} == {"upstream"}
    del reports[1]
    assert orders(reports, have_started=True, has_parent=True)[2].waits_for == "upstream"
    assert orders(reports, have_started=True, has_parent=False)[2].waits_for == ""


def test_reports_and_orders_survive_the_pipe() -> None:
    told = orders(whole(), have_started=True, has_parent=False)[2]
    assert msgspec.json.decode(msgspec.json.encode(told), type=Orders) == told
    said = report(2, 1, 3, listens=True)
    assert msgspec.json.decode(msgspec.json.encode(said), type=Report) == said
