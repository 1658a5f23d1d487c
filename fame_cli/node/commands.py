"""Operations answered by a program: arguments as one JSON object on stdin, the result on stdout, never a shell.

The program runs in a process group of its own, which is killed as a whole when the call is cancelled, takes too long
or prints too much. What callers say reaches it on stdin only; its argument list is the config's.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal, TypeVar, cast

import msgspec

from fame_cli.core.envelope import encode_json
from fame_cli.errors import RemoteError

__all__ = ["Command", "line_runner", "runner"]

STDIN, STDOUT, STDERR = 0, 1, 2

END_S = 5.0
"""Seconds a program that was killed, or has failed, has to be gone for good."""

STDERR_BYTES = 4_096
"""Bytes of the end of stderr that are kept for the message."""

MESSAGE_CHARACTERS = 200
"""Characters of stderr's last line that reach the caller."""

T = TypeVar("T")


@dataclass(slots=True, frozen=True)
class Command:
    """Answer with what a program prints.

    Args:
        argv: the program and its arguments; the program is looked up on the PATH.
        result: ``text`` as it is, without the line ends at its end, or ``json``: read it as JSON. A line of a stream
            is JSON when it reads as JSON, else text.
        folder: where the program runs; this process's own working folder when None.
    """

    argv: tuple[str, ...]
    result: Literal["text", "json"] = "text"
    folder: str | None = None


class _Program(asyncio.SubprocessProtocol):
    """Hold one running program: its output as far as it isn't taken, the end of its stderr, and its end."""

    transport: asyncio.SubprocessTransport

    def __init__(self, name: str, max_bytes: int) -> None:
        self._name = name
        self._max_bytes = max_bytes
        self._output = bytearray()
        self._complete = False
        self._said = b""
        self._changed = asyncio.Event()
        self._silent = asyncio.Event()
        self._exited = asyncio.Event()

    # Called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take that the program runs."""
        self.transport = cast(asyncio.SubprocessTransport, transport)  # uvloop's is none, it only acts like it

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Take what it prints; more than it may isn't read before the rest is taken."""
        if fd == STDERR:
            self._said = (self._said + data)[-STDERR_BYTES:]
            return
        self._output += data
        self._changed.set()
        if len(self._output) > self._max_bytes:
            self._pipe().pause_reading()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """Take the end of stdout or stderr."""
        if fd == STDOUT:
            self._complete = True
            self._changed.set()
        elif fd == STDERR:
            self._silent.set()

    def process_exited(self) -> None:
        """Take that the process has ended; its pipes may still hold something."""
        self._exited.set()

    # Called by us

    def tell(self, arguments: Mapping[str, object]) -> None:
        """Write the arguments; a program that doesn't read them is free not to."""
        pipe = cast(asyncio.WriteTransport, self.transport.get_pipe_transport(STDIN))
        if not pipe.is_closing():  # uvloop notices at once when a program has ended
            pipe.write(encode_json(arguments) + b"\n")
            pipe.close()

    async def output(self) -> bytes:
        """Read stdout to its end."""
        while not self._complete and len(self._output) <= self._max_bytes:
            await self._more()
        if len(self._output) > self._max_bytes:
            raise RemoteError(f"{self._name}: the command prints more than {self._max_bytes} bytes")
        return bytes(self._output)

    async def line(self) -> bytes:
        """Take the next line with its end; b"" at the end of stdout."""
        searched = 0
        while not (end := self._output.find(b"\n", searched) + 1):
            searched = end = len(self._output)
            if self._complete or searched > self._max_bytes:
                break
            await self._more()
        if end > self._max_bytes:
            raise RemoteError(f"{self._name}: the command prints a line of more than {self._max_bytes} bytes")
        line = bytes(self._output[:end])
        del self._output[:end]
        return line

    async def succeed(self) -> None:
        """Wait for the end of the program.

        Raises:
            RemoteError: it failed; the last line of its stderr says why.
        """
        await self._exited.wait()
        code = self.transport.get_returncode()
        if code:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(END_S):
                    await self._silent.wait()
            lines = self._said.decode(errors="replace").strip().splitlines()
            why = f": {lines[-1].strip()[:MESSAGE_CHARACTERS]}" if lines else ""
            how = f"ended with code {code}" if code > 0 else f"was killed by signal {-code}"
            raise RemoteError(f"{self._name}: the command {how}{why}", data={"exit_code": code})

    async def stop(self) -> None:
        """Kill what is left of the process group and see the program to its end, even when cancelled meanwhile."""
        if not (self._exited.is_set() and self._complete):  # else there may be no such group any more
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.transport.get_pid(), signal.SIGKILL)
        cancelled = None
        enough = asyncio.get_running_loop().call_later(END_S, self._exited.set)
        while not self._exited.is_set():
            try:
                await self._exited.wait()
            except asyncio.CancelledError as error:
                cancelled = error
        enough.cancel()
        self.transport.close()
        if cancelled is not None:
            raise cancelled

    async def _more(self) -> None:
        self._pipe().resume_reading()
        self._changed.clear()
        await self._changed.wait()

    def _pipe(self) -> asyncio.ReadTransport:
        return cast(asyncio.ReadTransport, self.transport.get_pipe_transport(STDOUT))


