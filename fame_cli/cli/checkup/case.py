"""What is looked at: the nodes of one config, where they are to attach, and this machine."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from fame_cli.cli.checkup.machine import Machine
from fame_cli.config.schema import AgentConfig, ClientConfig, SentinelConfig
from fame_cli.core.grant import AGENT, CLIENT, PEER, Grant
from fame_cli.node.clock import random_id
from fame_cli.security.keystore import Home
from fame_cli.security.settings import SecuritySettings
from fame_cli.security.setup import Security

__all__ = ["Case", "NodeConfig", "Subject", "Target", "unheard"]

NodeConfig = SentinelConfig | AgentConfig | ClientConfig


@dataclass(frozen=True, slots=True)
class Target:
    """Hold where a node dials: an attach URL without its id, and whether it attaches as a peer."""

    url: str
    as_peer: bool = False


@dataclass(frozen=True, slots=True)
class Subject:
    """Hold one node that is looked at.

    Args:
        name: to tell it from others; "" where it is alone.
        config: its checked config.
        settings: what it is told about security, None for nothing; of no meaning if it isn't `is_sound`.
        is_sound: False where a file it names isn't there or is broken, so that nothing can be said of its security.
        targets: where it dials.
    """

    name: str
    config: NodeConfig
    settings: SecuritySettings | None = None
    is_sound: bool = True
    targets: tuple[Target, ...] = ()

    def settings_at(self, url: str) -> SecuritySettings | None:
        """Return its settings as they are at one attach URL, without its audit log, which isn't ours to write."""
        if self.settings is None:
            return None
        admission = self.settings.peers.get(url, self.settings.admission)
        return replace(self.settings, admission=admission, peers={}, audit=None)

    def wanted(self) -> Grant:
        """Return who a node like it is and what it does, for the grant it issues itself."""
        roles = {PEER, CLIENT} if self.config.kind == "sentinel" else {AGENT, CLIENT}
        node = self.config.id or random_id("doctor")
        return Grant(node, node, roles=frozenset(roles), prefixes=("**",), addresses=("**",), capabilities=("**",))

    def security(self, settings: SecuritySettings) -> Security:
        """Return what it has of security by some settings, not started, and without making keys for it.

        Raises:
            ConfigError: files can't be used.
        """
        return Security(settings, self.wanted(), named=self.has_keys())

    def has_keys(self, node_id: str | None = None) -> bool:
        """Tell whether the home folder has keys of the node; to ask for them would make some.

        Raises:
            ConfigError: their file can't be read, or others can read it.
        """
        home, wanted = self.settings.home if self.settings else None, node_id or self.config.id
        return home is not None and wanted is not None and Home(home).node(wanted) is not None


@dataclass(slots=True)
class Case:
    """Hold all that is looked at.

    Args:
        env: environment variables.
        file: the config file; None for variables and defaults alone.
        node: which node of a fabric file; None for all.
        url: a sentinel to reach in place of those the config names.
        timeout_s: seconds each check may take, > 0.
        machine: facts about this machine.

    Attributes:
        path: the file as it was found.
        subjects: the nodes; filled in by the check of the config.
    """

    env: Mapping[str, str]
    file: str | None = None
    node: str | None = None
    url: str | None = None
    timeout_s: float = 3.0
    machine: Machine = field(default_factory=Machine.here)
    path: Path | None = None
    subjects: list[Subject] = field(default_factory=list)


def unheard(event: str, level: str = "info", **facts: object) -> None:
    """Take an event of a node that isn't one, as ``log_event`` would."""
