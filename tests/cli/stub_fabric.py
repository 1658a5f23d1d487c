"""A stand-in for an attached client, for tests of the command line alone; run as a script it is `fame` on that client.

It implements `CallingClient` against operations kept in a dict, counts what it was asked, and remembers whether a
stream was closed by its consumer. The script form is for tests of pipes and signals, which need a process.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fame_cli.cli.main import app
from fame_cli.cli.options import Invocation
from fame_cli.cli.session import ClientSettings
from fame_cli.errors import ConnectError, FameError, NoRoute, RemoteError

SCHEMAS: dict[str, dict[str, Any]] = {
    "add": {
        "type": "object",
        "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}},
        "required": ["x", "y"],
        "additionalProperties": False,
    },
    "echo": {"type": "object", "properties": {"value": {}, "text": {"type": "string"}}},
    "fib_stream": {"type": "object", "properties": {"n": {"type": "integer", "default": 10}}},
    "ticks": {"type": "object", "properties": {}},
    "forever": {"type": "object", "properties": {}},
}


@dataclass
class StubClient:
    """Answer like math agents at `addresses` would; `failure` is raised by the next call instead."""

    addresses: Sequence[str] = ("math2@fame.fabric",)
    describes: bool = True
    failure: FameError | None = None
    refuses: ConnectError | None = None
    asked: list[str] = field(default_factory=list)
    params: dict[str, Any] = field(default_factory=dict)
    settings: ClientSettings | None = None
    closed_streams: int = 0
    detached: bool = False

    @asynccontextmanager
    async def connect(self, settings: ClientSettings) -> AsyncIterator["StubClient"]:
        """Be the `Connect` of an invocation."""
        self.settings = settings
        if self.refuses:
            raise self.refuses
        try:
            yield self
        finally:
            self.detached = True

    async def request(
        self, target: str | None, operation: str, params: dict[str, Any], *, timeout_s: float | None
    ) -> object:
        """Answer a call."""
        params = params.get("kwargs", params)
        self._note(target, operation, params)
        self._observe(target, operation)
        if operation == "add":
            return params["x"] + params["y"]
        return params.get("value", params.get("text"))

    def open_stream(
        self, target: str | None, operation: str, params: dict[str, Any], *, timeout_s: float | None
    ) -> AsyncGenerator[object, None]:
        """Answer a stream."""
        params = params.get("kwargs", params)
        self._note(target, operation, params)
        return self._items(operation, params)

    def _note(self, target: str | None, operation: str, params: dict[str, Any]) -> None:
        self.asked.append(f"{target} {operation}")
        self.params = params
        if target not in self.addresses:
            raise NoRoute(f"nobody serves {target}")
        if operation not in SCHEMAS:
            raise RemoteError(f"Method not found: {operation}", code=-32601, data={"operations": list(SCHEMAS)})
        if self.failure:
            raise self.failure

    def _observe(self, target: str | None, operation: str) -> None:
        if self.settings is None or self.settings.observer is None:
            return
        request = {"id": "q", "to": target, "rtype": 2, "corrId": "k", "frame": {"type": "Data"}}
        trace = ["s1;child;100", "a1;parent;50", "a1;local;950", "s1;parent;1500"]
        payload = {"result": 7, "token": "open-sesame"}
        reply = {"corrId": "k", "frame": {"type": "Data", "payload": payload}, "meta": {"fame.trace": trace}}
        self.settings.observer("out", json.dumps(request).encode(), 1.0)
        self.settings.observer("in", json.dumps(reply).encode(), 1.002)

    async def _items(self, operation: str, params: dict[str, Any]) -> AsyncGenerator[object, None]:
        ended = False
        try:
            if operation == "fib_stream":
                a, b = 0, 1
                for _ in range(params.get("n", 10)):
                    yield a
                    a, b = b, a + b
            elif operation == "ticks":
                yield {"tick": 1, "of": ["é"]}
                yield "two"
            else:
                yield "first"
                await asyncio.Event().wait()
            ended = True
        finally:
            self.closed_streams += not ended

    async def describe(self, address: str) -> dict[str, Any]:
        """Answer agent.describe."""
        self.asked.append(f"{address} describe")
        if not self.describes:
            raise RemoteError("Method not found", code=-32601)
        return {"operations": [{"name": name, "schema": schema} for name, schema in SCHEMAS.items()]}

    async def lookup(self, operation: str) -> list[dict[str, Any]]:
        """Answer who offers an operation."""
        return [{"address": address, "node": "n"} for address in self.addresses if operation in SCHEMAS]

    async def operations(self) -> list[str]:
        """Answer which operations there are."""
        return list(SCHEMAS) if self.addresses else []


if __name__ == "__main__":
    stub = StubClient()
    try:
        app(obj=Invocation(connect=stub.connect))
    finally:
        if len(sys.argv) > 1 and "forever" in sys.argv:
            os.write(2, f"closed streams: {stub.closed_streams}, detached: {stub.detached}\n".encode())
