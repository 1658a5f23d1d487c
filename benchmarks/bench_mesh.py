"""What the mesh costs as it grows: messages, bytes, rounds, computations and memory.

    .venv/bin/python benchmarks/bench_mesh.py                    # 10, 100 and 1000 sentinels; some minutes and 6 GB
    .venv/bin/python benchmarks/bench_mesh.py --sizes 10,100     # seconds

Real cores on virtual time in one process, no sockets. Graphs, ids and order come from the seed, so all counts repeat
exactly; only seconds and bytes of memory depend on the machine. Prints a table and writes ``results/mesh.json``.
"""

import argparse
import gc
import json
import multiprocessing
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from provenance import machine

from fame_cli.core.link import LinkKind
from fame_cli.testing.measured import ROUND_S, Cost, MeasuredMesh
from fame_cli.testing.sim import SimWorld
from fame_cli.testing.traffic import Traffic

HERE = Path(__file__).parent

Row = dict[str, Any]


def measure(count: int, degree: float, addresses: int, seed: int) -> Row:
    """Build one mesh and change one thing after another; in a process of its own, for the memory's sake."""
    gc.disable()  # there are millions of objects and hardly a cycle among them
    mesh = MeasuredMesh(count, degree=degree, addresses=addresses, seed=seed)
    facts: Row = {
        "sentinels": count,
        "links": len(mesh.edges),
        "diameter": mesh.diameter(),
        "addresses": addresses,
        "seed": seed,
    }
    before = resident_bytes()
    changes = {"cold start": timed(mesh.start)}
    gc.collect()
    routes = count * (count - 1) * addresses
    facts["bytes_per_route"] = round((resident_bytes() - before) / routes)
    changes["one new binding"] = timed(lambda: mesh.bind(mesh.nodes[count // 2], "new@fame.fabric"))
    changes["one link lost"] = timed(lambda: mesh.lose_link(*mesh.spare_link()))
    node = mesh.spare_node(links=round(degree))
    facts["links_of_lost_sentinel"] = len(node.wires)
    changes["one sentinel lost"] = timed(lambda: mesh.lose_node(node))
    return {**facts, "changes": changes}


def timed(change: Callable[[], Cost]) -> Row:
    """Make a change and say what it cost."""
    started = time.perf_counter()
    cost = change()
    return {**asdict(cost), "seconds": round(time.perf_counter() - started, 2)}


def measure_many(count: int) -> Row:
    """Have one sentinel with very many addresses meet another, and weigh what the other one remembers."""
    world = SimWorld(1, (ROUND_S, ROUND_S), keeps_sent=False)
    traffic = Traffic(world)
    full, empty = world.sentinel("full"), world.sentinel("empty")
    for number in range(count):
        full.core.bind(f"agent-{number:06}@fame.fabric")
    world.run()
    tracemalloc.start()
    started = time.perf_counter()
    world.join(empty, full, LinkKind.PEER)
    world.run()
    seconds = time.perf_counter() - started
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(1 for _ in empty.core.table.names()) == count
    return {
        "addresses": count,
        "bytes_per_route": round(held / count),
        "messages": sum(traffic.messages.values()),
        "message_bytes": sum(traffic.message_bytes.values()),
        "seconds_while_traced": round(seconds, 2),
    }


# The machine


def resident_bytes() -> int:
    """Return the memory this process has in use now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


# The table

HEAD = ("sentinels", "links", "diam.", "change", "rounds", "messages", "mean*", "busiest*", "bytes", "mean*")
HEAD = (*HEAD, "records", "computed", "seconds")
WIDTHS = (9, 6, 6, 18, 7, 9, 8, 9, 14, 10, 10, 9, 8)


def show(rows: list[Row], many: Row) -> None:
    """Print one table."""
    print(line(HEAD))
    for row in rows:
        for name, cost in row["changes"].items():
            links = cost["directions"]
            cells = (row["sentinels"], row["links"], row["diameter"], name, cost["rounds"], cost["messages"])
            cells = (*cells, f"{cost['messages'] / links:.2f}", cost["busiest"], cost["message_bytes"])
            cells = (*cells, round(cost["message_bytes"] / links), cost["records"], cost["computations"])
            print(line((*cells, cost["seconds"])))
    print("* over one link in one direction\n")
    for row in rows:
        print(f"{row['sentinels']} sentinels: {row['bytes_per_route']} bytes of memory a route, all told")
    came = f"they came in {many['messages']} messages, {many['message_bytes']:,} bytes in all"
    print(f"{many['addresses']:,} addresses seen by one neighbour: {many['bytes_per_route']} bytes a route; {came}")


def line(cells: tuple[object, ...]) -> str:
    """Set one row of the table."""
    texts = (f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in cells)
    return " ".join(
        text.ljust(width) if number == 3 else text.rjust(width)
        for number, (text, width) in enumerate(zip(texts, WIDTHS, strict=True))
    )


def main() -> None:
    """Measure, show and write."""
    parser = argparse.ArgumentParser(description="What the mesh costs as it grows.")
    parser.add_argument("--sizes", default="10,100,1000", help="sentinels, e.g. 10,100")
    parser.add_argument("--degree", type=float, default=4.0, help="links of a sentinel, on average")
    parser.add_argument("--addresses", type=int, default=10, help="bound at each sentinel")
    parser.add_argument("--many", type=int, default=100_000, help="addresses at one sentinel, for the memory")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=HERE / "results" / "mesh.json")
    asked = parser.parse_args()
    sizes = [int(size) for size in asked.sizes.split(",")]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as alone:
        many = alone.submit(measure_many, asked.many).result()
        rows = [alone.submit(measure, size, asked.degree, asked.addresses, asked.seed).result() for size in sizes]
    show(rows, many)
    asked.output.parent.mkdir(exist_ok=True)
    results = {**machine(), "round_s": ROUND_S, "meshes": rows, "many_addresses": many}
    asked.output.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
