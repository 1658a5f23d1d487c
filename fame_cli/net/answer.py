"""What a listener says to a request before there is a link: a route lets it become one, a page ends it there.

Each transport reads the path off its library's request and writes the answer in its library's way, so that whoever
decides (``node/listening.py``) knows neither.
"""

import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, Protocol

from fame_cli.core.grant import Grant
from fame_cli.net.handshake import Asked, Shown
from fame_cli.net.pump import Turn
from fame_cli.net.transport import Transport

__all__ = ["BACKLOG", "TOO_LONG", "Accept", "Answer", "Asked", "Listen", "Page", "Route", "Server", "Shown"]


BACKLOG = 4096
"""Connections that may wait to be accepted, as far as the system agrees. One that finds no room tries again after one
second, three, seven, …: with asyncio's 100 it took 28 s until 2,000 agents that dialled at once had attached (measured,
bench_scale.py)."""


class Page(NamedTuple):
    """Answer a request by HTTP and close: a status of 200 or above, a body of JSON, headers beside those it needs."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


TOO_LONG = Page(431, b'{"error": "a header is too long"}\n')
"""For a request whose headers can't be those of an honest dialler."""


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
            tls: speak ``wss://`` with this and nothing else; None for ``ws://``.

        Raises:
            OSError: the port can't be had.
        """
        ...
