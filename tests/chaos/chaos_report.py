"""The report of a chaos run: as JSON, and as a table for people."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from chaos_nodes import ChaosProcess
from chaos_plan import Fabric, Fault
from ledger import Verdict

__all__ = ["as_json", "as_table"]

SHOWN = 10
MB = 1e6


def as_json(
    seed: int,
    seconds: float,
    fabric: Fabric,
    faults: Sequence[Fault],
    verdict: Verdict,
    ends: Mapping[str, Sequence[int]],
    processes: Sequence[ChaosProcess],
    left: int,
) -> dict[str, Any]:
    """Put together what came of a run.

    Args:
        left: messages that are still in somebody's file.
    """
    return {
        "seed": seed,
        "seconds": seconds,
        "sentinels": len(fabric.sentinels),
        "faults": dict(Counter(fault.kind for fault in faults)),
        "made": dict(verdict.made),
        "ended": {kind: dict(codes.most_common()) for kind, codes in verdict.ended.items()},
        "ended_with_their_caller": verdict.orphans,
        "hung": verdict.hung,
        "gaps": verdict.gaps,
        "bugs": verdict.bugs,
        "mailboxes": {fabric.postman: len(fabric.kept_for)} if fabric.kept_for else {},
        "accepted": verdict.accepted,
        "handled": verdict.handled,
        "handled_again": verdict.again,
        "lost": verdict.lost,
        "disordered": verdict.disordered,
        "left": left,
        "longest_way_s": round(verdict.longest_s, 1),
        "unrecovered": verdict.unrecovered,
        "ended_by_themselves": {name: list(codes) for name, codes in ends.items()},
        "latest_end_s": round(verdict.late_s, 2),
        "longest_outage_s": {kind: round(longest, 1) for kind, longest in sorted(verdict.outages_s.items())},
        "memory": {process.name: _memory(process) for process in processes if process.longest},
        "good": verdict.is_good and not ends,
    }


def _memory(process: ChaosProcess) -> dict[str, float]:
    first, last = process.longest[0], process.longest[-1]
    return {
        "seconds": round(last[0] - first[0], 1),
        "start_mb": round(first[1] / MB, 1),
        "end_mb": round(last[1] / MB, 1),
        "mb_a_minute": round(process.slope_mb_min(), 2),
    }


def as_table(report: Mapping[str, Any]) -> str:
    """Write a report for people."""
    lines = ["", f"seed {report['seed']}, {report['seconds']:.0f} s, {report['sentinels']} sentinels", ""]
    lines.append(f"{'':8}{'made':>8}{'ok':>8}  failed")
    for kind, made in report["made"].items():
        codes = dict(report["ended"].get(kind, {}))
        answered = codes.pop("ok", 0)
        failed = ", ".join(f"{code} {count}" for code, count in codes.items())
        lines.append(f"{kind:8}{made:8}{answered:8}  {failed or '-'}")
    lines += ["", f"{'ended with their caller':32}{report['ended_with_their_caller']:6}"]
    for name in ("hung", "gaps", "lost", "disordered", "unrecovered", "bugs"):
        lines.append(f"{name:32}{len(report[name]):6}")
        lines += [f"    {which}" for which in report[name][:SHOWN]]
    for name in ("accepted", "handled", "handled_again", "left"):
        lines.append(f"{'durable messages ' + name.replace('_', ' '):32}{report[name]:6}")
    lines.append(f"{'longest way of a message, s':32}{report['longest_way_s']:6}")
    lines.append(f"{'ended by themselves':32}{sum(map(len, report['ended_by_themselves'].values())):6}")
    lines += [f"    {name}: exit codes {codes}" for name, codes in report["ended_by_themselves"].items()]
    lines.append(f"{'latest end after a deadline, s':32}{report['latest_end_s']:6}")
    lines += ["", f"{'fault':12}{'times':>6}{'longest outage, s':>20}"]
    for kind, times in sorted(report["faults"].items()):
        lines.append(f"{kind:12}{times:6}{report['longest_outage_s'].get(kind, 0.0):20.1f}")
    lines += ["", f"{'memory, MB':12}{'start':>8}{'end':>8}{'a minute':>10}{'over s':>8}"]
    for name, memory in report["memory"].items():
        start, end, slope = memory["start_mb"], memory["end_mb"], memory["mb_a_minute"]
        lines.append(f"{name:12}{start:8.1f}{end:8.1f}{slope:10.2f}{memory['seconds']:8.0f}")
    return "\n".join([*lines, "", "good" if report["good"] else "NOT GOOD"])
