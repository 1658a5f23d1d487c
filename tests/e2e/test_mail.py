"""Messages as a user meets them: kept while their agent is away, dead when its code fails, and mended."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from interop_nodes import NodeProcess, environment, eventually, free_port

pytestmark = pytest.mark.e2e

FAME = [sys.executable, "-m", "fame_cli"]
ADDRESS = "post@fame.fabric"
WAIT_S = 30

AGENT = '''
import json
from pathlib import Path

from fame_cli import Agent


class Post(Agent):
    async def on_message(self, payload):
        """Take messages; those called bad only where there is a file `mended`."""
        with Path("tries").open("a") as tries:
            tries.write("x")
        if payload.get("bad") and not Path("mended").exists():
            raise ValueError("not today")
        with Path("taken").open("a") as taken:
            taken.write(json.dumps(payload) + "\\n")
'''


class Office:
    """Hold a sentinel with a mailbox, and an agent that comes and goes, both with files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        url = f"ws://127.0.0.1:{self.port}/fame/v1/attach/ws/downstream"
        path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
        self.env = environment({"HOME": str(folder), "FAME_DIRECT_ADMISSION_URL": url, "PYTHONPATH": path})
        self.processes: list[NodeProcess] = []
        (folder / "post.py").write_text(AGENT, encoding="utf-8")
        self._write("a1", kind="agent", agent={"import": "post:Post", "address": ADDRESS})
        self._write("s1", kind="sentinel", listen=f"127.0.0.1:{self.port}", mailboxes=[{"address": ADDRESS}])
        folder.chmod(0o700)

    def _write(self, name: str, **config: Any) -> None:
        text = json.dumps({"id": name, "storage": {"path": f"{name}.db"}, **config})
        (self.folder / f"{name}.yaml").write_text(text, encoding="utf-8")

    def start(self, kind: str, name: str) -> NodeProcess:
        words = [*FAME, kind, "--config", f"{name}.yaml", "--log-format", "json"]
        process = NodeProcess(name, words, env=self.env, cwd=self.folder)
        self.processes.append(process)
        process.wait_until(lambda: any("node_ready" in line for line in list(process.log)), f"{name} is ready")
        return process

    def run(self, *words: str, code: int = 0, **env: str) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [*FAME, *words],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env={**self.env, **env},
            timeout=WAIT_S,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done

    def send(self, payload: Any, *words: str, **env: str) -> dict[str, Any]:
        done = self.run("send", ADDRESS, json.dumps(payload), "--durable", "-o", "json", *words, **env)
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    def mail(self, *words: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(self.run("mail", "ls", "-o", "json", *words).stdout)
        return rows

    def taken(self) -> list[Any]:
        path = self.folder / "taken"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def close(self) -> None:
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.join()


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """Give a sentinel that keeps messages for an agent that isn't there."""
    office = Office(tmp_path)
    try:
        office.start("sentinel", "s1")
        yield office
    finally:
        office.close()


def test_a_message_waits_in_the_mailbox_for_its_agent(office: Office) -> None:
    sent = office.send({"n": 1})
    assert sent["state"] == "delivered"
    [row] = office.mail()
    assert (row["id"], row["address"], row["box"], row["mailbox"]) == (sent["id"], ADDRESS, "out", True)
    assert [each["id"] for each in office.mail("--at", "s1", "--box", "mailbox")] == [sent["id"]]
    shown = json.loads(office.run("mail", "show", sent["id"][:8], "-o", "json").stdout)
    assert shown["payload"] == {"n": 1}
    held = office.run("mail", "ls", "--storage", "s1.db", code=3)
    assert "ask it over the fabric: fame mail ls --at" in held.stderr
    office.start("agent", "a1")
    eventually(lambda: office.taken() == [{"n": 1}], "the agent has it")
    eventually(lambda: not office.mail() and not office.mail("--at", ADDRESS), "nobody keeps it any more")


def test_a_dead_letter_is_handled_once_its_agent_is_mended(office: Office) -> None:
    agent = office.start("agent", "a1")
    sent = office.send({"bad": True})
    eventually(lambda: bool(office.mail("--at", ADDRESS, "--box", "dead")), "it is given up", within_s=WAIT_S)
    [row] = office.mail("--at", "/s1/a1", "--box", "dead")
    assert (row["id"], row["attempts"], row["origin"]) == (sent["id"], 5, "in")
    assert "not today" in row["reason"]
    assert (office.folder / "tries").read_text() == "x" * 5
    assert office.taken() == []
    agent.kill()
    agent.join()
    (office.folder / "mended").touch()
    office.start("agent", "a1")
    assert office.run("mail", "retry", sent["id"], "--at", ADDRESS).stderr == f"fame: {sent['id']} waits again\n"
    eventually(lambda: office.taken() == [{"bad": True}], "it is handled")
    assert office.mail("--at", ADDRESS) == []


def test_what_finds_no_sentinel_goes_out_with_the_next_message(office: Office) -> None:
    [sentinel] = office.processes
    sentinel.kill()
    sentinel.join()
    mine = {"FAME_STORAGE_PATH": str(office.folder / "mine.db")}
    first = office.send({"n": 1}, **mine)
    assert first["state"] == "kept"
    assert [row["id"] for row in office.mail("--storage", "mine.db")] == [first["id"]]
    office.start("sentinel", "s1")
    assert office.send({"n": 2}, **mine)["state"] == "delivered"
    assert office.mail("--storage", "mine.db") == []
    office.start("agent", "a1")
    eventually(lambda: office.taken() == [{"n": 1}, {"n": 2}], "the agent has both, in order")
