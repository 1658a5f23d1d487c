"""What a neighbour's first answer tells beside its yes: what time it is there, and what it speaks."""

from collections.abc import Callable
from datetime import datetime

from fame_cli.cli.checkup import clocks, versions
from fame_cli.cli.checkup.findings import Finding, ok, warn
from fame_cli.config.security import SecurityConfig
from fame_cli.core.batch import BATCH
from fame_cli.core.envelope import Envelope, decode
from fame_cli.core.frames import NodeAttachAck
from fame_cli.core.settings import EXTENSIONS
from fame_cli.errors import RemoteProtocolError

__all__ = ["Greeting", "seconds_of"]


class Greeting:
    """Watch the envelopes of a link that opens, for the answer to the attach.

    Args:
        host: of the neighbour, for what is said of it.
        now: the time, seconds since the epoch.

    Attributes:
        stage: how far we are: look up, attach or answer.
    """

    def __init__(self, host: str, now: Callable[[], float]) -> None:
        self.host = host
        self.stage = "look up"
        self._now = now
        self._asked_at = self._answered_at = 0.0
        self._answer: Envelope | None = None

    def take(self, direction: str, data: bytes, _: float) -> None:
        """Take one envelope, as the observer of a node."""
        if self._answer is not None:
            return
        if direction == "out":
            self._asked_at = self._now()
            return
        try:
            envelope = decode(data)
        except RemoteProtocolError:
            return
        if isinstance(envelope.frame, NodeAttachAck):
            self._answer, self._answered_at = envelope, self._now()

    def clock(self, security: SecurityConfig) -> list[Finding]:
        """Say how far the neighbour's clock is from ours, if it has told the time."""
        at = seconds_of(self._answer.ts) if self._answer is not None else None
        if at is None:
            return []
        middle, half = (self._asked_at + self._answered_at) / 2, (self._answered_at - self._asked_at) / 2
        matters = security.profile != "open"
        return [clocks.skew(self.host, at - middle, half, security.skew_s, matters=matters)]

    def versions(self) -> list[Finding]:
        """Say what the neighbour speaks, where that isn't what we do."""
        if self._answer is None:
            return []
        offered = (self._answer.meta or {}).get("fame.ext")
        if not isinstance(offered, list):
            what = f"{self.host} is a plain Naylence node: FAME v1, so no mesh, no flow control, no questions to it"
            return [ok(versions.CHECK, what)]
        lacking = [name for name in EXTENSIONS if name != BATCH and name not in offered]  # which may be turned off
        if not lacking:
            return []
        return [
            warn(versions.CHECK, f"{self.host} runs another fame: without {', '.join(lacking)}", "bring it up to date")
        ]


def seconds_of(ts: str | None) -> float | None:
    """Return the seconds since the epoch that the `ts` of an envelope means, None if it means none."""
    try:
        moment = datetime.fromisoformat(ts or "")
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo is not None else None
