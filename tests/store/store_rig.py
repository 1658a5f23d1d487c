"""What the tests of the store have in common: messages, and what became of them."""

from fame_cli.core.message import IN, OUT, Message
from fame_cli.errors import FameError

__all__ = ["Told", "message"]


def message(id: str, box: str = OUT, **changes: object) -> Message:
    """Return a message that has something in each of its fields."""
    told = {"address": "math@fame.fabric", "payload": b'{"n":1}', "sender": "/s/c", "stored_at": 1_000.5}
    fields = {**told, "lane": "lane-1" if box == IN else "", "expires_at": 2_000.25, "attempts": 3, "reason": "why"}
    return Message(**{"id": id, "box": box, "origin": "in", "mailbox": True, "seq": 7, **fields, **changes})  # type: ignore[arg-type]


class Told:
    """Take down what is told to `done`, by name."""

    def __init__(self) -> None:
        self.results: list[tuple[str, FameError | None]] = []

    def about(self, name: str):
        return lambda error: self.results.append((name, error))

    @property
    def names(self) -> list[str]:
        return [name for name, error in self.results if error is None]

    @property
    def failures(self) -> dict[str, FameError]:
        return {name: error for name, error in self.results if error is not None}
