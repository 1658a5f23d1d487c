"""The nested form: what loads, into what, and that nothing in it is skipped."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from fame_cli.config.load import load, load_any
from fame_cli.config.schema import ClientConfig, SentinelConfig

Write = Callable[..., Path]
Problems = Callable[..., list[str]]

PARENT = "ws://parent:8000/fame/v1/attach/ws/downstream"
PEER = "ws://peer:8000/fame/v1/attach/ws/peer"
FULL = """\
node:
  type: Sentinel
  id: "${env:FAME_NODE_ID:}"
  public_url: "${env:FAME_PUBLIC_URL:}"
  requested_logicals: [fame.fabric]
  listeners:
    - {type: WebSocketListener, host: localhost, port: "${env:FAME_SENTINEL_PORT:8001}", enabled: true}
    - {type: HttpListener, enabled: false}
  peers:
    - direct_url: "${env:FAME_PEER_WS_URL}"
  security: {type: SecurityProfile, profile: "${env:FAME_SECURITY_PROFILE:open}"}
  admission: {type: AdmissionProfile, profile: "${env:FAME_ADMISSION_PROFILE:none}"}
  identity_policy: {type: NodeIdentityPolicyProfile, profile: default}
  storage: {type: StorageProfile, profile: memory}
  delivery: {type: DeliveryProfile, profile: at-most-once}
"""
CAMEL = """\
node:
  type: Sentinel
  requestedLogicals: [fame.fabric]
  listeners: [{type: WebSocketListener, port: 8001}]
  peers: [{directUrl: "ws://peer:8000/fame/v1/attach/ws/peer"}]
  identityPolicy: {type: NodeIdentityPolicyProfile}
"""
NODE = """\
node:
  type: Node
  id: n1
  requested_logicals: [fame.fabric]
  admission: {type: AdmissionProfile, profile: open}
"""


STOCK = """\
node:
  type: Sentinel
  id: "${env:FAME_NODE_ID:}"
  public_url: "${env:FAME_PUBLIC_URL:}"
  listeners:
    - type: HttpListener
      port: "${env:FAME_LISTENER_HTTP_PORT:${env:FAME_LISTENER_PORT:8000}}"
      enabled: "${env:FAME_LISTENER_HTTP_ENABLED:true}"
    - type: WebSocketListener
      port: "${env:FAME_LISTENER_WEBSOCKET_PORT:${env:FAME_LISTENER_PORT:8000}}"
      enabled: "${env:FAME_LISTENER_WEBSOCKET_ENABLED:true}"
    - type: AgentHttpGatewayListener
      port: "${env:FAME_LISTENER_AGENT_HTTP_GATEWAY_PORT:${env:FAME_LISTENER_PORT:8000}}"
      enabled: "${env:FAME_LISTENER_AGENT_HTTP_GATEWAY_ENABLED:false}"
  requested_logicals: [fame.fabric]
  security: {type: SecurityProfile, profile: "${env:FAME_SECURITY_PROFILE:open}"}
  admission: {type: AdmissionProfile, profile: "${env:FAME_ADMISSION_PROFILE:none}"}
  identity_policy: {type: NodeIdentityPolicyProfile, profile: "${env:FAME_NODE_IDENTITY_PROFILE:default}"}
  storage: {type: StorageProfile, profile: "${env:FAME_STORAGE_PROFILE:memory}"}
  delivery: {type: DeliveryProfile, profile: "${env:FAME_DELIVERY_PROFILE:at-most-once}"}
