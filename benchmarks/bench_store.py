"""What it costs to keep messages on the disk: the store beside plain `sqlite3` and bare fsync, in the same run.

    .venv/bin/python benchmarks/bench_store.py            # or make bench-store: half a minute
    .venv/bin/python benchmarks/bench_store.py --quick    # seconds; shows that all of it runs, no more

A message is put in the inbox, and when it is on the disk it is removed and the next one is put: 64 on their way at any
time. `sqlite3` does the same changes to a table of the same columns, as many in a transaction as the store had on
average, in a loop with nothing else to do. `fsync` appends the same bytes to a file, a batch at a time, and is as fast
as the disk is. One of each after the other, five times. Then a store with 100,000 messages is opened and read.
"""

import argparse
import json
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
from environments import ROOT
from provenance import machine
from report import Bar, Verdict, figure, spread, verdict_lines

from fame_cli.core.message import IN, Message
from fame_cli.errors import FameError
from fame_cli.node.loop import run
from fame_cli.store.database import Database
from fame_cli.store.medium import Change, Put
from fame_cli.store.store import Store

HERE = Path(__file__).parent
IN_FLIGHT = 64
PAYLOAD = b'"%s"' % (b"x" * 298)
COLUMNS = Message.__struct_fields__
MESSAGES = 100_000
LOAD_S = 5.0
LEAST_S = 3_000
"""Messages a second that are enough."""

BARS = (
    Bar("messages/s, 64 in flight", "messages_s", "sqlite3", 0.5, True),
    Bar("messages/s, 64 in flight", "messages_s", f"{LEAST_S:,}", 1.0, True),
    Bar("100,000 messages read", "load_s", f"{LOAD_S:g} s", 1.0, False),
)


def message(number: int) -> Message:
    """Return a message as an agent's inbox has it."""
    told = {"address": "bench@fame.fabric", "lane": "5kQ9yXw2", "sender": "/peer-sentinel1/client"}
    return Message(id=f"{number:016}", box=IN, payload=PAYLOAD, seq=number + 1, stored_at=1_700_000_000.5, **told)


