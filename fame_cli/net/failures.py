"""Why a link couldn't be dialled or a port be had, as our errors: one wording for every transport."""

import errno
import json
import os
import socket
from ipaddress import ip_address

from fame_cli.errors import AdmissionRefused, ConfigError, ConnectError

__all__ = [
    "OPEN_TIMEOUT_S",
    "bad_url",
    "host_of",
    "is_loopback",
    "name_of",
    "no_port",
    "no_websocket",
    "refused",
    "unreachable",
]

OPEN_TIMEOUT_S = 10.0


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


def bad_url(url: str) -> ConnectError:
    """Say that a URL can't be one of a link."""
    return ConnectError(f"not a WebSocket URL: {url}", hint="write ws://host:port/fame/v1/attach/ws/…")


def refused(url: str, status: int, body: bytes | None = None) -> AdmissionRefused | ConnectError:
    """Say that the other side answered by HTTP instead of upgrading, and why, if it says so."""
    host, why = host_of(url), _told(body)
    if status in (401, 403):
        told = f"{host} refused the link: {why}" if why else f"{host} refused the link (HTTP {status})"
        hint = _WITHOUT_TOKEN if status == 401 else "check the URL's path and this node's id"
        return AdmissionRefused(told, hint=hint)
    if why and status == 503:
        return ConnectError(f"{host} takes no link now: {why}", hint="try again later, or raise its limits.max_links")
    return ConnectError(f"{host} answered HTTP {status} to {url}", hint="is it a sentinel's attach URL?")


_WITHOUT_TOKEN = (
    "set FAME_SECURITY_PROFILE as there beside its authority, else FAME_ADMISSION_TOKEN_FILE (fame token issue)"
)


def _told(body: bytes | None) -> str:
    """Return the reason in an answer of ours (`error`) or of the original's web framework (`detail`), made harmless."""
    try:
        found = json.loads((body or b"")[:4096])
    except (ValueError, RecursionError):
        return ""
    told = found.get("error", found.get("detail")) if isinstance(found, dict) else None
    return "".join(each for each in " ".join(told.split()) if each.isprintable())[:200] if isinstance(told, str) else ""


def no_websocket(url: str, why: object) -> ConnectError:
    """Say that something else than a WebSocket server answered."""
    return ConnectError(f"{host_of(url)} doesn't speak WebSocket: {why}", hint="is it a sentinel's port?")


def unreachable(url: str, error: OSError) -> ConnectError:
    """Say why no connection came about; a `TimeoutError` is an OSError, too."""
    host = host_of(url)
    if isinstance(error, TimeoutError):
        hint = "check the URL: ws:// or wss://?" if url.startswith("wss:") else "is it a sentinel?"
        return ConnectError(f"{host} didn't answer within {OPEN_TIMEOUT_S:g} s", hint=hint)
    if isinstance(error, socket.gaierror):
        return ConnectError(f"there is no host called {name_of(host)}", hint="check the URL")
    # of several addresses tried, asyncio tells only in words
    if isinstance(error, ConnectionRefusedError) or "Connect call failed" in str(error):
        return ConnectError(f"no sentinel listens on {host}", hint=f"start one: fame sentinel --listen {host}")
    if error.errno in (errno.EMFILE, errno.ENFILE):
        hint = "raise the limit (ulimit -n), or have fewer links"
        return ConnectError(f"can't connect to {host}: as many files are open as the system allows", hint=hint)
    told = error.strerror or str(error) or type(error).__name__
    return ConnectError(f"can't connect to {host}: {told}", hint="check the URL: ws:// or wss://?")


def no_port(host: str, port: int, error: OSError) -> ConfigError:
    """Say why nothing can listen there."""
    named = error.errno and not isinstance(error, socket.gaierror)  # whose numbers aren't those of the system
    why = os.strerror(error.errno or 0) if named else error.strerror or str(error)
    return ConfigError(
        f"can't listen on {host}:{port}: {why.lower()}",
        source="listen",
        hint="choose another port, or stop what has it",
    )
