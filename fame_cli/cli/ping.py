"""``fame ping`` for typer; `pinging` does the work."""

from typing import Annotated

import typer

from fame_cli.cli.given import Given
from fame_cli.cli.options import (
    ConfigOption,
    DebugOption,
    FormatOption,
    PlaceArgument,
    TimeoutOption,
    UrlOption,
    invocation_of,
)
from fame_cli.cli.output import OutputFormat
from fame_cli.cli.pinging import run

__all__ = ["ping"]

CountOption = Annotated[
    int | None,
    typer.Option("-c", "--count", metavar="COUNT", min=1, show_default=False, help="How many; else until Ctrl-C."),
]
IntervalOption = Annotated[
    float, typer.Option("-i", "--interval", metavar="SECONDS", min=0, help="Time from call to call.")
]


def ping(
    ctx: typer.Context,
    address: PlaceArgument,
    count: CountOption = None,
    interval: IntervalOption = 1.0,
    timeout: TimeoutOption = None,
    form: FormatOption = OutputFormat.text,
    url: UrlOption = None,
    config: ConfigOption = None,
    debug: DebugOption = False,
) -> None:
    """Measure the round trip to an agent or a sentinel, again and again.

    A call follows when the one before has been answered and the interval is
    over. Ctrl-C ends it, with a summary. The exit code is 0 if any was
    answered, else that of the last failure.

    fame ping math2@fame.fabric
    fame ping peer-sentinel2 -c 5 -i 0.2
    """
    given = Given([address], timeout=timeout, form=form, url=url, config=config, count=count, interval=interval)
    raise typer.Exit(run(invocation_of(ctx), given))
