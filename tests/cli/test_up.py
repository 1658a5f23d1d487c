"""`fame up`, `ps`, `logs` and `down` on stand-ins: small real processes that log the lines nodes log."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from fame_runner import Fame

from fame_cli.cli.fabric import processes, state
from fame_cli.cli.fabric.launch import NodeDied, stop_nodes
from fame_cli.cli.fabric.logs import LogLine, Tail, merged, parse, spans
from fame_cli.cli.fabric.plan import Task, plan
from fame_cli.cli.fabric.processes import Process
from fame_cli.cli.fabric.state import FabricState, NodeState
from fame_cli.cli.up import run
from fame_cli.config.load import fabric_nodes
from fame_cli.errors import ConfigError, DeadlineExceeded, UsageError

ROOT = Path(__file__).parents[2]

STAND_IN = """
import datetime, json, signal, sys

mode, name, place = sys.argv[1:]

def log(event, **facts):
    moment = datetime.datetime.now(datetime.timezone.utc).isoformat()
    print(json.dumps({"ts": moment, "level": "info", "event": event, **facts}), file=sys.stderr, flush=True)

def end(number, frame):
    log("node_stopped", node_id=name)
    sys.exit(0)

signal.signal(signal.SIGTERM, signal.SIG_IGN if mode == "stubborn" else end)
if mode == "dies":
    log("node_started", node_id=name)
    print("fame: listen: can't listen on 127.0.0.1:8000; choose another port", file=sys.stderr, flush=True)
    sys.exit(3)
if mode == "lonely":
    log("node_started", node_id=name)
elif mode != "silent":
    log("node_ready", node_id=name, kind="sentinel", listen=place)
while True:
    signal.pause()
"""

FOREGROUND = """
import json, os, sys
from pathlib import Path
from fame_cli.cli.fabric.plan import Task
from fame_cli.cli.up import run

tasks = [Task(name, kind, tuple(argv)) for name, kind, argv in json.loads(sys.argv[2])]
sys.exit(run(tasks, name="lab", file=Path(sys.argv[1]), env=dict(os.environ)))
"""


@pytest.fixture
def env(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Give the variables of a run with a state folder of its own; whatever it leaves running is stopped."""
    variables = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state"), "PATH": os.environ["PATH"]}
    variables["PYTHONPATH"] = str(ROOT)
    yield variables
    for known in state.all_states(state.state_root(variables)):
        stop_nodes(known.nodes, hurry=lambda: True)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Give the path of a fabric file; stand-ins don't read it."""
    return tmp_path / "fabric.yaml"


@pytest.fixture
def console(fame: Fame, env: dict[str, str]) -> Fame:
    """Give `fame` with those variables."""
    fame.env = env
    return fame


def stand_in(name: str, mode: str = "ready", *, kind: str = "sentinel", needs: tuple[str, ...] = ()) -> Task:
    """Return a task that runs a stand-in: ready, silent, lonely, stubborn or dies."""
    place = f"{name}@fame.fabric" if kind == "agent" else "127.0.0.1:1"
    argv = (sys.executable, "-S", "-E", "-c", STAND_IN, mode, name, place)
    return Task(name, kind, argv, place, frozenset(needs))


def start_all(*tasks: Task, file: Path, env: Mapping[str, str], wait_s: float = 30) -> FabricState:
    """Bring stand-ins up in the background and return what is written down of them."""
    assert run(tasks, name="lab", file=file, env=env, detach_within_s=wait_s) == 0
    return next(known for known in state.all_states(state.state_root(env)) if known.file == str(file))


# --- processes -------------------------------------------------------------------------------------------------------


def test_a_pid_that_was_given_out_again_is_somebody_else() -> None:
    """Were it not, the next line would end this test run."""
    stranger = Process(os.getpid(), "another birth")
    assert not processes.is_running(stranger)
    processes.stop([stranger])


def test_a_process_has_a_session_of_its_own(tmp_path: Path, env: dict[str, str]) -> None:
    """So that a Ctrl-C in the terminal of `fame up` doesn't reach it."""
    started = processes.start(stand_in("s1").argv, env, tmp_path / "log")
    try:
        assert os.getsid(started.pid) == started.pid
    finally:
        processes.stop([started], hurry=lambda: True)


