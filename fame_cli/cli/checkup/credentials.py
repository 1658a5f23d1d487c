"""The checks of certificates and tokens: those of a node, as it would show them; nothing of them is shown here.

What is wrong with them is found by the code that uses them (``security/tls.py``, ``security/oauth.py``,
``security/setup.py``). Added here is what only shows later: that one ends soon, or is for another node.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from fame_cli.cli.checkup.bounds import run
from fame_cli.cli.checkup.case import Case, Subject, unheard
from fame_cli.cli.checkup.clocks import Dated, ages
from fame_cli.cli.checkup.findings import Finding, fail, fail_of, ok, warn
from fame_cli.config.fields import is_loopback
from fame_cli.config.schema import AgentConfig, SentinelConfig
from fame_cli.core.glob import matches_any
from fame_cli.core.grant import AGENT, PEER
from fame_cli.errors import AdmissionRefused, ConfigError, FameError
from fame_cli.security.authority import command_for
from fame_cli.security.certificates import CertificateRefused, node_named_in
from fame_cli.security.files import PUBLIC, read_file
from fame_cli.security.jose import TokenRefused, number, open_compact
from fame_cli.security.keystore import Home
from fame_cli.security.oauth import source_of
from fame_cli.security.settings import SecuritySettings
from fame_cli.security.tls import client_context, server_context

__all__ = ["CERTIFICATES", "TOKENS", "claims_of", "look_at_certificates", "look_at_tokens", "token_of"]

CERTIFICATES, TOKENS = "certificates", "tokens"

RENEW = "issue another: fame ca issue --node NAME --out FOLDER"


# --- certificates ----------------------------------------------------------------------------------------------------


def look_at_certificates(subject: Subject, case: Case) -> list[Finding]:
    """Say what is wrong with a node's certificates, or will be soon."""
    settings = subject.settings
    if settings is None or not subject.is_sound:
        return []
    now = case.machine.now()
    own, others = _read(settings.tls.certificate), _read(_authorities(settings))
    dated = [*_dated("the certificate", settings.tls.certificate, own[:1])]
    dated += _dated("the authority", _authorities(settings), others)
    told = [*ages(dated, now, settings.skew_s)]
    told += _unusable(settings, lambda: max([now, *(each.begins or 0.0 for each in dated)]))
    told += _unfit(subject, settings, own, others, now)
    if told or not dated:
        return told
    return [ok(CERTIFICATES, f"{', '.join(each.what for each in dated)}: good")]


def _authorities(settings: SecuritySettings) -> Path | None:
    """Return the file of whom the node believes: as the config says, or as its home has it."""
    if settings.tls.authorities is not None:
        return settings.tls.authorities
    is_strict = settings.profile == "strict-overlay" and settings.home is not None
    return settings.home / "ca.pem" if is_strict and settings.home is not None else None


def _read(path: Path | None) -> list[x509.Certificate]:
    """Return the certificates in a file, none where there are none to be had: that is said by who uses them."""
    try:
        return x509.load_pem_x509_certificates(read_file(path, PUBLIC) or b"") if path is not None else []
    except (ValueError, ConfigError):
        return []


def _dated(what: str, path: Path | None, certificates: Sequence[x509.Certificate]) -> Iterator[Dated]:
    if certificates:  # of several authorities some may be old
        begins = min(each.not_valid_before_utc for each in certificates).timestamp()
        ends = max(each.not_valid_after_utc for each in certificates).timestamp()
        yield Dated(CERTIFICATES, f"{what} in {path}", begins, ends, RENEW)


def _unusable(settings: SecuritySettings, clock: Callable[[], float]) -> Iterator[Finding]:
    """Yield what TLS would refuse; what isn't valid yet has been said, so `clock` is never before that."""
    for context in (server_context, client_context):
        try:
            context(settings.tls, clock)
        except ConfigError as error:
            yield fail_of(CERTIFICATES, error)


def _unfit(
    subject: Subject,
    settings: SecuritySettings,
    own: Sequence[x509.Certificate],
    others: Sequence[x509.Certificate],
    now: float,
) -> Iterator[Finding]:
    config, file = subject.config, settings.tls.certificate
    if (
        settings.tls.authorities is None
        and others
        and max(each.not_valid_after_utc for each in others).timestamp() < now
    ):
        yield fail(CERTIFICATES, f"the authority in {_authorities(settings)} has expired", "fame ca init", ConfigError)
    if not own:
        return
    named = _node_of(own[0])
    if named and config.id is not None and named != config.id:
        what = f"the certificate in {file} is of node {named}, and this one is {config.id}"
        yield fail(CERTIFICATES, what, f"fame ca issue --node {config.id} --out FOLDER", ConfigError)
    if settings.profile == "strict-overlay" and config.id is not None and settings.home is not None:
        record = Home(settings.home).node(config.id)
        if record is not None and record.keys.signing.public_key() != own[0].public_key():
            what = f"the certificate in {file} isn't of the key with which {config.id} signs"
            yield fail(CERTIFICATES, what, f"fame ca issue --node {config.id} --out FOLDER", ConfigError)
    if isinstance(config, SentinelConfig) and not _is_for(own[0], config.listen_host):
        what = f"the certificate in {file} isn't for {config.listen_host}, where it is shown"
        yield warn(CERTIFICATES, what, "fine if it is dialled by another name; else fame ca issue --dns or --ip")


def _node_of(certificate: x509.Certificate) -> str:
    """Return the id of the node that a certificate names, "" for none."""
    try:
        return node_named_in(certificate.public_bytes(Encoding.DER)).node_id
    except CertificateRefused:
        return ""


