"""The check of the security profile: what it leaves open, whether its authority is there, who can read its files."""

import shlex
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from fame_cli.cli.checkup.bounds import run
from fame_cli.cli.checkup.case import Case, Subject, unheard
from fame_cli.cli.checkup.findings import Finding, fail_of, ok, warn
from fame_cli.config.fields import is_loopback
from fame_cli.config.schema import SentinelConfig
from fame_cli.errors import FameError
from fame_cli.security.files import PRIVATE, read_file
from fame_cli.security.keystore import Home
from fame_cli.security.settings import Admission, SecuritySettings

__all__ = ["CHECK", "look_at"]

CHECK = "security"

PRIVATE_FILES = ("authority.json", "ca.key", "revoked.json")
"""Of the home folder, beside the keys of nodes."""


def look_at(subject: Subject, case: Case) -> list[Finding]:
    """Say what the profile of a node leaves open, and what it lacks."""
    told = [*_open_places(subject), *_shown_secrets(subject)]
    if not subject.is_sound:
        return told
    settings = subject.settings
    if settings is not None:
        told += _readable(settings)
        told += _unready(subject, settings) if settings.profile != "open" else []
    if told:
        return told
    profile = subject.config.security.profile
    if settings is None or profile == "open":
        return [ok(CHECK, "profile open, and nothing of it is reached from other machines")]
    fabric = (Home(settings.home).fabric() if settings.home is not None else "") or settings.fabric
    return [ok(CHECK, f"profile {profile}, fabric {fabric}")]


def _open_places(subject: Subject) -> Iterator[Finding]:
    config, profile = subject.config, subject.config.security.profile
    if isinstance(config, SentinelConfig) and profile == "open" and not is_loopback(config.listen_host):
        what = f"whoever reaches {config.listen} may do everything: the profile is open"
        yield warn(CHECK, what, "set security.profile: gated, or listen on 127.0.0.1")
    for target in subject.targets:
        host = urlsplit(target.url).hostname or ""
        if target.url.lower().startswith("ws:") and not is_loopback(host):
            yield warn(CHECK, f"what goes to {host} goes in the clear", "use wss:// (security.tls)")


def _shown_secrets(subject: Subject) -> Iterator[Finding]:
    """Yield that others can read a config with a secret in it, as far as it came from the file."""
    config = subject.config
    if config.file is None or not (config.admission.token or config.admission.client_secret):
        return
    if _mode(config.file) & 0o044:
        what = f"others can read {config.file}, and it may hold a token or a secret"
        yield warn(CHECK, what, f"chmod 600 {shlex.quote(str(config.file))}, or use admission.token_file")


def _mode(path: Path) -> int:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return 0


def _readable(settings: SecuritySettings) -> Iterator[Finding]:
    """Yield which private files others can read; the node would refuse them, some only when it needs them."""
    home = settings.home
    if home is not None:
        if _mode(home) & 0o022:
            yield warn(CHECK, f"others may write in {home}", f"chmod 700 {shlex.quote(str(home))}")
        for path in (*(home / name for name in PRIVATE_FILES), *sorted((home / "keys").glob("*.json"))):
            try:
                read_file(path, PRIVATE)
            except FameError as error:
                yield fail_of(CHECK, error)
    token = settings.admission.token_file
    if token is not None and _mode(token) & 0o044:
        yield warn(CHECK, f"others can read the token in {token}", f"chmod 600 {shlex.quote(str(token))}")


def _unready(subject: Subject, settings: SecuritySettings) -> list[Finding]:
    """Set its security up as the node would, but for what it shows, which is another check's."""
    bare = replace(settings, admission=Admission(), peers={}, audit=None)
    listens = subject.config.kind == "sentinel"
    try:
        run(subject.security(bare).start(unheard, listens=listens))
    except FameError as error:
        return [fail_of(CHECK, error)]
    return []
