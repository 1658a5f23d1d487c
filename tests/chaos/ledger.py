"""What everybody in a chaos run writes down, and what it adds up to.

Each process appends whole lines of JSON to one file of its own (`Notebook`), so that kill -9 costs at most what hadn't
happened yet. Times are of the monotonic clock, which all processes of a machine share. A call is "hung" when it hasn't
ended its deadline and `GRACE_S` after its start, or, of a stream, after its last item; time in which the caller itself
didn't run (stopped, or without a CPU) doesn't count. `judge` only reads.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["GRACE_S", "QUIET", "Notebook", "Verdict", "judge", "read_handled", "read_notes", "write_handled"]

GRACE_S = 2.0
"""Seconds after its deadline in which a call must have ended."""

QUIET = "quiet"
"""File in the folder of a run from which on nobody sends."""

Note = dict[str, Any]

Handling = tuple[str, float]
"""The id of a message, and when its handler wrote it down."""


class Notebook:
    """Append lines to a file, each in one write."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def write(self, t: float, what: str, **facts: object) -> None:
        """Add one line."""
        os.write(self._file, json.dumps({"t": t, "what": what, **facts}).encode() + b"\n")


def read_notes(paths: Iterable[Path]) -> list[Note]:
    """Read the lines of all files, in the order of their times; half a line at an end is none."""
    notes: list[Note] = []
    for path in paths:
        notes += [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
    return sorted(notes, key=lambda note: float(note["t"]))


def write_handled(path: Path, message_id: str) -> None:
    """Write down that a handler has taken a durable message: what each handler calls first."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, f"{message_id} {time.monotonic()}\n".encode())
    finally:
        os.close(file)


def read_handled(paths: Iterable[Path]) -> list[Handling]:
    """Read what was handled, in the order of handling at each handler."""
    lines = (line.decode().split() for path in paths for line in path.read_bytes().split(b"\n")[:-1])
    return [(message, float(t)) for message, t in lines]


@dataclass
class Verdict:
    """Hold what a run adds up to.

    Attributes:
        ended: kind (call, stream, send) → how it ended ("ok" or a code) → how many.
        orphans: calls whose caller was killed before they had ended.
        hung, gaps, lost, disordered, unrecovered, bugs: which; each must be empty.
        again: handlings of messages that had been handled.
        outages_s: kind of fault → longest time somebody was without an answer from somebody else.
        late_s: the most seconds by which a call ended after its deadline.
        longest_s: the longest time from when a message was accepted until it was handled.
    """

    made: Counter[str] = field(default_factory=Counter)
    ended: dict[str, Counter[str]] = field(default_factory=dict)
    orphans: int = 0
    hung: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    accepted: int = 0
    handled: int = 0
    again: int = 0
    lost: list[str] = field(default_factory=list)
    disordered: list[str] = field(default_factory=list)
    unrecovered: list[str] = field(default_factory=list)
    bugs: list[str] = field(default_factory=list)
    outages_s: dict[str, float] = field(default_factory=dict)
    late_s: float = 0.0
    longest_s: float = 0.0
    still_s: float = 0.0

    @property
    def is_good(self) -> bool:
        """Tell whether nothing hangs, nothing is lost and everything has recovered."""
        return not (self.hung or self.gaps or self.lost or self.disordered or self.unrecovered or self.bugs)


@dataclass
class _Asked:
    begin: Note
    last: float
    end: Note | None = None


def judge(
    notes: Iterable[Note],
    handled: Iterable[Handling],
    until: float,
    healed_at: float | None = None,
    mailboxes: Collection[str] = (),
) -> Verdict:
    """Add up what was written down.

    Args:
        notes: in the order of their times: ``begin``, ``progress`` and ``end`` of calls, ``still`` of a caller that
            hasn't run, ``killed`` and ``fault``.
        handled: durable messages that handlers have taken.
        until: when everybody had stopped writing.
        healed_at: when the last fault was undone: from then on everybody must get through to everybody once.
        mailboxes: addresses whose messages may come by way of a sentinel's mailbox, and then in any order.
    """
    notes, verdict = list(notes), Verdict()
    still = _still(notes)
    verdict.still_s = max((note["s"] for note in notes if note["what"] == "still"), default=0.0)
    killed = {note["life"]: float(note["t"]) for note in notes if note["what"] == "killed"}
    calls = _calls(notes)
    accepted: dict[str, float] = {}
    for call_id, call in calls.items():
        kind, life = call.begin["kind"], call.begin["life"]
        verdict.made[kind] += 1
        ended_at = float(call.end["t"]) if call.end is not None else killed.get(life, until)
        due = call.last + float(call.begin["deadline"])
        late = ended_at - due - _overlap(still.get(life, ()), call.last, ended_at)
        if late > GRACE_S:
            verdict.hung.append(f"{call_id} {kind} to {call.begin['to']}: {late:.1f} s after its deadline")
        if call.end is None:
            verdict.orphans += 1
            continue
        verdict.late_s = max(verdict.late_s, late)
        code = str(call.end["code"])
        verdict.ended.setdefault(kind, Counter())[code] += 1
        if code.startswith("bug"):
            verdict.bugs.append(f"{call_id} {kind} to {call.begin['to']}: {code}")
        if call.end.get("gap"):
            verdict.gaps.append(f"{call_id} from {call.begin['to']}: {call.end['gap']}")
        if kind == "send" and code == "ok":
            accepted[call_id] = ended_at
    handled = list(handled)
    _count_handled(verdict, accepted, handled)
    verdict.disordered = _disordered(calls, handled, mailboxes)
    verdict.outages_s = _outages(notes, calls)
    if healed_at is not None:
        verdict.unrecovered = _unrecovered(calls, healed_at)
    return verdict


def _calls(notes: Iterable[Note]) -> dict[str, _Asked]:
    calls: dict[str, _Asked] = {}
    for note in notes:
        if note["what"] == "begin":
            calls[note["id"]] = _Asked(note, float(note["t"]))
        elif note["what"] == "progress":
            calls[note["id"]].last = float(note["t"])
        elif note["what"] == "end":
            calls[note["id"]].end = note
            calls[note["id"]].last = max(calls[note["id"]].last, float(note.get("last", 0.0)))
    return calls


def _still(notes: Iterable[Note]) -> dict[str, list[tuple[float, float]]]:
    """Return the spans in which a caller didn't run, for each of its lives; they don't overlap."""
    told: dict[str, list[tuple[float, float]]] = {}
    for note in notes:
        if note["what"] == "still":
            told.setdefault(note["life"], []).append((float(note["t"]) - float(note["s"]), float(note["t"])))
    still: dict[str, list[tuple[float, float]]] = {}
    for life, spans in told.items():
        merged = still[life] = []
        for start, end in sorted(spans):
            if merged and start <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], end))
            else:
                merged.append((start, end))
    return still


def _overlap(spans: Iterable[tuple[float, float]], start: float, end: float) -> float:
    return sum(max(0.0, min(end, last) - max(start, first)) for first, last in spans)


def _count_handled(verdict: Verdict, accepted: Mapping[str, float], handled: list[Handling]) -> None:
    times, first = Counter(message for message, _ in handled), dict(reversed(handled))
    verdict.longest_s = max((first[each] - t for each, t in accepted.items() if each in first), default=0.0)
    verdict.accepted, verdict.handled = len(accepted), len(times)
    verdict.again = sum(times.values()) - len(times)
    verdict.lost = [message for message in accepted if message not in times]


def _disordered(calls: Mapping[str, _Asked], handled: Iterable[Handling], mailboxes: Collection[str]) -> list[str]:
    """List messages whose agent had handled a later one of the same caller before, each by its first handling."""
    found: list[str] = []
    last: dict[tuple[str, str], str] = {}
    for message in dict.fromkeys(message for message, _ in handled):
        if message not in calls or calls[message].begin["to"] in mailboxes:
            continue  # the note of the former is on its way
        begin = calls[message].begin
        run = str(begin["who"]), str(begin["to"])
        former = last.get(run)
        if former is not None and calls[former].begin["t"] > begin["t"]:
            found.append(f"{message} to {begin['to']} after {former}")
        else:
            last[run] = message
    return found


def _outages(notes: Iterable[Note], calls: Mapping[str, _Asked]) -> dict[str, float]:
    """Return for each kind of fault how long somebody got no answer after it, from the first call that failed on."""
    faults = [note for note in notes if note["what"] == "fault" and note["kind"] != "disk full"]  # no call needs a disk
    longest: dict[str, float] = {note["kind"]: 0.0 for note in faults}
    for series in _series(calls).values():
        for failed, back_at in _spans(series):
            cause = _cause(faults, failed)
            if cause is not None:
                since = max(float(cause["t"]), float(failed[0]["t"]))  # the fault may be long ago
                longest[cause["kind"]] = max(longest[cause["kind"]], back_at - since)
    return longest


def _series(calls: Mapping[str, _Asked]) -> dict[tuple[str, str], list[tuple[Note, Note]]]:
    """Return (begin, end) of the calls of each caller's life to each address, in the order in which they ended."""
    series: dict[tuple[str, str], list[tuple[Note, Note]]] = {}
    for call in calls.values():
        if call.end is not None and call.begin["kind"] == "call":
            series.setdefault((call.begin["life"], call.begin["to"]), []).append((call.begin, call.end))
    return {who: sorted(ends, key=lambda pair: float(pair[1]["t"])) for who, ends in series.items()}


def _spans(series: Iterable[tuple[Note, Note]]) -> Iterator[tuple[tuple[Note, Note], float]]:
    """Yield the first call that failed, and when the next one came through."""
    failed: tuple[Note, Note] | None = None
    for begin, end in series:
        if end["code"] != "ok":
            failed = failed or (begin, end)
        elif failed is not None:
            yield failed, float(end["t"])
            failed = None


def _cause(faults: Iterable[Note], failed: tuple[Note, Note]) -> Note | None:
    """Return the last fault on the way before a call failed; before it was made, if its time was over."""
    begin, end = failed
    ends = {str(begin["who"]), str(begin["to"]).partition("@")[0]}
    before = [
        fault for fault in faults if float(fault["t"]) <= float(end["t"]) and _is_between(str(fault["target"]), ends)
    ]
    if end["code"] == "DEADLINE_EXCEEDED":
        before = [fault for fault in before if float(fault["t"]) <= float(begin["t"])] or before
    return before[-1] if before else None


def _is_between(target: str, ends: set[str]) -> bool:
    """Tell whether a process or a wire may be on the way: any sentinel and what it dials, and the two ends."""
    dialer = target.partition(">")[0]
    return dialer in ends or dialer.startswith("s")


def _unrecovered(calls: Mapping[str, _Asked], healed_at: float) -> list[str]:
    """List the pairs of caller and address between which no call has come through since all was well."""
    pairs = {(str(call.begin["who"]), str(call.begin["to"])) for call in calls.values()}
    through = {
        (str(call.begin["who"]), str(call.begin["to"]))
        for call in calls.values()
        if call.end is not None and call.end["code"] == "ok" and float(call.begin["t"]) >= healed_at
    }
    return [f"{who} to {to}" for who, to in sorted(pairs - through)]
