"""``fame ls`` for typer; `listing` does the work."""

from typing import Annotated

import typer

from fame_cli.cli.given import Given
from fame_cli.cli.listing import run
from fame_cli.cli.options import (
    ConfigOption,
    DebugOption,
    FormatOption,
    TimeoutOption,
    UrlOption,
    invocation_of,
)
from fame_cli.cli.output import OutputFormat

__all__ = ["ls"]

PatternArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="PATTERN",
        show_default=False,
        help="Part of an address, an operation or a capability; with * or ? a pattern for the whole of one.",
    ),
]


def ls(
    ctx: typer.Context,
    pattern: PatternArgument = None,
    timeout: TimeoutOption = None,
    form: FormatOption = OutputFormat.text,
    url: UrlOption = None,
    config: ConfigOption = None,
    debug: DebugOption = False,
) -> None:
    """List what can be called: addresses, operations, where and how far.

    WHERE is the sentinel an agent is attached to. An address that several
    sentinels offer has a line for each.

    fame ls
    fame ls 'math*@fame.fabric'
    fame ls fib_stream -o json
    """
    words = [] if pattern is None else [pattern]
    run(invocation_of(ctx), Given(words, timeout=timeout, form=form, url=url, config=config))
