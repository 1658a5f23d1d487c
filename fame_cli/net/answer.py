"""What a listener says to a request before there is a link: a route lets it become one, a page ends it there.

Each transport reads the path off its library's request and writes the answer in its library's way, so that whoever
decides (``node/listening.py``) knows neither.
"""

import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, Protocol

from fame_cli.core.grant import Grant
from fame_cli.net.pump import Turn
from fame_cli.net.transport import Transport

__all__ = ["BACKLOG", "Accept", "Answer", "Asked", "Listen", "Page", "Route", "Server", "Shown", "bearer"]


BACKLOG = 4096
"""Connections that may wait to be accepted, as far as the system agrees. One that finds no room tries again after one
second, three, seven, …: with asyncio's 100 it took 28 s until 2,000 agents that dialled at once had attached (measured,
bench_scale.py)."""


class Asked(NamedTuple):
    """Hold a request before there is a link.

    Args:
        path: with what follows a ``?``.
        token: what was shown: behind ``bearer`` among the subprotocols, or in the header Authorization; "" for none.
        proof: the header DPoP (RFC 9449), "" for none.
        host: IP address it came from, "" where that isn't known yet.
    """

    path: str
    token: str = ""
    proof: str = ""
    host: str = ""

    def __repr__(self) -> str:
        return f"<Asked {self.path} from {self.host or '?'}>"


class Shown(NamedTuple):
    """Hold what a dialler shows: a token and the proof that it is its own, "" for none; and how it does TLS.

    Args:
        tls: None for the system's authorities and no certificate of one's own.
    """

    token: str = ""
    proof: str = ""
    tls: ssl.SSLContext | None = None

    def __repr__(self) -> str:
        return f"<Shown {'a token' if self.token else 'nothing'}>"

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the handshake that carry it (security.md 3.1; RFC 9449)."""
        found = {"Sec-WebSocket-Protocol": f"bearer, {self.token}"} if self.token else {}
        return found | ({"DPoP": self.proof} if self.proof else {})


class Page(NamedTuple):
    """Answer a request by HTTP and close: a status of 200 or above and a body of JSON."""

    status: int
    body: bytes


class Route(NamedTuple):
    """Let a request become a link: what its path asked to be, the id it came with, and what it may do.

    Args:
        unsettled: name of the issuer whose keys have to be fetched before anybody can say what it may do, "" for none.
    """

    kind: str
    remote_id: str
    asked: Asked = Asked("")
    grant: Grant | None = None
    unsettled: str = ""


Answer = Callable[[Asked], Page | Route]
"""Sees every request."""


def bearer(protocols: str, authorization: str) -> str:
    """Return the token of a request, "" for none.

    Args:
        protocols: Sec-WebSocket-Protocol: ``bearer, <token>`` (security.md 3.1).
        authorization: Authorization: ``Bearer <token>`` (RFC 6750, 2.1).
    """
    offered = [each.strip() for each in protocols.split(",")]
    if offered[0] == "bearer":
        return offered[1] if len(offered) > 1 else ""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


Accept = Callable[[Transport, Route], None]
"""Called with each new link and its route, before the next request is looked at."""


class Server(Protocol):
    """Listen on a port."""

    @property
    def sockets(self) -> Sequence[Any]:
        """The sockets it listens on; more than one for a host of several addresses."""
        ...

    def close(self) -> None:
        """Take no more links; those that are open stay."""
        ...


class Listen(Protocol):
    """Bind host and port (0 for any free one), answer requests and accept links."""

    def __call__(
        self,
        host: str,
        port: int,
        turn: Turn,
        answer: Answer,
        accept: Accept,
        *,
        reuse_port: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> Awaitable[Server]:
        """Listen.

        Args:
            answer: sees every request first.
            accept: takes each new link.
            reuse_port: other processes listen on the same port, and the system spreads connections over them.
            tls: how links are encrypted; None for not at all.

        Raises:
            OSError: the port can't be had.
        """
        ...
