"""An agent as a program: attach to a sentinel, bind its address, serve until told to stop."""

import asyncio
import shlex
from collections.abc import Iterable, Sequence

from fame_cli.core.glob import ANYTHING
from fame_cli.core.grant import AGENT, CLIENT, Grant
from fame_cli.core.link import LinkKind
from fame_cli.core.report import OPERATION
from fame_cli.errors import AdmissionRefused, step_in
from fame_cli.node.adjusting import Adjustable, Reload, adjust_node
from fame_cli.node.agent import Agent
from fame_cli.node.client import DEFAULT_URL
from fame_cli.node.clock import random_id
from fame_cli.node.dialing import CLAIM_S, attach_at_once, keep_attached
from fame_cli.node.draining import DRAIN_S, wind_down
from fame_cli.node.host import AgentHost
from fame_cli.node.log import log_event
from fame_cli.node.loop import first_of, run_program, until_signalled
from fame_cli.node.options import Options
from fame_cli.node.postmaster import Postmaster
from fame_cli.node.roles import Observer
from fame_cli.node.runner import Node
from fame_cli.node.secured import secured
from fame_cli.store.tasks import TaskBox

__all__ = ["offers_of", "run_agent", "serve_agent"]


def offers_of(agent: Agent, capabilities: Iterable[str] = ()) -> list[str]:
    """List what an agent offers: its capabilities, those of its config, and each operation as ``op:<name>``."""
    operations = (f"{OPERATION}{name}" for name in agent.operations)
    return list(dict.fromkeys([*agent.capabilities, *capabilities, *operations]))


async def serve_agent(
    agent: Agent,
    address: str,
    url: str,
    *,
    node_id: str | None = None,
    capabilities: Iterable[str] = (),
    logicals: Iterable[str] = ("fame.fabric",),
    max_concurrent: int = 64,
    options: Options | None = None,
    drain_s: float = DRAIN_S,
    fail_fast: bool = False,
    reload: Reload | None = None,
    observer: Observer | None = None,
) -> None:
    """Serve an agent at an address until SIGINT or SIGTERM, whatever becomes of its sentinel meanwhile.

    Args:
        url: attach URL of its sentinel; one that isn't up yet is waited for.
        node_id: id of the node it runs in; a fresh one when None.
        max_concurrent: calls that may run at once.
        options: what else the node is told; the defaults when None.
        drain_s: seconds that what runs has to finish, once it is told to stop, >= 0; a second signal cuts them short.
        fail_fast: don't wait for a sentinel that isn't there at the start.
        reload: called at a SIGHUP; None leaves that signal alone.

    Raises:
        AdmissionRefused: the sentinel doesn't let it have the address.
        ConnectError: with `fail_fast`, the sentinel can't be reached.
    """
    offers = _offered(agent, list(capabilities))
    await agent.on_start()
    try:
        told = options or Options()
        name = node_id or random_id("agent")
        secure = await secured(told.security, _wanted(name, address), named=node_id is not None)
        async with Node(name, logicals=tuple(logicals), options=told, observer=observer, security=secure) as node:
            box = TaskBox(node.mail.store, address) if node.mail.is_lasting and agent.tasks else None
            host = AgentHost(node, agent, max_concurrent, task_store=box)
            await host.load_tasks()
            node.serve("__sys__", AgentHost(node, Postmaster(node)))
            _claim(node, address, host, offers)
            await node.mail.recover()
            await _attach(node, address, url, fail_fast=fail_fast)
            stopped = _until_stopped(node, host, drain_s, reload)
            await first_of(stopped, _bound(node, address, host, offers))
        log_event("node_stopped", node_id=node.node_id, kind="agent")
    finally:
        await agent.on_stop()


def _offered(agent: Agent, capabilities: list[str]) -> list[str]:
    agent.offer(capabilities)
    return offers_of(agent, capabilities)


def _wanted(name: str, address: str) -> Grant:
    """Return what an agent has to be allowed."""
    roles = frozenset({AGENT, CLIENT})
    return Grant(name, name, roles=roles, addresses=(address,), capabilities=(ANYTHING,))


async def _attach(node: Node, address: str, url: str, *, fail_fast: bool) -> None:
    log_event("node_started", node_id=node.node_id, kind="agent", address=address, upstream=url)
    held = await attach_at_once(node, url, LinkKind.PARENT) if fail_fast else None
    node.spawn(keep_attached(node, url, LinkKind.PARENT, held=held))


async def _until_stopped(node: Node, host: AgentHost, drain_s: float, reload: Reload | None) -> None:
    """Wait for a signal to stop, and then until what runs has ended; adjust what can be meanwhile."""
    limit_s = drain_s

    def adjust(told: Adjustable) -> None:
        nonlocal limit_s
        limit_s = told.drain_s
        host.resize(told.max_concurrent)
        adjust_node(node, told)

    await until_signalled(
        then=lambda: wind_down(node, limit_s), reload=None if reload is None else lambda: reload(adjust)
    )


def _claim(node: Node, address: str, host: AgentHost, offers: Iterable[str]) -> None:
    node.serve(address, host)
    for offer in offers:
        node.perform(node.core.advertise(offer, address))


async def _bound(node: Node, address: str, host: AgentHost, offers: Sequence[str]) -> None:
    """Wait until the address is ours, say so, and then wait for ever.

    An address that is taken is asked for once more: it may be our own former life that has it, whose end the sentinel
    hasn't noticed; it has found out by then.

    Raises:
        AdmissionRefused: it belongs to somebody else.
    """
    answer = await node.bound(address)
    if answer.code == "ADDRESS_TAKEN":
        log_event("address_taken", "warning", node_id=node.node_id, address=address, reason=answer.reason)
        await asyncio.sleep(CLAIM_S)
        for offer in offers:
            node.perform(node.core.withdraw(offer, address))
        node.unserve(address)
        _claim(node, address, host, offers)
        answer = await node.bound(address)
    if answer.code:
        what, step = step_in(answer.reason)
        hint = step or _next_step(answer.code, address, node.node_id)
        raise AdmissionRefused(f"the sentinel refused {address}: {what or answer.code} ({answer.code})", hint=hint)
    log_event("node_ready", node_id=node.node_id, kind="agent", address=address, path=node.core.table.path)
    await asyncio.get_running_loop().create_future()


def _next_step(code: str, address: str, node_id: str) -> str:
    """Say what to do about an address that was refused, as far as the code tells."""
    if code == "UNAUTHORIZED":
        token = f"fame token issue --node {node_id} --role agent --address {shlex.quote(address)}"
        return f"show a token that allows it: {token}"
    if code == "RATE_LIMITED":
        return "bind fewer addresses, or raise limits.routes there"
    if code == "ADDRESS_TAKEN":
        return "stop the other agent or choose another address"
    return "choose another address"


def run_agent(agent: Agent, address: str, url: str | None = None, *, node_id: str | None = None) -> None:
    """Be a program: log to stderr and serve until told to stop; see `serve_agent`."""
    run_program(serve_agent(agent, address, url or DEFAULT_URL, node_id=node_id))
