"""What ``fame call`` and ``fame stream`` have in common: a client, the agent to ask, its arguments, and clear errors.

One session is one attached client. This module decides what to ask whom and how a failure reads; it neither prints a
result nor parses words (`call.py`, `stream.py`, `arguments.py`). The client is reached through the `Connect` in the
invocation, so the same code runs against a fabric and against a stub.
"""

import difflib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from fame_cli.cli import output
from fame_cli.cli.arguments import CallWords, build_params, shown
from fame_cli.cli.options import Invocation
from fame_cli.cli.verbose import EnvelopeLog
from fame_cli.errors import ConnectError, FameError, NoRoute, RemoteError, UsageError

__all__ = [
    "CallingClient",
    "ClientSettings",
    "Connect",
    "Flags",
    "Observer",
    "Stream",
    "ask",
    "attached",
    "choose_target",
]

METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
_MOST_NAMES = 20
_START_ONE = "start one: fame sentinel --config peer1.yaml"

Observer = Callable[[str, bytes, float], None]
"""Sees each envelope: ``out`` or ``in``, its bytes, and seconds on the loop's clock."""


class Stream(Protocol):
    """Items as they come; `aclose` cancels the producer."""

    def __aiter__(self) -> AsyncIterator[Any]:
        """Iterate over the items."""
        ...

    async def aclose(self) -> None:
        """End the stream at both ends."""
        ...


class CallingClient(Protocol):
    """Say what the command line needs of a client."""

    async def request(
        self, target: str | None, operation: str, params: dict[str, Any], *, timeout_s: float | None
    ) -> object:
        """Call an operation and return its result."""
        ...

    def open_stream(
        self, target: str | None, operation: str, params: dict[str, Any], *, timeout_s: float | None
    ) -> Stream:
        """Call a streaming operation."""
        ...

    async def describe(self, address: str) -> dict[str, Any]:
        """Ask an agent for its operations and their schemas."""
        ...

    async def lookup(self, operation: str) -> list[dict[str, Any]]:
        """Return who offers an operation: ``{"address", "node"}`` each."""
        ...

    async def operations(self) -> list[str]:
        """Return the names of all operations the fabric offers."""
        ...


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """Hold what a client is made of; see `fame_cli.node.client.Client` for the meanings."""

    url: str
    node_id: str | None
    timeout_s: float
    observer: Observer | None


Connect = Callable[[ClientSettings], AbstractAsyncContextManager[CallingClient]]


@dataclass(frozen=True, slots=True)
class Flags:
    """Hold the options that decide how to attach; None where the flag wasn't given."""

    url: str | None = None
    config: str | None = None
    timeout_s: float | None = None
    verbose: int = 0


@asynccontextmanager
async def attached(invocation: Invocation, flags: Flags) -> AsyncIterator[CallingClient]:
    """Attach a client for the block; with ``--verbose``, show its envelopes and, afterwards, the path they took.

    Raises:
        ConfigError: file, variable or flag is wrong.
        ConnectError: no sentinel there, with what to do about it.
    """
    settings, level = _settings(invocation, flags)
    log = EnvelopeLog(output.diagnostic, level) if level else None
    settings = ClientSettings(settings.url, settings.node_id, settings.timeout_s, log)
    try:
        async with (invocation.connect or _connect)(settings) as client:
            yield client
    except ConnectError as error:
        raise error if error.hint else ConnectError(error.message, hint=_START_ONE) from error
    finally:
        for line in log.summary() if log else ():
            output.diagnostic(line)


def _settings(invocation: Invocation, flags: Flags) -> tuple[ClientSettings, int]:
    """Return the client's settings (flag, environment, file, default) and how verbose to be."""
    from fame_cli.config.load import find, load  # pulls in pydantic

    loaded = load(
        None if flags.config is None else find(flags.config),
        kind="client",
        env=invocation.environment(),
        overrides={"upstream.direct_url": flags.url, "timeout_s": flags.timeout_s},
    )
    level = 2 if loaded.log.show_envelopes else flags.verbose
    return ClientSettings(loaded.upstream.direct_url, loaded.id, loaded.timeout_s, None), level


