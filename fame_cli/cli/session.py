"""What the commands with a client have in common: attaching it, and for ``fame call`` and ``fame stream`` the agent to
ask, its arguments, and clear errors.

One session is one attached client. This module decides what to ask whom and how a failure reads; it neither prints a
result nor parses words (`call.py`, `stream.py`, `arguments.py`). The client is reached through the `Connect` in the
invocation, so the same code runs against a fabric and against a stub.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from fame_cli.cli import output
from fame_cli.cli.arguments import CallWords, build_params, shown
from fame_cli.cli.clients import CallingClient
from fame_cli.cli.given import Given
from fame_cli.cli.invocation import Invocation
from fame_cli.cli.likeness import alike
from fame_cli.config.plain import plain_client
from fame_cli.core.custody import Delivery
from fame_cli.errors import AdmissionRefused, ConnectError, FameError, NoRoute, RemoteError, UsageError
from fame_cli.security.settings import SecuritySettings

if TYPE_CHECKING:
    from fame_cli.cli.verbose import EnvelopeLog

__all__ = [
    "METHOD_NOT_FOUND",
    "SEE_ALL",
    "Callee",
    "ClientSettings",
    "Connect",
    "Flags",
    "Observer",
    "advised",
    "ask",
    "attached",
    "attached_many",
    "check_callee",
    "choose_callee",
    "client_settings",
    "listed",
    "schema_of",
    "with_place",
]

METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
_MOST_NAMES = 20
SEE_ALL = "see what there is: fame ls"

Retry = Literal["never", "idempotent"]
"""What a client does when a call was lost, see `fame_cli.node.retrying`."""

Observer = Callable[[str, bytes, float], None]
"""Sees each envelope: ``out`` or ``in``, its bytes, and seconds on the loop's clock."""


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """Hold what a client is made of; see `fame_cli.node.client.Client` for the meanings."""

    url: str
    node_id: str | None
    timeout_s: float
    observer: Observer | None
    trace: bool = False
    transport: str = "auto"
    batch: bool = True
    silence_s: float = 10.0
    security: SecuritySettings | None = None
    retry: Retry = "never"
    delivery: Delivery = field(default_factory=Delivery)
    storage: Path | None = None
    admin: bool = False


Connect = Callable[[ClientSettings], AbstractAsyncContextManager[CallingClient]]


@dataclass(frozen=True, slots=True)
class Flags:
    """Hold the options that decide how to attach, None where the flag wasn't given, and whether calls are traced.

    Of those that don't speak for themselves: `node` is one of a fabric file; `sends` tells that a message is to be
    sent, and `durable` whether it is kept until somebody else answers for it. Only who keeps something opens a store.
    `admin` tells that something is to be asked that is for admins.
    """

    url: str | None = None
    config: str | None = None
    timeout_s: float | None = None
    verbose: int = 0
    trace: bool = False
    retry: bool = False
    node: str | None = None
    sends: bool = False
    durable: bool | None = None
    admin: bool = False

    @classmethod
    def of(cls, given: Given) -> Self:
        """Return those of a command line."""
        return cls(given.url, given.config, given.timeout, given.verbose, retry=given.retry)


@dataclass(frozen=True, slots=True)
class Callee:
    """Say whom a call is for: the agent at an address or, where that is None, any that offers all `capabilities`."""

    address: str | None
    capabilities: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.address or f"whoever offers {' and '.join(self.capabilities)}"

    @property
    def asked_for(self) -> list[str] | None:
        """Return the capabilities as a client takes them."""
        return list(self.capabilities) or None


@asynccontextmanager
async def attached(invocation: Invocation, flags: Flags) -> AsyncIterator[CallingClient]:
    """Attach a client for the block; with ``--verbose``, show its envelopes and, afterwards, the path they took.

    Raises:
        ConfigError: file, variable or flag is wrong.
        ConnectError: no sentinel there, with what to do about it.
    """
    settings, level = client_settings(invocation, flags)
    log = _envelope_log(level) if level else None
    settings = replace(settings, observer=log, trace=flags.trace or log is not None)
    try:
        async with (invocation.connect or _connect)(settings) as client:
            try:
                yield client
            finally:
                if log is not None:
                    log.signer = client.last_signer
    finally:
        for line in log.summary() if log else ():
            output.diagnostic(line)


