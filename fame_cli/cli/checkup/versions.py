"""The check of versions: Python's, and those of the packages this one needs, against what it says it needs."""

import re
import sys
from collections.abc import Iterator
from typing import NamedTuple

from fame_cli.cli.checkup.case import Case, Subject
from fame_cli.cli.checkup.findings import Finding, fail, ok, warn
from fame_cli.cli.checkup.machine import Machine
from fame_cli.config.schema import AgentConfig
from fame_cli.errors import ConfigError
from fame_cli.version import VERSION

__all__ = ["CHECK", "look", "look_at", "meets"]

CHECK = "versions"

LEAST_PYTHON = (3, 11)
SHOWN = ("websockets", "picows", "uvloop", "msgspec", "cryptography")
"""Packages whose versions a report of a fault needs."""

_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)\s*(?:\[[^]]*\])?\s*\(?([^;)]*)\)?\s*(?:;\s*(.*))?")
_OPERATORS = {
    ">=": lambda one, other: one >= other,
    "<=": lambda one, other: one <= other,
    "<": lambda one, other: one < other,
    ">": lambda one, other: one > other,
    "==": lambda one, other: one == other,
    "!=": lambda one, other: one != other,
}


class Requirement(NamedTuple):
    """Hold what one line of the metadata asks for; `extra` is "" where it is always needed."""

    name: str
    bounds: str
    extra: str


def look(case: Case) -> list[Finding]:
    """Compare what is installed with what is needed, here and by the nodes."""
    machine = case.machine
    if amiss := list(_amiss(machine)):
        return amiss
    packages = [f"{name} {machine.installed[name]}" for name in SHOWN if name in machine.installed]
    running = ", ".join([f"fame {VERSION}", f"Python {'.'.join(map(str, machine.python))}", *packages])
    return [ok(CHECK, running)]


def look_at(subject: Subject, case: Case) -> list[Finding]:
    """Say which extra a node needs and hasn't got."""
    config = subject.config
    operations = (config.agent.operations or {}) if isinstance(config, AgentConfig) else {}
    asks = [name for name, each in operations.items() if each.http is not None]
    if not asks or "httpx" in case.machine.installed:
        return []
    what = f"operation {asks[0]}: HTTP calls need httpx, which isn't installed"
    return [fail(CHECK, what, "pip install 'fame-cli[http]'", ConfigError)]


def _amiss(machine: Machine) -> Iterator[Finding]:
    if machine.python[:2] < LEAST_PYTHON:
        told = ".".join(map(str, machine.python))
        yield fail(CHECK, f"Python {told} is too old", f"use {'.'.join(map(str, LEAST_PYTHON))} or newer")
    for needed in filter(None, map(_read, machine.requirements)):
        installed = machine.installed.get(needed.name)
        wanted = f"pip install '{needed.name}{needed.bounds}'"
        if installed is None:
            if not needed.extra:
                yield fail(CHECK, f"{needed.name} isn't installed, and nothing works without it", wanted)
        elif not meets(installed, needed.bounds):
            yield warn(CHECK, f"{needed.name} {installed} isn't one that fame is tested with", wanted)


def _read(line: str) -> Requirement | None:
    """Read a requirement as metadata have it (PEP 508); None for what isn't for this machine, or for developers."""
    found = _REQUIREMENT.fullmatch(line.strip())
    if found is None:
        return None
    marker = found[3] or ""
    extra = re.search(r"extra\s*==\s*['\"]([\w-]+)", marker)
    if (extra and extra[1] not in ("fast", "http")) or ("sys_platform != " in marker and sys.platform == "win32"):
        return None
    return Requirement(found[1].lower().replace("_", "-"), found[2].strip(), extra[1] if extra else "")


def meets(version: str, bounds: str) -> bool:
    """Tell whether a version is within bounds like ``>=17.4,<18``; what can't be read counts as met."""
    own = _numbers(version)
    for bound in filter(None, (each.strip() for each in bounds.split(","))):
        found = re.fullmatch(r"(>=|<=|==|!=|<|>)\s*([\d.]+)", bound)
        if found is None:
            continue
        other = _numbers(found[2])
        length = max(len(own), len(other))
        one, two = (each + (0,) * (length - len(each)) for each in (own, other))
        if not _OPERATORS[found[1]](one, two):
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    leading = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(each) for each in leading[0].split(".")) if leading else ()
