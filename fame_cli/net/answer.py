"""What a listener says to a request before there is a link: a route lets it become one, a page ends it there.

Each transport reads the path off its library's request and writes the answer in its library's way, so that whoever
decides (``node/listening.py``) knows neither.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, Protocol

from fame_cli.net.pump import Turn
from fame_cli.net.transport import Transport

__all__ = ["BACKLOG", "Accept", "Answer", "Listen", "Page", "Route", "Server"]


BACKLOG = 4096
"""Connections that may wait to be accepted, as far as the system agrees. One that finds no room tries again after one
second, three, seven, …: with asyncio's 100 it took 28 s until 2,000 agents that dialled at once had attached (measured,
bench_scale.py)."""


class Page(NamedTuple):
    """Answer a request by HTTP and close: a status of 200 or above and a body of JSON."""

    status: int
    body: bytes


class Route(NamedTuple):
    """Let a request become a link: what its path asked to be, and the id it came with."""

    kind: str
    remote_id: str


Answer = Callable[[str], Page | Route]
"""Sees the path of every request, with what follows a ``?``."""

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
        self, host: str, port: int, turn: Turn, answer: Answer, accept: Accept, *, reuse_port: bool = False
    ) -> Awaitable[Server]:
        """Listen.

        Args:
            answer: sees every request first.
            accept: takes each new link.
            reuse_port: other processes listen on the same port, and the system spreads connections over them.

        Raises:
            OSError: the port can't be had.
        """
        ...
