"""What a neighbour may do, as its credential says: plain values, held with the link and asked for everything it claims.

Pure. Where a grant comes from (a token of the fabric's authority, one of another issuer, a certificate, the config) is
``security/``'s business. Patterns are those of ``glob.py``; an empty list allows nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fame_cli.core.address import pool_matches
from fame_cli.core.glob import ANYTHING, matches_any

__all__ = ["ADMIN", "AGENT", "CLIENT", "PEER", "ROLES", "Grant", "Holder"]

AGENT, CLIENT, PEER, ADMIN = "agent", "client", "peer", "admin"

Holder = tuple[str, str]
"""Issuer and subject: what limits count by. Not the key, or whoever gets tokens for many keys would be many."""

ROLES = (AGENT, CLIENT, PEER, ADMIN)
"""What a node may be: an agent binds addresses, a client calls, a peer is a sentinel and announces what others bound.
An admin calls, too, looks after messages that nodes keep, and is for the rules of a policy to tell apart."""


@dataclass(slots=True, frozen=True)
class Grant:
    """Hold what one node may do.

    Args:
        subject: who it is: `sub` of its token, or the name in its certificate.
        node: pattern over the ids it may attach as.
        roles: what it may be, of `ROLES`.
        addresses: patterns over the logical and pool addresses it may bind.
        capabilities: patterns over the capabilities it may advertise under them.
        prefixes: patterns over the addresses a peer may announce for others.
        thumbprint: of the one key it may use (RFC 7638, SHA-256, base64url); "" for any.
        expires_at: seconds since the epoch; None for never.
        issuer: who says so: `iss` of the token, "" for the config.
        token_id: `jti`, "" when absent.
        issued_at: `iat`, seconds since the epoch; 0 when absent.
        scopes: of the token.
        claims: of the token, verified; for policies, and never logged.
    """

    subject: str
    node: str = ANYTHING
    roles: frozenset[str] = frozenset()
    addresses: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    thumbprint: str = ""
    expires_at: float | None = None
    issuer: str = ""
    token_id: str = ""
    issued_at: float = 0.0
    scopes: frozenset[str] = frozenset()
    claims: Mapping[str, Any] = field(default_factory=dict)

    @property
    def holder(self) -> Holder | None:
        """Whom limits count it for; None when it names nobody."""
        return (self.issuer, self.subject) if self.subject else None

    def may_be(self, role: str) -> bool:
        """Tell whether it may take a role."""
        return role in self.roles

    def may_attach_as(self, node_id: str) -> bool:
        """Tell whether it may use an id."""
        return matches_any((self.node,), node_id)

    def may_bind(self, address: str) -> bool:
        """Tell whether it may bind an address."""
        return AGENT in self.roles and matches_any(self.addresses, address)

    def may_answer(self, address: str) -> bool:
        """Tell whether it may answer what was asked of an address, its own or that of a pool it is in; "" for any."""
        if AGENT not in self.roles or not address or self.may_bind(address):
            return AGENT in self.roles
        name, _, host = address.partition("@")
        pools = [pattern.partition("@") for pattern in self.addresses if "@*." in pattern]
        return any(pool == name and pool_matches(pattern, host) for pool, _, pattern in pools)

    def may_advertise(self, capability: str, address: str) -> bool:
        """Tell whether it may offer a capability under an address."""
        return self.may_bind(address) and matches_any(self.capabilities, capability)

    def may_announce(self, address: str) -> bool:
        """Tell whether it may say that an address is reached through it."""
        return PEER in self.roles and matches_any(self.prefixes, address)
