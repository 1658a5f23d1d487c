"""What the notes of a chaos run add up to: above all, that a call that hangs and a message that is lost are seen."""

from pathlib import Path

import pytest
from ledger import Notebook, judge, read_handled, read_notes, write_handled

Note = dict[str, object]


def begin(t: float, call: str = "c1.7.1", kind: str = "call", to: str = "a1", deadline: float = 5.0) -> Note:
    who, pid, _ = call.split(".")
    facts = {"id": call, "kind": kind, "to": to, "who": who, "life": f"{who}.{pid}", "deadline": deadline}
    return {"t": t, "what": "begin", **facts}


def end(t: float, call: str = "c1.7.1", code: str = "ok", **facts: object) -> Note:
    return {"t": t, "what": "end", "id": call, "code": code, **facts}


def killed(t: float, life: str = "c1.7") -> Note:
    return {"t": t, "what": "killed", "life": life}


def still(t: float, s: float, life: str = "c1.7") -> Note:
    return {"t": t, "what": "still", "life": life, "s": s}


def test_calls_are_counted_by_kind_and_by_how_they_ended() -> None:
    notes = [begin(0), end(1), begin(2, "c1.7.2"), end(3, "c1.7.2", "NO_ROUTE"), begin(4, "c1.7.3", "stream")]
    verdict = judge([*notes, end(5, "c1.7.3")], [], until=6)
    assert verdict.made == {"call": 2, "stream": 1}
    assert verdict.ended == {"call": {"ok": 1, "NO_ROUTE": 1}, "stream": {"ok": 1}}
    assert verdict.is_good


@pytest.mark.parametrize(("ended_at", "hung"), [(6.9, False), (7.1, True)])
def test_a_call_that_ends_later_than_two_seconds_after_its_deadline_has_hung(ended_at: float, hung: bool) -> None:
    verdict = judge([begin(0), end(ended_at, code="DEADLINE_EXCEEDED")], [], until=10)
    assert bool(verdict.hung) is hung
    assert verdict.is_good is not hung


@pytest.mark.parametrize(("until", "hung"), [(6.9, False), (7.1, True)])
def test_a_call_that_never_ends_has_hung_once_its_time_is_over(until: float, hung: bool) -> None:
    assert bool(judge([begin(0)], [], until=until).hung) is hung


def test_time_in_which_its_caller_did_not_run_does_not_count_and_counts_once() -> None:
    assert judge([begin(0), still(9, 3), end(9.5)], [], until=10).hung == []
    assert judge([begin(0), still(9, 3), still(9.1, 3), end(10.5)], [], until=11).hung != []
    assert judge([begin(0), still(9, 3, "c2.8"), end(9.5)], [], until=10).hung != []


def test_a_call_whose_caller_was_killed_in_time_is_an_orphan_and_has_not_hung() -> None:
    verdict = judge([begin(0), killed(3), begin(4, "c1.8.1"), end(5, "c1.8.1")], [], until=60)
    assert verdict.orphans == 1
    assert verdict.hung == []


def test_the_time_of_a_stream_runs_from_its_last_item() -> None:
    stream = [begin(0, kind="stream"), {"t": 8.0, "what": "progress", "id": "c1.7.1"}]
    assert judge([*stream, end(14)], [], until=20).hung == []
    assert judge([*stream, end(16)], [], until=20).hung != []
    assert judge([*stream, end(16, last=15.9)], [], until=20).hung == []


def test_a_gap_and_a_bug_are_named() -> None:
    notes = [
        begin(0),
        end(1, code="wrong", gap="item 3 instead of 2"),
        begin(2, "c1.7.2"),
        end(3, "c1.7.2", "bug: KeyError"),
    ]
    verdict = judge(notes, [], until=4)
    assert "item 3 instead of 2" in verdict.gaps[0]
    assert "KeyError" in verdict.bugs[0]
    assert not verdict.is_good


def test_a_message_that_was_accepted_and_never_handled_is_lost() -> None:
    notes: list[Note] = []
    for number in range(1, 5):
        notes += [
            begin(number, f"c1.7.{number}", "send"),
            end(number + 0.5, f"c1.7.{number}", "ok" if number < 4 else "NO_ROUTE"),
        ]
    verdict = judge(notes, [("c1.7.1", 2.0), ("c1.7.2", 3.5), ("c1.7.1", 8.0)], until=9)
    assert (verdict.accepted, verdict.handled, verdict.again, verdict.longest_s) == (3, 2, 1, 1.0)
    assert verdict.lost == ["c1.7.3"]
    assert not verdict.is_good


