"""What changes while a node runs: its credential, shown to the neighbours before the old one expires; its policy."""

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from fame_cli.errors import FameError
from fame_cli.node.log import log_event

if TYPE_CHECKING:
    from fame_cli.node.runner import Node
    from fame_cli.security.setup import Security

__all__ = ["keep_renewed", "look_at_policy"]

LOOK_S = 1.0
"""Seconds between two looks at whether there is a new credential or another policy."""


def look_at_policy(security: "Security") -> None:
    """Have a policy that has changed count from now on, and say so."""
    try:
        if security.look_again():
            log_event("policy_changed")
            security.tell("policy_changed", {})
    except FameError as error:  # the old one stays in force
        log_event("policy_not_loaded", "error", reason=str(error))


async def keep_renewed(node: "Node", security: "Security") -> None:
    """Show new credentials until the node ends; a source that fails is asked again."""
    while not node.ending:
        await asyncio.sleep(LOOK_S)
        look_at_policy(security)
        if token := await _asked(security.renewed()):
            node.perform(node.core.renew(token, list(security.apart.values())))
        for url, link in list(security.apart.items()):
            if token := await _asked(security.renewed_apart(url)):
                node.perform(node.core.renew_at(link, token))


async def _asked(asking: Awaitable[str]) -> str:
    """Return the new token, "" where there is none or it can't be had."""
    try:
        return await asking
    except FameError as error:
        log_event("credential_not_renewed", "warning", reason=str(error))
        return ""
