"""What callers see of a fault, and after how long; ours and the original's, one after the other in one run.

    .venv/bin/python benchmarks/bench_faults.py                 # four minutes; the original waits for most of them
    .venv/bin/python benchmarks/bench_faults.py --only fame     # half a minute
    .venv/bin/python benchmarks/bench_faults.py --quick         # ours once, a small form of each

A client at one sentinel, two agents at another, a link between the two. Each fault happens to a fabric of its own.
Prints a table and writes ``results/faults.json``. Times are in seconds, by the clock of the driver.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from chain import Broken, Chain
from environments import Unavailable
from faults import PROBED, Fabric, fame, naylence
from provenance import machine

Row: TypeAlias = dict[str, Any]

HERE = Path(__file__).parent
PATIENCE_S = 50.0
"""Seconds until the driver gives up on a call; the original's callers wait for 30."""

EVERY_S = 0.1
IN_FLIGHT = 8


def settle(fabric: Fabric) -> None:
    """Wait until a call gets through.

    Raises:
        Broken: none does in time.
    """
    if until_answered(fabric, time.monotonic()) is None:
        raise Broken("no call gets through before the fault")


def until_answered(fabric: Fabric, since: float) -> float | None:
    """Call again and again; returns after how many seconds the first of these calls was answered, None if none was."""
    return watched(fabric, [], since)["back_s"]  # type: ignore[no-any-return]  # a row is JSON


def watched(fabric: Fabric, names: Sequence[str], since: float) -> Row:
    """Say when the callers of these calls know that they have failed, and when the first later call is answered.

    The later calls go to the second agent: the original's agents do one thing at a time, and the first one is busy.
    """
    waiting, times, reasons = set(names), [], set()
    back: float | None = None
    end, number, due = time.monotonic() + PATIENCE_S, 0, 0.0
    while (now := time.monotonic()) < end and (waiting or back is None):
        if now >= due and back is None:
            fabric.caller.begin([f"probe {since} {number}"], "add", PROBED, x=3, y=4)
            number, due = number + 1, now + EVERY_S
        ended = fabric.caller.next(min(due if back is None else end, end) - time.monotonic())
        if ended is None:
            continue
        if ended.name in waiting:
            waiting.discard(ended.name)
            times.append(round(ended.at - since, 3))
            reasons.add(ended.why or "answered")
        elif ended.ok and back is None and ended.name.startswith(f"probe {since}"):
            back = round(ended.at - since, 3)
    first, last = (min(times), max(times)) if times else (None, None)
    known = {"first_s": first, "last_s": last, "unknown": len(waiting), "reasons": sorted(reasons)} if names else {}
    return {**known, "back_s": back}


def in_flight(fabric: Fabric, count: int) -> list[str]:
    """Begin calls that take longer than anybody waits, and have them under way."""
    names = [f"long {number}" for number in range(count)]
    begun = fabric.caller.begin(names, "sleep", seconds=300.0)
    while fabric.caller.next(begun + 1.0 - time.monotonic()) is not None:
        pass
    return names


def known(fabric: Fabric, names: list[str], since: float) -> Row:
    """Say when the callers of these calls know that they have failed."""
    row = watched(fabric, names, since)
    del row["back_s"]  # the second agent was never gone
    return row


def agent_killed(fabric: Fabric, quick: bool) -> Row:
    """Kill the agent with calls in flight."""
    names = in_flight(fabric, IN_FLIGHT)
    return known(fabric, names, fabric.kill("agent"))


def link_cut(fabric: Fabric, quick: bool) -> Row:
    """Reset the link between the sentinels with calls in flight; it can be made again at once."""
    names = in_flight(fabric, IN_FLIGHT)
    at = time.monotonic()
    fabric.relay.cut()
    return watched(fabric, names, at)


def sentinel_killed(fabric: Fabric, quick: bool) -> Row:
    """Kill the agents' sentinel with calls in flight, and start it again at once."""
    names = in_flight(fabric, IN_FLIGHT)
    at = fabric.kill("far")
    fabric.restart("far")
    return watched(fabric, names, at)


def poisoned(fabric: Fabric, quick: bool) -> Row:
    """Call a name that isn't there at the other sentinel's own path; who else gets no answer, and for how long?"""
    at = fabric.caller.begin(["poison"], "add", f"nobody@/{fabric.far_id}", x=1, y=1)
    return {"deaf_s": until_answered(fabric, at)}


def crowded(fabric: Fabric, quick: bool) -> Row:
    """Begin 300 calls at once."""
    names = [f"call {number}" for number in range(60 if quick else 300)]
    return ended(fabric, names, fabric.caller.begin(names, "add", x=3, y=4))


