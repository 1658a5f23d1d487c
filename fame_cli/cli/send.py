"""``fame send`` for typer; `sending` does the work."""

from typing import Annotated

import typer

from fame_cli.cli.options import (
    ConfigOption,
    DebugOption,
    FormatOption,
    JsonOption,
    NodeOption,
    TimeoutOption,
    UrlOption,
    VerboseOption,
    invocation_of,
)
from fame_cli.cli.output import OutputFormat
from fame_cli.cli.sending import Letter, run
from fame_cli.cli.session import Flags

__all__ = ["send"]


def send(
    ctx: typer.Context,
    address: Annotated[
        str, typer.Argument(metavar="ADDRESS", show_default=False, help="Whom it is for, e.g. math1@fame.fabric.")
    ],
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PAYLOAD]...",
            show_default=False,
            help="JSON or a text, @FILE, - for stdin, or name=value, name:=JSON and name=@FILE for an object.",
        ),
    ] = None,
    operation: Annotated[
        str,
        typer.Option(
            "--operation", metavar="NAME", show_default=False, help="Operation to run, with arguments as `fame call`'s."
        ),
    ] = "",
    json_text: JsonOption = None,
    durable: Annotated[
        bool | None,
        typer.Option(
            "--durable/--once",
            show_default=False,
            help="Send it until somebody else answers for it, or once; else as delivery.profile says.",
        ),
    ] = None,
    timeout: TimeoutOption = None,
    form: FormatOption = OutputFormat.text,
    url: UrlOption = None,
    config: ConfigOption = None,
    node: NodeOption = None,
    verbose: VerboseOption = 0,
    debug: DebugOption = False,
) -> None:
    """Send a message that nobody answers.

    With --once it has left when this returns. With --durable somebody else
    answers for it: its agent, or a sentinel with a mailbox for it. Where
    --config or FAME_STORAGE_PATH names a file, what isn't taken in time
    stays there, and goes out with the next message.

    fame send math1@fame.fabric '{"event": "started"}'
    fame send math1@fame.fabric --operation add x=3 y=4 --durable
    """
    flags = Flags(url, config, timeout, verbose, node=node, sends=True, durable=durable)
    run(invocation_of(ctx), flags, Letter(address, words or [], json_text, operation), form)
