"""The options that several commands share, as typer reads them.

`Invocation` is the context object of the typer app. Importing this module must stay cheap.
"""

from typing import Annotated

import typer

from fame_cli.cli.invocation import Invocation
from fame_cli.cli.output import OutputFormat
from fame_cli.errors import UsageError

__all__ = [
    "AgentUrlOption",
    "AtOption",
    "CapabilityOption",
    "ConfigOption",
    "DebugOption",
    "FailFastOption",
    "FormatOption",
    "IdOption",
    "Invocation",
    "JsonOption",
    "LogFormatOption",
    "LogLevelOption",
    "NodeOption",
    "PlaceArgument",
    "RetryOption",
    "SessionOption",
    "TimeoutOption",
    "UrlOption",
    "VerboseOption",
    "WordsArgument",
    "invocation_of",
]


def invocation_of(ctx: typer.Context) -> Invocation:
    """Return the `Invocation` of this run, or an empty one where a command runs outside the app."""
    found = ctx.find_object(Invocation)
    return Invocation() if found is None else found


def _set_debug(ctx: typer.Context, value: bool) -> bool:
    if value:
        invocation_of(ctx).debug = True
    return value


def _check_timeout(value: float | None) -> float | None:
    if value is not None and not 0 < value < 1e9:
        raise UsageError(f"--timeout {value:g} is not a time", hint="give seconds above 0, e.g. --timeout 5")
    return value


WordsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="WORDS",
        show_default=False,
        help="An address, if you have one; the operation; its arguments as name=value (typed by the operation's "
        "schema), name:=JSON or name=@FILE.",
    ),
]
JsonOption = Annotated[
    str | None,
    typer.Option("--json", metavar="OBJECT", show_default=False, help="All arguments as a JSON object; - reads stdin."),
]
TimeoutOption = Annotated[
    float | None,
    typer.Option(
        "--timeout", metavar="SECONDS", show_default=False, callback=_check_timeout, help="How long to wait [30]."
    ),
]
RetryOption = Annotated[
    bool,
    typer.Option(
        "--retry",
        help="Ask again, as long as --timeout allows, when a link or the way was lost; the operation may run twice.",
    ),
]
FormatOption = Annotated[OutputFormat, typer.Option("-o", "--output", help="How results are written.")]
UrlOption = Annotated[
    str | None,
    typer.Option("--url", show_default=False, help="Sentinel to attach to; else $FAME_DIRECT_ADMISSION_URL, --config."),
]
AgentUrlOption = Annotated[
    str | None, typer.Option("--url", show_default=False, help="Sentinel to attach to, over what the file says.")
]
ConfigOption = Annotated[
    str | None,
    typer.Option("--config", metavar="FILE", show_default=False, help="A YAML file, here or in ./configs."),
]
NodeOption = Annotated[
    str | None,
    typer.Option("--node", metavar="NAME", show_default=False, help="Which node of a `kind: fabric` file."),
]
IdOption = Annotated[str | None, typer.Option("--id", show_default=False, help="Node id, unique on the fabric.")]
AtOption = Annotated[
    str | None,
    typer.Option(
        "--at",
        metavar="SENTINEL",
        show_default=False,
        help="Id of the sentinel to ask; else the one attached to.",
    ),
]
PlaceArgument = Annotated[
    str, typer.Argument(metavar="ADDRESS", show_default=False, help="Address of an agent, or the id of a sentinel.")
]
CapabilityOption = Annotated[
    list[str] | None,
    typer.Option(
        "--capability",
        metavar="CAPABILITY",
        show_default=False,
        help="Ask any agent that offers this, in place of an address; given several times, one that offers all.",
    ),
]
SessionOption = Annotated[
    str | None,
    typer.Option(
        "--session",
        metavar="KEY",
        show_default=False,
        help="Calls of one key go to the same provider, where sentinels balance `sticky`.",
    ),
]
VerboseOption = Annotated[
    int,
    typer.Option(
        "-v", "--verbose", count=True, show_default=False, help="Show each envelope and the path; -vv whole envelopes."
    ),
]
FailFastOption = Annotated[
    bool | None,
    typer.Option(
        "--fail-fast",
        show_default=False,
        help="End with exit code 7 if a neighbour of the config can't be reached at the start.",
    ),
]
LogLevelOption = Annotated[
    str | None,
    typer.Option("--log-level", metavar="LEVEL", show_default=False, help="debug, info, warning or error."),
]
LogFormatOption = Annotated[
    str | None,
    typer.Option("--log-format", metavar="FORMAT", show_default=False, help="auto, text or json."),
]
DebugOption = Annotated[
    bool, typer.Option("--debug", is_eager=True, callback=_set_debug, help="Show the traceback of a failure.")
]
