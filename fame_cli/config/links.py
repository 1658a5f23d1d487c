"""The sections about links: which ones a node makes, how bytes travel on them, and which of them a call takes. Pure."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from fame_cli.config import fields
from fame_cli.config.fields import bad
from fame_cli.config.section import Section
from fame_cli.config.security import AdmissionConfig

__all__ = ["PeerConfig", "RoutingConfig", "UpstreamConfig", "WireConfig"]


class WireConfig(Section):
    """Say how bytes travel; what they say is the same either way."""

    transport: fields.Transport = "auto"
    """Library that carries the links: `websockets`, `picows` (needs the extra `fast`), or `auto`: picows where it is
    installed."""

    batch: fields.Flag = True
    """Send what is ready for one link at the same time as one message; a neighbour that can't take that gets single
    ones."""

    silence_s: Annotated[float, Field(ge=3, le=600), BeforeValidator(fields.to_number)] = 10.0
    """Seconds without a word after which a link is given up, 3-600; 30 at least towards a Naylence node."""


class UpstreamConfig(Section):
    """Name the sentinel this node attaches to."""

    direct_url: fields.UpstreamUrl
    """Attach URL of the sentinel, without the node id; ends in /fame/v1/attach/ws/downstream."""


class PeerConfig(Section):
    """Name a sentinel this one makes a peer link to."""

    direct_url: fields.PeerUrl
    """Peer attach URL of the other sentinel, without the node id; ends in /fame/v1/attach/ws/peer."""

    cost: Annotated[int, Field(ge=1, le=1_000_000), BeforeValidator(fields.to_whole)] = 1
    """What passing this link costs, 1-1000000; calls take the cheapest way. The dearer of both ends' costs counts."""

    admission: AdmissionConfig | None = None
    """What this node shows there, in place of what it shows elsewhere."""

    @model_validator(mode="after")
    def _check_admission(self) -> Self:
        if self.admission is not None and self.admission.profile == "none":
            raise bad("{value} leaves no link to this peer", "use open or direct", at=("admission", "profile"))
        return self


class RoutingConfig(Section):
    """Say which of several ways a call takes."""

    balance: Annotated[Literal["nearest", "round_robin", "random", "sticky"], BeforeValidator(fields.lowercase)] = (
        "nearest"
    )
    """Which provider of a pool or a capability gets a call: `nearest` (in turn if several are), `round_robin`,
    `random`, or `sticky`: the same one for one session key, else for one caller."""
