"""The sections of a configuration file about security, and what ``security/`` is told of them (SECURITY.md).

Pure, but that it asks where the home folder is. Files named in them are looked up beside the config file.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from fame_cli.config import fields
from fame_cli.config.fields import bad
from fame_cli.config.plain import environment
from fame_cli.config.section import Section
from fame_cli.config.security_fields import FileName, HostName, Pattern, Profile, Role, Token, host_of, located
from fame_cli.core.glob import ANYTHING
from fame_cli.core.grant import AGENT, CLIENT, PEER, Grant
from fame_cli.security.settings import Admission, Issuer, SecuritySettings, Tls

__all__ = [
    "AdmissionConfig",
    "AllowedConfig",
    "GrantConfig",
    "IssuerConfig",
    "SecurityConfig",
    "TlsConfig",
    "security_settings",
]

Clients = Annotated[Literal["none", "optional", "required"], BeforeValidator(fields.lowercase)]
Algorithm = Annotated[Literal["EdDSA", "RS256", "ES256"], BeforeValidator(fields.to_text)]


class AllowedConfig(Section):
    """Say what tokens allow that don't say so themselves."""

    node: Pattern = ANYTHING
    """Pattern over the node ids they may attach as."""

    roles: list[Role] = Field(default=[AGENT, CLIENT, PEER])
    """What they may be: agent, client, peer, admin. For peer a token needs the scope node.peer besides."""

    addresses: list[Pattern] = Field(default=[ANYTHING])
    """Patterns over the addresses they may bind."""

    capabilities: list[Pattern] = Field(default=[ANYTHING])
    """Patterns over the capabilities they may advertise."""

    prefixes: list[Pattern] = Field(default=[ANYTHING])
    """Patterns over the addresses they may announce as a peer."""

    def grant(self, subject: str = ANYTHING, issuer: str = "") -> Grant:
        """Return it as the fabric knows it."""
        lists = tuple(self.addresses), tuple(self.capabilities), tuple(self.prefixes)
        return Grant(subject, self.node, frozenset(self.roles), *lists, issuer=issuer)


class GrantConfig(AllowedConfig):
    """Say what somebody may do whose token doesn't say it."""

    subject: Pattern = ANYTHING
    """Pattern over whom it is for: `sub` of the token."""

    issuer: fields.Plain | None = None
    """Whose tokens it is for, `iss`; those of all issuers if not set."""

    roles: list[Role] = Field(default=[AGENT, CLIENT])
    """What they may be: agent, client, peer, admin."""


class IssuerConfig(Section):
    """Name somebody whose tokens are believed."""

    issuer: fields.Plain
    """`iss` of its tokens, exactly."""

    audience: fields.Plain
    """What `aud` of its tokens has to hold."""

    algorithm: Algorithm = "EdDSA"
    """The one algorithm of its signatures."""

    jwks_url: fields.HttpUrl | None = None
    """Where its keys are; <issuer>/.well-known/jwks.json if there is no key_file either."""

    key_file: FileName | None = None
    """JWK, JWKS or PEM file of its public keys, beside this file."""

    scope: fields.Plain = "node.connect"
    """A scope its tokens must have; empty for none."""

    grant: AllowedConfig = AllowedConfig()
    """What its tokens allow that don't say so themselves; those that do get no role that isn't in here."""

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        if self.jwks_url is not None and self.key_file is not None:
            raise bad("jwks_url and key_file exclude each other", "keep one", at=("key_file",))
        if self.jwks_url is None and self.key_file is None and not self.issuer.startswith(("http://", "https://")):
            raise bad("{value} has no keys", "add jwks_url or key_file", at=("issuer",))
        if self.jwks_url is None and self.key_file is None:
            try:
                fields.http_url(self.keys_url)
            except PydanticCustomError:
                raise bad("{value} isn't the URL of a server", "add jwks_url or key_file", at=("issuer",)) from None
        return self

    @property
    def keys_url(self) -> str:
        """Return where its keys are asked for, "" where a file has them."""
        if self.key_file is not None:
            return ""
        return self.jwks_url or f"{self.issuer.rstrip('/')}/.well-known/jwks.json"


