"""The sections of a configuration file about security, and what ``security/`` is told of them (SECURITY.md).

Pure, but that it asks where the home folder is. Files named in them are looked up beside the config file.
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from fame_cli.config import fields
from fame_cli.config.fields import bad
from fame_cli.config.plain import environment
from fame_cli.config.section import Section
from fame_cli.core.glob import ANYTHING, check_glob
from fame_cli.core.grant import ROLES, Grant
from fame_cli.errors import ConfigError
from fame_cli.security.settings import Admission, Issuer, SecuritySettings, Tls

__all__ = ["AdmissionConfig", "GrantConfig", "IssuerConfig", "SecurityConfig", "TlsConfig", "security_settings"]

_CALLBACK = frozenset({"gated-callback", "overlay-callback"})


def _profile(value: object) -> object:
    text = fields.lowercase(value)
    if isinstance(text, str) and text in _CALLBACK:
        raise bad("{value} has sentinels dial whom they were told to, which fame doesn't", f"use {text.split('-')[0]}")
    return text


def _pattern(value: object) -> object:
    text = fields.to_text(value)
    if isinstance(text, str):
        try:
            check_glob(text)
        except ConfigError as error:
            raise bad(f"{{value}} isn't a pattern: {error.message}", "use text with *, ** and ?") from None
    return text


def _role(value: object) -> object:
    text = fields.lowercase(value)
    if isinstance(text, str) and text not in ROLES:
        raise bad("{value} isn't a role", f"use {', '.join(ROLES)}")
    return text


Pattern = Annotated[str, BeforeValidator(_pattern)]
Role = Annotated[str, BeforeValidator(_role)]
Profile = Annotated[Literal["open", "gated", "overlay", "strict-overlay"], BeforeValidator(_profile)]


class GrantConfig(Section):
    """Say what somebody may do whose credential doesn't say it."""

    subject: Pattern = ANYTHING
    """Pattern over whom it is for: `sub` of the token."""

    node: Pattern = ANYTHING
    """Pattern over the node ids they may attach as."""

    roles: list[Role] = Field(default=["agent", "client"])
    """What they may be: agent, client, peer, admin."""

    addresses: list[Pattern] = Field(default=[ANYTHING])
    """Patterns over the addresses they may bind."""

    capabilities: list[Pattern] = Field(default=[ANYTHING])
    """Patterns over the capabilities they may advertise."""

    prefixes: list[Pattern] = Field(default=[ANYTHING])
    """Patterns over the addresses they may announce as a peer."""

    def grant(self) -> Grant:
        """Return it as the fabric knows it."""
        lists = tuple(self.addresses), tuple(self.capabilities), tuple(self.prefixes)
        return Grant(self.subject, self.node, frozenset(self.roles), *lists)


class IssuerConfig(Section):
    """Name somebody whose tokens are believed."""

    issuer: fields.Plain
    """`iss` of its tokens, exactly."""

    audience: fields.Plain
    """What `aud` of its tokens has to hold."""

    algorithm: Annotated[Literal["EdDSA", "RS256", "ES256"], BeforeValidator(fields.to_text)] = "EdDSA"
    """The one algorithm of its signatures."""

    jwks_url: fields.HttpUrl | None = None
    """Where its keys are; <issuer>/.well-known/jwks.json if there is no key_file either."""

    key_file: fields.Plain | None = None
    """JWK, JWKS or PEM file of its public keys, beside this file."""

    scope: fields.Plain = "node.connect"
    """A scope its tokens must have; empty for none."""

    grant: GrantConfig = GrantConfig()
    """What its tokens allow that don't say so themselves; the role peer needs the scope node.peer besides."""

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        if self.jwks_url is not None and self.key_file is not None:
            raise bad("jwks_url and key_file exclude each other", "keep one", at=("key_file",))
        if self.jwks_url is None and self.key_file is None and not self.issuer.startswith(("http://", "https://")):
            raise bad("{value} has no keys", "add jwks_url or key_file", at=("issuer",))
        return self


