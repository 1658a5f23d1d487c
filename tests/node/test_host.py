"""The host: calls run at once but not without bound, end when their caller does, and nothing a handler does ends it."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import msgspec
import pytest
from node_rig import MATH, Asked, Pair, bounded, pair, turns, until

from fame_cli.core.flow import OUR_WINDOW
from fame_cli.errors import NoRoute, RemoteError
from fame_cli.node.agent import METHOD_NOT_FOUND, Agent, operation
from fame_cli.node.host import BUSY, ITEMS_A_TURN, WAITING_PER_SLOT
from fame_cli.node.operation import INTERNAL, INVALID_PARAMS


class Work(Agent):
    """Hold calls until told, and remember what happened to them."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.started: list[object] = []
        self.ended: list[object] = []
        self.messages: list[object] = []

    @operation
    def add(self, x: int, y: int) -> int:
        return x + y

    @operation
    def nothing(self) -> None: ...

    @operation
    async def hold(self, name: str = "") -> str:
        self.started.append(name)
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.ended.append(f"{name} cancelled")
            raise
        finally:
            self.ended.append(name)
        return name

    @operation
    async def count(self, n: int = 10_000_000) -> AsyncIterator[int]:
        try:
            for number in range(n):
                self.started.append(number)
                yield number
        finally:
            self.ended.append("count")

    @operation
    def count_plainly(self, n: int) -> Iterator[int]:
        yield from range(n)

    async def on_message(self, payload: object) -> None:
        self.messages.append(payload)
        await self.go.wait()
        self.ended.append(payload)


# Answers


def test_calls_are_answered() -> None:
    async def main() -> None:
        async with pair(Work()) as nodes:
            assert await nodes.ask("add", 3, y=4).result() == 7
            assert await nodes.ask("nothing").result() is None
            assert await nodes.ask("add", params={"x": 1, "y": 2}).result() == 3

    bounded(main())


def test_a_coroutine_function_is_awaited() -> None:
    async def main() -> None:
        agent = Work()
        agent.go.set()
        async with pair(agent) as nodes:
            assert await nodes.ask("hold", "a").result() == "a"

    bounded(main())


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ([1, 2], "params must be an object"),
        ("x", "params must be an object"),
        (None, "params must be an object"),
        ({"args": 1}, "params must be an object"),
        ({"kwargs": []}, "params must be an object"),
        ({"args": [1], "kwargs": {}}, "add needs y; it takes x, y"),
        ({"args": [1, 2], "z": 3}, None),
        ({"x": "1", "y": 2}, "add: x: expected int, got str"),
    ],
)
def test_params_are_an_object_of_either_shape(params: object, message: str | None) -> None:
    async def main() -> None:
        async with pair(Work()) as nodes:
            asked = Asked(nodes.calling)
            nodes.calling.call(asked, MATH, "add", msgspec.json.encode(params))
            if message is None:
                assert await asked.result() == 3
            else:
                code, told = await asked.failure()
                assert code == INVALID_PARAMS
                assert told.startswith(message)

    bounded(main())


def test_a_wrong_argument_names_the_parameter_in_its_data() -> None:
    async def main() -> None:
        async with pair(Work()) as nodes:
            outcome = await nodes.ask("add", x=1, y=None).end()
            assert msgspec.json.decode(outcome.data) == {"parameter": "y"}

    bounded(main())


def test_an_unknown_operation_is_told() -> None:
    async def main() -> None:
        async with pair(Work()) as nodes:
            assert await nodes.ask("ad").failure() == (METHOD_NOT_FOUND, "Method not found: ad")

    bounded(main())


def test_an_address_that_is_no_longer_served_is_told() -> None:
    async def main() -> None:
        async with pair(Work()) as nodes:
            nodes.serving.unserve(MATH)
            outcome = await nodes.ask("add", 1, 2).end()
            assert (outcome.kind, outcome.code) == ("nack", "NO_ROUTE")

    bounded(main())


# Errors of handlers


class Odd(Exception):
    def __str__(self) -> str:
        raise ValueError


