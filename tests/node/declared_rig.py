"""Making operations of templates, commands and HTTP calls, and asking them, for the tests of all three."""

from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest
from node_rig import bounded

from fame_cli.errors import RemoteError
from fame_cli.node.declared import Answer, JsonType, Parameter, declared_operation
from fame_cli.node.operation import INTERNAL, Operation


def declared(
    answer: Answer,
    *parameters: Parameter,
    name: str = "op",
    streaming: bool = False,
    timeout_s: float = 15.0,
    max_bytes: int = 100_000,
) -> Operation:
    return declared_operation(
        name,
        description="What it does.",
        parameters=parameters,
        streaming=streaming,
        timeout_s=timeout_s,
        answer=answer,
        max_bytes=max_bytes,
    )


def ask(operation: Operation, **arguments: object) -> Any:
    """Call an operation and return its result."""

    async def main() -> object:
        outcome = operation.invoke([], arguments)
        assert isinstance(outcome, Awaitable)
        return await outcome

    return bounded(main())


def failure(operation: Operation, **arguments: object) -> str:
    """Return the text of the error an operation ends in: one line."""
    with pytest.raises(RemoteError) as caught:
        ask(operation, **arguments)
    assert caught.value.code == INTERNAL
    assert "\n" not in str(caught.value)
    return str(caught.value)


def items_of(operation: Operation, **arguments: object) -> list[object]:
    """Collect a stream; an error at its end is the last item."""

    async def main() -> list[object]:
        items: list[object] = []
        outcome = operation.invoke([], arguments)
        assert isinstance(outcome, AsyncIterator)
        try:
            async for item in outcome:
                items.append(item)  # noqa: PERF401  # what came before an error counts
        except RemoteError as error:
            items.append(error)
        return items

    return bounded(main())


def required(name: str, kind: JsonType = "string") -> Parameter:
    return Parameter(name, kind)


def optional(name: str, default: object, kind: JsonType = "string") -> Parameter:
    return Parameter(name, kind, required=False, default=default)
