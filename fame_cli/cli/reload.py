"""``fame reload``: have running nodes read their config again, and tell what became of it."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from fame_cli.cli import output, running
from fame_cli.cli.fabric.processes import POLL_S, is_running, reload_signal
from fame_cli.cli.fabric.state import shown, state_root
from fame_cli.cli.options import DebugOption, NodeOption, invocation_of
from fame_cli.cli.running import Running
from fame_cli.config.reload import Outcome
from fame_cli.errors import ConfigError, DeadlineExceeded, FameError, UsageError

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

    Peers, their costs, limits, the log, the policy and `drain_s` change at
    once. Files that the config names and that have changed are named, and so
    is whatever needs a restart. A file that doesn't load, the policy's or a
    certificate's, too, changes nothing, and the exit code is 3.

    fame reload
    fame reload fabric.yaml --node s1
    """
    root = state_root(invocation_of(ctx).environment())
    chosen = _chosen(running.all_running(root), file, node)
    for each in chosen:
        reload_signal(each.process)
    failures = list(_failures(root, chosen))
    for failure in failures[:-1]:
        output.error(str(failure))
    if failures:
        raise failures[-1]


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


def _failures(root: Path, chosen: Sequence[Running]) -> Iterator[FameError]:
    """Print what nodes say, and yield what is wrong, once for all whom it keeps from being reloaded."""
    wrong: dict[str, list[str]] = {}
    for each in chosen:
        try:
            outcome = _outcome(root, each)
        except FameError as error:
            yield error
            continue
        if outcome.error:
            wrong.setdefault(outcome.error, []).append(each.name)
        else:
            _show(each.name, outcome)
    for what, names in wrong.items():
        yield ConfigError(f"{what} (not reloaded: {', '.join(names)})")


def _outcome(root: Path, asked: Running) -> Outcome:
    """Wait for what a node says.

    Raises:
        UsageError: it has ended.
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
    return state.outcome


def _show(name: str, outcome: Outcome) -> None:
    if outcome.changed:
        output.data(f"{name}: changed {', '.join(outcome.changed)}")
    if outcome.files:
        output.data(f"{name}: reloaded {', '.join(outcome.files)}")
    if outcome == Outcome():
        output.data(f"{name}: nothing to change")
    for key in outcome.kept:
        output.data(f"{name}: {key} needs a restart")
