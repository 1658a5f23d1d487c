"""One round of one contender: start its chain, warm it up, take every measure, stop it."""

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from chain import Broken, Chain, Process, busy_s
from contenders.contender import Contender
from load import ITEM_BYTES

__all__ = ["FULL", "QUICK", "Plan", "Round", "measure"]

REACHED_S = 30.0
"""Seconds from the start of a client until a call has come through; it gives up by itself after 20."""


LEAST_WARM_CALLS = 100
LEAST_ITEMS = 20


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured in a round.

    Attributes:
        warm_calls: calls before the first measure.
        seconds_1, seconds_64, seconds_256: of the closed loops.
        seconds_half: of the open loop.
        small, large: items of a stream.
        seconds_stream: for as many such streams as fit.
    """

    warm_calls: int
    seconds_1: float
    seconds_64: float
    seconds_256: float
    seconds_half: float
    small: int
    large: int
    seconds_stream: float


FULL = Plan(1000, 1.0, 1.5, 1.0, 1.5, 10_000, 1_000, 0.5)
QUICK = Plan(500, 0.2, 0.3, 0.2, 0.3, 1_000, 50, 0.1)


@dataclass(slots=True)
class Round:
    """What one round brought: measure → figure, and for what failed the reason."""

    figures: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def measure(contender: Contender, python: str, plan: Plan, *, calls_only: bool = False) -> Round:
    """Measure a contender once. What goes wrong on the way becomes part of the round.

    Args:
        calls_only: leave streams, the open loop and 256 in flight out.
    """
    found = Round()
    with tempfile.TemporaryDirectory(prefix="fame-bench-") as folder, Chain(Path(folder), contender.env) as chain:
        deadline = time.monotonic() + contender.limit_s
        try:
            client = contender.start(chain, python)
            client.hear(REACHED_S)
            measuring = Measuring(chain, client, found, deadline)
            if calls_only:
                measuring.take_calls(plan, contender.share)
            else:
                measuring.take_all(plan, contender.share)
        except Broken as error:
            found.failed["the chain"] = str(error)
    return found


class Measuring:
    """Take the measures of one running chain, one after the other, until its time is over."""

    def __init__(self, chain: Chain, client: Process, found: Round, deadline: float) -> None:
        self._chain = chain
        self._client = client
        self._found = found
        self._deadline = deadline

    def take_all(self, plan: Plan, share: float) -> None:
        """Take every measure; the one that is hardest to survive comes last."""
        small, large = (max(LEAST_ITEMS, round(count * share)) for count in (plan.small, plan.large))
        self.take_calls(plan, share)
        half = self._found.figures.get("calls_64", 0.0) / 2
        if half:
            paced = {"do": "open", "rate": half, "seconds": plan.seconds_half}
            self._ask("p50_half_us", paced, {"p50_us": "p50_half_us", "p99_us": "p99_half_us"})
        streams = {"do": "stream", "seconds": plan.seconds_stream}
        self._ask("small_items", {**streams, "count": small, "item_bytes": 0}, {"rate": "small_items"})
        self._ask("large_items", {**streams, "count": large, "item_bytes": ITEM_BYTES}, {"rate": "large_items"})
        if "large_items" in self._found.figures:
            self._found.figures["large_mb"] = self._found.figures["large_items"] * ITEM_BYTES / 1e6
        self._ask("calls_256", {"do": "closed", "in_flight": 256, "seconds": plan.seconds_256}, {"rate": "calls_256"})
        self._weigh_memory()

    def take_calls(self, plan: Plan, share: float) -> None:
        """Warm up, and take the measures of calls with 1 and with 64 in flight."""
        warm_calls = max(LEAST_WARM_CALLS, round(plan.warm_calls * share))
        items = min(max(LEAST_ITEMS, round(plan.small * share)), 500)
        self._ask("warm-up", {"do": "warm", "calls": warm_calls, "in_flight": 16, "items": items}, {})
        per_call = {"p50_us": "p50_1_us", "p99_us": "p99_1_us", "rate": "calls_1"}
        self._ask("calls_1", {"do": "closed", "in_flight": 1, "seconds": plan.seconds_1}, per_call)
        self._weigh_calls({"do": "closed", "in_flight": 64, "seconds": plan.seconds_64})
        self._weigh_memory()

    def _weigh_memory(self) -> None:
        """Take the most memory that each process has had so far."""
        for process in self._chain.processes:
            self._found.figures[f"peak_{process.role}"] = process.peak_mib()

    def _weigh_calls(self, command: Mapping[str, object]) -> None:
        """Take the rate of calls, and what each process spent on them."""
        before = {process.role: process.cpu_s() for process in self._chain.processes}
        started, busy = time.monotonic(), busy_s()
        calls = self._ask("calls_64", command, {"rate": "calls_64"})
        if not calls:
            return
        seconds, busy = time.monotonic() - started, busy_s() - busy
        for process in self._chain.processes:
            spent = process.cpu_s() - before[process.role]
            busy -= spent
            self._found.figures[f"cpu_{process.role}"] = spent / calls * 1000
        self._found.figures["elsewhere"] = round(max(0.0, busy / seconds), 2)  # from ticks of 10 ms

    def _ask(self, measure: str, command: Mapping[str, object], keys: Mapping[str, str]) -> float:
        """Have the client do something, and keep the figures named by `keys`; return the calls it made."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            self._found.failed[measure] = "the time of this round was over"
            return 0
        try:
            answer = self._client.ask(command, left)
        except Broken as error:
            self._found.failed[measure] = str(error)
            return 0
        for key, name in keys.items():
            self._found.figures[name] = float(f"{answer[key]:.6g}")
        return float(answer.get("calls", 0))