def _connect(settings: ClientSettings) -> AbstractAsyncContextManager[CallingClient]:
    from fame_cli.node.client import Client  # pulls in websockets

    client: AbstractAsyncContextManager[CallingClient] = Client(
        settings.url,
        node_id=settings.node_id,
        timeout_s=settings.timeout_s,
        trace=settings.observer is not None,
        observer=settings.observer,
    )
    return client


async def choose_target(client: CallingClient, words: CallWords, *, verb: str) -> str:
    """Return the address to call: the one given, else the only one that offers the operation, said on stderr.

    Raises:
        UsageError: several offer it; the message lists them.
        NoRoute: nobody does; the message names the nearest operations.
    """
    if words.target is not None:
        return words.target
    offers = sorted({str(offer["address"]) for offer in await client.lookup(words.operation)})
    if len(offers) == 1:
        output.note(f"using {offers[0]} for {words.operation}")
        return offers[0]
    if offers:
        raise UsageError(
            f"{len(offers)} agents offer {words.operation}: {_listed(offers)}",
            hint=f"name one: fame {verb} {offers[0]} {words.operation} …",
        )
    known = sorted(set(await client.operations()))
    raise NoRoute(f"no agent offers {shown(words.operation)}", hint=_suggestion(words.operation, known))


def _suggestion(operation: str, known: Sequence[str]) -> str:
    if not known:
        return "no agent is attached; start one: fame agent --config math1.yaml"
    nearest = difflib.get_close_matches(operation, known, n=3)
    if nearest:
        return f"did you mean {' or '.join(nearest)}?"
    return f"there is: {_listed(known)}"


@asynccontextmanager
async def ask(client: CallingClient, target: str, words: CallWords) -> AsyncIterator[dict[str, Any]]:
    """Make the params for a call in the block, and say clearly what the agent had against it.

    Raises:
        UsageError: an argument doesn't fit the operation's schema.
        RemoteError: the agent's answer, with the operations there are if it has no such one.
        NoRoute: nobody serves the address.
    """
    try:
        yield build_params(words, await _schema(client, target, words))
    except RemoteError as error:
        if error.code == METHOD_NOT_FOUND:
            raise await _unknown_operation(client, target, words.operation, error) from error
        raise _with_place(target, words.operation, error) from error
    except NoRoute as error:
        hint = "check the address; is its agent running and attached?"
        raise error if error.hint else NoRoute(error.message, hint=hint) from error


async def _schema(client: CallingClient, target: str, words: CallWords) -> Mapping[str, Any] | None:
    """Ask the agent for the schema, but only where some argument needs it; None if it can't tell."""
    if not words.needs_schema:
        return None
    try:
        described = await client.describe(target)
    except RemoteError:  # an agent of another make, without agent.describe
        return None
    for operation in _operations_of(described):
        if operation.get("name") == words.operation:
            schema = operation.get("schema")
            return schema if isinstance(schema, Mapping) else None
    return None


def _operations_of(described: object) -> list[Mapping[str, Any]]:
    operations = described.get("operations") if isinstance(described, Mapping) else None
    return [entry for entry in operations if isinstance(entry, Mapping)] if isinstance(operations, list) else []


async def _unknown_operation(client: CallingClient, target: str, operation: str, error: RemoteError) -> RemoteError:
    """Say which operations there are instead; an agent that doesn't attach them to its error is asked."""
    data = error.data if isinstance(error.data, Mapping) else {}
    names = data.get("operations")
    if not isinstance(names, list):
        names = await _ask_names(client, target)
    known = sorted({str(name) for name in names})
    nearest = difflib.get_close_matches(operation, known, n=1)
    guess = f"did you mean {nearest[0]}? " if nearest else ""
    hint = f"{guess}there is: {_listed(known)}" if known else "and it doesn't say which ones it has"
    return RemoteError(f"{target} has no operation {shown(operation)}", code=error.code, data=error.data, hint=hint)


async def _ask_names(client: CallingClient, target: str) -> list[object]:
    try:
        described = await client.describe(target)
    except FameError:  # the first error is the one that matters
        return []
    return [entry["name"] for entry in _operations_of(described) if "name" in entry]


def _with_place(target: str, operation: str, error: RemoteError) -> RemoteError:
    kind = "wrong arguments: " if error.code == INVALID_PARAMS else ""
    text = f"{target} {operation}: {kind}{error.message or f'failed with code {error.code}'}"
    return RemoteError(text, code=error.code, data=error.data, hint=error.hint)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more
