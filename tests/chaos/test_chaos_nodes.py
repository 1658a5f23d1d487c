"""The processes of a chaos run: each can be killed, stopped and kept from writing, and its memory is seen."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import waiting
from chaos_nodes import ChaosProcess

WRITER = """
import pathlib, time
while True:
    try:
        with pathlib.Path("kept").open("ab") as file:
            file.write(b"x")
    except OSError as error:
        print("full", flush=True)
    time.sleep(0.01)
"""


def run(folder: Path, body: Callable[[ChaosProcess], Awaitable[None]], program: str = WRITER) -> None:
    async def main() -> None:
        process = ChaosProcess("w", [sys.executable, "-c", program], folder)
        await process.start()
        try:
            async with asyncio.timeout(20):
                await body(process)
        finally:
            process.signal(signal.SIGCONT)
            process.kill()
            await process.stop(5)

    asyncio.run(main())


async def until(check: Callable[[], bool]) -> None:
    async def look() -> bool | None:
        return check() or None

    await waiting.eventually(look, within_s=10)


def test_a_full_disk_keeps_a_process_from_writing_and_not_from_living_or_talking(tmp_path: Path) -> None:
    kept, log = tmp_path / "kept", tmp_path / "w.log"

    async def body(process: ChaosProcess) -> None:
        await until(kept.exists)
        process.fill_disk()
        await until(lambda: log.exists() and b"full" in log.read_bytes())
        size = kept.stat().st_size
        process.free_disk()
        await until(lambda: kept.stat().st_size > size)
        assert process.runs

    run(tmp_path, body)


def test_a_killed_process_begins_another_life_and_has_not_ended_by_itself(tmp_path: Path) -> None:
    async def body(process: ChaosProcess) -> None:
        def is_there() -> bool:
            process.measure()
            return bool(process.rss) and process.rss[-1][1] > 1_000_000

        await until(is_there)
        process.kill()
        await until(lambda: not process.runs)
        assert not process.has_ended_by_itself()
        await process.start()
        assert process.runs
        assert len(set(process.lives)) == 2
        assert process.longest[-1][1] > 1_000_000

    run(tmp_path, body)


def test_a_process_that_ends_by_itself_is_told_of_once(tmp_path: Path) -> None:
    async def body(process: ChaosProcess) -> None:
        await until(lambda: not process.runs)
        assert process.has_ended_by_itself()
        assert not process.has_ended_by_itself()
        assert process.ends == [3]

    run(tmp_path, body, "raise SystemExit(3)")


def test_the_slope_is_that_of_the_longest_life_without_its_beginning(tmp_path: Path) -> None:
    process = ChaosProcess("w", [], tmp_path)
    process.longest = [(0.0, 0), *((t, 50_000_000 + 100_000 * int(t)) for t in (10.0, 20.0, 40.0))]
    assert process.slope_mb_min() == pytest.approx(6.0)
