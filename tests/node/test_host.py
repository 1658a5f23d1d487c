"""The host: calls are answered and bounded, messages taken, and nothing a handler raises ends it."""

import asyncio
import time
from collections.abc import AsyncIterator

import msgspec
import pytest
from host_rig import Failing, Odd, Work, send_message, send_raw
from node_rig import MATH, Asked, bounded, pair, turns, until

from fame_cli import time_left
from fame_cli.core.effects import Request
from fame_cli.node.agent import METHOD_NOT_FOUND, Agent, operation
from fame_cli.node.host import BUSY, WAITING_PER_SLOT, AgentHost
from fame_cli.node.operation import INTERNAL, INVALID_PARAMS
from fame_cli.node.runner import Node

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


TOLD = {
    "type": (INTERNAL, "TypeError: no such thing"),
    "empty": (INTERNAL, "TimeoutError"),
    "own": (-32010, "out of stock"),
    "hinted": (INTERNAL, "out of stock; come back"),
    "fabric": (INTERNAL, "nobody there; look again"),
    "odd": (INTERNAL, "Odd"),
    "exit": (INTERNAL, "SystemExit: 3"),
    "interrupt": (INTERNAL, "KeyboardInterrupt"),
    "generator": (INTERNAL, "GeneratorExit"),
    "base": (INTERNAL, "BaseException: of its own"),
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


# Messages


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


# How long the caller waits


def test_a_request_whose_time_ran_out_in_the_queue_is_not_begun() -> None:
    async def main() -> None:
        agent = Work()
        async with Node("n") as node:
            host = AgentHost(node, agent, max_concurrent=1)
            now = time.monotonic()
            for name, deadline in (("runs", 0.0), ("late", now), ("waits", now + 60), ("any", 0.0)):
                params = msgspec.Raw(msgspec.json.encode({"name": name}))
                host.dispatch(Request((name, "c"), MATH, "hold", params, deadline=deadline))
            agent.go.set()
            await until(lambda: "any" in agent.ended)
            assert agent.started == ["runs", "waits", "any"]

    bounded(main())


class Hurried(Agent):
    """Say how long the caller still waits."""

    @operation
    def at_once(self) -> float | None:
        return time_left()

    @operation
    async def later(self) -> float | None:
        await asyncio.sleep(0)
        return time_left()

    @operation
    async def items(self) -> AsyncIterator[float | None]:
        yield time_left()


def test_an_operation_may_ask_how_long_its_caller_waits() -> None:
    async def main() -> None:
        async with pair(Hurried()) as nodes:
            for name in ("at_once", "later", "items"):
                asked = nodes.ask(name)
                left = await asked.result()
                assert isinstance(left, float)
                assert 29 < left <= 30
            assert time_left() is None

    bounded(main())