@asynccontextmanager
async def attached_many(
    invocation: Invocation, flags: Flags, count: int, observer: Observer | None = None
) -> AsyncIterator[list[CallingClient]]:
    """Attach several clients for the block, without `Flags.verbose`; errors as `attached`.

    Args:
        count: how many, >= 1; where the config gives an id, those after the first add a number to it.
        observer: sees the envelopes of all of them.
    """
    settings = replace(client_settings(invocation, flags)[0], observer=observer)
    connect, node_id = invocation.connect or _connect, settings.node_id
    ids = [f"{node_id}-{number}" if node_id and number > 1 else node_id for number in range(1, count + 1)]
    clients: list[CallingClient] = []
    async with AsyncExitStack() as stack:
        for each in ids:
            try:
                clients.append(await stack.enter_async_context(connect(replace(settings, node_id=each))))
            except (ConnectError, AdmissionRefused) as error:
                if not clients:  # then it isn't their number
                    raise
                told = f"client {len(clients) + 1} of {count}: {error.message}"
                raise type(error)(told, hint=f"{len(clients)} could attach; is limits.max_links less?") from error
        yield clients


def _envelope_log(level: int) -> "EnvelopeLog":
    from fame_cli.cli.verbose import EnvelopeLog  # measured: 3 ms

    return EnvelopeLog(output.diagnostic, level)


def client_settings(invocation: Invocation, flags: Flags) -> tuple[ClientSettings, int]:
    """Return the client's settings (flag, environment, file, default) and how verbose to be.

    Raises:
        ConfigError: file, variable or flag is wrong.
    """
    env = invocation.environment()
    if flags.config is None and (plain := plain_client(env, flags.url, flags.timeout_s)) is not None:
        retry: Retry = "idempotent" if flags.retry else "never"
        plainly = ClientSettings(plain.url, None, plain.timeout_s, None, retry=retry, admin=flags.admin)
        return plainly, flags.verbose
    from fame_cli.config.load import find, load  # measured: 93 ms, for pydantic and its models

    loaded = load(
        None if flags.config is None else find(flags.config),
        kind="client",
        env=env,
        node=flags.node,
        overrides={
            "upstream.direct_url": flags.url,
            "timeout_s": flags.timeout_s,
            "retry": "idempotent" if flags.retry else None,
        },
    )
    level = 2 if loaded.log.show_envelopes else flags.verbose
    url, wire, security = loaded.upstream.direct_url, loaded.wire, loaded.security_settings()
    told = url, loaded.id, loaded.timeout_s, None, False, wire.transport, wire.batch, wire.silence_s, security
    delivery = loaded.delivery.told()
    keeps = flags.sends and (delivery.at_least_once if flags.durable is None else flags.durable)
    storage = loaded.storage_file() if keeps else None
    return ClientSettings(*told, retry=loaded.retry, delivery=delivery, storage=storage, admin=flags.admin), level


def _connect(settings: ClientSettings) -> AbstractAsyncContextManager[CallingClient]:
    from fame_cli.node.client import Client  # pulls in websockets

    client: AbstractAsyncContextManager[CallingClient] = Client(
        settings.url,
        node_id=settings.node_id,
        timeout_s=settings.timeout_s,
        trace=settings.trace,
        observer=settings.observer,
        transport=settings.transport,
        batch=settings.batch,
        silence_s=settings.silence_s,
        security=settings.security,
        retry=settings.retry,
        delivery=settings.delivery,
        storage=settings.storage,
        admin=settings.admin,
    )
    return client


def check_callee(words: CallWords, capabilities: Sequence[str]) -> None:
    """Refuse a call that says twice whom it is for.

    Raises:
        UsageError: there is an address, and there are capabilities.
    """
    if words.target is not None and capabilities:
        raise UsageError(f"{words.target} and --capability both say whom to ask", hint="leave one of them out")


async def choose_callee(client: CallingClient, words: CallWords, capabilities: Sequence[str], *, verb: str) -> Callee:
    """Return whom to call: who was named, else the only one that offers the operation, said on stderr.

    Raises:
        UsageError: several offer it; the message lists them.
        NoRoute: nobody does; the message names the nearest operations.
    """
    if words.target is not None or capabilities:
        return Callee(words.target, tuple(capabilities))
    offers = sorted({str(offer["address"]) for offer in await client.lookup(words.operation)})
    if len(offers) == 1:
        output.note(f"using {offers[0]} for {words.operation}")
        return Callee(offers[0])
    if offers:
        raise UsageError(
            f"{len(offers)} agents offer {words.operation}: {listed(offers)}",
            hint=f"name one: fame {verb} {offers[0]} {words.operation} …",
        )
    known = sorted(set(await client.operations()))
    raise NoRoute(f"no agent offers {shown(words.operation)}", hint=_suggestion(words.operation, known))


