"""What messages cost that somebody answers for: how many a second, and how soon a node with very many is back.

    .venv/bin/python benchmarks/bench_messages.py            # or make bench-messages: half a minute
    .venv/bin/python benchmarks/bench_messages.py --quick    # seconds; shows that all of it runs, no more

A client sends to an agent by way of two sentinels, four processes, 64 messages on their way at any time; one has
arrived when its agent has it on the disk and the client knows. Client and agent have a file each, synced. Beside it
plain `sqlite3` puts and removes as many messages in a transaction as the client did on average, in one process with
nothing else to do. Three of each, one after the other.

Then an agent is started whose file has 100,000 messages that wait to be handled, a client with as many that wait to be
sent, and a sentinel with as many in a mailbox: when is it ready, and when is the first one handled? For the sentinel
the agent is started once it is ready, so the latter has the start of a process more.
"""

import argparse
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from bench_store import IN_FLIGHT, LEAST_S, PAYLOAD, message, plain
from chain import Broken, Chain, Process, free_port
from contenders.message_ends import ADDRESS, FIRST, GIVEN, RESULT
from environments import ROOT
from provenance import machine
from report import Bar, Verdict, figure, spread, verdict_lines

from fame_cli.core.message import IN, OUT, Message
from fame_cli.store.database import Database
from fame_cli.store.medium import Put

HERE = Path(__file__).parent
ATTACH = "fame/v1/attach/ws"
READY = "node_ready"
MESSAGES = 100_000
SOON_S = 5.0
FAME = (sys.executable, "-P", "-m", "fame_cli")
Row = dict[str, float]

RATE = Bar("messages/s, 64 in flight", "messages_s", f"{LEAST_S:,} or sqlite3/2", 1.0, True)
"""Either is enough: a slow disk is nobody's fault."""


class Line:
    """Be two sentinels, and what is started at them, with their files in a folder of its own.

    Args:
        chain: whose processes they are.
        kept: messages that a mailbox of the second sentinel may hold; 0 for no mailbox.
    """

    def __init__(self, chain: Chain, kept: int = 0) -> None:
        self._chain = chain
        self._ports = free_port(), free_port()
        self.url = f"ws://127.0.0.1:{self._ports[0]}/{ATTACH}/downstream"
        self._mailboxes = [{"address": ADDRESS, "max_messages": kept}] if kept else []

    def store(self, name: str) -> Path:
        """Return the file of a node."""
        return self._chain.folder / "stores" / f"{name}.db"

    def sentinels(self) -> None:
        """Start both, and wait until they are ready."""
        for each in (self.sentinel("s1"), self.sentinel("s2")):
            each.wait_for(READY)

    def sentinel(self, name: str) -> Process:
        """Start one."""
        config: dict[str, object] = {"listen": f"127.0.0.1:{self._ports[name == 's2']}"}
        if name == "s2":
            config["peers"] = [{"direct_url": f"ws://127.0.0.1:{self._ports[0]}/{ATTACH}/peer"}]
        if name == "s2" and self._mailboxes:
            config |= {"mailboxes": self._mailboxes, "storage": {"path": str(self.store(name))}}
        return self._start("sentinel", name, config)

    def agent(self) -> Process:
        """Start the agent at the second."""
        block = {"import": "contenders.message_ends:MessageAgent", "address": ADDRESS}
        upstream = {"direct_url": f"ws://127.0.0.1:{self._ports[1]}/{ATTACH}/downstream"}
        store = {"path": str(self.store("agent"))}
        return self._start("agent", "agent", {"upstream": upstream, "agent": block, "storage": store})

    def client(self, seconds: float) -> Process:
        """Start the client at the first."""
        program = (sys.executable, "-m", "contenders.message_ends")
        return self._chain.start("client", *program, self.url, str(self.store("client")), str(seconds))

    def _start(self, kind: str, name: str, config: dict[str, object]) -> Process:
        delivery = {"profile": "at-least-once", "max_messages": 2 * MESSAGES}
        path = self._chain.write(f"{name}.yaml", {"kind": kind, "id": name, "delivery": delivery, **config})
        return self._chain.start(name, *FAME, kind, "--config", path, "--log-format", "json")


def sent(line: Line, seconds: float) -> Row:
    """Measure what goes through."""
    line.sentinels()
    line.agent().wait_for(READY)
    told: Row = json.loads(line.client(seconds).wait_for(RESULT, seconds))
    return told


def fill(path: Path, box: str, count: int, *, mailbox: bool = False) -> None:
    """Make a store with so many messages."""

    def each(number: int) -> Message:
        lane = "client/5kQ9yXw2"
        return msgspec.structs.replace(message(number), box=box, address=ADDRESS, lane=lane, mailbox=mailbox)

    database = Database(path)
    database.apply([Put(each(number)) for number in range(count)])
    database.close()


def agent_back(line: Line, count: int) -> Row:
    """Start an agent that has to handle very many."""
    fill(line.store("agent"), IN, count)
    line.sentinels()
    began = time.monotonic()
    agent = line.agent()
    agent.wait_for(READY)
    ready = time.monotonic()
    return {"ready_s": ready - began, "first_s": float(agent.wait_for(FIRST)) - began}


