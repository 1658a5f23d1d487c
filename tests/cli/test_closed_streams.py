"""Standard streams that the caller has closed, or that can't be written."""

import os
import subprocess
import sys

import pytest

FAME = f"{sys.executable} -m fame_cli"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (f"{FAME} --version >&-", 0),
        (f"{FAME} config check nowhere.yaml 2>&-", 3),
        (f"{FAME} config check nowhere.yaml 2>/dev/full", 3),
        (f"{FAME} config schema >/dev/full", 1),
        (f"{FAME} call x@y add --json - <&- --url ws://127.0.0.1:1/fame/v1/attach/ws/downstream", 2),
    ],
)
def test_a_closed_stream_changes_no_exit_code(line: str, code: int) -> None:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=30, check=False, env=env)
    assert (done.returncode, "Traceback" in done.stderr, "internal" in done.stderr) == (code, False, False), done.stderr
