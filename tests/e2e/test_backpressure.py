"""A reader that stops, three links away from the producer: the producer stops too, and nobody else notices."""

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from contextlib import aclosing, closing
from pathlib import Path

import pytest
from mesh_nodes import Mesh, MeshProcess, reached, run, until

from fame_cli import Client

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(sys.platform != "linux", reason="reads CPU time where Linux tells it"),
]

PAUSE_S = 1.5
FAR = "far@fame.fabric"


@pytest.fixture(params=["websockets", "picows"])
def line(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Mesh]:
    """Give four sentinels in a line, and an agent at the last."""
    with closing(Mesh(tmp_path, transport=request.param)) as made:
        made.line(4)
        made.agent("far", "s4")
        made.wait_ready()
        yield made


def cpu_s(process: MeshProcess) -> float:
    """Return the CPU time a process has used so far."""
    fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def latest_s(client: Client, seconds: float) -> float:
    """Call for so long, and return how long the slowest call took."""
    slowest, end = 0.0, time.monotonic() + seconds
    while (begun := time.monotonic()) < end:
        assert await client.call(FAR, "add", x=1, y=2) == 3
        slowest = max(slowest, time.monotonic() - begun)
    return slowest


def test_a_reader_that_stops_stops_its_producer_and_slows_nobody_else(line: Mesh) -> None:
    async def body() -> None:
        async with line.client("s1") as reader, line.client("s1") as other:
            await reached(other, FAR)
            async with aclosing(reader.stream(FAR, "count", n=5_000_000)) as stream:
                assert [await anext(stream) for _ in range(100)] == list(range(100))
                agent = line.processes["far"]
                begun = time.monotonic()
                await until(lambda: time.monotonic() > begun + 0.5, "all windows are full")
                spent = cpu_s(agent)
                memory = [process.resident_bytes() for process in line.processes.values()]
                await until(lambda: time.monotonic() > begun + PAUSE_S, "the reader pauses")
                assert cpu_s(agent) - spent < 0.1
                assert await latest_s(other, 0.5) < 0.5
                grown = [p.resident_bytes() - b for p, b in zip(line.processes.values(), memory, strict=True)]
                assert max(grown) < 8 * 1024 * 1024
                assert [await anext(stream) for _ in range(50_000)] == list(range(100, 50_100))
            await asyncio.gather(*(other.call(FAR, "who") for _ in range(20)))

    run(body())
