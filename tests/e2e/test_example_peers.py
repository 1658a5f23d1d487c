"""The example of `examples/peers` the way its README describes it: with make, by hand in Python, and as a demo."""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
PEERS = ROOT / "examples" / "peers"
EXPECTED = [
    "math1 add(3, 4) = 7",
    "math1 multiply(6, 7) = 42",
    "math2 add(3, 4) = 7",
    "math2 fib_stream(10) = 0 1 1 2 3 5 8 13 21 34",
]
LIMIT_S = 60


def free_ports(count: int) -> list[int]:
    """Return ports that were free a moment ago."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


@pytest.fixture
def ports() -> list[int]:
    """Give a port for each sentinel."""
    return free_ports(2)


@pytest.fixture
def env(tmp_path: Path, ports: list[int]) -> dict[str, str]:
    """Give the variables of a user with an empty home who has chosen other ports."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FAME_", "MAKE", "MFLAGS"))}
    return {
        **kept,
        "HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PEER_SENTINEL1_PORT": str(ports[0]),
        "PEER_SENTINEL2_PORT": str(ports[1]),
        "FAME_DIRECT_ADMISSION_URL": f"ws://127.0.0.1:{ports[0]}/fame/v1/attach/ws/downstream",
    }


@pytest.fixture
def tools(tmp_path: Path) -> str:
    """Give a folder with `fame` and `python`, installed or not."""
    python = shlex.quote(sys.executable)
    for name, command in (("fame", f"{python} -P -m fame_cli"), ("python", python)):
        script = tmp_path / "bin" / name
        script.parent.mkdir(exist_ok=True)
        script.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        script.chmod(0o755)
    return f"{tmp_path / 'bin'}/"


class Make:
    """Run targets of the example's Makefile."""

    def __init__(self, env: dict[str, str], tools: str) -> None:
        self.env = env
        self.tools = tools

    def __call__(self, target: str) -> subprocess.CompletedProcess[str]:
        """Run one target."""
        return subprocess.run(
            ["make", "--no-print-directory", "-s", target, f"BIN={self.tools}"],
            cwd=PEERS,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )


@pytest.fixture
def make(env: dict[str, str], tools: str) -> Iterator[Make]:
    """Give `make`, with everything stopped in the end."""
    runner = Make(env, tools)
    yield runner
    runner("stop")


