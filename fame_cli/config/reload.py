"""Reading a config again while its node runs: what changes, what would need a restart, and what the node is told.

A config that doesn't load changes nothing, nor does one that names a file that has changed and doesn't. What a restart
would be needed for keeps its old value, and is named.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel

from fame_cli.config.build import adjustable
from fame_cli.config.named_files import NamedFile, NamedFiles, check
from fame_cli.config.schema import AgentConfig, PeerConfig, SentinelConfig
from fame_cli.errors import ConfigError, FameError
from fame_cli.node.adjusting import Adjust
from fame_cli.node.log import log_event, set_up_logging
from fame_cli.security.files import open_regular, why

__all__ = ["Outcome", "Reloading", "merged"]

LIVE = (
    *("peers", "drain_s", "fail_fast", "log.level", "log.format", "routing.balance", "agent.max_concurrent"),
    *("limits.max_hops", "limits.max_held_bytes", "limits.max_links", "limits.attach_s", "limits.*_per_s"),
    *("limits.calls_in_flight", "limits.routes", "limits.unknown_keys", "limits.waiting_envelopes", "limits.errors"),
)
"""Keys that change without a restart, as patterns; `security.policy` besides, where there was one and there is one."""

C = TypeVar("C", SentinelConfig, AgentConfig)
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Say what became of one reload.

    Args:
        changed: keys whose new value counts.
        kept: keys whose new value would need a restart, and files that would.
        error: why the config can't be taken, "" if it can.
        files: those that the config names, by that name, which have changed and count now.
    """

    changed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    error: str = ""
    files: tuple[str, ...] = ()


def merged(running: C, wanted: C) -> tuple[C, Outcome]:
    """Return the config that can be had without a restart, and how it differs from either."""
    before, after = dict(_leaves(running.model_dump())), dict(_leaves(wanted.model_dump()))
    differing = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    changed = [key for key in differing if _is_live(key, before.get(key), after.get(key))]
    effective = running
    for key in changed:
        effective = _put(effective, wanted, key.split("."))
    kept = [key for key in differing if key not in changed]
    shows = "peers" in changed and any(peer.admission for peer in _peers(wanted))
    if shows and running.security_settings() is None:  # nothing is there that could show it
        peers = [peer.model_copy(update={"admission": None}) for peer in _peers(wanted)]
        effective = effective.model_copy(update={"peers": peers})
        kept.append("peers.admission")
    return effective.with_file(running.file), Outcome(tuple(changed), tuple(kept))


def _is_live(key: str, before: object, after: object) -> bool:
    if key == "security.policy":
        return before is not None and after is not None
    return any(fnmatchcase(key, pattern) for pattern in LIVE)


def _peers(config: SentinelConfig | AgentConfig) -> list[PeerConfig]:
    return config.peers if isinstance(config, SentinelConfig) else []


def _leaves(values: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield dotted keys and their values; a list, and a mapping with keys of the user's own, is one value."""
    for key, value in values.items():
        if isinstance(value, dict) and f"{prefix}{key}" not in ("agent.init", "agent.operations"):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _put(model: M, source: BaseModel, path: list[str]) -> M:
    """Return a copy of a model with one value of another one of its kind."""
    name, *rest = path
    own, theirs = dict(model)[name], dict(source)[name]
    return model.model_copy(update={name: _put(own, theirs, rest) if rest else theirs})


class Reloading(Generic[C]):
    """Reload one node's config as often as it is asked to.

    Args:
        running: what the node was started with.
        read: reads the config again, flags and variables as at the start; None without a file.
        told: hears of each outcome.
    """

    def __init__(
        self, running: C, read: Callable[[], C] | None, told: Callable[[Outcome], None] = lambda _: None
    ) -> None:
        self._running: C = running
        self._read: Callable[[], C] | None = read
        self._told = told
        self._files = NamedFiles(running)

    def __call__(self, adjust: Adjust) -> None:
        """Read the config again and tell the node what is new; never raises what is wrong with a config."""
        self.take(lambda config: adjust(adjustable(config)))

    def take(self, use: Callable[[C], None]) -> None:
        """Read the config again and have `use` do with it what it takes."""
        try:
            if self._read is None:
                raise ConfigError("there is no file to read again", hint="start the node with --config FILE")
            _check_file(self._running.file)
            effective, told = merged(self._running, self._read())
            files = NamedFiles(effective)
            changed = files.changed_since(self._files)
            check(effective, changed)
            outcome = _with_files(told, changed)
            if outcome.changed or any(file.role == "policy" for file in changed):
                use(effective)
        except FameError as error:
            log_event("config_not_reloaded", "error", reason=str(error))
            self._told(Outcome(error=str(error)))
            return
        self._running, self._files = effective, files
        set_up_logging(effective.log.level, effective.log.format)
        log_event("config_reloaded", changed=list(outcome.changed), files=list(outcome.files))
        for key in outcome.kept:
            log_event("config_kept", "warning", key=key, reason="it needs a restart")
        self._told(outcome)


def _with_files(told: Outcome, changed: Sequence[NamedFile]) -> Outcome:
    """Return an outcome that names files that have changed, too."""
    kept = [file.name for file in changed if not file.is_live]
    return replace(told, files=tuple(file.name for file in changed if file.is_live), kept=(*told.kept, *kept))


def _check_file(file: Path | None) -> None:
    """See that a config can be read again without waiting: what was a pipe at the start would hold the node up.

    Raises:
        ConfigError: it can't.
    """
    if file is None:
        return
    try:
        os.close(open_regular(file))
    except OSError as error:
        raise ConfigError(f"can't be read: {why(error)}", source=str(file), hint="check the file") from error
