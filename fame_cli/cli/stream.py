"""``fame stream`` for typer; `streaming` does the work."""

import typer

from fame_cli.cli.given import Given
from fame_cli.cli.options import (
    CapabilityOption,
    ConfigOption,
    DebugOption,
    FormatOption,
    JsonOption,
    RetryOption,
    SessionOption,
    TimeoutOption,
    UrlOption,
    VerboseOption,
    WordsArgument,
    invocation_of,
)
from fame_cli.cli.output import OutputFormat
from fame_cli.cli.streaming import run

__all__ = ["stream"]


def stream(
    ctx: typer.Context,
    words: WordsArgument,
    json_text: JsonOption = None,
    capability: CapabilityOption = None,
    session: SessionOption = None,
    timeout: TimeoutOption = None,
    retry: RetryOption = False,
    form: FormatOption = OutputFormat.text,
    url: UrlOption = None,
    config: ConfigOption = None,
    verbose: VerboseOption = 0,
    debug: DebugOption = False,
) -> None:
    """Call a streaming operation of an agent and print its items, one a line, as they come.

    Without a TARGET the operation is looked up on the fabric. The timeout counts from item to item. Ctrl-C cancels
    the producer, and so does a reader that leaves.

    fame stream math2@fame.fabric fib_stream n=10
    fame stream fib_stream --verbose
    fame stream --capability fame.capability.math fib_stream
    fame stream fib_stream n=1000 | head -3
    """
    run(
        invocation_of(ctx),
        Given(
            words,
            json_text=json_text,
            capability=capability,
            session=session,
            timeout=timeout,
            retry=retry,
            form=form,
            url=url,
            config=config,
            verbose=verbose,
        ),
    )
