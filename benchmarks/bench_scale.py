"""Very many: agents that attach at once and idle, addresses, clients that call at once, callers whom nobody reads.

    .venv/bin/python benchmarks/bench_scale.py            # three minutes
    .venv/bin/python benchmarks/bench_scale.py --quick    # the same with less of everything, for tests; seconds

Real ``fame sentinel`` and ``fame agent`` processes on this machine; what they are loaded with are light nodes (see
``scale_nodes.py``). Prints one table, each figure beside its bar, and writes ``results/scale.json``.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from chain import cpu_s, free_port
from provenance import machine
from scale_fabric import Fabric, Load, resident_bytes
from scale_routes import growth

HERE = Path(__file__).parent
KIB, MIB = 1024, 1024 * 1024
HOST = "fame.fabric"
ADDER = f"adder@{HOST}"

Json = dict[str, Any]


@dataclass(frozen=True)
class Size:
    """Say how much of everything there is."""

    agents: int = 10_000
    dialing_processes: int = 4
    idle_s: float = 20.0
    addresses: int = 100_000
    rounds: int = 15
    calls_a_round: int = 3_000
    real_calls: int = 300
    clients: int = 1_000
    calls_a_client: int = 50
    pushers: int = 64
    push_s: float = 10.0
    held_mib: int = 64


QUICK = Size(200, 2, 0.5, 2_000, 3, 300, 50, 40, 10, 8, 1.0, 16)


@dataclass(frozen=True)
class Figure:
    """Hold one line of the table.

    Args:
        bar: what was asked for; "" where a figure only has to be stated.
        ok: None where there is no bar.
    """

    name: str
    value: str
    bar: str = ""
    ok: bool | None = None


def percentile(values: Sequence[float], part: float) -> float:
    """Return the value that so large a part of them doesn't exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def ms(seconds: float) -> float:
    """Return seconds as milliseconds, for people."""
    return round(seconds * 1000, 1)


def all_of(loads: Sequence[Load], do: str, **command: object) -> list[Json]:
    """Give one command to several processes at once and return what they say."""
    for load in loads:
        load.begin(do, **command)
    return [load.end() for load in loads]


