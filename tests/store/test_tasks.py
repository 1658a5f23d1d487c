"""Tasks in a file: written over, taken out, read back in order, each agent's for itself."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path

import msgspec
import pytest

from fame_cli.core.message import IN, TASK, Message
from fame_cli.core.task import Bounds, Task, advance
from fame_cli.errors import ConfigError
from fame_cli.store.store import Store
from fame_cli.store.tasks import TaskBox

HERE, THERE = "a@fame.fabric", "b@fame.fabric"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path / "tasks.db"


def run(work: Coroutine[None, None, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 20))


async def kept(path: Path, address: str = HERE) -> list[Task]:
    async with Store.open(path) as store:
        return await TaskBox(store, address).load()


def made(task_id: str) -> Task:
    return Task(id=task_id, name="steps", payload=msgspec.Raw(b'{"n":1}'), created_at=1.0, since=1.0)


def test_the_latest_of_a_task_survives_in_the_order_of_starting(path: Path) -> None:
    async def main() -> None:
        later = advance(made("t1"), "start", 2.0, Bounds())
        async with Store.open(path) as store:
            box = TaskBox(store, HERE)
            for task in (made("t1"), made("t2"), later):
                box.put(task)
        assert await kept(path) == [later, made("t2")]

    run(main())


def test_what_is_removed_is_gone(path: Path) -> None:
    async def main() -> None:
        async with Store.open(path) as store:
            box = TaskBox(store, HERE)
            box.put(made("t1"))
            box.remove("t1")
        assert await kept(path) == []

    run(main())


def test_agents_and_messages_in_one_file_do_not_meet(path: Path) -> None:
    async def main() -> None:
        async with Store.open(path) as store:
            store.put(Message(id="t1", box=IN, address=HERE, payload=b"{}"))
            TaskBox(store, HERE).put(made("t1"))
            TaskBox(store, THERE).put(made("t1"))
            TaskBox(store, THERE).remove("t1")
        assert await kept(path) == [made("t1")]
        assert await kept(path, THERE) == []

    run(main())


def test_a_task_is_on_the_disk_when_that_is_said(path: Path) -> None:
    async def main() -> None:
        async with Store.open(path) as store:
            said: asyncio.Future[object] = asyncio.get_running_loop().create_future()
            TaskBox(store, HERE).put(made("t1"), said.set_result)
            assert await said is None

    run(main())


def test_a_task_that_cannot_be_read_is_one_line(path: Path) -> None:
    async def main() -> None:
        async with Store.open(path) as store:
            store.put(Message(id="x", box=TASK, address=HERE, payload=b'{"id": 7}'))
        with pytest.raises(ConfigError, match=r"a task of a@fame\.fabric can't be read"):
            await kept(path)

    run(main())
