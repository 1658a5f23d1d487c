"""The shell around one `NodeCore`: performs effects, holds transports, keeps the one timer.

Nothing is decided here: bytes go in by `message_received`, effects come out of the core and are performed in order, in
the same turn of the loop. ``dialing.py``, ``listening.py``, ``host.py`` and ``client.py`` all work on a `Node`.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Self

from fame_cli.core.batch import BATCH, parted
from fame_cli.core.calls import CallKey
from fame_cli.core.effects import (
    BindAnswered,
    CallEnded,
    CloseLink,
    Dispatch,
    DispatchCancelled,
    Effect,
    FlowOpen,
    ItemArrived,
    LinkAttached,
    LinkRefused,
    Note,
    Send,
)
from fame_cli.core.grant import Grant
from fame_cli.core.link import Link, LinkKind
from fame_cli.core.node import NodeCore
from fame_cli.net.choice import network
from fame_cli.net.pump import Turn
from fame_cli.net.transport import Transport
from fame_cli.node.binds import Binds
from fame_cli.node.clock import new_id, stamp, timed_id
from fame_cli.node.inbound import Inbound
from fame_cli.node.log import log_event
from fame_cli.node.loop import keep_freed_memory
from fame_cli.node.mail import Mail
from fame_cli.node.options import Options, settings_of
from fame_cli.node.renewal import keep_renewed
from fame_cli.node.roles import Caller, Observer, Service
from fame_cli.node.services import Services
from fame_cli.node.wakeup import Wakeup

if TYPE_CHECKING:
    from fame_cli.security.setup import Security  # its libraries are slow to import, and the open profile needs none

__all__ = ["Node"]

CLOSE_S = 2.0
"""Seconds a node that ends gives its neighbours to say goodbye."""


class Node:
    """Run one node in the current event loop; use it as an async context.

    Args:
        node_id: one path segment, unique in the fabric.
        routes: True for a sentinel.
        logicals: host patterns the node may bind.
        options: limits and wire; of its security `security` is what has been made.
        observer: sees every envelope that comes and goes.
        security: what the node has of it; None for the open profile.

    Attributes:
        core: the decisions; its verbs go through `perform`.
        network: dials and listens.
        attached: set while the upstream link is open.
        loop: the event loop it runs in.
        services: who answers here.
        mail: the messages it answers for.
        dialing: what the node tries to reach, and can't so far: URL → what it is to us, and why not.
        ending: True once the node has begun to end; nothing new is started then.
    """

    def __init__(
        self,
        node_id: str,
        *,
        routes: bool = False,
        logicals: tuple[str, ...] = ("*",),
        options: Options | None = None,
        observer: Observer | None = None,
        security: "Security | None" = None,
    ) -> None:
        told = options or Options()
        self.started = time.monotonic()
        settings = settings_of(told, node_id, routes=routes, logicals=logicals, now=self.started)
        self.security = security
        gate = security.gate if security is not None else None
        ids = timed_id if gate is not None and gate.signs else new_id
        self.core = NodeCore(settings, ids, stamp, gate, now=self.started)
        self.network = network(told.transport)
        self.turn = Turn()
        self.attached = asyncio.Event()
        self.dialing: dict[str, tuple[LinkKind, str]] = {}
        self.ending = False
        self._observer = observer
        self.loop = asyncio.get_running_loop()
        self._tasks = asyncio.TaskGroup()
        self._spawned: set[asyncio.Task[None]] = set()
        self._transports: dict[Link, Transport] = {}
        self._openings: dict[Link, asyncio.Future[LinkRefused | None]] = {}
        self.services = Services()
        self._serving: dict[CallKey, Service] = {}
        self._callers: dict[CallKey, Caller] = {}
        self._binds = Binds(self.loop)
        self._changed = asyncio.Event()
        self._links = 0
        self._wakeup = Wakeup(self.loop, self._tick)
        self.mail = Mail(self, told.storage)
        self._actions: dict[type, Callable[[Any], None]] = {
            **self.mail.actions,
            Dispatch: self._dispatch,
            CallEnded: self._call_ended,
            ItemArrived: self._item_arrived,
            FlowOpen: self._flow_open,
            DispatchCancelled: self._dispatch_cancelled,
            CloseLink: self._close_link,
            LinkAttached: self._link_attached,
            LinkRefused: lambda effect: self._opened(effect.link, effect),
            BindAnswered: self._binds.answered,
            Note: self._note,
        }

    async def __aenter__(self) -> Self:
        keep_freed_memory()
        await self.mail.open()
        await self._tasks.__aenter__()
        if self.security is not None:
            self.spawn(keep_renewed(self, self.security))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self.ending = True
        with contextlib.closing(self.security) if self.security is not None else contextlib.nullcontext():
            transports = list(self._transports.values())
            self.perform(self.core.drain())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await asyncio.gather(*(transport.wait_closed() for transport in transports))
            self._wakeup.cancel()
            for task in list(self._spawned):
                task.cancel()
            await self._tasks.__aexit__(None, None, None)
            await self.mail.close()

    @property
    def node_id(self) -> str:
        """This node's id."""
        return self.core.settings.node_id

    def spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Run a task that ends with the node at the latest."""
        task = self._tasks.create_task(work)
        self._spawned.add(task)
        task.add_done_callback(self._spawned.discard)
        return task

    # From the transports

    def message_received(self, link: Link, data: bytes) -> None:
        """Take one message: the hot path."""
        now = time.monotonic()
        if self._observer is not None:
            for line in parted(data) if BATCH in link.extensions else (data,):
                self._observer("in", line, now)
        self.perform(self.core.receive(link, data, now))

    def connection_lost(self, link: Link, reason: str) -> None:
        """Take the end of a link's transport."""
        self._transports.pop(link, None)
        self._opened(link, LinkRefused(link, "CONNECTION_LOST", reason))
        self.perform(self.core.link_closed(link))
        self._check_attached()

    # Effects

    def perform(self, effects: list[Effect]) -> None:
        """Carry out what the core asks for, in order, and look when it wants to be asked again."""
        if effects:
            self._carry_out(effects)
        self._wakeup.by(self.core.next_deadline())

    def _carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Send):  # nearly all there is
                transport = self._transports.get(effect.link)
                if transport is not None:
                    if self._observer is not None:
                        self._observer("out", effect.data, time.monotonic())
                    transport.send(effect.data)
            else:
                self._actions[type(effect)](effect)

    def _tick(self, now: float) -> None:
        self.perform(self.core.tick(now))

    def _close_link(self, effect: CloseLink) -> None:
        transport = self._transports.pop(effect.link, None)
        if transport is not None:
            transport.close(effect.code, effect.reason)
        self._opened(effect.link, LinkRefused(effect.link, "CONNECTION_LOST", effect.reason))
        self._check_attached()

    def _link_attached(self, effect: LinkAttached) -> None:
        if BATCH in effect.link.extensions and effect.link in self._transports:
            self._transports[effect.link].batch()  # both sides agreed, and the answer to the attach is out alone
        self._opened(effect.link, None)
        self._check_attached()

    def _opened(self, link: Link, refusal: LinkRefused | None) -> None:
        """Tell whoever dialled a link what became of it; the first news counts."""
        opening = self._openings.get(link)
        if opening is not None and not opening.done():
            opening.set_result(refusal)

    def _check_attached(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
        if self.core.table.parent is not None:
            self.attached.set()
        else:
            self.attached.clear()
            self._binds.forget()

    def _dispatch(self, effect: Dispatch) -> None:
        request = effect.request
        service = self.services.find(request.address)
        if service is None:
            reason = f"nothing serves {request.address} here any more"
            if request.key is not None:
                self.perform(self.core.reply_error(request.key, -32601, reason, None, time.monotonic()))
            elif request.message:
                self.mail.put_off(request.message, reason)
            return
        if request.key is not None:
            self._serving[request.key] = service
        service.dispatch(request)

    def _dispatch_cancelled(self, effect: DispatchCancelled) -> None:
        service = self._serving.pop(effect.key, None)
        if service is not None:
            service.dispatch_cancelled(effect.key, effect.reason)

    def _flow_open(self, effect: FlowOpen) -> None:
        service = self._serving.get(effect.key)
        if service is not None:
            service.flow_opened(effect.key)

    def _call_ended(self, effect: CallEnded) -> None:
        caller = self._callers.pop(effect.key, None)
        if caller is not None:
            caller.call_ended(effect.outcome)

    def _item_arrived(self, effect: ItemArrived) -> None:
        caller = self._callers.get(effect.key)
        if caller is not None:
            caller.item_arrived(effect)

    def _note(self, effect: Note) -> None:
        log_event(effect.event, effect.level, **effect.facts)
        if self.security is not None:
            self.security.tell(effect.event, effect.facts)

    # Links

    def open_link(
        self,
        transport: Transport,
        kind: LinkKind,
        remote_id: str,
        *,
        dialed: bool,
        cost: int = 1,
        grant: Grant | None = None,
        host: str = "",
    ) -> Link:
        """Give a new transport to the core."""
        self._links += 1
        link = Link(self._links, kind, dialed, remote_id, cost=cost, grant=grant, host=host)
        if grant is not None and grant.expires_at is not None:
            link.expires_at = time.monotonic() + grant.expires_at - time.time()
        self._transports[link] = transport
        if dialed:
            self._openings[link] = self.loop.create_future()
        self.perform(self.core.link_opened(link, time.monotonic()))
        transport.start(Inbound(self, link))  # which brings at once what came while the link was still looked at
        return link

    async def attach_answer(self, link: Link) -> LinkRefused | None:
        """Wait for the answer to the attach of a link we dialled; None is a yes."""
        opening = self._openings.get(link)  # answered already, perhaps: what came early is taken as the link opens
        try:
            return await opening if opening is not None else None
        finally:
            self._openings.pop(link, None)

    async def links_changed(self) -> None:
        """Wait until the next link opens or ends."""
        await self._changed.wait()

    def link_count(self) -> int:
        """Return how many transports are open."""
        return len(self._transports)

    # Services

    def serve(self, name: str, service: Service) -> None:
        """Have `service` answer for an address, or for a participant at this node's physical path.

        Raises:
            RemoteProtocolError: not an address.
        """
        self.services.add(name, service)
        if "@" in name:
            self.perform(self.core.bind(name))
        else:
            self.core.table.open_box(name)

    def unserve(self, name: str) -> None:
        """Undo `serve`."""
        self.services.remove(name)
        self._binds.forget(name)
        if "@" in name:
            self.perform(self.core.unbind(name))
        else:
            self.core.table.close_box(name)

    async def bound(self, address: str) -> BindAnswered:
        """Wait until the upstream sentinel has answered to an address that is bound or about to be."""
        return await self._binds.answer(address)

    # Answers, for services

    def reply(self, key: CallKey, result: bytes | None) -> None:
        """Answer a call; see `NodeCore.reply`."""
        self._serving.pop(key, None)
        self._carry_out(self.core.reply(key, result, time.monotonic()))  # an answer waits for nothing: no timer to set

    def reply_items(self, key: CallKey, items: list[bytes]) -> bool:
        """Send stream items in one answer; False when the producer must wait for `flow_opened` before the next."""
        self._carry_out(self.core.reply_items(key, items, time.monotonic()))
        return self.core.writable(key)

    def reply_error(self, key: CallKey, code: int, message: str, data: object = None) -> None:
        """Answer a call with an error; see `NodeCore.reply_error`."""
        self._serving.pop(key, None)
        self.perform(self.core.reply_error(key, code, message, data, time.monotonic()))

    def expire(self, key: CallKey) -> None:
        """Refuse a call that waited for its turn for longer than its caller waits."""
        self._serving.pop(key, None)
        self.perform(self.core.expire(key))

    # Calls

    def call(
        self,
        caller: Caller,
        to: str | None,
        method: str,
        params: bytes,
        *,
        capabilities: list[str] | None = None,
        streaming: bool = False,
        timeout_s: float = 30.0,
        trace: bool = False,
        session: str | None = None,
        packs: bool = False,
        seal_to: str = "",
    ) -> CallKey:
        """Start a call; `caller` hears of it, possibly before this returns. See `NodeCore.call`."""
        key, effects = self.core.call(
            to,
            method,
            params,
            time.monotonic(),
            capabilities=capabilities,
            streaming=streaming,
            timeout_s=timeout_s,
            trace=trace,
            session=session,
            packs=packs,
            seal_to=seal_to,
        )
        self._callers[key] = caller
        self.perform(effects)
        return key

    def cancel(self, key: CallKey) -> None:
        """Give a call up."""
        self.perform(self.core.cancel(key))

    def item_consumed(self, item: ItemArrived) -> None:
        """Say that the reader has taken an item."""
        self.perform(self.core.item_consumed(item, time.monotonic()))
