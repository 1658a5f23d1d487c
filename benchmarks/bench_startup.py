"""What a whole process costs from its start to its end: `make bench` runs this, too.

    .venv/bin/python benchmarks/bench_startup.py            # eleven runs of each, half a minute

`fame call` against a running fabric and the same call by a Naylence client script against a running fabric of its own;
`fame --version` and a Python that imports typer and rich and does nothing. What no client can do without, asyncio and
a WebSocket library, is there for comparison. One of each after the other, eleven times.
Prints medians and ranges and the bars, and writes ``results/startup.json``.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

from chain import Broken, Chain
from contenders import fame, naylence
from environments import ROOT, Unavailable, naylence_python
from provenance import machine
from report import Bar, Verdict, spread, verdict_lines

HERE = Path(__file__).parent
RUN_S = 20.0
SCRIPT = str(ROOT / "tests" / "interop" / "naylence" / "client.py")
UNCOMPILED = "PYTHONDONTWRITEBYTECODE"
"""With it set, every process would compile our modules anew: 34 ms of a call (measured) that no user pays."""

STEP = {"do": "call", "to": "bench@fame.fabric", "method": "add", "params": {"x": 3, "y": 4}}
BARS = {
    "fame call": Bar("whole process: fame call", "fame call", "naylence call", 0.4, False),
    "fame --version": Bar("whole process: fame --version", "fame --version", "import typer, rich", 1.3, False),
}


@dataclass(slots=True)
class Command:
    """One command, and how long each of its runs took.

    Attributes:
        says: what must be in its stdout.
        missing: why it can't run, if so.
    """

    words: Sequence[str]
    says: str = ""
    missing: str = ""
    runs_s: list[float] = field(default_factory=list)

    def run(self) -> None:
        """Run it once; one that goes wrong isn't run again."""
        if self.missing:
            return
        env = {name: value for name, value in os.environ.items() if not name.startswith("FAME_") and name != UNCOMPILED}
        started = time.perf_counter()
        try:
            done = subprocess.run(self.words, env=env, capture_output=True, text=True, timeout=RUN_S, check=False)
        except subprocess.TimeoutExpired:
            self.missing = f"not done within {RUN_S:g} s"
            return
        spent = time.perf_counter() - started
        if done.returncode or self.says not in done.stdout:
            last = (done.stderr.strip().splitlines() or [done.stdout.strip()])[-1]
            self.missing = f"ended with {done.returncode}: {last[:200]}"
            return
        self.runs_s.append(spent)


def our_call(stack: ExitStack, program: Sequence[str]) -> Command:
    """Start a fabric and return the call."""
    try:
        url = fame.start_fabric(new_chain(stack), sys.executable)
    except Broken as error:
        return Command([], missing=str(error))
    return Command([*program, "call", "--url", url, "bench@fame.fabric", "add", "x=3", "y=4"], says="7")


def naylence_call(stack: ExitStack) -> Command:
    """Start a Naylence fabric and return the same call by a script of its own."""
    try:
        python = naylence_python()
        url = naylence.start_fabric(new_chain(stack), python)
    except (Unavailable, Broken) as error:
        return Command([], missing=str(error))
    return Command([python, SCRIPT, "--url", url, json.dumps(STEP)], says='"result": 7')


def new_chain(stack: ExitStack) -> Chain:
    """Return an empty chain that ends with the stack."""
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="fame-bench-"))
    return stack.enter_context(Chain(Path(folder), {}))


def fame_program() -> list[str]:
    """Return the command that users type, or the module where it isn't installed."""
    script = Path(sys.executable).with_name("fame")
    return [str(script)] if script.exists() else [sys.executable, "-m", "fame_cli"]


def judged(commands: dict[str, Command]) -> list[Verdict]:
    """Hold the commands against the bars, as far as they ran."""
    medians = {name: spread(command.runs_s)["median"] for name, command in commands.items() if command.runs_s}
    return [
        Verdict("fame", bar, medians[name] / medians[bar.against])
        for name, bar in BARS.items()
        if name in medians and bar.against in medians
    ]


def show(commands: dict[str, Command], verdicts: list[Verdict]) -> None:
    """Print what came of it."""
    for name, command in commands.items():
        if command.runs_s:
            row = {key: f"{value * 1000:,.0f}" for key, value in spread(command.runs_s).items() if key != "runs"}
            print(f"{name:<20} {row['median']:>7} ms  {row['min']}-{row['max']}")
        if command.missing:
            print(f"{name}: not measured: {command.missing}")
    print("\n".join(["", *verdict_lines(verdicts)]))


def main() -> None:
    """Measure, show and write."""
    parser = argparse.ArgumentParser(description="What a whole process costs from its start to its end.")
    parser.add_argument("--runs", type=int, default=11)
    parser.add_argument("--output", type=Path, default=HERE / "results" / "startup.json")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as Ctrl-C: what was started is stopped on the way out
    program = fame_program()
    with ExitStack() as stack:
        commands = {
            "fame call": our_call(stack, program),
            "naylence call": naylence_call(stack),
            "import asyncio": Command([sys.executable, "-c", "import asyncio"]),
            "and websockets": Command([sys.executable, "-c", "import asyncio, websockets.asyncio.client"]),
            "fame --version": Command([*program, "--version"]),
            "import typer, rich": Command([sys.executable, "-c", "import typer, rich"]),
            "fame --help": Command([*program, "--help"], says="sentinel"),
            "python -c pass": Command([sys.executable, "-c", "pass"]),
        }
        for _ in range(asked.runs + 1):
            for command in commands.values():
                command.run()
    for command in commands.values():
        del command.runs_s[:1]  # it wrote and read caches of files for the others
    verdicts = judged(commands)
    show(commands, verdicts)
    rows = {name: {"missing": each.missing or None, **spread(each.runs_s)} for name, each in commands.items()}
    bars = [{**asdict(each.bar), "ratio": each.ratio, "met": each.is_met} for each in verdicts]
    asked.output.parent.mkdir(exist_ok=True)
    text = json.dumps({**machine(), "unit": "s", "commands": rows, "bars": bars}, indent=2)
    asked.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