async def _start(program: _Program, command: Command) -> None:
    """Start a program; one whose caller gives up meanwhile is stopped as a whole, once it has started.

    Raises:
        OSError, ValueError: it can't be started.
    """
    if any("\0" in part for part in command.argv):
        raise ValueError("embedded null byte")  # uvloop would cut it off there
    loop = asyncio.get_running_loop()
    starting = asyncio.ensure_future(
        loop.subprocess_exec(lambda: program, *command.argv, start_new_session=True, cwd=command.folder)
    )
    try:
        await asyncio.shield(starting)
    except asyncio.CancelledError:
        await asyncio.wait([starting])
        if starting.exception() is None:
            await program.stop()
        raise


@asynccontextmanager
async def _running(
    name: str, command: Command, arguments: Mapping[str, object], max_bytes: int
) -> AsyncIterator[_Program]:
    program = _Program(name, max_bytes)
    try:
        await _start(program, command)
    except (OSError, ValueError) as error:
        why = os.strerror(error.errno).lower() if isinstance(error, OSError) and error.errno else str(error)
        raise RemoteError(f"{name}: {command.argv[0]} can't be started: {why}") from error
    try:
        program.tell(arguments)
        yield program
    finally:
        await program.stop()


def runner(
    name: str, command: Command, *, timeout_s: float, max_bytes: int
) -> Callable[[Mapping[str, object]], Awaitable[str]]:
    """Return the coroutine function that runs a program and gives what it printed.

    Args:
        name: of the operation, for messages.
        timeout_s: seconds until it is killed, > 0.
        max_bytes: bytes it may print.
    """

    async def answer(arguments: Mapping[str, object]) -> str:
        async with _running(name, command, arguments, max_bytes) as program:
            try:
                async with asyncio.timeout(timeout_s):
                    printed = await program.output()
                    await program.succeed()
            except TimeoutError as error:
                raise RemoteError(f"{name}: the command took longer than {timeout_s:g} s") from error
        return _text(name, printed)

    return answer


def line_runner(
    name: str, command: Command, *, timeout_s: float, max_bytes: int
) -> Callable[[Mapping[str, object]], AsyncGenerator[object, None]]:
    """Return the async generator function that runs a program and gives its lines as they come.

    Args:
        name: of the operation, for messages.
        timeout_s: seconds from one line to the next, > 0; the time a reader takes isn't counted.
        max_bytes: bytes of one line.
    """

    async def items(arguments: Mapping[str, object]) -> AsyncGenerator[object, None]:
        async with _running(name, command, arguments, max_bytes) as program:
            while line := await _in_time(name, program.line(), timeout_s):
                yield _item(_text(name, line))
            await _in_time(name, program.succeed(), timeout_s)

    return items


async def _in_time(name: str, step: Awaitable[T], timeout_s: float) -> T:
    try:
        async with asyncio.timeout(timeout_s):
            return await step
    except TimeoutError as error:
        raise RemoteError(f"{name}: the command printed nothing for {timeout_s:g} s") from error


def _text(name: str, printed: bytes) -> str:
    try:
        return printed.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise RemoteError(f"{name}: the command prints what isn't UTF-8") from error


def _item(line: str) -> object:
    try:
        value: object = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError):
        return line
    return value
