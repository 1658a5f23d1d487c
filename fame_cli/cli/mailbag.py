"""The messages in a node's store, for `fame mail`: which store, which messages, and what becomes of them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import msgspec

from fame_cli.cli.arguments import shown
from fame_cli.core.custody import WEEK_S
from fame_cli.core.message import DEAD, IN, OUT, TASK, Message
from fame_cli.errors import ConfigError, FameError, UsageError
from fame_cli.store.database import Database
from fame_cli.store.medium import Change, Put, Remove

__all__ = ["Mailbag", "box_of", "document", "opened", "store_of"]

MAILBOX = "mailbox"
"""Stands for the box of what a sentinel keeps for somebody else."""

_NAMED = 3


def store_of(given: str | None, config: str | None, node: str | None, env: Mapping[str, str]) -> Path:
    """Return the file that is meant: the one given, the config's, the variable's.

    Args:
        given: what the user wrote.
        config: a node's file whose `storage` is taken.
        node: which node of a fabric file.
        env: the environment variables.

    Raises:
        UsageError: nobody names one, or two do.
        ConfigError: the config can't be read, or there is no such file.
    """
    if given is not None and config is not None:
        raise UsageError("--storage and --config both say which store", hint="leave one of them out")
    path = Path(given).expanduser() if given is not None else _configured(config, node, env)
    if path is None:
        raise UsageError("no store", hint="name it: --storage FILE, or --config of a node that has one")
    if not path.exists():
        raise ConfigError("no such file", source=str(path), hint="the node makes it when it first starts")
    return path


def _configured(config: str | None, node: str | None, env: Mapping[str, str]) -> Path | None:
    if config is None:
        named = env.get("FAME_STORAGE_PATH")
        return Path(named).expanduser() if named else None
    from fame_cli.config.load import find, load_any  # pulls in pydantic
    from fame_cli.config.schema import NodeConfig

    path = find(config)
    loaded, _ = load_any(path, env=env, node=node)
    if not isinstance(loaded, NodeConfig):
        raise UsageError(f"{path} describes several nodes", hint="say which one: --node NAME")
    file = loaded.storage_file()
    if file is None:
        hint = "set storage.path there; without one, messages end with the process"
        raise ConfigError("this node keeps no file", source=str(path), hint=hint)
    return file


@contextmanager
def opened(path: Path) -> "Iterator[Mailbag]":
    """Open a store for the block.

    Raises:
        ConfigError: it can't be used, or a running node holds it.
    """
    database = Database(path, wait_s=0.2)
    try:
        yield Mailbag(database)
    finally:
        database.close()


class Mailbag:
    """Hold the messages of a store.

    Args:
        database: the store, which nobody else has meanwhile.

    Raises:
        ConfigError: it is damaged.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.messages = [each for each in database.read().messages if each.box != TASK]

    def find(self, *, box: str | None, address: str | None = None) -> list[Message]:
        """Return what is in a box and for an address, in the order of storing; None for any."""
        return [
            each
            for each in self.messages
            if (box is None or _is_in(each, box)) and (address is None or _is_for(each, address))
        ]

    def one(self, id: str, *, box: str | None) -> Message:
        """Return the message an id means, or the beginning of one.

        Raises:
            UsageError: several begin like that, or several boxes have it.
            FameError: none does.
        """
        found = self.find(box=box)
        fitting = [each for each in found if each.id == id] or [each for each in found if id and each.id.startswith(id)]
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

    def chosen(self, ids: Sequence[str], *, box: str | None, address: str | None) -> list[Message]:
        """Return the messages that ids mean, or without any all that fit.

        Raises:
            UsageError, FameError: as `one`.
        """
        if not ids:
            return self.find(box=box, address=address)
        found = [self.one(id, box=box) for id in ids]
        return list({(each.box, each.id): each for each in found}.values())

    def retry(self, messages: Sequence[Message], now: float) -> None:
        """Put dead letters back in the boxes they were in, as new ones.

        One that was sent gets no place in its old lane: the receiver has gone past that, and would take it for one it
        has. The node gives it a new one.

        Args:
            now: seconds of the epoch; they live for a week from then on, if they had an end at all.

        Raises:
            FameError: the store can't be written.
        """
        changes: list[Change] = []
        for each in messages:
            changes += [Put(_renewed(each, now)), Remove(each.box, each.id)]
        self._database.apply(changes)

    def drop(self, messages: Sequence[Message]) -> None:
        """Remove messages for good.

        Raises:
            FameError: the store can't be written.
        """
        self._database.apply([Remove(each.box, each.id) for each in messages])


def _renewed(message: Message, now: float) -> Message:
    box = IN if message.origin == IN else OUT
    lane, seq = (message.lane, message.seq) if box == IN else ("", 0)
    expires_at = now + WEEK_S if message.expires_at else 0.0
    return msgspec.structs.replace(
        message, box=box, origin="", attempts=0, reason="", lane=lane, seq=seq, expires_at=expires_at
    )


def box_of(message: Message) -> str:
    """Return how people know the box of a message."""
    return MAILBOX if message.mailbox and message.box != DEAD else message.box


def _is_in(message: Message, box: str) -> bool:
    return box == box_of(message)


def _is_for(message: Message, address: str) -> bool:
    is_pattern = not set("*?[").isdisjoint(address)
    return fnmatchcase(message.address, address) if is_pattern else message.address == address


def document(message: Message, *, payload: bool) -> dict[str, Any]:
    """Return a message as JSON values; what isn't JSON in it, or isn't to be shown, by its size."""
    told: dict[str, Any] = {
        name: value for name, value in msgspec.structs.asdict(message).items() if name not in ("payload", "mailbox")
    }
    told |= {"mailbox": message.mailbox, "bytes": len(message.payload)}
    if payload:
        try:
            told["payload"] = msgspec.json.decode(message.payload)
        except (msgspec.DecodeError, RecursionError):
            told["payload"] = message.payload.decode("utf-8", "backslashreplace")
    return told
