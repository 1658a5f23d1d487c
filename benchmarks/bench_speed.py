"""How fast calls and streams are, beside others that do the same: `make bench`.

    .venv/bin/python benchmarks/bench_speed.py                     # five rounds, six minutes at most
    .venv/bin/python benchmarks/bench_speed.py --only fame,nats    # these only
    .venv/bin/python benchmarks/bench_speed.py --quick             # one short round, to see that all of it runs

One workload, four processes in a chain: client, router, router, worker. Each round measures every contender once, each
on a fresh chain of its own while the others' don't run, so that whatever else the machine does hits all of them alike.
Prints a table and the bars, and writes ``results/speed.json``.
"""

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from contenders.contender import Contender
from contenders.fame import FAME, FAME_PICOWS
from contenders.grpc import GRPC
from contenders.nats import NATS
from contenders.naylence import NAYLENCE
from contenders.tcp import TCP
from environments import Unavailable, version_of
from provenance import machine
from report import Summary, Verdict, judge, markdown, summarise, text_table, verdict_lines
from rounds import FULL, QUICK, Round, measure

HERE = Path(__file__).parent
CONTENDERS = {each.name: each for each in (FAME, FAME_PICOWS, NATS, GRPC, TCP, NAYLENCE)}


class Tournament:
    """The contenders of one run: who is there, who isn't and why, and what each round brought."""

    def __init__(self, contenders: Sequence[Contender]) -> None:
        self.pythons: dict[str, str] = {}
        self.missing: dict[str, str] = {}
        self.rounds: dict[str, list[Round]] = {each.name: [] for each in contenders}
        self.versions: dict[str, dict[str, str]] = {}
        self._contenders = contenders
        for each in contenders:
            try:
                python = self.pythons[each.name] = each.python()
            except Unavailable as error:
                self.missing[each.name] = str(error)
                continue
            self.versions[each.name] = {name: version_of(python, name) for name in each.distributions}

    def play(self, count: int, quick: bool) -> None:
        """Run the rounds."""
        for number in range(count):
            for contender in self._contenders:
                if contender.name in self.pythons:
                    print(f"\rround {number + 1} of {count}: {contender.name:<12}", end="", file=sys.stderr, flush=True)
                    python = self.pythons[contender.name]
                    self.rounds[contender.name].append(measure(contender, python, QUICK if quick else FULL))
        print("\r" + " " * 40 + "\r", end="", file=sys.stderr, flush=True)

    def summaries(self) -> dict[str, Summary]:
        """Sum up the rounds of each contender; nothing for one that isn't there."""
        return {name: summarise([each.figures for each in rounds]) for name, rounds in self.rounds.items()}

    def remarks(self) -> list[str]:
        """Say who or what couldn't be measured, and why."""
        lines = [f"{name}: not measured: {reason}" for name, reason in self.missing.items()]
        for name, rounds in self.rounds.items():
            reasons: dict[tuple[str, str], int] = {}
            for each in rounds:
                for failed in each.failed.items():
                    reasons[failed] = reasons.get(failed, 0) + 1
            lines += [
                f"{name}: {what} failed in {count} of {len(rounds)} rounds: {reason}"
                for (what, reason), count in reasons.items()
            ]
        return lines

    def results(self, verdicts: Sequence[Verdict]) -> dict[str, Any]:
        """Return all of it for the JSON file."""
        contenders = {
            name: {
                "versions": self.versions.get(name, {}),
                "missing": self.missing.get(name),
                "failed": [each.failed for each in self.rounds[name]],
                "measures": summary,
            }
            for name, summary in self.summaries().items()
        }
        bars = [
            {"contender": each.contender, **asdict(each.bar), "ratio": each.ratio, "met": each.is_met}
            for each in verdicts
        ]
        return {"contenders": contenders, "bars": bars}


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="How fast calls and streams are, beside others that do the same.")
    parser.add_argument("--rounds", type=int, help="how often each is measured [5; with --quick 1]")
    parser.add_argument("--only", default=",".join(CONTENDERS), help=f"of {','.join(CONTENDERS)}")
    parser.add_argument("--quick", action="store_true", help="short measures: the figures mean little")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--json", action="store_true", help="print the results as JSON, and nothing else")
    parser.add_argument(
        "--output", type=Path, help="where the JSON goes [results/speed.json; none with --quick or --only]"
    )
    asked = parser.parse_args()
    if sys.platform != "linux":
        parser.error("it reads CPU time and memory from /proc, so it needs Linux")
    asked.only = asked.only.split(",")
    unknown = [name for name in asked.only if name not in CONTENDERS]
    if unknown:
        parser.error(f"there is no {unknown[0]}; there are {', '.join(CONTENDERS)}")
    asked.rounds = asked.rounds or (1 if asked.quick else 5)
    if asked.output is None and not asked.quick and asked.only == list(CONTENDERS):
        asked.output = HERE / "results" / "speed.json"
    return asked


def main() -> None:
    """Measure, show and write."""
    asked = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as Ctrl-C: what was started is stopped on the way out
    facts = machine()
    tournament = Tournament([CONTENDERS[name] for name in asked.only])
    tournament.play(asked.rounds, asked.quick)
    summaries = tournament.summaries()
    verdicts = judge(summaries)
    results = {**facts, "rounds": asked.rounds, "quick": asked.quick, **tournament.results(verdicts)}
    text = json.dumps(results, indent=2, ensure_ascii=False) + "\n"
    if asked.output is not None:
        asked.output.parent.mkdir(exist_ok=True)
        asked.output.write_text(text, encoding="utf-8")
    if asked.json:
        print(text, end="")
        return
    table = markdown(summaries) if asked.markdown else text_table(summaries)
    verdict = ["a quick run: too short to be held against the bars"] if asked.quick else verdict_lines(verdicts)
    print("\n".join([*table, "", *verdict, *tournament.remarks()]))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
