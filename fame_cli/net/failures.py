"""Why a link couldn't be dialled or a port be had, as our errors: one wording for every transport.

What the other side said is shown cut, cleaned and without the token it was shown; a URL is shown without its user.
"""

import errno
import json
import os
import re
import socket
import ssl
from ipaddress import ip_address

from fame_cli.errors import AdmissionRefused, ConfigError, ConnectError

__all__ = [
    "OPEN_TIMEOUT_S",
    "Misspoken",
    "bad_url",
    "crowded",
    "host_of",
    "is_loopback",
    "name_of",
    "no_port",
    "no_websocket",
    "refused",
    "shown",
    "unreachable",
]

OPEN_TIMEOUT_S = 10.0

_WHICH = "check the URL: ws:// or wss://?"

MAX_BODY_BYTES = 4096
"""Of an answer that refuses; what is longer isn't one of ours."""

MAX_REASON_CHARS = 200

_TOKENS = re.compile(r"eyJ[\w=-]+(\.[\w=-]*)*")
"""What looks like a token, whole or in part."""

_CERTIFICATES = {
    9: ("isn't valid yet", "check the clocks of both machines"),
    10: ("has expired", "renew it there"),
    62: ("isn't for {name}", "dial a name that it is for, or have it issued for this one, too"),
    64: ("isn't for {name}", "dial a name that it is for, or have it issued for this address, too"),
}
_UNKNOWN_AUTHORITY = ("is from an authority that isn't known here", "name its file: security.tls.authorities")
_UNKNOWN_CODES = {2, 18, 19, 20, 21}
"""What OpenSSL calls these (x509_vfy.h): no issuer, self-signed, self-signed in its chain, no issuer here, no chain."""

_NO_TLS = {"WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST"}


class Misspoken(ConnectError):
    """Report that a port may speak ``wss://`` where ``ws://`` was dialled, or the other way round."""


def host_of(url: str) -> str:
    """Return "host:port" of a URL, as it is written there."""
    return url.partition("://")[2].partition("/")[0].rpartition("@")[2]


def name_of(host: str) -> str:
    """Return the name or address in "host:port"."""
    return host.partition("]")[0].strip("[") if host.startswith("[") else host.partition(":")[0]


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address is this machine's loopback."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def shown(url: str) -> str:
    """Return a URL without its user and password."""
    scheme, mark, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    return f"{scheme}{mark}{place.rpartition('@')[2]}{slash}{path}"


def bad_url(url: str) -> ConnectError:
    """Say that a URL can't be one of a link."""
    return ConnectError(f"not a WebSocket URL: {shown(url)}", hint="write ws://host:port/fame/v1/attach/ws/…")


def refused(url: str, status: int, body: bytes = b"", token: str = "") -> AdmissionRefused | ConnectError:
    """Say that the other side answered by HTTP instead of upgrading.

    Args:
        url: that was dialled.
        status: of the answer.
        body: of the answer, as much of it as there is.
        token: that was shown; if the answer repeats it, we don't.
    """
    host, why = host_of(url), _reason_in(body, token)
    if status in (401, 403):
        hint = "check the URL's path and this node's id"
        if status == 401:
            hint = _WITH_TOKEN if token else _WITHOUT_TOKEN
        return AdmissionRefused(f"{host} refused the link: {why or f'HTTP {status}'}", hint=hint)
    if why and status == 503:
        return ConnectError(f"{host} takes no link now: {why}", hint="try again later, or raise its limits.max_links")
    if why and status == 429:
        return crowded(url, why)
    told = f": {why}" if why else ""
    kind = Misspoken if status == 400 and url.startswith("ws:") else ConnectError  # what TLS servers say to plain HTTP
    return kind(f"{host} answered HTTP {status} to {shown(url)}{told}", hint="is it a sentinel's attach URL?")


def crowded(url: str, why: str) -> ConnectError:
    """Say that the other side holds as many links from here, or of ours, as it takes."""
    hint = "try again later, close others, or raise that limit there"
    return ConnectError(f"{host_of(url)} takes no link now: {why}", hint=hint)


_ISSUE = "fame token issue --node ID --role ROLE --thumbprint JKT"
_WITHOUT_TOKEN = (
    "beside its authority set FAME_SECURITY_PROFILE as there; elsewhere FAME_NODE_ID and FAME_ADMISSION_TOKEN_FILE "
    f"besides ({_ISSUE}, which fame keys show tells)"
)
_WITH_TOKEN = f"show another token: FAME_ADMISSION_TOKEN_FILE ({_ISSUE}, which fame keys show tells)"