class Failing(Agent):
    """Fail in every way there is."""

    def raise_it(self, what: str) -> None:
        raised: dict[str, BaseException] = {
            "type": TypeError("no such thing"),
            "empty": TimeoutError(),
            "own": RemoteError("out of stock", code=-32010, data={"left": 0}),
            "hinted": RemoteError("out of stock", hint="come back"),
            "fabric": NoRoute("nobody there", hint="look again"),
            "odd": Odd(),
            "not utf-8": FileNotFoundError("caf\udce9"),
            "no json": RemoteError("see data", data=object()),
            "itself cancelled": asyncio.CancelledError(),
        }
        raise raised[what]

    @operation
    def plain(self, what: str) -> None:
        self.raise_it(what)

    @operation
    async def later(self, what: str) -> None:
        await asyncio.sleep(0)
        self.raise_it(what)

    @operation
    async def stream(self, what: str) -> AsyncIterator[int]:
        yield 1
        self.raise_it(what)

    @operation
    async def unclosable(self) -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            raise RuntimeError("can't stop")

    @operation
    def thing(self, later: bool = False) -> object:
        return object()

    @operation
    def add(self, x: int, y: int) -> int:
        return x + y


TOLD = {
    "type": (INTERNAL, "TypeError: no such thing"),
    "empty": (INTERNAL, "TimeoutError"),
    "own": (-32010, "out of stock"),
    "hinted": (INTERNAL, "out of stock; come back"),
    "fabric": (INTERNAL, "nobody there; look again"),
    "odd": (INTERNAL, "Odd"),
    "not utf-8": (INTERNAL, "FileNotFoundError: caf\\udce9"),
    "no json": (INTERNAL, "see data"),
}


@pytest.mark.parametrize("operation_name", ["plain", "later", "stream"])
@pytest.mark.parametrize("what", list(TOLD))
def test_what_a_handler_raises_is_its_callers_answer(operation_name: str, what: str) -> None:
    async def main() -> None:
        async with pair(Failing()) as nodes:
            asked = nodes.ask(operation_name, what, streaming=operation_name == "stream")
            assert await asked.failure() == TOLD[what]
            assert await nodes.ask("add", 1, 2).result() == 3

    bounded(main())


@pytest.mark.parametrize("operation_name", ["later", "stream"])
def test_a_handler_that_is_cancelled_by_itself_is_an_error_of_it(operation_name: str) -> None:
    async def main() -> None:
        async with pair(Failing()) as nodes:
            asked = nodes.ask(operation_name, "itself cancelled", streaming=operation_name == "stream")
            assert await asked.failure() == (INTERNAL, "CancelledError")
            assert await nodes.ask("add", 1, 2).result() == 3

    bounded(main())


def test_the_data_of_an_error_travels() -> None:
    async def main() -> None:
        async with pair(Failing()) as nodes:
            outcome = await nodes.ask("plain", "own").end()
            assert msgspec.json.decode(outcome.data) == {"left": 0}

    bounded(main())


def test_what_was_streamed_before_an_error_arrives() -> None:
    async def main() -> None:
        async with pair(Failing()) as nodes:
            asked = nodes.ask("stream", "type", streaming=True)
            await asked.failure()
            assert asked.items == [1]

    bounded(main())


def test_a_result_without_a_json_form_is_an_error() -> None:
    async def main() -> None:
        async with pair(Failing()) as nodes:
            code, told = await nodes.ask("thing").failure()
            assert code == INTERNAL
            assert told.startswith("thing gave back something with no JSON form")

    bounded(main())


def test_a_result_that_is_too_large_is_an_error() -> None:
    async def main() -> None:
        async with pair(Agent.from_functions([big, big_stream]), max_message_bytes=8192) as nodes:
            code, told = await nodes.ask("big", 8192).failure()
            assert code == INTERNAL
            assert told.startswith("the answer takes 8")
            assert await nodes.ask("big", 10).result() == "x" * 10
            asked = nodes.ask("big_stream", [10, 8192, 10], streaming=True)
            assert (await asked.failure())[0] == INTERNAL
            assert asked.items == ["x" * 10]

    bounded(main())


def big(size: int) -> str:
    return "x" * size


async def big_stream(sizes: list[int]) -> AsyncIterator[str]:
    for size in sizes:
        yield "x" * size


# At once, but not without bound


def test_calls_run_at_the_same_time_up_to_the_bound() -> None:
    async def main() -> None:
        agent = Work()
        async with pair(agent, max_concurrent=3) as nodes:
            asked = [nodes.ask("hold", str(number)) for number in range(5)]
            await until(lambda: len(agent.started) == 3)
            await turns()
            assert agent.started == ["0", "1", "2"]
            agent.go.set()
            assert [await each.result() for each in asked] == ["0", "1", "2", "3", "4"]
            assert agent.started == ["0", "1", "2", "3", "4"]

    bounded(main())


