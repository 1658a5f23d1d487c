"""An agent: a class whose `@operation` methods callers reach by name, or a handful of plain functions.

    class MathAgent(Agent):
        \"\"\"Do sums.\"\"\"

        @operation
        def add(self, x: int, y: int) -> int:
            \"\"\"Add two numbers.\"\"\"
            return x + y

        @operation
        async def fib_stream(self, n: int = 10):
            ...
            yield a

    MathAgent().run("math1@fame.fabric")

An agent knows nothing of links or envelopes; ``host.py`` runs its operations for whoever calls.
"""

import difflib
import inspect
from collections.abc import Callable, Iterable
from functools import cached_property
from types import MethodType
from typing import Any, ClassVar, ParamSpec, Self, TypeVar, overload
from weakref import WeakKeyDictionary

from fame_cli.errors import LocalProtocolError, RemoteError
from fame_cli.node.operation import Operation, operation_from

__all__ = ["DESCRIBE", "METHOD_NOT_FOUND", "PING", "Agent", "operation", "task"]

METHOD_NOT_FOUND = -32601
"""JSON-RPC error code."""

DESCRIBE = "agent.describe"
"""The operation every agent has: what it is and what it can do."""

PING = "agent.ping"
"""The other one: null at once, for whoever wants to know that it is there and how far away."""

P = ParamSpec("P")
R = TypeVar("R")

Marks = WeakKeyDictionary[Callable[..., Any], dict[str, Any]]

_marked: Marks = WeakKeyDictionary()
_tasks: Marks = WeakKeyDictionary()


