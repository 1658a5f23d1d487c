"""The benchmark of very many, with less of everything: it runs, loses nothing and says so."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(sys.platform != "linux", reason="reads memory where Linux tells it")]

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "bench_scale.py"


def test_the_quick_form_answers_every_call_and_writes_what_it_printed(tmp_path: Path) -> None:
    output = tmp_path / "scale.json"
    command = [sys.executable, str(SCRIPT), "--quick", "--output", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(output.read_text(encoding="utf-8"))
    agents, clients = told["size"]["agents"], told["size"]["clients"] * told["size"]["calls_a_client"]
    assert told["crowd"]["storm"]["attached"] == told["crowd"]["idle"]["alive"] == agents
    for called in told["crowd"]["clients_beside"].values():
        assert (called["calls"], called["lost"]) == (clients, 0)
    assert told["routes"]["addresses"] == told["size"]["addresses"]
    assert told["slow_reader"]["grown_bytes"] > 0
    assert [line.split("  ")[0] for line in done.stdout.splitlines()] == [
        line["name"] if not line["name"].startswith("  ") else "" for line in told["table"]
    ]