def test_plain_functions_are_answered_while_there_is_a_slot() -> None:
    async def main() -> None:
        agent = Work()
        async with pair(agent, max_concurrent=2) as nodes:
            held = nodes.ask("hold", "a")
            assert await nodes.ask("add", 1, 2).result() == 3
            agent.go.set()
            await held.result()

    bounded(main())


def test_when_too_many_wait_callers_are_told_that_the_agent_is_busy() -> None:
    async def main() -> None:
        agent = Work()
        async with pair(agent, max_concurrent=1) as nodes:
            held = [nodes.ask("hold", str(number)) for number in range(1 + WAITING_PER_SLOT)]
            busy = nodes.ask("add", 1, 2)
            assert await busy.failure() == (BUSY, f"busy: 1 calls run and {WAITING_PER_SLOT} wait")
            agent.go.set()
            assert [await each.result() for each in held] == [str(number) for number in range(1 + WAITING_PER_SLOT)]
            assert await nodes.ask("add", 1, 2).result() == 3

    bounded(main())


def test_a_failure_frees_its_slot() -> None:
    async def main() -> None:
        async with pair(Failing(), max_concurrent=1) as nodes:
            asked = [nodes.ask("later", "type") for _ in range(5)]
            for each in asked:
                assert await each.failure() == TOLD["type"]

    bounded(main())


# Giving up


def test_a_cancelled_call_cancels_its_handler_whose_finally_blocks_run() -> None:
    async def main() -> None:
        agent = Work()
        async with pair(agent) as nodes:
            asked = nodes.ask("hold", "a")
            await until(lambda: agent.started == ["a"])
            nodes.calling.cancel(asked.key)
            assert (await asked.end()).kind == "cancelled"
            await until(lambda: agent.ended == ["a cancelled", "a"])

    bounded(main())


def test_a_call_cancelled_at_once_never_starts_and_frees_its_slot() -> None:
    async def main() -> None:
        agent = Work()
        async with pair(agent, max_concurrent=1) as nodes:
            for _ in range(3):
                nodes.calling.cancel(nodes.ask("hold", "a").key)
            await turns()
            assert agent.started == []
            agent.go.set()
            assert await nodes.ask("hold", "b").result() == "b"

    bounded(main())


def test_a_stream_cancelled_at_once_never_starts() -> None:
    async def main() -> None:
        agent = Work()
        async with pair(agent, max_concurrent=1) as nodes:
            nodes.calling.cancel(nodes.ask("count", streaming=True).key)
            await turns()
            assert agent.started == []
            assert await nodes.ask("count", 2, streaming=True).result() is None

    bounded(main())


def test_a_waiting_call_that_is_cancelled_never_starts() -> None:
    async def main() -> None:
        agent = Work()
        async with pair(agent, max_concurrent=1) as nodes:
            first, second, third = (nodes.ask("hold", name) for name in "abc")
            await until(lambda: agent.started == ["a"])
            nodes.calling.cancel(second.key)
            await turns()
            agent.go.set()
            assert await first.result() == "a"
            assert await third.result() == "c"
            assert agent.started == ["a", "c"]

    bounded(main())


def test_a_lost_link_cancels_what_runs_for_it() -> None:
    async def main() -> None:
        agent = Work()
        async with pair(agent) as nodes:
            nodes.ask("hold", "a")
            nodes.ask("count", streaming=True)
            await until(lambda: "a" in agent.started and len(agent.started) > 10)
            nodes.link.close(1001, "gone")
            await until(lambda: sorted(agent.ended) == ["a", "a cancelled", "count"])
            assert nodes.serving.core.calls_in_flight() == 0

    bounded(main())


def test_a_node_that_ends_cancels_what_runs_and_starts_nothing_that_waits() -> None:
    async def main() -> None:
        agent = Work()
        async with pair(agent, max_concurrent=1) as nodes:
            nodes.ask("hold", "a")
            nodes.ask("hold", "b")
            send_message(nodes, 1)
            send_message(nodes, 2)
            await until(lambda: agent.started == ["a"])
            await turns()
        assert agent.started == ["a"]
        assert agent.ended == ["a cancelled", "a"]
        assert agent.messages == []

    bounded(main())


