"""Operations without Python: parameters with types, and a template, a command or an HTTP call that answers.

Arguments are checked by the same code as those of a Python operation (`operation.Shape`), so callers can't tell the
two apart. What answers is in ``rendering.py``, ``commands.py`` and ``webcalls.py``; each is bounded in time and bytes,
and what goes wrong there reaches the caller as -32603 with one line.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec

from fame_cli.core.envelope import MAX_MESSAGE_BYTES
from fame_cli.errors import ConfigError
from fame_cli.node.commands import Command, line_runner, runner
from fame_cli.node.operation import Field, Operation, Shape, optional_field, read_json
from fame_cli.node.rendering import Template, renderer
from fame_cli.node.webcalls import HttpCall, http_caller

__all__ = ["Answer", "Command", "HttpCall", "JsonType", "Parameter", "Template", "declared_operation"]

Answer = Template | Command | HttpCall

JsonType = Literal["integer", "number", "string", "boolean", "object", "array"]

_HINTS: dict[JsonType, Any] = {
    "integer": int,
    "number": int | float,
    "string": str,
    "boolean": bool,
    "object": dict[str, Any],
    "array": list[Any],
}


@dataclass(slots=True, frozen=True)
class Parameter:
    """Describe one parameter.

    Args:
        name: what callers say.
        type: JSON type of the argument.
        required: True when there is no default.
        default: JSON value when the caller gives none; with null as default, callers may give null too.
        description: for callers.
    """

    name: str
    type: JsonType
    required: bool = True
    default: Any = None
    description: str = ""


def declared_operation(
    name: str,
    *,
    description: str,
    parameters: Sequence[Parameter],
    streaming: bool,
    timeout_s: float,
    answer: Answer,
    max_bytes: int = MAX_MESSAGE_BYTES,
) -> Operation:
    """Make an operation of a template, a command or an HTTP call.

    Args:
        streaming: each line of a command's output is an item; for commands only.
        timeout_s: seconds until the operation is given up, of a stream until its next line; > 0.
        max_bytes: bytes of the answer, of a stream those of one line.

    Raises:
        ConfigError: the template can't be compiled, the URL isn't one, or HTTP calls need the extra ``http``.
    """
    ask = _asked(name, answer, streaming=streaming, timeout_s=timeout_s, max_bytes=max_bytes)
    names = [parameter.name for parameter in parameters]
    shape = Shape(name, [_field(parameter) for parameter in parameters])

    def call(*values: object) -> object:
        return ask(dict(zip(names, values, strict=True)))

    return Operation(name, description, streaming, shape.schema(), shape.invoker(call))


def _asked(
    name: str, answer: Answer, *, streaming: bool, timeout_s: float, max_bytes: int
) -> Callable[[Mapping[str, object]], object]:
    """Return what answers: from the arguments to an awaitable of the result, or to an async iterator of items."""
    if streaming and not isinstance(answer, Command):
        raise ConfigError(f"operation {name}: only a command can stream", hint="remove stream, or use command")
    match answer:
        case Template():
            text = renderer(name, answer, timeout_s=timeout_s, max_bytes=max_bytes)
            return text if answer.result == "text" else _as_json(name, "the template's text", text)
        case Command() if streaming:
            return line_runner(name, answer, timeout_s=timeout_s, max_bytes=max_bytes)
        case Command():
            text = runner(name, answer, timeout_s=timeout_s, max_bytes=max_bytes)
            return text if answer.result == "text" else _as_json(name, "what the command prints", text)
        case HttpCall():
            return http_caller(name, answer, timeout_s=timeout_s, max_bytes=max_bytes)


def _as_json(
    name: str, what: str, text: Callable[[Mapping[str, object]], Awaitable[str]]
) -> Callable[[Mapping[str, object]], Awaitable[object]]:
    async def value(arguments: Mapping[str, object]) -> object:
        return read_json(name, what, await text(arguments))

    return value


def _field(parameter: Parameter) -> Field:
    hint = _HINTS[parameter.type]
    if not parameter.required and parameter.default is None:
        hint = hint | None
    if parameter.description:
        hint = Annotated[hint, msgspec.Meta(description=parameter.description)]
    if parameter.required:
        return (parameter.name, hint)
    return optional_field(parameter.name, hint, parameter.default)
