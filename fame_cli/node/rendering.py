"""Operations answered by a jinja2 template: the arguments go in, the rendered text is the result.

Whoever writes the template is trusted with what it says, whoever calls isn't: arguments are values in it and never
become template code. Rendering happens in a thread and is bounded in time, in bytes and in the size of what ``*`` and
``**`` may make, so that an argument can't make a sound template run away.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from fame_cli.errors import ConfigError, RemoteError

if TYPE_CHECKING:
    from jinja2 import Template as Compiled
    from jinja2.sandbox import SandboxedEnvironment

__all__ = ["Template", "renderer"]

MAX_BITS = 65_536
"""Bits of the largest whole number that ``*`` and ``**`` make."""

MAX_DEPTH = 64
"""Calls within calls; well below what the interpreter bears."""


@dataclass(slots=True, frozen=True)
class Template:
    """Answer with a text.

    Args:
        text: jinja2 template over the arguments.
        result: ``text`` as it is, or ``json``: read it as JSON.
    """

    text: str
    result: Literal["text", "json"] = "text"


@dataclass(slots=True)
class _Budget:
    """Say when one rendering must be over, and how deep it is; its thread looks here at every step and call."""

    until: float
    depth: int = 0

    def check(self) -> None:
        if time.monotonic() >= self.until:
            raise TimeoutError


_budget: ContextVar[_Budget] = ContextVar("_budget")


def renderer(
    name: str, template: Template, *, timeout_s: float, max_bytes: int
) -> Callable[[Mapping[str, object]], Any]:
    """Return the coroutine function that renders a template over arguments.

    Args:
        name: of the operation, for messages.
        timeout_s: seconds a rendering may take, > 0.
        max_bytes: bytes of UTF-8 it may become.

    Raises:
        ConfigError: the template can't be compiled.
    """
    compiled = _compile(name, template.text)

    async def render(arguments: Mapping[str, object]) -> str:
        budget = _Budget(time.monotonic() + timeout_s)
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.to_thread(_render, name, compiled, arguments, budget, max_bytes)
        except TimeoutError as error:
            raise RemoteError(f"{name}: the template took longer than {timeout_s:g} s") from error
        finally:
            budget.until = 0.0  # whoever gave up on the thread, it ends soon

    return render


def _render(name: str, compiled: "Compiled", arguments: Mapping[str, object], budget: _Budget, max_bytes: int) -> str:
    _budget.set(budget)
    parts: list[str] = []
    size = 0
    try:
        for part in compiled.generate(arguments):
            budget.check()
            size += len(part.encode(errors="replace"))
            if size > max_bytes:
                raise RemoteError(f"{name}: the template makes more than {max_bytes} bytes")
            parts.append(part)
    except (RemoteError, TimeoutError):
        raise
    except Exception as error:  # the boundary to user code: a template may raise anything
        text = str(error).partition("\n")[0] or type(error).__name__
        raise RemoteError(f"{name}: the template fails: {text}") from error
    return "".join(parts)


def _compile(name: str, text: str) -> "Compiled":
    from jinja2 import TemplateSyntaxError, nodes  # here, because only agents with templates should pay for it

    environment = _environment()
    try:
        tree = environment.parse(text)
        for loop in tree.find_all(nodes.For):
            loop.iter = nodes.Filter(loop.iter, "_counted", [], [], None, None, lineno=loop.lineno)
        code = environment.compile(tree)
    except TemplateSyntaxError as error:
        message = f"operation {name}: line {error.lineno} of the template is wrong: {error.message}"
        raise ConfigError(message, hint="see the jinja2 syntax") from error
    except (RecursionError, SyntaxError) as error:
        raise ConfigError(f"operation {name}: the template is nested too deeply", hint="simplify it") from error
    return environment.template_class.from_code(environment, code, environment.make_globals(None))


def _environment() -> "SandboxedEnvironment":
    from jinja2 import StrictUndefined
    from jinja2.exceptions import SecurityError
    from jinja2.runtime import Context
    from jinja2.sandbox import SandboxedEnvironment

    class Sandbox(SandboxedEnvironment):
        """The sandbox of jinja2, which also minds the clock and what ``*`` and ``**`` are given."""

        intercepted_binops = frozenset({"*", "**"})

        def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
            if _size(operator, left, right) > MAX_BITS:
                raise SecurityError(f"{operator} would make something too large")
            return super().call_binop(context, operator, left, right)

        def call(self, context: Context, called: Any, /, *args: Any, **kwargs: Any) -> Any:
            budget = _budget.get()
            budget.check()
            if budget.depth >= MAX_DEPTH:
                raise SecurityError(f"it calls itself more than {MAX_DEPTH} deep")
            budget.depth += 1
            try:
                return super().call(context, called, *args, **kwargs)
            finally:
                budget.depth -= 1

    environment = Sandbox(undefined=StrictUndefined, autoescape=False)
    environment.filters["_counted"] = _counted
    del environment.globals["lipsum"]  # as much text as a caller wishes
    return environment


def _counted(items: Any) -> Iterator[Any]:
    budget = _budget.get()
    for item in items:
        budget.check()
        yield item


def _size(operator: str, left: Any, right: Any) -> int:
    """Return about how many bits, or characters, an operator makes; 0 for what can't be large."""
    if isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length()
        return bits * max(right, 0) if operator == "**" else bits + right.bit_length()
    if operator == "*":
        for many, times in ((left, right), (right, left)):
            if isinstance(many, str | list | tuple) and isinstance(times, int):
                return len(many) * max(times, 0)
    return 0
