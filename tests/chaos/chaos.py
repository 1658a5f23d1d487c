"""The chaos run: real processes, and every few seconds something that goes wrong.

    make chaos                          a minute
    make chaos MINUTES=10 SEED=17       the faults of seed 17, for ten minutes

Two to four sentinels, six agents and eight callers, each a process, joined by wires that fail on demand
(``faulty_wire.py``). What is to go wrong is drawn from the seed beforehand (``chaos_plan.py``), what came of it is
added up from what everybody wrote down (``ledger.py``). The exit code is 1 when a call hung, a message was lost or
overtaken, a stream had a gap, a node ended by itself or logged a traceback, or somebody didn't get through to somebody
when all was well again.
"""

import argparse
import asyncio
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from chaos_nodes import ChaosProcess
from chaos_plan import CUT_PROBABILITY, DELAY_S, Fault, draw_fabric, draw_faults
from chaos_report import as_json, as_table
from durable_sends import left_in, mailboxes_of, storage_of
from faulty_wire import FaultyWire
from ledger import QUIET, Handling, Notebook, Verdict, judge, read_handled, read_notes
from spool import Spool

HERE = Path(__file__).parent
ATTACH = "fame/v1/attach/ws"
START_S = 40.0
RECOVER_S = 60.0
"""Seconds in which everybody must get through to everybody once all faults are undone."""

HANDLED_S = 120.0
"""Seconds in which every message that was accepted must be handled then."""

END_S = 25.0
MEASURE_S = 2.0
LOOK_S = 0.25
AGAIN_S = 1.0
GARBAGE_BYTES = 200


