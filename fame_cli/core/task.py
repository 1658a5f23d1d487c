"""Long work as a state machine: what a task is, which states follow which, and how much of it is kept. Pure.

A `Task` is a value; `advance` returns the next one and never touches the old. Times are seconds of the epoch, because
a task may outlive the process that runs it. The names of the states are those of the wire (spec 8.5).

    submitted ──start──> working ──complete──> completed
        │                 │  │ ^ ask/answer
        │                 │  input-required
        └──cancel, fail───┴──────────────────> canceled, failed
"""

from collections import OrderedDict
from dataclasses import dataclass

import msgspec

from fame_cli.errors import LocalProtocolError

__all__ = [
    "CANCELED",
    "COMPLETED",
    "FAILED",
    "INPUT_REQUIRED",
    "NOTHING",
    "OVER",
    "STEPS",
    "SUBMITTED",
    "WORKING",
    "Bounds",
    "Finished",
    "Said",
    "Task",
    "Update",
    "advance",
    "asked_again",
]

SUBMITTED, WORKING, INPUT_REQUIRED = "submitted", "working", "input-required"
COMPLETED, CANCELED, FAILED = "completed", "canceled", "failed"

OVER = frozenset({COMPLETED, CANCELED, FAILED})
"""States that nothing follows."""

STEPS = {
    (SUBMITTED, "start"): WORKING,
    (SUBMITTED, "fail"): FAILED,
    (SUBMITTED, "cancel"): CANCELED,
    (SUBMITTED, "restart"): SUBMITTED,
    (WORKING, "update"): WORKING,
    (WORKING, "ask"): INPUT_REQUIRED,
    (WORKING, "complete"): COMPLETED,
    (WORKING, "fail"): FAILED,
    (WORKING, "cancel"): CANCELED,
    (WORKING, "restart"): SUBMITTED,
    (INPUT_REQUIRED, "update"): INPUT_REQUIRED,
    (INPUT_REQUIRED, "answer"): WORKING,
    (INPUT_REQUIRED, "withdraw"): WORKING,
    (INPUT_REQUIRED, "complete"): COMPLETED,
    (INPUT_REQUIRED, "fail"): FAILED,
    (INPUT_REQUIRED, "cancel"): CANCELED,
    (INPUT_REQUIRED, "restart"): SUBMITTED,
}
"""State and what happens → the next state; what isn't here can't happen. ``restart`` is a new process that has found
the task unfinished, ``withdraw`` a question that nobody waits for any more."""

NOTHING = msgspec.Raw(b"null")

MOST_ASKED = 50
"""Questions of one task."""


class Update(msgspec.Struct, frozen=True):
    """Hold something a task has told on its way.

    Args:
        number: 0 for the first.
        value: JSON.
    """

    number: int
    value: msgspec.Raw


class Said(msgspec.Struct, frozen=True):
    """Hold one message of the conversation: of the ``user`` or of the ``agent``."""

    role: str
    value: msgspec.Raw


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """Hold one task.

    Args:
        id: names it at its agent.
        name: of the method that runs.
        payload: JSON of what the method is given: an object (by name), a text, or null.
        session: what the caller groups tasks by; its id where it said nothing.
        state: see `STEPS`.
        value: JSON that belongs to the state: result, error, question; null for none.
        created_at: when it was submitted.
        since: when it came into its state.
        updates: the latest of what it has told.
        told: updates so far, kept or not.
        said: questions and answers, in order.
        starts: how often it was started since its last update.
        version: grows with each step.
    """

    id: str
    name: str
    payload: msgspec.Raw = NOTHING
    session: str = ""
    state: str = SUBMITTED
    value: msgspec.Raw = NOTHING
    created_at: float = 0.0
    since: float = 0.0
    updates: tuple[Update, ...] = ()
    told: int = 0
    said: tuple[Said, ...] = ()
    starts: int = 0
    version: int = 0

    @property
    def is_over(self) -> bool:
        """Tell whether nothing can happen to it any more."""
        return self.state in OVER

    @property
    def answers(self) -> list[msgspec.Raw]:
        """Return what the user has answered so far, in order."""
        return [each.value for each in self.said if each.role == "user"]

    @property
    def size(self) -> int:
        """Return about how many bytes it holds."""
        return sum(
            len(bytes(each))
            for each in (self.payload, self.value, *(u.value for u in self.updates), *(s.value for s in self.said))
        )


