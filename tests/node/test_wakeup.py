"""The one timer of a node: on time, and after an absence only once what waits has been read."""

import asyncio
import os
import socket
import time

import pytest
import uvloop

from fame_cli.node.wakeup import LATE_S, Wakeup

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


def test_the_earliest_deadline_counts_and_it_rings_once() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        rung: asyncio.Queue[float] = asyncio.Queue()
        wakeup = Wakeup(loop, rung.put_nowait)
        begun = time.monotonic()
        for after_s in (0.2, 0.05, 60.0):
            wakeup.by(begun + after_s)
        wakeup.by(None)
        assert 0.04 < await rung.get() - begun < 0.2
        wakeup.by(begun + 60)
        wakeup.cancel()
        assert rung.empty()

    asyncio.run(main())


@pytest.mark.parametrize("new_loop", LOOPS)
def test_after_an_absence_what_waits_is_read_first(new_loop: object) -> None:
    """Some loops run timers before they look for input; the byte was there first, so it has to be seen first."""
    order: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        near, far = socket.socketpair()
        over = asyncio.Event()
        with near, far:
            loop.add_reader(near.fileno(), lambda: order.append(os.read(near.fileno(), 1).decode()))
            Wakeup(loop, lambda now: (order.append("timer"), over.set())).by(time.monotonic() + 0.01)
            await asyncio.sleep(0)
            far.send(b"x")
            end = time.monotonic() + LATE_S + 0.05
            while time.monotonic() < end:
                pass  # the absence: the loop stands still
            await over.wait()
            loop.remove_reader(near.fileno())

    with asyncio.Runner(loop_factory=new_loop) as runner:  # type: ignore[arg-type]  # one of `LOOPS`
        runner.run(main())
    assert order == ["x", "timer"]
