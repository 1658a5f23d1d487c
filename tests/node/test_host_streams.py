"""The host: work ends when its caller does, and streams run at their reader's pace."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
from host_rig import Failing, Work, send_message, send_raw
from node_rig import MATH, Asked, bounded, pair, turns, until

from fame_cli.core.flow import OUR_WINDOW
from fame_cli.errors import RemoteError
from fame_cli.node.agent import Agent, operation
from fame_cli.node.host import ITEMS_A_TURN, PACK_BYTES, PACK_ITEMS
from fame_cli.node.operation import INTERNAL

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


@pytest.mark.parametrize(
    ("name", "args", "said"),
    [
        ("one_then", [None], "yielded null, which ends a stream"),
        ("one_then_nan", [], "gave back nan, which JSON can't say"),
    ],
)
def test_a_null_among_the_items_is_an_error_because_it_would_end_the_stream(
    name: str, args: list[object], said: str
) -> None:
    async def main() -> None:
        async with pair(Agent.from_functions([one_then, one_then_nan])) as nodes:
            asked = nodes.ask(name, *args, streaming=True)
            assert await asked.failure() == (INTERNAL, f"{name} {said}")
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


# Packs


class Bursts(Agent):
    """Yields some items at once, then waits to be told to go on."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    @operation
    async def burst(self, sizes: list[int]) -> AsyncIterator[str]:
        for number, size in enumerate(sizes):
            if size < 0:
                await self.go.wait()
            yield f"{number}" * abs(size)

    @operation
    async def fail_after(self, count: int) -> AsyncIterator[int]:
        for number in range(count):
            yield number
        raise RemoteError("out of stock", code=7)


def values(asked: Asked) -> list[tuple[bool, object]]:
    return [(item.is_pack, msgspec.json.decode(item.value)) for item in asked.arrived]


def test_what_is_yielded_in_one_turn_travels_together_and_what_is_alone_does_not_wait() -> None:
    async def main() -> None:
        agent = Bursts()
        async with pair(agent) as nodes:
            asked = nodes.ask("burst", [1, 1, 1, -1], streaming=True, packs=True)
            await until(lambda: bool(asked.arrived))
            assert values(asked) == [(True, ["0", "1", "2"])]
            agent.go.set()
            await asked.end()
            assert values(asked)[1:] == [(False, "3")]

    bounded(main())


def test_a_pack_holds_no_more_items_and_bytes_than_it_may() -> None:
    async def main() -> None:
        async with pair(Bursts()) as nodes:
            sizes = [1] * (PACK_ITEMS + 1) + [1000] * 4 + [2 * PACK_BYTES, 1]
            asked = nodes.ask("burst", sizes, streaming=True, packs=True)
            await asked.end()
            packs = [value if is_pack else [value] for is_pack, value in values(asked)]
            assert [len(text) for items in packs for text in items] == [
                len(f"{number}") * size for number, size in enumerate(sizes)
            ]
            assert all(len(items) <= PACK_ITEMS for items in packs)
            assert all(len(items) == 1 or len(msgspec.json.encode(items)) <= PACK_BYTES + 2 for items in packs)

    bounded(main())


def test_a_caller_that_does_not_take_packs_gets_items() -> None:
    async def main() -> None:
        async with pair(Bursts()) as nodes:
            asked = nodes.ask("burst", [1] * 5, streaming=True)
            await asked.end()
            assert values(asked) == [(False, f"{number}") for number in range(5)]

    bounded(main())


def test_what_was_yielded_before_a_failure_comes_before_it() -> None:
    async def main() -> None:
        async with pair(Bursts()) as nodes:
            asked = nodes.ask("fail_after", 3, streaming=True, packs=True)
            assert await asked.failure() == (7, "out of stock")
            assert values(asked) == [(True, [0, 1, 2])]

    bounded(main())


def test_a_producer_of_packs_waits_for_its_reader_and_goes_on() -> None:
    async def main() -> None:
        agent = Work()
        async with pair(agent) as nodes:
            asked = nodes.ask("count", 20_000, streaming=True, packs=True)
            await turns()
            assert PACK_ITEMS < len(agent.started) <= (OUR_WINDOW + 1) * PACK_ITEMS
            await asked.end()
            assert [item for _, items in values(asked) for item in (items if isinstance(items, list) else [items])] == [
                *range(20_000)
            ]

    bounded(main())
