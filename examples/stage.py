"""What the demos of the examples share: a stage that is set, played on, and cleared however the play ends.

A demo starts the fabric of its folder on the ports it would like, or on free ones if somebody has these, keeps its
state in a folder of its own, and shows each command with what it says. Whatever it has started ends with `perform`.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

__all__ = ["Stage", "perform"]

FAME = [sys.executable, "-P", "-m", "fame_cli"]
COMMAND_TIMEOUT_S = 60
PATIENCE_S = 20
POLL_S = 0.1
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stage:
    """Run the commands of one demo, show them, and count what didn't go as expected.

    Args:
        folder: the folder of the example, with its fabric.yaml.
        state: where `fame up` keeps its state.
        ports: variable of a sentinel's port → the port; commands go to the first of these sentinels.

    Attributes:
        env: the variables of all commands: nothing of the user's own fabric.
        count: commands that had to go as expected.
        failed: those that didn't.
    """

    def __init__(self, folder: Path, state: str, ports: Mapping[str, int]) -> None:
        self.folder = folder
        self.count = 0
        self.failed: list[str] = []
        self.ports: dict[str, int] = {}
        own = {name: value for name, value in os.environ.items() if not name.startswith("FAME_")}
        self.env = own | {"NO_COLOR": "1", "XDG_STATE_HOME": state}
        self.move(ports)

    def move(self, ports: Mapping[str, int]) -> None:
        """Use other ports from now on."""
        self.ports = dict(ports)
        self.env |= {name: str(port) for name, port in ports.items()}
        self.env["FAME_DIRECT_ADMISSION_URL"] = self.url(next(iter(ports)))

    def url(self, port: str) -> str:
        """Return where a client attaches to the sentinel whose port has that variable."""
        return f"ws://127.0.0.1:{self.ports[port]}/fame/v1/attach/ws/downstream"

    def say(self, text: str) -> None:
        """Tell the audience what happens now."""
        print(f"\n# {text}", flush=True)

    def fame(self, *words: str) -> int:
        """Run a command that speaks for itself, and return its exit code."""
        done = subprocess.run([*FAME, *words], env=self.env, cwd=self.folder, check=False, stderr=subprocess.STDOUT)
        return done.returncode

    def secure(self, profile: str, state: str) -> int:
        """Choose a security profile by one variable, and make a fabric's authorities; return the exit code.

        Args:
            profile: gated, overlay or strict-overlay; "" for what the files say.
            state: a folder that is gone after the demo.
        """
        if not profile:
            return 0
        self.env |= {"FAME_SECURITY_PROFILE": profile, "FAME_HOME": f"{state}/home"}
        print(f"$ export FAME_SECURITY_PROFILE={profile}\n$ fame keys init", flush=True)
        code = self.fame("keys", "init")
        if profile == "strict-overlay" and not code:
            print("$ fame ca init", flush=True)
            code = self.fame("ca", "init")
        return code

    def up(self) -> int:
        """Start the nodes and return the exit code."""
        print("$ fame up -d fabric.yaml", flush=True)
        return self.fame("up", "-d", "fabric.yaml")

    def show(self, line: str, *, says: str = "", code: int = 0) -> None:
        """Run a command and show all it says.

        Args:
            says: what must be in it.
            code: the exit code it must have; shown when it isn't 0.
        """
        done = self._run(line)
        said = done.stdout + done.stderr
        print(f"\n$ fame {line}\n{said.rstrip()}", flush=True)
        if done.returncode:
            print(f"(exit code {done.returncode})", flush=True)
        self._judge(line, done.returncode == code and says in said)

    def call(self, line: str, *, way: str = "", patient: bool = False) -> None:
        """Run a call with --verbose and show its result and, of what that says, the way it took.

        Args:
            way: what must be in the way.
            patient: call again, and show the last try only, until the way is that one.
        """
        deadline = time.monotonic() + PATIENCE_S
        done = self._run(f"{line} --verbose")
        while patient and (done.returncode or way not in done.stderr) and time.monotonic() < deadline:
            time.sleep(POLL_S)
            done = self._run(f"{line} --verbose")
        print(f"\n$ fame {line}", flush=True)
        print(" ".join(done.stdout.split("\n")).rstrip())
        said = done.stderr.splitlines()
        at = next((index for index, row in enumerate(said) if row.startswith("path")), len(said))
        shown = said if done.returncode else [row for row in said[:at] if row.startswith("fame: ")] + said[at:]
        print("\n".join(f"    {row}" for row in shown), flush=True)
        self._judge(line, done.returncode == 0 and way in done.stderr)

    def stop(self, node: str) -> None:
        """Tell one node to stop, and wait until it has.

        Raises:
            TimeoutError: it hasn't.
        """
        pid = int(str(self._row(node)["pid"]))
        print(f"\n$ kill {pid}  # {node}", flush=True)
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE_S
        while self._row(node)["state"] in ("starting", "ready"):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{node} goes on after SIGTERM")
            time.sleep(POLL_S)

    def _row(self, node: str) -> dict[str, object]:
        rows: list[dict[str, object]] = json.loads(self._run("ps -o json").stdout)
        return next(row for row in rows if row["node"] == node)

    def _run(self, line: str) -> "subprocess.CompletedProcess[str]":
        command = [*FAME, *line.split()]
        return subprocess.run(
            command,
            env=self.env,
            cwd=self.folder,
            check=False,
            text=True,
            capture_output=True,
            timeout=COMMAND_TIMEOUT_S,
        )

    def _judge(self, line: str, is_well: bool) -> None:
        self.count += 1
        if not is_well:
            self.failed.append(line)


def perform(
    folder: Path,
    ports: Mapping[str, int],
    play: Callable[[Stage], None],
    *,
    before_up: Callable[[Stage], None] | None = None,
    verdict: str = "all {count} commands went as expected",
) -> int:
    """Start the fabric, play, stop it; return 0 if everything went as expected.

    Args:
        folder: the folder of the example.
        ports: variable of a port → the port it would like.
        play: what is to be shown once the nodes are up.
        before_up: called before each try to start them, with the ports of that try.
        verdict: the last words if all is well.
    """
    for number in SIGNALS:
        signal.signal(number, _interrupted)
    with tempfile.TemporaryDirectory(prefix="fame-demo-") as state:
        stage = Stage(folder, state, _free_ports(ports))
        try:
            if code := stage.secure(os.environ.get("PROFILE", ""), state) or _set(stage, before_up):
                return code
            play(stage)
        finally:
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not leave anything running
            with suppress(BrokenPipeError):  # whoever read this may be gone; what was started has to end all the same
                print("\n$ fame down fabric.yaml", flush=True)
            stage.fame("down", "fabric.yaml")
    well = verdict.format(count=stage.count)
    print(f"\nfailed: {'; '.join(stage.failed)}" if stage.failed else f"\n{well}", flush=True)
    return 1 if stage.failed else 0


def _set(stage: Stage, before_up: Callable[[Stage], None] | None) -> int:
    """Start the nodes, once more on other ports if need be, and return the exit code."""
    if before_up is not None:
        before_up(stage)
    if not stage.up():
        return 0
    stage.fame("logs")
    print("\nagain, on other ports: somebody may have been quicker to take these", flush=True)
    stage.move(_free_ports(dict.fromkeys(stage.ports, 0)))
    if before_up is not None:
        before_up(stage)
    code = stage.up()
    if code:
        stage.fame("logs")
    return code


def _free_ports(wanted: Mapping[str, int]) -> dict[str, int]:
    """Return ports nobody listens on: those wanted, or others in their place."""
    with ExitStack() as stack:
        return {
            name: _listening(stack.enter_context(socket.socket()), port)
            or _listening(stack.enter_context(socket.socket()), 0)
            for name, port in wanted.items()
        }


def _listening(listener: socket.socket, port: int) -> int:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen()
    except OSError:
        listener.close()
        return 0
    return int(listener.getsockname()[1])


def _interrupted(number: int, frame: object) -> None:
    """Turn a signal into an exception, so that everything is stopped on the way out."""
    sys.exit(128 + number)