class TlsConfig(Section):
    """Say how links are encrypted; all files are PEM."""

    certificate: FileName | None = None
    """Certificate of this node and those above it; a sentinel that has one listens for wss://."""

    key: FileName | None = None
    """Its private key."""

    authorities: FileName | None = None
    """Certificates of whom to believe; the system's if not set."""

    clients: Clients = "none"
    """Certificates a sentinel wants of those who dial it."""

    @model_validator(mode="after")
    def _check_pair(self) -> Self:
        given, missing = ("certificate", "key") if self.key is None else ("key", "certificate")
        if (self.certificate is None) != (self.key is None):
            raise bad(f"{{value}} is of no use without its {missing}", f"add tls.{missing}", at=(given,))
        if self.clients != "none" and self.authorities is None:
            raise bad("{value} needs authorities to check them by", "add tls.authorities", at=("clients",))
        return self


class SecurityConfig(Section):
    """Say whom this node trusts."""

    profile: Profile = "open"
    """`open` believes everybody, `gated` looks at credentials, `overlay` signs, and `strict-overlay` seals besides."""

    allow_open_public: fields.Flag = False
    """Let the open profile listen where other machines can reach it."""

    behind_proxy: fields.Flag = False
    """Let the other profiles listen there without TLS, because something in front of this node ends it."""

    home: FileName | None = None
    """Folder of keys and of the fabric's authority; FAME_HOME, $XDG_CONFIG_HOME/fame or ~/.config/fame if not set."""

    fabric: fields.Plain = "fame.fabric"
    """Name of the fabric, which its tokens are for, where the home folder doesn't say it."""

    issuers: list[IssuerConfig] = Field(default=[])
    """Others whose tokens are believed."""

    grants: list[GrantConfig] = Field(default=[])
    """What identities may do whose credential doesn't say it; the first that fits counts."""

    tls: TlsConfig = TlsConfig()
    """How links are encrypted."""

    plain_hosts: list[HostName] = Field(default=[])
    """Hosts that may be reached without TLS, beside this machine; where this node's own is among them, it may listen
    there without."""

    policy: FileName | None = None
    """File of rules beyond grants, see docs/policy.md."""

    audit: FileName | None = None
    """File for the audit log."""

    skew_s: Annotated[float, Field(gt=0, le=3600), BeforeValidator(fields.to_number)] = 60.0
    """Seconds that clocks may differ, and for which an envelope may be under way, above 0 up to 3600."""

    encryption: Annotated[Literal["sealed", "plain"], BeforeValidator(fields.lowercase)] = "sealed"
    """What `strict-overlay` does with the payloads of calls."""

    @model_validator(mode="after")
    def _check_profile(self) -> Self:
        rules = {"issuers": self.issuers, "grants": self.grants, "policy": self.policy}
        for name, value in rules.items():
            if value and "profile" not in self.model_fields_set:  # who chose open knows that everybody gets in
                hint = "add security.profile: gated, overlay or strict-overlay (open if it is to be so for now)"
                raise bad("counts only above the open profile, and no profile is chosen", hint, at=(name,))
        return self

    @model_validator(mode="after")
    def _check_issuers(self) -> Self:
        seen: set[str] = set()
        for index, each in enumerate(self.issuers):
            if each.issuer in seen:
                raise bad("{value} is there twice", "keep one", at=("issuers", index, "issuer"))
            seen.add(each.issuer)
            key = "issuer" if each.jwks_url is None else "jwks_url"
            self.check_url(each.keys_url, ("issuers", index, key), "would have its keys come in the clear")
        for index, grant in enumerate(self.grants):
            if grant.issuer is not None and grant.issuer not in seen:
                hint = "name one of them, or leave issuer out for all"
                raise bad("{value} isn't one of issuers", hint, at=("grants", index, "issuer"))
        return self

    def check_url(self, url: str, at: tuple[str | int, ...], harm: str, *, shows: bool = False) -> None:
        """Check that a server or node may be reached the way a URL says.

        Args:
            at: where the URL stands.
            harm: what would happen without TLS.
            shows: True where a secret of the config goes there, whatever the profile.

        Raises:
            PydanticCustomError: it leads to another machine in the clear.
        """
        host = host_of(url)
        is_clear = url.partition(":")[0].lower() in ("ws", "http")
        if not is_clear or not (shows or self.profile != "open") or fields.is_loopback(host):
            return
        if host not in self.plain_hosts:
            secure = "wss" if url[:2].lower() == "ws" else "https"
            raise bad(f"{{value}} {harm}", f"use {secure}://, or add {host} to security.plain_hosts", at=at)