def test_a_log_is_for_its_user_alone(tmp_path: Path, env: dict[str, str]) -> None:
    started = processes.start(stand_in("s1").argv, env, tmp_path / "log")
    processes.stop([started], hurry=lambda: True)
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


def test_a_process_that_does_not_end_is_killed(file: Path, env: dict[str, str]) -> None:
    (node,) = start_all(stand_in("s1", "stubborn"), file=file, env=env).nodes
    processes.stop([node.process], grace_s=0.1)
    assert not processes.is_running(node.process)


def test_an_exit_code_is_negative_for_a_signal(file: Path, env: dict[str, str]) -> None:
    (node,) = start_all(stand_in("s1"), file=file, env=env).nodes
    os.kill(node.pid, signal.SIGKILL)
    os.waitid(os.P_PID, node.pid, os.WEXITED | os.WNOWAIT)
    assert processes.exit_code(node.process) == -signal.SIGKILL


# --- logs ------------------------------------------------------------------------------------------------------------


def test_a_line_counts_once_it_is_complete(tmp_path: Path) -> None:
    log = tmp_path / "log"
    tail = Tail(log)
    assert tail.read() == []
    log.write_text("one\ntw")
    assert [line.text for line in tail.read()] == ["one"]
    log.write_text("one\ntwo\n")
    assert [line.text for line in tail.read()] == ["two"]


