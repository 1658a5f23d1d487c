"""What the driver knows of a contender."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from chain import Chain, Process

__all__ = ["Contender"]


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to get calls from a client to a worker.

    Attributes:
        name: as in the table.
        python: finds or makes the interpreter of its programs; raises `Unavailable`.
        start: starts the processes of its chain, in order, and returns the client.
        distributions: whose versions the results tell.
        env: variables of all its processes.
        share: part of the usual numbers of calls and items that it is asked for.
        limit_s: seconds that one round of it may take.
    """

    name: str
    python: Callable[[], str]
    start: Callable[[Chain, str], Process]
    distributions: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    share: float = 1.0
    limit_s: float = 40.0
