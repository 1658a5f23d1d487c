"""What each security profile costs: `make bench-security`.

    .venv/bin/python benchmarks/bench_security.py                        # five rounds, four minutes
    .venv/bin/python benchmarks/bench_security.py --profiles open,overlay
    .venv/bin/python benchmarks/bench_security.py --quick                # one short round, to see that all of it runs

The chain of ``bench_speed.py`` (client, sentinel, sentinel, agent) in every profile, and the original kit's own in each
profile that its free part has. A round measures each once, one after the other, each on a fresh chain with keys of its
own. Prints a table, the ratios and the bar, and writes ``results/security.json``.
"""

import argparse
import json
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from contenders.contender import Contender
from contenders.fame import secured_fame
from contenders.naylence import secured_naylence
from environments import Unavailable, version_of
from provenance import machine
from report import Bar, Summary, Verdict, figure, markdown, summarise, text_table, verdict_lines
from rounds import FULL, QUICK, Round, measure

HERE = Path(__file__).parent
PROFILES = ("open", "gated", "overlay", "strict-overlay")
THEIRS = ("open", "gated", "overlay")
"""The profiles that the kit has without its second package, which isn't free."""

MEASURE = "calls_64"
BAR = Bar("overlay, calls/s, 64 in flight", MEASURE, "naylence overlay", 20.0, True)


def contenders(profiles: Sequence[str], transport: str) -> dict[str, Contender]:
    """Return column → chain, for the profiles asked for."""
    ours = {profile: secured_fame(profile, transport) for profile in profiles}
    theirs = {f"naylence {profile}": secured_naylence(profile) for profile in profiles if profile in THEIRS}
    return {**ours, **theirs}


class Costs:
    """The chains of one run: who can be had, and what each round brought."""

    def __init__(self, chains: Mapping[str, Contender]) -> None:
        self.rounds: dict[str, list[Round]] = {name: [] for name in chains}
        self.missing: dict[str, str] = {}
        self.versions: dict[str, dict[str, str]] = {}
        self._chains = chains
        self._pythons: dict[str, str] = {}
        for name, chain in chains.items():
            try:
                python = self._pythons[name] = chain.python()
            except Unavailable as error:
                self.missing[name] = str(error)
                continue
            self.versions[chain.name] = {each: version_of(python, each) for each in chain.distributions}

    def play(self, count: int, quick: bool) -> None:
        """Run the rounds."""
        for number in range(count):
            for name, python in self._pythons.items():
                print(f"\rround {number + 1} of {count}: {name:<20}", end="", file=sys.stderr, flush=True)
                plan = QUICK if quick else FULL
                self.rounds[name].append(measure(self._chains[name], python, plan, calls_only=True))
        print("\r" + " " * 48 + "\r", end="", file=sys.stderr, flush=True)

    def summaries(self) -> dict[str, Summary]:
        """Sum up the rounds of each chain."""
        return {name: summarise([each.figures for each in rounds]) for name, rounds in self.rounds.items()}

    def remarks(self) -> list[str]:
        """Say what couldn't be measured, and why."""
        lines = [f"{name}: not measured: {reason}" for name, reason in self.missing.items()]
        failed = {
            (name, *item) for name, rounds in self.rounds.items() for each in rounds for item in each.failed.items()
        }
        return [*lines, *(f"{name}: {what} failed: {reason}" for name, what, reason in sorted(failed))]


def ratios(summaries: Mapping[str, Summary]) -> dict[str, dict[str, float]]:
    """Return profile → what its rate is compared with → ratio of the medians, as far as both were measured."""
    rates = {name: summary[MEASURE]["median"] for name, summary in summaries.items() if MEASURE in summary}
    found: dict[str, dict[str, float]] = {}
    for profile in PROFILES:
        others = {"open": rates.get("open"), "naylence": rates.get(f"naylence {profile}")}
        if profile in rates:
            found[profile] = {name: rates[profile] / other for name, other in others.items() if other}
    return found


def ratio_lines(found: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Write one line a profile."""
    lines = []
    for profile, compared in found.items():
        texts = [f"{figure(ratio)} x {name}" for name, ratio in compared.items()]
        lines.append(f"{profile:<15} {', '.join(texts)}")
    return lines


def judge(found: Mapping[str, Mapping[str, float]]) -> list[Verdict]:
    """Hold overlay against its bar; nothing when one side wasn't measured."""
    ratio = found.get("overlay", {}).get("naylence")
    return [] if ratio is None else [Verdict("fame", BAR, ratio)]


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="What each security profile costs.")
    parser.add_argument("--rounds", type=int, help="how often each is measured [5; with --quick 1]")
    parser.add_argument("--profiles", default=",".join(PROFILES), help=f"of {','.join(PROFILES)}")
    parser.add_argument("--transport", default="websockets", choices=["websockets", "picows"])
    parser.add_argument("--quick", action="store_true", help="short measures: the figures mean little")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--json", action="store_true", help="print the results as JSON, and nothing else")
    parser.add_argument(
        "--output", type=Path, help="where the JSON goes [results/security.json; none with --quick or --profiles]"
    )
    asked = parser.parse_args()
    if sys.platform != "linux":
        parser.error("it reads CPU time and memory from /proc, so it needs Linux")
    asked.profiles = asked.profiles.split(",")
    unknown = [name for name in asked.profiles if name not in PROFILES]
    if unknown:
        parser.error(f"there is no {unknown[0]}; there are {', '.join(PROFILES)}")
    asked.rounds = asked.rounds or (1 if asked.quick else 5)
    if asked.output is None and not asked.quick and asked.profiles == list(PROFILES):
        asked.output = HERE / "results" / "security.json"
    return asked


def results(asked: argparse.Namespace, costs: Costs, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Return all of it for the JSON file."""
    summaries = costs.summaries()
    return {
        **machine(),
        "rounds": asked.rounds,
        "quick": asked.quick,
        "transport": asked.transport,
        "versions": costs.versions,
        "missing": costs.missing,
        "failed": {name: [each.failed for each in rounds] for name, rounds in costs.rounds.items()},
        "measures": summaries,
        "ratios": ratios(summaries),
        "bars": [{**asdict(each.bar), "ratio": each.ratio, "met": each.is_met} for each in verdicts],
    }


def main() -> None:
    """Measure, show and write."""
    asked = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as Ctrl-C: what was started is stopped on the way out
    costs = Costs(contenders(asked.profiles, asked.transport))
    costs.play(asked.rounds, asked.quick)
    summaries = costs.summaries()
    found = ratios(summaries)
    verdicts = judge(found)
    text = json.dumps(results(asked, costs, verdicts), indent=2, ensure_ascii=False) + "\n"
    if asked.output is not None:
        asked.output.parent.mkdir(exist_ok=True)
        asked.output.write_text(text, encoding="utf-8")
    if asked.json:
        print(text, end="")
        return
    table = markdown(summaries) if asked.markdown else text_table(summaries)
    print("\n".join([*table, "", *ratio_lines(found), *verdict_lines(verdicts), *costs.remarks()]))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
