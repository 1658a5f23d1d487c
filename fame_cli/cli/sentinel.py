"""``fame sentinel``: read one config and run one sentinel until it is told to stop; the work is in `config.build`."""

from typing import Annotated

import typer

from fame_cli.cli import output
from fame_cli.cli.options import (
    ConfigOption,
    DebugOption,
    FailFastOption,
    IdOption,
    LogFormatOption,
    LogLevelOption,
    NodeOption,
    invocation_of,
)

__all__ = ["sentinel"]


def sentinel(
    ctx: typer.Context,
    config: ConfigOption = None,
    node: NodeOption = None,
    id_: IdOption = None,
    listen: Annotated[
        str | None, typer.Option("--listen", metavar="HOST:PORT", show_default=False, help="Where to listen.")
    ] = None,
    peers: Annotated[
        list[str] | None,
        typer.Option("--peer", metavar="URL", show_default=False, help="A sentinel to peer with; repeatable."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            metavar="N",
            show_default=False,
            help="Processes that share the port, 1-64, for when one core isn't enough.",
        ),
    ] = None,
    worker: Annotated[str | None, typer.Option("--worker", hidden=True, help="Be one of them.")] = None,
    fail_fast: FailFastOption = None,
    log_level: LogLevelOption = None,
    log_format: LogFormatOption = None,
    debug: DebugOption = False,
) -> None:
    """Run a sentinel: it routes between the agents, clients and sentinels attached to it."""
    from fame_cli.cli.running import noted
    from fame_cli.cli.verbose import EnvelopeLog
    from fame_cli.config.build import run_sentinel  # pulls in pydantic and websockets
    from fame_cli.config.load import find, load
    from fame_cli.config.reload import Reloading
    from fame_cli.config.schema import SentinelConfig
    from fame_cli.config.workers import receive, run_worker, run_workers

    if worker is not None:  # started by `run_workers`: everything else comes by the pipe
        given = receive()
        run_worker(given, EnvelopeLog(output.diagnostic, 2) if given.config.log.show_envelopes else None)
        return
    env, path = invocation_of(ctx).environment(), None if config is None else find(config)
    flags: dict[str, object] = {
        "id": id_,
        "listen": listen,
        "peers": peers,
        "workers": workers,
        "fail_fast": fail_fast,
        "log.level": log_level,
        "log.format": log_format,
    }

    def read() -> SentinelConfig:
        return load(path, kind="sentinel", env=env, overrides=flags, node=node)

    loaded = read()
    with noted(env, "sentinel", path, node or loaded.id or "") as note:
        reloading = Reloading(loaded, read if path else None, note.reloaded)
        if loaded.workers > 1:
            return run_workers(loaded, reloading)
        run_sentinel(loaded, EnvelopeLog(output.diagnostic, 2) if loaded.log.show_envelopes else None, reloading)
