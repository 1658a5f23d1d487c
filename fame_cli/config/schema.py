"""The sections of a configuration file: every key there is, its type, its default and what it means.

Pure. A model is frozen and takes no key it doesn't know; the docstring of a field is its help in an editor (``fame
config schema``). What one value may look like is in ``fields``; what belongs together is checked here. Config models
stop at ``build``: nothing below it sees one. Operations written in YAML have their own file, ``operations``, and
so have the nodes of one fabric together, ``fabric``.
"""

import sys
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, PrivateAttr, model_validator

from fame_cli.config import fields
from fame_cli.config.custody import DeliveryConfig, MailboxConfig, StorageConfig
from fame_cli.config.fields import bad
from fame_cli.config.limits import LimitsConfig
from fame_cli.config.links import PeerConfig, RoutingConfig, UpstreamConfig, WireConfig
from fame_cli.config.operations import HttpCall, OperationConfig, ParamConfig
from fame_cli.config.plain import DEFAULT_ATTACH_URL, DEFAULT_TIMEOUT_S
from fame_cli.config.section import UNKNOWN_KEYS, Section, is_empty
from fame_cli.config.security import AdmissionConfig, SecurityConfig, security_settings
from fame_cli.config.staying import StayingConfig
from fame_cli.core import address
from fame_cli.errors import RemoteProtocolError
from fame_cli.node.workers import worker_id
from fame_cli.security.settings import SecuritySettings

__all__ = [
    "DEFAULT_ATTACH_URL",
    "DEFAULT_LISTEN",
    "DEFAULT_LOGICAL",
    "UNKNOWN_KEYS",
    "AdmissionConfig",
    "AgentBlock",
    "AgentConfig",
    "ClientConfig",
    "HttpCall",
    "LimitsConfig",
    "LogConfig",
    "NodeConfig",
    "OperationConfig",
    "ParamConfig",
    "PeerConfig",
    "RoutingConfig",
    "Section",
    "SecurityConfig",
    "SentinelConfig",
    "UpstreamConfig",
    "WireConfig",
]

DEFAULT_LISTEN = "127.0.0.1:8000"
DEFAULT_LOGICAL = "fame.fabric"


class LogConfig(Section):
    """Say what is logged and how."""

    level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(fields.lowercase)] = "info"
    """The least important events to log."""

    format: Annotated[Literal["auto", "text", "json"], BeforeValidator(fields.lowercase)] = "auto"
    """`auto` is text on a terminal and JSON elsewhere."""

    show_envelopes: fields.Flag = False
    """Show every envelope a call makes, as `--verbose` does, but whole."""


class NodeConfig(Section):
    """Hold what every kind of node has."""

    kind: str = ""
    """What this file describes."""

    id: fields.NodeName | None = None
    """Node id, unique in the fabric: 1-128 of letters, digits, dot, dash, underscore. Random if not set."""

    security: SecurityConfig = SecurityConfig()
    """Whom this node trusts."""

    admission: AdmissionConfig = AdmissionConfig()
    """What this node shows where it dials."""

    log: LogConfig = LogConfig()
    """What is logged and how."""

    wire: WireConfig = WireConfig()
    """How bytes travel."""

    delivery: DeliveryConfig = DeliveryConfig()
    """How messages are delivered that nobody waits for."""

    storage: StorageConfig = StorageConfig()
    """Where the messages are that this node answers for."""

    _file: Path | None = PrivateAttr(default=None)

    @property
    def file(self) -> Path | None:
        """Return the file this came from, None if from variables and flags alone."""
        return self._file

    @property
    def base_dir(self) -> Path:
        """Return the folder that relative names and agent imports are looked up in."""
        return self._file.parent if self._file else Path()

    def security_settings(self) -> SecuritySettings | None:
        """Return what the node is told about security; None for nothing.

        Raises:
            ConfigError: the policy can't be loaded, or there is no home folder.
        """
        return security_settings(self.security, self.admission, self.base_dir)

    def storage_file(self) -> Path | None:
        """Return where the messages are that this node answers for; None for memory.

        Raises:
            ConfigError: nothing says which file, or there is no home folder.
        """
        return self.storage.file(self.id, self.security.home, self.base_dir)

    def check_link(self, url: str, at: tuple[str | int, ...], admission: AdmissionConfig | None = None) -> None:
        """Check that a link may be made the way a URL says.

        Args:
            at: where the URL stands.
            admission: what is shown there, if not what the node shows elsewhere.

        Raises:
            PydanticCustomError: it leads to another machine in the clear, and something secret goes there.
        """
        shows = bool((admission or self.admission).sources)
        self.security.check_url(url, at, "would show credentials to whoever listens on the way", shows=shows)

    def check_token_server(self, admission: AdmissionConfig | None, at: tuple[str | int, ...]) -> None:
        """Check that a token server may be asked the way its URL says.

        Raises:
            PydanticCustomError: it is another machine and would be asked in the clear.
        """
        if admission is not None and admission.token_url is not None:
            harm = "would show the client's secret to whoever listens on the way"
            self.security.check_url(admission.token_url, at, harm, shows=True)

    @model_validator(mode="after")
    def _check_token_server(self) -> Self:
        self.check_token_server(self.admission, ("admission", "token_url"))
        return self

    def with_file(self, file: Path | None) -> Self:
        """Return a copy that knows the file it came from."""
        copy = self.model_copy()
        copy._file = file
        return copy


