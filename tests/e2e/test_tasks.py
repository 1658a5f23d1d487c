"""Tasks as a user meets them: followed over a killed agent, cancelled by Ctrl-C, shown on a terminal."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from interop_nodes import NodeProcess, environment, eventually, free_port

pytestmark = pytest.mark.e2e

FAME = [sys.executable, "-m", "fame_cli"]
ADDRESS = "work@fame.fabric"
WAIT_S = 30

AGENT = '''
import asyncio
import os
from pathlib import Path

from fame_cli import Agent, task, this_task


class Work(Agent):
    @task
    async def climb(self, n: int):
        """Count to n; from 3 on only where there is a file `go`."""
        last = this_task().last or {"done": 0}
        for step in range(last["done"], n):
            while step == 3 and not Path("go").exists():
                await asyncio.sleep(0.01)
            yield {"done": step + 1, "total": n, "pid": os.getpid()}

    @task
    async def hold(self):
        try:
            await asyncio.sleep(600)
        finally:
            Path("stopped").touch()
'''


class Desk:
    """Hold a sentinel and an agent whose tasks are in a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"ws://127.0.0.1:{self.port}/fame/v1/attach/ws/downstream"
        self.env = environment({"HOME": str(folder), "FAME_DIRECT_ADMISSION_URL": self.url, "PYTHONPATH": self._path()})
        self.processes: list[NodeProcess] = []
        (folder / "work.py").write_text(AGENT, encoding="utf-8")
        agent = {"import": "work:Work", "address": ADDRESS}
        config = {"kind": "agent", "id": "w1", "agent": agent, "storage": {"profile": "sqlite", "path": "w1.db"}}
        (folder / "w1.yaml").write_text(json.dumps(config), encoding="utf-8")
        folder.chmod(0o700)

    def _path(self) -> str:
        return os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])

    def start(self, *words: str) -> NodeProcess:
        process = NodeProcess(words[0], [*FAME, *words, "--log-format", "json"], env=self.env, cwd=self.folder)
        self.processes.append(process)
        process.wait_until(lambda: any("node_ready" in line for line in list(process.log)), f"{words[0]} is ready")
        return process

    def agent(self) -> NodeProcess:
        return self.start("agent", "--config", "w1.yaml")

    def open(self, *words: str, **more: Any) -> "subprocess.Popen[str]":
        piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
        return subprocess.Popen([*FAME, "task", *words], text=True, cwd=self.folder, env=self.env, **piped)

    def run(self, *words: str, code: int = 0) -> str:
        done = self.open(*words)
        out, err = done.communicate(timeout=WAIT_S)
        assert done.returncode == code, err
        return out

    def state(self, task_id: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("get", ADDRESS, task_id, "-o", "json"))
        return found

    def close(self) -> None:
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.join()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Give a sentinel with an agent."""
    desk = Desk(tmp_path)
    try:
        desk.start("sentinel", "--listen", f"127.0.0.1:{desk.port}", "--id", "s1")
        yield desk
    finally:
        desk.close()


def test_a_task_goes_on_after_its_agent_was_killed_and_who_follows_it_gets_the_result_once(desk: Desk) -> None:
    agent = desk.agent()
    with desk.open("run", ADDRESS, "climb", "n=5", "--id", "t1", "-o", "ndjson") as follower:
        assert follower.stdout is not None
        before = [json.loads(follower.stdout.readline()) for _ in range(4)]
        agent.kill()
        agent.join()
        second = desk.agent()
        (desk.folder / "go").touch()
        out, err = follower.communicate(timeout=WAIT_S)
        assert follower.returncode == 0, err
    events = [*before, *(json.loads(line) for line in out.splitlines())]
    updates = [event["update"] for event in events if "update" in event]
    assert [(update["done"], update["pid"]) for update in updates] == [
        *((step, agent.pid) for step in (1, 2, 3)),
        *((step, second.pid) for step in (4, 5)),
    ]
    assert (events[-1]["state"], events[-1]["value"]["done"]) == ("completed", 5)
    assert any("task_resumed" in line for line in second.log)


def test_what_is_over_is_known_after_an_orderly_end_and_what_is_not_goes_on(desk: Desk) -> None:
    agent = desk.agent()
    desk.run("run", ADDRESS, "climb", "n=2", "--id", "done")
    desk.run("run", ADDRESS, "climb", "n=5", "--id", "half", "--detach")
    eventually(lambda: len(desk.state("half")["updates"]) == 3, "three steps were told")
    os.kill(agent.pid, signal.SIGTERM)
    agent.join()
    assert not any("task_failed" in line for line in agent.log)
    desk.agent()
    assert desk.state("done")["value"]["done"] == 2
    (desk.folder / "go").touch()
    assert json.loads(desk.run("watch", ADDRESS, "half"))["done"] == 5


def test_ctrl_c_cancels_what_is_followed_and_leaves_alone_what_is_watched(desk: Desk) -> None:
    desk.agent()
    with desk.open("run", ADDRESS, "hold", "--id", "t1") as follower:
        assert follower.stderr is not None
        assert follower.stderr.readline() == "t1: working\n"
        with desk.open("watch", ADDRESS, "t1") as watcher:
            assert watcher.stderr is not None
            watcher.stderr.readline()
            watcher.send_signal(signal.SIGINT)
            assert watcher.wait(WAIT_S) == 130
        assert desk.state("t1")["state"] == "working"
        follower.send_signal(signal.SIGINT)
        _, err = follower.communicate(timeout=WAIT_S)
        assert (follower.returncode, err) == (130, "fame: t1 was cancelled\n")
    assert desk.state("t1")["state"] == "canceled"
    eventually((desk.folder / "stopped").exists, "the method was told")


def test_on_a_terminal_there_is_one_live_line_and_the_result_stays(desk: Desk) -> None:
    desk.agent()
    (desk.folder / "go").touch()
    ours, theirs = pty.openpty()
    with desk.open("run", ADDRESS, "climb", "n=4", "--id", "t1", stderr=theirs) as follower:
        out, _ = follower.communicate(timeout=WAIT_S)
        os.close(theirs)
        shown = os.read(ours, 65_536).decode()
        os.close(ours)
    assert json.loads(out)["done"] == 4
    assert "t1" in shown
    assert "━" in shown
    assert "100%" in shown
