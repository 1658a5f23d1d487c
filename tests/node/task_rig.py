"""Agents with tasks, for the tests of both sides: one with a single task, one with many."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from fame_cli import Agent, operation, task, this_task


class One(Agent):
    """Have one task."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.ended: list[str] = []

    @task
    async def hold(self, q: object = None) -> object:
        """Hold until told."""
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        return {"echo": q}


class Many(Agent):
    """Have several."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.seen: list[Any] = []

    @operation
    def add(self, x: int, y: int) -> int:
        return x + y

    @task
    async def steps(self, n: int = 3) -> AsyncIterator[dict[str, int]]:
        """Tell each step."""
        for done in range(n):
            yield {"done": done + 1, "total": n}

    @task(name="give", description="Give it back.")
    async def give_back(self, value: object = None) -> object:
        return value

    @task
    async def fail(self, text: str = "on purpose") -> None:
        raise ValueError(text)

    @task
    async def huge(self, size: int) -> str:
        return "x" * size

    @task
    async def talk(self) -> list[object]:
        me = this_task()
        me.tell("hello")
        first = await me.ask("first?")
        return [me.id, first, await me.ask("second?")]

    @task
    async def check(self, n: int) -> object:
        return await this_task().ask(n)

    @task
    async def pick(self, n: int) -> AsyncIterator[int]:
        me = this_task()
        self.seen.append((me.starts, me.last))
        for number in range(0 if me.last is None else me.last + 1, n):
            yield number
            if number == 1 and me.starts == 1 and me.last is None:
                await self.go.wait()

    @task
    async def exit(self) -> None:
        raise SystemExit(3)