def parted(count: int, among: int) -> list[int]:
    """Divide a number into so many parts."""
    return [count // among + (number < count % among) for number in range(among)]


def attach_all(loads: Sequence[Load], prefix: str, count: int, bind: str) -> Json:
    """Have nodes dial at once from several processes, and say how long it took."""
    first = 0
    for load, part in zip(loads, parted(count, len(loads)), strict=True):
        load.begin("attach", prefix=prefix, first=first, count=part, bind=bind, within_s=60)
        first += part
    told = [load.end() for load in loads]
    failures = [failure for each in told for failure in each["failures"]]
    facts: Json = {
        "attached": count - len(failures),
        "failures": failures[:5],
        "took_s": round(max(each["ended"] for each in told) - min(each["began"] for each in told), 3),
    }
    for name in ("opened_s", "attached_s", "bound_s") if bind else ("opened_s", "attached_s"):
        times = [seconds for each in told for seconds in each[name]]
        facts[name] = {"p50": percentile(times, 0.5), "p99": percentile(times, 0.99), "max": max(times)}
    return facts


# The measures


def crowd(size: Size) -> tuple[Json, list[Figure]]:
    """Have agents attach at once, idle, and stay while clients call."""
    with Fabric() as fabric:
        port = free_port()
        sentinel = fabric.sentinel("s1", port)
        fabric.agent("adder", port)
        loads = [fabric.load(port) for _ in range(size.dialing_processes)]
        all_of(loads, "alive")
        before, cpu = resident_bytes(sentinel), cpu_s(sentinel)
        storm = attach_all(loads, "a", size.agents, HOST)
        storm["sentinel_cpu_s"] = round(cpu_s(sentinel) - cpu, 2)
        cpu = cpu_s(sentinel)
        time.sleep(size.idle_s)
        idle = {
            "bytes_an_agent": round((resident_bytes(sentinel) - before) / size.agents),
            "sentinel_cpu_percent": round(100 * (cpu_s(sentinel) - cpu) / size.idle_s, 1),
            "alive": sum(each["alive"] for each in all_of(loads, "alive")),
        }
        called, figures = clients(fabric, port, size, f"{size.agents:,} agents idle")
    kib = idle["bytes_an_agent"] / KIB
    times = {name: storm[f"{name}_s"] for name in ("attached", "bound")}
    shown = {name: f"p50 {ms(each['p50'])} ms, p99 {ms(each['p99'])} ms" for name, each in times.items()}
    all_there = storm["attached"] == size.agents
    lost = size.agents - idle["alive"]
    return {"storm": storm, "idle": idle, "clients_beside": called}, [
        Figure(
            f"{size.agents:,} agents attach at once", f"{storm['attached']:,} in {storm['took_s']} s", "all", all_there
        ),
        Figure("  from the dial to NodeAttachAck", shown["attached"], "stated"),
        Figure("  from the dial to AddressBindAck", shown["bound"], "stated"),
        Figure("memory per idle agent", f"{kib:.1f} KiB", "≤ 40 KiB", kib <= 40),
        Figure(f"  lost in {size.idle_s:g} s; CPU", f"{lost}; {idle['sentinel_cpu_percent']} %", "0", lost == 0),
        *figures,
    ]


def clients(fabric: Fabric, port: int, size: Size, beside: str) -> tuple[Json, list[Figure]]:
    """Have clients call one agent at once, one call in flight each and then ten."""
    loads = [fabric.load(port) for _ in range(2)]
    attach_all(loads, "c", size.clients, "")
    facts: Json = {}
    figures = []
    for in_flight in (1, 10):
        calls = size.calls_a_client
        told = all_of(loads, "call", to=[ADDER], calls=calls, in_flight=in_flight, prefix="c", timeout_s=80)
        latencies = [seconds for each in told for seconds in each["latencies_s"]]
        took = max(each["ended"] for each in told) - min(each["began"] for each in told)
        lost = sum(each["unanswered"] + each["wrong_count"] for each in told)
        p50, p99 = percentile(latencies, 0.5), percentile(latencies, 0.99)
        facts[f"in_flight_{in_flight}"] = {
            "calls": len(latencies),
            "lost": lost,
            "calls_a_second": round(len(latencies) / took),
            "p50_s": p50,
            "p99_s": p99,
            "wrong": [each for load in told for each in load["wrong"]],
        }
        rate = f"{len(latencies) / took:,.0f} calls/s, p50 {ms(p50)} ms, p99 {ms(p99)} ms"
        name = f"{size.clients:,} clients, {in_flight} in flight each ({beside})"
        figures += [Figure(name, rate), Figure("  not answered, or wrongly", str(lost), "0", lost == 0)]
    return facts, figures


class Pair:
    """Be two linked sentinels with one agent at the first, and a caller at each of them."""

    def __init__(self, fabric: Fabric) -> None:
        near, far = free_port(), free_port()
        self.pids = {"children": fabric.sentinel("s1", near), "mesh": fabric.sentinel("s2", far, [near])}
        fabric.agent("adder", near)
        self.callers = {"children": fabric.load(near), "mesh": fabric.load(far)}
        for load in self.callers.values():
            attach_all([load], "c", 1, "")
        self._binders = [fabric.load(near) for _ in range(2)]
        attach_all(self._binders, "b", 2, "")

    def bind(self, addresses: int) -> Json:
        """Bind so many addresses at the first sentinel and say what one takes of either's memory."""
        before = {name: resident_bytes(pid) for name, pid in self.pids.items()}
        began = time.monotonic()
        half = addresses // len(self._binders)
        for number, load in enumerate(self._binders):
            load.begin("bind", prefix="agent-", first=number * half, count=half, host=HOST)
        bound = sum(load.end()["bound"] for load in self._binders)
        took = time.monotonic() - began
        time.sleep(1.0)
        each = {name: round((resident_bytes(pid) - before[name]) / bound) for name, pid in self.pids.items()}
        return {"addresses": bound, "bind_s": round(took, 2), "bytes_a_route": each}


def routes(size: Size) -> tuple[Json, list[Figure]]:
    """Bind very many addresses at one sentinel that another one is linked to, and weigh and call both."""
    with Fabric() as one, Fabric() as other:
        few, many = Pair(one), Pair(other)
        facts = many.bind(size.addresses)
        facts["real_call_us"] = real_calls(few, many, size)
    figures = []
    for name, where in (("children", "bound by children"), ("mesh", "learned over the mesh")):
        facts[f"core_{name}"] = core = growth(size.addresses, size.rounds, size.calls_a_round, meshed=name == "mesh")
        found, weight, real = core["lookup_us"], facts["bytes_a_route"][name], facts["real_call_us"][name]
        figures += [
            Figure(f"{facts['addresses']:,} addresses {where}", f"{weight} bytes each", "≤ 600 bytes", weight <= 600),
            Figure("  look-up: find, decide", f"{found['find']}, {found['route']} µs", "≤ 2 µs", found["route"] <= 2),
            grown("  call, core, same addresses", core["small_us"], core["same_us"]),
            grown("  call, core, another each time", core["small_us"], core["large_us"]),
            grown("  call, real processes", real["few"], real["many"]),
        ]
    return facts, figures


def grown(name: str, few_us: float, many_us: float) -> Figure:
    """Say by how much a call got dearer between a small table and a large one."""
    times = round(many_us / few_us, 2)
    return Figure(name, f"{few_us:.4g} → {many_us:.4g} µs: {times:.2f} times", "≤ 1.1 times", times <= 1.1)


def real_calls(few: Pair, many: Pair, size: Size) -> Json:
    """Call through sentinels that know few addresses and many, in turn; return what a call takes in the middle."""
    took: dict[str, dict[str, list[float]]] = {name: {"few": [], "many": []} for name in few.callers}
    for _ in range(size.rounds):
        for name, each in took.items():
            for which, pair in (("few", few), ("many", many)):
                each[which].append(real_call_us(pair.callers[name], size.real_calls))
    return {
        name: {which: round(statistics.median(times), 1) for which, times in each.items()}
        for name, each in took.items()
    }


def real_call_us(load: Load, calls: int) -> float:
    """Return what a call takes in the middle, one after the other, in microseconds."""
    load.begin("call", to=[ADDER], calls=calls, in_flight=1, prefix="c", timeout_s=60)
    told = load.end()
    if told["unanswered"] or told["wrong_count"]:
        raise RuntimeError(f"a call failed: {told['wrong']}")
    return round(statistics.median(told["latencies_s"]) * 1e6, 1)


def slow_reader(size: Size) -> tuple[Json, list[Figure]]:
    """Have callers push large requests at an agent that doesn't read, and watch the sentinel's memory."""
    with Fabric() as fabric:
        port = free_port()
        sentinel = fabric.sentinel("s1", port, max_held_bytes=4 * size.held_mib * MIB)
        fabric.agent("adder", port)
        stuck, pushers, other = (fabric.load(port) for _ in range(3))
        attach_all([stuck], "stuck", 1, HOST)
        attach_all([pushers], "p", size.pushers, "")
        attach_all([other], "c", 1, "")
        stuck.begin("stick")
        stuck.end()
        before = resident_bytes(sentinel)
        pushers.begin("push", to=f"stuck000000@{HOST}", size=65_536, seconds=size.push_s)
        most, until = 0, time.monotonic() + size.push_s
        while time.monotonic() < until:
            most = max(most, resident_bytes(sentinel))
            time.sleep(0.02)
        pushed = pushers.end()
        call_us = real_call_us(other, 100)
    grown = (most - before) / MIB
    bar = size.held_mib + 16
    facts = {**pushed, "grown_bytes": most - before, "bound_bytes": size.held_mib * MIB, "other_call_us": call_us}
    name = f"{size.pushers} callers push {pushed['sent']:,} times 64 KiB at one that doesn't read, in {size.push_s:g} s"
    return facts, [Figure(name, f"{grown:.0f} MiB more", f"≤ {size.held_mib} + 16 MiB", grown <= bar)]


MEASURES: dict[str, Callable[[Size], tuple[Json, list[Figure]]]] = {
    "crowd": crowd,
    "routes": routes,
    "slow_reader": slow_reader,
}


# The table


def show(figures: Sequence[Figure], *, quick: bool) -> None:
    """Print one table; a quick run is too short to be held against the bars."""
    widths = [
        max(len(text) for text in column) for column in zip(*((f.name, f.value, f.bar) for f in figures), strict=True)
    ]
    for figure in figures:
        verdict = "" if figure.ok is None or quick else "ok" if figure.ok else "MISSED"
        cells = [text.ljust(width) for text, width in zip((figure.name, figure.value, figure.bar), widths, strict=True)]
        print("  ".join([*cells, verdict]).rstrip())


def main() -> None:
    """Measure, show and write."""
    parser = argparse.ArgumentParser(description="What very many agents, addresses and clients cost.")
    parser.add_argument("--quick", action="store_true", help="less of everything; what it says means little")
    parser.add_argument("--only", choices=list(MEASURES), action="append", help="one measure; may be repeated")
    parser.add_argument(
        "--output", type=Path, default=None, help="results/scale.json unless --quick or --only is given"
    )
    asked = parser.parse_args()
    size = QUICK if asked.quick else Size()
    results: Json = {**machine(), "libraries": libraries(), "platform": platform.platform(), "size": asdict(size)}
    figures: list[Figure] = []
    for name in asked.only or MEASURES:
        results[name], found = MEASURES[name](size)
        figures += found
    results["table"] = [asdict(figure) for figure in figures]
    show(figures, quick=asked.quick)
    output = asked.output or (None if asked.quick or asked.only else HERE / "results" / "scale.json")
    if output is not None:
        output.parent.mkdir(exist_ok=True)
        output.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def libraries() -> Json:
    """Say which versions of what a sentinel stands on; picows carries its links where it is there."""
    names = ["msgspec", "uvloop", "websockets", *(["picows"] if find_spec("picows") else [])]
    return {name: metadata.version(name) for name in names}


if __name__ == "__main__":
    main()
