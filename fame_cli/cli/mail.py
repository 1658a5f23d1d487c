"""``fame mail``: the messages a node answers for, and the dead ones among them; `mailbag` does the work.

The node itself must not be running, because its store is its own while it does.
"""

import time
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer

from fame_cli.cli import mailbag, output, tables
from fame_cli.cli.home import moment
from fame_cli.cli.options import ConfigOption, DebugOption, FormatOption, NodeOption, invocation_of
from fame_cli.cli.output import OutputFormat
from fame_cli.core.message import Message
from fame_cli.errors import UsageError

__all__ = ["app"]

app = typer.Typer(
    add_completion=False, help="List, show, retry and drop messages that a node keeps.", no_args_is_help=True
)

MOST = 100
"""Messages in a table, unless somebody says otherwise."""

TITLES = ("ID", "BOX", "ADDRESS", "FROM", "AGE", "TRIES", "BYTES", "REASON")


class Box(StrEnum):
    """Name which messages are meant (``--box``)."""

    out = "out"
    inbox = "in"
    dead = "dead"
    mailbox = "mailbox"


StorageOption = Annotated[
    str | None,
    typer.Option(
        "--storage", metavar="FILE", show_default=False, help="A node's store; else $FAME_STORAGE_PATH, --config."
    ),
]
BoxOption = Annotated[
    Box | None,
    typer.Option(
        "--box",
        show_default=False,
        help="Those not yet acknowledged (out), not yet handled (in), given up (dead), or kept by a sentinel for "
        "somebody who is away (mailbox).",
    ),
]
AddressOption = Annotated[
    str | None,
    typer.Option(
        "--address", metavar="ADDRESS", show_default=False, help="Those for this address; with * or ? a pattern."
    ),
]
IdsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ID]...", show_default=False, help="Ids of messages, or how they begin."),
]


@app.command("ls")
def list_messages(
    ctx: typer.Context,
    box: BoxOption = None,
    address: AddressOption = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "-n", "--limit", metavar="N", min=0, show_default=False, help="Messages to list; 0 for all [100]."
        ),
    ] = None,
    form: FormatOption = OutputFormat.text,
    storage: StorageOption = None,
    config: ConfigOption = None,
    node: NodeOption = None,
    debug: DebugOption = False,
) -> None:
    """List messages, those that have been kept longest first.

    fame mail ls --storage math1.db
    fame mail ls --config math1.yaml --box dead --address 'math*@fame.fabric'
    """
    path = mailbag.store_of(storage, config, node, invocation_of(ctx).environment())
    with mailbag.opened(path) as bag:
        found = bag.find(box=box, address=address)
    most = limit if limit is not None else MOST if form is OutputFormat.text else 0
    listed = found[:most] if most else found
    now = time.time()
    rows = [_row(each, now) for each in listed]
    tables.show(TITLES, rows, [mailbag.document(each, payload=False) for each in listed], form)
    if len(listed) < len(found):
        output.note(f"{len(listed)} of {len(found)} messages; all of them: --limit 0")
    elif not found:
        output.note(f"no messages in {path}" if box is None and address is None else f"no such messages in {path}")


def _row(message: Message, now: float) -> Sequence[object]:
    age = tables.duration(now - message.stored_at)
    place = mailbag.box_of(message)
    return (
        message.id,
        place,
        message.address,
        message.sender,
        age,
        message.attempts,
        len(message.payload),
        message.reason,
    )


@app.command()
def show(
    ctx: typer.Context,
    id: Annotated[str, typer.Argument(metavar="ID", show_default=False, help="Id of a message, or how it begins.")],
    box: BoxOption = None,
    form: FormatOption = OutputFormat.text,
    storage: StorageOption = None,
    config: ConfigOption = None,
    node: NodeOption = None,
    debug: DebugOption = False,
) -> None:
    """Show one message: its payload, and what is known of it."""
    with mailbag.opened(mailbag.store_of(storage, config, node, invocation_of(ctx).environment())) as bag:
        message = bag.one(id, box=box)
    document = mailbag.document(message, payload=True)
    if form is not OutputFormat.text:
        output.result(document, form)
        return
    payload = document.pop("payload")
    for name in ("stored_at", "expires_at"):
        document[name] = moment(document[name]) if document[name] else ""
    for line in tables.lines_of(["FIELD", "VALUE"], [[name, value] for name, value in document.items()]):
        output.data(line)
    output.data("")
    for line in output.render(payload, OutputFormat.json).split("\n"):
        output.styled([(line, "")])
    output.flush()


@app.command()
def retry(
    ctx: typer.Context,
    ids: IdsArgument = None,
    all_of_them: Annotated[bool, typer.Option("--all", help="All dead letters, or those of --address.")] = False,
    address: AddressOption = None,
    storage: StorageOption = None,
    config: ConfigOption = None,
    node: NodeOption = None,
    debug: DebugOption = False,
) -> None:
    """Put dead letters back where they were given up: they are tried as new ones for a week.

    fame mail retry 5kQ --storage math1.db
    fame mail retry --all --address 'math*@fame.fabric' --config math1.yaml
    """
    _check(ids, all_of_them, None, address)
    path = mailbag.store_of(storage, config, node, invocation_of(ctx).environment())
    with mailbag.opened(path) as bag:
        chosen = bag.chosen(ids or [], box=Box.dead, address=address)
        bag.retry(chosen, time.time())
    _tell(chosen, "waits again, and is tried when the node runs", "wait again, and are tried when the node runs")


@app.command()
def drop(
    ctx: typer.Context,
    ids: IdsArgument = None,
    all_of_them: Annotated[
        bool, typer.Option("--all", help="All dead letters, or those of --box and --address.")
    ] = False,
    box: BoxOption = None,
    address: AddressOption = None,
    storage: StorageOption = None,
    config: ConfigOption = None,
    node: NodeOption = None,
    debug: DebugOption = False,
) -> None:
    """Remove messages for good.

    fame mail drop 5kQ 7bX --storage math1.db
    fame mail drop --all --config math1.yaml
    """
    _check(ids, all_of_them, box, address)
    path = mailbag.store_of(storage, config, node, invocation_of(ctx).environment())
    with mailbag.opened(path) as bag:
        chosen = bag.chosen(ids or [], box=Box.dead if all_of_them and box is None else box, address=address)
        bag.drop(chosen)
    _tell(chosen, "is gone", "are gone")


def _check(ids: Sequence[str] | None, all_of_them: bool, box: Box | None, address: str | None) -> None:
    """Refuse a command line that doesn't say, or says twice, which messages are meant.

    Raises:
        UsageError: it doesn't.
    """
    if ids and (all_of_them or address is not None):
        raise UsageError("ids and --all or --address both say which messages", hint="leave one of them out")
    if not ids and not all_of_them:
        narrowed = box is not None or address is not None
        hint = "add --all for all that fit" if narrowed else "give ids, or --all for all dead letters"
        raise UsageError("which messages?", hint=hint)


def _tell(messages: Sequence[Message], one: str, several: str) -> None:
    if not messages:
        output.note("no such messages: nothing has changed")
    elif len(messages) == 1:
        output.note(f"{messages[0].id} {one}")
    else:
        output.note(f"{len(messages)} messages {several}")
