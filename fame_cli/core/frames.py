"""The frames of FAME v1 (spec 6): one struct each, told apart by ``type``.

Pure data. Field names are snake_case here and camelCase on the wire; what is absent is None and isn't written.
Unknown keys are ignored (spec 2.3), so a later version of either side does no harm. `CallCancel` and the ``Mesh…``
frames are ours and travel only on links that negotiated ``cancel`` and ``mesh`` (docs/wire-extensions.md).
"""

from typing import Any

import msgspec

__all__ = [
    "AddressBind",
    "AddressBindAck",
    "AddressUnbind",
    "AddressUnbindAck",
    "CallCancel",
    "CapabilityAdvertise",
    "CapabilityAdvertiseAck",
    "CapabilityWithdraw",
    "CapabilityWithdrawAck",
    "CreditUpdate",
    "Data",
    "DeliveryAck",
    "Frame",
    "KeyAnnounce",
    "KeyRequest",
    "MeshDelta",
    "MeshRecord",
    "MeshSummary",
    "MeshUpdate",
    "NodeAttach",
    "NodeAttachAck",
    "NodeHeartbeat",
    "NodeHeartbeatAck",
    "NodeHello",
    "NodeWelcome",
    "SecureAccept",
    "SecureClose",
    "SecureOpen",
]

EMPTY = msgspec.Raw()


class _Wire(msgspec.Struct, frozen=True, tag=True, tag_field="type", omit_defaults=True, rename="camel"):
    """Say once how every frame is written."""


class _Ack(_Wire, frozen=True):
    """Hold what every ``*Ack`` frame shares: outcome, code, reason and the id of the envelope it answers."""

    ok: bool | None = None
    code: str | None = None
    reason: str | None = None
    ref_id: str | None = None

    @property
    def accepted(self) -> bool:
        """Tell whether the answer is yes; an absent `ok` means yes (spec 6)."""
        return self.ok is not False


class NodeHello(_Wire, frozen=True):
    """Ask a welcome service for admission (spec 5.1); never on a WebSocket."""

    system_id: str
    instance_id: str
    logicals: list[str] | None = None
    capabilities: list[str] | None = None
    supported_transports: list[str] | None = None
    region_hint: str | None = None
    security_settings: msgspec.Raw = EMPTY


class NodeWelcome(_Wire, frozen=True):
    """Answer a NodeHello (spec 5.1); never on a WebSocket."""

    system_id: str
    instance_id: str
    target_system_id: str | None = None
    target_physical_path: str | None = None
    assigned_path: str | None = None
    accepted_capabilities: list[str] | None = None
    accepted_logicals: list[str] | None = None
    rejected_logicals: list[str] | None = None
    connection_grants: msgspec.Raw = EMPTY
    expires_at: str | None = None
    metadata: msgspec.Raw = EMPTY
    reason: str | None = None
    security_settings: msgspec.Raw = EMPTY


class NodeAttach(_Wire, frozen=True):
    """Open a link: first frame of the connecting side (spec 5.2)."""

    origin_type: str
    system_id: str
    instance_id: str
    assigned_path: str | None = None
    capabilities: list[str] | None = None
    accepted_logicals: list[str] | None = None
    keys: msgspec.Raw = EMPTY
    callback_grants: msgspec.Raw = EMPTY
    stickiness: msgspec.Raw = EMPTY


class NodeAttachAck(_Ack, frozen=True):
    """Answer a NodeAttach: first frame of the accepting side (spec 5.2)."""

    target_system_id: str | None = None
    assigned_path: str | None = None
    target_physical_path: str | None = None
    routing_epoch: str | None = None
    keys: msgspec.Raw = EMPTY
    expires_at: str | None = None
    stickiness: msgspec.Raw = EMPTY


class NodeHeartbeat(_Wire, frozen=True):
    """Ask the accepting side for a sign of life (spec 5.3)."""

    address: str | None = None
    system_id: str | None = None
    payload: msgspec.Raw = EMPTY


class NodeHeartbeatAck(_Ack, frozen=True):
    """Answer a heartbeat and repeat the epoch (spec 5.3)."""

    address: str | None = None
    routing_epoch: str | None = None


class AddressBind(_Wire, frozen=True):
    """Claim an address for the link it comes over (spec 6.1, 6.2)."""

    address: str
    encryption_key_id: str | None = None
    physical_path: str | None = None


class AddressBindAck(_Ack, frozen=True):
    """Answer an AddressBind; sent down only (spec 6.1)."""

    address: str | None = None


class AddressUnbind(_Wire, frozen=True):
    """Give an address back (spec 6.1)."""

    address: str


class AddressUnbindAck(_Ack, frozen=True):
    """Answer an AddressUnbind; sent down only (spec 6.1)."""

    address: str | None = None


class CapabilityAdvertise(_Wire, frozen=True):
    """Offer capabilities under an address (spec 6.3)."""

    capabilities: list[str]
    address: str


