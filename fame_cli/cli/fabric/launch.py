"""Bring the nodes of a fabric up: each as soon as those it needs take links, until all have said that they are ready.

A `Launch` is driven from outside by calling `step` again and again; it never waits. It passes on what the nodes say,
keeps the state on disk true, and turns the death of a node into an error that names it and quotes its last words.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fame_cli.cli.fabric.logs import LogLine, Tail, merged
from fame_cli.cli.fabric.plan import Task
from fame_cli.cli.fabric.processes import STOP_S, exit_code, start, stop
from fame_cli.cli.fabric.state import FabricState, NodeState, save
from fame_cli.errors import FameError

__all__ = ["Launch", "NodeDied", "stop_nodes"]

READY = "node_ready"
"""The event by which a node says that it is ready."""

STARTED = "node_started"
"""The event by which a sentinel says that it takes links; those it dials itself may not be there yet."""


class NodeDied(FameError):
    """Report that a node ended before the fabric was up; the exit code is the node's own."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message, hint="all others are stopped")
        self.exit_code = exit_code


@dataclass(slots=True)
class _Running:
    """Hold one node on its way up."""

    task: Task
    state: NodeState
    tail: Tail
    takes_links: bool = False
    exit_code: int | None = None
    last_words: str = ""


class Launch:
    """Run the nodes of one fabric.

    Args:
        state: of this fabric, with its folder; its nodes are set here.
        tasks: what to run.
        env: variables of every process.
        say: called with a node's name and each line it logs.

    Attributes:
        ended: exit codes of the nodes that have ended, by name; negative for a signal.
    """

    def __init__(
        self,
        state: FabricState,
        tasks: Sequence[Task],
        env: Mapping[str, str],
        say: Callable[[str, LogLine], None],
    ) -> None:
        self.ended: dict[str, int] = {}
        self._state = state
        self._env = {**env, "PYTHONUNBUFFERED": "1"}  # what a handler prints shows up when it is printed
        self._say = say
        state.nodes = [NodeState(task.name, task.kind, task.place, drain_s=task.drain_s) for task in tasks]
        self._nodes = [
            _Running(task, node, Tail(state.log(task.name))) for task, node in zip(tasks, state.nodes, strict=True)
        ]
        for task in tasks:
            state.log(task.name).unlink(missing_ok=True)
        save(state)

    @property
    def is_ready(self) -> bool:
        """Tell whether every node has said that it is ready."""
        return all(node.state.is_ready for node in self._nodes)

    @property
    def is_over(self) -> bool:
        """Tell whether every node has ended."""
        return len(self.ended) == len(self._nodes)

    @property
    def lacks_only_neighbours(self) -> bool:
        """Tell whether whoever isn't ready is a sentinel that works, but for neighbours outside that aren't there."""
        missing = [node for node in self._nodes if not node.state.is_ready]
        return all(node.takes_links and node.task.kind == "sentinel" for node in missing)

    def missing(self) -> list[str]:
        """Return the names of the nodes that aren't ready."""
        return [node.task.name for node in self._nodes if not node.state.is_ready]

    def step(self) -> None:
        """Start what can be started, and take in what has been said and who has ended since the last time.

        Raises:
            NodeDied: a node ended while not all were ready.
            OSError: a process can't be started.
        """
        self._start_due()
        was_ready = self.is_ready
        running = [node for node in self._nodes if node.state.pid and node.exit_code is None]
        for node in running:
            node.exit_code = exit_code(node.state.process)  # first, so that nothing is said after the last read
        self._listen(running)
        for node in running:
            if node.exit_code is not None:
                self._take_end(node, was_ready=was_ready)

    def stop(self, *, hurry: Callable[[], bool] = lambda: False) -> None:
        """End all nodes and pass on their last lines; see `stop_nodes`."""
        stop_nodes(self._state.nodes, hurry=hurry)
        running = [node for node in self._nodes if node.state.pid and node.exit_code is None]
        for node in running:
            node.exit_code = 0
        self._listen(running)

    def _start_due(self) -> None:
        up = {node.task.name for node in self._nodes if node.takes_links}
        for node in self._nodes:
            if not node.state.pid and node.task.needs <= up:
                process = start(node.task.argv, self._env, self._state.log(node.task.name))
                node.state.pid, node.state.birth = process.pid, process.birth
                node.state.started_at = time.time()
                save(self._state)  # at once: what isn't written down can't be stopped by another command

    def _listen(self, nodes: Sequence[_Running]) -> None:
        """Take in what nodes have said, and pass it on by time; those that have ended are read to their end."""
        read = {node.task.name: node.tail.read(is_last=node.exit_code is not None) for node in nodes}
        for node in nodes:
            for line in read[node.task.name]:
                self._take_line(node, line)
        for name, line in merged(read):
            self._say(name, line)

    def _take_line(self, node: _Running, line: LogLine) -> None:
        if line.event in (READY, STARTED):
            node.takes_links = True
        if line.event == READY and not node.state.is_ready:
            node.state.is_ready = True
            node.state.place = str(line.facts.get("listen") or line.facts.get("address") or node.state.place)
            save(self._state)
        if line.text.strip() and (not line.event or line.level == "error"):
            node.last_words = _words(line)

    def _take_end(self, node: _Running, *, was_ready: bool) -> None:
        code = node.exit_code or 0
        self.ended[node.task.name] = code
        if was_ready:
            return
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        said = f": {node.last_words}" if node.last_words else ""
        raise NodeDied(f"node {node.task.name} {how} before all nodes were ready{said}", code if code > 0 else 1)


def stop_nodes(nodes: Sequence[NodeState], *, hurry: Callable[[], bool] = lambda: False) -> None:
    """End nodes in the opposite order of their start: agents while their sentinels are still there, then those."""
    for is_sentinel in (False, True):
        those = [node for node in nodes if node.pid and (node.kind == "sentinel") is is_sentinel]
        grace_s = STOP_S + max((node.drain_s for node in those), default=0.0)
        stop([node.process for node in those], grace_s=grace_s, hurry=hurry)


def _words(line: LogLine) -> str:
    """Return what a node said as part of a message of ours."""
    if not line.event:
        return line.text.strip().removeprefix("fame: ")
    return f"{line.event} {' '.join(str(value) for value in line.facts.values())}"
