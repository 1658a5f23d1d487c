"""Links we make: one try for a client, for ever for everybody else.

A neighbour that isn't there yet, or goes away, is dialled again with back-off and never ends the node. What a
neighbour says no to for good (a wrong path, say) is tried again too, because its operator may mend it, but it is said
loudly.
"""

import asyncio
import random
import time
from collections.abc import Callable

from fame_cli.core.effects import LinkRefused
from fame_cli.core.link import Link, LinkKind
from fame_cli.errors import AdmissionRefused, ConnectError, FameError, step_in
from fame_cli.net import failures
from fame_cli.net.answer import Shown
from fame_cli.net.backoff import delays
from fame_cli.net.transport import Transport
from fame_cli.node.log import log_event
from fame_cli.node.runner import Node

__all__ = ["CLAIM_S", "Held", "attach", "attach_at_once", "keep_attached"]

Held = tuple[Link, Transport]
"""A link that is open, and what carries it."""

CLAIM_S = 1.5
"""Seconds until an id or an address in use is claimed once more: by then its holder has been asked whether it lives."""

STEADY_S = 5.0
"""Seconds a link has to live for its end to be news; one that ends sooner is dialled again ever more slowly."""

DUPLICATE_RETRY_S = 5.0
"""Seconds until we dial again where a peer says that there is a link which we don't know of, or not any more."""


async def attach(node: Node, url: str, kind: LinkKind, cost: int = 1) -> tuple[Link, Transport]:
    """Dial and attach once.

    Args:
        url: attach URL without the id; ours is appended verbatim (spec 2.1).
        cost: of the link, for the mesh.

    Raises:
        ConnectError: nobody listens there or has room, or the link broke before the answer.
        AdmissionRefused: the other side said no.
    """
    whole = f"{url}/{node.node_id}"
    shown = await node.security.show(whole) if node.security is not None else ("", "", None)
    transport = await node.network.dial(whole, node.turn, Shown(*shown))
    link = node.open_link(transport, kind, "", dialed=True, cost=cost)
    link.url = url
    if node.security is not None:
        node.security.dialed(url, link)
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
    if refusal.code == "RATE_LIMITED":
        raise failures.crowded(url, refusal.reason)
    raise AttachRefused(url, refusal)


class AttachRefused(AdmissionRefused):
    """Report a NodeAttachAck that says no, with its code, its URL and the id of who said it ("" if it didn't tell)."""

    def __init__(self, url: str, refusal: LinkRefused) -> None:
        what, step = step_in(refusal.reason)
        super().__init__(f"{url} refused the link: {what or refusal.code} ({refusal.code})", hint=step)
        self.url = url
        self.code = refusal.code
        self.remote_id = refusal.link.remote_id


async def attach_at_once(node: Node, url: str, kind: LinkKind, cost: int = 1) -> Held | None:
    """Attach, where a neighbour that isn't there is an error; return the link for `keep_attached`.

    Returns:
        None where the other side will have a link, but not this one, or not now.

    Raises:
        ConnectError, AdmissionRefused: as `attach`.
    """
    try:
        return await attach(node, url, kind, cost)
    except AttachRefused as error:
        if error.code not in ("DUPLICATE_LINK", "ID_TAKEN"):
            raise
        return None


async def keep_attached(
    node: Node, url: str, kind: LinkKind, cost: Callable[[], int] = lambda: 1, held: Held | None = None
) -> None:
    """Hold a link to `url` until the node ends, however often it breaks.

    Args:
        cost: what the link costs the next time.
        held: the first link, where it is open already.
    """
    wait = delays(random.random)
    failures = 0
    claimed = False
    while not (node.ending or node.core.is_draining):
        try:
            link, transport = held or await attach(node, url, kind, cost())
            held = None
        except FameError as error:
            node.dialing[url] = (kind, str(error))
            loud = failures in (0, 10) and not _is_duplicate(error)
            log_event("link_failed", "warning" if loud else "debug", url=url, reason=str(error))
            failures += 1
            if isinstance(error, AttachRefused) and error.code == "ID_TAKEN" and not claimed:
                claimed = True  # by a namesake, or by our own former life whose end hasn't been noticed yet
                await asyncio.sleep(CLAIM_S)
                continue
            if isinstance(error, AttachRefused) and not await _settle(node, error):
                wait = delays(random.random)
        else:
            node.dialing.pop(url, None)
            claimed = False
            failures, opened = 0, time.monotonic()
            await transport.wait_closed()
            if time.monotonic() - opened >= STEADY_S:
                wait = delays(random.random)
            if kind is LinkKind.PEER:  # another link to that sentinel may have taken its place; it will do
                await _while_linked(node, link.remote_id)
        await asyncio.sleep(next(wait))


def _is_duplicate(error: FameError) -> bool:
    """Tell whether a link isn't needed, because the other side has dialled one: nothing is wrong."""
    return isinstance(error, AttachRefused) and error.code == "DUPLICATE_LINK"


async def _settle(node: Node, error: AttachRefused) -> bool:
    """React to a refusal that says more than no; True when the next try should wait longer."""
    if error.code == "ID_TAKEN":
        name = node.core.other_id()
        log_event("id_taken", "warning", node=node.node_id, now=name)
        node.perform(node.core.rename(name))
        return False
    if _is_duplicate(error):
        node.dialing.pop(error.url, None)
        if error.remote_id not in node.core.table.peers:  # the other side still holds a link that we have lost
            await asyncio.sleep(DUPLICATE_RETRY_S)
        await _while_linked(node, error.remote_id)
        return False
    return True


async def _while_linked(node: Node, remote_id: str) -> None:
    while remote_id in node.core.table.peers:
        await node.links_changed()
