"""From a config to a running node: read it aloud and you know what a key does.

The one place that turns models into objects; below it nobody sees a config, above it nobody sees a node.
"""

from typing import TYPE_CHECKING

from fame_cli.config.schema import AgentConfig, OperationConfig, SentinelConfig
from fame_cli.core.limits import Limits
from fame_cli.node.adjusting import Adjustable, Reload
from fame_cli.node.agent import Agent
from fame_cli.node.declared import Answer, Command, HttpCall, Parameter, Template, declared_operation
from fame_cli.node.imports import load_agent
from fame_cli.node.log import set_up_logging
from fame_cli.node.loop import run
from fame_cli.node.operation import Operation
from fame_cli.node.options import Options
from fame_cli.node.sentinel import Sentinel
from fame_cli.node.serving import serve_agent
from fame_cli.node.siblings import Siblings

if TYPE_CHECKING:
    from fame_cli.node.roles import Observer

__all__ = ["adjustable", "agent_options", "build_agent", "build_sentinel", "run_agent", "run_sentinel"]


def build_sentinel(
    config: SentinelConfig, observer: "Observer | None" = None, siblings: Siblings | None = None
) -> Sentinel:
    """Build the sentinel a config describes; `observer` sees its envelopes, `siblings` are the other workers."""
    return Sentinel(
        id=config.id,
        listen=config.listen,
        peers=[(peer.direct_url, peer.cost) for peer in config.peers],
        upstream=config.upstream.direct_url if config.upstream else None,
        max_message_bytes=config.limits.max_message_bytes,
        max_links=config.limits.max_links,
        max_hops=config.limits.max_hops,
        max_held_bytes=config.limits.max_held_bytes,
        balance=config.routing.balance,
        transport=config.wire.transport,
        batch=config.wire.batch,
        silence_s=config.wire.silence_s,
        limits=_limits_of(config),
        security=config.security_settings(),
        drain_s=config.drain_s,
        fail_fast=config.fail_fast,
        delivery=config.delivery.told(),
        storage=config.storage_file(),
        mailboxes=[each.told() for each in config.mailboxes],
        observer=observer,
        siblings=siblings,
    )


def _limits_of(config: SentinelConfig | AgentConfig) -> Limits:
    """Return the bounds of each neighbour; hosts are counted where their addresses tell who comes."""
    security = config.security
    listens = isinstance(config, SentinelConfig)
    return config.limits.per_link(knows_hosts=listens and security.profile != "open" and not security.behind_proxy)


def adjustable(config: SentinelConfig | AgentConfig) -> Adjustable:
    """Return what a config says of the things that can change without a restart.

    Raises:
        ConfigError: the policy can't be loaded.
    """
    limits = config.limits
    bounds = _limits_of(config), limits.max_hops, limits.max_held_bytes, config.drain_s
    if isinstance(config, AgentConfig):
        return Adjustable(*bounds, max_concurrent=config.agent.max_concurrent, security=config.security_settings())
    return Adjustable(
        *bounds,
        config.routing.balance,
        limits.max_links,
        {peer.direct_url: peer.cost for peer in config.peers},
        security=config.security_settings(),
    )


def build_agent(config: AgentConfig) -> Agent:
    """Build the agent a config describes: imported code, or the operations it spells out.

    Raises:
        ConfigError: the import finds nothing that can serve, or an operation can't be made.
    """
    block = config.agent
    if block.import_ is not None:
        return load_agent(block.import_, config.base_dir, block.init, description=block.description)
    limit = config.limits.max_message_bytes
    folder = str(config.base_dir)
    operations = [_declared(name, each, folder, limit) for name, each in (block.operations or {}).items()]
    return Agent.from_operations(operations, description=block.description)


def _declared(name: str, config: OperationConfig, folder: str, max_bytes: int) -> Operation:
    answer: Answer
    if config.template is not None:
        answer = Template(config.template, config.result)
    elif config.command is not None:
        answer = Command(tuple(config.command), config.result, folder)
    else:
        assert config.http is not None  # the model has seen to it that there is exactly one
        answer = HttpCall(config.http.url, config.http.method, config.http.headers)
    return declared_operation(
        name,
        description=config.description or "",
        parameters=[
            Parameter(key, each.type, not each.has_default, each.default, each.description or "")
            for key, each in config.params.items()
        ],
        streaming=config.stream,
        timeout_s=config.timeout_s,
        answer=answer,
        max_bytes=max_bytes,
    )


def run_sentinel(config: SentinelConfig, observer: "Observer | None" = None, reload: Reload | None = None) -> None:
    """Run a sentinel until SIGINT or SIGTERM; `reload` is called at a SIGHUP.

    Raises:
        ConfigError: the port can't be had.
    """
    set_up_logging(config.log.level, config.log.format)
    run(build_sentinel(config, observer).serve(reload))


def agent_options(config: AgentConfig) -> Options:
    """Return what the node of an agent is told.

    Raises:
        ConfigError: a policy can't be loaded, or nothing says where the store is.
    """
    return Options(
        max_message_bytes=config.limits.max_message_bytes,
        max_hops=config.limits.max_hops,
        max_held_bytes=config.limits.max_held_bytes,
        limits=_limits_of(config),
        transport=config.wire.transport,
        batch=config.wire.batch,
        silence_s=config.wire.silence_s,
        security=config.security_settings(),
        delivery=config.delivery.told(),
        storage=config.storage_file(),
    )


def run_agent(config: AgentConfig, observer: "Observer | None" = None, reload: Reload | None = None) -> None:
    """Run an agent until SIGINT or SIGTERM; `reload` is called at a SIGHUP.

    Raises:
        ConfigError: its code can't be imported.
        AdmissionRefused: the sentinel doesn't let it have its address.
    """
    set_up_logging(config.log.level, config.log.format)
    work = serve_agent(
        build_agent(config),
        config.agent.address,
        config.upstream.direct_url,
        node_id=config.id,
        capabilities=config.agent.capabilities,
        logicals=config.logicals,
        max_concurrent=config.agent.max_concurrent,
        options=agent_options(config),
        drain_s=config.drain_s,
        fail_fast=config.fail_fast,
        reload=reload,
        observer=observer,
    )
    run(work)
