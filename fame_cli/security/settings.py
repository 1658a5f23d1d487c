"""What a node is told about security: plain values that the config fills in and ``setup.py`` reads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fame_cli.core.grant import Grant

if TYPE_CHECKING:
    from fame_cli.security.policy import Policy

__all__ = ["PROFILES", "Admission", "Issuer", "PolicySource", "SecuritySettings", "Tls"]

PROFILES = ("open", "gated", "overlay", "strict-overlay")
"""From "everybody may do everything" to "sentinels carry what they can't read" (SECURITY.md)."""


@dataclass(slots=True, frozen=True)
class Issuer:
    """Name somebody whose tokens are believed, and how far.

    Args:
        issuer: `iss` of its tokens, exactly.
        audience: what `aud` has to hold.
        algorithm: the one algorithm of its signatures: EdDSA, RS256 or ES256.
        jwks_url: where its keys are; "" when `key_file` has them.
        key_file: JWK, JWKS or PEM of its public keys.
        scope: a scope its tokens must have, "" for none.
        grant: what a token of it allows that carries no ``fame`` claim of its own.
    """

    issuer: str
    audience: str
    algorithm: str = "EdDSA"
    jwks_url: str = ""
    key_file: Path | None = None
    scope: str = "node.connect"
    grant: Grant | None = None


@dataclass(slots=True, frozen=True)
class Admission:
    """Say what this node shows where it dials.

    Args:
        token: a token, as it is.
        token_file: where one is; read again when the file changes.
        token_url: where to ask for one by client credentials (RFC 6749, 4.4).
        client_id, client_secret: the client's.
        audience: asked for.
        scope: asked for.
    """

    token: str = field(default="", repr=False)
    token_file: Path | None = None
    token_url: str = ""
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    audience: str = ""
    scope: str = "node.connect"


@dataclass(slots=True, frozen=True)
class Tls:
    """Say how links are encrypted: all PEM files.

    Args:
        certificate, key: of this node; a listener with them speaks ``wss://``, a dialler shows them when asked.
        authorities: whom to believe; None for the system's.
        clients: what a listener wants of those who dial: none, optional or required certificates.
    """

    certificate: Path | None = None
    key: Path | None = None
    authorities: Path | None = None
    clients: str = "none"


class PolicySource(Protocol):
    """Keep a policy in step with where it comes from (``config/policy_file.py``)."""

    policy: "Policy"

    def refresh(self) -> bool:
        """Look whether it has changed; True if there is another policy now.

        Raises:
            ConfigError: it has changed for the worse, and the old one stays.
        """
        ...


@dataclass(slots=True, frozen=True)
class SecuritySettings:
    """Hold what a node is told about security.

    Args:
        profile: one of `PROFILES`.
        home: folder of the fabric's authority and of this node's keys (``fame keys init``).
        fabric: name of the fabric: `aud` of the authority's tokens.
        issuers: others whose tokens are believed.
        grants: what identities may do whose credential doesn't say it: by `subject`, a pattern, and by `issuer`, "" for
            any.
        admission: what this node shows where it dials.
        peers: attach URL of a peer → what it shows there instead.
        tls: how links are encrypted.
        plain_hosts: hosts besides loopback that may be reached by ``ws://``.
        policy: what keeps the rules beyond grants; None for none.
        audit: file for the audit log; None for none.
        skew_s: seconds that clocks may differ, and that old envelopes are taken, > 0.
        encryption: what a strict node does with its payloads: sealed or plain.
    """

    profile: str = "open"
    home: Path | None = None
    fabric: str = "fame.fabric"
    issuers: tuple[Issuer, ...] = ()
    grants: tuple[Grant, ...] = ()
    admission: Admission = Admission()
    peers: Mapping[str, Admission] = field(default_factory=dict)
    tls: Tls = Tls()
    plain_hosts: tuple[str, ...] = ()
    policy: PolicySource | None = None
    audit: Path | None = None
    skew_s: float = 60.0
    encryption: str = "sealed"

    @property
    def is_idle(self) -> bool:
        """Tell whether there is nothing to do: everybody is believed, nobody is shown anything, nothing taken down."""
        shows = any(each.token or each.token_file or each.token_url for each in (self.admission, *self.peers.values()))
        return self.profile == "open" and not shows and self.tls == Tls() and self.audit is None
