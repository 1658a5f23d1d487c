"""Very many nodes in one process, for load: each is one real WebSocket link to a sentinel, and hardly more.

    python benchmarks/scale_nodes.py HOST PORT

is started by ``bench_scale.py``, takes one JSON command a line on stdin and answers with one JSON line each. A light
node speaks FAME v1 with the extension ``window``: it attaches, binds an address if it has one, beats every 15 s,
answers pings and gives credit. It reads no more of an envelope than it must, so that the machine is left to what is
measured.
"""

import asyncio
import json
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, cast

import uvloop

BEAT_S = 15.0
CREDITS = 64
MOST_UNANSWERED = 256
STAMP = "2026-01-01T00:00:00.000Z"
BINARY, CLOSE, PING, PONG = 0x82, 0x88, 0x89, 0x8A
CALL_TIMEOUT_S = 60.0

Json = dict[str, Any]


def text_of(data: bytes, key: bytes) -> str:
    """Return the text under the first such key of an envelope, "" where there is none."""
    start = data.find(b'"%b":"' % key)
    if start < 0:
        return ""
    start += len(key) + 4
    return data[start : data.index(b'"', start)].decode()


def frame(opcode: int, payload: bytes) -> bytes:
    """Make one WebSocket frame of a client; its mask is zero, so that nothing has to be masked."""
    size = len(payload)
    if size < 126:
        head = bytes((opcode, 0x80 | size))
    elif size < 65_536:
        head = bytes((opcode, 0x80 | 126)) + size.to_bytes(2)
    else:
        head = bytes((opcode, 0x80 | 127)) + size.to_bytes(8)
    return head + b"\0\0\0\0" + payload