def client_back(line: Line, count: int) -> Row:
    """Start a client that has to send very many."""
    fill(line.store("client"), OUT, count)
    line.sentinels()
    agent = line.agent()
    agent.wait_for(READY)
    began = time.monotonic()
    attached = float(line.client(0).wait_for(GIVEN))
    return {"ready_s": attached - began, "first_s": float(agent.wait_for(FIRST)) - began}


def sentinel_back(line: Line, count: int) -> Row:
    """Start a sentinel that keeps very many for somebody who comes back."""
    fill(line.store("s2"), OUT, count, mailbox=True)
    line.sentinel("s1").wait_for(READY)
    began = time.monotonic()
    line.sentinel("s2").wait_for(READY)
    ready = time.monotonic()
    return {"ready_s": ready - began, "first_s": float(line.agent().wait_for(FIRST)) - began}


BACK: dict[str, Callable[..., Row]] = {
    "an agent, to be handled": agent_back,
    "a client, to be sent": client_back,
    "a sentinel, in a mailbox": sentinel_back,
}


def in_chain(folder: Path, what: Callable[[Line], Row], kept: int = 0) -> Row:
    """Have processes of its own for one measure."""
    with tempfile.TemporaryDirectory(dir=folder) as own, Chain(Path(own), {}) as chain:
        return what(Line(chain, kept))


def measured(folder: Path, rounds: int, seconds: float, count: int) -> dict[str, Any]:
    """Return the figures of all rounds."""
    ours: dict[str, list[float]] = {}
    others: list[float] = []
    for number in range(rounds):
        row = in_chain(folder, lambda line: sent(line, seconds))
        other = plain(folder / f"plain{number}.db", seconds / 2, max(1, round(row["client_batch"])))
        others.append(other["messages_s"])
        for measure, value in row.items():
            ours.setdefault(measure, []).append(value)
    back = {name: in_chain(folder, partial(what, count=count), kept=count) for name, what in BACK.items()}
    fame = {measure: spread(runs) for measure, runs in ours.items()}
    return {"fame": fame, "sqlite3": {"messages_s": spread(others)}, "back": back}


def judged(summary: dict[str, Any]) -> list[Verdict]:
    """Hold the figures against the bars."""
    rate, plainly = (summary[name]["messages_s"]["median"] for name in ("fame", "sqlite3"))
    verdicts = [Verdict("fame", RATE, rate / min(LEAST_S, plainly / 2))]
    for name, row in summary["back"].items():
        bar = Bar(f"the first of {name.rpartition(', ')[0]}", "first_s", f"{SOON_S:g} s", 1.0, False)
        verdicts.append(Verdict("fame", bar, row["first_s"] / SOON_S))
    return verdicts


def show(summary: dict[str, Any], verdicts: list[Verdict], count: int) -> None:
    """Print what came of it."""
    for name in ("fame", "sqlite3"):
        rate = summary[name]["messages_s"]
        print(f"{name:<8}  {rate['median']:>9,.0f} messages/s  ({rate['min']:,.0f}-{rate['max']:,.0f})")
    fame = summary["fame"]
    batches = (figure(fame[f"{end}_batch"]["median"]) for end in ("client", "agent"))
    print(f"{'':<8}  messages a transaction: client {next(batches)}, agent {next(batches)}")
    for name, row in summary["back"].items():
        print(f"{count:,} at {name}: ready after {row['ready_s']:.2f} s, the first after {row['first_s']:.2f} s")
    print("\n".join(["", *verdict_lines(verdicts)]))


def main() -> int:
    """Measure, show and write."""
    parser = argparse.ArgumentParser(description="What messages cost that somebody answers for.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measure")
    parser.add_argument("--quick", action="store_true", help="short, and writes nothing")
    parser.add_argument("--json", action="store_true", help="print the result instead of a table")
    parser.add_argument("--folder", type=Path, default=ROOT, help="on the disk to measure")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "messages.json")
    asked = parser.parse_args()
    rounds, seconds, count = (1, 0.3, 1_000) if asked.quick else (asked.rounds, asked.seconds, MESSAGES)
    try:
        with tempfile.TemporaryDirectory(prefix=".fame-bench-", dir=asked.folder) as folder:
            summary = measured(Path(folder), rounds, seconds, count)
    except Broken as error:
        print(error, file=sys.stderr)
        return 1
    verdicts = [] if asked.quick else judged(summary)
    bars = [{**asdict(each.bar), "ratio": each.ratio, "met": each.is_met} for each in verdicts]
    facts = {"in_flight": IN_FLIGHT, "payload_bytes": len(PAYLOAD), "kept": count, "sqlite": sqlite3.sqlite_version}
    result = {**machine(), **facts, "measures": summary, "bars": bars}
    if asked.json:
        print(json.dumps(result, indent=2))
    else:
        show(summary, verdicts, count)
    if not asked.quick:
        asked.output.parent.mkdir(exist_ok=True)
        asked.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
