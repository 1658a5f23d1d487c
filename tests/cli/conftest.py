"""Fixtures of the command-line tests: a runner over a stub client, and the way to start `fame` as a process."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from fame_runner import Fame

import fame_cli


@pytest.fixture
def fame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fame:
    """Give `fame` on a stub, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return Fame()


@pytest.fixture
def fame_process(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Sequence[str]]:
    """Give the argv that runs `fame` on a stub as a process of its own, installed or not."""
    monkeypatch.setenv("PYTHONPATH", str(Path(fame_cli.__file__).parents[1]))
    script = str(Path(__file__).with_name("stub_fabric.py"))
    return lambda *args: [sys.executable, "-W", "error", script, *args]
