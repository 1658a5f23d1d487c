"""The gate: what may this neighbour do, whose is this envelope, and how does anybody know that one is ours?

A gate is asked and answers at once; it does no I/O. What it can't tell yet it says (`Unknown`), and the core fetches
the key and asks again (``keysharing.py``). Gates that look at grants, signatures and policies live in ``security/``.
"""

from typing import NamedTuple

import msgspec

from fame_cli.core.address import is_node_id
from fame_cli.core.envelope import Envelope
from fame_cli.core.frames import EMPTY, KeyAnnounce, NodeAttach
from fame_cli.core.grant import Grant
from fame_cli.core.link import Link, LinkKind
from fame_cli.core.settings import Settings

__all__ = ["ADMIN_ONLY", "Action", "Gate", "KnownKey", "Refusal", "Unknown", "Verdict"]

Action = str
"""What a neighbour wants: ``bind``, ``advertise``, ``announce``, ``key``, ``introspect``, ``mail``."""

ADMIN_ONLY = frozenset({"mail.ls", "mail.show", "mail.retry", "mail.drop"})
"""What is asked of a node itself (``__sys__``) that shows messages of others, or changes what becomes of them."""


class Refusal(NamedTuple):
    """Say why not: the code and reason of a NodeAttachAck or a NACK."""

    code: str
    reason: str


class Unknown(NamedTuple):
    """Say that it can't be told yet, and what is missing: the id of a key, or the name of an issuer of tokens."""

    missing: str


Verdict = Refusal | Unknown | None
"""None: as it should be."""


class KnownKey(NamedTuple):
    """Hold the public keys of a node as they are told to others: JSON of their JWKs, and the node's physical path."""

    path: str
    jwks: list[msgspec.Raw]


class Gate:
    """Decide what neighbours may do, and vouch for what is ours.

    As it stands it is the gate of profile ``open``: everybody may do everything, nothing is signed. Every other gate is
    one that decides some of it.

    Attributes:
        checks: True when every envelope of an attached neighbour is shown to `verify`.
        rules: True when every envelope that has a way is shown to `passes`.
        signs: True when what this node originates is signed.
        own_kid: id of the key it is signed with, "" where nothing is.
        certifies: True when our key is told again once we know our path, because its certificate depends on it.
        seals: True when calls are to be sealed.
    """

    checks: bool = False
    rules: bool = False
    signs: bool = False
    own_kid: str = ""
    certifies: bool = False
    seals: bool = False

    # Links

    def admit(self, attach: NodeAttach, link: Link, own: Settings) -> Refusal | None:
        """Let a neighbour in, as far as its credential (`Link.grant`) and its NodeAttach go; None is a yes.

        Every gate asks for an id that is legal, the one of the URL, and not our own (spec 5.2, 2.1).
        """
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

    def joined(self, link: Link, keys: msgspec.Raw) -> Refusal | None:
        """Take the keys of a neighbour whose path is settled, at either end of a link; None is a yes."""
        return None

    def left(self, link: Link) -> None:
        """Forget a link that is gone."""

    def is_same(self, one: Link, other: Link) -> bool:
        """Tell whether two links lead to the same holder of a credential, so that one may take the other's place."""
        return True

    def renewed(self, link: Link, token: str) -> tuple[Grant, float] | None:
        """Take a new credential of an attached neighbour: what it allows, and for how many seconds; None for no."""
        return None

    def renew(self, token: str) -> None:
        """Take a new credential of this node's own."""

    def may(self, action: Action, link: Link, name: str) -> Refusal | None:
        """Let a neighbour do something about a name: an address, ``<capability> <address>``, a path, a kid."""
        return None

    # Envelopes

    def verify(self, link: Link, envelope: Envelope) -> Verdict:
        """Check what a neighbour sent: its signature, whose it is, and that it may come this way."""
        return None

    def remember(self, envelope: Envelope) -> Refusal | None:
        """Remember an envelope that ends here, or refuse it: it has come before, or its time doesn't tell."""
        return None

    def passes(self, link: Link, target: Link, envelope: Envelope) -> Refusal | None:
        """Let an envelope go where it has been routed to; the links are LOCAL where it begins or ends here."""
        return None

    def may_mend(self, link: Link, envelope: Envelope) -> Refusal | None:
        """Let a verified and opened request have what is `ADMIN_ONLY`."""
        return None

    def sign(self, envelope: Envelope) -> Envelope:
        """Sign an envelope of ours."""
        return envelope

    def seal(self, envelope: Envelope, path: str) -> Envelope | Refusal:
        """Encrypt the payload of an envelope of ours, before it is signed, for the node at a path; or say why not."""
        return Refusal("CRYPTO_LEVEL", "this node's security profile doesn't seal")

    def open(self, envelope: Envelope, *, sealed: bool) -> Envelope | Refusal:
        """Decrypt the payload of a verified envelope that ends here.

        Args:
            sealed: True when a payload in the clear isn't good enough, where this node's profile seals at all.
        """
        return envelope

    def speaks_for(self, envelope: Envelope, address: str, *, keeps: bool = False) -> Refusal | None:
        """Hold the signer of a verified answer to the address that was asked: it must be allowed to have it.

        Args:
            address: logical or physical; "" where whoever offers a capability was asked.
            keeps: True where a sentinel will do that may say that the address is reached through it.
        """
        return None

    def owns(self, path: str, address: str) -> Refusal | None:
        """Hold the key of the node at a path to an address a call is to be sealed for."""
        return None

    def signer(self, envelope: Envelope) -> str:
        """Say for people who signed a verified envelope, and how that is known; "" where nothing is signed."""
        return ""

    # Keys

    def keys(self) -> msgspec.Raw:
        """Return this node's public keys for NodeAttach and NodeAttachAck, EMPTY for none."""
        return EMPTY

    def moved(self, path: str) -> None:
        """Take this node's physical path, whenever it changes."""

    def kid(self, envelope: Envelope) -> str:
        """Return the id of the key an envelope is signed with, "" for none."""
        return ""

    def find(self, kid: str) -> list[KnownKey]:
        """Return what is known of a key, to tell others."""
        return []

    def shown_with(self, kid: str) -> str:
        """Tell apart which credential was shown with a key: when it is another one, the key is told again."""
        return ""

    def keys_at(self, path: str) -> list[msgspec.Raw]:
        """Return the keys of the node at a path, to tell others; [] when there are none."""
        return []

    def learn(self, announce: KeyAnnounce, link: Link) -> Refusal | None:
        """Take keys a neighbour tells of."""
        return None

    # Records of the mesh

    def sign_record(self, statement: bytes) -> tuple[str, str]:
        """Sign what this sentinel says of itself; returns kid and signature, both "" where nothing is signed."""
        return "", ""

    def check_record(self, node_id: str, kid: str, statement: bytes, signature: str) -> Verdict:
        """Check what a sentinel says of itself."""
        return None

    def may_offer(self, node_id: str, kid: str, name: str, link: Link) -> bool:
        """Tell whether a sentinel may offer a name, as it stands in its record.

        Args:
            node_id, kid: of the sentinel.
            link: by which the record came.
        """
        return True
