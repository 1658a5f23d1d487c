"""A sentinel: a node that listens, routes, and holds links to its peers and its parent.

    Sentinel(id="peer-sentinel2", listen="127.0.0.1:8001", peers=["ws://127.0.0.1:8000/fame/v1/attach/ws/peer"]).run()

or, inside a program, ``async with Sentinel(...) as sentinel:``.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Self

from fame_cli.core.address import is_node_id
from fame_cli.core.balance import NEAREST, Balance
from fame_cli.core.custody import Delivery, Mailbox
from fame_cli.core.envelope import MAX_MESSAGE_BYTES
from fame_cli.core.glob import ANYTHING
from fame_cli.core.grant import PEER, Grant
from fame_cli.core.limits import LINKS_PER_HOST, Limits
from fame_cli.core.routing import MAILBOX
from fame_cli.core.settings import MAX_HELD_BYTES, MAX_HOPS, SILENCE_S
from fame_cli.errors import ConfigError, LocalProtocolError
from fame_cli.node.adjusting import Adjustable, Reload, adjust_node
from fame_cli.node.clock import random_id
from fame_cli.node.dials import Dials
from fame_cli.node.draining import DRAIN_S, wind_down
from fame_cli.node.host import AgentHost
from fame_cli.node.listening import Listener
from fame_cli.node.log import log_event
from fame_cli.node.loop import open_files, run_program, until_signalled
from fame_cli.node.options import Options
from fame_cli.node.roles import Observer
from fame_cli.node.runner import Node
from fame_cli.node.secured import secured
from fame_cli.node.siblings import Siblings
from fame_cli.node.system import SystemAgent
from fame_cli.security.settings import SecuritySettings

__all__ = ["Sentinel"]

OTHER_FILES = 64
"""Files a sentinel may have open beside its links: the port, links on their way in and out, logs."""


class Sentinel:
    """Run one sentinel; use it as an async context, or `run` it as a program.

    Args:
        id: the sentinel's id, unique in the fabric; a fresh one when None.
        listen: "host:port"; port 0 for any free one.
        peers: attach URLs of sentinels to peer with (``ws://…/fame/v1/attach/ws/peer``), each alone or with the cost of
            its link, 1 or more; calls take the cheapest way.
        upstream: attach URL of a parent sentinel (``…/downstream``), None for a root.
        max_message_bytes: largest envelope.
        max_links: links held at once.
        max_hops: links an envelope may pass.
        max_held_bytes: bytes that may wait for neighbours that don't keep up, over all links.
        balance: how calls are spread over several providers of a pool or a capability, see ``core/balance.py``.
        transport: library that carries the links: auto, websockets or picows.
        batch: join the envelopes of one turn in one message, towards neighbours that take it.
        silence_s: seconds without a word after which a link to another node of ours is given up, 3 or more.
        limits: bounds of each neighbour; above the open profile `links_per_host` is `LINKS_PER_HOST` when None.
        security: whom it trusts, and how it is trusted; None for the open profile.
        drain_s: seconds that what runs has to finish once `serve` is told to stop, >= 0; a second signal ends them.
        fail_fast: don't wait for peers and a parent that aren't there at the start.
        delivery: how messages are delivered; at most once when None.
        storage: the file that keeps those it answers for; None keeps them in memory.
        mailboxes: addresses it keeps messages for while nobody serves them.
        observer: sees every envelope, see `Observer`.
        siblings: the other workers that share the port with this one, which then speak of themselves as one node.

    Attributes:
        address: "host:port" as really bound, once started.

    Raises:
        ConfigError: on entering, when the port can't be had.
        ConnectError: on entering with `fail_fast`, when a peer or the parent can't be reached.
    """

    def __init__(
        self,
        *,
        id: str | None = None,
        listen: str = "127.0.0.1:8000",
        peers: Iterable[str | tuple[str, int]] = (),
        upstream: str | None = None,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        max_links: int = 10_000,
        max_hops: int = MAX_HOPS,
        max_held_bytes: int = MAX_HELD_BYTES,
        balance: Balance = NEAREST,
        transport: str = "auto",
        batch: bool = True,
        silence_s: float = SILENCE_S,
        limits: Limits | None = None,
        security: SecuritySettings | None = None,
        drain_s: float = DRAIN_S,
        fail_fast: bool = False,
        delivery: Delivery | None = None,
        storage: Path | None = None,
        mailboxes: Iterable[Mailbox] = (),
        observer: Observer | None = None,
        siblings: Siblings | None = None,
    ) -> None:
        self.address = listen
        self._id = id or random_id("sentinel")
        if not is_node_id(self._id):
            hint = "use 1-128 letters, digits, dots, dashes and underscores"
            raise ConfigError(f"{self._id} can't be a node id", source="id", hint=hint)
        self._listen = _host_and_port(listen)
        self._dials = Dials((peer if isinstance(peer, tuple) else (peer, 1) for peer in peers), upstream or "")
        self._max_links = max_links
        self._drain_s = drain_s
        self._fail_fast = fail_fast
        self._scheme = "ws" if security is None or security.tls.certificate is None else "wss"
        self._siblings = siblings
        self._named = id is not None
        self._observer = observer
        is_open = security is None or security.profile == "open"
        self._options = Options(
            max_message_bytes=max_message_bytes,
            max_hops=max_hops,
            max_held_bytes=max_held_bytes,
            limits=limits or Limits(links_per_host=0 if is_open else LINKS_PER_HOST),
            balance=balance,
            transport=transport,
            batch=batch,
            silence_s=silence_s,
            security=security,
            delivery=delivery or Delivery(),
            storage=storage,
            mailboxes=tuple(mailboxes),
        )
        self._told: Adjustable | None = None
        self._node: Node | None = None
        self._listener: Listener | None = None

    @property
    def node(self) -> Node:
        """The running node.

        Raises:
            LocalProtocolError: the sentinel isn't running.
        """
        if self._node is None:
            raise LocalProtocolError("the sentinel isn't running", hint="use it as `async with Sentinel(…)`")
        return self._node

    @property
    def url(self) -> str:
        """The URL clients and agents attach to."""
        return f"{self._scheme}://{self.address}/fame/v1/attach/ws/downstream"

    @property
    def peer_url(self) -> str:
        """The URL other sentinels peer with."""
        return f"{self._scheme}://{self.address}/fame/v1/attach/ws/peer"

    async def __aenter__(self) -> Self:
        wanted = Grant(self._id, self._id, roles=frozenset({PEER}), prefixes=(ANYTHING,))
        security = await secured(self._options.security, wanted, named=self._named, listens=True)
        node = Node(self._id, routes=True, options=self._options, observer=self._observer, security=security)
        parent = self._dials.has_parent
        siblings = self._siblings
        waits_for = None if siblings is None else siblings.waits_for
        listener = Listener(node, has_parent=parent, max_links=self._max_links, waits_for=waits_for)
        await node.__aenter__()
        try:
            node.serve("__sys__", AgentHost(node, SystemAgent(node)))
            for mailbox in self._options.mailboxes:
                node.perform(node.core.advertise(f"{MAILBOX}{mailbox.address}", mailbox.address))
            await node.mail.recover()
            if siblings is not None:
                await siblings.join(node, has_parent=parent, max_links=self._max_links)
            if self._fail_fast:
                await self._dials.reach(node)
            self.address = await listener.start(*self._listen, reuse_port=siblings is not None)
        except BaseException:
            await node.__aexit__(None, None, None)
            raise
        self._node, self._listener = node, listener
        if siblings is None:
            log_event("node_started", node_id=node.node_id, kind="sentinel", listen=self.address)
        else:
            siblings.tell_listening(self.address)
        self._dials.start(node)
        node.spawn(self._tell_ready())
        if self._told is not None:  # meanwhile
            self.adjust(self._told)
        return self

    async def __aexit__(self, *exc: object) -> None:
        node, self._node = self.node, None
        if self._listener is not None:
            self._listener.stop()
        if self._siblings is not None:
            self._siblings.leave()
        await node.__aexit__(None, None, None)
        if self._siblings is None:
            log_event("node_stopped", node_id=node.node_id, kind="sentinel")

    async def _tell_ready(self) -> None:
        """Say once that everything the config names is attached."""
        node = self.node
        await self.ready()
        if self._siblings is None:
            log_event("node_ready", node_id=node.node_id, kind="sentinel", listen=self.address)
        else:
            self._siblings.tell_ready()

    async def ready(self) -> None:
        """Wait until every peer and the parent of the config is attached for the first time."""
        node = self.node  # kept, because the sentinel may end meanwhile
        siblings = self._siblings
        while node.core.dialed_links() - (len(siblings.linked()) if siblings else 0) < len(self._dials):
            await node.links_changed()

    async def serve(self, reload: Reload | None = None) -> None:
        """Run until SIGINT or SIGTERM, with as many files open as the links may need.

        Args:
            reload: called at a SIGHUP with `adjust`; None leaves that signal alone.
        """
        self._max_links = _affordable(self._max_links)
        dismissed = self._siblings.dismissed if self._siblings else None
        async with self:
            await until_signalled(dismissed, self._wind_down, None if reload is None else lambda: reload(self.adjust))

    def adjust(self, told: Adjustable) -> None:
        """Have other values count from now on, or from the start; links that needn't go stay."""
        self._told = told
        if self._node is None:
            return
        self._drain_s, self._max_links = told.drain_s, _affordable(told.max_links)
        if self._listener is not None:
            self._listener.max_links = self._max_links
        adjust_node(self.node, told)
        self._dials.change(self.node, told.peers, told.drain_s)

    async def _wind_down(self) -> None:
        """Take no more links and calls, and finish what runs."""
        if self._listener is not None:
            self._listener.stop()
        if self._siblings is not None:
            self._siblings.leave()
        await wind_down(self.node, self._drain_s)

    def run(self) -> None:
        """Be a program: log to stderr, run until SIGINT or SIGTERM."""
        run_program(self.serve())


def _affordable(max_links: int) -> int:
    """Return how many links there may be, as far as the system lets this process have files open."""
    files = open_files(max_links + OTHER_FILES)
    if files >= max_links + OTHER_FILES:
        return max_links
    log_event("links_limited", "warning", files=files, max_links=max_links)
    return max(1, files - OTHER_FILES)  # better to turn a link away in words than not to take it


def _host_and_port(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise ConfigError(f"{listen} isn't host:port", source="listen", hint="write it like 127.0.0.1:8000")
    return host.strip("[]"), int(port)