"""
"""SENTINEL_CONFIG of naylence-agent-sdk 0.4.12; its NODE_CONFIG and CLIENT_CONFIG say less of the same."""


def sentinel(path: Path, env: Mapping[str, str]) -> SentinelConfig:
    return load(path, kind="sentinel", env=env)


def test_a_whole_sentinel_loads(write: Write) -> None:
    config = sentinel(write(FULL), {"FAME_PEER_WS_URL": PEER})
    assert (config.id, config.listen, config.logicals) == (None, "localhost:8001", ["fame.fabric"])
    assert [peer.direct_url for peer in config.peers] == [PEER]
    assert config.upstream is None


def test_camel_case_loads_the_same(write: Write) -> None:
    config = sentinel(write(CAMEL), {})
    assert (config.listen, config.logicals, config.peers[0].direct_url) == ("127.0.0.1:8001", ["fame.fabric"], PEER)


def test_a_node_is_a_client_where_a_client_is_wanted(write: Write) -> None:
    env = {"FAME_DIRECT_ADMISSION_URL": PARENT}
    assert load(write(NODE), kind="client", env=env).upstream.direct_url == PARENT


def test_a_node_is_an_agent_where_an_agent_is_wanted(write: Write) -> None:
    flags = {"agent.import": "m:C", "agent.address": "a@fame.fabric"}
    config = load(write(NODE), kind="agent", env={}, overrides=flags)
    assert (config.id, config.agent.import_, config.logicals) == ("n1", "m:C", ["fame.fabric"])


def test_a_node_with_code_beside_it_is_an_agent(write: Write) -> None:
    config, _ = load_any(write(NODE + "agent: {import: 'm:C', address: a@fame.fabric}\n"), env={})
    assert config.kind == "agent"


def test_a_node_without_code_is_a_client(write: Write) -> None:
    assert isinstance(load_any(write(NODE), env={})[0], ClientConfig)


def test_open_admission_makes_a_child(write: Write) -> None:
    path = write("node: {type: Sentinel, admission: {type: AdmissionProfile, profile: open}}\n")
    config = sentinel(path, {"FAME_DIRECT_ADMISSION_URL": PARENT})
    assert config.upstream is not None
    assert config.upstream.direct_url == PARENT


def test_open_admission_makes_no_child_of_a_sentinel_with_peers(write: Write) -> None:
    env = {"FAME_PEER_WS_URL": PEER, "FAME_ADMISSION_PROFILE": "open", "FAME_DIRECT_ADMISSION_URL": PARENT}
    assert sentinel(write(FULL), env).upstream is None


def test_open_admission_makes_no_child_of_itself(write: Write) -> None:
    path = write("node: {type: Sentinel, admission: {profile: open}}\n")
    url = "ws://127.0.0.1:8000/fame/v1/attach/ws/downstream"
    assert sentinel(path, {"FAME_DIRECT_ADMISSION_URL": url}).upstream is None


def test_variables_act_on_it_as_on_the_flat_form(write: Write) -> None:
    assert sentinel(write(CAMEL), {"FAME_SENTINEL_PORT": "9", "FAME_NODE_ID": "me"}).listen == "127.0.0.1:9"


@pytest.mark.parametrize("profile", ["open", "gated", "overlay", "strict-overlay"])
def test_the_stock_configs_of_the_original_load_in_every_profile(write: Write, profile: str) -> None:
    env = {
        "FAME_SECURITY_PROFILE": profile,
        "FAME_JWT_TRUSTED_ISSUER": "https://auth.fame.fabric",
        "FAME_JWT_AUDIENCE": "fame.fabric",
        "FAME_JWKS_URL": "https://auth.fame.fabric/keys",
    }
    config = sentinel(write(STOCK), {**env, "FAME_LISTENER_HTTP_ENABLED": "false"})
    assert (config.security.profile, config.listen, config.upstream) == (profile, "127.0.0.1:8000", None)
    assert [each.audience for each in config.security.issuers] == ([] if profile == "open" else ["fame.fabric"])
    node = STOCK.replace("type: Sentinel", "type: Node").replace("PROFILE:none", "PROFILE:open")
    node = node[: node.index("  listeners:")] + node[node.index("  requested_logicals:") :]
    shown = {
        "FAME_ADMISSION_PROFILE": "direct",
        "FAME_DIRECT_ADMISSION_URL": "wss://parent/fame/v1/attach/ws/downstream",
        "FAME_ADMISSION_TOKEN_URL": "https://auth.fame.fabric/oauth/token",
        "FAME_ADMISSION_CLIENT_ID": "me",
        "FAME_ADMISSION_CLIENT_SECRET": "hunter2",
    }
    client = load(write(node), kind="client", env=env | shown)
    assert (client.security.profile, client.admission.profile) == (profile, "direct")
    assert (client.admission.sources, client.admission.audience) == (["token_url"], "fame.fabric")


def test_its_security_takes_our_keys_too(write: Write) -> None:
    tls = "tls: {certificate: c, key: k}"
    path = write(f"node: {{type: Sentinel, listeners: [{{host: 10.0.0.5}}], security: {{profile: gated, {tls}}}}}\n")
    assert sentinel(path, {}).security.tls.certificate == "c"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("node: 5\n", "a.yaml:1:7: node wants a mapping"),
        ("node: {type: Router}\n", 'a.yaml:1:14: node.type: "Router" isn\'t supported by fame; use Sentinel, Node'),
        ("node: {typo: 1}\n", 'a.yaml:1:8: unknown key "typo" in node; did you mean "type"'),
        ("node: {telemetry: {}}\n", 'a.yaml:1:8: "node.telemetry" isn\'t supported by fame; remove it'),
        ("node: {maxAttachTtlSec: 5}\n", '"node.maxAttachTtlSec" isn\'t supported by fame'),
        ("node: {}\nwelcome: {}\n", 'a.yaml:2:1: "welcome" isn\'t supported in a file with node'),
        ("node: {requested_logicals: [], requestedLogicals: []}\n", 'duplicate key "requestedLogicals"'),
        ("node: {public_url: 'http://x'}\n", '"node.public_url" isn\'t supported by fame'),
        (
            "node: {storage: {type: StorageProfile, profile: encrypted-sqlite}}\n",
            'a.yaml:1:49: storage.profile: unknown "encrypted-sqlite"; use memory or sqlite',
        ),
        ("node: {delivery: {type: AtLeastOnceDeliveryPolicy}}\n", "node.delivery.type"),
        ("node: {storage: {type: StorageProfile, dir: x}}\n", 'unknown key "dir" in node.storage'),
        ("node: {security: {type: DefaultSecurityManager}}\n", "a.yaml:1:25: node.security.type"),
        ("node: {security: {profile: gatd}}\n", 'a.yaml:1:28: security.profile: unknown "gatd"'),
        ("node: {security: {profile: gated-callback}}\n", "which fame doesn't; use gated"),
        ("node: {admission: {profile: direct}}\n", 'admission.profile: "direct" needs a token'),
        ("node: {admission: {profile: direct-http}}\n", 'node.admission.profile: "direct-http" isn\'t supported'),
        ("node: {admission: {profile: none}}\n", "reaches nobody"),
        ("node: {peers: []}\n", "a.yaml:1:15: node.peers needs type: Sentinel"),
        ("node: {type: Sentinel, peers: {}}\n", "node.peers wants a list"),
        ("node: {type: Sentinel, peers: [5]}\n", "node.peers wants a mapping"),
        ("node: {type: Sentinel, peers: [{admission: {}}]}\n", '"peers.admission" isn\'t supported'),
        ("node: {type: Sentinel, peers: [{direct_url: x}]}\n", "a.yaml:1:45: peers[0].direct_url"),
        (
            "node: {type: Sentinel, listeners: [{type: HttpListener}]}\n",
            "a.yaml:1:36: fame listens with WebSocketListener",
        ),
        ("node: {type: Sentinel, listeners: [{port: 1}, {port: 2}]}\n", "a second listener"),
        ("node: {type: Sentinel, listeners: [{port: x}]}\n", 'a.yaml:1:43: listen: "127.0.0.1:x" isn\'t host:port'),
        ("node: {type: Sentinel, listeners: [{authorizer: x}]}\n", '"listener.authorizer" isn\'t supported'),
        ("node: {type: Sentinel, listeners: [{port: [1]}]}\n", "listener.port wants a single value"),
        ("node: {type: Sentinel, listeners: [{host: 0.0.0.0}]}\n", "others can reach"),
        ("node: {type: Sentinel, admission: {profile: open}}\n", "needs the variable FAME_DIRECT_ADMISSION_URL"),
    ],
)
def test_what_is_not_supported_is_said(problems: Problems, text: str, said: str) -> None:
    assert said in problems(text)[0]
