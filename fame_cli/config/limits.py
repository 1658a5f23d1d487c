"""The section ``limits``: bounds on what neighbours can make a node do and hold. Pure."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from fame_cli.config import fields
from fame_cli.config.section import Section
from fame_cli.core.limits import LINKS_PER_HOST, Limits

__all__ = ["LimitsConfig"]

Bound = Annotated[int, Field(ge=0, le=1_099_511_627_776), BeforeValidator(fields.to_whole)]


class LimitsConfig(Section):
    """Bound what neighbours can make this node hold."""

    max_message_bytes: Annotated[int, Field(ge=4_096, le=67_108_864), BeforeValidator(fields.to_whole)] = 262_144
    """Largest envelope in bytes, 4096-67108864; a Naylence node takes 262144."""

    max_hops: Annotated[int, Field(ge=1, le=64), BeforeValidator(fields.to_whole)] = 16
    """Links an envelope may pass, 1-64; one that has passed as many and isn't there yet is refused."""

    max_held_bytes: Annotated[int, Field(ge=1_048_576, le=1_099_511_627_776), BeforeValidator(fields.to_whole)] = (
        268_435_456
    )
    """Bytes that may wait for neighbours that don't keep up, 1048576-1099511627776; a quarter of it for one of them."""

    max_links: Annotated[int, Field(ge=1, le=1_000_000), BeforeValidator(fields.to_whole)] = 10_000
    """Links at one time, 1-1000000."""

    attach_s: Annotated[float, Field(gt=0, le=300), BeforeValidator(fields.to_number)] = 5.0
    """Seconds a connection may take to attach, above 0 up to 300."""

    messages_per_s: Bound = 200_000
    """Envelopes a second from one neighbour; 0 for no bound, as in those below."""

    bytes_per_s: Bound = 2_147_483_648
    """Bytes a second from one neighbour."""

    calls_in_flight: Bound = 65_536
    """Calls one neighbour may have open at a time."""

    routes: Bound = 131_072
    """Addresses and capabilities one neighbour may have bound."""

    unknown_keys: Annotated[int, Field(ge=1, le=65_536), BeforeValidator(fields.to_whole)] = 64
    """Keys nobody told of that the envelopes of one neighbour may wait for, 1-65536."""

    waiting_envelopes: Annotated[int, Field(ge=1, le=65_536), BeforeValidator(fields.to_whole)] = 256
    """Envelopes of one neighbour that may wait for them, 1-65536."""

    errors: Bound = 100
    """Envelopes that may be denied in ten seconds before a neighbour's link is closed."""

    links_per_host: Annotated[int, Field(ge=0, le=1_000_000), BeforeValidator(fields.to_whole)] | None = None
    """Links from one network address, up to 1000000; 256 if not set, 0 in the profile open and behind a proxy."""

    links_per_grant: Annotated[int, Field(ge=0, le=1_000_000), BeforeValidator(fields.to_whole)] = 256
    """Links of one holder of a credential, up to 1000000."""

    def per_link(self, *, knows_hosts: bool = False) -> Limits:
        """Return those of each neighbour, as the core knows them.

        Args:
            knows_hosts: True where a network address says something of who comes, and it may be anybody.
        """
        per_host = self.links_per_host
        if per_host is None:
            per_host = LINKS_PER_HOST if knows_hosts else 0
        return Limits(
            self.attach_s,
            self.messages_per_s,
            self.bytes_per_s,
            self.calls_in_flight,
            self.routes,
            self.unknown_keys,
            self.waiting_envelopes,
            self.errors,
            per_host,
            self.links_per_grant,
        )