def _is_for(certificate: x509.Certificate, host: str) -> bool:
    """Tell whether a certificate is for a host; for one that stands for all addresses any name will do."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    hosts = [name.lower() for name in names.get_values_for_type(x509.DNSName)]
    addresses = names.get_values_for_type(x509.IPAddress)
    if host in ("0.0.0.0", "::"):
        return bool(hosts or addresses)
    ours = [each for each in addresses if isinstance(each, IPv4Address | IPv6Address) and each.is_loopback]
    if is_loopback(host) and (ours or "localhost" in hosts):
        return True
    try:
        return ip_address(host) in addresses
    except ValueError:
        return host.lower() in hosts or f"*.{host.lower().partition('.')[2]}" in hosts


# --- tokens ----------------------------------------------------------------------------------------------------------


def look_at_tokens(subject: Subject, case: Case) -> list[Finding]:
    """Say what is wrong with the tokens that a node shows, or will be soon."""
    if subject.settings is None or not subject.is_sound:
        return []
    urls = [target.url for target in subject.targets]
    apart = [url for url in urls if url in subject.settings.peers]
    others = [url for url in urls if url not in apart]  # where one and the same is shown
    told: list[Finding] = []
    for url in [*apart, *others[:1]]:
        settings = subject.settings_at(url)
        assert settings is not None
        told += run(_token(subject, settings, case.machine.now()))
    return told


async def _token(subject: Subject, settings: SecuritySettings, now: float) -> list[Finding]:
    try:
        return (await token_of(subject, settings, now))[1]
    except FameError as error:
        return [fail_of(TOKENS, error)]


async def token_of(subject: Subject, settings: SecuritySettings, now: float) -> tuple[str, list[Finding]]:
    """Get a token as the node would, "" where it has none to show, and say how it is.

    Raises:
        FameError: there is to be a token, and none that could be shown.
    """
    source = source_of(settings.admission, settings.plain_hosts)
    if source is None:
        return "", _without(settings)
    profile = "open" if settings.profile == "open" else "gated"  # more than that isn't about tokens
    security = subject.security(replace(settings, profile=profile, policy=None))
    await security.start(unheard, listens=False)
    token = (await source.get(now)).token
    claims = claims_of(token)
    if claims is None:
        return token, [ok(TOKENS, "there is a token, of a kind that nothing can be told of here")]
    told = [*ages([_dated_token(claims, settings)], now, settings.skew_s), *_unfit_token(subject, claims)]
    if _is_ours(settings, claims) and security.granted(token) is None and not told:
        what = f"the token isn't good by the keys in {settings.home}"
        told.append(fail(TOKENS, what, "see why: fame token show FILE", AdmissionRefused))
    return token, told or [ok(TOKENS, f"there is a token for {_subject_of(claims)}")]


def _without(settings: SecuritySettings) -> list[Finding]:
    if settings.profile == "open":
        return []
    if settings.home is not None and Home(settings.home).authority() is not None:
        return [ok(TOKENS, f"it issues its own, by the authority in {settings.home}")]
    if settings.tls.certificate is not None:
        return [ok(TOKENS, "there is none; it shows its certificate")]
    do = f"{command_for()}, where the authority is, and FAME_ADMISSION_TOKEN_FILE here"
    return [warn(TOKENS, "there is no token to show, and no authority that could issue one", do)]


def claims_of(token: str) -> Mapping[str, Any] | None:
    """Return what a token says, unverified; None if it isn't a JWT."""
    try:
        return open_compact(token).claims
    except TokenRefused:
        return None


def _dated_token(claims: Mapping[str, Any], settings: SecuritySettings) -> Dated:
    where = f" in {settings.admission.token_file}" if settings.admission.token_file is not None else ""
    begins = max((each for each in (number(claims.get("nbf")), number(claims.get("iat"))) if each), default=None)
    renew = f"get another, e.g. {command_for()}"
    return Dated(TOKENS, f"the token{where}", begins, number(claims.get("exp")), renew)


def _subject_of(claims: Mapping[str, Any]) -> str:
    name = claims.get("sub")
    return name[:80] if isinstance(name, str) and name.isprintable() else "somebody"


def _is_ours(settings: SecuritySettings, claims: Mapping[str, Any]) -> bool:
    """Tell whether a token is of the authority whose public keys are in the home folder."""
    keys = Home(settings.home).authority_keys() if settings.home is not None else []
    return any(key.get("iss") == claims.get("iss") for key in keys)


def _unfit_token(subject: Subject, claims: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what a token of ours doesn't allow and the node will ask for."""
    said, config = claims.get("fame"), subject.config
    if not isinstance(said, dict):
        return
    node, roles, addresses = said.get("node"), _texts(said.get("roles")), _texts(said.get("addresses"))
    if isinstance(node, str) and config.id is not None and not matches_any((node,), config.id):
        what = f"the token is for node {node[:80]}, and this one is {config.id}"
        do = f"fame token issue --node {config.id} --role ROLE --thumbprint JKT, or set FAME_NODE_ID"
        yield fail(TOKENS, what, do, AdmissionRefused)
    if isinstance(config, AgentConfig):
        address = config.agent.address
        if AGENT not in roles or not matches_any(addresses, address):
            what = f"the token doesn't allow to bind {address}"
            do = f"issue one that does: fame token issue --node NAME --role agent --address {address}"
            yield fail(TOKENS, what, do, AdmissionRefused)
    if any(target.as_peer for target in subject.targets) and PEER not in roles:
        what = "the token doesn't allow to be a peer"
        yield fail(TOKENS, what, "issue one that does: fame token issue --node NAME --role peer", AdmissionRefused)


def _texts(value: object) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()
