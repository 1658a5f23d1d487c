"""``fame config``: check files, show what they come to, and describe them to editors.

Nothing here starts a node or opens a socket; the work is in ``config.load``, ``config.show`` and
``config.json_schema``. Findings are one line each, ``FILE:LINE:COLUMN: what; what to do``, as editors read them.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from fame_cli.cli import output
from fame_cli.cli.options import DebugOption, NodeOption, invocation_of
from fame_cli.errors import ConfigError, FameError

__all__ = ["app"]

app = typer.Typer(add_completion=False, help="Check and show config files.", no_args_is_help=True)


@app.command()
def check(
    ctx: typer.Context,
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", show_default=False, help="YAML files, here or in ./configs.")
    ],
    debug: DebugOption = False,
) -> None:
    """Check files of any kind, and every file they name; list what is wrong and exit 3 if anything is."""
    env = invocation_of(ctx).environment()
    failures = [failure for file in files if (failure := _failure_of(file, env)) is not None]
    if debug and failures:
        raise failures[0]
    if failures:
        raise typer.Exit(ConfigError.exit_code)


def _failure_of(file: str, env: Mapping[str, str]) -> FameError | None:
    """Check one file and say how it is; return what is wrong."""
    from fame_cli.config.load import describe, find, load_any, load_nodes  # pulls in pydantic
    from fame_cli.config.needs import unmet
    from fame_cli.config.validate import findings

    failures: Sequence[FameError]
    try:
        path = find(file)
        config, _ = load_any(path, env=env)
        failures = [failure for node in load_nodes(path, env=env) for failure in unmet(*node)]
    except FameError as failure:
        failures = [failure]
    for line in dict.fromkeys(line for failure in failures for line in findings(failure)):
        output.diagnostic([(line, "")])
    if failures:
        return failures[0]
    output.data(f"{path}: ok, {describe(config)}")
    return None


@app.command()
def show(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", show_default=False, help="A YAML file, here or in ./configs.")],
    node: NodeOption = None,
    debug: DebugOption = False,
) -> None:
    """Print a file with every default and variable filled in, and every secret masked."""
    from fame_cli.config.load import find, load_any  # pulls in pydantic
    from fame_cli.config.show import resolved_yaml

    config, tree = load_any(find(file), env=invocation_of(ctx).environment(), node=node)
    output.data(resolved_yaml(config, tree), end="")


@app.command()
def schema() -> None:
    """Print the JSON Schema of config files, for editors."""
    from fame_cli.config.json_schema import json_schema  # pulls in pydantic

    output.result(json_schema(), output.OutputFormat.json)