@overload
def operation(function: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def operation(
    *, name: str | None = None, description: str | None = None, thread: bool = False
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def operation(
    function: Callable[P, R] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    thread: bool = False,
) -> Callable[P, R] | Callable[[Callable[P, R]], Callable[P, R]]:
    """Offer a method to callers; the method itself stays what it was.

    Args:
        name: what callers say; the method's own name when None.
        description: for people; the method's docstring when None.
        thread: run a plain function in a thread, because it blocks.
    """

    def mark(method: Callable[P, R]) -> Callable[P, R]:
        _marked[_plain(method)] = {"name": name, "description": description, "thread": thread}
        return method

    return mark if function is None else mark(function)


@overload
def task(function: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def task(*, name: str | None = None, description: str | None = None) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def task(
    function: Callable[P, R] | None = None, /, *, name: str | None = None, description: str | None = None
) -> Callable[P, R] | Callable[[Callable[P, R]], Callable[P, R]]:
    """Offer a method as long work: it runs under an id, outside the call that starts it.

    What an async function returns is the result. What an async generator yields are updates, and the last of them is
    the result. Cancelling the task cancels the function. See `this_task` for what it can ask and say meanwhile.

    Args:
        name: what callers say; the method's own name when None.
        description: for people; the method's docstring when None.

    Raises:
        LocalProtocolError: the method isn't async, so that nothing could cancel it.
    """

    def mark(method: Callable[P, R]) -> Callable[P, R]:
        inner = inspect.unwrap(_plain(method))
        if not (inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner)):
            hint = "write `async def`, and await asyncio.to_thread(...) for what blocks"
            raise LocalProtocolError(f"@task {inner.__name__} isn't async", hint=hint)
        _tasks[_plain(method)] = {"name": name, "description": description}
        return method

    return mark if function is None else mark(function)


def _plain(value: Any) -> Any:
    """Return the function inside a bound, static or class method; anything else as it is."""
    return value.__func__ if isinstance(value, staticmethod | classmethod | MethodType) else value


def _mark_of(value: object, marks: Marks = _marked) -> dict[str, Any] | None:
    """Return the mark of a method, or of what it was wrapped around; None when there is none."""
    function = _plain(value)
    if not inspect.isfunction(function):
        return None
    return marks[function] if function in marks else marks.get(inspect.unwrap(function))


def _pong() -> None:
    """Answer at once."""


_PING = operation_from(_pong, name=PING)


class Agent:
    """Serve operations; subclass it and mark methods with `@operation`.

    Attributes:
        capabilities: what it offers beside its operations, e.g. ``("fame.capability.math",)``.
    """

    capabilities: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        """Refuse operations that would take the place of what every agent has.

        Raises:
            LocalProtocolError: a marked method is called like one of `Agent`, or `capabilities` is a single text.
        """
        super().__init_subclass__()
        if isinstance(vars(cls).get("capabilities"), str):
            raise LocalProtocolError(
                f"{cls.__name__}.capabilities is a text", hint=f"write capabilities = ({cls.capabilities!r},)"
            )
        for attribute, value in vars(cls).items():
            mark = "operation" if _mark_of(value) is not None else "task" if _mark_of(value, _tasks) is not None else ""
            if attribute in vars(Agent) and mark:
                hint = f'call the method something else and mark it @{mark}(name="{attribute}")'
                raise LocalProtocolError(
                    f"{cls.__name__}.{attribute}: every agent has a {attribute} already", hint=hint
                )

    _extra: tuple[Operation, ...] = ()
    _extra_tasks: tuple[Operation, ...] = ()
    _description: str | None = None
    _offered: tuple[str, ...] = ()

    @classmethod
    def from_functions(cls, functions: Iterable[Callable[..., Any]], *, description: str | None = None) -> Self:
        """Make an agent of plain functions; each is an operation of its own name, or a task if it is marked as one."""
        known = [(each, _mark_of(each, _tasks)) for each in functions]
        operations = [operation_from(each, **(_mark_of(each) or {})) for each, mark in known if mark is None]
        agent = cls.from_operations(operations, description=description)
        agent._extra_tasks = tuple(operation_from(each, **mark) for each, mark in known if mark is not None)
        return agent

    @classmethod
    def from_operations(cls, operations: Iterable[Operation], *, description: str | None = None) -> Self:
        """Make an agent of operations that exist already."""
        agent = cls()
        agent._extra = tuple(operations)
        agent._description = description
        return agent

    def offer(self, capabilities: Iterable[str]) -> None:
        """Say that it offers these, too, beside the capabilities of its class."""
        self._offered = tuple(capabilities)

    def describe_as(self, description: str) -> None:
        """Tell callers this instead of the class's docstring."""
        self._description = description

    @cached_property
    def operations(self) -> dict[str, Operation]:
        """Name → operation: marked methods, base classes first, then what was given as functions.

        A method that overrides a marked one is an operation too, marked or not; ``name = None`` takes one away.
        """
        found: dict[str, Operation] = {}
        for each in (*self._made(_marked), *self._extra):
            if each.name in found or each.name in (DESCRIBE, PING):
                raise LocalProtocolError(f"two operations are called {each.name}", hint="give one another name")
            found[each.name] = each
        return found

    @cached_property
    def tasks(self) -> dict[str, Operation]:
        """Name → what runs, for the methods marked with `@task`; found as `operations` are."""
        found: dict[str, Operation] = {}
        for each in (*self._made(_tasks), *self._extra_tasks):
            if each.name in found:
                raise LocalProtocolError(f"two tasks are called {each.name}", hint="give one another name")
            found[each.name] = each
        return found

    def _made(self, of: Marks) -> list[Operation]:
        """Make operations of the methods that bear such a mark, or override one that does."""
        marks: dict[str, dict[str, Any]] = {}
        other = _tasks if of is _marked else _marked
        for kind in reversed(type(self).__mro__):
            for attribute, value in vars(kind).items():
                mark = _mark_of(value, of)
                if mark is not None:
                    marks[attribute] = mark
                elif not inspect.isfunction(_plain(value)) or _mark_of(value, other) is not None:
                    marks.pop(attribute, None)
        return [operation_from(getattr(self, attribute), **mark) for attribute, mark in marks.items()]

    @cached_property
    def _describe(self) -> Operation:
        return operation_from(self.describe, name=DESCRIBE)

    def find(self, name: str) -> Operation:
        """Return an operation by name.

        Raises:
            RemoteError: -32601, there is none; its data lists what there is.
        """
        found = self.operations.get(name)
        if found is not None:
            return found
        if name == DESCRIBE:
            return self._describe
        if name == PING:
            return _PING
        known = list(self.operations)
        near = difflib.get_close_matches(name[:100], known, n=1)
        data = {"operations": known, "nearest": near[0] if near else None}
        if name in self.tasks:
            raise RemoteError(f"{name} is a task: start it with tasks/send", code=METHOD_NOT_FOUND, data=data)
        raise RemoteError(f"Method not found: {name[:100]}", code=METHOD_NOT_FOUND, data=data)

    def describe(self) -> dict[str, object]:
        """Tell what this agent is and what it can do."""
        own = (kind.__doc__ for kind in type(self).__mro__ if kind is not Agent and issubclass(kind, Agent))
        documented = self._description or next((inspect.cleandoc(text) for text in own if text), "")
        return {
            "description": documented,
            "operations": [each.describe() for each in self.operations.values()],
            **({"tasks": [each.describe() for each in self.tasks.values()]} if self.tasks else {}),
            "capabilities": list(dict.fromkeys([*self.capabilities, *self._offered])),
        }

    async def on_start(self) -> None:
        """Prepare; called once before the first call can come."""

    async def on_stop(self) -> None:
        """Clean up; called once after the last call."""

    async def on_message(self, payload: Any) -> None:
        """Take a message that isn't a call (spec 8.6); nothing is answered.

        What it raises is logged. A message that is kept comes again then, and is a dead letter after the last try.

        Raises:
            RemoteError: always, where an agent has no such method of its own: the message is a dead letter at once.
        """
        raise RemoteError("this agent takes no messages", code=METHOD_NOT_FOUND)

    def run(self, address: str, url: str | None = None, *, node_id: str | None = None) -> None:
        """Be a program: serve at `address` until SIGINT or SIGTERM, logging to stderr.

        Args:
            address: e.g. ``math1@fame.fabric``.
            url: attach URL of the sentinel; the one on this machine's port 8000 when None.
            node_id: id of the node; a fresh one when None.

        Raises:
            AdmissionRefused: the sentinel doesn't let it have the address.
        """
        from fame_cli.node.serving import run_agent  # serving needs this module

        run_agent(self, address, url, node_id=node_id)
