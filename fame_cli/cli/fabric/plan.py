"""From the nodes of a fabric to what has to run, and what has to run before it.

Pure. Sentinels wait for nobody, because they go on dialling each other until it works; an agent waits for the
sentinel of the same fabric that it attaches to, which spares it a failed try. Clients are described in a fabric but
not run by it.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fame_cli.config.fields import is_own_url
from fame_cli.config.load import FabricNode
from fame_cli.config.schema import AgentConfig, SentinelConfig

__all__ = ["Task", "plan"]

_FAME = (sys.executable, "-P", "-m", "fame_cli")
"""`fame` by the interpreter that runs it now, whatever the PATH says; -P: what lies in this folder is not imported."""


@dataclass(frozen=True, slots=True)
class Task:
    """Hold one node to run.

    Args:
        name: unique in the fabric.
        kind: sentinel or agent.
        argv: what to run; it logs JSON lines.
        place: where it is to be found, as far as its config says: ``host:port`` or an address.
        needs: names of the tasks that must take links before this one starts.
        drain_s: seconds it may take to finish what runs once it is told to stop.
    """

    name: str
    kind: str
    argv: tuple[str, ...]
    place: str = ""
    needs: frozenset[str] = frozenset()
    drain_s: float = 0.0


def plan(nodes: Iterable[FabricNode], file: Path) -> list[Task]:
    """Return the tasks of a fabric, sentinels first, else in the order of the file.

    Args:
        nodes: the nodes, from `config.load.fabric_nodes`.
        file: the fabric file they are from, absolute.
    """
    nodes = list(nodes)
    sentinels = [(node.name, node.config) for node in nodes if isinstance(node.config, SentinelConfig)]
    tasks = [
        Task(name, "sentinel", _argv("sentinel", name, file), config.listen, drain_s=config.drain_s)
        for name, config in sentinels
    ]
    tasks += [
        Task(
            node.name,
            "agent",
            _argv("agent", node.name, file),
            node.config.agent.address,
            _listening_at(node.config.upstream.direct_url, sentinels),
            node.config.drain_s,
        )
        for node in nodes
        if isinstance(node.config, AgentConfig)
    ]
    return tasks


def _listening_at(url: str, sentinels: Sequence[tuple[str, SentinelConfig]]) -> frozenset[str]:
    return frozenset(name for name, config in sentinels if is_own_url(url, config.listen))


def _argv(kind: str, name: str, file: Path) -> tuple[str, ...]:
    return (*_FAME, kind, "--config", str(file), "--node", name, "--log-format", "json")
