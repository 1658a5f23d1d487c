"""The disk of a simulated node: it takes its time, may be full, and is what remains of a node that dies.

It promises what ``store/store.py`` does: changes are made in order; of a lane nothing is written behind a message that
couldn't be, until that one has been told of; what nobody waits for is written once there is room again.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fame_cli.core.effects import Bury, Effect, Forget, Keep, Move
from fame_cli.core.message import IN, Message

if TYPE_CHECKING:
    from fame_cli.testing.simnode import SimNode

__all__ = ["SimDisk"]

Change = Keep | Move | Forget | Bury


@dataclass(eq=False)
class SimDisk:
    """Keep messages for a node.

    Attributes:
        messages: (box, id) → message, in the order they were first kept.
        lanes, seen: what was taken in, see ``core/inbox.py``.
        delay_s: (least, most) seconds that a write takes.
        is_full: True while nothing can be written.
    """

    node: "SimNode"
    messages: dict[tuple[str, str], Message] = field(default_factory=dict)
    lanes: dict[str, int] = field(default_factory=dict)
    seen: dict[str, None] = field(default_factory=dict)
    delay_s: tuple[float, float] = (0.0, 0.01)
    is_full: bool = False
    _waiting: deque[Change] = field(default_factory=deque)
    _owed: list[Change] = field(default_factory=list)
    _is_busy: bool = False

    def take(self, effect: Effect) -> None:
        """Take what is to be written, if that is what the effect asks for."""
        if isinstance(effect, Keep | Move | Forget | Bury):
            self._waiting.append(effect)
            self._begin()

    def recover(self) -> None:
        """Give a node that begins again what it has kept; what was to be written is lost."""
        self._waiting.clear()
        self._owed.clear()
        self._is_busy = False
        core, now = self.node.core, self.node.world.now
        self.node.perform(core.recover(list(self.messages.values()), dict(self.lanes), list(self.seen), now))

    def _begin(self) -> None:
        if self._is_busy or not self._waiting:
            return
        self._is_busy = True
        life, world = self.node.life, self.node.world
        batch = [self._waiting.popleft() for _ in range(len(self._waiting))]

        def write() -> None:
            if self.node.life == life and self.node.alive:
                self.node.turn(lambda: self._write(batch, life))

        world.at(world.now + world.random.uniform(*self.delay_s), write)

    def _write(self, batch: list[Change], life: int) -> None:
        """Write a batch, and tell the node; what it asks for meanwhile is in a later one."""
        if self.node.life != life or not self.node.alive:
            return
        owed, self._owed = self._owed, []
        failed: set[str] = set()
        results = [(each, self._apply(each, failed)) for each in [*owed, *batch]]
        for each in [each for each in self._waiting if _lane(each) in failed]:
            self._waiting.remove(each)
            results.append((each, False))
        self._is_busy = False
        for each, good in results:
            self._tell(each, good)
        self._begin()

    def _apply(self, change: Change, failed: set[str]) -> bool:
        if (self.is_full and not isinstance(change, Forget)) or _lane(change) in failed:
            failed.add(_lane(change))
            failed.discard("")
            return False
        if isinstance(change, Forget):
            self.messages.pop((change.box, change.id), None)
            return True
        message = change.message
        if isinstance(change, Move | Bury):
            self.messages.pop((change.source if isinstance(change, Move) else message.origin, message.id), None)
        self.messages[message.box, message.id] = message
        if message.box == IN and message.lane:
            self.lanes[message.lane] = max(message.seq, self.lanes.get(message.lane, 0))
        elif message.box == IN:
            self.seen[message.id] = None
        return True

    def _tell(self, change: Change, good: bool) -> None:
        core, now = self.node.core, self.node.world.now
        if isinstance(change, Keep):
            box, name = change.message.box, change.message.id
            self.node.perform(core.kept(box, name, now) if good else core.unkept(box, name, "the disk is full", now))
        elif isinstance(change, Move):
            name = change.message.id
            self.node.perform(core.moved(name, now) if good else core.unmoved(name, "the disk is full", now))
        elif not good:
            self._owed.append(change)


def _lane(change: Change) -> str:
    """Return the lane whose numbers a change takes in, "" for none."""
    return change.message.lane if isinstance(change, Keep) and change.message.box == IN else ""
