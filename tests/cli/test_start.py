"""The start of a process: what each command imports, and that the short way and the parser come to the same.

No clock here: what a start costs is what it imports (benchmarks/bench_startup.py measures the rest).
"""

import json
import socket
import subprocess
import sys

import pytest

from fame_cli.version import VERSION

NOBODY = "ws://127.0.0.1:1/fame/v1/attach/ws/downstream"
"""Nobody listens there, so a command gets as far as dialling, with all that it needs imported."""

PARSER = {"typer", "rich", "pydantic", "pydantic_core", "annotated_types"}
FILES = {"yaml", "jinja2", "fame_cli.config.load", "fame_cli.config.schema", "fame_cli.config.fields"}
RARE = {
    "fame_cli.cli.checkup",
    "fame_cli.cli.verbose",
    "fame_cli.cli.main",
    "httpx",
    "fame_cli.node.agent",
    "fame_cli.node.host",
}
NETWORK = {"asyncio", "websockets", "picows", "ssl", "msgspec", "uvloop", "email", "http", "urllib", "socket"}
CLIENT = PARSER | FILES | RARE

SHORT_WAY = {
    "call": ["math1@fame.fabric", "add", "x=3", "y:=4", "--timeout", "5"],
    "stream": ["math1@fame.fabric", "fib_stream", "n=10", "-o", "ndjson"],
    "ping": ["math1@fame.fabric", "-c", "1"],
    "ls": ["math*"],
}


def run(*arguments: str, url: str = NOBODY) -> tuple[int, str, set[str]]:
    """Run `fame` in a fresh process; return its exit code, what it printed on stdout, and what it has imported."""
    code = (
        "import atexit, json, sys\n"
        "atexit.register(lambda: sys.stderr.write('\\n' + json.dumps(sorted(sys.modules))))\n"
        f"sys.argv[1:] = {list(arguments)!r}\n"
        "from fame_cli.cli.start import main\n"
        "main()"
    )
    environment = {"FAME_DIRECT_ADMISSION_URL": url, "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False, env=environment
    )
    return done.returncode, done.stdout, set(json.loads(done.stderr.splitlines()[-1]))


def test_the_version_imports_neither_parser_nor_network_nor_what_makes_dataclasses() -> None:
    code, out, modules = run("--version")
    assert (code, out) == (0, f"fame {VERSION}\n")
    assert not modules & (PARSER | FILES | RARE | NETWORK | {"dataclasses", "inspect"})


def test_help_imports_neither_values_nor_files_nor_network() -> None:
    code, out, modules = run("--help")
    assert code == 0
    assert "Usage: fame" in out
    allowed = {"urllib"}  # of rich and typer
    assert not modules & ((PARSER | FILES | NETWORK) - {"typer", "rich"} - allowed)
    assert not {name for name in modules if name.startswith(("fame_cli.node", "fame_cli.core", "fame_cli.net"))}


@pytest.mark.parametrize("command", sorted(SHORT_WAY))
def test_a_one_shot_command_imports_no_parser_and_nothing_for_files(command: str) -> None:
    code, _, modules = run(command, *SHORT_WAY[command])
    assert code == 7
    assert "fame_cli.node.client" in modules
    assert not modules & CLIENT


def test_what_the_short_way_does_not_know_goes_through_the_parser() -> None:
    code, _, modules = run("call", "math1@fame.fabric", "add", "--debug")
    assert code == 7
    assert "typer" in modules


def test_a_wrong_command_line_is_the_parsers_to_refuse() -> None:
    code, _, modules = run("call", "--zzz")
    assert code == 2
    assert "fame_cli.node.client" not in modules


DRAWING = {"rich.console", "rich.markdown", "pygments", "markdown_it"}
NODE_WITHOUT = DRAWING | {"jinja2", "httpx", "fame_cli.testing", "fame_cli.cli.session"}


def test_a_sentinel_imports_nothing_that_draws_and_nothing_for_agents_alone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:  # it gets as far as listening
        code, _, modules = run("sentinel", "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert code == 3
    assert "fame_cli.node.listening" in modules
    assert not modules & NODE_WITHOUT


def test_an_agent_imports_nothing_that_draws_and_templates_only_where_it_has_some() -> None:
    code, _, modules = run("agent", "json:Nothing", "--address", "a@fame.fabric")
    assert code == 3
    assert "fame_cli.node.serving" in modules
    assert not modules & NODE_WITHOUT


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("fame_cli.cli.output", ["--version"]),
        ("fame_cli.cli.quick", ["call", "add"]),
        ("fame_cli.cli.calling", ["call", "add"]),
        ("asyncio", ["call", "add"]),
        ("typer", ["sentinel"]),
        ("pydantic", ["sentinel"]),
    ],
)
def test_ctrl_c_during_an_import_ends_it_without_a_traceback(module: str, words: list[str]) -> None:
    code = (
        "import sys\n"
        "class Interrupt:\n"
        "    def find_spec(name, *rest):\n"
        f"        if name == {module!r}: raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt)\n"
        f"sys.argv[1:] = {words!r}\n"
        "from fame_cli.cli.start import main\n"
        "main()"
    )
    environment = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False, env=environment
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