class CapabilityAdvertiseAck(_Ack, frozen=True):
    """Answer a CapabilityAdvertise (spec 6.3)."""

    capabilities: list[str] | None = None
    address: str | None = None


class CapabilityWithdraw(_Wire, frozen=True):
    """Take capabilities back (spec 6.3)."""

    capabilities: list[str]
    address: str


class CapabilityWithdrawAck(_Ack, frozen=True):
    """Answer a CapabilityWithdraw (spec 6.3)."""

    capabilities: list[str] | None = None
    address: str | None = None


class Data(_Wire, frozen=True):
    """Carry a payload; a router never parses it (spec 8)."""

    fid: str | None = None
    codec: str | None = None
    payload: msgspec.Raw = EMPTY
    pd: str | None = None
    cid: str | None = None
    nonce: str | None = None


class DeliveryAck(_Ack, frozen=True):
    """Say that an envelope arrived (ok) or couldn't be delivered, with a code: a NACK (spec 6.4)."""


class CreditUpdate(_Wire, frozen=True):
    """Grant the other side more envelopes of one flow (spec 7)."""

    flow_id: str
    credits: int


class KeyAnnounce(_Wire, frozen=True):
    """Publish keys; carried through until a security profile reads them (spec 6)."""

    physical_path: str
    address: str | None = None
    keys: msgspec.Raw = EMPTY
    created: str | None = None
    expires: str | None = None


class KeyRequest(_Wire, frozen=True, rename={"snake_path": "physical_path", "physical_path": "physicalPath"}):
    """Ask for a key, or for the encryption key behind an address (security.md 4.4).

    The path is read in either spelling, as the original does (spec 6 has the one, its nodes send the other), and signed
    as ``physicalPath``.
    """

    kid: str | None = None
    address: str | None = None
    physical_path: str | None = None
    snake_path: str | None = None

    def __post_init__(self) -> None:
        if self.snake_path is not None:
            msgspec.structs.force_setattr(self, "physical_path", self.physical_path or self.snake_path)
            msgspec.structs.force_setattr(self, "snake_path", None)


class SecureOpen(_Wire, frozen=True):
    """Open an encrypted channel between two nodes (spec 6)."""

    cid: str
    eph_pub: str
    alg: str | None = None
    opts: msgspec.Raw = EMPTY


class SecureAccept(_Ack, frozen=True):
    """Answer a SecureOpen (spec 6)."""

    cid: str | None = None
    eph_pub: str | None = None
    alg: str | None = None


class SecureClose(_Wire, frozen=True):
    """Close an encrypted channel (spec 6)."""

    cid: str
    reason: str | None = None


class CallCancel(_Wire, frozen=True):
    """Stop the call named by the envelope's `replyTo` and `corrId`, hop by hop (extension ``cancel``)."""


class MeshDelta(msgspec.Struct, frozen=True, omit_defaults=True):
    """Change a versioned set: who has version `base` or later gets `version` (docs/wire-extensions.md).

    Args:
        base: 0 when this is the whole set, or its first piece.
        final: version of the whole set this is a piece of; 0 when it is no piece of one.
        put: name → new value. drop: names that are gone.
        sig: the owner's, of what the whole set is at this version; "" where nobody signs.
    """

    base: int
    version: int
    final: int = 0
    put: dict[str, int] = {}
    drop: list[str] = []
    sig: str = ""


class MeshRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """Say what changed in what a sentinel says of itself (extension ``mesh``).

    Args:
        kid, sig: the sentinel's, under the first three; "" where nobody signs.
    """

    id: str
    instance: str
    incarnation: int
    links: MeshDelta | None = None
    offers: MeshDelta | None = None
    kid: str = ""
    sig: str = ""


class MeshUpdate(_Wire, frozen=True):
    """Tell a neighbour what it lacks (extension ``mesh``)."""

    records: list[MeshRecord]


class MeshSummary(_Wire, frozen=True):
    """Say which versions this side has of records whose id is above `after` and not above `upto` (``mesh``).

    Args:
        have: id → incarnation, version of the links, version of the offers.
        upto: "" when there is no end.
    """

    have: dict[str, tuple[int, int, int]]
    after: str = ""
    upto: str = ""


Frame = (
    Data
    | DeliveryAck
    | CreditUpdate
    | NodeHeartbeat
    | NodeHeartbeatAck
    | AddressBind
    | AddressBindAck
    | AddressUnbind
    | AddressUnbindAck
    | CapabilityAdvertise
    | CapabilityAdvertiseAck
    | CapabilityWithdraw
    | CapabilityWithdrawAck
    | CallCancel
    | MeshUpdate
    | MeshSummary
    | NodeAttach
    | NodeAttachAck
    | NodeHello
    | NodeWelcome
    | KeyAnnounce
    | KeyRequest
    | SecureOpen
    | SecureAccept
    | SecureClose
)

Meta = dict[str, Any]
"""Extension map of an envelope: scalars, small lists and flat maps under dotted keys (spec 4)."""
