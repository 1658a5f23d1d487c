"""The turn: what one read makes anybody send leaves at its end, and asks the loop for nothing."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from fame_cli.net.pump import Turn


class CountingLoop(asyncio.SelectorEventLoop):
    """Count the callbacks that are asked for."""

    asked = 0

    def call_soon(self, *args: Any, **how: Any) -> asyncio.Handle:
        """Call back in the next round."""
        self.asked += 1
        return super().call_soon(*args, **how)


class Wire:
    """Note how often it is asked to write."""

    def __init__(self) -> None:
        self.writes = 0

    def flush(self) -> None:
        """Write."""
        self.writes += 1


def played(body: Callable[[CountingLoop], Coroutine[Any, Any, None]]) -> None:
    """Run something on a loop that counts."""
    loop = CountingLoop()
    try:
        loop.run_until_complete(body(loop))
    finally:
        loop.close()


def test_what_is_sent_outside_of_a_read_leaves_with_the_next_callback() -> None:
    async def body(loop: CountingLoop) -> None:
        turn, wire = Turn(), Wire()
        turn.add(wire)
        assert wire.writes == 0
        await asyncio.sleep(0)
        assert wire.writes == 1

    played(body)


def test_what_is_sent_in_a_read_leaves_at_its_end_without_a_callback() -> None:
    async def body(loop: CountingLoop) -> None:
        turn, wire, before = Turn(), Wire(), loop.asked
        turn.reading = True
        turn.add(wire)
        turn.flush()
        assert (wire.writes, turn.reading, loop.asked - before) == (1, False, 0)

    played(body)


def test_reads_that_end_without_writing_leave_that_to_one_callback() -> None:
    async def body(loop: CountingLoop) -> None:
        turn, wires, before = Turn(), [Wire(), Wire()], loop.asked
        for wire in wires:
            turn.reading = True
            turn.add(wire)
            turn.put_off()
        assert ([wire.writes for wire in wires], turn.reading, loop.asked - before) == ([0, 0], False, 1)
        await asyncio.sleep(0)
        assert [wire.writes for wire in wires] == [1, 1]

    played(body)
