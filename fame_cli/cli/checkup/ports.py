"""The check of ports: whether a sentinel could listen where its config says, and if not, who has the place."""

import asyncio
import errno
import os
import socket
from contextlib import ExitStack, suppress

from fame_cli.cli.checkup import web
from fame_cli.cli.checkup.bounds import run
from fame_cli.cli.checkup.case import Case, Subject
from fame_cli.cli.checkup.findings import Finding, fail, fail_of, ok, warn
from fame_cli.cli.checkup.holders import listener_on
from fame_cli.config.schema import SentinelConfig
from fame_cli.errors import ConfigError
from fame_cli.net import failures

__all__ = ["CHECK", "look", "look_at"]

CHECK = "ports"

ASK_SHARE = 0.4
"""Of the time there is, how long whoever has a port is waited for: it may be asked twice."""

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def look(case: Case) -> list[Finding]:
    """Say which nodes of a fabric are to listen at one place."""
    told: list[Finding] = []
    holders: dict[tuple[str, int], str] = {}
    for subject in case.subjects:
        config = subject.config
        if not isinstance(config, SentinelConfig) or not config.listen_port:
            continue
        place = config.listen_host, config.listen_port
        if place in holders:
            what = f"{subject.name} and {holders[place]} are both to listen on {config.listen}"
            told.append(fail(CHECK, what, "give one of them another port", ConfigError))
        holders.setdefault(place, subject.name)
    return told


def look_at(subject: Subject, case: Case) -> list[Finding]:
    """Try to listen where a sentinel is to."""
    config = subject.config
    if not isinstance(config, SentinelConfig):
        return []
    host, port = config.listen_host, config.listen_port
    if not port:
        return [ok(CHECK, f"{config.listen}: any port that is free")]
    try:
        _bind(host, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return [_taken(config, case.timeout_s)]
        return [fail_of(CHECK, failures.no_port(host, port, error))]
    return [ok(CHECK, f"{config.listen} is free")]


def _bind(host: str, port: int) -> None:
    """Listen for a moment, as a sentinel would.

    Raises:
        OSError: it can't be had.
    """
    places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    with ExitStack() as stack:
        for family, kind, protocol, _, place in dict.fromkeys(places):
            listener = stack.enter_context(socket.socket(family, kind, protocol))
            if os.name == "posix":
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(place)
            listener.listen(1)


def _taken(config: SentinelConfig, timeout_s: float) -> Finding:
    host, port = config.listen_host, config.listen_port
    kind, node = run(_who(_EVERYWHERE.get(host, host), port, config.security.tls.certificate is not None, timeout_s))
    do = "choose another port (listen, FAME_SENTINEL_PORT), or stop what has it"
    if kind == "fame" and node == config.id:
        return ok(CHECK, f"{config.listen}: {node} listens there; this sentinel runs already")
    if kind == "fame" and config.id is None:
        return warn(CHECK, f"{config.listen}: the sentinel {node} listens there; this one, or another", do)
    names = {
        "fame": f"by the sentinel {node}",
        "naylence": "by a Naylence sentinel",
        "http": f"by something else that speaks HTTP{f' ({node})' if node else ''}",
        "": "by something that is no sentinel",
    }
    process = listener_on(port)
    return fail(CHECK, f"{config.listen} is taken {names[kind]}{f', {process}' if process else ''}", do, ConfigError)


async def _who(host: str, port: int, has_tls: bool, timeout_s: float) -> tuple[str, str]:
    """Return the kind of thing that has a port, and its name: a sentinel's id, or the software of a web server."""
    for tls in (web.ANYBODY, None) if has_tls else (None,):
        with suppress(OSError):  # TimeoutError is one
            async with asyncio.timeout(timeout_s * ASK_SHARE):
                kind, said = await web.health_of(host, port, tls)
            if said is not None:
                name = said.facts.get("node") if kind == "fame" else said.headers.get("server", "")
                return kind, str(name)[:128]
    return "", ""