def is_listening(port: int) -> bool:
    """Tell whether somebody takes connections at a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_make_starts_runs_and_stops_the_example(make: Make, ports: list[int]) -> None:
    started = make("start")
    assert started.returncode == 0, started.stderr
    ran = make("run")
    assert (ran.stdout.splitlines(), ran.stderr) == (EXPECTED, "")
    assert make("stop").returncode == 0
    assert [is_listening(port) for port in ports] == [False, False]


def test_run_verbose_prints_the_same_and_the_way_on_stderr(make: Make) -> None:
    make("start")
    ran = make("run-verbose")
    assert ran.stdout.splitlines() == EXPECTED
    assert "path   client → peer-sentinel1 ↔ peer-sentinel2 → math2" in ran.stderr
    assert re.search(r"→ Data .*to=math2@fame\.fabric", ran.stderr)


def test_a_clients_variable_in_the_shell_does_not_move_the_agents(make: Make) -> None:
    """`FAME_DIRECT_ADMISSION_URL` is set for `make start` too; math2 must still be behind the second sentinel."""
    make("start")
    said = subprocess.run(
        [f"{make.tools}fame", "call", "math2@fame.fabric", "add", "x=3", "y=4", "--verbose"],
        env=make.env,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert (said.stdout, said.returncode) == ("7\n", 0)
    assert "peer-sentinel1 ↔ peer-sentinel2 → math2" in said.stderr


def test_a_taken_port_is_named_and_nothing_is_left_running(make: Make, ports: list[int]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", ports[1]))
        taken.listen()
        started = make("start")
    assert started.returncode != 0
    assert "node peer-sentinel2 ended with exit code 3 before all nodes were ready: listen: " in started.stderr
    assert f"127.0.0.1:{ports[1]}" in started.stderr
    assert not is_listening(ports[0])


def test_up_in_the_foreground_ends_on_ctrl_c_with_nothing_left(make: Make, ports: list[int]) -> None:
    words = [f"{make.tools}fame", "up", "fabric.yaml"]
    with subprocess.Popen(words, cwd=PEERS, env=make.env, stderr=subprocess.PIPE, text=True) as front:
        read_until(front, "peers is up, 4 nodes; Ctrl-C stops it")
        front.send_signal(signal.SIGINT)
        front.communicate(timeout=LIMIT_S)
    assert front.returncode == 0
    assert [is_listening(port) for port in ports] == [False, False]


def test_the_programs_work_by_hand_in_any_order(env: dict[str, str], ports: list[int]) -> None:
    """Agents first, then the sentinel that dials, then the one that is dialled."""
    url1, url2 = (f"ws://127.0.0.1:{port}/fame/v1/attach/ws/downstream" for port in ports)
    programs = {
        "math_agent2.py": {"FAME_DIRECT_ADMISSION_URL": url2},
        "math_agent1.py": {"FAME_DIRECT_ADMISSION_URL": url1},
        "peer_sentinel2.py": {
            "FAME_SENTINEL_PORT": str(ports[1]),
            "FAME_PEER_WS_URL": f"ws://127.0.0.1:{ports[0]}/fame/v1/attach/ws/peer",
        },
        "peer_sentinel1.py": {"FAME_SENTINEL_PORT": str(ports[0])},
    }
    with ExitStack() as stack:
        running = []
        for name, variables in programs.items():
            process = subprocess.Popen(
                [sys.executable, name], cwd=PEERS, env={**env, **variables}, stderr=subprocess.PIPE, text=True
            )
            stack.enter_context(process)
            stack.callback(finish, process)
            running.append(process)
            read_until(process, "node_started")
        for process in running[:3]:
            read_until(process, "node_ready")
        ran = subprocess.run(
            [sys.executable, "client.py"],
            cwd=PEERS,
            env=env,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    assert (ran.stdout.splitlines(), ran.stderr) == (EXPECTED, "")
    assert [process.returncode for process in running] == [0, 0, 0, 0]


def finish(process: "subprocess.Popen[str]") -> None:
    """Stop a program and hear it out: one that can't say its last words doesn't end with 0."""
    process.terminate()
    process.communicate(timeout=LIMIT_S)


def read_until(process: "subprocess.Popen[str]", event: str) -> None:
    """Read what a process says up to an event."""
    assert process.stderr is not None
    if not any(event in line for line in process.stderr):
        raise AssertionError(f"{process.args} ended without {event}")


def test_the_demo_calls_everything_and_leaves_nothing_running(make: Make, ports: list[int]) -> None:
    done = make("demo")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.rstrip().endswith("all 5 calls answered")
    assert done.stdout.count("path   client → peer-sentinel1") == 5
    used = {int(port) for port in re.findall(r"is ready at 127\.0\.0\.1:(\d+)", done.stdout)}
    assert [is_listening(port) for port in used] == [False, False]


def test_every_target_of_the_readme_is_in_the_makefile() -> None:
    named = set(re.findall(r"\bmake ([a-z-]+)", (PEERS / "README.md").read_text()))
    targets = set(re.findall(r"^([a-z-]+):", (PEERS / "Makefile").read_text(), flags=re.MULTILINE))
    assert named <= targets


def test_every_file_of_the_readme_is_there() -> None:
    named = set(re.findall(r"`([\w-]+\.(?:py|yaml|yml)|Makefile|Dockerfile)`", (PEERS / "README.md").read_text()))
    assert named == {path.name for path in PEERS.iterdir() if path.suffix in {".py", ".yaml", ".yml"}} | {
        "Makefile",
        "Dockerfile",
    }
