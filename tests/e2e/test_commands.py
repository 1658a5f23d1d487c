"""The four commands as a user types them: real processes, the shipped configs, every order of starting."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from itertools import permutations
from pathlib import Path

import pytest
from interop_nodes import NodeProcess, environment, eventually, free_port

pytestmark = pytest.mark.e2e

CONFIGS = Path(__file__).parents[2] / "configs"
FAME = [sys.executable, "-m", "fame_cli"]
NODES = {
    "peer1": ("sentinel", "peer1.yaml"),
    "peer2": ("sentinel", "peer2.yaml"),
    "math1": ("agent", "math1.yaml"),
    "math2": ("agent", "math2.yaml"),
}


class Desk:
    """Hold the processes of one test, and the ports they share."""

    def __init__(self, folder: Path) -> None:
        self.ports = free_port(), free_port()
        self.folder = folder
        self.processes: dict[str, NodeProcess] = {}
        attach = "fame/v1/attach/ws"
        self.urls = [f"ws://127.0.0.1:{port}/{attach}/downstream" for port in self.ports]
        self.own = {
            "peer1": {"FAME_SENTINEL_PORT": str(self.ports[0])},
            "peer2": {
                "FAME_SENTINEL_PORT": str(self.ports[1]),
                "FAME_PEER_WS_URL": f"ws://127.0.0.1:{self.ports[0]}/{attach}/peer",
            },
            "math1": {"FAME_DIRECT_ADMISSION_URL": self.urls[0]},
            "math2": {"FAME_DIRECT_ADMISSION_URL": self.urls[1]},
        }

    def start(self, name: str, *arguments: str, env: Mapping[str, str] | None = None) -> NodeProcess:
        kind, file = NODES.get(name, (name, ""))
        words = [kind, "--config", str(CONFIGS / file)] if file else [kind]
        variables = {"HOME": str(self.folder), **self.own.get(name, {}), **(env or {})}
        command = [*FAME, *words, *arguments, "--log-format", "json"]
        process = NodeProcess(name, command, env=environment(variables), cwd=self.folder)
        self.processes[name] = process
        return process

    def wait_ready(self, *names: str) -> None:
        for name in names:
            process = self.processes[name]
            process.wait_until(lambda p=process: bool(events(p, "node_ready")), f"{name} is ready")

    def fame(self, *words: str, env: Mapping[str, str] | None = None, stdin: str = "") -> subprocess.CompletedProcess:
        variables = {"HOME": str(self.folder), "FAME_DIRECT_ADMISSION_URL": self.urls[0], **(env or {})}
        return subprocess.run(
            [*FAME, *words],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=40,
            cwd=self.folder,
            env=environment(variables),
            check=False,
        )

    def value(self, *words: str) -> object:
        done = self.fame(*words, "-o", "json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.join()


def events(process: NodeProcess, event: str) -> list[dict[str, object]]:
    lines = (json.loads(line) for line in list(process.log) if line.startswith("{"))
    return [line for line in lines if line.get("event") == event]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Give the whole example, up and ready."""
    made = Desk(tmp_path_factory.mktemp("example"))
    for name in NODES:
        made.start(name)
    made.wait_ready(*NODES)
    yield made
    made.close()


# The block at the top of the README


@pytest.mark.parametrize("order", list(permutations(NODES))[::4], ids="-".join)
def test_the_nodes_find_each_other_in_any_order(desk: Desk, order: tuple[str, ...]) -> None:
    for name in order:
        desk.start(name)
        assert desk.processes[name].log is not None
    desk.wait_ready(*NODES)
    assert desk.value("call", "math1@fame.fabric", "add", "x=3", "y=4") == 7
    eventually(lambda: desk.fame("call", "math2@fame.fabric", "add", "x=3", "y=4").stdout == "7\n", "math2 answers")


def test_an_agent_started_long_before_its_sentinel_attaches(desk: Desk) -> None:
    agent = desk.start("math1")
    agent.wait_until(lambda: bool(events(agent, "link_failed")), "the agent finds nobody")
    desk.start("peer1")
    desk.wait_ready("math1", "peer1")
    assert desk.value("call", "math1@fame.fabric", "multiply", "x=6", "y=7") == 42


def test_calls_near_and_across_the_peer_link(running: Desk) -> None:
    assert running.fame("call", "math1@fame.fabric", "add", "x=3", "y=4").stdout == "7\n"
    assert running.fame("call", "math1@fame.fabric", "multiply", "x=6", "y=7").stdout == "42\n"
    assert running.fame("call", "math2@fame.fabric", "add", "x=3", "y=4").stdout == "7\n"


def test_a_stream_across_the_peer_link_is_one_item_a_line(running: Desk) -> None:
    done = running.fame("stream", "math2@fame.fabric", "fib_stream", "n=10")
    assert done.stdout.split("\n") == ["0", "1", "1", "2", "3", "5", "8", "13", "21", "34", ""]


def test_a_stream_without_an_address_is_looked_up_and_verbose_shows_the_path(running: Desk) -> None:
    done = running.fame("stream", "fib_stream", "--verbose")
    assert done.stdout.splitlines()[-1] == "34"
    assert "using math2@fame.fabric for fib_stream" in done.stderr
    assert "client → peer-sentinel1 ↔ peer-sentinel2 → math2" in done.stderr


