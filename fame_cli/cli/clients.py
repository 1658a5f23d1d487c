"""What the command line needs of a client: `fame_cli.node.client.Client` has it, and so has the stub of the tests."""

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

__all__ = ["CallingClient", "Stream"]


class Stream(Protocol):
    """Items as they come; `aclose` cancels the producer."""

    def __aiter__(self) -> AsyncIterator[Any]:
        """Iterate over the items."""
        ...

    async def aclose(self) -> None:
        """End the stream at both ends."""
        ...


class CallingClient(Protocol):
    """Say what the command line needs of a client."""

    @property
    def last_trace(self) -> Sequence[str]:
        """Return the way the last answer took, where the settings asked for one."""
        ...

    @property
    def last_signer(self) -> str:
        """Return who signed the last answer, "" where nothing is signed."""
        ...

    async def request(
        self,
        target: str | None,
        operation: str,
        params: dict[str, Any],
        *,
        timeout_s: float | None = None,
        capabilities: list[str] | None = None,
        session: str | None = None,
    ) -> object:
        """Call an operation and return its result."""
        ...

    def open_stream(
        self,
        target: str | None,
        operation: str,
        params: dict[str, Any],
        *,
        timeout_s: float | None = None,
        capabilities: list[str] | None = None,
        session: str | None = None,
    ) -> Stream:
        """Call a streaming operation."""
        ...

    @property
    def storage(self) -> Path | None:
        """Return the file that keeps durable messages, None for memory."""
        ...

    async def send(self, target: str, payload: Any, *, operation: str = "", durable: bool | None = None) -> str:
        """Send a message; the id of a durable one, once it is kept, else ""."""
        ...

    async def delivered(self, message_id: str, *, timeout_s: float | None = None) -> None:
        """Wait until somebody else answers for a durable message."""
        ...

    async def calm(self, quiet_s: float = ...) -> int:
        """Wait as long as durable messages go, and return how many are left."""
        ...

    async def ask(self, method: str, *, at: str | None = None, arguments: Mapping[str, Any] | None = None) -> object:
        """Ask a sentinel, by its physical path or the attached one, what it knows."""
        ...

    async def describe(self, address: str) -> dict[str, Any]:
        """Ask an agent for its operations and their schemas."""
        ...

    async def lookup(self, operation: str) -> list[dict[str, Any]]:
        """Return who offers an operation: ``{"address", "node"}`` each."""
        ...

    async def operations(self) -> list[str]:
        """Return the names of all operations the fabric offers."""
        ...
