"""The dead letters of a node, as it knows them: without their payloads, which are in its store alone."""

from collections.abc import Iterator

import msgspec

from fame_cli.core.message import Message

__all__ = ["DeadLetters", "Letter"]

Letter = tuple[Message, int]
"""A message, perhaps without its payload, and the bytes of that."""


class DeadLetters:
    """Know dead letters, those buried longest first.

    Args:
        most: how many there may be, >= 1.
        most_bytes: how many bytes their payloads may have.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._size = 0
        self._letters: dict[str, Letter] = {}

    def __len__(self) -> int:
        return len(self._letters)

    def __iter__(self) -> Iterator[Letter]:
        yield from self._letters.values()

    def __contains__(self, id: str) -> bool:
        return id in self._letters

    def add(self, message: Message) -> list[Message]:
        """Take a letter, and return those that have to go for it: the oldest, never itself."""
        self.take(message.id)
        self.put_back((msgspec.structs.replace(message, payload=b""), len(message.payload)))
        gone: list[Message] = []
        while len(self._letters) > 1 and (len(self._letters) > self._most or self._size > self._most_bytes):
            letter = self.take(next(iter(self._letters)))
            if letter is not None:
                gone.append(letter[0])
        return gone

    def put_back(self, letter: Letter) -> None:
        """Take a letter that has been here."""
        self._letters[letter[0].id] = letter
        self._size += letter[1]

    def take(self, id: str) -> Letter | None:
        """Let go of a letter; None if there is none."""
        letter = self._letters.pop(id, None)
        if letter is not None:
            self._size -= letter[1]
        return letter
