"""Fabric files: which nodes they have, which variables reach them, and how one is picked."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fame_cli.config.load import describe, fabric_nodes, load, load_fabric
from fame_cli.config.schema import AgentConfig, SentinelConfig
from fame_cli.errors import ConfigError, UsageError

Write = Callable[..., Path]

PARENT = "ws://parent:8000/fame/v1/attach/ws/downstream"
SENTINEL = "kind: sentinel\nid: s1\nlisten: 127.0.0.1:8000\n"
FABRIC = """\
kind: fabric
name: two
nodes:
  - {kind: sentinel, id: s1}
  - {config: s2.yaml, env: {FAME_SENTINEL_PORT: 8001}}
  - kind: agent
    id: a1
    agent: {import: "m:C", address: a@fame.fabric}
  - {config: s2.yaml, id: s3}
"""
S2 = "kind: sentinel\nlisten: 127.0.0.1:${FAME_SENTINEL_PORT:-8002}\n"


@pytest.fixture
def fabric(write: Write) -> Path:
    write(S2, "s2.yaml")
    return write(FABRIC, "fabric.yaml")


def test_a_fabric_has_its_nodes_in_order(fabric: Path) -> None:
    nodes = fabric_nodes(fabric, env={})
    assert [(node.name, node.config.kind) for node in nodes] == [
        ("s1", "sentinel"),
        ("s2", "sentinel"),
        ("a1", "agent"),
        ("s3", "sentinel"),
    ]


def test_a_node_with_a_file_gets_its_own_variables(fabric: Path) -> None:
    nodes = {node.name: node for node in fabric_nodes(fabric, env={"HOME": "/x"})}
    configs = [node.config for node in nodes.values()]
    assert [config.listen for config in configs if isinstance(config, SentinelConfig)] == [
        "127.0.0.1:8000",
        "127.0.0.1:8001",
        "127.0.0.1:8002",
    ]
    assert nodes["s2"].env == {"HOME": "/x", "FAME_SENTINEL_PORT": "8001"}


def test_variables_that_mean_one_node_do_not_reach_the_nodes_of_a_fabric(fabric: Path) -> None:
    env = {
        "FAME_NODE_ID": "x",
        "FAME_SENTINEL_PORT": "1",
        "FAME_DIRECT_ADMISSION_URL": PARENT,
        "FAME_LOG_LEVEL": "debug",
    }
    nodes = {node.name: node.config for node in fabric_nodes(fabric, env=env)}
    agent = nodes["a1"]
    assert isinstance(agent, AgentConfig)
    assert agent.upstream.direct_url != PARENT
    assert {config.log.level for config in nodes.values()} == {"debug"}


def test_the_id_in_a_fabric_is_over_that_of_the_file(fabric: Path) -> None:
    assert fabric_nodes(fabric, env={})[3].config.id == "s3"


@pytest.mark.parametrize("name", ["s1", "s2", "s3"])
def test_a_node_of_a_fabric_is_picked_by_name(fabric: Path, name: str) -> None:
    assert load(fabric, kind="sentinel", env={}, node=name).kind == "sentinel"


def test_flags_are_over_the_fabric(fabric: Path) -> None:
    assert load(fabric, kind="sentinel", env={}, node="s2", overrides={"listen": "127.0.0.1:5"}).listen == "127.0.0.1:5"


def test_the_only_node_of_a_kind_needs_no_name(fabric: Path) -> None:
    assert load(fabric, kind="agent", env={}).id == "a1"


@pytest.mark.parametrize(
    ("kind", "node", "said"),
    [
        ("sentinel", None, "fabric.yaml describes 3 of kind sentinel; add --node with one of s1, s2, s3"),
        ("client", None, "fabric.yaml has no client; it has s1, s2, a1, s3"),
        ("sentinel", "zz", 'fabric.yaml has no node "zz"; it has s1, s2, s3'),
        ("agent", "s1", "s1 is of kind sentinel, not agent; run: fame sentinel --config fabric.yaml --node s1"),
    ],
)
def test_a_node_that_is_not_there_is_a_usage_error(fabric: Path, kind: str, node: str | None, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(fabric, kind=kind, env={}, node=node)  # type: ignore[call-overload]
    assert str(caught.value) == said


def test_node_means_nothing_without_a_fabric(write: Write) -> None:
    with pytest.raises(UsageError, match="isn't one"):
        load(write(SENTINEL), kind="sentinel", env={}, node="s1")
    with pytest.raises(UsageError, match="there is no file"):
        load(None, kind="sentinel", env={}, node="s1")


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ("[]", "a.yaml:3:8: nodes: the list is empty"),
        ("[5]", "a.yaml:3:9: nodes[0] isn't a node; give it kind"),
        ("[{kind: router}]", "a.yaml:3:9: nodes[0] isn't a node"),
        ("[{kind: client}]", "a.yaml:3:9: nodes[0]: a node without an id; add id: NAME"),
        ("[{kind: client, id: a}, {kind: client, id: a}]", 'a.yaml:3:51: nodes[1].id: "a" names two nodes'),
        (
            "[{kind: client, id: a, timeout: 5}]",
            'a.yaml:3:31: unknown key "timeout" in nodes[0]; did you mean "timeout_s"',
        ),
        ("[{config: c.yaml}, {config: c.yaml}]", 'a.yaml:3:27: a second node named "c"'),
        ("[{config: no.yaml}]", 'a.yaml:3:18: config: "no.yaml": no such file'),
        ("[{config: a.yaml}]", 'a.yaml:3:18: config: "a.yaml" is a fabric itself'),
        ("[{config: bad.yaml}]", 'bad.yaml:2:1: unknown key "x"'),
        ("[{config: c.yaml, env: {1: x}}]", "a.yaml:3:32: nodes[0].env.1"),
    ],
)
def test_a_mistake_in_a_fabric_is_one_line_with_its_place(write: Write, nodes: str, said: str) -> None:
    write("kind: client\n", "c.yaml")
    write("kind: client\nx: 1\n", "bad.yaml")
    with pytest.raises(ConfigError) as caught:
        load_fabric(write(f"kind: fabric\nname: f\nnodes: {nodes}\n"), env={})
    assert said in str(caught.value)


def test_a_node_is_no_fabric(write: Write) -> None:
    with pytest.raises(ConfigError) as caught:
        load_fabric(write(SENTINEL), env={})
    assert (
        str(caught.value) == "a.yaml:1:7: the file of one sentinel, not of a fabric; run: fame sentinel --config a.yaml"
    )


def test_a_config_is_described_in_a_few_words(fabric: Path, write: Write) -> None:
    assert describe(load_fabric(fabric, env={})) == "fabric two of 4 nodes"
    assert describe(load(write(SENTINEL), kind="sentinel", env={})) == "sentinel s1"
    assert describe(load(None, kind="client", env={})) == "client"


def test_a_pipe_in_the_place_of_a_node_s_file_is_not_waited_for(fabric: Path) -> None:
    s2 = fabric.with_name("s2.yaml")
    s2.unlink()
    os.mkfifo(s2)
    with pytest.raises(ConfigError, match=r"s2.yaml: can't be read: Not a regular file"):
        load(fabric, kind="sentinel", env={}, node="s1")
