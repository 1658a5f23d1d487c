"""``fame task`` for typer; `tasking` does the work."""

from typing import Annotated

import typer

from fame_cli.cli.options import (
    ConfigOption,
    DebugOption,
    FormatOption,
    JsonOption,
    TimeoutOption,
    UrlOption,
    VerboseOption,
    invocation_of,
)
from fame_cli.cli.output import OutputFormat
from fame_cli.cli.session import Flags

__all__ = ["app"]

app = typer.Typer(add_completion=False, help="Start, watch and cancel long work of agents.", no_args_is_help=True)

AddressArgument = Annotated[
    str, typer.Argument(metavar="ADDRESS", show_default=False, help="Address of the agent, e.g. math1@fame.fabric.")
]
TaskIdArgument = Annotated[str, typer.Argument(metavar="ID", show_default=False, help="What `fame task run` printed.")]
TextOption = Annotated[
    str | None, typer.Option("--text", metavar="TEXT", show_default=False, help="One text in place of arguments.")
]


@app.command()
def run(
    ctx: typer.Context,
    address: AddressArgument,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME] [NAME=VALUE]...",
            show_default=False,
            help="Which task, if the agent has several; its arguments as for `fame call`.",
        ),
    ] = None,
    json_text: JsonOption = None,
    text: TextOption = None,
    task_id: Annotated[
        str, typer.Option("--id", metavar="ID", show_default=False, help="Id of the task; a fresh one if not given.")
    ] = "",
    detach: Annotated[bool, typer.Option("-d", "--detach", help="Print the id and leave; the task goes on.")] = False,
    timeout: TimeoutOption = None,
    form: FormatOption = OutputFormat.text,
    url: UrlOption = None,
    config: ConfigOption = None,
    verbose: VerboseOption = 0,
    debug: DebugOption = False,
) -> None:
    """Start a task, show how it gets on, and print its result.

    Ctrl-C cancels the task, unless it was started with --detach. With -o ndjson
    everything it tells is a line on stdout. A task that was started with an --id
    is started once, however often this is run.

    fame task run math1@fame.fabric primes up_to=100000
    id=$(fame task run math1@fame.fabric primes --detach)
    """
    from fame_cli.cli.tasking import Order, run_task  # its parts take 8 ms

    flags = Flags(url, config, timeout, verbose)
    run_task(invocation_of(ctx), flags, Order(address, words or [], json_text, text, task_id, detach, form))


@app.command()
def watch(
    ctx: typer.Context,
    address: AddressArgument,
    task_id: TaskIdArgument,
    timeout: TimeoutOption = None,
    form: FormatOption = OutputFormat.text,
    url: UrlOption = None,
    config: ConfigOption = None,
    verbose: VerboseOption = 0,
    debug: DebugOption = False,
) -> None:
    """Show how a task gets on, and print its result; Ctrl-C leaves it alone."""
    from fame_cli.cli.tasking import watch_task  # as above

    watch_task(invocation_of(ctx), Flags(url, config, timeout, verbose), address, task_id, form)


@app.command()
def get(
    ctx: typer.Context,
    address: AddressArgument,
    task_id: TaskIdArgument,
    timeout: TimeoutOption = None,
    form: FormatOption = OutputFormat.text,
    url: UrlOption = None,
    config: ConfigOption = None,
    debug: DebugOption = False,
) -> None:
    """Show how a task stands now."""
    from fame_cli.cli.tasking import get_task  # as above

    get_task(invocation_of(ctx), Flags(url, config, timeout), address, task_id, form)


@app.command()
def answer(
    ctx: typer.Context,
    address: AddressArgument,
    task_id: TaskIdArgument,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=VALUE]...", show_default=False, help="The answer, if it is an object."),
    ] = None,
    json_text: JsonOption = None,
    text: TextOption = None,
    timeout: TimeoutOption = None,
    form: FormatOption = OutputFormat.text,
    url: UrlOption = None,
    config: ConfigOption = None,
    debug: DebugOption = False,
) -> None:
    """Answer a task that asks something (state input-required).

    fame task answer math1@fame.fabric 5kQ2 --text yes
    """
    from fame_cli.cli.tasking import Order, answer_task  # as above

    order = Order(address, words or [], json_text, text, task_id, True, form)
    answer_task(invocation_of(ctx), Flags(url, config, timeout), order)


@app.command()
def cancel(
    ctx: typer.Context,
    address: AddressArgument,
    task_id: TaskIdArgument,
    timeout: TimeoutOption = None,
    form: FormatOption = OutputFormat.text,
    url: UrlOption = None,
    config: ConfigOption = None,
    debug: DebugOption = False,
) -> None:
    """Cancel a task."""
    from fame_cli.cli.tasking import cancel_task  # as above

    cancel_task(invocation_of(ctx), Flags(url, config, timeout), address, task_id, form)


@app.command("ls")
def list_tasks(
    ctx: typer.Context,
    address: AddressArgument,
    timeout: TimeoutOption = None,
    form: FormatOption = OutputFormat.text,
    url: UrlOption = None,
    config: ConfigOption = None,
    debug: DebugOption = False,
) -> None:
    """List the tasks an agent knows, the latest first."""
    from fame_cli.cli.tasking import list_tasks as work  # as above

    work(invocation_of(ctx), Flags(url, config, timeout), address, form)
