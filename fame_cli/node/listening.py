"""The port of a sentinel: attach endpoints and health, on one socket (spec 2.1).

``/fame/v1/attach/ws/{downstream|peer}/<id>`` opens a link; ``/healthz`` says that the loop turns, ``/readyz`` that the
sentinel listens and its upstream, if the config names one, is attached (of several workers each answers for the whole),
``/fame/v1/attach/health`` what the original's does. Everything else is 404.
"""

import json
import time
from collections.abc import Callable

from fame_cli.core.address import is_node_id
from fame_cli.core.attach import attach_refusal
from fame_cli.core.gate import Refusal, Unknown
from fame_cli.core.grant import Grant
from fame_cli.core.link import LinkKind
from fame_cli.net import failures
from fame_cli.net.answer import Asked, Page, Route, Server
from fame_cli.net.transport import Transport
from fame_cli.node.log import log_event
from fame_cli.node.runner import Node

__all__ = ["Listener"]

ATTACH = "/fame/v1/attach/ws/"
CLOSE_TRY_LATER = 1013
KINDS = {"downstream": LinkKind.CHILD, "peer": LinkKind.PEER}


class Listener:
    """Let neighbours attach to a node.

    Args:
        node: whom they attach to.
        has_parent: True when the config names an upstream; the sentinel is ready once that is attached.
        max_links: links held at once; one more is turned away with HTTP 503.
        counts_hosts: False where only this machine's own workers come, whatever else comes from it.
        waits_for: says what else is missing, "" when nothing; None when nothing ever is.
    """

    def __init__(
        self,
        node: Node,
        *,
        has_parent: bool,
        max_links: int,
        counts_hosts: bool = True,
        waits_for: Callable[[], str] | None = None,
    ) -> None:
        self._node = node
        self._has_parent = has_parent
        self.max_links = max_links
        self._counts_hosts = counts_hosts
        self._waits_for = waits_for
        self._server: Server | None = None

    async def start(self, host: str, port: int, *, reuse_port: bool = False, in_clear: bool = False) -> str:
        """Bind the port and return "host:port" as it really is.

        Args:
            reuse_port: other processes may have it, too.
            in_clear: without TLS, whatever the node is told: nobody but this machine comes by here.

        Raises:
            ConfigError: the port can't be had, or files of TLS can't be used.
        """
        security = self._node.security
        tls = security.server_tls if security is not None and not in_clear else None
        try:
            self._server = await self._node.network.listen(
                host, port, self._node.turn, self._answer, self._accept, reuse_port=reuse_port, tls=tls
            )
        except OSError as error:
            raise failures.no_port(host, port, error) from error
        bound = next(iter(self._server.sockets)).getsockname()
        return f"[{bound[0]}]:{bound[1]}" if ":" in bound[0] else f"{bound[0]}:{bound[1]}"

    def stop(self) -> None:
        """Take no more links; those that are open stay."""
        if self._server is not None:
            self._server.close()

    def lacks(self) -> str:
        """Return what is missing in a word, "" when nothing is; a peer that is away stops nobody."""
        if self._has_parent and not self._node.attached.is_set():
            return "upstream"
        return "" if self._waits_for is None else self._waits_for()

    # HTTP

    def _answer(self, asked: Asked) -> Page | Route:
        path = asked.path.partition("?")[0]
        if path.startswith(ATTACH):
            return self._route(path[len(ATTACH) :], asked)
        if path == "/healthz":
            return _json(200, {"status": "ok", "uptime_s": round(time.monotonic() - self._node.started, 1)})
        if path == "/readyz":
            lacks = self.lacks()
            facts = {"node": self._node.node_id, "links": self._node.link_count()}
            return _json(503 if lacks else 200, {"status": f"waiting for {lacks}" if lacks else "ready", **facts})
        if path == "/fame/v1/attach/health":
            facts = {"active_connections": self._node.link_count(), "listener_type": "WebSocketListener"}
            return _json(200, {"status": "healthy", **facts})
        return _json(404, {"error": f"nothing here; attach at {ATTACH}downstream/<id>"})

    def _route(self, rest: str, asked: Asked) -> Page | Route:
        kind, _, remote_id = rest.partition("/")
        kind = kind.lower()
        if kind not in KINDS or not is_node_id(remote_id):
            return _json(403, {"error": f"attach as {' or '.join(KINDS)}, with an id of letters, digits, . _ -"})
        if kind == "downstream" and remote_id == self._node.node_id:
            return _json(403, {"error": f"{remote_id} is this sentinel's own id; give every node its own"})
        crowded = self._node.core.crowded(self._host_of(asked))
        if crowded:
            return self._too_many(remote_id, asked.host, crowded)
        if self._node.link_count() >= self.max_links:
            return _json(503, {"error": f"{self.max_links} links are open; no room for more"})
        security = self._node.security
        if security is None:
            return Route(kind, remote_id, asked)
        grant = security.admit(asked.path, asked.token, asked.proof, asked.certificate)
        if isinstance(grant, Unknown):
            return Route(kind, remote_id, asked, unsettled=grant.missing)
        if isinstance(grant, Refusal):
            self._tell_refused(remote_id, asked.host, grant.reason)
            return _json(401, {"error": f"authentication failed: {grant.reason}"}, ("WWW-Authenticate", "Bearer"))
        crowded = self._node.core.crowded("", grant)
        return self._too_many(remote_id, asked.host, crowded) if crowded else Route(kind, remote_id, asked, grant)

    def _too_many(self, node: str, host: str, reason: str) -> Page:
        self._tell_crowded(node, host, reason)
        return _json(429, {"error": reason})

    def _tell_crowded(self, node: str, host: str, reason: str) -> None:
        log_event("link_turned_away", "warning", node=node, host=host, reason=reason)
        if self._node.security is not None:
            self._node.security.tell("link_turned_away", {"node": node, "host": host, "reason": reason})

    def _tell_refused(self, node: str, host: str, reason: str) -> None:
        log_event("credential_refused", "warning", node=node, host=host, reason=reason)
        if self._node.security is not None:
            self._node.security.tell("credential_refused", {"node": node, "host": host, "reason": reason})

    def _accept(self, transport: Transport, route: Route) -> None:
        if route.unsettled:
            self._node.spawn(self._settle(transport, route))
            return
        self._open(transport, route, route.grant)

    def _open(self, transport: Transport, route: Route, grant: Grant | None) -> None:
        """Let a link begin, unless there are too many by now: then it is too late for HTTP, and a message says so.

        Others may have come meanwhile, and whose it is may have come out only after the upgrade.
        """
        host = self._host_of(route.asked)
        crowded = self._node.core.crowded(host, grant)
        if crowded:
            self._tell_crowded(route.remote_id, route.asked.host, crowded)
            transport.send(attach_refusal(crowded, "RATE_LIMITED"))
            transport.close(CLOSE_TRY_LATER, "too many links")
            return
        self._node.open_link(transport, KINDS[route.kind], route.remote_id, dialed=False, grant=grant, host=host)

    def _host_of(self, asked: Asked) -> str:
        """Return what a link counts for among those of its host, "" where it doesn't."""
        return asked.network if self._counts_hosts else ""

    async def _settle(self, transport: Transport, route: Route) -> None:
        """Fetch the keys of a token's issuer, then let the link begin, or refuse it as the original does."""
        security, asked = self._node.security, route.asked
        assert security is not None
        await security.fetch(route.unsettled)
        grant = security.admit(asked.path, asked.token, asked.proof, asked.certificate)
        if grant is None or isinstance(grant, Grant):
            self._open(transport, route, grant)
            return
        reason = grant.reason if isinstance(grant, Refusal) else "the keys of its issuer can't be had"
        self._tell_refused(route.remote_id, asked.host, reason)
        transport.send(attach_refusal("Authentication failed"))
        transport.close(1008, "Authentication failed")


def _json(status: int, body: dict[str, object], *headers: tuple[str, str]) -> Page:
    return Page(status, json.dumps(body).encode() + b"\n", headers)