def ended(fabric: Fabric, names: Sequence[str], begun: float) -> Row:
    """Say how many of some calls were answered, and when the last of them ended."""
    ends = []
    while len(ends) < len(names) and (end := fabric.caller.next(begun + PATIENCE_S - time.monotonic())) is not None:
        ends.append(end)
    answered = [end for end in ends if end.ok]
    last = round(max(end.at for end in ends) - begun, 3) if ends else None
    reasons = sorted({end.why for end in ends if not end.ok})
    return {"calls": len(names), "answered": len(answered), "last_s": last, "reasons": reasons}


def held(fabric: Fabric, quick: bool) -> Row:
    """Begin 10,000 calls at once that all take a while; what does a sentinel hold meanwhile?"""
    near = fabric.running["near"]
    before = near.peak_mib()
    names = [f"call {number}" for number in range(1000 if quick else 10_000)]
    row = ended(fabric, names, fabric.caller.begin(names, "sleep", seconds=3.0))
    return {**row, "near_mib": round(near.peak_mib() - before, 1)}


def stormed(fabric: Fabric, quick: bool) -> Row:
    """Kill a sentinel with 1,000 links of one process, and start it again two seconds later."""
    count = 100 if quick else 1000
    command = (sys.executable, "-m", "contenders.fault_leaves", fabric.url, str(count))
    leaves = fabric.chain.start("leaves", *command)
    leaves.wait_for("READY")
    killed = fabric.kill("near")
    while fabric.caller.next(killed + 2.0 - time.monotonic()) is not None:
        pass
    begun = fabric.restart("near")
    back = sorted(json.loads(leaves.wait_for('{"back": ').removesuffix("}")))
    first, median, last = (round(back[at] - begun, 3) for at in (0, count // 2, -1))
    cpu_s = round(fabric.running["near"].cpu_s(), 2)
    return {"links": count, "first_s": first, "median_s": median, "last_s": last, "sentinel_cpu_s": cpu_s}


FAULTS: dict[str, Callable[[Fabric, bool], Row]] = {
    "agent killed, 8 calls in flight": agent_killed,
    "link between the sentinels reset, 8 calls in flight": link_cut,
    "agent's sentinel killed and started again, 8 calls in flight": sentinel_killed,
    "a call to a name that isn't at the other sentinel": poisoned,
    "300 calls at once over one link": crowded,
    "10,000 calls in flight for 3 s": held,
    "1,000 links, their sentinel killed and started again 2 s later": stormed,
}
OURS = (held, stormed)
"""Not for the original: its agents do one thing at a time, and a process holds one node."""

MAKES: dict[str, Callable[[Chain], Fabric]] = {"fame": fame, "naylence": naylence}


def measured(make: str, fault: str, quick: bool) -> Row:
    """Have a fault happen to a fabric of its own; a row with `failed` says why that couldn't be."""
    with tempfile.TemporaryDirectory() as folder, Chain(Path(folder), {}) as chain:
        try:
            fabric = MAKES[make](chain)
        except (Broken, Unavailable) as error:
            return {"failed": str(error)}
        try:
            settle(fabric)
            return FAULTS[fault](fabric, quick)
        except Broken as error:
            return {"failed": str(error)}
        finally:
            fabric.end()


def table(results: dict[str, dict[str, Row]]) -> list[str]:
    """Lay the results out for people."""
    lines = []
    for fault, rows in results.items():
        lines.append(fault)
        for make, row in rows.items():
            told = ", ".join(f"{name} {value}" for name, value in row.items() if name != "reasons")
            lines.append(f"  {make:9} {told}")
            lines += [f"            {reason}" for reason in row.get("reasons", [])[:2]]
    return lines


def main() -> int:
    """Measure, print, and write the result if it was all of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", choices=sorted(MAKES))
    parser.add_argument("--quick", action="store_true", help="ours only, and less of it")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    makes = ["fame"] if args.quick else [args.only] if args.only else list(MAKES)
    results: dict[str, dict[str, Row]] = {}
    for fault in FAULTS:
        able = ["fame"] if FAULTS[fault] in OURS else makes
        results[fault] = {make: measured(make, fault, args.quick) for make in able}
        if not args.json:
            print("\n".join(table({fault: results[fault]})), flush=True)
    whole = {"machine": machine(), "results": results}
    if args.json:
        print(json.dumps(whole, indent=2))
    elif makes == list(MAKES):
        (HERE / "results" / "faults.json").write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    return int(any("failed" in row for rows in results.values() for row in rows.values()))


if __name__ == "__main__":
    sys.exit(main())
