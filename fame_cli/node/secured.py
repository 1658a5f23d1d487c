"""The security of a node, made where it has any: its libraries are slow to import, and the open profile needs none."""

from typing import TYPE_CHECKING

from fame_cli.core.grant import Grant
from fame_cli.node.log import log_event
from fame_cli.security.settings import SecuritySettings

if TYPE_CHECKING:
    from fame_cli.security.setup import Security

__all__ = ["secured"]


async def secured(
    settings: SecuritySettings | None, wanted: Grant, *, named: bool, listens: bool = False
) -> "Security | None":
    """Return what a node has of security; None where it has none.

    Args:
        wanted: who it is and what it does, for the grant it issues itself where the authority is at hand.
        named: True when its id comes from a config: then its keys are kept.
        listens: True for a sentinel.

    Raises:
        ConfigError, AdmissionRefused, ConnectError: see `Security.start`.
    """
    if settings is None or settings.is_idle:
        return None
    from fame_cli.security.setup import Security  # see above

    security = Security(settings, wanted, named=named)
    await security.start(log_event, listens=listens)
    return security
