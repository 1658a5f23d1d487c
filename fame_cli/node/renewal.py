"""A node's own credential over time: each new one is shown to the neighbours before the old one expires."""

import asyncio
from typing import TYPE_CHECKING

from fame_cli.errors import FameError
from fame_cli.node.log import log_event

if TYPE_CHECKING:
    from fame_cli.node.runner import Node
    from fame_cli.security.setup import Security

__all__ = ["keep_renewed"]

RENEW_S = 5.0
"""Seconds between two looks at whether there is a new one."""


async def keep_renewed(node: "Node", security: "Security") -> None:
    """Show new credentials until the node ends; a source that fails is asked again."""
    while not node.ending:
        await asyncio.sleep(RENEW_S)
        try:
            token = await security.renewed()
        except FameError as error:
            log_event("credential_not_renewed", "warning", reason=str(error))
        else:
            if token:
                node.perform(node.core.renew(token))
