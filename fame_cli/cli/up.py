"""``fame up``, ``ps``, ``logs`` and ``down``: all nodes of one fabric file as processes of this machine.

In the foreground the merged logs go to stderr and Ctrl-C stops everything; with ``-d`` the nodes live on by
themselves. Either way they are written down (`fabric.state`), so that the other commands find them. The work is in
``fame_cli/cli/fabric``; here are the words.
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from fame_cli.cli import output, tables
from fame_cli.cli.fabric import logs as log_lines
from fame_cli.cli.fabric import state as states
from fame_cli.cli.fabric.launch import Launch, stop_nodes
from fame_cli.cli.fabric.logs import LogLine, Tail
from fame_cli.cli.fabric.plan import Task, plan
from fame_cli.cli.fabric.processes import POLL_S, Interrupts
from fame_cli.cli.fabric.state import FabricState, NodeState
from fame_cli.cli.options import DebugOption, invocation_of
from fame_cli.cli.output import OutputFormat
from fame_cli.errors import DeadlineExceeded, UsageError

__all__ = ["down", "logs", "ps", "run", "up"]

INTERRUPTED = 130

FileArgument = Annotated[
    str, typer.Argument(metavar="FILE", show_default=False, help="A `kind: fabric` file, here or in ./configs.")
]
KnownFileArgument = Annotated[
    str | None,
    typer.Argument(metavar="[FILE]", show_default=False, help="Its fabric file; not needed if only one is there."),
]


def up(
    ctx: typer.Context,
    file: FileArgument,
    detach: Annotated[bool, typer.Option("-d", "--detach", help="Return once all are ready.")] = False,
    wait: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", min=0.1, help="With -d, how long to wait for that.")
    ] = 30.0,
    debug: DebugOption = False,
) -> None:
    """Start all nodes of a fabric file, each as a process of its own.

    fame up fabric.yaml       (logs here; Ctrl-C stops all)
    fame up -d fabric.yaml    (in the background; see fame ps, fame logs, fame down)
    """
    from fame_cli.config.load import fabric_nodes, find, load_fabric  # pulls in pydantic

    env = invocation_of(ctx).environment()
    path = find(file)
    name = load_fabric(path, env=env).name
    tasks = plan(fabric_nodes(path, env=env), path.resolve())
    code = run(tasks, name=name, file=path.resolve(), env=env, detach_within_s=wait if detach else None)
    if code:
        raise typer.Exit(code)


def run(
    tasks: Sequence[Task], *, name: str, file: Path, env: Mapping[str, str], detach_within_s: float | None = None
) -> int:
    """Bring tasks up and, in the foreground, stay with them to their end.

    Args:
        tasks: what to run.
        name: of the fabric.
        file: its file, absolute.
        env: variables of the processes, and where the state goes.
        detach_within_s: seconds until all must be ready, to return then; None to stay.

    Returns:
        The exit code.

    Raises:
        UsageError: it runs already, or there is nothing to run.
        NodeDied: a node ended too early; the others are stopped.
        DeadlineExceeded: not ready in time; all are stopped.
    """
    if not tasks:
        raise UsageError(f"{states.shown(file)} has nothing to run", hint="add a sentinel or an agent")
    root = states.state_root(env)
    folder = states.folder_for(root, name, file)
    with states.held(folder, file), Interrupts() as interrupts:
        _check_not_running(root, file)
        state = FabricState(name, str(file), folder=str(folder))
        say = _silence if detach_within_s is not None else _printer([task.name for task in tasks], output.diagnostic)
        launch = Launch(state, tasks, env, say)
        try:
            is_up = _bring_up(launch, state, interrupts, detach_within_s)
            if is_up and detach_within_s is not None:
                return 0
            code = _stay(launch, interrupts) if is_up else INTERRUPTED
        except BaseException:
            launch.stop(hurry=lambda: interrupts.count > 1)
            raise
        launch.stop(hurry=lambda: interrupts.count > 1)
        states.forget(state)
        return code


def _check_not_running(root: Path, file: Path) -> None:
    for state in states.all_states(root):
        if state.file == str(file) and states.running(state):
            raise states.running_already(file)


def _silence(name: str, line: LogLine) -> None:
    """Leave what a node says to its log file."""


def _printer(names: Sequence[str], put: Callable[[Sequence[output.Span]], None]) -> Callable[[str, LogLine], None]:
    """Return what prints the lines of nodes, each node in its colour."""
    width = max(map(len, names))
    styles = {name: log_lines.COLOURS[index % len(log_lines.COLOURS)] for index, name in enumerate(names)}
    return lambda name, line: put(log_lines.spans(name, styles[name], width, line))


def _bring_up(launch: Launch, state: FabricState, interrupts: Interrupts, limit_s: float | None) -> bool:
    """Wait until all nodes are ready; False if somebody doesn't want to."""
    deadline = None if limit_s is None else time.monotonic() + limit_s
    while not launch.is_ready:
        launch.step()
        if interrupts.count:
            return False
        if deadline is not None and time.monotonic() > deadline:
            missing = ", ".join(launch.missing())
            if launch.lacks_only_neighbours:
                output.note(f"{missing}: not all its neighbours are there after {limit_s:g} s; they are tried again")
                break
            hint = f"all are stopped; see: fame logs --file {states.shown(Path(state.file))}"
            raise DeadlineExceeded(f"not ready within {limit_s:g} s: {missing}", hint=hint)
        if not launch.is_ready:
            time.sleep(POLL_S)
    what_next = "Ctrl-C stops it" if limit_s is None else f"stop it: fame down {states.shown(Path(state.file))}"
    for node in [node for node in state.nodes if node.is_ready] if limit_s is not None else ():
        output.note(f"{node.name} is ready at {node.place}")
    output.note(f"{state.name} is up, {_counted(state)}; {what_next}")
    return True


