"""Stacked reply addresses: how answers find back through plain Naylence sentinels (spec 9.2).

A plain sentinel sends an answer only to a peer whose id is the first segment of the address, or down its own tree. So
whoever passes a request to one puts in front of the path in `replyTo` what leads to itself there, and takes it off
again when the answer comes. Both ends see what they expect; signed envelopes are left alone.

Pure.
"""

import msgspec

from fame_cli.core.address import parse, physical
from fame_cli.core.envelope import Envelope
from fame_cli.core.link import Link, LinkKind

__all__ = ["stack_prefix", "stacked", "unstacked"]


def stack_prefix(link: Link, node_id: str, path: str) -> str:
    """Return the path by which a neighbour's answers come to this node; "" where no stacking is needed.

    Args:
        node_id: this node's id, by which a peer knows it.
        path: this node's physical path, by which its parent does.
    """
    if link.meshes or link.kind not in (LinkKind.PEER, LinkKind.PARENT):
        return ""
    return f"/{node_id}" if link.kind is LinkKind.PEER else path


def stacked(envelope: Envelope, prefix: str, path: str) -> Envelope:
    """Return a request as a neighbour should get it whose answers come by `prefix`.

    Args:
        path: this node's physical path.
    """
    if not envelope.reply_to or bytes(envelope.sec):
        return envelope
    reply_to = parse(envelope.reply_to)
    below = reply_to.path == path or reply_to.path.startswith(path + "/")
    if not reply_to.path or (prefix == path and below):
        return envelope
    above = physical(reply_to.participant, prefix + reply_to.path.rstrip("/"))
    return msgspec.structs.replace(envelope, reply_to=above)


def unstacked(envelope: Envelope, prefix: str) -> Envelope:
    """Return what such a neighbour sent with `prefix` taken off `to`, as if it had been put on; see `stacked`."""
    if not envelope.to or bytes(envelope.sec):
        return envelope
    to = parse(envelope.to)
    below = to.path.removeprefix(prefix + "/")
    if below == to.path or not below:
        return envelope
    return msgspec.structs.replace(envelope, to=physical(to.participant, f"/{below}"))