def test_configs_are_found_in_the_configs_folder(running: Desk) -> None:
    done = subprocess.run(
        [*FAME, "config", "check", "peer2.yaml"],
        capture_output=True,
        text=True,
        timeout=40,
        cwd=CONFIGS.parent,
        env=environment({"HOME": str(running.folder)}),
        check=False,
    )
    assert done.returncode == 0, done.stderr


# Load


def test_bench_measures_calls_and_streams_across_the_peer_link(running: Desk) -> None:
    calls = running.value("bench", "math2@fame.fabric", "add", "x=3", "y=4", "-n", "500", "--clients", "3")
    assert isinstance(calls, dict)
    assert (calls["answered"], calls["failed"], calls["broken_off"]) == (500, 0, 0)
    assert 0 < calls["latency_ms"]["min"] <= calls["latency_ms"]["p50"] <= calls["latency_ms"]["max"]
    assert sum(row["count"] for row in calls["histogram"]) == 500
    streams = running.value("bench", "math2@fame.fabric", "fib_stream", "n=50", "--stream", "-n", "4", "-c", "2")
    assert isinstance(streams, dict)
    assert (streams["answered"], streams["items"]) == (4, 200)
    assert streams["received_bytes"] > 200 * 10


def test_bench_paces_calls_and_reports_for_people(running: Desk) -> None:
    done = running.fame("bench", "math1@fame.fabric", "--rate", "200", "-d", "0.5", "--warm-up", "0.1")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("math1@fame.fabric agent.ping: 100 answered in 0.")
    assert "P99.9" in done.stdout


def test_bench_says_what_there_is_when_nothing_is_named(running: Desk) -> None:
    done = running.fame("bench")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is: math1@fame.fabric, math2@fame.fabric; e.g. fame bench math1@fame.fabric" in done.stderr


# Ids


def test_two_sentinels_with_one_config_on_two_ports_both_serve(desk: Desk) -> None:
    """Both dial the first sentinel under one id: the second takes another and its agents are reachable."""
    desk.start("peer1")
    desk.start("peer2")
    desk.wait_ready("peer1", "peer2")
    port = free_port()
    second = desk.start(
        "sentinel",
        "--config",
        str(CONFIGS / "peer2.yaml"),
        env={**desk.own["peer2"], "FAME_SENTINEL_PORT": str(port)},
    )
    desk.wait_ready("sentinel")
    assert events(second, "id_taken")
    url = f"ws://127.0.0.1:{port}/fame/v1/attach/ws/downstream"
    desk.start("math2", env={"FAME_DIRECT_ADMISSION_URL": url})
    desk.wait_ready("math2")
    assert desk.value("call", "math2@fame.fabric", "add", "x=1", "y=2") == 3


def test_five_nodes_without_an_id_have_five(desk: Desk) -> None:
    (desk.folder / "plain.py").write_text("def hello() -> str:\n    return 'hi'\n")
    desk.processes["s"] = desk.start("sentinel", "--listen", f"127.0.0.1:{desk.ports[0]}")
    for number in range(4):
        desk.processes[f"a{number}"] = desk.start(
            "agent", "plain:hello", "--address", f"a{number}@fame.fabric", "--url", desk.urls[0]
        )
    ids = set()
    for process in list(desk.processes.values()):
        process.wait_until(lambda p=process: bool(events(p, "node_ready")), "ready")
        ids.add(events(process, "node_ready")[0]["node_id"])
    assert len(ids) == 5


# Errors: one line, and the exit code of the table


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["call", "ghost@fame.fabric", "add"], 5, "ghost@fame.fabric"),
        (["call", "math1@fame.fabric", "subtract"], 1, "add, multiply"),
        (["call", "math1@fame.fabric", "add", "x=3"], 1, "needs y"),
        (["call", "math1@fame.fabric", "add", "x=three", "y=4"], 2, "x"),
        (["call", "math1@fame.fabric", "add", 'x:="three"', "y=4"], 1, "x: expected int"),
        (["call", "not-an-address", "add"], 2, "not-an-address"),
        (["call", "math1@fame.fabric", "add", "x=3", "y=4", "--url", "ws://127.0.0.1:1/x"], 2, "attach"),
        (["stream", "no_such_stream"], 5, "no_such_stream"),
        (["call", "--nonsense"], 2, "nonsense"),
        (["sentinel", "--config", "nowhere.yaml"], 3, "nowhere.yaml"),
    ],
)
def test_an_error_is_one_line_with_its_exit_code(running: Desk, words: list[str], code: int, said: str) -> None:
    done = running.fame(*words)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    if "--nonsense" not in words:
        assert len(done.stderr.strip().splitlines()) == 1


