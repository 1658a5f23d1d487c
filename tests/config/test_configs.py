"""The files in configs/: they load as they stand, say what the example needs, and the reference leaves nothing out."""

import re
from pathlib import Path

import pytest

from fame_cli.config import custody, fabric, limits, links, operations, overlay, schema, security
from fame_cli.config.load import load, load_any, load_fabric
from fame_cli.config.naylence import NODE_KEYS
from fame_cli.config.section import Section

CONFIGS = Path(__file__).parents[2] / "configs"
REFERENCE = (CONFIGS / "reference.yaml").read_text(encoding="utf-8")
FIRST, SECOND = "ws://127.0.0.1:8000/fame/v1/attach/ws/", "ws://127.0.0.1:8001/fame/v1/attach/ws/"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_every_file_loads_without_any_variable(path: Path) -> None:
    load_any(path, env={})


def test_the_two_sentinels_are_peers() -> None:
    one, two = (load(CONFIGS / f"peer{number}.yaml", kind="sentinel", env={}) for number in (1, 2))
    assert (one.id, one.listen, one.peers) == ("peer-sentinel1", "127.0.0.1:8000", [])
    assert (two.id, two.listen) == ("peer-sentinel2", "127.0.0.1:8001")
    assert [peer.direct_url for peer in two.peers] == [FIRST + "peer"]


@pytest.mark.parametrize(("number", "url"), [(1, FIRST), (2, SECOND)])
def test_each_agent_attaches_to_its_own_sentinel(number: int, url: str) -> None:
    config = load(CONFIGS / f"math{number}.yaml", kind="agent", env={})
    assert (config.id, config.upstream.direct_url) == (f"math-agent{number}", url + "downstream")
    assert (config.agent.import_, config.agent.address) == (
        f"math_agent{number}:MathAgent",
        f"math{number}@fame.fabric",
    )
    assert (config.base_dir / f"math_agent{number}.py").is_file()


def test_the_client_attaches_to_the_first_sentinel() -> None:
    assert load(CONFIGS / "client.yaml", kind="client", env={}).upstream.direct_url == FIRST + "downstream"


def test_the_variables_of_the_example_act_on_its_files() -> None:
    env = {"FAME_SENTINEL_PORT": "9001", "FAME_PEER_WS_URL": "ws://h:1/fame/v1/attach/ws/peer"}
    config = load(CONFIGS / "peer2.yaml", kind="sentinel", env=env)
    assert (config.listen, config.peers[0].direct_url) == ("127.0.0.1:9001", env["FAME_PEER_WS_URL"])


def sections() -> list[type[Section]]:
    found = {
        value
        for module in (schema, fabric, operations, limits, links, security, custody)
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Section) and value not in (Section, schema.NodeConfig)
    }
    return sorted(found, key=str)


@pytest.mark.parametrize("section", sections())
def test_the_reference_names_every_key_of_the_schema(section: type[Section]) -> None:
    keys = {info.alias or name for name, info in section.model_fields.items()}
    assert not [key for key in keys if not re.search(rf"(^|[\s{{#-]){key}:", REFERENCE, re.MULTILINE)]


def test_the_reference_gives_the_defaults() -> None:
    nodes = load_fabric(CONFIGS / "reference.yaml", env={}).nodes
    sentinel, agent, _, client, _ = nodes
    assert sentinel == schema.SentinelConfig(id="s1")
    assert client == schema.ClientConfig(id="c1")
    assert isinstance(agent, schema.AgentConfig)
    block = schema.AgentBlock.model_validate({"import": "math_agent1:MathAgent", "address": "math1@fame.fabric"})
    assert agent == schema.AgentConfig(id="a1", agent=block)


def test_the_reference_names_every_variable() -> None:
    folder = Path(overlay.__file__).parent
    known = {name for path in folder.glob("*.py") for name in re.findall(r'"(FAME_[A-Z_]+)"', path.read_text("utf-8"))}
    assert {*overlay.NODE_VARIABLES, "FAME_SECURITY_PROFILE", "FAME_JWKS_URL"} <= known
    assert not [name for name in known if name not in REFERENCE]


def test_the_reference_names_the_keys_of_the_nested_form() -> None:
    shown = {"type", "id", "listeners", "peers", "requested_logicals", "security", "admission"}
    assert shown <= NODE_KEYS.keys()
    assert not [key for key in shown if f"#     {key}:" not in REFERENCE]