def _suggestion(operation: str, known: Sequence[str]) -> str:
    if not known:
        return "no agent is attached; start one: fame agent --config math1.yaml"
    nearest = alike(operation, known, 3)
    if nearest:
        return f"did you mean {' or '.join(nearest)}?"
    return f"there is: {listed(known)}"


@asynccontextmanager
async def ask(client: CallingClient, callee: Callee, words: CallWords) -> AsyncIterator[dict[str, Any]]:
    """Make the params for a call in the block, and say clearly what the agent had against it.

    Raises:
        UsageError: an argument doesn't fit the operation's schema.
        RemoteError: the agent's answer, with the operations there are if it has no such one.
        NoRoute: nobody serves the address, or offers all of the capabilities.
    """
    try:
        yield build_params(words, await schema_of(client, callee, words))
    except RemoteError as error:
        if error.code == METHOD_NOT_FOUND:
            raise await _unknown_operation(client, callee, words.operation, error) from error
        raise with_place(callee, words.operation, error) from error
    except NoRoute as error:
        hint = "check the address; is its agent running and attached?" if callee.address else SEE_ALL
        raise advised(error, hint) from error


async def schema_of(client: CallingClient, callee: Callee, words: CallWords) -> Mapping[str, Any] | None:
    """Ask the agent for the schema, but only where some argument needs it; None if nobody can tell.

    Raises:
        NoRoute: nobody serves the address, or offers the capabilities.
    """
    if not words.needs_schema:
        return None
    address = callee.address or await _provider(client, callee.capabilities)
    if address is None:
        return None
    try:
        described = await client.describe(address)
    except RemoteError:  # an agent of another make, without agent.describe
        return None
    for operation in _operations_of(described):
        if operation.get("name") == words.operation:
            schema = operation.get("schema")
            return schema if isinstance(schema, Mapping) else None
    return None


async def _provider(client: CallingClient, capabilities: Sequence[str]) -> str | None:
    """Return the nearest address that offers all capabilities; None if the sentinel can't be asked.

    Raises:
        NoRoute: nobody offers them.
    """
    offers: list[list[str]] = []
    for capability in capabilities:
        try:
            found = await client.ask("fabric.lookup", arguments={"capability": capability})
        except UsageError:  # a plain Naylence sentinel
            return None
        rows = found if isinstance(found, list) else []
        offers.append([str(row["address"]) for row in rows if isinstance(row, Mapping) and "address" in row])
    for address in offers[0]:
        if all(address in others for others in offers):
            return address
    raise NoRoute(f"nobody offers {' and '.join(capabilities)}", hint=SEE_ALL)


def _operations_of(described: object) -> list[Mapping[str, Any]]:
    operations = described.get("operations") if isinstance(described, Mapping) else None
    return [entry for entry in operations if isinstance(entry, Mapping)] if isinstance(operations, list) else []


async def _unknown_operation(client: CallingClient, callee: Callee, operation: str, error: RemoteError) -> RemoteError:
    """Say which operations there are instead; an agent that doesn't attach them to its error is asked."""
    data = error.data if isinstance(error.data, Mapping) else {}
    names = data.get("operations")
    if not isinstance(names, list):
        names = await _ask_names(client, callee.address)
    known = sorted({str(name) for name in names})
    nearest = alike(operation, known)
    guess = f"did you mean {nearest[0]}? " if nearest else ""
    hint = f"{guess}there is: {listed(known)}" if known else "and it doesn't say which ones it has"
    return RemoteError(f"{callee} has no operation {shown(operation)}", code=error.code, data=error.data, hint=hint)


async def _ask_names(client: CallingClient, address: str | None) -> list[object]:
    if address is None:
        return []
    try:
        described = await client.describe(address)
    except FameError:  # the first error is the one that matters
        return []
    return [entry["name"] for entry in _operations_of(described) if "name" in entry]


def advised(error: NoRoute, hint: str = SEE_ALL) -> NoRoute:
    """Return an error that says what to do, as `hint` does unless it says so already."""
    return error if error.hint else NoRoute(error.message, hint=hint)


def with_place(callee: object, operation: str, error: RemoteError) -> RemoteError:
    """Say whose answer an error is."""
    kind = "wrong arguments: " if error.code == INVALID_PARAMS else ""
    text = f"{callee} {operation}: {kind}{error.message or f'failed with code {error.code}'}"
    return RemoteError(text, code=error.code, data=error.data, hint=error.hint)


def listed(names: Sequence[str]) -> str:
    """Write names with commas, not too many of them."""
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more
