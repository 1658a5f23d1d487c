"""Load that is held: very many clients, very many calls in flight, for long. What do calls wait, and does memory grow?

    .venv/bin/python benchmarks/bench_load.py            # or make bench-load: 15 minutes
    .venv/bin/python benchmarks/bench_load.py --quick    # seconds; shows that all of it runs, no more

1,000 clients, each with a link of its own to the first of two sentinels, keep ten calls in flight each, to an agent at
the second, whose operation takes four seconds. What is told is how much longer a call took than that, what failed, and
how the memory of both sentinels and of the agent grew after the first tenth of the time.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chain import Broken, Chain, Process, Row, free_port
from contenders.load_ends import ADDRESS, HELD, RESULT
from provenance import machine

HERE = Path(__file__).parent
FAME = (sys.executable, "-P", "-m", "fame_cli")
READY = "node_ready"
LOOK_S = 5.0
SETTLING = 0.1
"""Part of the time after which memory is looked at: links and caches have their size by then."""


@dataclass
class Weighed:
    """Hold how much memory a process had, and when."""

    process: Process
    points: list[tuple[float, float]] = field(default_factory=list)

    def weigh(self) -> None:
        """Look now."""
        self.points.append((time.monotonic(), self.process.rss_mib()))

    def facts(self) -> Row:
        """Return what it had at first, at last, and how fast that grew (least squares), in MiB and minutes."""
        begun, ended = self.points[0][0], self.points[-1][0]
        later = [(at, size) for at, size in self.points if at >= begun + SETTLING * (ended - begun)]
        slope = statistics.linear_regression(*zip(*later, strict=True)).slope if len(later) > 2 else 0.0
        first, last = later[0][1], later[-1][1]
        return {"settled_mib": round(first, 1), "last_mib": round(last, 1), "mib_a_minute": round(slope * 60, 3)}


def started(chain: Chain) -> tuple[dict[str, Process], str]:
    """Start two sentinels and the agent; return them, and where clients attach."""
    ports = free_port(), free_port()
    urls = [f"ws://127.0.0.1:{port}/fame/v1/attach/ws" for port in ports]
    agent = {"import": "contenders.load_ends:HoldingAgent", "address": ADDRESS, "max_concurrent": 10_000}
    configs: dict[str, Row] = {
        "s1": {"kind": "sentinel", "listen": f"127.0.0.1:{ports[0]}"},
        "s2": {"kind": "sentinel", "listen": f"127.0.0.1:{ports[1]}", "peers": [{"direct_url": f"{urls[0]}/peer"}]},
        "agent": {"kind": "agent", "upstream": {"direct_url": f"{urls[1]}/downstream"}, "agent": agent},
    }
    processes = {}
    for name, config in configs.items():
        path = chain.write(f"{name}.yaml", {"id": name, **config})
        kind = str(config["kind"])
        processes[name] = chain.start(name, *FAME, kind, "--config", path, "--log-format", "json")
        processes[name].wait_for(READY)
    return processes, f"{urls[0]}/downstream"


def measured(chain: Chain, clients: int, each: int, held_s: float, seconds: float) -> dict[str, Any]:
    """Hold the load, and return what came of it."""
    processes, url = started(chain)
    command = (sys.executable, "-m", "contenders.load_ends", url, *map(str, (clients, each, held_s, seconds)))
    ends = chain.start("clients", *command)
    ends.wait_for(HELD, 60.0)
    weighed = {name: Weighed(process) for name, process in processes.items()}
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for each_one in weighed.values():
            each_one.weigh()
        time.sleep(min(LOOK_S, seconds / 20))
    told: Row = json.loads(ends.wait_for(RESULT, 60.0))
    memory = {name: each_one.facts() for name, each_one in weighed.items()}
    cpu = {name: round(process.cpu_s(), 1) for name, process in processes.items()}
    return {**told, "memory": memory, "cpu_s": cpu}


def show(told: dict[str, Any]) -> None:
    """Print what came of it."""
    waits = "  ".join(f"{name} {told['over_ms'][name]:.0f} ms" for name in ("p50", "p99", "p999", "max"))
    print(f"{told['calls']:,} calls, {told['calls_s']:,.0f} a second; longer than they hold: {waits}")
    print(f"failed: {told['failed'] or 'none'}")
    for name, facts in told["memory"].items():
        print(
            f"{name:<6} {facts['settled_mib']:8.1f} MiB, at the end {facts['last_mib']:8.1f} MiB, "
            f"{facts['mib_a_minute']:+.3f} MiB a minute; CPU {told['cpu_s'][name]:,.0f} s"
        )


def main() -> int:
    """Measure, show and write; 1 if a call has failed."""
    parser = argparse.ArgumentParser(description="Load that is held for long.")
    parser.add_argument("--clients", type=int, default=1_000)
    parser.add_argument("--each", type=int, default=10, help="calls in flight of each")
    parser.add_argument("--held", type=float, default=4.0, help="seconds a call takes at its agent")
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--quick", action="store_true", help="short, and writes nothing")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "load.json")
    asked = parser.parse_args()
    clients, held_s, seconds = (20, 0.2, 2.0) if asked.quick else (asked.clients, asked.held, 60 * asked.minutes)
    try:
        with tempfile.TemporaryDirectory() as folder, Chain(Path(folder), {}) as chain:
            told = measured(chain, clients, asked.each, held_s, seconds)
    except Broken as error:
        print(error, file=sys.stderr)
        return 1
    show(told)
    if not asked.quick:
        facts = {"clients": clients, "in_flight": clients * asked.each, "held_s": held_s, "seconds": seconds}
        asked.output.parent.mkdir(exist_ok=True)
        asked.output.write_text(json.dumps({**machine(), **facts, **told}, indent=2) + "\n", encoding="utf-8")
    return 1 if told["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
