"""Find or make a Python with the real Naylence kit, and put together the fabrics that the interop tests talk to.

The kit lives in an environment of its own, `.venv-naylence` in the repository root: it needs Python >= 3.12 and must
not meet our dependencies. `FAME_NAYLENCE_PYTHON` names another interpreter that has it. Where the machine has no such
Python the tests are skipped, and say so; any other trouble fails them. `INTEROP_ENVELOPES=true` makes the Naylence
nodes print each envelope, which then shows up in the report of a failing test.
"""

import fcntl
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from interop_nodes import Fabric, FabricMaker, World

KIT = "naylence-agent-sdk"
KIT_VERSION = "0.4.12"
OLDEST = (3, 12)
ENVIRONMENT = Path(__file__).parents[2] / ".venv-naylence"
INSTALL_S = 240
TEST_S = 300  # the first test of a run may have to install the kit
HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what is in this folder, and leave the slow tests out unless a marker expression names them."""
    asked = "slow" in str(config.getoption("markexpr", default=""))
    for item in items:
        if not item.path.is_relative_to(HERE):
            continue
        item.add_marker(pytest.mark.interop)
        item.add_marker(pytest.mark.timeout(TEST_S))
        if item.get_closest_marker("slow") and not asked:
            item.add_marker(pytest.mark.skip(reason="waits for heartbeats in real time; run with -m slow"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach what the processes of a failing test wrote."""
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        for value in item.funcargs.values():
            fabric = value.fabric if isinstance(value, World) else value
            if isinstance(fabric, Fabric):
                report.sections.append(("nodes", fabric.tails()))
    return report


def _output_of(python: str, code: str) -> str:
    """Return what a line of Python prints under an interpreter, or "" if that doesn't work."""
    try:
        done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, timeout=30, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _candidates() -> Iterator[str]:
    """Yield interpreters that may be new enough: on the PATH, this one, and those that version managers keep."""
    for name in ("python3.12", "python3.13", "python3.14", "python3"):
        if found := shutil.which(name):
            yield found
    yield sys.executable
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    roots = [
        Path(os.environ.get("PYENV_ROOT", home / ".pyenv")) / "versions",
        home / ".pyenv" / "versions",
        home / ".local" / "share" / "uv" / "python",
        Path(sys.base_prefix).parent,
    ]
    for root in roots:
        yield from sorted(str(path) for path in root.glob("*3.1*/bin/python3"))


def _new_enough() -> str | None:
    """Return the oldest interpreter that is new enough, or None."""
    found: dict[tuple[int, int], str] = {}
    for python in _candidates():
        answer = _output_of(python, "import sys, venv, ensurepip; print(*sys.version_info[:2])")
        if answer:
            major, minor = (int(part) for part in answer.split())
            found.setdefault((major, minor), python)
    return next((found[version] for version in sorted(found) if version >= OLDEST), None)


def _has_kit(python: str) -> bool:
    """Tell whether the pinned kit can be imported by an interpreter."""
    code = f"import importlib.metadata as m, naylence.agent; print(m.version('{KIT}'))"
    return _output_of(python, code) == KIT_VERSION


def _install(python: str, inside: Path) -> None:
    """Fill the environment afresh; what is in it stays out of version control."""
    for command in (
        [python, "-m", "venv", "--clear", str(ENVIRONMENT)],
        [str(inside), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"{KIT}=={KIT_VERSION}"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
        if done.returncode:
            pytest.fail(f"can't make {ENVIRONMENT.name}: {' '.join(command)}\n{done.stderr[-2000:]}", pytrace=False)
        (ENVIRONMENT / ".gitignore").write_text("*\n", encoding="utf-8")


def _make_environment(python: str) -> str:
    """Make the environment if it isn't there, one process at a time; return its interpreter."""
    inside = ENVIRONMENT / "bin" / "python"
    ENVIRONMENT.mkdir(exist_ok=True)
    folder = os.open(ENVIRONMENT, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        if not _has_kit(str(inside)):
            _install(python, inside)
    finally:
        os.close(folder)
    return str(inside)


@pytest.fixture(scope="session")
def naylence_python() -> str:
    """Return an interpreter that has the kit; skip where there can't be one."""
    if given := os.environ.get("FAME_NAYLENCE_PYTHON"):
        if not _has_kit(given):
            pytest.fail(f"FAME_NAYLENCE_PYTHON={given} has no {KIT} {KIT_VERSION}", pytrace=False)
        return given
    inside = str(ENVIRONMENT / "bin" / "python")
    if _has_kit(inside):
        return inside
    python = _new_enough()
    if python is None:
        pytest.skip("real Naylence needs Python >= 3.12 and none was found; install one or set FAME_NAYLENCE_PYTHON")
    return _make_environment(python)


@pytest.fixture(scope="module")
def new_fabric(naylence_python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FabricMaker]:
    """Give a function that makes an empty fabric; all of them end with the module."""
    maker = FabricMaker(naylence_python, lambda: tmp_path_factory.mktemp("fabric"))
    yield maker
    maker.close()
