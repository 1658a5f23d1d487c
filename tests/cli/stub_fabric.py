"""A stand-in for an attached client, for tests of the command line alone; run as a script it is `fame` on that client.

It implements `CallingClient` against operations kept in a dict, counts what it was asked, and remembers whether a
stream was closed by its consumer. What sentinels answer about the fabric are documented shapes, kept in `ANSWERS`. The
script form is for tests of pipes and signals, which need a process.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fame_cli.cli.main import app
from fame_cli.cli.options import Invocation
from fame_cli.cli.session import ClientSettings
from fame_cli.errors import ConnectError, FameError, NoRoute, RemoteError, UsageError

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
STREAMS = ("fib_stream", "ticks", "forever")

ANSWERS: dict[str, Any] = {
    "fabric.names": [
        {
            "address": "math2@fame.fabric",
            "operations": ["fib_stream", "add"],
            "capabilities": ["fame.capability.math"],
            "node": "s2",
            "hops": 1,
            "next_hop": "s2",
        },
        {
            "address": "math1@fame.fabric",
            "operations": ["add", "multiply"],
            "capabilities": [],
            "node": "s1",
            "hops": 0,
            "next_hop": "math-agent1",
        },
    ],
    "fabric.links": [
        {
            "node": "math-agent1", "kind": "child", "path": "/s1/math-agent1", "plain": False, "mesh": False,
            "dialed": False, "cost": 1, "age_s": 187.4, "state": "open", "extensions": ["cancel", "window"],
        },
        {
            "node": "s2", "kind": "peer", "path": "/s2", "plain": False, "mesh": True,
            "dialed": True, "cost": 5, "age_s": 7500.0, "state": "open", "extensions": ["mesh", "sys"],
        },
        {
            "node": "old", "kind": "peer", "path": "/old", "plain": True, "mesh": False,
            "dialed": False, "cost": 1, "age_s": 3.2, "state": "draining", "extensions": [],
        },
    ],
    "fabric.routes": [
        {
            "destination": "math1@fame.fabric", "kind": "address", "next_hop": "math-agent1", "via": ["s1"],
            "origin": "s1", "hops": 0, "cost": 0, "age_s": 187.4, "conflict": [],
        },
        {
            "destination": "math3@fame.fabric", "kind": "address", "next_hop": "s2", "via": ["s1", "s2", "s3"],
            "origin": "s3", "hops": 2, "cost": 2, "age_s": 12.0, "conflict": [],
        },
        {
            "destination": "op:add math2@fame.fabric", "kind": "capability", "next_hop": "s2", "via": ["s1", "s2"],
            "origin": "s2", "hops": 1, "cost": 1, "age_s": 12.0, "conflict": [],
        },
        {
            "destination": "/s2", "kind": "path", "next_hop": "s2", "via": ["s1", "s2"],
            "origin": "s2", "hops": 1, "cost": 1, "age_s": 12.0, "conflict": [],
        },
    ],
    "fabric.graph": {
        "node": "s1",
        "sentinels": [
            {"node": "s3", "path": "/s3", "hops": 2, "age_s": 9.0, "incarnation": 1, "offers": 1},
            {"node": "s1", "path": "/s1", "hops": 0, "age_s": 90.0, "incarnation": 1, "offers": 2},
            {"node": "s2", "path": "/s2", "hops": 1, "age_s": 9.0, "incarnation": 2, "offers": 0},
            {"node": "s9", "path": "/s9", "hops": None, "age_s": 60.0, "incarnation": 1, "offers": 1},
        ],
        "links": [
            {"a": "s1", "b": "s2", "cost": 1, "half": False},
            {"a": "s1", "b": "s3", "cost": 5, "half": True},
            {"a": "s2", "b": "s3", "cost": 1, "half": False},
        ],
        "plain": [{"node": "old", "at": "s1", "kind": "peer"}],
    },
}  # fmt: skip
TRACE = ["s1;child;100", "s2;peer;2000", "a2;parent;50", "a2;local;950", "s2;child;3100", "s1;peer;1300"]


@dataclass
class StubClient:
    """Answer like math agents at `addresses` would.

    `failure` is raised by the next calls instead, `failures` one by one before that; a None among them is an answer.
    `most` is how many may attach.
    """

    addresses: Sequence[str] = ("math2@fame.fabric",)
    describes: bool = True
    is_plain: bool = False
    answers: dict[str, Any] = field(default_factory=lambda: deepcopy(ANSWERS))
    capabilities: dict[str, list[str]] = field(default_factory=dict)
    description: dict[str, Any] | None = None
    trace: list[str] = field(default_factory=lambda: list(TRACE))
    last_trace: list[str] = field(default_factory=list)
    last_signer: str = ""
    session: str | None = None
    failure: FameError | None = None
    failures: list[FameError | None] = field(default_factory=list)
    refuses: ConnectError | None = None
    most: int = 10_000
    asked: list[str] = field(default_factory=list)
    params: dict[str, Any] = field(default_factory=dict)
    settings: ClientSettings | None = None
    sent: list[tuple[str, object, str, bool | None]] = field(default_factory=list)
    undelivered: FameError | None = None
    left: int = 0
    closed_streams: int = 0
    detached: bool = False

    @asynccontextmanager
    async def connect(self, settings: ClientSettings) -> AsyncIterator["StubClient"]:
        """Be the `Connect` of an invocation."""
        self.settings = settings
        if self.refuses:
            raise self.refuses
        self.most -= 1
        if self.most < 0:
            raise ConnectError("no room")
        try:
            yield self
        finally:
            self.detached = True

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
        """Answer a call."""
        params = params.get("kwargs", params)
        self.session = session
        self._note(self._provider(target, capabilities), operation, params)
        self._observe(target, operation)
        if operation == "add":
            return params["x"] + params["y"]
        return params.get("value", params.get("text"))

    def open_stream(
        self,
        target: str | None,
        operation: str,
        params: dict[str, Any],
        *,
        timeout_s: float | None = None,
        capabilities: list[str] | None = None,
        session: str | None = None,
    ) -> AsyncGenerator[object, None]:
        """Answer a stream."""
        params = params.get("kwargs", params)
        self.session = session
        self._note(self._provider(target, capabilities), operation, params)
        return self._items(operation, params)

    def _provider(self, target: str | None, wanted: list[str] | None) -> str:
        """Return whom a call reaches."""
        if target is not None:
            return target
        for address in self.addresses:
            if all(address in self.capabilities.get(capability, ()) for capability in wanted or ()):
                return address
        raise NoRoute(f"nobody offers {wanted}")

    def _note(self, target: str | None, operation: str, params: dict[str, Any]) -> None:
        self.asked.append(f"{target} {operation}")
        self.params = params
        if target not in self.addresses and not str(target).startswith("__sys__@/s"):
            raise NoRoute(f"nobody serves {target}")
        if self.settings is not None and self.settings.trace:
            self.last_trace = self.trace or self.last_trace
        if operation not in {**SCHEMAS, "agent.ping": {}}:
            raise RemoteError(f"Method not found: {operation}", code=-32601, data={"operations": list(SCHEMAS)})
        failure = self.failures.pop(0) if self.failures else self.failure
        if failure:
            raise failure

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
        if self.failure and address not in self.addresses:
            raise self.failure
        if self.description is not None:
            return self.description
        return {
            "operations": [
                {"name": name, "schema": schema, "streaming": name in STREAMS} for name, schema in SCHEMAS.items()
            ]
        }

    @property
    def storage(self) -> Path | None:
        """Return the file of the settings."""
        return self.settings.storage if self.settings else None

    async def send(self, target: str, payload: Any, *, operation: str = "", durable: bool | None = None) -> str:
        """Take a message, once or for good as the settings say."""
        self.sent.append((target, payload, operation, durable))
        if self.failure:
            raise self.failure
        keeps = self.settings is not None and self.settings.delivery.at_least_once
        return "m1" if durable or (durable is None and keeps) else ""

    async def delivered(self, message_id: str, *, timeout_s: float | None = None) -> None:
        """Say what has become of a message."""
        if self.undelivered:
            raise self.undelivered

    async def calm(self, quiet_s: float = 0.5) -> int:
        """Return how many messages are left."""
        return self.left

    async def ask(self, method: str, *, at: str | None = None, arguments: Mapping[str, Any] | None = None) -> object:
        """Answer as a sentinel; what is asked for page by page is noted once."""
        offset = (arguments or {}).get("offset", 0)
        if not offset:
            self.asked.append(f"{at or 'attached'} {method}")
        if self.is_plain:
            raise UsageError("this sentinel can't be asked what it knows", hint="name the agent's address")
        if method == "fabric.lookup":
            providers = self.capabilities.get((arguments or {})["capability"], [])
            return [{"address": address, "node": "n", "origin": "s1", "hops": 0} for address in providers]
        if method not in self.answers:
            raise RemoteError(f"Method not found: {method}", code=-32601)
        if isinstance(self.answers[method], FameError):
            raise self.answers[method]
        return _page(self.answers[method], offset)

    async def lookup(self, operation: str) -> list[dict[str, Any]]:
        """Answer who offers an operation."""
        return [{"address": address, "node": "n"} for address in self.addresses if operation in SCHEMAS]

    async def operations(self) -> list[str]:
        """Answer which operations there are."""
        return list(SCHEMAS) if self.addresses else []


def _page(answer: Any, offset: int) -> Any:
    """Return one row of a list; of a graph all on the first page: pages as short as can be."""
    if isinstance(answer, list):
        return answer[offset : offset + 1]
    return {"node": answer["node"]} if offset and isinstance(answer, dict) else answer


if __name__ == "__main__":
    stub = StubClient()
    try:
        app(obj=Invocation(connect=stub.connect))
    finally:
        if len(sys.argv) > 1 and "forever" in sys.argv:
            os.write(2, f"closed streams: {stub.closed_streams}, detached: {stub.detached}\n".encode())
