"""The whole example from start to stop: start four nodes, call them from a fifth, show the way each call took.

It takes the ports 8000 and 8001, or free ones if somebody has these, keeps its state in a folder of its own, and stops
what it has started however it ends.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

HERE = Path(__file__).parent
FAME = [sys.executable, "-P", "-m", "fame_cli"]
CALLS = (
    "call math1@fame.fabric add x=3 y=4",
    "call math1@fame.fabric multiply x=6 y=7",
    "call math2@fame.fabric add x=3 y=4",
    "stream math2@fame.fabric fib_stream n=10",
    "stream fib_stream",
)
CALL_TIMEOUT_S = 60
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def free_ports(wanted: tuple[int, ...]) -> list[int]:
    """Return ports nobody listens on: those wanted, or others in their place."""
    with ExitStack() as stack:
        return [
            _listening(stack.enter_context(socket.socket()), port)
            or _listening(stack.enter_context(socket.socket()), 0)
            for port in wanted
        ]


def _listening(listener: socket.socket, port: int) -> int:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen()
    except OSError:
        listener.close()
        return 0
    return int(listener.getsockname()[1])


def fame(env: Mapping[str, str], *words: str) -> int:
    """Run one command of `fame` and return its exit code."""
    return subprocess.run([*FAME, *words], env=dict(env), cwd=HERE, check=False, stderr=subprocess.STDOUT).returncode


def call(env: Mapping[str, str], line: str) -> int:
    """Run one call with --verbose and print its result and, of what that says, the way it took."""
    print(f"\n$ fame {line}", flush=True)
    command = [*FAME, *line.split(), "--verbose"]
    done = subprocess.run(
        command, env=dict(env), cwd=HERE, check=False, text=True, capture_output=True, timeout=CALL_TIMEOUT_S
    )
    print(" ".join(done.stdout.split("\n")).rstrip())
    said = done.stderr.splitlines()
    way = next((index for index, row in enumerate(said) if row.startswith("path")), len(said))
    shown = said if done.returncode else [row for row in said[:way] if row.startswith("fame: ")] + said[way:]
    print("\n".join(f"    {row}" for row in shown), flush=True)
    return done.returncode


def environment(state: str, port1: int, port2: int) -> dict[str, str]:
    """Return the variables for all commands: nothing of the user's own fabric, these ports, and a place for state."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("FAME_", "PEER_SENTINEL"))}
    return own | {
        "FAME_DIRECT_ADMISSION_URL": f"ws://127.0.0.1:{port1}/fame/v1/attach/ws/downstream",
        "NO_COLOR": "1",
        "PEER_SENTINEL1_PORT": str(port1),
        "PEER_SENTINEL2_PORT": str(port2),
        "XDG_STATE_HOME": state,
    }


def up(env: Mapping[str, str]) -> int:
    """Start the nodes and return the exit code."""
    print("$ fame up -d fabric.yaml", flush=True)
    return fame(env, "up", "-d", "fabric.yaml")


def interrupted(number: int, frame: object) -> None:
    """Turn a signal into an exception, so that everything is stopped on the way out."""
    sys.exit(128 + number)


def main() -> int:
    """Start, call, stop; return 0 if every call succeeded."""
    for number in SIGNALS:
        signal.signal(number, interrupted)
    with tempfile.TemporaryDirectory(prefix="fame-demo-") as state:
        env = environment(state, *free_ports((8000, 8001)))
        try:
            if up(env):
                fame(env, "logs")
                print("\nagain, on other ports: somebody may have been quicker to take these", flush=True)
                env = environment(state, *free_ports((0, 0)))
                if code := up(env):
                    fame(env, "logs")
                    return code
            failed = [line for line in CALLS if call(env, line)]
        finally:
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not leave anything running
            print("\n$ fame down fabric.yaml", flush=True)
            fame(env, "down", "fabric.yaml")
    print(f"\nfailed: {'; '.join(failed)}" if failed else f"\nall {len(CALLS)} calls answered", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
