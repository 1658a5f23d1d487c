"""The work of ``fame send``: a message leaves, and where it is durable somebody else answers for it in the end."""

import asyncio
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fame_cli.cli import output
from fame_cli.cli.arguments import CallWords, build_arguments, parse_message, parse_words
from fame_cli.cli.clients import CallingClient
from fame_cli.cli.invocation import Invocation
from fame_cli.cli.output import OutputFormat
from fame_cli.cli.session import Callee, ClientSettings, Flags, attached, client_settings, schema_of
from fame_cli.core.message import OUT, Message
from fame_cli.errors import ConnectError, DeadlineExceeded, FameError, LinkLost, NoRoute

__all__ = ["Letter", "run"]

SENT, DELIVERED, KEPT = "sent", "delivered", "kept"
"""What has become of a message: it has left, once; somebody else answers for it; it is in a file of ours."""


@dataclass(slots=True, frozen=True)
class Letter:
    """Hold what a command line says of a message.

    Args:
        address: whom it is for.
        words: its payload or, with an `operation`, its arguments.
        json_text: an object of them.
        operation: that is to run, "" for none.
    """

    address: str
    words: list[str]
    json_text: str | None = None
    operation: str = ""


def run(invocation: Invocation, flags: Flags, letter: Letter, form: OutputFormat) -> None:
    """Send a message, and wait until somebody else answers for it if it is a durable one.

    Raises:
        FameError: it hasn't gone, and nobody keeps it.
    """
    asyncio.run(_run(invocation, flags, letter, _read(letter), form))


def _read(letter: Letter) -> object:
    """Return the payload, or the words of an operation.

    Raises:
        UsageError: a word is wrong.
    """
    if letter.operation:
        words = [letter.address, letter.operation, *letter.words]
        return parse_words(words, letter.json_text, verb="send", stdin=sys.stdin)
    return parse_message(letter.address, letter.words, letter.json_text, stdin=sys.stdin)


async def _run(invocation: Invocation, flags: Flags, letter: Letter, read: object, form: OutputFormat) -> None:
    settings = client_settings(invocation, flags)[0]
    try:
        async with attached(invocation, flags) as client:
            payload = await _payload(client, letter, read)
            message_id, state = await _send(client, flags, letter, payload)
    except ConnectError as error:
        if settings.storage is None or _is_sealed(settings):
            raise
        payload = build_arguments(read, None) if isinstance(read, CallWords) else read
        message_id, state = _keep(settings, settings.storage, letter, payload), KEPT
        output.note(_kept(message_id, settings.storage, error))
    if form is not OutputFormat.text:
        output.result({"id": message_id or None, "address": letter.address, "state": state}, form)


def _is_sealed(settings: ClientSettings) -> bool:
    """Tell whether messages are sealed, each for one try, so that none can be kept."""
    security = settings.security
    return security is not None and security.profile == "strict-overlay" and security.encryption == "sealed"


async def _payload(client: CallingClient, letter: Letter, read: object) -> object:
    if not isinstance(read, CallWords):
        return read
    try:
        schema = await schema_of(client, Callee(letter.address), read)
    except (NoRoute, LinkLost, DeadlineExceeded):
        output.note(
            f"{letter.address} is away and can't be asked for types: values that read as JSON are taken as such"
        )
        schema = None
    return build_arguments(read, schema)


async def _send(client: CallingClient, flags: Flags, letter: Letter, payload: Any) -> tuple[str, str]:
    """Send a message; return its id, if it is a durable one, and what has become of it.

    Raises:
        FameError: see `run`.
    """
    message_id = await client.send(letter.address, payload, operation=letter.operation, durable=flags.durable)
    if not message_id:
        return "", SENT
    try:
        await client.delivered(message_id)
    except DeadlineExceeded as error:
        if client.storage is not None:
            output.note(_kept(message_id, client.storage, error.last or error))
            return message_id, KEPT
        if isinstance(error.last, NoRoute):
            raise NoRoute(error.message, hint=error.hint) from error
        raise
    except FameError:
        if client.storage is not None:
            output.note(f"{message_id} is a dead letter in {client.storage}")
        raise
    if flags.verbose:
        output.note(f"{message_id} was acknowledged: somebody else answers for it now")
    left = await client.calm() if client.storage is not None else 0
    if left:
        waits = "earlier message still waits" if left == 1 else "earlier messages still wait"
        output.note(f"{left} {waits} in {client.storage}")
    return message_id, DELIVERED


def _keep(settings: ClientSettings, path: Path, letter: Letter, payload: object) -> str:
    """Put a message where the next client with this file takes it up.

    Raises:
        FameError: the file can't be used or written.
    """
    from fame_cli.node.clock import new_id  # here and below, because nearly always there is a sentinel
    from fame_cli.node.sending import message_payload
    from fame_cli.store.database import Database
    from fame_cli.store.medium import Put

    now, most_s = time.time(), settings.delivery.max_age_s
    data = message_payload(payload, letter.operation, new_id())
    message = Message(
        id=new_id(),
        box=OUT,
        address=letter.address,
        payload=data,
        stored_at=now,
        expires_at=now + most_s if most_s else 0.0,
    )
    database = Database(path)
    try:
        database.apply([Put(message)])
    finally:
        database.close()
    return message.id


def _kept(message_id: str, path: Path, error: FameError) -> str:
    return f"{message_id} stays in {path}, and goes out with the next `fame send` that uses it: {error.message}"
