"""What one run of the command line carries from its entry to a command; where tests put an environment and a client of
their own.

Importing this module must stay cheap: no typer, no pydantic.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fame_cli.config.plain import environment

if TYPE_CHECKING:
    from fame_cli.cli.session import Connect

__all__ = ["Invocation"]


@dataclass(slots=True)
class Invocation:
    """Carry what belongs to one run of ``fame``.

    Args:
        env: environment variables to use; None for those of the process.
        connect: makes the client of the commands that need one; None for the real one.
        clock: seconds on a monotonic clock, for round trips.
        cpu_clock: seconds of processor time that this process has used.
        debug: whether a failure shows its traceback.
        command: the command as typed so far, for hints, e.g. ``fame call``.
    """

    env: Mapping[str, str] | None = None
    connect: "Connect | None" = None
    clock: Callable[[], float] = time.perf_counter
    cpu_clock: Callable[[], float] = time.process_time
    debug: bool = False
    command: str = "fame"

    def environment(self) -> Mapping[str, str]:
        """Return the environment variables of this run, read in one go."""
        return environment() if self.env is None else self.env
