"""Which library carries the links of a node: the one place that knows that there are two.

Both speak the same WebSocket, so nodes of either kind talk to each other. A library is imported when it is chosen.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fame_cli.errors import ConfigError
from fame_cli.net.answer import Listen, Shown
from fame_cli.net.pump import Turn
from fame_cli.net.transport import Transport

__all__ = ["NETWORKS", "Network", "network"]

NETWORKS = ("auto", "websockets", "picows")


@dataclass(frozen=True, slots=True)
class Network:
    """Make links, out and in.

    Attributes:
        name: the library's.
        dial: open a link to a complete ``ws://`` or ``wss://`` URL; raises ConnectError or AdmissionRefused.
        listen: see `answer.Listen`.
    """

    name: str
    dial: Callable[[str, Turn, Shown], Awaitable[Transport]]
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
            from fame_cli.net import picows  # an extra

            return Network("picows", picows.dial, picows.listen)
        except ImportError as error:
            if name == "picows":
                raise ConfigError(
                    f"the transport picows can't be used: {error}",
                    source="transport",
                    hint="install the extra `fast` (pip install picows), or use websockets",
                ) from error
    from fame_cli.net import websocket  # on demand: a node on picows never needs it

    return Network("websockets", websocket.dial, websocket.listen)
