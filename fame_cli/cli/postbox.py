"""The messages of a node that runs, for `fame mail`: it is asked over the fabric."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from fame_cli.cli import mailbag
from fame_cli.cli.answers import Letter, Mended, asked
from fame_cli.cli.clients import CallingClient
from fame_cli.cli.invocation import Invocation
from fame_cli.cli.letters import Letters
from fame_cli.cli.places import node_path_of
from fame_cli.cli.session import Flags, attached
from fame_cli.errors import UsageError

__all__ = ["Postbox", "Where", "opened"]

T = TypeVar("T")

WHOM = "node"

AT_A_TIME = 100
"""Ids in one question."""


@dataclass(slots=True, frozen=True)
class Where:
    """Say whose messages are meant: those of a file, or of a running node.

    Args:
        storage: a file.
        at: the node to ask: id of a sentinel, address of an agent, or a path.
        flags: how to attach; their `config` may be that of a node, whose file is meant then.
    """

    storage: str | None
    at: str | None
    flags: Flags


@asynccontextmanager
async def opened(invocation: Invocation, where: Where) -> AsyncIterator[Letters]:
    """Open the store that is meant, or attach to ask its node.

    Raises:
        UsageError: two are meant.
        ConfigError: a file is wrong, or can't be used.
        ConnectError: there is no sentinel.
        NoRoute: nobody is there.
    """
    asks = where.at is not None or where.flags.url is not None
    if asks and where.storage is not None:
        other = "--at" if where.at is not None else "--url"
        raise UsageError(f"--storage and {other} both say whose messages", hint="leave one of them out")
    flags = where.flags
    file = None if asks else mailbag.store_of(where.storage, flags.config, flags.node, invocation.environment())
    if file is not None:
        with mailbag.opened(file) as bag:
            yield bag
        return
    async with attached(invocation, flags) as client:
        yield Postbox(client, await node_path_of(client, where.at))


class Postbox(Letters):
    """Ask a node about its messages.

    Args:
        client: attached.
        at: physical path of the node; None for the sentinel the client is attached to.
    """

    retried = "waits again", "wait again"

    def __init__(self, client: CallingClient, at: str | None) -> None:
        self.place = "the sentinel's boxes" if at is None else f"the boxes of {at}"
        self._client = client
        self._at = at

    async def find(self, *, box: str | None, address: str | None = None, id: str = "", most: int = 0) -> list[Letter]:
        """Return what fits, page by page; those kept longest come first in each box."""
        which = {"box": box or "", "address": address or "", "id": id}
        found: dict[tuple[str, str], Letter] = {}
        count = 0
        while not most or len(found) < most:
            page = await self._asked("mail.ls", list[Letter], {**which, "offset": count})
            if not page:
                break
            count += len(page)
            found |= {(each.box, each.id): each for each in page}
        letters = list(found.values())
        return letters[:most] if most else letters

    async def payload(self, letter: Letter) -> object:
        """Return the payload of a message."""
        told = await self._asked("mail.show", dict[str, object], {"id": letter.id, "box": letter.box})
        return told.get("payload")

    async def retry(self, letters: Sequence[Letter]) -> list[Letter]:
        """Put dead letters back."""
        return await self._mend("mail.retry", letters, {})

    async def drop(self, letters: Sequence[Letter]) -> list[Letter]:
        """Remove messages for good, box by box."""
        gone: list[Letter] = []
        for box in dict.fromkeys(each.box for each in letters):
            gone += await self._mend("mail.drop", [each for each in letters if each.box == box], {"box": box})
        return gone

    async def _mend(self, method: str, letters: Sequence[Letter], more: dict[str, object]) -> list[Letter]:
        done: set[str] = set()
        for start in range(0, len(letters), AT_A_TIME):
            ids = [each.id for each in letters[start : start + AT_A_TIME]]
            told = await self._asked(method, Mended, {"ids": ids, **more})
            done.update(told.ids)
            self.reason = told.reason or self.reason
        return [each for each in letters if each.id in done]

    async def _asked(self, method: str, kind: type[T], arguments: dict[str, object]) -> T:
        return await asked(self._client, method, kind, at=self._at, arguments=arguments, whom=WHOM)
