"""Bad input on one link: the sentinel goes on, the other links notice nothing, and mostly the bad link lives on too."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from fame_cli import Agent, Client, Sentinel, operation
from fame_cli.core.link import LinkKind
from fame_cli.node.dialing import keep_attached
from fame_cli.node.host import AgentHost
from fame_cli.node.options import Options
from fame_cli.node.runner import Node

pytestmark = pytest.mark.e2e


class Sums(Agent):
    """Add."""

    @operation
    def add(self, x: int, y: int) -> int:
        """Add."""
        return x + y


@asynccontextmanager
async def fabric(transport: str) -> AsyncIterator[tuple[Sentinel, Sentinel, Client]]:
    """Give two peered sentinels, an agent at the second, a client at the first."""
    async with (
        Sentinel(id="s1", listen="127.0.0.1:0", transport=transport) as s1,
        Sentinel(id="s2", listen="127.0.0.1:0", peers=[s1.peer_url], transport=transport) as s2,
        Node("a2", options=Options(transport=transport)) as agent,
    ):
        agent.serve("sums@fame.fabric", AgentHost(agent, Sums()))
        agent.spawn(keep_attached(agent, s2.url, LinkKind.PARENT))
        await agent.bound("sums@fame.fabric")
        await s2.ready()
        async with Client(s1.url, timeout_s=10, transport=transport) as client:
            yield s1, s2, client


def attach(node_id: str, kind: str = "downstream") -> str:
    frame = {"type": "NodeAttach", "originType": kind, "systemId": node_id, "instanceId": "i", "callbackGrants": []}
    return json.dumps({"version": "1.0", "id": "attach-id", "corrId": "attach-corr", "frame": frame})


@asynccontextmanager
async def attacker(url: str, node_id: str = "evil", kind: str = "downstream") -> AsyncIterator[ClientConnection]:
    async with connect(f"{url}/{node_id}", proxy=None, max_size=None) as connection:
        await connection.send(attach(node_id, kind).encode())
        answer = json.loads(await connection.recv())
        assert answer["frame"]["ok"] is True
        yield connection


def envelope(**header: object) -> bytes:
    payload = {"jsonrpc": "2.0", "id": "c1", "method": "add", "params": {"x": 3, "y": 4}}
    base = {
        "version": "1.0",
        "id": "e1",
        "to": "sums@fame.fabric",
        "replyTo": "__rpc__x@/s1/evil",
        "rtype": 2,
        "corrId": "c1",
        "frame": {"type": "Data", "payload": payload},
    }
    return json.dumps({**base, **header}).encode()


GARBAGE: dict[str, bytes | str] = {
    "empty": b"",
    "binary": bytes(range(256)),
    "text": "hello",
    "text envelope with nothing in it": "{}",
    "half an envelope": envelope()[:50],
    "not utf-8": b'{"frame":{"type":"Data","payload":"\xff"}}',
    "unknown frame": b'{"id":"1","frame":{"type":"Surprise"}}',
    "no frame": b'{"id":"1","to":"sums@fame.fabric"}',
    "deep": b'{"frame":{"type":"Data","payload":' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
    "huge number": b'{"seqId":' + b"9" * 5000 + b',"frame":{"type":"Data","payload":1}}',
    "bad address": envelope(to="no address"),
    "bad reply address": envelope(replyTo="@@@", to="nobody@fame.fabric"),
    "address of the sentinel itself": envelope(to="nobody@/s1"),
    "address of the peer itself": envelope(to="nobody@/s2"),
    "address of an innocent leaf": envelope(to="nobody@/s2/a2"),
    "bind of a reserved name": b'{"id":"b","frame":{"type":"AddressBind","address":"__sys__@/s1"}}',
    "bind of a taken address": b'{"id":"b","frame":{"type":"AddressBind","address":"sums@fame.fabric"}}'.replace(
        b"sums", b"@@"
    ),
    "second attach": attach("evil").encode(),
    "attach ack": b'{"corrId":"x","frame":{"type":"NodeAttachAck","ok":true,"targetSystemId":"s1"}}',
    "credit for nothing": b'{"frame":{"type":"CreditUpdate","flowId":"f","credits":-99999999}}',
    "meta of odd shapes": envelope(meta={"fame.trace": {"a": [None]}, "fame.ext": 3}),
    "cancel of nothing": b'{"replyTo":"x@/y","corrId":"c","frame":{"type":"CallCancel"}}',
    "too large": envelope(frame={"type": "Data", "payload": "x" * 400_000}),
}


@pytest.fixture(params=["websockets", "picows"])
def transport(request: pytest.FixtureRequest) -> str:
    return request.param


def run(transport: str, body: Callable[[Sentinel, Sentinel, Client], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(60), fabric(transport) as (s1, s2, client):
            await body(s1, s2, client)

    asyncio.run(main())


@pytest.mark.parametrize("name", GARBAGE)
@pytest.mark.parametrize("kind", ["downstream", "peer"])
def test_garbage_costs_no_other_link_and_not_even_its_own(transport: str, name: str, kind: str) -> None:
    async def body(s1: Sentinel, s2: Sentinel, client: Client) -> None:
        url = s1.peer_url if kind == "peer" else s1.url
        async with attacker(url, kind=kind) as connection:
            for _ in range(3):
                await connection.send(GARBAGE[name])
            assert await client.call("sums@fame.fabric", "add", x=3, y=4) == 7
            await connection.send(b'{"id":"beat","corrId":"beat","frame":{"type":"NodeHeartbeat"}}')
            while True:  # whatever else was answered, the heartbeat is answered last
                answer = json.loads(await connection.recv())
                if answer["frame"]["type"] == "NodeHeartbeatAck":
                    break
            assert await client.call("sums@fame.fabric", "add", x=3, y=4) == 7

    run(transport, body)


def test_what_can_be_answered_is_answered_with_a_code(transport: str) -> None:
    async def body(s1: Sentinel, s2: Sentinel, client: Client) -> None:
        async with attacker(s1.url) as connection:
            for data, code in (
                (GARBAGE["too large"], "MESSAGE_TOO_LARGE"),
                (envelope(frame={"type": "Surprise"}), "MALFORMED"),
                (envelope(to="nobody@/s1"), "NO_ROUTE"),
                (envelope(to="nobody@fame.fabric"), "NO_ROUTE"),
            ):
                await connection.send(data)
                answer = json.loads(await connection.recv())
                assert (answer["frame"]["type"], answer["frame"]["code"]) == ("DeliveryAck", code)
                assert answer["corrId"] == "c1"

    run(transport, body)


def test_a_message_beyond_the_transports_bound_ends_its_own_link_alone(transport: str) -> None:
    async def body(s1: Sentinel, s2: Sentinel, client: Client) -> None:
        async with attacker(s1.url) as connection:
            with suppress(ConnectionClosed):  # the close may overtake the end of so large a message
                await connection.send(b"x" * 3_000_000)
            with pytest.raises(ConnectionClosed):
                await connection.recv()
            assert await client.call("sums@fame.fabric", "add", x=3, y=4) == 7

    run(transport, body)


def test_a_link_that_never_attaches_is_closed_and_costs_nobody(transport: str) -> None:
    async def body(s1: Sentinel, s2: Sentinel, client: Client) -> None:
        async with connect(f"{s1.url}/quiet", proxy=None) as connection:
            await connection.send(envelope())
            assert await client.call("sums@fame.fabric", "add", x=3, y=4) == 7
            with pytest.raises(ConnectionClosed) as caught:
                await connection.recv()
            assert caught.value.rcvd is not None
            assert "no attach in time" in caught.value.rcvd.reason

    run(transport, body)


def test_an_attach_under_another_id_than_the_urls_is_refused(transport: str) -> None:
    async def body(s1: Sentinel, s2: Sentinel, client: Client) -> None:
        async with connect(f"{s1.url}/one", proxy=None) as connection:
            await connection.send(attach("two").encode())
            answer = json.loads(await connection.recv())
            assert (answer["frame"]["ok"], answer["frame"]["code"]) == (False, "INVALID_ATTACH")
            with pytest.raises(ConnectionClosed):
                await connection.recv()

    run(transport, body)


def test_bytes_that_are_no_http_cost_nobody(transport: str) -> None:
    async def body(s1: Sentinel, s2: Sentinel, client: Client) -> None:
        host, _, port = s1.address.rpartition(":")
        for data in (
            b"\x00\xff" * 1000,
            b"GET / HTTP/1.1\r\n\r\n",
            b"POST /fame/v1/attach HTTP/1.1\r\n\r\n",
            b"x" * 100_000,
        ):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(data)
            writer.write_eof()
            with suppress(ConnectionError):  # whoever says no to so much doesn't read it to its end
                await reader.read()
            writer.close()
        assert await client.call("sums@fame.fabric", "add", x=3, y=4) == 7

    run(transport, body)


def test_many_large_streams_at_once_arrive_whole_and_cost_no_link(transport: str) -> None:
    """What waits for a full transport is written bit by bit: all at once would take it over its hard limit."""

    async def items(n: int) -> AsyncIterator[str]:
        for number in range(n):
            yield f"{number}:" + "x" * 65_536

    async def body(s1: Sentinel, s2: Sentinel, client: Client) -> None:
        async with Node("big") as agent:
            agent.serve("big@fame.fabric", AgentHost(agent, Agent.from_functions([items])))
            agent.spawn(keep_attached(agent, s2.url, LinkKind.PARENT))
            await agent.bound("big@fame.fabric")

            async def read() -> list[int]:
                return [int(item.partition(":")[0]) async for item in client.stream("big@fame.fabric", "items", n=30)]

            assert await asyncio.gather(*(read() for _ in range(60))) == [list(range(30))] * 60

    run(transport, body)