class Counted(Database):
    """Count what is written in how many transactions."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.transactions = self.changes = 0

    def apply(self, changes: Sequence[Change]) -> None:
        """Make all changes."""
        super().apply(changes)
        if changes:
            self.transactions += 1
            self.changes += len(changes)


async def keep(path: Path, seconds: float) -> dict[str, float]:
    """Put, and remove what is kept, for so many seconds; return messages a second and messages a transaction."""
    with ThreadPoolExecutor(1) as thread:
        counted = thread.submit(Counted, path).result()
        store = Store(counted, thread, None)
        kept, failed = 0, False
        began = time.perf_counter()
        until = began + seconds

        def put(number: int) -> None:
            def done(error: FameError | None) -> None:
                nonlocal kept, failed
                failed = failed or error is not None
                kept += 1
                store.remove(IN, f"{number:016}")
                if time.perf_counter() < until:
                    put(number + IN_FLIGHT)

            store.put(message(number), done)

        for number in range(IN_FLIGHT):
            put(number)
        while time.perf_counter() < until:
            await store.flush()
        await store.flush()
        spent = time.perf_counter() - began
        thread.submit(counted.close).result()
    if failed:
        raise RuntimeError("a message couldn't be kept: is the disk full?")
    return {"messages_s": kept / spent, "batch": kept / counted.transactions}


def plain(path: Path, seconds: float, batch: int) -> dict[str, float]:
    """Have `sqlite3` put and remove as many messages in a transaction, in a table of the same columns."""
    sql = sqlite3.connect(path, isolation_level=None)
    for line in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL"):
        sql.execute(f"PRAGMA {line}")
    sql.execute(f"CREATE TABLE kept (n INTEGER PRIMARY KEY, {', '.join(COLUMNS)}, UNIQUE (box, id))")
    insert = f"INSERT INTO kept ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
    kept, began = 0, time.perf_counter()
    while time.perf_counter() < began + seconds:
        fresh = [msgspec.structs.astuple(message(number)) for number in range(kept, kept + batch)]
        gone = [(IN, f"{number:016}") for number in range(kept - batch, kept)]
        sql.execute("BEGIN IMMEDIATE")
        sql.executemany(insert, fresh)
        sql.executemany("DELETE FROM kept WHERE box = ? AND id = ?", gone)
        sql.execute("COMMIT")
        kept += batch
    spent = time.perf_counter() - began
    sql.close()
    return {"messages_s": kept / spent, "batch": float(batch)}


def bare(path: Path, seconds: float, batch: int) -> dict[str, float]:
    """Append as many payloads to a file, and fsync it, at a time."""
    kept, began = 0, time.perf_counter()
    with path.open("wb", buffering=0) as stream:
        while time.perf_counter() < began + seconds:
            stream.write(PAYLOAD * batch)
            os.fsync(stream.fileno())
            kept += batch
    return {"messages_s": kept / (time.perf_counter() - began), "batch": float(batch)}


def load_s(path: Path, count: int) -> float:
    """Return how long it takes to open a store with so many messages and have them."""
    database = Database(path)
    database.apply([Put(message(number)) for number in range(count)])
    database.close()

    async def opened() -> float:
        began = time.perf_counter()
        async with Store.open(path) as store:
            kept = await store.load()
            spent = time.perf_counter() - began
        if len(kept.messages) != count:
            raise RuntimeError(f"{len(kept.messages)} of {count} messages were there")
        return spent

    return run(opened())


def measured(folder: Path, rounds: int, seconds: float, count: int) -> dict[str, dict[str, Any]]:
    """Return contender → measure → its figures over the rounds."""
    found: dict[str, dict[str, list[float]]] = {name: {} for name in ("fame", "sqlite3", "fsync")}
    for number in range(rounds):
        ours = run(keep(folder / f"fame{number}.db", seconds))
        batch = max(1, round(ours["batch"]))
        others: dict[str, Callable[[Path, float, int], dict[str, float]]] = {"sqlite3": plain, "fsync": bare}
        taken = {name: other(folder / f"{name}{number}", seconds, batch) for name, other in others.items()}
        for name, figures in {"fame": ours, **taken}.items():
            for measure, value in figures.items():
                found[name].setdefault(measure, []).append(value)
        found["fame"].setdefault("load_s", []).append(load_s(folder / f"load{number}.db", count))
    return {name: {measure: spread(runs) for measure, runs in each.items()} for name, each in found.items()}


def judged(summary: dict[str, dict[str, Any]]) -> list[Verdict]:
    """Hold the store against the bars."""
    rate, load = summary["fame"]["messages_s"]["median"], summary["fame"]["load_s"]["median"]
    ratios = rate / summary["sqlite3"]["messages_s"]["median"], rate / LEAST_S, load / LOAD_S
    return [Verdict("fame", bar, ratio) for bar, ratio in zip(BARS, ratios, strict=True)]


def show(summary: dict[str, dict[str, Any]], verdicts: list[Verdict], count: int) -> None:
    """Print what came of it."""
    print(f"{'':<8}  {'messages/s':>10}  {'range':<15}  messages a transaction")
    for name, figures in summary.items():
        rate = figures["messages_s"]
        span = f"{rate['min']:,.0f}-{rate['max']:,.0f}"
        print(f"{name:<8}  {rate['median']:>10,.0f}  {span:<15}  {figure(figures['batch']['median'])}")
    load = summary["fame"]["load_s"]
    print(f"\nopened and read, {count:,} messages: {load['median']:.2f} s ({load['min']:.2f}-{load['max']:.2f})")
    print("\n".join(["", *verdict_lines(verdicts)]))


def main() -> None:
    """Measure, show and write."""
    parser = argparse.ArgumentParser(description="What it costs to keep messages on the disk.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measure")
    parser.add_argument("--quick", action="store_true", help="short, and writes nothing")
    parser.add_argument("--json", action="store_true", help="print the result instead of a table")
    parser.add_argument("--folder", type=Path, default=ROOT, help="on the disk to measure")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "store.json")
    asked = parser.parse_args()
    rounds, seconds, count = (1, 0.1, 1_000) if asked.quick else (asked.rounds, asked.seconds, MESSAGES)
    with tempfile.TemporaryDirectory(prefix=".fame-bench-", dir=asked.folder) as folder:
        summary = measured(Path(folder), rounds, seconds, count)
    verdicts = [] if asked.quick else judged(summary)
    bars = [{**asdict(each.bar), "ratio": each.ratio, "met": each.is_met} for each in verdicts]
    facts = {"in_flight": IN_FLIGHT, "payload_bytes": len(PAYLOAD), "loaded": count, "sqlite": sqlite3.sqlite_version}
    result = {**machine(), **facts, "measures": summary, "bars": bars}
    if asked.json:
        print(json.dumps(result, indent=2))
    else:
        show(summary, verdicts, count)
    if not asked.quick:
        asked.output.parent.mkdir(exist_ok=True)
        asked.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
