"""``fame doctor``: looks at a set-up and says, a line for each thing, how it is and what to do; the checks are in
``checkup/``.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from fame_cli.cli import output
from fame_cli.cli.options import ConfigOption, DebugOption, FormatOption, NodeOption, invocation_of
from fame_cli.cli.output import OutputFormat

if TYPE_CHECKING:
    from fame_cli.cli.checkup.findings import Finding

__all__ = ["doctor"]

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}

UrlOption = Annotated[
    str | None,
    typer.Option("--url", show_default=False, help="A sentinel to reach, in place of those the config names."),
]
TimeoutOption = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", min=0.1, max=600, help="How long each check may take.")
]


def doctor(
    ctx: typer.Context,
    config: ConfigOption = None,
    node: NodeOption = None,
    url: UrlOption = None,
    timeout: TimeoutOption = 3.0,
    form: FormatOption = OutputFormat.text,
    debug: DebugOption = False,
) -> None:
    """Look at a set-up, and say what is wrong with it and what to do.

    A line for each thing: ok, warn or fail. Nothing is changed. The exit code
    is 0 if nothing failed, else the one a node or a call would fail with for
    the reason that comes first.

    fame doctor --config configs/peer2.yaml
    fame doctor --url ws://127.0.0.1:8000/fame/v1/attach/ws/downstream
    """
    from fame_cli.cli.checkup.case import Case
    from fame_cli.cli.checkup.examination import examine  # pulls in nearly all of the package
    from fame_cli.cli.checkup.findings import exit_code_of

    case = Case(invocation_of(ctx).environment(), file=config, node=node, url=url, timeout_s=timeout)
    found = examine(case)
    _show(found, form)
    raise typer.Exit(exit_code_of(found))


def _show(found: Sequence["Finding"], form: OutputFormat) -> None:
    if form is OutputFormat.json:
        output.result([finding.document() for finding in found], form)
        return
    width = max((len(finding.check) for finding in found), default=0)
    for finding in found:
        if form is OutputFormat.ndjson:
            output.result(finding.document(), form)
            continue
        todo = f"; {finding.do}" if finding.do else ""
        output.styled(
            [
                (f"{finding.state.value:<4}", _STYLES[finding.state.value]),
                (f"  {finding.check:<{width}}  {finding.what}{todo}", ""),
            ]
        )
    output.flush()
