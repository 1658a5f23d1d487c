"""What the upstream sentinel answered to the addresses this node claims, for those who wait for it."""

import asyncio

from fame_cli.core.effects import BindAnswered
from fame_cli.node.log import log_event

__all__ = ["Binds"]


class Binds:
    """Know the last answer to each address, and who waits for one.

    Args:
        loop: of the node.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: dict[str, asyncio.Future[BindAnswered]] = {}
        self._answers: dict[str, BindAnswered] = {}

    def answered(self, answer: BindAnswered) -> None:
        """Take an answer; a no that nobody waits for is logged."""
        self._answers[answer.address] = answer
        waiting = self._waiting.pop(answer.address, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)
        elif answer.code:
            log_event("address_refused", "error", address=answer.address, code=answer.code, reason=answer.reason)

    async def answer(self, address: str) -> BindAnswered:
        """Wait for the answer to an address that is claimed or about to be."""
        if address in self._answers:
            return self._answers[address]
        waiting = self._waiting.get(address)
        if waiting is None or waiting.done():
            waiting = self._waiting[address] = self._loop.create_future()
        return await waiting

    def forget(self, address: str | None = None) -> None:
        """Forget what was answered: to one address, or to all because the link is gone."""
        if address is None:
            self._answers.clear()
        else:
            self._answers.pop(address, None)
