"""The parent of a sentinel's workers: holds the port, starts them, tells them of each other, replaces who dies.

It carries no envelope. A worker that ends once it has served is started again, with back-off; one that ends before
that takes the whole down with its exit code, because the next try would end the same way. The workers end when their
pipe does, so they don't outlive this process, whatever ends it.
"""

import asyncio
import contextlib
import errno
import random
import socket
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence

import msgspec

from fame_cli.errors import FameError
from fame_cli.net import failures
from fame_cli.net.backoff import delays
from fame_cli.node.log import log_event
from fame_cli.node.loop import until_signalled
from fame_cli.node.workers import FIRST, Orders, Report, orders, worker_id

__all__ = ["Supervisor", "WorkerDied", "reserve"]

GRACE_S = 4.0
"""Seconds workers have to end beyond their time to wind down, before they are killed; less than ``fame down`` gives
the whole."""

STEADY_S = 5.0
"""Seconds a worker has to live for its end to be the first in a row."""


class WorkerDied(FameError):
    """Report that a worker ended before it ever served; the exit code is its own, and it has said why."""

    def __init__(self, number: int, code: int) -> None:
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        super().__init__(f"worker {number} {how} before it took links", hint="see what it said above")
        self.exit_code = code if code > 0 else 1


class Supervisor:
    """Run the workers of one sentinel.

    Args:
        node_id: of the sentinel, and of its first worker.
        count: of workers, 2 or more.
        command: the program of a worker, by its number.
        hello: the first line a worker reads, by its number.
        has_parent: the config names an upstream.
        drain_s: seconds that what runs in a worker has to finish.
    """

    def __init__(
        self,
        node_id: str,
        count: int,
        command: Callable[[int], Sequence[str]],
        hello: Callable[[int], bytes],
        *,
        has_parent: bool,
        drain_s: float,
    ) -> None:
        self._node_id = node_id
        self._count = count
        self._command = command
        self._hello = hello
        self._has_parent = has_parent
        self._drain_s = drain_s
        self._config: Callable[[int], dict[str, object]] | None = None
        self._processes: dict[int, Process] = {}
        self._reports: dict[int, Report] = {}
        self._told: dict[int, Orders] = {}
        self._served: set[int] = set()
        self._have_started = self._is_up = self._is_ready = False
        self._over = asyncio.Event()
        self._ending = asyncio.Event()
        self._failure: WorkerDied | None = None

    async def serve(self, reload: Callable[[], None] | None = None) -> None:
        """Run until SIGINT or SIGTERM.

        Args:
            reload: called at a SIGHUP; None leaves that signal alone.

        Raises:
            WorkerDied: one couldn't start.
        """
        async with asyncio.TaskGroup() as tasks:
            for number in range(FIRST, self._count + 1):
                tasks.create_task(self._keep(number))
            await until_signalled(self._over, self._stop, reload)
            await self._hurry()
        if self._failure is not None:
            raise self._failure
        log_event("node_stopped", node_id=self._node_id, kind="sentinel")

    def reconfigure(self, config: Callable[[int], dict[str, object]], drain_s: float) -> None:
        """Tell the workers, each by its number, what their config is now."""
        self._config, self._drain_s = config, drain_s
        self._order()

    async def _stop(self) -> None:
        """Tell all workers to end, and wait until they have, or have taken too long."""
        self._ending.set()
        for process in self._processes.values():
            assert process.stdin is not None
            process.stdin.close()
        await self._all_ended(self._drain_s + GRACE_S)

    async def _hurry(self) -> None:
        """End the workers that are left at once: in good order, and by force those that take too long."""
        for end in (Process.terminate, Process.kill):
            for process in self._processes.values():
                if process.returncode is None:
                    end(process)
            await self._all_ended(GRACE_S)

    async def _all_ended(self, limit_s: float) -> None:
        waits = [asyncio.ensure_future(process.wait()) for process in self._processes.values()]
        if waits:
            await asyncio.wait(waits, timeout=limit_s)

    async def _keep(self, number: int) -> None:
        """Run a worker again and again."""
        wait = delays(random.random)
        while not self._ending.is_set():
            begun = time.monotonic()
            try:
                code = await self._run(number)
            except OSError as error:  # it can't be started just now
                log_event("worker_failed", "error", worker=number, reason=str(error))
                code = 1
            if self._ending.is_set():
                return
            if number not in self._served:
                self._failure = self._failure or WorkerDied(number, code)
                self._over.set()
                return
            if time.monotonic() - begun >= STEADY_S:
                wait = delays(random.random)
            pause = next(wait)
            log_event("worker_ended", "warning", worker=number, code=code, retry_s=round(pause, 1))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), pause)

    async def _run(self, number: int) -> int:
        """Run a worker once and return its exit code, negative for a signal."""
        # a session of its own: a Ctrl-C on the terminal is for the supervisor, who ends them all in good order
        process = await asyncio.create_subprocess_exec(
            *self._command(number), stdin=PIPE, stdout=PIPE, start_new_session=True
        )
        assert process.stdin is not None
        assert process.stdout is not None
        self._processes[number] = process
        log_event("worker_started", worker=number, node_id=worker_id(self._node_id, number), pid=process.pid)
        if not process.stdin.is_closing():  # as it is when the process is gone already
            process.stdin.write(self._hello(number) + b"\n")
        if self._ending.is_set():  # told while it was being made
            process.stdin.close()
        while line := await process.stdout.readline():
            self._take(number, msgspec.json.decode(line, type=Report))
        code = await process.wait()
        process.stdin.close()
        self._processes.pop(number, None)
        self._reports.pop(number, None)
        self._told.pop(number, None)
        self._order()
        return code

    def _take(self, number: int, report: Report) -> None:
        self._reports[number] = report
        self._have_started = self._have_started or len(self._reports) == self._count
        if report.listen:
            self._served.add(number)
        self._order()
        self._announce()

    def _orders(self) -> dict[int, Orders]:
        return orders(self._reports, have_started=self._have_started, has_parent=self._has_parent)

    def _order(self) -> None:
        """Tell each worker what is new for it."""
        for number, told in self._orders().items():
            stdin = self._processes[number].stdin
            if self._config is not None:
                told = msgspec.structs.replace(told, config=self._config(number))
            if told != self._told.get(number) and stdin is not None and not stdin.is_closing():
                self._told[number] = told
                stdin.write(msgspec.json.encode(told) + b"\n")

    def _announce(self) -> None:
        """Say once that all take links, and once that all the config names is attached."""
        if len(self._served) < self._count or len(self._reports) < self._count:
            return
        name, listen = self._node_id, self._reports[FIRST].listen
        if not self._is_up:
            self._is_up = True
            log_event("node_started", node_id=name, kind="sentinel", listen=listen, workers=self._count)
        if not self._is_ready and all(report.is_ready for report in self._reports.values()):
            self._is_ready = True
            log_event("node_ready", node_id=name, kind="sentinel", listen=listen, workers=self._count)


def reserve(host: str, port: int) -> socket.socket:
    """Bind the port that all workers will listen on, so that it is known and stays ours; nobody connects to this one.

    Returns:
        The socket, to be kept until the end.

    Raises:
        ConfigError: the port can't be had; a plain attempt comes first, because two sentinels of one user that both
            have workers could else share a port without noticing.
    """
    try:
        family, kind, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
            place = (place[0], probe.getsockname()[1], *place[2:])
        return _shared(family, place)
    except OSError as error:
        raise failures.no_port(host, port, error) from error


def _shared(family: int, place: tuple[object, ...]) -> socket.socket:
    """Bind without SO_REUSEADDR if that goes, so that another supervisor's plain attempt fails from now on.

    It doesn't go while connections of a sentinel without workers linger in TIME_WAIT.
    """
    for lingering in (False, True):
        held = socket.socket(family, socket.SOCK_STREAM)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, lingering)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            held.bind(place)
        except OSError as error:
            held.close()
            if lingering or error.errno != errno.EADDRINUSE:
                raise
        else:
            return held
    raise AssertionError("the last try returns or raises")
