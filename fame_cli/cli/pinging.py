"""The work of ``fame ping``: call after call to one place, each with its round trip, and a summary in the end.

An answer is an answer, an error of the agent included: it has come there and back. Ctrl-C ends the calls and not the
summary.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count as numbers
from statistics import median

from fame_cli.cli import output
from fame_cli.cli.clients import CallingClient
from fame_cli.cli.given import Given
from fame_cli.cli.interrupts import until_interrupted
from fame_cli.cli.invocation import Invocation
from fame_cli.cli.output import OutputFormat
from fame_cli.cli.places import address_of, check_place
from fame_cli.cli.session import METHOD_NOT_FOUND, Flags, advised, attached
from fame_cli.errors import CallCancelled, DeadlineExceeded, FameError, LinkLost, NoRoute, RemoteError

__all__ = ["PING", "run"]

PING = "agent.ping"
"""The operation every agent of ours has; others answer that they have no such one, which is as good."""

LOSSES = (DeadlineExceeded, LinkLost, NoRoute)
"""What may be over by the next call."""


def run(invocation: Invocation, given: Given) -> int:
    """Measure the round trip to the place that the one word names, again and again.

    Returns:
        The exit code: 0 if any call was answered, else that of the last failure.
    """
    (word,) = given.words
    check_place(word)
    tally = asyncio.run(_ping(invocation, given, word))
    return 0 if tally.times_ms else (tally.failure or CallCancelled("interrupted")).exit_code


@dataclass(slots=True)
class Tally:
    """Count what became of the calls, and say so.

    Args:
        address: whom they are for.
        form: how each is written: ``json`` writes one document in the end.
        times_ms: of those that were answered.
        lost: how many weren't.
        failure: what became of the last of those.
    """

    address: str
    form: OutputFormat
    times_ms: list[float] = field(default_factory=list)
    lost: int = 0
    failure: FameError | None = None
    _answers: list[dict[str, object]] = field(default_factory=list)

    def answered(self, number: int, time_ms: float, error: str = "") -> None:
        """Take an answer; `error` is what the agent said instead of a result."""
        self.times_ms.append(time_ms)
        told = f" ({error})" if error else ""
        self._say(
            {"seq": number, "time_ms": round(time_ms, 3)} | ({"error": error} if error else {}),
            output.harmless(f"answer from {self.address}: seq={number} time={time_ms:.3f} ms{told}"),
        )

    def failed(self, number: int, failure: FameError) -> None:
        """Take a call that wasn't answered."""
        self.lost += 1
        self.failure = failure
        output.error(f"seq={number}: {advised(failure) if isinstance(failure, NoRoute) else failure}")
        self._say({"seq": number, "error": failure.message}, "")

    def _say(self, document: dict[str, object], line: str) -> None:
        match self.form:
            case OutputFormat.json:
                self._answers.append(document)
            case OutputFormat.ndjson:
                output.result(document, self.form)
            case _ if line:
                output.data(line)
                output.flush()

    def sum_up(self) -> None:
        """Print the totals."""
        if self.form is OutputFormat.text:
            for line in self._summary():
                output.data(line)
            output.flush()
            return
        times = sorted(self.times_ms)
        totals: dict[str, object] = {
            "address": self.address,
            "sent": len(times) + self.lost,
            "answered": len(times),
            "min_ms": round(times[0], 3) if times else None,
            "median_ms": round(median(times), 3) if times else None,
            "max_ms": round(times[-1], 3) if times else None,
        }
        output.result(totals | ({"calls": self._answers} if self.form is OutputFormat.json else {}), self.form)

    def _summary(self) -> Iterator[str]:
        times, sent = sorted(self.times_ms), len(self.times_ms) + self.lost
        loss = f", {100 * self.lost / sent:.0f}% lost" if sent else ""
        yield f"{sent} sent, {len(times)} answered{loss}"
        if times:
            yield f"round trip min/median/max {times[0]:.3f}/{median(times):.3f}/{times[-1]:.3f} ms"


async def _ping(invocation: Invocation, given: Given, word: str) -> Tally:
    async with attached(invocation, Flags.of(given)) as client:
        tally = Tally(await address_of(client, word), given.form)
        with until_interrupted():
            await _rounds(client, tally, invocation.clock, given.count, given.interval)
        tally.sum_up()
    return tally


async def _rounds(
    client: CallingClient, tally: Tally, clock: Callable[[], float], count: int | None, interval_s: float
) -> None:
    for number in numbers(1):
        started = clock()
        try:
            await client.request(tally.address, PING, {"kwargs": {}})
            tally.answered(number, 1000 * (clock() - started))
        except RemoteError as error:
            told = "" if error.code == METHOD_NOT_FOUND else error.message
            tally.answered(number, 1000 * (clock() - started), told)
        except LOSSES as failure:
            tally.failed(number, failure)
        if number == count:
            return
        await asyncio.sleep(max(0.0, interval_s - (clock() - started)))
