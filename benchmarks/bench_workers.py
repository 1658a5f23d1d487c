"""What more workers of one sentinel bring: calls a second, and what they cost it.

    .venv/bin/python benchmarks/bench_workers.py                    # 1 and 2 workers, 5 runs of 4 s each: a minute
    .venv/bin/python benchmarks/bench_workers.py --workers 1,2,4    # where there are cores for them

Real processes: one `fame sentinel`, some agents, and clients that keep many calls going, spread over all agents.
Those take cores as well, so there is nothing to gain where they have all of them already. Prints a table and writes
``results/workers.json``.
"""

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from chain import cpu_s
from provenance import machine

from fame_cli import Agent, Client, operation
from fame_cli.errors import NoRoute
from fame_cli.node.client import DEFAULT_URL
from fame_cli.node.serving import run_agent

HERE = Path(__file__).parent
WARM_UP_S = 1.0


class Adder(Agent):
    """Answer at once."""

    @operation
    def add(self, x: int, y: int) -> int:
        """Return the sum."""
        return x + y


def address(number: int) -> str:
    """Return the address of an agent."""
    return f"adder{number}@fame.fabric"


async def load(url: str, agents: int, at_once: int, seconds: float) -> float:
    """Keep that many calls going and return how many a second were answered."""
    async with Client(url, timeout_s=30) as client:
        for number in range(agents):
            await reach(client, address(number))
        begin = time.monotonic() + WARM_UP_S
        counts = await asyncio.gather(
            *(call(client, address(each % agents), begin, begin + seconds) for each in range(at_once))
        )
    return sum(counts) / seconds


async def reach(client: Client, target: str) -> None:
    """Call until there is a way."""
    async with asyncio.timeout(20):
        while True:
            try:
                await client.call(target, "add", x=3, y=4)
            except NoRoute:
                await asyncio.sleep(0.05)
            else:
                return


async def call(client: Client, target: str, begin: float, end: float) -> int:
    """Call one after the other and return how many were answered between two moments."""
    count = 0
    while (now := time.monotonic()) < end:
        await client.call(target, "add", x=3, y=4)
        count += now >= begin
    return count


def run_load(url: str, agents: int, at_once: int, seconds: float) -> float:
    """Be one client process."""
    return asyncio.run(load(url, agents, at_once, seconds))


@contextlib.contextmanager
def started(*argv: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a process for the block."""
    with subprocess.Popen([sys.executable, *argv], stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()
            if process.stderr is not None:
                process.stderr.read()


def events(process: "subprocess.Popen[str]", last: str) -> list[dict[str, Any]]:
    """Read what a node logs up to an event."""
    assert process.stderr is not None
    told: list[dict[str, Any]] = []
    while not told or told[-1]["event"] != last:
        told.append(json.loads(process.stderr.readline()))
    return told


def measure(workers: int, asked: argparse.Namespace) -> dict[str, float]:
    """Run the whole once."""
    command = ("-m", "fame_cli", "sentinel", "--id", "s", "--listen", "127.0.0.1:0", "--log-format", "json")
    spawn = multiprocessing.get_context("spawn")
    with contextlib.ExitStack() as stack:
        sentinel = stack.enter_context(started(*command, "--workers", str(workers)))
        told = events(sentinel, "node_ready")
        pids = [line["pid"] for line in told if line["event"] == "worker_started"] or [sentinel.pid]
        url = DEFAULT_URL.replace("127.0.0.1:8000", told[-1]["listen"])
        for number in range(asked.agents):
            agent = stack.enter_context(started(str(HERE / "bench_workers.py"), "--agent", f"{number},{url}"))
            events(agent, "node_ready")
        pool = stack.enter_context(ProcessPoolExecutor(asked.clients, mp_context=spawn))
        before = [cpu_s(pid) for pid in pids]
        given = (url, asked.agents, asked.at_once, asked.seconds)
        rates = [each.result() for each in [pool.submit(run_load, *given) for _ in range(asked.clients)]]
        used = [cpu_s(pid) - past for pid, past in zip(pids, before, strict=True)]
    calls = sum(rates) * (asked.seconds + WARM_UP_S)
    return {"calls_per_s": round(sum(rates)), "cpu_ms_per_1000_calls": round(sum(used) / calls * 1e6, 1)}


def main() -> None:
    """Measure, show and write."""
    parser = argparse.ArgumentParser(description="What more workers of one sentinel bring.")
    parser.add_argument("--workers", default="1,2", help="how many, e.g. 1,2,4")
    parser.add_argument("--agents", type=int, default=4)
    parser.add_argument("--clients", type=int, default=4, help="processes")
    parser.add_argument("--at-once", type=int, default=32, help="calls each client has in flight")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--output", type=Path, default=HERE / "results" / "workers.json")
    parser.add_argument("--agent", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.agent:
        number, _, url = asked.agent.partition(",")
        run_agent(Adder(), address(int(number)), url)
        return
    rows = []
    print("workers  calls/s (min-max)        sentinel's CPU ms per 1000 calls")
    for workers in [int(each) for each in asked.workers.split(",")]:
        runs = [measure(workers, asked) for _ in range(asked.runs)]
        rates = sorted(run["calls_per_s"] for run in runs)
        cost = statistics.median(run["cpu_ms_per_1000_calls"] for run in runs)
        rows.append({"workers": workers, "cores": os.cpu_count(), "runs": runs})
        print(
            f"{workers:>7}  {round(statistics.median(rates)):>7,} ({rates[0]:,}-{rates[-1]:,})".ljust(34) + f"{cost:>8}"
        )
    facts = {name: vars(asked)[name] for name in ("agents", "clients", "at_once", "seconds")}
    asked.output.parent.mkdir(exist_ok=True)
    asked.output.write_text(json.dumps({**machine(), **facts, "rows": rows}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
