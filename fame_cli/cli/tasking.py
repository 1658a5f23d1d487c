"""The work of ``fame task``: the result on stdout, how it gets on stderr.

``run`` answers for what it has started: broken off by Ctrl-C, or left by its reader, it cancels the task; where that is
out of reach it says how to find it again. ``watch`` only looks.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from fame_cli.cli import output, reader, tables
from fame_cli.cli.arguments import CallWords, build_params, parse_words, shown
from fame_cli.cli.clients import CallingClient
from fame_cli.cli.interrupts import until_interrupted
from fame_cli.cli.invocation import Invocation
from fame_cli.cli.likeness import alike
from fame_cli.cli.output import OutputFormat
from fame_cli.cli.session import METHOD_NOT_FOUND, Flags, advised, attached, with_place
from fame_cli.cli.task_progress import following
from fame_cli.core import address as addresses
from fame_cli.errors import CallCancelled, FameError, NoRoute, RemoteError, RemoteProtocolError, UsageError
from fame_cli.node import task_calls
from fame_cli.node.clock import new_id
from fame_cli.node.task_wire import LIST, NOT_FOUND, TaskEvent, TaskReport, read_task

__all__ = ["Order", "answer_task", "cancel_task", "get_task", "list_tasks", "run_task", "watch_task"]

CANCEL_S = 5.0
"""Seconds that cancelling may take after Ctrl-C."""


@dataclass(slots=True, frozen=True)
class Order:
    """Hold what a command line says of a task to start or to answer.

    Args:
        words: the task's name, if it is given, and arguments.
        json_text: all arguments as a JSON object.
        text: one text in place of arguments.
        task_id: "" for a fresh one.
        detach: whether to leave once it is started.
    """

    address: str
    words: list[str]
    json_text: str | None = None
    text: str | None = None
    task_id: str = ""
    detach: bool = False
    form: OutputFormat = OutputFormat.text


def run_task(invocation: Invocation, flags: Flags, order: Order) -> None:
    """Start a task and, unless detached, follow it to its result.

    Raises:
        FameError: it didn't come to a result.
    """
    name, words = _words(order)
    asyncio.run(_run(invocation, flags, order, name, words))


async def _run(invocation: Invocation, flags: Flags, order: Order, name: str, words: CallWords) -> None:
    async with _asking(invocation, flags, order.address) as client:
        payload = await _payload(client, order, name, words)
        task_id = order.task_id or new_id()
        if order.detach:
            started = await _start(client, order, task_id, name, payload)
            output.result(started.id if order.form is OutputFormat.text else _document(started), order.form)
            return
        with until_interrupted() as interrupted:
            try:
                await _start(client, order, task_id, name, payload)
                await _follow(client, order.address, task_id, order.form)
            except output.ReaderGone:
                await _cancel(client, order.address, task_id)
                raise
        if interrupted.is_set():
            await _cancel(client, order.address, task_id)
            raise CallCancelled(f"{task_id} was cancelled")


async def _start(client: CallingClient, order: Order, task_id: str, name: str, payload: Any) -> TaskReport:
    try:
        return await task_calls.start_task(client, order.address, payload, name=name, task_id=task_id)
    except RemoteError as error:
        names = error.data.get("tasks") if isinstance(error.data, Mapping) else None
        if not isinstance(names, list) or not names:
            raise
        known = ", ".join(str(each) for each in names)
        if not name:
            hint = f"name one: fame task run {order.address} {names[0]} …"
            raise UsageError(f"{order.address} has several tasks: {known}", hint=hint) from error
        near = alike(name, [str(each) for each in names])
        guess = f"did you mean {near[0]}? " if near else ""
        raise UsageError(f"{order.address} has no task {shown(name)}", hint=f"{guess}there is: {known}") from error


async def _cancel(client: CallingClient, address: str, task_id: str) -> None:
    """Cancel what was broken off.

    Raises:
        CallCancelled: it may still run.
    """
    try:
        async with asyncio.timeout(CANCEL_S):
            await task_calls.cancel_task(client, address, task_id)
    except (FameError, TimeoutError) as error:
        if isinstance(error, RemoteError) and error.code == NOT_FOUND:
            return  # Ctrl-C was quicker than the task
        why = str(error) or f"no answer within {CANCEL_S:g} s"
        hint = f"it may still run: fame task cancel {address} {task_id}"
        raise CallCancelled(f"{task_id} could not be cancelled: {why}", hint=hint) from error


def watch_task(invocation: Invocation, flags: Flags, address: str, task_id: str, form: OutputFormat) -> None:
    """Follow a task to its result."""

    async def watch() -> None:
        async with _asking(invocation, flags, address) as client:
            await _follow(client, address, task_id, form)

    asyncio.run(watch())


async def _follow(client: CallingClient, address: str, task_id: str, form: OutputFormat) -> None:
    """Show what a task tells until it is over, and print its result.

    Raises:
        FameError: it failed, was cancelled, or can't be reached any more; then with how to find it again.
    """
    last = TaskEvent(task_id)
    try:
        with following(address, task_id, form) as tell:
            async with aclosing(task_calls.watch_task(client, address, task_id)) as events:
                with reader.until_reader_leaves():
                    async for event in events:
                        last = event
                        tell(event)
    except RemoteError:
        raise
    except FameError as error:
        if last.state or last.is_update:
            error.hint = f"it may still run: fame task watch {address} {task_id}"
        raise
    match last.state:
        case "failed":
            raise RemoteError(f"{address} {task_id} failed: {last.value or 'without a word'}")
        case "canceled":
            raise CallCancelled(f"{address} {task_id} was cancelled")
    if form is not OutputFormat.ndjson:
        output.result(last.value, form)


def get_task(invocation: Invocation, flags: Flags, address: str, task_id: str, form: OutputFormat) -> None:
    """Print how a task stands."""

    async def get() -> None:
        async with _asking(invocation, flags, address) as client:
            report = await task_calls.get_task(client, address, task_id)
        _show(report, form)

    asyncio.run(get())


def answer_task(invocation: Invocation, flags: Flags, order: Order) -> None:
    """Answer a task that asks."""
    words = parse_words([order.address, "answer", *order.words], order.json_text, verb="task answer", stdin=sys.stdin)

    async def answer() -> None:
        payload = _given(order, build_params(words, None))
        async with _asking(invocation, flags, order.address) as client:
            report = await task_calls.get_task(client, order.address, order.task_id)
            if report.state != "input-required":
                raise UsageError(f"{order.task_id} is {report.state} and asks nothing")
            answered = await task_calls.start_task(
                client, order.address, payload, name=report.name, task_id=order.task_id
            )
        _show(answered, order.form)

    asyncio.run(answer())


def cancel_task(invocation: Invocation, flags: Flags, address: str, task_id: str, form: OutputFormat) -> None:
    """Cancel a task."""

    async def cancel() -> None:
        async with _asking(invocation, flags, address) as client:
            report = await task_calls.cancel_task(client, address, task_id)
        if form is OutputFormat.text:
            output.note(f"{task_id} is {report.state}")
        else:
            output.result(_document(report), form)

    asyncio.run(cancel())


def list_tasks(invocation: Invocation, flags: Flags, address: str, form: OutputFormat) -> None:
    """Print the tasks an agent knows."""

    async def fetch() -> list[TaskReport]:
        async with _asking(invocation, flags, address) as client:
            found = await client.request(address, LIST, {"kwargs": {}})
        return [read_task(each) for each in found] if isinstance(found, list) else []

    reports = asyncio.run(fetch())
    if not reports and form is OutputFormat.text:
        output.note(f"{address} knows of no task")
        return
    rows = [[each.id, each.name, each.state, each.since] for each in reports]
    documents = [{"id": each.id, "name": each.name, "state": each.state, "since": each.since} for each in reports]
    tables.show(["ID", "TASK", "STATE", "SINCE"], rows, documents, form)


@asynccontextmanager
async def _asking(invocation: Invocation, flags: Flags, address: str) -> AsyncIterator[CallingClient]:
    """Attach a client for the block, and say clearly what the agent had against it."""
    try:
        addresses.parse(address)
    except RemoteProtocolError as error:
        hint = "write NAME@DOMAIN, e.g. math1@fame.fabric"
        raise UsageError(f"{shown(address)} is not an address", hint=hint) from error
    async with attached(invocation, flags) as client:
        try:
            yield client
        except RemoteError as error:
            if error.code == METHOD_NOT_FOUND:
                raise RemoteError(
                    f"{address} has no tasks", code=error.code, hint=f"see what it has: fame describe {address}"
                ) from error
            if address in error.message:
                raise
            raise with_place(address, "task", _plain(error)) from error
        except NoRoute as error:
            raise advised(error, "check the address; is its agent running and attached?") from error


def _plain(error: RemoteError) -> RemoteError:
    """Say what a Naylence agent says of an error, which is in its data."""
    if error.message == "Internal error" and isinstance(error.data, str):
        return RemoteError(error.data, code=error.code)
    return error


# What is given


def _words(order: Order) -> tuple[str, CallWords]:
    """Return the name of the task, "" for the only one, and the arguments."""
    named = bool(order.words) and "=" not in order.words[0]
    name, rest = (order.words[0], order.words[1:]) if named else ("", order.words)
    words = parse_words([order.address, name or "task", *rest], order.json_text, verb="task run", stdin=sys.stdin)
    if order.text is not None and (words.arguments or words.document is not None):
        raise UsageError("--text and arguments exclude each other", hint="leave one of them out")
    return name, words


async def _payload(client: CallingClient, order: Order, name: str, words: CallWords) -> Any:
    schema = await _schema(client, order.address, name) if words.needs_schema else None
    return _given(order, build_params(replace(words, operation=name or "the task"), schema))


def _given(order: Order, params: dict[str, Any]) -> Any:
    """Return what a task is given: the text, else the arguments, which are an object by themselves here."""
    if order.text is not None:
        return order.text
    return params["kwargs"] if params.keys() == {"args", "kwargs"} else params


async def _schema(client: CallingClient, address: str, name: str) -> Mapping[str, Any] | None:
    """Return the schema of a task's arguments; None for an agent that doesn't tell."""
    try:
        described = await client.describe(address)
    except RemoteError:  # of another make
        return None
    tasks = described.get("tasks") if isinstance(described, Mapping) else None
    known = [each for each in tasks if isinstance(each, Mapping)] if isinstance(tasks, list) else []
    for task in known:
        if task.get("name") == name or (not name and len(known) == 1):
            schema = task.get("schema")
            return schema if isinstance(schema, Mapping) else None
    return None


# What is shown


def _document(report: TaskReport) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(report)
    return document


def _show(report: TaskReport, form: OutputFormat) -> None:
    if form is not OutputFormat.text:
        output.result(_document(report), form)
        return
    names = {"completed": "result", "failed": "error", "input-required": "asks"}
    facts = {"id": report.id, "task": report.name, "state": report.state, "since": report.since}
    if report.updates:
        facts["told"] = output.render(report.updates[-1], form, one_line=True)
    if report.state in names:
        facts[names[report.state]] = output.render(report.value, form, one_line=True)
    for key, value in facts.items():
        if value:
            output.data(output.harmless(f"{key:<7} {value}"))
    output.flush()