def test_a_node_that_ends_while_a_message_is_taken_starts_no_other() -> None:
    async def main() -> None:
        agent = Work()
        async with pair(agent, max_concurrent=1) as nodes:
            send_message(nodes, 1)
            send_message(nodes, 2)
            await until(lambda: agent.messages == [1])
        assert agent.messages == [1]

    bounded(main())


def test_the_same_request_twice_runs_once() -> None:
    async def main() -> None:
        agent = Work()
        async with pair(agent) as nodes:
            request = {"replyTo": "__rpc__x@/serving/calling", "corrId": "c1", "rtype": 2}
            for envelope_id in ("e1", "e1", "e2"):
                send_raw(nodes, {**request, "id": envelope_id}, method="hold", params={"name": "a"})
            await until(lambda: bool(agent.started))
            await turns()
            agent.go.set()
            await until(lambda: bool(agent.ended))
            await turns()
            assert agent.started == ["a"]
            assert await nodes.ask("add", 1, 2).result() == 3

    bounded(main())


# Streams


def test_a_stream_arrives_whole_and_in_order() -> None:
    async def main() -> None:
        async with pair(Work()) as nodes:
            for name in ("count", "count_plainly"):
                asked = nodes.ask(name, 1000, streaming=True)
                assert await asked.result() is None
                assert asked.items == list(range(1000))

    bounded(main())


