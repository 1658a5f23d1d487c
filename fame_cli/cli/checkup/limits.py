"""The check of limits: whether this machine can hold what a sentinel's config lets its neighbours make it hold."""

from fame_cli.cli.checkup.case import Case, Subject
from fame_cli.cli.checkup.findings import Finding, fail, ok, warn
from fame_cli.config.schema import SentinelConfig
from fame_cli.errors import ConfigError
from fame_cli.node.sentinel import OTHER_FILES

__all__ = ["CHECK", "files", "look_at", "memory"]

CHECK = "limits"

LINK_BYTES = 20 * 1024
"""Memory that a sentinel has for an idle link (benchmarks/README.md)."""

_MIB = 1024 * 1024


def look_at(subject: Subject, case: Case) -> list[Finding]:
    """Compare a sentinel's limits with this machine's; others hold next to nothing."""
    config, machine = subject.config, case.machine
    if not isinstance(config, SentinelConfig):
        return []
    limits, kept = config.limits, sum(mailbox.max_bytes for mailbox in config.mailboxes)
    kept += config.delivery.max_bytes if config.delivery.profile == "at-least-once" else 0
    found = [files(limits.max_links, machine.open_files)]
    if machine.memory_bytes is not None:
        found.append(memory(limits.max_held_bytes, limits.max_links, config.workers, machine.memory_bytes, kept))
    return found


def files(max_links: int, most: int) -> Finding:
    """Say whether as many links can be open.

    Args:
        max_links: `limits.max_links`.
        most: files a process may have open.
    """
    room = most - OTHER_FILES
    do = "raise the hard limit of open files (ulimit -Hn, LimitNOFILE=), or lower limits.max_links"
    if room < 1:
        return fail(CHECK, f"a process may have {most} files open, which is no room for a single link", do, ConfigError)
    if room < max_links:
        what = f"{room} links at most, not {max_links}, because a process may have {most} files open"
        return warn(CHECK, what, do)
    return ok(CHECK, f"{max_links} links can be open")


def memory(max_held_bytes: int, max_links: int, workers: int, free: int, kept_bytes: int = 0) -> Finding:
    """Say whether there is the memory for what may be held.

    Args:
        max_held_bytes: `limits.max_held_bytes`, of each worker.
        max_links: `limits.max_links`.
        workers: processes.
        free: bytes that another process can have.
        kept_bytes: of messages it answers for, which are in memory besides where they are stored.
    """
    wanted = max_held_bytes * workers + LINK_BYTES * max_links + kept_bytes
    what = f"neighbours can make it hold {wanted // _MIB} MiB, and {free // _MIB} MiB are free"
    if wanted > free:
        return warn(CHECK, what, "lower limits.max_held_bytes or limits.max_links, or give it more memory")
    return ok(CHECK, what)