class Run:
    """Hold one run.

    Args:
        seconds: in which things go wrong.
        folder: for configs, logs and notes.
    """

    def __init__(self, seed: int, seconds: float, folder: Path) -> None:
        self.seed = seed
        self.folder = folder
        self.fabric = draw_fabric(seed)
        self.faults = draw_faults(seed, self.fabric, seconds)
        self.seconds = seconds
        self.wires: dict[str, FaultyWire] = {}
        self.processes: dict[str, ChaosProcess] = {}
        self.notebook = Notebook(folder / "run.notes")
        self.healed_at = 0.0
        self._kept_for = [f"{name}@fame.fabric" for name in self.fabric.kept_for]
        self._spools: list[Spool] = []
        self._ports: dict[str, int] = {}
        self._down: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    # From start to end

    async def go(self) -> None:
        """Start everything, break it, mend it, wait until it works, end it; SIGINT and SIGTERM end it at once."""
        this = asyncio.current_task()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, this.cancel if this is not None else lambda: None)
        try:
            await self._start()
            self._spawn(self._measure())
            self._spawn(self._look_after())
            await self._break()
            self._mend()
            await self._recover()
        finally:
            for task in self._tasks:
                task.cancel()
            await self._stop()

    async def _start(self) -> None:
        fabric = self.fabric
        await self._wire()
        for name in fabric.sentinels:
            peers = [{"direct_url": self._url(name, to, "peer")} for to in fabric.dialed_by(name)]
            config = {"kind": "sentinel", "id": name, "listen": f"127.0.0.1:{self._ports[name]}", "peers": peers}
            config |= mailboxes_of(name, self._kept_for if name == fabric.postman else [], self.folder)
            self.processes[name] = ChaosProcess.node(name, config, self.folder)
        for name in fabric.agents:
            self.processes[name] = ChaosProcess.node(name, self._agent(name), self.folder)
        for name in fabric.callers:
            told = {
                "name": name,
                "seed": self.seed,
                "url": self._url(name, fabric.dialed_by(name)[0], "downstream"),
                "addresses": [f"{agent}@fame.fabric" for agent in fabric.agents],
                "notes": self._spool(f"{name}.notes"),
                "folder": str(self.folder),
            }
            command = [sys.executable, str(HERE / "chaos_caller.py"), json.dumps(told)]
            self.processes[name] = ChaosProcess(name, command, self.folder)
        for process in self.processes.values():
            await process.start()
        if await self._through(since=0.0, within_s=START_S):
            raise RuntimeError(f"the fabric didn't come up: see {self.folder}")

    def _spool(self, name: str) -> str:
        """Return the pipe for what others write down: their own disks may be full."""
        self._spools.append(Spool(self.folder / name))
        return str(self._spools[-1].pipe)

    def _agent(self, name: str) -> dict[str, object]:
        init = {"handled": self._spool(f"{name}.handled")}
        block = {"import": "chaos_agent:Counting", "address": f"{name}@fame.fabric", "init": init}
        upstream = {"direct_url": self._url(name, self.fabric.dialed_by(name)[0], "downstream")}
        return {"kind": "agent", "id": name, "upstream": upstream, "agent": block, **storage_of(name, self.folder)}

    async def _wire(self) -> None:
        for name in self.fabric.sentinels:
            self._ports[name] = await _free_port()
        for dialer, listener in self.fabric.wires:
            name = f"{dialer}>{listener}"
            wire = self.wires[name] = FaultyWire(name, self._ports[listener], random.Random(f"{name} {self.seed}"))
            await wire.start()

    def _url(self, dialer: str, listener: str, kind: str) -> str:
        return f"ws://127.0.0.1:{self.wires[f'{dialer}>{listener}'].port}/{ATTACH}/{kind}"

    async def _break(self) -> None:
        begun = time.monotonic()
        for fault in self.faults:
            await asyncio.sleep(max(0.0, begun + fault.at - time.monotonic()))
            print(fault, flush=True)
            self._spawn(self._befall(fault))
        await asyncio.sleep(max(0.0, begun + self.seconds - time.monotonic()))

    def _mend(self) -> None:
        """Undo what is left of all faults; who is down comes up by itself."""
        for wire in self.wires.values():
            wire.heal()
        for process in self.processes.values():
            self._go_on(process)
            process.free_disk()
        self.healed_at = time.monotonic()

    async def _recover(self) -> None:
        """Wait until everybody has got through to everybody, and every message that was accepted is handled."""
        missing = await self._through(since=self.healed_at, within_s=RECOVER_S)
        print(f"{'not ' * bool(missing)}recovered {time.monotonic() - self.healed_at:.1f} s after the last fault")
        (self.folder / QUIET).touch()
        until = self.healed_at + HANDLED_S
        while self._verdict().lost and time.monotonic() < until:  # noqa: ASYNC110  # others handle it
            await asyncio.sleep(AGAIN_S)
        spent = time.monotonic() - self.healed_at
        print(f"all messages {'not ' * bool(self._verdict().lost)}handled {spent:.1f} s after it")

    async def _through(self, since: float, within_s: float) -> list[str]:
        until = time.monotonic() + within_s
        pairs = [f"{who} to {agent}@fame.fabric" for who in self.fabric.callers for agent in self.fabric.agents]
        while time.monotonic() < until:
            notes = self._notes()
            asked = {f"{note['who']} to {note['to']}" for note in notes if note["what"] == "begin"}
            missing = sorted({*self._verdict(since).unrecovered, *(set(pairs) - asked)})
            if not missing:
                return []
            await asyncio.sleep(1.0)
        return missing

    async def _stop(self) -> None:
        callers = [self.processes[name] for name in self.fabric.callers if name in self.processes]
        for process in self.processes.values():
            process.signal(signal.SIGCONT)
        await asyncio.gather(*(process.stop(END_S) for process in callers))
        others = [process for process in self.processes.values() if process not in callers]
        await asyncio.gather(*(process.stop(END_S) for process in others))
        await asyncio.gather(*(wire.close() for wire in self.wires.values()))
        for spool in self._spools:
            spool.close()

    # What goes wrong

    async def _befall(self, fault: Fault) -> None:
        self.notebook.write(time.monotonic(), "fault", kind=fault.kind, target=fault.target)
        wire, process = self.wires.get(fault.target), self.processes.get(fault.target)
        if wire is not None:
            await self._befall_wire(fault, wire)
        elif process is not None and fault.kind == "kill":
            self._down.add(process.name)
            self._kill(process)
            await asyncio.sleep(fault.seconds)
            self._down.discard(process.name)
        elif process is not None and fault.kind == "stop" and process.stopped_at is None and process.runs:
            process.stopped_at = time.monotonic()
            process.signal(signal.SIGSTOP)
            await asyncio.sleep(fault.seconds)
            self._go_on(process)
        elif process is not None and fault.kind == "disk full":
            process.fill_disk()
            await asyncio.sleep(fault.seconds)
            process.free_disk()

    async def _befall_wire(self, fault: Fault, wire: FaultyWire) -> None:
        if fault.kind == "reset":
            wire.reset()
        elif fault.kind == "half-open":
            wire.deafen(fault.way)
        elif fault.kind == "garbage":
            wire.litter(random.Random(f"{fault.at}").randbytes(GARBAGE_BYTES))
        else:
            wire.delay_s, wire.cutting = (DELAY_S, 0.0) if fault.kind == "delay" else (0.0, CUT_PROBABILITY)
            await asyncio.sleep(fault.seconds)
            wire.heal()

    def _kill(self, process: ChaosProcess) -> None:
        self._go_on(process)
        if process.runs:
            process.kill()
            self.notebook.write(time.monotonic(), "killed", life=process.life)

    def _go_on(self, process: ChaosProcess) -> None:
        if process.stopped_at is not None:
            now = time.monotonic()
            self.notebook.write(now, "still", life=process.life, s=now - process.stopped_at)
            process.stopped_at = None
            process.signal(signal.SIGCONT)

    # What goes on beside it

    def _spawn(self, what: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(what)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.result()

    async def _look_after(self) -> None:
        """Start again whoever has ended, as an operator would; who ended by himself is remembered."""
        while True:
            for process in self.processes.values():
                if process.has_ended_by_itself():
                    print(f"{process.name} ended by itself with {process.ends[-1]}", flush=True)
                    self.notebook.write(time.monotonic(), "killed", life=process.life)
                    await asyncio.sleep(AGAIN_S)
                if not process.runs and process.name not in self._down:
                    await process.start()
            await asyncio.sleep(LOOK_S)

    async def _measure(self) -> None:
        while True:
            for process in self.processes.values():
                process.measure()
            await asyncio.sleep(MEASURE_S)

    def _notes(self) -> list[dict[str, object]]:
        return read_notes(sorted(self.folder.glob("*.notes")))

    def _handled(self) -> list[Handling]:
        return read_handled(sorted(self.folder.glob("*.handled")))

    def _verdict(self, since: float | None = None) -> Verdict:
        return judge(self._notes(), self._handled(), time.monotonic(), since, self._kept_for)

    def report(self) -> dict[str, object]:
        """Return what came of it."""
        verdict = self._verdict(self.healed_at)
        dead, left = left_in(self.folder)
        verdict.bugs += [f"dead letter at {each}" for each in dead]
        ends = {name: process.ends for name, process in self.processes.items() if process.ends}
        for log in sorted(self.folder.glob("*.log")):
            tracebacks = log.read_bytes().count(b"Traceback (most recent call last)")
            if tracebacks:
                verdict.bugs.append(f"{tracebacks} tracebacks in {log.name}")
        processes = list(self.processes.values())
        return as_json(self.seed, self.seconds, self.fabric, self.faults, verdict, ends, processes, left)


async def _free_port() -> int:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = int(server.sockets[0].getsockname()[1])
    server.close()
    await server.wait_closed()
    return port


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0, help="minutes in which things go wrong (default: 1)")
    parser.add_argument("--seed", type=int, help="of the faults and the fabric; a fresh one if not said")
    parser.add_argument("--output", type=Path, help="file for the report, JSON")
    parser.add_argument("--folder", type=Path, help="keep configs, logs and notes there")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(100_000)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="fame-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    print(f"seed {seed}: run it again with  make chaos MINUTES={options.minutes:g} SEED={seed}", flush=True)
    run = Run(seed, options.minutes * 60, folder)
    try:
        asyncio.run(run.go())
    except asyncio.CancelledError:
        print(f"interrupted; configs, logs and notes: {folder}")
        return 130
    report = run.report()
    print(as_table(report))
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if report["good"] and options.folder is None:
        shutil.rmtree(folder)
    else:
        print(f"configs, logs and notes: {folder}")
    return 0 if report["good"] else 1


if __name__ == "__main__":
    sys.exit(main())