def test_the_last_line_needs_no_end(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("one\ntwo")
    assert [line.text for line in Tail(tmp_path / "log").read(is_last=True)] == ["one", "two"]


def test_a_log_that_was_cut_short_is_read_from_its_beginning(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("something long\n")
    tail = Tail(log)
    tail.read()
    log.write_text("new\n")
    assert [line.text for line in tail.read()] == ["new"]


def test_an_event_is_told_from_other_output() -> None:
    line = parse('{"ts": "2026-01-01T00:00:00Z", "level": "info", "event": "link_attached", "node": "a1"}')
    assert (line.event, line.facts) == ("link_attached", {"node": "a1"})


@pytest.mark.parametrize("text", ["Traceback (most recent call last):", "{not json", "{}", '{"event": 3}', "[" * 9999])
def test_what_is_no_event_is_text(text: str) -> None:
    assert parse(text) == LogLine(text)


def test_a_line_for_a_person_holds_name_event_and_facts() -> None:
    line = LogLine(
        "", "link_failed", "warning", "", {"url": "ws://h", "reason": "no one", "nodes": ["a", "b"], "x": ""}
    )
    shown = "".join(text for text, _ in spans("s1", "cyan", 4, line))
    assert shown == "s1   │ --:--:--.--- warning link_failed          url=ws://h reason='no one' nodes=a,b"


def test_control_characters_in_a_log_are_shown_not_obeyed() -> None:
    for line in (parse("a\x1b[2Jb"), parse('{"event": "x\\u001b[2J", "fact": "\\u001b[2J\\nfake"}')):
        assert "".join(text for text, _ in spans("s1", "", 2, line)).isprintable()


def test_lines_of_several_nodes_are_merged_by_time() -> None:
    early, late, trace = LogLine("1", moment="1"), LogLine("3", moment="3"), LogLine("after 1")
    assert [line for _, line in merged({"b": [late], "a": [early, trace]})] == [early, trace, late]


# --- plan ------------------------------------------------------------------------------------------------------------

FABRIC = """
kind: fabric
name: lab
nodes:
  - {kind: agent, id: a1, upstream: {direct_url: "ws://localhost:8001/fame/v1/attach/ws/downstream"},
     agent: {import: "m:A", address: a1@fame.fabric}}
  - {kind: client, id: c1}
  - {kind: sentinel, id: s1, listen: 127.0.0.1:8000}
  - {kind: sentinel, id: s2, listen: 127.0.0.1:8001}
  - {kind: agent, id: a2, upstream: {direct_url: "wss://far.example/fame/v1/attach/ws/downstream"},
     agent: {import: "m:A", address: a2@fame.fabric}}
"""


def test_sentinels_come_first_and_an_agent_waits_for_its_own(file: Path) -> None:
    file.write_text(FABRIC)
    tasks = plan(fabric_nodes(file, env={}), file)
    assert [(task.name, set(task.needs)) for task in tasks] == [
        ("s1", set()),
        ("s2", set()),
        ("a1", {"s2"}),
        ("a2", set()),
    ]


def test_a_task_runs_its_node_by_name_with_json_logs(file: Path) -> None:
    file.write_text(FABRIC)
    words = plan(fabric_nodes(file, env={}), file)[0].argv
    assert words[-7:] == ("sentinel", "--config", str(file), "--node", "s1", "--log-format", "json")


# --- state -----------------------------------------------------------------------------------------------------------


def test_state_is_for_its_user_alone(file: Path, env: dict[str, str]) -> None:
    known = start_all(stand_in("s1"), file=file, env=env)
    modes = {path.name: path.stat().st_mode & 0o777 for path in [Path(known.folder), *Path(known.folder).iterdir()]}
    assert modes.pop(Path(known.folder).name) == 0o700
    assert set(modes.values()) == {0o600}


def test_state_lies_in_the_home_folder_unless_xdg_says_otherwise(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    assert state.state_root(home) == tmp_path / ".local" / "state" / "fame"
    assert state.state_root({**home, "XDG_STATE_HOME": "relative"}) == state.state_root(home)
    assert state.state_root({"XDG_STATE_HOME": "/s"}) == Path("/s/fame")


def test_no_home_is_an_error_that_names_the_variables() -> None:
    with pytest.raises(ConfigError, match="XDG_STATE_HOME"):
        state.state_root({})


def test_two_files_of_one_name_have_two_folders(tmp_path: Path) -> None:
    assert state.folder_for(tmp_path, "lab", Path("/a/f.yaml")) != state.folder_for(tmp_path, "lab", Path("/b/f.yaml"))


def test_what_is_forgotten_is_not_written_again(tmp_path: Path) -> None:
    known = FabricState("lab", "/f.yaml", folder=str(state.folder_for(tmp_path, "lab", Path("/f.yaml"))))
    state.save(known)
    state.forget(known)
    state.save(known)
    assert state.all_states(tmp_path) == []


def test_a_state_that_cannot_be_read_says_what_to_remove(tmp_path: Path) -> None:
    folder = state.folder_for(tmp_path, "lab", Path("/f.yaml"))
    (folder / "fabric.json").write_text('{"name": 3}')
    with pytest.raises(ConfigError, match=f"remove {folder}"):
        state.all_states(tmp_path)


# --- up --------------------------------------------------------------------------------------------------------------


def test_up_returns_once_all_are_ready(file: Path, env: dict[str, str]) -> None:
    known = start_all(stand_in("s1"), stand_in("a1", kind="agent", needs=("s1",)), file=file, env=env)
    assert [(node.name, node.status()) for node in known.nodes] == [("s1", "ready"), ("a1", "ready")]
    assert len({node.pid for node in known.nodes}) == 2


def test_an_agent_starts_after_its_sentinel_is_there(file: Path, env: dict[str, str]) -> None:
    with pytest.raises(DeadlineExceeded):
        start_all(stand_in("s1", "silent"), stand_in("a1", kind="agent", needs=("s1",)), file=file, env=env, wait_s=0.3)
    (known,) = state.all_states(state.state_root(env))
    assert [node.status() for node in known.nodes] == ["ended", "waiting"]


def test_a_node_that_dies_is_named_with_its_last_words(file: Path, env: dict[str, str]) -> None:
    with pytest.raises(NodeDied, match=r"node s2 ended with exit code 3 .*: listen: can't listen on 127.0.0.1:8000"):
        start_all(stand_in("s1"), stand_in("s2", "dies"), file=file, env=env)


def test_when_one_node_dies_the_others_are_stopped(file: Path, env: dict[str, str]) -> None:
    with pytest.raises(NodeDied):
        start_all(stand_in("s1"), stand_in("s2", "dies"), file=file, env=env)
    (known,) = state.all_states(state.state_root(env))
    assert state.running(known) == []


def test_what_is_not_ready_in_time_is_named(file: Path, env: dict[str, str]) -> None:
    with pytest.raises(DeadlineExceeded, match=r"not ready within 0.5 s: .*s2;"):
        start_all(stand_in("s1"), stand_in("s2", "silent"), file=file, env=env, wait_s=0.5)


def test_a_sentinel_that_runs_but_lacks_a_neighbour_outside_stops_nobody(
    file: Path, env: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    known = start_all(stand_in("s1"), stand_in("s2", "lonely"), file=file, env=env, wait_s=0.5)
    assert len(state.running(known)) == 2
    said = capsys.readouterr().err
    assert "fame: s2: not all its neighbours are there after 0.5 s; they are tried again\n" in said
    assert "s1 is ready" in said
    assert "s2 is ready" not in said


def test_an_agent_that_lacks_its_sentinel_is_not_ready(file: Path, env: dict[str, str]) -> None:
    with pytest.raises(DeadlineExceeded, match=r"a1; all are stopped; see: fame logs --file"):
        start_all(stand_in("a1", "lonely", kind="agent"), file=file, env=env, wait_s=0.5)


def test_a_second_up_of_the_same_file_is_refused(file: Path, env: dict[str, str]) -> None:
    start_all(stand_in("s1"), file=file, env=env)
    with pytest.raises(UsageError, match="is running already; see: fame ps"):
        start_all(stand_in("s1"), file=file, env=env)


def test_two_up_at_once_cannot_both_start(file: Path, env: dict[str, str]) -> None:
    folder = state.folder_for(state.state_root(env), "lab", file)
    with state.held(folder, file), pytest.raises(UsageError, match="is running already"):
        start_all(stand_in("s1"), file=file, env=env)


def test_up_starts_again_what_has_ended(file: Path, env: dict[str, str]) -> None:
    processes.stop([start_all(stand_in("s1"), file=file, env=env).nodes[0].process])
    assert start_all(stand_in("s1"), file=file, env=env).nodes[0].status() == "ready"


def test_a_fabric_of_clients_has_nothing_to_run(console: Fame, file: Path) -> None:
    file.write_text("kind: fabric\nname: lab\nnodes: [{kind: client, id: c1}]\n")
    result = console("up", str(file))
    assert result.exit_code == 2
    assert "has nothing to run; add a sentinel or an agent" in result.stderr


def test_up_of_a_missing_file_is_a_config_error(console: Fame) -> None:
    result = console("up", "nowhere.yaml")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.count("\n") == 1


# --- up in the foreground --------------------------------------------------------------------------------------------


class Foreground:
    """Run `fame up` on stand-ins as a process, and read what it says line by line."""

    def __init__(self, file: Path, env: Mapping[str, str], *tasks: Task) -> None:
        words = json.dumps([(task.name, task.kind, task.argv) for task in tasks])
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", FOREGROUND, str(file), words],
            env=dict(env),
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def read_until(self, text: str) -> list[str]:
        """Return the lines up to the first that holds `text`."""
        assert self.process.stderr is not None
        lines = []
        for line in self.process.stderr:
            lines.append(line)
            if text in line:
                return lines
        raise AssertionError(f"{text!r} was never said, but:\n{''.join(lines)}")

    def finish(self, number: signal.Signals) -> tuple[int, str]:
        """Send a signal and return the exit code and the rest of what was said."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=20)
        assert out == ""
        return self.process.returncode, err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_all_nodes_and_forgets_them(file: Path, env: dict[str, str], number: signal.Signals) -> None:
    front = Foreground(file, env, stand_in("s1"), stand_in("a1", kind="agent"))
    front.read_until("lab is up, 2 nodes; Ctrl-C stops it")
    (known,) = state.all_states(state.state_root(env))
    code, _ = front.finish(number)
    assert (code, state.running(known), state.all_states(state.state_root(env))) == (0, [], [])


def test_agents_stop_before_their_sentinels(file: Path, env: dict[str, str]) -> None:
    front = Foreground(file, env, stand_in("s1"), stand_in("a1", kind="agent"))
    front.read_until("lab is up")
    _, said = front.finish(signal.SIGINT)
    assert [line.split()[0] for line in said.splitlines() if "node_stopped" in line] == ["a1", "s1"]


def test_logs_have_the_name_of_their_node_in_front(file: Path, env: dict[str, str]) -> None:
    front = Foreground(file, env, stand_in("s1"), stand_in("long-name"))
    said = front.read_until("lab is up")
    front.finish(signal.SIGINT)
    assert {line.partition(" │ ")[0] for line in said if "node_ready" in line} == {"s1       ", "long-name"}


def test_a_signal_before_all_are_ready_stops_what_there_is(file: Path, env: dict[str, str]) -> None:
    front = Foreground(file, env, stand_in("s1"), stand_in("s2", "silent"))
    front.read_until("node_ready")
    code, _ = front.finish(signal.SIGINT)
    assert (code, state.all_states(state.state_root(env))) == (130, [])


def test_a_node_that_ends_later_is_told_and_the_others_go_on(file: Path, env: dict[str, str]) -> None:
    front = Foreground(file, env, stand_in("s1"), stand_in("s2"))
    front.read_until("lab is up")
    (known,) = state.all_states(state.state_root(env))
    os.kill(known.nodes[1].pid, signal.SIGKILL)
    front.read_until("node s2 has ended with code -9; the others go on")
    assert known.nodes[0].status() == "ready"
    assert front.finish(signal.SIGINT)[0] == 1


def test_down_elsewhere_is_told_as_what_it_is(console: Fame, file: Path, env: dict[str, str]) -> None:
    front = Foreground(file, env, stand_in("s1"), stand_in("a1", kind="agent"))
    front.read_until("lab is up")
    assert console("down").exit_code == 0
    code, said = front.finish(0)
    told = sorted(line for line in said.splitlines() if line.startswith("fame: "))
    assert code == 0
    assert told in (
        ["fame: node a1 was stopped", "fame: node s1 was stopped"],
        ["fame: node a1 was stopped; the others go on", "fame: node s1 was stopped"],
    )


def test_down_stops_what_a_killed_up_left_behind(console: Fame, file: Path, env: dict[str, str]) -> None:
    front = Foreground(file, env, stand_in("s1"))
    front.read_until("lab is up")
    (known,) = state.all_states(state.state_root(env))
    front.finish(signal.SIGKILL)
    assert [node.name for node in state.running(known)] == ["s1"]
    assert console("down").exit_code == 0
    assert state.running(known) == []


# --- ps, logs, down --------------------------------------------------------------------------------------------------


def test_ps_lists_every_node_with_what_has_become_of_it(console: Fame, file: Path, env: dict[str, str]) -> None:
    known = start_all(stand_in("s1"), stand_in("a1", kind="agent"), file=file, env=env)
    processes.stop([known.nodes[1].process])
    rows = [line.split() for line in console("ps").stdout.splitlines()]
    assert rows[0] == ["FABRIC", "NODE", "KIND", "PID", "STATE", "AT", "UPTIME"]
    assert [(row[1], row[4], row[5]) for row in rows[1:]] == [
        ("s1", "ready", "127.0.0.1:1"),
        ("a1", "ended", "a1@fame.fabric"),
    ]


def test_ps_as_json_is_one_document(console: Fame, file: Path, env: dict[str, str]) -> None:
    known = start_all(stand_in("s1"), file=file, env=env)
    (row,) = json.loads(console("ps", "-o", "json").stdout)
    assert (row["fabric"], row["file"], row["node"], row["kind"]) == ("lab", str(file), "s1", "sentinel")
    assert (row["pid"], row["state"], row["at"]) == (known.nodes[0].pid, "ready", "127.0.0.1:1")
    assert row["uptime_s"] >= 0


def test_ps_with_nothing_running_has_no_rows(console: Fame) -> None:
    assert console("ps", "-o", "json").stdout == "[]\n"


def test_logs_show_what_all_nodes_have_said(console: Fame, file: Path, env: dict[str, str]) -> None:
    start_all(stand_in("s1"), stand_in("s2"), file=file, env=env)
    shown = console("logs")
    assert {line.split()[0] for line in shown.stdout.splitlines()} == {"s1", "s2"}
    assert "node_ready" in shown.stdout


def test_logs_of_one_node_are_its_own(console: Fame, file: Path, env: dict[str, str]) -> None:
    start_all(stand_in("s1"), stand_in("s2"), file=file, env=env)
    assert {line.split()[0] for line in console("logs", "s2").stdout.splitlines()} == {"s2"}


def test_logs_of_an_unknown_node_name_those_there_are(console: Fame, file: Path, env: dict[str, str]) -> None:
    start_all(stand_in("s1"), file=file, env=env)
    result = console("logs", "s9")
    assert (result.exit_code, result.stderr) == (2, "fame: lab has no node s9; it has s1\n")


def test_logs_of_a_failed_start_are_kept(console: Fame, file: Path, env: dict[str, str]) -> None:
    with pytest.raises(NodeDied):
        start_all(stand_in("s1", "dies"), file=file, env=env)
    assert "can't listen" in console("logs").stdout


def test_following_ends_with_the_last_node(console: Fame, file: Path, env: dict[str, str]) -> None:
    known = start_all(stand_in("s1"), file=file, env=env)
    os.kill(known.nodes[0].pid, signal.SIGTERM)
    assert "node_stopped" in console("logs", "-f").stdout


def test_following_goes_on_until_a_signal(file: Path, env: dict[str, str]) -> None:
    start_all(stand_in("s1"), file=file, env=env)
    words = [sys.executable, "-W", "error", "-u", "-m", "fame_cli", "logs", "-f"]
    with subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        assert "node_ready" in following.stdout.readline()
        following.send_signal(signal.SIGINT)
        _, said = following.communicate(timeout=20)
    assert (following.returncode, said) == (130, "")


def test_down_stops_the_only_fabric_there_is(console: Fame, file: Path, env: dict[str, str]) -> None:
    known = start_all(stand_in("s1"), stand_in("a1", kind="agent"), file=file, env=env)
    result = console("down")
    assert (result.exit_code, result.stderr) == (0, "fame: lab is down, 2 nodes\n")
    assert (state.running(known), Path(known.folder).exists()) == ([], False)


def test_down_stops_the_fabric_of_a_file(console: Fame, tmp_path: Path, env: dict[str, str]) -> None:
    one, two = (start_all(stand_in("s1"), file=tmp_path / name, env=env) for name in ("one.yaml", "two.yaml"))
    assert console("down", "two.yaml").exit_code == 0
    assert (len(state.running(one)), len(state.running(two))) == (1, 0)


def test_down_with_several_running_asks_for_one(console: Fame, tmp_path: Path, env: dict[str, str]) -> None:
    for name in ("one.yaml", "two.yaml"):
        start_all(stand_in("s1"), file=tmp_path / name, env=env)
    result = console("down")
    assert result.exit_code == 2
    assert str(tmp_path / "two.yaml") in result.stderr


def test_down_with_nothing_running_says_how_to_start(console: Fame) -> None:
    result = console("down")
    assert (result.exit_code, result.stderr) == (2, "fame: no fabric is running here; start one: fame up -d FILE\n")


def test_a_node_never_started_is_waiting() -> None:
    assert NodeState("s1", "sentinel").status() == "waiting"


def test_up_and_down_say_nothing_on_stdout(console: Fame, file: Path) -> None:
    """With a node that can't be: its config is right, its port isn't ours to have."""
    file.write_text(
        textwrap.dedent("""
        kind: fabric
        name: lab
        nodes: [{kind: sentinel, id: s1, listen: 192.0.2.1:8000, security: {allow_open_public: true}}]
        """)
    )
    result = console("up", "-d", str(file))
    assert (result.exit_code, result.stdout) == (3, "")
    assert "node s1 ended with exit code 3" in result.stderr


def test_a_pipe_in_the_state_folder_holds_nobody_up(tmp_path: Path) -> None:
    known = FabricState("lab", "/f.yaml", folder=str(state.folder_for(tmp_path, "lab", Path("/f.yaml"))))
    for name in ("fabric.json", "s1.log"):
        os.mkfifo(Path(known.folder, name))
    with pytest.raises(ConfigError, match=r"can't be read: .*Not a regular file.*; remove"):
        state.all_states(tmp_path)
    with pytest.raises(OSError, match="Not a regular file"):
        Tail(known.log("s1")).read()
    with pytest.raises(OSError, match="No such device"):
        processes.start([sys.executable, "-c", ""], {}, known.log("s1"))
