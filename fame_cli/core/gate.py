"""The gate: may this neighbour attach, and as what? Asked once a link; `OpenGate` is the answer of profile ``open``.

Pure. A gate sees the NodeAttach and the link and returns None to let it in, or a `Refusal`. Gates that check tokens
and grants live in ``security/``.
"""

from typing import NamedTuple, Protocol

from fame_cli.core.address import is_node_id
from fame_cli.core.frames import NodeAttach
from fame_cli.core.link import Link, LinkKind
from fame_cli.core.state import Settings

__all__ = ["Gate", "OpenGate", "Refusal"]


class Refusal(NamedTuple):
    """Say why a neighbour may not attach: code and reason of its NodeAttachAck."""

    code: str
    reason: str


class Gate(Protocol):
    """Decide who may attach."""

    def admit(self, attach: NodeAttach, link: Link, own: Settings) -> Refusal | None:
        """Return None to let the neighbour in."""
        ...


class OpenGate:
    """Let everybody in whose attach makes sense: a legal id, the one of the URL, not our own (spec 5.2, 2.1)."""

    def admit(self, attach: NodeAttach, link: Link, own: Settings) -> Refusal | None:
        """Check the form of an attach; ask for no proof."""
        expected = "peer" if link.kind is LinkKind.PEER else "downstream"
        if attach.origin_type != expected:
            return Refusal("INVALID_ATTACH", f"originType is {attach.origin_type!r} on a {expected} link")
        if not is_node_id(attach.system_id):
            return Refusal("INVALID_ATTACH", f"{attach.system_id[:40]!r} can't be a node id")
        if attach.system_id != link.remote_id:
            return Refusal("INVALID_ATTACH", "systemId differs from the id in the URL")
        if attach.instance_id == own.instance_id:
            return Refusal("SELF_LINK", "this sentinel dialled itself")
        if (link.kind is LinkKind.PEER or link.meshes) and attach.system_id == own.node_id:
            return Refusal("ID_TAKEN", f"{own.node_id} is this sentinel's own id")
        return None
