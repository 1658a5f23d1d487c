"""What the code of a task can ask and say while it runs: `this_task`.

@task
async def index(self, folder: str) -> AsyncIterator[dict[str, int]]:
    last = this_task().last or {"done": 0}
    for done in range(last["done"], 100):
        ...
        yield {"done": done + 1, "total": 100}
"""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from fame_cli.errors import LocalProtocolError

__all__ = ["ThisTask", "enter_task", "this_task"]


@dataclass(slots=True, frozen=True)
class ThisTask:
    """Be the task that runs.

    Attributes:
        id: what its caller knows it by.
        session: what its caller groups tasks by; the id where it said nothing.
        starts: 1 for the first start; more after restarts of the agent, as long as it has told nothing new.
        last: what it told last, before the restart; None if nothing.
        tell: tell an update, a JSON value; a generator yields it instead.
        ask: ask its caller something (state ``input-required``) and wait for the answer. After a restart the answers
            there were are given again, in order.
    """

    id: str
    session: str
    starts: int
    last: Any
    tell: Callable[[Any], None]
    ask: Callable[[Any], Awaitable[Any]]


_current: ContextVar[ThisTask] = ContextVar("fame_task")


def enter_task(task: ThisTask) -> None:
    """Be that task from here on, in this context."""
    _current.set(task)


def this_task() -> ThisTask:
    """Return the task this code runs in.

    Raises:
        LocalProtocolError: it runs in none.
    """
    found = _current.get(None)
    if found is None:
        raise LocalProtocolError("this code runs in no task", hint="call this_task() in a method marked @task")
    return found
