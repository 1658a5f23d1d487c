"""TLS of links: contexts for those who listen and those who dial, made of PEM files.

Certificates run out and are replaced, so the files are looked at again, for a listener at each handshake, for a dialler
at each dial. What has changed is read into a *new* context: an authority that is taken out of its file is believed no
longer. Sessions aren't resumed, which would get around that.
"""

import ssl
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from fame_cli.errors import ConfigError
from fame_cli.security.files import PUBLIC, read_file
from fame_cli.security.settings import Tls

__all__ = ["client_context", "server_context"]

Clock = Callable[[], float]
Stamps = tuple[tuple[int, int, int], ...]

HINT = "check security.tls"
UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion)


def _ignored(error: ConfigError) -> None:
    """Take that files have changed for the worse."""


def server_context(
    tls: Tls, clock: Clock = time.time, failed: Callable[[ConfigError], None] = _ignored
) -> ssl.SSLContext | None:
    """Return what a listener needs; None where it speaks in the clear.

    Args:
        tls: files, and what is wanted of those who dial.
        clock: seconds since the epoch.
        failed: told when the files have changed and can't be used; the old ones stay in force until they change again.

    Raises:
        ConfigError: a file isn't there, isn't PEM or has expired, or the key doesn't fit; or certificates are wanted of
            those who dial and nobody is named who may issue them.
    """
    if tls.certificate is None and tls.key is None:
        return None
    stamps = _stamps(tls)
    context = current = _server(tls, clock())

    def look_again(connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
        """Have this handshake go on with what the files say now; OpenSSL asks with or without a name to look up."""
        nonlocal stamps, current
        found = _stamps(tls)
        if found != stamps:
            stamps = found
            try:
                current = _server(tls, clock())
            except ConfigError as error:  # half written, perhaps
                failed(error)
        connection.context = current

    context.sni_callback = look_again
    return context


def client_context(tls: Tls, clock: Clock = time.time) -> ssl.SSLContext | None:
    """Return what a dialler needs beyond the system's authorities; None where these will do.

    Call it before each dial: as long as the files stay as they are, the same context comes back.

    Raises:
        ConfigError: a file isn't there, isn't PEM or has expired, or the key doesn't fit.
    """
    if tls.certificate is None and tls.authorities is None:
        return None
    return _client(tls, _stamps(tls), clock)


@lru_cache(maxsize=16)
def _client(tls: Tls, stamps: Stamps, clock: Clock) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    now = datetime.fromtimestamp(clock(), UTC)
    if tls.certificate is not None:
        _load_own(context, tls, now)
    if tls.authorities is not None:
        context.load_verify_locations(cadata=_authorities(tls.authorities, now))
    else:
        context.load_default_certs()
    return context


def _server(tls: Tls, now_s: float) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0  # those of TLS 1.3
    now = datetime.fromtimestamp(now_s, UTC)
    _load_own(context, tls, now)
    if tls.clients == "none":
        return context
    if tls.authorities is None:  # the system's would admit whoever has a web server
        hint = "name who issues them: security.tls.authorities"
        raise ConfigError(f"{tls.clients}: nobody is named whose certificates count", source="tls.clients", hint=hint)
    context.verify_mode = ssl.CERT_REQUIRED if tls.clients == "required" else ssl.CERT_OPTIONAL
    context.load_verify_locations(cadata=_authorities(tls.authorities, now))
    return context


def _load_own(context: ssl.SSLContext, tls: Tls, now: datetime) -> None:
    """Load a node's own certificate and key, once they have been found good: OpenSSL doesn't say what is wrong."""
    if tls.certificate is None or tls.key is None:
        raise ConfigError("a certificate and its key go together", source="security.tls", hint="name both")
    leaf = _certificates(tls.certificate)[0]
    _check_time(tls.certificate, [leaf], now)
    try:
        key = load_pem_private_key(_content(tls.key, secret=True), None)
    except TypeError:  # it has a password
        hint = "take the password off it: openssl pkey -in FILE -out FILE"
        raise ConfigError("the key is encrypted", source=str(tls.key), hint=hint) from None
    except UNREADABLE:
        raise ConfigError("no private key in PEM", source=str(tls.key), hint=HINT) from None  # it may quote the key
    try:
        fits = key.public_key() == leaf.public_key()
    except UNREADABLE:
        fits = False
    if not fits:
        raise ConfigError(f"the key isn't that of {tls.certificate}", source=str(tls.key), hint=HINT)
    try:
        context.load_cert_chain(tls.certificate, tls.key)
    except (OSError, ValueError) as error:
        told = (error.reason if isinstance(error, ssl.SSLError) else None) or "not what OpenSSL takes"
        why = told.replace("_", " ").lower()
        raise ConfigError(f"can't be used: {why}", source=str(tls.certificate), hint=HINT) from error


def _authorities(path: Path, now: datetime) -> bytes:
    found = _certificates(path)
    _check_time(path, found, now)
    return b"".join(each.public_bytes(Encoding.DER) for each in found)


def _certificates(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_content(path))
    except UNREADABLE as error:
        raise ConfigError("no certificate in PEM", source=str(path), hint=HINT) from error


def _check_time(path: Path, certificates: Sequence[x509.Certificate], now: datetime) -> None:
    """Check that one of the certificates is valid now: of several authorities, some may be old."""
    if all(each.not_valid_after_utc < now for each in certificates):
        ended = max(each.not_valid_after_utc for each in certificates)
        raise ConfigError(f"the certificate has expired on {ended:%Y-%m-%d}", source=str(path), hint="renew it")
    if all(each.not_valid_before_utc > now for each in certificates):
        begins = min(each.not_valid_before_utc for each in certificates)
        why = f"the certificate isn't valid before {begins:%Y-%m-%d %H:%M} UTC"
        raise ConfigError(why, source=str(path), hint="check the clock")


def _content(path: Path, *, secret: bool = False) -> bytes:
    found = read_file(path, PUBLIC)
    if found is None:
        raise ConfigError("no such file", source=str(path), hint=HINT)
    if secret and path.exists() and path.stat().st_mode & 0o007:  # a group may: orchestrators mount secrets that way
        raise ConfigError("everybody can use this key", source=str(path), hint=f"chmod 600 {path}")
    return found


def _stamps(tls: Tls) -> Stamps:
    """Return what changes with the files; less of it where one isn't there."""
    found = []
    for path in (tls.certificate, tls.key, tls.authorities):
        try:
            state = path.stat() if path is not None else None
        except OSError:
            continue
        if state is not None:
            found.append((state.st_mtime_ns, state.st_size, state.st_ino))
    return tuple(found)