class LightNode(asyncio.Protocol):
    """Be one leaf below a sentinel.

    Args:
        node_id: unique in the fabric.
        address: what it binds, "" for nothing.
        done: called once, when it has attached and bound, or failed.

    Attributes:
        opened, attached, bound: seconds from the dial until the upgrade, NodeAttachAck and AddressBindAck; 0 before.
        failure: why it isn't attached, "" while nothing is wrong.
    """

    def __init__(self, node_id: str, address: str, done: "Callable[[LightNode], None]") -> None:
        self.node_id, self.address, self._done = node_id, address, done
        self.dialed = time.monotonic()
        self.opened = self.attached = self.bound = 0.0
        self.failure = ""
        self.path = ""
        self.sequence = self.bindings = 0
        self.answered: Callable[[bytes], None] | None = None
        self._taken: dict[str, int] = {}
        self._bound = asyncio.Event()
        self._buffer = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self.transport.write(
            b"GET /fame/v1/attach/ws/downstream/%b HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            % self.node_id.encode()
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the end of the link."""
        self.fail(f"connection lost: {exc}")

    def fail(self, why: str) -> None:
        """Take that this node isn't attached, or is no longer."""
        if not self.failure:
            self.failure = why
            self._done(self)

    def data_received(self, data: bytes) -> None:
        """Take bytes: the answer to the upgrade first, then frames."""
        data = self._buffer + data if self._buffer else data
        if not self.opened:
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self._buffer = head
                return
            if b" 101 " not in head[:16]:
                self.fail(head.partition(b"\r\n")[0].decode())
                return
            self.opened = time.monotonic() - self.dialed
            self._attach()
        at = 0
        while len(data) - at >= 2:
            opcode, size, start = data[at], data[at + 1], at + 2
            if size >= 126:
                start += 2 if size == 126 else 8
                if len(data) < start:
                    break
                size = int.from_bytes(data[at + 2 : start])
            if len(data) < start + size:
                break
            at = start + size
            self._take(opcode, data[start:at])
        self._buffer = data[at:]

    def _take(self, opcode: int, message: bytes) -> None:
        assert self.transport is not None
        if opcode == PING:
            self.transport.write(frame(PONG, message))
        elif opcode == CLOSE:
            self.fail(f"closed: {message[:80]!r}")
        elif opcode == BINARY:
            self._message(message)

    def _message(self, message: bytes) -> None:
        if b'"type":"CreditUpdate"' in message:
            return
        flow_id = text_of(message, b"flowId")
        if flow_id:
            self._taken[flow_id] = taken = self._taken.get(flow_id, 0) + 1
            if taken >= CREDITS:
                self._taken[flow_id] = 0
                update = {"type": "CreditUpdate", "flowId": flow_id, "credits": taken}
                self.send(update, flowId=flow_id, flowFlags=4)
        if b'"type":"Data"' in message or b'"type":"DeliveryAck"' in message:
            if self.answered is not None:
                self.answered(message)
        elif b'"type":"NodeAttachAck"' in message:
            self._attach_answered(json.loads(message))
        elif b'"type":"AddressBindAck"' in message:
            self._bind_answered(message)

    def _bind_answered(self, message: bytes) -> None:
        self.bindings += 1
        self._bound.set()
        if not self.bound and self.address:
            self.bound = time.monotonic() - self.dialed
            if not json.loads(message)["frame"]["ok"]:
                self.fail(message.decode())
            else:
                self._done(self)

    def _attach_answered(self, ack: Json) -> None:
        if not ack["frame"]["ok"]:
            self.fail(json.dumps(ack["frame"]))
            return
        self.attached = time.monotonic() - self.dialed
        self.path = ack["frame"]["assignedPath"]
        if self.address:
            self.bind(self.address)
        else:
            self._done(self)

    def _attach(self) -> None:
        attach = {"type": "NodeAttach", "originType": "downstream", "systemId": self.node_id}
        attach |= {"instanceId": self.node_id, "acceptedLogicals": ["*"]}
        meta = {"fame.ext": ["cancel", "sys", "window"], "fame.window": 256, "fame.instance": self.node_id}
        self.send(attach, corrId=f"attach-{self.node_id}", meta=meta)

    def bind(self, address: str) -> None:
        """Bind an address."""
        reply_to = f"__sys__@{self.path}"
        bind = {"type": "AddressBind", "address": address, "physicalPath": self.path}
        self.send(bind, replyTo=reply_to, corrId=f"bind-{self.sequence}", rtype=1)

    async def bindings_reach(self, count: int) -> None:
        """Wait until so many addresses have been bound."""
        while self.bindings < count:
            self._bound.clear()
            await self._bound.wait()

    def beat(self) -> None:
        """Say that it lives."""
        if self.attached and not self.failure:
            self.send({"type": "NodeHeartbeat"}, corrId=f"beat-{self.sequence}")

    def send(self, inner: Json, **fields: object) -> None:
        """Send one envelope."""
        self.sequence += 1
        envelope = {"version": "1.0", "id": f"{self.node_id}-{self.sequence}", "traceId": "t", "flowId": self.node_id}
        envelope |= {"seqId": self.sequence, "flowFlags": 0, "frame": inner, "ts": STAMP} | fields
        self.write(json.dumps(envelope, separators=(",", ":")).encode())

    def write(self, message: bytes) -> None:
        """Send one encoded envelope."""
        if self.transport is not None:
            self.transport.write(frame(BINARY, message))


class Crowd:
    """Hold the light nodes of this process.

    Args:
        host, port: where their sentinel listens.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._nodes: list[LightNode] = []
        self._latencies: list[float] = []
        self._wrong: list[str] = []

    async def attach(self, prefix: str, first: int, count: int, bind: str, within_s: float) -> Json:
        """Have nodes dial all at once and wait until every one of them has attached and bound, or failed."""
        loop = asyncio.get_running_loop()
        nodes: list[LightNode] = []
        finished, waiting = loop.create_future(), count

        def done(_: LightNode) -> None:
            nonlocal waiting
            waiting -= 1
            if waiting == 0 and not finished.done():
                finished.set_result(None)

        async def dial(number: int) -> None:
            name = f"{prefix}{number:06}"
            node = LightNode(name, bind and f"{name}@{bind}", done)
            nodes.append(node)
            self._nodes.append(node)
            try:
                await loop.create_connection(lambda: node, self._host, self._port)
            except OSError as error:
                node.fail(f"can't connect: {error}")

        try:
            async with asyncio.timeout(within_s):
                await asyncio.gather(*(dial(number) for number in range(first, first + count)), finished)
        except TimeoutError:
            for node in nodes:
                if not (node.bound if bind else node.attached):
                    node.fail("not attached in time")
        return {
            "failures": [node.failure for node in nodes if node.failure],
            "began": min(node.dialed for node in nodes),
            "ended": max(node.dialed + max(node.attached, node.bound) for node in nodes),
            "opened_s": [node.opened for node in nodes],
            "attached_s": [node.attached for node in nodes],
            "bound_s": [node.bound for node in nodes],
        }

    async def bind(self, prefix: str, first: int, count: int, host: str) -> Json:
        """Have the first node bind many addresses, some hundred of them unanswered at a time."""
        node = self._nodes[0]
        for number in range(first, first + count):
            node.bind(f"{prefix}{number:06}@{host}")
            await node.bindings_reach(number - first - MOST_UNANSWERED)
        await node.bindings_reach(count)
        return {"bound": node.bindings}

    async def alive(self) -> Json:
        """Say how many are attached still."""
        return {"alive": sum(not node.failure and node.attached > 0 for node in self._nodes)}

    async def call(self, to: list[str], calls: int, in_flight: int, prefix: str, timeout_s: float) -> Json:
        """Have every node whose id begins so make calls, a few in flight each, addresses in turn."""
        self._latencies, self._wrong = [], []
        callers = [node for node in self._nodes if node.node_id.startswith(prefix)]
        began = time.monotonic()
        work = [Caller(node, to, calls, in_flight, self._latencies, self._wrong) for node in callers]
        unanswered = 0
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.gather(*(each.done for each in work))
        except TimeoutError:
            unanswered = sum(each.unanswered() for each in work)
        return {
            "began": began,
            "ended": time.monotonic(),
            "latencies_s": [round(each, 6) for each in self._latencies],
            "wrong": self._wrong[:5],
            "wrong_count": len(self._wrong),
            "unanswered": unanswered,
        }

    async def stick(self) -> Json:
        """Have every node here stop reading."""
        for node in self._nodes:
            assert node.transport is not None
            node.transport.pause_reading()
        return {}

    async def push(self, to: str, size: int, seconds: float) -> Json:
        """Have every node here send large requests as fast as its socket takes them."""
        until = time.monotonic() + seconds
        refused: list[bytes] = []
        sent = sum(await asyncio.gather(*(self._push(node, to, size, until, refused) for node in self._nodes)))
        return {"sent": sent, "refused": len(refused)}

    async def _push(self, node: LightNode, to: str, size: int, until: float, refused: list[bytes]) -> int:
        payload = {"jsonrpc": "2.0", "id": "c", "method": "add", "params": {"text": "x" * size}}
        inner = {"type": "Data", "payload": payload}
        node.answered = refused.append
        transport, sent = node.transport, 0
        assert transport is not None
        while time.monotonic() < until and not node.failure:
            if transport.get_write_buffer_size() < size:
                sent += 1
                reply_to = f"__rpc__x@{node.path}"
                node.send(inner, to=to, replyTo=reply_to, corrId=f"{node.node_id}-{sent}", rtype=2)
            await asyncio.sleep(0 if transport.get_write_buffer_size() < size else 0.001)
        return sent

    async def keep_beating(self) -> None:
        """Have every node beat in its time, evenly over the period."""
        number = 0
        while True:
            await asyncio.sleep(BEAT_S / 60)
            for node in self._nodes[number % 60 :: 60]:
                node.beat()
            number += 1


class Caller:
    """Make calls from one node and hold each answer to its question."""

    def __init__(
        self, node: LightNode, to: list[str], calls: int, in_flight: int, latencies: list[float], wrong: list[str]
    ) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._node, self._to, self._left = node, to, calls
        self._latencies, self._wrong = latencies, wrong
        self._waiting: dict[str, tuple[float, bytes]] = {}
        self._free = deque(range(in_flight))
        self._number = 0
        node.answered = self._answered
        self._begin()

    def unanswered(self) -> int:
        """Return how many calls have no answer, begun or not."""
        return len(self._waiting) + self._left

    def _begin(self) -> None:
        node = self._node
        while self._free and self._left:
            self._free.popleft()
            self._left -= 1
            self._number += 1
            corr_id = f"{node.node_id}-{self._number}"
            to = self._to[(self._number + hash(node.node_id)) % len(self._to)]
            node.write(
                b'{"version":"1.0","id":"%b","traceId":"t","to":"%b","replyTo":"__rpc__x@%b","rtype":2,"corrId":"%b",'
                b'"flowId":"%b","seqId":%d,"flowFlags":0,"frame":{"type":"Data","payload":{"jsonrpc":"2.0","id":"%b",'
                b'"method":"add","params":{"kwargs":{"x":%d,"y":4}}}},"ts":"2026-01-01T00:00:00.000Z",'
                b'"meta":{"fame.timeout":30000}}'
                % (
                    *(text.encode() for text in (corr_id, to, node.path, corr_id, node.node_id)),
                    self._number,
                    corr_id.encode(),
                    self._number,
                )
            )
            self._waiting[corr_id] = time.perf_counter(), b'"result":%d' % (self._number + 4)
        if not self._left and not self._waiting and not self.done.done():
            self.done.set_result(None)

    def _answered(self, message: bytes) -> None:
        asked = self._waiting.pop(text_of(message, b"corrId"), None)
        if asked is None:
            self._wrong.append(message.decode()[:300])
            return
        self._latencies.append(time.perf_counter() - asked[0])
        if asked[1] not in message:
            self._wrong.append(message.decode()[:300])
        self._free.append(0)
        self._begin()


async def main() -> None:
    """Carry out one command a line until there are no more."""
    crowd = Crowd(sys.argv[1], int(sys.argv[2]))
    beating = asyncio.ensure_future(crowd.keep_beating())
    verbs: dict[str, Callable[..., Awaitable[Json]]] = {
        "attach": crowd.attach,
        "call": crowd.call,
        "alive": crowd.alive,
        "bind": crowd.bind,
    }
    verbs |= {"stick": crowd.stick, "push": crowd.push}
    while line := await asyncio.to_thread(sys.stdin.readline):
        command = json.loads(line)
        answer = await verbs[command.pop("do")](**command)
        print(json.dumps(answer), flush=True)
    beating.cancel()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
