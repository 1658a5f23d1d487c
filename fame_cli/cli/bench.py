"""``fame bench``: load on an agent of a running fabric, and how the fabric bears it.

The load itself is `node/load.py`. This module reads the options, attaches the clients, and shows the figures: on the
way as one line on stderr, for terminals only, in the end as a report on stdout. Ctrl-C ends the load, not the report.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any

import typer

from fame_cli.cli import output
from fame_cli.cli.answers import Described, Name, asked_all, asked_graph, read
from fame_cli.cli.arguments import CallWords, parse_words
from fame_cli.cli.bench_report import Progress, Report, document_of, lines_of
from fame_cli.cli.clients import CallingClient, Stream
from fame_cli.cli.interrupts import until_interrupted
from fame_cli.cli.options import (
    CapabilityOption,
    ConfigOption,
    DebugOption,
    FormatOption,
    Invocation,
    JsonOption,
    TimeoutOption,
    UrlOption,
    invocation_of,
)
from fame_cli.cli.output import OutputFormat, Span
from fame_cli.cli.pinging import PING
from fame_cli.cli.places import address_of
from fame_cli.cli.session import Callee, Flags, ask, attached_many, check_callee, choose_callee, listed
from fame_cli.errors import CallCancelled, FameError, UsageError
from fame_cli.node.load import Load, Plan, Work, calling, streaming
from fame_cli.node.loop import open_files, run

__all__ = ["bench"]

IN_FLIGHT = 64
DURATION_S = 5.0
SHOW_EVERY_S = 0.2
"""Seconds between two looks of the progress: one costs 0.2 ms (timeit), in which no call moves on."""

OTHER_FILES = 64
"""Files this process has open for other things than links."""

BUSY = 0.9
"""From which part of a core on the client itself is likely the limit."""


def _seconds(value: float) -> float:
    if not 0 <= value <= 86_400:
        raise typer.BadParameter(f"{value:.12g} is not a time: give seconds, up to 86400")
    return value


def _above_zero(value: float | None) -> float | None:
    if value is not None and not 0 < value <= 1e6:
        raise typer.BadParameter(f"{value:.12g} is out of range: give a number above 0, up to 1000000")
    return value


BenchWordsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="WORDS",
        show_default=False,
        help="As for `fame call`: an address, the operation, its arguments; an address or a sentinel's id alone means "
        "agent.ping.",
    ),
]
ConcurrencyOption = Annotated[
    int | None,
    typer.Option(
        "-c",
        "--concurrency",
        metavar="COUNT",
        min=1,
        max=100_000,
        show_default=False,
        help="Most calls in flight, of all clients together [64; a stream: 1].",
    ),
]
CallsOption = Annotated[
    int | None,
    typer.Option(
        "-n",
        "--calls",
        metavar="COUNT",
        min=1,
        max=1_000_000_000,
        show_default=False,
        help="How many calls or streams.",
    ),
]
DurationOption = Annotated[
    float | None,
    typer.Option(
        "-d",
        "--duration",
        metavar="SECONDS",
        show_default=False,
        callback=_above_zero,
        help="How long calls are started [5, without --calls].",
    ),
]
RateOption = Annotated[
    float | None,
    typer.Option(
        "-r",
        "--rate",
        metavar="PER_SECOND",
        show_default=False,
        callback=_above_zero,
        help="Start so many a second, evenly; a late start counts as latency.",
    ),
]
ClientsOption = Annotated[
    int, typer.Option("--clients", metavar="COUNT", min=1, max=10_000, help="Attached clients that share the load.")
]
WarmUpOption = Annotated[
    float, typer.Option("--warm-up", metavar="SECONDS", callback=_seconds, help="Load that long before measuring.")
]
StreamOption = Annotated[bool, typer.Option("--stream", help="Read streams, and count their items.")]


@dataclass(frozen=True, slots=True)
class _Order:
    """Hold what was asked for; `request` is None when nobody was named."""

    request: CallWords | None
    capabilities: tuple[str, ...]
    plan: Plan
    clients: int
    warm_up_s: float
    stream: bool
    form: OutputFormat


@dataclass(slots=True)
class _Received:
    """Count the bytes of the envelopes that come in."""

    size_bytes: int = 0

    def __call__(self, direction: str, data: bytes, at_s: float) -> None:
        if direction == "in":
            self.size_bytes += len(data)


@dataclass(frozen=True, slots=True)
class _Aim:
    """Hold what is called."""

    callee: Callee
    operation: str
    params: dict[str, Any]
    timeout_s: float | None

    def call(self, client: CallingClient) -> Callable[[], Awaitable[object]]:
        """Return what makes one call."""
        address, asked_for = self.callee.address, self.callee.asked_for
        return partial(
            client.request, address, self.operation, self.params, timeout_s=self.timeout_s, capabilities=asked_for
        )

    def stream(self, client: CallingClient) -> Callable[[], Stream]:
        """Return what opens one stream."""
        address, asked_for = self.callee.address, self.callee.asked_for
        return partial(
            client.open_stream, address, self.operation, self.params, timeout_s=self.timeout_s, capabilities=asked_for
        )


def bench(
    ctx: typer.Context,
    words: BenchWordsArgument = None,
    concurrency: ConcurrencyOption = None,
    calls: CallsOption = None,
    duration: DurationOption = None,
    rate: RateOption = None,
    clients: ClientsOption = 1,
    warm_up: WarmUpOption = 0.0,
    stream: StreamOption = False,
    json_text: JsonOption = None,
    capability: CapabilityOption = None,
    timeout: TimeoutOption = None,
    form: FormatOption = OutputFormat.text,
    url: UrlOption = None,
    config: ConfigOption = None,
    debug: DebugOption = False,
) -> None:
    """Measure calls or streams under load: how many a second, and how long each takes.

    One call goes ahead and isn't counted; it must be answered. With --rate
    the load doesn't wait for answers, so a fabric that stands still shows it.
    The exit code is 0 if all calls were answered, else that of the commonest
    error; 130 after Ctrl-C, which ends the load and shows what there is.

    fame bench math1@fame.fabric
    fame bench math1@fame.fabric add x=3 y=4 -c 256 -d 10
    fame bench add x=3 y=4 --rate 1000 --warm-up 1
    fame bench math2@fame.fabric fib_stream n=10000 --stream -n 5
    """
    in_flight = concurrency or max(1 if stream else IN_FLIGHT, clients)
    if in_flight < clients:
        raise UsageError(f"{clients} clients share {in_flight} calls in flight", hint=f"say -c {clients}, or more")
    if duration is None and calls is None:
        duration = DURATION_S
    order = _Order(
        _request(words or (), json_text, capability or ()),
        tuple(capability or ()),
        Plan(in_flight, calls, duration, rate),
        clients,
        warm_up,
        stream,
        form,
    )
    code = run(_bench(invocation_of(ctx), Flags(url, config, timeout), order))
    if code:
        raise typer.Exit(code)


def _request(words: Sequence[str], json_text: str | None, capabilities: Sequence[str]) -> CallWords | None:
    """Read the words; an address, or capabilities, without an operation are for `PING`."""
    if len(words) == 1 and "@" in words[0] and "=" not in words[0]:
        words = [*words, PING]
    if not words and not capabilities:
        return None
    request = parse_words(words or [PING], json_text, verb="bench", stdin=sys.stdin)
    check_callee(request, capabilities)
    return request


async def _bench(invocation: Invocation, flags: Flags, order: _Order) -> int:
    """Attach, try, load and report; return the exit code."""
    _make_room(order.clients)
    received = _Received() if order.stream else None
    async with attached_many(invocation, flags, order.clients, received) as clients:
        if order.request is None:
            raise await _nobody_named(clients[0])
        request = await _meant(clients[0], order.request, order.capabilities)
        callee = await choose_callee(clients[0], request, order.capabilities, verb="bench")
        async with ask(clients[0], callee, request) as params:
            aim = _Aim(callee, request.operation, params, flags.timeout_s)
            await (_first_item(aim.stream(clients[0])) if order.stream else aim.call(clients[0])())
        if not order.stream:
            await _say_if_stream(clients[0], callee, request.operation)
        works = [streaming(aim.stream(each)) if order.stream else calling(aim.call(each)) for each in clients]
        report = await _loaded(works, order, aim, received, invocation)
        _show(report, order.form)
    if report.interrupted:
        return CallCancelled.exit_code
    failure = report.tally.commonest()
    return 0 if failure is None else failure.exit_code


def _make_room(clients: int) -> None:
    """Let this process have a socket for each client.

    Raises:
        UsageError: the system doesn't.
    """
    files = open_files(clients + OTHER_FILES)
    if files < clients + OTHER_FILES:
        raise UsageError(
            f"{clients} clients need {clients + OTHER_FILES} open files, and the system lets this process have {files}",
            hint=f"say --clients {max(files - OTHER_FILES, 1)}, or raise the limit (ulimit -Hn)",
        )


async def _meant(client: CallingClient, request: CallWords, capabilities: Sequence[str]) -> CallWords:
    """Return what is to be called: a word alone that is no operation but the id of a sentinel is that one's ping."""
    word = request.operation
    if request.target or request.arguments or request.document or capabilities or await client.lookup(word):
        return request
    if word not in {each.node for each in (await asked_graph(client)).sentinels}:
        return request
    return replace(request, target=await address_of(client, word), operation=PING)


