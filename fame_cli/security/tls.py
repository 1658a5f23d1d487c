"""TLS of links: contexts for those who listen and those who dial, made of PEM files.

A context is made anew for a listener's next handshake when one of its files has changed, so that certificates can be
replaced without a restart.
"""

import ssl
from pathlib import Path

from fame_cli.errors import ConfigError
from fame_cli.security.settings import Tls

__all__ = ["client_context", "server_context"]


def server_context(tls: Tls) -> ssl.SSLContext | None:
    """Return what a listener needs; None where it speaks in the clear.

    Raises:
        ConfigError: a file isn't there, isn't PEM, or the key doesn't fit.
    """
    if tls.certificate is None:
        return None
    context = _loaded(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), tls)
    if tls.clients != "none":
        context.verify_mode = ssl.CERT_REQUIRED if tls.clients == "required" else ssl.CERT_OPTIONAL
    stamps = _stamps(tls)

    def changed(connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
        nonlocal stamps
        now = _stamps(tls)
        if now == stamps:
            return
        stamps = now
        try:
            _loaded(context, tls)
        except ConfigError:  # half written, perhaps: the old ones stay until the files change again
            return
        connection.context = context

    context.sni_callback = changed
    return context


def client_context(tls: Tls) -> ssl.SSLContext | None:
    """Return what a dialler needs beyond the system's authorities; None where these will do.

    Raises:
        ConfigError: a file isn't there, isn't PEM, or the key doesn't fit.
    """
    if tls.certificate is None and tls.authorities is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if tls.authorities is None:
        context.load_default_certs()
    return _loaded(context, tls)


def _loaded(context: ssl.SSLContext, tls: Tls) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.certificate is not None and tls.key is not None:
        try:
            context.load_cert_chain(tls.certificate, tls.key)
        except (OSError, ssl.SSLError) as error:
            raise _failure(error, tls.certificate, tls.key) from error
    if tls.authorities is not None:
        try:
            context.load_verify_locations(tls.authorities)
        except (OSError, ssl.SSLError) as error:
            raise _failure(error, tls.authorities) from error
    return context


def _failure(error: OSError, *files: Path) -> ConfigError:
    missing = next((file for file in files if not file.is_file()), None)
    if missing is not None:
        return ConfigError("no such file", source=str(missing), hint="check security.tls")
    told = error.reason if isinstance(error, ssl.SSLError) else error.strerror
    hint = "is it PEM, and do certificate and key belong together?"
    return ConfigError(f"can't be used: {str(told or 'not PEM').lower()}", source=str(files[0]), hint=hint)


def _stamps(tls: Tls) -> tuple[int, ...]:
    """Return what changes with the files."""
    files = [file for file in (tls.certificate, tls.key, tls.authorities) if file is not None]
    try:
        return tuple(file.stat().st_mtime_ns for file in files)
    except OSError:
        return ()