@pytest.mark.parametrize(
    ("handled", "disordered"),
    [
        ([1, 2, 1, 3], []),
        ([2, 1, 3], ["c1.7.1 to a1 after c1.7.2"]),
        ([3, 1, 2], ["c1.7.1 to a1 after c1.7.3", "c1.7.2 to a1 after c1.7.3"]),
    ],
)
def test_a_message_that_is_first_handled_after_a_later_one_of_its_caller_is_out_of_order(
    handled: list[int], disordered: list[str]
) -> None:
    notes = [begin(number, f"c1.7.{number}", "send") for number in range(1, 4)]
    notes += [begin(4, "c1.8.1", "send"), begin(0, "c2.9.1", "send"), begin(0, "c1.7.0", "send", to="a2")]
    ids = [*(f"c1.7.{number}" for number in handled), "c1.8.1", "c2.9.1", "c1.7.0"]
    handlings = [(each, 4.5) for each in ids]
    verdict = judge(notes, handlings, until=5)
    assert verdict.disordered == disordered
    assert verdict.is_good is not bool(disordered)
    assert judge(notes, handlings, until=5, mailboxes=["a1"]).disordered == []


def test_a_message_that_was_handled_although_nobody_was_told_that_it_was_stored_is_fine() -> None:
    verdict = judge([begin(0, kind="send"), killed(1)], [("c1.7.1", 0.5)], until=2)
    assert (verdict.accepted, verdict.handled, verdict.lost) == (0, 1, [])


def test_an_outage_lasts_from_the_fault_or_the_first_failed_call_after_it_to_the_next_answer() -> None:
    notes: list[Note] = [
        {"t": 1.0, "what": "fault", "kind": "kill", "target": "a1"},
        begin(0.5),
        end(2.0, code="LINK_LOST"),
        begin(2.5, "c1.7.2"),
        end(3.0, "c1.7.2", "NO_ROUTE"),
        begin(3.1, "c1.7.3"),
        end(5.0, "c1.7.3"),
        {"t": 1.5, "what": "fault", "kind": "disk full", "target": "a1"},
        {"t": 6.0, "what": "fault", "kind": "delay", "target": "c1>s1"},
        begin(6.1, "c1.7.4"),
        end(6.5, "c1.7.4"),
    ]
    assert judge(sorted(notes, key=lambda note: note["t"]), [], until=9).outages_s == {"kill": 4.0, "delay": 0.0}  # type: ignore[arg-type,return-value]


def test_an_outage_is_laid_at_the_door_of_a_fault_that_was_on_the_way() -> None:
    notes: list[Note] = [
        {"t": 1.0, "what": "fault", "kind": "half-open", "target": "s2>s1"},
        begin(1.5),
        {"t": 2.0, "what": "fault", "kind": "kill", "target": "a2"},
        {"t": 3.0, "what": "fault", "kind": "reset", "target": "c1>s1"},
        end(6.5, code="DEADLINE_EXCEEDED"),
        begin(7.0, "c1.7.2"),
        end(8.0, "c1.7.2"),
    ]
    assert judge(notes, [], until=9).outages_s == {"half-open": 6.5, "kill": 0.0, "reset": 0.0}


def test_whoever_gets_through_to_nobody_once_all_is_well_has_not_recovered() -> None:
    notes = [
        begin(0),
        end(1),
        begin(2, to="a2", call="c1.7.2"),
        end(3, "c1.7.2"),
        begin(11, "c1.7.3"),
        end(12, "c1.7.3"),
    ]
    verdict = judge(notes, [], until=20, healed_at=10)
    assert verdict.unrecovered == ["c1 to a2"]
    assert not verdict.is_good


def test_notes_of_many_writers_are_read_in_order_and_half_a_line_is_none(tmp_path: Path) -> None:
    first, second = Notebook(tmp_path / "1"), Notebook(tmp_path / "2")
    first.write(2.0, "end", id="b")
    second.write(1.0, "begin", id="b")
    with (tmp_path / "1").open("ab") as file:
        file.write(b'{"t": 3')
    assert [note["what"] for note in read_notes([tmp_path / "1", tmp_path / "2"])] == ["begin", "end"]


def test_what_handlers_were_given_is_read_from_their_files(tmp_path: Path) -> None:
    for name, message in (("1", "a"), ("1", "b"), ("2", "a")):
        write_handled(tmp_path / name, message)
    found = read_handled([tmp_path / "1", tmp_path / "2"])
    assert [message for message, _ in found] == ["a", "b", "a"]
    assert found[0][1] <= found[1][1] <= found[2][1]
