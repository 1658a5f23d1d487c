"""What sentinels and agents have because they stay: how they begin and how they end. Pure."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from fame_cli.config import fields
from fame_cli.config.section import Section

__all__ = ["StayingConfig"]


class StayingConfig(Section):
    """Say how a node begins and ends."""

    drain_s: Annotated[float, Field(ge=0, le=3_600), BeforeValidator(fields.to_number)] = 10.0
    """Seconds that what runs has to finish once the node is told to stop, 0-3600."""

    fail_fast: fields.Flag = False
    """End with exit code 7 if a neighbour named here can't be reached at the start."""
