"""The client, over real sockets: calls, streams, what ends them, what there is, and links that come and go."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing

import msgspec
import pytest
from host_rig import Failing, Work
from node_rig import MATH, bounded, fabric, serving, turns, until

from fame_cli.core.flow import OUR_WINDOW
from fame_cli.errors import (
    AdmissionRefused,
    ConnectError,
    DeadlineExceeded,
    FameError,
    LinkLost,
    LocalProtocolError,
    NoRoute,
    Overloaded,
    RemoteError,
    RemoteProtocolError,
    StreamEnded,
    UsageError,
    error_for_nack,
)
from fame_cli.node.agent import METHOD_NOT_FOUND, Agent, operation
from fame_cli.node.client import Client
from fame_cli.node.host import PACK_ITEMS
from fame_cli.node.operation import INVALID_PARAMS
from fame_cli.node.sentinel import Sentinel

OTHER = "other@fame.fabric"


class Words(Agent):
    """Work with words."""

    capabilities = ("fame.capability.words",)

    @operation
    def add(self, a: str, b: str) -> str:
        return a + b

    @operation
    def upper(self, text: str) -> str:
        """Say it loudly."""
        return text.upper()


# Calls


def test_a_call_returns_its_result() -> None:
    async def main() -> None:
        async with fabric((MATH, Work())) as sentinel, Client(sentinel.url) as client:
            assert await client.call(MATH, "add", 3, 4) == 7
            assert await client.call(MATH, "add", x=3, y=4) == 7
            assert await client.call(MATH, "add", 3, y=4) == 7
            assert await client.request(MATH, "add", {"x": 3, "y": 4}) == 7
            assert await client.call(MATH, "nothing") is None

    bounded(main())


@pytest.mark.parametrize("value", [None, True, 0, -1.5, "", "é\n\0", [1, [2]], {"a": {"b": None}}, {"args": 1}])
def test_every_json_value_travels_there_and_back(value: object) -> None:
    def echo(value: object) -> object:
        return value

    async def main() -> None:
        async with fabric((MATH, Agent.from_functions([echo]))) as sentinel, Client(sentinel.url) as client:
            assert await client.call(MATH, "echo", value) == value
            assert await client.call(MATH, "echo", value=value) == value

    bounded(main())


def test_parameters_may_be_called_like_those_of_the_client() -> None:
    def odd(self: int, target: int, operation: int, timeout_s: int) -> list[int]:
        return [self, target, operation, timeout_s]

    async def main() -> None:
        async with fabric((MATH, Agent.from_functions([odd]))) as sentinel, Client(sentinel.url) as client:
            assert await client.call(MATH, "odd", self=1, target=2, operation=3, timeout_s=4) == [1, 2, 3, 4]

    bounded(main())


def test_many_calls_run_at_the_same_time() -> None:
    async def main() -> None:
        agent = Work()
        async with fabric((MATH, agent)) as sentinel, Client(sentinel.url) as client:
            held = [asyncio.ensure_future(client.call(MATH, "hold", str(number))) for number in range(50)]
            sums = await asyncio.gather(*(client.call(MATH, "add", number, number) for number in range(500)))
            assert sums == [2 * number for number in range(500)]
            agent.go.set()
            assert await asyncio.gather(*held) == [str(number) for number in range(50)]

    bounded(main())


def test_an_error_of_the_operation_is_a_remote_error() -> None:
    async def main() -> None:
        async with fabric((MATH, Failing())) as sentinel, Client(sentinel.url) as client:
            with pytest.raises(RemoteError) as caught:
                await client.call(MATH, "plain", "own")
            assert (str(caught.value), caught.value.code, caught.value.data) == ("out of stock", -32010, {"left": 0})
            with pytest.raises(RemoteError) as caught:
                await client.call(MATH, "plane")
            assert caught.value.code == METHOD_NOT_FOUND
            assert caught.value.data["nearest"] == "plain"
            with pytest.raises(RemoteError) as caught:
                await client.call(MATH, "add", x=1)
            assert (caught.value.code, caught.value.data) == (INVALID_PARAMS, {"parameter": "y"})

    bounded(main())


def test_a_call_that_takes_too_long_ends_in_time_and_its_handler_is_cancelled() -> None:
    async def main() -> None:
        agent = Work()
        async with fabric((MATH, agent)) as sentinel, Client(sentinel.url, timeout_s=0.2) as client:
            with pytest.raises(DeadlineExceeded, match=rf"^no answer from {MATH} hold within 0\.2 s; "):
                await client.call(MATH, "hold", "a")
            with pytest.raises(DeadlineExceeded, match=r"within 0\.1 s"):
                await client.request(MATH, "hold", {"name": "b"}, timeout_s=0.1)
            await until(lambda: sorted(map(str, agent.ended)) == ["a", "a cancelled", "b", "b cancelled"])

    bounded(main())


def test_a_caller_that_gives_up_cancels_the_handler() -> None:
    async def main() -> None:
        agent = Work()
        async with fabric((MATH, agent)) as sentinel, Client(sentinel.url) as client:
            task = asyncio.ensure_future(client.call(MATH, "hold", "a"))
            await until(lambda: agent.started == ["a"])
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(lambda: agent.ended == ["a cancelled", "a"])

    bounded(main())


def test_an_unknown_address_is_told_at_once() -> None:
    async def main() -> None:
        async with fabric() as sentinel, Client(sentinel.url, timeout_s=3600) as client:
            for address in ("nobody@fame.fabric", "nobody@/s1/nowhere", "nobody@/s2"):
                with pytest.raises(NoRoute):
                    await client.call(address, "add", 1, 2)

    bounded(main())


@pytest.mark.parametrize("address", ["math1", "", "a b@c", "@fame.fabric", "math1@*"])
def test_what_is_no_address_is_told(address: str) -> None:
    async def main() -> None:
        async with fabric((MATH, Work())) as sentinel, Client(sentinel.url) as client:
            with pytest.raises(RemoteProtocolError, match="not an address"):
                await client.call(address, "add", 1, 2)
            with pytest.raises(RemoteProtocolError, match="not an address"):
                await anext(client.stream(address, "count"))
            assert await client.call(MATH, "add", 1, 2) == 3

    bounded(main())


def test_arguments_without_a_json_form_are_told() -> None:
    async def main() -> None:
        async with fabric((MATH, Work())) as sentinel, Client(sentinel.url) as client:
            with pytest.raises(LocalProtocolError, match="no JSON form"):
                await client.call(MATH, "add", object())
            assert await client.call(MATH, "add", 1, 2) == 3

    bounded(main())


def test_a_request_that_is_too_large_is_told_and_harms_nobody() -> None:
    async def main() -> None:
        async with fabric((MATH, Work())) as sentinel, Client(sentinel.url) as client:
            with pytest.raises(FameError, match="MESSAGE_TOO_LARGE"):
                await client.call(MATH, "add", "x" * 300_000)
            with pytest.raises(FameError, match="MESSAGE_TOO_LARGE"):
                await anext(client.stream(MATH, "count", "x" * 300_000))
            assert await client.call(MATH, "add", 1, 2) == 3

    bounded(main())


# Streams


def test_a_stream_gives_its_items_in_order() -> None:
    async def main() -> None:
        async with fabric((MATH, Work())) as sentinel, Client(sentinel.url) as client:
            assert [item async for item in client.stream(MATH, "count", 2000)] == list(range(2000))
            assert [item async for item in client.stream(MATH, "count", n=0)] == []
            assert [item async for item in client.open_stream(MATH, "add", {"x": 1, "y": 2})] == [3]

    bounded(main())


def test_closing_a_stream_cancels_its_producer() -> None:
    async def main() -> None:
        agent = Work()
        async with fabric((MATH, agent)) as sentinel, Client(sentinel.url) as client:
            async with aclosing(client.stream(MATH, "count")) as items:
                async for item in items:
                    if item == 3:
                        break
            await until(lambda: agent.ended == ["count"])
            assert await client.call(MATH, "add", 1, 2) == 3

    bounded(main())


def test_a_stream_that_is_left_alone_stands_still_and_then_goes_on() -> None:
    async def main() -> None:
        agent = Work()
        async with (
            fabric((MATH, agent)) as sentinel,
            Client(sentinel.url) as client,
            aclosing(client.stream(MATH, "count", 50_000)) as items,
        ):
            assert await anext(items) == 0
            sums = [await client.call(MATH, "add", number, 0) for number in range(200)]
            assert sums == list(range(200))
            assert len(agent.started) < 3 * OUR_WINDOW * PACK_ITEMS
            assert [item async for item in items] == list(range(1, 50_000))

    bounded(main())


def test_a_stream_that_fails_gives_what_came_before() -> None:
    async def main() -> None:
        async with fabric((MATH, Failing())) as sentinel, Client(sentinel.url) as client:
            items = client.stream(MATH, "stream", "own")
            assert await anext(items) == 1
            with pytest.raises(RemoteError, match="out of stock"):
                await anext(items)

    bounded(main())


def test_the_time_of_a_stream_counts_from_item_to_item() -> None:
    class Slow(Agent):
        @operation
        async def halting(self) -> AsyncIterator[int]:
            yield 1
            await asyncio.get_running_loop().create_future()

    async def main() -> None:
        async with fabric((MATH, Slow())) as sentinel, Client(sentinel.url, timeout_s=0.2) as client:
            items = client.stream(MATH, "halting")
            assert await anext(items) == 1
            with pytest.raises(DeadlineExceeded):
                await anext(items)

    bounded(main())


def test_many_streams_run_at_the_same_time() -> None:
    async def main() -> None:
        async with fabric((MATH, Work())) as sentinel, Client(sentinel.url) as client:

            async def total(count: int) -> int:
                return sum([item async for item in client.stream(MATH, "count", count)])

            assert await asyncio.gather(*map(total, range(50))) == [n * (n - 1) // 2 for n in range(50)]

    bounded(main())


# What there is


def test_an_agent_describes_itself() -> None:
    async def main() -> None:
        async with fabric((MATH, Words())) as sentinel, Client(sentinel.url) as client:
            told = await client.describe(MATH)
            assert told["description"] == "Work with words."
            assert [each["name"] for each in told["operations"]] == ["add", "upper"]

    bounded(main())


def test_who_offers_an_operation_can_be_asked() -> None:
    async def main() -> None:
        async with fabric((MATH, Work()), (OTHER, Words())) as sentinel, Client(sentinel.url) as client:
            await until(lambda: len(sentinel.node.core.table.providers(["op:upper"])) == 1)
            assert [(each["address"], each["node"]) for each in await client.lookup("upper")] == [(OTHER, "agent1")]
            assert sorted(each["address"] for each in await client.lookup("add")) == [MATH, OTHER]
            assert await client.lookup("nothing there") == []
            assert await client.operations() == ["add", "count", "count_plainly", "hold", "nothing", "upper"]

    bounded(main())


def test_a_call_without_a_target_finds_the_only_one_who_offers_it() -> None:
    async def main() -> None:
        async with fabric((MATH, Work()), (OTHER, Words())) as sentinel, Client(sentinel.url) as client:
            await until(lambda: len(sentinel.node.core.table.providers(["op:upper"])) == 1)
            assert await client.call(None, "upper", "a") == "A"
            assert [item async for item in client.stream(None, "count", 3)] == [0, 1, 2]
            with pytest.raises(UsageError, match=rf"^add is offered by {MATH}, {OTHER}; name one of them$"):
                await client.call(None, "add", 1, 2)
            with pytest.raises(NoRoute, match=r"^nobody offers an operation called upperr$"):
                await client.call(None, "upperr")

    bounded(main())


def test_a_capability_finds_somebody_who_has_it() -> None:
    async def main() -> None:
        async with fabric((MATH, Words())) as sentinel, Client(sentinel.url) as client:
            await until(lambda: len(sentinel.node.core.table.providers(["fame.capability.words"])) == 1)
            found = ["fame.capability.words"]
            assert await client.request(None, "upper", {"text": "a"}, capabilities=found) == "A"
            with pytest.raises(NoRoute):
                await client.request(None, "upper", {"text": "a"}, capabilities=["no such"])

    bounded(main())


def test_a_sentinel_tells_of_itself() -> None:
    async def main() -> None:
        async with fabric((MATH, Words())) as sentinel, Client(sentinel.url, node_id="me") as client:
            status = await client.call("__sys__@/s1", "fabric.status")
            assert (status["node"], status["path"]) == ("s1", "/s1")
            assert {(link["node"], link["kind"]) for link in status["links"]} == {("agent0", "child"), ("me", "child")}
            assert status["uptime_s"] >= 0

    bounded(main())


def test_a_sentinel_is_asked_where_the_client_is_attached_or_at_a_path() -> None:
    async def main() -> None:
        async with fabric((MATH, Words())) as sentinel, Client(sentinel.url) as client:
            await until(lambda: len(sentinel.node.core.table.providers(["op:upper"])) == 1)
            (found,) = await client.ask("fabric.lookup", arguments={"capability": "op:upper"})
            assert found["address"] == MATH
            assert (await client.ask("fabric.status", at="/s1"))["node"] == "s1"
            with pytest.raises(NoRoute):
                await client.ask("fabric.status", at="/s9")
            with pytest.raises(RemoteError) as caught:
                await client.ask("fabric.nothing")
            assert caught.value.code == METHOD_NOT_FOUND

    bounded(main())


def test_agents_and_sentinels_answer_a_ping() -> None:
    async def main() -> None:
        async with fabric((MATH, Words())) as sentinel, Client(sentinel.url) as client:
            assert await client.call(MATH, "agent.ping") is None
            assert await client.call("__sys__@/s1", "agent.ping") is None

    bounded(main())


def test_calls_and_streams_may_belong_to_a_session() -> None:
    async def main() -> None:
        async with fabric((MATH, Work())) as sentinel, Client(sentinel.url) as client:
            assert await client.request(MATH, "add", {"x": 3, "y": 4}, session="ada") == 7
            items = client.open_stream(MATH, "count", {"args": [2]}, session="ada")
            assert [item async for item in items] == [0, 1]

    bounded(main())


# What can be seen


def test_a_trace_names_the_nodes_on_the_way_there_and_back() -> None:
    async def main() -> None:
        async with fabric((MATH, Work())) as sentinel, Client(sentinel.url, trace=True) as client:
            await client.call(MATH, "add", 1, 2)
            way = [entry.rpartition(";")[0] for entry in client.last_trace]
            assert way == ["s1;child", "agent0;parent", "agent0;local", "s1;child"]
            assert [item async for item in client.stream(MATH, "count", 2)] == [0, 1]
            assert [entry.rpartition(";")[0] for entry in client.last_trace] == way

    bounded(main())


def test_an_observer_sees_every_envelope() -> None:
    async def main() -> None:
        seen: list[tuple[str, str]] = []

        def observe(direction: str, data: bytes, at_s: float) -> None:
            seen.append((direction, msgspec.json.decode(data)["frame"]["type"]))

        async with fabric((MATH, Work())) as sentinel, Client(sentinel.url, observer=observe) as client:
            await client.call(MATH, "add", 1, 2)
        assert [each for each in seen if each[1] != "CreditUpdate"] == [
            ("out", "NodeAttach"),
            ("in", "NodeAttachAck"),
            ("out", "Data"),
            ("in", "Data"),
        ]

    bounded(main())


# Links


def test_a_sentinel_that_is_not_there_is_told_with_what_to_do() -> None:
    async def main() -> None:
        async with Sentinel(listen="127.0.0.1:0") as sentinel:
            url, address = sentinel.url, sentinel.address
        with pytest.raises(ConnectError, match=rf"^no sentinel listens on {address}; start one: "):
            async with Client(url):
                pass

    bounded(main())


def test_what_is_no_sentinel_is_told() -> None:
    async def main() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            writer.write(b"220 mail.example.com\r\n")
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(ConnectError, match=rf"^127\.0\.0\.1:{port} doesn't speak WebSocket"):
                async with Client(f"ws://127.0.0.1:{port}/fame/v1/attach/ws/downstream"):
                    pass

    bounded(main())


def test_a_wrong_path_is_told() -> None:
    async def main() -> None:
        async with Sentinel(listen="127.0.0.1:0") as sentinel:
            with pytest.raises(ConnectError, match="answered HTTP 404"):
                async with Client(f"ws://{sentinel.address}/elsewhere"):
                    pass
            with pytest.raises(AdmissionRefused, match="refused the link: attach as"):
                async with Client(f"ws://{sentinel.address}/fame/v1/attach/ws/upstream"):
                    pass

    bounded(main())


def test_the_id_of_the_sentinel_is_refused() -> None:
    async def main() -> None:
        async with Sentinel(id="s1", listen="127.0.0.1:0") as sentinel:
            with pytest.raises(AdmissionRefused):
                async with Client(sentinel.url, node_id="s1"):
                    pass

    bounded(main())


def test_two_clients_of_one_id_both_work() -> None:
    async def main() -> None:
        async with (
            fabric((MATH, Work())) as sentinel,
            Client(sentinel.url, node_id="me") as one,
            Client(sentinel.url, node_id="me") as two,
        ):
            assert await asyncio.gather(one.call(MATH, "add", 1, 1), two.call(MATH, "add", 2, 2)) == [2, 4]

    bounded(main())


def test_a_sentinel_that_stops_ends_what_is_in_flight_at_once() -> None:
    async def main() -> None:
        agent = Work()
        async with AsyncExitStack() as stack:
            async with Sentinel(id="s1", listen="127.0.0.1:0") as sentinel:
                client = await stack.enter_async_context(Client(sentinel.url, timeout_s=3600))
                await stack.enter_async_context(serving(agent, sentinel.url))
                call = asyncio.ensure_future(client.call(MATH, "hold", "a"))
                items = client.stream(MATH, "count")
                await anext(items)
                await until(lambda: "a" in agent.started)
            with pytest.raises(LinkLost, match=r"^s1 went away"):
                await call
            with pytest.raises(StreamEnded, match=r"^count stopped after \d+ items: s1 went away"):
                [item async for item in items]
            await until(lambda: "a cancelled" in agent.ended and "count" in agent.ended)
            with pytest.raises(LinkLost, match=r"^the link to the sentinel is down"):
                await client.call(MATH, "add", 3, 4)

    bounded(main())


def test_an_agent_that_goes_away_ends_the_calls_to_it_at_once() -> None:
    async def main() -> None:
        agent = Work()
        async with fabric((OTHER, Words())) as sentinel, Client(sentinel.url, timeout_s=3600) as client:
            async with serving(agent, sentinel.url):
                call = asyncio.ensure_future(client.call(MATH, "hold", "a"))
                await until(lambda: agent.started == ["a"])
            with pytest.raises(LinkLost):
                await call
            with pytest.raises(NoRoute):
                await client.call(MATH, "add", 1, 2)
            assert await client.call(OTHER, "upper", "a") == "A"

    bounded(main())


async def eventually_adds(client: Client) -> object:
    """Call until there is a way."""
    while True:
        try:
            return await client.call(MATH, "add", 3, 4)
        except (NoRoute, LinkLost):
            await asyncio.sleep(0)


def test_client_and_agent_come_back_when_their_sentinel_does() -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            async with Sentinel(id="s1", listen="127.0.0.1:0") as first:
                client = await stack.enter_async_context(Client(first.url))
                await stack.enter_async_context(serving(Work(), first.url))
                assert await client.call(MATH, "add", 3, 4) == 7
            async with Sentinel(id="s1", listen=first.address):
                assert await eventually_adds(client) == 7

    bounded(main())


def test_a_client_that_is_left_leaves_no_link_behind() -> None:
    async def main() -> None:
        async with fabric((MATH, Work())) as sentinel:
            async with Client(sentinel.url) as client:
                assert sentinel.node.link_count() == 2
                waiting = asyncio.ensure_future(client.call(MATH, "hold", "a"))
                await turns()
            await until(lambda: sentinel.node.link_count() == 1)
            with pytest.raises(LinkLost):
                await waiting

    bounded(main())


@pytest.mark.parametrize(
    ("code", "kind", "told"),
    [
        (
            "QUEUE_FULL",
            Overloaded,
            "s2 has no room; read faster or ask for less at once, or raise limits.max",
        ),
        ("RATE_LIMITED", Overloaded, "s2 has no room; ask for less at once"),
        ("HOP_LIMIT:3", NoRoute, "s2 has no room; routes may be changing"),
        ("NEVER_HEARD_OF", FameError, "s2 has no room (NEVER_HEARD_OF)"),
    ],
)
def test_a_refusal_on_the_way_is_an_error_that_says_what_to_do(code: str, kind: type[FameError], told: str) -> None:
    error = error_for_nack(code, "s2 has no room")
    assert type(error) is kind
    assert str(error).startswith(told)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_client_that_is_not_attached_says_so(when: str) -> None:
    async def main() -> None:
        async with fabric((MATH, Work())) as sentinel:
            client = Client(sentinel.url)
            if when == "after":
                async with client:
                    pass
            with pytest.raises(LocalProtocolError, match=r"^the client isn't attached; use it as `async with"):
                await client.call(MATH, "add", 1, 2)
            with pytest.raises(LocalProtocolError, match=r"^the client isn't attached"):
                await anext(client.stream(MATH, "count"))

    bounded(main())


def test_an_error_inside_the_context_comes_out_as_it_is() -> None:
    async def main() -> None:
        async with fabric() as sentinel:
            with pytest.raises(ZeroDivisionError):
                async with Client(sentinel.url):
                    raise ZeroDivisionError

    bounded(main())


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x", "ws://", "ws://127.0.0.1:99999/x", "ws://a..b/x", "nonsense"])
def test_what_is_no_url_is_told(url: str) -> None:
    async def main() -> None:
        with pytest.raises(ConnectError, match=r"^not a WebSocket URL: "):
            async with Client(url):
                pass

    bounded(main())