def test_nobody_listening_says_how_to_start_a_sentinel(desk: Desk) -> None:
    done = desk.fame("call", "math1@fame.fabric", "add", "x=3", "y=4")
    assert done.returncode == 7
    assert "start one: fame sentinel" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_port_in_use_is_a_config_error(running: Desk) -> None:
    done = running.fame("sentinel", "--listen", f"127.0.0.1:{running.ports[0]}", "--log-level", "error")
    assert done.returncode == 3
    assert "address already in use" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: sentinel\nid: [x\n", "bad.yaml:"),
        ("kind: sentinel\npeer: []\n", "peers"),
        ("kind: sentinel\nlisten: 127.0.0.1:${NO_SUCH_PORT}\n", "NO_SUCH_PORT"),
        ("kind: sentinel\nlisten: everywhere\n", "bad.yaml:2"),
    ],
)
def test_a_bad_file_is_one_line_with_its_place(desk: Desk, text: str, said: str) -> None:
    (desk.folder / "bad.yaml").write_text(text)
    done = desk.fame("sentinel", "--config", "bad.yaml")
    assert done.returncode == 3
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


AGENT = '''
import asyncio

from fame_cli import Agent, operation


class Slow(Agent):
    """Take time, fail, and tell what became of a stream."""

    def __init__(self) -> None:
        self.ended = "not yet"
        self.asked = False

    @operation
    async def wait(self) -> None:
        """Never answer."""
        await asyncio.get_running_loop().create_future()

    @operation
    async def once(self) -> str:
        """Answer the first time only."""
        if self.asked:
            await asyncio.get_running_loop().create_future()
        self.asked = True
        return "once"

    @operation
    def fail(self) -> None:
        """Raise."""
        raise ValueError("on purpose")

    @operation
    async def endless(self):
        """Yield for ever."""
        self.ended = "running"
        try:
            number = 0
            while True:
                yield number
                number += 1
        finally:
            self.ended = "ended"

    @operation
    def how(self) -> str:
        """Tell how the stream is."""
        return self.ended
'''


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Give an agent behind two sentinels that waits, fails and streams for ever."""
    made = Desk(tmp_path_factory.mktemp("slow"))
    (made.folder / "slow.py").write_text(AGENT)
    made.start("peer1")
    made.start("peer2")
    made.start("agent", "slow:Slow", "--address", "slow@fame.fabric", "--url", made.urls[1])
    made.wait_ready("peer1", "peer2", "agent")
    eventually(lambda: made.fame("call", "slow@fame.fabric", "how").returncode == 0, "the agent answers")
    yield made
    made.close()


def test_a_handler_that_raises_is_the_callers_error(slow: Desk) -> None:
    done = slow.fame("call", "slow@fame.fabric", "fail")
    assert done.returncode == 1
    assert "ValueError: on purpose" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_timeout_has_its_exit_code(slow: Desk) -> None:
    done = slow.fame("call", "slow@fame.fabric", "wait", "--timeout", "0.3")
    assert done.returncode == 6
    assert "0.3" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_ctrl_c_in_a_stream_stops_the_producer(slow: Desk) -> None:
    command = [*FAME, "stream", "slow@fame.fabric", "endless", "--url", slow.urls[0]]
    env = environment({"HOME": str(slow.folder)})
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "0\n"
        assert slow.fame("call", "slow@fame.fabric", "how").stdout == "running\n"
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        said = process.stderr.read()
        assert process.wait(timeout=20) == 130
        assert "Traceback" not in said
    eventually(lambda: slow.fame("call", "slow@fame.fabric", "how").stdout == "ended\n", "the producer is stopped")


def test_bench_counts_what_times_out_and_has_its_exit_code(slow: Desk) -> None:
    done = slow.fame("bench", "slow@fame.fabric", "once", "-n", "3", "--timeout", "0.3", "-o", "json")
    assert done.returncode == 6
    assert json.loads(done.stdout)["errors"]["DeadlineExceeded"]["count"] == 3
    assert len(done.stderr.strip().splitlines()) == 1


def test_head_ends_a_stream_quietly(slow: Desk) -> None:
    fame = " ".join(FAME)
    script = f"{fame} stream slow@fame.fabric endless --url {slow.urls[0]} | head -3; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        timeout=40,
        env=environment({"HOME": str(slow.folder), "PATH": os.environ["PATH"]}),
        check=False,
    )
    assert done.stdout.split() == ["0", "1", "2", "0"]
    assert done.stderr == ""
    eventually(lambda: slow.fame("call", "slow@fame.fabric", "how").stdout == "ended\n", "the producer is stopped")


def test_killing_the_agent_ends_its_streams_at_once(desk: Desk) -> None:
    (desk.folder / "slow.py").write_text(AGENT)
    desk.start("peer1")
    desk.start("peer2")
    agent = desk.start("agent", "slow:Slow", "--address", "slow@fame.fabric", "--url", desk.urls[1])
    desk.wait_ready("peer1", "peer2", "agent")
    eventually(lambda: desk.fame("call", "slow@fame.fabric", "how").returncode == 0, "the agent answers")
    command = [*FAME, "stream", "slow@fame.fabric", "endless", "--url", desk.urls[0]]
    env = environment({"HOME": str(desk.folder)})
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "0\n"
        agent.kill()
        process.stdout.read()
        assert process.wait(timeout=20) == 8
        assert "went away with the call in flight" in process.stderr.read()