class SentinelConfig(StayingConfig, NodeConfig):
    """Describe a sentinel: a node that routes."""

    kind: Literal["sentinel"] = "sentinel"
    """What this file describes."""

    listen: fields.Listen = DEFAULT_LISTEN
    """host:port to accept links on; port 0 takes a free one."""

    peers: list[PeerConfig] = Field(default=[])
    """Sentinels to make a peer link to; one side of each pair is enough."""

    upstream: UpstreamConfig | None = None
    """Parent sentinel; a sentinel without one is the root of its tree."""

    logicals: list[fields.LogicalName] = Field(default=[])
    """Logical names to ask the parent for, e.g. fame.fabric."""

    workers: Annotated[int, Field(ge=1, le=64), BeforeValidator(fields.to_whole)] = 1
    """Processes that share `listen`, 1-64, for when one core isn't enough; each is a sentinel of the mesh."""

    routing: RoutingConfig = RoutingConfig()
    """Which of several ways a call takes."""

    limits: LimitsConfig = LimitsConfig()
    """Bounds on what neighbours can make this node hold."""

    mailboxes: list[MailboxConfig] = Field(default=[])
    """Addresses that messages are kept for while nobody serves them."""

    @property
    def listen_host(self) -> str:
        """Return the host part of `listen`, without brackets."""
        return fields.split_listen(self.listen)[0]

    @property
    def listen_port(self) -> int:
        """Return the port part of `listen`, 0-65535."""
        return fields.split_listen(self.listen)[1]

    def security_settings(self) -> SecuritySettings | None:
        """Return what the sentinel is told about security; None for nothing.

        Raises:
            ConfigError: the policy can't be loaded, or there is no home folder.
        """
        peers = {peer.direct_url: peer.admission for peer in self.peers if peer.admission is not None}
        return security_settings(self.security, self.admission, self.base_dir, peers)

    @model_validator(mode="after")
    def _check_links(self) -> Self:
        if self.upstream and fields.is_own_url(self.upstream.direct_url, self.listen):
            raise bad(
                "{value} is this sentinel itself", "name its parent, or remove upstream", at=("upstream", "direct_url")
            )
        seen: set[str] = set()
        for index, peer in enumerate(self.peers):
            at = ("peers", index, "direct_url")
            if fields.is_own_url(peer.direct_url, self.listen):
                raise bad("{value} is this sentinel itself", "name another sentinel, or listen on another port", at=at)
            if peer.direct_url in seen:
                raise bad("{value} is there twice", "remove one", at=at)
            seen.add(peer.direct_url)
        return self

    @model_validator(mode="after")
    def _check_mailboxes(self) -> Self:
        seals = self.security.profile == "strict-overlay" and self.security.encryption == "sealed"
        if self.mailboxes and seals:
            hint = "remove mailboxes, or set security.encryption: plain"
            raise bad("a sentinel can't keep what is sealed for somebody else", hint, at=("mailboxes",))
        addresses = [each.address for each in self.mailboxes]
        for index, each in enumerate(addresses):
            if each in addresses[:index]:
                raise bad("{value} is there twice", "remove one", at=("mailboxes", index, "address"))
        return self

    @model_validator(mode="after")
    def _check_workers(self) -> Self:
        if self.workers > 1 and sys.platform == "win32":
            raise bad("several processes can't share a port on Windows", "set workers: 1", at=("workers",))
        if self.id is not None and not address.is_node_id(worker_id(self.id, self.workers)):
            raise bad("{value} is too long for the ids of its workers", "use at most 125 characters", at=("id",))
        return self

    @model_validator(mode="after")
    def _check_exposure(self) -> Self:
        security = self.security
        if self.upstream is not None:
            self.check_link(self.upstream.direct_url, ("upstream", "direct_url"))
            if self.admission.profile == "none":
                hint = "remove upstream, or use open"
                raise bad("{value} means no parent, and upstream names one", hint, at=("admission", "profile"))
        for index, peer in enumerate(self.peers):
            self.check_link(peer.direct_url, ("peers", index, "direct_url"), peer.admission)
            self.check_token_server(peer.admission, ("peers", index, "admission", "token_url"))
        if fields.is_loopback(self.listen_host):
            return self
        if security.profile == "open" and not security.allow_open_public:
            hint = "listen on 127.0.0.1, or set security.allow_open_public: true or FAME_ALLOW_OPEN_PUBLIC=true"
            raise bad("others can reach {value}, and the open profile admits everybody", hint, at=("listen",))
        is_allowed = security.behind_proxy or self.listen_host.lower() in security.plain_hosts
        if security.profile != "open" and security.tls.certificate is None and not is_allowed:
            hint = "set security.tls, or security.behind_proxy: true if something in front of this node ends TLS"
            raise bad("others can reach {value}, and their credentials would come in the clear", hint, at=("listen",))
        return self


