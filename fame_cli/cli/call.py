"""``fame call`` for typer; `calling` does the work."""

import typer

from fame_cli.cli.calling import run
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

__all__ = ["call"]


def call(
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
    """Call an operation of an agent and print its result.

    Without a TARGET the operation is looked up on the fabric.

    fame call math1@fame.fabric add x=3 y=4
    fame call math1@fame.fabric add --json '{"x": 3, "y": 4}'
    fame call multiply x:=6 y:=7 --verbose
    fame call --capability fame.capability.math add x=3 y=4
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
