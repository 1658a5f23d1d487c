"""Which library carries the links of a node: the one place that knows that there are two.

Both speak the same WebSocket, so nodes of either kind talk to each other. A library is imported when it is chosen.
"""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol

from fame_cli.errors import ConfigError
from fame_cli.net import failures
from fame_cli.net.answer import Listen, Shown
from fame_cli.net.pump import Turn
from fame_cli.net.transport import Transport

__all__ = ["NETWORKS", "Dial", "Network", "network"]

NETWORKS = ("auto", "websockets", "picows")


class Dial(Protocol):
    """Open a link to a complete ``ws://`` or ``wss://`` URL."""

    def __call__(self, url: str, turn: Turn, shown: Shown = ...) -> Awaitable[Transport]:
        """Dial.

        Raises:
            ConnectError: nobody listens, its certificate doesn't hold, or it isn't a WebSocket.
            AdmissionRefused: the other side refused before the upgrade.
            ConfigError: what is to be shown can't be.
        """
        ...


@dataclass(frozen=True, slots=True)
class Network:
    """Make links, out and in.

    Attributes:
        name: the library's.
        dial: see `Dial`.
        listen: see `answer.Listen`.
    """

    name: str
    dial: Dial
    listen: Listen


def network(name: str = "auto") -> Network:
    """Return the network of a name.

    Args:
        name: ``websockets``, ``picows``, or ``auto``: picows where it is installed, else websockets.

    Raises:
        ConfigError: there is none of that name, or what it needs isn't installed.
    """
    if name not in NETWORKS:
        raise ConfigError(f"unknown transport {name!r}", source="transport", hint=f"use {', '.join(NETWORKS)}")
    if name != "websockets":
        try:
            from fame_cli.net import picows_ends  # an extra

            return Network("picows", _telling(picows_ends.dial), picows_ends.listen)
        except ImportError as error:
            if name == "picows":
                raise ConfigError(
                    f"the transport picows can't be used: {error}",
                    source="transport",
                    hint="install the extra `fast` (pip install picows), or use websockets",
                ) from error
    from fame_cli.net import websocket_ends  # on demand: a node on picows never needs it

    return Network("websockets", _telling(websocket_ends.dial), websocket_ends.listen)


def _telling(dial: Dial) -> Dial:
    """Have a dial that fails say so where the port speaks TLS and the URL doesn't, or the other way round."""

    async def dial_and_tell(url: str, turn: Turn, shown: Shown = Shown()) -> Transport:  # noqa: B008  # it is frozen
        try:
            return await dial(url, turn, shown)
        except failures.Misspoken as error:
            from fame_cli.net.languages import told  # on demand: most dials don't fail

            raise await told(url, error) from error

    return dial_and_tell
