"""Ending a node without failing what it has begun: it winds down until nothing runs any more, or its time is over."""

import asyncio
import time

from fame_cli.node.log import log_event
from fame_cli.node.runner import Node

__all__ = ["DRAIN_S", "wind_down"]

DRAIN_S = 10.0
"""Seconds that what runs has to finish, unless told otherwise."""

LOOK_S = 0.02
"""Seconds between two looks at what still runs."""


async def wind_down(node: Node, limit_s: float) -> None:
    """Take nothing new, and return once what runs has ended, or after `limit_s` seconds; leave the node then."""
    begun = time.monotonic()
    node.perform(node.core.wind_down(begun))
    log_event("node_draining", node_id=node.node_id, calls=node.core.calls_in_flight(), limit_s=limit_s)
    while not (node.core.is_idle(time.monotonic()) and node.services.are_idle()):
        left_s = begun + limit_s - time.monotonic()
        if left_s <= 0:
            log_event("drain_ended", "warning", node_id=node.node_id, calls=node.core.calls_in_flight())
            return
        await asyncio.sleep(min(LOOK_S, left_s))
