"""Why a URL can't be reached, beyond what dialling it tells: who answers there, in which language, at which path."""

import asyncio
import re
from contextlib import suppress
from dataclasses import replace
from urllib.parse import urlsplit

from fame_cli.cli.checkup import clocks, web
from fame_cli.cli.checkup.case import Case, Subject, Target
from fame_cli.cli.checkup.findings import Finding, fail, fail_of, warn
from fame_cli.config.fields import is_own_url
from fame_cli.config.schema import SentinelConfig
from fame_cli.errors import AdmissionRefused, ConnectError, FameError
from fame_cli.net import failures
from fame_cli.net.languages import in_the_other_language, speaks_tls

__all__ = ["ASK_SHARE", "explained", "silent"]

CHECK = "reach"

ASK_SHARE = 0.2
"""Of the time a check has, how long somebody is asked who they are; that happens twice at most."""

_ATTACH = re.compile(r"/fame/v1/attach/ws/\w+$", re.IGNORECASE)


async def explained(target: Target, error: FameError, subject: Subject, case: Case) -> list[Finding]:
    """Return what an error says, and what to do about it where it can be found out."""
    if not isinstance(error, AdmissionRefused | ConnectError):
        return [fail_of(CHECK, error)]
    url, seconds = target.url, case.timeout_s * ASK_SHARE
    kind, said, asked_at = "", None, case.machine.now()
    with suppress(OSError):  # TimeoutError is one
        async with asyncio.timeout(seconds):
            kind, said = await _health(url, _ATTACH.split(urlsplit(url).path)[0])
    security = subject.config.security
    date_s = said.date_s if said is not None else None
    skew = []
    if date_s is not None:
        half = (case.machine.now() - asked_at) / 2
        told = date_s + 0.5 - asked_at - half, half + 0.5, security.skew_s
        skew = [clocks.skew(failures.host_of(url), *told, matters=security.profile != "open")]
    if isinstance(error, AdmissionRefused):
        found = fail_of(CHECK, error)
        return [*skew, found if found.do else replace(found, do=f"see the log of {failures.host_of(url)}")]
    if not kind and (name := _own(url, case)):
        what = f"{name} isn't up yet, which is to listen on {failures.host_of(url)}"
        return [warn(CHECK, what, f"start it: fame up {case.path}")]
    found = fail_of(CHECK, error)
    do = found.do
    with suppress(OSError):
        async with asyncio.timeout(seconds):
            do = await _advice(target, kind, said) or do
    return [*skew, fail(CHECK, found.what, do, type(error))]


def _own(url: str, case: Case) -> str:
    """Return the node of the same fabric file that is meant by a URL, "" for none."""
    for subject in case.subjects:
        config = subject.config
        if subject.name and isinstance(config, SentinelConfig) and is_own_url(url, config.listen):
            return subject.name
    return ""


async def _health(url: str, prefix: str = "") -> tuple[str, web.Said | None]:
    """Ask whoever is behind an attach URL who they are, in the way the URL says."""
    parts = urlsplit(url)
    has_tls = parts.scheme.lower() == "wss"
    port = parts.port or (443 if has_tls else 80)
    return await web.health_of(parts.hostname or "", port, web.ANYBODY if has_tls else None, prefix)


async def _advice(target: Target, kind: str, said: web.Said | None) -> str:
    """Return what to do about a URL that can't be attached to, "" where nothing is known beyond the error's own hint.

    Raises:
        OSError: nobody answers; then it is as the error says.
    """
    url = target.url
    parts = urlsplit(url)
    prefix = _ATTACH.split(parts.path)[0]
    if prefix and kind not in ("fame", "naylence") and (await _health(url))[0] in ("fame", "naylence"):
        role = "peer" if target.as_peer else "downstream"
        return f"the path is wrong: write {parts.scheme}://{parts.netloc}/fame/v1/attach/ws/{role}"
    if kind == "http" and said is not None:
        server = said.headers.get("server", "")
        return f"that is a web server{f' ({server[:60]})' if server else ''}, no sentinel: check host and port"
    if not kind and parts.scheme.lower() == "ws" and await speaks_tls(parts.hostname or "", parts.port or 80):
        return f"it speaks TLS: write {in_the_other_language(url)}"
    return ""


async def silent(url: str, stage: str, waited_s: float, ask_s: float) -> Finding:
    """Say where somebody fell silent.

    Args:
        stage: look up, attach or answer.
        waited_s: seconds they had.
        ask_s: seconds for each of two attempts to find out more.
    """
    host, parts = failures.host_of(url), urlsplit(url)
    if stage == "look up":
        what = f"nobody has told within {waited_s:g} s which address {parts.hostname} has"
        return fail(CHECK, what, "check the name server of this machine", ConnectError)
    if stage == "answer":
        what = f"{host} lets this node in, and doesn't answer within {waited_s:g} s"
        return warn(CHECK, what, "see its log, and how busy its machine is")
    other = in_the_other_language(url)
    with suppress(OSError):  # TimeoutError is one
        async with asyncio.timeout(ask_s):
            if other.startswith("wss:") and await speaks_tls(parts.hostname or "", parts.port or 80):
                return fail(CHECK, f"{host} speaks TLS, and is dialled without", f"write {other}", ConnectError)
            if other.startswith("ws:") and (await _health(other))[0]:
                return fail(CHECK, f"{host} doesn't speak TLS", f"write {other}", ConnectError)
    if await _takes_connections(parts.hostname or "", parts.port or (443 if parts.scheme == "wss" else 80), ask_s):
        what = f"{host} takes connections, and doesn't answer within {waited_s:g} s"
        return fail(CHECK, what, "is it a sentinel? does it hang, or want wss:// rather than ws://?", ConnectError)
    what = f"{host} doesn't take a connection within {waited_s:g} s"
    return fail(CHECK, what, "is a firewall in the way, or the machine off?", ConnectError)


async def _takes_connections(host: str, port: int, timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(host, port)
    except OSError:  # TimeoutError is one
        return False
    writer.transport.abort()
    return True
