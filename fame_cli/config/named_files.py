"""The files beside its own that a node's config names: which have changed, whether they load, which count at once.

A node looks at some of them by itself while it runs (the policy, tokens, certificates, the authority's public keys);
others it reads at its start alone. A reload tells the user about both.
"""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fame_cli.config.needs import amiss, files_of
from fame_cli.config.plain import environment
from fame_cli.config.schema import NodeConfig
from fame_cli.config.security_fields import located
from fame_cli.security.settings import SecuritySettings

__all__ = ["NamedFile", "NamedFiles", "check"]

_TLS = ("certificate", "key", "authorities")
_HOME = ("authority.pub.json", "revoked.json")
"""Of the home folder, what is looked at by whoever verifies tokens."""

_Stamp = tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class NamedFile:
    """Hold one file.

    Args:
        path: where it is.
        name: what the config calls it, or its name in the home folder.
        role: the key that names it, or "home".
        is_live: what is in it counts without a restart.
    """

    path: Path
    name: str
    role: str
    is_live: bool


class NamedFiles:
    """Hold what the files of a config looked like at one moment.

    Args:
        config: of the node.
    """

    def __init__(self, config: NodeConfig) -> None:
        self._stamps = {file: _stamp(file.path) for file in _named(config)}

    def changed_since(self, before: "NamedFiles") -> list[NamedFile]:
        """Return which were named before as well, and look different now; not what a node has made at its start."""
        then = before._stamps
        differing = [file for file, stamp in self._stamps.items() if file in then and then[file] != stamp]
        return [file for file in differing if file.is_live or then[file] is not None]


def _named(config: NodeConfig) -> Iterator[NamedFile]:
    profile = config.security.profile
    for place, name in files_of(config):
        role = str(place[-1])
        if name is None or (role == "policy" and profile == "open"):  # which asks no policy
            continue
        at_start_alone = role == "key_file" or (role in _TLS and profile == "strict-overlay")
        yield NamedFile(located(name, config.base_dir), name, role, not at_start_alone)
    if profile != "open":
        yield from _of_home(config)


def _of_home(config: NodeConfig) -> Iterator[NamedFile]:
    from fame_cli.security.keystore import home_folder  # slow to import: the open profile needs no keys

    told = config.security.home
    home = home_folder(environment()) if told is None else located(told, config.base_dir)
    for name in _HOME:
        yield NamedFile(home / name, name, "home", is_live=True)
    others = ["authority.json"]
    others += [f"keys/{config.id}.json"] if config.id is not None else []
    others += ["ca.pem", "ca.key"] if config.security.profile == "strict-overlay" else []
    for name in others:
        yield NamedFile(home / name, name, "home", is_live=False)


def _stamp(path: Path) -> _Stamp:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def check(config: NodeConfig, changed: Sequence[NamedFile]) -> None:
    """See whether the policy of a config loads, and those of its files that have changed.

    Raises:
        ConfigError: one doesn't.
        AdmissionRefused: the token in one has expired.
    """
    settings = config.security_settings()
    roles = {file.role for file in changed}
    if settings is None:
        return
    if roles & {*_TLS, "key_file"}:
        for error in amiss(settings):
            raise error
    if "token_file" in roles:
        _check_tokens([file.path for file in changed if file.role == "token_file"])
    if "home" in roles:
        _check_home(settings, config.id)


def _check_tokens(paths: Sequence[Path]) -> None:
    from fame_cli.security.oauth import read_token_file  # slow to import, and most nodes have none

    for path in paths:
        read_token_file(path, time.time())


def _check_home(settings: SecuritySettings, node_id: str | None) -> None:
    from fame_cli.security.keystore import Home  # as above

    if settings.home is None:
        return
    home = Home(settings.home)
    home.authority_keys()
    home.revoked("")
    home.authority()
    if node_id is not None:
        home.node(node_id)
