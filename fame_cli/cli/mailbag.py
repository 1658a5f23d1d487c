"""The messages in the store of a node that isn't running, for `fame mail`: which store, and what becomes of them."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import msgspec

from fame_cli.cli.answers import Letter
from fame_cli.cli.letters import Letters, box_of
from fame_cli.core.custody import WEEK_S
from fame_cli.core.message import IN, OUT, TASK, Message, row_of, value_of
from fame_cli.errors import ConfigError, UsageError
from fame_cli.store.database import HELD, Database
from fame_cli.store.medium import Change, Put, Remove

__all__ = ["Mailbag", "StoreFile", "opened", "store_of"]


class StoreFile(NamedTuple):
    """Hold the path of a store, and the id or address of its node if that is known."""

    path: Path
    name: str = ""


def store_of(given: str | None, config: str | None, node: str | None, env: Mapping[str, str]) -> StoreFile | None:
    """Return the store that is meant: the one given, the config's, the variable's; None if nobody names one.

    Args:
        given: what the user wrote.
        config: a node's file whose `storage` is taken; that of a client without one names none.
        node: which node of a fabric file.
        env: the environment variables.

    Raises:
        UsageError: two name one.
        ConfigError: the config can't be read, its node has no store, or there is no such file.
    """
    if given is not None and config is not None:
        raise UsageError("--storage and --config both say which store", hint="leave one of them out")
    file = StoreFile(Path(given).expanduser()) if given is not None else _configured(config, node, env)
    if file is not None and not file.path.exists():
        raise ConfigError("no such file", source=str(file.path), hint="the node makes it when it first starts")
    return file


def _configured(config: str | None, node: str | None, env: Mapping[str, str]) -> StoreFile | None:
    if config is None:
        named = env.get("FAME_STORAGE_PATH")
        return StoreFile(Path(named).expanduser()) if named else None
    from fame_cli.config.load import find, load_any  # pulls in pydantic
    from fame_cli.config.schema import AgentConfig, ClientConfig, NodeConfig

    path = find(config)
    loaded, _ = load_any(path, env=env, node=node)
    if not isinstance(loaded, NodeConfig):
        raise UsageError(f"{path} describes several nodes", hint="say which one: --node NAME")
    file = loaded.storage_file()
    if file is not None:
        name = loaded.agent.address if isinstance(loaded, AgentConfig) else loaded.id
        return StoreFile(file, "" if isinstance(loaded, ClientConfig) else name or "")
    if isinstance(loaded, ClientConfig):
        return None
    hint = "set storage.path there; without one, messages end with the process"
    raise ConfigError("this node keeps no file", source=str(path), hint=hint)


@contextmanager
def opened(file: StoreFile) -> "Iterator[Mailbag]":
    """Open a store for the block.

    Raises:
        ConfigError: it can't be used, or a running node holds it.
    """
    try:
        database = Database(file.path, wait_s=0.2)
    except ConfigError as error:
        if error.message != HELD:
            raise
        whom = f"fame mail ls --at {file.name}" if file.name else "fame mail ls --at, with its address or id"
        hint = f"if that is its node, ask it over the fabric: {whom}"
        raise ConfigError(error.message, source=error.source, hint=hint) from error
    try:
        yield Mailbag(database, str(file.path))
    finally:
        database.close()


class Mailbag(Letters):
    """Hold the messages of a store.

    Args:
        database: the store, which nobody else has meanwhile.
        place: its name.

    Raises:
        ConfigError: it is damaged.
    """

    counts = True
    retried = "waits again, and is tried when the node runs", "wait again, and are tried when the node runs"

    def __init__(self, database: Database, place: str) -> None:
        self.place = place
        self._database = database
        self._messages = {(each.box, each.id): each for each in database.read().messages if each.box != TASK}

    async def find(self, *, box: str | None, address: str | None = None, id: str = "", most: int = 0) -> list[Letter]:
        """Return what fits, in the order of storing."""
        now = time.time()
        letters = (_letter(each, now) for each in self._messages.values() if each.id.startswith(id))
        return [
            each
            for each in letters
            if (box is None or box_of(each) == box) and (address is None or _is_for(each, address))
        ]

    async def payload(self, letter: Letter) -> object:
        """Return the payload of a message; what isn't JSON as a text."""
        return value_of(self._messages[letter.box, letter.id].payload)

    async def retry(self, letters: Sequence[Letter]) -> list[Letter]:
        """Put dead letters back; those that had an end live for a week from now on.

        One that was sent gets no place in its old lane: the receiver has gone past that, and would take it for one it
        has. The node gives it a new one.
        """
        now = time.time()
        changes: list[Change] = []
        for each in letters:
            changes += [Put(_renewed(self._messages[each.box, each.id], now)), Remove(each.box, each.id)]
        self._database.apply(changes)
        return list(letters)

    async def drop(self, letters: Sequence[Letter]) -> list[Letter]:
        """Remove messages for good."""
        self._database.apply([Remove(each.box, each.id) for each in letters])
        return list(letters)


def _letter(message: Message, now: float) -> Letter:
    return msgspec.convert(row_of(message, len(message.payload)) | {"age_s": now - message.stored_at}, Letter)


def _renewed(message: Message, now: float) -> Message:
    box = IN if message.origin == IN else OUT
    lane, seq = (message.lane, message.seq) if box == IN else ("", 0)
    expires_at = now + WEEK_S if message.expires_at else 0.0
    return msgspec.structs.replace(
        message, box=box, origin="", attempts=0, reason="", lane=lane, seq=seq, expires_at=expires_at
    )


def _is_for(letter: Letter, address: str) -> bool:
    is_pattern = not set("*?[").isdisjoint(address)
    return fnmatchcase(letter.address, address) if is_pattern else letter.address == address
