"""The benchmark of load as a user runs it, for a moment; and how it tells growth."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from bench_load import Weighed

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "bench_load.py"
LIMIT_S = 90.0


@pytest.mark.e2e
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_quick_run_holds_its_calls_and_none_fails() -> None:
    command = [sys.executable, str(SCRIPT), "--quick"]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr
    assert "failed: none" in done.stdout
    assert "calls, " in done.stdout


class Growing:
    """Be a process that grows by two MiB a minute, after a first minute in which it grows by sixty."""

    def __init__(self) -> None:
        self.minutes = 0.0

    def rss_mib(self) -> float:
        """Return its memory."""
        return 60 * min(self.minutes, 1.0) + 2 * self.minutes


def test_growth_is_told_from_the_size_something_comes_to() -> None:
    process = Growing()
    weighed = Weighed(process)  # type: ignore[arg-type]  # all it asks of one
    for tick in range(0, 1200, 10):
        process.minutes = tick / 60
        weighed.points.append((float(tick), process.rss_mib()))
    facts = weighed.facts()
    assert facts["mib_a_minute"] == pytest.approx(2.0, abs=0.01)
    assert facts["settled_mib"] == pytest.approx(64.0, abs=0.1)
