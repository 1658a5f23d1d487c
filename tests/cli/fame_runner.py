"""Run `fame` in this process over a stub client."""

from collections.abc import Callable
from dataclasses import dataclass, field

from stub_fabric import StubClient
from typer.testing import CliRunner, Result

from fame_cli.cli.main import app
from fame_cli.cli.options import Invocation


class StepClock:
    """Be a clock on which every look takes the next of `steps_ms`, and in the end the last of them."""

    def __init__(self, *steps_ms: float) -> None:
        self._steps_ms = list(steps_ms) or [1.5]
        self._now_ms = 0.0

    def __call__(self) -> float:
        """Return seconds."""
        self._now_ms += self._steps_ms.pop(0) if len(self._steps_ms) > 1 else self._steps_ms[0]
        return self._now_ms / 1000


@dataclass
class Fame:
    """Run `fame` in this process against `client`."""

    client: StubClient = field(default_factory=StubClient)
    env: dict[str, str] = field(default_factory=dict)
    clock: Callable[[], float] = field(default_factory=StepClock)
    cpu_clock: Callable[[], float] = field(default_factory=lambda: StepClock(0))

    def __call__(self, *args: str, stdin: str | None = None) -> Result:
        """Run one command line and return what it printed and its exit code."""
        invocation = Invocation(env=self.env, connect=self.client.connect, clock=self.clock, cpu_clock=self.cpu_clock)
        return CliRunner().invoke(app, list(args), input=stdin, obj=invocation)