class TlsConfig(Section):
    """Say how links are encrypted; all files are PEM."""

    certificate: fields.Plain | None = None
    """Certificate of this node and those above it; a sentinel that has one listens for wss://."""

    key: fields.Plain | None = None
    """Its private key."""

    authorities: fields.Plain | None = None
    """Certificates of whom to believe; the system's if not set."""

    clients: Annotated[Literal["none", "optional", "required"], BeforeValidator(fields.lowercase)] = "none"
    """Certificates a sentinel wants of those who dial it."""

    @model_validator(mode="after")
    def _check_pair(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise bad(
                "a certificate and its key go together", "name both", at=("key" if self.certificate else "certificate",)
            )
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

    home: fields.Plain | None = None
    """Folder of keys and of the fabric's authority; $XDG_CONFIG_HOME/fame or ~/.config/fame if not set."""

    fabric: fields.Plain = "fame.fabric"
    """Name of the fabric, which its tokens are for, where the home folder doesn't say it."""

    issuers: list[IssuerConfig] = Field(default=[])
    """Others whose tokens are believed."""

    grants: list[GrantConfig] = Field(default=[])
    """What identities may do whose credential doesn't say it; the first that fits counts."""

    tls: TlsConfig = TlsConfig()
    """How links are encrypted."""

    plain_hosts: list[fields.Plain] = Field(default=[])
    """Hosts that may be reached without TLS, beside this machine."""

    policy: fields.Plain | None = None
    """File of rules beyond grants, see docs/policy.md."""

    audit: fields.Plain | None = None
    """File for the audit log."""

    skew_s: Annotated[float, Field(gt=0, le=3600), BeforeValidator(fields.to_number)] = 60.0
    """Seconds that clocks may differ, and for which an envelope may be under way, above 0 up to 3600."""

    encryption: Annotated[Literal["sealed", "plain"], BeforeValidator(fields.lowercase)] = "sealed"
    """What `strict-overlay` does with the payloads of calls."""

    def check_url(self, url: str, at: tuple[str | int, ...]) -> None:
        """Check that a node may be reached the way a URL says.

        Raises:
            PydanticCustomError: it leads to another machine in the clear.
        """
        scheme, _, rest = url.partition("://")
        host = rest.partition("/")[0].rpartition(":")[0].strip("[]") or rest.partition("/")[0]
        if self.profile == "open" or scheme != "ws" or fields.is_loopback(host) or host in self.plain_hosts:
            return
        hint = f"use wss://, or add {host} to security.plain_hosts"
        raise bad(f"{{value}} would show credentials to whoever listens on the way ({self.profile})", hint, at=at)


class AdmissionConfig(Section):
    """Say what this node shows where it dials; where the home folder has the authority it needs nothing."""

    profile: Annotated[Literal["open", "direct", "none"], BeforeValidator(fields.lowercase)] = "open"
    """`direct` insists on one of the tokens below."""

    token: fields.Plain | None = None
    """A token, as it is."""

    token_file: fields.Plain | None = None
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

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        named = [name for name in ("token", "token_file", "token_url") if self.model_dump()[name] is not None]
        if len(named) > 1:
            raise bad(f"{named[0]} and {named[1]} exclude each other", "keep one", at=(named[1],))
        if self.token_url is not None and not (self.client_id and self.client_secret):
            raise bad("{value} needs client_id and client_secret", "add them", at=("token_url",))
        if self.profile == "direct" and not named:
            hint = "add token, token_file or token_url, or set FAME_ADMISSION_TOKEN, …_FILE or …_URL"
            raise bad("{value} needs a token", hint, at=("profile",))
        return self


def security_settings(security: SecurityConfig, admission: AdmissionConfig, base_dir: Path) -> SecuritySettings | None:
    """Return what a node is told about security; None where there is nothing to tell.

    Raises:
        ConfigError: the policy can't be loaded, or there is no home folder.
    """
    settings = SecuritySettings(
        profile=security.profile,
        fabric=security.fabric,
        issuers=tuple(_issuer(each, base_dir) for each in security.issuers),
        grants=tuple(each.grant() for each in security.grants),
        admission=Admission(
            admission.token or "",
            _file(admission.token_file, base_dir),
            admission.token_url or "",
            admission.client_id or "",
            admission.client_secret or "",
            admission.audience or "",
            admission.scope,
        ),
        tls=_tls(security.tls, base_dir),
        plain_hosts=tuple(security.plain_hosts),
        audit=_file(security.audit, base_dir),
        skew_s=security.skew_s,
        encryption=security.encryption,
        home=Path(security.home).expanduser() if security.home else None,
    )
    if settings.is_idle and security.policy is None and settings.audit is None:
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
    key_file = _file(config.key_file, base_dir)
    url = config.jwks_url or ("" if key_file else f"{config.issuer.rstrip('/')}/.well-known/jwks.json")
    return Issuer(config.issuer, config.audience, config.algorithm, url, key_file, config.scope, config.grant.grant())


def _tls(config: TlsConfig, base_dir: Path) -> Tls:
    certificate, key = _file(config.certificate, base_dir), _file(config.key, base_dir)
    return Tls(certificate, key, _file(config.authorities, base_dir), config.clients)


def _file(name: str | None, base_dir: Path) -> Path | None:
    return None if name is None else base_dir / Path(name).expanduser()
