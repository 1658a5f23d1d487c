"""``fame mail``: the messages a node answers for, and the dead ones among them.

A node that runs has its store to itself and is asked over the fabric (`postbox`); the store of one that doesn't is
opened (`mailbag`).
"""

import asyncio
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer

from fame_cli.cli import output, postbox, tables
from fame_cli.cli.answers import Letter
from fame_cli.cli.home import moment
from fame_cli.cli.invocation import Invocation
from fame_cli.cli.letters import box_of, document
from fame_cli.cli.options import (
    ConfigOption,
    DebugOption,
    FormatOption,
    NodeOption,
    TimeoutOption,
    UrlOption,
    invocation_of,
)
from fame_cli.cli.output import OutputFormat
from fame_cli.cli.postbox import Where
from fame_cli.cli.session import Flags
from fame_cli.errors import FameError, UsageError

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
        "--storage",
        metavar="FILE",
        show_default=False,
        help="Store of a node that isn't running; else that of --config, $FAME_STORAGE_PATH.",
    ),
]
AtOption = Annotated[
    str | None,
    typer.Option(
        "--at",
        metavar="NODE",
        show_default=False,
        help="A running node to ask: id of a sentinel, address of an agent, or a path; else the sentinel attached to.",
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
    at: AtOption = None,
    timeout: TimeoutOption = None,
    url: UrlOption = None,
    config: ConfigOption = None,
    node: NodeOption = None,
    debug: DebugOption = False,
) -> None:
    """List messages of a node, those that have been kept longest first.

    Without --storage, --config of a node that has one, or FAME_STORAGE_PATH
    the sentinel attached to is asked, or the running node of --at.

    fame mail ls --at math1@fame.fabric --box dead
    fame mail ls --storage math1.db --address 'math*@fame.fabric'
    """
    most = limit if limit is not None else MOST if form is OutputFormat.text else 0
    where = Where(storage, at, Flags(url, config, timeout, node=node, admin=True))
    asyncio.run(_list(invocation_of(ctx), where, box, address, most, form))


async def _list(
    invocation: Invocation, where: Where, box: Box | None, address: str | None, most: int, form: OutputFormat
) -> None:
    async with postbox.opened(invocation, where) as letters:
        found = await letters.find(box=box, address=address, most=most + 1 if most else 0)
    listed = found[:most] if most else found
    tables.show(TITLES, [_row(each) for each in listed], [document(each) for each in listed], form)
    if len(listed) < len(found):
        count = f"{len(listed)} of {len(found)}" if letters.counts else f"the first {len(listed)}"
        output.note(f"{count} messages; all of them: --limit 0")
    elif not found:
        fitting = "" if box is None and address is None else "such "
        output.note(f"no {fitting}messages in {letters.place}")


def _row(letter: Letter) -> Sequence[object]:
    return (
        letter.id,
        box_of(letter),
        letter.address,
        letter.sender,
        tables.duration(letter.age_s),
        letter.attempts,
        letter.bytes,
        letter.reason,
    )


@app.command()
def show(
    ctx: typer.Context,
    id: Annotated[str, typer.Argument(metavar="ID", show_default=False, help="Id of a message, or how it begins.")],
    box: BoxOption = None,
    form: FormatOption = OutputFormat.text,
    storage: StorageOption = None,
    at: AtOption = None,
    timeout: TimeoutOption = None,
    url: UrlOption = None,
    config: ConfigOption = None,
    node: NodeOption = None,
    debug: DebugOption = False,
) -> None:
    """Show one message: its payload, and what is known of it.

    fame mail show 5kQ --storage math1.db
    """
    where = Where(storage, at, Flags(url, config, timeout, node=node, admin=True))
    asyncio.run(_show(invocation_of(ctx), where, id, box, form))


async def _show(invocation: Invocation, where: Where, id: str, box: Box | None, form: OutputFormat) -> None:
    async with postbox.opened(invocation, where) as letters:
        letter = await letters.one(id, box=box)
        payload = await letters.payload(letter)
    told = document(letter)
    if form is not OutputFormat.text:
        output.result({**told, "payload": payload}, form)
        return
    for name in ("stored_at", "expires_at"):
        told[name] = moment(told[name]) if told[name] else ""
    for line in tables.lines_of(["FIELD", "VALUE"], [[name, value] for name, value in told.items()]):
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
    at: AtOption = None,
    timeout: TimeoutOption = None,
    url: UrlOption = None,
    config: ConfigOption = None,
    node: NodeOption = None,
    debug: DebugOption = False,
) -> None:
    """Put dead letters back where they were given up: they are tried as new ones.

    fame mail retry 5kQ --at math1@fame.fabric
    fame mail retry --all --address 'math*@fame.fabric' --config math1.yaml
    """
    _check(ids, all_of_them, None, address)
    where = Where(storage, at, Flags(url, config, timeout, node=node, admin=True))
    asyncio.run(_retry(invocation_of(ctx), where, ids or [], address))


async def _retry(invocation: Invocation, where: Where, ids: Sequence[str], address: str | None) -> None:
    async with postbox.opened(invocation, where) as letters:
        chosen = await letters.chosen(ids, box=Box.dead, address=address)
        done = await letters.retry(chosen)
    _tell(chosen, done, letters.reason, *letters.retried)


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
    at: AtOption = None,
    timeout: TimeoutOption = None,
    url: UrlOption = None,
    config: ConfigOption = None,
    node: NodeOption = None,
    debug: DebugOption = False,
) -> None:
    """Remove messages for good.

    fame mail drop 5kQ 7bX --storage math1.db
    fame mail drop --all --at s1
    """
    _check(ids, all_of_them, box, address)
    chosen_box = Box.dead if all_of_them and box is None else box
    where = Where(storage, at, Flags(url, config, timeout, node=node, admin=True))
    asyncio.run(_drop(invocation_of(ctx), where, ids or [], chosen_box, address))


async def _drop(invocation: Invocation, where: Where, ids: Sequence[str], box: Box | None, address: str | None) -> None:
    async with postbox.opened(invocation, where) as letters:
        chosen = await letters.chosen(ids, box=box, address=address)
        done = await letters.drop(chosen)
    _tell(chosen, done, letters.reason, "is gone", "are gone")


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


def _tell(chosen: Sequence[Letter], done: Sequence[Letter], reason: str, one: str, several: str) -> None:
    """Say what has become of messages.

    Raises:
        FameError: some are as they were.
    """
    if len(done) == 1:
        output.note(f"{done[0].id} {one}")
    elif done:
        output.note(f"{len(done)} messages {several}")
    elif not chosen:
        output.note("no such messages: nothing has changed")
    left = len(chosen) - len(done)
    if left:
        why = reason or "they are on their way, or gone already"
        raise FameError(f"{left} of {len(chosen)} messages unchanged: {why}")
