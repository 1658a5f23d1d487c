"""The benchmark as a user runs it: real chains, short measures."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from interop_nodes import eventually

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "bench_speed.py"
LIMIT_S = 60.0

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(sys.platform != "linux", reason="reads CPU time and memory from /proc"),
]


def command(*arguments: str) -> list[str]:
    return [sys.executable, str(SCRIPT), "--quick", *arguments]


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """Return variables by which whatever a run starts can be told from all other processes."""
    return {**os.environ, "TMPDIR": str(tmp_path)}


def running_in(folder: Path) -> Iterator[int]:
    """Yield the processes whose variables name a folder."""
    mark = f"TMPDIR={folder}".encode()
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            variables = path.read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended, or isn't ours
        if mark in variables:
            yield int(path.parent.name)


def test_a_quick_run_measures_everything_and_leaves_nothing_behind(env: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(
        command("--only", "fame,tcp", "--json"), env=env, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )

    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    for name in ("fame", "tcp"):
        contender = results["contenders"][name]
        assert contender["failed"] == [{}]
        assert contender["missing"] is None
        assert len(contender["measures"]) == 19
        assert all(measure["median"] >= 0 for measure in contender["measures"].values())
    assert {(bar["measure"], bar["against"]) for bar in results["bars"]} == {
        ("p50_1_us", "tcp"),
        ("p99_half_us", "p50_half_us"),
        ("large_mb", "tcp"),
    }
    assert list(running_in(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []


def test_a_contender_that_cannot_be_had_is_shown_with_the_reason(env: dict[str, str]) -> None:
    env["FAME_NAYLENCE_PYTHON"] = "/nonexistent/python"

    done = subprocess.run(
        command("--only", "naylence"), env=env, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )

    assert done.returncode == 0, done.stderr
    assert "naylence: not measured: FAME_NAYLENCE_PYTHON=/nonexistent/python has no Naylence" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_stops_what_it_has_started(
    number: signal.Signals, env: dict[str, str], tmp_path: Path
) -> None:
    with subprocess.Popen(command("--only", "tcp", "--rounds", "100"), env=env, stderr=subprocess.PIPE) as run:
        try:
            eventually(lambda: len(list(running_in(tmp_path))) == 5, "the driver and a chain of four run")
            run.send_signal(number)
            run.wait(LIMIT_S)
        finally:
            run.kill()

    assert run.returncode == 128 + number
    assert list(running_in(tmp_path)) == []
