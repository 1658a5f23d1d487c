"""What every sentinel and agent answers about the messages it keeps: operations at ``__sys__@<its path>``.

A node that runs has its store to itself, so whoever wants to look after its messages asks the node. All of it is for
admins (``core/gate.py``, `ADMIN_ONLY`); listing them tells no payloads. The shapes are in docs/wire-extensions.md.
"""

import time
from fnmatch import fnmatchcase
from itertools import islice

from fame_cli.core.glob import MAX_GLOB_LENGTH
from fame_cli.core.message import Message, place_of, row_of, value_of
from fame_cli.core.report import Row
from fame_cli.errors import RemoteError
from fame_cli.node.agent import Agent, operation
from fame_cli.node.operation import INVALID_PARAMS
from fame_cli.node.paging import page_of
from fame_cli.node.runner import Node

__all__ = ["Postmaster"]

MAX_REASON = 1024
"""Characters of a reason in an answer."""


class Postmaster(Agent):
    """Look after the messages this node keeps."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self._node = node

    @operation(name="mail.ls")
    def list_mail(self, offset: int = 0, box: str = "", address: str = "", id: str = "") -> list[Row]:
        """List messages without their payloads: of a box, for an address or a pattern of some, whose ids begin so."""
        if len(address) > MAX_GLOB_LENGTH:
            raise RemoteError(f"address: more than {MAX_GLOB_LENGTH} characters", code=INVALID_PARAMS)
        fitting = (each for each in self._node.mail.letters() if _fits(each[0], box, address, id))
        now = time.time()
        rows = (_told(*each, now) for each in islice(fitting, max(offset, 0), None))
        return page_of(rows, self._node.core.settings.max_message_bytes)

    @operation(name="mail.show")
    async def show_mail(self, id: str, box: str) -> Row:
        """Tell one message with its payload; its box is ``out``, ``in`` or ``dead``."""
        message = await self._node.mail.find(box, id)
        if message is None:
            raise RemoteError(f"no message {id[:40]!r} in {box[:40]!r}", code=INVALID_PARAMS)
        return {**_told(message, len(message.payload), time.time()), "payload": value_of(message.payload)}

    @operation(name="mail.retry")
    async def retry_mail(self, ids: list[str]) -> Row:
        """Put dead letters back in the boxes they were in; `ids` of the answer are those that wait again."""
        retried, reason = await self._node.mail.retry(ids)
        return {"ids": retried, "reason": reason}

    @operation(name="mail.drop")
    async def drop_mail(self, ids: list[str], box: str) -> Row:
        """Remove messages of a box for good; `ids` of the answer are those that are gone."""
        return {"ids": await self._node.mail.drop(box, ids), "reason": ""}


def _told(message: Message, size: int, now: float) -> Row:
    told = row_of(message, size)
    return told | {"reason": message.reason[:MAX_REASON], "age_s": round(max(0.0, now - message.stored_at), 3)}


def _fits(message: Message, box: str, address: str, begins: str) -> bool:
    return (
        (not box or box == place_of(message))
        and (not address or message.address == address or fnmatchcase(message.address, address))
        and message.id.startswith(begins)
    )
