"""The client: call and stream from any agent by address or operation, attached to any sentinel.

    async with Client("ws://127.0.0.1:8000/fame/v1/attach/ws/downstream") as client:
        print(await client.call("math1@fame.fabric", "add", x=3, y=4))
        async for item in client.stream("math2@fame.fabric", "fib_stream", n=10):
            print(item)

A client attaches once and fails fast when it can't; a link that breaks later is dialled again in the background, and
calls that were in flight fail at once. With ``retry="idempotent"`` both are tried again (``retrying.py``).
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any, Self

import msgspec

from fame_cli.core.custody import Delivery
from fame_cli.core.effects import Outcome
from fame_cli.core.envelope import MAX_MESSAGE_BYTES, encode_json
from fame_cli.core.grant import ADMIN, CLIENT, Grant
from fame_cli.core.link import LinkKind
from fame_cli.core.settings import SILENCE_S
from fame_cli.errors import ConnectError, LocalProtocolError, NoRoute, StreamEnded, UsageError
from fame_cli.node.clock import random_id
from fame_cli.node.dialing import attach, keep_attached
from fame_cli.node.options import Options
from fame_cli.node.recipients import Recipients
from fame_cli.node.replies import Answer, Items, drain, error_of, is_loss
from fame_cli.node.retrying import MENDS, Again, Retry, until_reached
from fame_cli.node.roles import Observer
from fame_cli.node.runner import Node
from fame_cli.node.secured import secured
from fame_cli.node.sending import Sending
from fame_cli.node.task_client import TaskCalls
from fame_cli.security.settings import SecuritySettings

__all__ = ["DEFAULT_URL", "Client"]

DEFAULT_URL = "ws://127.0.0.1:8000/fame/v1/attach/ws/downstream"
"""The sentinel a client attaches to when nobody says otherwise."""

DEFAULT_TIMEOUT_S = 30.0
"""Seconds a call waits for its answer, a stream for its next item (spec 8.1)."""

PLAIN_CALLS = 24
"""Calls without a first answer at a plain Naylence sentinel: its window of 32, less room for its grants (spec 7)."""


class Client(TaskCalls, Sending):
    """Call agents through a sentinel; use it as an async context.

    Args:
        url: attach URL of any sentinel, without the node id.
        node_id: this client's id; a fresh one when None.
        timeout_s: seconds to wait for the sentinel, for an answer, or for each item of a stream, unless a call says
            otherwise; > 0.
        trace: True to have the nodes on the way of every call write themselves down, see `last_trace`.
        observer: sees every envelope, see `Observer`.
        max_message_bytes: largest envelope.
        transport: library that carries the link: auto, websockets or picows.
        batch: join the envelopes of one turn in one message, where the sentinel takes it.
        silence_s: seconds without a word after which the link is given up, 3 or more; at a Naylence sentinel 30.
        security: how it is trusted, and whom it trusts; None for the open profile.
        retry: ``idempotent`` to ask again, as long as the time of the call allows, when the link or the way to the
            agent was lost (for a stream: before its first item); an operation may then run more than once.
        delivery: whether `send` is durable unless told otherwise, and for how long; at most once when None.
        storage: the file that keeps durable messages, also for the next client with it; None keeps them in memory, and
            leaving waits for them.
        admin: where it issues itself a credential, be an admin by it, too.

    Attributes:
        last_trace: the way the last answer took, when `trace` is on (docs/wire-extensions.md).
        last_signer: who signed the last answer, and how that is known; "" where nothing is signed.

    Raises:
        ConnectError: on entering, when no sentinel listens at `url`.
        AdmissionRefused: on entering, when the sentinel refuses.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        node_id: str | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        trace: bool = False,
        observer: Observer | None = None,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        transport: str = "auto",
        batch: bool = True,
        silence_s: float = SILENCE_S,
        security: SecuritySettings | None = None,
        retry: Retry = "never",
        delivery: Delivery | None = None,
        storage: Path | None = None,
        admin: bool = False,
    ) -> None:
        self.url = url
        self.timeout_s = timeout_s
        self.last_trace: list[str] = []
        self.last_signer = ""
        self._node_id = node_id or random_id("client")
        self._named = node_id is not None
        self._trace = trace
        self._observer = observer
        self._options = Options(
            max_message_bytes=max_message_bytes,
            transport=transport,
            batch=batch,
            silence_s=silence_s,
            security=security,
            delivery=delivery or Delivery(),
            storage=storage,
        )
        self._node: Node | None = None
        self._recipients: Recipients | None = None
        self._plain_slots = asyncio.Semaphore(PLAIN_CALLS)
        self._retries = retry == "idempotent"
        self._roles = frozenset({CLIENT, ADMIN} if admin else {CLIENT})

    async def __aenter__(self) -> Self:
        wanted = Grant(self._node_id, self._node_id, roles=self._roles)
        security = await secured(self._options.security, wanted, named=self._named)
        node = Node(self._node_id, options=self._options, observer=self._observer, security=security)
        await node.__aenter__()
        try:
            async with asyncio.timeout(self.timeout_s):
                reach = partial(attach, node, self.url, LinkKind.PARENT)
                held = await (until_reached(reach, self.timeout_s) if self._retries else reach())
            await node.mail.recover()
        except TimeoutError as error:
            await node.__aexit__(None, None, None)
            raise ConnectError(
                f"{self.url} didn't answer within {self.timeout_s:g} s", hint="is it a sentinel?"
            ) from error
        except BaseException:
            await node.__aexit__(None, None, None)
            raise
        node.spawn(keep_attached(node, self.url, LinkKind.PARENT, held=held))
        self._node = node
        if node.core.state.gate.seals:
            self._recipients = Recipients(node, lambda method, at, told: self.ask(method, at=at, arguments=told))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        node = self._attached()
        if kind is None:
            await node.mail.settled(self.timeout_s)
        self._node = None
        await node.__aexit__(None, None, None)

    def _attached(self) -> Node:
        if self._node is None:
            raise LocalProtocolError("the client isn't attached", hint="use it as `async with Client(url) as client:`")
        return self._node

    # Calls

    async def call(self, target: str | None, operation: str, /, *args: Any, **arguments: Any) -> Any:
        """Call an operation and return its result, a JSON value.

        Args:
            target: address of the agent; None for whoever offers the operation, when that is one agent.
            operation: name of the operation.

        Raises:
            NoRoute, DeadlineExceeded, LinkLost, PolicyDenied: the call didn't reach an answer.
            RemoteError: the operation answered with an error.
        """
        wanted = target, operation, {"args": list(args), "kwargs": arguments}
        again = self._retries
        return await (self.request(*wanted) if again else self._request(*wanted, self.timeout_s, None, None))

    def stream(self, target: str | None, operation: str, /, *args: Any, **arguments: Any) -> AsyncGenerator[Any, None]:
        """Iterate over a stream's items; closing the iterator stops the producer. Errors as `call`, and StreamEnded."""
        return self.open_stream(target, operation, {"args": list(args), "kwargs": arguments})

    async def request(
        self,
        target: str | None,
        operation: str,
        params: Mapping[str, Any],
        *,
        timeout_s: float | None = None,
        capabilities: list[str] | None = None,
        session: str | None = None,
    ) -> Any:
        """Call with the JSON-RPC `params` as they are (spec 8.1), see `call`.

        Args:
            timeout_s: seconds to wait; None for the client's own.
            capabilities: ask any one provider of all of these instead of `target`.
            session: calls of one session go to the same provider, where sentinels balance ``sticky``.
        """
        if not self._retries:
            return await self._request(target, operation, params, timeout_s or self.timeout_s, capabilities, session)
        again = Again(timeout_s or self.timeout_s)
        while True:
            try:
                return await self._request(target, operation, params, again.left_s, capabilities, session)
            except MENDS as error:
                await again.pause(error, self._attached().attached)

    async def _request(
        self,
        target: str | None,
        operation: str,
        params: Mapping[str, Any],
        timeout_s: float,
        capabilities: list[str] | None,
        session: str | None,
    ) -> Any:
        node, seal_to = self._attached(), ""
        if target is None or self._recipients is not None:
            target, seal_to = await self._callee(target, operation, capabilities)
        answer = Answer(node.loop.create_future())
        slots = self._slots(node)
        if slots is not None:
            await slots.acquire()
        key = node.call(
            answer,
            target,
            operation,
            encode_json(params),
            capabilities=None if seal_to else capabilities,
            timeout_s=timeout_s,
            trace=self._trace,
            session=session,
            seal_to=seal_to,
        )
        try:
            outcome = await answer.future
        except asyncio.CancelledError:
            node.cancel(key)
            raise
        finally:
            if slots is not None:
                slots.release()
        self._note(outcome, target)
        if outcome.kind != "result":
            raise error_of(outcome, target, operation)
        value = bytes(outcome.value)
        return msgspec.json.decode(value) if value else None

    async def open_stream(
        self,
        target: str | None,
        operation: str,
        params: Mapping[str, Any],
        *,
        timeout_s: float | None = None,
        capabilities: list[str] | None = None,
        session: str | None = None,
    ) -> AsyncGenerator[Any, None]:
        """Iterate over a stream with the JSON-RPC `params` as they are, see `stream`."""
        again = Again(timeout_s or self.timeout_s) if self._retries else None
        has_begun = False
        while True:
            once = self._open_stream(target, operation, params, timeout_s or self.timeout_s, capabilities, session)
            try:
                async with aclosing(once) as items:
                    async for item in items:
                        has_begun = True
                        yield item
                return
            except MENDS as error:
                if again is None or has_begun:
                    raise
                await again.pause(error, self._attached().attached)

    async def _open_stream(
        self,
        target: str | None,
        operation: str,
        params: Mapping[str, Any],
        timeout_s: float,
        capabilities: list[str] | None,
        session: str | None,
    ) -> AsyncGenerator[Any, None]:
        node = self._attached()
        target, seal_to = await self._callee(target, operation, capabilities)
        items = Items(node)
        slots = self._slots(node)
        if slots is not None:
            await slots.acquire()
        key = node.call(
            items,
            target,
            operation,
            encode_json(params),
            capabilities=None if seal_to else capabilities,
            streaming=True,
            timeout_s=timeout_s,
            trace=self._trace,
            session=session,
            seal_to=seal_to,
            packs=True,
        )
        read = 0
        try:
            async for item in drain(node, items):
                if slots is not None:
                    slots.release()
                    slots = None
                value = msgspec.json.decode(item.value)
                for each in value if item.is_pack else (value,):
                    read += 1
                    yield each
        finally:
            if slots is not None:
                slots.release()
            if items.outcome is None:
                node.cancel(key)
        outcome = items.outcome or Outcome("cancelled")
        self._note(outcome, target)
        if outcome.kind != "end":
            error = error_of(outcome, target, operation)
            raise StreamEnded(f"{operation} stopped after {read} items: {error}") if is_loss(error, read) else error

    def _note(self, outcome: Outcome, target: str | None) -> None:
        """Keep what the end of a call tells beside its result."""
        self.last_trace, self.last_signer = outcome.trace or self.last_trace, outcome.signer
        if self._recipients is not None and target is not None and outcome.kind in ("nack", "timeout"):
            self._recipients.forget(target)

    def _slots(self, node: Node) -> asyncio.Semaphore | None:
        """Return what to acquire before a call and to release once its first answer is there.

        A plain Naylence sentinel stands still for good when too many calls are open; elsewhere there is no such limit,
        and None is returned.
        """
        parent = node.core.table.parent
        return None if parent is None or "window" in parent.extensions else self._plain_slots

    # What there is

    async def describe(self, address: str) -> dict[str, Any]:
        """Return what an agent says of itself: description, operations with their schemas, capabilities."""
        description: dict[str, Any] = await self.request(address, "agent.describe", {"kwargs": {}})
        return description

    async def lookup(self, operation: str) -> list[dict[str, Any]]:
        """List who offers an operation, nearest first: ``{"address", "node", …}`` each.

        Raises:
            UsageError: the sentinel is a plain Naylence one and can't be asked.
        """
        capability = f"op:{operation}"
        found: list[dict[str, Any]] = await self.ask("fabric.lookup", arguments={"capability": capability})
        return found

    async def operations(self) -> list[str]:
        """List the names of all operations the sentinel knows a provider of."""
        names: list[str] = await self.ask("fabric.operations")
        return names

    async def ask(self, method: str, *, at: str | None = None, arguments: Mapping[str, Any] | None = None) -> Any:
        """Ask a sentinel what it knows of itself and the fabric (docs/wire-extensions.md, ``sys``).

        Args:
            method: e.g. ``fabric.names``.
            at: physical path of the sentinel to ask, e.g. ``/s2``; None for the one this client is attached to.
            arguments: what the method takes, by name.

        Raises:
            UsageError: the sentinel this client is attached to is a plain Naylence one and can't be asked.
            NoRoute: no sentinel is known under that path.
        """
        if at is None:
            parent = self._attached().core.table.parent
            if parent is None or "sys" not in parent.extensions:
                raise UsageError("this sentinel can't be asked what it knows", hint="name the agent's address")
            at = parent.remote_path
        return await self.request(f"__sys__@{at}", method, {"kwargs": dict(arguments or {})})

    async def _callee(
        self, target: str | None, operation: str, capabilities: list[str] | None
    ) -> tuple[str | None, str]:
        """Return whom to call, and the place of the node that alone may read it; "" for the latter in the clear."""
        if target is None and not capabilities:
            target = await self._sole_provider(operation)
        return (target, "") if self._recipients is None else await self._recipients.of(target, capabilities or ())

    async def _sole_provider(self, operation: str) -> str:
        found = await self.lookup(operation)
        addresses = sorted({provider["address"] for provider in found})
        if len(addresses) == 1:
            return str(addresses[0])
        if not addresses:
            raise NoRoute(f"nobody offers an operation called {operation}")
        raise UsageError(f"{operation} is offered by {', '.join(addresses)}", hint="name one of them")
