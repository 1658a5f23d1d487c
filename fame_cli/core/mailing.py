"""The verbs of a node that are about messages it answers for (ADR 27); the rest of them is in ``node.py``.

What they decide is in ``outbox.py`` and ``inbox.py``.
"""

from collections.abc import Iterable, Mapping

from fame_cli.core import inbox, outbox
from fame_cli.core.asking import post
from fame_cli.core.effects import Effect
from fame_cli.core.gate import Refusal
from fame_cli.core.message import DEAD, IN, OUT, Message
from fame_cli.core.state import NodeState

__all__ = ["Mailing"]


class Mailing:
    """Send messages, keep those that come, and have them handled."""

    _state: NodeState

    def post(self, address: str, payload: bytes, now: float, seal_to: str = "") -> tuple[Refusal | None, list[Effect]]:
        """Send a message once, and forget it; a refusal says why it didn't leave this node.

        Args:
            payload: JSON.
            seal_to: physical path of the node that alone may read it; "" to send it in the clear.

        Raises:
            RemoteProtocolError: not an address.
        """
        return post(self._state, address, payload, seal_to, now), self._effects()

    def send(self, address: str, payload: bytes, now: float) -> tuple[Message | Refusal, list[Effect]]:
        """Answer for a message until somebody else does; one `Delivered` with its id follows, if it could be kept.

        Args:
            payload: JSON.

        Raises:
            RemoteProtocolError: not an address.
        """
        return outbox.put(self._state, address, payload, now), self._effects()

    def kept(self, box: str, message_id: str, now: float) -> list[Effect]:
        """Take that a message of a `Keep` is on the disk."""
        (outbox if box == OUT else inbox).kept(self._state, message_id, now)
        return self._effects()

    def moved(self, message_id: str, now: float) -> list[Effect]:
        """Take that a message of a `Move` is on the disk."""
        outbox.kept(self._state, message_id, now)  # before the inbox, which may give it to the outbox anew
        inbox.moved(self._state, message_id, now)
        return self._effects()

    def unkept(self, box: str, message_id: str, reason: str, now: float) -> list[Effect]:
        """Take that a message of a `Keep` couldn't be written."""
        if box == OUT:
            outbox.unkept(self._state, message_id, reason)
        else:
            inbox.unkept(self._state, message_id, reason, now)
        return self._effects()

    def unmoved(self, message_id: str, reason: str, now: float) -> list[Effect]:
        """Take that a message of a `Move` stayed where it was."""
        outbox.unkept(self._state, message_id, reason)
        inbox.unmoved(self._state, message_id, reason, now)
        return self._effects()

    def recover(
        self, messages: Iterable[Message], lanes: Mapping[str, int], seen: Iterable[str], now: float
    ) -> list[Effect]:
        """Take up what an earlier life of this node has kept; who is to handle it has to be there already.

        Args:
            messages: oldest first; those of other boxes than the outbox and the inbox are passed over.
            lanes, seen: see ``inbox.py``.
        """
        messages = list(messages)
        self._state.inbox.dead.update(dict.fromkeys(each.id for each in messages if each.box == DEAD))
        outbox.recover(self._state, (each for each in messages if each.box == OUT), now)
        inbox.recover(self._state, (each for each in messages if each.box == IN), lanes, seen, now)
        return self._effects()

    def handled(self, message_id: str, now: float) -> list[Effect]:
        """Take that the handler of a message has returned."""
        inbox.handled(self._state, message_id, now)
        return self._effects()

    def unhandled(
        self, message_id: str, reason: str, now: float, *, tries: int = 0, counts: bool = True
    ) -> list[Effect]:
        """Take that a message wasn't handled: it comes again later, or is a dead letter.

        Args:
            tries: how often it is tried at most, where its failure says so; 0 for what the settings say.
            counts: False where its handler hasn't begun.
        """
        inbox.unhandled(self._state, message_id, reason, now, tries=tries, counts=counts)
        return self._effects()

    def retry(self, dead: Message, now: float) -> tuple[Refusal | None, list[Effect]]:
        """Put a dead letter back in the box it was in, as a new one; a refusal says why it stays dead."""
        sent = dead.origin != IN
        refusal = outbox.retry(self._state, dead, now) if sent else inbox.retry(self._state, dead)
        return refusal, self._effects()

    def drop(self, box: str, message_id: str, now: float) -> tuple[bool, list[Effect]]:
        """Give a message of the outbox or the inbox up without a trace; False when there is none that may go."""
        dropped = (outbox if box == OUT else inbox).drop(self._state, message_id, now)
        return dropped, self._effects()

    def messages(self) -> list[Message]:
        """Return what is in the outbox and the inbox."""
        return [*self._state.outbox, *self._state.inbox.arrivals.values()]

    def _effects(self) -> list[Effect]:
        state = self._state
        if state.outbox.verdicts:
            outbox.settle(state, state.now)
        effects, state.effects = state.effects, []
        return effects
