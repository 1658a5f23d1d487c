"""The benchmark of messages as a user runs it, with short measures; and what it makes of figures."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from bench_messages import BACK, judged
from report import spread

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "bench_messages.py"
LIMIT_S = 120.0


@pytest.mark.e2e
@pytest.mark.skipif(sys.platform != "linux", reason="compares clocks of processes")
def test_a_quick_run_measures_each_and_leaves_nothing_behind(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--quick", "--json", "--folder", str(tmp_path)]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    measures = result["measures"]
    for name in ("fame", "sqlite3"):
        assert measures[name]["messages_s"]["median"] > 0
    for end in ("client", "agent"):
        assert 0 < measures["fame"][f"{end}_batch"]["median"] <= result["in_flight"]
    assert list(measures["back"]) == list(BACK)
    for row in measures["back"].values():
        assert row["ready_s"] > 0
        assert row["first_s"] > 0
    assert result["bars"] == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("rate", "plainly", "first_s", "met"),
    [
        (3_000.0, 7_000.0, 4.0, [True, True]),
        (2_999.0, 7_000.0, 6.0, [False, False]),
        (2_000.0, 4_000.0, 5.0, [True, True]),
    ],
)
def test_messages_are_held_against_their_bars(rate: float, plainly: float, first_s: float, met: list[bool]) -> None:
    summary = {
        "fame": {"messages_s": spread([rate])},
        "sqlite3": {"messages_s": spread([plainly])},
        "back": {"an agent, to be handled": {"ready_s": 1.0, "first_s": first_s}},
    }
    assert [verdict.is_met for verdict in judged(summary)] == met
