"""An agent's tasks in a store: each a message in a box of its own, written and read as all messages are."""

import msgspec

from fame_cli.core.message import TASK, Message
from fame_cli.core.task import Task
from fame_cli.errors import ConfigError
from fame_cli.store.store import Done, Store

__all__ = ["TaskBox"]


class TaskBox:
    """Keep the tasks of one agent.

    Args:
        store: open for as long as the box is used.
        address: of the agent; agents of one store don't see each other's tasks.
    """

    def __init__(self, store: Store, address: str) -> None:
        self._store = store
        self._address = address

    def put(self, task: Task, done: Done | None = None) -> None:
        """Write a task down in place of what was known of it."""
        data = msgspec.json.encode(task)
        kept = Message(id=self._key(task.id), box=TASK, address=self._address, payload=data, stored_at=task.created_at)
        self._store.put(kept, done)

    def remove(self, task_id: str) -> None:
        """Forget a task."""
        self._store.remove(TASK, self._key(task_id))

    async def load(self) -> list[Task]:
        """Return all there are, in the order in which they were started.

        Raises:
            ConfigError: the file is damaged, or holds a task that can't be read.
        """
        kept = await self._store.load()
        mine = [each for each in kept.messages if each.box == TASK and each.address == self._address]
        try:
            return [msgspec.json.decode(each.payload, type=Task) for each in mine]
        except msgspec.DecodeError as error:
            hint = "was it written by a later fame? update, or name another file"
            raise ConfigError(f"storage: a task of {self._address} can't be read: {error}", hint=hint) from error

    def _key(self, task_id: str) -> str:
        return f"{self._address}/{task_id}"
