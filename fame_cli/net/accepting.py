"""A listening port for `picows`: binds, accepts, and turns connections away where no file may be opened any more.

The library's own (``aiofastnet.create_server`` 1.2) fails over the last point: it spins, logs every time, and takes
nobody meanwhile. Here one file is kept in reserve to take each connection that is too much, and close it: whoever dials
knows at once, and tries again later.
"""

import asyncio
import errno
import os
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

import aiofastnet

__all__ = ["Acceptor", "bound"]

A_TURN = 128
"""Connections taken before others get their turn."""

EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

PAUSE_S = 0.1
"""Seconds until it is looked again where a connection can't even be turned away."""


class Acceptor:
    """Take connections on some sockets; see `answer.Server`.

    Args:
        sockets: bound and listening.
        protocol: makes the protocol of one connection.
    """

    def __init__(self, sockets: Sequence[socket.socket], protocol: Callable[[], asyncio.BaseProtocol]) -> None:
        self.sockets = sockets
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._reserve = os.open(os.devnull, os.O_RDONLY)
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_open = True
        for each in sockets:
            self._listen_on(each)

    def close(self) -> None:
        """Take no more links; those that are open stay."""
        if self._is_open:
            self._is_open = False
            for each in self.sockets:
                self._loop.remove_reader(each.fileno())
                each.close()
            if self._reserve >= 0:
                os.close(self._reserve)

    def _listen_on(self, listening: socket.socket) -> None:
        if self._is_open:
            self._loop.add_reader(listening.fileno(), self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(A_TURN):
            try:
                connection, _ = listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno not in EXHAUSTED:
                    continue  # that one connection is gone again
                if not self._turn_away(listening):
                    self._loop.remove_reader(listening.fileno())
                    self._loop.call_later(PAUSE_S, self._listen_on, listening)
                    return
            else:
                connection.setblocking(False)
                task = self._loop.create_task(self._begin(connection))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _turn_away(self, listening: socket.socket) -> bool:
        """Take a connection by the file in reserve and close it; False when that doesn't go either."""
        if self._reserve >= 0:
            os.close(self._reserve)
            self._reserve = -1
        taken = True
        try:
            listening.accept()[0].close()
        except OSError as error:
            taken = error.errno not in EXHAUSTED
        with suppress(OSError):
            self._reserve = os.open(os.devnull, os.O_RDONLY)
        return taken

    async def _begin(self, connection: socket.socket) -> None:
        try:
            await aiofastnet.connect_accepted_socket(self._loop, self._protocol, connection)
        except OSError:
            connection.close()


async def bound(host: str, port: int, backlog: int, *, reuse_port: bool) -> list[socket.socket]:
    """Return a listening socket for each address of a host.

    Raises:
        OSError: one can't be had; no other is left open.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, kind, number, _, place in dict.fromkeys(found):
            each = socket.socket(family, kind, number)
            sockets.append(each)
            if sys.platform != "win32":
                each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if reuse_port:
                each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            each.setblocking(False)
            each.bind(place)
            each.listen(backlog)
    except OSError:
        for each in sockets:
            each.close()
        raise
    return sockets