@dataclass(slots=True, frozen=True)
class Bounds:
    """Bound what an agent keeps of its tasks.

    Args:
        result_bytes: JSON of a result, an update, a question or an answer.
        updates: how many of one task are kept.
        update_bytes: bytes of them.
        finished: tasks that are over and can still be asked about.
        finished_bytes: bytes of them.
        finished_s: seconds they are kept.
        starts: how often a task is started without telling anything new before it is given up.
    """

    result_bytes: int = 131_072
    updates: int = 100
    update_bytes: int = 65_536
    finished: int = 1000
    finished_bytes: int = 16_777_216
    finished_s: float = 86_400.0
    starts: int = 10

    @classmethod
    def within(cls, message_bytes: int) -> "Bounds":
        """Return bounds by which an answer about a task fits into a message of that many bytes."""
        return cls(result_bytes=message_bytes // 2, update_bytes=message_bytes // 4)


def advance(task: Task, step: str, now: float, bounds: Bounds, value: msgspec.Raw = NOTHING) -> Task:
    """Return what becomes of a task.

    Args:
        step: see `STEPS`.
        value: JSON: result of ``complete``, text of ``fail``, question of ``ask``, what ``answer`` and ``update`` say.

    Raises:
        LocalProtocolError: that can't happen in its state, or `value` is too large.
    """
    state = STEPS.get((task.state, step))
    if state is None:
        raise LocalProtocolError(f"task {task.id} is {task.state} and can't {step}")
    if len(bytes(value)) > bounds.result_bytes:
        size = len(bytes(value))
        raise LocalProtocolError(f"what the task gave has {size} bytes, and {bounds.result_bytes} are the most")
    version = task.version + 1
    if step == "update":
        updates = _latest((*task.updates, Update(task.told, value)), bounds)
        return msgspec.structs.replace(task, updates=updates, told=task.told + 1, starts=0, version=version)
    said, starts = task.said, task.starts
    if step in ("ask", "answer"):
        if len(said) >= 2 * MOST_ASKED:
            raise LocalProtocolError(f"task {task.id} has asked {MOST_ASKED} times, which is the most")
        said = (*said, Said("agent" if step == "ask" else "user", value))
    if step == "start":
        starts += 1
    kept = NOTHING if step in ("answer", "start", "restart", "withdraw") else value
    return msgspec.structs.replace(task, state=state, value=kept, since=now, said=said, starts=starts, version=version)


def _latest(updates: tuple[Update, ...], bounds: Bounds) -> tuple[Update, ...]:
    """Return the last updates that there is room for; the newest always."""
    room, count = bounds.update_bytes, 0
    for update in reversed(updates[-bounds.updates :]):
        room -= len(bytes(update.value))
        if room < 0 and count:
            break
        count += 1
    return updates[-count:]


def asked_again(task: Task, name: str, payload: msgspec.Raw) -> bool:
    """Tell whether a request to start a task is the one it was started with: sent again, not another task."""
    return (task.name, bytes(task.payload)) == (name, bytes(payload))


class Finished:
    """Know which tasks are over, oldest first, and which of them there is no room for."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._kept: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._bytes = 0

    def add(self, task: Task) -> None:
        """Take a task that is over."""
        self._kept[task.id] = task.since, task.size
        self._bytes += task.size

    def spare(self, now: float) -> list[str]:
        """Return the ids of those to forget now, and forget them here."""
        bounds, gone = self._bounds, []
        while self._kept:
            task_id, (since, size) = next(iter(self._kept.items()))
            many = len(self._kept) > bounds.finished or self._bytes > bounds.finished_bytes
            if not many and now - since <= bounds.finished_s:
                break
            del self._kept[task_id]
            self._bytes -= size
            gone.append(task_id)
        return gone