def _reason_in(body: bytes, token: str) -> str:
    """Return what a body says: ``error`` as we write it, or ``detail`` as FastAPI does; "" if nothing."""
    try:
        told = json.loads(body[:MAX_BODY_BYTES])
    except (ValueError, RecursionError):
        return ""
    said = (told.get("error") or told.get("detail")) if isinstance(told, dict) else None
    if isinstance(said, dict):  # as Naylence's token server does
        said = said.get("error_description") or said.get("error")
    if not isinstance(said, str) or not said.strip():
        return ""
    text = said.replace(token, "…") if token else said
    text = "".join(each if each.isprintable() else " " for each in _TOKENS.sub("…", text))
    return " ".join(text.split())[:MAX_REASON_CHARS]


def no_websocket(url: str, why: object) -> ConnectError:
    """Say that something else than a WebSocket server answered."""
    what = f"{host_of(url)} doesn't speak WebSocket: {why}"
    if url.startswith("wss:"):
        hint = "is it a sentinel's port? if it wants a certificate of those who dial: security.tls.certificate"
        return ConnectError(what, hint=hint)
    return Misspoken(what, hint="is it a sentinel's port, and does it speak ws:// rather than wss://?")


def unreachable(url: str, error: OSError) -> ConnectError:
    """Say why no connection came about; a `TimeoutError` is an OSError, too, and what TLS fails with."""
    host = host_of(url)
    if isinstance(error, ssl.SSLError):
        return _no_tls(host, error)
    if isinstance(error, TimeoutError):
        what = f"{host} didn't answer within {OPEN_TIMEOUT_S:g} s"
        if url.startswith("wss:"):
            return Misspoken(what, hint=_WHICH)
        return ConnectError(what, hint="is it a sentinel?")
    if "SSL handshake is taking longer" in str(error):  # asyncio and uvloop tell only in words
        return Misspoken(f"{host} didn't answer in TLS in time", hint=_WHICH)
    if isinstance(error, socket.gaierror):
        return ConnectError(f"there is no host called {name_of(host)}", hint="check the URL")
    # of several addresses tried, asyncio tells only in words
    if isinstance(error, ConnectionRefusedError) or "Connect call failed" in str(error):
        return ConnectError(f"no sentinel listens on {host}", hint=f"start one: fame sentinel --listen {host}")
    if error.errno in (errno.EMFILE, errno.ENFILE):
        hint = "raise the limit (ulimit -n), or have fewer links"
        return ConnectError(f"can't connect to {host}: as many files are open as the system allows", hint=hint)
    told = error.strerror or str(error) or type(error).__name__
    kind = Misspoken if isinstance(error, ConnectionError) else ConnectError
    return kind(f"can't connect to {host}: {told}", hint=_WHICH)


def _no_tls(host: str, error: ssl.SSLError) -> ConnectError:
    """Say why TLS failed: whose certificate doesn't hold and why, or that the other side doesn't speak it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        told = f"doesn't hold: {error.verify_message}", _UNKNOWN_AUTHORITY[1]
        if error.verify_code in _UNKNOWN_CODES:
            told = _UNKNOWN_AUTHORITY
        why, hint = _CERTIFICATES.get(error.verify_code, told)
        return ConnectError(f"the certificate of {host} {why.format(name=name_of(host))}", hint=hint)
    reason = error.reason or ""
    if reason in _NO_TLS:
        return Misspoken(f"{host} doesn't speak TLS", hint=_WHICH)
    if "CERTIFICATE" in reason or "UNKNOWN_CA" in reason:
        said = re.sub("^(TLSV1|TLSV13|SSLV3)_ALERT_", "", reason).replace("_", " ").lower()
        hint = "show another one: security.tls.certificate"
        return ConnectError(f"{host} doesn't take this node's certificate: {said}", hint=hint)
    return ConnectError(f"TLS with {host} failed: {reason.replace('_', ' ').lower() or 'no reason given'}", hint="")


def no_port(host: str, port: int, error: OSError) -> ConfigError:
    """Say why nothing can listen there."""
    named = error.errno and not isinstance(error, socket.gaierror)  # whose numbers aren't those of the system
    why = os.strerror(error.errno or 0) if named else error.strerror or str(error)
    return ConfigError(
        f"can't listen on {host}:{port}: {why.lower()}",
        source="listen",
        hint="choose another port, or stop what has it",
    )
