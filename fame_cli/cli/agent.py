"""``fame agent``: read one config, or take a class from the command line, and serve it until told to stop."""

from typing import Annotated

import typer

from fame_cli.cli import output
from fame_cli.cli.options import (
    AgentUrlOption,
    ConfigOption,
    DebugOption,
    FailFastOption,
    IdOption,
    LogFormatOption,
    LogLevelOption,
    NodeOption,
    invocation_of,
)
from fame_cli.errors import UsageError

__all__ = ["agent"]


def agent(
    ctx: typer.Context,
    import_: Annotated[
        str | None,
        typer.Argument(metavar="[MODULE:CLASS]", show_default=False, help="What to serve, without a file."),
    ] = None,
    config: ConfigOption = None,
    node: NodeOption = None,
    address: Annotated[
        str | None,
        typer.Option("--address", metavar="NAME@DOMAIN", show_default=False, help="Address to serve at."),
    ] = None,
    url: AgentUrlOption = None,
    id_: IdOption = None,
    fail_fast: FailFastOption = None,
    log_level: LogLevelOption = None,
    log_format: LogFormatOption = None,
    debug: DebugOption = False,
) -> None:
    """Run an agent: it attaches to a sentinel and serves its operations at an address."""
    if import_ is None and config is None:
        raise UsageError("nothing to serve", hint="give MODULE:CLASS, or a file: fame agent --config math1.yaml")
    from fame_cli.cli.running import noted
    from fame_cli.cli.verbose import EnvelopeLog
    from fame_cli.config.build import run_agent  # pulls in pydantic and websockets
    from fame_cli.config.load import find, load
    from fame_cli.config.reload import Reloading
    from fame_cli.config.schema import AgentConfig

    env, path = invocation_of(ctx).environment(), None if config is None else find(config)
    flags: dict[str, object] = {
        "id": id_,
        "agent.import": import_,
        "agent.address": address,
        "upstream.direct_url": url,
        "fail_fast": fail_fast,
        "log.level": log_level,
        "log.format": log_format,
    }

    def read() -> AgentConfig:
        return load(path, kind="agent", env=env, overrides=flags, node=node)

    loaded = read()
    with noted(env, "agent", path, node or loaded.id or "") as note:
        reloading = Reloading(loaded, read if path else None, note.reloaded)
        run_agent(loaded, EnvelopeLog(output.diagnostic, 2) if loaded.log.show_envelopes else None, reloading)
