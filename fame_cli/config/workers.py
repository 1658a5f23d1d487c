"""A sentinel of several processes: what config each of them gets, and the programs of the supervisor and of a worker.

A worker never reads the file, the variables or the flags: its config comes whole from the supervisor, as the first line
it reads, so that all have the same one, also those that are started later.
"""

import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from fame_cli.config.build import adjustable, build_sentinel
from fame_cli.config.custody import StorageConfig
from fame_cli.config.schema import SentinelConfig
from fame_cli.errors import UsageError
from fame_cli.node.clock import random_id
from fame_cli.node.log import set_up_logging
from fame_cli.node.loop import run
from fame_cli.node.siblings import Dismissed, Siblings
from fame_cli.node.supervisor import Supervisor, reserve
from fame_cli.node.workers import FIRST, worker_id

if TYPE_CHECKING:
    from fame_cli.config.reload import Reloading
    from fame_cli.node.roles import Observer

__all__ = ["Assignment", "config_of_worker", "opened", "packed", "receive", "run_worker", "run_workers"]


class _Hello(msgspec.Struct, frozen=True):
    number: int
    config: dict[str, object]  # a model as JSON; the model checks it
    file: str | None = None  # where it came from: other files are named relative to it


@dataclass(frozen=True, slots=True)
class Assignment:
    """Hold what a worker has been given: which one it is, its config, and the pipe that orders come from."""

    number: int
    config: SentinelConfig
    orders: FileIO


def config_of_worker(config: SentinelConfig, number: int) -> SentinelConfig:
    """Return the config of one worker: all have their own id, the first alone has peers, parent and mailboxes."""
    assert config.id is not None
    own: dict[str, object] = {"id": worker_id(config.id, number), "workers": 1}
    if number != FIRST:
        own |= {"peers": [], "upstream": None, "mailboxes": [], "storage": StorageConfig()}
    return config.model_copy(update=own)


def packed(config: SentinelConfig, number: int) -> bytes:
    """Return what the supervisor tells a worker, without line breaks: which one it is, and its config."""
    file = str(config.file) if config.file else None
    return msgspec.json.encode(_Hello(number, _plain(config, number), file))


def _plain(config: SentinelConfig, number: int) -> dict[str, object]:
    """Return the config of one worker as JSON values."""
    return config_of_worker(config, number).model_dump(mode="json", by_alias=True)


def opened(line: bytes) -> tuple[int, SentinelConfig]:
    """Return what `packed` has told.

    Raises:
        msgspec.DecodeError: it is something else.
    """
    hello = msgspec.json.decode(line, type=_Hello)
    file = Path(hello.file) if hello.file else None
    return hello.number, SentinelConfig.model_validate(hello.config).with_file(file)


def run_workers(config: SentinelConfig, reloading: "Reloading[SentinelConfig] | None" = None) -> None:
    """Run the supervisor of a sentinel's workers until SIGINT or SIGTERM.

    Args:
        reloading: reads the config again at a SIGHUP.

    Raises:
        ConfigError: the port can't be had.
        WorkerDied: a worker couldn't start.
    """
    set_up_logging(config.log.level, config.log.format)
    with reserve(config.listen_host, config.listen_port) as held:
        host = f"[{config.listen_host}]" if ":" in config.listen_host else config.listen_host
        listen = f"{host}:{held.getsockname()[1]}"
        run(_supervise(_Crew(config, config.id or random_id("sentinel"), listen), reloading))


class _Crew:
    """Hold the config of all workers as it is now: with the id and the port that the sentinel has for good."""

    def __init__(self, config: SentinelConfig, node_id: str, listen: str) -> None:
        self._own = {"id": node_id, "listen": listen}
        self.config = config
        self.take(config)

    def take(self, config: SentinelConfig) -> None:
        self.config = config.model_copy(update=self._own)

    def hello(self, number: int) -> bytes:
        return packed(self.config, number)

    def of(self, number: int) -> dict[str, object]:
        return _plain(self.config, number)


async def _supervise(crew: _Crew, reloading: "Reloading[SentinelConfig] | None") -> None:
    config = crew.config
    node_id, has_parent = config.id or "", config.upstream is not None
    command = partial(_command, node_id)
    supervisor = Supervisor(node_id, config.workers, command, crew.hello, has_parent=has_parent, drain_s=config.drain_s)

    def take(effective: SentinelConfig) -> None:
        crew.take(effective)
        supervisor.reconfigure(crew.of, effective.drain_s)

    await supervisor.serve(None if reloading is None else lambda: reloading.take(take))


def _command(node_id: str, number: int) -> tuple[str, ...]:
    # by the interpreter that runs this; -P: what lies in this folder isn't imported; the id is for `ps`
    return (sys.executable, "-P", "-m", "fame_cli", "sentinel", "--worker", worker_id(node_id, number))


def receive() -> Assignment:
    """Read what the supervisor gives a worker first.

    Raises:
        UsageError: no supervisor has started this process.
    """
    orders = FileIO(0)  # unbuffered, so that what comes after the line stays in the pipe
    try:
        number, config = opened(orders.readline())
    except (OSError, msgspec.DecodeError) as error:
        raise UsageError("--worker is for processes that fame starts", hint="use --workers N") from error
    return Assignment(number, config, orders)


def run_worker(given: Assignment, observer: "Observer | None" = None) -> None:
    """Run one worker until its supervisor ends, or until SIGINT or SIGTERM.

    Raises:
        ConfigError: the port can't be had.
    """
    log = given.config.log
    set_up_logging(log.level, log.format, worker=given.number)
    run(_work(given, observer))


async def _work(given: Assignment, observer: "Observer | None") -> None:
    siblings = Siblings(given.number, given.orders, FileIO(1, "w"))
    sentinel = build_sentinel(given.config, observer, siblings)

    def take(plain: dict[str, object]) -> None:
        config = SentinelConfig.model_validate(plain).with_file(given.config.file)
        set_up_logging(config.log.level, config.log.format, worker=given.number)
        sentinel.adjust(adjustable(config))

    siblings.reconfigure = take
    with suppress(Dismissed):
        await sentinel.serve()
