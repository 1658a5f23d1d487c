"""What one neighbour can make this node do and hold: bounds of a link, and the count of what it sends.

All links of one holder of a credential count as one neighbour, so that opening more of them gains nothing. Pure. The
defaults stop nobody who means well: one link of a client under load carries 40,000 messages and 600 MB a second
(benchmarks/README.md).
"""

from dataclasses import dataclass, field, replace
from math import inf

from fame_cli.core.grant import Holder

__all__ = ["LINKS_PER_HOST", "Census", "Limits", "Meter", "Rate"]

LINKS_PER_HOST = 256
"""What `Limits.links_per_host` is where credentials are asked for and no proxy stands before the port."""


@dataclass(slots=True, frozen=True)
class Limits:
    """Hold the bounds of each neighbour; 0 means none.

    Args:
        attach_s: seconds a connection may take to attach, > 0.
        messages_per_s: envelopes a second, of those it sends and again of those it is answered.
        bytes_per_s: bytes a second, likewise.
        calls_in_flight: calls a neighbour may have open at a time.
        routes: addresses and capabilities a neighbour may have bound here.
        unknown_keys: keys nobody has told us of that its envelopes may wait for.
        waiting_envelopes: envelopes that may wait for such keys.
        errors: envelopes that may be denied in ten seconds before the link is closed.
        links_per_host: links that may come from one network address.
        links_per_grant: links that one holder of a credential may have.
    """

    attach_s: float = 5.0
    messages_per_s: int = 200_000
    bytes_per_s: int = 2_147_483_648
    calls_in_flight: int = 65_536
    routes: int = 131_072
    unknown_keys: int = 64
    waiting_envelopes: int = 256
    errors: int = 100
    links_per_host: int = 0
    links_per_grant: int = 256

    @property
    def of_sentinels(self) -> "Limits":
        """The bounds of a link to a sentinel: what comes over it is of many, and counted where each of them enters."""
        return replace(self, messages_per_s=0, bytes_per_s=0)


ERRORS_S = 10.0
"""Seconds over which a neighbour's errors are counted."""


def _or_any(bound: int) -> float:
    return bound or inf


def _paid(bound: int, owed: float, idle_s: float) -> tuple[float, float]:
    """Return what a second has left once it has paid what is owed, and what is still owed."""
    if not bound:
        return inf, 0
    owed = max(0, owed - bound * idle_s) if owed else 0
    return bound - min(bound, owed), max(0, owed - bound)


@dataclass(slots=True)
class Rate:
    """Count envelopes and bytes, second by second; times are the core's.

    Args:
        limits: the bounds.
    """

    limits: Limits
    _ends: float = float("-inf")
    _messages_left: float = 0
    _bytes_left: float = 0
    _messages_owed: float = 0
    _bytes_owed: float = 0

    def takes(self, envelopes: int, size: int, now: float) -> bool:
        """Count the envelopes of one message; False when this second was used up before it.

        A message counts as a whole, so that a bound lower than what a neighbour joins in one lets it through.
        """
        if now >= self._ends:
            self._begin(now)
        spent = self._messages_left <= 0 or self._bytes_left <= 0
        self._messages_left -= envelopes
        self._bytes_left -= size
        return not spent

    def gives_back(self, size: int) -> None:
        """Uncount one envelope that has been counted."""
        self._messages_left += 1
        self._bytes_left += size

    def owe(self, size: int, now: float) -> None:
        """Count one envelope in any case: what this second hasn't left, the next ones pay first."""
        if not self.takes(1, size, now):
            self.gives_back(size)
            self._messages_owed += 1
            self._bytes_owed += size

    def is_deep_in_debt(self, now: float) -> bool:
        """Tell whether more is owed than a second pays."""
        if now >= self._ends:
            self._begin(now)
        limits = self.limits
        return self._messages_owed > _or_any(limits.messages_per_s) or self._bytes_owed > _or_any(limits.bytes_per_s)

    @property
    def is_bound(self) -> bool:
        """Tell whether there is any bound at all."""
        return bool(self.limits.messages_per_s or self.limits.bytes_per_s)

    @property
    def left(self) -> tuple[float, float]:
        """Return what this second has left: envelopes and bytes."""
        return self._messages_left, self._bytes_left

    def _begin(self, now: float) -> None:
        limits, idle_s = self.limits, int(now) - self._ends  # whole seconds in which nothing was counted
        self._ends = int(now) + 1
        self._messages_left, self._messages_owed = _paid(limits.messages_per_s, self._messages_owed, idle_s)
        self._bytes_left, self._bytes_owed = _paid(limits.bytes_per_s, self._bytes_owed, idle_s)


@dataclass(slots=True)
class Meter(Rate):
    """Count what one neighbour sends, and apart from it what it is answered: who asks for answers pays for them.

    Args:
        links: how many links share it, see `Census`.
        answers: counts what passed to it because it asked.
    """

    links: int = 0
    answers: Rate = field(init=False)
    _errors: int = 0
    _errors_since: float = float("-inf")

    def __post_init__(self) -> None:
        self.answers = Rate(self.limits)

    def adjust(self, limits: Limits) -> None:
        """Take other bounds, from the next second on."""
        self.limits = self.answers.limits = limits

    def bears(self, now: float) -> bool:
        """Count one denied envelope; False when the neighbour has used its budget up."""
        if now - self._errors_since >= ERRORS_S:
            self._errors, self._errors_since = 0, now
        self._errors += 1
        return not 0 < self.limits.errors < self._errors


@dataclass(slots=True)
class Census:
    """Count the links that came to this node, by host and by holder; those of one holder share a meter.

    Args:
        limits: the bounds.
    """

    limits: Limits = field(default_factory=Limits)
    _hosts: dict[str, int] = field(default_factory=dict)
    _meters: dict[Holder, Meter] = field(default_factory=dict)

    def crowded(self, host: str, holder: Holder | None) -> str:
        """Say why one more link is one too many, "" when it isn't.

        Args:
            host: where it comes from, "" where that isn't known.
            holder: whose it is; None where nobody is named, or it isn't known yet.
        """
        most = self.limits.links_per_host
        if host and 0 < most <= self._hosts.get(host, 0):
            return f"{host} has as many links open as limits.links_per_host allows ({most})"
        most = self.limits.links_per_grant
        if holder in self._meters and 0 < most <= self._meters[holder].links:
            return f"{holder[1][:128]} has as many links open as limits.links_per_grant allows ({most})"
        return ""

    def enter(self, host: str, holder: Holder | None) -> Meter:
        """Count a link; returns what is to count its envelopes."""
        if host:
            self._hosts[host] = self._hosts.get(host, 0) + 1
        if holder is None:
            return Meter(self.limits)
        meter = self._meters.setdefault(holder, Meter(self.limits))
        meter.links += 1
        return meter

    def leave(self, host: str, holder: Holder | None) -> None:
        """Undo `enter`; nothing is kept of who has no link."""
        if host:
            self._hosts[host] -= 1
            if not self._hosts[host]:
                del self._hosts[host]
        if holder is not None:
            meter = self._meters[holder]
            meter.links -= 1
            if not meter.links:
                del self._meters[holder]
