"""What one node has of security, made of its settings: its gate, what it shows where it dials, whom it lets in.

This is the one place where the parts come together; ``node/`` holds a `Security` and knows none of them. Times are
seconds since the epoch.
"""

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from fame_cli.core.address import is_node_id
from fame_cli.core.gate import Gate, Refusal, Unknown
from fame_cli.core.glob import glob_matches
from fame_cli.core.grant import Grant
from fame_cli.core.link import Link
from fame_cli.errors import AdmissionRefused, ConfigError
from fame_cli.security.audit import AUDITED, AuditLog, LogEvent
from fame_cli.security.authority import command_for
from fame_cli.security.dpop import ProofChecker, proof
from fame_cli.security.gated import GrantGate
from fame_cli.security.jose import TokenRefused, open_compact
from fame_cli.security.judging import Judge
from fame_cli.security.jwk import NodeKeys, generate
from fame_cli.security.keystore import Home
from fame_cli.security.oauth import Credential, CredentialSource, SelfIssued, source_of
from fame_cli.security.overlay import KeyGate, Means
from fame_cli.security.settings import SecuritySettings
from fame_cli.security.tls import client_context, server_context
from fame_cli.security.tokens import KeysMissing, TokenVerifier

__all__ = ["Security"]


class Security:
    """Hold what one node has of security.

    Args:
        settings: of the node.
        wanted: who it is and what it does, for the grant it issues itself where the authority is at hand.
        named: True when its id comes from a config: then its keys are kept.
        clock: the time.

    Attributes:
        gate: for the core.
        audit: where what happens is taken down; None where nobody wants it.
    """

    def __init__(
        self, settings: SecuritySettings, wanted: Grant, *, named: bool, clock: Callable[[], float] = time.time
    ) -> None:
        self.settings = settings
        self._clock = clock
        self._home = Home(settings.home, clock) if settings.home is not None else None
        self._keeps_keys = named and self._home is not None and settings.profile != "open"
        self._keys = self._own_keys(wanted)
        self._id = wanted.node
        self._command = command_for(replace(wanted, thumbprint=self._keys.thumbprint) if self._keeps_keys else None)
        self._source = self._own_source(wanted)
        self._credential = Credential("", None)
        self._apart = self._other_sources()
        self._shown: dict[str, str] = {}
        self._links: dict[str, Link] = {}
        self._verifier = self._whom_to_believe()
        self._proofs = ProofChecker(settings.skew_s)
        client_context(settings.tls)  # what is wrong with its files is said now, not where it dials
        self._log_event: LogEvent | None = None
        self.gate = Gate()
        self.audit: AuditLog | None = None
        self._judge: Judge | None = None

    def _own_keys(self, wanted: Grant) -> NodeKeys:
        if self._keeps_keys and self._home is not None:
            return self._home.node_keys(wanted.node)
        return generate()

    def _own_source(self, wanted: Grant) -> CredentialSource | None:
        source = source_of(self.settings.admission, self.settings.plain_hosts, self._command)
        if source is not None or self.settings.profile == "open" or self._home is None:
            return source
        if self._home.authority() is None:
            return None
        return SelfIssued(self._home.authority, replace(wanted, thumbprint=self._keys.thumbprint))

    def _other_sources(self) -> dict[str, CredentialSource]:
        told, plain_hosts = self.settings.peers, self.settings.plain_hosts
        found = {url: source_of(admission, plain_hosts, self._command) for url, admission in told.items()}
        return {url: source for url, source in found.items() if source is not None}

    def _whom_to_believe(self) -> TokenVerifier:
        settings, home = self.settings, self._home
        return TokenVerifier(
            settings.issuers,
            home.authority_keys if home is not None else [],
            (home.fabric() if home is not None else "") or settings.fabric,
            settings.skew_s,
            settings.grants,
            home.revoked if home is not None else lambda token_id: False,
            look_again=home.look_again if home is not None else lambda: None,
            plain_hosts=settings.plain_hosts,
        )

    async def start(self, log_event: LogEvent, *, listens: bool) -> None:
        """Get this node's credential and make its gate.

        Args:
            log_event: says in the ordinary log what goes wrong with the audit log and with files that change.

        Raises:
            ConfigError: it is to listen, and there is nobody whose credentials could be believed.
            AdmissionRefused: its credential is for another key, or it gets none.
            ConnectError: the token server isn't there.
        """
        settings, self._log_event = self.settings, log_event
        if settings.audit is not None:
            self.audit = AuditLog(settings.audit, log_event, asyncio.get_running_loop().call_soon)
        if self._source is not None:
            self._credential = await self._source.get(self._clock())
            self._check_binding(self._credential.token)
        if settings.profile == "open":
            return
        if listens and not settings.issuers and not (self._home is not None and self._home.authority_keys()):
            hint = "run fame keys init, or name security.issuers"
            raise ConfigError(f"profile {settings.profile}: nobody's credentials are believed", hint=hint)
        judge = self._judge = Judge(settings.policy, self._clock, self.tell) if settings.policy is not None else None
        if settings.profile == "gated":
            self.gate = GrantGate(self._clock, self.granted, judge)
            return
        token = self._credential.token if self._is_bound(self._credential.token) else ""
        means = Means(self._clock, self._keys, token, self.granted, settings.skew_s, judge, self._verifier.is_revoked)
        self.gate = self._strict(means) if settings.profile == "strict-overlay" else KeyGate(means)

    def _strict(self, means: Means) -> Gate:
        from fame_cli.security.chains import Chains  # certificates: no other profile needs them
        from fame_cli.security.strict import StrictGate

        chains = Chains(self.settings, self._keys, self._clock)
        seals = self.settings.encryption == "sealed"
        return StrictGate(means, certify=chains.certify, anchors=chains.anchors, seals=seals)

    def _check_binding(self, token: str) -> None:
        if not self._is_bound(token) or _binding(token) == self._keys.thumbprint:
            return
        name = _subject_of(token)
        what = f"the token is for another key than this node's, that of {name or 'somebody'}"
        if self.settings.profile == "open":
            hint = "set FAME_SECURITY_PROFILE as its sentinel has it: in profile open a node has no key of its own"
        elif name and name != self._id:
            hint = f"set FAME_NODE_ID={name} (id of a config, --id) where the keys of {name} are"
            hint += f", or issue one for {self._id}: {self._command}" if self._keeps_keys else ""
        else:
            hint = f"use the home folder it was issued for (FAME_HOME), or issue another: {self._command}"
        raise AdmissionRefused(what, hint=hint)

    def _is_bound(self, token: str) -> bool:
        return bool(token) and bool(_binding(token))

    def granted(self, token: str) -> Grant | None:
        """Return what a token allows, None if it isn't to be believed now."""
        try:
            return self._verifier.verify(token, self._clock())
        except (TokenRefused, KeysMissing):
            return None

    def tell(self, event: str, facts: Mapping[str, object]) -> None:
        """Take something down in the audit log, if there is one."""
        if self.audit is not None and event in AUDITED:
            self.audit.write(event, facts, self._clock())

    def close(self) -> None:
        """Write what the audit log still has to, and let its file go."""
        if self.audit is not None:
            self.audit.close()

    def look_again(self) -> bool:
        """Load the policy anew if it has changed; True if there is another one now.

        Raises:
            ConfigError: it has changed for the worse, and the old one stays.
        """
        return self.settings.policy is not None and self.settings.policy.refresh()

    def adjust(self, told: SecuritySettings) -> None:
        """Show single peers what `told` says, and take the policy from where it says; the rest stays as it was."""
        policy = self.settings.policy
        if self._judge is not None and told.policy is not None:
            policy = self._judge.source = told.policy
        self.settings = replace(self.settings, peers=told.peers, policy=policy)
        self._apart = self._other_sources()
        self._links = {url: link for url, link in self._links.items() if url in self._apart}

    @property
    def server_tls(self) -> ssl.SSLContext | None:
        """How a listener of this node encrypts; None for not at all.

        Raises:
            ConfigError: its files can't be used.
        """
        return server_context(self.settings.tls, self._clock, self._tell_not_loaded)

    def _tell_not_loaded(self, error: ConfigError) -> None:
        log_event = self._log_event
        if log_event is not None:
            log_event("certificate_not_loaded", "error", reason=str(error))

    # Where we dial

    async def show(self, url: str) -> tuple[str, str, ssl.SSLContext | None]:
        """Return the token to show at a URL, the proof that it is ours, "" for none, and how to do TLS there.

        Raises:
            AdmissionRefused, ConnectError, ConfigError: there is no token that is good now.
        """
        tls = client_context(self.settings.tls)
        place = url.rpartition("/")[0]
        source = self._apart.get(place, self._source)
        if source is None:
            return "", "", tls
        now = self._clock()
        token = (await source.get(now)).token
        if place in self._apart:
            self._check_binding(token)
            self._shown[place] = token
        shown = proof(self._keys, url, token, now) if self._is_bound(token) else ""
        return token, shown, tls

    def dialed(self, url: str, link: Link) -> None:
        """Take down which link leads to an attach URL, where a credential of its own is shown."""
        if url in self._apart:
            self._links[url] = link

    @property
    def apart(self) -> Mapping[str, Link]:
        """Attach URL → link, of those that are shown a credential of their own."""
        return self._links

    async def renewed_apart(self, url: str) -> str:
        """Return a new token for one of `apart` if the last one has been replaced since, "" if not.

        Raises:
            AdmissionRefused, ConnectError, ConfigError: there is no token that is good now.
        """
        token = (await self._apart[url].get(self._clock())).token
        if token == self._shown.get(url):
            return ""
        self._check_binding(token)
        self._shown[url] = token
        return token

    async def renewed(self) -> str:
        """Return a new token if the last one has been replaced since, "" if not; ask before it expires."""
        if self._source is None:
            return ""
        credential = await self._source.get(self._clock())
        if credential.token == self._credential.token:
            return ""
        self._check_binding(credential.token)
        self._credential = credential
        return credential.token

    # Where others dial

    def admit(self, path: str, token: str, shown: str, certificate: bytes = b"") -> Grant | Refusal | Unknown | None:
        """Return what whoever asks for a link may do.

        Args:
            path: that was asked for.
            token: that was shown, "" for none.
            shown: the proof that came with it.
            certificate: DER of the dialler's, which TLS has verified; it counts where no token was shown.

        Returns:
            None where this profile doesn't ask. `Unknown` with the name of an issuer whose keys have to be fetched
            first, see `fetch`. A refusal's reason may be told.
        """
        if self.settings.profile == "open":
            return None
        if not token:
            return self._admit_certificate(certificate) if certificate else Refusal("UNAUTHORIZED", "no token")
        now = self._clock()
        try:
            grant = self._verifier.verify(token, now)
            if grant.thumbprint:
                self._proofs.check(shown, path, token, grant.thumbprint, now)
        except KeysMissing as missing:
            return Unknown(missing.issuer)
        except TokenRefused as refused:
            return Refusal("UNAUTHORIZED", str(refused))
        return grant

    def _admit_certificate(self, der: bytes) -> Grant | Refusal:
        """Return what the holder of a certificate may do: what the config grants to its node."""
        from fame_cli.security.certificates import CertificateRefused, node_named_in  # who has no TLS needs none

        try:
            name = node_named_in(der).node_id
        except CertificateRefused:
            name = ""
        if not name:
            return Refusal("UNAUTHORIZED", "no token, and no certificate of a node")
        for grant in self.settings.grants:
            if not grant.issuer and glob_matches(grant.subject, name):
                return replace(grant, subject=name, node=name)
        return Refusal("UNAUTHORIZED", "no grant of the config is for its certificate")

    async def fetch(self, issuer: str) -> None:
        """Fetch the keys of an issuer."""
        await self._verifier.refresh(issuer, self._clock())


def _subject_of(token: str) -> str:
    """Return the id of the node a token is for, "" where it names none; nothing of it is verified."""
    try:
        name = open_compact(token).claims.get("sub")
    except TokenRefused:
        return ""
    return name if isinstance(name, str) and is_node_id(name) else ""


def _binding(token: str) -> str:
    """Return the thumbprint of the key a token is bound to, "" for none; nothing of it is verified."""
    try:
        bound = open_compact(token).claims.get("cnf")
    except TokenRefused:
        return ""
    found = bound.get("jkt") if isinstance(bound, dict) else None
    return found if isinstance(found, str) else ""
