"""The benchmark of the security profiles as a user runs it, with short measures; and what it makes of figures."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from bench_security import judge, ratio_lines, ratios
from report import spread

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "bench_security.py"
LIMIT_S = 90.0

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads CPU time and memory from /proc")


@pytest.mark.e2e
@needs_linux
def test_a_quick_run_measures_each_profile_and_leaves_nothing_behind(tmp_path: Path) -> None:
    env = {**os.environ, "TMPDIR": str(tmp_path), "FAME_NAYLENCE_PYTHON": "/nonexistent/python"}
    command = [sys.executable, str(SCRIPT), "--quick", "--json"]

    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=LIMIT_S, check=False)

    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    for profile in ("open", "gated", "overlay", "strict-overlay"):
        assert results["failed"][profile] == [{}]
        assert results["measures"][profile]["calls_64"]["median"] > 0
    assert set(results["ratios"]) == {"open", "gated", "overlay", "strict-overlay"}
    assert "has no Naylence" in results["missing"]["naylence overlay"]
    assert results["bars"] == []
    assert list(tmp_path.iterdir()) == []


def test_each_profile_is_compared_with_open_and_with_the_original_in_the_same_profile() -> None:
    rates = {"open": 1000.0, "overlay": 500.0, "naylence open": 10.0, "naylence overlay": 5.0}
    summaries = {name: {"calls_64": spread([rate])} for name, rate in rates.items()}

    found = ratios(summaries)

    assert found == {"open": {"open": 1.0, "naylence": 100.0}, "overlay": {"open": 0.5, "naylence": 100.0}}
    assert ratio_lines(found)[1].split() == ["overlay", "0.500", "x", "open,", "100", "x", "naylence"]


@pytest.mark.parametrize(("ratio", "met"), [(19.9, False), (20.0, True)])
def test_overlay_has_to_be_twenty_times_as_fast_as_the_original(ratio: float, met: bool) -> None:
    assert [verdict.is_met for verdict in judge({"overlay": {"naylence": ratio}})] == [met]


def test_without_the_original_there_is_no_bar() -> None:
    assert judge({"overlay": {"open": 0.5}}) == []
