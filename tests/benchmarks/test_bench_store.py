"""The benchmark of the store as a user runs it, with short measures; and what it makes of figures."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from bench_store import judged
from report import spread

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "bench_store.py"
LIMIT_S = 60.0


@pytest.mark.e2e
def test_a_quick_run_measures_each_and_leaves_nothing_behind(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--quick", "--json", "--folder", str(tmp_path)]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    for name in ("fame", "sqlite3", "fsync"):
        assert result["measures"][name]["messages_s"]["median"] > 0
    assert 1 <= result["measures"]["fame"]["batch"]["median"] <= result["in_flight"]
    assert result["measures"]["fame"]["load_s"]["median"] > 0
    assert result["bars"] == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("rate", "load_s", "met"), [(2_000.0, 1.0, [True, False, True]), (900.0, 6.0, [False] * 3)])
def test_the_store_is_held_against_its_bars(rate: float, load_s: float, met: list[bool]) -> None:
    summary = {
        "fame": {"messages_s": spread([rate]), "load_s": spread([load_s])},
        "sqlite3": {"messages_s": spread([3_000.0])},
    }
    assert [verdict.is_met for verdict in judged(summary)] == met