async def _say_if_stream(client: CallingClient, callee: Callee, operation: str) -> None:
    """Say of an operation that yields a stream how much of it a call takes."""
    if callee.address is None or operation == PING:
        return
    try:
        described = read(await client.describe(callee.address), Described, f"{callee} described itself")
    except FameError:  # of another make
        return
    if any(each.name == operation and each.streaming for each in described.operations):
        output.note(f"{operation} yields a stream, of which a call takes the first item; add --stream to read them all")


async def _nobody_named(client: CallingClient) -> UsageError:
    names = sorted({name.address for name in await asked_all(client, "fabric.names", Name)})
    if not names:
        return UsageError("nothing to measure: no agent is attached", hint="start one: fame agent --config math1.yaml")
    return UsageError(
        f"say what to measure; there is: {listed(names)}", hint=f"e.g. fame bench {names[0]} [OPERATION NAME=VALUE …]"
    )


async def _first_item(open_stream: Callable[[], Stream]) -> None:
    async with aclosing(open_stream()) as items:
        async for _ in items:
            return


async def _loaded(
    works: Sequence[Work], order: _Order, aim: _Aim, received: _Received | None, invocation: Invocation
) -> Report:
    """Load the fabric until there was enough of it, or Ctrl-C."""
    clock = invocation.clock
    load = Load(works, order.plan, clock=clock)
    before_bytes, before_s = 0, 0.0  # as they stay when Ctrl-C ends the warm-up, and all of it with it
    quiet = nullcontext(None) if order.form is not OutputFormat.text else output.live_line()
    with quiet as say, until_interrupted() as interrupted:
        if order.warm_up_s:
            plan = replace(order.plan, calls=None, duration_s=order.warm_up_s)
            first = Load(works, plan, clock=clock)
            with _progress(say, Progress(first, plan, "warm-up", streams=order.stream, clock=clock)):
                await first.run()
        before_bytes, before_s = received.size_bytes if received else 0, invocation.cpu_clock()
        with _progress(say, Progress(load, order.plan, "", streams=order.stream, clock=clock)):
            await load.run()
    elapsed_s = load.tally.elapsed_s(0.0)
    return Report(
        str(aim.callee),
        aim.operation,
        order.plan,
        order.clients,
        load.tally,
        received.size_bytes - before_bytes if received else None,
        (invocation.cpu_clock() - before_s) / elapsed_s if elapsed_s else 0.0,
        interrupted.is_set(),
    )


@contextmanager
def _progress(say: Callable[[Sequence[Span]], None] | None, progress: Progress) -> Iterator[None]:
    """Say during the block how the load is getting on; by timer, because a task more could only be in the way."""
    if say is None:
        yield
        return
    loop = asyncio.get_running_loop()
    timers: list[asyncio.TimerHandle] = []

    def draw() -> None:
        timers[:] = [loop.call_later(SHOW_EVERY_S, draw)]
        say(progress.line())

    timers.append(loop.call_later(SHOW_EVERY_S, draw))
    try:
        yield
    finally:
        timers[0].cancel()


def _show(report: Report, form: OutputFormat) -> None:
    if form is OutputFormat.text:
        for line in lines_of(report):
            output.styled(line)
        output.flush()
    else:
        output.result(document_of(report), form)
    failure, failed = report.tally.commonest(), report.tally.failed
    if failure is not None:
        output.error(f"{failed} of {report.tally.started} calls failed, most of them so: {failure}")
    if report.busy >= BUSY:
        output.note("this process was busy all the time: more than the fabric it may have measured itself")
