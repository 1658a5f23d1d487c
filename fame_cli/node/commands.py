"""Operations answered by a program: arguments as one JSON object on stdin, the result on stdout, never a shell.

The program runs in a process group of its own, which is killed as a whole when the call is cancelled, takes too long
or prints too much. What callers say reaches it on stdin only; its argument list is the config's.
"""

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal, TypeVar

import msgspec

from fame_cli.core.envelope import encode_json
from fame_cli.errors import RemoteError

__all__ = ["Command", "line_runner", "runner"]

CHUNK_BYTES = 65_536

STDERR_BYTES = 4_096
"""Bytes of the end of stderr that are kept for the message."""

MESSAGE_CHARACTERS = 200
"""Characters of stderr's last line that reach the caller."""

END_S = 5.0
"""Seconds a program that was killed, or has closed its stdout, has to be gone."""

T = TypeVar("T")


@dataclass(slots=True, frozen=True)
class Command:
    """Answer with what a program prints.

    Args:
        argv: the program and its arguments; the program is looked up on the PATH.
        result: ``text`` as it is, without the line ends at its end, or ``json``: read it as JSON. A line of a stream
            is JSON when it reads as JSON, else text.
    """

    argv: tuple[str, ...]
    result: Literal["text", "json"] = "text"


class _Run:
    """Hold one running program."""

    def __init__(self, name: str, process: Process, max_bytes: int) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._name = name
        self._process = process
        self._max_bytes = max_bytes
        self._stdin, self._stdout, self._stderr = process.stdin, process.stdout, process.stderr
        self._said = b""
        self._listening = asyncio.create_task(self._listen())

    def tell(self, arguments: Mapping[str, object]) -> None:
        """Write the arguments; a program that doesn't read them is free not to."""
        self._stdin.write(encode_json(arguments) + b"\n")
        self._stdin.close()

    async def output(self) -> bytes:
        """Read stdout to its end."""
        parts: list[bytes] = []
        size = 0
        while part := await self._stdout.read(CHUNK_BYTES):
            size += len(part)
            if size > self._max_bytes:
                raise RemoteError(f"{self._name}: the command prints more than {self._max_bytes} bytes")
            parts.append(part)
        return b"".join(parts)

    async def line(self) -> bytes:
        """Read the next line; b"" at the end."""
        try:
            return await self._stdout.readline()
        except ValueError as error:
            too_long = f"{self._name}: the command prints a line of more than {self._max_bytes} bytes"
            raise RemoteError(too_long) from error

    async def succeed(self) -> None:
        """Wait for the end of the program.

        Raises:
            RemoteError: it failed; the last line of its stderr says why.
        """
        code = await self._process.wait()
        if code:
            await asyncio.wait([self._listening], timeout=END_S)
            lines = self._said.decode(errors="replace").strip().splitlines()
            why = f": {lines[-1].strip()[:MESSAGE_CHARACTERS]}" if lines else ""
            how = f"ended with code {code}" if code > 0 else f"was killed by signal {-code}"
            raise RemoteError(f"{self._name}: the command {how}{why}", data={"exit_code": code})

    async def stop(self) -> None:
        """Kill what is left of the process group and forget it."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._listening.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                await self._process.wait()

    async def _listen(self) -> None:
        """Keep stderr flowing and remember its end."""
        while part := await self._stderr.read(CHUNK_BYTES):
            self._said = (self._said + part)[-STDERR_BYTES:]


@asynccontextmanager
async def _running(name: str, command: Command, arguments: Mapping[str, object], max_bytes: int) -> AsyncIterator[_Run]:
    try:
        process = await asyncio.create_subprocess_exec(
            *command.argv, stdin=PIPE, stdout=PIPE, stderr=PIPE, limit=max_bytes, start_new_session=True
        )
    except (OSError, ValueError) as error:
        why = os.strerror(error.errno).lower() if isinstance(error, OSError) and error.errno else str(error)
        raise RemoteError(f"{name}: {command.argv[0]} can't be started: {why}") from error
    run = _Run(name, process, max_bytes)
    try:
        run.tell(arguments)
        yield run
    finally:
        await run.stop()


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
        async with _running(name, command, arguments, max_bytes) as run:
            try:
                async with asyncio.timeout(timeout_s):
                    printed = await run.output()
                    await run.succeed()
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
        async with _running(name, command, arguments, max_bytes) as run:
            while line := await _in_time(name, run.line(), timeout_s):
                yield _item(_text(name, line))
            await _in_time(name, run.succeed(), timeout_s)

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