def _counted(state: FabricState) -> str:
    return "1 node" if len(state.nodes) == 1 else f"{len(state.nodes)} nodes"


def _stay(launch: Launch, interrupts: Interrupts) -> int:
    """Show logs until somebody has enough or no node is left; 1 if a node failed."""
    told: set[str] = set()
    while not interrupts.count and not launch.is_over:
        time.sleep(POLL_S)
        launch.step()
        for name in launch.ended.keys() - told:
            told.add(name)
            code, others = launch.ended[name], "" if launch.is_over else "; the others go on"
            if code:
                output.error(f"node {name} has ended with code {code}{others}")
            else:
                output.note(f"node {name} was stopped{others}")
    return 1 if any(launch.ended.values()) else 0


def ps(
    ctx: typer.Context,
    form: Annotated[OutputFormat, typer.Option("-o", "--output", help="How the list is written.")] = OutputFormat.text,
    debug: DebugOption = False,
) -> None:
    """List the nodes that `fame up` has started, and what has become of them."""
    found = states.all_states(states.state_root(invocation_of(ctx).environment()))
    rows = [_row(state, node) for state in found for node in state.nodes]
    keys = ("fabric", "node", "kind", "pid", "state", "at", "uptime")
    tables.show([key.upper() for key in keys], [[row.get(key) for key in keys] for row in rows], rows, form)


def _row(state: FabricState, node: NodeState) -> dict[str, object]:
    status = node.status()
    uptime_s = max(0, round(time.time() - node.started_at)) if status in ("starting", "ready") else None
    return {
        "fabric": state.name,
        "file": state.file,
        "node": node.name,
        "kind": node.kind,
        "pid": node.pid or None,
        "state": status,
        "at": node.place,
        "uptime": None if uptime_s is None else tables.duration(uptime_s),
        "uptime_s": uptime_s,
    }


def logs(
    ctx: typer.Context,
    node: Annotated[str | None, typer.Argument(metavar="[NODE]", show_default=False, help="Only this one.")] = None,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on as more is said, until all have ended.")
    ] = False,
    file: Annotated[str | None, typer.Option("--file", show_default=False, help="Fabric file, if several run.")] = None,
    debug: DebugOption = False,
) -> None:
    """Show what the nodes of a fabric say, merged by time."""
    state = _chosen(invocation_of(ctx).environment(), file, "fame logs --file FILE")
    names = [known.name for known in state.nodes]
    if node is not None and node not in names:
        raise UsageError(f"{state.name} has no node {node}", hint=f"it has {', '.join(names)}")
    show = _printer(names, _print_log)
    tails = {name: Tail(state.log(name)) for name in names if node in (None, name)}
    with Interrupts() as interrupts:
        while not interrupts.count:
            is_over = not follow or not any(known.name in tails for known in states.running(state))
            for name, line in log_lines.merged({name: tail.read(is_last=is_over) for name, tail in tails.items()}):
                show(name, line)
            output.flush()
            if is_over:
                return
            time.sleep(POLL_S)
    raise typer.Exit(INTERRUPTED)


def _print_log(spans: Sequence[output.Span]) -> None:
    output.data(log_lines.ansi(spans) if sys.stdout.isatty() else "".join(text for text, _ in spans))


def down(ctx: typer.Context, file: KnownFileArgument = None, debug: DebugOption = False) -> None:
    """Stop the nodes of a fabric, agents first."""
    state = _chosen(invocation_of(ctx).environment(), file, "fame down FILE")
    count = len(states.running(state))
    with Interrupts() as interrupts:
        stop_nodes(state.nodes, hurry=lambda: interrupts.count > 0)
    left = [node.name for node in states.running(state)]
    if left:
        raise UsageError(f"{', '.join(left)} can't be stopped", hint="see: fame ps")
    states.forget(state)
    output.note(f"{state.name} is down, {_counted(state)}" if count else f"{state.name} was not running")


def _chosen(env: Mapping[str, str], file: str | None, command: str) -> FabricState:
    """Return the fabric of that file, or the only one there is: the only running one, if any run.

    Raises:
        UsageError: none, or several.
    """
    known = states.all_states(states.state_root(env))
    if file is not None:
        paths = {str(place.resolve()) for place in (Path(file), Path("configs", file))}
        for state in known:
            if state.file in paths:
                return state
        raise UsageError(f"{file} is not running here", hint=f"start it: fame up -d {file}")
    fitting = [state for state in known if states.running(state)] or known
    if not fitting:
        raise UsageError("no fabric is running here", hint="start one: fame up -d FILE")
    if len(fitting) > 1:
        raise UsageError(
            f"{len(fitting)} fabrics are here",
            hint=f"name one: {command}, one of {', '.join(state.file for state in fitting)}",
        )
    return fitting[0]
