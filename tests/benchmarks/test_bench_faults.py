"""The benchmark of faults as a user runs it, in its short form: callers know at once, and nobody waits for ever."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from bench_faults import FAULTS, table

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "bench_faults.py"
LIMIT_S = 90.0
AT_ONCE_S = 1.0


@pytest.mark.e2e
@pytest.mark.skipif(sys.platform != "linux", reason="reads memory from /proc")
def test_each_fault_is_known_at_once_and_mended_soon(tmp_path: Path) -> None:
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, str(SCRIPT), "--quick", "--json"]

    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=LIMIT_S, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    found = {fault: rows["fame"] for fault, rows in json.loads(done.stdout)["results"].items()}
    assert list(found) == list(FAULTS)
    killed, cut, restarted, poisoned, crowd, many, storm = found.values()
    for row in (killed, cut, restarted):
        assert row["unknown"] == 0
        assert row["last_s"] < AT_ONCE_S
        assert all(reason.startswith("LinkLost: ") for reason in row["reasons"])
    assert cut["back_s"] < AT_ONCE_S
    assert restarted["back_s"] < 10
    assert poisoned["deaf_s"] < AT_ONCE_S
    assert crowd["answered"] == crowd["calls"] == 60
    assert many["answered"] == many["calls"] == 1000
    assert many["near_mib"] < 40
    assert storm["links"] == 100
    assert storm["last_s"] < 10
    assert list(tmp_path.iterdir()) == []


def test_a_table_has_a_line_for_each_make_and_the_reasons_below_it() -> None:
    rows = {"fame": {"last_s": 0.1, "reasons": ["LinkLost: gone"]}, "naylence": {"failed": "isn't there"}}
    assert table({"agent killed": rows}) == [
        "agent killed",
        "  fame      last_s 0.1",
        "            LinkLost: gone",
        "  naylence  failed isn't there",
    ]
