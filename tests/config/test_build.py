"""From a config to what runs: every key reaches its place."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from fame_cli.config.build import build_agent, build_sentinel
from fame_cli.config.load import AnyConfig
from fame_cli.config.schema import AgentConfig, SentinelConfig
from fame_cli.errors import ConfigError
from fame_cli.node.agent import Agent
from fame_cli.security.keystore import Home

Loaded = Callable[..., AnyConfig]

DECLARED = """
kind: agent
id: tools
agent:
  address: tools@fame.fabric
  description: Tools of all kinds.
  operations:
    greet:
      description: Greet somebody.
      params:
        name: {type: string, description: Whom.}
        times: {type: integer, default: 2}
        note: {type: string, default: null}
      template: "{{ name * times }} {{ note }}"
    parts: {params: {text: {type: string}}, template: "{{ text.split() | tojson }}", result: json}
    count: {command: [printf, '1\\n2\\n'], stream: true}
    same: {params: {n: {type: number}}, command: [cat], result: json, timeout_s: 5}
    weather: {http: {url: "http://127.0.0.1:1/weather", method: get, headers: {X-Key: abc}}}
"""


def agent_of(config: AnyConfig) -> Agent:
    assert isinstance(config, AgentConfig)
    return build_agent(config)


def ask(agent: Agent, name: str, /, **arguments: object) -> object:
    async def main() -> object:
        outcome = agent.find(name).invoke([], arguments)
        if isinstance(outcome, AsyncIterator):
            return [item async for item in outcome]
        assert isinstance(outcome, Awaitable)
        return await outcome

    return asyncio.run(main())


def test_operations_written_in_yaml_answer(loaded: Loaded) -> None:
    agent = agent_of(loaded(DECLARED))
    assert ask(agent, "greet", name="ab") == "abab None"
    assert ask(agent, "greet", name="ab", times=1, note="c") == "ab c"
    assert ask(agent, "parts", text="a b") == ["a", "b"]
    assert ask(agent, "count") == [1, 2]
    assert ask(agent, "same", n=3) == {"n": 3}


def test_operations_written_in_yaml_are_described(loaded: Loaded) -> None:
    told = agent_of(loaded(DECLARED)).describe()
    assert told["description"] == "Tools of all kinds."
    operations = told["operations"]
    assert isinstance(operations, list)
    assert [(each["name"], each["streaming"]) for each in operations] == [
        ("greet", False),
        ("parts", False),
        ("count", True),
        ("same", False),
        ("weather", False),
    ]
    assert operations[0]["schema"]["required"] == ["name"]
    assert operations[0]["schema"]["properties"]["times"]["default"] == 2


def test_a_template_with_an_unknown_filter_is_an_error_of_the_config(loaded: Loaded) -> None:
    config = loaded(DECLARED.replace("text.split() | tojson", "text | nosuch"))
    with pytest.raises(
        ConfigError, match=r"^operation parts: line 1 of the template is wrong: No filter named 'nosuch'"
    ):
        agent_of(config)


def test_code_is_looked_up_beside_the_file(loaded: Loaded, tmp_path: Path) -> None:
    code = "from fame_cli import Agent, operation\nclass A(Agent):\n    def __init__(self, by: int) -> None:\n"
    code += (
        "        self.by = by\n    @operation\n    async def scale(self, x: int) -> int:\n        return x * self.by\n"
    )
    (tmp_path / "code_beside_its_config.py").write_text(code)
    block = "import: code_beside_its_config:A\n  address: a@fame.fabric\n  init: {by: 3}\n  description: Scales."
    agent = agent_of(loaded(f"kind: agent\nagent:\n  {block}\n"))
    assert ask(agent, "scale", x=2) == 6
    assert agent.describe()["description"] == "Scales."


def test_the_wire_of_a_config_reaches_the_node(loaded: Loaded) -> None:
    config = loaded("kind: sentinel\nlisten: 127.0.0.1:0\nwire: {transport: websockets, batch: false}\n")
    assert isinstance(config, SentinelConfig)

    async def main() -> tuple[str, bool]:
        async with build_sentinel(config) as sentinel:
            return sentinel.node.network.name, sentinel.node.core.settings.batch

    assert asyncio.run(main()) == ("websockets", False)


def test_a_sentinel_holds_as_much_as_its_config_says(loaded: Loaded) -> None:
    config = loaded("kind: sentinel\nid: s1\nlisten: 127.0.0.1:0\nlimits: {max_held_bytes: 2000000}\n")
    assert isinstance(config, SentinelConfig)

    async def main() -> int:
        async with build_sentinel(config) as sentinel:
            return sentinel.node.core.state.budget.most_bytes

    assert asyncio.run(main()) == 2_000_000


@pytest.mark.parametrize(
    ("security", "limits", "most"),
    [
        ("profile: open", "", 0),
        ("profile: gated", "", 256),
        ("profile: overlay, behind_proxy: true", "", 0),
        ("profile: gated, behind_proxy: true", "links_per_host: 9", 9),
        ("profile: gated", "links_per_host: 0", 0),
        ("profile: open", "links_per_host: 7", 7),
    ],
)
def test_hosts_are_counted_where_an_address_tells_who_comes(
    loaded: Loaded, tmp_path: Path, security: str, limits: str, most: int
) -> None:
    home = Home(tmp_path / "home")
    home.make_authority("fame.fabric")
    text = f"kind: sentinel\nlisten: 127.0.0.1:0\nsecurity: {{{security}, home: {home.root}}}\nlimits: {{{limits}}}\n"
    config = loaded(text)
    assert isinstance(config, SentinelConfig)

    async def main() -> int:
        async with build_sentinel(config) as sentinel:
            return sentinel.node.core.settings.limits.links_per_host

    assert asyncio.run(main()) == most


def test_a_sentinel_is_built_with_its_id(loaded: Loaded) -> None:
    config = loaded("kind: sentinel\nid: s1\nlisten: 127.0.0.1:0\nlimits: {max_links: 3}\n")
    assert isinstance(config, SentinelConfig)

    async def main() -> str:
        async with build_sentinel(config) as sentinel:
            return sentinel.node.node_id

    assert asyncio.run(main()) == "s1"
