"""The check of reachability: each URL of a node is dialled as the node would, and whoever answers is asked how it is.

A peer URL is followed as far as the handshake: who attaches as a peer becomes a part of the mesh. What is behind it is
asked as a client is. The node's own id is used only where its token is for that id alone, and for a moment.
"""

import asyncio
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from fame_cli.cli.answers import asked
from fame_cli.cli.checkup.bounds import begun, run
from fame_cli.cli.checkup.case import Case, Subject, Target
from fame_cli.cli.checkup.credentials import claims_of, token_of
from fame_cli.cli.checkup.failing import ASK_SHARE, explained, silent
from fame_cli.cli.checkup.findings import Finding, State, fail_of, ok, warn
from fame_cli.cli.checkup.greeting import Greeting
from fame_cli.cli.tables import duration
from fame_cli.core.address import is_node_id
from fame_cli.errors import AdmissionRefused, FameError, UsageError
from fame_cli.net import failures
from fame_cli.net.choice import network
from fame_cli.net.handshake import Shown
from fame_cli.net.pump import Turn
from fame_cli.net.websocket_ends import proxied
from fame_cli.node.client import Client
from fame_cli.node.clock import random_id
from fame_cli.node.dialing import AttachRefused
from fame_cli.node.runner import CLOSE_S
from fame_cli.node.secured import secured
from fame_cli.security.settings import SecuritySettings

__all__ = ["CHECK", "GRACE_S", "look_at"]

CHECK = "reach"

TRANSPORT = "websockets"
"""Whatever the config says: a dial that is given up is over at once with it, and both speak the same."""

VISIT_SHARE = 0.6
"""Of the time a check has, how long a visit may take; the rest is for finding out why it failed."""

GRACE_S = CLOSE_S + 0.5
"""Seconds it takes to end a link in good order."""


class Status(msgspec.Struct, frozen=True):
    """Hold what of ``fabric.status`` is told here (docs/wire-extensions.md)."""

    node: str
    path: str = ""
    uptime_s: float = 0.0
    links: Sequence[object] = ()


def look_at(subject: Subject, case: Case) -> list[Finding]:
    """Dial wherever a node does, at the same time."""

    async def all_of_them() -> list[Finding]:
        found = await asyncio.gather(*(_reach(target, subject, case) for target in subject.targets))
        return [finding for each in found for finding in each]

    return run(all_of_them()) if subject.is_sound else []


async def _reach(target: Target, subject: Subject, case: Case) -> list[Finding]:
    url, settings = target.url, subject.settings_at(target.url)
    greeting = Greeting(failures.host_of(url), case.machine.now)
    visit_s = case.timeout_s * VISIT_SHARE
    try:
        async with asyncio.timeout(visit_s):
            await _look_up(url)
            greeting.stage = "attach"
            told = await _visit(target, subject, settings, greeting, case)
    except TimeoutError:
        told = [await silent(url, greeting.stage, visit_s, case.timeout_s * ASK_SHARE)]
    except FameError as error:
        if isinstance(error, AttachRefused) and error.code == "ID_TAKEN":
            told = [ok(CHECK, f"{greeting.host} has a link to a node of this id: it is attached already")]
        else:
            skew = greeting.clock(subject.config.security)
            return [*skew, *await explained(target, error, subject, case)]
    return [*greeting.clock(subject.config.security), *greeting.versions(), *told]


async def _look_up(url: str) -> None:
    """See whether the host of a URL has an address, as far as that is ours to know."""
    parts = urlsplit(url)
    name = parts.hostname or ""
    if proxied(name):
        return
    try:
        await asyncio.wrap_future(begun(lambda: socket.getaddrinfo(name, parts.port, type=socket.SOCK_STREAM)))
    except OSError as error:
        raise failures.unreachable(url, error) from error


async def _visit(
    target: Target, subject: Subject, settings: SecuritySettings | None, greeting: Greeting, case: Case
) -> list[Finding]:
    try:
        token, said = await token_of(subject, settings, case.machine.now()) if settings is not None else ("", [])
    except FameError as error:
        return [warn(CHECK, f"{greeting.host}: not dialled, because {_of(error)}", "mend that first")]
    amiss = next((finding for finding in said if finding.state is State.fail), None)
    node_id, may_attach = _identity(subject, token) if amiss is None else (None, False)
    if target.as_peer or not may_attach:
        await _shake_hands(target.url, node_id, subject, settings)
    if amiss is not None:  # who attaches so is refused, or is somebody else
        return [warn(CHECK, f"{greeting.host}: dialled, and not attached to, because {amiss.what}", "mend that first")]
    if not may_attach:
        return [ok(CHECK, f"{greeting.host} takes the token; to ask it more needs the node's own keys")]
    url = f"{target.url.rpartition('/')[0]}/downstream" if target.as_peer else target.url
    client = Client(
        url,
        node_id=node_id,
        timeout_s=case.timeout_s,
        observer=greeting.take,
        transport=TRANSPORT,
        batch=subject.config.wire.batch,
        security=settings,
    )
    try:
        async with client:
            greeting.stage = "answer"
            return [await _status(client, greeting.host)]
    except AdmissionRefused:
        if not target.as_peer:
            raise
        return [
            ok(CHECK, f"{greeting.host} takes a link of a peer, and lets no client of this credential in to ask more")
        ]


def _of(error: FameError) -> str:
    """Return what an error says without its advice, which the check of tokens has given."""
    return fail_of(CHECK, error).what


def _identity(subject: Subject, token: str) -> tuple[str | None, bool]:
    """Return the id to attach as, None for a fresh one, and whether to attach at all.

    A token may be for one id; a node of that id has keys, or would make some, which isn't for us to do.
    """
    claims = claims_of(token) or {}
    said = claims.get("fame")
    name = said.get("node") if isinstance(said, dict) else None
    if not isinstance(name, str) or not is_node_id(name):
        return None, not claims.get("cnf")
    return (name, True) if subject.has_keys(name) else (None, False)


async def _shake_hands(url: str, node_id: str | None, subject: Subject, settings: SecuritySettings | None) -> None:
    """Dial and hang up again.

    Raises:
        FameError: whatever a node that dials there would meet.
    """
    whole = f"{url}/{node_id or random_id('doctor')}"
    security = await secured(settings, subject.wanted(), named=node_id is not None)
    shown = await security.show(whole) if security is not None else ("", "", None)
    transport = await network(TRANSPORT).dial(whole, Turn(), Shown(*shown))
    transport.close(1000, "normal closure")
    await transport.wait_closed()


async def _status(client: Client, host: str) -> Finding:
    try:
        status = await asked(client, "fabric.status", Status)
    except UsageError:
        return ok(CHECK, f"{host} is a sentinel that can't be asked how it is: a plain Naylence one")
    except FameError as error:
        what = f"{host} lets this node in, and doesn't tell how it is: {error.message}"
        return warn(CHECK, what, "see whether its policy allows it, or its log")
    others = max(len(status.links) - 1, 0)
    return ok(CHECK, f"{host} is the sentinel {status.node}, up {duration(status.uptime_s)}, {others} other links")
