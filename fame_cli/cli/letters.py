"""Messages that a node keeps, for `fame mail`: which of them are meant, wherever they are."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import msgspec

from fame_cli.cli.answers import Letter
from fame_cli.cli.arguments import shown
from fame_cli.core.message import DEAD, MAILBOX
from fame_cli.errors import FameError, UsageError

__all__ = ["Letters", "box_of", "document"]

_NAMED = 3


class Letters(ABC):
    """Find messages and change what becomes of them.

    Attributes:
        place: where they are, for people.
        retried: (one, several) what is said of dead letters that were put back.
        counts: whether `find` finds all there are, whatever its `most` says.
        reason: why some weren't, or weren't removed.
    """

    counts: bool = False
    reason: str = ""
    place: str
    retried: tuple[str, str]

    @abstractmethod
    async def find(self, *, box: str | None, address: str | None = None, id: str = "", most: int = 0) -> list[Letter]:
        """Return what is in a box, for an address or a pattern, and begins like an id; None and "" for any.

        Args:
            most: after which the rest needn't be looked for; 0 for all.
        """

    @abstractmethod
    async def payload(self, letter: Letter) -> object:
        """Return the payload of a message as a JSON value."""

    @abstractmethod
    async def retry(self, letters: Sequence[Letter]) -> list[Letter]:
        """Put dead letters back in the boxes they were in, as new ones; returns those that are.

        Raises:
            FameError: they can't be put back.
        """

    @abstractmethod
    async def drop(self, letters: Sequence[Letter]) -> list[Letter]:
        """Remove messages for good; returns those that are gone.

        Raises:
            FameError: they can't be removed.
        """

    async def one(self, id: str, *, box: str | None) -> Letter:
        """Return the message an id means, or the beginning of one.

        Raises:
            UsageError: several begin like that, or several boxes have it.
            FameError: none does.
        """
        found = await self.find(box=box, id=id) if id else []
        fitting = [each for each in found if each.id == id] or found
        if not fitting:
            where = "" if box is None else f" in {box}"
            raise FameError(f"no message {shown(id)}{where}", hint="see which there are: fame mail ls")
        if len({each.id for each in fitting}) > 1:
            names = ", ".join(shown(each.id) for each in fitting[:_NAMED])
            more = ", …" if len(fitting) > _NAMED else ""
            raise UsageError(f"{shown(id)} means several messages: {names}{more}", hint="write more of it")
        if len(fitting) > 1:
            boxes = " or ".join(box_of(each) for each in fitting)
            raise UsageError(f"{shown(id)} is in several boxes", hint=f"say which: --box {boxes}")
        return fitting[0]

    async def chosen(self, ids: Sequence[str], *, box: str | None, address: str | None) -> list[Letter]:
        """Return the messages that ids mean, or without any all that fit.

        Raises:
            UsageError, FameError: as `one`.
        """
        if not ids:
            return await self.find(box=box, address=address)
        found = [await self.one(id, box=box) for id in ids]
        return list({(each.box, each.id): each for each in found}.values())


def box_of(letter: Letter) -> str:
    """Return how people know the box of a message."""
    return MAILBOX if letter.mailbox and letter.box != DEAD else letter.box


def document(letter: Letter) -> dict[str, Any]:
    """Return a message as JSON values."""
    told: dict[str, Any] = msgspec.structs.asdict(letter)
    del told["age_s"]
    return told
