"""`fame reload`: which of the nodes that run here are meant, and what is left of those that don't."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fame_runner import Fame

from fame_cli.cli import running
from fame_cli.cli.fabric.processes import Process, myself
from fame_cli.cli.running import Running, all_running, noted
from fame_cli.config.reload import Outcome


@pytest.fixture
def root(tmp_path: Path, fame: Fame) -> Path:
    fame.env = {"XDG_STATE_HOME": str(tmp_path)}
    return tmp_path / "fame"


def put(root: Path, pid: int, file: str, node: str = "", birth: str | None = None) -> Path:
    """Say that a process runs a node: this one, unless it is said to be born at another time."""
    path = running.path_of(root, pid)
    path.parent.mkdir(parents=True, exist_ok=True)
    state = Running(os.getpid(), myself().birth if birth is None else birth, "sentinel", file, node)
    running.Note(path, state).write()
    return path


def test_a_node_is_known_while_it_runs_and_only_to_its_user(root: Path) -> None:
    env = {"XDG_STATE_HOME": str(root.parent)}
    with noted(env, "agent", Path("a.yaml"), "a1") as note:
        [state] = all_running(root)
        assert (state.file, state.name, state.process) == (str(Path("a.yaml").resolve()), "a1", myself())
        path = running.path_of(root, os.getpid())
        assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        note.reloaded(Outcome(("peers",)))
        [state] = all_running(root)
        assert (state.reloads, state.outcome) == (1, Outcome(("peers",)))
    assert all_running(root) == []
    assert not path.exists()


@pytest.mark.parametrize("env", [{}, {"XDG_STATE_HOME": "/dev/null/nowhere"}])
def test_a_node_runs_where_nothing_can_be_written_down(env: dict[str, str]) -> None:
    with noted(env, "agent", Path("a.yaml"), "") as note:
        note.reloaded(Outcome())


def test_a_node_without_a_file_is_not_known(root: Path) -> None:
    with noted({"XDG_STATE_HOME": str(root.parent)}, "agent", None, "a1"):
        assert all_running(root) == []


def test_a_process_that_has_ended_is_not_taken_for_another_with_its_pid(root: Path) -> None:
    path = put(root, 1, "/a.yaml", birth="long ago")
    path.with_name("2.json").write_text("{")
    assert all_running(root) == []
    assert not list(path.parent.iterdir())
    assert Process(os.getpid(), "long ago") != myself()


def test_nothing_runs(fame: Fame, root: Path) -> None:
    result = fame("reload")
    assert (result.exit_code, result.stderr) == (
        2,
        "fame: nothing runs here from a file; nodes without one have nothing to read again\n",
    )
    result = fame("reload", "a.yaml")
    assert (result.exit_code, result.stderr) == (
        2,
        "fame: nothing runs here from a.yaml; start it: fame up -d a.yaml\n",
    )


def test_of_several_files_one_has_to_be_named(fame: Fame, root: Path) -> None:
    put(root, 1, "/a.yaml", "a1")
    put(root, 2, "/b.yaml", "b1")
    result = fame("reload")
    assert result.stderr == "fame: 2 files run here: /a.yaml, /b.yaml; name one: fame reload /a.yaml\n"
    result = fame("reload", "/a.yaml", "--node", "b1")
    assert (result.exit_code, result.stderr) == (2, "fame: /a.yaml has no node b1 that runs; it has a1\n")


@pytest.mark.parametrize("name", ["1.json", "notes"])
def test_a_pipe_in_the_state_folder_holds_nobody_up(root: Path, name: str) -> None:
    (root / "nodes").mkdir(parents=True)
    os.mkfifo(root / "nodes" / name)
    argv = [sys.executable, "-m", "fame_cli", "reload"]  # a process, so that it can be ended if it waits
    env = {**os.environ, "XDG_STATE_HOME": str(root.parent)}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "nothing runs here from a file" in done.stderr


def test_what_is_no_file_of_ours_in_the_state_folder_says_nothing(root: Path, tmp_path: Path) -> None:
    path = put(root, 1, "/a.yaml", "a1")
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(elsewhere)
    path.with_name("2.json").write_bytes(elsewhere.read_bytes() + b" " * 100_000)
    path.with_name("3.json").write_text("[" * 60_000)
    path.with_name("4.json").write_bytes(b'{"kind": "\xff"}')
    path.with_name("5.json").mkdir()
    assert all_running(root) == []
    assert elsewhere.exists()


def test_a_link_in_the_place_of_a_note_is_replaced_and_not_written_through(root: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    path = running.path_of(root, 1)
    path.parent.mkdir(parents=True)
    for name in ("1.json", "1.new"):
        path.with_name(name).symlink_to(victim)
    put(root, 1, "/a.yaml", "a1")
    assert [state.name for state in all_running(root)] == ["a1"]
    assert (victim.read_text(), path.is_symlink()) == ("precious", False)
