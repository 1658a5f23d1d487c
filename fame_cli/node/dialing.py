"""Links we make: one try for a client, for ever for everybody else.

A neighbour that isn't there yet, or goes away, is dialled again with back-off and never ends the node. What a
neighbour says no to for good (a wrong path, say) is tried again too, because its operator may mend it, but it is said
loudly.
"""

import asyncio
import random

from fame_cli.core.effects import LinkRefused
from fame_cli.core.link import Link, LinkKind
from fame_cli.errors import AdmissionRefused, ConnectError, FameError
from fame_cli.net.backoff import delays
from fame_cli.net.transport import Transport
from fame_cli.net.websocket import dial
from fame_cli.node.clock import new_id
from fame_cli.node.log import log_event
from fame_cli.node.runner import Node

__all__ = ["attach", "keep_attached"]

DUPLICATE_RETRY_S = 5.0
"""Seconds until we look again whether the other link to a peer, the one that won, is still there."""


async def attach(node: Node, url: str, kind: LinkKind) -> tuple[Link, Transport]:
    """Dial and attach once.

    Args:
        url: attach URL without the id; ours is appended verbatim (spec 2.1).

    Raises:
        ConnectError: nobody listens there, or the link broke before the answer.
        AdmissionRefused: the other side said no.
    """
    transport = await dial(f"{url}/{node.node_id}", node.turn)
    link = node.open_link(transport, kind, "", dialed=True)
    try:
        refusal = await node.attach_answer(link)
    except asyncio.CancelledError:
        transport.close(1000, "normal closure")
        await transport.wait_closed()
        raise
    if refusal is None:
        return link, transport
    await transport.wait_closed()
    if refusal.code == "CONNECTION_LOST":
        raise ConnectError(f"the link to {url} ended before it was open: {refusal.reason or 'no reason given'}")
    raise AttachRefused(url, refusal)


class AttachRefused(AdmissionRefused):
    """Report a NodeAttachAck that says no, with its code."""

    def __init__(self, url: str, refusal: LinkRefused) -> None:
        super().__init__(f"{url} refused the link: {refusal.reason or refusal.code} ({refusal.code})")
        self.code = refusal.code


async def keep_attached(node: Node, url: str, kind: LinkKind) -> None:
    """Hold a link to `url` until the node ends, however often it breaks."""
    wait = delays(random.random)
    failures = 0
    while not node.ending:
        try:
            link, transport = await attach(node, url, kind)
        except FameError as error:
            log_event("link_failed", "warning" if failures in (0, 10) else "debug", url=url, reason=str(error))
            failures += 1
            if isinstance(error, AttachRefused) and not await _settle(node, error):
                wait = delays(random.random)
        else:
            wait, failures = delays(random.random), 0
            await transport.wait_closed()
            while kind is LinkKind.PEER and link.remote_id in node.core.table.peers:
                await node.links_changed()  # another link to that sentinel has taken its place; it will do
        await asyncio.sleep(next(wait))


async def _settle(node: Node, error: AttachRefused) -> bool:
    """React to a refusal that says more than no; True when the next try should wait longer."""
    if error.code == "ID_TAKEN":
        name = f"{node.node_id}-{new_id()[:4]}"
        log_event("id_taken", "warning", node=node.node_id, now=name)
        node.perform(node.core.rename(name))
        return False
    if error.code == "DUPLICATE_LINK":
        await asyncio.sleep(DUPLICATE_RETRY_S)
        return False
    return True