class _LeafConfig(NodeConfig):
    """Hold what agents and clients have."""

    upstream: UpstreamConfig = UpstreamConfig(direct_url=DEFAULT_ATTACH_URL)
    """Sentinel to attach to."""

    @model_validator(mode="after")
    def _check_upstream(self) -> Self:
        self.check_link(self.upstream.direct_url, ("upstream", "direct_url"))
        if self.admission.profile == "none":
            raise bad("{value} leaves this node without a sentinel", "use open", at=("admission", "profile"))
        return self


class AgentBlock(Section):
    """Say which code answers, and under which address."""

    import_: fields.ImportText | None = Field(default=None, alias="import")
    """module:Class or module:function, looked up beside this file, in the folder it names, then on the Python path."""

    operations: dict[fields.OperationName, OperationConfig] | None = None
    """Operations written here instead of in Python, by name."""

    address: fields.LogicalAddress
    """Where callers reach the agent: name@host, e.g. math1@fame.fabric."""

    capabilities: list[fields.Capability] = Field(default=[])
    """Capabilities to advertise beside op:<name> for each operation."""

    init: dict[str, fields.Json] = Field(default={})
    """Arguments for the constructor of the imported class."""

    max_concurrent: Annotated[int, Field(ge=1, le=10_000), BeforeValidator(fields.to_whole)] = 64
    """Calls served at one time, 1-10000; more wait."""

    description: fields.Plain | None = None
    """What the agent does, for callers."""

    @model_validator(mode="after")
    def _check_code(self) -> Self:
        if self.import_ is None and not self.operations:
            raise bad("nothing answers the calls", "add import: module:Class, or operations")
        if self.import_ is not None and self.operations is not None:
            raise bad("import and operations exclude each other", "keep one", at=("operations",))
        if self.import_ is None and self.init:
            raise bad("init is for the class that import names", "remove init, or use import", at=("init",))
        return self


class AgentConfig(StayingConfig, _LeafConfig):
    """Describe an agent: a node whose code answers calls."""

    kind: Literal["agent"] = "agent"
    """What this file describes."""

    logicals: list[fields.LogicalName] = Field(default=[DEFAULT_LOGICAL])
    """Logical names the agent may bind addresses in; the host of its address if not set."""

    agent: AgentBlock
    """The code that answers, and its address."""

    limits: LimitsConfig = LimitsConfig()
    """Bounds on what neighbours can make this node hold."""

    @model_validator(mode="before")
    @classmethod
    def _choose_logicals(cls, data: object) -> object:
        if not isinstance(data, dict) or not is_empty(data.get("logicals")):
            return data
        block = data.get("agent")
        text = block.get("address") if isinstance(block, dict) else None
        try:
            host = address.parse(str(text)).host
        except RemoteProtocolError:
            host = ""
        return {**data, "logicals": [host]} if host else data

    @model_validator(mode="after")
    def _check_logicals(self) -> Self:
        host = address.parse(self.agent.address).host
        if not any(
            name in (host, "*") or (name[:2] == "*." and address.pool_matches(name, host)) for name in self.logicals
        ):
            raise bad("the host of {value} isn't among logicals", f"add {host} to logicals", at=("agent", "address"))
        return self


class ClientConfig(_LeafConfig):
    """Describe a client: a node that only calls."""

    kind: Literal["client"] = "client"
    """What this file describes."""

    timeout_s: Annotated[float, Field(gt=0, le=86_400), BeforeValidator(fields.to_number)] = DEFAULT_TIMEOUT_S
    """Seconds to wait for an answer, above 0 up to 86400."""

    retry: Annotated[Literal["never", "idempotent"], BeforeValidator(fields.lowercase)] = "never"
    """`idempotent` asks again, within that time, when a link or the way was lost; operations may then run twice."""