class AdmissionConfig(Section):
    """Say what this node shows where it dials; where the home folder has the authority it needs nothing."""

    profile: Annotated[Literal["open", "direct", "none"], BeforeValidator(fields.lowercase)] = "open"
    """`direct` insists on one of the tokens below; `none` is for a sentinel without a parent."""

    token: Token | None = None
    """A token, as it is."""

    token_file: FileName | None = None
    """File with a token; read again when it changes."""

    token_url: fields.HttpUrl | None = None
    """Server that gives one for client_id and client_secret (OAuth 2.0 client credentials)."""

    client_id: fields.Plain | None = None
    """Who asks there."""

    client_secret: fields.Plain | None = None
    """The secret it asks with."""

    audience: fields.Plain | None = None
    """Audience to ask for."""

    scope: fields.Plain = "node.connect"
    """Scope to ask for."""

    @property
    def sources(self) -> list[str]:
        """Return the keys that say where the token comes from."""
        given = {"token": self.token, "token_file": self.token_file, "token_url": self.token_url}
        return [name for name, value in given.items() if value is not None]

    def told(self, base_dir: Path) -> Admission:
        """Return it as ``security/`` knows it."""
        return Admission(
            self.token or "",
            _file(self.token_file, base_dir),
            self.token_url or "",
            self.client_id or "",
            self.client_secret or "",
            self.audience or "",
            self.scope,
        )

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        named = self.sources
        if len(named) > 1:
            raise bad(f"{named[0]} and {named[1]} exclude each other", "keep one", at=(named[1],))
        if self.token_url is not None and not (self.client_id and self.client_secret):
            raise bad("{value} needs client_id and client_secret", "add them", at=("token_url",))
        for name, value in (("client_id", self.client_id), ("client_secret", self.client_secret)):
            if value is not None and self.token_url is None:
                raise bad(f"{name} is for a token server, and none is named", "add token_url", at=(name,))
        if self.profile == "direct" and not named:
            hint = "add token, token_file or token_url, or set FAME_ADMISSION_TOKEN, …_FILE or …_URL"
            raise bad("{value} needs a token", hint, at=("profile",))
        return self


def security_settings(
    security: SecurityConfig,
    admission: AdmissionConfig,
    base_dir: Path,
    peers: Mapping[str, AdmissionConfig] | None = None,
) -> SecuritySettings | None:
    """Return what a node is told about security; None where there is nothing to tell.

    Args:
        admission: what it shows where it dials.
        base_dir: where files are looked up.
        peers: attach URL of a peer → what it shows there instead.

    Raises:
        ConfigError: the policy can't be loaded, or there is no home folder.
    """
    settings = SecuritySettings(
        profile=security.profile,
        fabric=security.fabric,
        issuers=tuple(_issuer(each, base_dir) for each in security.issuers),
        grants=tuple(each.grant(each.subject, each.issuer or "") for each in security.grants),
        admission=admission.told(base_dir),
        peers={url: each.told(base_dir) for url, each in (peers or {}).items()},
        tls=_tls(security.tls, base_dir),
        plain_hosts=tuple(security.plain_hosts),
        audit=_file(security.audit, base_dir),
        skew_s=security.skew_s,
        encryption=security.encryption,
        home=_file(security.home, base_dir),
    )
    if settings.is_idle and security.policy is None:
        return None
    return _completed(settings, _file(security.policy, base_dir))


def _completed(settings: SecuritySettings, policy: Path | None) -> SecuritySettings:
    from fame_cli.config.policy_file import PolicyFile  # slow to import, and most nodes have no policy
    from fame_cli.security.keystore import home_folder  # likewise: the open profile needs no keys

    home = settings.home
    if home is None and settings.profile != "open":
        home = home_folder(environment())
    return replace(settings, home=home, policy=PolicyFile(policy) if policy is not None else None)


def _issuer(config: IssuerConfig, base_dir: Path) -> Issuer:
    key_file, grant = _file(config.key_file, base_dir), config.grant.grant()
    return Issuer(config.issuer, config.audience, config.algorithm, config.keys_url, key_file, config.scope, grant)


def _tls(config: TlsConfig, base_dir: Path) -> Tls:
    certificate, key = _file(config.certificate, base_dir), _file(config.key, base_dir)
    return Tls(certificate, key, _file(config.authorities, base_dir), config.clients)


def _file(name: str | None, base_dir: Path) -> Path | None:
    return None if name is None else located(name, base_dir)
