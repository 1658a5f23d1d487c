"""``fame reload``: have running nodes read their config again, and tell what became of it."""

import time
from pathlib import Path
from typing import Annotated

import typer

from fame_cli.cli import output, running
from fame_cli.cli.fabric.processes import POLL_S, is_running, reload_signal
from fame_cli.cli.fabric.state import shown, state_root
from fame_cli.cli.options import DebugOption, NodeOption, invocation_of
from fame_cli.cli.running import Running
from fame_cli.errors import ConfigError, DeadlineExceeded, UsageError

__all__ = ["reload"]

LIMIT_S = 10.0
"""Seconds a node has to say how it went."""


def reload(
    ctx: typer.Context,
    file: Annotated[
        str | None, typer.Argument(metavar="[FILE]", show_default=False, help="The config, if several run here.")
    ] = None,
    node: NodeOption = None,
    debug: DebugOption = False,
) -> None:
    """Have the nodes that run here from a file read it again, as a SIGHUP does.

    Peers, their costs, limits, the log, the policy and `drain_s` change at once; whatever else has changed is named,
    and needs a restart. A file that doesn't load changes nothing.

    fame reload
    fame reload fabric.yaml --node s1
    """
    root = state_root(invocation_of(ctx).environment())
    chosen = _chosen(running.all_running(root), file, node)
    for each in chosen:
        reload_signal(each.process)
    wrong = [told for each in chosen if (told := _told(root, each))]
    if wrong:
        raise ConfigError(wrong[0] if len(wrong) == 1 else f"{wrong[0]} (and {len(wrong) - 1} more)")


def _chosen(known: list[Running], file: str | None, node: str | None) -> list[Running]:
    """Return the nodes of a file, or of the only one there is.

    Raises:
        UsageError: none, or of several files.
    """
    if file is not None:
        paths = {str(place.resolve()) for place in (Path(file), Path("configs", file))}
        known = [each for each in known if each.file in paths]
        if not known:
            raise UsageError(f"nothing runs here from {file}", hint=f"start it: fame up -d {file}")
    files = sorted({shown(Path(each.file)) for each in known})
    if not files:
        raise UsageError("nothing runs here from a file", hint="nodes without one have nothing to read again")
    if len(files) > 1:
        raise UsageError(f"{len(files)} files run here: {', '.join(files)}", hint=f"name one: fame reload {files[0]}")
    fitting = [each for each in known if node in (None, each.node)]
    if not fitting:
        raise UsageError(f"{files[0]} has no node {node} that runs", hint=f"it has {', '.join(e.name for e in known)}")
    return fitting


def _told(root: Path, asked: Running) -> str:
    """Wait for what a node says, print it, and return what was wrong, "" for nothing.

    Raises:
        DeadlineExceeded: it says nothing.
    """
    until = time.monotonic() + LIMIT_S
    path = running.path_of(root, asked.pid)
    while (state := running.read(path)) is None or state.reloads == asked.reloads:
        if not is_running(asked.process):
            raise UsageError(f"{asked.name} has ended", hint="see what it said")
        if time.monotonic() > until:
            raise DeadlineExceeded(f"{asked.name} says nothing for {LIMIT_S:g} s", hint="see what it logs")
        time.sleep(POLL_S)
    outcome = state.outcome
    if outcome.error:
        return f"{asked.name} goes on as it was: {outcome.error}"
    output.data(
        f"{asked.name}: " + (f"changed {', '.join(outcome.changed)}" if outcome.changed else "nothing to change")
    )
    for key in outcome.kept:
        output.data(f"{asked.name}: {key} needs a restart")
    return ""