def test_a_stream_runs_at_its_readers_pace() -> None:
    async def main() -> None:
        agent = Work()
        async with pair(agent) as nodes:
            asked = nodes.ask("count", streaming=True)
            await until(lambda: len(asked.items) == OUR_WINDOW)
            await turns()
            assert len(asked.items) == OUR_WINDOW
            assert len(agent.started) == OUR_WINDOW
            asked.read(OUR_WINDOW // 2)
            await until(lambda: len(asked.items) > OUR_WINDOW)
            await turns()
            assert len(agent.started) <= 2 * OUR_WINDOW
            nodes.calling.cancel(asked.key)
            await until(lambda: agent.ended == ["count"])

    bounded(main())


def test_a_slow_reader_holds_nobody_else_up() -> None:
    async def main() -> None:
        async with pair(Work()) as nodes:
            slow = nodes.ask("count", streaming=True)
            await until(lambda: len(slow.items) == OUR_WINDOW)
            quick = nodes.ask("count", 1000, streaming=True)
            await quick.result()
            assert len(quick.items) == 1000
            assert len(slow.items) == OUR_WINDOW

    bounded(main())


def test_a_generator_that_never_waits_leaves_others_their_turn() -> None:
    async def main() -> None:
        agent = Work()
        async with pair(agent) as nodes:
            local = Asked(nodes.serving)  # no link between: nothing but the host slows the stream down
            local.key = nodes.serving.call(local, MATH, "count", b"{}", streaming=True)
            await until(lambda: bool(local.items))
            seen = []
            for _ in range(3):
                await asyncio.sleep(0)
                seen.append(len(local.items))
            assert seen[1] - seen[0] <= ITEMS_A_TURN
            assert seen[2] - seen[1] <= ITEMS_A_TURN
            nodes.serving.cancel(local.key)
            await until(lambda: agent.ended == ["count"])

    bounded(main())


def test_a_caller_that_wants_one_answer_of_a_stream_gets_the_first_item_and_the_stream_is_closed() -> None:
    async def main() -> None:
        agent = Work()
        async with pair(agent) as nodes:
            assert await nodes.ask("count").result() == 0
            await until(lambda: agent.ended == ["count"])
            assert agent.started == [0]

    bounded(main())


def test_the_one_answer_of_an_empty_stream_is_null() -> None:
    async def main() -> None:
        async with pair(Work()) as nodes:
            assert await nodes.ask("count", 0).result() is None

    bounded(main())


def test_a_plain_operation_asked_for_a_stream_is_a_stream_of_one() -> None:
    async def main() -> None:
        async with pair(Work()) as nodes:
            asked = nodes.ask("add", 1, 2, streaming=True)
            assert (await asked.end()).kind == "end"
            assert asked.items == [3]
            nothing = nodes.ask("nothing", streaming=True)
            assert (await nothing.end()).kind == "end"
            assert nothing.items == []

    bounded(main())


async def one_then(last: float | None) -> AsyncIterator[float | None]:
    yield 1.0
    yield last
    yield 3.0


async def one_then_nan() -> AsyncIterator[float]:
    yield 1.0
    yield float("nan")  # has the JSON form null


@pytest.mark.parametrize(("name", "args"), [("one_then", [None]), ("one_then_nan", [])])
def test_a_null_among_the_items_is_an_error_because_it_would_end_the_stream(name: str, args: list[object]) -> None:
    async def main() -> None:
        async with pair(Agent.from_functions([one_then, one_then_nan])) as nodes:
            asked = nodes.ask(name, *args, streaming=True)
            assert await asked.failure() == (INTERNAL, f"{name} yielded null, which ends a stream")
            assert asked.items == [1.0]

    bounded(main())


class Countdown:
    """Be an async iterator that isn't a generator and can't be closed."""

    def __init__(self, start: int) -> None:
        self.left = start

    def __aiter__(self) -> "Countdown":
        return self

    async def __anext__(self) -> int:
        if not self.left:
            raise StopAsyncIteration
        self.left -= 1
        return self.left


def test_any_async_iterator_streams() -> None:
    async def main() -> None:
        async with pair(Agent.from_functions([Countdown])) as nodes:
            asked = nodes.ask("Countdown", 3, streaming=True)
            assert (await asked.end()).kind == "end"
            assert asked.items == [2, 1, 0]

    bounded(main())


def test_a_generator_that_fails_when_it_is_closed_harms_nobody() -> None:
    async def main() -> None:
        async with pair(Failing()) as nodes:
            assert await nodes.ask("unclosable").result() == 1
            asked = nodes.ask("unclosable", streaming=True)
            await until(lambda: bool(asked.items))
            nodes.calling.cancel(asked.key)
            await turns()
            assert await nodes.ask("add", 1, 2).result() == 3

    bounded(main())


# Messages


def send_raw(nodes: Pair, fields: dict[str, object], **payload: object) -> None:
    frame = {"type": "Data", "payload": {"jsonrpc": "2.0", "id": "1", **payload}}
    nodes.link.send(msgspec.json.encode({"version": "1.0", "id": "e1", "to": MATH, **fields, "frame": frame}))


def send_message(nodes: Pair, payload: object) -> None:
    frame = {"type": "Data", "payload": payload}
    nodes.link.send(msgspec.json.encode({"version": "1.0", "id": "m1", "to": MATH, "frame": frame}))


@pytest.mark.parametrize("payload", [{"any": ["thing"]}, "text", None, 3, {"method": "add"}])
def test_what_is_not_a_call_is_a_message(payload: object) -> None:
    async def main() -> None:
        agent = Work()
        agent.go.set()
        async with pair(agent) as nodes:
            send_message(nodes, payload)
            await until(lambda: agent.messages == agent.ended == [payload])

    bounded(main())


def test_a_message_that_fails_harms_nobody() -> None:
    class Deaf(Work):
        async def on_message(self, payload: object) -> None:
            self.messages.append(payload)
            raise Odd

    async def main() -> None:
        agent = Deaf()
        async with pair(agent, max_concurrent=1) as nodes:
            for number in range(3):
                send_message(nodes, number)
            await until(lambda: agent.messages == [0, 1, 2])
            assert await nodes.ask("add", 1, 2).result() == 3

    bounded(main())


def test_messages_are_bounded_like_calls() -> None:
    async def main() -> None:
        agent = Work()
        async with pair(agent, max_concurrent=2) as nodes:
            for number in range(100):
                send_message(nodes, number)
            await until(lambda: agent.messages == [0, 1])
            await turns()
            agent.go.set()
            await until(lambda: agent.ended == list(range(2 + 2 * WAITING_PER_SLOT)))

    bounded(main())


def test_a_call_whose_answer_nobody_wants_runs_all_the_same() -> None:
    async def main() -> None:
        agent = Work()
        async with pair(agent) as nodes:
            send_raw(nodes, {}, method="hold", params={"name": "a"})
            send_raw(nodes, {}, method="add", params={"x": 1})
            send_raw(nodes, {}, method="count", params={})
            await until(lambda: agent.started == ["a"])
            agent.go.set()
            await until(lambda: agent.ended == ["a"])
            await turns()
            assert agent.started == ["a"]
            assert agent.messages == []

    bounded(main())
